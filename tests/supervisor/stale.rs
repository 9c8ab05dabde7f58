//! Daemons whose binaries an install has changed.

use crate::test_context::{TestContext, wait_until};

/// Creates a context with a provider that installs the version in the file `version` of a program.
fn context(manifest: &str) -> TestContext {
    let context = TestContext::with_manifest(manifest);
    context.provider(
        "p",
        "#!/bin/sh\nversion=$(cat \"$DATA_DIR/../version\")\nprogram=$LIB_DIR/p/tool\nmkdir -p \"${program%/*}\"\n\
         printf '#!/bin/sh\\n[ \"$1\" = run ] && exec sleep 600\\necho %s\\n' \"$version\" >\"$program.new\"\n\
         chmod +x \"$program.new\" && mv \"$program.new\" \"$program\"\n\
         printf '{\"type\":\"Binary\",\"name\":\"tool\",\"abspath\":\"%s\",\"version\":\"%s\"}\\n' \"$program\" \"$version\"\n",
    );
    context.write("version", "1.0");
    context
}

/// Installs another version, while the daemons run.
fn update(context: &TestContext, version: &str) {
    context.write("version", version);
    context.run(&["install", "tool", "--force", "--binproviders", "p"]).succeeds();
}

#[test]
fn an_update_makes_a_daemon_stale_and_the_next_up_restarts_it() {
    for has_supervisor in [true, false] {
        let context = context(
            "[daemons.a]\ncommand = 'tool run'\nbinaries = ['tool']\n[daemons.b]\ncommand = 'sleep 601'\n",
        );
        context.run(&["up", "--wait"]).succeeds();
        let pid = |name: &str| context.daemon(name)["pid"].clone();
        let (a, b) = (pid("a"), pid("b"));
        assert_eq!(context.daemon("a")["stale"], false);
        if !has_supervisor {
            context.kill_supervisor();
        }
        // The same version is no change.
        update(&context, "1.0");
        assert_eq!(context.daemon("a")["stale"], false);
        update(&context, "2.0");
        assert_eq!(
            (&context.daemon("a")["stale"], &context.daemon("b")["stale"]),
            (&true.into(), &false.into())
        );
        assert!(context.run(&["ps", "--format", "table"]).succeeds().stdout.contains("running (stale)"));
        assert_eq!((pid("a"), pid("b")), (a.clone(), b.clone()), "nothing is restarted by itself");
        context.run(&["up", "--wait"]).succeeds();
        wait_until("it is restarted", || context.executions("a").len() == 2);
        assert_eq!(context.await_status("a", "running")["stale"], false);
        assert_eq!(pid("b"), b);
        context.run(&["up", "--wait"]).succeeds();
        assert_eq!(context.executions("a").len(), 2, "it is up to date");
        context.down();
    }
}

#[test]
fn restart_on_update_restarts_a_daemon_at_once() {
    let context = context(
        "[daemons.a]\ncommand = 'tool run'\nbinaries = ['tool']\nrestart_on_update = true\n\
         [daemons.b]\ncommand = 'tool run'\nbinaries = ['tool']\n",
    );
    context.run(&["up", "--wait"]).succeeds();
    update(&context, "1.0");
    update(&context, "2.0");
    wait_until("it is restarted", || context.executions("a").len() == 2);
    assert_eq!(context.await_status("a", "running")["stale"], false);
    assert_eq!((&context.daemon("b")["stale"], context.executions("b").len()), (&true.into(), 1));
    context.run(&["stop", "a"]).succeeds();
    update(&context, "3.0");
    assert_eq!(context.daemon("a")["status"], "stopped", "an update starts no daemon");
    context.down();
}
