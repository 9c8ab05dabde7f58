//! `rigup run --follow` and `--apply`: what the records of hooks lead to.

use std::fs;
use std::path::PathBuf;

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::test_context::{TestContext, died_of, signal, wait_until};

/// Creates hooks of the plugin `p`, each from a file name without `on_` and a shell script.
fn context_with(hooks: &[(&str, &str)]) -> TestContext {
    let context = TestContext::new();
    for (name, body) in hooks {
        context.script(&format!("here/plugins/p/on_{name}"), &format!("#!/bin/sh\n{body}\n"));
    }
    context
}

/// Returns a script that prints a record of the type Page for each of these values.
fn pages(values: &[&str]) -> String {
    let line = |value: &&str| format!("echo '{{\"type\":\"Page\",\"url\":\"{value}\"}}'");
    values.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// A script that logs its arguments, one hook on each line.
const LOG: &str = "echo \"$@\" >>\"$DATA_DIR/log\"";

/// A daemon that ends on TERM.
const DAEMON: &str = "trap 'exit 0' TERM\necho up; while :; do sleep 600 & wait $!; done";

/// Returns the sorted lines of the log.
fn log(context: &TestContext) -> Vec<String> {
    let text = fs::read_to_string(context.path("data/log")).unwrap_or_default();
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

fn events(records: &[Value]) -> Vec<&Value> {
    records.iter().filter(|record| record["process_type"] == "cli").collect()
}

#[test]
fn a_record_whose_type_is_followed_starts_its_event() {
    let context = context_with(&[
        ("Crawl__1_c.sh", r#"echo '{"type":"Page","id":"p1","url":"u1","some_tags":["a b"],"old":false}'"#),
        (
            "Page__1_p.sh",
            &format!(
                "{LOG}\n: >file; pwd >\"$DATA_DIR/pwd\"; echo \"$CRAWL_DIR $SNAP_DIR\" >\"$DATA_DIR/dirs\""
            ),
        ),
        ("PageEnd__1_e.sh", "echo '{\"type\":\"End\"}'"),
    ]);
    let output = context.run(&["run", "--follow", "Page", "Crawl", "--x=1"]).succeeds();
    assert_eq!(log(&context), ["--id=p1 --url=u1 --some-tags=[\"a b\"] --depth=1 --page-id=p1"]);
    let crawl_dir = output_dir(&context, "Crawl");
    let read = |name: &str| fs::read_to_string(context.path(name)).unwrap();
    assert_eq!(read("data/pwd"), format!("{}/Page/p1/p\n", crawl_dir.display()));
    assert_eq!(read("data/dirs"), format!("{0} {0}/Page/p1\n", crawl_dir.display()));

    let records = output.records();
    let kinds: Vec<&str> = records.iter().map(|record| record["type"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["Page", "Process", "Process", "End", "Process", "Process"]);
    assert_eq!(
        (&records[3]["plugin"], &records[3]["hook_name"]),
        (&"p".into(), &"on_PageEnd__1_e.sh".into())
    );
    let (event, hook) = (&records[5], &records[2]);
    assert_eq!((&event["exit_code"], &event["process_type"]), (&0.into(), &"cli".into()));
    assert_eq!(hook["parent_id"], event["id"]);
    assert_eq!(event["parent_id"], records[1]["parent_id"], "both are children of the command");
    output.stderr_contains("records: 1 End, 1 Page");
    assert_eq!(context.live_processes(), []);
}

/// Returns the only output dir of an event.
fn output_dir(context: &TestContext, event: &str) -> PathBuf {
    let events = fs::read_dir(context.path("data/events").join(event)).unwrap();
    let folders: Vec<PathBuf> = events.map(|entry| entry.unwrap().path()).collect();
    assert_eq!(folders.len(), 1, "{folders:?}");
    folders.into_iter().next().unwrap()
}

#[test]
fn only_followed_types_start_events() {
    let context = context_with(&[
        ("Crawl__1_c.sh", &format!("{}\necho '{{\"type\":\"Other\"}}'", pages(&["a"]))),
        ("Page__1_p.sh", LOG),
        ("Other__1_o.sh", LOG),
    ]);
    context.run(&["run", "Crawl"]).succeeds();
    assert_eq!(log(&context), [""; 0]);
    let output = context.run(&["run", "--follow", "PageEvent,Missing", "Crawl"]).succeeds();
    output.stderr_contains("no hooks found for the event Missing in ");
    assert_eq!(log(&context).len(), 1);
    context
        .run(&["run", "--follow", "a/b", "Crawl"])
        .exits_with(2)
        .stderr_contains("not the name of an event");
    context.run(&["run", "-j", "2", "Crawl"]).exits_with(2);
    context.run(&["run", "--follow", "Page", "-j", "0", "Crawl"]).exits_with(2);
}

#[test]
fn the_same_value_starts_one_event_and_depth_limits_the_rest() {
    let next = "case $* in *url=a*) echo '{\"type\":\"Page\",\"url\":\"a1\"}';;\n\
                *url=a1*) echo '{\"type\":\"Page\",\"url\":\"a2\"}';; esac";
    let context = context_with(&[
        (
            "Crawl__1_c.sh",
            &format!("{}\n{}", pages(&["a", "b", "a"]), r#"echo '{"type":"Page","url":"c","depth":7}'"#),
        ),
        ("Page__1_p.sh", &format!("{LOG}\n{next}\n{}", pages(&["b"]))),
    ]);
    let urls = |context: &TestContext| -> Vec<String> {
        log(context).iter().map(|line| line.split(' ').next().unwrap().to_owned()).collect()
    };
    let output = context.run(&["run", "--follow", "Page", "Crawl"]).succeeds();
    assert_eq!(urls(&context), ["--url=a", "--url=b"]);
    output.stderr_contains("not followed: 4 records deeper than --max-depth 1");
    fs::remove_file(context.path("data/log")).unwrap();
    let output = context.run(&["run", "--follow", "Page", "--max-depth", "3", "Crawl"]).succeeds();
    assert_eq!(urls(&context), ["--url=a", "--url=a1", "--url=b"]);
    let records = output.records();
    let events = events(&records);
    let event = |url: &str| events.iter().find(|event| event["cmd"].to_string().contains(url)).unwrap();
    assert_eq!(
        event("\"--url=a1\"")["parent_id"],
        event("\"--url=a\"")["id"],
        "the tree tells which page led to it"
    );
    fs::remove_file(context.path("data/log")).unwrap();
    context.run(&["run", "--follow", "Page", "--max-depth", "0", "Crawl"]).succeeds();
    assert_eq!(log(&context), [""; 0]);
}

#[test]
fn events_that_follow_run_while_the_daemons_live_and_before_the_ends() {
    let context = context_with(&[
        ("Crawl__1_d.daemon.bg.sh", &format!("echo $$ >\"$DATA_DIR/pid\"; {DAEMON}")),
        ("Crawl__2_c.sh", &pages(&["a", "b", "c"])),
        ("Page__1_p.sh", "kill -0 $(cat \"$DATA_DIR/pid\") && echo alive >>\"$DATA_DIR/log\""),
        (
            "CrawlEnd__1_e.sh",
            &format!(
                "kill -0 $(cat \"$DATA_DIR/pid\") || echo end >>\"$DATA_DIR/log\"\n{}",
                pages(&["late"])
            ),
        ),
    ]);
    let output = context.run(&["run", "--follow", "Page", "-j", "2", "Crawl"]).succeeds();
    assert_eq!(log(&context), ["alive", "alive", "alive", "end"]);
    output.stderr_contains("not followed: 1 record printed after the last hook of the events");
    assert_eq!(context.live_processes(), []);
}

#[test]
fn at_most_jobs_events_run_at_once() {
    let slots = "mkdir \"$DATA_DIR/one\" 2>/dev/null || mkdir \"$DATA_DIR/two\" || exit 9\n\
                 : >>\"$DATA_DIR/log\"; sleep 0.05\nrmdir \"$DATA_DIR/one\" 2>/dev/null || rmdir \"$DATA_DIR/two\"";
    let context =
        context_with(&[("Crawl__1_c.sh", &pages(&["a", "b", "c", "d", "e"])), ("Page__1_p.sh", slots)]);
    context.run(&["run", "--follow", "Page", "-j", "2", "Crawl"]).succeeds();
    context.run(&["run", "--follow", "Page", "-j", "1", "Crawl"]).succeeds();
}

#[test]
fn a_followed_event_that_fails_makes_the_command_fail() {
    let context = context_with(&[
        ("Crawl__1_c.sh", &pages(&["a", "b"])),
        ("Page__1_p.sh", "case $* in *url=a*) echo broken >&2; exit 3;; esac; echo '{\"type\":\"Done\"}'"),
    ]);
    let output = context.run(&["run", "--follow", "Page", "Crawl"]).exits_with(1);
    let output = output.stderr_contains("error: a: p/on_Page__1_p.sh: exit 3: broken (rigup process logs ");
    let records = output.records();
    assert!(records.iter().any(|record| record["type"] == "Done"), "the other one runs all the same");
    let mut codes: Vec<&Value> = events(&records).iter().map(|event| &event["exit_code"]).collect();
    codes.sort_by_key(|code| code.as_i64());
    assert_eq!(codes, [&Value::from(0), &Value::from(1)]);
}

#[test]
fn an_interrupt_ends_followed_events_and_their_hooks() {
    for number in [Signal::SIGINT, Signal::SIGTERM] {
        let context = context_with(&[
            ("Crawl__1_c.sh", &pages(&["a", "b", "c"])),
            ("Page__1_d.daemon.bg.sh", DAEMON),
            ("Page__2_p.sh", "echo '{\"type\":\"Begun\"}'; exec sleep 600"),
        ]);
        let child = context.start(&["run", "--follow", "Page", "-j", "2", "Crawl"]);
        wait_until("two events run", || context.count_live("sleep") >= 4);
        signal(child.id(), number);
        let output = child.wait_with_output().unwrap();
        assert!(died_of(output.status, number), "{}", output.status);
        assert_eq!(context.live_processes(), []);
        let processes = context.processes();
        let reason = |process: &Value| process["exit_reason"].clone();
        let events: Vec<&Value> =
            processes.iter().filter(|process| process["process_type"] == "cli").collect();
        assert_eq!(events.len(), 3, "the command and two events");
        assert!(events.iter().all(|event| reason(event) == "stopped"), "{events:?}");
        assert!(processes.iter().all(|process| process["status"] == "exited"));
    }
}

#[test]
fn followed_events_end_with_the_rigup_that_started_them() {
    let context = context_with(&[
        ("Crawl__1_c.sh", &pages(&["a", "b"])),
        ("Page__1_p.sh", "echo '{\"type\":\"Begun\"}'; exec sleep 600"),
    ]);
    let mut child = context.start(&["run", "--follow", "Page", "-j", "2", "Crawl"]);
    wait_until("two events run", || context.count_live("sleep") == 2);
    child.kill().unwrap();
    child.wait().unwrap();
    wait_until("nothing is left", || context.live_processes().is_empty());
    let records = context.run(&["process", "list", "--json", "--type", "cli"]).succeeds().records();
    let stopped = records.iter().filter(|event| event["exit_reason"] == "stopped");
    assert_eq!(stopped.count(), 2, "{records:?}");
}

#[test]
fn a_followed_event_that_is_killed_is_named_and_its_hooks_end() {
    let context = context_with(&[
        ("Crawl__1_c.sh", &pages(&["a"])),
        (
            "Page__1_p.sh",
            "echo $PPID >\"$DATA_DIR/pid.new\"; mv \"$DATA_DIR/pid.new\" \"$DATA_DIR/pid\"; exec sleep 600",
        ),
    ]);
    let child = context.start(&["run", "--follow", "Page", "Crawl"]);
    wait_until("the event runs", || context.path("data/pid").exists());
    let pid: u32 = fs::read_to_string(context.path("data/pid")).unwrap().trim().parse().unwrap();
    signal(pid, Signal::SIGKILL);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.contains("error: Page a: it was killed by signal 9"), "{stderr}");
    assert_eq!(context.live_processes(), []);
    let lost = context.run(&["process", "list", "--json", "--failed"]).succeeds().records();
    assert!(lost.iter().all(|process| process["status"] == "exited"), "{lost:?}");
}

#[test]
fn a_required_daemon_that_dies_stops_the_events_that_wait() {
    let context = TestContext::new();
    context.write(
        "here/plugins/p/config.json",
        r#"{"type": "object", "properties": {}, "required_plugins": ["server"]}"#,
    );
    context.script("here/plugins/p/on_Crawl__1_c.sh", &format!("#!/bin/sh\n{}\n", pages(&["a", "b", "c"])));
    let kill = "pid=$(cat \"$DATA_DIR/pid\"); echo run >>\"$DATA_DIR/log\"; kill -9 $pid\n\
                while kill -0 $pid 2>/dev/null; do sleep 0.01; done";
    context.script("here/plugins/p/on_Page__1_p.sh", &format!("#!/bin/sh\n{kill}\n"));
    let server = "#!/bin/sh\necho $$ >\"$DATA_DIR/pid\"; echo up; exec sleep 600\n";
    context.script("here/plugins/server/on_CrawlSetup__1_s.daemon.bg.sh", server);
    let output = context.run(&["run", "--follow", "Page", "-j", "1", "CrawlSetup,Crawl"]).exits_with(1);
    output.stderr_contains("2 events were not started: server/on_CrawlSetup__1_s.daemon.bg.sh, which other plugins require, failed");
    assert_eq!(log(&context), ["run"]);
    assert_eq!(context.live_processes(), []);
}

#[test]
fn records_are_applied_before_the_next_hook_starts() {
    let context = context_with(&[
        (
            "Crawl__1_c.sh",
            "echo '{\"type\":\"BinaryRequest\",\"name\":\"sh\",\"binproviders\":\"env\"}'\n\
             echo '{\"type\":\"Machine\",\"config\":{\"P_BINARY\":\"/bin/sh\"}}'",
        ),
        ("Crawl__2_c.sh", "ls \"$LIB_BIN_DIR\" >\"$DATA_DIR/log\"; echo \"$P_BINARY\" >>\"$DATA_DIR/log\""),
    ]);
    context.write(
        "here/plugins/p/config.json",
        r#"{"type": "object", "properties": {"P_BINARY": {"type": "string", "default": "none"}}}"#,
    );
    context.run(&["run", "Crawl"]).succeeds();
    assert_eq!(log(&context), ["none"], "without --apply, the records are only printed");
    let output = context.run(&["run", "--apply", "Crawl"]).succeeds();
    assert_eq!(log(&context), ["/bin/sh", "sh"]);
    let records = output.records();
    let binary = records.iter().find(|record| record["type"] == "Binary").unwrap();
    assert_eq!((&binary["name"], &binary["status"]), (&"sh".into(), &"installed".into()));
    context.run(&["binary", "show", "sh"]).succeeds();
    let machine = context.run(&["machine", "show"]).succeeds().records();
    assert_eq!(machine[0]["config"]["P_BINARY"], "/bin/sh");
    let provider_hook = |process: &Value| process["hook_name"].to_string().contains("BinaryRequest");
    let processes = context.processes();
    let hook = processes.iter().find(|process| provider_hook(process)).unwrap();
    let command = processes.iter().find(|process| process["id"] == hook["parent_id"]).unwrap();
    assert!(command["cmd"].to_string().contains("--apply"), "it is a child of the command");
}

#[test]
fn a_record_that_cannot_be_applied_makes_the_command_fail() {
    let context = context_with(&[(
        "Crawl__1_c.sh",
        "echo '{\"type\":\"BinaryRequest\",\"name\":\"no-such-program\",\"binproviders\":\"env\"}'\n\
         echo '{\"type\":\"BinaryRequest\",\"name\":\"a/b\"}'",
    )]);
    let output = context.run(&["run", "--apply", "Crawl"]).exits_with(1);
    let output = output.stderr_contains("error: cannot install no-such-program");
    let output = output.stderr_contains("error: p/on_Crawl__1_c.sh: stdout line 2: ");
    let records = output.records();
    let queued = records.iter().filter(|record| record["status"] == "queued").count();
    assert_eq!(queued, 1, "{records:?}");
    let hooks = context.hook_processes();
    assert!(hooks.iter().any(|hook| hook["exit_code"] == 0));
}

#[test]
fn followed_events_apply_records_and_get_the_options_of_the_command() {
    let context = context_with(&[
        ("Crawl__1_c.sh", &pages(&["a"])),
        (
            "Page__1_p.sh",
            "echo '{\"type\":\"BinaryRequest\",\"name\":\"sh\",\"binproviders\":\"env\"}'; : >file",
        ),
        ("Page__2_p.sh", "sleep 600"),
    ]);
    context.script("here/plugins/other/on_Page__1_o.sh", &format!("#!/bin/sh\n{LOG}\n"));
    let args = [
        "run",
        "--apply",
        "--plugins",
        "p",
        "--timeout",
        "0.2",
        "--output-dir",
        "out",
        "--follow",
        "Page",
        "Crawl",
    ];
    let output = context.run(&args).exits_with(1);
    let timed_out = output.records().iter().filter(|record| record["exit_reason"] == "timeout").count();
    assert_eq!(timed_out, 1);
    context.run(&["binary", "show", "sh"]).succeeds();
    assert_eq!(log(&context), [""; 0], "--plugins counts for followed events, too");
    let pages = context.path("here/out/Page");
    assert_eq!(fs::read_dir(&pages).unwrap().count(), 1);
    assert_eq!(context.live_processes(), []);
}

#[test]
fn the_status_of_a_run_shows_the_hooks_that_run() {
    let context = context_with(&[
        ("Crawl__1_d.daemon.bg.sh", DAEMON),
        ("Crawl__2_c.sh", &pages(&["a"])),
        ("Page__1_p.sh", "exec sleep 600"),
    ]);
    let child = context.start(&["run", "--follow", "Page", "Crawl"]);
    wait_until("the hook of the page runs", || context.count_live("sleep") == 2);
    let command = context.processes().into_iter().find(|process| process["parent_id"].is_null()).unwrap();
    let id = command["id"].as_str().unwrap();
    let status = || -> Vec<String> {
        let records = context.run(&["run", "--status", id]).succeeds().records();
        records.iter().map(|record| record["hook_name"].as_str().unwrap().to_owned()).collect()
    };
    wait_until("both hooks are recorded", || status() == ["on_Page__1_p.sh", "on_Crawl__1_d.daemon.bg.sh"]);
    signal(child.id(), Signal::SIGTERM);
    child.wait_with_output().unwrap();
    assert_eq!(status(), [""; 0]);
    context.run(&["run", "--status", id]).stderr_contains("no hook of ").stderr_contains(" is running");
    context.run(&["run", "--status", "ffffffff"]).exits_with(1).stderr_contains("no process has the");
    context.run(&["run", "--status", id, "Crawl"]).exits_with(2);
    assert_eq!(context.live_processes(), []);
}

#[test]
fn followed_events_skip_hooks_that_require_a_daemon_that_failed() {
    for (daemon, reason) in [
        ("sleep 600", "on_Crawl__1_s.daemon.bg.sh was not ready within 0.1 s"),
        ("exit 3", "on_Crawl__1_s.daemon.bg.sh failed before it was ready"),
    ] {
        let context = context_with(&[("Crawl__2_c.sh", &pages(&["a", "b"])), ("Page__1_p.sh", LOG)]);
        context
            .script("here/plugins/server/on_Crawl__1_s.daemon.bg.sh", &format!("#!/bin/sh\nexec {daemon}\n"));
        context.script("here/plugins/client/on_Page__1_c.sh", "#!/bin/sh\necho client >>\"$DATA_DIR/log\"\n");
        let config = r#"{"type": "object", "properties": {}, "required_plugins": ["server"]}"#;
        context.write("here/plugins/client/config.json", config);
        let args = ["run", "--ready-timeout", "0.1", "--follow", "Page", "Crawl"];
        let output = context.run(&args).exits_with(1);
        let output = output.stderr_contains(&format!(
            "warning: a: client/on_Page__1_c.sh: skipped: it requires the plugin server, and {reason}"
        ));
        assert_eq!(log(&context).len(), 2, "the other plugin's hooks run");
        let skipped = output.records();
        let skipped = skipped.iter().filter(|record| record["hook_name"] == "on_Page__1_c.sh");
        assert!(skipped.clone().all(|record| record["exit_reason"] == "stopped") && skipped.count() == 2);
        assert_eq!(context.live_processes(), []);
    }
}

#[test]
fn a_record_without_an_id_gets_that_of_its_event() {
    let context = context_with(&[("Crawl__1_c.sh", &pages(&["a"])), ("Page__1_p.sh", LOG)]);
    let records = context.run(&["run", "--follow", "Page", "Crawl"]).succeeds().records();
    let id = records[0]["id"].as_str().unwrap();
    assert_eq!(log(&context), [format!("--url=a --id={id} --depth=1 --page-id={id}")]);
}

#[test]
fn the_record_of_every_followed_event_is_printed() {
    let values: Vec<String> = (0..60).map(|number| format!("u{number}")).collect();
    let values: Vec<&str> = values.iter().map(String::as_str).collect();
    let context = context_with(&[("Crawl__1_c.sh", &pages(&values)), ("Page__1_p.sh", ":")]);
    let records = context.run(&["run", "--follow", "Page", "-j", "8", "Crawl"]).succeeds().records();
    assert_eq!(events(&records).len(), 60);
}

#[test]
fn a_value_cannot_forge_a_message() {
    let page = r#"printf '{"type":"Page","url":"x\\nerror: forged\\u0000"}\n'"#;
    let context = context_with(&[("Crawl__1_c.sh", page), ("Page__1_p.sh", ":")]);
    let output = context.run(&["run", "--follow", "Page", "Crawl"]).exits_with(1);
    let output = output.stderr_contains("error: Page x");
    assert!(!output.stderr.lines().any(|line| line.starts_with("error: forged")), "{}", output.stderr);
}

#[test]
fn an_applied_binary_is_the_value_of_the_settings_that_name_it() {
    let context = context_with(&[
        ("Crawl__1_c.sh", "echo '{\"type\":\"BinaryRequest\",\"name\":\"sh\",\"binproviders\":\"env\"}'"),
        ("Crawl__2_c.sh", "echo \"$P_BINARY\" >>\"$DATA_DIR/log\""),
    ]);
    let config = r#"{"type": "object", "properties": {"P_BINARY": {"type": "string", "default": "sh"}},
        "required_binaries": [{"name": "{P_BINARY}", "binproviders": "env"}]}"#;
    context.write("here/plugins/p/config.json", config);
    context.run(&["run", "--apply", "Crawl"]).succeeds();
    assert!(log(&context)[0].ends_with("/sh"), "{:?}", log(&context));
    let binary = context.run(&["config", "P_BINARY", "--json"]).succeeds().record();
    assert_eq!(binary["value"], log(&context)[0]);
}
