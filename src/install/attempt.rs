//! Runs a provider's hook for one request or for a batch, and returns a verdict for each request.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use crate::exhaustion;
use crate::fs::copy::copy_tree;
use crate::fs::dir::make_private_dir;
use crate::fs::lib_dir::{self, Prefix};
use crate::fs::remove::remove_tree;
use crate::fs::write_access;
use crate::hook::interpreter;
use crate::hook::run::{HookJob, RunError, Runner};
use crate::install::begin::{self, Begin, BegunHook, HookStart};
use crate::install::event::InstallEvent;
use crate::install::plan::{ENV, Request};
use crate::install::prefix::RemovalError;
use crate::install::probe::Prober;
use crate::install::users::Users;
use crate::install::verdict::{self, Verdict};
use crate::install::verify::Expected;
use crate::model::{Binary, BinaryName, Outcome, Process, name};
use crate::plugin::builtin;
use crate::plugin::config::provider::{PackageMetadata, ProviderConfig};
use crate::plugin::discovery::Hook;
use crate::process::lock::{LOCKED, Lock, LockError};
use crate::process::log::{Log, Logs};
use crate::process::run_dir::RunDir;
use crate::process::supervise::PreparedProcess;
use crate::process::tail;
use crate::store::StoreError;

pub mod arguments;
mod locks;

/// A request for which a hook is run, with its binary.
#[derive(Debug, Clone)]
pub(crate) struct AttemptTarget {
    /// The request.
    pub request: Arc<Request>,
    /// The record of the binary.
    pub binary: Binary,
    /// Whether the record is new or changed, and must be stored before the hook starts.
    pub is_unsaved: bool,
    /// The file that the request names for the provider.
    pub abspath: Option<PathBuf>,
    /// The path of the binary's link.
    pub link: PathBuf,
}

/// The result of a hook.
#[derive(Debug)]
pub(crate) struct AttemptResult {
    /// The hook's process with its exit, which the caller stores together with the attempts.
    pub process: Process,
    /// The verdict for each target.
    pub verdicts: Vec<Verdict>,
}

/// An error that prevents a provider's hook from being run.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AttemptError {
    /// The hook's folder cannot be created.
    #[error("cannot create the folder of the hook: {0}")]
    Folder(io::Error),
    /// The hook cannot be run.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The process or the binaries cannot be stored.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// rigup was interrupted while it waited for another hook of the provider.
    #[error(transparent)]
    Lock(LockError),
    /// rigup panicked while it ran the hook.
    #[error("rigup panicked while it ran the hook; report the message above as a bug")]
    Panicked,
}

/// Runs a provider's hook, and returns a verdict for each target. A batch hook reads its requests from standard input;
/// any other hook receives its only request as arguments. `begin` returns the code with which a hook begins that holds its lock.
pub(crate) fn run(
    runner: &Runner<'_>,
    hook: &Hook,
    config: Option<&ProviderConfig>,
    targets: &[AttemptTarget],
    timeout: Duration,
    begin: Begin<'_>,
    on_event: impl Fn(InstallEvent),
) -> Result<AttemptResult, AttemptError> {
    let provider = &hook.provider();
    on_event(InstallEvent::Started(provider.clone()));
    let job = job(runner, hook, targets, timeout);
    make_private_dir(&job.cwd).map_err(AttemptError::Folder)?;
    let on_wait = || {
        let line = format!("waiting for another rigup to unpack {}", hook.name.file_name);
        on_event(InstallEvent::Output(line));
    };
    let may_run_concurrently = may_run_concurrently(hook, config);
    let lock = (!may_run_concurrently)
        .then(|| locks::of_provider(runner, provider, &on_event))
        .transpose()
        .map_err(AttemptError::Lock)?;
    let only = if let [target] = targets { Some(&*target.request) } else { None };
    let hook_lock = locks::of_hook(runner, hook, config, only, &on_event).map_err(AttemptError::Lock)?;
    let foreign = Prefix::all_foreign(&hook.plugin, &runner.settings.lib_dir);
    let mut own_prefix = OwnPrefix::mark(runner, hook, targets)?;
    let arguments = job.arguments.clone();
    let mut ready = runner.prepare(job, on_wait)?;
    ready.command.env.retain(|(name, _)| name != begin::VARIABLE);
    if config.and_then(|config| config.metadata) == Some(PackageMetadata::DistInfo) {
        interpreter::put_python_before_shims(&mut ready.command, runner.interrupt);
    }
    let begin = |environment: &_| {
        let config = config.filter(|_| only.is_some())?;
        begin(&HookStart { arguments: &arguments, provider, config, environment })
    };
    let begun_hook = hook_lock.and_then(|lock| begin_under_lock(&mut ready, lock, begin));
    let unsaved: Vec<&Binary> =
        targets.iter().filter(|target| target.is_unsaved).map(|target| &target.binary).collect();
    runner.store.begin_attempts(&ready.process, &unsaved)?;
    if let Some(own_prefix) = &mut own_prefix
        && !builtin::is_builtin(&hook.path, &runner.settings.data_dir)
    {
        own_prefix.keep_copy(&ready.run_dir.path().join(EARLIER), &on_event);
    }
    let mut on_tick = |logs: &Logs| {
        if let Some(line) = last_line(&logs.stderr) {
            on_event(InstallEvent::Output(line));
        }
    };
    let mut finished = runner.run(ready, &mut on_tick)?;
    drop(lock);
    finished.write_exit();
    for warning in finished.process.warnings.texts() {
        on_event(InstallEvent::Warning(format!("{provider}: {warning}")));
    }

    let settings = runner.settings;
    let prober = Prober::new(settings, runner.interrupt);
    let expected: Vec<Expected<'_>> = targets
        .iter()
        .map(|AttemptTarget { request, abspath, link, .. }| Expected {
            abspath: abspath.as_deref(),
            version: request.overrides.of(provider).version.as_deref(),
            version_args: &request.overrides.of(provider).version_args,
            pin: request.pin.as_ref().map(|pin| (pin, settings.lib_dir.as_path())),
            needs_exact_version: config.is_some_and(ProviderConfig::needs_exact_version),
            not_below: &request.not_below,
            is_measured: builtin::is_builtin(&hook.path, &settings.data_dir),
            lib_dir: Some(&settings.lib_dir),
            prober: Some(&prober),
            ..Expected::new(request.name.as_str(), request.versions_of(provider), provider, link)
        })
        .collect();
    let begun_hook = begun_hook.as_deref();
    let interrupt = runner.interrupt;
    let mut verdicts =
        verdict::verdicts(&mut finished, provider, &expected, begun_hook, interrupt, timeout, &on_event);
    let _ = finished.lock.take().map(Lock::release);
    for verdict in &mut verdicts {
        // If the disk is full, programs print various messages, such as "I/O error".
        if let Verdict::NotInstalled(Outcome::Failed, reason) = verdict
            && exhaustion::is_full(&settings.lib_dir)
        {
            *reason = format!("{reason}; no space left in {}", settings.lib_dir.display());
        }
    }
    // bun and deno give everyone write access to their files, whatever the umask is.
    let umask = lib_dir::umask(&settings.lib_dir);
    for verdict in &verdicts {
        if let Verdict::Installed(installed, _) = verdict
            && let Some(prefix) = Prefix::containing(&installed.abspath, &settings.lib_dir)
            && prefix.provider() == provider.as_str()
            && !foreign.contains(&prefix)
        {
            let _ = prefix.create_evidence(&settings.lib_dir);
            write_access::restrict(&prefix.path(&settings.lib_dir), umask);
        }
    }
    if let (Some(own_prefix), [verdict]) = (own_prefix, &*verdicts) {
        own_prefix.settle(verdict, &on_event);
    }
    Ok(AttemptResult { process: finished.process, verdicts })
}

/// Tells a hook that rigup holds its lock, and begins it.
fn begin_under_lock(
    ready: &mut PreparedProcess,
    (lock, variable): (Lock, PathBuf),
    begin: impl FnOnce(&[(OsString, OsString)]) -> Option<Box<dyn BegunHook>>,
) -> Option<Box<dyn BegunHook>> {
    // Not in `cmd.sh`: a hook that is started again by hand takes the lock itself.
    let environment = &mut ready.command.env;
    environment.retain(|(name, _)| name != LOCKED);
    environment.push((LOCKED.into(), variable.into()));
    ready.lock = Some(lock);
    let hook = begin(environment)?;
    environment.push((begin::VARIABLE.into(), hook.code().into()));
    Some(hook)
}

/// Returns whether several hooks of a provider may run at once: they lock what they change, or change nothing.
pub(crate) fn may_run_concurrently(hook: &Hook, config: Option<&ProviderConfig>) -> bool {
    hook.plugin.as_str() == ENV || config.is_some_and(|config| config.concurrent)
}

/// The folder, in the run dir of a hook, of the copy of the prefix that it installs into.
const EARLIER: &str = "earlier";

/// The prefix of the only request of a hook.
struct OwnPrefix<'a> {
    users: Users<'a>,
    prefix: Prefix,
    name: &'a BinaryName,
    path: PathBuf,
    /// Whether it existed before the hook started.
    is_old: bool,
    /// Whether it contains the earlier file of the binary.
    is_used: bool,
    /// The copy of what it contained.
    copy: Option<PathBuf>,
}

impl<'a> OwnPrefix<'a> {
    /// Marks the prefix before the hook installs into it. Returns `None` if the hook has several requests, or installs
    /// elsewhere.
    fn mark(
        runner: &Runner<'a>,
        hook: &Hook,
        targets: &'a [AttemptTarget],
    ) -> Result<Option<Self>, StoreError> {
        let [AttemptTarget { request, binary, .. }] = targets else { return Ok(None) };
        let lib_dir = &runner.settings.lib_dir;
        let prefix = request.overrides.of(&hook.plugin).prefix(&hook.plugin, &request.name, lib_dir);
        let Some(prefix) = prefix.ok().filter(|_| !hook.name.is_batch) else { return Ok(None) };
        let path = prefix.path(lib_dir);
        let users = Users::new(runner.settings, runner.store, runner.command.machine_id)?;
        let (name, is_old) = (&request.name, path.exists());
        let used = binary.installed().filter(|installed| installed.abspath.starts_with(&path));
        let (is_used, version) = (used.is_some(), used.map_or("", |installed| &*installed.version));
        // If LIB_DIR cannot be written, the hook reports that.
        let _ = users.mark_prefix(&prefix, name, version);
        Ok(Some(Self { users, prefix, name, path, is_old, is_used, copy: None }))
    }

    /// Copies the prefix if it contains the earlier file of the binary: a hook may change it in its place. A prefix that
    /// another data dir uses, too, is not copied, because that one may change it meanwhile.
    fn keep_copy(&mut self, copy: &Path, on_event: &impl Fn(InstallEvent)) {
        if self.is_used && self.users.others_with_another_version(&self.prefix, "").is_empty() {
            match copy_tree(&self.path, copy) {
                Ok(()) => self.copy = Some(copy.to_owned()),
                Err(error) => {
                    let path = self.path.display();
                    on_event(InstallEvent::Warning(format!("cannot keep a copy of {path}: {error}")));
                    let _ = remove_tree(copy);
                }
            }
        }
    }

    /// Puts the copy back, whatever the hook says that it did: one that declines may have changed its prefix, too.
    fn restore(&self, on_event: &impl Fn(InstallEvent)) {
        if let Some(copy) = &self.copy
            && let Err(error) = self.users.restore_prefix(&self.prefix, copy)
        {
            let path = self.path.display();
            on_event(InstallEvent::Warning(format!("cannot restore {path}: {error}")));
        }
    }

    /// Removes what the hook has installed so far, if nothing was there before, or restores what was. Marks the prefix that
    /// it installed into.
    fn settle(&self, verdict: &Verdict, on_event: &impl Fn(InstallEvent)) {
        match verdict {
            Verdict::Installed(installed, _) => {
                if installed.abspath.starts_with(&self.path) {
                    self.warn_of_others(&installed.version, on_event);
                } else {
                    self.users.unmark_prefix(&self.prefix, self.name);
                }
                let _ = self.users.mark_installed(installed, self.name);
            }
            Verdict::NotInstalled(..) | Verdict::NotOffered(_) => {
                self.restore(on_event);
                let removed = if self.is_old {
                    let removed = self.users.remove_part(&self.prefix);
                    // Another data dir may have installed it.
                    if !self.is_used {
                        self.users.unmark_prefix(&self.prefix, self.name);
                    }
                    removed
                } else {
                    self.users.remove_prefix(&self.prefix, Some(self.name.as_str()), false).map(drop)
                };
                match removed {
                    Ok(()) | Err(RemovalError::Used(..) | RemovalError::Foreign(..)) => {}
                    Err(error) => on_event(InstallEvent::Warning(error.to_string())),
                }
            }
        }
        if let Some(copy) = &self.copy {
            // What is left is removed with the run dir.
            let _ = remove_tree(copy);
        }
    }

    /// Warns if the prefix now contains another version than the one that another data dir installed into it.
    fn warn_of_others(&self, version: &str, on_event: &impl Fn(InstallEvent)) {
        for user in self.users.others_with_another_version(&self.prefix, version) {
            let (path, name, old) = (self.path.display(), self.name, user.version());
            on_event(InstallEvent::Warning(format!(
                "{path} now contains {name} {version}, but {user} installed {old} there and now runs {version}"
            )));
        }
    }
}

fn job<'a>(runner: &Runner<'_>, hook: &'a Hook, targets: &[AttemptTarget], timeout: Duration) -> HookJob<'a> {
    let machine_id = runner.command.machine_id;
    let folder = runner.settings.data_dir.join("machines").join(machine_id.to_string());
    let binary_id = if let [only] = targets { Some(only.binary.id) } else { None };
    let (arguments, folder, input) = match targets {
        [AttemptTarget { request, binary, .. }] if !hook.name.is_batch => (
            arguments::arguments(request, &hook.plugin, binary.id, machine_id),
            folder.join("binaries").join(request.name.link_name()).join(binary.id.to_string()),
            None,
        ),
        targets => {
            let lines = targets.iter().map(|AttemptTarget { request, binary, .. }| {
                arguments::input_line(request, &hook.plugin, binary.id, machine_id) + "\n"
            });
            (Vec::new(), folder.join("batches"), Some(lines.collect::<String>().into_bytes()))
        }
    };
    let cwd = folder.join(hook.plugin.as_str());
    HookJob { hook, arguments, cwd, output_dir: None, binary_id, input, timeout }
}

/// Returns the last line that a hook has written to standard error, or `None` if there is none.
fn last_line(stderr: &Log) -> Option<String> {
    let tail = tail::of(stderr, 1, 512).ok()?;
    Some(tail.trim().to_owned()).filter(|line| !line.is_empty())
}

/// Returns the names of the links that the hooks which called this rigup are resolving. Those hooks wait for this
/// rigup, so it must not wait for them.
pub(crate) fn links_of_callers(runner: &Runner<'_>) -> Result<Vec<String>, StoreError> {
    let store = runner.store;
    let mut links = Vec::new();
    for process in store.process_with_ancestors(runner.command.id)? {
        if process.exit().is_none() {
            let mut names = batch_names(&process);
            if let Some(id) = process.binary_id {
                let binaries = store.binaries_of(runner.command.machine_id)?.into_values();
                names.extend(binaries.filter(|binary| binary.id == id).map(|binary| binary.name));
            }
            links.extend(names.iter().map(|name| name::link_name(name).to_owned()));
        }
    }
    Ok(links)
}

/// Returns the names in the input of a batch hook, which is in its run dir; none for any other hook.
fn batch_names(process: &Process) -> Vec<String> {
    let input = process.spec.run_dir.as_deref().and_then(|path: &Path| RunDir::at(path).read_input());
    let input = input.unwrap_or_default();
    let requests =
        input.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice::<Value>(line).ok());
    requests.filter_map(|request| request["name"].as_str().map(str::to_owned)).collect()
}
