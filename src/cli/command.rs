//! The context and the result of a command.

pub(crate) use crate::cli::cli_error::CliError;
use crate::cli::command_report::PendingReport;
use crate::cli::message::{message, print_event};
use crate::cli::output::Output;
use crate::engine::catalog::Catalog;
use crate::engine::current_processes::CurrentProcesses;
use crate::engine::session::{self, OpenStore, Session};
use crate::engine::{Engine, ExitStatus, OnEvent, processes};
use crate::model::{MachineId, Process};
use crate::process::signals::Interrupt;
use crate::settings::Settings;
use crate::shell;
use crate::store::{Lookup, Store};

/// The exit status of a command, or the error that ended it.
pub(crate) type CommandResult = Result<ExitStatus, CliError>;

/// The settings, standard output, verbosity and report of a command.
#[derive(Debug)]
pub(crate) struct Context {
    /// Folders, environment and flags.
    pub(crate) settings: Settings,
    /// Standard output.
    pub(crate) output: Output,
    /// How much to print to standard error.
    pub(crate) verbosity: Verbosity,
    /// What to report to the CI system and in a file.
    pub(crate) report: PendingReport,
}

impl Context {
    /// Opens the data dir, and creates it if it does not exist.
    pub(crate) fn engine<'e>(&self, on_event: OnEvent<'e>) -> Result<Engine<'e>, CliError> {
        Ok(Engine::open_with(self.settings.clone(), on_event)?)
    }

    /// Opens the data dir like [`Context::engine`], and prints each event at once.
    pub(crate) fn session(&self) -> Result<Session<'static>, CliError> {
        Ok(Session::open(self.settings.clone(), &print_event)?)
    }

    /// Opens the data dir like [`Context::session`], but changes nothing in it in a dry run.
    pub(crate) fn session_for(&self, is_dry_run: bool) -> Result<Session<'static>, CliError> {
        if is_dry_run {
            return Ok(Session::open_for_dry_run(self.settings.clone(), &print_event)?);
        }
        self.session()
    }

    /// Opens the data dir like [`Context::session_for`], for a command that works with the records in it. A data dir that
    /// does not exist has none, and is not created.
    pub(crate) fn session_with_records(&self, is_dry_run: bool) -> Result<Session<'static>, CliError> {
        self.session_for(is_dry_run || !self.settings.data_dir.exists())
    }

    /// Adds the paths that are stored for this machine to the catalog.
    pub(crate) fn with_machine_config(&self, mut catalog: Catalog) -> Result<Catalog, CliError> {
        if let Some((_, machine)) = session::open_to_read_with_machine(&self.settings, &print_event)? {
            catalog.apply_machine_config(&machine.config);
        }
        Ok(catalog)
    }

    /// Opens the store for reading. Returns `None` if it does not exist.
    pub(crate) fn store(&self) -> Result<Option<OpenStore<'static>>, CliError> {
        Ok(session::open_to_read(&self.settings, &print_event)?)
    }

    /// Returns the open store, and the process with this id or pid as it is now; see [`processes::find`].
    pub(crate) fn process(&self, id: &str) -> Result<(OpenStore<'static>, Process), CliError> {
        let store = self.store()?.ok_or_else(|| processes::not_found(id))?;
        let process = processes::find(&store, id)?;
        let process = CurrentProcesses::new(&store, &self.settings)?.now(process);
        Ok((store, process))
    }
}

/// Returns the id of the machine with this id, which may be a unique prefix or suffix.
pub(crate) fn machine_with_id(store: &Store, id: &str) -> Result<MachineId, CliError> {
    match store.find_machine(id)? {
        Lookup::Found(machine) => Ok(machine.id),
        Lookup::NotFound | Lookup::Ambiguous { .. } => Err(CliError::not_found(format!(
            "no machine has the id {}; `rigup machine list` shows the ids",
            shell::quote_text(id)
        ))),
    }
}

/// How much to print to standard error.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct Verbosity {
    /// Print only errors and warnings to stderr
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,
    /// Print each attempt's outcome, the reason for it, and how to see its log
    #[arg(long, short, global = true, conflicts_with = "quiet")]
    pub(crate) verbose: bool,
}

impl Verbosity {
    /// Prints a note, unless `--quiet` is set.
    pub(crate) fn note(self, text: &str) {
        if !self.quiet {
            message!("{text}");
        }
    }

    /// Prints how much a command has done, unless a hook started the command: if the hook fails, the last line of what it
    /// prints is taken for the reason.
    pub(crate) fn close(self, line: &str, settings: &Settings) {
        if settings.parent_process.is_none() {
            self.note(line);
        }
    }
}

/// Handles the signals that interrupt a command.
pub(crate) fn interrupt() -> Result<Interrupt, CliError> {
    Interrupt::install().map_err(CliError::setup)
}
