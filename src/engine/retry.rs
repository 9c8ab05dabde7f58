//! The daemon with `builtin = "retry"`: runs `rigup install --due` whenever the retry time of a binary comes.

#[cfg(test)]
mod tests;

use std::io;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use crate::clock;
use crate::duration;
use crate::engine::error::{EngineError, ExitStatus};
use crate::engine::event::{EngineEvent, OnEvent};
use crate::engine::session;
use crate::model::{Binary, BinaryId};
use crate::process::foreground::Foreground;
use crate::process::poll;
use crate::process::signals::Interrupt;
use crate::process::spawn::CommandSpec;
use crate::settings::Settings;
use crate::store::watch::StoreWatch;

/// The longest sleep while a retry time is stored: it is a time of the wall clock, which may be set, and which runs on
/// while the machine is suspended.
const MAX_SLEEP: Duration = Duration::from_mins(1);

/// The shortest time between two reads of a store that others write to all the time.
const MIN_SLEEP: Duration = Duration::from_secs(1);

/// How long a binary waits whose retry time an install has left as it was, so that nothing is repeated without a pause: as
/// long as after a first failure.
const LEFT_DUE: Duration = Duration::from_mins(5);

/// The last install.
#[derive(Debug)]
struct LastInstall {
    /// The binaries that were due, with their retry times.
    due: Vec<(BinaryId, Option<Timestamp>)>,
    /// When it ended.
    ended: Instant,
}

/// Runs `rigup install --due` whenever a retry time comes, until a signal interrupts it. Keeps the store closed while it
/// sleeps, and sleeps until something changes if no retry time is stored.
pub(crate) fn run(settings: &Settings, on_event: OnEvent<'_>) -> Result<ExitStatus, EngineError> {
    let interrupt = Interrupt::install().map_err(EngineError::Signals)?;
    let mut foreground = Foreground::install().map_err(EngineError::Signals)?;
    let unwatchable = |error: io::Error| {
        EngineError::Setup(format!("cannot watch the store in {}: {error}", settings.data_dir.display()))
    };
    let watch = StoreWatch::open(&settings.data_dir).map_err(unwatchable)?;
    let mut last: Option<LastInstall> = None;
    let mut reported = None;
    loop {
        if let Some(signal) = interrupt.signal() {
            return Ok(ExitStatus::Interrupted(signal));
        }
        // What is written from here on is noticed.
        watch.has_changed().map_err(unwatchable)?;
        let failed = failed_binaries(settings, on_event)?;
        let read_at = Instant::now();
        let now = clock::now();
        let next = next_retry(&failed, now, last.as_ref());
        if let Some((Duration::ZERO, _)) = next {
            let due = due(&failed, now);
            install(settings, &mut foreground)?;
            last = Some(LastInstall { due, ended: Instant::now() });
            continue;
        }
        let report = next.map(|(_, binary)| describe(binary, now));
        if let Some(text) = report.clone().filter(|_| report != reported) {
            on_event(&EngineEvent::Waiting(text));
        }
        reported = report;
        let sleep = next.map_or(Duration::MAX, |(sleep, _)| sleep.min(MAX_SLEEP));
        let deadline = duration::deadline(sleep);
        while !watch.has_changed().map_err(unwatchable)? {
            if poll::readable([interrupt.fd(), watch.fd()], deadline) != [false, true] {
                break;
            }
        }
        if Instant::now() < deadline {
            let [_] = poll::readable([interrupt.fd()], deadline.min(read_at + MIN_SLEEP));
        }
    }
}

/// Returns the binaries of this machine that have failed and are not installed.
fn failed_binaries(settings: &Settings, on_event: OnEvent<'_>) -> Result<Vec<Binary>, EngineError> {
    session::make_store_readable(settings, on_event)?;
    let Some((store, machine)) = session::open_to_read_with_machine(settings, on_event)? else {
        return Ok(Vec::new());
    };
    let mut binaries: Vec<Binary> = store.binaries_of(machine.id)?.into_values().collect();
    // Without a retry time, another command may be installing it for the first time.
    binaries.retain(|binary| binary.installed().is_none() && binary.backoff.retry_at.is_some());
    Ok(binaries)
}

/// Returns the binary whose retry comes first, and the time until then.
fn next_retry<'b>(
    failed: &'b [Binary],
    now: Timestamp,
    last: Option<&LastInstall>,
) -> Option<(Duration, &'b Binary)> {
    let sleep = |binary: &Binary| {
        if let Some(at) = binary.backoff.pending_retry(now) {
            return Duration::try_from(now.duration_until(at)).unwrap_or_default();
        }
        let last = last.filter(|last| last.due.contains(&(binary.id, binary.backoff.retry_at)));
        last.map_or(Duration::ZERO, |last| LEFT_DUE.saturating_sub(last.ended.elapsed()))
    };
    failed.iter().map(|binary| (sleep(binary), binary)).min_by_key(|(sleep, binary)| (*sleep, binary.id))
}

/// Says what the daemon waits for, whose next retry is that of this binary.
fn describe(binary: &Binary, now: Timestamp) -> String {
    let name = &binary.name;
    match binary.backoff.pending_retry(now) {
        Some(at) => format!("the next retry is that of {name} at {}", clock::format(at)),
        None => format!(
            "the install has left the retry time of {name} as it was; the next one follows in {} minutes",
            LEFT_DUE.as_secs() / 60
        ),
    }
}

/// Returns the binaries that an install tries now, with their retry times.
fn due(failed: &[Binary], now: Timestamp) -> Vec<(BinaryId, Option<Timestamp>)> {
    let due = failed.iter().filter(|binary| binary.backoff.pending_retry(now).is_none());
    due.map(|binary| (binary.id, binary.backoff.retry_at)).collect()
}

/// Runs `rigup install --due` as a process of its own, with the output of this one, and passes signals on to it. It is in
/// the group of this one, so that the waiter of the daemon terminates it if this one is killed. Its failures are in its
/// output and in the store.
fn install(settings: &Settings, foreground: &mut Foreground) -> Result<(), EngineError> {
    let folders = settings.folder_flags().into_iter();
    let folders = folders.flat_map(|(flag, folder)| [flag.into(), folder.as_os_str().to_owned()]);
    let variables = settings.command_environment.iter();
    let command = CommandSpec {
        program: settings.rigup.clone().into(),
        args: ["install".into(), "--due".into()].into_iter().chain(folders).collect(),
        env: variables.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        cwd: std::env::current_dir().unwrap_or_else(|_error| "/".into()),
    };
    let child = foreground.start(&command, None)?;
    let waited = foreground.wait(&child);
    waited
        .map(|_exit| ())
        .map_err(|error| EngineError::Setup(format!("cannot wait for the install: {error}")))
}
