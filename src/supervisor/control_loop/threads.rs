//! The threads of a supervisor: they do what must not hold up the control loop.

use std::collections::VecDeque;
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::model::{DaemonName, Process, ProcessId};
use crate::process::system::ResourceUsage;
use crate::process::waiter::LaunchError;

/// The pause after which the supervisor tries again to create a thread.
const PAUSE: Duration = Duration::from_secs(1);

/// The result of the work of a thread.
pub(super) enum ThreadReport {
    /// The daemon is ready, or was not in time.
    Readiness(DaemonName, ProcessId, Result<(), String>),
    /// The daemon could not be started.
    CannotStart(DaemonName, Box<Process>, LaunchError),
    /// The health of the daemon has changed.
    Health(DaemonName, ProcessId, Result<(), String>),
    /// A problem with the stop of a daemon, or with its old executions.
    Warning(String),
    /// The resources that the executions of daemons use.
    Usage(Vec<(DaemonName, ProcessId, ResourceUsage)>),
}

/// Passes the reports of a thread to the control loop.
#[derive(Clone)]
pub(super) struct ThreadReporter {
    sender: Sender<ThreadReport>,
    wake: Arc<PipeWriter>,
}

impl ThreadReporter {
    pub(super) fn send(&mut self, report: ThreadReport) {
        if self.sender.send(report).is_ok() {
            let _ = (&*self.wake).write_all(&[0]);
        }
    }

    pub(super) fn warn(&mut self, text: String) {
        self.send(ThreadReport::Warning(text));
    }
}

/// The work of a thread.
struct Work {
    run: Box<dyn FnOnce(&mut ThreadReporter) + Send>,
    /// Whether the supervisor waits for it before it ends.
    is_awaited: bool,
}

/// The threads of a supervisor.
pub(super) struct Threads {
    reporter: ThreadReporter,
    reports: Receiver<ThreadReport>,
    /// A byte for each report.
    wake: PipeReader,
    /// The threads that the supervisor waits for before it ends.
    awaited: Vec<JoinHandle<()>>,
    /// The work whose threads do not exist yet.
    waiting: VecDeque<Work>,
    /// When to try again, if a thread could not be created.
    retry_at: Option<Instant>,
}

impl Threads {
    pub(super) fn new() -> io::Result<Self> {
        let (sender, reports) = mpsc::channel();
        let (wake, writer) = io::pipe()?;
        let reporter = ThreadReporter { sender, wake: Arc::new(writer) };
        Ok(Self { reporter, reports, wake, awaited: Vec::new(), waiting: VecDeque::new(), retry_at: None })
    }

    /// Returns the descriptor that is readable when a thread has reported.
    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }

    /// Returns the next report, or `None` if there is none now.
    pub(super) fn next_report(&mut self) -> Option<ThreadReport> {
        let report = self.reports.try_recv().ok()?;
        let _ = self.wake.read_exact(&mut [0]);
        Some(report)
    }

    /// Adds work, which [`Self::start`] begins. The supervisor ends only after work that `is_awaited`.
    pub(super) fn add(&mut self, is_awaited: bool, work: impl FnOnce(&mut ThreadReporter) + Send + 'static) {
        self.waiting.push_back(Work { run: Box::new(work), is_awaited });
    }

    /// Creates the threads whose work waits, unless the next try is due later. Returns an error if the first try failed.
    pub(super) fn start(&mut self) -> io::Result<()> {
        let is_retry = self.retry_at.is_some();
        if self.next_try().is_some_and(|pause| !pause.is_zero()) {
            return Ok(());
        }
        self.retry_at = None;
        while let Some(work) = self.waiting.pop_front() {
            if let Err((work, error)) = self.start_one(work) {
                self.waiting.push_front(work);
                self.retry_at = Some(Instant::now() + PAUSE);
                return if is_retry { Ok(()) } else { Err(error) };
            }
        }
        Ok(())
    }

    /// Returns the time until threads are created that could not be created before, or `None` if there are none.
    pub(super) fn next_try(&self) -> Option<Duration> {
        self.retry_at.map(|at| at.saturating_duration_since(Instant::now()))
    }

    /// Creates a thread. If that fails, returns the work and the error.
    fn start_one(&mut self, work: Work) -> Result<(), (Work, io::Error)> {
        let mut reporter = self.reporter.clone();
        // A thread that cannot be created drops what it was given, so it gets its work later.
        let (sender, receiver) = mpsc::channel::<Work>();
        let created = std::thread::Builder::new().spawn(move || {
            if let Ok(work) = receiver.recv() {
                (work.run)(&mut reporter);
            }
        });
        let thread = match created {
            Ok(thread) => thread,
            Err(error) => return Err((work, error)),
        };
        if work.is_awaited {
            self.awaited.retain(|thread| !thread.is_finished());
            self.awaited.push(thread);
        }
        let _ = sender.send(work);
        Ok(())
    }

    /// Waits until the threads have ended, so that no command of a check is left, and each warning about a stop is printed.
    pub(super) fn join(&mut self) {
        for thread in self.awaited.drain(..) {
            let _ = thread.join();
        }
    }
}
