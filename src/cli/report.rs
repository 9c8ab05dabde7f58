//! `rigup report`: a page about a data dir.

use std::io;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::cli::command::{CliError, CommandResult, Context};
use crate::engine::{ExitStatus, overview};
use crate::fs::atomic;
use crate::report::overview::page;

/// The arguments of `rigup report`.
#[derive(Debug, clap::Args)]
#[command(after_help = include_str!("help/report.txt"))]
pub(crate) struct ReportArgs {
    /// Write the page to FILE
    #[arg(long, value_name = "FILE", default_value = "rigup-report.html")]
    html: PathBuf,
}

/// Runs `rigup report`.
pub(crate) fn report(args: &ReportArgs, context: &mut Context) -> CommandResult {
    let path = &args.html;
    atomic::check_for_user(path).map_err(|error| write_error(path, &error))?;
    let store = context.store()?;
    let page = page(&overview::read(&context.settings, store.as_deref())?);
    atomic::write_for_user(path, page.as_bytes()).map_err(|error| write_error(path, &error))?;
    if context.output.is_json_requested() {
        context.output.records([json!({ "type": "Report", "path": path })]);
    } else {
        context.output.line(path.display());
    }
    Ok(ExitStatus::Success)
}

fn write_error(path: &Path, error: &io::Error) -> CliError {
    CliError::setup(format!("cannot write the report to {}: {error}", path.display()))
}
