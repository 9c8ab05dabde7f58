//! `rigup exec`: a command with what was installed first on PATH, recorded.

use std::ffi::OsString;
use std::path::Path;

use crate::cli::error::{CliError, Exit};
use crate::cli::output::say;
use crate::cli::search;
use crate::cli::session::Session;
use crate::clock;
use crate::hook::command;
use crate::model::id::{BinaryId, ProcessId};
use crate::model::process::{ExitReason, Process, ProcessExit, ProcessSpec, ProcessType};
use crate::process::foreground;
use crate::process::lock::process_lock::ProcessLock;
use crate::process::signals::Interrupt;
use crate::process::spawn;
use crate::settings::Settings;
use crate::store::BinaryFilter;

const EXAMPLES: &str = "\
Examples:
  rigup exec -- yt-dlp --version
  rigup exec -- sh -c 'wget -q https://example.org | rg title'

Inside a hook, `\"$RIGUP\" exec -- CMD` makes CMD a process of its own in `rigup process tree`.
Exit code: that of CMD, 128+N for signal N; 127 where there is no CMD, 126 where it cannot be started.";

/// What to run.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ExecArgs {
    /// The command and its arguments
    #[arg(last = true, required = true, value_name = "CMD")]
    command: Vec<OsString>,
}

/// Runs it.
pub(crate) fn exec(args: &ExecArgs, settings: &Settings) -> Result<Exit, CliError> {
    let Some((program, rest)) = args.command.split_first() else {
        return Err(CliError::Usage("no command to run".to_owned()));
    };
    let keep = search::own(settings)?.keep();
    let session = Session::open(settings)?;
    session.finish_lost()?;
    let interrupt = Interrupt::install().map_err(CliError::unusable)?;
    let id = ProcessId::generate();
    let environment = command::environment(settings, session.machine.id, id, &[]);
    let pwd = std::env::current_dir().unwrap_or_default();
    let mut spec = ProcessSpec::new(ProcessType::Binary, spawn::spelled(program, rest), pwd);
    spec.env = environment.added;
    let mut process = Process::queued(id, session.machine.id, spec, clock::now());
    process.parent_id = session.known_parent(settings)?;
    process.iface_id = Some(session.interface()?.id);
    process.binary_id = binary_of(program, &session)?;
    let _vigil = ProcessLock::take(&settings.data_dir, id).map_err(CliError::unusable)?;
    session.store.save_process(&process)?;
    let child = match spawn::start_attached(program, rest, Some(environment.whole)) {
        Ok(child) => child,
        Err(error) => {
            let failed = ProcessExit::spawn_failed(error.to_string(), clock::now());
            session.store.save_process(&process.into_exited(failed))?;
            say(&format!("error: {error}"));
            return Ok(Exit::Code(if error.is_missing { 127 } else { 126 }));
        }
    };
    let process = process.into_running(child.identity(), child.started_at);
    // The command runs already: what cannot be recorded any more is no reason to give up on it.
    let noted = session.store.save_process(&process);
    let reaped = foreground::see_out(&child, &interrupt).map_err(CliError::unusable)?;
    let exit = ProcessExit {
        exit_code: Some(reaped.exit_code),
        signal: reaped.signal,
        reason: if reaped.signal.is_some() { ExitReason::Signalled } else { ExitReason::Exited },
        usage: Some(reaped.usage),
        ..ProcessExit::lost(clock::now())
    };
    if let Err(error) = noted.and_then(|()| session.store.save_process(&process.into_exited(exit))) {
        say(&format!("warning: the end of the command is not recorded: {error}"));
    }
    if interrupt.signal().is_none() {
        session.clean_by_the_way(id, keep, settings);
    }
    Ok(Exit::Code(u8::try_from(reaped.exit_code).unwrap_or(u8::MAX)))
}

/// The binary that was installed under the command's name.
fn binary_of(program: &OsString, session: &Session) -> Result<Option<BinaryId>, CliError> {
    let Some(name) = Path::new(program).file_name() else { return Ok(None) };
    let filter = BinaryFilter { name: Some(name.to_string_lossy().into_owned()), ..BinaryFilter::default() };
    let mut binaries = session.store.binaries(&filter)?.into_iter();
    Ok(binaries.find(|it| it.machine_id == session.machine.id).map(|it| it.id))
}
