//! An open data dir: the store, the machine, and the record of the running command.

use std::cell::{Cell, OnceCell};
use std::fmt::Display;
use std::io;
use std::ops::Deref;
use std::sync::{Arc, Mutex, Once, OnceLock, RwLock};
use std::time::Duration;

use crate::clock;
use crate::engine::error::{EngineError, ExitStatus};
use crate::engine::event::{EngineEvent, OnEvent};
use crate::engine::host::{self, NewHost};
use crate::engine::recovery;
use crate::exhaustion;
use crate::fs::dir::{make_parents, make_private_dir, nearest_existing, owner_blocked_by_root};
use crate::hook::run::{Runner, Variables};
use crate::install::link::Linker;
use crate::machine;
use crate::model::{
    ExitReason, Guid, Machine, MachineId, NetworkInterface, Process, ProcessExit, ProcessId, ProcessSpec,
    ProcessType, RetentionLimits,
};
use crate::process::lock::ProcessLock;
use crate::process::signals::Interrupt;
use crate::process::system::{self, ProcessEntry};
use crate::process::{recover, subreaper, tree};
use crate::runs::gc::{Gc, GcAction};
use crate::settings::{STORE_NAME, Settings};
use crate::shell;
use crate::store::{Fill, Store, StoreError};
use crate::supervisor::control::{self, ControlRequest};
use crate::trust::users;

/// An open data dir.
pub(crate) struct Session<'e> {
    /// Folders, environment and flags.
    pub(crate) settings: Settings,
    /// The records.
    pub(crate) store: OpenStore<'e>,
    /// This machine.
    pub(crate) machine: Machine,
    /// The callback for events.
    pub(crate) on_event: OnEvent<'e>,
}

/// An open store, which reports the rows that it could not read when it is dropped.
pub(crate) struct OpenStore<'e> {
    store: Store,
    on_event: OnEvent<'e>,
}

impl Deref for OpenStore<'_> {
    type Target = Store;

    fn deref(&self) -> &Store {
        &self.store
    }
}

impl Drop for OpenStore<'_> {
    fn drop(&mut self) {
        for message in self.store.take_unreadable() {
            (self.on_event)(&EngineEvent::Warning(message));
        }
    }
}

/// The record of the running rigup command.
#[derive(Debug)]
pub(crate) struct CommandProcess {
    /// The record.
    pub(crate) process: Process,
    /// The lock that shows other processes that this one is alive, even in another pid namespace.
    _lock: ProcessLock,
}

/// The maximum number of processes of rigup that start each other, which a program that runs itself through rigup
/// reaches soon.
const MAX_NESTING: usize = 32;

/// How long a supervisor may take to go on with a store that was rebuilt.
const SUPERVISOR_PATIENCE: Duration = Duration::from_secs(1);

/// A command may open a lost store several times, but warns once.
static WARNED_OF_LOST_STORE: Once = Once::new();

impl<'e> Session<'e> {
    /// Opens the data dir, and creates it if it does not exist. Completes the records of processes whose rigup crashed.
    pub(crate) fn open(settings: Settings, on_event: OnEvent<'e>) -> Result<Self, EngineError> {
        Self::open_on(&NewHost::default(), settings, on_event)
    }

    /// Opens the data dir like [`Session::open`]. If it is new, the facts about the host are those of `host`.
    pub(crate) fn open_on(
        host: &NewHost,
        settings: Settings,
        on_event: OnEvent<'e>,
    ) -> Result<Self, EngineError> {
        let complete_lost = |session: Self| {
            recover::recover_lost(&session.store, session.machine.id)?;
            Ok(session)
        };
        match Self::open_once(host, settings.clone(), on_event, false).and_then(complete_lost) {
            // Opening reads only a part of the store, so the damage may be larger.
            Err(EngineError::Store(StoreError::Corrupt { .. })) => {
                Self::open_checked(settings, on_event).and_then(complete_lost)
            }
            opened => opened,
        }
    }

    /// Opens the data dir for a dry run, which changes nothing in it. A store that does not exist counts as empty.
    pub(crate) fn open_for_dry_run(settings: Settings, on_event: OnEvent<'e>) -> Result<Self, EngineError> {
        let opened = open_to_read(&settings, on_event)?;
        let guid = known_guid(&settings)?.unwrap_or_else(machine::guid::invent);
        let (store, machine) = if let Some(store) = opened {
            let known = store.machine_by_guid(&guid.value)?;
            let new = || Machine::new(MachineId::generate(), guid, host::facts(&settings), clock::now());
            (store, known.unwrap_or_else(new))
        } else {
            let store = Store::in_memory(&settings.data_dir, &settings.lib_dir)?;
            let machine = host::find_machine(&store, guid, &NewHost::default(), &settings)?;
            (OpenStore { store, on_event }, machine)
        };
        Ok(Self { settings, store, machine, on_event })
    }

    /// Opens the data dir, and checks the whole store for damage. Leaves lost processes to gc, which reports them.
    pub(crate) fn open_checked(settings: Settings, on_event: OnEvent<'e>) -> Result<Self, EngineError> {
        Self::open_once(&NewHost::default(), settings, on_event, true)
    }

    fn open_once(
        host: &NewHost,
        settings: Settings,
        on_event: OnEvent<'e>,
        is_suspect: bool,
    ) -> Result<Self, EngineError> {
        let warning = check_data_dir(&settings)?;
        if !settings.data_dir.is_dir() {
            check_is_folder_or_missing(&settings)?;
            make_parents(&settings.data_dir)
                .and_then(|()| make_private_dir(&settings.data_dir))
                .map_err(|error| data_dir_error(&settings, error))?;
            // In a shared folder such as /tmp, another user may have created it first.
            check_data_dir(&settings)?;
        }
        warn_once(warning, on_event);
        let guid = guid(&settings)?;
        let store = open_store(&settings, &guid, is_suspect, on_event)?;
        let machine = host::find_machine(&store, guid, host, &settings)?;
        Ok(Self { settings, store, machine, on_event })
    }

    /// Records this command as a process.
    pub(crate) fn begin(&self) -> Result<CommandProcess, EngineError> {
        self.begin_as(ProcessType::Cli)
    }

    /// Records this command as a process of a type.
    pub(crate) fn begin_as(&self, process_type: ProcessType) -> Result<CommandProcess, EngineError> {
        subreaper::become_subreaper();
        let cmd = std::env::args_os().map(|argument| argument.to_string_lossy().into_owned()).collect();
        let spec = ProcessSpec::new(process_type, cmd, std::env::current_dir().unwrap_or_default());
        let process = self.queued(spec)?;
        let started_at = process.created_at;
        let process = process.into_running(own_process()?.identity(), started_at);
        let lock = ProcessLock::take(&self.settings.data_dir, process.id)
            .map_err(|error| data_dir_error(&self.settings, error))?;
        self.store.add_process(&process)?;
        Ok(CommandProcess { process, _lock: lock })
    }

    /// Returns the record of a queued process. Its parent is the process that called this rigup.
    pub(crate) fn queued(&self, spec: ProcessSpec) -> Result<Process, EngineError> {
        let parent_id = match self.settings.parent_process {
            Some(id) if self.store.has_process(id)? => Some(id),
            // The process that called this rigup may be in another store.
            _ => None,
        };
        if let callers @ [first, second, ..] = &*tree::callers(MAX_NESTING)
            && callers.len() >= MAX_NESTING
        {
            return Err(EngineError::Setup(format!(
                "cannot start another rigup: {MAX_NESTING} processes of rigup started each other, the last two being {} \
                 and {}; call the program by its own path instead of with `rigup exec`",
                tree::command_line(*second),
                tree::command_line(*first)
            )));
        }
        Ok(Process {
            parent_id,
            iface_id: Some(self.interface()?.id),
            data_dir_id: self.store.data_dir_id().to_owned(),
            ..Process::queued(ProcessId::generate(), self.machine.id, spec, clock::now())
        })
    }

    /// Records the exit status of this command.
    pub(crate) fn finish(&self, command: CommandProcess, status: ExitStatus) -> Result<(), EngineError> {
        let mut exit = ProcessExit::exited(i32::from(status.code()), clock::now());
        if let ExitStatus::Interrupted(_) = status {
            exit.reason = ExitReason::Stopped;
        }
        Ok(self.store.save_process(&command.process.into_exited(exit))?)
    }

    /// Returns the network interface that this machine uses.
    pub(crate) fn interface(&self) -> Result<NetworkInterface, EngineError> {
        let now = clock::now();
        Ok(match self.store.newest_interface(self.machine.id)? {
            Some(interface) if !interface.is_stale(now) => interface,
            _ => {
                let facts = machine::interface::gather(&self.machine.facts.hostname);
                self.store.save_interface(self.machine.id, &facts, now)?
            }
        })
    }

    /// Prunes expired records and logs once a day, after the work of the command with this id, unless a signal
    /// interrupted it. A rigup that a hook started does not prune, because the rigup that runs the hook does. If the data
    /// dir was moved meanwhile, nothing is created in its earlier place. A failure is only a warning, because the work of
    /// the command is done.
    pub(crate) fn prune_if_due(&self, command: ProcessId, interrupted: Option<i32>, limits: RetentionLimits) {
        let was_moved = !self.settings.data_dir.is_dir();
        if interrupted.is_some() || self.settings.parent_process.is_some() || was_moved {
            return;
        }
        let problem = match self.gc(limits).run_if_due(command) {
            Ok(cleaned) => {
                let failed = cleaned.items.into_iter().find(|entry| entry.action == GcAction::Failed);
                failed.map(|entry| entry.reason)
            }
            Err(error) => Some(error.to_string()),
        };
        if let Some(problem) = problem {
            self.warn(format!("cannot prune all expired records: {problem}; run `rigup process gc`"));
        }
    }

    /// Returns the cleanup of this data dir with these limits.
    pub(crate) fn gc(&self, keep: RetentionLimits) -> Gc<'_> {
        Gc {
            store: &self.store,
            machine_id: self.machine.id,
            ttl: None,
            keep,
            now: clock::now(),
            dry_run: false,
            pauses: OnceCell::new(),
            trusts_clock: false,
        }
    }

    /// Returns the runner of a command's hooks, with the settings of their plugins as variables.
    pub(crate) fn runner<'r>(
        &'r self,
        command: &'r Process,
        variables: Variables,
        interrupt: &'r Interrupt,
    ) -> Runner<'r> {
        Runner {
            settings: &self.settings,
            store: &self.store,
            command,
            variables: RwLock::new(Arc::new(variables)),
            interrupt,
            environments: Mutex::default(),
            temporary: OnceLock::new(),
        }
    }

    /// Returns a linker that does not overwrite foreign files.
    pub(crate) fn linker(&self) -> Linker<'_> {
        let Self { settings, store, machine, .. } = self;
        Linker { settings, store, machine_id: machine.id, force: false }
    }

    /// Reports an event.
    #[expect(clippy::needless_pass_by_value, reason = "each caller creates the event for the call")]
    pub(crate) fn report(&self, event: EngineEvent<'_>) {
        (self.on_event)(&event);
    }

    /// Reports a warning.
    pub(crate) fn warn(&self, text: impl Into<String>) {
        self.report(EngineEvent::Warning(text.into()));
    }
}

/// Opens the store for a command that only reads, which changes nothing in the data dir. Returns `None` if there is no
/// store. If it is missing although there are run dirs with records, returns a store in memory with those. Fails if the
/// store is damaged.
pub(crate) fn open_to_read<'e>(
    settings: &Settings,
    on_event: OnEvent<'e>,
) -> Result<Option<OpenStore<'e>>, EngineError> {
    check_is_folder_or_missing(settings)?;
    warn_once(check_data_dir(settings)?, on_event);
    if let Some(store) = Store::open_to_read(&settings.data_dir, &settings.lib_dir)? {
        return Ok(Some(OpenStore { store, on_event }));
    }
    if !recovery::has_records(&settings.data_dir) {
        return Ok(None);
    }
    WARNED_OF_LOST_STORE.call_once(|| on_event(&EngineEvent::Warning(lost_store(settings))));
    let guid = known_guid(settings)?.unwrap_or_else(machine::guid::invent);
    let store = Store::in_memory(&settings.data_dir, &settings.lib_dir)?;
    if let Some(recovered) = recovery::read(settings, on_event) {
        recovered.add_to(&store, host::new_machine(settings, &guid))?;
    }
    Ok(Some(OpenStore { store, on_event }))
}

/// Returns whether the store is missing although there are run dirs with records.
pub(crate) fn is_store_lost(settings: &Settings) -> bool {
    matches!(Store::open_to_read(&settings.data_dir, &settings.lib_dir), Ok(None))
        && recovery::has_records(&settings.data_dir)
}

/// Returns what is wrong with a lost store.
pub(crate) fn lost_store(settings: &Settings) -> String {
    let path = settings.data_dir.join(STORE_NAME);
    format!(
        "the store {} is missing or empty, so only records from the run dirs are known; `rigup process gc` restores them",
        path.display()
    )
}

/// Rebuilds the store if it is damaged or missing, and migrates an older one, for a command that reads it before it opens the
/// data dir for writing. Any other problem is left to that command.
pub(crate) fn make_store_readable(settings: &Settings, on_event: OnEvent<'_>) -> Result<(), EngineError> {
    let is_unreadable = match Store::open_to_read(&settings.data_dir, &settings.lib_dir) {
        Ok(None) => recovery::has_records(&settings.data_dir),
        Err(StoreError::Corrupt(..) | StoreError::Older { .. }) => true,
        _ => false,
    };
    if is_unreadable {
        Session::open(settings.clone(), on_event)?;
    }
    Ok(())
}

/// Opens the store for reading, and returns it with the record of this machine. Returns `None` if there is no such
/// record.
pub(crate) fn open_to_read_with_machine<'e>(
    settings: &Settings,
    on_event: OnEvent<'e>,
) -> Result<Option<(OpenStore<'e>, Machine)>, EngineError> {
    let Some(store) = open_to_read(settings, on_event)? else { return Ok(None) };
    let machine = known_machine(settings, &store)?;
    Ok(machine.map(|machine| (store, machine)))
}

/// Returns the id of this machine, or `None` if the store has no record of it.
pub(crate) fn machine_id(settings: &Settings, store: &Store) -> Result<Option<MachineId>, EngineError> {
    Ok(known_machine(settings, store)?.map(|machine| machine.id))
}

/// Returns this machine, or `None` if the store has no record of it.
fn known_machine(settings: &Settings, store: &Store) -> Result<Option<Machine>, EngineError> {
    let Some(guid) = known_guid(settings)? else { return Ok(None) };
    Ok(store.machine_by_guid(&guid.value)?)
}

/// Rejects a file in the place of the data dir.
fn check_is_folder_or_missing(settings: &Settings) -> Result<(), EngineError> {
    if settings.data_dir.exists() && !settings.data_dir.is_dir() {
        return Err(data_dir_error(settings, "it is not a folder"));
    }
    Ok(())
}

/// Rejects a data dir that other users may write to, because rigup runs hooks from it and relies on its records, and one
/// that this user cannot look into, which would seem to be empty. Returns a warning if the user made an exception for it.
pub(crate) fn check_data_dir(settings: &Settings) -> Result<Option<String>, EngineError> {
    check_owner(settings)?;
    match settings.data_dir.join(STORE_NAME).symlink_metadata() {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            return Err(data_dir_error(settings, error));
        }
        _ => {}
    }
    settings.trust.check(&settings.data_dir).map_err(|error| data_dir_error(settings, error))
}

/// Rejects a data dir of another user if this is root, unless it is declared trusted.
fn check_owner(settings: &Settings) -> Result<(), EngineError> {
    let is_declared_trusted = settings.trust.exceptions().any(|folder| settings.data_dir.starts_with(folder));
    let owner = owner_blocked_by_root(&settings.data_dir)
        .filter(|owner| !is_declared_trusted && !users::is_unknown(*owner));
    let Some(owner) = owner else { return Ok(()) };
    let arguments = std::env::args_os().skip(1).map(|argument| argument.to_string_lossy().into_owned());
    let arguments: Vec<String> = arguments.collect();
    let next = if let Some(advice) = settings.trust.ci_advice(&settings.data_dir) {
        advice
    } else if settings.is_default_data_dir {
        format!("run `sudo -H rigup {}`, or run rigup as that user", shell::quote_command(&arguments))
    } else {
        "run rigup as that user".to_owned()
    };
    let (existing, owner) = (nearest_existing(&settings.data_dir).display(), users::user(owner));
    Err(data_dir_error(settings, format!("rigup runs as root, but {existing} belongs to {owner}; {next}")))
}

/// Reports the warning only once, even if a command opens the data dir first for reading and then for writing.
fn warn_once(warning: Option<String>, on_event: OnEvent<'_>) {
    static WARNED: Once = Once::new();
    if let Some(warning) = warning {
        WARNED.call_once(|| on_event(&EngineEvent::Warning(warning)));
    }
}

/// Opens the store. Creates a store that does not exist or is damaged, and fills it from the run dirs.
fn open_store<'e>(
    settings: &Settings,
    guid: &Guid,
    is_suspect: bool,
    on_event: OnEvent<'e>,
) -> Result<OpenStore<'e>, EngineError> {
    // Otherwise, foreign processes would count as recorded ones.
    own_process()?;
    let restored = &Cell::new(0);
    let find_records = || {
        let recovered = recovery::read(settings, on_event)?;
        Some(Box::new(move |store: &Store| {
            restored.set(recovered.add_to(store, host::new_machine(settings, guid))?);
            Ok(())
        }) as Fill<'_>)
    };
    let (store, damaged) =
        Store::open_or_rebuild(&settings.data_dir, &settings.lib_dir, is_suspect, &find_records)?;
    let path = store.path().display();
    let problem = match &damaged {
        Some(damaged) => format!("{path} was damaged and was moved to {}", damaged.display()),
        None => format!("{path} was missing or empty"),
    };
    if damaged.is_some() || restored.get() > 0 {
        on_event(&EngineEvent::Warning(format!(
            "the store {problem}; {} records were restored from the run dirs",
            restored.get()
        )));
        // A supervisor then stores its daemons again, which the run dirs do not contain.
        let _ = control::request(&settings.data_dir, &ControlRequest::Ping, Some(SUPERVISOR_PATIENCE));
    }
    Ok(OpenStore { store, on_event })
}

/// Returns rigup's own process.
fn own_process() -> Result<ProcessEntry, EngineError> {
    let problem = match system::own_entry() {
        Ok(Some(entry)) => return Ok(entry),
        Ok(None) => "cannot find rigup's own process in /proc; mount a /proc of its pid namespace".to_owned(),
        Err(error) => format!("cannot read rigup's own process in /proc: {}", exhaustion::explain(&error)),
    };
    Err(EngineError::Setup(problem))
}

/// Returns the guid of this machine, or `None` if it has no id yet. Writes nothing.
fn known_guid(settings: &Settings) -> Result<Option<Guid>, EngineError> {
    machine::guid::find(&settings.data_dir, host::is_container(settings))
        .map_err(|error| data_dir_error(settings, error))
}

/// Returns the guid of this machine, and gives it an id if it has none.
fn guid(settings: &Settings) -> Result<Guid, EngineError> {
    machine::guid::find_or_create(&settings.data_dir, host::is_container(settings))
        .map_err(|error| data_dir_error(settings, error))
}

/// Returns the error for a data dir that cannot be used.
pub(crate) fn data_dir_error(settings: &Settings, reason: impl Display) -> EngineError {
    EngineError::DataDir { path: settings.data_dir.clone(), reason: reason.to_string() }
}
