//! `rigup run`: the hooks of any event.

use std::collections::HashMap;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use crate::cli::error::{CliError, Exit};
use crate::cli::output::{Output, Talk, say};
use crate::cli::search::{self, Found};
use crate::cli::session::{self, Session};
use crate::clock;
use crate::hook::command::{self, MAX_TIMEOUT};
use crate::hook::event::{self, Event, HookEvent};
use crate::hook::run::Runner;
use crate::model::plugin_name::PluginName;
use crate::model::process::Process;
use crate::plugin::config::value::Variable;
use crate::plugin::discovery::Hook;
use crate::plugin::hook_name::{Background, canonical_event};
use crate::process::signals::Interrupt;
use crate::report::table::{Cell, Column, Table};
use crate::report::text::printable;
use crate::report::{record, tables, units};
use crate::settings::Settings;

const EXAMPLES: &str = "\
Examples:
  rigup run Snapshot --url=https://example.org
  rigup run --plugins wget,hashes --output-dir out Snapshot --url=https://example.org
  rigup run --timeout 60 Snapshot --url=https://example.org | jq 'select(.type == \"ArchiveResult\")'

rigup's own options stand before EVENT; all that follows it goes to the hooks.
Exit code: 1 where a hook failed; the others ran all the same.";

/// Which event, and what its hooks are told.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct RunArgs {
    /// Only the hooks of these plugins
    #[arg(long, value_name = "A,B", value_delimiter = ',')]
    plugins: Vec<String>,
    /// End a hook after so many seconds [default: <PLUGIN>_TIMEOUT, TIMEOUT, 300]
    #[arg(long, value_name = "S", value_parser = clap::value_parser!(u64).range(1..=MAX_TIMEOUT.as_secs()))]
    timeout: Option<u64>,
    /// Start the next hook after so many seconds though a background hook has not printed its first line
    #[arg(long, value_name = "S", default_value_t = 30)]
    ready_timeout: u64,
    /// Let each plugin's hooks work in a folder of its name below this one
    /// [default: `DATA_DIR/events/EVENT/<run id>`]
    #[arg(long, value_name = "DIR")]
    output_dir: Option<PathBuf>,
    /// The event, such as `Snapshot`
    event: String,
    /// What the hooks are told
    #[arg(value_name = "--KEY=VALUE", trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<OsString>,
}

/// Runs it.
pub(crate) fn run(
    args: RunArgs,
    settings: &Settings,
    output: &mut Output,
    talk: Talk,
) -> Result<Exit, CliError> {
    let name = canonical_event(&args.event);
    if name.is_empty() || name.contains('/') || name.starts_with(['.', '-']) {
        return Err(CliError::Usage(format!(
            "{:?} is no event; `rigup hook list` shows those there are",
            args.event
        )));
    }
    let arguments = args.arguments.into_iter().map(argument).collect::<Result<Vec<_>, _>>()?;
    let plugins: Vec<String> = args.plugins.into_iter().filter(|it| !it.trim().is_empty()).collect();
    let mut found = search::find(settings, &plugins)?;
    let diagnostics = found.complain();
    if !found.discovery.hooks_of(name).iter().any(|hook| found.is_enabled(&hook.plugin)) {
        if !talk.quiet {
            say(&format!("No hook answers to {name}; `rigup hook list` shows those there are."));
        }
        return Ok(diagnostics);
    }

    let broken = |error: std::io::Error| CliError::unusable(error.to_string());
    let session = Session::open(settings)?;
    found.learn(&session.machine.config);
    let variables = found.variables();
    let hooks = timed_hooks(&found, name, &variables, args.timeout, settings)?;
    let interrupt = Interrupt::install().map_err(broken)?;
    session::unpack(settings, &interrupt, talk)?;
    let me = session.begin(settings)?;
    let events = settings.data_dir.join("events").join(name);
    let output_dir = match &args.output_dir {
        Some(dir) => std::path::absolute(dir).map_err(broken)?,
        None => events.join(me.process.id.to_string()),
    };
    let runner = Runner {
        settings,
        store: &session.store,
        machine_id: session.machine.id,
        iface_id: me.process.iface_id,
        parent_id: me.process.id,
        variables: &variables,
        interrupt: &interrupt,
    };
    let ready_timeout = Duration::from_secs(args.ready_timeout);
    let event = Event { hooks: &hooks, arguments: &arguments, output_dir, ready_timeout };
    let mut display = Display { output, talk, failed: 0, rows: Vec::new(), written: Ok(()) };
    let ran = event::run(&runner, &event, |hook, news| display.show(hook, news));
    let exit = match interrupt.signal() {
        Some(signal) => Exit::Interrupted(signal),
        None if ran.is_err() => Exit::Unusable,
        None if display.failed > 0 => Exit::Missing,
        None => diagnostics,
    };
    if args.output_dir.is_none() {
        remove_empty(&event.output_dir);
        let _ = std::fs::remove_dir(events);
    }
    let own_id = me.process.id;
    session.end(me, exit)?;
    ran.map_err(CliError::unusable)?;
    let written = display.finish(&event.output_dir);
    if interrupt.signal().is_none() {
        session.clean_by_the_way(own_id, found.own.keep(), settings);
    }
    match written {
        Ok(()) | Err(CliError::OutputClosed) => Ok(exit),
        Err(error) => Err(error),
    }
}

/// Removes the folders that hooks wrote nothing into.
fn remove_empty(output_dir: &Path) {
    let folders = std::fs::read_dir(output_dir).into_iter().flatten().flatten().map(|entry| entry.path());
    for folder in folders.chain([output_dir.to_owned()]) {
        let _ = std::fs::remove_dir(folder);
    }
}

/// The hooks to run, each with its timeout. A daemon lives as long as the event.
fn timed_hooks<'a>(
    found: &'a Found,
    event: &str,
    variables: &HashMap<PluginName, Vec<Variable>>,
    timeout: Option<u64>,
    settings: &Settings,
) -> Result<Vec<(&'a Hook, Duration)>, CliError> {
    let mut hooks = found.discovery.hooks_of(event);
    hooks.retain(|hook| found.is_enabled(&hook.plugin));
    let with_timeout = |hook: &'a Hook| {
        let timeout = match timeout {
            _ if hook.name.background == Some(Background::Daemon) => MAX_TIMEOUT,
            Some(seconds) => Duration::from_secs(seconds),
            None => command::timeout(
                &hook.plugin,
                variables.get(&hook.plugin).map(Vec::as_slice).unwrap_or_default(),
                &settings.environment,
            )
            .map_err(CliError::unusable)?,
        };
        Ok((hook, timeout))
    };
    hooks.into_iter().map(with_timeout).collect()
}

/// An argument as hooks know it: `--snapshot_id=1` is `--snapshot-id=1`; the value stays as it is.
pub(crate) fn argument(typed: OsString) -> Result<OsString, CliError> {
    let mut bytes = typed.into_vec();
    let key = bytes.iter().position(|&byte| byte == b'=').unwrap_or(bytes.len());
    if !bytes.starts_with(b"--") || key <= 2 {
        return Err(CliError::Usage(format!(
            "{:?} is no argument for hooks: write --key=value, and rigup's own options before the event",
            String::from_utf8_lossy(&bytes)
        )));
    }
    for byte in bytes[2..key].iter_mut().filter(|byte| **byte == b'_') {
        *byte = b'-';
    }
    Ok(OsString::from_vec(bytes))
}

/// The longest reason of a failure that is shown, in characters.
const REASON_CHARS: usize = 200;

/// Shows what happens: records as they come, and why a hook failed.
struct Display<'a> {
    output: &'a mut Output,
    talk: Talk,
    failed: usize,
    rows: Vec<Vec<Cell>>,
    /// Whether records can still be written. Whoever reads them may leave early; the hooks run all the same.
    written: Result<(), CliError>,
}

impl Display<'_> {
    fn show(&mut self, hook: &Hook, news: HookEvent<'_>) {
        match news {
            HookEvent::Record(record) => {
                let mut fields = record.fields;
                fields.entry("plugin").or_insert_with(|| hook.plugin.to_string().into());
                fields.entry("hook_name").or_insert_with(|| hook.name.file_name.clone().into());
                self.write(&Value::Object(fields), |it| record::line(&hook.plugin, it));
            }
            HookEvent::Warning(text) if self.talk.quiet => drop(text),
            HookEvent::Warning(text) => say(&format!("warning: {}: {}", hook.plugin, printable(&text))),
            HookEvent::Well(process) => self.end(hook, process),
            HookEvent::Failed(process) => {
                self.failed += 1;
                let how = tables::process_state(process).text;
                let stderr = process.exit().map_or("", |it| it.stderr_tail.trim_end());
                let last = stderr.lines().next_back().unwrap_or_default();
                let last: String = printable(last).chars().take(REASON_CHARS).collect();
                let why = if last.is_empty() { String::new() } else { format!(": {last}") };
                say(&format!(
                    "error: {}/{}: {how}{why}  (rigup process logs {})",
                    hook.plugin, hook.name.file_name, process.id
                ));
                self.end(hook, process);
            }
        }
    }

    fn end(&mut self, hook: &Hook, process: &Process) {
        self.rows.push(vec![
            Cell::plain(hook.plugin.as_str()),
            Cell::plain(&hook.name.file_name),
            tables::process_state(process),
            Cell::plain(tables::elapsed(process, clock::now()).map(units::duration).unwrap_or_default()),
        ]);
        if self.output.is_json() {
            self.write(&process.to_record(), |_| String::new());
        }
    }

    fn write(&mut self, record: &Value, line: impl FnOnce(&Value) -> String) {
        if self.written.is_ok() {
            let written = if self.output.is_json() {
                self.output.records([record])
            } else {
                self.output.raw(line(record).as_bytes())
            };
            self.written = written.and_then(|()| self.output.flush());
        }
    }

    fn finish(self, output_dir: &Path) -> Result<(), CliError> {
        self.written?;
        if !self.output.is_json() {
            let columns = [
                Column::new("PLUGIN").cut_end(12),
                Column::new("HOOK").cut_end(24),
                Column::new("STATE"),
                Column::new("DURATION").optional(1),
            ];
            self.output.table(&Table::with_rows(columns, self.rows))?;
        }
        if !self.talk.quiet && output_dir.exists() {
            say(&format!("What the hooks wrote is in {}", output_dir.display()));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_of_an_argument_has_hyphens_and_its_value_stays_as_it_is() {
        let spelled = |text: &str| argument(text.into()).ok().and_then(|it| it.into_string().ok());
        assert_eq!(spelled("--snapshot_id=a_b=c d").as_deref(), Some("--snapshot-id=a_b=c d"));
        assert_eq!(spelled("--dry_run").as_deref(), Some("--dry-run"));
        for no_argument in ["url=x", "-u", "--", "--=x", ""] {
            assert_eq!(spelled(no_argument), None, "{no_argument}");
        }
        let bytes = OsString::from_vec(b"--a_b=\xff_".to_vec());
        assert_eq!(argument(bytes).unwrap().into_vec(), b"--a-b=\xff_");
    }
}
