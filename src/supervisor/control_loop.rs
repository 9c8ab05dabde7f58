//! The control loop of a supervisor: it starts and stops daemons as the policy says, and answers the clients. It may die at
//! any moment: each daemon has a waiter of its own, and the next supervisor takes all of them over.

mod checks;
mod clients;
mod connected_client;
mod event_queue;
mod events;
mod hooks;
mod manifest;
mod orphans;
mod samples;
mod starts;
mod startup;
mod stats;
mod stops;
mod stored_state;
mod takeover;
mod threads;
mod updates;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::convert::Infallible;
use std::io;
use std::os::fd::BorrowedFd;
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use nix::poll::PollFlags;

use crate::clock;
use crate::model::{
    Daemon, DaemonName, DaemonStatus, ExitReason, Health, Identity, LifecycleEvent, Process, ProcessId,
};
use crate::process::handle::Handle;
use crate::process::signals::{ChildExits, Interrupt};
use crate::process::spawn::Child;
use crate::process::{poll, recover, subreaper, wait};
use crate::report::tables;
use crate::runs::start::StartingRun;
use crate::settings::Settings;
use crate::sorting::{collect_sorted, sort_by_key};
use crate::store::{Store, StoreError};
use crate::supervisor::control::Server;
use crate::supervisor::control_loop::connected_client::ConnectedClient;
use crate::supervisor::control_loop::event_queue::EventQueue;
use crate::supervisor::control_loop::samples::Samples;
use crate::supervisor::control_loop::stored_state::{UnsavedDaemons, is_current, updated};
use crate::supervisor::control_loop::threads::{ThreadReport, Threads};
use crate::supervisor::execution::Launcher;
use crate::supervisor::policy::{Action, DaemonPolicy, Exit, PolicyEvent};

/// The longest pause between two looks at everything.
const MAX_PAUSE: Duration = Duration::from_hours(1);

/// The interval at which a supervisor that stops all daemons looks for a second signal.
const SECOND_SIGNAL_INTERVAL: Duration = Duration::from_millis(100);

/// The time of the policy at the start of a supervisor, which leaves room for restarts that earlier ones observed.
const START: Duration = crate::duration::DAY;

/// How long hooks may still run once all daemons were stopped for good.
const HOOK_PATIENCE: Duration = Duration::from_secs(10);

/// A notification about a daemon.
#[derive(Debug)]
pub(crate) enum DaemonEvent<'a> {
    /// Its status changed. The process is its current or last execution.
    Status(&'a Daemon, Option<&'a Process>),
    /// A problem that does not end the supervisor.
    Warning(String),
    /// Something else that may be unexpected.
    Note(String),
}

/// An execution of a daemon.
struct Execution {
    process_id: ProcessId,
    /// Its process, or `None` before that runs.
    identity: Option<Identity>,
    watched: Watched,
    /// End its checks when they are dropped.
    checks: Vec<io::PipeWriter>,
    /// End the attempts to stop it when they are dropped.
    stops: Vec<Sender<Infallible>>,
}

/// The process whose end means that a daemon has ended.
enum Watched {
    /// A waiter that has not reported yet. With a stop, which may be urgent, the daemon is stopped as soon as it runs.
    Starting(Box<StartingRun>, Option<bool>),
    /// A waiter that this supervisor started.
    Waiter(Child),
    /// A waiter that an earlier supervisor started, or without one the daemon itself.
    Other(Handle),
}

impl Execution {
    fn new(process_id: ProcessId, watched: Watched) -> Self {
        Self { process_id, identity: None, watched, checks: Vec::new(), stops: Vec::new() }
    }

    fn fd(&self) -> BorrowedFd<'_> {
        match &self.watched {
            Watched::Starting(run, _) => run.waiter.fd(),
            Watched::Waiter(waiter) => waiter.handle.fd(),
            Watched::Other(handle) => handle.fd(),
        }
    }

    /// Whether its waiter should have reported.
    fn is_overdue(&self) -> bool {
        matches!(&self.watched, Watched::Starting(run, _) if run.waiter.deadline <= Instant::now())
    }
}

/// A supervisor.
pub(crate) struct ControlLoop<'a> {
    settings: &'a Settings,
    store: &'a Store,
    interrupt: &'a Interrupt,
    /// Wakes the loop to reap the orphans of killed waiters. The first process of a container gets all others, too.
    child_exits: ChildExits,
    launcher: Launcher<'a>,
    policy: DaemonPolicy,
    daemons: BTreeMap<DaemonName, Daemon>,
    /// The daemons that are no longer declared.
    orphans: BTreeSet<DaemonName>,
    executions: BTreeMap<DaemonName, Execution>,
    server: Server,
    clients: Vec<ConnectedClient>,
    samples: Samples,
    threads: Threads,
    start: Instant,
    /// What the policy has said, and is not done yet.
    actions: VecDeque<Action>,
    /// The daemons to start as soon as enough others have started.
    starts: VecDeque<DaemonName>,
    unsaved: UnsavedDaemons,
    /// The status and the health of each daemon that were reported last.
    reported: BTreeMap<DaemonName, (DaemonStatus, Health)>,
    hooks: EventQueue,
    /// When all daemons were down, and only hooks were left.
    down_since: Option<Instant>,
    /// How long hooks may still run after that.
    hook_patience: Duration,
    /// The problems with the stop of all daemons, for the clients that wait for that.
    stop_warnings: Vec<String>,
    /// Whether all daemons are down, and no hook runs any more.
    is_over: bool,
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
        Ok(Self {
            settings,
            store,
            interrupt,
            child_exits: ChildExits::install()?,
            launcher: Launcher { settings, store, command },
            policy: DaemonPolicy::new(),
            daemons: BTreeMap::new(),
            orphans: BTreeSet::new(),
            executions: BTreeMap::new(),
            server,
            clients: Vec::new(),
            samples: Samples::default(),
            threads: Threads::new()?,
            start: Instant::now(),
            actions: VecDeque::new(),
            starts: VecDeque::new(),
            unsaved: UnsavedDaemons::default(),
            reported: BTreeMap::new(),
            hooks: EventQueue::default(),
            down_since: None,
            hook_patience: HOOK_PATIENCE,
            stop_warnings: Vec::new(),
            is_over: false,
            is_lasting,
            on_event,
        })
    }

    /// Runs until all daemons are down, or until none is left that could run. Returns whether a daemon has failed. Calls
    /// `tick` before each pause, which lasts at most as long as that returns, with whether all daemons are being stopped.
    pub(crate) fn run(&mut self, mut tick: impl FnMut(bool) -> Option<Duration>) -> bool {
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
            self.forget_orphans();
            self.start_threads();
            let is_over = self.policy.is_over() && (!self.is_lasting || self.policy.is_ending());
            let for_hooks = is_over.then(|| self.await_hooks(has_killed));
            if let Some(None) = for_hooks {
                let _ = self.save();
                self.threads.join();
                self.collect_reports();
                self.is_over = true;
                self.answer_pending();
                return self.policy.has_failed();
            }
            let timer = self.policy.next_tick().map(|at| at.saturating_sub(self.now()));
            // The descriptor of the interrupt stays readable after the first signal.
            let second_signal =
                (self.interrupt.signal().is_some() && !has_killed).then_some(SECOND_SIGNAL_INTERVAL);
            let tick = tick(self.policy.is_ending());
            let timers = [
                tick,
                timer,
                for_hooks.flatten(),
                second_signal,
                self.sample(),
                self.next_overdue(),
                self.startup_timer(),
                self.threads.next_try(),
                self.unsaved.next_try(),
            ];
            let pause = timers.into_iter().flatten().min().unwrap_or(MAX_PAUSE);
            self.wait(pause);
            // Each change of a status is stored and published, also one that the next step takes back.
            self.collect_reports();
            self.perform();
            self.collect_exits();
            self.child_exits.clear();
            subreaper::reap_orphans();
            self.perform();
            self.serve();
        }
    }

    /// Returns the time of the policy.
    fn now(&self) -> Duration {
        START + self.start.elapsed()
    }

    /// Waits until something happens.
    fn wait(&self, pause: Duration) {
        let mut fds: Vec<BorrowedFd<'_>> = vec![self.server.fd(), self.threads.fd(), self.child_exits.fd()];
        if self.interrupt.signal().is_none() {
            fds.push(self.interrupt.fd());
        }
        fds.extend(self.executions.values().map(Execution::fd));
        fds.extend(self.hooks.fds());
        let readable = fds.into_iter().map(|fd| (fd, PollFlags::POLLIN));
        let clients = self.clients.iter().map(ConnectedClient::fd);
        poll::any_ready(readable.chain(clients), Instant::now() + pause);
    }

    /// Passes an event to the policy. What follows from it is done next.
    fn handle(&mut self, event: PolicyEvent<'_>) {
        let now = self.now();
        self.actions.extend(self.policy.handle(event, now));
    }

    /// Does what the policy says, until it says nothing more, and stores the result.
    fn perform(&mut self) {
        loop {
            loop {
                match self.actions.pop_front() {
                    Some(Action::Start(name)) => self.request_start(&name),
                    Some(Action::Stop(name)) if self.cancel_start(&name) => {}
                    Some(Action::Stop(name)) => self.stop_daemon(&name, false),
                    None if self.begin_start() => {}
                    None => break,
                }
            }
            if let Err(error) = self.save() {
                (self.on_event)(DaemonEvent::Warning(format!("cannot store the daemons: {error}")));
            }
            if !self.serve_events() {
                return;
            }
        }
    }

    /// Kills all executions at once.
    fn kill_all(&mut self) {
        let names: Vec<DaemonName> = self.executions.keys().cloned().collect();
        for name in names {
            self.stop_daemon(&name, true);
        }
    }

    /// Does work in a thread that the supervisor waits for before it ends, and passes its report on.
    fn spawn(&mut self, work: impl FnOnce() -> Option<ThreadReport> + Send + 'static) {
        self.threads.add(true, |reporter| {
            if let Some(report) = work() {
                reporter.send(report);
            }
        });
        self.start_threads();
    }

    fn start_threads(&mut self) {
        if let Err(error) = self.threads.start() {
            let text = format!("cannot start a thread: {error}; trying again until that works");
            (self.on_event)(DaemonEvent::Warning(text));
        }
    }

    fn collect_reports(&mut self) {
        while let Some(report) = self.threads.next_report() {
            match report {
                ThreadReport::Readiness(name, id, result) => {
                    if self.executions.get(&name).is_none_or(|execution| execution.process_id != id) {
                        continue;
                    }
                    match result {
                        Ok(()) => self.handle(PolicyEvent::Ready(&name)),
                        Err(problem) => {
                            self.handle(PolicyEvent::NotReady(&name, problem));
                            self.note_timeout(&name);
                        }
                    }
                }
                ThreadReport::Health(name, id, result) => self.note_health(&name, id, result),
                ThreadReport::CannotStart(name, process, error) => self.fail_start(&name, &process, error),
                ThreadReport::Warning(text) => {
                    self.stop_warnings.extend(self.policy.is_ending().then(|| text.clone()));
                    (self.on_event)(DaemonEvent::Warning(text));
                }
                ThreadReport::Usage(measured) => self.add_samples(measured),
            }
        }
    }

    /// Passes the exits of executions to the policy, and goes on with those that start.
    fn collect_exits(&mut self) {
        let fds = self.executions.values().map(|execution| (execution.fd(), PollFlags::POLLIN));
        let ready = poll::any_ready(fds, Instant::now());
        let ended = self.executions.iter().zip(ready);
        let ended = ended.filter(|((_, execution), is_ready)| *is_ready || execution.is_overdue());
        let ended: Vec<DaemonName> = ended.map(|((name, _), _)| name.clone()).collect();
        for name in ended {
            let Some(mut execution) = self.executions.remove(&name) else { continue };
            match execution.watched {
                Watched::Starting(run, is_stop_urgent) => {
                    self.finish_start(name, *run, is_stop_urgent);
                    continue;
                }
                Watched::Waiter(ref waiter) => drop(wait::reap(waiter)),
                Watched::Other(_) => {}
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
                    self.publish(LifecycleEvent::Exited, &name);
                }
                Err(error) => {
                    (self.on_event)(DaemonEvent::Warning(format!("cannot read the exit of {name}: {error}")));
                    self.handle(PolicyEvent::Exited(&name, Exit::lost()));
                    self.publish(LifecycleEvent::Exited, &name);
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
        let mut changed = Vec::new();
        let (clock_now, now) = (clock::now(), self.now());
        for (name, daemon) in &mut self.daemons {
            let Some(state) = self.policy.state(name) else { continue };
            let execution = self.executions.get(name);
            let reported =
                self.reported.entry(name.clone()).or_insert((daemon.status, daemon.current_health()));
            let is_saved = is_current(daemon, state, execution.is_some());
            if !is_saved {
                *daemon = updated(daemon, state, execution.is_some(), clock_now, now);
            }
            let current = (daemon.status, daemon.current_health());
            // Until it runs, there is nothing to report.
            let is_reported =
                *reported == current || daemon.status == DaemonStatus::Starting && !is_started(execution);
            let has_new_status = !is_reported && reported.0 != daemon.status;
            let is_now_unhealthy =
                !is_reported && current.1 == Health::Unhealthy && reported.1 != Health::Unhealthy;
            if !is_reported {
                *reported = current;
            }
            if !is_saved || !is_reported {
                changed.push((daemon.clone(), is_reported, has_new_status, is_now_unhealthy));
            }
        }
        // A daemon that has ended is reported before those that start or stop for that reason.
        sort_by_key(&mut changed, |(daemon, ..)| daemon.status.is_alive());
        let names = collect_sorted(changed.iter().map(|(daemon, ..)| daemon.spec.name.clone()));
        let saved = self.unsaved.save(names, &self.daemons, self.store, self.launcher.command);
        for (daemon, _, has_new_status, is_now_unhealthy) in changed.iter().filter(|change| !change.1) {
            let process = self.execution_of(daemon);
            (self.on_event)(DaemonEvent::Status(daemon, process.as_ref()));
            if *is_now_unhealthy {
                self.publish(LifecycleEvent::Unhealthy, &daemon.spec.name);
            }
            match daemon.status {
                _ if !has_new_status => {}
                DaemonStatus::Running => self.publish(LifecycleEvent::Ready, &daemon.spec.name),
                DaemonStatus::Failed => self.publish(LifecycleEvent::Failed, &daemon.spec.name),
                _ => {}
            }
        }
        saved
    }
}

/// Whether an execution has started.
fn is_started(execution: Option<&Execution>) -> bool {
    execution.is_some_and(|execution| !matches!(execution.watched, Watched::Starting(..)))
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
