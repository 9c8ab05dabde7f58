//! `rigup hook test`: checks a hook against the contract.

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;

use crate::cli::command::{CliError, CommandResult, Context, Verbosity, interrupt};
use crate::cli::command_report::PendingReport;
use crate::cli::junit::JunitArgs;
use crate::cli::message::{error, message, print_event, warning};
use crate::cli::output::Output;
use crate::clock;
use crate::engine::ExitStatus;
use crate::engine::event_request::hook_argument;
use crate::engine::session::Session;
use crate::fs::temporary_folder::TemporaryFolder;
use crate::hook::command;
use crate::hook_test::check::{Check, CheckOutcome, CheckResult};
use crate::hook_test::checks;
use crate::hook_test::request::TestRequest;
use crate::hook_test::suite::{Suite, TestError};
use crate::model::{BinaryId, PluginName};
use crate::plugin::config::enabled::PluginConfigs;
use crate::plugin::config::value::{Setting, Sources, Variable};
use crate::plugin::discovery::{self, Hook, HookFileError, Plugin};
use crate::plugin::hook_name::HookName;
use crate::report::job_report::JobReport;
use crate::report::table::{Cell, Column, Table};
use crate::report::text::printable;
use crate::settings::Settings;
use crate::trust::Inspection;

/// The arguments of `rigup hook test`.
#[derive(Debug, clap::Args)]
#[command(after_help = include_str!("../help/hook_test.txt"))]
pub(crate) struct TestArgs {
    /// Path of the hook
    file: PathBuf,
    /// Terminate each execution of the hook after TIME
    #[arg(long, value_name = "TIME", default_value = "60", value_parser = command::parse_timeout)]
    timeout: Duration,
    /// Check only these items, such as `term,full`
    #[arg(long, value_name = "ITEM,...", value_delimiter = ',', value_parser = Check::parse)]
    only: Vec<Check>,
    #[command(flatten)]
    pub(crate) junit: JunitArgs,
    /// Arguments of a request that the hook can satisfy, such as `--name=jq`
    #[arg(last = true, value_name = "HOOK ARGUMENTS")]
    arguments: Vec<OsString>,
}

/// Tests a hook.
pub(crate) fn test(args: TestArgs, context: &mut Context) -> CommandResult {
    let Context { settings, output, verbosity, report: PendingReport { junit, job, .. } } = context;
    let started = clock::now();
    *junit = args.junit.begin()?;
    let file = std::path::absolute(&args.file).map_err(CliError::setup)?;
    if !file.is_file() {
        return Err(CliError::usage(format!("{} is not a file; give a hook's file", file.display())));
    }
    if let Some(note) = settings.trust.check(&file).map_err(CliError::setup)? {
        warning!("{note}");
    }
    let arguments = args.arguments.into_iter().map(hook_argument).collect::<Result<Vec<_>, _>>()?;
    let hook = file.display().to_string();
    let mut report = Report { output, verbosity: *verbosity, hook, results: Vec::new() };
    let is_selected = |check: &Check| args.only.is_empty() || args.only.contains(check);
    let hook = match hook_at(&file) {
        Ok(hook) => hook,
        Err(results) => {
            for (check, result) in results.into_iter().filter(|(check, _)| is_selected(check)) {
                report.add(check, result);
            }
            report.print(None);
            *job = Some(report.to_job(started));
            return Ok(report.status());
        }
    };
    let applies = |check: &Check| is_selected(check) && check.applies_to(&hook.name);
    let selected: Vec<Check> = Check::ALL.into_iter().filter(applies).collect();
    if selected.is_empty() {
        return Err(CliError::usage(format!("none of these items applies to {} hooks", hook.name.event)));
    }

    let sandbox = TemporaryFolder::create("rigup-hook-test-").map_err(CliError::setup)?;
    let folder = sandbox.path().canonicalize().map_err(CliError::setup)?;
    let plugins = file.ancestors().nth(2).map(Path::to_owned);
    let sandbox_settings = Settings {
        data_dir: folder.join("data"),
        is_default_data_dir: false,
        lib_dir: folder.join("lib"),
        lib_bin_dir: folder.join("lib/bin"),
        // The toolkit finds the config.json next to the hook on this search path.
        plugin_path: plugins.into_iter().chain(settings.plugin_path.clone()).collect(),
        environment: settings.environment.clone().without("NODE_MODULES_DIR"),
        ..settings.clone()
    };
    let session = Session::open(sandbox_settings, &print_event)?;
    let interrupt = interrupt()?;
    let command = session.begin()?;
    let variables = variables(&hook, &session.settings);
    let mut suite = Suite {
        runner: session.runner(&command.process, variables, &interrupt),
        hook: &hook,
        folder: &folder,
        timeout: args.timeout,
        good: TestRequest::given(arguments),
    };
    if suite.is_provider() {
        suite.good = suite.good.for_provider(&hook.plugin, BinaryId::generate(), session.machine.id);
    }
    let checked = suite.run(&selected, |check, result| report.add(check, result));
    let exit = match &checked {
        Ok(()) => report.status(),
        Err(TestError::Interrupted) => ExitStatus::Interrupted(interrupt.signal().unwrap_or_default()),
        Err(_) => ExitStatus::Setup,
    };
    *job = Some(report.to_job(started));
    session.finish(command, exit)?;
    match checked {
        Ok(()) => report.print(report.has_broken().then(|| sandbox.keep())),
        Err(TestError::Interrupted) => report.print(None),
        Err(error) => return Err(CliError::setup(error)),
    }
    Ok(exit)
}

/// Returns the hook in a file, or the results of all checks if the file is not a hook or cannot be started.
fn hook_at(file: &Path) -> Result<Hook, Vec<(Check, CheckResult)>> {
    let name_result = checks::name(file);
    let Some(name) = HookName::of_file(file) else {
        return Err(without_run([name_result], "its name is not that of a hook", Check::is_of_any_event));
    };
    let cannot_start = |reason: String| {
        let starts_result = CheckResult::broken(reason, Some(checks::first_line(file)));
        without_run([name_result.clone(), starts_result], "it cannot be started", |check| {
            check.applies_to(&name)
        })
    };
    let start = file
        .metadata()
        .map_err(HookFileError::from)
        .and_then(|metadata| discovery::start(file, &name, &metadata))
        .map_err(|error| cannot_start(format!("it {error}")))?
        .ok_or_else(|| {
            let reason =
                "it has no exec bit, and its extension names no known language; run `chmod +x` on it";
            cannot_start(reason.to_owned())
        })?;
    let folder = file.parent().and_then(Path::file_name).unwrap_or_default();
    let plugin =
        PluginName::parse(&folder.to_string_lossy()).map_err(|error| cannot_start(error.to_string()))?;
    Ok(Hook { name, plugin, path: file.to_owned(), start })
}

/// Returns the results for a hook that is not run: the given results of the first checks, and the other checks as
/// skipped.
fn without_run<const N: usize>(
    first: [CheckResult; N],
    reason: &str,
    applies: impl Fn(Check) -> bool,
) -> Vec<(Check, CheckResult)> {
    let rest = Check::ALL.into_iter().skip(N).filter(|check| applies(*check));
    let rest = rest.map(|check| (check, CheckResult::skipped(reason)));
    Check::ALL.into_iter().zip(first).chain(rest).collect()
}

/// Returns the settings in the plugin's `config.json` as variables for its hook.
fn variables(hook: &Hook, settings: &Settings) -> HashMap<PluginName, Vec<Variable>> {
    let path = hook.path.parent().map(Path::to_owned).unwrap_or_default();
    let plugin = Plugin { name: hook.plugin.clone(), path, hooks: Vec::new() };
    let mut inspection = Inspection::new(&settings.trust);
    let (configs, unreadable) =
        PluginConfigs::read(std::slice::from_ref(&plugin), &settings.data_dir, &mut inspection);
    for diagnostic in &unreadable {
        warning!("{diagnostic}");
    }
    let sources = Sources { environment: &settings.environment, files: &settings.files };
    let resolver = configs.resolver(sources);
    let variables = configs.settings(&plugin.name, &resolver, |problem| warning!("{problem}"));
    HashMap::from([(plugin.name, variables.iter().filter_map(Setting::variable).collect())])
}

/// The report, which prints each result as a record as soon as it is known, or all results as a table at the end.
struct Report<'a> {
    output: &'a mut Output,
    verbosity: Verbosity,
    hook: String,
    results: Vec<(Check, CheckResult)>,
}

impl Report<'_> {
    fn add(&mut self, check: Check, result: CheckResult) {
        if self.output.is_json() {
            self.output.records([result.to_record(check, &self.hook)]);
            self.output.flush();
        }
        self.results.push((check, result));
    }

    /// Returns the results for a file.
    fn to_job(&self, started: Timestamp) -> JobReport {
        let items = self.results.iter().map(|(check, result)| result.to_item(*check, &self.hook)).collect();
        let elapsed = clock::now().duration_since(started);
        JobReport { command: "rigup hook test".to_owned(), items, elapsed, ..JobReport::default() }
    }

    fn has_broken(&self) -> bool {
        self.results.iter().any(|(_, result)| result.is_broken())
    }

    fn status(&self) -> ExitStatus {
        if self.has_broken() { ExitStatus::Incomplete } else { ExitStatus::Success }
    }

    /// Prints the table and the reasons. `logs` is the folder with the logs of the runs, or `None` if it is removed.
    fn print(&mut self, logs: Option<PathBuf>) {
        let columns = [Column::new("ITEM"), Column::new("OUTCOME"), Column::new("PROMISE").wrap(24)];
        let rows = self.results.iter().map(row);
        if !self.output.is_json() {
            self.output.table(&Table::with_rows(columns, rows));
            self.output.flush();
        }
        for (check, CheckResult { outcome, reason, look_at, .. }) in &self.results {
            let reason = printable(reason);
            match outcome {
                CheckOutcome::Broken => {
                    error!("{check}: {reason}");
                    if let Some(line) = look_at {
                        message!("  see {line}");
                    }
                }
                _ if reason.is_empty() => {}
                CheckOutcome::Skipped => self.verbosity.note(&format!("skipped: {check}: {reason}")),
                CheckOutcome::Held => self.verbosity.note(&format!("note: {check}: {reason}")),
            }
        }
        if let Some(logs) = logs {
            message!("note: the logs of the runs are in {}", logs.display());
        }
    }
}

fn row((check, result): &(Check, CheckResult)) -> [Cell; 3] {
    let outcome = match result.outcome {
        CheckOutcome::Held => Cell::success("held"),
        CheckOutcome::Broken => Cell::failure("broken"),
        CheckOutcome::Skipped => Cell::plain("skipped"),
    };
    [Cell::plain(check.as_str()), outcome, Cell::plain(check.promise())]
}
