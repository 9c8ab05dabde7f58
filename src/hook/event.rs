//! Running all hooks of one or more events: foreground hooks one after another, with background hooks alongside.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use crate::clock;
use crate::fs::dir::make_dir;
use crate::fs::lock::FileLock;
use crate::hook::background::{BackgroundHooks, Conditions, DaemonFailures};
use crate::hook::output::HookOutput;
use crate::hook::reporter::{HookEvent, Reporter};
use crate::hook::run::{HookJob, RunError, Runner};
use crate::model::{BinaryId, Process, ProcessExit};
use crate::plugin::discovery::Hook;
use crate::plugin::hook_name::Background;
use crate::process::supervise::{FinishedProcess, PreparedProcess};
use crate::store::StoreError;

/// The number of hooks that are queued at once, in one transaction.
const BATCH: usize = 4;

/// The events of one command.
#[derive(Debug)]
pub(crate) struct Events<'a> {
    /// The events, one after another. The daemons of each live until the last one is over.
    pub sequence: &'a [Event<'a>],
    /// The events that mark the ends of these, which run after all daemons were terminated.
    pub ends: &'a [Event<'a>],
    /// The plugins that the hooks of events started by records require.
    pub required_by_followed: HashSet<&'a str>,
    /// The plugins with a daemon that failed before this command started, each with the reason.
    pub failed_daemons: BTreeMap<String, String>,
    /// The folder that contains the working directory of each plugin's hooks, which has the name of the plugin.
    pub output_dir: PathBuf,
    /// The standard input of each foreground hook; `None` for `/dev/null`.
    pub input: Option<&'a [u8]>,
}

/// An event to run.
#[derive(Debug)]
pub(crate) struct Event<'a> {
    /// The hooks, in the order in which they run.
    pub hooks: Vec<EventHook<'a>>,
    /// The arguments of each hook.
    pub arguments: Vec<OsString>,
}

/// A hook of an event.
#[derive(Debug)]
pub(crate) struct EventHook<'a> {
    /// The hook.
    pub hook: &'a Hook,
    /// Its timeout.
    pub timeout: Duration,
    /// How long it may take to print its first line, if it is a daemon.
    pub ready_timeout: Duration,
    /// Its grace period at the end of its event, if it is a background hook.
    pub grace: Duration,
    /// The plugins that its plugin requires.
    pub required: Vec<&'a str>,
    /// Whether it runs only after the background hooks before it, of the same event, have exited.
    pub waits_for_background: bool,
    /// The binary that runs it, if it is a recorded one.
    pub binary_id: Option<BinaryId>,
}

impl EventHook<'_> {
    fn is_background(&self) -> bool {
        self.hook.name.background.is_some()
    }
}

/// The work of the caller that records of hooks lead to.
pub(crate) trait FollowUp {
    /// Whether [`FollowUp::apply`] has to be called before each hook.
    fn applies_records(&self) -> bool;

    /// Applies the records that the hooks have printed so far, before the next one is prepared.
    fn apply(&mut self);

    /// Advances the work that begins after the last hook of the events, while their daemons run, except for those that
    /// failed. Waits for a moment, and returns whether there is work left.
    fn advance(&mut self, failures: &DaemonFailures) -> bool;
}

/// Splits off the hooks that start before the background hooks among them have to exit.
fn split_at_wait<'h, 'a>(hooks: &'h [EventHook<'a>]) -> (&'h [EventHook<'a>], &'h [EventHook<'a>]) {
    let first = hooks.iter().position(EventHook::is_background).map_or(hooks.len(), |at| at + 1);
    let wait = (first..hooks.len()).find(|at| hooks[*at].waits_for_background);
    hooks.split_at(wait.unwrap_or(hooks.len()))
}

/// Runs all hooks of events, and calls `on_event` with each notification as it occurs. A failed hook does not prevent
/// other hooks from running. `follow_up` works between the hooks, and after those of the sequence. When this returns, even
/// with an error, no hook is still running.
pub(crate) fn run(
    runner: &Runner<'_>,
    events: &Events<'_>,
    on_event: impl FnMut(&Hook, HookEvent<'_>),
    follow_up: &mut dyn FollowUp,
) -> Result<(), RunError> {
    let mut run = EventRun {
        events,
        reporter: Reporter::new(runner, on_event),
        follow_up,
        arguments: &[],
        waiting: &[],
        prepared: Vec::new(),
        queued: VecDeque::new(),
        background: BackgroundHooks::default(),
        ended: None,
        unstored: Vec::new(),
    };
    run.background.failures.plugins.clone_from(&events.failed_daemons);
    run.run(events.sequence, true)?;
    events.ends.iter().try_for_each(|event| run.run(std::slice::from_ref(event), false))
}

struct EventRun<'a, OnEvent> {
    events: &'a Events<'a>,
    reporter: Reporter<'a, OnEvent>,
    follow_up: &'a mut dyn FollowUp,
    /// The arguments of the hooks of the current event.
    arguments: &'a [OsString],
    /// The hooks of the current event that are not queued yet.
    waiting: &'a [EventHook<'a>],
    /// The hooks that have a run dir but no record yet.
    prepared: Vec<QueuedHook<'a>>,
    /// The next hooks.
    queued: VecDeque<QueuedHook<'a>>,
    background: BackgroundHooks<'a>,
    /// The last foreground hook that has exited. Its exit is written and reported once the next hook runs.
    ended: Option<(FinishedProcess, HookOutput<'a>)>,
    /// The foreground hooks whose exits are written but not stored. If rigup is killed, they are recovered from the run
    /// dirs.
    unstored: Vec<Process>,
}

/// A hook that has a run dir but was not started yet.
struct QueuedHook<'a> {
    hook: &'a EventHook<'a>,
    prepared: PreparedProcess,
    /// The lock for the waiter of a background hook. It is taken before the record is stored, because another rigup
    /// would complete a record without a locked run dir as lost.
    lock: Option<FileLock>,
}

impl<'a, OnEvent: FnMut(&Hook, HookEvent<'_>)> EventRun<'a, OnEvent> {
    /// Runs events one after another, then what follows from their records, then terminates their daemons.
    fn run(&mut self, events: &'a [Event<'a>], is_followed: bool) -> Result<(), RunError> {
        let ran: Result<(), RunError> = events.iter().enumerate().try_for_each(|(number, event)| {
            self.arguments = &event.arguments;
            let mut rest = &event.hooks[..];
            while !rest.is_empty() && self.reporter.runner.interrupt.signal().is_none() {
                (self.waiting, rest) = split_at_wait(rest);
                self.start_all(events, number)?;
                self.background.await_finite(&mut self.reporter)?;
                if !rest.is_empty() {
                    self.background.terminate_from(number, &mut self.reporter)?;
                }
            }
            Ok(())
        });
        let ran = ran.and_then(|()| if is_followed { self.follow() } else { Ok(()) });
        let terminated = self.background.terminate_from(0, &mut self.reporter);
        let stored = self.conclude();
        self.background = BackgroundHooks::default();
        ran?;
        terminated?;
        Ok(stored?)
    }

    /// Does what follows from the records of the hooks, while their daemons run.
    fn follow(&mut self) -> Result<(), RunError> {
        while self.follow_up.advance(&self.background.failures) {
            self.background.collect(&mut self.reporter)?;
        }
        Ok(())
    }

    /// Starts the waiting hooks, which are of the event with this number.
    fn start_all(&mut self, events: &[Event<'_>], number: usize) -> Result<(), RunError> {
        while !(self.queued.is_empty() && self.prepared.is_empty() && self.waiting.is_empty()) {
            self.apply()?;
            self.queue()?;
            self.background.collect(&mut self.reporter)?;
            if self.reporter.runner.interrupt.signal().is_some() {
                break;
            }
            let Some(QueuedHook { hook: next, prepared, lock }) = self.queued.pop_front() else { break };
            if let Some(reason) = self.background.failures.skip_reason(&next.required) {
                self.skip(next.hook, prepared.process, &reason)?;
                continue;
            }
            // A hook before it may have removed the folder.
            let _ = make_dir(&prepared.command.cwd);
            match lock {
                None => self.run_foreground(next.hook, prepared)?,
                Some(lock) => {
                    let plugin = next.hook.plugin.as_str();
                    let mut hooks = events.iter().flat_map(|event| &event.hooks);
                    let is_required = self.events.required_by_followed.contains(plugin)
                        || hooks.any(|hook| hook.required.contains(&plugin));
                    let is_vital = is_required && number + 1 < events.len();
                    let conditions = Conditions {
                        event: number,
                        ready_timeout: next.ready_timeout,
                        grace: next.grace,
                        is_vital,
                    };
                    self.start_background(conditions, next.hook, prepared, lock)?;
                }
            }
        }
        Ok(self.conclude()?)
    }

    /// Applies the records that were printed so far, if that is wanted. The next hook depends on it, so it is not prepared
    /// ahead.
    fn apply(&mut self) -> Result<(), RunError> {
        if self.follow_up.applies_records() {
            self.report()?;
            self.store()?;
            self.follow_up.apply();
        }
        Ok(())
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
        if self.follow_up.applies_records() {
            return Ok(());
        }
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
    fn prepare(&self, next: &'a EventHook<'a>) -> Result<QueuedHook<'a>, RunError> {
        let &EventHook { hook, timeout, binary_id, .. } = next;
        let dir_error = |error| RunError::RunDir(hook.name.file_name.clone(), error);
        let cwd = self.events.output_dir.join(hook.plugin.as_str());
        make_dir(&cwd).map_err(|error| RunError::OutputDir(self.events.output_dir.clone(), error))?;
        let arguments = self.arguments.to_vec();
        let output_dir = Some(self.events.output_dir.as_path());
        let input = self.events.input.map(<[u8]>::to_vec).filter(|_| !next.is_background());
        let job = HookJob { hook, arguments, cwd, output_dir, binary_id, input, timeout };
        let prepared = self.reporter.runner.prepare(job, || ())?;
        let lock = hook.name.background.map(|_| prepared.run_dir.lock()).transpose().map_err(|error| {
            prepared.run_dir.discard();
            dir_error(error)
        })?;
        Ok(QueuedHook { hook: next, prepared, lock })
    }

    /// Writes the exit of the foreground hook that has exited to its run dir, and reports it.
    fn report(&mut self) -> Result<(), StoreError> {
        let Some((mut finished, output)) = self.ended.take() else { return Ok(()) };
        finished.write_exit();
        let process = self.reporter.report_end(finished, output, false)?;
        self.unstored.push(process);
        Ok(())
    }

    /// Stores the exits that are not stored yet, and queues the prepared hooks.
    fn store(&mut self) -> Result<(), StoreError> {
        let prepared = self.prepared.iter().map(|hook| &hook.prepared.process);
        let processes: Vec<&Process> = self.unstored.iter().chain(prepared).collect();
        if !processes.is_empty() {
            self.reporter.runner.store.save_processes(&processes)?;
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
        let mut output = HookOutput::new(hook, self.reporter.runner.settings.output_limit);
        let (runner, mut is_first, mut result) = (self.reporter.runner, true, Ok(()));
        let finished = runner.run(prepared, &mut |logs| {
            if std::mem::take(&mut is_first) {
                result = self.report().and_then(|()| self.prepare_ahead()).map_err(RunError::from);
                return;
            }
            self.reporter.read(&mut output, logs);
            if result.is_ok() {
                result = self.background.collect(&mut self.reporter).and_then(|()| Ok(self.store()?));
            }
        })?;
        self.ended = Some((finished, output));
        result
    }

    /// Starts a hook in the background. Unless it is finite, waits until it prints its first line or exits.
    fn start_background(
        &mut self,
        conditions: Conditions,
        hook: &'a Hook,
        prepared: PreparedProcess,
        lock: FileLock,
    ) -> Result<(), RunError> {
        self.report()?;
        self.store()?;
        let started = self.background.start(conditions, hook, prepared, lock, &mut self.reporter)?;
        match started.filter(|_| hook.name.background == Some(Background::Daemon)) {
            Some(id) => self.background.await_line(id, conditions.ready_timeout, &mut self.reporter),
            None => Ok(()),
        }
    }

    /// Records that a hook is not started.
    fn skip(&mut self, hook: &Hook, process: Process, reason: &str) -> Result<(), StoreError> {
        self.report()?;
        let mut process = process.into_exited(ProcessExit::not_started(clock::now()));
        process.warnings.push(&format!("skipped: {reason}"));
        self.reporter.skip(hook, &process, reason);
        self.unstored.push(process);
        Ok(())
    }
}
