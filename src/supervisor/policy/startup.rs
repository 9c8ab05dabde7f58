//! Whether the daemons have come up, for commands that wait for it.

use std::collections::BTreeSet;
use std::time::Duration;

use super::daemon::{CheckedState, DaemonState, SupervisedDaemon};
use crate::model::{DaemonName, DaemonStatus, Health};
use crate::shell;

/// How long a daemon without a check of readiness has to run before it counts as started, because one that cannot work often
/// starts and then fails.
pub(super) const SETTLING_TIME: Duration = Duration::from_millis(500);

/// The problem with a daemon that another `rigup up` has removed.
pub(super) const UNDECLARED: &str = "it is no longer declared";

/// How many starts in a row may fail. The first ones often fail only because another program is not ready yet.
const MAX_FAILED_STARTS: u32 = 3;

/// How far the start of all daemons is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Startup {
    /// Each is ready or has ended without a failure.
    Done,
    /// Each is ready or at rest, and one has failed.
    Failed,
    /// One is not ready yet. It may count as ready at this time without any further event.
    Pending(Option<Duration>),
    /// One fails again and again before it is ready.
    Failing(DaemonName, String),
    /// One was stopped, or is not declared any more.
    Stopped,
}

impl Startup {
    /// Returns how far the start of the daemons with these names is.
    pub(super) fn of(
        daemons: &[SupervisedDaemon],
        names: &BTreeSet<DaemonName>,
        is_ending: bool,
        now: Duration,
    ) -> Self {
        let is_awaited = |daemon: &&SupervisedDaemon| names.contains(&daemon.spec.name);
        let awaited: Vec<&SupervisedDaemon> = daemons.iter().filter(is_awaited).collect();
        let forgotten = if awaited.len() < names.len() { Self::Stopped } else { Self::Done };
        awaited.iter().map(|daemon| daemon.startup_among(daemons, is_ending, now)).fold(forgotten, Self::and)
    }

    /// Returns how far the start of both is.
    fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Stopped, _) | (_, Self::Stopped) => Self::Stopped,
            (failing @ Self::Failing(..), _) | (_, failing @ Self::Failing(..)) => failing,
            (Self::Pending(at), Self::Pending(other)) => Self::Pending(at.into_iter().chain(other).min()),
            (pending @ Self::Pending(_), _) | (_, pending @ Self::Pending(_)) => pending,
            (Self::Failed, _) | (_, Self::Failed) => Self::Failed,
            (Self::Done, Self::Done) => Self::Done,
        }
    }
}

impl SupervisedDaemon {
    /// Returns why it has not come up, or `None` if it has, or has ended without a failure.
    pub(super) fn startup_problem(&self, daemons: &[Self], is_ending: bool, now: Duration) -> Option<String> {
        let DaemonState { status, last_error, .. } = &self.state;
        let reason = if last_error.is_empty() { String::new() } else { format!(": {last_error}") };
        match self.startup_among(daemons, is_ending, now) {
            Startup::Stopped if self.is_orphan => Some(UNDECLARED.to_owned()),
            Startup::Stopped => Some("it was stopped".to_owned()),
            Startup::Failing(_, problem) => Some(problem),
            // The timeout is the reason for what it does now.
            _ if self.has_timed_out() => Some(last_error.clone()),
            Startup::Done => None,
            Startup::Failed | Startup::Pending(_) => Some(format!("{status}{reason}")),
        }
    }

    /// Returns how far its start is, given all daemons.
    fn startup_among(&self, daemons: &[Self], is_ending: bool, now: Duration) -> Startup {
        let was_stopped = is_ending || self.is_orphan || !self.state.is_wanted;
        match self.state.status {
            DaemonStatus::Failed => Startup::Failed,
            DaemonStatus::Exited => Startup::Done,
            DaemonStatus::Stopped => Startup::Stopped,
            _ if was_stopped => Startup::Stopped,
            _ => self.waits_in_vain(daemons).unwrap_or_else(|| self.startup(now)),
        }
    }

    /// Whether it is stopped or about to be, and is not started by itself.
    fn is_stopped(&self) -> bool {
        let Self { state, .. } = self;
        state.status == DaemonStatus::Stopped || state.status == DaemonStatus::Stopping && !state.is_wanted
    }

    /// Returns that it waits for a daemon that was stopped, and is not started by itself.
    fn waits_in_vain(&self, daemons: &[Self]) -> Option<Startup> {
        let needed = self.spec.depends_on.iter().filter(|dependency| dependency.required);
        let is_stopped =
            |name: &DaemonName| daemons.iter().any(|daemon| daemon.spec.name == *name && daemon.is_stopped());
        let mut stopped = needed.filter(|dependency| is_stopped(&dependency.name));
        let stopped = &stopped.next().filter(|_| self.state.status == DaemonStatus::Waiting)?.name;
        let started = shell::quote_text(stopped);
        let text =
            format!("it waits for {stopped}, which is stopped; start that with `rigup start {started}`");
        Some(Startup::Failing(self.spec.name.clone(), text))
    }

    /// Returns how far the start of one that is wanted and has not ended is.
    fn startup(&self, now: Duration) -> Startup {
        match self.state.status {
            DaemonStatus::Running => match (self.settles_at(), self.state.health) {
                (_, Health::Unhealthy) => {
                    Startup::Failing(self.spec.name.clone(), self.state.last_error.clone())
                }
                (_, Health::Starting) => Startup::Pending(None),
                (Some(at), _) if at > now => Startup::Pending(Some(at)),
                _ => Startup::Done,
            },
            _ if self.failed_starts >= MAX_FAILED_STARTS => {
                let (count, error) = (self.failed_starts, &self.state.last_error);
                let text = format!("it failed {count} times before it was ready: {error}");
                Startup::Failing(self.spec.name.clone(), text)
            }
            _ => Startup::Pending(None),
        }
    }

    /// Returns when it counts as started without a check of readiness.
    fn settles_at(&self) -> Option<Duration> {
        let is_checked = self.spec.ready.is_some() || self.spec.healthcheck.is_some();
        let since = self.running_since.filter(|_| !is_checked)?;
        Some(since.saturating_add(SETTLING_TIME))
    }

    /// Whether its health lets a dependent start.
    pub(super) fn is_healthy(&self) -> bool {
        self.spec.healthcheck.is_none() || self.state.health == Health::Healthy
    }

    /// Whether the current execution has come up.
    pub(super) fn has_come_up(&self, now: Duration) -> bool {
        self.checked == CheckedState::Ready && self.settles_at().is_none_or(|at| at <= now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{DaemonSpec, Restart};
    use crate::supervisor::policy::DaemonPolicy;
    use crate::supervisor::policy::tests::{
        check_steps, handle, health_check, name, policy, spec, with_ready, with_restart,
    };

    fn all(policy: &DaemonPolicy) -> BTreeSet<DaemonName> {
        policy.daemons.iter().map(|daemon| daemon.spec.name.clone()).collect()
    }

    fn at(policy: &DaemonPolicy, millis: u64) -> Startup {
        policy.startup(&all(policy), Duration::from_millis(millis))
    }

    #[test]
    fn a_daemon_without_a_check_has_come_up_once_it_has_settled() {
        let mut policy = policy([spec("a"), with_ready("b"), with_restart(Restart::No, "c")]);
        assert_eq!(at(&policy, 0), Startup::Pending(None));
        check_steps(&mut policy, &[("0 tick", "start a, start b, start c"), ("0 started b", "")]);
        check_steps(&mut policy, &[("1 started a", ""), ("1.2 started c", ""), ("1.3 exited c 0", "")]);
        assert_eq!(at(&policy, 1300), Startup::Pending(Some(Duration::from_millis(1500))));
        let problems = policy.startup_problems(&all(&policy), Duration::from_secs(2));
        assert_eq!(problems, [(name("b"), "starting".to_owned())]);
        check_steps(&mut policy, &[("1.4 ready b", "")]);
        assert_eq!(
            (at(&policy, 1499), at(&policy, 1500)),
            (Startup::Pending(Some(Duration::from_millis(1500))), Startup::Done)
        );
    }

    #[test]
    fn a_daemon_with_a_health_check_has_come_up_when_it_is_healthy() {
        let checked = DaemonSpec { healthcheck: Some(health_check(false)), ..spec("db") };
        let mut policy = policy([checked, spec("web db:healthy"), spec("app db")]);
        check_steps(
            &mut policy,
            &[("0 tick", "start db"), ("0 started db", "start app"), ("0 started app", "")],
        );
        assert_eq!(at(&policy, 1000), Startup::Pending(None));
        check_steps(&mut policy, &[("1 unhealthy db", "")]);
        assert_eq!(at(&policy, 1000), Startup::Failing(name("db"), "unhealthy: no answer".to_owned()));
        check_steps(&mut policy, &[("2 healthy db", "start web"), ("2 started web", "")]);
        assert_eq!(at(&policy, 3000), Startup::Done);
    }

    #[test]
    fn three_failed_starts_in_a_row_are_a_failing_startup() {
        let fast = |spec| DaemonSpec { restart_delay: Duration::ZERO, ..spec };
        // The last step does nothing without a check of readiness.
        for (spec, comes_up) in [(spec("a"), "1 tick"), (with_ready("a"), "1 ready a")] {
            let mut policy = policy([fast(spec)]);
            let fail = |policy: &mut DaemonPolicy, second: u64| {
                let [tick, started, exited] =
                    ["tick", "started a", "exited a 3"].map(|step| format!("{second} {step}"));
                check_steps(policy, &[(&tick, "start a"), (&started, ""), (&exited, "")]);
            };
            (0..2).for_each(|_| fail(&mut policy, 0));
            assert_eq!(at(&policy, 0), Startup::Pending(None));
            // One that comes up starts the count again.
            check_steps(&mut policy, &[("1 tick", "start a"), ("1 started a", "")]);
            handle(&mut policy, comes_up);
            check_steps(&mut policy, &[("1.6 exited a 3", "")]);
            (0..2).for_each(|_| fail(&mut policy, 2));
            assert_eq!(at(&policy, 2000), Startup::Pending(None));
            fail(&mut policy, 2);
            let reason = "it failed 3 times before it was ready: exit code 3".to_owned();
            assert_eq!(at(&policy, 2000), Startup::Failing(name("a"), reason));
            handle(&mut policy, "3 want a");
            assert_eq!(at(&policy, 3000), Startup::Pending(None), "a start by hand starts the count again");
        }
    }

    #[test]
    fn a_declaration_starts_the_count_of_failed_starts_again() {
        let fast = || DaemonSpec { restart_delay: Duration::ZERO, ..spec("a") };
        let mut policy = policy([fast()]);
        for _ in 0..3 {
            check_steps(&mut policy, &[("0 tick", "start a"), ("0 exited a 3", "")]);
        }
        assert!(matches!(at(&policy, 0), Startup::Failing(..)));
        policy.declare(fast(), true);
        assert_eq!(at(&policy, 0), Startup::Pending(None));
    }

    #[test]
    fn a_stop_of_a_daemon_is_seen_before_it_has_ended() {
        let specs = || [with_ready("a"), spec("b a"), with_restart(Restart::No, "c")];
        let begin = || {
            let mut policy = policy(specs());
            check_steps(&mut policy, &[("0 tick", "start a, start c"), ("0 started a", "")]);
            check_steps(&mut policy, &[("0 exited c 0", "")]);
            policy
        };
        let problems = |policy: &DaemonPolicy| {
            let problems = policy.startup_problems(&all(policy), Duration::ZERO).into_iter();
            problems.map(|(name, problem)| format!("{name}: {problem}")).collect::<Vec<_>>()
        };
        let mut stopped = begin();
        check_steps(&mut stopped, &[("1 unwant a", "stop a")]);
        assert_eq!(at(&stopped, 1000), Startup::Stopped);
        let in_vain = "b: it waits for a, which is stopped; start that with `rigup start a`";
        assert_eq!(problems(&stopped), ["a: it was stopped", in_vain]);
        let mut ended = begin();
        check_steps(&mut ended, &[("1 end", "stop a")]);
        assert_eq!(at(&ended, 1000), Startup::Stopped);
        assert_eq!(problems(&ended), ["a: it was stopped", "b: it was stopped"]);
        let mut undeclared = begin();
        undeclared.undeclare(&name("a"));
        assert_eq!(at(&undeclared, 1000), Startup::Stopped);
        assert_eq!(problems(&undeclared), ["a: it is no longer declared", "b: waiting"]);
        let mut restarted = begin();
        check_steps(&mut restarted, &[("1 restart a", "stop a")]);
        assert_eq!(at(&restarted, 1000), Startup::Pending(None));
    }

    #[test]
    fn only_the_named_daemons_count() {
        let mut policy = policy([with_restart(Restart::No, "a"), spec("b"), with_ready("c")]);
        check_steps(&mut policy, &[("0 tick", "start a, start b, start c"), ("0 started b", "")]);
        check_steps(&mut policy, &[("0 exited a 3", "")]);
        for (names, expected) in [
            (&["b"][..], Startup::Done),
            (&["a", "b"], Startup::Failed),
            (&["a", "b", "c"], Startup::Pending(None)),
            (&[], Startup::Done),
            (&["a", "b", "c", "gone"], Startup::Stopped),
        ] {
            let names: BTreeSet<DaemonName> = names.iter().map(|text| name(text)).collect();
            assert_eq!(policy.startup(&names, Duration::from_secs(1)), expected, "{names:?}");
        }
    }
}
