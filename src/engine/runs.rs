//! The work of `rigup start`, `rigup exec` and `rigup process gc`.

use std::ffi::OsString;
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::clock;
use crate::engine::catalog;
use crate::engine::error::{EngineError, ExitStatus};
use crate::engine::processes::RecordedCommand;
use crate::engine::programs::{self, Programs};
use crate::engine::session::{self, Session};
use crate::fs::temporary_folder::TemporaryFolder;
use crate::hook::command;
use crate::hook::run::RunError;
use crate::model::{Binary, Process, ProcessExit, ProcessSpec, ProcessType};
use crate::process::executable::{self, ExecutableError};
use crate::process::foreground::Foreground;
use crate::process::run_dir::{self, RunDir};
use crate::process::spawn::{CommandSpec, SpawnError};
use crate::report::text;
use crate::runs::gc::{Gc, GcReport};
use crate::runs::start::{self, RunRequest};
use crate::settings::Settings;
use crate::shell;

/// Starts a detached run, and returns its record as soon as it runs or cannot be started.
pub(crate) fn start(session: &Session<'_>, request: RunRequest) -> Result<Process, EngineError> {
    let limits = catalog::core_settings(&session.settings)?.keep();
    let mut process = session.queued(ProcessSpec::new(ProcessType::Binary, Vec::new(), &request.cwd))?;
    let set_path = request.env.iter().find(|(name, _)| name == "PATH").map(|(_, value)| value.clone());
    let search_path = || set_path.unwrap_or_else(|| command::search_path(&session.settings, &[]));
    programs::named(session, &request.program)?;
    process.binary_id = Programs::of(session)?.binary_id(&request.program, &request.cwd, search_path);
    let process = start::start(&session.settings, &session.store, process, request)?;
    session.prune_if_due(process.id, None, limits);
    Ok(process)
}

/// Runs a command in the foreground with LIB_BIN_DIR first on PATH, and returns the exit status that passes on its exit.
pub(crate) fn exec(
    session: &Session<'_>,
    program: &OsString,
    arguments: &[OsString],
) -> Result<ExitStatus, EngineError> {
    exec_with(session, program, arguments, &[], None, None)
}

/// Runs a recorded command in the foreground, as a child of the recorded process. If its folder for temporary files is gone,
/// it gets another one until it has exited. A hook that installs gets an empty LIB_DIR until it has exited, because the
/// binaries in the real one have records.
pub(crate) fn replay(session: &Session<'_>, recorded: &RecordedCommand) -> Result<ExitStatus, EngineError> {
    let problem =
        |reason: String| EngineError::NotFound(format!("cannot replay process {}: {reason}", recorded.id));
    let pwd = &recorded.pwd;
    let enter = || {
        // The folder of a hook is removed at the end of the event if it is empty.
        if !recorded.hook_name.is_empty() {
            fs_err::create_dir_all(pwd)?;
        }
        std::env::set_current_dir(pwd)
    };
    enter().map_err(|error| {
        problem(match error.kind() {
            io::ErrorKind::NotFound => {
                let folder = pwd.to_string_lossy();
                let quoted = shell::quote_text(&folder);
                format!("its folder {folder} does not exist; create it with `mkdir -p {quoted}`")
            }
            _ => format!("its folder {}: {error}", pwd.display()),
        })
    })?;
    let input = recorded.input.as_ref().map(fs_err::read).transpose();
    let input = input.map_err(|error| problem(format!("cannot read its standard input: {error}")))?;
    let words: Vec<OsString> = recorded.words.iter().map(OsString::from).collect();
    let (program, arguments) = words.split_first().expect("a recorded command has a program");
    let mut variables = recorded.variables.clone();
    let _temporary = replace_folder(&mut variables, "TMP_DIR", Path::is_dir)?;
    if recorded.installs {
        // That of the caller would take precedence.
        let lib_dir = variables.iter().find(|(name, _)| name == "LIB_DIR").map(|(_, value)| value.clone());
        variables.extend(lib_dir.map(|lib_dir| ("RIGUP_LIB_DIR".to_owned(), lib_dir)));
    }
    let _lib_dir = replace_folder(&mut variables, "LIB_DIR", |_folder| !recorded.installs)?;
    exec_with(session, program, arguments, &variables, input.as_deref(), Some(recorded))
}

/// Replaces the folder of a variable, and those below it, in these variables with a new one, unless it can be used. Returns
/// the new one, or `None` if there is no need. Lists of folders, such as PATH, keep it.
fn replace_folder(
    variables: &mut [(String, OsString)],
    variable: &str,
    is_usable: impl Fn(&Path) -> bool,
) -> Result<Option<TemporaryFolder>, EngineError> {
    let recorded = variables.iter().find(|(name, _)| name == variable);
    let recorded = recorded.map(|(_, value)| PathBuf::from(value)).filter(|folder| !is_usable(folder));
    let Some(replaced) = recorded else { return Ok(None) };
    let folder = TemporaryFolder::create("rigup-").map_err(RunError::Temporary)?;
    for (_, value) in variables.iter_mut().filter(|(name, _)| !name.ends_with("PATH")) {
        // The profiles of browsers are in TMP_DIR, and the links in LIB_DIR.
        if let Ok(below) = Path::new(value).strip_prefix(&replaced) {
            *value = folder.path().components().chain(below.components()).collect::<PathBuf>().into();
        }
    }
    Ok(Some(folder))
}

/// Runs a command with these variables, and with this standard input or that of rigup. Its parent is the process that called
/// this rigup, or the one whose recorded command it is.
fn exec_with(
    session: &Session<'_>,
    program: &OsString,
    arguments: &[OsString],
    variables: &[(String, OsString)],
    input: Option<&[u8]>,
    recorded: Option<&RecordedCommand>,
) -> Result<ExitStatus, EngineError> {
    let settings = &session.settings;
    let limits = catalog::core_settings(settings)?.keep();
    let mut foreground = Foreground::install().map_err(EngineError::Signals)?;
    let pwd = std::env::current_dir().unwrap_or_default();
    let mut process = session.queued(ProcessSpec::new(ProcessType::Binary, Vec::new(), &pwd))?;
    if let Some(recorded) = recorded {
        process.parent_id = Some(recorded.id);
        process.spec.plugin.clone_from(&recorded.plugin);
        process.spec.hook_name.clone_from(&recorded.hook_name);
    }
    let id = process.id;
    let environment = command::environment_of_command(settings, id, variables);
    process.spec.env = environment.added;
    let set_path = variables.iter().find(|(name, _)| name == "PATH").map(|(_, value)| value.clone());
    let search_path = || set_path.unwrap_or_else(|| command::search_path(settings, &[]));
    let named = programs::named(session, program)?;
    process.binary_id = Programs::of(session)?.binary_id(program, &process.spec.pwd, search_path);
    let path = run_dir::path(&settings.data_dir, id);
    process.spec.run_dir = Some(path.clone());
    // As in a shell, a command can run in a folder that was removed.
    let cwd = if pwd.as_os_str().is_empty() { ".".into() } else { pwd };
    let (program, args) = (program.clone(), arguments.to_vec());
    let command = CommandSpec { program, args, env: environment.all, cwd };
    process.spec.cmd = command.words();
    let (run_dir, lock, stdin) = RunDir::create(path, &process, &command, input)
        .and_then(|run_dir| {
            let prepare = || {
                let stdin = input.map(|_| fs_err::File::open(run_dir.input())).transpose()?;
                Ok((run_dir.clone().opened()?, run_dir.lock()?, stdin))
            };
            prepare().inspect_err(|_| run_dir.discard())
        })
        .map_err(|error| session::data_dir_error(settings, error))?;
    session.store.save_process(&process).inspect_err(|_| run_dir.discard())?;
    let is_usable = named.map_or(Ok(()), |binary| check_installed(&command.program, &binary, settings));
    let child = match is_usable.and_then(|()| foreground.start(&command, stdin.as_ref().map(AsFd::as_fd))) {
        Ok(child) => child,
        Err(error) => {
            let failed = ProcessExit::spawn_failed(error.to_string(), clock::now());
            let process = process.into_exited(failed);
            // The error of the start matters more.
            let _ = run_dir.write_exit(&process);
            session.store.save_process(&process)?;
            return Err(error.into());
        }
    };
    let identity = child.handle.entry.identity();
    // The command is already running, so rigup waits for it even if its pid or its record cannot be written.
    let written = run_dir.write_identity(lock.file(), &identity);
    let process = process.into_running(identity, child.started_at);
    let stored = session.store.save_process(&process);
    let mut exit = foreground
        .wait(&child)
        .map_err(|error| EngineError::Setup(format!("cannot observe the exit of the command: {error}")))?;
    exit.reason = run_dir.exit_reason(&exit);
    let mut process = process.into_exited(exit.clone());
    if let Err(error) =
        written.and_then(|()| run_dir.write_exit(&process)).and_then(|()| run_dir.remove_pid())
    {
        let warning = format!("cannot write to the run dir of the command: {error}");
        process.warnings.push(&warning);
        session.warn(warning);
    }
    if let Err(error) = stored.and_then(|()| session.store.save_process(&process)) {
        session.warn(format!("cannot record the exit of the command: {error}"));
    }
    // Checked last, because a signal to the whole group may reach the command first.
    let interrupted_by = foreground.interrupted_by(&exit);
    session.prune_if_due(id, interrupted_by, limits);
    Ok(ExitStatus::of_foreground(&exit, interrupted_by))
}

/// Terminates overdue runs, completes the records of lost processes, and prunes expired records and logs. `ttl`
/// overrides how long each run keeps its run dir.
pub(crate) fn gc(
    session: &Session<'_>,
    ttl: Option<Duration>,
    is_dry_run: bool,
) -> Result<GcReport, EngineError> {
    let limits = catalog::core_settings(&session.settings)?.keep();
    let report = Gc { ttl, dry_run: is_dry_run, trusts_clock: true, ..session.gc(limits) }.run()?;
    if report.old_by_clock > 0 {
        session.warn(format!(
            "the clock may be wrong: of these processes, {} are too old only because nothing was recorded for more than a day",
            report.old_by_clock
        ));
    }
    Ok(report)
}

/// Checks that the file of an installed program can still be started. A Python that is not that of its venv starts, but
/// does not find the program.
fn check_installed(program: &OsString, binary: &Binary, settings: &Settings) -> Result<(), SpawnError> {
    let Some(installed) = binary.installed() else { return Ok(()) };
    let checked = executable::check(&installed.abspath, Some(&|| command::search_path(settings, &[])));
    let file = installed.abspath.display();
    checked.map_err(|problem| SpawnError {
        program: program.into(),
        reason: match problem {
            // A recorded file of that kind is a module.
            ExecutableError::NoProgram => format!("{file} is a module, not a program"),
            problem => {
                let next = format!("run `rigup install {}`", shell::quote_text(&binary.name));
                text::with_next_step(format!("{file} {problem}"), &next)
            }
        },
        is_missing: true,
        is_exhausted: false,
    })
}
