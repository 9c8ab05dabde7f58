//! curl or wget, which download for rigup.

use std::ffi::{OsStr, OsString};
use std::io::{Seek, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::hook::command;
use crate::process::capture::{self, Captured, CapturedExit};
use crate::process::executable;
use crate::process::signals::Interrupt;
use crate::process::spawn::CommandSpec;
use crate::process::system;
use crate::settings::Settings;
use crate::toolkit::http::error::HttpError;

/// How rigup calls itself to servers.
pub(super) const USER_AGENT: &str = concat!("rigup/", env!("CARGO_PKG_VERSION"));

/// How long curl and wget wait for a connection, in seconds.
pub(super) const CONNECT_TIMEOUT: u32 = 10;

/// How long they wait for the next byte of a file, in seconds.
pub(super) const STALL_TIMEOUT: u32 = 30;

/// The size of a block of `ulimit -f`, in bytes.
const BLOCK: u64 = 512;

/// The shell code that starts a program with a limit on the size of its files: curl has one only for files whose server states
/// their size, and wget has none. The program gets an error instead of a signal, so that other files are complete.
const LIMITED: &str = r#"ulimit -f "$1"; trap '' XFSZ; shift; exec "$@""#;

/// A program that downloads files.
#[derive(Debug)]
pub(crate) struct Downloader<'a> {
    pub(super) kind: DownloaderKind,
    path: PathBuf,
    pub(super) settings: &'a Settings,
    interrupt: &'a Interrupt,
}

/// The kind of a program that downloads files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DownloaderKind {
    Curl,
    Wget,
    /// A wget with few options, such as that of busybox: it follows redirects itself.
    SmallWget,
}

impl<'a> Downloader<'a> {
    /// Finds curl or wget on PATH.
    pub(crate) fn find(settings: &'a Settings, interrupt: &'a Interrupt) -> Result<Self, HttpError> {
        let path = settings.environment.get("PATH").unwrap_or(OsStr::new(""));
        let find = |name: &str| which::which_in(name, Some(path), "/").ok();
        let new = |kind, path| Self { kind, path, settings, interrupt };
        if let Some(curl) = find("curl") {
            return Ok(new(DownloaderKind::Curl, curl));
        }
        let wget = new(DownloaderKind::Wget, find("wget").ok_or(HttpError::NoDownloader)?);
        let version = wget.start(vec!["--version".into()], "", Duration::from_secs(10), None)?;
        let kind = if version.stdout.contains("GNU Wget") { wget.kind } else { DownloaderKind::SmallWget };
        Ok(Self { kind, ..wget })
    }

    /// Whether a redirect leads back to the caller, so that a secret is not sent to another server.
    pub(crate) fn can_keep_secrets(&self) -> bool {
        self.kind != DownloaderKind::SmallWget
    }

    /// Whether it can continue a transfer.
    pub(crate) fn can_resume(&self) -> bool {
        self.kind == DownloaderKind::Curl
    }

    /// Runs the program with this standard input, which no other user can see. It cannot write a file that is larger than
    /// `max_bytes` and the rest of a block.
    pub(super) fn start(
        &self,
        args: Vec<OsString>,
        input: &str,
        time_limit: Duration,
        max_bytes: Option<u64>,
    ) -> Result<CapturedExit, HttpError> {
        let env = command::environment_of_program(self.settings, &[], vec![("LC_ALL", "C".into())]);
        let command = CommandSpec { program: self.path.clone().into(), args, env, cwd: "/".into() };
        let command = match max_bytes {
            Some(limit) => {
                let blocks = (limit / BLOCK + 1).to_string();
                command.started_by([executable::SHELL, "-c", LIMITED, "sh", &blocks].map(Into::into).to_vec())
            }
            None => command,
        };
        let mut stdin = system::unnamed_file().map_err(HttpError::Io)?;
        stdin.write_all(input.as_bytes()).and_then(|()| stdin.rewind()).map_err(HttpError::Io)?;
        let deadline = Instant::now() + time_limit;
        match capture::run_with_input(command, Some(&stdin), deadline, self.interrupt)
            .map_err(HttpError::Io)?
        {
            Captured::Exited(exit) => Ok(exit),
            Captured::NotStarted(error) => Err(HttpError::NotStarted(error.to_string())),
            Captured::Killed(_) => Err(match self.interrupt.signal() {
                Some(signal) => HttpError::Interrupted(signal),
                None => HttpError::NotStarted(format!("{} did not exit in time", self.path.display())),
            }),
        }
    }
}
