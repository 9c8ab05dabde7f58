//! `rigup exec`: a command with the installed binaries first on PATH.

use std::ffi::OsString;

use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::cli::message::error;
use crate::engine::{EngineError, ExitStatus, runs};

const EXAMPLES: &str = "\
Examples:
  rigup exec -- yt-dlp --version
  rigup exec -- sh -c 'wget -q https://example.org | rg title'

Inside a hook, `\"$RIGUP\" exec -- CMD` gives CMD its own entry in `rigup process tree`.
The exit code is CMD's own, 128+N if signal N killed it, 127 if CMD does not exist, and 126 if
it cannot be started.";

/// What to run.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ExecArgs {
    /// The command and its arguments
    #[arg(last = true, required = true, value_name = "CMD")]
    command: Vec<OsString>,
}

/// Runs `rigup exec`.
pub(crate) fn exec(args: &ExecArgs, context: &Context) -> Result<ExitStatus, CliError> {
    let Some((program, arguments)) = args.command.split_first() else {
        return Err(CliError::Usage("no command to run".to_owned()));
    };
    match runs::exec(&context.session()?, program, arguments) {
        Ok(process) => {
            let code = process.exit().and_then(|exit| exit.exit_code).unwrap_or_default();
            Ok(ExitStatus::Code(u8::try_from(code).unwrap_or(u8::MAX)))
        }
        Err(EngineError::Spawn(error)) => {
            error!("{error}");
            Ok(ExitStatus::Code(if error.is_missing { 127 } else { 126 }))
        }
        Err(error) => Err(error.into()),
    }
}
