//! `rigup process list`: the recorded processes.

use clap::builder::{PossibleValuesParser, TypedValueParser};
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use crate::cli::command::{CommandResult, Context, machine_with_id};
use crate::cli::completions::values;
use crate::cli::count;
use crate::cli::process::table::write;
use crate::clock;
use crate::duration::{self, Limit};
use crate::engine::completion;
use crate::engine::current_processes::CurrentProcesses;
use crate::engine::{ExitStatus, processes};
use crate::model::ProcessType;
use crate::report::units;
use crate::store::ProcessFilter;

/// The arguments of `rigup process list`.
#[derive(Debug, clap::Args)]
#[command(after_help = include_str!("../help/process_list.txt"))]
pub(crate) struct ListArgs {
    /// List at most N processes; 0 lists all
    #[arg(long, short = 'n', value_name = "N", default_value_t = 50, value_parser = count::parse::<u32>)]
    limit: u32,
    /// List only processes with this status
    #[arg(long, value_parser = ["queued", "running", "exited"])]
    status: Option<String>,
    /// List only processes that failed
    #[arg(long)]
    failed: bool,
    /// List only processes that were recorded since then
    #[arg(long, value_name = "TIME", value_parser = parse_since)]
    since: Option<Timestamp>,
    /// List only processes of this type
    #[arg(long = "type", value_name = "TYPE", value_parser = type_parser())]
    process_type: Option<ProcessType>,
    /// List only runs with this slug
    #[arg(long, value_name = "NAME", add = values(completion::slugs))]
    slug: Option<String>,
    /// List only processes that belong to this binary
    #[arg(long, value_name = "NAME", add = values(completion::recorded))]
    binary: Option<String>,
    /// List only the hooks of this plugin
    #[arg(long, value_name = "NAME", add = values(completion::plugins))]
    plugin: Option<String>,
    /// List only processes that this one started
    #[arg(long, value_name = "PROCESS", add = values(completion::processes))]
    parent: Option<String>,
    /// List only processes with this pid
    #[arg(long, value_name = "PID", value_parser = count::parse::<u32>)]
    pid: Option<u32>,
    /// List only processes on this machine
    #[arg(long, value_name = "ID", add = values(completion::machines))]
    machine: Option<String>,
    /// Print only the number of processes
    #[arg(long, conflicts_with = "limit")]
    count: bool,
}

/// The number up to which processes are counted if a list is cut: counting millions takes longer than listing a few.
const MAX_COUNTED: u32 = 10_000;

/// Runs `rigup process list`.
pub(crate) fn list(args: ListArgs, context: &mut Context) -> CommandResult {
    let Some(store) = context.store()? else {
        if args.count {
            context.output.count(0);
        } else {
            write(&[], &mut context.output);
        }
        return Ok(ExitStatus::Success);
    };
    let filter = ProcessFilter {
        status: args.status,
        has_failed: args.failed,
        since: args.since,
        process_type: args.process_type,
        slug: args.slug,
        binary_name: args.binary,
        plugin: args.plugin,
        parent_id: args.parent.map(|id| processes::find(&store, &id)).transpose()?.map(|parent| parent.id),
        pid: args.pid,
        machine_id: args.machine.map(|id| machine_with_id(&store, &id)).transpose()?,
        limit: Some(args.limit).filter(|limit| *limit > 0),
        ..ProcessFilter::default()
    };
    let processes = CurrentProcesses::new(&store, &context.settings)?.matching(&filter)?;
    if args.count {
        context.output.count(processes.count(None)?);
        return Ok(ExitStatus::Success);
    }
    let listed = processes.list()?;
    write(&listed, &mut context.output);
    if !context.verbosity.quiet && filter.limit.is_some_and(|limit| listed.len() == limit as usize) {
        let max = MAX_COUNTED.max(args.limit.saturating_mul(2));
        let all = processes.count(Some(max.saturating_add(1)))?;
        let (shown, max) = (listed.len() as u64, max.into());
        if all > shown {
            context.output.flush();
            let more = if all > max { "more than " } else { "" };
            let (shown, all) = (units::count(shown), units::count(all.min(max)));
            context.verbosity.note(&format!("{shown} of {more}{all}; -n 0 for all"));
        }
    }
    Ok(ExitStatus::Success)
}

/// Returns the parser of a process type.
pub(crate) fn type_parser() -> impl TypedValueParser<Value = ProcessType> {
    PossibleValuesParser::new(ProcessType::ALL.map(ProcessType::as_str)).try_map(|word| word.parse())
}

/// Parses a time in UTC, with or without the time of day, a duration before now, or `none`.
fn parse_since(text: &str) -> Result<Timestamp, String> {
    let in_utc = |time: DateTime| time.to_zoned(TimeZone::UTC).ok().map(|time| time.timestamp());
    let time = match duration::parse_limit(text) {
        Ok(Limit(None)) => Some(Timestamp::MIN),
        Ok(Limit(Some(duration))) => Some(clock::now().saturating_sub(duration).unwrap_or(Timestamp::MIN)),
        Err(_) => text.parse().ok().or_else(|| in_utc(text.parse().ok()?)),
    };
    time.ok_or_else(|| {
        "use a duration such as 90, 5m, 2h or 7d, a time such as 2026-11-21 or 2026-11-21T10:00:00Z, or `none`"
            .to_owned()
    })
}
