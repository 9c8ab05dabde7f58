//! `rigup report`: a page about a data dir.

use std::path::PathBuf;

use serde_json::json;

use crate::cli::command::{CommandResult, Context};
use crate::cli::output_file::OutputFile;
use crate::engine::{ExitStatus, overview};
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
pub(crate) fn report(args: ReportArgs, context: &mut Context) -> CommandResult {
    let file = OutputFile::open(args.html, "the report")?;
    let store = context.store()?;
    let page = page(&overview::read(&context.settings, store.as_deref())?);
    file.write((page + "\n").as_bytes())?;
    let path = file.path();
    if file.is_stdout() {
        return Ok(ExitStatus::Success);
    }
    if context.output.is_json_requested() {
        context.output.records([json!({ "type": "Report", "path": path })]);
    } else {
        context.output.path(path);
    }
    Ok(ExitStatus::Success)
}
