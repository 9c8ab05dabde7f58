//! From a plan to linked binaries and a report of them.

use std::time::Duration;

use rayon::prelude::*;
use serde_json::{Map, Value, json};

use crate::cli::binary;
use crate::cli::error::{CliError, Exit};
use crate::cli::output::{Output, Talk, say};
use crate::cli::progress::Display;
use crate::cli::search::Found;
use crate::cli::session::Session;
use crate::hook::run::Runner;
use crate::plugin::builtin;
use crate::process::signals::Interrupt;
use crate::provision::plan::{self, Refusal, Request};
use crate::provision::resolve::{self, ResolveError, Resolved, Resolver, Standing};
use crate::record::attempt::Outcome;
use crate::record::binary::{Binary, State};
use crate::record::name::BinaryName;
use crate::report::human::{Tone, Toned, printable};
use crate::settings::Settings;
use crate::store::StoreError;

/// The fewest requirements that are worked on at once: hooks mostly wait.
const FEWEST_AT_ONCE: usize = 4;

/// How to work.
pub(crate) struct Options {
    /// Resolve anew what is there.
    pub(crate) force: bool,
    /// Change no record of what is not got.
    pub(crate) only_looks: bool,
    /// So many binaries at once.
    pub(crate) jobs: Option<usize>,
    /// How long a hook may take.
    pub(crate) timeout: Duration,
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

/// A step of the plan, after a look at what is there.
enum Task<'a> {
    /// There is nothing to do about it.
    Done(Box<Done>),
    /// It has to be worked on.
    Open(&'a Request),
}

impl Task<'_> {
    fn done(self) -> Option<Done> {
        match self {
            Self::Done(done) => Some(*done),
            Self::Open(_) => None,
        }
    }
}

/// Brings about what is planned, and reports it.
pub(crate) fn work(
    found: &Found,
    steps: &[plan::Step],
    options: &Options,
    settings: &Settings,
    output: &mut Output,
    talk: Talk,
) -> Result<Exit, CliError> {
    let session = Session::open(settings)?;
    let mut binaries = session.store.binaries_of(session.machine.id)?;
    let is_ready = |binary: &Binary, request: &Request| {
        !options.force && resolve::standing(binary, request, &settings.lib_bin_dir) == Standing::Ready
    };
    let tasks: Vec<Task<'_>> = steps
        .iter()
        .map(|step| match step {
            Err(refusal) => Task::Done(Box::new(Done::Refused(refusal.clone()))),
            Ok(request) => match binaries.remove(request.name.as_str()) {
                Some(binary) if is_ready(&binary, request) => Task::Done(Box::new(Done::Ready(binary))),
                _ => Task::Open(request),
            },
        })
        .collect();
    let (done, interrupted) = if tasks.iter().any(|task| matches!(task, Task::Open(_))) {
        resolve_all(found, tasks, options, &session, settings, talk)?
    } else {
        (tasks.into_iter().filter_map(Task::done).collect(), None)
    };
    if let Err(error) = learn(steps, &done, &session) {
        say(&format!("warning: where the binaries are is not remembered for hooks: {error}"));
    }
    report(found, &done, interrupted, output, talk)
}

/// Remembers where the binaries are that settings name: hooks get these paths as the settings' values.
fn learn(steps: &[plan::Step], done: &[Done], session: &Session) -> Result<(), StoreError> {
    let mut learned = Map::new();
    for (step, done) in steps.iter().zip(done) {
        let installed = match done {
            Done::Ready(binary) => binary.installed(),
            Done::Resolved(resolved) => resolved.binary.installed(),
            Done::Refused(_) | Done::Broken(..) => None,
        };
        if let (Ok(request), Some(installed)) = (step, installed) {
            let path = Value::from(installed.abspath.to_string_lossy());
            learned.extend(request.settings.iter().map(|it| (it.clone(), path.clone())));
        }
    }
    learned.retain(|name, path| session.machine.config.get(name) != Some(path));
    if learned.is_empty() {
        return Ok(());
    }
    session.store.learn_of_machine(session.machine.id, &learned)
}

/// Works on what is not there, several at once, and records this run.
fn resolve_all(
    found: &Found,
    tasks: Vec<Task<'_>>,
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
    // More threads than tasks would only take time and memory.
    let jobs = jobs.min(tasks.len());
    let pool = rayon::ThreadPoolBuilder::new().num_threads(jobs).build().map_err(CliError::unusable)?;
    let (me, iface_id) = session.begin(settings)?;
    let display = Display::new(talk, &settings.environment);
    let (hooks, needs, keeps) = (found.provider_hooks(), found.provider_needs(), found.provider_keeps());
    let variables = found.variables();
    let resolver = Resolver {
        runner: Runner {
            settings,
            store: &session.store,
            machine_id: session.machine.id,
            iface_id: Some(iface_id),
            parent_id: me.id,
            variables: &variables,
            interrupt: &interrupt,
        },
        hooks: &hooks,
        needs: &needs,
        keeps: &keeps,
        force: options.force,
        only_looks: options.only_looks,
        timeout: options.timeout,
        watch: &|request, progress| display.show(request, &progress),
    };
    let resolve = |task: Task<'_>| match task {
        Task::Done(done) => *done,
        Task::Open(request) => {
            let outcome = resolver.resolve(request);
            display.done(request);
            outcome.map_or_else(|error| Done::Broken(request.clone(), error), Done::Resolved)
        }
    };
    let done: Vec<Done> = pool.install(|| tasks.into_par_iter().with_max_len(1).map(resolve).collect());
    display.clear();
    let interrupted = interrupt.signal();
    if !options.only_looks {
        let worked_on = done.iter().filter(|it| matches!(it, Done::Resolved(_)));
        let (there, missing): (Vec<&Done>, Vec<&Done>) = worked_on.partition(|it| is_there(it));
        let count = |list: Vec<&Done>| u32::try_from(list.len()).unwrap_or(u32::MAX);
        session.store.count_uses(session.machine.id, count(there), count(missing))?;
    }
    session.end(me, exit_of(found, &done, interrupted))?;
    Ok((done, interrupted))
}

fn is_there(done: &Done) -> bool {
    match done {
        Done::Ready(_) => true,
        Done::Resolved(resolved) => resolved.binary.installed().is_some(),
        Done::Refused(_) | Done::Broken(..) => false,
    }
}

fn exit_of(found: &Found, done: &[Done], interrupted: Option<i32>) -> Exit {
    if let Some(signal) = interrupted {
        return Exit::Interrupted(signal);
    }
    if done.iter().any(|it| matches!(it, Done::Broken(..))) {
        return Exit::Unusable;
    }
    if done.iter().all(is_there) && found.complaints.is_empty() { Exit::Well } else { Exit::Missing }
}

fn write(done: &[Done], output: &mut Output) -> Result<(), CliError> {
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
    output.flush()
}

/// Tells what became of it all. Who reads the records may leave before the end; the errors and the exit code stay true.
fn report(
    found: &Found,
    done: &[Done],
    interrupted: Option<i32>,
    output: &mut Output,
    talk: Talk,
) -> Result<Exit, CliError> {
    let written = write(done, output);
    found.complain();
    for it in done {
        match it {
            Done::Refused(refusal) => say(&format!("error: {}: {}", refusal.name, refusal.reason)),
            Done::Broken(request, error) => say(&format!("error: {}: {error}", request.name)),
            Done::Resolved(resolved) if resolved.binary.installed().is_none() => explain(resolved),
            Done::Ready(_) | Done::Resolved(_) => {}
        }
    }
    let exit = exit_of(found, done, interrupted);
    let is_all_ready = !done.is_empty() && done.iter().all(|it| matches!(it, Done::Ready(_)));
    if is_all_ready && !talk.quiet {
        match done.len() {
            1 => say("It is there already."),
            count => say(&format!("All {count} are there already.")),
        }
    } else if done.is_empty() && !talk.quiet {
        say("Nothing is required here; `rigup plugin list` shows the plugins that are found.");
    }
    match written {
        Ok(()) | Err(CliError::OutputClosed) => Ok(exit),
        Err(error) => Err(error),
    }
}

/// Why a binary was not got, each attempt with its reason, and where to look next.
fn explain(resolved: &Resolved) {
    let binary = &resolved.binary;
    say(&format!("error: {} is not there", binary.name));
    for attempt in resolved.attempts.iter().filter(|it| it.outcome != Outcome::Installed) {
        let log = attempt.process_id.map(|id| format!("  (rigup process logs {id})")).unwrap_or_default();
        say(&format!("  {} {}: {}{log}", attempt.provider, attempt.outcome, printable(&attempt.reason)));
    }
    // What no attempt tells: nobody could be asked, or somebody won and could not be linked.
    if let State::Queued(queued) = &binary.state
        && resolved.attempts.last().is_none_or(|it| it.outcome == Outcome::Installed)
    {
        say(&format!("  {}", printable(&queued.last_error)));
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
