//! Supervision while the disk is full.

use crate::kernel::Namespaces;
use crate::test_context::{TestContext, wait_until};

#[test]
#[ignore = "takes a minute"]
fn a_daemon_can_be_stopped_while_the_disk_is_full() {
    let Some(namespaces) = Namespaces::new(&["--mount"]) else { return };
    let context = TestContext::with_manifest(
        "[daemons.a]\ncommand = 'sleep 600'\n[daemons.b]\ncommand = 'sleep 601'\n",
    );
    let data = context.path("data");
    namespaces
        .sh(&context, &format!("mkdir {0} && mount -t tmpfs -o mode=700,size=3m none {0}", data.display()));
    namespaces.run(&context, &["up", "--wait"]).succeeds();
    namespaces.sh(&context, "cat /dev/zero >\"$RIGUP_DATA_DIR/filler\" 2>/dev/null || :");
    let stop = namespaces.run(&context, &["stop", "a"]);
    assert_eq!((stop.code, context.count_live("sleep 600")), (Some(0), 0), "{}", stop.stderr);
    namespaces.run(&context, &["down"]);
    wait_until("nothing runs", || context.live_processes().is_empty());
    namespaces.sh(&context, "rm \"$RIGUP_DATA_DIR/filler\"");
    namespaces.run(&context, &["ps", "-a"]).succeeds();
}
