//! Records in, records out: `rigup apply`, and the commands that change records.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::playground::{Playground, Ran, signal};

/// Runs rigup with these lines on standard input.
fn pipe(place: &Playground, args: &[&str], input: &str) -> Ran {
    let mut command = place.command(args);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_owned();
    let writer = std::thread::spawn(move || {
        // It may end before it has read everything.
        let _ = stdin.write_all(input.as_bytes());
    });
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    Ran::from(args, &output)
}

fn apply(place: &Playground, records: &[Value]) -> Ran {
    let lines: Vec<String> = records.iter().map(Value::to_string).collect();
    pipe(place, &["apply"], &lines.join("\n"))
}

fn request(name: &str) -> Value {
    json!({"type": "BinaryRequest", "name": name, "binproviders": "env"})
}

#[test]
fn a_request_is_resolved_and_answered_with_its_record() {
    let place = Playground::new();
    let record = apply(&place, &[request("sh")]).ok().record();
    assert_eq!((&record["type"], &record["status"]), (&json!("Binary"), &json!("installed")));
    assert!(place.bin("sh").exists());
    assert_eq!(place.run(&["binary", "show", "sh"]).ok().record()["abspath"], record["abspath"]);
}

#[test]
fn every_record_is_answered_in_its_place_and_unknown_ones_pass_through() {
    let place = Playground::new();
    let unknown = json!({"type": "Snapshot", "url": "https://example.com", "n": 1.5});
    let ran = apply(&place, &[request("sh"), unknown.clone(), request("no-such-program"), request("ls")]);
    let records = ran.exits(1).says("error: cannot install no-such-program: ").records();
    assert_eq!(records[1], unknown);
    let standing: Vec<_> = records.iter().map(|it| (it["name"].as_str(), it["status"].as_str())).collect();
    assert_eq!(standing[0], (Some("sh"), Some("installed")));
    assert_eq!(standing[2], (Some("no-such-program"), Some("queued")));
    assert_eq!(standing[3], (Some("ls"), Some("installed")));
}

#[test]
fn a_slow_producer_gets_each_answer_before_it_goes_on() {
    let place = Playground::new();
    let mut child = place.command(&["apply"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let (mut input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let mut answers = BufReader::new(output).lines();
    for name in ["sh", "ls", "cat"] {
        writeln!(input, "{}", request(name)).unwrap();
        let answer: Value = serde_json::from_str(&answers.next().unwrap().unwrap()).unwrap();
        assert_eq!((&answer["name"], &answer["status"]), (&json!(name), &json!("installed")));
    }
    drop(input);
    assert!(child.wait().unwrap().success());
    let runs = place.processes().into_iter().filter(|it| it["process_type"] == "cli").count();
    assert_eq!(runs, 1, "one run, however many records came one by one");
}

#[test]
fn an_interrupt_while_it_waits_for_its_producer_ends_it() {
    let place = Playground::new();
    let mut child = place.command(&["apply"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let (mut input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    writeln!(input, "{}", request("sh")).unwrap();
    BufReader::new(output).lines().next().unwrap().unwrap();
    signal(child.id(), Signal::SIGINT);
    assert_eq!(child.wait().unwrap().code(), Some(130));
    drop(input);
}

#[test]
fn what_failed_lately_waits_for_its_time_unless_a_person_asks() {
    let place = Playground::new();
    apply(&place, &[request("no-such-program")]).exits(1);
    let hooks = place.hook_processes().len();
    let ran = apply(&place, &[request("no-such-program")]).exits(1);
    assert_eq!(place.hook_processes().len(), hooks, "nobody was asked");
    assert_eq!(ran.record()["attempt_count"], 1);
    ran.says("not tried again before").says("run `rigup install no-such-program` to try now");
    place.run(&["install", "no-such-program", "--binproviders", "env"]).exits(1);
    assert_eq!(place.hook_processes().len(), hooks + 1);
    pipe(&place, &["binary", "update", "no-such-program", "--status", "queued"], "").ok();
    apply(&place, &[request("no-such-program")]).exits(1);
    assert_eq!(place.hook_processes().len(), hooks + 2, "its time was set to now");
}

#[test]
fn older_spellings_of_records_are_understood() {
    let place = Playground::new();
    let dependency = json!({"type": "Dependency", "bin_name": "sh", "bin_providers": "env,apt"});
    let older = json!({"type": "Binary", "name": "ls", "binproviders": "env", "status": "failed", "abspath": "/gone"});
    let machine =
        json!({"type": "Machine", "_method": "update", "key": "config/LS_BINARY", "value": "/bin/ls"});
    let records = apply(&place, &[dependency, older, machine]).ok().records();
    assert_eq!((&records[0]["name"], &records[0]["status"]), (&json!("sh"), &json!("installed")));
    assert_eq!((&records[1]["name"], &records[1]["status"]), (&json!("ls"), &json!("installed")));
    assert_eq!(records[2]["config"]["LS_BINARY"], "/bin/ls");
    let unset = json!({"type": "Machine", "_method": "unset", "key": "config/LS_BINARY"});
    assert_eq!(apply(&place, &[unset]).ok().record()["config"], json!({}));
}

#[test]
fn a_binary_that_says_where_it_is_is_stored_and_linked_if_that_is_true() {
    let place = Playground::new();
    let tool = place.script("opt/tool", "#!/bin/sh\necho 1.0\n");
    let record = json!({
        "type": "Binary", "name": "tool", "abspath": tool, "version": "1.0", "binprovider": "pip", "binproviders": "pip",
        "status": "succeeded", "env": {"MY_TOKEN": "canary"},
    });
    let stored = apply(&place, std::slice::from_ref(&record)).ok().record();
    assert_eq!((&stored["binprovider"], &stored["status"]), (&json!("pip"), &json!("installed")));
    assert_eq!(stored["env"], json!(null), "what is used by nothing is stored nowhere");
    assert_eq!(fs::read_link(place.bin("tool")).unwrap(), tool);
    assert!(place.hook_processes().is_empty());
    let again = apply(&place, std::slice::from_ref(&stored)).ok().record();
    assert_eq!(again, stored, "the same again changes nothing");

    let mut lie = record;
    lie["sha256"] = json!("0".repeat(64));
    lie.as_object_mut().unwrap().remove("binproviders");
    apply(&place, &[lie.clone()]).exits(1).says("standard input:1: sha256 000");
    lie["abspath"] = json!("/no/such/tool");
    apply(&place, &[lie]).exits(1).says("cannot read abspath /no/such/tool: No such file");
}

#[test]
fn the_records_of_one_data_dir_are_stored_in_another() {
    let mut place = Playground::new();
    place.run(&["install", "sh"]).ok();
    let mut records = String::new();
    for command in ["machine", "binary", "process"] {
        records += &place.run(&[command, "list"]).ok().stdout;
    }
    let process = place.hook_processes().remove(0);
    place.set("RIGUP_DATA_DIR", place.path("other"));
    let answers = pipe(&place, &["apply"], &records).ok().records();
    assert_eq!(answers.len(), records.lines().count());
    let stored = place.run(&["process", "show", process["id"].as_str().unwrap()]).ok().record();
    assert_eq!((&stored["exit_code"], &stored["ended_at"]), (&process["exit_code"], &process["ended_at"]));
    assert_eq!(stored["run_dir"], json!(null), "a folder that nobody here made is nobody's to remove");
    assert_eq!(place.run(&["binary", "show", "sh"]).ok().record()["status"], "installed");
}

#[test]
fn a_process_that_still_runs_or_whose_machine_is_unknown_is_refused() {
    let mut place = Playground::new();
    place.run(&["install", "sh"]).ok();
    let process = place.hook_processes().remove(0);
    place.set("RIGUP_DATA_DIR", place.path("other"));
    apply(&place, std::slice::from_ref(&process)).exits(1).says("; apply its Machine record first");
    let mut running = process;
    running["status"] = json!("running");
    apply(&place, &[running]).exits(1).says("the process is running; only an exited process can be imported");
}

#[test]
fn what_is_no_record_is_named_with_its_line_and_the_rest_goes_on() {
    let place = Playground::new();
    let input = format!(
        "a log line\n{{\"type\":\"BinaryRequest\",\"na\n{}\n{}",
        json!({"type": "Binary"}),
        request("sh")
    );
    let ran = pipe(&place, &["apply"], &input).exits(1);
    assert_eq!(ran.record()["name"], "sh");
    ran.says("standard input:3: no \"name\"").says("line 2").says("ignored 1 line that is not a record");
    pipe(&place, &["apply"], "").ok();
    let files = place.write("here/a.jsonl", request("ls").to_string());
    place.run(&["apply", files.to_str().unwrap()]).ok();
    place.run(&["apply", "gone.jsonl"]).exits(1).says("gone.jsonl: cannot read the file");
}

#[test]
fn a_dry_run_shows_what_would_be_done_and_does_nothing() {
    let place = Playground::new();
    let tool = place.script("opt/tool", "#!/bin/sh\n");
    let binary = json!({"type": "Binary", "name": "tool", "abspath": tool, "binproviders": "env"});
    let lines = format!("{}\n{binary}\n", request("sh"));
    let records = pipe(&place, &["apply", "--dry-run"], &lines).ok().records();
    assert_eq!((&records[0]["status"], &records[0]["binproviders"]), (&json!("queued"), &json!("env")));
    assert!(place.run(&["binary", "list"]).ok().records().is_empty());
    assert!(!place.bin("tool").is_symlink() && place.processes().is_empty());
}

#[test]
fn a_binary_is_created_once_and_then_known() {
    let place = Playground::new();
    let tool = place.script("opt/tool", "#!/bin/sh\n");
    let create =
        ["binary", "create", "--name", "tool", "--abspath", tool.to_str().unwrap(), "--version", "1.2"];
    let record = place.run(&create).ok().record();
    assert_eq!((&record["version"], &record["status"]), (&json!("1.2"), &json!("installed")));
    let again = place.run(&create).ok().says("already has this record");
    assert_eq!(again.record()["id"], record["id"]);
    place.run(&["install", "tool"]).ok();
    assert!(place.hook_processes().is_empty(), "install is content with it");
    place
        .run(&["binary", "create", "--name", "x", "--abspath", "/no/such"])
        .exits(1)
        .says("cannot read abspath /no/such");
    place.run(&["binary", "create", "--name", "../x", "--abspath", "/bin/sh"]).exits(2);
    place.run(&["binary", "create", "--name", "x"]).exits(2);
    let dry = [&create[..], &["--dry-run"]].concat();
    place.run(&dry).ok();
}

#[test]
fn binaries_are_changed_through_a_pipe() {
    let place = Playground::new();
    place.run(&["install", "sh", "ls"]).ok();
    let list = place.run(&["binary", "list"]).ok().stdout;
    let unknown = json!({"type": "Binary", "id": "01a1fd03-0bd1-76a7-a02c-4f1ec82a963e"});
    let input = format!("{unknown}\n{list}");
    let ran = pipe(&place, &["binary", "update", "--min-version", "0.1"], &input).exits(1);
    assert_eq!(ran.records().len(), 2, "the known ones were changed");
    ran.says("warning: no binary has the name or id 01a1fd03");
    assert!(place.run(&["binary", "list"]).ok().records().iter().all(|it| it["min_version"] == "0.1"));
    let tool = place.script("opt/tool", "#!/bin/sh\n");
    let tool = tool.to_str().unwrap();
    let record = place.run(&["binary", "update", "ls", "--abspath", tool, "--version", "9"]).ok().record();
    assert_eq!((&record["abspath"], &record["version"]), (&json!(tool), &json!("9")));
    assert_eq!(fs::read_link(place.bin("ls")).unwrap().to_str(), Some(tool));
    pipe(&place, &["binary", "update", "--version", "1"], "").exits(1).says("no binaries: name some");
    let filtered = |args: &[&str]| place.run(&[&["binary", "list"], args].concat()).ok().records().len();
    assert_eq!(
        (filtered(&["--abspath", "OPT/T"]), filtered(&["--version", "9"]), filtered(&["-n", "1"])),
        (1, 1, 1)
    );
}

#[test]
fn nothing_is_deleted_without_yes() {
    let place = Playground::new();
    place.run(&["install", "sh", "ls"]).ok();
    let sh = place.run(&["binary", "list", "--name", "sh"]).ok().stdout;
    pipe(&place, &["binary", "delete"], &sh).exits(1).says("confirm with --yes to delete 1 record");
    pipe(&place, &["binary", "delete", "--dry-run"], &sh).ok().says("would delete sh");
    assert_eq!(place.run(&["binary", "list"]).ok().records().len(), 2);
    pipe(&place, &["binary", "delete", "--yes"], &sh).ok();
    assert!(!place.bin("sh").is_symlink() && place.bin("ls").exists());
    place.run(&["binary", "show", "sh"]).exits(1);
    assert!(!place.hook_processes().is_empty(), "what was run stays on record");
    place.run(&["binary", "delete", "sh", "--yes"]).exits(1).says("no binary has the name or id sh");
    pipe(&place, &["binary", "delete", "--yes"], "").exits(1).says("no binaries");
}

#[test]
fn a_machine_remembers_where_a_binary_is_and_nothing_else() {
    let place = Playground::new();
    let record = place.run(&["machine", "set", "SH_BINARY=/bin/sh"]).ok().record();
    assert_eq!(record["config"], json!({"SH_BINARY": "/bin/sh"}));
    place.run(&["machine", "set", "LS_BINARY=/bin/ls", "--dry-run"]).ok();
    place.run(&["machine", "set", "PATH=/bin"]).exits(2).says("only keys that end in _BINARY");
    place
        .run(&["machine", "set", "X_BINARY=/no/such"])
        .exits(2)
        .says("/no/such is not the absolute path of an existing file");
    let machines = place.run(&["machine", "list"]).ok().records();
    assert_eq!((machines.len(), &machines[0]["config"]), (1, &json!({"SH_BINARY": "/bin/sh"})));
    assert!(place.run(&["machine", "list", "--hostname", "no such host"]).ok().records().is_empty());
    assert_eq!(place.run(&["machine", "set", "SH_BINARY="]).ok().record()["config"], json!({}));
}

#[test]
fn equal_requests_that_come_together_are_worked_on_once_and_each_is_answered() {
    let place = Playground::new();
    place.provider("p", "#!/bin/sh\necho no >&2\nexit 3\n");
    let line = json!({"type": "BinaryRequest", "name": "x", "binproviders": "p"}).to_string();
    let other =
        json!({"type": "BinaryRequest", "name": "x", "binproviders": "p", "min_version": "2"}).to_string();
    let machine = json!({"type": "Snapshot", "url": "u"}).to_string();
    let file = place.write("in.jsonl", [line.as_str(), &machine, &line, &other, &line, ""].join("\n"));
    let ran = place.run(&["apply", file.to_str().unwrap()]).exits(1);
    let answers: Vec<String> =
        ran.records().iter().map(|it| format!("{} {}", it["type"], it["min_version"])).collect();
    let request = "\"BinaryRequest\" \"\"".to_owned();
    let wanted = [&request, "\"Snapshot\" null", &request, "\"BinaryRequest\" \"2\"", &request];
    assert_eq!(answers, wanted);
    assert_eq!(place.hook_processes().len(), 2);
    assert_eq!(ran.stderr.matches("error: cannot install x").count(), 2, "{}", ran.stderr);
    assert!(!ran.stderr.contains("another rigup"), "{}", ran.stderr);
}
