//! A supervisor in the background: its start, its log, and the application of manifests to it.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::cli::command::{CliError, CommandResult, Context};
use crate::cli::message::{message, print_times, warning};
use crate::cli::status_display::describe;
use crate::engine::daemons::{self, LockHolder, Manifest};
use crate::engine::{EngineError, ExitStatus};
use crate::fs::regular_file;
use crate::model::LogLimits;
use crate::process::log::Log;
use crate::process::rotation::RotatedLog;
use crate::process::spawn::{Child, CommandSpec};
use crate::process::{poll, wait};
use crate::settings::Settings;
use crate::supervisor::control::ControlRequest;
use crate::supervisor::control_loop::DaemonEvent;

/// The hidden command that supervises in the background.
pub(crate) const SUPERVISE: &str = "supervise";

/// How long a supervisor in the background may take to start.
const START_PATIENCE: Duration = Duration::from_secs(10);

/// The interval at which a new supervisor is asked.
const RETRY: Duration = Duration::from_millis(10);

/// The limits of the log of a supervisor.
const LOG_LIMITS: LogLimits = LogLimits { max_size: 1 << 20, max_files: 2 };

/// Runs the hidden command `supervise`.
pub(crate) fn supervise(context: &mut Context) -> CommandResult {
    print_times();
    let session = context.session()?;
    // The supervisor that has the lock takes the requests.
    let Some(lock) = daemons::try_lock(&session.settings, LockHolder::Supervisor)? else {
        return Ok(ExitStatus::Success);
    };
    let path = log_path(&session.settings);
    let log = Log::open(&path).ok();
    let mut rotated = RotatedLog::new(path, LOG_LIMITS);
    let rotate = |_is_ending| {
        // A log that cannot be rotated grows further.
        let _ = log.as_ref().map(|log| rotated.rotate(log));
        None
    };
    let mut on_event = |event: DaemonEvent<'_>| match event {
        DaemonEvent::Warning(text) => warning!("{text}"),
        DaemonEvent::Note(text) => message!("{text}"),
        DaemonEvent::Status(daemon, process) => message!("{}", describe(daemon, process)),
    };
    Ok(daemons::supervise(&session, lock, None, true, rotate, &mut on_event)?)
}

/// Applies a manifest to the running supervisor, or to a new one in the background. Returns the records of the daemons.
pub(crate) fn apply_in_background(manifest: Manifest, settings: &Settings) -> Result<Vec<Value>, CliError> {
    let Manifest { specs: daemons, names, removes_orphans: remove_orphans } = manifest;
    let request = ControlRequest::Apply { daemons, names, remove_orphans };
    // One that stops all daemons answers no more, and the next one starts after it.
    let patience = daemons::stop_patience(settings)?;
    let mut supervisor: Option<(BackgroundSupervisor, Instant)> = None;
    let answer = loop {
        if let Some(answer) = daemons::request(settings, &request, Some(patience))? {
            break answer;
        }
        if let Some((ended, _)) = supervisor.take_if(|(supervisor, _)| supervisor.has_exited()) {
            ended.result()?;
        }
        match &supervisor {
            None => {
                let started = BackgroundSupervisor::start(settings)?;
                supervisor = Some((started, Instant::now() + START_PATIENCE));
            }
            Some((_, deadline)) if Instant::now() >= *deadline => {
                return Err(CliError::setup(format!(
                    "the supervisor does not answer within {} s; see {}",
                    START_PATIENCE.as_secs(),
                    log_path(settings).display()
                )));
            }
            Some(_) => {}
        }
        poll::pause(Instant::now() + RETRY);
    };
    for text in &answer.warnings {
        warning!("{text}");
    }
    Ok(answer.daemons)
}

fn log_path(settings: &Settings) -> PathBuf {
    settings.data_dir.join("supervisor.log")
}

/// A supervisor that was started in the background, in a session of its own.
struct BackgroundSupervisor {
    child: Child,
    log: PathBuf,
    /// The size of the log before the start.
    log_start: u64,
}

impl BackgroundSupervisor {
    fn start(settings: &Settings) -> Result<Self, CliError> {
        let path = log_path(settings);
        let open = || {
            let log = regular_file::open_with(File::options().create(true).append(true).mode(0o600), &path)?;
            let size = log.metadata()?.len();
            io::Result::Ok((log, size))
        };
        let (log, log_start) = open()
            .map_err(|error| CliError::setup(format!("cannot open the log of the supervisor: {error}")))?;
        let folders = settings.folder_flags().into_iter();
        let folders = folders.flat_map(|(flag, folder)| [flag.into(), folder.as_os_str().to_owned()]);
        let command = CommandSpec {
            program: settings.rigup.clone().into(),
            args: std::iter::once(SUPERVISE.into()).chain(folders).collect(),
            env: settings
                .command_environment
                .iter()
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
            cwd: std::env::current_dir().unwrap_or_else(|_error| "/".into()),
        };
        let child = command.start(None, &log, &log).map_err(EngineError::from)?;
        Ok(Self { child, log: path, log_start })
    }

    fn has_exited(&self) -> bool {
        wait::has_exited_by(&self.child, Instant::now())
    }

    /// Returns the error of a supervisor that has exited, from its log.
    fn result(self) -> Result<(), CliError> {
        if wait::reap(&self.child).is_ok_and(|exit| exit.exit_code == Some(0)) {
            return Ok(());
        }
        let mut text = String::new();
        let read = File::open(&self.log).and_then(|mut log| {
            log.seek(SeekFrom::Start(self.log_start))?;
            log.read_to_string(&mut text)
        });
        let last = text.lines().rev().find_map(error_in).filter(|_| read.is_ok());
        Err(CliError::setup(
            last.map_or_else(
                || format!("the supervisor has ended; see {}", self.log.display()),
                str::to_owned,
            ),
        ))
    }
}

/// Returns the error in a line of the log of a supervisor, which has the time in front once its settings were read.
fn error_in(line: &str) -> Option<&str> {
    let (time, error) = line.split_once("error: ")?;
    (!time.trim_end().contains(' ')).then_some(error)
}
