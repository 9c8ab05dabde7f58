//! What `rigup up` finds after everything that supervised the daemons is gone: other processes were killed, too, or the
//! machine was restarted.

use nix::sys::signal::Signal;

use crate::test_context::{TestContext, signal, wait_until};

/// Kills the supervisor, the waiters and the daemons, as the end of the machine or of a container does.
fn kill_everything(context: &TestContext) {
    // Each first: a waiter that lives records the exit of its daemon.
    for kind in [" supervise", " waiter "] {
        let is_of_kind = |(_, line): &(u32, String)| format!("{line} ").contains(kind);
        context
            .live_processes()
            .into_iter()
            .filter(is_of_kind)
            .for_each(|(pid, _)| signal(pid, Signal::SIGKILL));
        wait_until("they are dead", || !context.live_processes().iter().any(is_of_kind));
    }
    context.live_processes().into_iter().for_each(|(pid, _)| signal(pid, Signal::SIGKILL));
    wait_until("everything is dead", || context.live_processes().is_empty());
}

#[test]
fn ps_shows_no_daemon_as_running_that_died_unobserved() {
    let context = TestContext::with_manifest("[daemons.a]\ncommand = 'sleep 600'\n");
    context.run(&["up", "--wait"]).succeeds();
    kill_everything(&context);
    assert_eq!(context.run(&["ps"]).succeeds().stdout, "");
    let a = context.daemon("a");
    assert_eq!((&a["status"], &a["pid"], &a["exit_reason"]), (&"stopped".into(), &().into(), &"lost".into()));
    context.run(&["wait", "a"]).exits_with(1);
    context.down();
}

#[test]
fn the_first_up_after_a_reboot_starts_everything() {
    let manifest = "[daemons.a]\ncommand = 'sleep 600'\nrestart = 'no'\n\
        [daemons.b]\ncommand = 'true'\nrestart = 'no'\n\
        [daemons.c]\ncommand = 'sleep 601'\nrestart_delay = 600\nrestart_delay_max = 600\n\
        [daemons.d]\ncommand = 'sleep 602'\n";
    for is_reboot in [true, false] {
        let context = TestContext::with_manifest(manifest);
        context.run(&["up", "--wait"]).succeeds();
        context.run(&["stop", "d"]).succeeds();
        kill_everything(&context);
        if is_reboot {
            let sql = "UPDATE process SET boot_id = '00000000-0000-4000-8000-000000000000'";
            context.store().execute(sql, []).unwrap();
        }
        context.run(&["up", "-d"]).succeeds();
        if is_reboot {
            context.await_status("a", "running");
            wait_until("b runs again", || context.executions("b").len() == 2);
            context.await_status("b", "exited");
            context.await_status("c", "running");
        } else {
            // Of this boot, the lost executions are failures, and what has succeeded stays so.
            context.await_status("a", "failed");
            context.await_status("c", "backoff");
            assert_eq!(context.executions("b").len(), 1);
        }
        assert_eq!(context.daemon("d")["status"], "stopped", "a stop is remembered");
        context.down();
    }
}
