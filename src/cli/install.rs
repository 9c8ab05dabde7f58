//! `rigup install` and `rigup load`: from requirements to linked binaries.

use std::time::Duration;

use rayon::prelude::*;
use serde_json::{Value, json};

use crate::cli::binary;
use crate::cli::error::{CliError, Exit};
use crate::cli::output::{Output, Talk};
use crate::cli::progress::Display;
use crate::cli::search::{self, Found};
use crate::cli::session::Session;
use crate::hook::run::{MAX_TIMEOUT, Runner};
use crate::plugin::builtin;
use crate::plugin::requirement::Providers;
use crate::process::signals::Interrupt;
use crate::provision::plan::{self, Refusal, Request, Wish};
use crate::provision::resolve::{self, ResolveError, Resolved, Resolver, Standing};
use crate::record::attempt::Outcome;
use crate::record::binary::{Binary, State};
use crate::record::name::BinaryName;
use crate::report::human::{Tone, Toned, printable};
use crate::settings::Settings;

/// How long a hook that installs may take, unless `--timeout` says otherwise.
const TIMEOUT: u64 = 600;

/// The fewest requirements that are worked on at once: hooks mostly wait.
const FEWEST_AT_ONCE: usize = 4;

const EXAMPLES: &str = "\
Examples:
  rigup install                          everything that the plugins require
  rigup install --plugins ytdlp,git      just what these two require
  rigup install rg yt-dlp                just these; a name that no plugin requires is looked for
                                         at env, brew and apt only
  rigup install httpie --binproviders pip
  rigup install --dry-run                what would be asked of whom";

/// What to install.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct InstallArgs {
    /// Just these binaries; else all that the plugins require
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// Only what these plugins require
    #[arg(long, value_name = "A,B", value_delimiter = ',')]
    plugins: Vec<String>,
    /// Only these providers, in this order
    #[arg(long, value_name = "X,Y")]
    binproviders: Option<String>,
    /// At least this version
    #[arg(long, value_name = "V", default_value = "", hide_default_value = true)]
    min_version: String,
    /// Install anew what is there already, and replace a file that stands where a link goes
    #[arg(long)]
    force: bool,
    /// Show what would be asked of whom, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Work on so many binaries at once [default: the number of cores, at least 4]
    #[arg(long, short, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    jobs: Option<u16>,
    /// End a hook after so many seconds
    #[arg(long, value_name = "S", default_value_t = TIMEOUT, value_parser = clap::value_parser!(u64).range(1..=MAX_TIMEOUT.as_secs()))]
    timeout: u64,
}

/// What to look for.
#[derive(Debug, clap::Args)]
pub(crate) struct LoadArgs {
    /// Just these binaries; else all that the plugins require
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// Only what these plugins require
    #[arg(long, value_name = "A,B", value_delimiter = ',')]
    plugins: Vec<String>,
    /// At least this version
    #[arg(long, value_name = "V", default_value = "", hide_default_value = true)]
    min_version: String,
}

/// `rigup install`
pub(crate) fn install(
    args: InstallArgs,
    settings: &Settings,
    output: &mut Output,
    talk: Talk,
) -> Result<Exit, CliError> {
    let wish = Wish {
        names: names(&args.names, settings)?,
        providers: args.binproviders.as_deref().map(Providers::parse),
        min_version: args.min_version,
    };
    let (found, steps) = plan(&wish, &args.plugins, settings)?;
    if args.dry_run {
        return dry_run(&found, &steps, settings, output);
    }
    let options = Options {
        force: args.force,
        only_looks: false,
        jobs: args.jobs.map(usize::from),
        timeout: Duration::from_secs(args.timeout),
    };
    work(&found, &steps, &options, settings, output, talk)
}

/// `rigup load`: the same line, but nobody is asked who could install something.
pub(crate) fn load(
    args: LoadArgs,
    settings: &Settings,
    output: &mut Output,
    talk: Talk,
) -> Result<Exit, CliError> {
    let wish = Wish {
        names: names(&args.names, settings)?,
        providers: None,
        min_version: args.min_version,
    };
    let (found, mut steps) = plan(&wish, &args.plugins, settings)?;
    for request in steps.iter_mut().flatten() {
        request.candidates.retain(|provider| provider == plan::ENV);
    }
    let options = Options {
        force: false,
        only_looks: true,
        jobs: None,
        timeout: Duration::from_secs(TIMEOUT),
    };
    work(&found, &steps, &options, settings, output, talk)
}

struct Options {
    force: bool,
    only_looks: bool,
    jobs: Option<usize>,
    timeout: Duration,
}

fn names(typed: &[String], settings: &Settings) -> Result<Vec<BinaryName>, CliError> {
    let parse = |text: &String| BinaryName::parse(text, settings.home.as_deref());
    typed
        .iter()
        .map(parse)
        .collect::<Result<_, _>>()
        .map_err(|error| CliError::Usage(error.to_string()))
}

fn plan(wish: &Wish, plugins: &[String], settings: &Settings) -> Result<(Found, Vec<plan::Step>), CliError> {
    let found = search::search(settings, plugins)?;
    let mut requirements = found.requirements.clone();
    if !wish.names.is_empty() {
        requirements.extend_from_slice(&found.needs);
    }
    let steps = plan::plan(&requirements, wish, &found.providers());
    Ok((found, steps))
}

/// What one step of the plan came to.
enum Done {
    /// It was there already; nothing was done.
    Ready(Binary),
    /// It was worked on.
    Resolved(Resolved),
    /// Nobody may provide it.
    Refused(Refusal),
    /// It could not be worked on.
    Broken(Request, ResolveError),
}

fn work(
    found: &Found,
    steps: &[plan::Step],
    options: &Options,
    settings: &Settings,
    output: &mut Output,
    talk: Talk,
) -> Result<Exit, CliError> {
    let session = Session::open(settings)?;
    let mut binaries = session.store.binaries_of(session.machine.id)?;
    let done: Vec<Result<Binary, &plan::Step>> = steps
        .iter()
        .map(|step| match step {
            Ok(request) if !options.force => match binaries.remove(request.name.as_str()) {
                Some(it) if resolve::standing(&it, request, &settings.lib_bin_dir) == Standing::Ready => {
                    Ok(it)
                }
                _ => Err(step),
            },
            _ => Err(step),
        })
        .collect();
    let is_cold = done.iter().any(|it| matches!(it, Err(Ok(_))));
    let (done, interrupted) = if is_cold {
        resolve_all(found, done, options, &session, settings, talk)?
    } else {
        let settle = |it: Result<Binary, &plan::Step>| match it {
            Ok(binary) => Some(Done::Ready(binary)),
            Err(Err(refusal)) => Some(Done::Refused(refusal.clone())),
            Err(Ok(_)) => None,
        };
        (done.into_iter().filter_map(settle).collect(), None)
    };
    report(found, &done, interrupted, output, talk)
}

/// Works on what is not there, several at once, and records this run.
fn resolve_all(
    found: &Found,
    steps: Vec<Result<Binary, &plan::Step>>,
    options: &Options,
    session: &Session,
    settings: &Settings,
    talk: Talk,
) -> Result<(Vec<Done>, Option<i32>), CliError> {
    let broken = |error: std::io::Error| CliError::unusable(error.to_string());
    builtin::unpack(&settings.data_dir).map_err(broken)?;
    let interrupt = Interrupt::install().map_err(broken)?;
    let jobs = options.jobs.unwrap_or_else(|| {
        std::thread::available_parallelism().map_or(FEWEST_AT_ONCE, |cores| cores.get().max(FEWEST_AT_ONCE))
    });
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(jobs)
        .build()
        .map_err(CliError::unusable)?;
    let (me, iface_id) = session.begin(settings)?;
    let display = Display::new(talk, &settings.environment);
    let (hooks, needs) = (found.provider_hooks(), found.provider_needs());
    let resolver = Resolver {
        runner: Runner {
            settings,
            store: &session.store,
            machine_id: session.machine.id,
            iface_id: Some(iface_id),
            parent_id: me.id,
            interrupt: &interrupt,
        },
        hooks: &hooks,
        needs: &needs,
        force: options.force,
        only_looks: options.only_looks,
        timeout: options.timeout,
        watch: &|request, progress| display.show(request, &progress),
    };
    let resolve = |step: Result<Binary, &plan::Step>| match step {
        Ok(binary) => Done::Ready(binary),
        Err(Err(refusal)) => Done::Refused(refusal.clone()),
        Err(Ok(request)) => {
            let outcome = resolver.resolve(request);
            display.done(request);
            match outcome {
                Ok(outcome) => Done::Resolved(outcome),
                Err(error) => Done::Broken(request.clone(), error),
            }
        }
    };
    let done: Vec<Done> = pool.install(|| steps.into_par_iter().with_max_len(1).map(resolve).collect());
    display.clear();
    let interrupted = interrupt.signal();
    session.end(me, exit_of(found, &done, interrupted))?;
    Ok((done, interrupted))
}

fn exit_of(found: &Found, done: &[Done], interrupted: Option<i32>) -> Exit {
    if let Some(signal) = interrupted {
        return Exit::Interrupted(signal);
    }
    if done.iter().any(|it| matches!(it, Done::Broken(..))) {
        return Exit::Unusable;
    }
    let is_there = |it: &Done| match it {
        Done::Ready(_) => true,
        Done::Resolved(resolved) => resolved.binary.installed().is_some(),
        Done::Refused(_) | Done::Broken(..) => false,
    };
    if done.iter().all(is_there) && found.complaints.is_empty() {
        Exit::Well
    } else {
        Exit::Missing
    }
}

fn report(
    found: &Found,
    done: &[Done],
    interrupted: Option<i32>,
    output: &mut Output,
    talk: Talk,
) -> Result<Exit, CliError> {
    if output.is_json() {
        output.records(done.iter().map(|it| match it {
            Done::Ready(binary) => binary.to_record(&[]),
            Done::Resolved(resolved) => resolved.binary.to_record(&resolved.attempts),
            Done::Refused(refusal) => unresolved(&refusal.name, &refusal.reason),
            Done::Broken(request, error) => unresolved(&request.name, &error.to_string()),
        }))?;
    } else {
        let rows = done.iter().map(|it| match it {
            Done::Ready(binary) => binary::row(binary),
            Done::Resolved(resolved) => binary::row(&resolved.binary),
            Done::Refused(Refusal { name, .. }) => missing_row(name),
            Done::Broken(request, _) => missing_row(&request.name),
        });
        output.table(&binary::HEADER, rows.collect())?;
    }
    output.flush()?;
    for complaint in &found.complaints {
        eprintln!("error: {complaint}");
    }
    for it in done {
        match it {
            Done::Refused(refusal) => eprintln!("error: {}: {}", refusal.name, refusal.reason),
            Done::Broken(request, error) => eprintln!("error: {}: {error}", request.name),
            Done::Resolved(resolved) if resolved.binary.installed().is_none() => explain(resolved),
            Done::Ready(_) | Done::Resolved(_) => {}
        }
    }
    let exit = exit_of(found, done, interrupted);
    let is_all_ready = !done.is_empty() && done.iter().all(|it| matches!(it, Done::Ready(_)));
    if is_all_ready && !talk.quiet {
        match done.len() {
            1 => eprintln!("It is there already."),
            count => eprintln!("All {count} are there already."),
        }
    } else if done.is_empty() && !talk.quiet {
        eprintln!("Nothing is required here; `rigup plugin list` shows the plugins that are found.");
    }
    Ok(exit)
}

/// Why a binary was not got, each attempt with its reason, and where to look next.
fn explain(resolved: &Resolved) {
    let binary = &resolved.binary;
    eprintln!("error: {} is not there", binary.name);
    for attempt in resolved
        .attempts
        .iter()
        .filter(|it| it.outcome != Outcome::Installed)
    {
        let log = attempt
            .process_id
            .map(|id| format!("  (rigup process logs {id})"))
            .unwrap_or_default();
        eprintln!(
            "  {} {}: {}{log}",
            attempt.provider,
            attempt.outcome,
            printable(&attempt.reason)
        );
    }
    // What no attempt tells: nobody could be asked, or somebody won and could not be linked.
    if let State::Queued(queued) = &binary.state
        && resolved
            .attempts
            .last()
            .is_none_or(|it| it.outcome == Outcome::Installed)
    {
        eprintln!("  {}", printable(&queued.last_error));
    }
}

fn missing_row(name: &BinaryName) -> Vec<Toned> {
    vec![(name.to_string(), Tone::Plain), ("queued".to_owned(), Tone::Bad)]
}

/// A request that left no row in the store.
fn unresolved(name: &BinaryName, reason: &str) -> Value {
    json!({
        "type": "BinaryRequest",
        "name": name.as_str(),
        "status": "queued",
        "last_error": reason,
        "retry_at": null,
        "attempts": [],
    })
}

/// Shows the plan; nothing is made, not even the data dir.
fn dry_run(
    found: &Found,
    steps: &[plan::Step],
    settings: &Settings,
    output: &mut Output,
) -> Result<Exit, CliError> {
    let store = Session::read(settings)?;
    let mut rows = Vec::new();
    let mut records = Vec::new();
    for step in steps {
        let (name, asks, status, reason) = match step {
            Ok(request) => {
                let known = match &store {
                    Some(store) => known_binary(store, request)?,
                    None => None,
                };
                let is_there = known.is_some_and(|it| {
                    resolve::standing(&it, request, &settings.lib_bin_dir) != Standing::Missing
                });
                let status = if is_there { "installed" } else { "queued" };
                (&request.name, request.candidates.clone(), status, String::new())
            }
            Err(refusal) => (&refusal.name, Vec::new(), "queued", refusal.reason.clone()),
        };
        let tone = if status == "installed" {
            Tone::Good
        } else {
            Tone::Plain
        };
        rows.push(vec![
            (name.to_string(), Tone::Plain),
            (status.to_owned(), tone),
            (asks.join(", "), Tone::Plain),
            (reason.clone(), Tone::Bad),
        ]);
        records.push(json!({
            "type": "BinaryRequest",
            "name": name.as_str(),
            "status": status,
            "binproviders": asks.join(","),
            "min_version": step.as_ref().map(|it| it.min_version.as_str()).unwrap_or_default(),
            "overrides": step.as_ref().map(|it| it.overrides.clone()).unwrap_or_default(),
            "last_error": reason,
        }));
    }
    if output.is_json() {
        output.records(records)?;
    } else {
        output.table(&["BINARY", "STATUS", "WOULD ASK", ""], rows)?;
    }
    for complaint in &found.complaints {
        eprintln!("error: {complaint}");
    }
    let is_well = found.complaints.is_empty() && steps.iter().all(Result::is_ok);
    Ok(if is_well { Exit::Well } else { Exit::Missing })
}

fn known_binary(store: &crate::store::Store, request: &Request) -> Result<Option<Binary>, CliError> {
    let filter = crate::store::BinaryFilter {
        name: Some(request.name.as_str().to_owned()),
        ..Default::default()
    };
    Ok(store.binaries(&filter)?.into_iter().next())
}
