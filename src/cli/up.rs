//! `rigup up` and `rigup down`: the supervisor of the daemons of a manifest.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

use crate::cli::attachment::Attachment;
use crate::cli::background_supervisor::apply_in_background;
use crate::cli::command::{CliError, CommandResult, Context, Verbosity};
use crate::cli::completions::values;
use crate::cli::daemon::{print_daemons, request_or_stop};
use crate::cli::daemon_binaries;
use crate::cli::message::{error, print_event, warning};
use crate::cli::progress::ProgressDisplay;
use crate::cli::status_display::StatusDisplay;
use crate::duration::{self, Limit};
use crate::engine::catalog::Catalog;
use crate::engine::completion;
use crate::engine::daemons::{self, LockHolder, Manifest};
use crate::engine::session::{self, Session};
use crate::engine::{EngineError, ExitStatus};
use crate::fs::lock::FileLock;
use crate::model::{Condition, Daemon, DaemonName, DaemonSpec, DaemonStatus, ExitReason, Wanted};
use crate::report::text;
use crate::sorting::sort_by_key;
use crate::supervisor::control::{ControlRequest, stopped_note};
use crate::supervisor::control_loop::DaemonEvent;
use crate::supervisor::manifest::ManifestError;
use crate::supervisor::policy;
use crate::supervisor::service_manager::{self, ServiceManager};

/// The arguments of `rigup up`.
#[derive(Debug, clap::Args)]
#[command(after_help = include_str!("help/up.txt"))]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command")]
pub(crate) struct UpArgs {
    /// Start only these daemons and what they depend on
    #[arg(value_name = "NAME", add = values(completion::declared_daemons))]
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
    #[arg(long, value_name = "NAME", conflicts_with_all = ["detach", "wait"], add = values(completion::declared_daemons))]
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
    let service_manager = ServiceManager::of(&context.settings.environment)
        .map_err(|error| CliError::setup(format!("cannot use NOTIFY_SOCKET: {error}")))?;
    context.settings.remove_variables(&service_manager::VARIABLES);
    let mut specs = read(&args.file, context)?;
    if let Some(name) = &args.exit_code_from {
        if !specs.iter().any(|spec| spec.is_named(name)) {
            return Err(CliError::not_found(format!(
                "no daemon is named {name}; `rigup up --dry-run` shows the daemons"
            )));
        }
        specs.iter_mut().filter(|spec| spec.is_named(name)).for_each(|spec| spec.exit_on_end = true);
    }
    let named = policy::named(specs.iter(), &args.names).map_err(|name| {
        CliError::not_found(format!("no daemon is named {name}; `rigup up --dry-run` shows the daemons"))
    })?;
    args.names = named.iter().map(ToString::to_string).collect();
    if args.no_deps {
        let is_named = |spec: &&mut DaemonSpec| args.names.iter().any(|name| *spec.name == **name);
        for dependency in specs.iter_mut().filter(is_named).flat_map(|spec| &mut spec.depends_on) {
            dependency.condition = Condition::None;
        }
    }
    if args.dry_run {
        dry_run(specs, context);
        return Ok(ExitStatus::Success);
    }
    let UpArgs { names, remove_orphans, detach, wait, wait_timeout, exit_code_from, .. } = args;
    let manifest = Manifest { specs, names, removes_orphans: remove_orphans };
    let session = context.session()?;
    if !daemon_binaries::install(manifest.to_run(session.store.daemons()?), context)? {
        return Ok(ExitStatus::Incomplete);
    }
    let lock = loop {
        let lock = daemons::try_lock(&session.settings, LockHolder::Supervisor)?;
        // Another command may be stopping daemons without a supervisor.
        if lock.is_some() || daemons::await_supervisor(&session.settings)? {
            break lock.filter(|_| !detach && !wait);
        }
    };
    let status = match lock {
        Some(lock) => run_in_foreground(&session, lock, manifest, service_manager, context)?,
        None if wait => await_ready(&session, manifest, wait_timeout.and_then(|limit| limit.0), context)?,
        None if detach => {
            apply(manifest, &session, context.verbosity)?;
            ExitStatus::Success
        }
        None if service_manager.is_some() => {
            return Err(CliError::setup(
                "cannot supervise for the service manager: another supervisor runs; stop it with `rigup down`",
            ));
        }
        None => follow(&session, manifest, context)?,
    };
    match exit_code_from {
        Some(name) if matches!(status, ExitStatus::Success | ExitStatus::Incomplete) => {
            let daemons = daemons::stored(&session.store)?;
            let named = daemons.iter().filter(|(daemon, _)| daemon.spec.is_named(&name));
            let exits = named.filter_map(|(_, process)| process.as_ref()?.exit());
            // Of several replicas, one that has failed, or else one that has ended: the others were stopped.
            let exit = exits
                .filter(|exit| exit.exit_code.is_some())
                .min_by_key(|exit| (exit.reason == ExitReason::Stopped, exit.exit_code == Some(0)));
            let code = exit.and_then(|exit| u8::try_from(exit.exit_code?).ok());
            Ok(code.map_or(status, ExitStatus::Code))
        }
        _ => Ok(status),
    }
}

/// Supervises the daemons of a manifest, and prints what they write and do.
fn run_in_foreground(
    session: &Session<'_>,
    lock: FileLock,
    manifest: Manifest,
    mut service_manager: Option<ServiceManager>,
    context: &mut Context,
) -> CommandResult {
    let verbosity = context.verbosity;
    let progress = ProgressDisplay::new(context);
    let display = &StatusDisplay::new(&progress);
    let attachment = Attachment {
        output: Some(&mut context.output),
        display,
        shows_status: false,
        names: manifest.names_of_all(),
        includes_others: true,
    };
    let mut on_event = |event: DaemonEvent<'_>| match event {
        DaemonEvent::Warning(text) => display.suspend(|| warning!("{text}")),
        DaemonEvent::Note(text) => display.suspend(|| verbosity.note(&text)),
        DaemonEvent::Status(daemon, process) => display.show(daemon, process),
    };
    let tick = |is_ending| service_manager.as_mut().and_then(|manager| manager.tick(is_ending));
    let supervise = || daemons::supervise(session, lock, Some(manifest), false, tick, &mut on_event);
    Ok(attachment.during(&session.settings, supervise)??)
}

/// Applies a manifest to the running supervisor, or to a new one in the background, and names the daemons that stay stopped
/// because they were stopped by name. Returns the records of all daemons.
fn apply(manifest: Manifest, session: &Session<'_>, verbosity: Verbosity) -> Result<Vec<Value>, CliError> {
    let names = if manifest.names.is_empty() { manifest.names_of_all() } else { Vec::new() };
    let daemons = apply_in_background(manifest, &session.settings)?;
    for daemon in session.store.daemons()? {
        if daemon.is_stopped_by_hand && names.contains(&daemon.name) {
            verbosity.note(&stopped_note(&daemon.name, "start"));
        }
    }
    Ok(daemons)
}

/// Applies a manifest to the running supervisor, and prints what its daemons write and do until they have ended.
fn follow(session: &Session<'_>, manifest: Manifest, context: &mut Context) -> CommandResult {
    let names = manifest.names_of_all();
    let progress = ProgressDisplay::new(context);
    let settings = &context.settings;
    let verbosity = context.verbosity;
    let attachment = Attachment {
        output: Some(&mut context.output),
        display: &StatusDisplay::new(&progress),
        shows_status: true,
        names: names.clone(),
        includes_others: false,
    };
    attachment.during(settings, || {
        apply(manifest, session, verbosity)?;
        verbosity.note("the manifest was applied to the running supervisor; Ctrl-C leaves it running");
        let request = ControlRequest::Wait { names: names.clone() };
        daemons::request(settings, &request, None).map_err(CliError::from)
    })??;
    let mut daemons = session.store.daemons()?;
    daemons.retain(|daemon| names.contains(&daemon.name));
    if daemons.iter().any(|daemon| daemon.status.is_alive()) {
        return Err(CliError::not_found(
            "the supervisor was killed; its daemons keep running, and `rigup up` takes them over",
        ));
    }
    let has_failed = daemons.iter().any(|daemon| daemon.status == DaemonStatus::Failed);
    Ok(if has_failed { ExitStatus::Incomplete } else { ExitStatus::Success })
}

/// Applies a manifest, and waits until each daemon that it starts is ready or has ended. Shows the progress on a terminal.
fn await_ready(
    session: &Session<'_>,
    manifest: Manifest,
    timeout: Option<Duration>,
    context: &Context,
) -> CommandResult {
    let progress = ProgressDisplay::new(context);
    let settings = &context.settings;
    let selected = manifest.selected();
    let attachment = Attachment {
        output: None,
        display: &StatusDisplay::new(&progress),
        shows_status: progress.has_bars(),
        names: manifest.names_of_all(),
        includes_others: false,
    };
    let answer = attachment.during(settings, || {
        let daemons = apply(manifest, session, context.verbosity)?;
        // One that was stopped by hand, or does not start by itself, may stay stopped.
        let is_wanted = |name: &DaemonName| {
            daemons.iter().any(|daemon| daemon["name"] == **name && daemon["wanted"] == "started")
        };
        let names = selected.into_iter().filter(is_wanted).collect();
        let answer = daemons::request(settings, &ControlRequest::AwaitReady { names, timeout }, None);
        answer.map_err(|error| match error {
            // A line for each daemon that has failed or is not ready.
            EngineError::NotFound(text) => CliError::not_found(print_all_but_last(text.split('\n'))),
            error => error.into(),
        })
    })??;
    if answer.is_some() {
        Ok(ExitStatus::Success)
    } else {
        Err(CliError::not_found("the supervisor has ended"))
    }
}

/// Runs `rigup down`.
pub(crate) fn down(args: &DownArgs, context: &mut Context) -> CommandResult {
    let grace = args.timeout.map(Limit::or_max);
    request_or_stop(&ControlRequest::Down { grace }, None, grace, context)
}

/// Reads the daemons of all manifests: those of plugins, of the project, and of these files.
pub(crate) fn read(files: &[PathBuf], context: &Context) -> Result<Vec<DaemonSpec>, CliError> {
    // Otherwise, each built-in plugin in the data dir would be a problem.
    session::check_data_dir(&context.settings)?;
    let catalog = Catalog::find(&context.settings, &[], &print_event)?;
    // A plugin that rigup does not use may declare daemons.
    for diagnostic in &catalog.discovery.diagnostics {
        warning!("{diagnostic}");
    }
    let (specs, warnings) =
        daemons::declared(&catalog, files, &context.settings).map_err(|ManifestError(problems)| {
            CliError::setup(print_all_but_last(problems.iter().map(String::as_str)))
        })?;
    for text in &warnings {
        warning!("{text}");
    }
    if specs.is_empty() {
        let files: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
        return Err(CliError::setup(if files.is_empty() {
            "no daemon is declared; write [daemons.NAME] with a command into ./rigup.toml, or name a manifest with -f"
                .to_owned()
        } else {
            format!("no daemon is declared in {}; add one", text::list(&files, text::MAX_LISTED))
        }));
    }
    policy::check(&specs).map_err(CliError::setup)?;
    Ok(specs)
}

/// Prints all problems but the last, and returns that one, which ends the command.
fn print_all_but_last<'p>(mut problems: impl DoubleEndedIterator<Item = &'p str>) -> &'p str {
    let last = problems.next_back().unwrap_or_default();
    problems.for_each(|problem| error!("{problem}"));
    last
}

/// Whether a plugin or the project declares a daemon with this name. Prints nothing, also if a manifest is invalid.
pub(crate) fn is_declared(name: &str, context: &Context) -> bool {
    let Ok(catalog) = Catalog::find(&context.settings, &[], &|_event| {}) else { return false };
    let read = daemons::declared(&catalog, &[], &context.settings);
    read.is_ok_and(|(specs, _warnings)| specs.iter().any(|spec| spec.is_named(name)))
}

/// Returns daemons in the order of their start.
pub(crate) fn in_order(mut specs: Vec<DaemonSpec>) -> Vec<DaemonSpec> {
    let order = policy::order(&specs);
    sort_by_key(&mut specs, |spec| order.iter().position(|name| *name == spec.name));
    specs
}

fn dry_run(specs: Vec<DaemonSpec>, context: &mut Context) {
    let specs = in_order(specs);
    let daemons: Vec<_> = specs.into_iter().map(|spec| (Daemon::new(spec, Wanted::Started), None)).collect();
    print_daemons(&daemons, context);
}
