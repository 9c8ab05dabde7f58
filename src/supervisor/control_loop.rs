//! The control loop of a supervisor: it starts and stops daemons as the policy says, and answers the clients. It may die at
//! any moment: each daemon has a waiter of its own, and the next supervisor takes all of them over.

mod checks;
mod clients;
mod manifest;
mod pending;

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::clock;
use crate::model::{Daemon, DaemonName, ExitReason, Process, ProcessId, Readiness, Wanted};
use crate::process::handle::Handle;
use crate::process::signals::Interrupt;
use crate::process::spawn::Child;
use crate::process::{poll, recover, wait};
use crate::report::tables;
use crate::report::text::printable;
use crate::settings::Settings;
use crate::store::{Store, StoreError};
use crate::supervisor::control::{Client, Server};
use crate::supervisor::control_loop::pending::PendingClient;
use crate::supervisor::execution::{self, Launcher};
use crate::supervisor::policy::{Action, DaemonPolicy, Exit, PolicyEvent};
use crate::supervisor::readiness;

/// The longest pause between two looks at everything.
const MAX_PAUSE: Duration = Duration::from_hours(1);

/// The interval at which a supervisor that stops all daemons looks for a second signal.
const SECOND_SIGNAL_INTERVAL: Duration = Duration::from_millis(100);

/// A notification about a daemon.
#[derive(Debug)]
pub(crate) enum DaemonEvent<'a> {
    /// Its status changed. The process is its current or last execution.
    Status(&'a Daemon, Option<&'a Process>),
    /// A problem that does not end the supervisor.
    Warning(String),
}

/// The result of the work of a thread.
enum ThreadReport {
    /// The daemon is ready, or was not in time.
    Readiness(DaemonName, ProcessId, Result<(), String>),
    /// A problem with the stop of a daemon.
    Warning(String),
}

/// An execution of a daemon.
struct Execution {
    process_id: ProcessId,
    watched: Watched,
    /// Ends its checks when it is dropped.
    checks: Option<io::PipeWriter>,
}

/// The process whose end means that a daemon has ended.
enum Watched {
    /// A waiter that this supervisor started.
    Waiter(Child),
    /// A waiter that an earlier supervisor started, or without one the daemon itself.
    Other(Handle),
}

impl Execution {
    fn fd(&self) -> BorrowedFd<'_> {
        match &self.watched {
            Watched::Waiter(waiter) => waiter.handle.fd(),
            Watched::Other(handle) => handle.fd(),
        }
    }
}

/// A supervisor.
pub(crate) struct ControlLoop<'a> {
    settings: &'a Settings,
    store: &'a Store,
    interrupt: &'a Interrupt,
    launcher: Launcher<'a>,
    policy: DaemonPolicy,
    daemons: BTreeMap<DaemonName, Daemon>,
    executions: BTreeMap<DaemonName, Execution>,
    server: Server,
    clients: Vec<Client>,
    pending: Vec<PendingClient>,
    /// The clients that stopped all daemons.
    clients_of_end: Vec<Client>,
    reports: (Sender<ThreadReport>, Receiver<ThreadReport>),
    /// The threads that run commands to check executions.
    checks: Vec<JoinHandle<()>>,
    /// A byte for each report.
    wake: (io::PipeReader, io::PipeWriter),
    start: Instant,
    /// What the policy has said, and is not done yet.
    actions: VecDeque<Action>,
    /// Whether the supervisor goes on if nothing is left that could run.
    is_lasting: bool,
    on_event: &'a mut dyn FnMut(DaemonEvent<'_>),
}

impl<'a> ControlLoop<'a> {
    /// Returns a supervisor with the daemons in the store. Those that run are taken over.
    pub(crate) fn new(
        settings: &'a Settings,
        store: &'a Store,
        command: &'a Process,
        interrupt: &'a Interrupt,
        server: Server,
        is_lasting: bool,
        on_event: &'a mut dyn FnMut(DaemonEvent<'_>),
    ) -> io::Result<Self> {
        let wake = io::pipe()?;
        Ok(Self {
            settings,
            store,
            interrupt,
            launcher: Launcher { settings, store, command },
            policy: DaemonPolicy::new(),
            daemons: BTreeMap::new(),
            executions: BTreeMap::new(),
            server,
            clients: Vec::new(),
            pending: Vec::new(),
            clients_of_end: Vec::new(),
            reports: mpsc::channel(),
            checks: Vec::new(),
            wake,
            start: Instant::now(),
            actions: VecDeque::new(),
            is_lasting,
            on_event,
        })
    }

    /// Runs until all daemons are down, or until none is left that could run. Returns whether a daemon has failed. Calls
    /// `tick` before each pause, which lasts at most as long as that returns.
    pub(crate) fn run(&mut self, mut tick: impl FnMut() -> Option<Duration>) -> bool {
        let mut has_killed = false;
        loop {
            if self.interrupt.signal().is_some() && !self.policy.is_ending() {
                self.handle(PolicyEvent::End);
            }
            if self.interrupt.is_urgent() && !has_killed {
                self.kill_all();
                has_killed = true;
            }
            let due = self.policy.tick(self.now());
            self.actions.extend(due);
            self.perform();
            self.answer_pending();
            if self.policy.is_over() && (!self.is_lasting || self.policy.is_ending()) {
                let _ = self.save();
                self.join_checks();
                self.answer_pending();
                return self.policy.has_failed();
            }
            let timer = self.policy.next_tick().map(|at| at.saturating_sub(self.now()));
            // The descriptor of the interrupt stays readable after the first signal.
            let second_signal =
                (self.interrupt.signal().is_some() && !has_killed).then_some(SECOND_SIGNAL_INTERVAL);
            let pause = tick().into_iter().chain(timer).chain(second_signal).min().unwrap_or(MAX_PAUSE);
            self.wait(pause);
            self.collect_reports();
            self.collect_exits();
            self.serve();
        }
    }

    fn now(&self) -> Duration {
        self.start.elapsed()
    }

    /// Waits until something happens.
    fn wait(&self, pause: Duration) {
        let mut fds: Vec<BorrowedFd<'_>> = vec![self.server.fd(), self.wake.0.as_fd()];
        if self.interrupt.signal().is_none() {
            fds.push(self.interrupt.fd());
        }
        fds.extend(self.executions.values().map(Execution::fd));
        fds.extend(self.clients.iter().map(Client::fd));
        fds.extend(self.pending.iter().map(|pending| pending.client.fd()));
        poll::any_readable(&fds, Instant::now() + pause);
    }

    /// Passes an event to the policy. What follows from it is done next.
    fn handle(&mut self, event: PolicyEvent<'_>) {
        let now = self.now();
        self.actions.extend(self.policy.handle(event, now));
    }

    /// Does what the policy says, until it says nothing more, and stores the result.
    fn perform(&mut self) {
        while let Some(action) = self.actions.pop_front() {
            match action {
                Action::Start(name) => self.start_daemon(&name),
                Action::Stop(name) => self.stop_daemon(&name, false),
            }
        }
        if let Err(error) = self.save() {
            (self.on_event)(DaemonEvent::Warning(format!("cannot store the daemons: {error}")));
        }
    }

    fn start_daemon(&mut self, name: &DaemonName) {
        let Some(daemon) = self.daemons.get_mut(name) else { return };
        let spec = daemon.spec.clone();
        let prepare = |ready: &Readiness| readiness::prepare(&ready.probe, spec.attributes.user.as_deref());
        let prepared = spec.ready.as_ref().map_or(Ok(()), prepare);
        match prepared.and_then(|()| self.launcher.start(&spec)) {
            Ok((process, waiter)) => {
                (daemon.process_id, daemon.ready_at) = (Some(process.id), None);
                let checks = self.start_checks(&spec, &process, false);
                let watched = Watched::Waiter(waiter);
                self.executions.insert(name.clone(), Execution { process_id: process.id, watched, checks });
                self.handle(PolicyEvent::Started(name));
            }
            Err(problem) => self.handle(PolicyEvent::CannotStart(name, problem)),
        }
    }

    /// Kills all executions at once.
    fn kill_all(&mut self) {
        let names: Vec<DaemonName> = self.executions.keys().cloned().collect();
        for name in names {
            self.stop_daemon(&name, true);
        }
    }

    /// Stops an execution in a thread, with its signal and its grace period, or kills it at once. Its exit is observed like any
    /// other.
    fn stop_daemon(&mut self, name: &DaemonName, is_urgent: bool) {
        let (Some(daemon), Some(execution)) = (self.daemons.get(name), self.executions.get_mut(name)) else {
            return;
        };
        execution.checks = None;
        let (mut spec, id, name) = (daemon.spec.clone(), execution.process_id, name.clone());
        if is_urgent {
            (spec.stop_signal, spec.stop_grace_period) = ("KILL".to_owned(), Duration::ZERO);
            (spec.stop_command, spec.is_signalled_alone) = (None, false);
        }
        let Settings { data_dir, lib_dir, rigup, .. } = self.settings;
        let (data_dir, lib_dir, rigup) = (data_dir.clone(), lib_dir.clone(), rigup.clone());
        self.spawn(move || {
            let warning = match execution::stop(&data_dir, &lib_dir, &rigup, id, &spec) {
                Ok(warning) => format!("{name}: {}", warning?),
                Err(problem) => format!("cannot stop {name}: {problem}"),
            };
            Some(ThreadReport::Warning(warning))
        });
    }

    /// Does work in a thread, and passes its report on.
    fn spawn(&mut self, work: impl FnOnce() -> Option<ThreadReport> + Send + 'static) {
        let sender = self.reports.0.clone();
        let Ok(mut wake) = self.wake.1.try_clone() else { return };
        let _ = std::thread::Builder::new().spawn(move || {
            if let Some(report) = work()
                && sender.send(report).is_ok()
            {
                let _ = wake.write_all(&[0]);
            }
        });
    }

    fn collect_reports(&mut self) {
        while let Ok(report) = self.reports.1.try_recv() {
            let _ = self.wake.0.read_exact(&mut [0]);
            match report {
                ThreadReport::Readiness(name, id, result) => {
                    if self.executions.get(&name).is_none_or(|execution| execution.process_id != id) {
                        continue;
                    }
                    match result {
                        Ok(()) => self.handle(PolicyEvent::Ready(&name)),
                        Err(problem) => {
                            self.refuse_readiness(&name, &problem);
                            self.handle(PolicyEvent::NotReady(&name, problem));
                        }
                    }
                }
                ThreadReport::Warning(text) => (self.on_event)(DaemonEvent::Warning(text)),
            }
        }
    }

    /// Passes the exits of executions to the policy.
    fn collect_exits(&mut self) {
        let has_exited = |execution: &Execution| poll::readable([execution.fd()], Instant::now()) == [true];
        let ended: Vec<DaemonName> = self
            .executions
            .iter()
            .filter(|(_, execution)| has_exited(execution))
            .map(|(name, _)| name.clone())
            .collect();
        for name in ended {
            let Some(mut execution) = self.executions.remove(&name) else { continue };
            if let Watched::Waiter(waiter) = &execution.watched {
                let _ = wait::reap(waiter);
            }
            match self.ended_process(execution.process_id) {
                // Its waiter was killed, and the daemon lives.
                Ok((_, Some(handle))) => {
                    execution.watched = Watched::Other(handle);
                    self.executions.insert(name, execution);
                }
                Ok((process, None)) => {
                    let exit = process.as_ref().map_or_else(Exit::lost, exit_of);
                    self.handle(PolicyEvent::Exited(&name, exit));
                }
                Err(error) => {
                    (self.on_event)(DaemonEvent::Warning(format!("cannot read the exit of {name}: {error}")));
                    self.handle(PolicyEvent::Exited(&name, Exit::lost()));
                }
            }
        }
    }

    /// Returns the record of a process whose waiter has exited, and a handle of the process if it runs without a waiter.
    fn ended_process(&self, id: ProcessId) -> Result<(Option<Process>, Option<Handle>), StoreError> {
        let Some(process) = self.store.process(id)? else { return Ok((None, None)) };
        if process.exit().is_some() {
            return Ok((Some(process), None));
        }
        let process = recover::recover_if_lost(self.store, &process)?.unwrap_or(process);
        let handle = Handle::open_running(&process).ok().flatten();
        Ok((Some(process), handle))
    }

    /// Stores the daemons whose state has changed, and reports those whose status has.
    fn save(&mut self) -> Result<(), StoreError> {
        let (clock_now, now) = (clock::now(), self.now());
        let mut changed = Vec::new();
        for (name, daemon) in &mut self.daemons {
            let Some(state) = self.policy.state(name) else { continue };
            let next_start_at = state.next_start.map(|at| clock_now + at.saturating_sub(now));
            let mut updated = Daemon {
                wanted: if state.is_wanted { Wanted::Started } else { Wanted::Stopped },
                status: state.status,
                restarts: state.restarts,
                next_start_at: daemon.next_start_at.filter(|_| next_start_at.is_some()).or(next_start_at),
                last_error: state.last_error.clone(),
                ..daemon.clone()
            };
            if state.is_ready && updated.ready_at.is_none() {
                updated.ready_at = Some(clock_now);
            }
            if updated != *daemon {
                let has_new_status = updated.status != daemon.status;
                *daemon = updated;
                changed.push((daemon.clone(), has_new_status));
            }
        }
        if changed.is_empty() {
            return Ok(());
        }
        let rows: Vec<Daemon> = changed.iter().map(|(daemon, _)| daemon.clone().masked()).collect();
        let saved = self.store.save_daemons(&rows);
        for (daemon, _) in changed.iter().filter(|(_, has_new_status)| *has_new_status) {
            let process = daemon.process_id.and_then(|id| self.store.process(id).ok().flatten());
            (self.on_event)(DaemonEvent::Status(daemon, process.as_ref()));
        }
        saved
    }
}

/// Returns the warning about a daemon that still runs, but is no longer declared.
pub(crate) fn orphan_warning(name: &str) -> String {
    let name = printable(name);
    format!("{name} is no longer declared, and still runs; stop it with --remove-orphans")
}

fn exit_of(process: &Process) -> Exit {
    let exit = process.exit();
    // Of a program that could not be started, this is the cause.
    let cause =
        exit.filter(|exit| exit.reason == ExitReason::SpawnFailed).map(|exit| exit.stderr_tail.clone());
    let text = cause.unwrap_or_else(|| tables::process_state(process).text);
    // The code after an excess of memory is that of KILL, which may count as a success otherwise.
    let counted = exit.filter(|exit| exit.reason != ExitReason::Memory);
    Exit { code: counted.and_then(|exit| exit.exit_code), text }
}
