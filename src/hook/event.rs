//! Running all hooks of an event: foreground hooks one after another, with background hooks alongside.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::clock;
use crate::duration;
use crate::fs::dir::make_private_dir;
use crate::fs::lock::FileLock;
use crate::hook::output::{HookOutput, READ_TIME};
use crate::hook::run::{HookJob, RunError, Runner};
use crate::model::{BinaryId, ExitReason, Process, ProcessExit};
use crate::plugin::discovery::Hook;
use crate::plugin::hook_name::Background;
use crate::process::log::{Log, Logs};
use crate::process::run_dir::RunDir;
use crate::process::spawn::Child;
use crate::process::supervise::{FinishedProcess, PreparedProcess};
use crate::process::waiter::{self, LaunchError};
use crate::process::{poll, recover, terminate, wait};
use crate::protocol::Record;
use crate::store::StoreError;

/// The interval at which the background hooks are polled.
const TICK: Duration = Duration::from_millis(10);

/// How long the rest of all outputs may be read after an interrupt.
const READ_PATIENCE: Duration = Duration::from_secs(2);

/// The number of hooks that are queued at once, in one transaction.
const BATCH: usize = 4;

/// How long a waiter may take to terminate its hook: longer than the grace period of the hook.
const WAITER_PATIENCE: Duration = Duration::from_secs(10);

/// How long after the timeout of its hook a waiter is continued, in case it is stopped.
const CONTINUE_AFTER: Duration = Duration::from_millis(500);

/// An event to run.
#[derive(Debug)]
pub(crate) struct Event<'a> {
    /// The hooks, in the order in which they run.
    pub hooks: &'a [EventHook<'a>],
    /// The arguments of each hook.
    pub arguments: &'a [OsString],
    /// The folder that contains the working directory of each plugin's hooks, which has the name of the plugin.
    pub output_dir: PathBuf,
    /// How long a background hook may take to print its first line.
    pub ready_timeout: Duration,
}

/// A hook of an event.
#[derive(Debug, Clone, Copy)]
pub(crate) struct EventHook<'a> {
    /// The hook.
    pub hook: &'a Hook,
    /// Its timeout.
    pub timeout: Duration,
    /// The binary that runs it, if it is a recorded one.
    pub binary_id: Option<BinaryId>,
}

/// A notification about a hook of a running event.
#[derive(Debug)]
pub enum HookEvent<'a> {
    /// It printed a record.
    Record(Record),
    /// A problem that does not change the result.
    Warning(String),
    /// It finished, skipped its work, or exited when it was terminated at the end of the event.
    Succeeded(&'a Process),
    /// It failed.
    Failed(&'a Process),
}

/// Runs all hooks of an event, and calls `on_event` with each notification as it occurs. A failed hook does not prevent
/// other hooks from running. When this returns, even with an error, no hook is still running.
pub(crate) fn run(
    runner: &Runner<'_>,
    event: &Event<'_>,
    on_event: impl FnMut(&Hook, HookEvent<'_>),
) -> Result<(), RunError> {
    let mut run = EventRun {
        runner,
        event,
        on_event,
        waiting: event.hooks,
        prepared: Vec::new(),
        queued: VecDeque::new(),
        background: Vec::new(),
        ended: None,
        unstored: Vec::new(),
        patience: READ_PATIENCE,
    };
    let ran = run.start_all().and_then(|()| run.await_finite());
    let terminated = run.terminate_all();
    let stored = run.conclude();
    ran?;
    terminated?;
    Ok(stored?)
}

struct EventRun<'a, OnEvent> {
    runner: &'a Runner<'a>,
    event: &'a Event<'a>,
    on_event: OnEvent,
    /// The hooks that are not queued yet.
    waiting: &'a [EventHook<'a>],
    /// The hooks that have a run dir but no record yet.
    prepared: Vec<QueuedHook<'a>>,
    /// The next hooks.
    queued: VecDeque<QueuedHook<'a>>,
    /// The background hooks that have not exited yet, with their waiters.
    background: Vec<(StartedHook<'a>, Child)>,
    /// The last foreground hook that has exited. Its exit is written and reported once the next hook runs.
    ended: Option<(FinishedProcess, HookOutput<'a>)>,
    /// The foreground hooks whose exits are written but not stored. If rigup is killed, they are recovered from the run
    /// dirs.
    unstored: Vec<Process>,
    /// How long outputs may still be read after an interrupt.
    patience: Duration,
}

/// A hook that was started.
struct StartedHook<'a> {
    process: Process,
    run_dir: RunDir,
    /// The descriptors that were opened before the hook started.
    logs: Logs,
    output: HookOutput<'a>,
    was_terminated: bool,
    /// When the waiter of a background hook should have terminated it because of its timeout.
    overdue_at: Instant,
}

/// A hook that has a run dir but was not started yet.
struct QueuedHook<'a> {
    hook: &'a Hook,
    prepared: PreparedProcess,
    /// The lock for the waiter of a background hook. It is taken before the record is stored, because another rigup
    /// would complete a record without a locked run dir as lost.
    lock: Option<FileLock>,
}

impl<'a, OnEvent: FnMut(&Hook, HookEvent<'_>)> EventRun<'a, OnEvent> {
    fn start_all(&mut self) -> Result<(), RunError> {
        while !(self.queued.is_empty() && self.prepared.is_empty() && self.waiting.is_empty()) {
            self.queue()?;
            self.collect()?;
            if self.runner.interrupt.signal().is_some() {
                break;
            }
            let Some(QueuedHook { hook, prepared, lock }) = self.queued.pop_front() else { break };
            // A hook before it may have removed the folder.
            let _ = make_private_dir(&prepared.command.cwd);
            match lock {
                None => self.run_foreground(hook, prepared)?,
                Some(lock) => self.start_background(hook, prepared, lock)?,
            }
        }
        Ok(self.conclude()?)
    }

    /// Unless hooks are queued, stores the records of the prepared ones, but at least of one, together with the exits of
    /// those before them.
    fn queue(&mut self) -> Result<(), RunError> {
        if self.queued.is_empty() {
            if self.prepared.is_empty() {
                self.prepare_next()?;
            }
            self.store()?;
        }
        Ok(())
    }

    /// Prepares the next hooks while one runs, but not all at once: that would take longer than a short hook. Once the last
    /// queued hook runs, queues them.
    fn prepare_ahead(&mut self) -> Result<(), StoreError> {
        for _ in 0..2 {
            // The error is reported once the hooks before it have run.
            let _ = self.prepare_next();
        }
        if self.queued.is_empty() { self.store() } else { Ok(()) }
    }

    /// Prepares the next hook, unless enough are prepared, or one that runs in the background.
    fn prepare_next(&mut self) -> Result<(), RunError> {
        if let [next, rest @ ..] = self.waiting
            && self.prepared.len() < BATCH
            && self.prepared.last().is_none_or(|last| last.lock.is_none())
        {
            self.prepared.push(self.prepare(next)?);
            self.waiting = rest;
        }
        Ok(())
    }

    /// Creates the run dir of a hook.
    fn prepare(&self, next: &EventHook<'a>) -> Result<QueuedHook<'a>, RunError> {
        let &EventHook { hook, timeout, binary_id } = next;
        let dir_error = |error| RunError::RunDir(hook.name.file_name.clone(), error);
        let cwd = self.event.output_dir.join(hook.plugin.as_str());
        make_private_dir(&cwd).map_err(|error| RunError::OutputDir(self.event.output_dir.clone(), error))?;
        let arguments = self.event.arguments.to_vec();
        let output_dir = Some(self.event.output_dir.as_path());
        let job = HookJob { hook, arguments, cwd, output_dir, binary_id, input: None, timeout };
        let prepared = self.runner.prepare(job, || ())?;
        let lock = hook.name.background.map(|_| prepared.run_dir.lock()).transpose().map_err(|error| {
            prepared.run_dir.discard();
            dir_error(error)
        })?;
        Ok(QueuedHook { hook, prepared, lock })
    }

    /// Writes the exit of the foreground hook that has exited to its run dir, and reports it.
    fn report(&mut self) -> Result<(), StoreError> {
        let Some((mut finished, output)) = self.ended.take() else { return Ok(()) };
        finished.write_exit();
        let process = self.report_end(finished, output, false)?;
        self.unstored.push(process);
        Ok(())
    }

    /// Stores the exits that are not stored yet, and queues the prepared hooks.
    fn store(&mut self) -> Result<(), StoreError> {
        let prepared = self.prepared.iter().map(|hook| &hook.prepared.process);
        let processes: Vec<&Process> = self.unstored.iter().chain(prepared).collect();
        if !processes.is_empty() {
            self.runner.store.save_processes(&processes)?;
        }
        self.unstored.clear();
        self.queued.extend(self.prepared.drain(..));
        Ok(())
    }

    /// Reports and stores the exits of the foreground hooks, and of the hooks that will not be started.
    fn conclude(&mut self) -> Result<(), StoreError> {
        self.report()?;
        let not_started = self
            .queued
            .drain(..)
            .chain(self.prepared.drain(..))
            .map(|queued| queued.prepared.process.into_exited(ProcessExit::not_started(clock::now())));
        self.unstored.extend(not_started);
        self.store()
    }

    /// Runs a hook until it exits. Meanwhile, reports the hook before it, and queues the next ones.
    fn run_foreground(&mut self, hook: &'a Hook, prepared: PreparedProcess) -> Result<(), RunError> {
        let mut output = HookOutput::new(hook, self.runner.settings.output_limit);
        let (runner, mut is_first, mut result) = (self.runner, true, Ok(()));
        let finished = runner.run(prepared, |logs| {
            if std::mem::take(&mut is_first) {
                result = self.report().and_then(|()| self.prepare_ahead()).map_err(RunError::from);
                return;
            }
            output.read(&logs.stdout, |record| (self.on_event)(hook, HookEvent::Record(record)));
            if result.is_ok() {
                result = self.collect().and_then(|()| Ok(self.store()?));
            }
        })?;
        self.ended = Some((finished, output));
        result
    }

    /// Starts a hook in the background, and waits until it prints its first line or exits.
    fn start_background(
        &mut self,
        hook: &'a Hook,
        prepared: PreparedProcess,
        lock: FileLock,
    ) -> Result<(), RunError> {
        let PreparedProcess { process, run_dir, logs, command, .. } = prepared;
        let output = HookOutput::new(hook, self.runner.settings.output_limit);
        self.report()?;
        self.store()?;
        let waiter = match waiter::launch(self.runner.settings, &process, lock, command) {
            Ok(waiter) => waiter,
            Err(error) => {
                let process = if matches!(error, LaunchError::Killed) {
                    self.exit_of(process, &run_dir)?
                } else {
                    process.into_exited(ProcessExit::spawn_failed(error.to_string(), clock::now()))
                };
                let process = self.report_end(FinishedProcess { process, run_dir, logs }, output, false)?;
                return Ok(self.runner.store.save_process(&process)?);
            }
        };
        let (id, timeout) = (process.id, process.spec.timeout.unwrap_or(Duration::MAX));
        let overdue_at = duration::deadline(timeout.saturating_add(CONTINUE_AFTER));
        let started = StartedHook { process, run_dir, logs, output, was_terminated: false, overdue_at };
        self.background.push((started, waiter));
        let deadline = duration::deadline(self.event.ready_timeout);
        loop {
            self.collect()?;
            let newest = self.background.last_mut().filter(|(newest, _)| newest.process.id == id);
            let Some((newest, waiter)) = newest.filter(|(newest, _)| !newest.output.has_line) else {
                return Ok(());
            };
            if Instant::now() >= deadline {
                let seconds = self.event.ready_timeout.as_secs_f64();
                let warning =
                    format!("it did not print a line within {seconds} seconds; the next hook starts now");
                newest.output.reported.push(&warning);
                (self.on_event)(hook, HookEvent::Warning(warning));
                return Ok(());
            }
            let next = deadline.min(Instant::now() + TICK);
            if let [_, true] = poll::readable([waiter.handle.fd(), self.runner.interrupt.fd()], next) {
                return Ok(());
            }
        }
    }

    /// Waits for the finite background hooks, each of which has its own timeout.
    fn await_finite(&mut self) -> Result<(), RunError> {
        loop {
            let start = Instant::now();
            self.collect()?;
            let pause = if start.elapsed() < READ_TIME { 10 * TICK } else { TICK };
            let is_finite =
                |started: &StartedHook<'_>| started.output.hook.name.background == Some(Background::Finite);
            let Some((_, waiter)) = self.background.iter().find(|(started, _)| is_finite(started)) else {
                return Ok(());
            };
            let fds = [waiter.handle.fd(), self.runner.interrupt.fd()];
            if let [_, true] = poll::readable(fds, Instant::now() + pause) {
                return Ok(());
            }
        }
    }

    /// Terminates the remaining background hooks and waits for them, even if an error occurs meanwhile. Kills them at
    /// once on a second interrupt.
    fn terminate_all(&mut self) -> Result<(), RunError> {
        let mut result = Ok(());
        for (started, waiter) in &mut self.background {
            started.was_terminated = true;
            waiter.handle.signal(Signal::TERM);
            // A stopped waiter handles it only after it is continued.
            waiter.handle.signal(Signal::CONT);
        }
        let deadline = Instant::now() + WAITER_PATIENCE;
        loop {
            result = result.and(self.collect());
            let Some((_, next)) = self.background.first() else { return result };
            let is_urgent = self.runner.interrupt.is_urgent();
            let is_overdue = Instant::now() >= deadline;
            for (_, waiter) in self.background.iter().filter(|_| is_overdue || is_urgent) {
                // Not TERM again: the system may deliver only one of two equal signals. To the waiter, a signal soon after
                // TERM belongs to the same interrupt, so it is sent until the waiter has exited.
                waiter.handle.signal(if is_overdue { Signal::KILL } else { Signal::INT });
            }
            wait::has_exited_by(next, Instant::now() + TICK);
        }
    }

    /// Reads the output of the background hooks, and reports and removes those that have exited.
    fn collect(&mut self) -> Result<(), RunError> {
        for (StartedHook { logs, output, .. }, _) in &mut self.background {
            let hook = output.hook;
            output.read(&logs.stdout, |record| (self.on_event)(hook, HookEvent::Record(record)));
        }
        for (started, waiter) in &self.background {
            match Instant::now().checked_duration_since(started.overdue_at) {
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
        let has_exited = |waiter: &Child| wait::has_exited_by(waiter, Instant::now());
        while let Some(at) = self.background.iter().position(|(_, waiter)| has_exited(waiter)) {
            let (started, waiter) = self.background.remove(at);
            let _ = wait::reap(&waiter);
            let StartedHook { process, run_dir, logs, output, was_terminated, .. } = started;
            let process = self.exit_of(process, &run_dir)?;
            self.report_end(FinishedProcess { process, run_dir, logs }, output, was_terminated)?;
        }
        Ok(())
    }

    /// Returns the record of a background hook with the exit that its waiter stored. If the waiter was killed before it
    /// stored one, terminates the hook.
    fn exit_of(&self, process: Process, run_dir: &RunDir) -> Result<Process, RunError> {
        let store = self.runner.store;
        let process = store.process(process.id)?.unwrap_or(process);
        if process.exit().is_some() {
            return Ok(process);
        }
        let unreadable = |error| RunError::RunDir(process.spec.hook_name.clone(), error);
        let observed = run_dir.read_exit();
        if !matches!(observed, Ok(Some(_))) {
            let is_urgent = || self.runner.interrupt.is_urgent();
            recover::terminate_rest(&process, Some(run_dir), terminate::GRACE, is_urgent)
                .map_err(unreadable)?;
        }
        let observed = observed.map_err(unreadable)?;
        Ok(recover::complete(store, process, Some(run_dir), observed)?)
    }

    /// Reads the rest of a hook's output of this size, and returns how many bytes are left after an interrupt.
    fn read_rest(&mut self, output: &mut HookOutput<'_>, log: &Log, size: u64) -> u64 {
        let hook = output.hook;
        while output.offset < size {
            let start = Instant::now();
            if output.read(log, |record| (self.on_event)(hook, HookEvent::Record(record))) == 0 {
                break;
            }
            if self.runner.interrupt.signal().is_some() {
                self.patience = self.patience.saturating_sub(start.elapsed());
            }
            if self.patience.is_zero() || self.runner.interrupt.is_urgent() {
                return output.unread.min(size.saturating_sub(output.offset));
            }
        }
        0
    }

    /// Reports the rest of a hook's output and its exit, adds the warnings about its output to its record, and returns the
    /// record.
    fn report_end(
        &mut self,
        ended: FinishedProcess,
        mut output: HookOutput<'_>,
        was_terminated: bool,
    ) -> Result<Process, StoreError> {
        let FinishedProcess { mut process, run_dir, logs } = ended;
        // It was measured after every process that the hook left behind in its group was gone.
        let size = process.exit().map_or(0, |exit| exit.stdout_bytes);
        let unread = self.read_rest(&mut output, &logs.stdout, size);
        let on_event = &mut self.on_event;
        let HookOutput { hook, records, reported, .. } = output;
        let recorded = process.warnings.clone();
        let rest = if unread == 0 {
            records.finish(|record| on_event(hook, HookEvent::Record(record)))
        } else {
            let warning =
                format!("rigup was interrupted before it read the last {unread} bytes of its stdout");
            process.warnings.push(&warning);
            records.cut()
        };
        process.warnings.extend(rest.into_warnings());
        let has_exited_with_0 =
            |exit: &ProcessExit| exit.reason == ExitReason::Exited && exit.exit_code == Some(0);
        if hook.name.is_named_daemon() && !was_terminated && process.exit().is_some_and(has_exited_with_0) {
            process.warnings.push("it exited with 0 before its event ended");
        }
        process.warnings.texts().iter().for_each(|text| on_event(hook, HookEvent::Warning(text.clone())));
        process.warnings.extend(reported.texts());
        if process.warnings != recorded {
            // The store has them as well.
            let _ = run_dir.write_exit(&process);
            self.runner.store.save_warnings(&process)?;
        }
        let has_succeeded = process.run_state() == "finished" || (was_terminated && process.is_clean_stop());
        let event = if has_succeeded { HookEvent::Succeeded } else { HookEvent::Failed };
        on_event(hook, event(&process));
        Ok(process)
    }
}
