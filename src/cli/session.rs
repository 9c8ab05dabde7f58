//! The data dir of this run: the store, the machine, and what a crashed run left unfinished.

use std::cell::Cell;
use std::fmt::Display;
use std::path::Path;
use std::sync::Once;

use crate::cli::error::{CliError, Exit};
use crate::cli::output::{Talk, say};
use crate::clock;
use crate::fs::dir::make_private_dir;
use crate::install::rebuild;
use crate::machine;
use crate::model::id::{MachineId, ProcessId};
use crate::model::interface::NetworkInterface;
use crate::model::machine::{Guid, Machine, MachineFacts};
use crate::model::process::{ExitReason, Process, ProcessExit, ProcessSpec, ProcessType};
use crate::model::retention::RetentionLimits;
use crate::plugin::builtin;
use crate::process::lock::folder::{self, PATIENCE};
use crate::process::lock::process_lock::ProcessLock;
use crate::process::signals::Interrupt;
use crate::process::{handle, recover, subreaper};
use crate::runs::gc::{Action, Gc};
use crate::settings::{Settings, parse_bool};
use crate::store::{Store, StoreError};

/// What a command that may write works with.
#[derive(Debug)]
pub(crate) struct Session {
    /// The records.
    pub(crate) store: Store,
    /// This machine.
    pub(crate) machine: Machine,
}

/// This rigup, as long as it is at work.
#[derive(Debug)]
pub(crate) struct Me {
    /// Its record.
    pub(crate) process: Process,
    /// Tells those who do not see its pid that it lives.
    _vigil: ProcessLock,
}

impl Session {
    /// Opens the data dir, and makes it where it is not there.
    pub(crate) fn open(settings: &Settings) -> Result<Self, CliError> {
        match Self::open_once(settings, false) {
            // Opening reads little of the store.
            Err(OpenError::Store(StoreError::Corrupt { .. })) => Self::open_once(settings, true),
            opened => opened,
        }
        .map_err(CliError::from)
    }

    /// Opens the data dir, after a look whether all of the store is sound.
    pub(crate) fn open_checked(settings: &Settings) -> Result<Self, CliError> {
        Ok(Self::open_once(settings, true)?)
    }

    fn open_once(settings: &Settings, is_suspect: bool) -> Result<Self, OpenError> {
        let note = distrust(settings)?;
        if !settings.data_dir.is_dir() {
            make_private_dir(&settings.data_dir).map_err(|error| unusable(settings, error))?;
            // In a folder such as /tmp, somebody else may have been faster.
            distrust(settings)?;
        }
        tell(note);
        let guid = machine::guid::guid(&settings.data_dir).map_err(|error| unusable(settings, error))?;
        let store = open_store(settings, &guid, is_suspect)?;
        let now = clock::now();
        let known = store.machine_by_guid(&guid.value)?;
        let machine = match known {
            Some(machine) if !machine.is_stale(now) => machine,
            known => {
                let facts = facts(settings);
                match known {
                    Some(known) => {
                        let machine = Machine { facts, modified_at: now, ..known };
                        store.save_machine(&machine)?;
                        machine
                    }
                    None => {
                        store.find_or_add_machine(&Machine::new(MachineId::generate(), guid, facts, now))?
                    }
                }
            }
        };
        Ok(Self { store, machine })
    }

    /// Opens what is there to read; none where nothing was ever recorded.
    pub(crate) fn read(settings: &Settings) -> Result<Option<Store>, CliError> {
        if settings.data_dir.exists() && !settings.data_dir.is_dir() {
            return Err(unusable(settings, "it is not a folder").into());
        }
        tell(distrust(settings)?);
        Ok(Store::open_existing(&settings.data_dir)?)
    }

    /// The same with what is known of this machine; none where nothing of it was ever recorded.
    pub(crate) fn read_known(settings: &Settings) -> Result<Option<Self>, CliError> {
        let Some(store) = Self::read(settings)? else { return Ok(None) };
        let guid = machine::guid::guid(&settings.data_dir).map_err(|error| unusable(settings, error))?;
        let machine = store.machine_by_guid(&guid.value)?;
        Ok(machine.map(|machine| Self { store, machine }))
    }

    /// Finishes what crashed rigups left.
    pub(crate) fn finish_lost(&self) -> Result<(), CliError> {
        recover::finish_lost(&self.store, self.machine.id)?;
        Ok(())
    }

    /// Records this rigup as a process, after finishing what crashed ones left.
    pub(crate) fn begin(&self, settings: &Settings) -> Result<Me, CliError> {
        subreaper::adopt();
        self.finish_lost()?;
        let now = clock::now();
        let iface = self.interface()?;
        let cmd = std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect();
        let spec = ProcessSpec::new(ProcessType::Cli, cmd, std::env::current_dir().unwrap_or_default());
        let me = handle::of(std::process::id()).ok_or_else(|| {
            CliError::unusable("the system does not show rigup's own process; on Linux, is /proc mounted?")
        })?;
        let mut process =
            Process::queued(ProcessId::generate(), self.machine.id, spec, now).into_running(me, now);
        process.parent_id = self.known_parent(settings)?;
        process.iface_id = Some(iface.id);
        let vigil = ProcessLock::take(&settings.data_dir, process.id).map_err(CliError::unusable)?;
        self.store.save_process(&process)?;
        Ok(Me { process, _vigil: vigil })
    }

    /// The network interface that this machine talks through.
    pub(crate) fn interface(&self) -> Result<NetworkInterface, CliError> {
        let now = clock::now();
        Ok(match self.store.newest_interface(self.machine.id)? {
            Some(interface) if !interface.is_stale(now) => interface,
            _ => {
                let facts = machine::interface::facts(&self.machine.facts.hostname);
                self.store.save_interface(self.machine.id, &facts, now)?
            }
        })
    }

    /// The process that called this rigup, where this store knows it.
    pub(crate) fn known_parent(&self, settings: &Settings) -> Result<Option<ProcessId>, CliError> {
        match settings.parent_process {
            Some(id) => Ok(self.store.process(id)?.map(|it| it.id)),
            None => Ok(None),
        }
    }

    /// Records the end of this rigup.
    pub(crate) fn end(&self, me: Me, exit: Exit) -> Result<(), CliError> {
        let mut ending = ProcessExit::exited(i32::from(exit.code()), clock::now());
        if let Exit::Interrupted(_) = exit {
            ending.reason = ExitReason::Stopped;
        }
        Ok(self.store.save_process(&me.process.into_exited(ending))?)
    }

    /// Cleans up by the way, after the work of this rigup, whose process that is. One that a hook called leaves that to
    /// the rigup above. The work is done whatever comes of it.
    pub(crate) fn clean_by_the_way(&self, me: ProcessId, keep: RetentionLimits, settings: &Settings) {
        if settings.parent_process.is_some() {
            return;
        }
        let gc = Gc {
            store: &self.store,
            machine_id: self.machine.id,
            data_dir: &settings.data_dir,
            ttl: None,
            keep,
            now: clock::now(),
            dry_run: false,
        };
        let problem = match gc.run_by_the_way(me) {
            Ok(cleaned) => {
                cleaned.done.into_iter().find(|it| it.action == Action::Failed).map(|it| it.reason)
            }
            Err(error) => Some(error.to_string()),
        };
        if let Some(problem) = problem {
            say(&format!(
                "warning: what is too old or too much was not all removed: {problem}; see `rigup process gc`"
            ));
        }
    }
}

/// Puts the built-in providers into the data dir, unless they are there.
pub(crate) fn unpack(settings: &Settings, interrupt: &Interrupt, talk: Talk) -> Result<(), CliError> {
    let waiting = || {
        if !talk.quiet {
            say("waiting for another rigup that unpacks its providers");
        }
    };
    let lock = |folder: &Path| folder::take(folder, interrupt, PATIENCE, waiting);
    builtin::unpack(&settings.data_dir, lock).map_err(|error| match interrupt.signal() {
        Some(signal) => CliError::Interrupted(signal),
        None => CliError::unusable(format!("the built-in providers cannot be unpacked: {error}")),
    })
}

/// Refuses a data dir that others may write: what runs from there, and what is believed of it, is this user's own. The
/// text says where the user has to vouch for it.
fn distrust(settings: &Settings) -> Result<Option<String>, OpenError> {
    settings.trust.check(&settings.data_dir).map_err(|error| unusable(settings, error))
}

/// Some commands open the data dir first to read and then to write: it is said once.
fn tell(note: Option<String>) {
    static TOLD: Once = Once::new();
    if let Some(note) = note {
        TOLD.call_once(|| say(&format!("warning: {note}")));
    }
}

/// Why a data dir cannot be opened.
#[derive(Debug, thiserror::Error)]
enum OpenError {
    #[error("{0}")]
    Unusable(String),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<OpenError> for CliError {
    fn from(error: OpenError) -> Self {
        Self::unusable(error)
    }
}

/// Opens the store. One that has to be made, because it is not there or was damaged, gets what the run dirs tell.
fn open_store(settings: &Settings, guid: &Guid, is_suspect: bool) -> Result<Store, StoreError> {
    let found = Cell::new(0);
    let refill = |store: &Store| -> Result<(), StoreError> {
        let Some(rebuilt) = rebuild::find(&settings.data_dir, &settings.lib_bin_dir) else { return Ok(()) };
        found.set(rebuilt.count());
        let machine = Machine::new(rebuilt.machine_id, guid.clone(), facts(settings), clock::now());
        store.find_or_add_machine(&machine)?;
        rebuilt.store(store)
    };
    let (store, aside) = Store::open_or_rebuild(&settings.data_dir, is_suspect, &refill)?;
    let path = store.path().display();
    let what = match &aside {
        Some(aside) => format!("{path} was damaged, and is {} now", aside.display()),
        None => format!("{path} was not there"),
    };
    if aside.is_some() || found.get() > 0 {
        let records = found.get();
        say(&format!(
            "warning: the store {what}; a new one has the {records} records that the run dirs tell"
        ));
    }
    Ok(store)
}

fn facts(settings: &Settings) -> MachineFacts {
    let in_docker = settings.environment.text("IN_DOCKER").and_then(parse_bool) == Some(true);
    machine::facts::facts(in_docker, &settings.data_dir)
}

fn unusable(settings: &Settings, reason: impl Display) -> OpenError {
    OpenError::Unusable(format!(
        "the data dir {} cannot be used: {reason}; choose another with --data-dir or RIGUP_DATA_DIR",
        settings.data_dir.display()
    ))
}
