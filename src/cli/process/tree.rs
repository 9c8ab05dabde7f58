//! `rigup process tree`: processes below those that started them.

use serde_json::json;

use crate::cli::command::{CommandResult, Context};
use crate::cli::completions::values;
use crate::cli::count;
use crate::cli::process::table::{live_usage, table};
use crate::engine::completion;
use crate::engine::current_processes::CurrentProcesses;
use crate::engine::{ExitStatus, processes};
use crate::model::Process;
use crate::report::process_tree;
use crate::store::ProcessFilter;

/// The arguments of `rigup process tree`.
#[derive(Debug, clap::Args)]
#[command(after_help = include_str!("../help/process_tree.txt"))]
pub(crate) struct TreeArgs {
    /// Pid or id of the process to show with its ancestors and descendants [default: the newest trees]
    #[arg(add = values(completion::processes))]
    process: Option<String>,
    /// Show the N newest trees; 0 shows all
    #[arg(long, short = 'n', value_name = "N", default_value_t = 5, value_parser = count::parse::<u32>)]
    limit: u32,
}

/// Runs `rigup process tree`.
pub(crate) fn tree(args: &TreeArgs, context: &mut Context) -> CommandResult {
    let (store, mut processes, roots) = if let Some(id) = &args.process {
        let (store, process) = context.process(id)?;
        let ancestors = store.process_with_ancestors(process.id)?.into_iter().skip(1).collect();
        (store, ancestors, vec![process])
    } else {
        let Some(store) = context.store()? else { return Ok(ExitStatus::Success) };
        let filter = ProcessFilter {
            is_root: true,
            limit: Some(args.limit).filter(|limit| *limit > 0),
            ..ProcessFilter::default()
        };
        let roots = store.processes(&filter)?;
        (store, Vec::new(), roots)
    };
    processes.extend(processes::with_descendants(&store, roots)?);
    let current = CurrentProcesses::new(&store, &context.settings)?;
    let processes: Vec<Process> = processes.into_iter().map(|process| current.now(process)).collect();
    let nodes = process_tree::arrange(&processes);
    let records = nodes.iter().map(|node| {
        let mut record = node.process.to_record();
        record["depth"] = json!(node.depth);
        record["live"] = json!(live_usage(node.process));
        record
    });
    let table = || table(nodes.iter().map(|node| (node.process, node.branch.as_str())));
    context.output.list(records, "no processes", table);
    Ok(ExitStatus::Success)
}
