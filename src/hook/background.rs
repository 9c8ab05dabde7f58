//! The background hooks of events, from their start to the end of their event.

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
use crate::process::waiter::{self, LaunchError};
use crate::process::{poll, recover, terminate, wait};

/// The interval at which the background hooks are polled.
const TICK: Duration = Duration::from_millis(10);

/// How long a waiter may take to terminate its hook: longer than the grace period of the hook.
const WAITER_PATIENCE: Duration = Duration::from_secs(10);

/// How long after the timeout of its hook a waiter is continued, in case it is stopped.
const CONTINUE_AFTER: Duration = Duration::from_millis(500);

/// The background hooks that have not exited yet, in the order in which they started.
#[derive(Default)]
pub(super) struct BackgroundHooks<'a>(Vec<BackgroundHook<'a>>);

/// A background hook that was started.
struct BackgroundHook<'a> {
    process: Process,
    run_dir: RunDir,
    /// The descriptors that were opened before the hook started.
    logs: Logs,
    output: HookOutput<'a>,
    waiter: Child,
    /// The number of its event.
    event: usize,
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
    /// Starts a hook of the event with this number. Returns its id, or `None` if it could not be started, which is
    /// reported.
    pub(super) fn start(
        &mut self,
        event: usize,
        hook: &'a Hook,
        prepared: PreparedProcess,
        lock: FileLock,
        reporter: &mut Reporter<'_, impl FnMut(&Hook, HookEvent<'_>)>,
    ) -> Result<Option<ProcessId>, RunError> {
        let PreparedProcess { process, run_dir, logs, memory_limit, command, .. } = prepared;
        let runner = reporter.runner;
        let output = HookOutput::new(hook, runner.settings.output_limit);
        let waiter = match waiter::launch(runner.settings, &process, lock, command, memory_limit) {
            Ok(waiter) => waiter,
            Err(error) => {
                let process = if matches!(error, LaunchError::Killed) {
                    exit_of(runner, process, &run_dir)?
                } else {
                    process.into_exited(ProcessExit::spawn_failed(error.to_string(), clock::now()))
                };
                let process =
                    reporter.report_end(FinishedProcess { process, run_dir, logs }, output, false)?;
                runner.store.save_process(&process)?;
                return Ok(None);
            }
        };
        let (id, timeout) = (process.id, process.spec.timeout.unwrap_or(Duration::MAX));
        let overdue_at = duration::deadline(timeout.saturating_add(CONTINUE_AFTER));
        let was_terminated = false;
        self.0.push(BackgroundHook {
            process,
            run_dir,
            logs,
            output,
            waiter,
            event,
            was_terminated,
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
                let seconds = timeout.as_secs_f64();
                let warning =
                    format!("it did not print a line within {seconds} seconds; the next hook starts now");
                reporter.warn(&mut hook.output, warning);
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
            let Some(hook) = self.0.iter().find(is_finite) else { return Ok(()) };
            let fds = [hook.waiter.handle.fd(), reporter.runner.interrupt.fd()];
            if let [_, true] = poll::readable(fds, Instant::now() + pause) {
                return Ok(());
            }
        }
    }

    /// Terminates the remaining hooks of the event with this number and of later ones in reverse order of start, each after
    /// the one that started later has exited, even if an error occurs meanwhile. Kills them at once on a second interrupt.
    pub(super) fn terminate_from(
        &mut self,
        event: usize,
        reporter: &mut Reporter<'_, impl FnMut(&Hook, HookEvent<'_>)>,
    ) -> Result<(), RunError> {
        let mut result = self.collect(reporter);
        while let Some(last) = self.0.last_mut().filter(|last| last.event >= event) {
            last.terminate();
            let (id, deadline) = (last.process.id, Instant::now() + WAITER_PATIENCE);
            while let Some(hook) = self.find(id) {
                wait::has_exited_by(&hook.waiter, Instant::now() + TICK);
                // Not TERM again: the system may deliver only one of two equal signals. To the waiter, a signal soon after
                // TERM belongs to the same interrupt, so it is sent until the waiter has exited.
                if Instant::now() >= deadline {
                    hook.waiter.handle.signal(Signal::KILL);
                } else if reporter.runner.interrupt.is_urgent() {
                    for hook in &mut self.0 {
                        if hook.was_terminated {
                            hook.waiter.handle.signal(Signal::INT);
                        } else {
                            hook.terminate();
                        }
                    }
                }
                result = result.and(self.collect(reporter));
            }
        }
        result
    }

    fn find(&mut self, id: ProcessId) -> Option<&mut BackgroundHook<'a>> {
        self.0.iter_mut().find(|hook| hook.process.id == id)
    }

    /// Reads the output of the hooks, and reports and removes those that have exited.
    pub(super) fn collect(
        &mut self,
        reporter: &mut Reporter<'_, impl FnMut(&Hook, HookEvent<'_>)>,
    ) -> Result<(), RunError> {
        for BackgroundHook { logs, output, .. } in &mut self.0 {
            reporter.read(output, logs);
        }
        for BackgroundHook { waiter, overdue_at, .. } in &self.0 {
            match Instant::now().checked_duration_since(*overdue_at) {
                None => {}
                Some(delay) if delay >= WAITER_PATIENCE => {
                    waiter.handle.signal(Signal::KILL);
                }
                // It may be stopped.
                Some(_) => {
                    waiter.handle.signal(Signal::CONT);
                }
            }
        }
        let has_exited = |hook: &BackgroundHook<'_>| wait::has_exited_by(&hook.waiter, Instant::now());
        while let Some(at) = self.0.iter().position(has_exited) {
            let BackgroundHook { process, run_dir, logs, output, waiter, was_terminated, .. } =
                self.0.remove(at);
            let _ = wait::reap(&waiter);
            let process = exit_of(reporter.runner, process, &run_dir)?;
            reporter.report_end(FinishedProcess { process, run_dir, logs }, output, was_terminated)?;
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
