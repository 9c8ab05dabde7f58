//! `rigup hook versions`: the versions on the pages of registries.

use std::io::{self, Read};
use std::time::Duration;

use crate::cli::command::{CliError, CommandResult, Context, interrupt};
use crate::cli::standard_stream::StandardStream;
use crate::engine::ExitStatus;
use crate::fs::temporary_folder::TemporaryFolder;
use crate::hook::command;
use crate::process::subreaper;
use crate::toolkit::http::pages::PageDownload;
use crate::toolkit::versions::VersionPages;
use crate::toolkit::versions::format::PageFormat;
use crate::toolkit::versions::page::RegistryPage;
use crate::toolkit::versions::python::PythonTarget;

/// The arguments of `rigup hook versions`.
#[derive(Debug, clap::Args)]
pub(crate) struct VersionsArgs {
    /// Kind of the pages: pypi, npm, crates, gem, node, brew or lines
    #[arg(long, value_name = "KIND", hide_possible_values = true)]
    registry: PageFormat,
    /// Leave out Python packages for other versions of Python or other systems
    #[arg(long, value_name = "VERSION")]
    python: Option<String>,
    /// Leave out Python packages without a wheel for this system
    #[arg(long)]
    wheels: bool,
    /// Give up on a page after TIME
    #[arg(long, value_name = "TIME", value_parser = command::parse_timeout, default_value = "30")]
    max_time: Duration,
}

/// Downloads the pages that the lines on stdin name, and prints the records about them.
pub(super) fn print(args: &VersionsArgs, context: &mut Context) -> CommandResult {
    subreaper::become_subreaper();
    let mut input = Vec::new();
    StandardStream(io::stdin())
        .read_to_end(&mut input)
        .map_err(|error| CliError::setup(format!("cannot read stdin: {error}")))?;
    let pages = RegistryPage::parse_lines(&String::from_utf8_lossy(&input));
    let folder = TemporaryFolder::create("rigup-").map_err(CliError::setup)?;
    let interrupt = interrupt()?;
    let versions = VersionPages {
        format: args.registry,
        python: PythonTarget { version: args.python.as_deref(), has_only_wheels: args.wheels },
        download: PageDownload { max_time: args.max_time, folder: &folder },
    };
    let records = versions.records(&pages, &context.settings, &interrupt);
    if let Some(signal) = interrupt.signal() {
        return Ok(ExitStatus::Interrupted(signal));
    }
    let records = records.map_err(|error| CliError::setup(format!("cannot download: {error}")))?;
    context.output.records(records);
    Ok(ExitStatus::Success)
}
