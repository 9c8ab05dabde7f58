//! The locks in LIB_DIR that rigup takes before it starts a provider's hook.

use std::path::PathBuf;

use crate::hook::run::Runner;
use crate::install::event::InstallEvent;
use crate::install::plan::Request;
use crate::model::{Identity, ProviderName};
use crate::plugin::config::provider::{HookLock, ProviderConfig};
use crate::plugin::discovery::Hook;
use crate::process::inherited_lock;
use crate::process::lock::{self, Holder, LOCKED, Lock, LockError};
use crate::process::tree;

/// Takes the lock of a provider whose hooks must not run at once. Returns `None` if the hook that called this rigup holds
/// it, and waits for this rigup, or if LIB_DIR cannot be written, which the hook reports.
pub(super) fn of_provider(
    runner: &Runner<'_>,
    provider: &ProviderName,
    on_event: &impl Fn(InstallEvent),
) -> Result<Option<Lock>, LockError> {
    let on_wait = |holder: &Holder| {
        let line = format!("waiting for another hook of {provider} ({holder})");
        on_event(InstallEvent::Output(line));
    };
    take(runner, &format!("hooks-{provider}"), on_wait)
}

/// Takes the lock that the configuration of a provider states for its hooks, which otherwise would have to start
/// themselves again to take it. `request` is the only one of the hook, if it has no others. Returns it with the value of the variable that tells the hook so. Returns `None` as
/// [`of_provider`] does: the hook then takes the lock itself.
pub(super) fn of_hook(
    runner: &Runner<'_>,
    hook: &Hook,
    config: Option<&ProviderConfig>,
    request: Option<&Request>,
    on_event: &impl Fn(InstallEvent),
) -> Result<Option<(Lock, PathBuf)>, LockError> {
    let lib_dir = &runner.settings.lib_dir;
    let name = match (config.and_then(|config| config.lock.as_ref()), request) {
        (Some(HookLock::Named(name)), _) => name.clone(),
        (Some(HookLock::Prefix), Some(request)) if !hook.name.is_batch => {
            let prefix = request.overrides.of(&hook.plugin).prefix(&hook.plugin, &request.name, lib_dir);
            // The hook reports a prefix that is not allowed.
            let Ok(prefix) = prefix else { return Ok(None) };
            prefix.lock_name()
        }
        _ => return Ok(None),
    };
    if inherited_lock::is_held(runner.settings.environment.get(LOCKED), lib_dir, &name) {
        return Ok(None);
    }
    let on_wait = |holder: &Holder| {
        on_event(InstallEvent::Output(format!("waiting for the lock {name}, held by {holder}")));
    };
    Ok(take(runner, &name, on_wait)?.map(|lock| (lock, lock::id(lib_dir, &name))))
}

fn take(runner: &Runner<'_>, name: &str, on_wait: impl FnOnce(&Holder)) -> Result<Option<Lock>, LockError> {
    // Another thread of this rigup may hold the lock.
    let waits_for_this = |holder: &Identity| holder.pid != std::process::id() && tree::descends_from(holder);
    match Lock::take_in_lib_dir(&runner.settings.lib_dir, name, runner.interrupt, waits_for_this, on_wait) {
        Ok(lock) => Ok(Some(lock)),
        Err(LockError::Circular(..) | LockError::Io(_)) => Ok(None),
        Err(error @ LockError::Interrupted(_)) => Err(error),
    }
}
