//! From a plan to linked binaries and a report of them.

use serde_json::{Map, Value};

use crate::cli::error::{CliError, Exit};
use crate::cli::output::{Output, Talk, say};
use crate::cli::search::Found;
use crate::cli::session::Session;
use crate::cli::timings::TimingsFile;
use crate::cli::workshop::{Done, Options, Task, Workshop};
use crate::install::plan::{self, Refusal};
use crate::install::resolver::Resolved;
use crate::install::status::{InstallStatus, install_status};
use crate::model::attempt::Outcome;
use crate::model::binary::{Binary, BinaryState};
use crate::model::id::ProcessId;
use crate::process::signals::Interrupt;
use crate::report::tables;
use crate::report::text::printable;
use crate::settings::Settings;
use crate::store::StoreError;

/// What was worked on.
pub(crate) struct Worked {
    session: Session,
    /// What each step of the plan came to.
    pub(crate) done: Vec<Done>,
    /// The signal by which it was interrupted.
    interrupted: Option<i32>,
    /// The record of this run; none where no hook had to be run.
    me: Option<ProcessId>,
    /// Whether the end of this run could not be recorded.
    is_unrecorded: bool,
}

/// Brings about what is planned, reports it, and writes down where the time went, if that was asked.
pub(crate) fn work(
    found: &Found,
    steps: &[plan::Step],
    options: &Options,
    settings: &Settings,
    output: &mut Output,
    talk: Talk,
    timings: Option<&TimingsFile>,
) -> Result<Exit, CliError> {
    let worked = bring_about(found, steps, options, settings, talk)?;
    let exit = report(found, &worked.done, worked.interrupted, output, talk);
    let mut exit = exit.map(|_| worked.exit(found));
    if let Some(Err(error)) = timings.map(|file| file.write(&worked.session.store, worked.me, talk)) {
        say(&format!("error: {error}"));
        exit = exit.map(Exit::or_missing);
    }
    if let (Some(me), None) = (worked.me, worked.interrupted) {
        worked.session.clean_by_the_way(me, found.own.keep(), settings);
    }
    exit
}

/// Brings about what is planned.
pub(crate) fn bring_about(
    found: &Found,
    steps: &[plan::Step],
    options: &Options,
    settings: &Settings,
    talk: Talk,
) -> Result<Worked, CliError> {
    let session = Session::open(settings)?;
    let mut binaries = session.store.binaries_of(session.machine.id)?;
    let tasks: Vec<Task> = steps
        .iter()
        .map(|step| match step {
            Err(refusal) => Task::Done(Box::new(Done::Refused(refusal.clone()))),
            Ok(request) => match binaries.remove(request.name.as_str()) {
                Some(binary) if !options.force && is_ready(&binary, request, settings) => {
                    Task::Done(Box::new(Done::Ready(binary)))
                }
                _ => Task::Open(Box::new(request.clone())),
            },
        })
        .collect();
    let is_open = tasks.iter().any(|task| matches!(task, Task::Open(_)));
    let mut is_unrecorded = false;
    let (done, interrupted, me) = if is_open {
        let interrupt = Interrupt::install().map_err(CliError::unusable)?;
        let workshop = Workshop::open(found, &session, settings, options, tasks.len(), &interrupt, talk)?;
        let me = Some(workshop.own_id());
        let done = workshop.resolve(tasks)?;
        // What was done is told also where it cannot be recorded.
        let counted = workshop.count(&done).map_err(CliError::from);
        let closed = workshop.close(exit_of(found, &done, interrupt.signal()));
        if let Some(error) = counted.and(closed).err().and_then(|it| it.message()) {
            say(&format!("error: {error}"));
            is_unrecorded = true;
        }
        (done, interrupt.signal(), me)
    } else {
        session.finish_lost()?;
        (tasks.into_iter().filter_map(Task::done).collect(), None, None)
    };
    if let Err(error) = learn(steps, &done, &session) {
        say(&format!("warning: where the binaries are is not remembered for hooks: {error}"));
    }
    Ok(Worked { session, done, interrupted, me, is_unrecorded })
}

impl Worked {
    /// The exit code that this comes to.
    pub(crate) fn exit(&self, found: &Found) -> Exit {
        match exit_of(found, &self.done, self.interrupted) {
            interrupted @ Exit::Interrupted(_) => interrupted,
            _ if self.is_unrecorded => Exit::Unusable,
            exit => exit,
        }
    }
}

/// Whether there is nothing to do about a request.
pub(crate) fn is_ready(binary: &Binary, request: &plan::Request, settings: &Settings) -> bool {
    install_status(binary, request, settings) == InstallStatus::Ready
}

/// Remembers where the binaries are that settings name: hooks get these paths as the settings' values.
fn learn(steps: &[plan::Step], done: &[Done], session: &Session) -> Result<(), StoreError> {
    let mut learned = Map::new();
    for (step, done) in steps.iter().zip(done) {
        if let (Ok(request), Some(installed)) = (step, done.installed()) {
            let path = Value::from(installed.abspath.to_string_lossy());
            learned.extend(request.settings.iter().map(|it| (it.clone(), path.clone())));
        }
    }
    learned.retain(|name, path| session.machine.config.get(name) != Some(path));
    if learned.is_empty() {
        return Ok(());
    }
    session.store.merge_machine_config(session.machine.id, &learned)
}

fn exit_of(found: &Found, done: &[Done], interrupted: Option<i32>) -> Exit {
    if let Some(signal) = interrupted {
        return Exit::Interrupted(signal);
    }
    if done.iter().any(|it| matches!(it, Done::Broken(..))) {
        return Exit::Unusable;
    }
    if done.iter().all(Done::is_there) && found.diagnostics.is_empty() { Exit::Well } else { Exit::Missing }
}

fn write(done: &[Done], output: &mut Output) -> Result<(), CliError> {
    if output.is_json() {
        output.records(done.iter().map(Done::to_record))?;
    } else {
        let rows = done.iter().map(|it| match it {
            Done::Ready(binary) | Done::TooSoon(binary, _) => tables::binary_row(binary),
            Done::Resolved(resolved) => tables::binary_row(&resolved.binary),
            Done::Refused(Refusal { name, .. }) => tables::queued_row(name.as_str(), ""),
            Done::Planned(request) | Done::Broken(request, _) => {
                tables::queued_row(request.name.as_str(), "")
            }
        });
        output.table(&tables::binary_rows(rows))?;
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
    done.iter().for_each(complain);
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

/// Says why something was not got, if it was not.
pub(crate) fn complain(done: &Done) {
    match done {
        Done::Refused(refusal) => say(&format!("error: {}: {}", refusal.name, refusal.reason)),
        Done::Broken(request, error) => say(&format!("error: {}: {error}", request.name)),
        Done::Resolved(resolved) if resolved.binary.installed().is_none() => explain(resolved),
        Done::TooSoon(binary, at) => {
            let name = &binary.name;
            say(&format!(
                "error: {name} is not there, and not tried again before {at}; `rigup install {name}` does"
            ));
            if let BinaryState::Queued(queued) = &binary.state {
                say(&format!("  {}", printable(&queued.last_error)));
            }
        }
        Done::Ready(_) | Done::Planned(_) | Done::Resolved(_) => {}
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
    if let BinaryState::Queued(queued) = &binary.state
        && resolved.attempts.last().is_none_or(|it| it.outcome == Outcome::Installed)
    {
        say(&format!("  {}", printable(&queued.last_error)));
    }
}
