//! Tests of the rules about the health of daemons.

use std::time::Duration;

use crate::model::{DaemonSpec, Health, Restart};
use crate::supervisor::policy::AdoptedState;
use crate::supervisor::policy::tests::{
    adopted, check_steps, health_check, name, policy, spec, state, statuses, with_restart,
};

#[test]
fn an_unhealthy_daemon_is_restarted_only_if_its_check_says_so() {
    for (restarts, restart, stop, expected) in [
        (false, Restart::OnFailure, "", "running"),
        (true, Restart::OnFailure, "stop a", "backoff"),
        (true, Restart::No, "stop a", "failed"),
    ] {
        let healthcheck = Some(health_check(restarts));
        let mut policy = policy([DaemonSpec { healthcheck, ..with_restart(restart, "a") }]);
        check_steps(&mut policy, &[("0 tick", "start a"), ("0 started a", ""), ("3 unhealthy a", stop)]);
        assert_eq!(state(&policy, "a").health, Health::Unhealthy);
        assert_eq!(state(&policy, "a").last_error, "unhealthy: no answer");
        if restarts {
            // A daemon that ends with success when it is stopped has failed nevertheless.
            check_steps(&mut policy, &[("4 exited a 0", "")]);
            assert_eq!(state(&policy, "a").last_error, "unhealthy: no answer");
        } else {
            check_steps(&mut policy, &[("4 healthy a", "")]);
            assert_eq!(state(&policy, "a").health, Health::Healthy);
        }
        assert_eq!(statuses(&policy), expected);
    }
}

#[test]
fn restarts_of_an_unhealthy_daemon_are_counted_and_paced() {
    let healthcheck = Some(health_check(true));
    let mut policy =
        policy([DaemonSpec { healthcheck, restart_limit: Some((2, Duration::from_mins(1))), ..spec("a") }]);
    for (second, status) in [(0, "backoff"), (1, "backoff"), (3, "failed")] {
        let step = |text: &str| format!("{second} {text}");
        check_steps(&mut policy, &[(&step("tick"), "start a"), (&step("started a"), "")]);
        assert_eq!(state(&policy, "a").health, Health::Starting);
        check_steps(&mut policy, &[(&step("unhealthy a"), "stop a"), (&step("exited a 143"), "")]);
        assert_eq!((statuses(&policy).as_str(), state(&policy, "a").health), (status, Health::None));
    }
    let error = "unhealthy: no answer; it was restarted 2 times within 60s";
    assert_eq!((state(&policy, "a").restarts, state(&policy, "a").last_error.as_str()), (2, error));
}

#[test]
fn a_stop_by_hand_of_an_unhealthy_daemon_is_no_failure() {
    let mut policy = policy([DaemonSpec { healthcheck: Some(health_check(true)), ..spec("a") }]);
    check_steps(&mut policy, &[("0 tick", "start a"), ("0 started a", ""), ("1 unhealthy a", "stop a")]);
    check_steps(&mut policy, &[("1 unwant a", ""), ("2 exited a 143", ""), ("9 tick", "")]);
    assert_eq!(statuses(&policy), "stopped");
}

#[test]
fn an_adopted_daemon_keeps_its_health_as_long_as_it_is_checked() {
    for (is_checked, health, expected) in [
        (true, Health::Unhealthy, Health::Unhealthy),
        (true, Health::None, Health::Starting),
        (false, Health::Healthy, Health::None),
    ] {
        let healthcheck = is_checked.then(|| health_check(true));
        let mut policy = policy([DaemonSpec { healthcheck, ..spec("a") }]);
        let running = AdoptedState::Running { is_ready: true, health, since: Duration::ZERO };
        policy.adopt(&name("a"), adopted(running), Duration::ZERO);
        assert_eq!(state(&policy, "a").health, expected);
    }
}
