//! One execution of one hook, from the intent to the ending.

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::Value;
use uuid::Uuid;

use crate::clock;
use crate::hook::command;
use crate::plugin::folder::{Hook, Start};
use crate::process::run_dir::RunDir;
use crate::process::signals::Interrupt;
use crate::process::spawn::{self, Child, Spawn};
use crate::process::wait::{Cause, Reaped};
use crate::process::{identity, stop, table, wait};
use crate::record::process::{Ending, ExitReason, Order, Process, ProcessType};
use crate::settings::Settings;
use crate::store::{Store, StoreError};

/// The longest timeout: 12 hours.
pub const MAX_TIMEOUT: Duration = Duration::from_hours(12);

/// What all hooks of one rigup share.
#[derive(Debug)]
pub struct Runner<'a> {
    /// Folders and the caller's environment.
    pub settings: &'a Settings,
    /// Where the process is recorded before it is started.
    pub store: &'a Store,
    /// The machine it runs on.
    pub machine_id: Uuid,
    /// The network interface it runs with.
    pub iface_id: Option<Uuid>,
    /// The process of this rigup.
    pub parent_id: Uuid,
    /// Whether rigup was asked to stop.
    pub interrupt: &'a Interrupt,
}

/// One hook to run.
#[derive(Debug)]
pub struct Job<'a> {
    /// The hook.
    pub hook: &'a Hook,
    /// The fields of the request.
    pub fields: &'a [(&'a str, Value)],
    /// The hook's own folder.
    pub cwd: PathBuf,
    /// The binary it is about.
    pub binary_id: Option<Uuid>,
    /// How long it may take.
    pub timeout: Duration,
}

/// A hook that is over.
#[derive(Debug)]
pub struct Finished {
    /// Its record, with its ending, which the caller stores together with what it means.
    pub process: Process,
    /// Its logs.
    pub run_dir: RunDir,
    /// What it left behind, and what could not be ended.
    pub warnings: Vec<String>,
}

/// Why a hook could not be run at all. A hook that fails is not an error but an ending.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The run dir cannot be made or written.
    #[error("the run dir of {hook} cannot be written: {error}; is there room, and may you write there?")]
    RunDir {
        /// The hook's file name.
        hook: String,
        /// What went wrong, with the path.
        error: io::Error,
    },
    /// The record cannot be stored.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Runner<'_> {
    /// Runs a hook to its end. `tick` is called ten times a second meanwhile.
    pub fn run(&self, job: &Job<'_>, tick: impl FnMut(&RunDir)) -> Result<Finished, RunError> {
        let hook_name = &job.hook.name.file_name;
        let process_id = clock::new_id();
        let environment = command::environment(self.settings, self.machine_id, process_id);
        let (program, args) = command_of(job);
        let run_dir = job.cwd.join(".hooks").join(hook_name).join(process_id.to_string());
        let order = Order {
            process_type: ProcessType::Hook,
            plugin: job.hook.plugin.clone(),
            hook_name: hook_name.clone(),
            cmd: spawn::spelled(&program, &args),
            pwd: job.cwd.clone(),
            env: environment.added.clone(),
            timeout: Some(job.timeout),
            run_dir: Some(run_dir.clone()),
        };
        let mut process = Process::queued(process_id, self.machine_id, order, clock::now());
        process.parent_id = Some(self.parent_id);
        process.binary_id = job.binary_id;
        process.iface_id = self.iface_id;

        let unwritable = |error| RunError::RunDir { hook: hook_name.clone(), error };
        let run_dir =
            RunDir::create(run_dir, &job.cwd, &program, &args, &environment.added).map_err(unwritable)?;
        let (stdout, stderr) = run_dir.open_logs().map_err(unwritable)?;
        self.store.save_process(&process)?;

        let watched =
            stdout.try_clone().and_then(|stdout| Ok([stdout, stderr.try_clone()?])).map_err(unwritable)?;
        let spawn = Spawn { program, args, env: environment.whole, cwd: job.cwd.clone(), stdout, stderr };
        let child = match spawn.start() {
            Ok(child) => child,
            Err(error) => {
                let process = process.ended(Ending::spawn_failed(error.to_string(), clock::now()));
                return Ok(Finished { process, run_dir, warnings: Vec::new() });
            }
        };
        let process = process.started(identity::from_entry(&child.entry), child.started_at);
        let noted = self.note_start(&process, &run_dir, &child);
        let (ending, warnings) = match noted {
            Ok(()) => self.see_out(process_id, child, job.timeout, &watched, &run_dir, tick),
            Err(error) => {
                // What cannot be recorded may not run.
                stop::end_tree(process_id, child.entry, Duration::ZERO, None);
                reap_if_over(child);
                return Err(error);
            }
        };
        run_dir.write_exit(&ending).map_err(unwritable)?;
        Ok(Finished { process: process.ended(ending), run_dir, warnings })
    }

    fn note_start(&self, process: &Process, run_dir: &RunDir, child: &Child) -> Result<(), RunError> {
        run_dir
            .write_pid(&identity::from_entry(&child.entry))
            .map_err(|error| RunError::RunDir { hook: process.order.hook_name.clone(), error })?;
        Ok(self.store.save_process(process)?)
    }

    /// Waits for the hook, ends it where it has to be ended, and ends what it left in its group.
    fn see_out(
        &self,
        process_id: Uuid,
        child: Child,
        timeout: Duration,
        output: &[std::fs::File; 2],
        run_dir: &RunDir,
        mut tick: impl FnMut(&RunDir),
    ) -> (Ending, Vec<String>) {
        let deadline = Instant::now() + timeout;
        let [stdout, stderr] = output;
        let cause = wait::wait(&child, Some(deadline), &[stdout, stderr], self.interrupt, || {
            tick(run_dir);
        });
        let mut warnings = Vec::new();
        if cause == Cause::Ended {
            let left = table::tree(process_id, child.entry);
            for member in &left.in_group {
                warnings.push(format!(
                    "it left a process behind, which was ended: {}",
                    table::command_line(member.pid)
                ));
            }
            for stray in &left.strays {
                warnings
                    .push(format!("it started a process that goes on: {}", table::command_line(stray.pid)));
            }
            if !left.in_group.is_empty() {
                warnings.extend(survivors(&stop::end_group(process_id, child.entry)));
            }
        } else {
            warnings.extend(survivors(&stop::end_tree(
                process_id,
                child.entry,
                stop::GRACE,
                Some(self.interrupt),
            )));
        }
        (ending(cause, child, run_dir), warnings)
    }
}

fn survivors(left: &[table::Entry]) -> Vec<String> {
    left.iter().map(|it| format!("a process could not be ended: {}", table::command_line(it.pid))).collect()
}

/// A child that survived KILL hangs in the kernel; waiting for it would hang rigup too.
fn reap_if_over(child: Child) -> Option<Reaped> {
    wait::is_over_by(&child, Instant::now()).then(|| wait::reap(child).ok()).flatten()
}

fn ending(cause: Cause, child: Child, run_dir: &RunDir) -> Ending {
    let ended_at = clock::now();
    let reaped = reap_if_over(child);
    let signal = reaped.and_then(|it| it.signal);
    let reason = match cause {
        Cause::Timeout => ExitReason::Timeout,
        Cause::Interrupted | Cause::TooMuchOutput => ExitReason::Stopped,
        Cause::Ended if reaped.is_none() => ExitReason::Lost,
        Cause::Ended if signal.is_some() => ExitReason::Signalled,
        Cause::Ended => ExitReason::Exited,
    };
    let mut ending = run_dir.with_logs(Ending {
        exit_code: reaped.map(|it| it.exit_code),
        signal,
        reason,
        usage: reaped.map(|it| it.usage),
        ..Ending::lost(ended_at)
    });
    if cause == Cause::TooMuchOutput {
        ending.stderr_tail = format!("it wrote more than {} MiB and was ended\n", wait::OUTPUT_CAP >> 20);
    }
    ending
}

fn command_of(job: &Job<'_>) -> (OsString, Vec<OsString>) {
    let arguments = command::arguments(job.fields);
    let script = job.hook.path.clone().into_os_string();
    match job.hook.start {
        Start::Itself => (script, arguments),
        Start::By(interpreter) => (interpreter.into(), std::iter::once(script).chain(arguments).collect()),
    }
}
