//! Whether the daemons have come up, for commands that wait for it.

use std::collections::BTreeSet;
use std::time::Duration;

use super::daemon::{CheckedState, DaemonState, SupervisedDaemon};
use crate::model::{DaemonName, DaemonStatus, Health};

/// How long a daemon without a check of readiness has to run before it counts as started, because one that cannot work often
/// starts and then fails.
pub(super) const SETTLING_TIME: Duration = Duration::from_millis(500);

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
}

impl Startup {
    /// Returns how far the start of the daemons with these names is.
    pub(super) fn of(daemons: &[SupervisedDaemon], names: &BTreeSet<DaemonName>, now: Duration) -> Self {
        let awaited = daemons.iter().filter(|daemon| names.contains(&daemon.spec.name));
        let each = awaited.map(|daemon| daemon.waits_in_vain(daemons).unwrap_or_else(|| daemon.startup(now)));
        each.fold(Self::Done, Self::and)
    }

    /// Returns how far the start of both is.
    fn and(self, other: Self) -> Self {
        match (self, other) {
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
    pub(super) fn startup_problem(&self, daemons: &[Self], now: Duration) -> Option<String> {
        let DaemonState { status, last_error, .. } = &self.state;
        let reason = if last_error.is_empty() { String::new() } else { format!(": {last_error}") };
        match self.waits_in_vain(daemons).unwrap_or_else(|| self.startup(now)) {
            Startup::Failing(_, problem) => Some(problem),
            // The timeout is the reason for what it does now.
            _ if self.has_timed_out() => Some(last_error.clone()),
            Startup::Done => None,
            Startup::Failed | Startup::Pending(_) => Some(format!("{status}{reason}")),
        }
    }

    /// Returns that it waits for a daemon that was stopped, and is not started by itself.
    fn waits_in_vain(&self, daemons: &[Self]) -> Option<Startup> {
        let needed = self.spec.depends_on.iter().filter(|dependency| dependency.required);
        let is_stopped = |name: &DaemonName| {
            let daemon = daemons.iter().find(|daemon| daemon.spec.name == *name);
            daemon.is_some_and(|daemon| daemon.state.status == DaemonStatus::Stopped)
        };
        let mut stopped = needed.filter(|dependency| is_stopped(&dependency.name));
        let stopped = &stopped.next().filter(|_| self.state.status == DaemonStatus::Waiting)?.name;
        let text =
            format!("it waits for {stopped}, which is stopped; start that with `rigup start {stopped}`");
        Some(Startup::Failing(self.spec.name.clone(), text))
    }

    /// Returns how far its start is.
    fn startup(&self, now: Duration) -> Startup {
        match self.state.status {
            DaemonStatus::Failed => Startup::Failed,
            DaemonStatus::Exited | DaemonStatus::Stopped => Startup::Done,
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
    fn only_the_named_daemons_count() {
        let mut policy = policy([with_restart(Restart::No, "a"), spec("b"), with_ready("c")]);
        check_steps(&mut policy, &[("0 tick", "start a, start b, start c"), ("0 started b", "")]);
        check_steps(&mut policy, &[("0 exited a 3", "")]);
        for (names, expected) in [
            (&["b"][..], Startup::Done),
            (&["a", "b"], Startup::Failed),
            (&["a", "b", "c"], Startup::Pending(None)),
            (&[], Startup::Done),
        ] {
            let names: BTreeSet<DaemonName> = names.iter().map(|text| name(text)).collect();
            assert_eq!(policy.startup(&names, Duration::from_secs(1)), expected, "{names:?}");
        }
    }
}
