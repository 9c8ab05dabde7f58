//! `rigup start`, `post` and `result`, and the process commands for runs.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::test_context::{CommandOutput, TestContext, signal, wait_until};

impl TestContext {
    /// Starts a run of a shell script, and returns its id.
    pub(crate) fn start_run(&self, options: &[&str], script: &str) -> String {
        let args = [&["start"], options, &["--", "sh", "-c", script]].concat();
        self.run(&args).succeeds().record()["id"].as_str().unwrap().to_owned()
    }

    /// Returns the record of a process.
    pub(crate) fn show(&self, id: &str) -> Value {
        self.run(&["process", "show", id]).succeeds().record()
    }

    /// Waits until the waiters of all runs have exited.
    pub(crate) fn wait_for_waiters(&self) {
        wait_until("the waiters have exited", || self.live_processes().is_empty());
    }
}

/// A script that waits for the file `go` in the data dir.
const WAIT_FOR_GO: &str = "until [ -e \"$RIGUP_DATA_DIR/go\" ]; do sleep 0.05; done";

#[test]
fn shows_the_messages_the_result_and_the_output_of_a_run() {
    let context = TestContext::new();
    let script = "\"$RIGUP\" post 'half of it' step=1 url='a=b' note= done='\"true\"' by='a b' list='[1]'; echo out; echo err >&2; \
        echo '{\"pages\":12}' | \"$RIGUP\" result -";
    let id = context.start_run(&["--slug", "crawl", "--description", "the whole site"], script);
    context.run(&["process", "wait", &id]).succeeds();
    let shown = context.show(&id);
    assert_eq!((&shown["state"], &shown["exit_code"]), (&json!("finished"), &json!(0)));
    assert_eq!((&shown["slug"], &shown["description"]), (&json!("crawl"), &json!("the whole site")));
    assert_eq!((&shown["max_runtime_seconds"], &shown["ttl_seconds"]), (&json!(28800), &json!(86400)));
    assert_eq!(shown["result"], json!({"pages": 12}));
    let message = &shown["messages"][0];
    assert_eq!(
        (&message["text"], &message["step"], &message["url"]),
        (&json!("half of it"), &json!(1), &json!("a=b"))
    );
    assert!(message["time"].as_str().unwrap().ends_with('Z'));
    let table = context.run(&["--format", "table", "process", "show", &id]).succeeds();
    let line = table.stdout.lines().last().unwrap();
    assert!(line.ends_with("Z  half of it step=1 url=a=b note= done=\"true\" by=\"a b\" list=[1]"), "{line}");
    assert_eq!(shown["stdout_tail"], "out\n");
    assert_eq!(shown["stderr_tail"], "err\n");
    context.wait_for_waiters();
}

#[test]
fn the_state_of_a_run_is_running_then_finished_died_or_killed() {
    let context = TestContext::new();
    for (script, state, code) in
        [("exit 0", "finished", 0), ("exit 3", "died", 3), ("kill -9 $$", "died", 137)]
    {
        let id = context.start_run(&["--slug", "s"], &format!("{WAIT_FOR_GO}; {script}"));
        assert_eq!(context.show(&id)["state"], "running");
        fs::write(context.path("data/go"), "").unwrap();
        context.run(&["process", "wait", &id]).exits_with(code);
        assert_eq!(context.show(&id)["state"], state);
        fs::remove_file(context.path("data/go")).unwrap();
    }
    let id = context.start_run(&["--slug", "s"], "sleep 600 & wait");
    context.run(&["process", "kill", &id]).succeeds();
    assert_eq!(context.show(&id)["state"], "killed");
    let id = context.start_run(&["--slug", "s", "--max-runtime", "1"], "sleep 600 & wait");
    context.run(&["process", "wait", &id]).exits_with(143);
    assert_eq!(
        (&context.show(&id)["state"], &context.show(&id)["exit_reason"]),
        (&json!("killed"), &json!("timeout"))
    );
    context.wait_for_waiters();
}

#[test]
fn a_run_outlives_its_caller_and_holds_none_of_its_pipes_open() {
    let context = TestContext::new();
    // The test reads the caller's output until the pipe is closed. Descriptor 9 is another copy of that pipe.
    let mut command = context.command_for(
        Path::new("/bin/sh"),
        &["-c", "exec 9>&1; \"$0\" start --slug s -- sleep 600", env!("CARGO_BIN_EXE_rigup")],
    );
    let result = CommandOutput::new(&["start"], &command.output().unwrap()).succeeds();
    let id = result.record()["id"].as_str().unwrap().to_owned();
    assert_eq!(context.show(&id)["state"], "running");
    assert_eq!(context.show(&id)["live"]["pids"], json!([]));
    assert!(context.show(&id)["live"]["rss"].as_u64().unwrap() > 0);
    context.run(&["process", "kill", "-s", "KILL", &id]).succeeds();
    assert_eq!(context.show(&id)["exit_code"], 137);
    context.wait_for_waiters();
}

#[test]
fn the_variables_of_a_run_reach_its_command_and_not_its_waiter() {
    let mut context = TestContext::new();
    context.set("RIGUP_WAITER_ENV_FOREIGN", "1");
    let path = format!("/none:{}", std::env::var("PATH").unwrap());
    let args = ["--slug", "s", "--env", "LD_PRELOAD=/none.so", "--env", &format!("PATH={path}")];
    let id = context.start_run(&args, &format!("env; {WAIT_FOR_GO}"));
    let live = context.live_processes();
    let (waiter, _) = live.iter().find(|(_, line)| line.contains(" waiter --data-dir ")).unwrap();
    let environ = fs::read_to_string(format!("/proc/{waiter}/environ")).unwrap();
    assert!(!environ.split('\0').any(|variable| variable.starts_with("LD_PRELOAD=")), "{environ}");
    assert!(!environ.split('\0').any(|variable| variable == format!("PATH={path}")), "{environ}");
    fs::write(context.path("data/go"), "").unwrap();
    context.run(&["process", "wait", &id]).succeeds();
    let log = context.run(&["process", "logs", "--stream", "stdout", &id]).succeeds().stdout;
    let variables: Vec<&str> = log.lines().collect();
    for expected in ["LD_PRELOAD=/none.so", &format!("PATH={path}"), &format!("RIGUP_PROCESS_ID={id}")] {
        assert!(variables.contains(&expected), "{log}");
    }
    assert!(!log.contains("RIGUP_WAITER") && !log.contains("FOREIGN"), "{log}");
    context.wait_for_waiters();
}

#[test]
fn max_live_limits_the_runs_of_a_slug_that_start_at_the_same_time() {
    let context = TestContext::new();
    let children: Vec<_> = (0..20)
        .map(|_| context.start(&["start", "--slug", "s", "--max-live", "3", "--", "sleep", "600"]))
        .collect();
    let codes: Vec<Option<i32>> =
        children.into_iter().map(|child| child.wait_with_output().unwrap().status.code()).collect();
    assert_eq!(codes.iter().filter(|code| **code == Some(0)).count(), 3, "{codes:?}");
    assert_eq!(codes.iter().filter(|code| **code == Some(1)).count(), 17);
    assert_eq!(
        fs::read_dir(context.path("data/processes")).unwrap().count(),
        3,
        "a rejected start creates no run dir"
    );
    let live = context.run(&["process", "list", "--slug", "s", "--status", "running"]).succeeds().records();
    assert_eq!(live.len(), 3);
    context.run(&["start", "--slug", "other", "--max-live", "1", "--", "true"]).succeeds();
    context.run(&["start", "--slug", "s", "--max-live", "0", "--", "true"]).exits_with(1);
    let id = live[0]["id"].as_str().unwrap();
    context.run(&["process", "kill", id]).succeeds();
    let fourth = context.run(&["start", "--slug", "s", "--max-live", "3", "--", "true"]).succeeds().record();
    context.run(&["process", "wait", fourth["id"].as_str().unwrap()]).succeeds();
    for run in &live[1..] {
        context.run(&["process", "kill", run["id"].as_str().unwrap()]).succeeds();
    }
    context.wait_for_waiters();
}

#[test]
fn rejects_an_invalid_slug_and_creates_nothing() {
    let context = TestContext::new();
    for slug in ["", "../x", "A", "a/b", "a.b", &"x".repeat(64)] {
        context.run(&["start", "--slug", slug, "--", "true"]).exits_with(2);
    }
    assert!(!context.path("data").exists());
    context
        .run(&["start", "--slug", "s", "--max-runtime", "0", "--", "true"])
        .exits_with(2)
        .stderr_contains("use more than 0, or `none`");
    context.run(&["start", "--slug", "s"]).exits_with(2);
}

#[test]
fn records_a_command_that_cannot_be_started() {
    let context = TestContext::new();
    let output = context
        .run(&["start", "--slug", "s", "--", "no-such-program"])
        .exits_with(1)
        .stderr_contains("it is not on PATH");
    let record = output.record();
    assert_eq!((&record["state"], &record["exit_reason"]), (&json!("died"), &json!("spawn_failed")));
    context.run(&["process", "wait", record["id"].as_str().unwrap()]).exits_with(1);
    context.wait_for_waiters();
}

#[test]
fn stores_no_secret_and_makes_the_run_dir_private() {
    let mut context = TestContext::new();
    context.set("API_TOKEN", "canary-7f3a").set("RIGUP_RUN_DIR", "/nowhere");
    let id = context.start_run(&["--slug", "s"], "test -n \"$API_TOKEN\" && \"$RIGUP\" post hello >&2");
    context.run(&["process", "wait", &id]).succeeds();
    let run_dir = context.show(&id)["run_dir"].as_str().unwrap().to_owned();
    assert_eq!(fs::metadata(&run_dir).unwrap().permissions().mode() & 0o777, 0o700);
    let files =
        walkdir::WalkDir::new(context.path("data")).into_iter().map(|entry| entry.unwrap().into_path());
    for file in files.filter(|path| path.is_file()) {
        let bytes = fs::read(&file).unwrap();
        assert!(!bytes.windows(11).any(|window| window == b"canary-7f3a"), "{}", file.display());
    }
    context.wait_for_waiters();
}

#[test]
fn messages_of_concurrent_processes_never_interleave() {
    let context = TestContext::new();
    let script = "for i in a b c d e f g h; do \"$RIGUP\" post \"$(head -c 60000 /dev/zero | tr '\\0' $i)\" >&2 & done; wait";
    let id = context.start_run(&["--slug", "s"], script);
    context.run(&["process", "wait", &id]).succeeds();
    let messages = context.show(&id)["messages"].as_array().unwrap().clone();
    assert_eq!(messages.len(), 8);
    for message in messages {
        let text = message["text"].as_str().unwrap();
        assert!(text.len() == 60000 && text.bytes().all(|byte| byte == text.as_bytes()[0]));
    }
    context.wait_for_waiters();
}

#[test]
fn post_and_result_fail_outside_a_run() {
    let mut context = TestContext::new();
    context.run(&["post", "hello"]).exits_with(1).stderr_contains("RIGUP_RUN_DIR is not set");
    context.run(&["result", "1"]).exits_with(1);
    context.set("RIGUP_RUN_DIR", "/tmp");
    context.run(&["post", "hello"]).exits_with(1).stderr_contains("is not a run dir of rigup");
    context.run(&["result", "{oops"]).exits_with(2).stderr_contains("the result is not JSON");
    context.run(&["post", "hello", "text=x"]).exits_with(2);
}

#[test]
fn the_next_start_completes_the_record_of_a_launcher_that_died() {
    let context = TestContext::new();
    let id = context.start_run(&["--slug", "s"], "exit 0");
    context.run(&["process", "wait", &id]).succeeds();
    context.wait_for_waiters();
    // Reset the record to the state in which a launcher that is killed before it starts the waiter leaves it.
    let run_dir = context.show(&id)["run_dir"].as_str().unwrap().to_owned();
    fs::remove_file(format!("{run_dir}/exit.json")).unwrap();
    context
        .store()
        .execute(
            "UPDATE process SET status = 'queued', pid = NULL, start_ticks = NULL, boot_id = NULL, \
             started_at = NULL, ended_at = NULL, exit_code = NULL, exit_reason = NULL, stdout_tail = NULL, \
             stderr_tail = NULL, stdout_bytes = NULL, stderr_bytes = NULL, max_rss = NULL, user_ms = NULL, \
             sys_ms = NULL",
            [],
        )
        .unwrap();
    let second = context.start_run(&["--slug", "s", "--max-live", "1"], "exit 0");
    assert_eq!(context.show(&id)["exit_reason"], "lost");
    context.run(&["process", "wait", &second]).succeeds();
    context.wait_for_waiters();
}

#[test]
fn a_run_whose_waiter_was_killed_continues_and_has_no_exit_code() {
    let context = TestContext::new();
    let id = context.start_run(&["--slug", "s"], WAIT_FOR_GO);
    let waiter =
        context.live_processes().into_iter().find(|(_, command)| command.contains(" waiter ")).unwrap().0;
    signal(waiter, Signal::SIGKILL);
    wait_until("the waiter has exited", || !context.live_processes().iter().any(|(pid, _)| *pid == waiter));
    context.run(&["exec", "--", "true"]).succeeds();
    assert_eq!(context.show(&id)["state"], "running", "the next rigup does not kill the run");
    context.run(&["process", "wait", "--timeout", "1", &id]).exits_with(124);
    fs::write(context.path("data/go"), "").unwrap();
    context.run(&["process", "wait", &id]).exits_with(1);
    assert_eq!(
        (&context.show(&id)["exit_reason"], &context.show(&id)["exit_code"]),
        (&json!("lost"), &Value::Null)
    );
}

#[test]
fn gc_prints_each_action_and_its_run() {
    let mut context = TestContext::new();
    context.set("RIGUP_KEEP_DAYS", "none");
    let old = context.start_run(
        &["--slug", "old", "--ttl", "1"],
        "mkdir \"$RIGUP_RUN_DIR/sub\"; touch \"$RIGUP_RUN_DIR/sub/x\"",
    );
    let kept = context.start_run(&["--slug", "kept", "--ttl", "none"], "exit 0");
    let late = context.start_run(&["--slug", "late", "--max-runtime", "600"], "exec sleep 600");
    for id in [&old, &kept] {
        context.run(&["process", "wait", id]).succeeds();
    }
    let actions = |args: &[&str]| -> Vec<String> {
        let records = context.run(args).succeeds().records();
        records
            .iter()
            .map(|record| {
                format!("{} {}", record["action"].as_str().unwrap(), record["slug"].as_str().unwrap())
            })
            .collect()
    };
    // Backdate the records, and kill the waiter that would terminate the run `late`.
    let waiter =
        context.live_processes().into_iter().find(|(_, command)| command.contains(" waiter ")).unwrap().0;
    signal(waiter, Signal::SIGKILL);
    let store = context.store();
    store
        .execute("UPDATE process SET ended_at = '2020-01-01T00:00:00.000Z' WHERE ended_at IS NOT NULL", [])
        .unwrap();
    store.execute("UPDATE process SET started_at = '2020-01-01T00:00:00.000Z'", []).unwrap();
    fs::create_dir(context.path("data/processes/.gone-01890a5d-ac96-774b-bcce-b302099a8057")).unwrap();
    let unrecorded = context.path("data/processes/01890a5d-ac96-774b-bcce-b302099a8058");
    fs::create_dir(&unrecorded).unwrap();

    let expected = ["killed late", "removed old", "removed "];
    assert_eq!(actions(&["process", "gc", "--dry-run"]), expected);
    assert_eq!(context.show(&late)["state"], "running", "a dry run terminates nothing");
    assert_eq!(actions(&["process", "gc"]), expected);
    assert_eq!(context.live_processes(), []);
    assert_eq!(context.show(&late)["status"], "exited");
    assert!(
        Path::new(context.show(&late)["run_dir"].as_str().unwrap()).exists(),
        "the gc that terminates a run keeps its run dir"
    );
    assert_eq!(context.show(&old)["run_dir"], Value::Null, "the record is kept without the run dir");
    assert!(unrecorded.exists());
    context.run(&["process", "logs", &old]).exits_with(1).stderr_contains("have expired");
    assert_eq!(actions(&["process", "gc"]), Vec::<String>::new());
    assert_eq!(actions(&["process", "gc", "--ttl", "0"]), ["removed kept", "removed late"]);
    assert!(unrecorded.exists(), "a new run dir without a record is kept");
    let long_ago = SystemTime::now() - Duration::from_hours(25);
    fs::File::open(&unrecorded).unwrap().set_modified(long_ago).unwrap();
    assert_eq!(actions(&["process", "gc", "--ttl", "0"]), ["removed "]);
    assert!(!unrecorded.exists());
}

#[test]
fn follows_logs_until_the_process_exits() {
    let context = TestContext::new();
    let id = context.start_run(
        &["--slug", "s"],
        &format!("echo one; echo two; echo three; echo bad >&2; {WAIT_FOR_GO}; : >\"$RIGUP_RUN_DIR/stdout.log\"; echo new; exit 1"),
    );
    wait_until("the run has printed its lines", || context.show(&id)["stdout_tail"] == "one\ntwo\nthree\n");
    let last = context.run(&["process", "logs", "-n", "2", "--stream", "stdout", &id]).succeeds();
    assert_eq!(last.stdout, "two\nthree\n");
    assert_eq!(context.run(&["process", "logs", "-n", "0", "--stream", "stdout", &id]).succeeds().stdout, "");
    assert_eq!(
        context.run(&["process", "logs", "-n", "99", "--stream", "stderr", &id]).succeeds().stdout,
        "bad\n"
    );
    let out = context.path("followed");
    let mut command = context.command(&["process", "logs", "-f", "-n", "1", "--stream", "stdout", &id]);
    let mut child = command.stdout(fs::File::create(&out).unwrap()).spawn().unwrap();
    wait_until("the last line is printed", || fs::read_to_string(&out).unwrap() == "three\n");
    fs::write(context.path("data/go"), "").unwrap();
    assert!(child.wait().unwrap().success(), "following ends when the process exits");
    assert_eq!(fs::read_to_string(&out).unwrap(), "three\nnew\n");
    context.wait_for_waiters();
}

#[test]
fn stops_reading_a_log_when_stdout_is_closed() {
    let context = TestContext::new();
    let id = context.start_run(&["--slug", "s"], "echo one");
    context.wait_for_waiters();
    let log = Path::new(context.show(&id)["run_dir"].as_str().unwrap()).join("stdout.log");
    // Reading this sparse file to its end takes minutes.
    fs::File::options().write(true).open(log).unwrap().set_len(1 << 40).unwrap();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let start = Instant::now();
    let mut command = context.command(&["process", "logs", &id]);
    assert!(command.stdout(writer).status().unwrap().success());
    assert!(start.elapsed() < Duration::from_secs(20));
}

#[test]
fn wait_exits_with_the_first_nonzero_exit_code_of_several_runs() {
    let context = TestContext::new();
    let ids: Vec<String> =
        [0, 4, 5].iter().map(|code| context.start_run(&["--slug", "s"], &format!("exit {code}"))).collect();
    let output = context.run(&["process", "wait", &ids[0], &ids[2], &ids[1], &ids[0]]).exits_with(5);
    assert_eq!(output.records().len(), 3);
    context.run(&["process", "wait", "--timeout", "5", &ids[0]]).succeeds();
    context.wait_for_waiters();
}

#[test]
fn posted_values_keep_their_types_and_numbers_their_digits() {
    let context = TestContext::new();
    let number = "0.12345678901234567890123";
    let script = format!(
        "\"$RIGUP\" post go progress=0.5 n={number} ok=true none=null list='[1, 2.50]' object='{{\"a\":1e2}}' \
         quoted='\"5\"' version=1.2.3 code=007 empty= text2='5 %'\n\
         \"$RIGUP\" post '{{\"step\":3.10}}'; \"$RIGUP\" post '\"1E400\"'; \"$RIGUP\" post '[x'; \"$RIGUP\" post ''\n\
         for bad in '[1E400]' '{{\"a\":1,\"a\":2}}' '[-1e999]'; do\n\
         \"$RIGUP\" post \"$bad\"; echo $?; \"$RIGUP\" post x v=\"$bad\"; echo $?; \"$RIGUP\" result \"$bad\"; echo $?; done\n\
         \"$RIGUP\" post x v=1E400 || \"$RIGUP\" post 1E400; echo $?\n\
         \"$RIGUP\" result '{{\"big\":123456789012345678901234567890,\"n\":{number},\"price\":1.10}}'"
    );
    let id = context.start_run(&["--slug", "s"], &script);
    context.run(&["process", "wait", &id]).succeeds();
    let shown = context.run(&["process", "show", &id]).succeeds();
    let record = shown.record();
    let first = json!({
        "progress": 0.5, "ok": true, "none": null, "list": [1, 2.5], "quoted": "5", "version": "1.2.3", "code": "007",
        "empty": "", "text2": "5 %",
    });
    for (key, value) in first.as_object().unwrap() {
        let posted = &record["messages"][0][key];
        assert!(posted == value || key == "list", "{key}: {posted}");
    }
    let texts: Vec<&Value> =
        record["messages"].as_array().unwrap().iter().map(|message| &message["text"]).collect();
    assert_eq!(texts.len(), 5, "{texts:?}");
    assert_eq!(
        (texts[0], texts[2], texts[3], texts[4]),
        (&json!("go"), &json!("1E400"), &json!("[x"), &json!(""))
    );
    for written in [
        format!("\"n\":{number}"),
        "\"list\":[1,2.50]".to_owned(),
        "\"text\":{\"step\":3.10}".to_owned(),
        format!("{{\"big\":123456789012345678901234567890,\"n\":{number},\"price\":1.10}}"),
    ] {
        assert!(shown.stdout.contains(&written), "{written}: {}", shown.stdout);
    }
    assert_eq!(record["stdout_tail"], "2\n".repeat(10));
    let stderr = record["stderr_tail"].as_str().unwrap();
    assert!(stderr.contains("number out of range") && stderr.contains("repeated key"), "{stderr}");
    let table = context.run(&["process", "show", "--format", "table", &id]).succeeds();
    assert!(table.stdout.contains("  {\"step\":3.10}\n"), "{}", table.stdout);
    context.wait_for_waiters();
}

#[test]
fn a_posted_text_that_is_json_keeps_its_type_and_any_other_is_a_string() {
    let context = TestContext::new();
    let posted = [
        ("42", "42"),
        ("-5", "-5"),
        ("-0.50", "-0.50"),
        ("1.10", "1.10"),
        ("123456789012345678901234567890", "123456789012345678901234567890"),
        ("true", "true"),
        ("false", "false"),
        ("null", "null"),
        ("[1,2.50]", "[1,2.50]"),
        ("{\"a\":[null]}", "{\"a\":[null]}"),
        ("\"42\"", "\"42\""),
        (" 7 ", "7"),
        ("42 %", "\"42 %\""),
        ("007", "\"007\""),
        ("NaN", "\"NaN\""),
        ("True", "\"True\""),
        ("done", "\"done\""),
        ("", "\"\""),
    ];
    let script = posted.map(|(text, _)| format!("\"$RIGUP\" post '{text}' || exit 9\n")).concat();
    let id = context.start_run(&["--slug", "s"], &format!("{script}\"$RIGUP\" result -1.50"));
    context.run(&["process", "wait", &id]).succeeds();
    let messages = fs::read_to_string(context.path(&format!("data/processes/{id}/messages.jsonl"))).unwrap();
    let texts: Vec<&str> = messages
        .lines()
        .map(|line| line.split_once("\"text\":").unwrap().1.strip_suffix('}').unwrap())
        .collect();
    assert_eq!(texts, posted.map(|(_, stored)| stored));
    let shown = context.run(&["process", "show", &id]).succeeds();
    for written in ["\"text\":-0.50}", "\"text\":null}", "\"result\":-1.50"] {
        assert!(shown.stdout.contains(written), "{written}: {}", shown.stdout);
    }
    let table = context.run(&["process", "show", "--format", "table", &id]).succeeds().stdout;
    assert!(table.contains("Z  null\n") && table.contains("Z  42 %\n"), "{table}");
    context.wait_for_waiters();
}
