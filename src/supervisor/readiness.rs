//! How a daemon shows that it is ready. Each check runs in a thread of its own, never in the control loop.

mod fifo;
mod log_watch;
mod owner;

use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use fs_err as fs;

use crate::duration;
use crate::model::{Process, Readiness, ReadinessCheck};
use crate::process::capture::{self, Captured};
use crate::process::notify;
use crate::process::poll;
use crate::process::signals::Interrupt;
use crate::process::spawn::CommandSpec;
use crate::process::system;
use crate::shell;
use crate::supervisor::readiness::fifo::FifoReader;
use crate::supervisor::readiness::log_watch::LogWatch;

/// How long the connection may take that finds a foreign process before a start, which the control loop waits for.
const FOREIGN_TIMEOUT: Duration = Duration::from_millis(50);

/// What a check may need of an execution.
#[derive(Debug, Clone, Default)]
pub(super) struct ProbeContext {
    /// Its record, or `None` if nothing runs that could be ready.
    pub execution: Option<Process>,
    /// Its run dir and the logs in it.
    pub run_dir: PathBuf,
    pub stdout: PathBuf,
    pub stderr: PathBuf,
    /// The environment and the working directory of a command.
    pub env: Vec<(OsString, OsString)>,
    pub cwd: PathBuf,
    /// The words in front of a command.
    pub launcher: Vec<OsString>,
}

/// Makes sure that only the daemon itself can become ready, before it is started: removes a file of an earlier execution, and
/// returns the problem if another process accepts connections at its address. The daemon runs as `user`, if there is one.
pub(super) fn prepare(check: &ReadinessCheck, user: Option<&str>) -> Result<(), String> {
    match check {
        ReadinessCheck::Fifo(path) => return fifo::create(path, user),
        ReadinessCheck::File(path) | ReadinessCheck::Pipe(path) => {
            return match fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    Err(format!("cannot remove the file of an earlier execution: {error}"))
                }
                _ => Ok(()),
            };
        }
        _ => {}
    }
    match port_of(check) {
        Some((host, port)) if connect(host, port, FOREIGN_TIMEOUT).is_ok() => {
            let pid = system::listeners(port).first().map(|pid| format!(" (pid {pid})")).unwrap_or_default();
            Err(format!("another process{pid} already accepts connections at {host}:{port}"))
        }
        _ => Ok(()),
    }
}

/// Returns the host and the port to which a check connects.
fn port_of(check: &ReadinessCheck) -> Option<(&str, u16)> {
    match check {
        ReadinessCheck::Tcp(host, port) => Some((host, *port)),
        ReadinessCheck::Http(url) => address(url).map(|(host, port, _)| (host, port)),
        _ => None,
    }
}

/// Waits until a daemon is ready. Returns why it is not ready in time, or `None` if it ends before, which is the interrupt
/// `end`.
pub(super) fn wait(
    readiness: &Readiness,
    context: &ProbeContext,
    end: &Interrupt,
) -> Option<Result<(), String>> {
    let start = Instant::now();
    let (mut timeout, mut extensions) = (readiness.timeout, 0);
    let mut problem = describe(&readiness.probe);
    let mut fifo = FifoReader::of(&readiness.probe);
    let mut logs = LogWatch::of(&readiness.probe, &context.stdout, &context.stderr);
    loop {
        let is_ready = match (&mut fifo, &mut logs) {
            (Some(fifo), _) => fifo.is_ready(),
            (_, Some(logs)) => logs.have_line(),
            (None, None) => {
                let left = timeout.saturating_sub(start.elapsed());
                holds(&readiness.probe, context, readiness.check_timeout.min(left), end)
            }
        };
        if is_ready {
            let address = port_of(&readiness.probe).zip(context.execution.as_ref());
            let foreign = address.and_then(|((host, port), execution)| {
                let pid = owner::foreign_listener(host, port, execution)?;
                Some(format!("the process {pid}, which it has not started, listens at {host}:{port}"))
            });
            match foreign {
                None => return Some(Ok(())),
                Some(text) => problem = text,
            }
        }
        if readiness.probe == ReadinessCheck::Notify {
            let notified = notify::read(&context.run_dir);
            if notified.extensions > extensions {
                extensions = notified.extensions;
                timeout = timeout.max(whole_tenths(start.elapsed() + notified.extension));
            }
        }
        let deadline = start + timeout.min(duration::MAX);
        if Instant::now() >= deadline {
            let seconds = duration::seconds(timeout);
            return Some(Err(format!("it was not ready within {seconds} s ({problem})")));
        }
        if poll::readable([end.fd()], deadline.min(Instant::now() + readiness.interval)) == [true] {
            return None;
        }
    }
}

/// Rounds a time up to tenths of a second, so that a message can name it.
fn whole_tenths(time: Duration) -> Duration {
    Duration::from_millis(u64::try_from(time.as_millis().div_ceil(100) * 100).unwrap_or(u64::MAX))
}

/// Checks whether a check that may take `timeout` holds now, and returns why not. `end` interrupts it.
pub(super) fn check(
    probe: &ReadinessCheck,
    context: &ProbeContext,
    timeout: Duration,
    end: &Interrupt,
) -> Result<(), String> {
    match probe {
        ReadinessCheck::Exec(command) => run(command, context, timeout, end),
        _ if holds(probe, context, timeout, end) => Ok(()),
        _ => Err(describe(probe)),
    }
}

/// Whether a check that may take `timeout` holds now. `end` interrupts it.
fn holds(probe: &ReadinessCheck, context: &ProbeContext, timeout: Duration, end: &Interrupt) -> bool {
    match probe {
        ReadinessCheck::Tcp(host, port) => connect(host, *port, timeout).is_ok(),
        ReadinessCheck::Http(url) => is_answered(url, timeout).unwrap_or(false),
        ReadinessCheck::File(path) => path.exists(),
        ReadinessCheck::Notify => notify::read(&context.run_dir).is_ready,
        ReadinessCheck::Fifo(_) | ReadinessCheck::Pipe(_) => {
            FifoReader::of(probe).is_some_and(|mut fifo| fifo.is_ready())
        }
        ReadinessCheck::Log(_) | ReadinessCheck::StdoutLine => {
            LogWatch::of(probe, &context.stdout, &context.stderr).is_some_and(|mut logs| logs.have_line())
        }
        ReadinessCheck::Exec(command) => run(command, context, timeout, end).is_ok(),
    }
}

/// Returns what a check expects, for messages.
fn describe(probe: &ReadinessCheck) -> String {
    match probe {
        ReadinessCheck::Tcp(host, port) => format!("{host}:{port} accepts no connection"),
        ReadinessCheck::Http(url) => format!("{url} is not answered with 2xx"),
        ReadinessCheck::File(path) => format!("{} does not exist", path.display()),
        ReadinessCheck::Fifo(path) => format!("nothing was written to {}", path.display()),
        ReadinessCheck::Pipe(path) => format!("no line \"ready\" was written to {}", path.display()),
        ReadinessCheck::Log(pattern) => format!("no line of its logs matches {pattern}"),
        ReadinessCheck::Notify => "it did not notify READY=1".to_owned(),
        ReadinessCheck::StdoutLine => "it printed no line".to_owned(),
        ReadinessCheck::Exec(command) => format!("{} does not succeed", shell::quote_command(command)),
    }
}

/// Runs a command that has to exit with 0 in time, and returns why it does not. Everything that it has started is killed at
/// its end.
fn run(command: &[String], context: &ProbeContext, timeout: Duration, end: &Interrupt) -> Result<(), String> {
    let text = shell::quote_command(command);
    let Some((program, args)) = command.split_first() else { return Err("it has no command".to_owned()) };
    let command = CommandSpec {
        program: program.into(),
        args: args.iter().map(Into::into).collect(),
        env: context.env.clone(),
        cwd: context.cwd.clone(),
    };
    let command = command.started_by(context.launcher.clone());
    match capture::run(command, duration::deadline(timeout), end) {
        Ok(Captured::Exited(exit)) if exit.exit_code == Some(0) => Ok(()),
        Ok(Captured::Exited(exit)) => {
            let code = exit.exit_code.unwrap_or_default();
            Err(format!("{text} exits with {code}{}", exit.reason()))
        }
        Ok(Captured::Killed(_)) => Err(format!("{text} takes longer than {} s", duration::seconds(timeout))),
        Ok(Captured::NotStarted(error)) => Err(error.to_string()),
        Err(error) => Err(format!("cannot run {text}: {error}")),
    }
}

fn connect(host: &str, port: u16, timeout: Duration) -> io::Result<TcpStream> {
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for address in (host, port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, timeout) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Returns the host, the port and the path of an `http://` URL, or `None` if it is not one.
fn address(url: &str) -> Option<(&str, u16, &str)> {
    let rest = url.strip_prefix("http://")?;
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let (host, port) = authority.rsplit_once(':').unwrap_or((authority, "80"));
    Some((host, port.parse().ok()?, if path.is_empty() { "/" } else { path }))
}

/// Whether a GET of an `http://` URL is answered with a status of 2xx.
fn is_answered(url: &str, timeout: Duration) -> io::Result<bool> {
    let (host, port, path) = address(url).ok_or(io::ErrorKind::Unsupported)?;
    let mut stream = connect(host, port, timeout)?;
    stream.set_read_timeout(Some(timeout))?;
    let request = format!("GET {path} HTTP/1.0\r\nHost: {host}:{port}\r\nConnection: close\r\n\r\n");
    // In one piece, because a simple server reads only once.
    stream.write_all(request.as_bytes())?;
    let mut status = String::new();
    BufReader::new(stream).read_line(&mut status)?;
    Ok(status.split(' ').nth(1).is_some_and(|code| code.len() == 3 && code.starts_with('2')))
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::net::TcpListener;
    use std::path::Path;

    use super::*;

    fn logs(folder: &Path) -> ProbeContext {
        let (stdout, stderr) = (folder.join("stdout.log"), folder.join("stderr.log"));
        ProbeContext { stdout, stderr, ..ProbeContext::default() }
    }

    fn holds_now(probe: &ReadinessCheck, context: &ProbeContext) -> bool {
        holds(probe, context, Duration::from_secs(5), &Interrupt::none().unwrap())
    }

    #[test]
    fn a_port_is_ready_when_it_accepts_a_connection() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let probe = ReadinessCheck::Tcp("127.0.0.1".to_owned(), listener.local_addr().unwrap().port());
        let folder = tempfile::tempdir().unwrap();
        assert!(holds_now(&probe, &logs(folder.path())));
        drop(listener);
        assert!(!holds_now(&probe, &logs(folder.path())));
    }

    #[test]
    fn a_url_is_ready_when_it_is_answered_with_2xx() {
        let folder = tempfile::tempdir().unwrap();
        for (status, is_ready) in [("200 OK", true), ("204 No Content", true), ("500 Oops", false)] {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let url = format!("http://{}/health", listener.local_addr().unwrap());
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    let (mut stream, _) = listener.accept().unwrap();
                    let mut request = [0; 1024];
                    let count = stream.read(&mut request).unwrap();
                    assert!(request[..count].starts_with(b"GET /health HTTP/1.0\r\n"));
                    write!(stream, "HTTP/1.1 {status}\r\n\r\n").unwrap();
                });
                assert_eq!(holds_now(&ReadinessCheck::Http(url), &logs(folder.path())), is_ready, "{status}");
            });
        }
    }

    #[test]
    fn a_log_is_ready_when_a_whole_line_matches() {
        let folder = tempfile::tempdir().unwrap();
        let (logs, probe) = (logs(folder.path()), ReadinessCheck::Log("listening on [0-9]+".to_owned()));
        fs::write(&logs.stderr, "starting\nlistening on 80").unwrap();
        assert!(!holds_now(&probe, &logs), "the line may continue");
        fs::write(&logs.stderr, "starting\nlistening on 8080\n").unwrap();
        assert!(holds_now(&probe, &logs) && !holds_now(&ReadinessCheck::StdoutLine, &logs));
    }

    #[test]
    fn a_wait_ends_with_its_daemon_or_its_time() {
        let folder = tempfile::tempdir().unwrap();
        let readiness = Readiness {
            probe: ReadinessCheck::File(folder.path().join("ready")),
            timeout: Duration::from_millis(30),
            interval: Duration::from_millis(5),
            check_timeout: Duration::from_secs(1),
            stops_all: false,
        };
        let (end, writer) = Interrupt::on_drop().unwrap();
        let reason = wait(&readiness, &logs(folder.path()), &end).unwrap().unwrap_err();
        assert!(
            reason.starts_with("it was not ready within 0.03 s (") && reason.ends_with("does not exist)")
        );
        drop(writer);
        assert_eq!(wait(&readiness, &logs(folder.path()), &end), None);
    }
}
