//! The hooks of daemons: which events reach them, with what, in which order, and what they cannot hold up.

use std::fs;
use std::path::Path;

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::leftovers::assert_nothing_is_left;
use crate::test_context::{TestContext, signal, wait_until};

/// A hook that appends its event and its arguments to the journal.
const JOURNAL: &str = "#!/bin/sh\nevent=${0##*/on_}\necho \"${event%%__*} $*\" >>\"$DATA_DIR/journal\"\n";

impl TestContext {
    /// Writes a hook of the plugin `p`.
    fn hook(&self, name: &str, script: &str) {
        self.script(&format!("here/plugins/p/{name}"), script);
    }

    /// Writes a hook called `log` for each of these events, which adds the event to the journal.
    fn journal_hooks(&self, events: &[&str]) {
        for event in events {
            self.hook(&format!("on_{event}__50_log.sh"), JOURNAL);
        }
    }

    /// Returns the events in the journal, each with the name of its daemon.
    fn events(&self) -> Vec<String> {
        let line = |line: String| {
            let words: Vec<&str> = line.split(' ').collect();
            let name = words.iter().find_map(|word| word.strip_prefix("--name=")).unwrap();
            format!("{} {name}", words[0])
        };
        self.lines("journal").into_iter().map(line).collect()
    }

    /// Returns the value of an argument in each line of the journal with this event.
    fn argument(&self, event: &str, argument: &str) -> Vec<String> {
        let prefix = format!("--{argument}=");
        let lines = self.lines("journal").into_iter().filter(|line| line.split(' ').next() == Some(event));
        let value =
            |line: String| line.split(' ').find_map(|word| word.strip_prefix(&prefix)).unwrap().to_owned();
        lines.map(value).collect()
    }
}

const EVENTS: [&str; 5] =
    ["DaemonPreStart", "DaemonReady", "DaemonExited", "DaemonRestarted", "DaemonFailed"];

#[test]
fn the_events_of_a_daemon_reach_its_hooks_in_order() {
    let context = TestContext::with_manifest(
        "[daemons.a]\nshell = true\ncommand = 'exit 3'\nrestart_delay = '10ms'\nrestart_limit = '1/60s'\nhooks = ['log']\n",
    );
    context.journal_hooks(&EVENTS);
    context.run(&["up", "-d"]).succeeds();
    context.await_status("a", "failed");
    let expected = [
        "DaemonPreStart a",
        "DaemonReady a",
        "DaemonExited a",
        "DaemonPreStart a",
        "DaemonRestarted a",
        "DaemonReady a",
        "DaemonExited a",
        "DaemonFailed a",
    ];
    wait_until("all events are in the journal", || context.events().len() >= expected.len());
    assert_eq!(context.events(), expected);
    assert_eq!(context.argument("DaemonExited", "exit-code"), ["3", "3"]);
    assert_eq!(context.argument("DaemonExited", "status"), ["backoff", "failed"]);
    assert_eq!(context.argument("DaemonPreStart", "status"), ["waiting", "waiting"]);
    assert_eq!(context.argument("DaemonPreStart", "restarts"), ["0", "1"]);
    context.down();
}

#[test]
fn a_restart_by_hand_and_a_stop_are_events_too() {
    let context = TestContext::with_manifest("[daemons.a]\ncommand = 'sleep 600'\nhooks = ['log']\n");
    context.journal_hooks(&EVENTS[1..]);
    context.run(&["up", "-d", "--wait"]).succeeds();
    context.run(&["restart", "a"]).succeeds();
    wait_until("it was restarted", || context.events().len() == 4);
    context.run(&["stop", "a"]).succeeds();
    context.run(&["start", "a"]).succeeds();
    context.await_status("a", "running");
    context.down();
    let expected = [
        "DaemonReady a",
        "DaemonExited a",
        "DaemonRestarted a",
        "DaemonReady a",
        "DaemonExited a",
        "DaemonReady a",
        "DaemonExited a",
    ];
    assert_eq!(context.events(), expected);
}

#[test]
fn a_hook_is_recorded_below_an_event_of_the_supervisor() {
    let context = TestContext::with_manifest("[daemons.a]\ncommand = 'sleep 600'\nhooks = ['log']\n");
    context.hook("on_DaemonReady__50_log.sh", "#!/bin/sh\nexit 7\n");
    context.run(&["up", "-d", "--wait"]).succeeds();
    context.down();
    let processes = context.processes();
    let [hook] = &context.hook_processes()[..] else { panic!("one hook ran") };
    let find = |id: &Value| processes.iter().find(|process| process["id"] == *id).unwrap();
    let event = find(&hook["parent_id"]);
    let supervisor = find(&event["parent_id"]);
    assert_eq!((&hook["exit_code"], &hook["hook_name"]), (&7.into(), &"on_DaemonReady__50_log.sh".into()));
    assert_eq!((&event["process_type"], &event["exit_code"]), (&"cli".into(), &1.into()));
    assert_eq!(supervisor["process_type"], "supervisord");
    let log = context.lines("supervisor.log").join("\n");
    assert!(log.contains("warning: a: DaemonReady: p/on_DaemonReady__50_log.sh: exit 7"), "{log}");
}

#[test]
fn a_failing_pre_start_hook_is_a_failed_start() {
    let context = TestContext::with_manifest(
        "[daemons.a]\ncommand = 'sleep 600'\nrestart_delay = '10ms'\nrestart_limit = '1/60s'\nhooks = ['log']\n",
    );
    context.journal_hooks(&EVENTS);
    let hook = "#!/bin/sh\necho 'the disk is full' >&2\n[ -e \"$DATA_DIR/fixed\" ]\n";
    context.hook("on_DaemonPreStart__60_log.sh", hook);
    context.run(&["up", "-d", "--wait"]).exits_with(1);
    let failed = context.await_status("a", "failed");
    let error = failed["last_error"].as_str().unwrap();
    let expected = "DaemonPreStart: p/on_DaemonPreStart__60_log.sh: exit 1: the disk is full";
    assert!(error.starts_with(expected), "{error}");
    assert!(error.ends_with("it was restarted once within 60s"), "{error}");
    assert_eq!(context.executions("a"), [] as [Value; 0]);
    wait_until("the failure is in the journal", || context.events().len() == 3);
    assert_eq!(context.events(), ["DaemonPreStart a", "DaemonPreStart a", "DaemonFailed a"]);
    context.write("data/fixed", "");
    context.run(&["start", "a"]).succeeds();
    context.await_status("a", "running");
    context.down();
}

#[test]
fn a_stop_cancels_a_start_that_waits_for_its_hook() {
    let context = TestContext::with_manifest("[daemons.a]\ncommand = 'sleep 601'\nhooks = ['log']\n");
    context.hook("on_DaemonPreStart__50_log.sh", "#!/bin/sh\nexec sleep 600\n");
    context.run(&["up", "-d"]).succeeds();
    wait_until("the hook runs", || context.count_live("sleep 600") == 1);
    assert_eq!(context.daemon("a")["status"], "waiting");
    context.run(&["stop", "a"]).succeeds();
    let stopped = context.daemon("a");
    assert_eq!((&stopped["status"], &stopped["wanted"]), (&"stopped".into(), &"stopped".into()));
    assert_eq!((context.count_live("sleep"), context.executions("a").len()), (0, 0));
    context.run(&["start", "a"]).succeeds();
    wait_until("the hook runs again", || context.count_live("sleep 600") == 1);
    context.run(&["restart", "a"]).succeeds();
    wait_until("the hook runs for the third time", || context.hook_processes().len() == 3);
    context.down();
}

#[test]
fn promise_20_a_slow_hook_holds_up_only_the_events_of_its_daemon() {
    let context = TestContext::with_manifest(
        "[daemons.slow]\ncommand = 'sleep 601'\nhooks = ['slow']\n\
         [daemons.crashing]\nshell = true\ncommand = 'exit 1'\nrestart_delay = '10ms'\nrestart_limit = '3/60s'\n\
         hooks = ['log']\n",
    );
    context.hook("on_DaemonReady__50_slow.sh", "#!/bin/sh\nexec sleep 600\n");
    context.journal_hooks(&EVENTS);
    context.run(&["up", "-d"]).succeeds();
    context.await_status("crashing", "failed");
    wait_until("its failure is an event", || context.events().last().unwrap() == "DaemonFailed crashing");
    assert_eq!(context.count_live("sleep 600"), 1);
    context.run(&["restart", "slow"]).succeeds();
    wait_until("it was restarted", || context.executions("slow").len() == 2);
    context.run(&["down", "-t", "0.2"]).succeeds();
    context.down();
    assert_eq!(context.argument("DaemonExited", "name").len(), 4);
}

#[test]
fn no_hook_outlives_a_supervisor_that_is_killed() {
    let context = TestContext::with_manifest(
        "[daemons.a]\ncommand = 'sleep 601'\nhooks = ['slow']\n[daemons.b]\ncommand = 'sleep 602'\nhooks = ['first']\n",
    );
    context.hook("on_DaemonReady__50_slow.sh", "#!/bin/sh\nexec sleep 600\n");
    context.hook("on_DaemonPreStart__50_first.sh", "#!/bin/sh\n[ -e \"$DATA_DIR/go\" ] || exec sleep 600\n");
    context.run(&["up", "-d"]).succeeds();
    wait_until("both hooks run", || context.count_live("sleep 600") == 2);
    context.kill_supervisor();
    wait_until("both hooks are gone", || context.count_live("sleep 600") == 0);
    assert_eq!((context.count_live("sleep 601"), context.count_live("sleep 602")), (1, 0));
    context.write("data/go", "");
    context.run(&["up", "-d", "--wait"]).succeeds();
    assert_eq!((context.count_live("sleep 601"), context.count_live("sleep 602")), (1, 1));
    context.down();
}

#[test]
fn a_foreground_up_waits_for_hooks_and_a_second_signal_kills_them() {
    let context =
        TestContext::with_manifest("[daemons.a]\ncommand = 'false'\nrestart = 'no'\nhooks = ['log']\n");
    context.hook("on_DaemonFailed__50_log.sh", "#!/bin/sh\nsleep 0.3\necho sent >>\"$DATA_DIR/journal\"\n");
    context.run(&["up"]).exits_with(1);
    assert_eq!(context.lines("journal"), ["sent"]);
    context.hook("on_DaemonFailed__50_log.sh", "#!/bin/sh\ntrap '' TERM\nsleep 600\n");
    let mut up = context.start(&["up"]);
    wait_until("the hook runs", || context.count_live("sleep 600") == 1);
    // Signals that come soon after each other count as one.
    wait_until("the hook was killed", || {
        signal(up.id(), Signal::SIGINT);
        context.count_live("sleep 600") == 0
    });
    up.wait().unwrap();
    assert_nothing_is_left(&context);
}

#[test]
fn down_returns_once_the_hooks_that_run_have_ended_or_their_time_is_over() {
    let context = TestContext::with_manifest("[daemons.a]\ncommand = 'sleep 601'\nhooks = ['slow']\n");
    context.hook(
        "on_DaemonExited__50_slow.sh",
        "#!/bin/sh\necho begun >>\"$DATA_DIR/journal\"\nsleep 0.5\necho ended >>\"$DATA_DIR/journal\"\n",
    );
    context.run(&["up", "-d", "--wait"]).succeeds();
    context.run(&["down"]).succeeds();
    assert_eq!(context.lines("journal"), ["begun", "ended"]);
    context.hook(
        "on_DaemonExited__50_slow.sh",
        "#!/bin/sh\necho begun again >>\"$DATA_DIR/journal\"\nexec sleep 600\n",
    );
    context.run(&["up", "-d", "--wait"]).succeeds();
    context.run(&["down", "-t", "0.5"]).succeeds();
    assert_eq!(context.lines("journal"), ["begun", "ended", "begun again"]);
    assert_eq!(context.count_live("sleep 600"), 0);
    context.down();
}

#[test]
fn a_hook_that_no_plugin_has_is_an_error_with_file_and_line() {
    let context = TestContext::with_manifest("[daemons.a]\ncommand = 'sleep 600'\nhooks = ['logg']\n");
    context.journal_hooks(&["DaemonReady"]);
    let output = context.run(&["up", "-d"]).exits_with(3);
    let searched = format!("no enabled plugin in {} or ", context.path("here/plugins").display());
    for expected in [
        "rigup.toml:3: \"hooks\" names the hook \"logg\", but ",
        &searched,
        " has a hook on_Daemon*__NN_logg.*; write \"log\"",
    ] {
        assert!(output.stderr.contains(expected), "{}", output.stderr);
    }
    assert_nothing_is_left(&context);
}

#[test]
fn hooks_of_two_projects_with_one_supervisor_come_from_their_own_plugins() {
    let context = TestContext::with_manifest("[daemons.a]\ncommand = 'sleep 600'\nhooks = ['log']\n");
    context.journal_hooks(&["DaemonReady"]);
    context.run(&["up", "-d", "--wait"]).succeeds();
    context.write("other/rigup.toml", "[daemons.b]\ncommand = 'sleep 600'\nhooks = ['log']\n");
    context.script(
        "other/plugins/q/on_DaemonReady__50_log.sh",
        "#!/bin/sh\necho \"other $*\" >>\"$DATA_DIR/journal\"\n",
    );
    let other = context.path("other");
    let output = context.command(&["up", "-d", "--wait"]).current_dir(other).output().unwrap();
    assert!(output.status.success());
    context.down();
    assert_eq!(context.events(), ["DaemonReady a", "other b"]);
}

/// Creates a context with the plugins in a folder of the repository.
fn with_plugins(folder: &str, manifest: &str) -> TestContext {
    let mut context = TestContext::with_manifest(manifest);
    context.set("RIGUP_PLUGINS_DIR", Path::new(env!("CARGO_MANIFEST_DIR")).join(folder));
    context
}

const SAMPLE: &str = "{\"name\":\"a\",\"pid\":1,\"rss\":2147483648,\"rss_peak\":2147483648,\"cpu_percent\":1.5,\
                      \"cpu_percent_peak\":2.5,\"read_bytes\":0,\"write_bytes\":0}\n";

#[test]
fn hooks_in_sh_and_in_python_serve_each_event() {
    let context =
        with_plugins("fixtures/daemon_hooks", "[daemons.a]\ncommand = 'sleep 600'\nhooks = ['journal']\n");
    context.run(&["up", "-d", "--wait"]).succeeds();
    context.down();
    context.write("samples", SAMPLE);
    for event in ["DaemonRestarted", "DaemonUnhealthy", "DaemonFailed", "DaemonStats"] {
        let args = ["run", "--stdin", "--hooks", "journal", event, "--name=a"];
        let samples = fs::File::open(context.path("samples")).unwrap();
        assert!(context.command(&args).stdin(samples).output().unwrap().status.success(), "{event}");
    }
    let journal = context.lines("journal");
    let count = |language: &str, event: &str| {
        journal.iter().filter(|line| line.starts_with(&format!("{language} {event} "))).count()
    };
    for event in EVENTS.iter().copied().chain(["DaemonUnhealthy", "DaemonStats"]) {
        assert_eq!((count("sh", event), count("py", event)), (1, 1), "{event}");
    }
    assert!(journal.iter().any(|line| line == "py DaemonStats --name=a 1 2147483648"));
}

#[test]
fn the_example_hooks_of_daemons_work() {
    for language in ["sh", "python"] {
        let folder = format!("examples/daemon/{language}");
        let mut context = with_plugins(
            &folder,
            "[daemons.a]\nshell = true\ncommand = '[ -e stop ] && exit 3; exec sleep 600'\nrestart_delay = '10ms'\n\
             restart_limit = '1/60s'\nhooks = ['example']\nstats_hooks = ['example']\n",
        );
        context.run(&["up", "-d", "--wait"]).succeeds();
        let pid = context.daemon("a")["pid"].as_u64().unwrap();
        wait_until("its pid is in the file", || context.lines("a.pid") == [pid.to_string()]);
        let run = |context: &TestContext, event: &str| {
            let samples = fs::File::open(context.write("samples", SAMPLE)).unwrap();
            let args = ["run", "--stdin", event, "--name=a", &format!("--pid={pid}")];
            context.command(&args).stdin(samples).output().unwrap().status.code()
        };
        assert_eq!(run(&context, "DaemonUnhealthy"), Some(0), "{language}");
        assert!(context.lines("a.unhealthy.txt").iter().any(|line| line.contains("sleep 600")));
        assert_eq!(run(&context, "DaemonStats"), Some(0), "{language}");
        let stored = if language == "sh" { "a.stats.jsonl" } else { "example.log" };
        assert_eq!(context.lines(stored).len(), 1);
        context.write("here/stop", "");
        context.run(&["restart", "a"]).succeeds();
        context.await_status("a", "failed");
        context.down();
        let log = context.lines("example.log").join("\n");
        assert!(
            log.contains("a was restarted (1)") && log.contains("a failed: exit 3; it was restarted"),
            "{log}"
        );
        assert_eq!(context.lines("a.pid"), [] as [String; 0]);
        context.set("EXAMPLE_MIN_FREE_KB", "999999999999");
        assert_eq!(run(&context, "DaemonPreStart"), Some(1), "{language}");
        assert_nothing_is_left(&context);
    }
}

#[test]
fn hooks_get_the_samples_of_their_daemon_on_standard_input() {
    let manifest =
        "[daemons.a]\ncommand = 'sleep 600'\nstats_hooks = ['journal']\n[daemons.b]\ncommand = 'sleep 600'\n";
    let context = with_plugins("fixtures/daemon_hooks", manifest);
    context.run(&["up", "-d", "--wait"]).succeeds();
    let journal = || context.lines("journal").into_iter().find(|line| line.starts_with("sh DaemonStats"));
    wait_until("the first samples are in the journal", || journal().is_some());
    let line = journal().unwrap();
    let (arguments, sample) = line.split_once(" {").unwrap();
    assert!(arguments.contains(" --name=a ") && arguments.contains(" --status=running"), "{arguments}");
    let sample: Value = serde_json::from_str(&format!("{{{sample}")).unwrap();
    assert_eq!((&sample["name"], &sample["pid"]), (&"a".into(), &context.daemon("a")["pid"]));
    for field in ["rss", "rss_peak", "cpu_percent", "cpu_percent_peak", "read_bytes", "write_bytes"] {
        assert!(sample[field].is_number(), "{field}");
    }
    assert!(sample["rss"].as_u64() > Some(0));
    context.down();
}
