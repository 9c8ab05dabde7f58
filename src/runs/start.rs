//! Starting a run.

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

use crate::clock;
use crate::hook::command::{self, HookEnvironment};
use crate::model::id::{InterfaceId, MachineId, ProcessId};
use crate::model::process::{Process, ProcessExit, ProcessSpec, ProcessType, RunSpec};
use crate::process::run_dir::{self, RunDir};
use crate::process::spawn;
use crate::process::waiter::{Launch, LaunchError};
use crate::runs::messages::RUN_DIR_VARIABLE;
use crate::settings::Settings;
use crate::store::{Store, StoreError};

/// The name that runs of one kind share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slug(String);

/// A text that is no slug.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is no slug: use 1 to 63 of a-z, 0-9, - and _")]
pub struct BadSlug(String);

impl std::str::FromStr for Slug {
    type Err = BadSlug;

    fn from_str(text: &str) -> Result<Self, BadSlug> {
        let is_good =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_');
        if (1..=63).contains(&text.len()) && text.bytes().all(is_good) {
            Ok(Self(text.to_owned()))
        } else {
            Err(BadSlug(text.to_owned()))
        }
    }
}

impl fmt::Display for Slug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What to run.
#[derive(Debug)]
pub struct RunRequest {
    /// Its kind.
    pub slug: Slug,
    /// What it is for.
    pub description: String,
    /// The program.
    pub program: OsString,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// Its working directory.
    pub cwd: PathBuf,
    /// At most so many of its kind may be alive, this one included.
    pub max_live: Option<u32>,
    /// It is ended after this time.
    pub max_runtime: Option<Duration>,
    /// Its run dir is kept so long after its end.
    pub ttl: Option<Duration>,
}

/// Where and on whose behalf.
#[derive(Debug)]
pub struct Starter<'a> {
    /// Folders and the caller's environment.
    pub settings: &'a Settings,
    /// Where it is recorded before it is started.
    pub store: &'a Store,
    /// The machine it runs on.
    pub machine_id: MachineId,
    /// The network interface it runs with.
    pub iface_id: Option<InterfaceId>,
    /// The process that asks for it.
    pub parent_id: Option<ProcessId>,
}

/// Why there is no run.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// As many as may be are alive.
    #[error(
        "{live} of {slug} may be alive, and as many are: wait for one of them (`rigup process list --slug {slug} --status running`), or end it"
    )]
    TooMany {
        /// The slug.
        slug: Slug,
        /// So many may be.
        live: u32,
    },
    /// The run dir cannot be made or written.
    #[error("the run dir cannot be written: {0}")]
    RunDir(#[from] io::Error),
    /// It cannot be recorded.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There is nobody who would see it out.
    #[error(transparent)]
    Launch(#[from] LaunchError),
}

impl Starter<'_> {
    /// Starts a run, and gives back its record once it runs, or once it is known that it cannot.
    pub fn start(&self, wish: RunRequest) -> Result<Process, StartError> {
        let id = ProcessId::generate();
        let path = run_dir::path(&self.settings.data_dir, id);
        let HookEnvironment { mut whole, mut added } =
            command::environment(self.settings, self.machine_id, id, &[]);
        whole.retain(|(name, _)| name != RUN_DIR_VARIABLE);
        whole.push((RUN_DIR_VARIABLE.into(), path.clone().into()));
        added.insert(RUN_DIR_VARIABLE.to_owned(), Value::from(path.to_string_lossy()));
        let cmd = spawn::spelled(&wish.program, &wish.args);
        let spec = ProcessSpec {
            env: added,
            timeout: wish.max_runtime,
            run_dir: Some(path.clone()),
            run: Some(RunSpec { slug: wish.slug.0.clone(), description: wish.description, ttl: wish.ttl }),
            ..ProcessSpec::new(ProcessType::Binary, cmd, wish.cwd.clone())
        };
        let mut process = Process::queued(id, self.machine_id, spec, clock::now());
        process.parent_id = self.parent_id;
        process.iface_id = self.iface_id;
        let run_dir = RunDir::create(path, &process, &wish.program, &wish.args, None)?;
        // Whoever finds the record must find the lock held.
        let lock = run_dir.hold().inspect_err(|_| run_dir.discard())?;
        let is_reserved = match wish.max_live {
            None => self.store.save_process(&process).map(|()| true),
            Some(max_live) => self.store.reserve_run(&process, max_live),
        };
        if !matches!(is_reserved, Ok(true)) {
            run_dir.discard();
        }
        if let (false, Some(live)) = (is_reserved?, wish.max_live) {
            return Err(StartError::TooMany { slug: wish.slug, live });
        }
        let launch = Launch {
            rigup: &self.settings.rigup,
            data_dir: &self.settings.data_dir,
            process: &process,
            lock,
            program: wish.program,
            args: wish.args,
            env: whole,
            cwd: wish.cwd,
        };
        if let Err(error) = launch.launch() {
            let failed = ProcessExit::spawn_failed(error.to_string(), clock::now());
            self.store.save_process(&process.into_exited(failed))?;
            return Err(error.into());
        }
        Ok(self.store.process(id)?.unwrap_or(process))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slug_is_a_plain_file_name() {
        for good in ["a", "nightly-backup_2", &"x".repeat(63)] {
            assert_eq!(good.parse::<Slug>().unwrap().to_string(), good);
        }
        for bad in ["", "..", "a/b", "A", "ü", "a b", "x.y", &"x".repeat(64)] {
            assert!(bad.parse::<Slug>().is_err(), "{bad}");
        }
    }
}
