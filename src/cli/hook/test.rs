//! `rigup hook test`: checks a hook against the contract.

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::cli::context::{Context, Verbosity};
use crate::cli::error::CliError;
use crate::cli::message::print_event;
use crate::cli::message::print_message;
use crate::cli::output::Output;
use crate::engine::ExitStatus;
use crate::engine::events::hook_argument;
use crate::engine::session::Session;
use crate::hook::command::MAX_TIMEOUT;
use crate::hook_test::check::Check;
use crate::hook_test::checks;
use crate::hook_test::request::TestRequest;
use crate::hook_test::result::{CheckOutcome, CheckResult};
use crate::hook_test::runner::{HookRunner, TestError};
use crate::hook_test::suite::Suite;
use crate::model::id::BinaryId;
use crate::model::plugin_name::PluginName;
use crate::plugin::config::enabled::PluginConfigs;
use crate::plugin::config::value::{Setting, Sources, Variable};
use crate::plugin::discovery::{self, Hook, Plugin};
use crate::plugin::hook_name::{BINARY_REQUEST, HookName};
use crate::process::signals::Interrupt;
use crate::report::table::{Cell, Column, Table};
use crate::report::text::printable;
use crate::settings::Settings;
use crate::trust::Inspection;

const EXAMPLES: &str = "\
Examples:
  rigup hook test providers/mine/on_BinaryRequest__50_mine.py -- --name=jq
  rigup hook test plugins/wget/on_Snapshot__20_wget.finite.bg.sh -- --url=https://example.org
  rigup hook test providers/mine/on_BinaryRequest__50_mine.py --only term,full

rigup runs the hook about twenty times, just as it runs any hook, but with a temporary data dir,
LIB_DIR and LIB_BIN_DIR. Without --name, a provider is asked to install sh. If the provider installs
from an open registry, name a package that you trust.
If an item fails, rigup keeps the logs, prints their folder and exits with 1.";

/// The arguments of `rigup hook test`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct TestArgs {
    /// Path of the hook
    file: PathBuf,
    /// Terminate each execution of the hook after S seconds
    #[arg(long, value_name = "S", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=MAX_TIMEOUT.as_secs()))]
    timeout: u64,
    /// Check only these items, such as `term,full`
    #[arg(long, value_name = "ITEM,...", value_delimiter = ',')]
    only: Vec<Check>,
    /// Arguments of a request that the hook can satisfy, such as `--name=jq`
    #[arg(last = true, value_name = "HOOK ARGUMENTS")]
    arguments: Vec<OsString>,
}

/// Tests a hook.
pub(crate) fn test(args: TestArgs, context: &mut Context) -> Result<ExitStatus, CliError> {
    let Context { settings, output, verbosity } = context;
    let file = std::path::absolute(&args.file).map_err(CliError::setup)?;
    if !file.is_file() {
        return Err(CliError::Usage(format!("{} is not a file; give a hook's file", file.display())));
    }
    if let Some(note) = settings.trust.check(&file).map_err(CliError::setup)? {
        print_message(&format!("warning: {note}"));
    }
    let arguments = args.arguments.into_iter().map(hook_argument).collect::<Result<Vec<_>, _>>()?;
    let mut report = Report {
        output,
        verbosity: *verbosity,
        hook: file.display().to_string(),
        rows: Vec::new(),
        messages: Vec::new(),
        failed: 0,
        written: Ok(()),
    };
    let hook = match hook_at(&file) {
        Ok(hook) => hook,
        Err(results) => {
            for (check, result) in results {
                if args.only.is_empty() || args.only.contains(&check) {
                    report.add(check, &result);
                }
            }
            return report.finish(None);
        }
    };
    let is_provider = hook.name.event == BINARY_REQUEST;
    let selected: Vec<Check> = Check::ALL
        .into_iter()
        .filter(|check| args.only.is_empty() || args.only.contains(check))
        .filter(|check| check.applies_to(&hook.name))
        .collect();
    if selected.is_empty() {
        return Err(CliError::Usage(format!("none of these items applies to {} hooks", hook.name.event)));
    }

    let playground =
        tempfile::Builder::new().prefix("rigup-hook-test-").tempdir().map_err(CliError::setup)?;
    let folder = playground.path().canonicalize().map_err(CliError::setup)?;
    let here = Settings {
        data_dir: folder.join("data"),
        lib_dir: folder.join("lib"),
        lib_bin_dir: folder.join("lib/bin"),
        // The toolkit reads the config.json that stands beside the hook.
        plugin_path: roots_of(&hook.path).chain(settings.plugin_path.iter().cloned()).collect(),
        environment: settings.environment.clone().without("NODE_MODULES_DIR"),
        ..settings.clone()
    };
    let session = Session::open(here.clone(), &print_event)?;
    let interrupt = Interrupt::install().map_err(CliError::setup)?;
    let me = session.begin()?;
    let mut good = TestRequest::given(arguments);
    if is_provider {
        good = good.to_provider(&hook.plugin, BinaryId::generate(), session.machine.id);
    }
    let variables = variables(&hook, &here);
    let runner = HookRunner {
        runner: session.runner(&me, &variables, &interrupt),
        hook: &hook,
        folder: &folder,
        timeout: Duration::from_secs(args.timeout),
    };
    let suite = Suite { runner, good };
    let checked = suite.run(&selected, |check, result| report.add(check, &result));
    let exit = match &checked {
        Ok(()) if report.failed == 0 => ExitStatus::Success,
        Ok(()) => ExitStatus::Incomplete,
        Err(TestError::Interrupted) => ExitStatus::Interrupted(interrupt.signal().unwrap_or_default()),
        Err(_) => ExitStatus::Setup,
    };
    session.finish(me, exit)?;
    match checked {
        Ok(()) => {}
        Err(TestError::Interrupted) => return Ok(exit),
        Err(error) => return Err(CliError::setup(error)),
    }
    let kept = (report.failed > 0).then(|| playground.keep());
    report.finish(kept.as_deref())
}

/// Returns the hook in a file, or the results of a file that is not a hook or cannot be started.
fn hook_at(file: &Path) -> Result<Hook, Vec<(Check, CheckResult)>> {
    let named = (Check::Name, checks::name(file));
    let Some(name) = HookName::parse(&file.file_name().unwrap_or_default().to_string_lossy()) else {
        let rest = Check::ALL.into_iter().skip(1).filter(|check| check.is_of_any_event());
        let skipped = |check| (check, CheckResult::skipped("its name is not that of a hook"));
        return Err(std::iter::once(named).chain(rest.map(skipped)).collect());
    };
    let unstartable = |reason: String| {
        let rest = Check::ALL.into_iter().skip(2).filter(|check| check.applies_to(&name));
        let skipped = |check| (check, CheckResult::skipped("it cannot be started"));
        let line = checks::suspicious_line(file, "", &[]);
        let starts = (Check::Starts, CheckResult::failed(reason, Some(line)));
        [named.clone(), starts].into_iter().chain(rest.map(skipped)).collect()
    };
    let start = match discovery::start_of(file, &name) {
        Ok(Some(start)) => start,
        Ok(None) => {
            return Err(unstartable(
                "it has no exec bit, and its extension names no known language; run `chmod +x` on it"
                    .to_owned(),
            ));
        }
        Err(error) => return Err(unstartable(format!("it cannot be read: {error}"))),
    };
    let folder = file.parent().and_then(Path::file_name).unwrap_or_default();
    let plugin =
        PluginName::parse(&folder.to_string_lossy()).map_err(|error| unstartable(error.to_string()))?;
    Ok(Hook { name, plugin, path: file.to_owned(), start })
}

/// Returns the folder that the hook's plugin lies in, as a folder of the search path.
fn roots_of(hook: &Path) -> impl Iterator<Item = PathBuf> {
    hook.parent().and_then(Path::parent).map(Path::to_owned).into_iter()
}

/// Returns the settings in the plugin's `config.json`, for its hook.
fn variables(hook: &Hook, settings: &Settings) -> HashMap<PluginName, Vec<Variable>> {
    let path = hook.path.parent().map(Path::to_owned).unwrap_or_default();
    let plugin = Plugin { name: hook.plugin.clone(), path, hooks: Vec::new() };
    let (configuration, unreadable) = PluginConfigs::read(
        std::slice::from_ref(&plugin),
        &settings.data_dir,
        &mut Inspection::new(&settings.trust),
    );
    let warn = |text: String| print_message(&format!("warning: {text}"));
    for diagnostic in &unreadable {
        warn(diagnostic.to_string());
    }
    let sources = Sources { environment: &settings.environment, files: &settings.files };
    let resolver = configuration.resolver(sources);
    let variables = configuration.settings(&plugin.name, &resolver, warn);
    HashMap::from([(plugin.name, variables.iter().filter_map(Setting::variable).collect())])
}

/// The report: each result as a record as soon as it is known, or a table at the end.
struct Report<'a> {
    output: &'a mut Output,
    verbosity: Verbosity,
    hook: String,
    rows: Vec<Vec<Cell>>,
    messages: Vec<String>,
    failed: usize,
    /// Whether records can still be written: the reader of a pipe may exit early.
    written: Result<(), CliError>,
}

impl Report<'_> {
    fn add(&mut self, check: Check, result: &CheckResult) {
        let CheckResult { outcome, reason, look_at, .. } = result;
        let shown = match outcome {
            CheckOutcome::Passed => Cell::success(outcome.as_str()),
            CheckOutcome::Failed => Cell::failure(outcome.as_str()),
            CheckOutcome::Skipped => Cell::plain(outcome.as_str()),
        };
        self.failed += usize::from(result.has_failed());
        let place = look_at.as_ref().map(|line| format!("\n  see {line}")).unwrap_or_default();
        let reason = printable(reason);
        match outcome {
            CheckOutcome::Failed => self.messages.push(format!("error: {check}: {reason}{place}")),
            CheckOutcome::Passed | CheckOutcome::Skipped if reason.is_empty() || self.verbosity.quiet => {}
            CheckOutcome::Skipped => self.messages.push(format!("skipped: {check}: {reason}")),
            CheckOutcome::Passed => self.messages.push(format!("note: {check}: {reason}")),
        }
        if self.output.is_json() && self.written.is_ok() {
            let written = self.output.records([result.to_record(check, &self.hook)]);
            self.written = written.and_then(|()| self.output.flush());
        }
        self.rows.push(vec![Cell::plain(check.to_string()), shown, Cell::plain(check.promise())]);
    }

    fn finish(self, kept: Option<&Path>) -> Result<ExitStatus, CliError> {
        if !self.output.is_json() {
            let columns = [Column::new("ITEM"), Column::new("OUTCOME"), Column::new("PROMISE").wrap(24)];
            self.output.table(&Table::with_rows(columns, self.rows))?;
            self.output.flush()?;
        }
        self.messages.iter().for_each(|message| print_message(message));
        if let Some(kept) = kept {
            print_message(&format!("note: the logs of the runs are in {}", kept.display()));
        }
        match self.written {
            Ok(()) | Err(CliError::OutputClosed) if self.failed > 0 => Ok(ExitStatus::Incomplete),
            Ok(()) | Err(CliError::OutputClosed) => Ok(ExitStatus::Success),
            Err(error) => Err(error),
        }
    }
}
