//! `rigup process list`: the newest processes.

use crate::cli::command::{CommandResult, Context};
use crate::cli::process::table::write;
use crate::engine::ExitStatus;
use crate::store::ProcessFilter;

/// The arguments of `rigup process list`.
#[derive(Debug, clap::Args)]
pub(crate) struct ListArgs {
    /// List at most N processes
    #[arg(long, short = 'n', value_name = "N", default_value_t = 50)]
    limit: u32,
    /// List only processes with this status
    #[arg(long, value_parser = ["queued", "running", "exited"])]
    status: Option<String>,
    /// List only runs with this slug
    #[arg(long, value_name = "NAME")]
    slug: Option<String>,
    /// List only processes that belong to this binary
    #[arg(long, value_name = "NAME")]
    binary: Option<String>,
    /// List only the hooks of this plugin
    #[arg(long, value_name = "NAME")]
    plugin: Option<String>,
}

/// Runs `rigup process list`.
pub(crate) fn list(args: ListArgs, context: &mut Context) -> CommandResult {
    let filter = ProcessFilter {
        status: args.status,
        slug: args.slug,
        binary_name: args.binary,
        plugin: args.plugin,
        limit: Some(args.limit),
        ..ProcessFilter::default()
    };
    let processes = context.store()?.map(|store| store.processes(&filter)).transpose()?.unwrap_or_default();
    write(&processes, &mut context.output);
    Ok(ExitStatus::Success)
}
