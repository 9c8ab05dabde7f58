//! Runs a hook as the engine does, in every way that the contract covers, and checks each run.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Mutex, OnceLock, RwLock};
use std::time::{Duration, Instant};

use uuid::Uuid;
use walkdir::{DirEntry, WalkDir};

use crate::clock;
use crate::hook::run::{HookJob, RECORD_AFTER, RunError, Runner};
use crate::hook_test::check::{Check, CheckOutcome, CheckResult, Location};
use crate::hook_test::checks;
use crate::hook_test::expected_record::ExpectedRecord;
use crate::hook_test::request::TestRequest;
use crate::hook_test::run::HookRun;
use crate::hook_test::sandbox::{DiskFault, Sandbox};
use crate::install::verify::Expected;
use crate::model::{BinaryName, ExitReason, VersionRange};
use crate::plugin::discovery::Hook;
use crate::plugin::hook_name::{self, BINARY_REQUEST, BINARY_VERSIONS, Background};
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

/// A hook, the folder that it runs in, and its request.
#[derive(Debug)]
pub(crate) struct Suite<'a> {
    /// Runs the hook, in a temporary data dir.
    pub runner: Runner<'a>,
    /// The hook.
    pub hook: &'a Hook,
    /// The folder that holds all sandboxes.
    pub folder: &'a Path,
    /// The timeout of one run.
    pub timeout: Duration,
    /// A request that the hook can satisfy.
    pub good: TestRequest,
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

impl Suite<'_> {
    /// Runs these checks, and reports each result as soon as it is known. A hook that cannot be started is not run
    /// again, and one that does not exit by itself only for the TERM check: other runs would show nothing new.
    pub(crate) fn run(
        &self,
        checks: &[Check],
        mut report: impl FnMut(Check, CheckResult),
    ) -> Result<(), TestError> {
        if checks.contains(&Check::Name) {
            report(Check::Name, checks::name(&self.hook.path));
        }
        let sandbox = self.sandbox("good")?;
        let good = self.run_once(&sandbox, &self.good)?;
        let started = good.check(|good| checks::starts(good, &self.hook.path));
        let is_endless = good.exit_reason == ExitReason::Timeout && !self.is_daemon();
        let is_provider = self.is_provider();
        let first = if is_provider { Check::Answer } else { Check::UnknownArguments };
        let absent = self.good.named(&absent_name());
        let mut runs = vec![good.clone()];
        let mut second = None;
        // The check of stdout looks at the runs of other checks, too.
        let has_stdout = is_provider && checks.contains(&Check::Stdout);
        let needs_run = |check: &Check| has_stdout && matches!(check, Check::Absent | Check::NotAsked);
        let is_needed = |check: &Check| checks.contains(check) || needs_run(check);
        for check in Check::ALL.into_iter().skip(1).filter(is_needed) {
            let result = match check {
                Check::Name | Check::Starts => started.clone(),
                _ if started.is_broken() => CheckResult::skipped("it cannot be started"),
                Check::Term => self.term(&good)?,
                _ if is_endless && check == first => good.check(|good| checks::answer(good, false)),
                _ if is_endless => CheckResult::skipped("it does not exit on its own"),
                Check::Answer => good.check(|good| checks::answer(good, self.good.is_guess)),
                Check::Absent => {
                    runs.push(self.run_once(&self.sandbox("absent")?, &absent)?);
                    runs[runs.len() - 1].check(checks::absent)
                }
                Check::NotAsked => {
                    runs.push(self.run_once(&self.sandbox("not-asked")?, &self.good.for_other_provider())?);
                    runs[runs.len() - 1].check(checks::not_asked)
                }
                Check::Batch => {
                    let run = self.run_with(&sandbox, &self.good, &[&absent], self.timeout(), None)?;
                    run.check(|run| checks::batch(&good, run))
                }
                Check::UnknownArguments => self.unknown_arguments(&sandbox, &good)?,
                Check::Hostile => self.hostile(&good)?,
                Check::Huge => {
                    let run = self.run_once(&sandbox, &self.good.huge(is_provider))?;
                    run.check(|run| checks::huge(&good, run))
                }
                Check::Stdout => {
                    second = is_provider.then(|| self.run_once(&sandbox, &self.good)).transpose()?;
                    checks::stdout(runs.iter().chain(&second))
                }
                Check::Repeat => {
                    let second = second.take().map_or_else(|| self.run_once(&sandbox, &self.good), Ok)?;
                    second.check(|second| checks::repeat(&good, second))
                }
                Check::Leftovers => {
                    let words = ["setsid", "nohup", "daemon", "detached", "start_new_session", " &"];
                    good.check(|good| checks::leftovers(good, self.suspicious_line(&words)))
                }
                Check::ReadOnly => self.on_disk(&good, DiskFault::ReadOnly)?,
                Check::Full => self.on_disk(&good, DiskFault::Full)?,
            };
            let needs_answer = is_provider && check.needs_answer();
            let result = if needs_answer { checks::only_if_answered(result, &good) } else { result };
            if checks.contains(&check) {
                report(check, result);
            }
        }
        Ok(())
    }

    fn unknown_arguments(&self, sandbox: &Sandbox, good: &HookRun) -> Result<CheckResult, TestError> {
        let run = self.run_once(sandbox, &self.good.with_unknown())?;
        let result = checks::unchanged(good, &run, "with --rigup-unknown=... and --rigup-unknown-flag");
        // The record of a batch request has no key twice.
        if result.is_broken() || !self.is_provider() || self.hook.name.is_batch {
            return Ok(result.of_run(run.process_id));
        }
        let run = self.run_once(sandbox, &self.good.with_repeated_name(&absent_name()))?;
        Ok(checks::unchanged(good, &run, "with another --name before its own").of_run(run.process_id))
    }

    fn hostile(&self, good: &HookRun) -> Result<CheckResult, TestError> {
        let provider = self.is_provider().then_some(self.hook.plugin.as_str());
        let sandbox = self.sandbox("hostile")?;
        // The name is short, because the length of names is limited, and unique, because the file may appear in the
        // hook's own folder.
        let canary = format!("k{:08x}", clock::new_id().as_u64_pair().1 & 0xffff_ffff);
        for hostile in self.good.hostile(provider, &sandbox.disk.join(&canary)) {
            let mut run = self.run_once(&sandbox, &hostile.request)?;
            run.canaries = self.canaries(&canary);
            let outside = run.canaries.iter().filter(|canary| !canary.starts_with(self.folder));
            for canary in outside {
                fs_err::remove_file(canary)?;
            }
            let line =
                self.suspicious_line(&["eval", "sh -c", "shell=True", "os.system", "execSync(", "exec("]);
            let result = checks::hostile(good, &run, &hostile.what, hostile.is_absent, line);
            if result.is_broken() {
                return Ok(result.of_run(run.process_id));
            }
        }
        Ok(CheckResult::held())
    }

    /// Terminates the hook halfway. A run that finishes earlier is repeated with a shorter timeout, down to the
    /// shortest run that the engine records. A success is repeated once, because a busy machine may delay the signal.
    fn term(&self, good: &HookRun) -> Result<CheckResult, TestError> {
        let line = self.suspicious_line(&["trap", "SIGTERM", "SIG_IGN", "setsid", "nohup", "detached", " &"]);
        let mut timeout = (good.duration.min(self.timeout) / 2).max(RECORD_AFTER);
        let (mut attempt, mut successes) = (0, 0);
        loop {
            attempt += 1;
            let sandbox = self.sandbox(&format!("term-{attempt}"))?;
            let run = self.run_with(&sandbox, &self.good, &[], timeout, None)?;
            let result = checks::term(good, &run, line.clone()).of_run(run.process_id);
            let is_success = result.is_broken() && run.exit_code == Some(0);
            successes += u32::from(is_success);
            let is_known = result.outcome != CheckOutcome::Skipped && (!is_success || successes > 1);
            if is_known || timeout == RECORD_AFTER {
                return Ok(result);
            }
            timeout = (timeout / 2).max(RECORD_AFTER);
        }
    }

    fn on_disk(&self, good: &HookRun, fault: DiskFault) -> Result<CheckResult, TestError> {
        let sandbox = self.sandbox(fault.as_str())?;
        let run = self.run_with(&sandbox, &self.good, &[], self.timeout(), Some(fault))?;
        // The script creates this file just before it starts the hook. It is missing if the system does not allow such
        // mounts.
        if !sandbox.disk.join("set-up").exists() {
            // The first line has the cause; `mount` prints more after it.
            let log = fs_err::read(run.stderr_location.path)?;
            let log = String::from_utf8_lossy(&log);
            let cause = log.lines().find(|line| !line.trim().is_empty()).unwrap_or(&run.last_stderr);
            return Ok(CheckResult::skipped(format!("this system does not allow such a mount: {cause}")));
        }
        Ok(checks::disk_fault(good, &run).of_run(run.process_id))
    }

    fn suspicious_line(&self, words: &[&str]) -> Location {
        let text = fs_err::read(&self.hook.path).unwrap_or_default();
        checks::suspicious_line(&self.hook.path, &String::from_utf8_lossy(&text), words)
    }

    /// Whether the hook is that of a provider.
    pub(crate) fn is_provider(&self) -> bool {
        hook_name::is_of_provider(&self.hook.name.event)
    }

    /// Returns a sandbox of this name with empty folders.
    fn sandbox(&self, name: &str) -> Result<Sandbox, TestError> {
        Ok(Sandbox::create(self.folder.join(name), self.runner.settings)?)
    }

    /// Returns the timeout of a run: for a daemon, just long enough to show that it runs.
    fn timeout(&self) -> Duration {
        if self.is_daemon() { self.timeout.min(DAEMON_TIME) } else { self.timeout }
    }

    /// Whether the hook runs until it is terminated.
    fn is_daemon(&self) -> bool {
        self.hook.name.background == Some(Background::Daemon)
    }

    /// Runs the hook once for one request.
    fn run_once(&self, sandbox: &Sandbox, request: &TestRequest) -> Result<HookRun, TestError> {
        self.run_with(sandbox, request, &[], self.timeout(), None)
    }

    /// Runs the hook once, with all options. A batch hook gets the `others`, too; the result is about the first request.
    fn run_with(
        &self,
        sandbox: &Sandbox,
        request: &TestRequest,
        others: &[&TestRequest],
        timeout: Duration,
        fault: Option<DiskFault>,
    ) -> Result<HookRun, TestError> {
        let before = sandbox.installed();
        let is_batch = self.hook.name.is_batch;
        let runner = Runner {
            settings: &sandbox.settings,
            environments: Mutex::default(),
            temporary: OnceLock::new(),
            variables: RwLock::new(self.runner.variables()),
            ..self.runner
        };
        let cwd = sandbox.cwd();
        let job = HookJob {
            hook: self.hook,
            arguments: if is_batch { Vec::new() } else { request.arguments.clone() },
            output_dir: cwd.parent().filter(|_| !self.is_provider()),
            cwd: cwd.clone(),
            binary_id: None,
            input: is_batch.then(|| request.lines(others)),
            timeout,
        };
        let overrides = Overrides::parse(&request.overrides()).unwrap_or_default();
        let overrides = overrides.of(&self.hook.plugin);
        let lib_dir = &sandbox.settings.lib_dir;
        let name = request.value("name").unwrap_or_default();
        if let Ok(name) = BinaryName::parse(name, None)
            && let Ok(prefix) = overrides.prefix(&self.hook.plugin, &name, lib_dir)
            && self.is_provider()
        {
            let _ = prefix.create_evidence(lib_dir);
        }
        let mut ready = runner.prepare(job, || ())?;
        if let Some(fault) = fault {
            ready = ready.started_by(fault.launcher(&sandbox.disk));
        }
        let process_id = ready.process.id;
        runner.store.save_process(&ready.process)?;
        let (run_ended, on_run_end) = mpsc::channel::<()>();
        let start = Instant::now();
        let (finished, duration, slow_to_exit) = std::thread::scope(|scope| {
            let list_slow = move || match on_run_end.recv_timeout(timeout + SLOW_AFTER) {
                Err(RecvTimeoutError::Timeout) => {
                    command_lines(&tree::find_by_id(process_id).unwrap_or_default())
                }
                Err(RecvTimeoutError::Disconnected) | Ok(()) => Vec::new(),
            };
            let observer = std::thread::Builder::new().spawn_scoped(scope, list_slow)?;
            let mut finished = runner.run(ready, &mut |_| ())?;
            finished.write_exit();
            let duration = start.elapsed();
            drop(run_ended);
            Ok::<_, TestError>((finished, duration, observer.join().unwrap_or_default()))
        })?;
        runner.store.save_process(&finished.process)?;
        let leftovers = terminate_leftovers(&finished);
        if runner.interrupt.signal().is_some() {
            return Err(TestError::Interrupted);
        }
        let link = sandbox.settings.lib_bin_dir.join(name);
        let abspath = overrides.abspath(sandbox.settings.home.as_deref());
        let provider = self.hook.provider();
        let version = |key: &str| request.value(key).unwrap_or_default();
        let versions = VersionRange { min: version("min-version"), max: version("max-version") };
        let expected = match self.hook.name.event.as_str() {
            BINARY_REQUEST => Some(ExpectedRecord::Binary(Expected {
                abspath: abspath.as_deref(),
                version: overrides.version.as_deref(),
                lib_dir: Some(lib_dir),
                ..Expected::new(name, versions, &provider, &link)
            })),
            BINARY_VERSIONS => Some(ExpectedRecord::Versions(name)),
            _ => None,
        };
        let observed = HookRun::of(&finished, expected, (duration, timeout))?;
        let mut installed = sandbox.installed();
        installed.retain(|path| !before.contains(path));
        Ok(HookRun { is_daemon: self.is_daemon(), leftovers, slow_to_exit, installed, ..observed })
    }

    /// Returns every file with the name of the canary, which a shell creates in its current folder.
    fn canaries(&self, canary: &str) -> Vec<PathBuf> {
        let entries = WalkDir::new(self.folder).into_iter().filter_map(Result::ok);
        let below = entries.filter(|entry| entry.file_name() == OsStr::new(canary)).map(DirEntry::into_path);
        let next_to_hook = self.hook.path.with_file_name(canary);
        below.chain(next_to_hook.exists().then_some(next_to_hook)).collect()
    }
}

/// Returns a name that no provider has.
fn absent_name() -> String {
    format!("rigup-absent-{}", Uuid::simple(clock::new_id()))
}

/// Terminates the processes that outlived a run, even those outside its process group, and returns a description of
/// each.
fn terminate_leftovers(finished: &FinishedProcess) -> Vec<String> {
    let mut leftovers = finished.process.warnings.texts().to_vec();
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
            is_stopped: false,
        };
        let find = || tree::find(finished.process.id, root).all();
        for process in command_lines(&find()) {
            if !leftovers.iter().any(|known| known.contains(&process)) {
                leftovers.push(format!("a process outlives it: {process}"));
            }
        }
        let survivors = command_lines(&terminate::terminate_leftovers(None, find));
        leftovers.extend(survivors.iter().map(|process| format!("cannot terminate {process}")));
    }
    subreaper::has_no_children();
    leftovers
}

fn command_lines(entries: &[ProcessEntry]) -> Vec<String> {
    entries.iter().map(|entry| tree::command_line(entry.pid)).collect()
}
