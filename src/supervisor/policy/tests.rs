//! Tests of the rules about several daemons, each as a table of steps.

use std::path::PathBuf;

use super::*;
use crate::model::{HealthCheck, Readiness, ReadinessCheck, Restart};

pub(super) fn name(text: &str) -> DaemonName {
    text.parse().unwrap()
}

/// Returns the declaration of a line such as `web db cache:started? setup:completed`. The condition of a dependency is
/// `ready` unless another one is given; `?` makes it optional, and `!` restarts the daemon with it.
pub(super) fn spec(line: &str) -> DaemonSpec {
    let mut words = line.split_whitespace();
    let own_name = name(words.next().unwrap());
    let depends_on = words.map(|word| {
        let (required, restart) = (!word.ends_with('?'), word.ends_with('!'));
        let word = word.trim_end_matches(['?', '!']);
        let (other, condition) = word.split_once(':').unwrap_or((word, ""));
        let condition = match condition {
            "started" => Condition::Started,
            "completed" => Condition::CompletedSuccessfully,
            "ended" => Condition::Completed,
            "healthy" => Condition::Healthy,
            _ => Condition::Ready,
        };
        Dependency { name: name(other), condition, required, restart }
    });
    let source = format!("rigup.toml [daemons.{own_name}]");
    let spec = DaemonSpec::new(own_name, source, vec!["sleep".to_owned()], PathBuf::from("/"));
    DaemonSpec { depends_on: depends_on.collect(), ..spec }
}

pub(super) fn with_restart(restart: Restart, line: &str) -> DaemonSpec {
    DaemonSpec { restart, ..spec(line) }
}

/// Returns a declaration with a check of readiness.
pub(super) fn with_ready(line: &str) -> DaemonSpec {
    let second = Duration::from_secs(1);
    let ready = Readiness {
        probe: ReadinessCheck::StdoutLine,
        timeout: second,
        interval: second,
        check_timeout: second,
        stops_all: false,
    };
    DaemonSpec { ready: Some(ready), ..spec(line) }
}

/// Returns a health check that restarts the daemon or not.
pub(super) fn health_check(restarts: bool) -> HealthCheck {
    let second = Duration::from_secs(1);
    HealthCheck {
        probe: ReadinessCheck::StdoutLine,
        interval: second,
        timeout: second,
        retries: 3,
        start_period: Duration::ZERO,
        start_interval: second,
        restarts,
    }
}

pub(super) fn policy(specs: impl IntoIterator<Item = DaemonSpec>) -> DaemonPolicy {
    let mut policy = DaemonPolicy::new();
    for spec in specs {
        policy.declare(spec, true);
    }
    policy
}

/// Returns a daemon that was restarted four times before it is adopted.
pub(super) fn adopted(state: AdoptedState) -> Adopted {
    Adopted { state, restarts: 4, doublings: 0, recent_restarts: Vec::new(), last_error: String::new() }
}

pub(super) fn exit(code: i32) -> Exit {
    Exit { code: Some(code), text: format!("exit code {code}") }
}

/// Handles the event of a step such as `1.5 exited db 3`, which starts with the time in seconds.
pub(super) fn handle(policy: &mut DaemonPolicy, step: &str) -> Vec<Action> {
    let mut words = step.split_whitespace();
    let now = Duration::from_secs_f64(words.next().unwrap().parse().unwrap());
    let (event, daemon) = (words.next().unwrap(), words.next().map(name));
    let argument = words.next().unwrap_or_default();
    let daemon = daemon.as_ref();
    let event = match event {
        "tick" => return policy.tick(now),
        "end" => PolicyEvent::End,
        "want" => PolicyEvent::Want(daemon.unwrap()),
        "unwant" => PolicyEvent::Unwant(daemon.unwrap()),
        "restart" => PolicyEvent::Restart(daemon.unwrap()),
        "started" => PolicyEvent::Started(daemon.unwrap()),
        "cannot_start" => PolicyEvent::CannotStart(daemon.unwrap(), "no such file".to_owned()),
        "ready" => PolicyEvent::Ready(daemon.unwrap()),
        "not_ready" => PolicyEvent::NotReady(daemon.unwrap(), "not ready within 1s".to_owned()),
        "healthy" => PolicyEvent::Healthy(daemon.unwrap()),
        "unhealthy" => PolicyEvent::Unhealthy(daemon.unwrap(), "no answer".to_owned()),
        "exited" => PolicyEvent::Exited(daemon.unwrap(), exit(argument.parse().unwrap())),
        other => panic!("unknown event {other}"),
    };
    policy.handle(event, now)
}

/// Handles the events of steps, and checks the actions after each, such as `stop web, start db`.
pub(super) fn check_steps(policy: &mut DaemonPolicy, steps: &[(&str, &str)]) {
    for (step, expected) in steps {
        let actions = handle(policy, step).into_iter().map(|action| match action {
            Action::Start(name) => format!("start {name}"),
            Action::Stop(name) => format!("stop {name}"),
        });
        assert_eq!(actions.collect::<Vec<_>>().join(", "), *expected, "{step}");
    }
}

/// Returns the statuses in the order of declaration, such as `running waiting`.
pub(super) fn statuses(policy: &DaemonPolicy) -> String {
    let statuses = policy.daemons.iter().map(|daemon| format!("{:?}", daemon.state.status).to_lowercase());
    statuses.collect::<Vec<_>>().join(" ")
}

pub(super) fn state<'a>(policy: &'a DaemonPolicy, daemon: &str) -> &'a DaemonState {
    policy.state(&name(daemon)).unwrap()
}

#[test]
fn a_daemon_starts_when_each_dependency_has_reached_its_condition() {
    let specs = || {
        [spec("web db cache:started setup:completed"), with_ready("db"), with_ready("cache"), spec("setup")]
    };
    let mut policy = policy(specs());
    check_steps(
        &mut policy,
        &[
            ("0 tick", "start db, start cache, start setup"),
            ("1 started db", ""),
            ("1 started cache", ""),
            ("1 started setup", ""),
            ("2 exited setup 0", ""),
            ("3 ready db", "start web"),
            ("3 started web", ""),
        ],
    );
    assert_eq!(statuses(&policy), "running running starting exited");
    assert_eq!(specs().map(|spec| state(&policy, &spec.name).is_ready), [true, true, false, false]);
    assert_eq!(order(&specs()), ["db", "cache", "setup", "web"].map(name));
}

#[test]
fn a_started_dependency_holds_only_once_it_runs() {
    let mut policy = policy([spec("web db:started"), spec("db")]);
    check_steps(&mut policy, &[("0 tick", "start db"), ("1 tick", ""), ("2 started db", "start web")]);
}

#[test]
fn a_dependency_that_ended_with_success_counts_as_ready() {
    let mut policy = policy([spec("web setup"), with_ready("setup")]);
    check_steps(
        &mut policy,
        &[
            ("0 tick", "start setup"),
            ("0 started setup", ""),
            ("1 exited setup 0", "start web"),
            ("1 started web", ""),
            ("2 exited web 1", ""),
            ("3 tick", "start web"),
        ],
    );
}

#[test]
fn an_optional_dependency_blocks_only_while_it_is_going_to_run() {
    let mut policy = policy([spec("web db:ready? absent:ready?"), with_restart(Restart::No, "db")]);
    check_steps(&mut policy, &[("0 tick", "start db"), ("1 exited db 1", "start web")]);
    let mut policy = self::policy([spec("web db?"), spec("db")]);
    check_steps(
        &mut policy,
        &[("0 tick", "start db"), ("1 unwant db", "stop db"), ("2 exited db 0", "start web")],
    );
}

#[test]
fn a_failed_required_dependency_fails_its_dependents() {
    let mut policy = policy([spec("proxy web"), spec("web db"), with_restart(Restart::No, "db")]);
    check_steps(&mut policy, &[("0 tick", "start db"), ("1 exited db 3", "")]);
    assert_eq!(statuses(&policy), "failed failed failed");
    let error = "the dependency web failed: the dependency db failed: exit code 3";
    assert_eq!(state(&policy, "proxy").last_error, error);
    assert!(policy.is_over() && policy.has_failed() && !policy.is_ending());
    check_steps(&mut policy, &[("2 want db", "start db"), ("2 want web", ""), ("3 started db", "start web")]);
    assert_eq!(statuses(&policy), "failed starting running");
}

#[test]
fn a_completed_dependency_may_have_failed_for_good() {
    let limited = DaemonSpec { restart_limit: Some((1, Duration::from_mins(1))), ..spec("job") };
    let mut policy = policy([spec("web job:ended"), limited]);
    check_steps(
        &mut policy,
        &[
            ("0 tick", "start job"),
            ("1 exited job 3", ""),
            ("2 tick", "start job"),
            ("3 exited job 3", "start web"),
        ],
    );
    let mut policy = self::policy([spec("web job:ended"), spec("job")]);
    check_steps(&mut policy, &[("0 tick", "start job"), ("1 exited job 0", "start web")]);
}

#[test]
fn dependents_wait_through_the_restarts_of_a_dependency() {
    let mut policy = policy([spec("web db"), with_ready("db")]);
    check_steps(
        &mut policy,
        &[
            ("0 tick", "start db"),
            ("0 started db", ""),
            ("1 exited db 1", ""),
            ("1 restart web", ""),
            ("2 tick", "start db"),
            ("2 started db", ""),
            ("3 ready db", "start web"),
            ("3 started web", ""),
            ("4 exited db 1", ""),
            ("4 exited web 1", ""),
            ("5 tick", ""),
        ],
    );
    assert_eq!(statuses(&policy), "waiting backoff", "the delay of db has doubled");
    check_steps(&mut policy, &[("6 tick", "start db"), ("6 started db", ""), ("6 ready db", "start web")]);
    assert_eq!(state(&policy, "web").restarts, 1);
}

#[test]
fn a_one_shot_that_succeeded_runs_again_only_by_its_name() {
    let mut policy = policy([spec("setup"), spec("web setup:completed")]);
    check_steps(
        &mut policy,
        &[("0 tick", "start setup"), ("0 started setup", ""), ("1 exited setup 0", "start web")],
    );
    policy.declare(spec("setup"), true);
    assert_eq!(policy.next_tick(), Some(Duration::ZERO));
    check_steps(
        &mut policy,
        &[("2 tick", ""), ("2 exited web 1", ""), ("3 want setup", "start setup"), ("4 tick", "")],
    );
    assert_eq!(statuses(&policy), "starting waiting", "web waits for the second execution");
}

#[test]
fn a_declaration_changes_no_execution_and_starts_what_stopped_or_failed() {
    let mut policy = policy([with_restart(Restart::No, "a"), spec("b"), spec("c")]);
    check_steps(
        &mut policy,
        &[
            ("0 tick", "start a, start b, start c"),
            ("1 exited a 1", ""),
            ("1 unwant b", "stop b"),
            ("1 exited b 0", ""),
        ],
    );
    for (daemon, is_wanted) in [("a", true), ("b", false), ("c", false)] {
        policy.declare(with_restart(Restart::No, daemon), is_wanted);
    }
    policy.declare(spec("d"), false);
    check_steps(&mut policy, &[("2 tick", "start a"), ("3 exited c 1", "")]);
    assert_eq!(statuses(&policy), "starting stopped failed stopped", "the new `restart` field applies to c");
    policy.declare(spec("b"), true);
    check_steps(&mut policy, &[("4 tick", "start b")]);
}

#[test]
fn a_daemon_whose_check_of_readiness_was_removed_is_ready() {
    let mut policy = policy([spec("web db"), with_ready("db")]);
    check_steps(&mut policy, &[("0 tick", "start db"), ("0 started db", "")]);
    policy.declare(spec("db"), true);
    check_steps(&mut policy, &[("1 tick", "start web")]);
}

#[test]
fn the_end_stops_dependents_first_and_independent_daemons_together() {
    let mut policy = policy([
        spec("db"),
        spec("cache"),
        spec("web db cache"),
        spec("proxy web"),
        spec("other"),
        spec("x"),
    ]);
    policy.tick(Duration::ZERO);
    for step in ["0 started db", "0 started cache", "0 started web", "0 started proxy", "0 exited x 1"] {
        handle(&mut policy, step);
    }
    check_steps(
        &mut policy,
        &[
            ("1 end", "stop proxy, stop other"),
            ("2 want x", ""),
            ("2 end", ""),
            ("2 exited proxy 143", "stop web"),
            ("3 exited other 0", ""),
            ("4 exited web 0", "stop db, stop cache"),
            ("5 exited cache 0", ""),
        ],
    );
    assert_eq!((policy.is_over(), policy.is_ending()), (false, true));
    check_steps(&mut policy, &[("6 exited db 0", ""), ("100 tick", "")]);
    assert_eq!(statuses(&policy), ["stopped"; 6].join(" "));
    assert!(policy.is_over() && !policy.has_failed() && state(&policy, "db").is_wanted);
    assert_eq!(policy.next_tick(), None);
}

#[test]
fn the_end_stops_a_dependency_after_the_dependents_of_its_dependents() {
    let mut policy = policy([spec("db"), with_restart(Restart::No, "setup db"), spec("web setup")]);
    policy.tick(Duration::ZERO);
    check_steps(
        &mut policy,
        &[
            ("0 started db", "start setup"),
            ("0 exited setup 0", "start web"),
            ("1 end", "stop web"),
            ("2 exited web 0", "stop db"),
        ],
    );
}

#[test]
fn an_exit_before_its_stop_keeps_its_meaning_during_the_end() {
    let mut policy = policy([spec("setup"), spec("db"), spec("web setup:started db:started")]);
    policy.tick(Duration::ZERO);
    check_steps(
        &mut policy,
        &[
            ("0 started setup", ""),
            ("0 started db", "start web"),
            ("1 end", "stop web"),
            ("2 exited setup 0", ""),
            ("2 exited db 1", ""),
            ("3 exited web 1", ""),
        ],
    );
    policy.declare(spec("db"), true);
    check_steps(&mut policy, &[("4 tick", "")]);
    assert_eq!(statuses(&policy), "exited failed stopped");
}

#[test]
fn a_readiness_timeout_does_not_change_the_order_of_the_end() {
    let mut policy = policy([with_ready("db"), spec("web db:started")]);
    check_steps(
        &mut policy,
        &[
            ("0 tick", "start db"),
            ("0 started db", "start web"),
            ("1 end", "stop web"),
            ("2 not_ready db", ""),
            ("3 exited web 0", "stop db"),
            ("4 exited db 0", ""),
        ],
    );
    assert_eq!(statuses(&policy), "stopped stopped");
}

#[test]
fn daemons_whose_declarations_form_a_cycle_can_be_stopped() {
    let mut policy = policy([spec("a"), spec("b a")]);
    check_steps(&mut policy, &[("0 tick", "start a"), ("0 started a", "start b")]);
    policy.declare(spec("a b"), true);
    check_steps(&mut policy, &[("1 end", "stop a, stop b")]);
}

#[test]
fn the_end_or_failure_of_a_daemon_can_stop_all() {
    let ends = |is_end: bool| DaemonSpec { exit_on_end: is_end, exit_on_failure: !is_end, ..spec("main") };
    for (is_end, event, expected, has_failed) in [
        (true, "1 exited main 0", "exited", false),
        (true, "1 exited main 1", "failed", true),
        (true, "1 cannot_start main", "failed", true),
        (false, "1 exited main 1", "failed", true),
        (false, "1 cannot_start main", "failed", true),
    ] {
        let mut policy = policy([spec("db"), ends(is_end), spec("late main:completed")]);
        check_steps(
            &mut policy,
            &[("0 tick", "start db, start main"), (event, "stop db"), ("2 exited db 0", "")],
        );
        assert_eq!(statuses(&policy), format!("stopped {expected} stopped"), "{event}");
        assert!(policy.is_ending() && policy.is_over());
        assert_eq!(policy.has_failed(), has_failed, "{event}");
    }
    for (is_end, event) in [(false, "1 exited main 0"), (true, "1 unwant main"), (true, "1 restart main")] {
        let mut policy = policy([ends(is_end)]);
        policy.tick(Duration::ZERO);
        handle(&mut policy, event);
        handle(&mut policy, "2 exited main 0");
        assert!(!policy.is_ending(), "{event}");
    }
    let mut policy = policy([
        with_restart(Restart::No, "db"),
        spec("other"),
        DaemonSpec { exit_on_failure: true, ..spec("web db") },
    ]);
    check_steps(&mut policy, &[("0 tick", "start db, start other"), ("1 exited db 1", "stop other")]);
}

#[test]
fn a_readiness_timeout_can_stop_all() {
    let mut main = DaemonSpec { restart: Restart::Always, ..with_ready("main") };
    main.ready.as_mut().unwrap().stops_all = true;
    let mut ended_before = policy([spec("db"), main.clone()]);
    check_steps(&mut ended_before, &[("0 tick", "start db, start main"), ("1 exited main 1", "")]);
    assert_eq!(statuses(&ended_before), "starting backoff");
    let mut policy = policy([spec("db"), main]);
    check_steps(
        &mut policy,
        &[
            ("0 tick", "start db, start main"),
            ("1 not_ready main", "stop main"),
            ("2 exited main 0", "stop db"),
        ],
    );
    assert!(policy.is_ending() && policy.has_failed());
}

#[test]
fn an_adopted_daemon_that_had_stopped_all_is_started_again() {
    let mut policy = policy([DaemonSpec { exit_on_end: true, ..spec("main") }, spec("db")]);
    let ended = AdoptedState::Ended { exit: exit(0), uptime: Duration::ZERO };
    policy.adopt(&name("main"), adopted(ended), Duration::ZERO);
    check_steps(&mut policy, &[("0 tick", "start main, start db")]);
    assert!(!policy.is_ending());
}

#[test]
fn a_daemon_that_is_forgotten_neither_fails_nor_blocks_anything() {
    let mut policy = DaemonPolicy::new();
    policy.declare(with_restart(Restart::No, "a"), true);
    policy.declare(spec("b after a?"), false);
    policy.tick(Duration::ZERO);
    policy.handle(PolicyEvent::CannotStart(&name("a"), "gone".to_owned()), Duration::ZERO);
    assert!(policy.has_failed());
    policy.forget(&name("a"));
    assert!(!policy.has_failed() && policy.is_over() && policy.state(&name("a")).is_none());
}
