//! `rigup process kill`: terminates processes, or sends them a signal.

use std::str::FromStr;
use std::time::Duration;

use rustix::process::Signal;

use crate::cli::command::{CommandResult, Context};
use crate::cli::message::{error, message};
use crate::cli::process::table::write;
use crate::duration;
use crate::engine::{ExitStatus, processes};
use crate::model::{Process, ProcessId};
use crate::process::kill::{self, KillOutcome};
use crate::process::system::ProcessEntry;
use crate::process::{terminate, tree};
use crate::store::Store;

/// The arguments of `rigup process kill`.
#[derive(Debug, clap::Args)]
#[command(after_help = include_str!("../help/process_kill.txt"))]
pub(crate) struct KillArgs {
    /// Process ids, or a unique prefix or suffix of each
    #[arg(required = true, value_name = "PROCESS")]
    processes: Vec<String>,
    /// Send this signal
    #[arg(long, short, value_name = "SIGNAL", default_value = "TERM", value_parser = parse_signal)]
    signal: Signal,
    /// Kill whatever is still alive after TIME [default: 5]
    #[arg(long, value_name = "TIME", value_parser = duration::parse)]
    grace: Option<Duration>,
    /// Terminate recorded descendants, too
    #[arg(long)]
    tree: bool,
}

/// Runs `rigup process kill`.
pub(crate) fn kill(args: &KillArgs, context: &mut Context) -> CommandResult {
    let session = context.session()?;
    let mut processes = processes::find_all(&session, &args.processes)?;
    if args.tree {
        processes = processes::with_descendants(&session.store, processes)?;
        // Parents first: they may terminate their children themselves.
        processes.sort_by_key(|process| process.id);
    }
    let signal = args.signal;
    let is_final = matches!(signal, Signal::TERM | Signal::INT | Signal::QUIT | Signal::KILL);
    if !is_final && args.grace.is_none() {
        return Ok(send(&session.store, &processes, signal));
    }
    let grace = args.grace.unwrap_or(terminate::GRACE);
    let mut exited = Vec::new();
    let mut status = ExitStatus::Success;
    for process in processes {
        let id = process.id;
        match kill::kill(&session.store, &process, signal, grace)? {
            KillOutcome::Exited(process) => exited.push(*process),
            KillOutcome::AlreadyExited if args.tree => {}
            KillOutcome::AlreadyExited => message!("process {id} has already exited"),
            KillOutcome::NotStarted => {
                error!("cannot kill process {id}: it has not started yet; kill its parent");
                status = ExitStatus::Incomplete;
            }
            KillOutcome::Survived(survivors) => {
                print_survivors(id, &survivors);
                status = ExitStatus::Incomplete;
            }
        }
    }
    write(&exited, &mut context.output);
    Ok(status)
}

fn print_survivors(id: ProcessId, survivors: &[ProcessEntry]) {
    if survivors.is_empty() {
        error!(
            "cannot kill process {id}: it is not visible from here; kill it in the container that it runs in"
        );
    }
    for survivor in survivors {
        let command = tree::command_line(survivor.pid);
        error!("cannot kill process {id}: {command} survived");
    }
}

fn send(store: &Store, processes: &[Process], signal: Signal) -> ExitStatus {
    let mut status = ExitStatus::Success;
    for process in processes.iter().filter(|process| !kill::signal(store, process, signal)) {
        error!("cannot signal process {}: it is not running", process.id);
        status = ExitStatus::Incomplete;
    }
    status
}

/// Parses a signal, written as `TERM`, `sigterm` or `15`.
fn parse_signal(text: &str) -> Result<Signal, String> {
    let name = text.to_ascii_uppercase();
    let name = if name.starts_with("SIG") { name } else { format!("SIG{name}") };
    let number = text.parse().ok().or_else(|| Some(nix::sys::signal::Signal::from_str(&name).ok()? as i32));
    let signal = number.and_then(Signal::from_named_raw);
    signal.ok_or_else(|| "not a signal; use a name such as TERM, or a number".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_a_signal_by_its_name_and_by_its_number() {
        for text in ["TERM", "sigterm", "15", "SIGTERM"] {
            assert_eq!(parse_signal(text).unwrap(), Signal::TERM, "{text}");
        }
        for text in ["", "TERMINATE", "0", "-9", "999"] {
            assert!(parse_signal(text).is_err(), "{text}");
        }
    }
}
