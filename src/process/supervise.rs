//! Supervising a process from its start to its exit, and terminating the processes that it leaves behind.

use std::cell::RefCell;
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::clock;
use crate::duration;
use crate::model::{ExitReason, Identity, Process, ProcessAttributes, ProcessExit, ProcessId, ProcessType};
use crate::process::drain::drain;
use crate::process::lock::Lock;
use crate::process::log::Logs;
use crate::process::memory::MemoryWatch;
use crate::process::reserved_exit::ReservedExit;
use crate::process::run_dir::RunDir;
use crate::process::signals::Interrupt;
use crate::process::spawn::{Child, CommandSpec};
use crate::process::system::ProcessEntry;
use crate::process::tree;
use crate::process::wait::{self, WaitOutcome};
use crate::process::{launcher, poll, subreaper, tail, terminate};
use crate::report::units;

/// The warning about a process that survived KILL.
const SURVIVOR: &str = "cannot terminate a process";

/// How long the exit of a process may take after everything in its tree has exited or was killed. A process that survived
/// KILL hangs in the kernel; waiting for it any longer would make rigup hang as well.
const EXIT_PATIENCE: Duration = Duration::from_secs(2);

/// The pause between two looks for what is left of a process that was stopped.
const STOP_PAUSE: Duration = Duration::from_millis(20);

/// A process that is ready to be started.
#[derive(Debug)]
pub(crate) struct PreparedProcess {
    /// Its queued record. The timeout in it is enforced, and everything that the process starts has its id in the
    /// environment.
    pub process: Process,
    /// The run dir, in which a stop may be requested.
    pub run_dir: RunDir,
    /// The two logs in the run dir.
    pub logs: Logs,
    /// Its standard input; `None` for `/dev/null`.
    pub input: Option<File>,
    /// The lock that it holds until it exits.
    pub lock: Option<Lock>,
    /// How much memory it and its descendants may use, in bytes; `None` for no limit.
    pub memory_limit: Option<u64>,
    /// Its user, its priority and its limits; `None` for those of rigup.
    pub attributes: Option<ProcessAttributes>,
    /// Its command.
    pub command: CommandSpec,
}

impl PreparedProcess {
    /// Returns the process with a launcher in front of its command line: a program that starts it, with arguments.
    #[must_use]
    pub(crate) fn started_by(mut self, launcher: Vec<OsString>) -> Self {
        self.command = self.command.started_by(launcher);
        self.process.spec.cmd = self.command.words();
        self
    }
}

/// A process that has exited, or could not be started.
#[derive(Debug)]
pub(crate) struct FinishedProcess {
    /// Its record with its exit and the warnings about it, which is not stored yet.
    pub process: Process,
    /// Its run dir.
    pub run_dir: RunDir,
    /// Its logs, which are complete, but no larger than the output limit allows.
    pub logs: Logs,
    /// The lock that it held, unless a signal ended it: what it left behind then keeps the lock. A service shares it, so it
    /// must be released, or the service would keep other hooks waiting.
    pub lock: Option<Lock>,
}

impl FinishedProcess {
    /// Writes the exit to the run dir, in which other rigups find it if this one is killed before it stores the exit.
    pub(crate) fn write_exit(&mut self) {
        let written = self.run_dir.write_exit(&self.process);
        self.warn_if_failed(written);
    }

    /// Writes the exit to the space that is reserved for it in the run dir. Returns whether it is there.
    pub(crate) fn write_reserved_exit(&mut self, reserved: ReservedExit) -> bool {
        let written = reserved.write(&self.process);
        let is_written = written.is_ok();
        self.warn_if_failed(written);
        is_written
    }

    fn warn_if_failed(&mut self, written: io::Result<()>) {
        let Self { process, run_dir, .. } = self;
        // Not an error, because other rigups find the exit in the store.
        if let Err(error) = written {
            let warning = || format!("cannot write its exit to its run dir: {error}");
            process.warnings.push(&run_dir.removal_warning().unwrap_or_else(warning));
        }
    }
}

/// The conditions under which a process is supervised.
#[derive(Debug)]
pub(crate) struct Supervision<'a> {
    /// The time after which the process is recorded as running. A process that exits sooner is recorded only with its
    /// exit.
    pub record_after: Duration,
    /// The size of a log, in bytes, above which the process is terminated and the log is cut.
    pub output_limit: Option<u64>,
    /// The grace period after an interrupt.
    pub grace: Duration,
    /// The interrupt on which the process is terminated.
    pub interrupt: &'a Interrupt,
}

impl Supervision<'_> {
    /// Starts a process and waits for its exit. Terminates it on a timeout, an interrupt or too much output, and then
    /// the processes that it left in its group. Calls `record` after `record_after`; if that fails, kills the process,
    /// because a process that cannot be recorded must not run. Calls `tick` at once, and then ten times a second.
    /// Without an output limit, calls it after the pause that it returns, more often while processes are terminated, and
    /// once after the last of them has exited.
    pub(crate) fn run<E>(
        &self,
        prepared: PreparedProcess,
        record: impl FnOnce(&Process, &RunDir, &Identity) -> Result<(), E>,
        tick: impl FnMut(&Logs) -> Option<Duration>,
    ) -> Result<FinishedProcess, E> {
        let PreparedProcess { process, run_dir, logs, input, mut lock, memory_limit, attributes, command } =
            prepared;
        let tick = RefCell::new(tick);
        let tick = || (tick.borrow_mut())(&logs);
        let (mut warnings, mut is_recorded) = (Vec::new(), false);
        let (stdout, stderr) = (logs.stdout.file(), logs.stderr.file());
        let started = match &attributes {
            None => command.start_with_lock(lock.as_ref().map(Lock::file), input.as_ref(), stdout, stderr),
            Some(attributes) => launcher::start(&command, attributes, stdout, stderr),
        };
        // Freed while the process runs, rather than when the next one could be started.
        drop((command, input));
        tick();
        let mut process = match started {
            Err(error) => process.into_exited(ProcessExit::spawn_failed(error.to_string(), clock::now())),
            Ok(child) => {
                let deadline = process.spec.timeout.map(duration::deadline);
                let identity = child.handle.entry.identity();
                // An error is ignored, because the file still names this rigup as the holder.
                let _ = lock.as_mut().map(|lock| lock.set_holder(identity.pid));
                let process = process.into_running(identity.clone(), child.started_at);
                let memory = MemoryWatch::new(identity.pid, process.id, memory_limit);
                let mut outcome = WaitOutcome::Exited;
                is_recorded = !wait::has_exited_by(&child, Instant::now() + self.record_after);
                if is_recorded {
                    if let Err(error) = record(&process, &run_dir, &identity) {
                        let (signal, grace) = (Signal::TERM, Duration::ZERO);
                        terminate::terminate_tree(signal, process.id, &child.handle, grace, || false);
                        exit_of(&child, false);
                        return Err(error);
                    }
                    let limit = self.output_limit;
                    outcome = wait::wait(&child, deadline, &logs, limit, memory, self.interrupt, tick);
                }
                let rotate = || {
                    if self.output_limit.is_none() {
                        tick();
                    }
                };
                if outcome != WaitOutcome::Exited {
                    // If this process is killed meanwhile, the request makes the next rigup terminate the rest of the tree,
                    // even if the root is gone.
                    let _ = run_dir.request_stop();
                    let survivors = self.terminate(outcome, process.id, &child, &logs, rotate);
                    warnings.extend(describe(SURVIVOR, &survivors));
                }
                let mut exit = exit_of(&child, outcome == WaitOutcome::Exited);
                // A command that stops a process belongs to its tree, but another rigup has started it.
                let may_leave = || !subreaper::has_no_children() || run_dir.is_stop_requested();
                if outcome == WaitOutcome::Exited && may_leave() {
                    let leftovers = self.end_leftovers(&process, &child, &run_dir, &logs, deadline, rotate);
                    warnings.extend(leftovers);
                }
                if exit.signal.is_some() {
                    lock = None;
                }
                exit.reason = match outcome {
                    WaitOutcome::Timeout => ExitReason::Timeout,
                    WaitOutcome::MemoryLimit(_) => ExitReason::Memory,
                    WaitOutcome::Interrupted | WaitOutcome::OutputLimit => ExitReason::Stopped,
                    // Nothing requests the stop of a process that is not recorded as running.
                    WaitOutcome::Exited if !is_recorded => exit.reason,
                    WaitOutcome::Exited => run_dir.exit_reason(&exit),
                };
                if let (WaitOutcome::MemoryLimit(used), Some(limit)) = (outcome, memory_limit) {
                    warnings.push(format!(
                        "it used {} of memory, more than its limit of {}, and was killed",
                        units::bytes(used),
                        units::bytes(limit)
                    ));
                }
                rotate();
                let size = logs.largest();
                warnings.extend(logs.truncation_warnings());
                if size > 0 {
                    logs.cut(self.largest_log());
                    run_dir.blank_environments(&logs, process.spec.process_type);
                    tail::add_to(&mut exit, &logs);
                }
                if let Some(limit) =
                    self.output_limit.filter(|limit| size > *limit || outcome == WaitOutcome::OutputLimit)
                {
                    let end = if outcome == WaitOutcome::OutputLimit { " and was terminated" } else { "" };
                    exit.reason = ExitReason::Stopped;
                    exit.stderr_tail = format!("it wrote more than {} MiB{end}\n", limit >> 20);
                }
                process.into_exited(exit)
            }
        };
        process.warnings.extend(warnings);
        if is_recorded {
            let _ = run_dir.remove_pid();
        }
        Ok(FinishedProcess { process, run_dir, logs, lock })
    }

    /// Returns the size to which a log is cut: the limit, and a tenth of it for what a process writes on TERM.
    fn largest_log(&self) -> u64 {
        self.output_limit.map_or(u64::MAX, |limit| limit.saturating_add(limit / 10))
    }

    /// Terminates a process and everything that it started. One that exceeded the output limit is stopped first, because
    /// it could fill the disk before it handles TERM, and is killed if it goes on writing. One that exceeded the memory
    /// limit is killed at once, because it could use more memory while it handles TERM. Calls `rotate` meanwhile.
    fn terminate(
        &self,
        outcome: WaitOutcome,
        process_id: ProcessId,
        child: &Child,
        logs: &Logs,
        rotate: impl Fn(),
    ) -> Vec<ProcessEntry> {
        let mut largest = u64::MAX;
        if let (WaitOutcome::OutputLimit, Some(limit)) = (outcome, self.output_limit) {
            terminate::stop_tree(process_id, &child.handle);
            logs.cut(limit);
            largest = self.largest_log();
        }
        let is_hungry = matches!(outcome, WaitOutcome::MemoryLimit(_));
        let is_urgent = || {
            rotate();
            is_hungry || self.interrupt.is_urgent() || logs.largest() > largest
        };
        let grace = if outcome == WaitOutcome::Interrupted { self.grace } else { terminate::GRACE };
        terminate::terminate_tree(Signal::TERM, process_id, &child.handle, grace, is_urgent)
    }

    /// Gives the processes that a process left behind when it exited by itself a moment to write their output, and
    /// terminates those that remain in its group; other processes keep running. After a daemon, or if a stop was requested, terminates all of
    /// them, because the rigup that requested it cannot recognize every process of the tree. Calls `rotate` meanwhile. Returns
    /// warnings.
    fn end_leftovers(
        &self,
        process: &Process,
        child: &Child,
        run_dir: &RunDir,
        logs: &Logs,
        deadline: Option<Instant>,
        rotate: impl Fn(),
    ) -> Vec<String> {
        let process_id = process.id;
        let is_cut_short = || {
            rotate();
            self.interrupt.signal().is_some()
                || run_dir.is_stop_requested()
                || self.output_limit.is_some_and(|limit| logs.largest() > limit)
        };
        let find = || tree::find(process_id, child.handle.entry);
        let mut leftovers = drain(logs, deadline, is_cut_short, find);
        let is_stop_requested = run_dir.is_stop_requested();
        if is_stop_requested {
            let deadline = Instant::now() + terminate::LEFTOVER_GRACE;
            // The command that stopped it may have something left to do.
            while !leftovers.strays.is_empty() && Instant::now() < deadline {
                poll::pause(Instant::now() + STOP_PAUSE);
                rotate();
                leftovers = find();
            }
        }
        let is_daemon = matches!(process.spec.process_type, ProcessType::Worker | ProcessType::Orchestrator);
        let ends_all = is_stop_requested || is_daemon;
        if ends_all {
            leftovers.in_group.append(&mut leftovers.strays);
        }
        let mut warnings = describe("terminated a process that it left behind", &leftovers.in_group);
        warnings.extend(describe("a process that it started is still running", &leftovers.strays));
        if !leftovers.in_group.is_empty() {
            let survivors = if ends_all {
                let is_urgent = || {
                    rotate();
                    self.interrupt.is_urgent()
                };
                terminate::terminate_tree(
                    Signal::TERM,
                    process_id,
                    &child.handle,
                    terminate::GRACE,
                    is_urgent,
                )
            } else {
                terminate::terminate_leftovers(Some(&child.handle), || find().in_group)
            };
            warnings.extend(describe(SURVIVOR, &survivors));
            subreaper::reap_orphans();
        }
        warnings
    }
}

/// Waits for the exit of a child that was killed or `has_exited`, and reaps it. Returns its exit without the logs.
fn exit_of(child: &Child, has_exited: bool) -> ProcessExit {
    let has_exited = has_exited || wait::has_exited_by(child, Instant::now() + EXIT_PATIENCE);
    let reaped = has_exited.then(|| wait::reap(child).ok()).flatten();
    reaped.unwrap_or_else(|| ProcessExit::lost(clock::now()))
}

fn describe(what: &str, processes: &[ProcessEntry]) -> Vec<String> {
    processes.iter().map(|process| format!("{what}: {}", tree::command_line(process.pid))).collect()
}
