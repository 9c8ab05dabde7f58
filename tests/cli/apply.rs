//! `rigup apply`, and the commands that create, update and delete records.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::test_context::{CommandOutput, TestContext, died_of, signal, wait_until};

/// Runs rigup with a text on standard input.
fn pipe(context: &TestContext, args: &[&str], input: &str) -> CommandOutput {
    let mut command = context.command(args);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_owned();
    let writer = std::thread::spawn(move || {
        // rigup may exit before it has read all of its input.
        let _ = stdin.write_all(input.as_bytes());
    });
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    CommandOutput::new(args, &output)
}

pub(crate) fn apply(context: &TestContext, records: &[Value]) -> CommandOutput {
    let lines: Vec<String> = records.iter().map(Value::to_string).collect();
    pipe(context, &["apply"], &lines.join("\n"))
}

fn request(name: &str) -> Value {
    json!({"type": "BinaryRequest", "name": name, "binproviders": "env"})
}

#[test]
fn resolves_a_request_and_prints_its_record() {
    let context = TestContext::new();
    let record = apply(&context, &[request("sh")]).succeeds().record();
    assert_eq!((&record["type"], &record["status"]), (&json!("Binary"), &json!("installed")));
    assert!(context.bin("sh").exists());
    assert_eq!(context.run(&["binary", "show", "sh"]).succeeds().record()["abspath"], record["abspath"]);
}

#[test]
fn prints_results_in_order_and_passes_through_unknown_types() {
    let context = TestContext::new();
    let unknown = json!({"type": "Snapshot", "url": "https://example.com", "n": 1.5});
    let output =
        apply(&context, &[request("sh"), unknown.clone(), request("no-such-program"), request("ls")]);
    let records = output.exits_with(1).stderr_contains("error: cannot install no-such-program: ").records();
    assert_eq!(records[1], unknown);
    let statuses: Vec<_> =
        records.iter().map(|record| (record["name"].as_str(), record["status"].as_str())).collect();
    assert_eq!(statuses[0], (Some("sh"), Some("installed")));
    assert_eq!(statuses[2], (Some("no-such-program"), Some("queued")));
    assert_eq!(statuses[3], (Some("ls"), Some("installed")));
}

#[test]
fn prints_the_result_of_each_record_before_the_next_one_arrives() {
    let context = TestContext::new();
    let mut child = context.command(&["apply"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let (mut input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let mut printed = BufReader::new(output).lines();
    for name in ["sh", "ls", "cat"] {
        writeln!(input, "{}", request(name)).unwrap();
        let result: Value = serde_json::from_str(&printed.next().unwrap().unwrap()).unwrap();
        assert_eq!((&result["name"], &result["status"]), (&json!(name), &json!("installed")));
    }
    drop(input);
    assert!(child.wait().unwrap().success());
    let runs = context.processes().into_iter().filter(|process| process["process_type"] == "cli").count();
    assert_eq!(runs, 1, "one process handles all records");
}

#[test]
fn an_interrupt_stops_apply_while_it_waits_for_input() {
    let context = TestContext::new();
    let mut child = context.command(&["apply"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let (mut input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    writeln!(input, "{}", request("sh")).unwrap();
    BufReader::new(output).lines().next().unwrap().unwrap();
    signal(child.id(), Signal::SIGINT);
    assert!(died_of(child.wait().unwrap(), Signal::SIGINT));
    drop(input);
}

#[test]
fn apply_respects_the_retry_time_and_install_ignores_it() {
    let context = TestContext::new();
    apply(&context, &[request("no-such-program")]).exits_with(1);
    let hooks = context.hook_processes().len();
    let output = apply(&context, &[request("no-such-program")]).exits_with(1);
    assert_eq!(context.hook_processes().len(), hooks, "no provider was tried");
    assert_eq!(output.record()["attempt_count"], 1);
    output
        .stderr_contains("not tried again before")
        .stderr_contains("run `rigup install no-such-program` to try now");
    context.run(&["install", "no-such-program", "--binproviders", "env"]).exits_with(1);
    assert_eq!(context.hook_processes().len(), hooks + 1);
    pipe(&context, &["binary", "update", "no-such-program", "--status", "queued"], "").succeeds();
    apply(&context, &[request("no-such-program")]).exits_with(1);
    assert_eq!(context.hook_processes().len(), hooks + 2, "the update reset the retry time");
}

#[test]
fn accepts_records_in_older_formats() {
    let context = TestContext::new();
    let dependency = json!({"type": "Dependency", "bin_name": "sh", "bin_providers": "env,apt"});
    let older = json!({"type": "Binary", "name": "ls", "binproviders": "env", "status": "failed", "abspath": "/gone"});
    let machine =
        json!({"type": "Machine", "_method": "update", "key": "config/LS_BINARY", "value": "/bin/ls"});
    let records = apply(&context, &[dependency, older, machine]).succeeds().records();
    assert_eq!((&records[0]["name"], &records[0]["status"]), (&json!("sh"), &json!("installed")));
    assert_eq!((&records[1]["name"], &records[1]["status"]), (&json!("ls"), &json!("installed")));
    assert_eq!(records[2]["config"]["LS_BINARY"], "/bin/ls");
    let unset = json!({"type": "Machine", "_method": "unset", "key": "config/LS_BINARY"});
    assert_eq!(apply(&context, &[unset]).succeeds().record()["config"], json!({}));
}

#[test]
fn stores_and_links_a_binary_record_that_matches_its_file() {
    let context = TestContext::new();
    let tool = context.script("opt/tool", "#!/bin/sh\necho 1.0\n");
    let record = json!({
        "type": "Binary", "name": "tool", "abspath": tool, "version": "1.0", "binprovider": "pip", "binproviders": "pip",
        "status": "succeeded", "env": {"MY_TOKEN": "canary"},
    });
    let stored = apply(&context, std::slice::from_ref(&record)).succeeds().record();
    assert_eq!((&stored["binprovider"], &stored["status"]), (&json!("pip"), &json!("installed")));
    assert_eq!(stored["env"], json!(null), "unused fields are not stored");
    assert_eq!(fs::read_link(context.bin("tool")).unwrap(), tool);
    assert!(context.hook_processes().is_empty());
    let repeated = apply(&context, std::slice::from_ref(&stored)).succeeds().record();
    assert_eq!(repeated, stored, "a repeated record changes nothing");

    let mut invalid = record;
    invalid["sha256"] = json!("0".repeat(64));
    invalid.as_object_mut().unwrap().remove("binproviders");
    apply(&context, &[invalid.clone()]).exits_with(1).stderr_contains("standard input:1: sha256 000");
    invalid["abspath"] = json!("/no/such/tool");
    apply(&context, &[invalid]).exits_with(1).stderr_contains("abspath /no/such/tool does not exist");
}

#[test]
fn imports_the_records_of_another_data_dir() {
    let mut context = TestContext::new();
    context.run(&["install", "sh"]).succeeds();
    let mut records = String::new();
    for command in ["machine", "binary", "process"] {
        records += &context.run(&[command, "list"]).succeeds().stdout;
    }
    let process = context.hook_processes().remove(0);
    context.set("RIGUP_DATA_DIR", context.path("other"));
    let printed = pipe(&context, &["apply"], &records).succeeds().records();
    assert_eq!(printed.len(), records.lines().count());
    let stored = context.run(&["process", "show", process["id"].as_str().unwrap()]).succeeds().record();
    assert_eq!((&stored["exit_code"], &stored["ended_at"]), (&process["exit_code"], &process["ended_at"]));
    assert_eq!(stored["run_dir"], json!(null), "a run dir outside this data dir is not imported");
    assert_eq!(context.run(&["binary", "show", "sh"]).succeeds().record()["status"], "installed");
}

#[test]
fn rejects_a_running_process_and_a_process_of_an_unknown_machine() {
    let mut context = TestContext::new();
    context.run(&["install", "sh"]).succeeds();
    let process = context.hook_processes().remove(0);
    context.set("RIGUP_DATA_DIR", context.path("other"));
    apply(&context, std::slice::from_ref(&process))
        .exits_with(1)
        .stderr_contains("; apply its Machine record first");
    let mut running = process;
    running["status"] = json!("running");
    apply(&context, &[running])
        .exits_with(1)
        .stderr_contains("the process is running; only an exited process can be imported");
}

#[test]
fn reports_invalid_lines_and_applies_the_others() {
    let context = TestContext::new();
    let input = format!(
        "a log line\n{{\"type\":\"BinaryRequest\",\"na\n{}\n{}",
        json!({"type": "Binary"}),
        request("sh")
    );
    let output = pipe(&context, &["apply"], &input).exits_with(1);
    assert_eq!(output.record()["name"], "sh");
    output
        .stderr_contains("standard input:3: no \"name\"")
        .stderr_contains("line 2")
        .stderr_contains("standard input: ignored 1 line that is not a record (line 1)");
    pipe(&context, &["apply"], "").succeeds();
    let files = context.write("here/a.jsonl", request("ls").to_string());
    context.run(&["apply", files.to_str().unwrap()]).succeeds();
    context.run(&["apply", "gone.jsonl"]).exits_with(1).stderr_contains("gone.jsonl: cannot read the file");
}

#[test]
fn a_dry_run_prints_the_plan_and_changes_nothing() {
    let context = TestContext::new();
    let tool = context.script("opt/tool", "#!/bin/sh\n");
    let binary = json!({"type": "Binary", "name": "tool", "abspath": tool, "binproviders": "env"});
    let lines = format!("{}\n{binary}\n", request("sh"));
    let records = pipe(&context, &["apply", "--dry-run"], &lines).succeeds().records();
    assert_eq!((&records[0]["status"], &records[0]["binproviders"]), (&json!("queued"), &json!("env")));
    assert!(context.run(&["binary", "list"]).succeeds().records().is_empty());
    assert!(!context.bin("tool").is_symlink() && context.processes().is_empty());
}

#[test]
fn creates_a_binary_record_once() {
    let context = TestContext::new();
    let tool = context.script("opt/tool", "#!/bin/sh\n");
    let create =
        ["binary", "create", "--name", "tool", "--abspath", tool.to_str().unwrap(), "--version", "1.2"];
    let record = context.run(&create).succeeds().record();
    assert_eq!((&record["version"], &record["status"]), (&json!("1.2"), &json!("installed")));
    let repeated = context.run(&create).succeeds().stderr_contains("already has this record");
    assert_eq!(repeated.record()["id"], record["id"]);
    context.run(&["install", "tool"]).succeeds();
    assert!(context.hook_processes().is_empty(), "install uses the created record");
    context
        .run(&["binary", "create", "--name", "x", "--abspath", "/no/such"])
        .exits_with(1)
        .stderr_contains("abspath /no/such");
    context.run(&["binary", "create", "--name", "../x", "--abspath", "/bin/sh"]).exits_with(2);
    context.run(&["binary", "create", "--name", "x"]).exits_with(2);
    let dry = [&create[..], &["--dry-run"]].concat();
    context.run(&dry).succeeds();
}

#[test]
fn creates_a_binary_record_with_the_version_that_the_file_prints() {
    let context = TestContext::new();
    let tool = context.script("opt/tool", "#!/bin/sh\necho tool 1.2\n");
    let create = ["binary", "create", "--name", "tool", "--abspath", tool.to_str().unwrap()];
    assert_eq!(context.run(&[&create[..], &["--dry-run"]].concat()).succeeds().record()["version"], "1.2");
    assert_eq!(context.run(&create).succeeds().record()["version"], "1.2");
    context.run(&["install", "tool", "--min-version", "1.1"]).succeeds();
    assert!(context.hook_processes().is_empty(), "the version in the record is sufficient");
}

#[test]
fn updates_the_binaries_listed_on_standard_input() {
    let context = TestContext::new();
    context.run(&["install", "sh", "ls"]).succeeds();
    let list = context.run(&["binary", "list"]).succeeds().stdout;
    let unknown = json!({"type": "Binary", "id": "01a1fd03-0bd1-76a7-a02c-4f1ec82a963e"});
    let input = format!("{unknown}\n{list}");
    let output = pipe(&context, &["binary", "update", "--min-version", "0.1"], &input).exits_with(1);
    assert_eq!(output.records().len(), 2, "the known binaries were updated");
    output.stderr_contains("error: no binary has the name or id `01a1fd03-");
    assert!(
        context
            .run(&["binary", "list"])
            .succeeds()
            .records()
            .iter()
            .all(|record| record["min_version"] == "0.1")
    );
    let tool = context.script("opt/tool", "#!/bin/sh\n");
    let tool = tool.to_str().unwrap();
    let record =
        context.run(&["binary", "update", "ls", "--abspath", tool, "--version", "9"]).succeeds().record();
    assert_eq!((&record["abspath"], &record["version"]), (&json!(tool), &json!("9")));
    assert_eq!(fs::read_link(context.bin("ls")).unwrap().to_str(), Some(tool));
    pipe(&context, &["binary", "update", "--version", "1"], "")
        .exits_with(1)
        .stderr_contains("no binaries: name some");
    let filtered =
        |args: &[&str]| context.run(&[&["binary", "list"], args].concat()).succeeds().records().len();
    assert_eq!(
        (filtered(&["--abspath", "OPT/T"]), filtered(&["--version", "9"]), filtered(&["-n", "1"])),
        (1, 1, 1)
    );
}

#[test]
fn deletes_nothing_without_yes() {
    let context = TestContext::new();
    context.run(&["install", "sh", "ls"]).succeeds();
    let sh = context.run(&["binary", "list", "--name", "sh"]).succeeds().stdout;
    pipe(&context, &["binary", "delete"], &sh)
        .exits_with(1)
        .stderr_contains("confirm with --yes to delete 1 record");
    pipe(&context, &["binary", "delete", "--dry-run"], &sh).succeeds().stderr_contains("would delete sh");
    assert_eq!(context.run(&["binary", "list"]).succeeds().records().len(), 2);
    pipe(&context, &["binary", "delete", "--yes"], &sh).succeeds();
    assert!(!context.bin("sh").is_symlink() && context.bin("ls").exists());
    context.run(&["binary", "show", "sh"]).exits_with(1);
    assert!(!context.hook_processes().is_empty(), "the process records remain");
    for options in [&[][..], &["--yes"]] {
        let output = context.run(&[&["binary", "delete", "sh"], options].concat()).exits_with(1);
        let error = "error: no binary has the name or id `sh`; `rigup binary list` shows the binaries\n";
        assert_eq!(output.stderr, error);
    }
    pipe(&context, &["binary", "delete", "--yes"], "").exits_with(1).stderr_contains("no binaries");
}

#[test]
fn machine_set_accepts_only_paths_of_binaries() {
    let context = TestContext::new();
    let record = context.run(&["machine", "set", "SH_BINARY=/bin/sh"]).succeeds().record();
    assert_eq!(record["config"], json!({"SH_BINARY": "/bin/sh"}));
    context.run(&["machine", "set", "LS_BINARY=/bin/ls", "--dry-run"]).succeeds();
    context
        .run(&["machine", "set", "PATH=/bin"])
        .exits_with(2)
        .stderr_contains("only keys that end in _BINARY");
    context
        .run(&["machine", "set", "X_BINARY=/no/such"])
        .exits_with(2)
        .stderr_contains("/no/such is not the absolute path of an existing file");
    let machines = context.run(&["machine", "list"]).succeeds().records();
    assert_eq!((machines.len(), &machines[0]["config"]), (1, &json!({"SH_BINARY": "/bin/sh"})));
    assert!(context.run(&["machine", "list", "--hostname", "no such host"]).succeeds().records().is_empty());
    assert_eq!(context.run(&["machine", "set", "SH_BINARY="]).succeeds().record()["config"], json!({}));
}

#[test]
fn resolves_equal_requests_once_and_prints_a_record_for_each() {
    let context = TestContext::new();
    context.provider("p", "#!/bin/sh\necho no >&2\nexit 3\n");
    let line = json!({"type": "BinaryRequest", "name": "x", "binproviders": "p"}).to_string();
    let other =
        json!({"type": "BinaryRequest", "name": "x", "binproviders": "p", "min_version": "2"}).to_string();
    let machine = json!({"type": "Snapshot", "url": "u"}).to_string();
    let file = context.write("in.jsonl", [line.as_str(), &machine, &line, &other, &line, ""].join("\n"));
    let output = context.run(&["apply", file.to_str().unwrap()]).exits_with(1);
    let printed: Vec<String> = output
        .records()
        .iter()
        .map(|record| format!("{} {}", record["type"], record["min_version"]))
        .collect();
    let request = "\"BinaryRequest\" \"\"".to_owned();
    let expected = [&request, "\"Snapshot\" null", &request, "\"BinaryRequest\" \"2\"", &request];
    assert_eq!(printed, expected);
    assert_eq!(context.hook_processes().len(), 2);
    assert_eq!(output.stderr.matches("error: cannot install x").count(), 2, "{}", output.stderr);
    assert!(!output.stderr.contains("another rigup"), "{}", output.stderr);
}

#[test]
fn an_update_keeps_what_another_command_changed_meanwhile() {
    let context = TestContext::new();
    let gate = context.gate();
    context.run(&["binary", "create", "--name", "x", "--abspath", "/bin/ls"]).succeeds();
    let tool = format!("#!/bin/sh\nread -r _ <'{}'\necho x 1.0\n", gate.display());
    let tool = context.script("tool", &tool);
    let first = context.start(&["binary", "update", "x", "--abspath", tool.to_str().unwrap()]);
    let mut gate = fs::OpenOptions::new().write(true).open(gate).unwrap();
    let log = context.path("stderr.log");
    let mut second = context.command(&["binary", "update", "x", "--min-version", "0.1"]);
    let mut second = second.stdout(Stdio::null()).stderr(fs::File::create(&log).unwrap()).spawn().unwrap();
    wait_until("the second update waits or is done", || {
        second.try_wait().unwrap().is_some() || !fs::read_to_string(&log).unwrap().is_empty()
    });
    writeln!(gate).unwrap();
    drop(gate);
    assert!(first.wait_with_output().unwrap().status.success());
    assert!(second.wait().unwrap().success());
    let shown = context.run(&["binary", "show", "x"]).succeeds().record();
    assert_eq!((shown["abspath"].as_str(), shown["min_version"].as_str()), (tool.to_str(), Some("0.1")));
}

#[test]
fn a_record_that_the_store_refuses_is_an_error_and_the_feed_goes_on() {
    let context = TestContext::new();
    context.run(&["exec", "--", "true"]).succeeds();
    let shown = context.run(&["machine", "show"]).succeeds().records();
    let mut machine = shown.into_iter().find(|record| record["type"] == "Machine").unwrap();
    machine["guid"] = json!("another");
    let elsewhere =
        json!({"type": "Machine", "id": "0198abcd-0123-7456-89ab-cdef01234567", "guid": "elsewhere"});
    let again = json!({"type": "Machine", "id": "0198abcd-0123-7456-89ab-cdef01234567", "guid": "more"});
    let records = [request("sh"), machine, elsewhere.clone(), again, request("ls")];
    let output = apply(&context, &records).exits_with(1);
    let names: Vec<_> = output.records().iter().map(|record| record["type"].clone()).collect();
    assert_eq!(names, ["Binary", "Machine", "Binary"]);
    for line in [2, 4] {
        let error = format!("error: standard input:{line}: the machine ");
        assert!(output.stderr.contains(&error), "{}", output.stderr);
    }
    assert!(context.bin("ls").exists());

    // Neither does a row that cannot be read.
    context.store().execute_batch("UPDATE binary SET created_at = 'soon' WHERE name = 'ls'").unwrap();
    let output = apply(&context, &[request("ls"), request("cat"), elsewhere]).exits_with(1);
    assert_eq!(output.records().len(), 2, "{}", output.stderr);
    output.stderr_contains("error: standard input:1: cannot read a row of the store");
}

#[test]
fn a_dry_run_of_apply_changes_no_file() {
    let context = TestContext::new();
    let tool = context.script("opt/tool", "#!/bin/sh\necho 1.0\n");
    let records = [
        request("sh"),
        json!({"type": "Binary", "name": "tool", "abspath": tool, "version": "1.0", "binprovider": "env"}),
        json!({"type": "Machine", "config": {"SH_BINARY": "/bin/sh"}}),
        json!({"type": "Machine", "id": "0198abcd-0123-7456-89ab-cdef01234567", "guid": "elsewhere"}),
        json!({"type": "Snapshot", "url": "https://example.org"}),
    ];
    let lines: Vec<String> = records.iter().map(Value::to_string).collect();
    let dry_run = || pipe(&context, &["apply", "--dry-run"], &lines.join("\n")).succeeds().records();
    assert_eq!(dry_run().len(), records.len());
    assert!(!context.path("data").exists());

    context.run(&["exec", "--", "true"]).succeeds();
    let files = || -> Vec<(std::path::PathBuf, Vec<u8>)> {
        let entries = walkdir::WalkDir::new(context.path("data")).sort_by_file_name().into_iter();
        let entries = entries.map(|entry| entry.unwrap().into_path());
        entries.map(|path| (path.clone(), fs::read(path).unwrap_or_default())).collect()
    };
    let before = files();
    assert_eq!(dry_run().len(), records.len());
    assert_eq!(files(), before);
}

#[test]
fn config_that_a_machine_record_cannot_set_is_a_warning() {
    let context = TestContext::new();
    let config =
        json!({"SH_BINARY": "/bin/sh", "A": "x", "X_BINARY": "/no/such", "Y_BINARY": 5, "Z_BINARY": null});
    let own = json!({"type": "Machine", "config": config});
    let other = json!({
        "type": "Machine", "id": "0198abcd-0123-7456-89ab-cdef01234567", "guid": "elsewhere",
        "config": {"A_TOKEN": "/canary", "SH_BINARY": "/elsewhere/sh"},
    });
    let output = apply(&context, &[own, other]).succeeds();
    for warning in [
        "warning: standard input:1: cannot store A in the record of a machine",
        "warning: standard input:1: cannot set X_BINARY: /no/such is not the absolute path",
        "warning: standard input:1: cannot set Y_BINARY: 5 is not the absolute path",
        "warning: standard input:2: cannot store A_TOKEN in the record of a machine",
    ] {
        assert!(output.stderr.contains(warning), "{}", output.stderr);
    }
    assert!(!output.stderr.contains("Z_BINARY"));
    let configs: Vec<Value> = output.records().iter().map(|record| record["config"].clone()).collect();
    assert_eq!(configs, [json!({"SH_BINARY": "/bin/sh"}), json!({"SH_BINARY": "/elsewhere/sh"})]);
}

#[test]
fn a_passed_record_keeps_its_numbers_and_an_ambiguous_one_is_refused() {
    let context = TestContext::new();
    let kept = r#"{"type":"X","n":1.10,"big":123456789012345678901234567890,"tiny":1e-400,"z":-0,"a":[0.1000000000000000055]}"#;
    let refused =
        [r#"{"type":"X","type":"Y"}"#, r#"{"type":"X","n":1E400}"#, r#"{"type":"X","a":{"b":1,"b":1}}"#];
    let input = [kept, refused[0], "noise", refused[1], "[1]", refused[2], r#"{"n":1}"#, kept].join("\n");
    let output = pipe(&context, &["apply"], &input).exits_with(1);
    assert_eq!(output.stdout, format!("{kept}\n{kept}\n"));
    for error in [
        "error: standard input: line 2 is refused (repeated key at column",
        "error: standard input: line 4 is refused (number out of range at column",
        "error: standard input: line 6 is refused (repeated key at column",
        "warning: standard input: ignored 3 lines that are not records (line 3, 5, 7)",
    ] {
        assert!(output.stderr.contains(error), "{}", output.stderr);
    }

    context
        .script("here/plugins/p/on_E__1_x.sh", &format!("#!/bin/sh\necho '{kept}'\necho '{}'\n", refused[1]));
    let output =
        context.run(&["run", "E"]).succeeds().stderr_contains("line 2 is refused (number out of range");
    let printed =
        format!("{},\"plugin\":\"p\",\"hook_name\":\"on_E__1_x.sh\"}}\n", kept.strip_suffix('}').unwrap());
    assert!(output.stdout.starts_with(&printed), "{}", output.stdout);
}
