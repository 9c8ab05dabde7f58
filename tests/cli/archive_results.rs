//! The `ArchiveResult` records of `rigup run`, and `index.jsonl`.

use std::fs;
use std::os::unix::fs::symlink;

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::test_context::{CommandOutput, TestContext, signal, wait_until};

/// Creates hooks of the plugin `p`, each from a file name without `on_` and a shell script.
fn context_with(hooks: &[(&str, &str)]) -> TestContext {
    let context = TestContext::new();
    for (name, body) in hooks {
        context.script(&format!("here/plugins/p/on_{name}"), &format!("#!/bin/sh\n{body}\n"));
    }
    context
}

const SUCCEEDED: &str =
    "echo '{\"type\":\"ArchiveResult\",\"status\":\"succeeded\",\"output_str\":\"a.html\",\"title\":\"A\"}'";

fn run(context: &TestContext, event: &str) -> CommandOutput {
    context.run(&["run", "--output-dir", "out", event, "--url=x"])
}

/// Returns the printed results.
fn results(output: &CommandOutput) -> Vec<Value> {
    output.records().into_iter().filter(|record| record["type"] == "ArchiveResult").collect()
}

/// Returns the records in the index.
fn index(context: &TestContext) -> Vec<Value> {
    let text = fs::read_to_string(context.path("here/out/index.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_result_gets_its_ids_its_hook_and_the_files_of_its_plugin() {
    let hook = format!(
        "mkdir b .hooks; echo hi >b/A.HTML; echo hi >a.warc.gz; ln -s a.warc.gz link; touch x.log y.pid .hooks/z\n\
         {SUCCEEDED}\necho '{{\"type\":\"Other\"}}'"
    );
    let context = context_with(&[("Snapshot__10_a.finite.bg.sh", &hook)]);
    let arguments = ["run", "--output-dir", "out", "Snapshot", "--snapshot_id=1", "--snapshot-id=snap"];
    let output = context.run(&arguments).succeeds();
    let [result] = &results(&output)[..] else { panic!("{}", output.stdout) };
    assert!(result["id"].as_str().unwrap().len() == 36, "{result}");
    let expected = json!({
        "type": "ArchiveResult", "status": "succeeded", "output_str": "a.html", "title": "A", "id": result["id"],
        "snapshot_id": "snap", "plugin": "p", "hook_name": "on_Snapshot__10_a.finite.bg",
        "output_files": [
            { "path": "a.warc.gz", "extension": "gz", "mimetype": "application/warc", "size": 3 },
            { "path": "b/A.HTML", "extension": "html", "mimetype": "text/html", "size": 3 },
        ],
    });
    assert_eq!(result, &expected);
    assert_eq!(index(&context), [expected], "the index has the same record, and no others");
    let again = run(&context, "Snapshot").succeeds();
    let second = &results(&again)[0];
    let command =
        &again.records().into_iter().find(|record| record["type"] == "Process").unwrap()["parent_id"];
    assert_eq!(&second["snapshot_id"], command, "without an argument, it is the id of the command");
    assert_ne!(second["id"], result["id"]);
    assert_eq!(index(&context).len(), 2);
}

#[test]
fn a_snapshot_hook_that_prints_no_result_gets_one_from_its_exit() {
    let daemon = "echo up; while :; do sleep 600 & wait $!; done";
    let context = context_with(&[
        ("Snapshot__1_none.sh", "touch file"),
        ("Snapshot__2_skip.sh", "exit 10"),
        ("Snapshot__3_fail.sh", "echo one >&2; echo 'no such page' >&2; exit 3"),
        ("Snapshot__4_silent.finite.bg.sh", "exit 4"),
        ("Snapshot__5_daemon.daemon.bg.sh", daemon),
        ("Other__1_fail.sh", "exit 3"),
    ]);
    let output = run(&context, "Snapshot").exits_with(1);
    let mut found = results(&output);
    assert_eq!(index(&context), found);
    found.sort_by_key(|result| result["hook_name"].to_string());
    let field = |name: &str| found.iter().map(|result| result[name].clone()).collect::<Vec<_>>();
    assert_eq!(field("status"), ["noresult", "skipped", "failed", "failed", "noresult"]);
    assert_eq!(
        field("error"),
        [json!(null), json!(null), json!("one\nno such page"), json!("exit 4"), json!(null)]
    );
    assert_eq!(found[0]["output_files"][0]["path"], "file");
    let types: Vec<Value> = output.records().iter().map(|record| record["type"].clone()).collect();
    assert_eq!(types[..2], ["ArchiveResult", "Process"], "a result comes before the exit of its hook");
    fs::remove_dir_all(context.path("here/out")).unwrap();
    assert_eq!(results(&run(&context, "Other").exits_with(1)), Vec::<Value>::new());
    assert!(!context.path("here/out/index.jsonl").exists(), "an event without results has no index");
}

#[test]
fn the_error_of_a_result_begins_with_how_rigup_ended_its_hook() {
    let mut context = context_with(&[("Snapshot__1_slow.sh", "echo 'saved 3 pages' >&2; exec sleep 600")]);
    context.script("here/plugins/q/on_Snapshot__2_big.py", "import sys\nprint('eaten 200 MiB', file=sys.stderr, flush=True)\nx = b'x' * (200 << 20)\nimport time; time.sleep(600)\n");
    context.set("P_TIMEOUT", "1").set("Q_MEMORY_LIMIT", "60000000");
    let output = run(&context, "Snapshot").exits_with(1);
    let errors: Vec<Value> = results(&output).iter().map(|result| result["error"].clone()).collect();
    assert_eq!(
        errors,
        ["timed out after 1 s (143): saved 3 pages", "over its memory limit (137): eaten 200 MiB"]
    );
    assert_eq!(context.live_processes(), []);
}

/// Node prints its own version below the stack of an exception that no one catches.
#[test]
fn the_error_of_a_node_hook_is_its_exception() {
    let context = TestContext::new();
    let deep = "function deep(n) { if (n) deep(n - 1); else throw Object.assign(new Error('the page has no links'), {code: 1}); }";
    context.script("here/plugins/p/on_Snapshot__1_n.js", &format!("{deep}\ndeep(20);\n"));
    let output = run(&context, "Snapshot").exits_with(1);
    let error = results(&output)[0]["error"].as_str().unwrap().to_owned();
    assert!(error.contains("\nError: the page has no links\n"), "{error}");
    output.stderr_contains("error: p/on_Snapshot__1_n.js: exit 1: Error: the page has no links (rigup");
}

#[test]
fn a_snapshot_hook_that_is_not_started_is_skipped_with_the_reason() {
    let context = context_with(&[("Setup__1_d.daemon.bg.sh", "exit 3")]);
    context.script("here/plugins/q/on_Snapshot__2_q.sh", &format!("#!/bin/sh\n{SUCCEEDED}\n"));
    context.write(
        "here/plugins/q/config.json",
        "{\"type\": \"object\", \"properties\": {}, \"required_plugins\": [\"p\"]}",
    );
    let output = run(&context, "Setup,Snapshot").exits_with(1);
    let [result] = &results(&output)[..] else { panic!("{}", output.stdout) };
    assert_eq!((&result["status"], &result["plugin"]), (&json!("skipped"), &json!("q")));
    let error = result["error"].as_str().unwrap();
    assert!(error.contains("failed"), "{error}");
    assert_eq!(index(&context), std::slice::from_ref(result));
}

#[test]
fn a_failure_after_a_printed_result_corrects_it_under_its_id() {
    let context = context_with(&[
        ("Snapshot__1_a.sh", &format!("{SUCCEEDED}; echo 'it broke' >&2; exit 3")),
        ("Snapshot__2_b.sh", &format!("{SUCCEEDED}; exit 10")),
        ("Snapshot__3_c.sh", "echo '{\"type\":\"ArchiveResult\",\"id\":\"mine\",\"status\":\"failed\"}'"),
        ("Other__1_a.sh", &format!("{SUCCEEDED}; exit 3")),
    ]);
    let found = results(&run(&context, "Snapshot").exits_with(1));
    assert_eq!(index(&context), found);
    let statuses: Vec<&str> = found.iter().map(|result| result["status"].as_str().unwrap()).collect();
    assert_eq!(statuses, ["succeeded", "failed", "succeeded", "skipped", "failed"]);
    let mut expected = found[0].clone();
    expected["status"] = "failed".into();
    expected["error"] = "it broke".into();
    assert_eq!(found[1], expected, "it keeps its other fields");
    assert_eq!(found[2]["id"], found[3]["id"]);
    assert_eq!(found[4]["id"], "mine");
    assert_eq!(
        results(&run(&context, "Other").exits_with(1)).len(),
        1,
        "only hooks of Snapshot are corrected"
    );
}

#[test]
fn an_interrupt_cancels_the_results_of_the_hooks_that_it_stops() {
    let daemon = format!("trap 'exit 0' TERM; {SUCCEEDED}; while :; do sleep 600 & wait $!; done");
    let context = context_with(&[
        ("Snapshot__1_done.sh", SUCCEEDED),
        ("Snapshot__2_daemon.daemon.bg.sh", &daemon),
        ("Snapshot__3_slow.sh", "echo >>\"$DATA_DIR/ready\"; exec sleep 600"),
        ("Snapshot__4_never.sh", "true"),
    ]);
    let child = context.start(&["run", "--output-dir", "out", "Snapshot", "--url=x"]);
    wait_until("the slow hook runs", || context.path("data/ready").exists());
    signal(child.id(), Signal::SIGINT);
    let output = CommandOutput::new(&["run"], &child.wait_with_output().unwrap()).dies_of(Signal::SIGINT);
    let found = results(&output);
    assert_eq!(index(&context), found);
    let of = |name: &str| -> Vec<&str> {
        let is_of = |result: &&Value| result["hook_name"].as_str().unwrap().contains(name);
        found.iter().filter(is_of).map(|result| result["status"].as_str().unwrap()).collect()
    };
    assert_eq!(of("done"), ["succeeded"]);
    assert_eq!(of("daemon"), ["succeeded", "cancelled"]);
    assert_eq!(of("slow"), ["cancelled"]);
    assert_eq!(of("never"), [""; 0]);
    assert_eq!(context.live_processes(), []);
}

#[test]
fn a_killed_rigup_leaves_whole_lines_and_the_next_one_ends_a_cut_one() {
    let many = format!("i=0; while [ $i -lt 3000 ]; do {SUCCEEDED}; i=$((i+1)); done; exec sleep 600");
    let context = context_with(&[("Snapshot__1_a.sh", &many), ("Snapshot__2_b.sh", SUCCEEDED)]);
    let path = context.path("here/out/index.jsonl");
    let child = context.start(&["run", "--output-dir", "out", "Snapshot", "--url=x"]);
    wait_until("the index has lines", || fs::metadata(&path).is_ok_and(|file| file.len() > 2000));
    context.kill_all(child);
    let count = index(&context).len();
    assert!(fs::read_to_string(&path).unwrap().ends_with("}\n"));

    context.script("here/plugins/p/on_Snapshot__1_a.sh", "#!/bin/sh\nexit 10\n");
    fs::write(&path, [&fs::read(&path).unwrap()[..], b"{\"type\":\"Arch"].concat()).unwrap();
    run(&context, "Snapshot").succeeds();
    let text = fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[count], "{\"type\":\"Arch");
    let added = lines[count + 1..].iter().map(|line| serde_json::from_str::<Value>(line).unwrap());
    assert_eq!(added.map(|record| record["status"].clone()).collect::<Vec<_>>(), ["skipped", "succeeded"]);
}

#[test]
fn an_index_that_cannot_be_written_is_named_once_and_results_are_printed() {
    let context = context_with(&[("Snapshot__1_a.sh", SUCCEEDED), ("Snapshot__2_b.sh", SUCCEEDED)]);
    let secret = context.write("secret", "text");
    fs::create_dir(context.path("here/out")).unwrap();
    symlink(&secret, context.path("here/out/index.jsonl")).unwrap();
    let output = run(&context, "Snapshot").succeeds();
    assert_eq!(results(&output).len(), 2);
    assert_eq!(output.stderr.matches("cannot add its result to the index: ").count(), 1, "{}", output.stderr);
    assert_eq!(fs::read_to_string(secret).unwrap(), "text");
}
