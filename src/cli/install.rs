//! `rigup install` and `rigup load`.

use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::boolean;
use crate::cli::ci::CiArgs;
use crate::cli::command::{CommandResult, Context};
use crate::cli::completions::{list_of, specs, values};
use crate::cli::count;
use crate::cli::failure;
use crate::cli::junit::JunitArgs;
use crate::cli::message::{error, print_diagnostics, print_event};
use crate::cli::progress::ProgressDisplay;
use crate::cli::show_logs::ShowLogsArgs;
use crate::cli::timings::{self, TimingsFile};
use crate::clock;
use crate::engine::catalog::check_plugin_folders;
use crate::engine::completion;
use crate::engine::hook_logs;
use crate::engine::install::InstallPlan;
use crate::engine::job;
use crate::engine::session::Session;
use crate::engine::step_result::StepResult;
use crate::engine::{Engine, EngineEvent, InstallRequest};
use crate::hook::command;
use crate::install::plan::{Refusal, Request};
use crate::install::resolver::Resolved;
use crate::lockfile::FILE_NAME;
use crate::model::policy::MIN_RELEASE_AGE_KEY;
use crate::model::{Policy, PolicyError};
use crate::report::job_report::JobReport;
use crate::report::table::{Cell, Column, Table};
use crate::report::{closing, tables};

/// The options that select binaries and their minimum version.
#[derive(Debug, clap::Args)]
pub(crate) struct SelectionArgs {
    /// Binaries, each as [PROVIDER:]NAME[@VERSION] [default: everything that the plugins require]
    #[arg(value_name = "NAME", add = specs(completion::binary_specs))]
    names: Vec<String>,
    /// Use only the requirements of these plugins
    #[arg(long, value_name = "A,B", value_delimiter = ',', add = values(completion::plugins))]
    plugins: Vec<String>,
    /// Require at least this version
    #[arg(long, value_name = "V", default_value = "", hide_default_value = true)]
    min_version: String,
    /// Require at most this version
    #[arg(long, value_name = "V", default_value = "", hide_default_value = true)]
    max_version: String,
}

/// The policy options for packages from open registries.
#[derive(Debug, Clone, Copy, Default, clap::Args)]
pub(crate) struct PolicyArgs {
    /// Use only releases at least DAYS old [default: 7]
    #[arg(long, value_name = "DAYS", value_parser = parse_age)]
    min_release_age: Option<f64>,
    /// Let packages run install scripts [default: false]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = parse_bool)]
    postinstall_scripts: Option<bool>,
}

impl From<PolicyArgs> for Policy {
    fn from(args: PolicyArgs) -> Self {
        Self { min_release_age: args.min_release_age, postinstall_scripts: args.postinstall_scripts }
    }
}

fn parse_bool(word: &str) -> Result<bool, PolicyError> {
    boolean::parse(word).ok_or(PolicyError::Scripts)
}

fn parse_age(text: &str) -> Result<f64, PolicyError> {
    let keys = Map::from_iter([(MIN_RELEASE_AGE_KEY.to_owned(), Value::from(text))]);
    Policy::parse(&keys)?.min_release_age.ok_or(PolicyError::Age)
}

/// The limits on the number of hooks that run at once, and on their run time.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct JobArgs {
    /// Run up to N hooks at once [default: cores, at least 4]
    #[arg(long, short, value_name = "N", value_parser = count::parse_jobs)]
    pub(crate) jobs: Option<usize>,
    /// Terminate a hook after TIME [default: 600]
    #[arg(long, value_name = "TIME", value_parser = command::parse_timeout)]
    pub(crate) timeout: Option<Duration>,
}

/// The arguments of `rigup install`.
#[derive(Debug, clap::Args)]
#[command(after_help = include_str!("help/install.txt"))]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command")]
pub(crate) struct InstallArgs {
    #[command(flatten)]
    selection: SelectionArgs,
    /// Try only these providers, in this order
    #[arg(long, value_name = "X,Y", add = list_of(completion::provider_list))]
    binproviders: Option<String>,
    /// Install only queued binaries whose retry time has come
    #[arg(long, conflicts_with_all = ["names", "plugins", "force", "locked"])]
    due: bool,
    /// Reinstall, and overwrite existing files with links
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    policy: PolicyArgs,
    /// Show which providers would be tried, without trying them
    #[arg(long)]
    dry_run: bool,
    /// Install exactly what the lock file pins
    #[arg(long)]
    locked: bool,
    /// Read pins from FILE [default: ./rigup.lock]
    #[arg(long, value_name = "FILE", requires = "locked")]
    lockfile: Option<PathBuf>,
    #[command(flatten)]
    jobs: JobArgs,
    /// Write timings to FILE [default: rigup-timings.html]
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true, default_missing_value = timings::DEFAULT, conflicts_with = "dry_run")]
    timings: Option<PathBuf>,
    #[command(flatten)]
    logs: ShowLogsArgs,
    #[command(flatten)]
    pub(crate) ci: CiArgs,
    #[command(flatten)]
    pub(crate) junit: JunitArgs,
}

/// The arguments of `rigup load`.
#[derive(Debug, clap::Args)]
#[command(after_help = include_str!("help/load.txt"))]
pub(crate) struct LoadArgs {
    #[command(flatten)]
    selection: SelectionArgs,
    #[command(flatten)]
    logs: ShowLogsArgs,
    #[command(flatten)]
    pub(crate) ci: CiArgs,
}

/// Returns the request for these arguments.
pub(crate) fn request(
    selection: SelectionArgs,
    binproviders: Option<String>,
    policy: PolicyArgs,
    jobs: JobArgs,
) -> InstallRequest {
    InstallRequest {
        plugins: selection.plugins,
        binproviders,
        min_version: selection.min_version,
        max_version: selection.max_version,
        ..request_for(selection.names, policy, jobs)
    }
}

/// Returns the request for binaries that are installed.
pub(crate) fn request_for(names: Vec<String>, policy: PolicyArgs, jobs: JobArgs) -> InstallRequest {
    InstallRequest {
        policy: policy.into(),
        jobs: jobs.jobs,
        timeout: jobs.timeout,
        ..InstallRequest::for_names(names)
    }
}

/// Runs `rigup install`.
pub(crate) fn install(args: InstallArgs, context: &mut Context) -> CommandResult {
    context.report.ci = args.ci.begin(&context.settings.command_environment)?;
    let timings = args.timings.map(TimingsFile::begin).transpose()?;
    context.report.junit = args.junit.begin()?;
    let lockfile = args.locked.then(|| args.lockfile.unwrap_or_else(|| FILE_NAME.into()));
    let request = InstallRequest {
        is_due: args.due,
        force: args.force,
        lockfile,
        ..request(args.selection, args.binproviders, args.policy, args.jobs)
    };
    if request.names.is_empty() && !request.is_due && request.lockfile.is_none() {
        check_plugin_folders(&context.settings)?;
    }
    if args.dry_run {
        return dry_run(&request, context);
    }
    execute(&request, false, context, args.logs, timings.as_ref())
}

/// Runs `rigup load`.
pub(crate) fn load(args: LoadArgs, context: &mut Context) -> CommandResult {
    context.report.ci = args.ci.begin(&context.settings.command_environment)?;
    let SelectionArgs { names, plugins, min_version, max_version } = args.selection;
    let request = InstallRequest { names, plugins, min_version, max_version, ..InstallRequest::default() };
    if request.names.is_empty() {
        check_plugin_folders(&context.settings)?;
    }
    execute(&request, true, context, args.logs, None)
}

/// Plans a request, or its lookup, carries out the plan, prints the results, and reports.
fn execute(
    request: &InstallRequest,
    is_lookup: bool,
    context: &mut Context,
    logs: ShowLogsArgs,
    timings: Option<&TimingsFile>,
) -> CommandResult {
    let started = clock::now();
    let mut progress = ProgressDisplay::new(context);
    progress.is_lookup = is_lookup;
    let on_event = |event: &EngineEvent<'_>| progress.show(event);
    let (engine, plan) = Engine::open_with_plan(request, context.settings.clone(), &on_event)?;
    let plan = &if is_lookup { plan.into_lookup() } else { plan };
    let if_empty = if request.is_due { NOTHING_DUE } else { NOTHING_REQUIRED };
    let session = engine.session();
    let (verbosity, mut timings_written) = (context.verbosity, Ok(()));
    let on_results = |results: &[StepResult]| {
        progress.clear();
        print_report(plan, results, if_empty, context);
        if logs.is_given() {
            for hook in hook_logs::of_results(results, &session.store) {
                logs.print(&hook, &session.settings.data_dir, context.report.ci);
            }
        }
        close(plan, results, session, started, context);
        context.output.drain();
    };
    let report = engine.install_planned(plan, on_results, |report| {
        if let Some(file) = timings {
            timings_written = file.write(&session.store, report.command, verbosity);
        }
    })?;
    let status = report.exit_status();
    Ok(timings_written.map_or_else(
        |error| {
            error!("{error}");
            status.or_incomplete()
        },
        |()| status,
    ))
}

/// Prints how much is installed, unless there was nothing to do, and adds the results to the report.
fn close(
    plan: &InstallPlan,
    results: &[StepResult],
    session: &Session<'_>,
    started: Timestamp,
    context: &mut Context,
) {
    let done = results.iter().filter(|result| result.is_linked()).count();
    let interrupted = results.iter().filter(|result| result.is_interrupted()).count();
    let failed = results.len() - done - interrupted;
    let rest =
        [(failed, if plan.options.is_lookup { "missing" } else { "failed" }), (interrupted, "interrupted")];
    let elapsed = clock::now().duration_since(started);
    let closing = closing::line(done, results.len(), "installed", &rest, elapsed);
    if results.iter().any(|result| !matches!(result, StepResult::AlreadyInstalled(_))) {
        context.verbosity.close(&closing, &session.settings);
    }
    if context.report.is_wanted() {
        context.report.job = Some(JobReport { closing, elapsed, ..job::of_install(plan, results, session) });
    }
}

fn print_report(plan: &InstallPlan, results: &[StepResult], if_empty: &str, context: &mut Context) {
    print_results(results, context);
    print_diagnostics(&plan.catalog);
    for (step, result) in plan.steps.iter().zip(results) {
        failure::print(result, plan.options.is_lookup);
        failure::print_open_registries(step, result, plan);
    }
    let are_all_installed = results.iter().all(|result| matches!(result, StepResult::AlreadyInstalled(_)));
    match results {
        // An error about a plugin says why nothing is required.
        [] if plan.catalog.discovery.diagnostics.is_empty() => context.verbosity.note(if_empty),
        [] => {}
        [StepResult::AlreadyInstalled(binary)] => {
            context.verbosity.note(&format!("{} is already installed", binary.name));
        }
        results if are_all_installed => {
            context.verbosity.note(&format!("{} binaries are already installed", results.len()));
        }
        _ => {}
    }
    let is_new =
        |result: &StepResult| matches!(result, StepResult::Resolved(_, Resolved { has_succeeded: true, .. }));
    if results.iter().any(is_new) && io::stderr().is_terminal() && !context.settings.has_lib_bin_dir_on_path()
    {
        let command = context.settings.env_command();
        context.verbosity.note(&format!("the installed programs are not on PATH; add them with: {command}"));
    }
}

/// The note for a plan without steps.
pub(crate) const NOTHING_REQUIRED: &str =
    "no enabled plugin requires a binary; `rigup plugin list` shows the plugins that are found";

/// The note for `--due` if no retry time has come.
const NOTHING_DUE: &str =
    "no queued binary is due; `rigup binary list --status queued --json` shows each `retry_at`";

fn print_results(results: &[StepResult], context: &mut Context) {
    let rows = results.iter().map(|result| match result {
        StepResult::AlreadyInstalled(binary) => tables::binary_row(binary, true),
        StepResult::Resolved(_, Resolved { binary, has_succeeded: true, link_error, .. }) => {
            tables::binary_row(binary, link_error.is_none())
        }
        // The earlier file stays installed if a request fails or is refused.
        StepResult::Resolved(_, Resolved { binary, .. }) if binary.installed().is_some() => {
            tables::binary_row(binary, true)
        }
        StepResult::Deferred(_, binary, _) | StepResult::Refused(_, Some(binary))
            if binary.installed().is_some() =>
        {
            tables::binary_row(binary, true)
        }
        StepResult::Resolved(request, _) => queued_row(request),
        StepResult::Deferred(request, ..)
        | StepResult::Planned(request)
        | StepResult::Unresolved(request, _) => queued_row(request),
        StepResult::Refused(Refusal { name, .. }, _) => tables::queued_row(name.as_str(), ""),
    });
    let records = results.iter().map(StepResult::to_record);
    context.output.list(records, "", || tables::binary_rows(rows));
    context.output.flush();
}

fn queued_row(request: &Request) -> Vec<Cell> {
    tables::queued_row(request.name.as_str(), &request.binproviders())
}

/// Prints the plan of a request. Creates no file, not even the data dir.
fn dry_run(request: &InstallRequest, context: &mut Context) -> CommandResult {
    let plan = InstallPlan::new(request, &context.settings, &print_event)?;
    let results = plan.dry_run(&context.settings, &print_event)?;
    let (providers, configs) = (plan.catalog.providers(), plan.catalog.provider_configs());
    let (discovery, lib_dir) = (&plan.catalog.discovery, &context.settings.lib_dir);
    let records = plan.steps.iter().zip(&results).map(|(step, result)| {
        let mut record = result.to_dry_run_record(&providers, configs, discovery, lib_dir);
        if let (Ok(request), true) = (step, result.is_installed()) {
            record["binproviders"] = request.candidates.join(",").into();
        }
        record
    });
    let records: Vec<Value> = records.collect();
    let rows = results.iter().zip(&records).map(|(result, record)| {
        let text = |key: &str| record[key].as_str().unwrap_or_default();
        let status = text("status");
        [
            Cell::plain(text("name")),
            if result.is_installed() { Cell::success(status) } else { Cell::plain(status) },
            Cell::plain(text("binproviders").replace(',', ", ")),
            Cell::failure(text("last_error")),
        ]
    });
    let columns = [
        Column::new("BINARY").cut_end(20),
        Column::new("STATUS"),
        Column::new("PROVIDERS").wrap(16),
        Column::new("ERROR").wrap(24).optional(1),
    ];
    context.output.list(&records, "", || Table::with_rows(columns, rows));
    let status = print_diagnostics(&plan.catalog);
    let is_possible = |(result, record): (&StepResult, &Value)| {
        result.is_installed()
            || record["binproviders"].as_str().is_some_and(|providers| !providers.is_empty())
    };
    let are_all_possible = results.iter().zip(&records).all(is_possible);
    Ok(if are_all_possible { status } else { status.or_incomplete() })
}
