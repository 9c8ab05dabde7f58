//! curl or wget, which transfer one file at a time.

use std::ffi::{OsStr, OsString};
use std::io::{self, Seek, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::fs::remove::ignore_missing;
use crate::hook::command;
use crate::process::capture::{self, Captured, CapturedExit};
use crate::process::signals::Interrupt;
use crate::process::spawn::CommandSpec;
use crate::process::system;
use crate::settings::Settings;
use crate::toolkit::http::error::HttpError;
use crate::toolkit::http::headers::Headers;
use crate::toolkit::http::url::Url;

/// The longest transfer. The hook that waits for it has a time limit of its own.
const TIME_LIMIT: Duration = Duration::from_hours(12);

/// How long curl and wget wait for a connection, and for the next byte, in seconds.
const PATIENCE: u32 = 30;

/// A program that downloads files.
#[derive(Debug)]
pub(crate) struct Downloader<'a> {
    kind: Kind,
    path: PathBuf,
    settings: &'a Settings,
    interrupt: &'a Interrupt,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Curl,
    Wget,
    /// A wget with few options, such as that of busybox: it follows redirects itself.
    SmallWget,
}

/// One transfer, without redirects.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Transfer<'a> {
    pub(crate) url: &'a Url,
    /// The `Accept` header.
    pub(crate) accept: &'a str,
    /// A further header, which is a secret.
    pub(crate) secret_header: Option<&'a str>,
    /// The size of the file, in bytes, at which the transfer fails.
    pub(crate) max_bytes: Option<u64>,
    /// The file that the body is written to.
    pub(crate) file: &'a Path,
    /// The size of the beginning of the file that exists, in bytes.
    pub(crate) offset: u64,
}

/// The result of a transfer.
#[derive(Debug)]
pub(crate) struct Transferred {
    /// The response; its status is 0 if there was none.
    pub(crate) headers: Headers,
    /// Why the transfer failed, or `None` if the whole body was received.
    pub(crate) failure: Option<TransferFailure>,
}

/// The failure of a transfer.
#[derive(Debug)]
pub(crate) struct TransferFailure {
    pub(crate) reason: String,
    /// Whether another try may succeed: the connection broke.
    pub(crate) is_transient: bool,
    /// Whether the file is larger than allowed.
    pub(crate) is_too_large: bool,
}

impl<'a> Downloader<'a> {
    /// Finds curl or wget on PATH.
    pub(crate) fn find(settings: &'a Settings, interrupt: &'a Interrupt) -> Result<Self, HttpError> {
        let path = settings.environment.get("PATH").unwrap_or(OsStr::new(""));
        let find = |name: &str| which::which_in(name, Some(path), "/").ok();
        let new = |kind, path| Self { kind, path, settings, interrupt };
        if let Some(curl) = find("curl") {
            return Ok(new(Kind::Curl, curl));
        }
        let wget = find("wget").ok_or(HttpError::NoDownloader)?;
        let wget = new(Kind::Wget, wget);
        let version = wget.start(vec!["--version".into()], "")?;
        Ok(if version.stdout.contains("GNU Wget") { wget } else { Self { kind: Kind::SmallWget, ..wget } })
    }

    /// Whether a redirect leads back to the caller, so that a secret is not sent to another server.
    pub(crate) fn can_keep_secrets(&self) -> bool {
        self.kind != Kind::SmallWget
    }

    /// Whether it can continue a transfer.
    pub(crate) fn can_resume(&self) -> bool {
        self.kind == Kind::Curl
    }

    /// Transfers a file.
    pub(crate) fn run(&self, transfer: Transfer<'_>) -> Result<Transferred, HttpError> {
        if transfer.offset == 0 {
            ignore_missing(fs_err::remove_file(transfer.file)).map_err(HttpError::Io)?;
        }
        match self.kind {
            Kind::Curl => self.curl(transfer),
            Kind::Wget | Kind::SmallWget => self.wget(transfer),
        }
    }

    fn curl(&self, transfer: Transfer<'_>) -> Result<Transferred, HttpError> {
        let headers = tempfile::NamedTempFile::new().map_err(HttpError::Io)?;
        let mut config = String::new();
        let mut set = |key: &str, value: &str| config.extend([key, " = ", &quoted(value), "\n"]);
        set("url", transfer.url.as_str());
        set("output", &transfer.file.to_string_lossy());
        set("dump-header", &headers.path().to_string_lossy());
        set("header", &format!("Accept: {}", transfer.accept));
        if let Some(secret) = transfer.secret_header {
            set("header", secret);
        }
        set("user-agent", USER_AGENT);
        set("proto", "=http,https");
        set("connect-timeout", &PATIENCE.to_string());
        set("speed-limit", "1");
        set("speed-time", &PATIENCE.to_string());
        if let Some(limit) = transfer.max_bytes {
            set("max-filesize", &limit.to_string());
        }
        if transfer.offset > 0 {
            set("continue-at", &transfer.offset.to_string());
        }
        // The user's own ~/.curlrc may say otherwise.
        config += "silent\nshow-error\ngloboff\nno-location\nno-location-trusted\nno-include\n";
        let exit = self.start(vec!["--config".into(), "-".into()], &config)?;
        let headers = Headers::parse(&fs_err::read_to_string(headers.path()).unwrap_or_default());
        // The numbers are those of `man curl`: a partial file, a timeout, or an error of the connection or of HTTP/2.
        let is_transient = matches!(exit.exit_code, Some(18 | 28 | 52 | 55 | 56 | 92));
        let is_too_large = exit.exit_code == Some(63);
        let failure = (exit.exit_code != Some(0)).then(|| {
            let line = last_line(&exit.stderr);
            let reason = line.strip_prefix("curl: ").unwrap_or(&line).to_owned();
            TransferFailure { reason, is_transient, is_too_large }
        });
        Ok(Transferred { headers, failure })
    }

    fn wget(&self, transfer: Transfer<'_>) -> Result<Transferred, HttpError> {
        let mut args: Vec<OsString> = vec!["--server-response".into(), "-O".into(), transfer.file.into()];
        let mut config = None;
        if self.kind == Kind::SmallWget {
            args = vec!["-S".into(), "-O".into(), transfer.file.into()];
        } else {
            for option in ["--no-verbose", "--max-redirect=0", "--tries=1", "--no-iri"] {
                args.push(option.into());
            }
            args.push(format!("--timeout={PATIENCE}").into());
            args.push(format!("--user-agent={USER_AGENT}").into());
            args.push(format!("--header=Accept: {}", transfer.accept).into());
            if let Some(secret) = transfer.secret_header {
                // wget reads no secrets from standard input. The file takes the place of the user's own one.
                let file = self.wgetrc(secret).map_err(HttpError::Io)?;
                args.push(format!("--config={}", file.path().display()).into());
                config = Some(file);
            }
        }
        args.push(transfer.url.as_str().into());
        let exit = self.start(args, "")?;
        drop(config);
        let headers = Headers::parse(&exit.stderr);
        let has_response = headers.status >= 300;
        let is_too_large = transfer
            .max_bytes
            .is_some_and(|limit| transfer.file.metadata().is_ok_and(|metadata| metadata.len() > limit));
        let failure = (is_too_large || exit.exit_code != Some(0) && !has_response).then(|| {
            let line = last_line(&exit.stderr);
            let reason = line.strip_prefix("wget: ").unwrap_or(&line).to_owned();
            TransferFailure { reason, is_transient: headers.status == 200, is_too_large }
        });
        Ok(Transferred { headers, failure })
    }

    /// Writes a configuration file with the user's own settings and a header.
    fn wgetrc(&self, header: &str) -> io::Result<tempfile::NamedTempFile> {
        let environment = &self.settings.environment;
        let own = environment.get("WGETRC").map(PathBuf::from);
        let own = own.or_else(|| Some(self.settings.home.as_ref()?.join(".wgetrc")));
        let mut text = own.and_then(|path| fs_err::read_to_string(path).ok()).unwrap_or_default();
        text.extend(["\nheader = ", header, "\n"]);
        let mut file = tempfile::NamedTempFile::new()?;
        file.write_all(text.as_bytes())?;
        Ok(file)
    }

    /// Runs the program with this standard input.
    fn start(&self, args: Vec<OsString>, input: &str) -> Result<CapturedExit, HttpError> {
        let env = command::environment_of_program(self.settings, &[], vec![("LC_ALL", "C".into())]);
        let command = CommandSpec { program: self.path.clone().into(), args, env, cwd: "/".into() };
        let mut stdin = system::unnamed_file().map_err(HttpError::Io)?;
        stdin.write_all(input.as_bytes()).and_then(|()| stdin.rewind()).map_err(HttpError::Io)?;
        let deadline = Instant::now() + TIME_LIMIT;
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

const USER_AGENT: &str = concat!("rigup/", env!("CARGO_PKG_VERSION"));

/// Quotes a value in a configuration of curl.
fn quoted(value: &str) -> String {
    let mut quoted = String::from("\"");
    for c in value.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '\n' => quoted += "\\n",
            '\r' => quoted += "\\r",
            c => quoted.push(c),
        }
    }
    quoted + "\""
}

fn last_line(text: &str) -> String {
    text.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("no error message").trim().to_owned()
}
