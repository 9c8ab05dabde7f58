//! Seeing a process out: from its start to its true ending, with nothing left behind that should not be.

use std::fs::File;
use std::time::{Duration, Instant};

use crate::clock;
use crate::model::id::ProcessId;
use crate::model::process::{ExitReason, ProcessExit};
use crate::process::run_dir::RunDir;
use crate::process::signals::Interrupt;
use crate::process::spawn::Child;
use crate::process::system::ProcessEntry;
use crate::process::wait::{self, Cause};
use crate::process::{subreaper, terminate, tree};

/// How to see a process out.
#[derive(Debug)]
pub struct Supervision<'a> {
    /// The id that it and all it starts carry.
    pub process_id: ProcessId,
    /// Its logs are here, and here it is noted if somebody asks for its end.
    pub run_dir: &'a RunDir,
    /// The two logs.
    pub logs: &'a [File; 2],
    /// What is over sooner is recorded only once, at its end.
    pub note_after: Duration,
    /// It is ended after this time.
    pub timeout: Option<Duration>,
    /// It is ended when one of its logs grows beyond so many bytes.
    pub output_cap: Option<u64>,
    /// It is ended when this comes.
    pub interrupt: &'a Interrupt,
}

/// A process that is over.
#[derive(Debug)]
pub struct SupervisedExit {
    /// How it ended.
    pub exit: ProcessExit,
    /// What it left behind, and what could not be ended.
    pub warnings: Vec<String>,
}

impl Supervision<'_> {
    /// Waits for a child, ends it where it has to be ended, and ends what it left in its group. What lives on after a
    /// moment is told to `note`, where a failure ends it: what cannot be recorded may not run. `tick` is called ten
    /// times a second.
    pub fn see_out<E>(
        &self,
        child: &Child,
        note: impl FnOnce() -> Result<(), E>,
        tick: impl FnMut(),
    ) -> Result<SupervisedExit, E> {
        let deadline = self.timeout.map(|timeout| Instant::now() + timeout);
        if !wait::is_over_by(child, Instant::now() + self.note_after)
            && let Err(error) = note()
        {
            terminate::end_tree(self.process_id, &child.handle, Duration::ZERO, None);
            let _ = self.exit(Cause::Interrupted, child);
            return Err(error);
        }
        let cause = wait::wait(child, deadline, self.logs, self.output_cap, self.interrupt, tick);
        let mut warnings = Vec::new();
        if cause != Cause::Ended {
            let left =
                terminate::end_tree(self.process_id, &child.handle, terminate::GRACE, Some(self.interrupt));
            warnings.extend(survivors(&left));
        }
        let exit = self.exit(cause, child);
        if cause == Cause::Ended && !subreaper::are_none() {
            warnings.extend(self.clear_up(child));
        }
        Ok(SupervisedExit { exit, warnings })
    }

    /// What a process that ended by itself left behind: what is in its group is ended, all else goes on. Where it ended
    /// because somebody asked for it, all of it is ended; whoever asked does not see all that can only be its own.
    fn clear_up(&self, child: &Child) -> Vec<String> {
        let mut left = tree::tree(self.process_id, *child.entry());
        let is_stop_asked = self.run_dir.is_stop_asked();
        if is_stop_asked {
            left.in_group.append(&mut left.strays);
        }
        let named = |what: &str, it: &ProcessEntry| format!("{what}: {}", tree::command_line(it.pid));
        let mut warnings: Vec<String> = Vec::new();
        warnings
            .extend(left.in_group.iter().map(|it| named("it left a process behind, which was ended", it)));
        warnings.extend(left.strays.iter().map(|it| named("it started a process that goes on", it)));
        if !left.in_group.is_empty() {
            let survived = if is_stop_asked {
                terminate::end_tree(self.process_id, &child.handle, terminate::GRACE, Some(self.interrupt))
            } else {
                terminate::end_group(self.process_id, &child.handle)
            };
            warnings.extend(survivors(&survived));
            subreaper::reap();
        }
        warnings
    }

    /// Reaps the child. One that survived KILL hangs in the kernel; waiting for it would hang rigup too.
    fn exit(&self, cause: Cause, child: &Child) -> ProcessExit {
        let reaped = wait::is_over_by(child, Instant::now()).then(|| wait::reap(child).ok()).flatten();
        let signal = reaped.and_then(|it| it.signal);
        let reason = match cause {
            Cause::Timeout => ExitReason::Timeout,
            Cause::Interrupted | Cause::TooMuchOutput => ExitReason::Stopped,
            Cause::Ended if reaped.is_none() => ExitReason::Lost,
            Cause::Ended if self.run_dir.is_stop_asked() => ExitReason::Stopped,
            Cause::Ended if signal.is_some() => ExitReason::Signalled,
            Cause::Ended => ExitReason::Exited,
        };
        let mut exit = self.run_dir.with_logs(ProcessExit {
            exit_code: reaped.map(|it| it.exit_code),
            signal,
            reason,
            usage: reaped.map(|it| it.usage),
            ..ProcessExit::lost(clock::now())
        });
        if cause == Cause::TooMuchOutput {
            let cap = self.output_cap.unwrap_or_default() >> 20;
            exit.stderr_tail = format!("it wrote more than {cap} MiB and was ended\n");
        }
        exit
    }
}

fn survivors(left: &[ProcessEntry]) -> Vec<String> {
    left.iter().map(|it| format!("a process could not be ended: {}", tree::command_line(it.pid))).collect()
}
