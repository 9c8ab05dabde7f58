//! Simulates a caller that sends arbitrary sequences of events, and checks every action.

use std::collections::{BTreeMap, BTreeSet};
use std::mem;
use std::time::Duration;

use proptest::prelude::*;
use proptest::sample::select;

use crate::model::{Condition, DaemonName, DaemonSpec, DaemonStatus, Dependency, Restart};
use crate::supervisor::policy::tests::{exit, health_check, policy, spec, with_ready};
use crate::supervisor::policy::{Action, DaemonPolicy, PolicyEvent, order};

/// An execution in a [`Simulation`].
#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each changes by events of its own")]
struct Execution {
    is_running: bool,
    is_ready: bool,
    is_healthy: bool,
    is_stopping: bool,
}

/// A caller of the policy that starts no processes, and checks every action.
struct Simulation {
    policy: DaemonPolicy,
    specs: Vec<DaemonSpec>,
    executions: BTreeMap<DaemonName, Execution>,
    /// The daemons that succeeded when they last ended without being stopped.
    succeeded: BTreeSet<DaemonName>,
    /// The daemons that have ended.
    ended: BTreeSet<DaemonName>,
    /// The daemons that are not declared any more.
    orphans: BTreeSet<DaemonName>,
    now: Duration,
}

impl Simulation {
    fn new(specs: Vec<DaemonSpec>) -> Self {
        let policy = policy(specs.clone());
        let (succeeded, ended, orphans) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        let (executions, now) = (BTreeMap::new(), Duration::ZERO);
        let mut simulation = Self { policy, specs, executions, succeeded, ended, orphans, now };
        simulation.wait(Duration::ZERO);
        simulation
    }

    fn wait(&mut self, duration: Duration) {
        self.now += duration;
        let actions = self.policy.tick(self.now);
        self.carry_out(actions);
    }

    fn send(&mut self, event: PolicyEvent<'_>) {
        let execution = event.name().and_then(|name| self.executions.get_mut(name));
        let has_ready =
            |name: &DaemonName| self.specs.iter().any(|spec| spec.name == *name && spec.ready.is_some());
        match (&event, execution) {
            (PolicyEvent::Started(name), Some(execution)) => {
                execution.is_running = true;
                execution.is_ready |= !has_ready(name);
            }
            (PolicyEvent::Ready(_), Some(execution)) => execution.is_ready = execution.is_running,
            (PolicyEvent::Healthy(_), Some(execution)) => execution.is_healthy = true,
            (PolicyEvent::Unhealthy(..), Some(execution)) => execution.is_healthy = false,
            (PolicyEvent::CannotStart(name, _) | PolicyEvent::Exited(name, _), Some(execution)) => {
                if !execution.is_stopping {
                    self.succeeded.remove(name);
                    let is_success = matches!(&event, PolicyEvent::Exited(_, exit) if exit.code == Some(0));
                    self.succeeded.extend(is_success.then(|| (*name).clone()));
                }
                self.executions.remove(name);
                self.ended.insert((*name).clone());
            }
            _ => {}
        }
        let actions = self.policy.handle(event, self.now);
        self.carry_out(actions);
    }

    fn carry_out(&mut self, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Start(name) => {
                    assert!(!self.orphans.contains(&name), "{name} is not declared");
                    let spec = self.specs.iter().find(|spec| spec.name == name).unwrap();
                    let required = spec.depends_on.iter().filter(|dependency| dependency.required);
                    for dependency in required {
                        assert!(self.holds(dependency), "{name} starts before {dependency:?}");
                    }
                    let earlier = self.executions.insert(name.clone(), Execution::default());
                    assert!(earlier.is_none(), "{name} runs twice");
                }
                Action::Stop(name) => {
                    let execution = self.executions.get_mut(&name).unwrap();
                    assert!(!mem::replace(&mut execution.is_stopping, true), "{name} is stopped twice");
                    let is_needed =
                        |spec: &&DaemonSpec| spec.depends_on.iter().any(|other| other.name == name);
                    let mut dependents = self.specs.iter().filter(is_needed);
                    let is_free = dependents.all(|spec| !self.executions.contains_key(&spec.name));
                    assert!(is_free || !self.policy.is_ending(), "{name} is stopped before its dependents");
                }
            }
        }
        for name in self.specs.iter().map(|spec| &spec.name) {
            let is_live = self.executions.contains_key(name);
            let status = self.policy.state(name).unwrap().status;
            let may_be_live =
                matches!(status, DaemonStatus::Starting | DaemonStatus::Running | DaemonStatus::Stopping);
            assert_eq!(may_be_live, is_live, "{name} is {status:?}");
        }
    }

    fn holds(&self, Dependency { name, condition, .. }: &Dependency) -> bool {
        match (condition, self.executions.get(name)) {
            (Condition::None, _) => true,
            (Condition::Completed, None) => self.ended.contains(name),
            (Condition::CompletedSuccessfully, _) | (Condition::Completed, Some(_)) | (_, None) => {
                self.succeeded.contains(name)
            }
            (Condition::Started, Some(execution)) => execution.is_running,
            (Condition::Ready, Some(execution)) => execution.is_ready,
            (Condition::Healthy, Some(execution)) => {
                execution.is_ready && (execution.is_healthy || !self.is_checked(name))
            }
        }
    }

    fn is_checked(&self, name: &DaemonName) -> bool {
        self.specs.iter().any(|spec| spec.name == *name && spec.healthcheck.is_some())
    }

    /// Sends an arbitrary event about a daemon, or lets time pass.
    fn step(&mut self, kind: usize, daemon: usize, code: i32) {
        let spec = self.specs[daemon % self.specs.len()].clone();
        let name = &spec.name;
        match kind {
            0 => self.send(PolicyEvent::Want(name)),
            1 => self.send(PolicyEvent::Unwant(name)),
            2 => self.send(PolicyEvent::Restart(name)),
            3 | 4 => self.send(PolicyEvent::Started(name)),
            5 => self.send(PolicyEvent::Ready(name)),
            6 => self.send(PolicyEvent::NotReady(name, String::new())),
            7 | 8 => self.send(PolicyEvent::Exited(name, exit(code))),
            9 => self.send(PolicyEvent::CannotStart(name, String::new())),
            10 => self.send(PolicyEvent::Healthy(name)),
            11 => self.send(PolicyEvent::Unhealthy(name, String::new())),
            12 => {
                self.policy.declare(spec.clone(), code == 0);
                self.orphans.remove(name);
            }
            13 => {
                self.policy.undeclare(name);
                self.orphans.insert(name.clone());
            }
            _ => self.wait(Duration::from_secs(u64::from(code.unsigned_abs()))),
        }
    }

    /// Lets every start succeed, every daemon become ready, and each one that must complete exit with success once.
    fn let_all_succeed(&mut self) {
        self.orphans.clear();
        for spec in &self.specs {
            self.policy.declare(spec.clone(), true);
        }
        for name in order(&self.specs) {
            self.send(PolicyEvent::Want(&name));
        }
        let must_complete = |specs: &[DaemonSpec], name: &DaemonName| {
            let dependencies = specs.iter().flat_map(|spec| &spec.depends_on);
            dependencies.filter(|other| other.name == *name).any(|other| {
                matches!(other.condition, Condition::CompletedSuccessfully | Condition::Completed)
            })
        };
        let mut ended = BTreeSet::new();
        loop {
            let names: Vec<DaemonName> = self.executions.keys().cloned().collect();
            let mut has_changed = false;
            for name in &names {
                let Execution { is_running, is_ready, is_healthy, is_stopping } = self.executions[name];
                let is_one_shot = must_complete(&self.specs, name);
                let event = match (is_running, is_ready) {
                    _ if is_stopping => PolicyEvent::Exited(name, exit(0)),
                    (false, _) => PolicyEvent::Started(name),
                    (_, false) => PolicyEvent::Ready(name),
                    _ if !is_healthy && self.is_checked(name) => PolicyEvent::Healthy(name),
                    _ if is_one_shot && ended.insert(name.clone()) => PolicyEvent::Exited(name, exit(0)),
                    _ => continue,
                };
                self.send(event);
                has_changed = true;
            }
            match self.policy.next_tick() {
                _ if has_changed => {}
                Some(at) => self.wait(at.saturating_sub(self.now)),
                None => return,
            }
        }
    }

    /// Ends all daemons: every one that runs is stopped in its turn.
    fn end(&mut self) {
        self.send(PolicyEvent::End);
        while !self.executions.is_empty() {
            let mut stopping = self.executions.iter().filter(|(_, execution)| execution.is_stopping);
            let name = stopping.next().expect("a daemon is being stopped").0.clone();
            self.send(PolicyEvent::Exited(&name, exit(0)));
        }
        assert!(self.policy.is_over() && self.policy.is_ending() && self.policy.next_tick().is_none());
    }
}

/// Up to five daemons, each of which may depend on the earlier ones.
fn any_specs() -> impl Strategy<Value = Vec<DaemonSpec>> {
    let dependency = select(vec![
        "",
        "",
        "",
        "started",
        "ready",
        "completed",
        "ended",
        "started?",
        "ready?",
        "completed?",
        "healthy",
        "healthy?",
        "ended?",
        "started!",
        "ready!",
    ]);
    let restart = select(vec![Restart::No, Restart::OnFailure, Restart::Always]);
    let limit = proptest::option::of((0_u32..3).prop_map(|limit| (limit, Duration::from_secs(9))));
    let checks = (any::<bool>(), proptest::option::of(any::<bool>()));
    let daemon = (proptest::collection::vec(dependency, 5), restart, checks, limit);
    proptest::collection::vec(daemon, 1..=5).prop_map(|daemons| {
        let declare = |(index, (dependencies, restart, (has_ready, health), restart_limit)): (
            usize,
            (Vec<&str>, _, _, _),
        )| {
            let dependencies =
                dependencies.iter().take(index).enumerate().filter(|(_, condition)| !condition.is_empty());
            let words = dependencies.map(|(other, condition)| format!(" d{other}:{condition}"));
            let line = format!("d{index}{}", words.collect::<String>());
            let spec = if has_ready { with_ready(&line) } else { spec(&line) };
            let healthcheck = Option::map(health, health_check);
            DaemonSpec { healthcheck, restart, restart_limit, ..spec }
        };
        daemons.into_iter().enumerate().map(declare).collect()
    })
}

fn any_steps() -> impl Strategy<Value = Vec<(usize, usize, i32)>> {
    proptest::collection::vec((0_usize..16, 0_usize..5, 0_i32..3), 0..100)
}

proptest! {
    #[test]
    fn no_events_start_a_daemon_twice_or_too_early_or_prevent_the_end(
        specs in any_specs(),
        exits in proptest::collection::vec((0_usize..9, 0_usize..9), 5),
        steps in any_steps(),
    ) {
        let declare = |(spec, (end, failure)): (DaemonSpec, &(usize, usize))| {
            DaemonSpec { exit_on_end: *end == 0, exit_on_failure: *failure == 0, ..spec }
        };
        let mut simulation = Simulation::new(specs.into_iter().zip(&exits).map(declare).collect());
        for (kind, daemon, code) in steps {
            simulation.step(kind, daemon, code);
        }
        simulation.end();
    }

    #[test]
    fn every_wait_ends_after_any_events_once_every_start_succeeds(specs in any_specs(), steps in any_steps()) {
        let mut simulation = Simulation::new(specs);
        for (kind, daemon, code) in steps {
            simulation.step(kind, daemon, code);
        }
        simulation.let_all_succeed();
        for name in simulation.specs.iter().map(|spec| &spec.name) {
            let status = simulation.policy.state(name).unwrap().status;
            prop_assert!(matches!(status, DaemonStatus::Running | DaemonStatus::Exited | DaemonStatus::Failed), "{name} is {status:?}");
        }
    }
}
