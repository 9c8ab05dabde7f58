//! `rigup events`: what happens to daemons.

use std::io;
use std::ops::ControlFlow;
use std::os::fd::AsFd;

use serde_json::Value;

use crate::cli::command::{CommandResult, Context};
use crate::cli::completions::values;
use crate::cli::daemon::no_supervisor;
use crate::engine::completion;
use crate::engine::{ExitStatus, daemons};
use crate::report::text::printable;
use crate::supervisor::control::ControlRequest;

/// The arguments of `rigup events`.
#[derive(Debug, clap::Args)]
#[command(after_help = include_str!("help/events.txt"))]
pub(crate) struct EventsArgs {
    /// Print only the events of these daemons
    #[arg(value_name = "NAME", add = values(completion::daemons))]
    names: Vec<String>,
}

/// Runs `rigup events`: prints each event until the supervisor ends.
pub(crate) fn events(args: EventsArgs, context: &mut Context) -> CommandResult {
    let Context { output, settings, .. } = context;
    let request = ControlRequest::Events { names: args.names };
    let stdout = io::stdout();
    let is_running = daemons::follow(settings, &request, stdout.as_fd(), |records| {
        for record in records {
            if output.is_json() {
                output.records([record]);
            } else {
                output.text(describe(&record) + "\n");
            }
        }
        output.flush();
        ControlFlow::Continue(())
    })?;
    if is_running { Ok(ExitStatus::Success) } else { Err(no_supervisor()) }
}

/// Returns an event as a line: its time, its name, the daemon and its state.
fn describe(record: &Value) -> String {
    let text = |key: &str| printable(record[key].as_str().unwrap_or_default());
    let number = |key: &str| record[key].as_u64();
    let mut line = format!("{}  {:16}  {}: {}", text("at"), text("type"), text("name"), text("status"));
    let pid = number("pid").map(|pid| format!("pid {pid}"));
    let exit_code = number("exit_code").map(|code| format!("exit {code}"));
    let exit_reason = Some(text("exit_reason")).filter(|reason| !reason.is_empty());
    let details: Vec<String> = pid.into_iter().chain(exit_code).chain(exit_reason).collect();
    if !details.is_empty() {
        line = format!("{line} ({})", details.join(", "));
    }
    match text("last_error") {
        error if error.is_empty() => line,
        error => format!("{line}: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_event_is_a_line_with_what_is_known_about_it() {
        let at = "2026-11-21T10:00:00.000Z";
        let ready =
            json!({"type": "DaemonReady", "at": at, "name": "a\u{1b}b", "status": "running", "pid": 7});
        assert_eq!(describe(&ready), format!("{at}  DaemonReady       a\u{fffd}b: running (pid 7)"));
        let failed = json!({
            "type": "DaemonFailed", "at": at, "name": "a", "status": "failed", "pid": null,
            "exit_code": 3, "exit_reason": "exited", "last_error": "exit 3",
        });
        assert_eq!(describe(&failed), format!("{at}  DaemonFailed      a: failed (exit 3, exited): exit 3"));
    }
}
