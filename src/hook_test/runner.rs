//! Runs a hook as the engine does, and observes the run.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use walkdir::{DirEntry, WalkDir};

use crate::hook::run::{HookJob, RunError, Runner};
use crate::hook_test::request::TestRequest;
use crate::hook_test::run::HookRun;
use crate::hook_test::sandbox::{DiskFault, Sandbox};
use crate::install::verify::Expected;
use crate::plugin::discovery::Hook;
use crate::plugin::hook_name::{BINARY_REQUEST, Background};
use crate::plugin::overrides::Overrides;
use crate::process::supervise::FinishedProcess;
use crate::process::system::ProcessEntry;
use crate::process::terminate::{self, GRACE};
use crate::process::{subreaper, tree};
use crate::store::StoreError;

/// The time that a daemon runs before it is terminated.
const DAEMON_TIME: Duration = Duration::from_secs(2);

/// The time after TERM at which the processes that are still alive are listed, just before the grace period ends.
const SLOW_AFTER: Duration = GRACE.saturating_sub(Duration::from_millis(500));

/// A hook, and where it runs.
#[derive(Debug)]
pub(crate) struct HookRunner<'a> {
    /// Runs the hook, in a temporary data dir.
    pub runner: Runner<'a>,
    /// The hook.
    pub hook: &'a Hook,
    /// The folder that holds all sandboxes.
    pub folder: &'a Path,
    /// The timeout of one run.
    pub timeout: Duration,
}

/// An error that ends the test.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TestError {
    /// rigup received a signal.
    #[error("interrupted")]
    Interrupted,
    /// A file cannot be read or written.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The hook cannot be run.
    #[error(transparent)]
    Run(#[from] RunError),
    /// A run cannot be recorded.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl HookRunner<'_> {
    /// Whether the hook is that of a provider.
    pub(crate) fn is_provider(&self) -> bool {
        self.hook.name.event == BINARY_REQUEST
    }

    /// Returns a sandbox of this name with empty folders.
    pub(crate) fn sandbox(&self, name: &str) -> Result<Sandbox, TestError> {
        Ok(Sandbox::create(self.folder.join(name), self.runner.settings)?)
    }

    /// Returns the timeout of a run: for a daemon, just long enough to show that it runs.
    pub(crate) fn timeout(&self) -> Duration {
        if self.is_daemon() { self.timeout.min(DAEMON_TIME) } else { self.timeout }
    }

    /// Whether the hook runs until it is terminated.
    pub(crate) fn is_daemon(&self) -> bool {
        self.hook.name.background == Some(Background::Daemon)
    }

    /// Runs the hook once for one request.
    pub(crate) fn run(&self, sandbox: &Sandbox, request: &TestRequest) -> Result<HookRun, TestError> {
        self.run_with(sandbox, request, &[], self.timeout(), None)
    }

    /// Runs the hook once, with all options. A batch hook gets the `others`, too; the result is about the first request.
    pub(crate) fn run_with(
        &self,
        sandbox: &Sandbox,
        request: &TestRequest,
        others: &[&TestRequest],
        timeout: Duration,
        fault: Option<DiskFault>,
    ) -> Result<HookRun, TestError> {
        let before = sandbox.installed();
        let is_batch = self.hook.name.is_batch;
        let runner = Runner { settings: &sandbox.settings, ..self.runner };
        let job = HookJob {
            hook: self.hook,
            arguments: if is_batch { Vec::new() } else { request.arguments.clone() },
            cwd: sandbox.cwd(),
            binary_id: None,
            input: is_batch.then(|| request.lines(others)),
            timeout,
        };
        let mut ready = runner.prepare(job, || ())?;
        if let Some(fault) = fault {
            ready = ready.started_by(fault.launcher(&sandbox.disk));
        }
        let process_id = ready.process.id;
        runner.store.save_process(&ready.process)?;
        let (over, is_over) = mpsc::channel::<()>();
        let begin = Instant::now();
        let (finished, duration, slow_to_exit) = std::thread::scope(|scope| {
            let look = move || match is_over.recv_timeout(timeout + SLOW_AFTER) {
                Err(RecvTimeoutError::Timeout) => named(&tree::marked(process_id)),
                Err(RecvTimeoutError::Disconnected) | Ok(()) => Vec::new(),
            };
            let witness = std::thread::Builder::new().spawn_scoped(scope, look)?;
            let finished = runner.run(ready, || (), |_| ())?;
            let duration = begin.elapsed();
            drop(over);
            Ok::<_, TestError>((finished, duration, witness.join().unwrap_or_default()))
        })?;
        runner.store.save_process(&finished.process)?;
        let leftovers = terminate_leftovers(&finished);
        if runner.interrupt.signal().is_some() {
            return Err(TestError::Interrupted);
        }
        let exit = finished.process.exit().ok_or_else(|| io::Error::other("a run has no exit"))?;
        let name = request.value("name").unwrap_or_default();
        let link = sandbox.settings.lib_bin_dir.join(name);
        let overrides = Overrides::parse(&request.overrides()).unwrap_or_default();
        let overrides = overrides.of(&self.hook.plugin);
        let abspath = overrides.abspath(sandbox.settings.home.as_deref());
        let provider = self.hook.provider();
        let min_version = request.value("min-version").unwrap_or_default();
        let expected = self.is_provider().then(|| Expected {
            abspath: abspath.as_deref(),
            version: overrides.version.as_deref(),
            ..Expected::new(name, min_version, &provider, &link)
        });
        let observed = HookRun::of(process_id, exit, &finished.run_dir, expected, (duration, timeout))?;
        let mut installed = sandbox.installed();
        installed.retain(|path| !before.contains(path));
        Ok(HookRun { is_daemon: self.is_daemon(), leftovers, slow_to_exit, installed, ..observed })
    }

    /// Returns every file with the name of the canary, which a shell creates in its current folder.
    pub(crate) fn canaries(&self, canary: &str) -> Vec<PathBuf> {
        let entries = WalkDir::new(self.folder).into_iter().filter_map(Result::ok);
        let below = entries.filter(|entry| entry.file_name() == OsStr::new(canary)).map(DirEntry::into_path);
        let beside = self.hook.path.with_file_name(canary);
        below.chain(beside.exists().then_some(beside)).collect()
    }
}

/// Terminates the processes that outlived a run, wherever they went, and returns their names.
fn terminate_leftovers(finished: &FinishedProcess) -> Vec<String> {
    let mut leftovers = finished.warnings.clone();
    if subreaper::has_no_children() {
        return leftovers;
    }
    if let Some(running) = finished.process.running() {
        let pid = running.identity.pid;
        let root = ProcessEntry {
            pid,
            ppid: std::process::id(),
            pgid: pid,
            start_ticks: running.identity.start_ticks,
            is_zombie: true,
        };
        let tree = tree::find(finished.process.id, root);
        let strays = named(&[tree.in_group, tree.strays].concat());
        for stray in strays {
            if !leftovers.iter().any(|known| known.contains(&stray)) {
                leftovers.push(format!("a process outlives it: {stray}"));
            }
        }
        let survivors = named(&terminate::terminate_leftovers(finished.process.id, root));
        leftovers.extend(survivors.iter().map(|process| format!("cannot terminate {process}")));
    }
    subreaper::has_no_children();
    leftovers
}

fn named(entries: &[ProcessEntry]) -> Vec<String> {
    entries.iter().map(|entry| tree::command_line(entry.pid)).collect()
}
