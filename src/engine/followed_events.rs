//! The events that records start: each is a `rigup run` of its own, so that it has a process, an exit code and a place in
//! the tree of processes, and can be killed alone.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::engine::error::EngineError;
use crate::engine::event_request::{EventRequest, Follow};
use crate::engine::follow_queue::{self, FollowQueue, FollowedEvent};
use crate::engine::run_event::{EndedEvent, FollowEvent};
use crate::engine::session::Session;
use crate::hook::background::DaemonFailures;
use crate::hook::command;
use crate::model::{Process, ProcessExit, ProcessId};
use crate::process::log::Logs;
use crate::process::signals::Interrupt;
use crate::process::spawn::{Child, CommandSpec};
use crate::process::{poll, recover, wait};
use crate::protocol::{Record, RecordReader};
use crate::settings::Followed;
use crate::store::ProcessFilter;

/// The interval at which the output of the events is read.
const TICK: Duration = Duration::from_millis(20);

/// The pause after which an interrupt is passed on again, so that it counts as a second one.
const NEXT_SIGNAL: Duration = Duration::from_millis(700);

/// An event that runs.
struct RunningEvent {
    event: FollowedEvent,
    child: Child,
    logs: Logs,
    /// The position in its standard output.
    offset: u64,
    records: RecordReader,
    /// The records that may start further events, once this one has ended.
    followed: Vec<Record>,
    signalled_at: Option<Instant>,
}

/// The events that records started, and those that wait for their turn.
pub(super) struct FollowedEvents<'a> {
    session: &'a Session<'a>,
    request: &'a EventRequest,
    interrupt: &'a Interrupt,
    /// The command that runs them.
    command: ProcessId,
    /// The folder that contains their output dirs.
    output_dir: &'a Path,
    jobs: usize,
    /// Those that wait.
    pub queue: FollowQueue<'a>,
    running: Vec<RunningEvent>,
    /// The number of events that were not started or did not succeed.
    pub failed: usize,
}

impl<'a> FollowedEvents<'a> {
    /// Returns the events of a command, none of which runs.
    pub(super) fn new(
        session: &'a Session<'_>,
        request: &'a EventRequest,
        interrupt: &'a Interrupt,
        command: ProcessId,
        output_dir: &'a Path,
    ) -> Result<Self, EngineError> {
        let cores = || std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Ok(Self {
            session,
            request,
            interrupt,
            command,
            output_dir,
            jobs: request.follow.jobs.unwrap_or_else(cores),
            queue: FollowQueue::new(&request.follow, &request.names()?, &request.arguments),
            running: Vec::new(),
            failed: 0,
        })
    }

    /// Starts the next events, and reads what those that run print. Waits for a moment, and returns whether an event runs.
    pub(super) fn advance(
        &mut self,
        failures: &DaemonFailures,
        on_event: &mut dyn FnMut(FollowEvent<'_>),
    ) -> bool {
        if self.interrupt.signal().is_some() || failures.vital.is_some() {
            self.drop_waiting(failures.vital.as_deref(), on_event);
        }
        while self.running.len() < self.jobs
            && let Some(event) = self.queue.next()
        {
            self.start(event, &failures.plugins, on_event);
        }
        if self.interrupt.signal().is_some() {
            self.terminate();
        }
        let Some(first) = self.running.first() else { return false };
        poll::readable([first.child.handle.fd()], Instant::now() + TICK);
        self.collect(on_event);
        true
    }

    /// Terminates the events that still run, because of an error, and returns how many records started none because they
    /// were too deep, and how many because they came too late.
    pub(super) fn finish(&mut self, on_event: &mut dyn FnMut(FollowEvent<'_>)) -> (u64, u64) {
        let too_late = self.queue.clear() as u64;
        while !self.running.is_empty() {
            self.terminate();
            poll::pause(Instant::now() + TICK);
            self.collect(on_event);
        }
        (self.queue.too_deep(), too_late)
    }

    /// Drops the events that wait, because a daemon that they need is gone or rigup was interrupted.
    fn drop_waiting(&mut self, failure: Option<&str>, on_event: &mut dyn FnMut(FollowEvent<'_>)) {
        let count = self.queue.clear();
        self.failed += count;
        if let (Some(failure), 1..) = (failure, count) {
            let noun = if count == 1 { "event was" } else { "events were" };
            on_event(FollowEvent::NotStarted(format!("{count} {noun} not started: {failure}")));
        }
    }

    fn start(
        &mut self,
        event: FollowedEvent,
        failed_daemons: &BTreeMap<String, String>,
        on_event: &mut dyn FnMut(FollowEvent<'_>),
    ) {
        let start = || -> Result<_, String> {
            let cannot = |error: io::Error| format!("cannot create its log: {error}");
            let logs = Logs::temporary(&self.session.settings.data_dir).map_err(cannot)?;
            let child =
                self.command_of(&event, failed_daemons).start(None, logs.stdout.file(), logs.stderr.file());
            Ok((child.map_err(|error| error.to_string())?, logs))
        };
        match start() {
            Ok((child, logs)) => self.running.push(RunningEvent {
                event,
                child,
                logs,
                offset: 0,
                records: RecordReader::default(),
                followed: Vec::new(),
                signalled_at: None,
            }),
            Err(problem) => {
                self.failed += 1;
                let FollowedEvent { name, value, .. } = event;
                let ended = EndedEvent { name, value, process: None, problem: Some(problem) };
                on_event(FollowEvent::Ended(&ended));
            }
        }
    }

    /// Returns the `rigup run` of an event, with the options of this command.
    fn command_of(&self, event: &FollowedEvent, failed_daemons: &BTreeMap<String, String>) -> CommandSpec {
        let request = self.request;
        let seconds = |duration: Duration| duration.as_secs_f64().to_string().into();
        let mut args: Vec<OsString> = vec!["run".into(), "--quiet".into()];
        if !request.plugins.is_empty() {
            args.extend(["--plugins".into(), request.plugins.join(",").into()]);
        }
        for (option, time) in [("--timeout", request.timeout), ("--ready-timeout", request.ready_timeout)] {
            args.extend(time.into_iter().flat_map(|time| [option.into(), seconds(time)]));
        }
        if request.applies_records {
            args.push("--apply".into());
        }
        args.push((&event.name).into());
        args.extend(event.arguments.iter().cloned());
        let settings = &self.session.settings;
        // As in a shell, a command can run in a folder that was removed.
        let cwd = std::env::current_dir().unwrap_or_else(|_error| ".".into());
        let followed = Followed {
            by: self.command,
            output_dir: Some(self.output_dir_of(event)),
            failed_daemons: failed_daemons.clone(),
        };
        let env = command::environment_of_event(settings, event.parent, followed, self.output_dir);
        CommandSpec { program: settings.rigup.clone().into(), args, env, cwd }
    }

    fn output_dir_of(&self, event: &FollowedEvent) -> PathBuf {
        self.output_dir.join(&event.name).join(&event.id)
    }

    /// Terminates the events, each of which terminates its hooks. While an interrupt is urgent, signals them again and
    /// again.
    fn terminate(&mut self) {
        let is_urgent = self.interrupt.is_urgent();
        for event in &mut self.running {
            let is_due = event.signalled_at.is_none_or(|at| is_urgent && at.elapsed() >= NEXT_SIGNAL);
            if is_due {
                event.child.handle.signal(Signal::TERM);
                // A stopped process handles it only after it is continued.
                event.child.handle.signal(Signal::CONT);
                event.signalled_at = Some(Instant::now());
            }
        }
    }

    /// Reads what the events have printed, and ends those that have exited.
    fn collect(&mut self, on_event: &mut dyn FnMut(FollowEvent<'_>)) {
        let mut index = 0;
        while index < self.running.len() {
            // The exit is checked first, so that everything that was printed before is read.
            let has_exited = wait::has_exited_by(&self.running[index].child, Instant::now());
            self.running[index].read(&self.request.follow, on_event);
            if has_exited {
                let event = self.running.remove(index);
                self.end(event, on_event);
            } else {
                index += 1;
            }
        }
    }

    /// Reports the end of an event, and queues the events that its records start.
    fn end(&mut self, ended: RunningEvent, on_event: &mut dyn FnMut(FollowEvent<'_>)) {
        let RunningEvent { event, child, logs, records, mut followed, .. } = ended;
        let exit = wait::reap(&child);
        let rest = records.finish(|record| pass_on(record, &self.request.follow, &mut followed, on_event));
        let mut stderr = Vec::new();
        let _ = logs.stderr.read_from(0, self.session.settings.output_limit).read_to_end(&mut stderr);
        let stderr = String::from_utf8_lossy(&stderr);
        let warnings = rest.into_warnings().map(|warning| format!("warning: {warning}"));
        for line in stderr.lines().map(str::to_owned).chain(warnings) {
            on_event(FollowEvent::Message(&event.value, line));
        }
        let problem = match &exit {
            Ok(ProcessExit { signal: Some(signal), .. }) if self.interrupt.signal().is_none() => {
                // Its hooks are terminated, and its record is completed.
                let recovered = recover::recover_lost(&self.session.store, self.session.machine.id);
                let error = recovered.err().map(|error| format!(": {error}")).unwrap_or_default();
                Some(format!("it was killed by signal {signal}{error}"))
            }
            Ok(ProcessExit { exit_code: Some(code @ 2..), signal: None, .. }) => {
                Some(format!("it exited with {code}"))
            }
            Ok(_) => None,
            Err(error) => Some(format!("cannot observe its exit: {error}")),
        };
        self.failed += usize::from(!exit.is_ok_and(|exit| exit.exit_code == Some(0)));
        let process = self.process_of(&child);
        let parent = process.as_ref().map_or(self.command, |process| process.id);
        for record in followed {
            self.queue.add(&record.kind, &record.fields, event.depth, parent);
        }
        let FollowedEvent { name, value, .. } = event;
        on_event(FollowEvent::Ended(&EndedEvent { name, value, process, problem }));
    }

    /// Returns the record that the event made of itself, or `None` if it ended before.
    fn process_of(&self, child: &Child) -> Option<Process> {
        let (identity, machine_id) = (child.handle.entry.identity(), Some(self.session.machine.id));
        let filter = ProcessFilter { pid: Some(identity.pid), machine_id, ..ProcessFilter::default() };
        let is_its =
            |process: &Process| process.running().is_some_and(|running| running.identity == identity);
        self.session.store.processes(&filter).ok()?.into_iter().find(is_its)
    }
}

impl RunningEvent {
    /// Reads new records.
    fn read(&mut self, follow: &Follow, on_event: &mut dyn FnMut(FollowEvent<'_>)) {
        let mut reader = self.logs.stdout.read_from(self.offset, u64::MAX);
        let mut buffer = [0; 16 << 10];
        while let Ok(length @ 1..) = reader.read(&mut buffer) {
            self.records.push(&buffer[..length], |record| {
                pass_on(record, follow, &mut self.followed, on_event);
            });
        }
        self.offset = reader.offset;
    }
}

/// Passes a record on, and keeps it if it may start a further event.
fn pass_on(
    mut record: Record,
    follow: &Follow,
    followed: &mut Vec<Record>,
    on_event: &mut dyn FnMut(FollowEvent<'_>),
) {
    if follow.follows(&record.kind) {
        follow_queue::add_id(&mut record.fields);
        followed.push(record.clone());
    }
    on_event(FollowEvent::Record(record.fields));
}
