//! The background hooks of events, from their start to the end of their event.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::clock;
use crate::duration;
use crate::fs::lock::FileLock;
use crate::hook::output::{HookOutput, READ_TIME};
use crate::hook::reporter::{HookEvent, Reporter};
use crate::hook::run::{RunError, Runner};
use crate::model::{Process, ProcessExit, ProcessId};
use crate::plugin::discovery::Hook;
use crate::plugin::hook_name::Background;
use crate::process::log::Logs;
use crate::process::run_dir::RunDir;
use crate::process::spawn::Child;
use crate::process::supervise::{FinishedProcess, PreparedProcess};
use crate::process::waiter::{self, LaunchError, StartingWaiter, WaiterConditions};
use crate::process::{poll, recover, terminate, wait};

/// The interval at which the background hooks are polled.
const TICK: Duration = Duration::from_millis(10);

/// How long a waiter may take to terminate its hook after the grace period of the hook.
const WAITER_PATIENCE: Duration = Duration::from_secs(5);

/// How long after the timeout of its hook a waiter is continued, in case it is stopped.
const CONTINUE_AFTER: Duration = Duration::from_millis(500);

/// The background hooks of events.
#[derive(Default)]
pub(super) struct BackgroundHooks<'a> {
    /// Those that have not exited yet, in the order in which they started.
    running: Vec<BackgroundHook<'a>>,
    /// The daemons that hooks cannot rely on.
    pub(super) failures: DaemonFailures,
}

/// The daemons that hooks cannot rely on: those that were not ready in time, and those that failed.
#[derive(Debug, Default)]
pub(crate) struct DaemonFailures {
    /// Why no further hooks are started, if a vital daemon failed.
    pub vital: Option<String>,
    /// The plugins of the others, each with the reason.
    pub plugins: BTreeMap<String, String>,
}

impl DaemonFailures {
    /// Returns why a hook of a plugin that requires these plugins is not started, or `None` if it is.
    pub(super) fn skip_reason(&self, required: &[&str]) -> Option<String> {
        let failed = required.iter().find_map(|plugin| Some((plugin, self.plugins.get(*plugin)?)));
        let reason = |(plugin, reason)| format!("it requires the plugin {plugin}, and {reason}");
        self.vital.clone().or_else(|| failed.map(reason))
    }
}

/// How a background hook runs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Conditions {
    /// The number of its event.
    pub event: usize,
    /// How long it may take to print its first line.
    pub ready_timeout: Duration,
    /// Its grace period.
    pub grace: Duration,
    /// Whether no further hooks are started if it fails.
    pub is_vital: bool,
}

/// A background hook that was started.
struct BackgroundHook<'a> {
    process: Process,
    run_dir: RunDir,
    /// The descriptors that were opened before the hook started.
    logs: Logs,
    output: HookOutput<'a>,
    waiter: Child,
    conditions: Conditions,
    was_terminated: bool,
    /// When its waiter should have terminated it because of its timeout.
    overdue_at: Instant,
}

impl BackgroundHook<'_> {
    fn terminate(&mut self) {
        self.was_terminated = true;
        self.waiter.handle.signal(Signal::TERM);
        // A stopped waiter handles it only after it is continued.
        self.waiter.handle.signal(Signal::CONT);
    }
}

impl<'a> BackgroundHooks<'a> {
    /// Starts a hook. Returns its id, or `None` if it could not be started, which is reported.
    pub(super) fn start(
        &mut self,
        conditions: Conditions,
        hook: &'a Hook,
        prepared: PreparedProcess,
        lock: FileLock,
        reporter: &mut Reporter<'_, impl FnMut(&Hook, HookEvent<'_>)>,
    ) -> Result<Option<ProcessId>, RunError> {
        let PreparedProcess { process, run_dir, logs, memory_limit, command, .. } = prepared;
        let runner = reporter.runner;
        let output = HookOutput::new(hook, runner.settings.output_limit);
        let waiter_conditions =
            WaiterConditions { memory_limit, grace: conditions.grace, ..WaiterConditions::default() };
        let waiter = match waiter::start(runner.settings, &process, lock, command, &waiter_conditions)
            .and_then(StartingWaiter::wait)
        {
            Ok(waiter) => waiter,
            Err(error) => {
                let process = if matches!(error, LaunchError::Killed) {
                    exit_of(runner, process, &run_dir)?
                } else {
                    process.into_exited(ProcessExit::spawn_failed(error.to_string(), clock::now()))
                };
                let process = reporter.report_end(
                    FinishedProcess { process, run_dir, logs, lock: None },
                    output,
                    false,
                )?;
                runner.store.save_process(&process)?;
                self.record_failure(hook, conditions, false);
                return Ok(None);
            }
        };
        let (id, timeout) = (process.id, process.spec.timeout.unwrap_or(Duration::MAX));
        let overdue_at = duration::deadline(timeout.saturating_add(CONTINUE_AFTER));
        self.running.push(BackgroundHook {
            process,
            run_dir,
            logs,
            output,
            waiter,
            conditions,
            was_terminated: false,
            overdue_at,
        });
        Ok(Some(id))
    }

    /// Waits until a hook prints its first line or exits, but no longer than `timeout`.
    pub(super) fn await_line(
        &mut self,
        id: ProcessId,
        timeout: Duration,
        reporter: &mut Reporter<'_, impl FnMut(&Hook, HookEvent<'_>)>,
    ) -> Result<(), RunError> {
        let deadline = duration::deadline(timeout);
        loop {
            self.collect(reporter)?;
            let Some(hook) = self.find(id).filter(|hook| !hook.output.has_line) else { return Ok(()) };
            if Instant::now() >= deadline {
                let limit = format!("within {} s", duration::seconds(timeout));
                let warning = format!("it was not ready: it did not print a line {limit}");
                reporter.warn(&mut hook.output, warning);
                hook.output.is_late = true;
                let hook = hook.output.hook;
                let reason = format!("{} was not ready {limit}", hook.name.file_name);
                self.failures.plugins.insert(hook.plugin.to_string(), reason);
                return Ok(());
            }
            let next = deadline.min(Instant::now() + TICK);
            let fds = [hook.waiter.handle.fd(), reporter.runner.interrupt.fd()];
            if let [_, true] = poll::readable(fds, next) {
                return Ok(());
            }
        }
    }

    /// Waits for the finite hooks, each of which has its own timeout.
    pub(super) fn await_finite(
        &mut self,
        reporter: &mut Reporter<'_, impl FnMut(&Hook, HookEvent<'_>)>,
    ) -> Result<(), RunError> {
        loop {
            let start = Instant::now();
            self.collect(reporter)?;
            let pause = if start.elapsed() < READ_TIME { 10 * TICK } else { TICK };
            let is_finite =
                |hook: &&BackgroundHook<'_>| hook.output.hook.name.background == Some(Background::Finite);
            let Some(hook) = self.running.iter().find(is_finite) else { return Ok(()) };
            let fds = [hook.waiter.handle.fd(), reporter.runner.interrupt.fd()];
            if let [_, true] = poll::readable(fds, Instant::now() + pause) {
                return Ok(());
            }
        }
    }

    /// Records that a hook failed by itself.
    fn record_failure(&mut self, hook: &'a Hook, conditions: Conditions, was_ready: bool) {
        let file_name = &hook.name.file_name;
        if hook.name.background == Some(Background::Finite) {
            return;
        }
        if conditions.is_vital {
            let failure = || format!("{}/{file_name}, which other plugins require, failed", hook.plugin);
            self.failures.vital.get_or_insert_with(failure);
        } else {
            let when = if was_ready { "" } else { " before it was ready" };
            let reason = format!("{file_name} failed{when}");
            self.failures.plugins.entry(hook.plugin.to_string()).or_insert(reason);
        }
    }

    /// Terminates the remaining hooks of the event with this number and of later ones in reverse order of start, each after
    /// the one that started later has exited, even if an error occurs meanwhile. After an interrupt, the grace period is
    /// that of other hooks; on a second one, all are killed at once.
    pub(super) fn terminate_from(
        &mut self,
        event: usize,
        reporter: &mut Reporter<'_, impl FnMut(&Hook, HookEvent<'_>)>,
    ) -> Result<(), RunError> {
        let mut result = self.collect(reporter);
        let interrupt = reporter.runner.interrupt;
        while let Some(last) = self.running.last_mut().filter(|last| last.conditions.event >= event) {
            last.terminate();
            let (id, start) = (last.process.id, Instant::now());
            while let Some(hook) = self.find(id) {
                wait::has_exited_by(&hook.waiter, Instant::now() + TICK);
                let longest = if interrupt.signal().is_some() { terminate::GRACE } else { Duration::MAX };
                let grace = hook.conditions.grace.min(longest);
                // Not TERM again: the system may deliver only one of two equal signals. To the waiter, a signal soon after
                // TERM belongs to the same interrupt, so it is sent until the waiter has exited.
                if start.elapsed() >= grace.saturating_add(WAITER_PATIENCE) {
                    hook.waiter.handle.signal(Signal::KILL);
                } else if start.elapsed() >= grace {
                    hook.waiter.handle.signal(Signal::INT);
                }
                for hook in self.running.iter_mut().filter(|_| interrupt.is_urgent()) {
                    if hook.was_terminated {
                        hook.waiter.handle.signal(Signal::INT);
                    } else {
                        hook.terminate();
                    }
                }
                result = result.and(self.collect(reporter));
            }
        }
        result
    }

    fn find(&mut self, id: ProcessId) -> Option<&mut BackgroundHook<'a>> {
        self.running.iter_mut().find(|hook| hook.process.id == id)
    }

    /// Reads the output of the hooks, and reports and removes those that have exited.
    pub(super) fn collect(
        &mut self,
        reporter: &mut Reporter<'_, impl FnMut(&Hook, HookEvent<'_>)>,
    ) -> Result<(), RunError> {
        for BackgroundHook { logs, output, .. } in &mut self.running {
            reporter.read(output, logs);
        }
        for BackgroundHook { waiter, overdue_at, .. } in &self.running {
            match Instant::now().checked_duration_since(*overdue_at) {
                None => {}
                Some(delay) if delay >= terminate::GRACE + WAITER_PATIENCE => {
                    waiter.handle.signal(Signal::KILL);
                }
                // It may be stopped.
                Some(_) => {
                    waiter.handle.signal(Signal::CONT);
                }
            }
        }
        let has_exited = |hook: &BackgroundHook<'_>| wait::has_exited_by(&hook.waiter, Instant::now());
        while let Some(at) = self.running.iter().position(has_exited) {
            let BackgroundHook { process, run_dir, logs, output, waiter, was_terminated, conditions, .. } =
                self.running.remove(at);
            let _ = wait::reap(&waiter);
            let process = exit_of(reporter.runner, process, &run_dir)?;
            let (hook, was_ready) = (output.hook, output.has_line);
            let ended = FinishedProcess { process, run_dir, logs, lock: None };
            let process = reporter.report_end(ended, output, was_terminated)?;
            if !was_terminated && process.run_state() != "finished" {
                self.record_failure(hook, conditions, was_ready);
            }
        }
        Ok(())
    }
}

/// Returns the record of a background hook with the exit that its waiter stored. If the waiter was killed before it stored
/// one, terminates the hook.
fn exit_of(runner: &Runner<'_>, process: Process, run_dir: &RunDir) -> Result<Process, RunError> {
    let process = runner.store.process(process.id)?.unwrap_or(process);
    if process.exit().is_some() {
        return Ok(process);
    }
    let unreadable = |error| RunError::RunDir(process.spec.hook_name.clone(), error);
    let observed = run_dir.read_exit();
    if !matches!(observed, Ok(Some(_))) {
        let is_urgent = || runner.interrupt.is_urgent();
        recover::terminate_rest(&process, Some(run_dir), terminate::GRACE, is_urgent).map_err(unreadable)?;
    }
    let observed = observed.map_err(unreadable)?;
    Ok(recover::complete(runner.store, process, Some(run_dir), observed)?)
}
