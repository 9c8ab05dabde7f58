//! `rigup process kill`: ending processes, verified.

use std::str::FromStr;
use std::time::Duration;

use rustix::process::Signal;

use crate::cli::error::{CliError, Exit};
use crate::cli::output::{Output, say};
use crate::cli::process::tree::descendants;
use crate::cli::process::{find_all, write};
use crate::cli::session::Session;
use crate::model::process::Process;
use crate::process::kill::{self, Killed};
use crate::process::{terminate, tree};
use crate::settings::Settings;

const EXAMPLES: &str = "\
Examples:
  rigup process kill 01a1fbc3
  rigup process kill --tree 01a1fbc3        and whatever is recorded below it
  rigup process kill --signal HUP 01a1fbc3  only sends the signal
  rigup process kill --signal INT --grace 30 01a1fbc3

Exit code: 0 where all are over, also where they were before; 1 where one survived.";

/// Whom to end, and how.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct KillArgs {
    /// The processes, by their ids or the beginnings or ends of them
    #[arg(required = true, value_name = "PROCESS")]
    processes: Vec<String>,
    /// By name or number. TERM, INT, QUIT and KILL are followed up; any other is sent, and that is all
    #[arg(long, short, value_name = "SIGNAL", default_value = "TERM")]
    signal: SignalName,
    /// Kill what is still there after so many seconds [default: 5]
    #[arg(long, value_name = "S")]
    grace: Option<u64>,
    /// Also what is recorded below them
    #[arg(long)]
    tree: bool,
}

/// A signal as people write it: `TERM`, `sigterm`, `15`.
#[derive(Debug, Clone, Copy)]
struct SignalName(Signal);

impl FromStr for SignalName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let name = text.to_ascii_uppercase();
        let name = if name.starts_with("SIG") { name } else { format!("SIG{name}") };
        let number =
            text.parse().ok().or_else(|| Some(nix::sys::signal::Signal::from_str(&name).ok()? as i32));
        let signal = number.and_then(Signal::from_named_raw).map(Self);
        signal.ok_or_else(|| "no such signal; give a name such as TERM, or a number".to_owned())
    }
}

/// Runs it.
pub(super) fn kill(args: &KillArgs, settings: &Settings, output: &mut Output) -> Result<Exit, CliError> {
    let session = Session::open(settings)?;
    let mut processes = find_all(&session, &args.processes)?;
    if args.tree {
        processes = descendants(&session.store, processes)?;
        // Whoever asked comes first: it may end the others itself.
        processes.sort_by_key(|it| it.id);
    }
    let signal = args.signal.0;
    let ends = matches!(signal, Signal::TERM | Signal::INT | Signal::QUIT | Signal::KILL);
    if !ends && args.grace.is_none() {
        return Ok(send(&processes, signal));
    }
    let grace = match args.grace {
        Some(seconds) => Duration::from_secs(seconds),
        None => terminate::GRACE,
    };
    let mut over = Vec::new();
    let mut exit = Exit::Well;
    for process in processes {
        let id = process.id;
        match kill::kill(&session.store, &process, signal, grace)? {
            Killed::Over(process) => over.push(*process),
            Killed::WasOver => {
                if !args.tree {
                    say(&format!("process {id} was over already"));
                }
            }
            Killed::NotStarted => {
                say(&format!("error: process {id} is not started yet; end the rigup that is about to"));
                exit = Exit::Missing;
            }
            Killed::Survived(left) => {
                if left.is_empty() {
                    say(&format!(
                        "error: process {id} goes on, and is not seen from here: end it in the container that it runs in"
                    ));
                }
                for it in left {
                    say(&format!("error: process {id} could not be ended: {}", tree::command_line(it.pid)));
                }
                exit = Exit::Missing;
            }
        }
    }
    write(&over, output)?;
    Ok(exit)
}

fn send(processes: &[Process], signal: Signal) -> Exit {
    let mut exit = Exit::Well;
    for process in processes {
        if !kill::signal(process, signal) {
            say(&format!("error: process {} is not running", process.id));
            exit = Exit::Missing;
        }
    }
    exit
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_is_known_by_its_name_and_by_its_number() {
        for text in ["TERM", "sigterm", "15", "SIGTERM"] {
            assert_eq!(text.parse::<SignalName>().unwrap().0, Signal::TERM, "{text}");
        }
        for text in ["", "TERMINATE", "0", "-9", "999"] {
            assert!(text.parse::<SignalName>().is_err(), "{text}");
        }
    }
}
