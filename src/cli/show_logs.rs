//! `--show-logs`: prints what the hooks of a command wrote.

use std::path::Path;

use crate::cli::ci;
use crate::cli::message::message;
use crate::engine::hook_logs::{self, LogLimit, RanHook};
use crate::report::ci::CiSystem;
use crate::report::short_id::short_id;
use crate::report::text::printable;

/// How much of each log is printed: what a person may read, and not a whole log that runs away.
const LIMIT: LogLimit = LogLimit { lines: 10_000, bytes: 1 << 20 };

/// The option to print logs of hooks.
#[derive(Debug, Default, Clone, Copy, clap::Args)]
pub(crate) struct ShowLogsArgs {
    /// Print what all hooks wrote, or those that `failed`, to stderr
    #[arg(long, value_name = "WHICH", num_args = 0..=1, require_equals = true, default_missing_value = "all", hide_possible_values = true)]
    show_logs: Option<ShownLogs>,
}

/// The hooks whose logs are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum ShownLogs {
    All,
    Failed,
}

impl ShowLogsArgs {
    /// Whether logs are printed.
    pub(crate) fn is_given(self) -> bool {
        self.show_logs.is_some()
    }

    /// Prints what a hook wrote, each stream under a heading, if the option selects the hook. The CI system finds no command
    /// in it.
    pub(crate) fn print(self, hook: &RanHook, data_dir: &Path, system: Option<CiSystem>) {
        if self.show_logs.is_none_or(|shown| shown == ShownLogs::Failed && !hook.has_failed) {
            return;
        }
        let logs = hook_logs::read(data_dir, hook, LIMIT);
        if logs.is_empty() {
            let id = short_id(hook.process.id);
            message!("==> {} (process {id}): wrote nothing <==", printable(&hook.label));
        }
        for log in logs {
            ci::print_log(log.with_heading(), system);
        }
    }
}
