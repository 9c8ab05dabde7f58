//! The hooks of daemons while they run. Each event is a `rigup run` of its own, so that no hook holds up the control loop. It
//! ends with the supervisor, even if that is killed, and terminates its hooks when it is terminated.

use std::collections::{BTreeMap, VecDeque};
use std::ffi::OsString;
use std::fs::File;
use std::io::{Read, Seek, Write};
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::hook::command;
use crate::model::{DaemonHooks, DaemonName, LifecycleEvent, ProcessExit, ProcessId};
use crate::process::log::Logs;
use crate::process::spawn::{Child, CommandSpec};
use crate::process::{terminate, wait};
use crate::settings::Settings;

/// The pause after which TERM is sent again, so that it counts as a second one and the hooks are killed.
const NEXT_SIGNAL: Duration = Duration::from_millis(700);

/// How long after TERM a `rigup run`, whose hooks have a grace period of their own, is killed.
const KILL_AFTER: Duration = terminate::GRACE.saturating_add(Duration::from_secs(5));

/// An event of a daemon that hooks serve.
#[derive(Debug)]
pub(super) struct HookEventRequest {
    pub kind: LifecycleEvent,
    pub hooks: DaemonHooks,
    /// The arguments of the hooks.
    pub arguments: Vec<OsString>,
    /// Their standard input, if they get any.
    pub input: Option<Vec<u8>>,
}

/// The `rigup run` of an event.
#[derive(Debug)]
struct EventProcess {
    kind: LifecycleEvent,
    child: Child,
    logs: Logs,
    /// When it was first and last told to terminate.
    terminated_at: Option<(Instant, Instant)>,
}

/// An event whose hooks have exited.
#[derive(Debug)]
pub(super) struct ServedEvent {
    pub daemon: DaemonName,
    pub kind: LifecycleEvent,
    /// Why its hooks did not succeed, if they did not.
    pub problem: Option<String>,
    /// What its `rigup run` printed besides.
    pub messages: Vec<String>,
}

/// The events of all daemons. Those of one daemon reach its hooks one after another.
#[derive(Debug, Default)]
pub(super) struct EventQueue {
    running: BTreeMap<DaemonName, EventProcess>,
    waiting: BTreeMap<DaemonName, VecDeque<HookEventRequest>>,
}

impl EventQueue {
    pub(super) fn add(&mut self, daemon: &DaemonName, event: HookEventRequest) {
        self.waiting.entry(daemon.clone()).or_default().push_back(event);
    }

    /// Whether no hook runs or waits.
    pub(super) fn is_empty(&self) -> bool {
        self.running.is_empty() && self.waiting.is_empty()
    }

    /// Whether an event of this kind of a daemon is not served yet.
    pub(super) fn contains(&self, daemon: &DaemonName, kind: LifecycleEvent) -> bool {
        let mut waiting = self.waiting.get(daemon).into_iter().flatten();
        self.running.get(daemon).is_some_and(|event| event.kind == kind)
            || waiting.any(|event| event.kind == kind)
    }

    /// Returns the descriptors that are readable once an event is served.
    pub(super) fn fds(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.running.values().map(|event| event.child.handle.fd())
    }

    /// Starts the hooks of the next event of each daemon whose earlier events are served. Returns the events that cannot be
    /// served.
    pub(super) fn start(&mut self, settings: &Settings, supervisor: ProcessId) -> Vec<ServedEvent> {
        let mut failed = Vec::new();
        for (daemon, events) in &mut self.waiting {
            while !self.running.contains_key(daemon)
                && let Some(event) = events.pop_front()
            {
                match EventProcess::start(&event, settings, supervisor) {
                    Ok(process) => {
                        self.running.insert(daemon.clone(), process);
                    }
                    Err(problem) => failed.push(ServedEvent {
                        daemon: daemon.clone(),
                        kind: event.kind,
                        problem: Some(problem),
                        messages: Vec::new(),
                    }),
                }
            }
        }
        self.waiting.retain(|_, events| !events.is_empty());
        failed
    }

    /// Returns the events whose hooks have exited.
    pub(super) fn collect(&mut self) -> Vec<ServedEvent> {
        let has_exited =
            |_: &DaemonName, event: &mut EventProcess| wait::has_exited_by(&event.child, Instant::now());
        let exited = self.running.extract_if(.., has_exited);
        exited.map(|(daemon, event)| event.finish(daemon)).collect()
    }

    /// Drops the events of this kind of a daemon that wait, and terminates the hooks of one that is being served. Returns
    /// whether none is being served.
    pub(super) fn cancel(&mut self, daemon: &DaemonName, kind: LifecycleEvent) -> bool {
        if let Some(events) = self.waiting.get_mut(daemon) {
            events.retain(|event| event.kind != kind);
        }
        self.waiting.retain(|_, events| !events.is_empty());
        let running = self.running.get_mut(daemon).filter(|event| event.kind == kind);
        running.map(|event| event.terminate(false)).is_none()
    }

    /// Drops all events that wait, and terminates the hooks of the others; if that `is_urgent`, without a grace period.
    /// Returns when to call this again.
    pub(super) fn terminate(&mut self, is_urgent: bool) -> Duration {
        self.waiting.clear();
        self.running.values_mut().for_each(|event| event.terminate(is_urgent));
        NEXT_SIGNAL
    }
}

impl EventProcess {
    fn start(event: &HookEventRequest, settings: &Settings, supervisor: ProcessId) -> Result<Self, String> {
        let HookEventRequest { kind, hooks, arguments, input } = event;
        let names = hooks.names.get(kind).map(|names| names.join(",")).unwrap_or_default();
        let mut args: Vec<OsString> = vec!["run".into(), "--quiet".into(), format!("--hooks={names}").into()];
        args.extend(input.as_ref().map(|_| "--stdin".into()));
        args.push(kind.as_str().into());
        args.extend(arguments.iter().cloned());
        let env = command::environment_of_daemon_event(settings, supervisor, hooks);
        let command =
            CommandSpec { program: settings.rigup.clone().into(), args, env, cwd: hooks.folder.clone() };
        let open = || -> std::io::Result<_> {
            let input = input.as_deref().map(|input| input_file(input, settings)).transpose()?;
            Ok((input, Logs::temporary(&settings.data_dir)?))
        };
        let (input, logs) = open().map_err(|error| format!("cannot create a temporary file: {error}"))?;
        let child = command.start(input.as_ref(), logs.stdout.file(), logs.stderr.file());
        let child = child.map_err(|error| error.to_string())?;
        Ok(Self { kind: *kind, child, logs, terminated_at: None })
    }

    /// Tells it to terminate its hooks, kills it if that takes too long, and if it `is_urgent` makes it kill the hooks.
    fn terminate(&mut self, is_urgent: bool) {
        let handle = &self.child.handle;
        let signal = match self.terminated_at {
            None => Signal::TERM,
            Some((first, _)) if first.elapsed() >= KILL_AFTER => Signal::KILL,
            Some((_, last)) if is_urgent && last.elapsed() >= NEXT_SIGNAL => Signal::TERM,
            Some(_) => return,
        };
        handle.signal(signal);
        // A stopped process handles it only after it is continued.
        handle.signal(Signal::CONT);
        let now = Instant::now();
        self.terminated_at = Some((self.terminated_at.map_or(now, |(first, _)| first), now));
    }

    /// Reaps it, and reads what it has printed.
    fn finish(self, daemon: DaemonName) -> ServedEvent {
        let exit = wait::reap(&self.child);
        let mut printed = String::new();
        let _ = self.logs.stderr.read_from(0, u64::MAX).read_to_string(&mut printed);
        let mut messages: Vec<String> = printed.lines().map(str::to_owned).collect();
        let mut error = || {
            let at = messages.iter().rposition(|line| line.starts_with("error: "))?;
            Some(messages.remove(at)["error: ".len()..].to_owned())
        };
        let problem = match exit {
            Ok(ProcessExit { exit_code: Some(0), .. }) => None,
            Ok(ProcessExit { exit_code: Some(code), .. }) => {
                Some(error().unwrap_or_else(|| format!("exit {code}")))
            }
            Ok(ProcessExit { signal, .. }) => {
                Some(format!("killed by signal {}", signal.unwrap_or_default()))
            }
            Err(error) => Some(format!("cannot observe the exit: {error}")),
        };
        ServedEvent { daemon, kind: self.kind, problem, messages }
    }
}

/// Returns a file with the standard input of hooks.
fn input_file(input: &[u8], settings: &Settings) -> std::io::Result<File> {
    let mut file = tempfile::tempfile_in(&settings.data_dir)?;
    file.write_all(input)?;
    file.rewind()?;
    Ok(file)
}
