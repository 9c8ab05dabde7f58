//! All hooks of an event: foreground ones one after the other, background ones beside them.

use std::cell::RefCell;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::clock;
use crate::fs::dir::make_private_dir;
use crate::fs::lock::FileLock;
use crate::hook::run::{Finished, Job, Ready, RunError, Runner};
use crate::model::process::{Process, ProcessExit};
use crate::plugin::discovery::Hook;
use crate::plugin::hook_name::Background;
use crate::process::handle::Handle;
use crate::process::run_dir::RunDir;
use crate::process::spawn::Child;
use crate::process::{poll, terminate, wait};
use crate::protocol::{Record, Records};
use crate::store::StoreError;

/// How often the background hooks are looked at while somebody waits for them.
const LOOK: Duration = Duration::from_millis(10);

/// So much of an output is read at once while its hook runs: nobody may write faster than it is read, and so keep rigup
/// from looking at the clock and at the size of the log.
const AT_ONCE: u64 = 4 << 20;

/// How long a waiter that was asked to end its hook may take: the hook's grace, and a little.
const WAITER_PATIENCE: Duration = Duration::from_secs(10);

/// An event and what its hooks are told.
#[derive(Debug)]
pub struct Event<'a> {
    /// The hooks and how long each may take, in the order in which they run.
    pub hooks: &'a [(&'a Hook, Duration)],
    /// What each of them is told, one argv item each.
    pub arguments: &'a [OsString],
    /// Each plugin's hooks work in a folder of its name below this one.
    pub output_dir: PathBuf,
    /// How long a background hook may take to print its first line.
    pub ready_timeout: Duration,
}

/// What happens to a hook.
#[derive(Debug)]
pub enum HookEvent<'a> {
    /// It printed a record.
    Record(Record),
    /// Something that a person should know and that changes nothing.
    Warning(String),
    /// It is over, and did what it should: its work, nothing where there was none, or end when the event was over.
    Well(&'a Process),
    /// It is over, and did not.
    Failed(&'a Process),
}

/// Runs all hooks of an event and tells what happens, as it happens. A hook that fails stops no other. When this
/// returns, also with an error, none of them runs any more.
pub fn run(
    runner: &Runner<'_>,
    event: &Event<'_>,
    tell: impl FnMut(&Hook, HookEvent<'_>),
) -> Result<(), RunError> {
    let mut run = EventRun { runner, event, tell, beside: Vec::new(), over: None };
    let worked = run.start_all().and_then(|()| run.await_finite());
    let stopped = run.stop_all();
    let stored = run.conclude(None);
    worked?;
    stopped?;
    Ok(stored?)
}

struct EventRun<'a, Tell> {
    runner: &'a Runner<'a>,
    event: &'a Event<'a>,
    tell: Tell,
    /// The background hooks that nobody saw the end of yet.
    beside: Vec<Beside<'a>>,
    /// The foreground hook that is over, to be told of once the next one runs, and to be stored together with the
    /// intent after that. Whoever finishes the story of a rigup that was killed before finds the ending in the run dir.
    over: Option<Over<'a>>,
}

/// A hook that is over.
struct Over<'a> {
    hook: &'a Hook,
    process: Process,
    run_dir: RunDir,
    output: Output,
    warnings: Vec<String>,
    was_stopped: bool,
}

/// A background hook.
struct Beside<'a> {
    hook: &'a Hook,
    process: Process,
    run_dir: RunDir,
    output: Output,
    waiter: Child,
    was_stopped: bool,
}

/// A hook that is recorded and not started yet.
struct Intent<'a> {
    hook: &'a Hook,
    ready: Ready,
    /// For a background hook: whoever finds its record must find its lock held.
    lock: Option<FileLock>,
}

impl<'a, Tell: FnMut(&Hook, HookEvent<'_>)> EventRun<'a, Tell> {
    fn start_all(&mut self) -> Result<(), RunError> {
        let mut hooks = self.event.hooks.iter();
        let mut next = self.intend(hooks.next())?;
        while let Some(Intent { hook, ready, lock }) = next {
            self.collect()?;
            if self.runner.interrupt.signal().is_some() {
                let process = ready.process.into_exited(ProcessExit::not_started(clock::now()));
                self.runner.store.save_process(&process)?;
                break;
            }
            next = match lock {
                None => self.run_foreground(hook, ready, hooks.next())?,
                Some(lock) => {
                    self.start_background(hook, ready, lock)?;
                    self.intend(hooks.next())?
                }
            };
        }
        Ok(self.conclude(None)?)
    }

    /// Makes the run dir of a hook and stores the intent to start it, together with the ending of the one before it.
    fn intend(&mut self, next: Option<&(&'a Hook, Duration)>) -> Result<Option<Intent<'a>>, RunError> {
        let Some(&(hook, timeout)) = next else {
            return Ok(self.conclude(None).map(|()| None)?);
        };
        let unwritable = |error| RunError::RunDir { hook: hook.name.file_name.clone(), error };
        let cwd = self.event.output_dir.join(hook.plugin.as_str());
        make_private_dir(&cwd).map_err(unwritable)?;
        let arguments = self.event.arguments.to_vec();
        let job = Job { hook, arguments, cwd, binary_id: None, input: None, timeout };
        let ready = self.runner.prepare(job, || ())?;
        let is_background = hook.name.background.is_some();
        let lock = match is_background.then(|| ready.run_dir.hold()).transpose() {
            Ok(lock) => lock,
            Err(error) => {
                let run_dir = ready.run_dir.clone();
                // Where there are no open files left, its logs are among those that took them.
                drop(ready);
                run_dir.discard();
                return Err(unwritable(error));
            }
        };
        self.conclude(Some(&ready.process))?;
        Ok(Some(Intent { hook, ready, lock }))
    }

    /// Tells of the hook that is over, and stores its ending and the intent to start another.
    fn conclude(&mut self, intent: Option<&Process>) -> Result<(), StoreError> {
        let ended = self.over.take().map(|over| self.tell_end(over));
        let both: Vec<&Process> = ended.iter().chain(intent).collect();
        if both.is_empty() { Ok(()) } else { self.runner.store.save_processes(&both) }
    }

    /// Runs a hook to its end, and gets the next one ready while it runs.
    fn run_foreground(
        &mut self,
        hook: &'a Hook,
        ready: Ready,
        next: Option<&(&'a Hook, Duration)>,
    ) -> Result<Option<Intent<'a>>, RunError> {
        let mut output = Output::default();
        let mut intent = Ok(None);
        let this = RefCell::new(&mut *self);
        let runner = this.borrow().runner;
        let finished = runner.run(
            ready,
            || intent = this.borrow_mut().intend(next),
            |run_dir| {
                let mut this = this.borrow_mut();
                output.read(run_dir, AT_ONCE, |record| (this.tell)(hook, HookEvent::Record(record)));
                this.read_all();
            },
        )?;
        let Finished { process, run_dir, warnings } = finished;
        self.over = Some(Over { hook, process, run_dir, output, warnings, was_stopped: false });
        intent
    }

    /// Starts a hook beside the others, and waits until it says its first line or is over.
    fn start_background(&mut self, hook: &'a Hook, ready: Ready, lock: FileLock) -> Result<(), RunError> {
        let process = ready.process.clone();
        let run_dir = ready.run_dir.clone();
        self.conclude(None)?;
        let waiter = match self.runner.launch(ready, lock) {
            Ok(waiter) => waiter,
            Err(error) => {
                let process = process.into_exited(ProcessExit::spawn_failed(error.to_string(), clock::now()));
                self.runner.store.save_process(&process)?;
                (self.tell)(hook, HookEvent::Failed(&process));
                return Ok(());
            }
        };
        let output = Output::default();
        self.beside.push(Beside { hook, process, run_dir, output, waiter, was_stopped: false });
        let deadline = Instant::now() + self.event.ready_timeout;
        loop {
            self.read_all();
            let Some(it) = self.beside.last() else { return Ok(()) };
            if it.output.has_line {
                return Ok(());
            }
            if Instant::now() >= deadline {
                let seconds = self.event.ready_timeout.as_secs_f64();
                let warning =
                    format!("it printed no line in {seconds} seconds; the next hook starts without it");
                (self.tell)(hook, HookEvent::Warning(warning));
                return Ok(());
            }
            let next = deadline.min(Instant::now() + LOOK);
            match poll::readable([it.waiter.fd(), self.runner.interrupt.fd()], next) {
                [true, _] => return self.collect(),
                [_, true] => return Ok(()),
                [false, false] => {}
            }
        }
    }

    /// Waits for the background hooks that end by themselves, each of which has a timeout of its own.
    fn await_finite(&mut self) -> Result<(), RunError> {
        loop {
            self.collect()?;
            let is_finite = |it: &&Beside<'_>| it.hook.name.background == Some(Background::Finite);
            let Some(next) = self.beside.iter().find(is_finite) else {
                return Ok(());
            };
            let [_, is_interrupted] =
                poll::readable([next.waiter.fd(), self.runner.interrupt.fd()], Instant::now() + 10 * LOOK);
            if is_interrupted {
                return Ok(());
            }
        }
    }

    /// Asks all that is left to end, and waits for it, whatever goes wrong meanwhile. Asked twice itself, it asks twice:
    /// no more patience.
    fn stop_all(&mut self) -> Result<(), RunError> {
        let mut failure = Ok(());
        for it in &mut self.beside {
            it.was_stopped = true;
            it.waiter.handle.signal(Signal::TERM);
        }
        let deadline = Instant::now() + WAITER_PATIENCE;
        let mut was_urgent = false;
        loop {
            failure = failure.and(self.collect());
            let Some(next) = self.beside.first() else {
                return failure;
            };
            let is_urgent = self.runner.interrupt.is_urgent();
            let is_overdue = Instant::now() >= deadline;
            for it in self.beside.iter().filter(|_| is_overdue || (is_urgent && !was_urgent)) {
                // Not TERM once more: of two equal signals the system may deliver one.
                it.waiter.handle.signal(if is_overdue { Signal::KILL } else { Signal::INT });
            }
            was_urgent = is_urgent;
            poll::readable([next.waiter.fd()], Instant::now() + LOOK);
        }
    }

    fn read_all(&mut self) {
        for it in &mut self.beside {
            it.output.read(&it.run_dir, AT_ONCE, |record| (self.tell)(it.hook, HookEvent::Record(record)));
        }
    }

    /// Reads what the background hooks printed, and takes out those that are over.
    fn collect(&mut self) -> Result<(), RunError> {
        self.read_all();
        while let Some(at) = self.beside.iter().position(|it| wait::is_over_by(&it.waiter, Instant::now())) {
            let Beside { hook, process, run_dir, output, waiter, was_stopped } = self.beside.remove(at);
            let _ = wait::reap(&waiter);
            let process = self.ending_of(process, &run_dir)?;
            let warnings = run_dir.read_warnings();
            self.tell_end(Over { hook, process, run_dir, output, warnings, was_stopped });
        }
        Ok(())
    }

    /// What the waiter wrote down; where it was killed before it could, its hook is ended here.
    fn ending_of(&self, process: Process, run_dir: &RunDir) -> Result<Process, RunError> {
        let store = self.runner.store;
        let process = store.process(process.id)?.unwrap_or(process);
        if process.exit().is_some() {
            return Ok(process);
        }
        let exit = run_dir.read_exit().unwrap_or_else(|| {
            match process.running().and_then(|it| Handle::open(&it.identity)) {
                Some(root) => {
                    terminate::end_tree(process.id, &root, terminate::GRACE, Some(self.runner.interrupt))
                }
                None => terminate::end_marked(process.id, None),
            };
            run_dir.with_logs(ProcessExit::lost(clock::now()))
        });
        let process = process.into_exited(exit);
        store.save_process(&process)?;
        Ok(process)
    }

    /// Tells all that is left to tell of a hook, and gives back its record.
    fn tell_end(&mut self, over: Over<'_>) -> Process {
        let Over { hook, process, run_dir, mut output, warnings, was_stopped } = over;
        // What it left behind may write on, and what is over the limit is nothing to wait for.
        let limit = self.runner.settings.output_limit;
        let bytes = process.exit().map_or(0, |it| it.stdout_bytes.min(limit));
        output.read(&run_dir, bytes, |record| (self.tell)(hook, HookEvent::Record(record)));
        let left = output.records.finish(|record| (self.tell)(hook, HookEvent::Record(record)));
        let diagnostics = left.diagnostics.into_iter().map(|it| format!("stdout {it}"));
        for warning in warnings.into_iter().chain(diagnostics) {
            (self.tell)(hook, HookEvent::Warning(warning));
        }
        let is_well = is_well(&process, was_stopped);
        (self.tell)(hook, if is_well { HookEvent::Well(&process) } else { HookEvent::Failed(&process) });
        process
    }
}

fn is_well(process: &Process, was_stopped: bool) -> bool {
    process.run_state() == "finished"
        || (was_stopped && process.exit().is_some_and(ProcessExit::is_clean_stop))
}

/// The standard output of a hook, read while it is written.
#[derive(Default)]
struct Output {
    file: Option<File>,
    records: Records,
    has_line: bool,
}

impl Output {
    /// Reads what is new, at most so many bytes. A log that cannot be read has nothing new.
    fn read(&mut self, run_dir: &RunDir, most: u64, mut take: impl FnMut(Record)) {
        if most == 0 {
            return;
        }
        if self.file.is_none() {
            self.file = File::open(run_dir.stdout()).ok();
        }
        let Some(file) = &mut self.file else { return };
        let mut file = file.take(most);
        let mut buffer = [0; 16 << 10];
        loop {
            match file.read(&mut buffer) {
                Ok(count @ 1..) => {
                    self.has_line |= buffer[..count].contains(&b'\n');
                    self.records.push(&buffer[..count], &mut take);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(0) | Err(_) => return,
            }
        }
    }
}
