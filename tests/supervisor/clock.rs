//! A wall clock that jumps while daemons run.

use std::time::{Duration, Instant};

use crate::kernel;
use crate::test_context::{CommandOutput, TestContext, wait_until};

const MANIFEST: &str = "[daemons.server]\ncommand = 'sleep 600'\n\
    [daemons.flaky]\nshell = true\ncommand = 'exit 3'\nrestart_delay = '300ms'\nrestart_delay_max = '300ms'\n\
    [daemons.slow]\ncommand = 'sleep 601'\nready = { file = 'never', timeout = 3 }\nrestart = 'no'\n\
    [daemons.dependent]\ncommand = 'sleep 602'\ndepends_on = ['slow']\n\
    [daemons.stubborn]\nshell = true\ncommand = 'trap \"\" TERM; while :; do sleep 603; done'\n";

#[test]
fn promise_17_nothing_hangs_when_the_clock_jumps_by_a_year() {
    if !kernel::has("cc") {
        return;
    }
    std::thread::scope(|scope| {
        for (seconds, year) in [("-31622400", "2000"), ("31622400", "2099")] {
            scope.spawn(move || jump(seconds, year));
        }
    });
}

/// Sets the clock while daemons wait for a restart and for readiness, and back while they are stopped.
fn jump(seconds: &str, year: &str) {
    let mut context = TestContext::with_manifest(MANIFEST);
    context.shift_clock();
    let starts = || context.executions("flaky").len();
    let await_restarts = |count: usize| {
        let (before, began) = (starts(), Instant::now());
        wait_until("it is restarted", || starts() >= before + count);
        began.elapsed()
    };
    context.run(&["up", "-d"]).succeeds();
    wait_until("all daemons have started", || {
        starts() >= 2
            && context.daemon("slow")["status"] == "starting"
            && context.count_live("sleep 603") == 1
    });
    let server = context.daemon("server")["process_id"].clone();
    let wait = context.start(&["wait", "slow", "dependent"]);
    let began = Instant::now();
    context.write("clock", seconds);
    assert!(await_restarts(3) >= Duration::from_millis(600), "the restarts stay paced");
    context.await_status("slow", "failed");
    assert!(began.elapsed() < Duration::from_secs(15), "the readiness timeout is neither longer nor shorter");
    assert_eq!(context.daemon("slow")["exit_code"], 143);
    assert!(context.daemon("slow")["last_error"].as_str().unwrap().contains('3'), "it names the timeout");
    context.await_status("dependent", "failed");
    CommandOutput::new(&["wait"], &wait.wait_with_output().unwrap()).exits_with(143);

    // A time of the other clock in the store delays no restart.
    context.kill_supervisor();
    let next = format!("{year}-01-01T00:00:00.000Z");
    let sql = "UPDATE daemon SET status = 'backoff', next_start_at = ?1 WHERE name = 'flaky'";
    assert_eq!(context.store().execute(sql, [&next]).unwrap(), 1);
    context.run(&["up", "-d"]).succeeds();
    assert!(await_restarts(2) < Duration::from_secs(15));
    assert_eq!(context.daemon("server")["process_id"], server, "it runs on");

    context.write("clock", "0");
    await_restarts(2);
    let began = Instant::now();
    context.run(&["down", "-t", "1"]).succeeds();
    assert!(began.elapsed() < Duration::from_secs(15), "the grace period is as long as it is");
    context.down();
}
