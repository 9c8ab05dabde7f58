//! Supervising a process from its start to its exit, so that nothing is left behind that should not be.

use std::fs::File;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::clock;
use crate::model::{ExitReason, Process, ProcessExit};
use crate::process::run_dir::RunDir;
use crate::process::signals::Interrupt;
use crate::process::spawn::Child;
use crate::process::system::ProcessEntry;
use crate::process::wait::{self, WaitOutcome};
use crate::process::{subreaper, terminate, tree};

/// The conditions under which a process is supervised.
#[derive(Debug)]
pub(crate) struct Supervision<'a> {
    /// The process, whose id everything that it starts carries, and whose timeout is observed.
    pub process: &'a Process,
    /// The run dir with its logs, in which a requested stop is noted.
    pub run_dir: &'a RunDir,
    /// Its two logs.
    pub logs: &'a [File; 2],
    /// A process that exits sooner is recorded only once, when it has exited.
    pub record_after: Duration,
    /// The size of a log, in bytes, at which it is terminated.
    pub output_limit: Option<u64>,
    /// The interrupt on which it is terminated.
    pub interrupt: &'a Interrupt,
}

/// The exit of a supervised process.
#[derive(Debug)]
pub(crate) struct SupervisedExit {
    /// Its exit.
    pub exit: ProcessExit,
    /// The processes that it left behind, and those that could not be terminated.
    pub warnings: Vec<String>,
}

impl Supervision<'_> {
    /// Waits for a child, terminates it if it has to be, and terminates what it left in its group. After
    /// `record_after`, `record` is called; if that fails, the child is killed, because a process that cannot be recorded must
    /// not run. `tick` is called ten times a second.
    pub(crate) fn run<E>(
        &self,
        child: &Child,
        record: impl FnOnce() -> Result<(), E>,
        tick: impl FnMut(),
    ) -> Result<SupervisedExit, E> {
        let deadline = self.process.spec.timeout.map(|timeout| Instant::now() + timeout);
        if !wait::has_exited_by(child, Instant::now() + self.record_after)
            && let Err(error) = record()
        {
            terminate::terminate_tree(Signal::TERM, self.process.id, &child.handle, Duration::ZERO, None);
            let _ = self.exit(WaitOutcome::Interrupted, child);
            return Err(error);
        }
        let outcome = wait::wait(child, deadline, self.logs, self.output_limit, self.interrupt, tick);
        let mut warnings = Vec::new();
        if outcome != WaitOutcome::Exited {
            warnings.extend(survivor_warnings(&self.terminate_tree(child)));
        }
        let exit = self.exit(outcome, child);
        if outcome == WaitOutcome::Exited && !subreaper::has_no_children() {
            warnings.extend(self.terminate_leftovers(child));
        }
        Ok(SupervisedExit { exit, warnings })
    }

    fn terminate_tree(&self, child: &Child) -> Vec<ProcessEntry> {
        let interrupt = Some(self.interrupt);
        terminate::terminate_tree(Signal::TERM, self.process.id, &child.handle, terminate::GRACE, interrupt)
    }

    /// Terminates what a process that exited by itself left in its group; other processes go on. If its stop was requested,
    /// all of them are terminated: the rigup that requested it cannot recognise every process of the tree.
    fn terminate_leftovers(&self, child: &Child) -> Vec<String> {
        let mut left = tree::find(self.process.id, child.handle.entry);
        let is_stop_requested = self.run_dir.is_stop_requested();
        if is_stop_requested {
            left.in_group.append(&mut left.strays);
        }
        let mut warnings = describe("terminated a process that it left behind", &left.in_group);
        warnings.extend(describe("a process that it started is still running", &left.strays));
        if !left.in_group.is_empty() {
            let survivors = if is_stop_requested {
                self.terminate_tree(child)
            } else {
                terminate::terminate_group(self.process.id, &child.handle)
            };
            warnings.extend(survivor_warnings(&survivors));
            subreaper::reap_orphans();
        }
        warnings
    }

    /// Reaps the child. One that survived KILL hangs in the kernel; waiting for it would hang rigup as well.
    fn exit(&self, outcome: WaitOutcome, child: &Child) -> ProcessExit {
        let reaped = wait::has_exited_by(child, Instant::now()).then(|| wait::reap(child).ok()).flatten();
        let mut exit = reaped.unwrap_or_else(|| ProcessExit::lost(clock::now()));
        exit.reason = match outcome {
            WaitOutcome::Timeout => ExitReason::Timeout,
            WaitOutcome::Interrupted | WaitOutcome::OutputLimit => ExitReason::Stopped,
            WaitOutcome::Exited if exit.reason != ExitReason::Lost && self.run_dir.is_stop_requested() => {
                ExitReason::Stopped
            }
            WaitOutcome::Exited => exit.reason,
        };
        exit = self.run_dir.add_logs(exit);
        if outcome == WaitOutcome::OutputLimit {
            let limit = self.output_limit.unwrap_or_default() >> 20;
            exit.stderr_tail = format!("it wrote more than {limit} MiB and was terminated\n");
        }
        exit
    }
}

fn survivor_warnings(survivors: &[ProcessEntry]) -> Vec<String> {
    describe("cannot terminate a process", survivors)
}

fn describe(what: &str, processes: &[ProcessEntry]) -> Vec<String> {
    processes.iter().map(|process| format!("{what}: {}", tree::command_line(process.pid))).collect()
}
