//! `rigup process tree`: who asked for whom.

use std::collections::HashSet;

use serde_json::json;

use crate::cli::error::{CliError, Exit};
use crate::cli::output::Output;
use crate::cli::process::{find, live_usage, table};
use crate::cli::session::Session;
use crate::model::id::ProcessId;
use crate::model::process::Process;
use crate::report::process_tree;
use crate::settings::Settings;
use crate::store::{ProcessFilter, Store};

/// Which processes to draw.
#[derive(Debug, clap::Args)]
pub(crate) struct TreeArgs {
    /// One process, by its id or the beginning or end of it, with all above and below it; else the newest roots
    process: Option<String>,
    /// So many of the newest roots
    #[arg(long, short = 'n', value_name = "N", default_value_t = 5)]
    limit: u32,
}

/// Runs it.
pub(super) fn tree(args: &TreeArgs, settings: &Settings, output: &mut Output) -> Result<Exit, CliError> {
    let (store, mut processes, open) = if let Some(typed) = &args.process {
        let (store, process) = find(typed, settings)?;
        let above = ancestors(&store, &process)?;
        (store, above, vec![process])
    } else {
        let Some(store) = Session::read(settings)? else {
            return Ok(Exit::Well);
        };
        let filter = ProcessFilter { is_root: true, limit: Some(args.limit), ..ProcessFilter::default() };
        let roots = store.processes(&filter)?;
        (store, Vec::new(), roots)
    };
    processes.extend(descendants(&store, open)?);
    let nodes = process_tree::arrange(&processes);
    if output.is_json() {
        output.records(nodes.iter().map(|node| {
            let mut record = node.process.to_record();
            record["depth"] = json!(node.depth);
            record["live"] = json!(live_usage(node.process));
            record
        }))?;
    } else {
        output.table(&table(nodes.iter().map(|node| (node.process, node.branch.as_str()))))?;
    }
    Ok(Exit::Well)
}

/// All above a process. A circle of parents, which only a damaged store has, ends where it began.
fn ancestors(store: &Store, process: &Process) -> Result<Vec<Process>, CliError> {
    let mut above: Vec<Process> = Vec::new();
    let mut next = process.parent_id;
    while let Some(parent) = next.map(|id| store.process(id)).transpose()?.flatten() {
        if parent.id == process.id || above.iter().any(|it| it.id == parent.id) {
            break;
        }
        next = parent.parent_id;
        above.push(parent);
    }
    Ok(above)
}

/// Processes and all below them, each once, whoever asked for whom.
pub(super) fn descendants(store: &Store, mut open: Vec<Process>) -> Result<Vec<Process>, CliError> {
    let mut seen: HashSet<ProcessId> = HashSet::new();
    let mut all = Vec::new();
    while let Some(process) = open.pop() {
        if seen.insert(process.id) {
            open.extend(store.process_children(process.id)?);
            all.push(process);
        }
    }
    Ok(all)
}
