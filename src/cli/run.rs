//! `rigup run`: the hooks of events.

use std::cell::RefCell;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;

use crate::cli::command::{CliError, CommandResult, Context, Verbosity};
use crate::cli::message::{error, print_diagnostics, print_event, warning};
use crate::cli::output::Output;
use crate::cli::progress::ProgressDisplay;
use crate::clock;
use crate::duration::{self, Limit};
use crate::engine::catalog::{Catalog, searched_folders};
use crate::engine::events::{has_hooks, hook_argument};
use crate::engine::{EngineEvent, EventRequest, HookEvent};
use crate::hook::command;
use crate::model::Process;
use crate::plugin::discovery::Hook;
use crate::report::short_id::short_id;
use crate::report::table::{Cell, Column, Table};
use crate::report::text::printable;
use crate::report::{record, tables, units};

/// The arguments of `rigup run`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = include_str!("help/run.txt"),
    override_usage = "rigup run [OPTIONS] <EVENT>[,<EVENT>...] [--KEY=VALUE]..."
)]
pub(crate) struct RunArgs {
    /// Run only the hooks of these plugins
    #[arg(long, value_name = "A,B", value_delimiter = ',')]
    plugins: Vec<String>,
    /// Terminate a hook after TIME [default: from a setting, or 300]
    #[arg(long, value_name = "TIME", value_parser = command::parse_timeout)]
    timeout: Option<Duration>,
    /// Wait TIME or forever (`none`) for a daemon hook [default: 30 or more]
    #[arg(long, value_name = "TIME", value_parser = duration::parse_limit)]
    ready_timeout: Option<Limit>,
    /// Run each plugin's hooks in DIR/PLUGIN [default: a folder in DATA_DIR]
    #[arg(long, value_name = "DIR")]
    output_dir: Option<PathBuf>,
    /// The events, such as `Snapshot` or `CrawlSetup,Snapshot`, then arguments for their hooks
    // One list, because clap would still look for rigup's own options between two.
    #[arg(value_name = "EVENT", required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    event: Vec<OsString>,
}

/// The length to which the reason of a failure is cut, in characters.
const MAX_REASON_CHARS: usize = 200;

/// Runs `rigup run`.
pub(crate) fn run(args: RunArgs, context: &mut Context) -> CommandResult {
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
        timeout: args.timeout,
        ready_timeout: args.ready_timeout.map(Limit::or_max),
        output_dir: args.output_dir,
    };
    let events = request.names()?;
    let mut catalog = Catalog::find(&context.settings, &request.plugins, &print_event)?;
    let status = print_diagnostics(&catalog);
    let without_hooks: Vec<&&str> = events.iter().filter(|event| !has_hooks(&catalog, event)).collect();
    for event in &without_hooks {
        let folders = searched_folders(&context.settings);
        context.verbosity.note(&format!(
            "no hooks found for the event {event} in {folders}; `rigup hook list` shows the hooks"
        ));
    }
    if without_hooks.len() == events.len() {
        return Ok(status);
    }
    let progress = ProgressDisplay::new(context);
    let on_event = |event: &EngineEvent<'_>| progress.show(event);
    let engine = context.engine(&on_event)?;
    let Context { output, verbosity, .. } = context;
    let display = RefCell::new(EventDisplay { output, verbosity: *verbosity, rows: Vec::new() });
    let on_hook_event = |hook: &Hook, event: HookEvent<'_>| display.borrow_mut().show(hook, event);
    let on_end = |output_dir: Option<&Path>| display.borrow_mut().finish(output_dir);
    Ok(engine.run_hooks(&mut catalog, &request, on_hook_event, on_end)?.status)
}

/// A display of the records of hooks as they arrive, and of how each hook exited.
struct EventDisplay<'a> {
    output: &'a mut Output,
    verbosity: Verbosity,
    rows: Vec<Vec<Cell>>,
}

impl EventDisplay<'_> {
    fn show(&mut self, hook: &Hook, event: HookEvent<'_>) {
        match event {
            HookEvent::Record(record) => {
                let mut fields = record.fields;
                fields.entry("plugin").or_insert_with(|| hook.plugin.to_string().into());
                fields.entry("hook_name").or_insert_with(|| hook.name.file_name.clone().into());
                if self.output.is_json() {
                    self.write_record(&fields);
                } else {
                    self.output.raw(record::line(&hook.plugin, &Value::Object(fields)).as_bytes());
                    self.output.flush();
                }
            }
            HookEvent::Warning(text) => {
                warning!("{}/{}: {}", hook.plugin, hook.name.file_name, printable(&text));
            }
            HookEvent::Skipped(process, reason) => {
                warning!("{}/{}: skipped: {}", hook.plugin, hook.name.file_name, printable(reason));
                self.show_exit(hook, process);
            }
            HookEvent::Succeeded(process) => self.show_exit(hook, process),
            HookEvent::Failed(process) => {
                print_failure(hook, process);
                self.show_exit(hook, process);
            }
        }
    }

    fn show_exit(&mut self, hook: &Hook, process: &Process) {
        if self.output.is_json() {
            return self.write_record(process);
        }
        self.rows.push(vec![
            Cell::plain(hook.plugin.as_str()),
            Cell::plain(&hook.name.file_name),
            tables::process_state(process),
            Cell::plain(tables::elapsed(process, clock::now()).map(units::duration).unwrap_or_default()),
        ]);
    }

    fn write_record(&mut self, record: &impl Serialize) {
        self.output.records([record]);
        self.output.flush();
    }

    fn finish(&mut self, output_dir: Option<&Path>) {
        let columns = [
            Column::new("PLUGIN").cut_end(12),
            Column::new("HOOK").cut_end(24),
            Column::new("STATE"),
            Column::new("DURATION").optional(1),
        ];
        if !self.output.is_json() {
            self.output.table(&Table::with_rows(columns, std::mem::take(&mut self.rows)));
        }
        if let Some(output_dir) = output_dir {
            self.verbosity.note(&format!("the files of the hooks are in {}", output_dir.display()));
        }
        self.output.drain();
    }
}

fn print_failure(hook: &Hook, process: &Process) {
    let state = tables::process_state(process).text;
    let stderr = process.exit().map_or("", |exit| exit.stderr_tail.trim_end());
    let last_line = stderr.lines().next_back().unwrap_or_default();
    let last_line: String = printable(last_line).chars().take(MAX_REASON_CHARS).collect();
    let reason = if last_line.is_empty() { String::new() } else { format!(": {last_line}") };
    error!(
        "{}/{}: {state}{reason} (rigup process logs {})",
        hook.plugin,
        hook.name.file_name,
        short_id(process.id)
    );
}
