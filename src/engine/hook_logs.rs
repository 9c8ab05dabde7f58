//! What the hooks of a command wrote.

use std::path::{Path, PathBuf};

use crate::engine::step_result::StepResult;
use crate::install::resolver::Resolved;
use crate::model::{ExitReason, Outcome, Process, ProcessId};
use crate::process::run_dir;
use crate::process::tail;
use crate::report::item_log::ItemLog;
use crate::report::log_text::LogText;
use crate::report::short_id::short_id;
use crate::report::text::{self, printable};
use crate::report::units;
use crate::store::Store;

/// A hook that a command ran.
#[derive(Debug)]
pub(crate) struct RanHook {
    /// What it ran for, and the hook: `jq: apt`, or `wget/on_Snapshot__20_wget.sh`.
    pub label: String,
    /// Its process.
    pub process: Process,
    /// Whether it failed. A provider that declines has not.
    pub has_failed: bool,
}

/// Returns the hooks that were run for the results of an install, each once, in the order of the results. A hook that cannot
/// be read from the store is left out.
pub(crate) fn of_results(results: &[StepResult], store: &Store) -> Vec<RanHook> {
    let mut hooks: Vec<(ProcessId, String, Vec<&str>, bool)> = Vec::new();
    for result in results {
        let StepResult::Resolved(request, Resolved { attempts, .. }) = result else { continue };
        for attempt in attempts {
            let Some(id) = attempt.process_id else { continue };
            let has_failed =
                matches!(attempt.outcome, Outcome::Failed | Outcome::Rejected | Outcome::Timeout);
            match hooks.iter_mut().find(|(known, ..)| *known == id) {
                // A batch hook serves several requests.
                Some((.., names, failed)) => {
                    names.push(request.name.as_str());
                    *failed |= has_failed;
                }
                None => {
                    hooks.push((id, attempt.provider.to_string(), vec![request.name.as_str()], has_failed));
                }
            }
        }
    }
    let hooks = hooks.into_iter().filter_map(|(id, provider, names, has_failed)| {
        let process = store.process(id).ok().flatten()?;
        Some(RanHook {
            label: format!("{}: {provider}", text::list(&names, text::MAX_LISTED)),
            process,
            has_failed,
        })
    });
    hooks.collect()
}

/// How much of the end of each log is read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LogLimit {
    /// The number of lines.
    pub lines: usize,
    /// The number of bytes, whatever the lines are.
    pub bytes: u64,
}

/// Returns the end of what a hook wrote to each stream, below a line that says how much is left out, if anything is. Returns
/// nothing if its logs have expired.
pub(crate) fn read(data_dir: &Path, hook: &RanHook, limit: LogLimit) -> Vec<ItemLog> {
    let RanHook { label, process, .. } = hook;
    let id = short_id(process.id);
    let heading = |stream: &str| format!("{} (process {id}): {stream}", printable(label));
    let spawn_failure = process.exit().filter(|exit| exit.reason == ExitReason::SpawnFailed);
    if let Some(exit) = spawn_failure {
        return vec![ItemLog { heading: heading("stderr"), text: filtered(exit.stderr_tail.as_bytes()) }];
    }
    let Some(run_dir) = run_dir::of(data_dir, process) else { return Vec::new() };
    let read = |(stream, path): (&str, PathBuf)| {
        let text = match tail::of_series(&path, limit.lines, limit.bytes) {
            Ok((end, 0)) => filtered(&end),
            Ok((end, omitted)) => {
                let size = units::bytes(omitted);
                format!("... {size} left out; run `rigup process logs {id}` to see the whole log\n")
                    + &filtered(&end)
            }
            Err(error) => format!("cannot read the log: {}\n", printable(&error.to_string())),
        };
        (!text.is_empty()).then(|| ItemLog { heading: heading(stream), text })
    };
    [("stdout", run_dir.stdout()), ("stderr", run_dir.stderr())].into_iter().filter_map(read).collect()
}

/// Returns the text of a log without anything that controls a terminal.
fn filtered(log: &[u8]) -> String {
    let mut filter = LogText::new(false);
    filter.push(log) + &filter.finish()
}
