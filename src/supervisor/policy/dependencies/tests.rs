//! Tests of what a daemon does when one that it depends on is restarted or ends.

use crate::model::Restart;
use crate::supervisor::policy::tests::{check_steps, policy, spec, state, statuses, with_restart};

#[test]
fn a_restart_by_a_command_restarts_the_dependents_that_want_it() {
    let lines = ["db", "web db!", "proxy web!", "app db", "idle db!"];
    let mut policy = policy(lines.map(spec));
    check_steps(
        &mut policy,
        &[
            ("0 tick", "start db"),
            ("0 started db", "start web, start app, start idle"),
            ("0 started web", "start proxy"),
            ("0 started proxy", ""),
            ("0 started app", ""),
            ("0 unwant idle", "stop idle"),
            ("0 exited idle 0", ""),
            ("1 restart db", "stop db, stop web, stop proxy"),
            ("2 exited web 0", ""),
            ("2 exited proxy 0", ""),
            ("2 exited db 0", "start db"),
            ("2 started db", "start web"),
            ("2 started web", "start proxy"),
            ("2 started proxy", ""),
        ],
    );
    assert_eq!(statuses(&policy), "running running running running stopped");
    assert_eq!(state(&policy, "web").restarts, 0, "not a restart after a failure");
    // A restart after a failure concerns the daemon alone.
    check_steps(&mut policy, &[("3 exited db 1", ""), ("4 tick", "start db")]);
    assert_eq!(statuses(&policy), "starting running running running stopped");
}

#[test]
fn a_dependency_has_ended_when_it_is_not_restarted_any_more() {
    for (restart, code, expected) in [
        (Restart::No, 0, "start web"),
        (Restart::No, 7, "start web"),
        (Restart::OnFailure, 7, ""),
        (Restart::OnFailure, 0, "start web"),
    ] {
        let mut policy = policy([with_restart(restart, "job"), spec("web job:ended")]);
        let exited = format!("1 exited job {code}");
        check_steps(
            &mut policy,
            &[("0 tick", "start job"), ("0 started job", ""), (exited.as_str(), expected)],
        );
    }
    let mut policy = policy([with_restart(Restart::No, "db"), spec("job db"), spec("web job:ended")]);
    check_steps(&mut policy, &[("0 tick", "start db"), ("0 started db", "start job"), ("1 started job", "")]);
    check_steps(&mut policy, &[("2 exited job 0", "start web")]);
    let mut policy = self::policy([with_restart(Restart::No, "db"), spec("job db"), spec("web job:ended")]);
    check_steps(&mut policy, &[("0 tick", "start db"), ("0 cannot_start db", "")]);
    assert_eq!(statuses(&policy), "failed failed failed", "the job has not run");
}
