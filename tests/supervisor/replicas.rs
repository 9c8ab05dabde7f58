//! Several replicas of one declaration.

use std::fs;

use crate::test_context::{TestContext, wait_until};

const MANIFEST: &str = "[daemons.web]\nshell = true\nreplicas = 3\n\
    command = 'echo \"replica $RIGUP_REPLICA\"; exec sleep 600'\nready = { stdout_line = true }\n\
    [daemons.proxy]\nshell = true\ndepends_on = ['web']\ncommand = 'ls $RIGUP_DATA_DIR >/dev/null; exec sleep 601'\n";

/// Returns the statuses of the replicas and of the daemon that depends on them.
fn statuses(context: &TestContext) -> Vec<String> {
    let daemons = context.run(&["ps", "-a"]).succeeds().records();
    daemons
        .iter()
        .map(|daemon| format!("{} {}", daemon["name"].as_str().unwrap(), daemon["status"].as_str().unwrap()))
        .collect()
}

#[test]
fn replicas_have_their_numbers_and_the_declared_name_means_all() {
    let context = TestContext::with_manifest(MANIFEST);
    context.run(&["up", "--wait", "proxy"]).succeeds();
    assert_eq!(statuses(&context), ["proxy running", "web.0 running", "web.1 running", "web.2 running"]);
    for index in 0..3 {
        let logs = context.run(&["logs", &format!("web.{index}")]).succeeds();
        assert_eq!(logs.stdout, format!("replica {index}\n"));
    }
    assert_eq!(context.daemon("web.1")["replica_of"], "web");
    context.run(&["stop", "web.1"]).succeeds();
    assert_eq!(context.daemon("web.0")["status"], "running");
    context.run(&["stop", "web"]).succeeds();
    assert_eq!(statuses(&context), ["proxy running", "web.0 stopped", "web.1 stopped", "web.2 stopped"]);
    assert_eq!(context.count_live("sleep 600"), 0);
    context.run(&["wait", "web"]).exits_with(143);
    context.run(&["start", "web"]).succeeds();
    wait_until("all run", || context.count_live("sleep 600") == 3);
    context.run(&["restart", "web"]).succeeds();
    wait_until("all were restarted", || (0..3).all(|i| context.executions(&format!("web.{i}")).len() >= 3));
    for index in 0..3 {
        context.await_status(&format!("web.{index}"), "running");
    }
    // Without a supervisor, too.
    context.kill_supervisor();
    context.run(&["stop", "web"]).succeeds();
    assert_eq!(statuses(&context), ["proxy running", "web.0 stopped", "web.1 stopped", "web.2 stopped"]);
    context.run(&["up", "--wait", "web"]).succeeds();
    assert_eq!(context.daemon("web.2")["status"], "running");
    context.down();
}

#[test]
fn replicas_that_are_no_longer_declared_are_stopped() {
    let context = TestContext::with_manifest("[daemons.web]\ncommand = 'sleep 600'\nreplicas = 3\n");
    context.run(&["up", "--wait"]).succeeds();
    context.write("here/rigup.toml", "[daemons.web]\ncommand = 'sleep 600'\nreplicas = 2\n");
    let pid = context.daemon("web.0")["pid"].clone();
    context.run(&["up", "-d"]).succeeds();
    wait_until("the third is not known any more", || context.daemons() == ["web.0", "web.1"]);
    assert_eq!((context.daemon("web.0")["pid"].clone(), context.count_live("sleep")), (pid, 2));
    context.write("here/rigup.toml", "[daemons.web]\ncommand = 'sleep 600'\n");
    context.run(&["up", "-d"]).succeeds();
    wait_until("only the single one is known", || context.daemons() == ["web"]);
    wait_until("only that runs", || context.count_live("sleep") == 1);
    context.down();
}

#[test]
fn a_replica_starts_once_the_one_with_its_number_has_stopped() {
    let declared = |replicas: u32| {
        format!(
            "[daemons.web]\nshell = true\nreplicas = {replicas}\n\
             command = '''echo begin >>$RIGUP_REPLICA\n\
             trap 'until [ -e go ]; do sleep .01; done; echo end >>$RIGUP_REPLICA; exit' TERM\n\
             sleep 600 & wait'''\n"
        )
    };
    let context = TestContext::with_manifest(&declared(3));
    let journal = |replica: u32| {
        fs::read_to_string(context.path(&format!("here/{replica}"))).unwrap_or_default().replace('\n', " ")
    };
    context.run(&["up", "--wait"]).succeeds();
    let mut expected = "begin ".to_owned();
    for (replicas, old, new) in [(1, "web.0", "web"), (2, "web", "web.0"), (1, "web.0", "web")] {
        wait_until("the first one has begun", || journal(0) == expected);
        context.write("here/rigup.toml", declared(replicas));
        let up = context.run(&["up", "-d"]).succeeds();
        assert_eq!(up.stderr, "", "surplus replicas are stopped without a warning");
        context.await_status(old, "stopping");
        assert_eq!(context.daemon(new)["status"], "waiting");
        if replicas == 2 {
            context.await_status("web.1", "running");
        }
        fs::write(context.path("here/go"), "").unwrap();
        context.await_status(new, "running");
        expected.push_str("end begin ");
        wait_until("the next one has begun", || journal(0) == expected);
        fs::remove_file(context.path("here/go")).unwrap();
    }
    fs::write(context.path("here/go"), "").unwrap();
    context.down();
}

#[test]
fn the_exit_code_of_replicas_is_that_of_the_one_that_ended() {
    for code in [0, 4] {
        let context = TestContext::with_manifest(&format!(
            "[daemons.check]\nshell = true\nreplicas = 2\nrestart = 'no'\n\
             command = '[ $RIGUP_REPLICA = 0 ] && exec sleep 600; exit {code}'\n"
        ));
        context.run(&["up", "--exit-code-from", "check"]).exits_with(code);
        context.down();
    }
}
