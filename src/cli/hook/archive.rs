//! `rigup hook unpack`: for hook scripts that download archives.

use std::path::{Path, PathBuf};

use crate::cli::cli_error::CliError;
use crate::cli::command::{CommandResult, interrupt};
use crate::engine::ExitStatus;
use crate::toolkit::unpack::{self, UnpackError};

/// The arguments of `rigup hook unpack`.
#[derive(Debug, clap::Args)]
pub(crate) struct UnpackArgs {
    /// Archive or compressed file. Any other file is copied
    file: PathBuf,
    /// Folder to unpack into, which must be new or empty
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

/// Runs `rigup hook unpack`.
pub(crate) fn unpack(args: &UnpackArgs) -> CommandResult {
    match unpack::unpack(&args.file, &args.folder, &interrupt()?) {
        Ok(()) => Ok(ExitStatus::Success),
        Err(UnpackError::Interrupted(signal)) => Ok(ExitStatus::Interrupted(signal)),
        Err(error) => Err(unpack_error(&args.file, &error)),
    }
}

/// Returns the error of the command: a file or a folder that cannot be used is not the archive's fault.
fn unpack_error(file: &Path, error: &UnpackError) -> CliError {
    let text = format!("cannot unpack {}: {error}", file.display());
    match error {
        UnpackError::Io(..) | UnpackError::NoSpace(..) | UnpackError::NotEmpty(_) => CliError::setup(text),
        _ => CliError::not_found(text),
    }
}
