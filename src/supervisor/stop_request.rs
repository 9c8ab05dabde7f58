//! How a daemon is told to stop if its declaration names another way than a signal to everything that it started.

use std::path::Path;
use std::time::Instant;

use rustix::process::Signal;

use crate::model::{DaemonSpec, Process};
use crate::process::capture::{self, Captured, CapturedExit};
use crate::process::handle::Handle;
use crate::process::signals::Interrupt;
use crate::process::spawn::CommandSpec;
use crate::process::{launcher, poll, run_dir, waiter};
use crate::store::Store;

/// Runs the `stop_command` of a daemon, or sends the signal to the daemon alone if it is declared so, and waits until the
/// daemon, whose `root` runs, has exited, at most until the deadline. Does nothing for a daemon with neither. Returns why the command failed;
/// then the signal has to follow.
pub(super) fn send(
    store: &Store,
    process: &Process,
    root: &Handle,
    spec: &DaemonSpec,
    rigup: &Path,
    signal: Signal,
    deadline: Instant,
) -> Result<(), String> {
    if spec.stop_command.is_none() && !spec.is_signalled_alone {
        return Ok(());
    }
    // The waiter then records that the daemon was stopped, and terminates what it leaves behind, with the command.
    let _ = run_dir::of(store.data_dir(), process).map(|run_dir| run_dir.request_stop());
    if let Some(command) = &spec.stop_command {
        let result = run(command, process, spec, rigup, deadline);
        if poll::readable([root.fd()], Instant::now()) != [true] {
            result?;
        }
    } else {
        // A stopped process handles a signal only after it is continued.
        root.signal(signal);
        root.signal(Signal::CONT);
    }
    poll::readable([root.fd()], deadline);
    Ok(())
}

/// Runs a command in the folder, with the environment and with the attributes of the daemon.
fn run(
    command: &[String],
    process: &Process,
    spec: &DaemonSpec,
    rigup: &Path,
    deadline: Instant,
) -> Result<(), String> {
    let Some((program, args)) = command.split_first() else { return Ok(()) };
    let env = waiter::environment_of_execution(process)
        .ok_or("stop_command cannot run: the environment of the daemon is unknown")?;
    let command = CommandSpec {
        program: program.into(),
        args: args.iter().map(Into::into).collect(),
        env,
        cwd: process.spec.pwd.clone(),
    };
    let command = command.started_by(launcher::words(rigup, spec.attributes.if_any()));
    let captured = Interrupt::none().and_then(|interrupt| capture::run(command, deadline, &interrupt));
    match captured.map_err(|error| format!("stop_command failed: {error}"))? {
        Captured::Exited(CapturedExit { exit_code: Some(0), .. }) => Ok(()),
        Captured::Exited(exit) => {
            let code = exit.exit_code.map_or_else(|| "an unknown code".to_owned(), |code| code.to_string());
            Err(format!("stop_command exited with {code}{}", exit.reason()))
        }
        Captured::NotStarted(error) => Err(format!("stop_command failed: {error}")),
        Captured::Killed(_) => Err("stop_command did not end within the grace period".to_owned()),
    }
}
