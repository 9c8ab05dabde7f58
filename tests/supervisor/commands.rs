//! The exit codes and the output of the commands for daemons.

use std::io::Read;

use crate::leftovers::assert_nothing_is_left;
use crate::pty::start_on_pty;
use crate::test_context::{TestContext, wait_until};

#[test]
fn wait_exits_with_the_exit_code_of_the_daemon() {
    let context = TestContext::with_manifest(
        "[daemons.good]\ncommand = 'true'\n\
         [daemons.bad]\nshell = true\ncommand = 'until [ -e go ]; do sleep 0.01; done; exit 3'\nrestart = 'no'\n",
    );
    context.run(&["up", "-d"]).succeeds();
    context.run(&["wait", "good"]).succeeds();
    let waiting = context.start(&["wait", "good", "bad"]);
    context.write("here/go", "");
    assert_eq!(waiting.wait_with_output().unwrap().status.code(), Some(3));
    context.run(&["wait", "bad"]).exits_with(3);
    context.run(&["wait", "none"]).exits_with(1).stderr_contains("no daemon is named none");
    context.down();
    // Its exit code is kept without a supervisor, too.
    context.run(&["wait", "bad"]).exits_with(3);
}

#[test]
fn up_succeeds_if_every_daemon_ends_well_and_fails_otherwise() {
    let context = TestContext::with_manifest("[daemons.a]\ncommand = 'true'\n");
    context.run(&["up"]).succeeds();
    context.write(
        "here/rigup.toml",
        "[daemons.a]\ncommand = 'true'\n[daemons.b]\ncommand = 'false'\nrestart = 'no'\n",
    );
    context.run(&["up"]).exits_with(1);
    context.write(
        "here/rigup.toml",
        "[daemons.b]\nshell = true\ncommand = 'exit 3'\nsuccess_exit_codes = [3]\n",
    );
    context.run(&["up"]).succeeds();
    assert_nothing_is_left(&context);
}

#[test]
fn ps_shows_the_last_error_of_a_daemon_in_80_columns() {
    const COLUMNS: u16 = 80;
    let name = "the importer of the mail of all users";
    let mut context = TestContext::with_manifest(&format!(
        "[daemons.'{name}']\ncommand = 'no-such-program'\nrestart = 'no'\nmemory_max = '64MiB'\n\
         [daemons.ok]\ncommand = 'sleep 600'\nhealthcheck = {{test = 'true'}}\n"
    ));
    context.set("NO_COLOR", "1");
    context.run(&["up", "-d"]).succeeds();
    context.await_status(name, "failed");
    context.await_status("ok", "running");
    let words = [env!("CARGO_BIN_EXE_rigup"), "ps", "-a"];
    let (mut terminal, mut ps) = start_on_pty(&mut context, &words, COLUMNS);
    let mut shown = Vec::new();
    // Reading from a terminal that no process has open any more fails.
    let _ = terminal.read_to_end(&mut shown);
    assert!(ps.wait().unwrap().success());
    let shown = String::from_utf8(shown).unwrap();
    assert!(shown.lines().all(|line| line.chars().count() <= usize::from(COLUMNS)), "{shown}");
    assert!(shown.contains("LAST ERROR"), "{shown}");
    let row = shown.lines().find(|line| line.contains("failed")).unwrap();
    assert!(row.contains("  cannot start no-such"), "{shown}");
    context.down();
}

#[test]
fn a_refused_manifest_starts_nothing_and_leaves_no_supervisor() {
    let context = TestContext::new();
    for (manifest, problem) in [
        ("", "no daemon is declared"),
        ("[daemons.a]\ncommand = 'true'\nrestrat = 'no'\n", "restrat"),
        ("[daemons.a]\ncommand = 'true'\ndepends_on = ['b']\n", "\"b\", which is not declared"),
        (
            "[daemons.a]\ncommand = 'true'\ndepends_on = ['b']\n[daemons.b]\ncommand = 'true'\ndepends_on = ['a']\n",
            "a -> b -> a",
        ),
    ] {
        context.write("here/rigup.toml", manifest);
        for args in [&["up"][..], &["up", "-d"], &["up", "--dry-run"]] {
            context.run(args).exits_with(3).stderr_contains(problem);
        }
        assert_eq!(context.live_processes(), []);
    }
    context.write("here/rigup.toml", "");
    context.write("here/Procfile.empty", "# none\n");
    let refused = context.run(&["up", "-f", "Procfile.empty"]).exits_with(3);
    refused.stderr_contains("no daemon is declared in Procfile.empty; add one");
    context.write("here/rigup.toml", "[daemons.a]\ncommand = 'true'\n");
    for args in [&["up", "none"][..], &["up", "-d", "none"]] {
        let refused = context.run(args).stderr_contains("no daemon is named none");
        assert_eq!((refused.code, context.live_processes()), (Some(1), vec![]), "{args:?}");
    }
    assert_nothing_is_left(&context);
}

#[test]
fn a_dry_run_shows_the_order_of_the_start_and_starts_nothing() {
    let context = TestContext::with_manifest(
        "[daemons.a]\ncommand = 'true'\ndepends_on = ['c']\n[daemons.b]\ncommand = 'true'\n\
         [daemons.c]\ncommand = 'true'\ndepends_on = ['d']\n[daemons.d]\ncommand = 'true'\n",
    );
    let names: Vec<String> = context
        .run(&["up", "--dry-run", "--json"])
        .succeeds()
        .records()
        .iter()
        .map(|daemon| daemon["name"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(names, ["d", "c", "a", "b"]);
    assert!(context.run(&["ps", "-a", "--json"]).succeeds().records().is_empty());
    assert_nothing_is_left(&context);
}

#[test]
fn ps_lists_the_documented_fields_of_each_daemon() {
    let context = TestContext::with_manifest(
        "[daemons.a]\ncommand = 'sleep 600'\n[daemons.b]\nshell = true\ncommand = 'exit 3'\nrestart = 'no'\n",
    );
    context.run(&["up", "--wait"]);
    context.await_status("b", "failed");
    let live = context.run(&["ps", "--json"]).succeeds().record();
    for field in [
        "type",
        "name",
        "status",
        "ready",
        "health",
        "process_id",
        "pid",
        "restarts",
        "exit_code",
        "exit_reason",
        "next_start_at",
        "last_error",
    ] {
        assert!(live.get(field).is_some(), "{field}");
    }
    assert_eq!((&live["type"], &live["name"]), (&"Daemon".into(), &"a".into()));
    assert_eq!(
        (&live["status"], &live["ready"], &live["health"]),
        (&"running".into(), &true.into(), &"none".into())
    );
    assert!(live["pid"].is_u64() && live["exit_code"].is_null() && live["next_start_at"].is_null());
    let failed = context.daemon("b");
    assert_eq!((&failed["status"], &failed["ready"]), (&"failed".into(), &false.into()));
    assert_eq!((&failed["exit_code"], &failed["exit_reason"]), (&3.into(), &"exited".into()));
    assert!(failed["pid"].is_null());
    let processes = context.run(&["process", "list", "-n", "0"]).succeeds().records();
    assert!(processes.iter().any(|process| process["process_type"] == "worker"));
    let supervisor = processes.iter().find(|process| process["process_type"] == "supervisord").unwrap();
    context
        .run(&["process", "replay", supervisor["id"].as_str().unwrap()])
        .exits_with(1)
        .stderr_contains("it is a supervisor; start one with `rigup up -d`\n");
    context.down();
}

#[test]
fn a_start_right_after_down_needs_no_pause() {
    let context = TestContext::with_manifest("[daemons.a]\ncommand = 'sleep 600'\n");
    for _ in 0..5 {
        context.run(&["up", "--wait"]).succeeds();
        context.run(&["down"]).succeeds();
    }
    wait_until("the supervisor has exited", || context.live_processes().is_empty());
    assert_eq!(context.executions("a").len(), 5);
}

#[test]
fn a_start_by_name_also_starts_the_dependencies() {
    let context = TestContext::with_manifest(
        "[daemons.a]\ncommand = 'sleep 600'\n[daemons.b]\ncommand = 'sleep 600'\ndepends_on = ['a']\n",
    );
    context.run(&["up", "-d", "--wait"]).succeeds();
    context.run(&["stop", "b", "a"]).succeeds();
    context.run(&["start", "b"]).succeeds();
    context.await_status("b", "running");
    assert_eq!(context.daemon("a")["status"], "running");
    context.down();
}

#[test]
fn a_daemon_that_was_only_not_named_starts_with_the_next_up() {
    let context = TestContext::with_manifest(
        "[daemons.a]\ncommand = 'sleep 600'\n[daemons.b]\ncommand = 'sleep 600'\n",
    );
    context.run(&["up", "-d", "a"]).succeeds();
    context.await_status("a", "running");
    assert_eq!(context.daemon("b")["status"], "stopped");
    context.run(&["up", "-d"]).succeeds();
    context.await_status("b", "running");
    context.down();
}

#[test]
fn up_installs_the_binaries_of_daemons_first() {
    let context = TestContext::with_manifest(
        "[daemons.a]\ncommand = 'sleep 600'\nbinaries = ['sh']\n[daemons.b]\ncommand = 'true'\n",
    );
    context.provider(
        "env",
        "#!/bin/sh\necho '{\"type\":\"Binary\",\"name\":\"sh\",\"abspath\":\"/bin/sh\",\"version\":\"1\"}'\n",
    );
    context.run(&["up", "-d", "--wait"]).succeeds();
    context.run(&["binary", "show", "sh"]).succeeds();
    context.down();
    context.write("here/rigup.toml", "[daemons.a]\ncommand = 'true'\nbinaries = ['no-such-program']\n");
    context.run(&["up"]).exits_with(1).stderr_contains("cannot install no-such-program");
    assert_eq!(context.executions("a").len(), 1, "nothing was started");
}

#[test]
fn a_program_that_does_not_exist_is_the_last_error() {
    let context = TestContext::with_manifest("[daemons.a]\ncommand = 'no-such-program'\nrestart = 'no'\n");
    context.run(&["up"]).exits_with(1);
    let error = context.daemon("a")["last_error"].as_str().unwrap().to_owned();
    assert!(error.contains("no-such-program"), "{error}");
}

#[test]
fn a_broken_manifest_does_not_keep_daemons_from_being_stopped() {
    let context = TestContext::with_manifest(
        "[daemons.a]\ncommand = 'echo hello; exec sleep 600'\nshell = true\nready = {stdout_line = true}\n\
         [daemons.b]\ncommand = 'sleep 601'\n",
    );
    context.run(&["up", "--wait"]).succeeds();
    context.write("here/rigup.toml", "[daemons.a]\ncommand = \n");
    context.run(&["up", "-d"]).exits_with(3).stderr_contains("not TOML");
    context.run(&["ps"]).succeeds().stderr_contains("warning: cannot use ");
    assert_eq!(context.run(&["logs", "a"]).succeeds().stdout, "hello\n");
    context.run(&["stop", "a"]).succeeds();
    assert_eq!(context.count_live("sleep 600"), 0);
    context.down();
}

#[test]
fn start_and_restart_say_that_all_daemons_are_being_stopped() {
    let (context, down) = TestContext::with_down_that_waits();
    for command in ["start", "restart"] {
        let output = context.run(&[command, "a"]).exits_with(1);
        output.stderr_contains("the supervisor is stopping all daemons; run `rigup up -d` once it has ended");
    }
    context.write("here/go", "");
    assert!(down.wait_with_output().unwrap().status.success());
    context.down();
}

#[test]
fn up_does_not_install_what_a_daemon_that_was_stopped_by_name_needs() {
    let web = "[daemons.web]\ncommand = 'sleep 600'\n[daemons.next]\ncommand = 'sleep 601'\n";
    let context = TestContext::with_manifest(web);
    context.run(&["up", "-d"]).succeeds();
    context.run(&["stop", "next"]).succeeds();
    let tool = "[daemons.tool]\ncommand = 'true'\nbinaries = ['no-such-program']\nautostart = false\n";
    context.write("here/rigup.toml", format!("{web}depends_on = ['tool']\n{tool}"));
    context.run(&["up", "-d"]).succeeds();
    context.run(&["start", "next"]).exits_with(1).stderr_contains("cannot install no-such-program");
    context.down();
}

#[test]
fn only_the_binaries_of_what_is_started_are_installed() {
    let context = TestContext::with_manifest(
        "[daemons.web]\ncommand = 'sleep 600'\n\
         [daemons.next]\ncommand = 'sleep 601'\ndepends_on = ['tool']\nautostart = false\n\
         [daemons.tool]\ncommand = 'sleep 602'\nbinaries = ['no-such-program']\nautostart = false\n",
    );
    context.run(&["up", "-d", "web"]).succeeds();
    context.run(&["up", "-d"]).succeeds();
    for args in [&["up", "-d", "next"][..], &["up", "-d", "tool"], &["start", "tool"], &["start", "next"]] {
        context.run(args).exits_with(1).stderr_contains("cannot install no-such-program");
    }
    assert!(context.executions("tool").is_empty());
    context.run(&["start", "web", "none"]).exits_with(1).stderr_contains("no daemon is named none");
    context.down();
}

#[test]
fn wait_says_why_a_daemon_has_no_exit_code() {
    let context = TestContext::with_manifest(
        "[daemons.a]\ncommand = 'sleep 600'\n[daemons.b]\ncommand = 'true'\nautostart = false\n\
         [daemons.c]\ncommand = 'true'\nworking_dir = 'none'\nrestart = 'no'\n",
    );
    context.run(&["up", "-d"]).succeeds();
    context.await_status("a", "running");
    context.await_status("c", "failed");
    let reason = |name: &str| context.run(&["wait", name]).exits_with(1).stderr;
    assert_eq!(reason("b"), "error: b has not been started; start it with `rigup start b`\n");
    let error = reason("c");
    assert!(error.starts_with("error: c was not started: its working_dir "), "{error}");
    context.kill_supervisor();
    let error =
        "error: cannot wait for a: no supervisor runs; start one with `rigup up -d`, which takes it over\n";
    assert_eq!(reason("a"), error);
    context.down();
}

#[test]
fn up_names_the_daemons_that_were_stopped_by_name_and_stay_stopped() {
    let context = TestContext::with_manifest(
        "[daemons.a]\ncommand = 'sleep 600'\n[daemons.b]\ncommand = 'sleep 601'\n\
         [daemons.c]\ncommand = 'true'\nautostart = false\n",
    );
    context.run(&["up", "-d"]).succeeds();
    context.run(&["stop", "a"]).succeeds();
    let note = |name: &str, command: &str| {
        format!("{name} was stopped by name; start it with `rigup {command} {name}`\n")
    };
    for args in [&["up", "-d"][..], &["up", "--wait"]] {
        assert_eq!(context.run(args).succeeds().stderr, note("a", "start"));
    }
    assert_eq!(context.run(&["up", "-d", "b"]).succeeds().stderr, "", "only b was to be started");
    assert_eq!(context.run(&["up", "-d", "--quiet"]).succeeds().stderr, "");
    context.run(&["stop", "b"]).succeeds();
    context.down();
    // Nothing is left that could run, so no supervisor stays that could start one.
    let up = context.run(&["up"]).succeeds();
    assert_eq!(up.stderr, note("a", "up") + &note("b", "up"));
}
