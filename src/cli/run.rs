//! `rigup run`: the hooks of events.

use std::cell::RefCell;
use std::ffi::OsString;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::SignedDuration;
use serde::Serialize;
use serde_json::Value;

use crate::cli::ci::CiArgs;
use crate::cli::command::{CliError, CommandResult, Context, Verbosity};
use crate::cli::completions::{list_of, values};
use crate::cli::count;
use crate::cli::failure;
use crate::cli::junit::JunitArgs;
use crate::cli::message::{diagnostics_status, error, message, print_diagnostics, print_event, warning};
use crate::cli::output::Output;
use crate::cli::process::table;
use crate::cli::progress::ProgressDisplay;
use crate::cli::show_logs::ShowLogsArgs;
use crate::cli::standard_stream::StandardStream;
use crate::clock;
use crate::duration::{self, Limit};
use crate::engine::catalog::check_plugin_folders;
use crate::engine::completion;
use crate::engine::event_plan::has_hooks;
use crate::engine::event_plugins;
use crate::engine::event_request::hook_argument;
use crate::engine::events;
use crate::engine::hook_logs::RanHook;
use crate::engine::job;
use crate::engine::{
    EndedEvent, EngineEvent, EventRequest, EventSummary, ExitStatus, Follow, FollowEvent, HookEvent,
    ProcessType, RunEvent, processes,
};
use crate::hook::command;
use crate::model::Process;
use crate::model::process::SKIPPED;
use crate::plugin::discovery::Hook;
use crate::process::handle;
use crate::report::ci::CiSystem;
use crate::report::job_report::{ItemOutcome, JobReport};
use crate::report::short_id::short_id;
use crate::report::table::{Cell, Column, Table};
use crate::report::text::printable;
use crate::report::{closing, record, tables, units};

/// The arguments of `rigup run`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = include_str!("help/run.txt"),
    override_usage = "rigup run [OPTIONS] <EVENT>[,<EVENT>...] [--KEY=VALUE]..."
)]
pub(crate) struct RunArgs {
    /// Run only the hooks of these plugins
    #[arg(long, value_name = "A,B", value_delimiter = ',', add = values(completion::plugins))]
    plugins: Vec<String>,
    /// Run only the hooks with these names
    #[arg(long, value_name = "A,B", value_delimiter = ',', conflicts_with = "follow", add = values(completion::hooks))]
    hooks: Vec<String>,
    /// Give standard input to each foreground hook
    #[arg(long)]
    stdin: bool,
    /// Terminate a hook after TIME [default: from a setting, or 300]
    #[arg(long, value_name = "TIME", value_parser = command::parse_timeout)]
    timeout: Option<Duration>,
    /// Wait TIME or forever (`none`) for a daemon hook [default: 30 or more]
    #[arg(long, value_name = "TIME", value_parser = duration::parse_limit)]
    ready_timeout: Option<Limit>,
    /// Run each plugin's hooks in DIR/PLUGIN [default: a folder in DATA_DIR]
    #[arg(long, value_name = "DIR")]
    output_dir: Option<PathBuf>,
    /// Start an event for each record of these types, such as `Snapshot`
    #[arg(long, value_name = "A,B", value_delimiter = ',', add = values(completion::events))]
    follow: Vec<String>,
    /// Follow records up to N levels below the first event [default: 1]
    #[arg(long, value_name = "N", requires = "follow", value_parser = count::parse::<u32>)]
    max_depth: Option<u32>,
    /// Run up to N followed events at once [default: cores]
    #[arg(long, short, value_name = "N", requires = "follow", value_parser = count::parse_jobs)]
    jobs: Option<usize>,
    /// Install binaries and store paths as the records of hooks request it
    #[arg(long)]
    apply: bool,
    #[command(flatten)]
    logs: ShowLogsArgs,
    #[command(flatten)]
    pub(crate) ci: CiArgs,
    #[command(flatten)]
    pub(crate) junit: JunitArgs,
    /// Show which hooks of the `rigup run` with this id are still running
    #[arg(long, value_name = "ID", conflicts_with_all = ["event", "plugins", "hooks", "stdin", "timeout", "ready_timeout", "output_dir", "follow", "apply"], add = values(completion::processes))]
    status: Option<String>,
    /// The events, such as `Snapshot` or `CrawlSetup,Snapshot`, then arguments for their hooks
    // One list, because clap would still look for rigup's own options between two.
    #[arg(
        value_name = "EVENT",
        required_unless_present = "status",
        trailing_var_arg = true,
        allow_hyphen_values = true,
        add = list_of(completion::events)
    )]
    event: Vec<OsString>,
}

/// The length to which the reason of a failure is cut, in characters.
const MAX_REASON_CHARS: usize = 200;

/// Runs `rigup run`.
pub(crate) fn run(args: RunArgs, context: &mut Context) -> CommandResult {
    if let Some(id) = &args.status {
        return print_status(id, context);
    }
    context.report.ci = args.ci.begin(&context.settings.command_environment)?;
    context.report.junit = args.junit.begin()?;
    let mut words = args.event.into_iter();
    let events = words.next().unwrap_or_default().to_string_lossy().into_owned();
    if events.starts_with('-') {
        return Err(CliError::usage(format!(
            "`{events}` is not an option of `rigup run`; put arguments for hooks after the event"
        )));
    }
    let request = EventRequest {
        events,
        arguments: words.map(hook_argument).collect::<Result<_, _>>()?,
        plugins: args.plugins.into_iter().filter(|name| !name.trim().is_empty()).collect(),
        hooks: args.hooks,
        input: args.stdin.then(read_input).transpose()?,
        timeout: args.timeout,
        ready_timeout: args.ready_timeout.map(Limit::or_max),
        output_dir: args.output_dir,
        follow: Follow { types: args.follow, max_depth: args.max_depth.unwrap_or(1), jobs: args.jobs },
        applies_records: args.apply,
    };
    let names = request.names()?;
    let mut catalog = events::catalog(&request, &context.settings, &print_event)?;
    let is_followed = context.settings.followed.is_some();
    let status = if is_followed { diagnostics_status(&catalog) } else { print_diagnostics(&catalog) };
    let without_hooks: Vec<&&str> = names.iter().filter(|event| !has_hooks(&catalog, event)).collect();
    let has_no_hooks = without_hooks.len() == names.len();
    if has_no_hooks {
        check_plugin_folders(&context.settings)?;
    }
    let followed = request.follow.names()?;
    let followed_without_hooks = followed.iter().filter(|event| !has_hooks(&catalog, event));
    for event in without_hooks.iter().copied().chain(followed_without_hooks) {
        context.verbosity.note(&event_plugins::why_no_hooks(&catalog, event, &context.settings));
    }
    if has_no_hooks {
        let job = job::of_run(&catalog.discovery.diagnostics);
        context.report.job = Some(JobReport { closing: "no hooks".to_owned(), ..job });
        return Ok(status);
    }
    let started = clock::now();
    let job = context.report.is_wanted().then(|| job::of_run(&catalog.discovery.diagnostics));
    let progress = ProgressDisplay::new(context);
    let on_event = |event: &EngineEvent<'_>| progress.show(event);
    let engine = context.engine(&on_event)?;
    let Context { output, verbosity, settings, report } = context;
    let display = RefCell::new(EventDisplay {
        output,
        verbosity: *verbosity,
        max_depth: request.follow.max_depth,
        counts_records: request.applies_records || !request.follow.types.is_empty(),
        rows: Vec::new(),
        logs: args.logs,
        data_dir: &settings.data_dir,
        ci: report.ci,
        counts: HookCounts::default(),
        job,
    });
    let on_event = |event: RunEvent<'_>| display.borrow_mut().show(event);
    let on_end = |summary: &EventSummary| {
        let mut display = display.borrow_mut();
        display.finish(summary);
        if !is_followed {
            let elapsed = clock::now().duration_since(started);
            let closing = display.counts.closing(elapsed);
            display.verbosity.close(&closing, settings);
            display.job = display.job.take().map(|job| JobReport { closing, elapsed, ..job });
        }
        display.output.drain();
    };
    let ended = engine.run_hooks(&mut catalog, &request, on_event, on_end);
    report.job = display.into_inner().job;
    Ok(ended?.status)
}

/// Reads the standard input for the hooks.
fn read_input() -> Result<Vec<u8>, CliError> {
    let mut input = Vec::new();
    StandardStream(io::stdin())
        .read_to_end(&mut input)
        .map_err(|error| CliError::usage(format!("cannot read standard input: {error}")))?;
    Ok(input)
}

/// A display of the records of hooks as they arrive, and of how each hook exited.
struct EventDisplay<'a> {
    output: &'a mut Output,
    verbosity: Verbosity,
    max_depth: u32,
    /// Whether records lead to more than their output, so that their number tells what happened.
    counts_records: bool,
    rows: Vec<Vec<Cell>>,
    logs: ShowLogsArgs,
    data_dir: &'a Path,
    ci: Option<CiSystem>,
    counts: HookCounts,
    /// The report with an item for each hook; `None` if no one reads it.
    job: Option<JobReport>,
}

/// How many hooks ended in which way.
#[derive(Debug, Default)]
struct HookCounts {
    succeeded: usize,
    failed: usize,
    skipped: usize,
}

impl HookCounts {
    /// Returns how many hooks succeeded, as a line.
    fn closing(&self, elapsed: SignedDuration) -> String {
        let Self { succeeded, failed, skipped } = *self;
        let rest = [(failed, "failed"), (skipped, "skipped")];
        closing::line(succeeded, succeeded + failed + skipped, "hooks succeeded", &rest, elapsed)
    }
}

impl EventDisplay<'_> {
    fn show(&mut self, event: RunEvent<'_>) {
        match event {
            RunEvent::Hook(hook, event) => self.show_hook(hook, event),
            RunEvent::Followed(event) => self.show_followed(event),
            RunEvent::Applied(hook, output) => {
                for (line, warning) in output.warnings {
                    warning!("{hook}: stdout line {line}: {warning}");
                }
                for (line, error) in output.errors {
                    error!("{hook}: stdout line {line}: {error}");
                }
                output.results.iter().for_each(|result| failure::print(result, false));
                if self.output.is_json() {
                    self.output.records(output.records);
                    self.output.flush();
                }
            }
        }
    }

    fn show_hook(&mut self, hook: &Hook, event: HookEvent<'_>) {
        match event {
            HookEvent::Record(record) => {
                let mut fields = record.fields;
                fields.entry("plugin").or_insert_with(|| hook.plugin.to_string().into());
                fields.entry("hook_name").or_insert_with(|| hook.name.file_name.clone().into());
                if self.output.is_json() {
                    self.write_record(&fields);
                } else {
                    self.output.text(record::line(&hook.plugin, &Value::Object(fields)));
                    self.output.flush();
                }
            }
            HookEvent::Warning(text) => {
                warning!("{}/{}: {}", hook.plugin, hook.name.file_name, printable(&text));
            }
            HookEvent::NotStarted(process, reason) => {
                warning!("{}/{}: skipped: {}", hook.plugin, hook.name.file_name, printable(reason));
                self.end(hook, process, ItemOutcome::Skipped, reason.to_owned());
            }
            HookEvent::Skipped(process) => {
                let reason = last_line(process).unwrap_or_else(|| format!("exit code {SKIPPED}"));
                self.end(hook, process, ItemOutcome::Skipped, reason);
            }
            HookEvent::Succeeded(process) => self.end(hook, process, ItemOutcome::Done, String::new()),
            HookEvent::Failed(process) => {
                let reason = failure_reason(process);
                let id = short_id(process.id);
                error!("{}/{}: {reason} (rigup process logs {id})", hook.plugin, hook.name.file_name);
                self.end(hook, process, ItemOutcome::Failed, reason);
            }
        }
    }

    /// Counts a hook that has ended, prints its log if the user asks for it, and adds it to the report.
    fn end(&mut self, hook: &Hook, process: &Process, outcome: ItemOutcome, reason: String) {
        *match outcome {
            ItemOutcome::Done => &mut self.counts.succeeded,
            ItemOutcome::Skipped => &mut self.counts.skipped,
            ItemOutcome::Failed => &mut self.counts.failed,
        } += 1;
        let label = format!("{}/{}", hook.plugin, hook.name.file_name);
        let ran = RanHook { label, process: process.clone(), has_failed: outcome == ItemOutcome::Failed };
        if process.running().is_some() {
            self.logs.print(&ran, self.data_dir, self.ci);
        }
        if let Some(job) = &mut self.job {
            job.items.push(job::of_hook(hook, &ran, outcome, reason, self.data_dir));
        }
        self.show_exit(hook, process);
    }

    fn show_followed(&mut self, event: FollowEvent<'_>) {
        match event {
            FollowEvent::Record(record) if self.output.is_json() => self.write_record(&record),
            FollowEvent::Record(record) => {
                if record.get("type").is_none_or(|kind| kind != "Process") {
                    let plugin = record.get("plugin").and_then(Value::as_str).unwrap_or_default().to_owned();
                    self.output.text(record::line(&plugin, &Value::Object(record)));
                    self.output.flush();
                }
            }
            FollowEvent::Message(value, line) => print_message_of(value, &line),
            FollowEvent::NotStarted(problem) => error!("{problem}"),
            FollowEvent::Ended(event) => self.show_ended(event),
        }
    }

    fn show_ended(&mut self, event: &EndedEvent) {
        let EndedEvent { name, value, process, problem } = event;
        if let Some(problem) = problem {
            error!("{name} {}: {}", printable(value), printable(problem));
        }
        match process {
            Some(process) if self.output.is_json() => self.write_record(process),
            Some(process) => self.add_row(name, value, process),
            None => {}
        }
    }

    fn show_exit(&mut self, hook: &Hook, process: &Process) {
        if self.output.is_json() {
            return self.write_record(process);
        }
        self.add_row(&hook.plugin, &hook.name.file_name, process);
    }

    fn add_row(&mut self, plugin: &str, hook: &str, process: &Process) {
        self.rows.push(vec![
            Cell::plain(plugin),
            Cell::plain(hook),
            tables::process_state(process),
            Cell::plain(tables::elapsed(process, clock::now()).map(units::duration).unwrap_or_default()),
        ]);
    }

    fn write_record(&mut self, record: &impl Serialize) {
        self.output.records([record]);
        self.output.flush();
    }

    fn finish(&mut self, summary: &EventSummary) {
        let columns = [
            Column::new("PLUGIN").cut_end(12),
            Column::new("HOOK").cut_end(24),
            Column::new("STATE"),
            Column::new("DURATION").optional(1),
        ];
        if !self.output.is_json() {
            self.output.table(&Table::with_rows(columns, std::mem::take(&mut self.rows)));
        }
        let counts = summary.records.iter().map(|(kind, count)| format!("{count} {}", printable(kind)));
        let counts: Vec<String> = counts.collect();
        if self.counts_records && !counts.is_empty() {
            self.verbosity.note(&format!("records: {}", counts.join(", ")));
        }
        let (depth, too_deep, too_late) = (self.max_depth, summary.too_deep, summary.too_late);
        let not_followed = |count: u64, reason: &str| {
            let noun = if count == 1 { "record" } else { "records" };
            if count > 0 {
                self.verbosity.note(&format!("not followed: {count} {noun} {reason}"));
            }
        };
        not_followed(too_deep, &format!("deeper than --max-depth {depth}"));
        not_followed(too_late, "printed after the last hook of the events");
        if let Some(output_dir) = &summary.output_dir {
            self.verbosity.note(&format!("the files of the hooks are in {}", output_dir.display()));
        }
    }
}

/// Prints a message of a followed event with the value of that.
fn print_message_of(value: &str, line: &str) {
    match line.split_once(": ") {
        Some((kind @ ("error" | "warning"), text)) => message!("{kind}: {}: {text}", printable(value)),
        _ => message!("{line}"),
    }
}

/// Prints the hooks of a `rigup run`, and of the events that its records started, that are still running.
fn print_status(id: &str, context: &mut Context) -> CommandResult {
    let (store, process) = context.process(id)?;
    let title = printable(&process.title());
    let mut hooks = processes::with_descendants(&store, vec![process])?;
    hooks.retain(|process| {
        process.spec.process_type == ProcessType::Hook && !matches!(handle::find_running(process), Ok(None))
    });
    if hooks.is_empty() {
        context.verbosity.note(&format!("no hook of {title} is running"));
        return Ok(ExitStatus::Success);
    }
    table::write(&hooks, &mut context.output);
    Ok(ExitStatus::Success)
}

/// Returns how a hook failed, and the line that says why.
fn failure_reason(process: &Process) -> String {
    let state = tables::process_state(process).text;
    state + &last_line(process).map(|line| format!(": {line}")).unwrap_or_default()
}

/// Returns the line of a hook's standard error that says why it failed or skipped, or `None` if there is none.
fn last_line(process: &Process) -> Option<String> {
    let line = printable(&process.exit()?.error_line()?);
    Some(line.chars().take(MAX_REASON_CHARS).collect())
}
