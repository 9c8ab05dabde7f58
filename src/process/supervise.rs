//! Supervising a process from its start to its exit, and terminating the processes that it leaves behind.

use std::ffi::OsString;
use std::fs::File;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::clock;
use crate::duration;
use crate::model::{ExitReason, Identity, Process, ProcessExit, ProcessId};
use crate::process::run_dir::RunDir;
use crate::process::signals::Interrupt;
use crate::process::spawn::{self, Child, CommandSpec};
use crate::process::system::ProcessEntry;
use crate::process::wait::{self, WaitOutcome};
use crate::process::{subreaper, terminate, tree};

/// The warning about a process that survived KILL.
const SURVIVOR: &str = "cannot terminate a process";

/// A process that is ready to be started.
#[derive(Debug)]
pub(crate) struct PreparedProcess {
    /// Its queued record. The timeout in it is enforced, and everything that the process starts has its id in the
    /// environment.
    pub process: Process,
    /// The run dir, in which a stop may be requested.
    pub run_dir: RunDir,
    /// Problems that do not prevent the process from running.
    pub warnings: Vec<String>,
    /// The two logs in the run dir.
    pub logs: [File; 2],
    /// Its standard input; `None` for `/dev/null`.
    pub input: Option<File>,
    /// Its command.
    pub command: CommandSpec,
}

impl PreparedProcess {
    /// Returns the process with a launcher in front of its command line: a program that starts it, with arguments.
    #[must_use]
    pub(crate) fn started_by(mut self, launcher: Vec<OsString>) -> Self {
        let command_line = std::iter::once(self.command.program).chain(self.command.args);
        let mut words = launcher.into_iter().chain(command_line);
        self.command.program = words.next().unwrap_or_default();
        self.command.args = words.collect();
        self.process.spec.cmd = spawn::words(&self.command.program, &self.command.args);
        self
    }
}

/// A process that has exited, or could not be started.
#[derive(Debug)]
pub(crate) struct FinishedProcess {
    /// Its record with its exit, which is not stored yet.
    pub process: Process,
    /// Its run dir, which contains the exit.
    pub run_dir: RunDir,
    /// Warnings about problems, about processes that it left behind, and about processes that could not be terminated.
    pub warnings: Vec<String>,
}

/// The conditions under which a process is supervised.
#[derive(Debug)]
pub(crate) struct Supervision<'a> {
    /// The time after which the process is recorded as running. A process that exits sooner is recorded only with its
    /// exit.
    pub record_after: Duration,
    /// The size of a log, in bytes, at which the process is terminated.
    pub output_limit: Option<u64>,
    /// The interrupt on which the process is terminated.
    pub interrupt: &'a Interrupt,
}

impl Supervision<'_> {
    /// Starts a process and waits for its exit. Terminates it on a timeout, an interrupt or too much output, and then
    /// the processes that it left in its group. Calls `record` after `record_after`; if that fails, kills the process,
    /// because a process that cannot be recorded must not run. Calls `tick` at once, and then ten times a second.
    pub(crate) fn run<E>(
        &self,
        prepared: PreparedProcess,
        record: impl FnOnce(&Process, &RunDir, &Identity) -> Result<(), E>,
        mut tick: impl FnMut(&RunDir),
    ) -> Result<FinishedProcess, E> {
        let PreparedProcess { process, run_dir, mut warnings, logs, input, command } = prepared;
        let started = command.start(input.as_ref(), &logs[0], &logs[1]);
        tick(&run_dir);
        let process = match started {
            Err(error) => process.into_exited(ProcessExit::spawn_failed(error.to_string(), clock::now())),
            Ok(child) => {
                let deadline = process.spec.timeout.map(duration::deadline);
                let identity = child.handle.entry.identity();
                let process = process.into_running(identity.clone(), child.started_at);
                if !wait::has_exited_by(&child, Instant::now() + self.record_after)
                    && let Err(error) = record(&process, &run_dir, &identity)
                {
                    let (signal, grace) = (Signal::TERM, Duration::ZERO);
                    terminate::terminate_tree(signal, process.id, &child.handle, grace, None);
                    let _ = self.exit(WaitOutcome::Interrupted, &child, &run_dir);
                    return Err(error);
                }
                let (limit, tick) = (self.output_limit, || tick(&run_dir));
                let outcome = wait::wait(&child, deadline, &logs, limit, self.interrupt, tick);
                if outcome != WaitOutcome::Exited {
                    warnings.extend(describe(SURVIVOR, &self.terminate_tree(process.id, &child)));
                }
                let exit = self.exit(outcome, &child, &run_dir);
                if outcome == WaitOutcome::Exited && !subreaper::has_no_children() {
                    warnings.extend(self.terminate_leftovers(process.id, &child, &run_dir));
                }
                process.into_exited(exit)
            }
        };
        // Not an error, because other rigups find the exit in the store.
        if let Err(error) = run_dir.write_exit(&process, &warnings) {
            warnings.push(format!("cannot write its exit to its run dir: {error}"));
        }
        Ok(FinishedProcess { process, run_dir, warnings })
    }

    fn terminate_tree(&self, process_id: ProcessId, child: &Child) -> Vec<ProcessEntry> {
        let interrupt = Some(self.interrupt);
        terminate::terminate_tree(Signal::TERM, process_id, &child.handle, terminate::GRACE, interrupt)
    }

    /// Terminates the processes that a process left in its group when it exited by itself; other processes keep
    /// running. If a stop was requested, terminates all of them, because the rigup that requested it cannot recognize
    /// every process of the tree. Returns warnings.
    fn terminate_leftovers(&self, process_id: ProcessId, child: &Child, run_dir: &RunDir) -> Vec<String> {
        let mut leftovers = tree::find(process_id, child.handle.entry);
        let is_stop_requested = run_dir.is_stop_requested();
        if is_stop_requested {
            leftovers.in_group.append(&mut leftovers.strays);
        }
        let mut warnings = describe("terminated a process that it left behind", &leftovers.in_group);
        warnings.extend(describe("a process that it started is still running", &leftovers.strays));
        if !leftovers.in_group.is_empty() {
            let survivors = if is_stop_requested {
                self.terminate_tree(process_id, child)
            } else {
                terminate::terminate_group(process_id, &child.handle)
            };
            warnings.extend(describe(SURVIVOR, &survivors));
            subreaper::reap_orphans();
        }
        warnings
    }

    /// Reaps the child, and returns its exit. A child that survived KILL hangs in the kernel; waiting for it would make
    /// rigup hang as well.
    fn exit(&self, outcome: WaitOutcome, child: &Child, run_dir: &RunDir) -> ProcessExit {
        let reaped = wait::has_exited_by(child, Instant::now()).then(|| wait::reap(child).ok()).flatten();
        let mut exit = reaped.unwrap_or_else(|| ProcessExit::lost(clock::now()));
        exit.reason = match outcome {
            WaitOutcome::Timeout => ExitReason::Timeout,
            WaitOutcome::Interrupted | WaitOutcome::OutputLimit => ExitReason::Stopped,
            WaitOutcome::Exited => run_dir.exit_reason(&exit),
        };
        exit = run_dir.add_logs(exit);
        if outcome == WaitOutcome::OutputLimit {
            let limit = self.output_limit.unwrap_or_default() >> 20;
            exit.stderr_tail = format!("it wrote more than {limit} MiB and was terminated\n");
        }
        exit
    }
}

fn describe(what: &str, processes: &[ProcessEntry]) -> Vec<String> {
    processes.iter().map(|process| format!("{what}: {}", tree::command_line(process.pid))).collect()
}
