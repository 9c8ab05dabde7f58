//! Starting detached runs.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::clock;
use crate::fs::lock::FileLock;
use crate::hook::command::{self, ChildEnvironment};
use crate::model::{Process, ProcessExit, ProcessSpec, ProcessType, RunSpec};
use crate::process::messages::RUN_DIR_VARIABLE;
use crate::process::run_dir::{self, RunDir};
use crate::process::spawn::CommandSpec;
use crate::process::terminate;
use crate::process::tree::{PROCESS_ID_VARIABLE, WAITER_VARIABLE};
use crate::process::waiter::{self, LaunchError, StartingWaiter, WaiterConditions};
use crate::settings::Settings;
use crate::shell;
use crate::store::{Store, StoreError};

/// A name that runs of the same kind share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slug(String);

/// An error about a text that is not a slug.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is not a slug; use 1 to 63 characters from a-z, 0-9, - and _")]
pub struct InvalidSlug(String);

impl std::str::FromStr for Slug {
    type Err = InvalidSlug;

    fn from_str(text: &str) -> Result<Self, InvalidSlug> {
        let is_allowed =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_');
        if (1..=63).contains(&text.len()) && text.bytes().all(is_allowed) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidSlug(text.to_owned()))
        }
    }
}

impl fmt::Display for Slug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A run to start.
#[derive(Debug)]
pub struct RunRequest {
    /// Its slug.
    pub slug: Slug,
    /// Its description, as free text.
    pub description: String,
    /// The program.
    pub program: OsString,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// Its working directory.
    pub cwd: PathBuf,
    /// Variables that it gets besides those of the caller.
    pub env: Vec<(String, OsString)>,
    /// The maximum number of unfinished runs with this slug, including this one.
    pub max_live: Option<u32>,
    /// The time after which it is terminated.
    pub max_runtime: Option<Duration>,
    /// How long its run dir is kept after its exit.
    pub ttl: Option<Duration>,
}

/// An error that prevents a run from being started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The number of unfinished runs with this slug has reached the limit.
    #[error(
        "cannot start another run of {0}: --max-live {1} is reached; wait for one of them (`rigup process list --slug {0} --status running`), or kill it"
    )]
    TooMany(String, u32),
    /// The working directory is not a folder.
    #[error("cannot start a run in {}: it is not a folder", .0.display())]
    Cwd(PathBuf),
    /// A variable cannot be set.
    #[error("cannot set the variable {0:?}: {1}")]
    Variable(String, &'static str),
    /// The run dir cannot be created or written.
    #[error("cannot write the run dir: {0}")]
    RunDir(#[from] io::Error),
    /// The run cannot be recorded.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Its waiter cannot be started.
    #[error("cannot start the run: {0}")]
    Launch(#[from] LaunchError),
}

/// Starts a run, and returns its record once it runs or could not be started. `process` is its queued record, whose
/// spec is filled in here.
pub(crate) fn start(
    settings: &Settings,
    store: &Store,
    mut process: Process,
    request: RunRequest,
) -> Result<Process, StartError> {
    let RunRequest {
        slug: Slug(slug),
        description,
        program,
        args,
        cwd,
        env: mut set,
        max_live,
        max_runtime,
        ttl,
    } = request;
    if !cwd.is_dir() {
        return Err(StartError::Cwd(cwd));
    }
    for (name, value) in &set {
        check_variable(name, value).map_err(|problem| StartError::Variable(name.clone(), problem))?;
    }
    let path = run_dir::path(&settings.data_dir, process.id);
    set.push((RUN_DIR_VARIABLE.to_owned(), path.clone().into()));
    let ChildEnvironment { all: env, added } = command::environment_of_command(settings, process.id, &set);
    let command = CommandSpec { program, args, env, cwd };
    process.spec = ProcessSpec {
        env: added,
        timeout: max_runtime,
        run_dir: Some(path),
        run: Some(RunSpec { slug, description, ttl }),
        ..ProcessSpec::new(ProcessType::Binary, command.words(), &command.cwd)
    };
    let conditions = WaiterConditions { grace: terminate::GRACE, ..WaiterConditions::default() };
    let StartingRun { process, waiter } =
        reserve(settings, store, process, command, max_live)?.begin(settings, store, &conditions)?;
    let started = waiter.wait().map_err(|error| record_failure(store, &process, error));
    // The waiter opens the store again for the exit.
    store.leave_wal();
    started?;
    Ok(store.process(process.id)?.unwrap_or(process))
}

/// A run that has a record and a locked run dir, and is not started yet.
#[derive(Debug)]
pub(crate) struct ReservedRun {
    /// Its queued record.
    pub process: Process,
    lock: FileLock,
    command: CommandSpec,
}

/// A run whose waiter was started, and has not reported yet.
#[derive(Debug)]
pub(crate) struct StartingRun {
    /// Its queued record.
    pub process: Process,
    /// Its waiter.
    pub waiter: StartingWaiter,
}

/// Creates the run dir of a run whose spec is complete, and stores its record, unless `max_live` runs with its slug are
/// unfinished. If this process is killed before it launches the run, the next command completes the record as lost.
pub(crate) fn reserve(
    settings: &Settings,
    store: &Store,
    process: Process,
    command: CommandSpec,
    max_live: Option<u32>,
) -> Result<ReservedRun, StartError> {
    let path = run_dir::path(&settings.data_dir, process.id);
    let run_dir = RunDir::create(path, &process, &command, None)?;
    // The lock is taken before the record is stored, because another rigup would complete a record without a locked run
    // dir as lost.
    let lock = run_dir.lock().inspect_err(|_| run_dir.discard())?;
    let is_reserved = match max_live {
        None => store.save_process(&process).map(|()| true),
        Some(max_live) => {
            // Without a waiter, the exit of a run of another machine, or of the data dir that this one is a copy of, will
            // never be recorded here.
            let is_live = |id, machine_id, data_dir_id: &str| {
                let run_dir = RunDir::at(&run_dir::path(&settings.data_dir, id));
                !matches!(run_dir.is_locked(), Ok(None | Some(false)))
                    || machine_id == process.machine_id && data_dir_id == store.data_dir_id()
            };
            store.reserve_run(&process, max_live, is_live)
        }
    };
    if !matches!(is_reserved, Ok(true)) {
        run_dir.discard();
    }
    if let (false, Some(max_live)) = (is_reserved?, max_live) {
        let slug = process.spec.run.map(|run| run.slug).unwrap_or_default();
        return Err(StartError::TooMany(slug, max_live));
    }
    Ok(ReservedRun { process, lock, command })
}

impl ReservedRun {
    /// Starts the waiter of the run.
    pub(crate) fn begin(
        self,
        settings: &Settings,
        store: &Store,
        conditions: &WaiterConditions,
    ) -> Result<StartingRun, StartError> {
        let Self { process, lock, command } = self;
        match waiter::start(settings, &process, lock, command, conditions) {
            Ok(waiter) => Ok(StartingRun { process, waiter }),
            Err(error) => Err(record_failure(store, &process, error)),
        }
    }
}

/// Records that a run could not be started, and returns the error.
pub(crate) fn record_failure(store: &Store, process: &Process, error: LaunchError) -> StartError {
    let failed = ProcessExit::spawn_failed(error.to_string(), clock::now());
    let saved = store.save_process(&process.clone().into_exited(failed));
    saved.map_or_else(StartError::Store, |()| error.into())
}

/// The variables that rigup sets to other values for each process.
pub(crate) const RESERVED: [&str; 5] =
    ["RIGUP", "RIGUP_DATA_DIR", PROCESS_ID_VARIABLE, RUN_DIR_VARIABLE, WAITER_VARIABLE];

/// Checks a variable that the caller of a run sets. Returns the problem with it.
fn check_variable(name: &str, value: &OsStr) -> Result<(), &'static str> {
    if !shell::is_name(name) {
        return Err("a name has only letters, digits and _, and does not begin with a digit");
    }
    if RESERVED.contains(&name) {
        return Err("rigup sets it");
    }
    if value.as_encoded_bytes().contains(&0) { Err("its value contains a NUL") } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slug_has_letters_digits_hyphens_and_underscores() {
        for good in ["a", "nightly-backup_2", &"x".repeat(63)] {
            assert_eq!(good.parse::<Slug>().unwrap().to_string(), good);
        }
        for bad in ["", "..", "a/b", "A", "ü", "a b", "x.y", &"x".repeat(64)] {
            assert!(bad.parse::<Slug>().is_err(), "{bad}");
        }
    }
}
