//! Supervising a process from its start to its exit, so that nothing is left behind that should not be.

use std::ffi::OsString;
use std::fs::File;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::clock;
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
    /// Its record, queued, whose timeout is observed. Everything that the process starts carries its id.
    pub process: Process,
    /// The run dir, in which a requested stop is noted.
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
    /// Has the process started by another program, which is followed by its arguments and then the process's own command line.
    #[must_use]
    pub(crate) fn started_by(mut self, launcher: Vec<OsString>) -> Self {
        let own = std::iter::once(self.command.program).chain(self.command.args);
        let mut words = launcher.into_iter().chain(own);
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
    /// Its run dir, to which the exit is written.
    pub run_dir: RunDir,
    /// Problems, the processes that it left behind, and those that could not be terminated.
    pub warnings: Vec<String>,
}

/// The conditions under which a process is supervised.
#[derive(Debug)]
pub(crate) struct Supervision<'a> {
    /// A process that exits sooner is recorded only once, when it has exited.
    pub record_after: Duration,
    /// The size of a log, in bytes, at which it is terminated.
    pub output_limit: Option<u64>,
    /// The interrupt on which it is terminated.
    pub interrupt: &'a Interrupt,
}

impl Supervision<'_> {
    /// Starts a process, waits for it, terminates it if it has to be, and terminates what it left in its group. After
    /// `record_after`, `record` is called; if that fails, the process is killed, because one that cannot be recorded must not
    /// run. `tick` is called at once, and then ten times a second.
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
                let deadline = process.spec.timeout.map(|timeout| Instant::now() + timeout);
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
        // The exit in the store is enough for another rigup to learn of it.
        if let Err(error) = run_dir.write_exit(&process, &warnings) {
            warnings.push(format!("cannot write its exit to its run dir: {error}"));
        }
        Ok(FinishedProcess { process, run_dir, warnings })
    }

    fn terminate_tree(&self, process_id: ProcessId, child: &Child) -> Vec<ProcessEntry> {
        let interrupt = Some(self.interrupt);
        terminate::terminate_tree(Signal::TERM, process_id, &child.handle, terminate::GRACE, interrupt)
    }

    /// Terminates what a process that exited by itself left in its group; other processes go on. If its stop was requested,
    /// all of them are terminated: the rigup that requested it cannot recognise every process of the tree.
    fn terminate_leftovers(&self, process_id: ProcessId, child: &Child, run_dir: &RunDir) -> Vec<String> {
        let mut left = tree::find(process_id, child.handle.entry);
        let is_stop_requested = run_dir.is_stop_requested();
        if is_stop_requested {
            left.in_group.append(&mut left.strays);
        }
        let mut warnings = describe("terminated a process that it left behind", &left.in_group);
        warnings.extend(describe("a process that it started is still running", &left.strays));
        if !left.in_group.is_empty() {
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

    /// Reaps the child. One that survived KILL hangs in the kernel; waiting for it would hang rigup as well.
    fn exit(&self, outcome: WaitOutcome, child: &Child, run_dir: &RunDir) -> ProcessExit {
        let reaped = wait::has_exited_by(child, Instant::now()).then(|| wait::reap(child).ok()).flatten();
        let mut exit = reaped.unwrap_or_else(|| ProcessExit::lost(clock::now()));
        exit.reason = match outcome {
            WaitOutcome::Timeout => ExitReason::Timeout,
            WaitOutcome::Interrupted | WaitOutcome::OutputLimit => ExitReason::Stopped,
            WaitOutcome::Exited if exit.reason != ExitReason::Lost && run_dir.is_stop_requested() => {
                ExitReason::Stopped
            }
            WaitOutcome::Exited => exit.reason,
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
