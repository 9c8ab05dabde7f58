//! `rigup up` and `rigup down`: the supervisor of the daemons of a manifest.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::cli::command::{CliError, CommandResult, Context};
use crate::cli::daemon::{print_daemons, print_warnings};
use crate::cli::failure;
use crate::cli::message::{error, message, print_event, warning};
use crate::cli::output::Output;
use crate::cli::progress::ProgressDisplay;
use crate::duration::{self, Limit};
use crate::engine::catalog::Catalog;
use crate::engine::daemons::{self, Manifest};
use crate::engine::install::InstallPlan;
use crate::engine::step_result::StepResult;
use crate::engine::{EngineError, EngineEvent, ExitStatus, InstallRequest};
use crate::model::{Daemon, DaemonSpec, DaemonStatus, Process, Wanted};
use crate::process::run_dir::{self, RunDir};
use crate::process::spawn::{Child, CommandSpec};
use crate::process::tail::LogFollower;
use crate::process::{poll, wait};
use crate::report::tables;
use crate::report::text::printable;
use crate::settings::{FILE_NAME, Settings};
use crate::supervisor::control::ControlRequest;
use crate::supervisor::control_loop::{DaemonEvent, orphan_warning};
use crate::supervisor::manifest::{self, ManifestError, ManifestSource};
use crate::supervisor::policy;

/// The hidden command that supervises in the background.
pub(crate) const SUPERVISE: &str = "supervise";

/// How long a supervisor in the background may take to start.
const START_PATIENCE: Duration = Duration::from_secs(10);

/// The interval at which logs are read, and at which a new supervisor is asked.
const LOG_INTERVAL: Duration = Duration::from_millis(100);
const RETRY: Duration = Duration::from_millis(10);

/// The colors of the names in front of lines, in turn.
const COLORS: [u8; 6] = [36, 33, 32, 35, 34, 31];

/// The arguments of `rigup up`.
#[derive(Debug, clap::Args)]
#[command(after_help = include_str!("help/up.txt"))]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command")]
pub(crate) struct UpArgs {
    /// Start only these daemons and what they depend on
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// Read daemons from FILE; repeatable
    #[arg(long, short, value_name = "FILE")]
    file: Vec<PathBuf>,
    /// Supervise in the background
    #[arg(long, short)]
    detach: bool,
    /// Return once every daemon is ready or has ended; implies --detach
    #[arg(long)]
    wait: bool,
    /// With --wait, fail after TIME [default: none]
    #[arg(long, value_name = "TIME", requires = "wait", value_parser = duration::parse_limit)]
    wait_timeout: Option<Limit>,
    /// Start the named daemons without those that they depend on
    #[arg(long, requires = "names")]
    no_deps: bool,
    /// Stop all daemons when NAME ends, and exit with its code
    #[arg(long, value_name = "NAME", conflicts_with_all = ["detach", "wait"])]
    exit_code_from: Option<String>,
    /// Stop daemons that are no longer declared
    #[arg(long)]
    remove_orphans: bool,
    /// Show the daemons in the order of their start, without starting any
    #[arg(long)]
    dry_run: bool,
}

/// The arguments of `rigup down`.
#[derive(Debug, clap::Args)]
pub(crate) struct DownArgs {
    /// Kill what has not ended after TIME [default: the grace period of each daemon]
    #[arg(long, short, value_name = "TIME", value_parser = duration::parse_limit)]
    timeout: Option<Limit>,
}

/// Runs `rigup up`.
pub(crate) fn up(mut args: UpArgs, context: &mut Context) -> CommandResult {
    let mut specs = read(&args, context)?;
    if let Some(name) = &args.exit_code_from {
        if !specs.iter().any(|spec| spec.is_named(name)) {
            return Err(CliError::usage(format!("no daemon is named {name}")));
        }
        specs.iter_mut().filter(|spec| spec.is_named(name)).for_each(|spec| spec.exit_on_end = true);
    }
    let named = policy::named(specs.iter(), &args.names).map_err(|name| {
        CliError::not_found(format!("no daemon is named {name}; `rigup up --dry-run` shows the daemons"))
    })?;
    args.names = named.iter().map(ToString::to_string).collect();
    if args.no_deps {
        let is_named = |spec: &&mut DaemonSpec| args.names.iter().any(|name| *spec.name == **name);
        specs.iter_mut().filter(is_named).for_each(|spec| spec.depends_on.clear());
    }
    if args.dry_run {
        dry_run(specs, context);
        return Ok(ExitStatus::Success);
    }
    if !install_binaries(&specs, context)? {
        return Ok(ExitStatus::Incomplete);
    }
    let UpArgs { names, remove_orphans, detach, wait, wait_timeout, exit_code_from, .. } = args;
    let session = context.session()?;
    let lock = daemons::try_lock(&session.settings)?;
    let Some(lock) = lock.filter(|_| !detach && !wait) else {
        drop(session);
        let timeout = wait_timeout.and_then(|limit| limit.0);
        return if detach || wait {
            apply_in_background(specs, names, remove_orphans, context)?;
            if wait { await_ready(timeout, context) } else { Ok(ExitStatus::Success) }
        } else {
            follow(specs, names, remove_orphans, context)
        };
    };
    let Context { output, verbosity, .. } = context;
    let logs = std::cell::RefCell::new(ForegroundLogs::new(&session.settings, output));
    let mut on_event = |event: DaemonEvent<'_>| match event {
        DaemonEvent::Warning(text) => warning!("{text}"),
        DaemonEvent::Status(daemon, process) => {
            logs.borrow_mut().follow(daemon, process);
            if !verbosity.quiet {
                message!("{}", describe(daemon, process));
            }
        }
    };
    let manifest = Manifest { specs, names, removes_orphans: remove_orphans };
    let tick = || {
        logs.borrow_mut().print();
        Some(LOG_INTERVAL)
    };
    let status = daemons::supervise(&session, lock, Some(manifest), false, tick, &mut on_event)?;
    logs.borrow_mut().print();
    match exit_code_from {
        Some(name) if matches!(status, ExitStatus::Success | ExitStatus::Incomplete) => {
            let daemons = daemons::stored(&session.store)?;
            let named = daemons.iter().filter(|(daemon, _)| daemon.spec.is_named(&name));
            let codes = named.filter_map(|(_, process)| process.as_ref()?.exit()?.exit_code);
            let codes: Vec<u8> = codes.filter_map(|code| u8::try_from(code).ok()).collect();
            // Of several replicas, the first that failed.
            let code = codes.iter().find(|code| **code != 0).or(codes.first());
            Ok(code.map_or(status, |code| ExitStatus::Code(*code)))
        }
        _ => Ok(status),
    }
}

/// Runs the hidden command `supervise`.
pub(crate) fn supervise(context: &mut Context) -> CommandResult {
    let session = context.session()?;
    // The supervisor that has the lock takes the requests.
    let Some(lock) = daemons::try_lock(&session.settings)? else { return Ok(ExitStatus::Success) };
    let mut on_event = |event: DaemonEvent<'_>| match event {
        DaemonEvent::Warning(text) => warning!("{text}"),
        DaemonEvent::Status(daemon, process) => message!("{}", describe(daemon, process)),
    };
    Ok(daemons::supervise(&session, lock, None, true, || None, &mut on_event)?)
}

/// Runs `rigup down`.
pub(crate) fn down(args: &DownArgs, context: &mut Context) -> CommandResult {
    let session = context.session()?;
    let grace = args.timeout.map(Limit::or_max);
    if daemons::request(&session.settings, &ControlRequest::Down { grace }, None)?.is_none() {
        let _lock = daemons::try_lock(&session.settings)?;
        print_warnings(&daemons::stop(&session, None, grace)?);
    }
    Ok(ExitStatus::Success)
}

fn read(args: &UpArgs, context: &Context) -> Result<Vec<DaemonSpec>, CliError> {
    let catalog = Catalog::find(&context.settings, &[], &print_event)?;
    let plugins = catalog.discovery.plugins.iter().filter(|plugin| catalog.is_enabled(&plugin.name));
    let mut sources: Vec<ManifestSource> =
        plugins.map(|plugin| ManifestSource::Plugin(plugin.path.clone())).collect();
    sources.push(ManifestSource::Project(FILE_NAME.into()));
    sources.extend(args.file.iter().cloned().map(ManifestSource::File));
    let (specs, warnings) =
        manifest::read(&context.settings, &sources).map_err(|ManifestError(mut problems)| {
            let last = problems.pop().unwrap_or_default();
            for problem in problems {
                error!("{problem}");
            }
            CliError::setup(last)
        })?;
    for text in &warnings {
        warning!("{text}");
    }
    if specs.is_empty() {
        return Err(CliError::setup(
            "no daemon is declared; write [daemons.NAME] with a command into ./rigup.toml, or name a manifest with -f",
        ));
    }
    policy::check(&specs).map_err(CliError::setup)?;
    Ok(specs)
}

/// Installs the binaries that the daemons name. Returns whether all are installed.
fn install_binaries(specs: &[DaemonSpec], context: &Context) -> Result<bool, CliError> {
    let names: BTreeSet<&String> = specs.iter().flat_map(|spec| &spec.binaries).collect();
    if names.is_empty() {
        return Ok(true);
    }
    let progress = ProgressDisplay::new(context);
    let on_event = |event: &EngineEvent<'_>| progress.show(event);
    let request = InstallRequest::for_names(names.into_iter().cloned());
    let plan = InstallPlan::new(&request, &context.settings, &on_event)?;
    let print_failures = |results: &[StepResult]| {
        progress.clear();
        for result in results {
            failure::print(result, false);
        }
    };
    let report = context.engine(&on_event)?.install_planned(&plan, print_failures, |_report| ())?;
    Ok(report.exit_status() == ExitStatus::Success)
}

fn dry_run(mut specs: Vec<DaemonSpec>, context: &mut Context) {
    let order = policy::order(&specs);
    specs.sort_by_key(|spec| order.iter().position(|name| *name == spec.name));
    let daemons: Vec<_> = specs.into_iter().map(|spec| (Daemon::new(spec, Wanted::Started), None)).collect();
    print_daemons(&daemons, context);
}

/// Applies a manifest to the running supervisor, or to a new one in the background.
fn apply_in_background(
    daemons: Vec<DaemonSpec>,
    names: Vec<String>,
    remove_orphans: bool,
    context: &Context,
) -> Result<(), CliError> {
    let declared: BTreeSet<String> = daemons.iter().map(|spec| spec.name.to_string()).collect();
    let request = ControlRequest::Apply { daemons, names, remove_orphans };
    let settings = &context.settings;
    let deadline = Instant::now() + START_PATIENCE;
    let mut supervisor: Option<BackgroundSupervisor> = None;
    let answer = loop {
        if let Some(answer) = daemons::request(settings, &request, Some(START_PATIENCE))? {
            break answer;
        }
        if let Some(ended) = supervisor.take_if(|supervisor| supervisor.has_exited()) {
            ended.result()?;
        }
        if supervisor.is_none()
            && let Some(lock) = daemons::try_lock(settings)?
        {
            drop(lock);
            supervisor = Some(BackgroundSupervisor::start(settings)?);
        }
        if Instant::now() >= deadline {
            return Err(CliError::setup(format!(
                "the supervisor does not answer within {} s; see {}",
                START_PATIENCE.as_secs(),
                log_path(settings).display()
            )));
        }
        poll::pause(Instant::now() + RETRY);
    };
    let live = answer.daemons.iter().filter(|daemon| !daemon["pid"].is_null() && !remove_orphans);
    for name in live.filter_map(|daemon| daemon["name"].as_str()).filter(|name| !declared.contains(*name)) {
        warning!("{}", orphan_warning(name));
    }
    Ok(())
}

/// Applies a manifest to the running supervisor, and waits until its daemons have ended.
fn follow(
    specs: Vec<DaemonSpec>,
    names: Vec<String>,
    remove_orphans: bool,
    context: &Context,
) -> CommandResult {
    let all = specs.iter().map(|spec| spec.name.to_string()).collect();
    apply_in_background(specs, names, remove_orphans, context)?;
    context.verbosity.note("the manifest was applied to the running supervisor; Ctrl-C leaves it running");
    let _ = daemons::request(&context.settings, &ControlRequest::Wait { names: all }, None)?;
    Ok(ExitStatus::Success)
}

/// Waits until each daemon is ready or has ended.
fn await_ready(timeout: Option<Duration>, context: &Context) -> CommandResult {
    let answer = daemons::request(&context.settings, &ControlRequest::AwaitReady, timeout)?;
    let answer = answer.ok_or_else(|| CliError::not_found("the supervisor has ended"))?;
    let failed = answer.daemons.iter().filter(|daemon| daemon["status"] == "failed");
    let failed: Vec<&str> = failed.filter_map(|daemon| daemon["name"].as_str()).collect();
    for name in &failed {
        error!("{} failed; see `rigup logs {}`", printable(name), printable(name));
    }
    Ok(if failed.is_empty() { ExitStatus::Success } else { ExitStatus::Incomplete })
}

fn log_path(settings: &Settings) -> PathBuf {
    settings.data_dir.join("supervisor.log")
}

/// A supervisor that was started in the background, in a session of its own.
struct BackgroundSupervisor {
    child: Child,
    log: PathBuf,
    /// The size of the log before the start.
    log_start: u64,
}

impl BackgroundSupervisor {
    fn start(settings: &Settings) -> Result<Self, CliError> {
        let path = log_path(settings);
        let open = || {
            let log = File::options().create(true).append(true).open(&path)?;
            let size = log.metadata()?.len();
            io::Result::Ok((log, size))
        };
        let (log, log_start) = open()
            .map_err(|error| CliError::setup(format!("cannot open the log of the supervisor: {error}")))?;
        let folders = [
            ("--data-dir", &settings.data_dir),
            ("--lib-dir", &settings.lib_dir),
            ("--lib-bin-dir", &settings.lib_bin_dir),
        ];
        let folders = folders.into_iter().flat_map(|(option, folder)| [option.into(), folder.clone().into()]);
        let command = CommandSpec {
            program: settings.rigup.clone().into(),
            args: std::iter::once(SUPERVISE.into()).chain(folders).collect(),
            env: settings
                .command_environment
                .iter()
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
            cwd: std::env::current_dir().unwrap_or_else(|_error| "/".into()),
        };
        let child = command.start(None, &log, &log).map_err(EngineError::from)?;
        Ok(Self { child, log: path, log_start })
    }

    fn has_exited(&self) -> bool {
        wait::has_exited_by(&self.child, Instant::now())
    }

    /// Returns the error of a supervisor that has exited, from its log.
    fn result(self) -> Result<(), CliError> {
        if wait::reap(&self.child).is_ok_and(|exit| exit.exit_code == Some(0)) {
            return Ok(());
        }
        let mut text = String::new();
        let read = File::open(&self.log).and_then(|mut log| {
            log.seek(SeekFrom::Start(self.log_start))?;
            log.read_to_string(&mut text)
        });
        let last = text.lines().rev().find_map(|line| line.strip_prefix("error: ")).filter(|_| read.is_ok());
        Err(CliError::setup(
            last.map_or_else(
                || format!("the supervisor has ended; see {}", self.log.display()),
                str::to_owned,
            ),
        ))
    }
}

/// Returns what a daemon does now, as a line.
fn describe(daemon: &Daemon, process: Option<&Process>) -> String {
    let name = printable(&daemon.name);
    let pid = process.and_then(Process::running).map(|running| format!(" (pid {})", running.identity.pid));
    match daemon.status {
        DaemonStatus::Starting | DaemonStatus::Running => {
            format!("{name}: {}{}", daemon.status, pid.unwrap_or_default())
        }
        DaemonStatus::Backoff | DaemonStatus::Failed => {
            format!("{name}: {}: {} (rigup logs {name})", daemon.status, printable(&daemon.last_error))
        }
        DaemonStatus::Exited => {
            let state = process.map(|process| tables::process_state(process).text).unwrap_or_default();
            format!("{name}: {} ({state})", daemon.status)
        }
        status => format!("{name}: {status}"),
    }
}

/// The logs of the daemons, which are printed with their names in front.
struct ForegroundLogs<'a> {
    settings: &'a Settings,
    output: &'a mut Output,
    followed: BTreeMap<String, DaemonLog>,
}

/// The logs of one execution.
struct DaemonLog {
    process: crate::model::ProcessId,
    prefix: String,
    streams: Vec<(LogFollower, Vec<u8>)>,
}

impl<'a> ForegroundLogs<'a> {
    fn new(settings: &'a Settings, output: &'a mut Output) -> Self {
        Self { settings, output, followed: BTreeMap::new() }
    }

    /// Follows the logs of a new execution.
    fn follow(&mut self, daemon: &Daemon, process: Option<&Process>) {
        let Some(process) = process.filter(|_| daemon.status.is_alive()) else { return };
        if self.followed.get(&daemon.name).is_some_and(|followed| followed.process == process.id) {
            return;
        }
        self.print();
        let run_dir = RunDir::at(&run_dir::path(&self.settings.data_dir, process.id));
        let streams = [run_dir.stdout(), run_dir.stderr()];
        let streams =
            streams.iter().filter_map(|path| LogFollower::open(path, None).ok()).map(|log| (log, Vec::new()));
        let name = printable(&daemon.name);
        let prefix = if self.output.has_color() {
            format!("\x1b[{}m{name} |\x1b[0m ", COLORS[self.followed.len() % COLORS.len()])
        } else {
            format!("{name} | ")
        };
        let followed = DaemonLog { process: process.id, prefix, streams: streams.collect() };
        self.followed.insert(daemon.name.clone(), followed);
    }

    /// Prints the new lines.
    fn print(&mut self) {
        let Self { output, followed, .. } = self;
        for DaemonLog { prefix, streams, .. } in followed.values_mut() {
            for (follower, rest) in streams {
                let _ = follower.read(|bytes| {
                    rest.extend_from_slice(bytes);
                    Ok(())
                });
                while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
                    let line: Vec<u8> = rest.drain(..=end).collect();
                    let text = printable(&String::from_utf8_lossy(&line[..end]));
                    output.raw(format!("{prefix}{text}\n").as_bytes());
                }
            }
        }
        output.flush();
    }
}
