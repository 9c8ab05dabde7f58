//! Tests of the rules about one daemon, each as a table of steps.

use super::*;
use crate::model::{Replica, Restart};
use crate::supervisor::policy::DaemonPolicy;
use crate::supervisor::policy::tests::{
    adopted, check_steps, exit, handle, name, policy, spec, state, statuses, with_ready, with_restart,
};

#[test]
fn the_restart_field_decides_what_follows_an_exit() {
    for (restart, after_success, after_failure) in [
        (Restart::No, "exited", "failed"),
        (Restart::OnFailure, "exited", "backoff"),
        (Restart::Always, "backoff", "backoff"),
        (Restart::UnlessStopped, "backoff", "backoff"),
    ] {
        for (code, expected) in [(0, after_success), (7, after_success), (1, after_failure)] {
            let mut policy =
                policy([DaemonSpec { success_exit_codes: vec![0, 7], ..with_restart(restart, "a") }]);
            let exited = format!("2 exited a {code}");
            check_steps(&mut policy, &[("0 tick", "start a"), ("1 started a", ""), (&exited, "")]);
            assert_eq!(statuses(&policy), expected, "{restart:?} {code}");
            assert_eq!(policy.has_failed(), expected == "failed");
            assert_eq!(policy.is_over(), expected != "backoff");
            assert_eq!(state(&policy, "a").exit, Some(exit(code)));
            let error = if code == 1 { "exit code 1" } else { "" };
            assert_eq!(state(&policy, "a").last_error, error);
        }
    }
}

#[test]
fn a_signal_and_a_failed_start_are_failures() {
    let mut policy = policy([spec("a")]);
    check_steps(&mut policy, &[("0 tick", "start a"), ("0 cannot_start a", "")]);
    assert_eq!(state(&policy, "a").last_error, "no such file");
    check_steps(&mut policy, &[("1 tick", "start a"), ("1 started a", "")]);
    policy.handle(PolicyEvent::Exited(&name("a"), Exit::lost()), Duration::from_secs(2));
    assert_eq!(
        (statuses(&policy).as_str(), state(&policy, "a").exit.clone()),
        ("backoff", Some(Exit::lost()))
    );
}

#[test]
fn the_delay_doubles_up_to_its_maximum_and_is_reset_by_uptime() {
    let mut policy = policy([DaemonSpec { restart_delay_max: Duration::from_secs(5), ..spec("a") }]);
    let mut now = 0;
    for (restarts, (uptime, delay)) in
        (0..).zip([(0, 1), (0, 2), (9, 4), (0, 5), (0, 5), (10, 1), (3, 2), (0, 4)])
    {
        let start = format!("{now} tick");
        let (started, exited) = (format!("{now} started a"), format!("{} exited a 1", now + uptime));
        check_steps(&mut policy, &[(&start, "start a"), (&started, ""), (&exited, "")]);
        now += uptime + delay;
        assert_eq!(policy.next_tick(), Some(Duration::from_secs(now)), "restart {restarts}");
        assert_eq!(state(&policy, "a").restarts, restarts);
        check_steps(&mut policy, &[(&format!("{}.5 tick", now - 1), "")]);
    }
}

#[test]
fn a_reached_restart_limit_is_a_failure_until_a_start_by_hand() {
    let limit = Some((2, Duration::from_mins(1)));
    let spec = DaemonSpec { restart_limit: limit, restart_delay: Duration::ZERO, ..spec("a") };
    let mut policy = policy([spec]);
    check_steps(
        &mut policy,
        &[
            ("0 tick", "start a"),
            ("1 exited a 1", ""),
            ("1 tick", "start a"),
            ("30 exited a 1", ""),
            ("30 tick", "start a"),
            ("62 exited a 1", ""),
            ("62 tick", "start a"),
            ("63 exited a 1", ""),
        ],
    );
    assert_eq!(statuses(&policy), "failed");
    assert_eq!(state(&policy, "a").last_error, "exit code 1; it was restarted 2 times within 60s");
    check_steps(&mut policy, &[("64 want a", "start a"), ("64 started a", "")]);
    assert_eq!((state(&policy, "a").restarts, policy.has_failed()), (0, false));
    assert_eq!(state(&policy, "a").last_error, "");
    for expected in ["start a", "start a", ""] {
        check_steps(&mut policy, &[("65 exited a 1", ""), ("65 tick", expected)]);
    }
}

#[test]
fn the_error_of_a_restart_limit_for_ever_names_no_period() {
    let limit = Some((1, crate::duration::MAX));
    let mut policy =
        policy([DaemonSpec { restart_limit: limit, restart_delay: Duration::ZERO, ..spec("a") }]);
    for expected in ["start a", "start a", ""] {
        check_steps(&mut policy, &[("1 tick", expected), ("1 exited a 3", "")]);
    }
    assert_eq!(state(&policy, "a").last_error, "exit code 3; it was restarted once");
}

#[test]
fn a_start_that_fails_without_a_delay_is_repeated_at_the_next_tick_only() {
    let mut policy = policy([DaemonSpec { restart_delay: Duration::ZERO, ..spec("a") }]);
    check_steps(&mut policy, &[("0 tick", "start a"), ("0 cannot_start a", "")]);
    assert_eq!(policy.next_tick(), Some(Duration::ZERO));
    check_steps(&mut policy, &[("0 tick", "start a")]);
}

#[test]
fn a_stop_is_remembered_in_every_status() {
    let dependency = || with_ready("db");
    for (steps, before, after) in [
        (vec![], "waiting", "stopped"),
        (vec!["0 started db", "0 ready db"], "starting", "stopping"),
        (vec!["0 started db", "0 ready db", "0 started web"], "running", "stopping"),
        (vec!["0 started db", "0 ready db", "0 exited web 1"], "backoff", "stopped"),
        (vec!["0 started db", "0 ready db", "0 exited web 0"], "exited", "exited"),
    ] {
        let mut policy = policy([dependency(), spec("web db")]);
        policy.tick(Duration::ZERO);
        for step in steps {
            handle(&mut policy, step);
        }
        assert!(statuses(&policy).ends_with(before), "{before}");
        check_steps(&mut policy, &[("1 unwant web", if after == "stopping" { "stop web" } else { "" })]);
        assert!(statuses(&policy).ends_with(after), "{before}");
        assert!(!state(&policy, "web").is_wanted);
        check_steps(
            &mut policy,
            &[
                ("2 unwant web", ""),
                ("3 exited web 1", ""),
                ("4 started db", ""),
                ("4 ready db", ""),
                ("100 tick", ""),
            ],
        );
        assert_eq!(state(&policy, "web").next_start, None);
        assert_eq!(state(&policy, "db").status, DaemonStatus::Running, "only web is stopped");
    }
}

#[test]
fn a_restart_by_hand_stops_and_starts_again() {
    for (before, restart, after) in [
        ("0 started a", "stop a", "start a"),
        ("0 exited a 1", "start a", ""),
        ("0 exited a 0", "start a", ""),
        ("0 unwant a", "", "start a"),
    ] {
        let mut policy = policy([with_ready("a")]);
        policy.tick(Duration::ZERO);
        handle(&mut policy, before);
        check_steps(&mut policy, &[("1 restart a", restart)]);
        if after == "start a" {
            check_steps(&mut policy, &[("2 exited a 1", "start a")]);
        }
        let DaemonState { status, restarts, is_wanted, .. } = state(&policy, "a");
        assert_eq!((*status, *restarts, *is_wanted), (DaemonStatus::Starting, 0, true), "{before}");
    }
}

#[test]
fn a_daemon_wanted_while_it_stops_starts_again_after_its_exit() {
    let mut policy = policy([spec("a")]);
    check_steps(
        &mut policy,
        &[("0 tick", "start a"), ("1 unwant a", "stop a"), ("1 want a", ""), ("2 exited a 1", "start a")],
    );
    check_steps(&mut policy, &[("3 restart a", "stop a"), ("3 unwant a", ""), ("4 exited a 0", "")]);
    assert_eq!(statuses(&policy), "stopped");
    for requests in [&["1 unwant a", "1 want a"][..], &["1 restart a"]] {
        let mut policy = self::policy([with_ready("a")]);
        check_steps(&mut policy, &[("0 tick", "start a"), ("0 started a", ""), ("1 not_ready a", "stop a")]);
        for request in requests {
            check_steps(&mut policy, &[(request, "")]);
        }
        check_steps(&mut policy, &[("2 exited a 0", "start a")]);
    }
}

#[test]
fn the_end_of_all_daemons_keeps_the_count_of_restarts() {
    let mut policy = policy([spec("a")]);
    check_steps(
        &mut policy,
        &[
            ("0 tick", "start a"),
            ("0 exited a 1", ""),
            ("1 tick", "start a"),
            ("2 end", "stop a"),
            ("3 exited a 0", ""),
        ],
    );
    assert_eq!((statuses(&policy).as_str(), state(&policy, "a").restarts), ("stopped", 1));
}

#[test]
fn a_readiness_timeout_is_a_failed_attempt() {
    let mut policy = policy([with_ready("a")]);
    check_steps(&mut policy, &[("0 tick", "start a"), ("0 started a", ""), ("30 not_ready a", "stop a")]);
    check_steps(&mut policy, &[("31 ready a", ""), ("31 exited a 0", ""), ("32 tick", "start a")]);
    assert_eq!(state(&policy, "a").last_error, "not ready within 1s");
    check_steps(&mut policy, &[("32 started a", ""), ("62 not_ready a", "stop a"), ("63 exited a 0", "")]);
    assert_eq!(policy.next_tick(), Some(Duration::from_secs(65)), "the delay doubles");
    check_steps(
        &mut policy,
        &[("65 tick", "start a"), ("65 started a", ""), ("66 ready a", ""), ("67 not_ready a", "")],
    );
    let once = DaemonSpec { restart: Restart::No, ..with_ready("a") };
    let mut policy = self::policy([once]);
    check_steps(&mut policy, &[("0 tick", "start a"), ("0 started a", ""), ("1 not_ready a", "stop a")]);
    check_steps(&mut policy, &[("2 exited a 0", "")]);
    assert_eq!(statuses(&policy), "failed");
}

#[test]
fn an_adopted_daemon_continues_as_if_it_had_been_observed() {
    let ended = |code| AdoptedState::Ended { exit: exit(code), uptime: Duration::ZERO };
    let running = |is_ready| AdoptedState::Running { is_ready, health: Health::None, since: Duration::ZERO };
    for (restart, is_wanted, state, expected, next) in [
        (Restart::No, true, running(true), "running", ""),
        (Restart::No, true, running(false), "starting", ""),
        (Restart::No, false, running(true), "running", "stop a"),
        (Restart::No, true, ended(0), "exited", ""),
        (Restart::No, true, ended(7), "failed", ""),
        (Restart::OnFailure, true, ended(7), "backoff", "start a"),
        (Restart::Always, false, ended(7), "stopped", ""),
    ] {
        let mut policy = DaemonPolicy::new();
        policy.declare(DaemonSpec { restart, ..with_ready("a") }, is_wanted);
        policy.adopt(&name("a"), adopted(state), Duration::ZERO);
        assert_eq!((statuses(&policy).as_str(), self::state(&policy, "a").restarts), (expected, 4));
        check_steps(&mut policy, &[("1 tick", next)]);
    }
    let mut policy = policy([spec("web db"), spec("db")]);
    policy.adopt(&name("db"), adopted(running(false)), Duration::ZERO);
    check_steps(&mut policy, &[("1 tick", "start web"), ("2 exited db 1", ""), ("3 tick", "start db")]);
}

#[test]
fn events_that_do_not_fit_change_nothing() {
    let mut policy = policy([spec("a")]);
    check_steps(
        &mut policy,
        &[("0 started a", "start a"), ("0 ready a", ""), ("0 want b", ""), ("0 exited b 1", "")],
    );
    check_steps(
        &mut policy,
        &[("0 started a", ""), ("1 exited a 0", ""), ("1 exited a 1", ""), ("1 started a", "")],
    );
    check_steps(&mut policy, &[("1 not_ready a", ""), ("1 ready a", ""), ("1 cannot_start a", "")]);
    assert_eq!(statuses(&policy), "exited");
    assert!(DaemonPolicy::new().is_over());
}

#[test]
fn an_adopted_daemon_keeps_its_backoff_and_its_restart_limit() {
    let limited = || DaemonSpec { restart_limit: Some((3, Duration::from_mins(1))), ..spec("a") };
    let second = Duration::from_secs;
    let recent_restarts = vec![second(1), second(90)];
    let history =
        |state| Adopted { doublings: 2, recent_restarts: recent_restarts.clone(), ..adopted(state) };
    let mut policy = policy([limited()]);
    let next_start = second(104);
    policy.adopt(&name("a"), history(AdoptedState::Backoff { exit: exit(7), next_start }), second(100));
    assert_eq!((statuses(&policy).as_str(), state(&policy, "a").restarts), ("backoff", 4));
    check_steps(&mut policy, &[("103 tick", ""), ("104 tick", "start a"), ("104 exited a 7", "")]);
    assert_eq!(policy.next_tick(), Some(second(108)), "the third doubling");
    assert_eq!(state(&policy, "a").restarts, 5);
    check_steps(&mut policy, &[("108 tick", "start a"), ("108 exited a 7", "")]);
    assert_eq!(statuses(&policy), "failed", "three restarts within a minute");
    // One that waits for its dependencies after its backoff counts its restart, too.
    let mut policy = self::policy([limited()]);
    policy.adopt(&name("a"), history(AdoptedState::Waiting), second(100));
    check_steps(&mut policy, &[("100 tick", "start a")]);
    assert_eq!(state(&policy, "a").restarts, 5);
    // The uptime of one that has ended meanwhile counts.
    let mut policy = self::policy([limited()]);
    let ended = AdoptedState::Ended { exit: exit(7), uptime: second(10) };
    policy.adopt(&name("a"), history(ended), second(100));
    assert_eq!(policy.next_tick(), Some(Duration::ZERO));
    policy.tick(second(100));
    assert_eq!(policy.next_tick(), Some(second(101)), "the first delay");
}

#[test]
fn nothing_starts_a_daemon_that_is_not_declared() {
    let mut policy = policy([
        with_restart(Restart::Always, "db"),
        spec("late db:completed"),
        spec("failing"),
        spec("job db!"),
        DaemonSpec { exit_on_end: true, ..with_restart(Restart::Always, "main") },
    ]);
    check_steps(
        &mut policy,
        &[
            ("0 tick", "start db, start failing, start main"),
            ("0 started db", "start job"),
            ("0 started job", ""),
            ("0 started main", ""),
            ("1 exited failing 1", ""),
        ],
    );
    assert_eq!(statuses(&policy), "running waiting backoff running running");
    for daemon in ["late", "failing", "job", "main"] {
        policy.undeclare(&name(daemon));
    }
    assert_eq!(policy.next_tick(), Some(Duration::ZERO));
    check_steps(
        &mut policy,
        &[
            ("2 tick", ""),
            ("2 want failing", ""),
            ("2 restart job", ""),
            ("2 restart db", "stop db"),
            ("2 exited db 0", "start db"),
            ("3 exited main 0", ""),
            ("3 unwant job", "stop job"),
            ("4 exited job 0", ""),
            ("99 tick", ""),
        ],
    );
    assert_eq!(statuses(&policy), "starting stopped stopped stopped exited");
}

#[test]
fn a_daemon_that_is_declared_again_is_started_again() {
    let mut policy = policy([spec("a"), spec("b"), with_restart(Restart::Always, "c")]);
    check_steps(
        &mut policy,
        &[("0 tick", "start a, start b, start c"), ("0 started c", ""), ("0 exited a 1", "")],
    );
    for daemon in ["a", "b", "c"] {
        policy.undeclare(&name(daemon));
    }
    check_steps(&mut policy, &[("1 unwant b", "stop b")]);
    for spec in [spec("a"), spec("b"), with_restart(Restart::Always, "c")] {
        policy.declare(spec, true);
    }
    check_steps(
        &mut policy,
        &[("2 tick", "start a"), ("2 exited b 0", "start b"), ("2 exited c 0", ""), ("3 tick", "start c")],
    );
}

#[test]
fn a_replica_waits_for_the_one_that_had_its_number() {
    let replica = |index: u32| DaemonSpec {
        replica: Some(Replica { of: name("web"), index }),
        ..spec(&format!("web.{index}"))
    };
    let mut policy = policy([spec("web"), spec("other")]);
    check_steps(&mut policy, &[("0 tick", "start web, start other"), ("0 started web", "")]);
    policy.undeclare(&name("web"));
    policy.undeclare(&name("other"));
    policy.declare(replica(0), true);
    policy.declare(replica(1), true);
    check_steps(&mut policy, &[("1 unwant web", "stop web, start web.1"), ("2 exited web 0", "start web.0")]);
}
