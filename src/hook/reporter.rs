//! Reporting what the hooks of an event print, and how they exit.

use std::time::{Duration, Instant};

use crate::hook::output::{HookOutput, READ_TIME};
use crate::hook::run::Runner;
use crate::model::{ExitReason, Process, ProcessExit};
use crate::plugin::discovery::Hook;
use crate::process::log::{Log, Logs};
use crate::process::supervise::FinishedProcess;
use crate::protocol::Record;
use crate::store::StoreError;

/// How long the rest of all outputs may be read after an interrupt.
const READ_PATIENCE: Duration = Duration::from_secs(2);

/// A notification about a hook of a running event.
#[derive(Debug)]
pub enum HookEvent<'a> {
    /// It printed a record.
    Record(Record),
    /// A problem that does not change the result.
    Warning(String),
    /// It finished, or exited when it was terminated at the end of the event.
    Succeeded(&'a Process),
    /// It exited with the code of a hook that skips its work.
    Skipped(&'a Process),
    /// It failed.
    Failed(&'a Process),
    /// It was not started, for this reason.
    NotStarted(&'a Process, &'a str),
}

/// A reporter of the hooks of one rigup.
pub(super) struct Reporter<'a, OnEvent> {
    pub runner: &'a Runner<'a>,
    on_event: OnEvent,
    /// How long outputs may still be read after an interrupt.
    patience: Duration,
}

impl<'a, OnEvent: FnMut(&Hook, HookEvent<'_>)> Reporter<'a, OnEvent> {
    pub(super) fn new(runner: &'a Runner<'a>, on_event: OnEvent) -> Self {
        Self { runner, on_event, patience: READ_PATIENCE }
    }

    /// Reports the records in the new bytes of a hook's output.
    pub(super) fn read(&mut self, output: &mut HookOutput<'_>, logs: &Logs) {
        self.read_log(output, &logs.stdout);
    }

    /// Returns the number of bytes.
    fn read_log(&mut self, output: &mut HookOutput<'_>, log: &Log) -> u64 {
        let hook = output.hook;
        output.read(log, READ_TIME, |record| (self.on_event)(hook, HookEvent::Record(record)))
    }

    /// Reports a warning about a hook that runs, which its record gets with its exit.
    pub(super) fn warn(&mut self, output: &mut HookOutput<'_>, warning: String) {
        output.reported.push(&warning);
        (self.on_event)(output.hook, HookEvent::Warning(warning));
    }

    /// Reports a hook that is not started. Its record has the reason.
    pub(super) fn skip(&mut self, hook: &Hook, process: &Process, reason: &str) {
        (self.on_event)(hook, HookEvent::NotStarted(process, reason));
    }

    /// Reads the rest of a hook's output of this size, and returns how many bytes are left after an interrupt.
    fn read_rest(&mut self, output: &mut HookOutput<'_>, log: &Log, size: u64) -> u64 {
        while output.offset < size {
            let start = Instant::now();
            if self.read_log(output, log) == 0 {
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
    pub(super) fn report_end(
        &mut self,
        ended: FinishedProcess,
        mut output: HookOutput<'_>,
        was_terminated: bool,
    ) -> Result<Process, StoreError> {
        let FinishedProcess { mut process, run_dir, logs, .. } = ended;
        // It was measured after every process that the hook left behind in its group was gone.
        let size = process.exit().map_or(0, |exit| exit.stdout_bytes);
        let unread = self.read_rest(&mut output, &logs.stdout, size);
        let on_event = &mut self.on_event;
        let HookOutput { hook, records, reported, mut has_result, is_late, .. } = output;
        let recorded = process.warnings.clone();
        let rest = if unread == 0 {
            records.finish(|record| {
                has_result |= record.is_final_result();
                on_event(hook, HookEvent::Record(record));
            })
        } else {
            let warning =
                format!("rigup was interrupted before it read the last {unread} bytes of its stdout");
            process.warnings.push(&warning);
            records.cut()
        };
        process.warnings.extend(rest.into_warnings());
        let has_exited_with_0 =
            |exit: &ProcessExit| exit.reason == ExitReason::Exited && exit.exit_code == Some(0);
        let has_stopped_early = !was_terminated && process.exit().is_some_and(has_exited_with_0);
        if hook.name.is_named_daemon() && has_stopped_early && !has_result {
            process.warnings.push("it exited with 0 before its event ended");
        }
        process.warnings.texts().iter().for_each(|text| on_event(hook, HookEvent::Warning(text.clone())));
        process.warnings.extend(reported.texts());
        if process.warnings != recorded {
            // The store has them as well.
            let _ = run_dir.write_exit(&process);
            self.runner.store.save_warnings(&process)?;
        }
        let has_ended_well = process.run_state() == "finished" || (was_terminated && process.is_clean_stop());
        let event = if !has_ended_well || is_late {
            HookEvent::Failed
        } else if process.is_skipped() {
            HookEvent::Skipped
        } else {
            HookEvent::Succeeded
        };
        on_event(hook, event(&process));
        Ok(process)
    }
}
