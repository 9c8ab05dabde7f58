//! One run of a hook as the engine does it, and all that can be seen of it.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use walkdir::WalkDir;

use crate::fs::dir::make_private_dir;
use crate::hook::run::{Finished, Job, RunError, Runner};
use crate::hook_test::cramped::{self, Cramped};
use crate::hook_test::observation::Observation;
use crate::hook_test::request::Request;
use crate::install::verify::Claim;
use crate::plugin::discovery::Hook;
use crate::plugin::hook_name::{BINARY_REQUEST, Background};
use crate::plugin::overrides::Overrides;
use crate::process::system::ProcessEntry;
use crate::process::terminate::{self, GRACE};
use crate::process::{subreaper, tree};
use crate::settings::Settings;
use crate::store::StoreError;

/// How long a daemon is left alone.
const DAEMON_TIME: Duration = Duration::from_secs(2);
/// What still lives so long after TERM is named: it will not end by itself before the grace is over.
const STUBBORN_AFTER: Duration = GRACE.saturating_sub(Duration::from_millis(500));
/// A hook, and where and how it is run.
#[derive(Debug)]
pub struct Stage<'a> {
    /// Runs it, in a data dir that is thrown away.
    pub runner: Runner<'a>,
    /// The hook.
    pub hook: &'a Hook,
    /// All that it may write into.
    pub folder: &'a Path,
    /// How long one run may take.
    pub timeout: Duration,
}

/// Why a hook could not be tested to the end.
#[derive(Debug, thiserror::Error)]
pub enum TrialError {
    /// rigup was asked to stop.
    #[error("interrupted")]
    Interrupted,
    /// Something cannot be read or written.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// It cannot be run.
    #[error(transparent)]
    Run(#[from] RunError),
    /// A run cannot be recorded.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Folders of one or more runs.
#[derive(Debug)]
pub struct Room {
    /// The folder of both, and of the canary.
    pub disk: PathBuf,
    settings: Settings,
}

impl Room {
    fn out(&self) -> PathBuf {
        self.disk.join(cramped::OUT)
    }
}

impl Stage<'_> {
    /// Whether the hook is a provider's.
    pub fn is_provider(&self) -> bool {
        self.hook.name.event == BINARY_REQUEST
    }

    /// Empty folders.
    pub fn room(&self, name: &str) -> Result<Room, TrialError> {
        let disk = self.folder.join(name);
        let lib_dir = disk.join(cramped::LIB);
        let room = Room {
            settings: Settings { lib_bin_dir: lib_dir.join("bin"), lib_dir, ..self.runner.settings.clone() },
            disk,
        };
        make_private_dir(&room.out())?;
        make_private_dir(&room.settings.lib_dir)?;
        Ok(room)
    }

    /// How long it may take: a daemon only long enough to show that it runs.
    pub fn timeout(&self) -> Duration {
        if self.is_daemon() { self.timeout.min(DAEMON_TIME) } else { self.timeout }
    }

    /// Whether the hook runs until it is told to end.
    pub fn is_daemon(&self) -> bool {
        self.hook.name.background == Some(Background::Daemon)
    }

    /// One run, with all the time that it may take.
    pub fn ask(&self, room: &Room, request: &Request) -> Result<Observation, TrialError> {
        self.run(room, request, &[], self.timeout(), None)
    }

    /// One run for several requests; what is seen of it is about the first.
    pub fn ask_together(
        &self,
        room: &Room,
        request: &Request,
        others: &[&Request],
    ) -> Result<Observation, TrialError> {
        self.run(room, request, others, self.timeout(), None)
    }

    /// One run, as the engine does it, and all that can be seen of it.
    pub fn run(
        &self,
        room: &Room,
        request: &Request,
        others: &[&Request],
        timeout: Duration,
        cramped: Option<Cramped>,
    ) -> Result<Observation, TrialError> {
        let before = installed(room);
        let is_batch = self.hook.name.is_batch;
        let runner = Runner { settings: &room.settings, ..self.runner };
        let job = Job {
            hook: self.hook,
            arguments: if is_batch { Vec::new() } else { request.arguments() },
            cwd: room.out(),
            binary_id: None,
            input: is_batch.then(|| request.lines(others)),
            timeout,
        };
        let mut ready = runner.prepare(job, || ())?;
        if let Some(cramped) = cramped {
            ready = ready.started_by(cramped.launcher(&room.disk));
        }
        let process_id = ready.process.id;
        runner.store.save_process(&ready.process)?;
        let (over, is_over) = mpsc::channel::<()>();
        let begin = Instant::now();
        let (finished, took, stubborn) = std::thread::scope(|scope| {
            let look = move || match is_over.recv_timeout(timeout + STUBBORN_AFTER) {
                Err(RecvTimeoutError::Timeout) => named(&tree::marked(process_id)),
                Err(RecvTimeoutError::Disconnected) | Ok(()) => Vec::new(),
            };
            let witness = std::thread::Builder::new().spawn_scoped(scope, look)?;
            let finished = runner.run(ready, || (), |_| ())?;
            let took = begin.elapsed();
            drop(over);
            Ok::<_, TrialError>((finished, took, witness.join().unwrap_or_default()))
        })?;
        runner.store.save_process(&finished.process)?;
        let left = clear_up(&finished);
        if runner.interrupt.signal().is_some() {
            return Err(TrialError::Interrupted);
        }
        let exit = finished.process.exit().ok_or_else(|| io::Error::other("a run has no exit"))?;
        let link = room.settings.lib_bin_dir.join(request.value("name").unwrap_or_default());
        let overrides = Overrides::parse(&request.overrides()).unwrap_or_default();
        let overrides = overrides.of(&self.hook.plugin);
        let abspath = overrides.abspath(room.settings.home.as_deref());
        let provider = self.hook.provider();
        let claim = self.is_provider().then(|| Claim {
            name: request.value("name").unwrap_or_default(),
            min_version: request.value("min-version").unwrap_or_default(),
            provider: &provider,
            link: &link,
            abspath: abspath.as_deref(),
            version: overrides.version(),
            locked: None,
            is_measured: false,
        });
        let seen = Observation::of(process_id, exit, &finished.run_dir, claim, (took, timeout))?;
        let mut installed = installed(room);
        installed.retain(|it| !before.contains(it));
        Ok(Observation { is_daemon: self.is_daemon(), left, stubborn, installed, ..seen })
    }

    /// Every file of the canary's name: shell text is run in whatever folder the hook is in, be it its own.
    pub fn canaries(&self, canary: &str) -> Vec<PathBuf> {
        let below = WalkDir::new(self.folder).into_iter().filter_map(Result::ok);
        let below = below.filter(|it| it.file_name() == OsStr::new(canary)).map(walkdir::DirEntry::into_path);
        let beside = self.hook.path.with_file_name(canary);
        below.chain(beside.exists().then_some(beside)).collect()
    }
}

/// Ends what a run left, wherever it went, and names it.
fn clear_up(finished: &Finished) -> Vec<String> {
    let mut left = finished.warnings.clone();
    if subreaper::are_none() {
        return left;
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
        let tree = tree::tree(finished.process.id, root);
        let strays = named(&[tree.in_group, tree.strays].concat());
        let is_known = |it: &String| left.iter().any(|known| known.contains(it));
        let unknown: Vec<String> = strays.into_iter().filter(|it| !is_known(it)).collect();
        left.extend(unknown.into_iter().map(|it| format!("it started a process that goes on: {it}")));
        left.extend(
            named(&terminate::end_left(finished.process.id, root))
                .into_iter()
                .map(|it| format!("it cannot be ended: {it}")),
        );
    }
    subreaper::are_none();
    left
}

fn named(entries: &[ProcessEntry]) -> Vec<String> {
    entries.iter().map(|it| tree::command_line(it.pid)).collect()
}

/// What is in LIB_DIR, locks left out: to take one installs nothing.
fn installed(room: &Room) -> Vec<PathBuf> {
    let below = WalkDir::new(&room.settings.lib_dir).min_depth(1).into_iter();
    let entries = below.filter_entry(|it| it.file_name() != OsStr::new(".locks")).filter_map(Result::ok);
    entries.map(walkdir::DirEntry::into_path).collect()
}
