//! The commands for daemons: `rigup ps`, `stop`, `restart`, `wait` and `start NAME`.

use std::time::Duration;

use serde_json::Value;

use crate::cli::command::{CliError, CommandResult, Context};
use crate::cli::completions::values;
use crate::cli::daemon_binaries;
use crate::cli::message::warning;
use crate::cli::process::table;
use crate::clock;
use crate::engine::ExitStatus;
use crate::engine::completion;
use crate::engine::current_processes::CurrentProcesses;
use crate::engine::daemons::{self, not_found, stored};
use crate::model::{Daemon, DaemonSpec, DaemonStatus, ExitReason, Health, Process};
use crate::report::table::{Cell, Column, Table};
use crate::report::text::printable;
use crate::report::{tables, units};
use crate::shell;
use crate::store::ProcessFilter;
use crate::supervisor::control::ControlRequest;
use crate::supervisor::{execution, policy};

/// The place of the health in the table, which has it if a daemon has a health check.
const HEALTH_COLUMN: usize = 2;

/// The arguments of `rigup ps`.
#[derive(Debug, clap::Args)]
#[command(after_help = include_str!("help/ps.txt"))]
pub(crate) struct PsArgs {
    /// List also those that are not alive
    #[arg(long, short)]
    all: bool,
}

/// The arguments of commands that take the names of daemons.
#[derive(Debug, clap::Args)]
pub(crate) struct NamesArgs {
    /// The names of daemons
    #[arg(required = true, value_name = "NAME", add = values(completion::daemons))]
    names: Vec<String>,
}

/// Runs `rigup ps`.
pub(crate) fn ps(args: &PsArgs, context: &mut Context) -> CommandResult {
    let Some(store) = context.store()? else { return Ok(ExitStatus::Success) };
    let mut daemons = stored(&store)?;
    daemons.retain(|(daemon, _)| {
        args.all
            || daemon.status.is_alive()
            || matches!(daemon.status, DaemonStatus::Waiting | DaemonStatus::Backoff)
    });
    let filter =
        ProcessFilter { is_live: !args.all, limit: args.all.then_some(50), ..ProcessFilter::default() };
    let mut runs = store.processes(&filter)?;
    runs.retain(|process| {
        let is_daemon = |id| daemons.iter().any(|(daemon, _)| daemon.process_id == Some(id));
        process.spec.run.as_ref().is_some_and(|run| !execution::is_execution(run)) && !is_daemon(process.id)
    });
    // Only now, because the records of daemons are known already.
    let current = CurrentProcesses::new(&store, &context.settings)?;
    runs = runs.into_iter().map(|run| current.now(run)).collect();
    runs.retain(|run| args.all || run.exit().is_none());
    print_daemons(&daemons, context);
    if !runs.is_empty() {
        table::write(&runs, &mut context.output);
    }
    Ok(ExitStatus::Success)
}

/// Prints daemons as a table or as records.
pub(crate) fn print_daemons(daemons: &[(Daemon, Option<Process>)], context: &mut Context) {
    let records: Vec<Value> =
        daemons.iter().map(|(daemon, process)| daemon.to_record(process.as_ref())).collect();
    context.output.list(records, "no daemon is alive; `rigup ps -a` shows all", || {
        let has_health = daemons.iter().any(|(daemon, _)| daemon.spec.healthcheck.is_some());
        let has_limits = daemons.iter().any(|(daemon, _)| daemon.spec.memory_max.is_some());
        let mut columns = vec![
            Column::new("DAEMON").cut_end(16),
            Column::new("STATUS"),
            Column::new("PID"),
            Column::new("UPTIME").optional(2),
            Column::new("RESTARTS").optional(4),
            // Every terminal of 80 columns has room for it once the others are left out.
            Column::new("LAST ERROR").cut_end(24).optional(1),
        ];
        if has_health {
            columns.insert(HEALTH_COLUMN, Column::new("HEALTH"));
        }
        if has_limits {
            columns.push(Column::new("MEMORY MAX").optional(3));
        }
        let row = |(daemon, process): &(Daemon, Option<Process>)| {
            let running = process.as_ref().filter(|process| process.exit().is_none());
            let pid =
                running.and_then(|process| process.running()).map(|running| running.identity.pid.to_string());
            let uptime =
                running.and_then(|process| tables::elapsed(process, clock::now())).map(units::duration);
            let limit = daemon.spec.memory_max.map(|limit| format!("{} (polled)", units::bytes(limit)));
            let mut cells = vec![
                Cell::plain(&daemon.name),
                Cell::plain(format!("{}{}", daemon.status, if daemon.is_stale { " (stale)" } else { "" })),
                Cell::plain(pid.unwrap_or_default()),
                Cell::plain(uptime.unwrap_or_default()),
                Cell::plain(daemon.restarts.to_string()),
                Cell::plain(&daemon.last_error),
            ];
            if has_health {
                let health = Some(daemon.current_health()).filter(|health| *health != Health::None);
                cells.insert(HEALTH_COLUMN, Cell::plain(health.map_or("", Health::as_str)));
            }
            cells.extend(limit.map(Cell::plain));
            cells
        };
        Table::with_rows(columns, daemons.iter().map(row))
    });
}

/// Runs `rigup start NAME...`.
pub(crate) fn start(names: Vec<String>, context: &Context) -> CommandResult {
    if !daemons::await_supervisor(&context.settings)? {
        return Err(no_supervisor());
    }
    let stored = context.store()?.map_or(Ok(Vec::new()), |store| store.daemons())?;
    let specs: Vec<DaemonSpec> = stored.into_iter().map(|daemon| daemon.spec).collect();
    // The supervisor refuses an unknown name.
    let roots = policy::named(specs.iter(), &names).unwrap_or_default();
    let roots: Vec<String> = roots.iter().map(ToString::to_string).collect();
    let started = policy::with_dependencies(&specs, &roots);
    if !daemon_binaries::install(specs.iter().filter(|spec| started.contains(&spec.name)), context)? {
        return Ok(ExitStatus::Incomplete);
    }
    if daemons::request(&context.settings, &ControlRequest::Start { names }, None)?.is_none() {
        return Err(no_supervisor());
    }
    Ok(ExitStatus::Success)
}

/// Runs `rigup stop`.
pub(crate) fn stop(args: &NamesArgs, context: &Context) -> CommandResult {
    let request = ControlRequest::Stop { names: args.names.clone() };
    request_or_stop(&request, Some(&args.names), None, context)
}

/// Sends a request that stops daemons to the supervisor, or stops them if none runs.
pub(super) fn request_or_stop(
    request: &ControlRequest,
    names: Option<&[String]>,
    grace: Option<Duration>,
    context: &Context,
) -> CommandResult {
    match context.session() {
        Ok(session) => {
            for text in daemons::request_or_stop(&session, request, names, grace)? {
                warning!("{}", printable(&text));
            }
        }
        // The supervisor can also stop daemons while the disk is full.
        Err(error) => {
            if daemons::request(&context.settings, request, None)?.is_none() {
                return Err(error);
            }
        }
    }
    Ok(ExitStatus::Success)
}

/// Runs `rigup restart`.
pub(crate) fn restart(args: NamesArgs, context: &Context) -> CommandResult {
    let request = ControlRequest::Restart { names: args.names };
    if daemons::request(&context.settings, &request, None)?.is_none() {
        return Err(no_supervisor());
    }
    Ok(ExitStatus::Success)
}

/// Runs `rigup wait`: exits with the first exit code that is not 0.
pub(crate) fn wait(args: &NamesArgs, context: &Context) -> CommandResult {
    let request = ControlRequest::Wait { names: args.names.clone() };
    let answer = daemons::request(&context.settings, &request, None)?;
    let is_supervised = answer.is_some();
    let records = if let Some(answer) = answer {
        answer.daemons
    } else {
        let store = context.store()?.ok_or_else(|| not_found(&args.names[0]))?;
        let daemons = stored(&store)?;
        daemons.iter().map(|(daemon, process)| daemon.to_record(process.as_ref())).collect()
    };
    for name in &args.names {
        let is_named = |record: &&Value| record["name"] == **name || record["replica_of"] == **name;
        let mut named = records.iter().filter(is_named).peekable();
        if named.peek().is_none() {
            return Err(not_found(name).into());
        }
        for record in named {
            let code = record["exit_code"].as_u64().and_then(|code| u8::try_from(code).ok());
            match code {
                Some(0) => {}
                Some(code) => return Ok(ExitStatus::Code(code)),
                None => return Err(CliError::not_found(missing_code(record, is_supervised))),
            }
        }
    }
    Ok(ExitStatus::Success)
}

/// Returns why a daemon has no exit code, given its record.
fn missing_code(record: &Value, is_supervised: bool) -> String {
    let text = |key: &str| printable(record[key].as_str().unwrap_or_default());
    let (name, reason, error) = (text("name"), text("exit_reason"), text("last_error"));
    let is_unstarted = reason.is_empty() || reason == ExitReason::SpawnFailed.as_str();
    if !record["pid"].is_null() {
        let next = "start one with `rigup up -d`, which takes it over";
        format!("cannot wait for {name}: no supervisor runs; {next}")
    } else if !is_unstarted {
        format!("{name} has no exit code: {reason}")
    } else if !error.is_empty() {
        format!("{name} was not started: {error}")
    } else {
        let command = if is_supervised { "start" } else { "up -d" };
        let started = shell::quote_text(&name);
        format!("{name} has not been started; start it with `rigup {command} {started}`")
    }
}

/// Returns the error of a command that needs a supervisor.
pub(crate) fn no_supervisor() -> CliError {
    CliError::not_found("no supervisor runs; start one with `rigup up -d`")
}
