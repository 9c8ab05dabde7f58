//! `rigup install --timings`: the JSON file and the HTML page.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::test_context::{TestContext, died_of, signal, wait_until};

/// Creates a context with two providers and three binaries: the first provider installs `one`, the second one installs
/// `two`, and none installs `none`.
fn context() -> TestContext {
    let context = TestContext::new();
    context.fixture("good").fixture("failing").plugin(
        "p",
        &[
            json!({"type": "Binary", "name": "one", "binproviders": "good"}),
            json!({"type": "Binary", "name": "two", "binproviders": "failing,good"}),
            json!({"type": "Binary", "name": "none", "binproviders": "failing"}),
        ],
    );
    context
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap()
}

/// Returns the bars that have an attempt for a binary.
fn bars<'a>(timings: &'a Value, binary: &str) -> Vec<&'a Value> {
    let bars = timings["bars"].as_array().unwrap().iter();
    bars.filter(|bar| bar["attempts"].as_array().unwrap().iter().any(|attempt| attempt["binary"] == binary))
        .collect()
}

#[test]
fn the_json_has_the_times_the_outcome_and_the_log_of_each_hook() {
    let context = context();
    let output = context.run(&["install", "--timings=out/t.json"]).exits_with(1);
    let output = output.stderr_contains("timings written to out/t.json");
    assert_eq!(output.records().len(), 3, "standard output has a record for each binary");
    let timings: Value = serde_json::from_str(&read(&context.path("here/out/t.json"))).unwrap();
    assert_eq!(timings["type"], "Timings");
    assert_eq!(timings["command"], "rigup install --timings=out/t.json");
    assert_eq!(timings["bars"].as_array().unwrap().len(), 4);

    let two = bars(&timings, "two");
    assert_eq!(two[0]["attempts"][0]["outcome"], "failed");
    assert_eq!(two[0]["attempts"][0]["reason"], "exit code 3: the disk is on fire");
    assert_eq!(two[0]["stderr_tail"], "the disk is on fire\n");
    assert_eq!(two[1]["attempts"][0]["outcome"], "installed");
    assert_eq!(two[1]["waiting_since"], two[0]["judged_at"], "the second attempt starts after the first");
    let hooks = context.hook_processes();
    for bar in timings["bars"].as_array().unwrap() {
        let process = hooks.iter().find(|process| process["id"] == bar["process_id"]).unwrap();
        assert_eq!((&process["started_at"], &process["ended_at"]), (&bar["started_at"], &bar["ended_at"]));
        let times =
            ["waiting_since", "started_at", "ended_at", "judged_at"].map(|key| bar[key].as_str().unwrap());
        assert!(times.is_sorted(), "{times:?}");
        assert!(
            timings["began_at"].as_str() <= Some(times[0]) && Some(times[3]) <= timings["ended_at"].as_str()
        );
    }
    let providers = timings["providers"].as_array().unwrap();
    let good = providers.iter().find(|provider| provider["provider"] == "good").unwrap();
    assert_eq!((&good["attempts"], &good["installed"]), (&json!(2), &json!(2)));
    let path = timings["critical_path"]["process_ids"].as_array().unwrap();
    let last = timings["bars"].as_array().unwrap().iter().max_by_key(|bar| bar["judged_at"].as_str());
    assert_eq!(path.last(), Some(&last.unwrap()["process_id"]));
}

#[test]
fn the_page_has_a_lane_for_each_provider_and_a_bar_for_each_hook() {
    let context = context();
    context
        .run(&["install", "--timings"])
        .exits_with(1)
        .stderr_contains("timings written to rigup-timings.html");
    let path = context.path("here/rigup-timings.html");
    let page = read(&path);
    assert!(page.starts_with("<!DOCTYPE html>") && page.contains("<title>Timings: rigup install --timings"));
    assert_eq!(page.matches("<section class=\"lane\"").count(), 2);
    assert_eq!(page.matches("<div class=\"bar ").count(), 4);
    assert!(page.contains("the disk is on fire") && page.contains("critical"));
    for hook in context.hook_processes() {
        assert!(page.contains(&format!("data-process={}", hook["id"])), "{}", hook["id"]);
    }
    let mode = path.metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o600, 0o600);
    let left: Vec<_> =
        fs::read_dir(context.path("here")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().starts_with(".new-")), "{left:?}");
}

#[test]
fn writes_a_page_even_if_all_binaries_are_installed() {
    let context = TestContext::new();
    context.fixture("good").plugin("p", &[json!({"type": "Binary", "name": "one", "binproviders": "good"})]);
    context.run(&["install", "--timings", "--quiet"]).succeeds();
    let page = context.path("here/rigup-timings.html");
    assert!(read(&page).contains("data-process"));
    let output = context.run(&["install", "--timings"]).succeeds().stderr_contains("is already installed");
    output.stderr_contains("timings written to");
    assert!(read(&page).contains("No hook ran."), "the page describes the last install");
    let stderr = context.run(&["install", "--timings=t.json", "--quiet"]).succeeds().stderr;
    assert_eq!(stderr, "");
    let timings: Value = serde_json::from_str(&read(&context.path("here/t.json"))).unwrap();
    assert_eq!((&timings["bars"], &timings["critical_path"]["duration_ms"]), (&json!([]), &json!(0)));
}

#[test]
fn an_install_by_a_hook_has_no_bar() {
    let context = TestContext::new();
    context.fixture("good").provider(
        "nesting",
        "#!/bin/sh\n\"$RIGUP\" install inner --binproviders good >&2 || exit 1\n\
         \"$RIGUP\" hook binary --provider nesting --abspath \"$LIB_BIN_DIR/../good/inner\" -- \"$@\"\n",
    );
    context.run(&["install", "outer", "--binproviders", "nesting", "--timings=t.json"]).succeeds();
    assert_eq!(context.hook_processes().len(), 2);
    let timings: Value = serde_json::from_str(&read(&context.path("here/t.json"))).unwrap();
    assert_eq!(timings["bars"].as_array().unwrap().len(), 1);
    assert_eq!(bars(&timings, "outer").len(), 1);
}

#[test]
fn a_batch_hook_has_one_bar_for_all_its_requests() {
    let context = TestContext::new();
    let names = ["sh", "no-such-tool", "env"];
    context.plugin("p", &names.map(|name| json!({"type": "Binary", "name": name, "binproviders": "env"})));
    context.run(&["install", "--timings=t.json"]).exits_with(1);
    let timings: Value = serde_json::from_str(&read(&context.path("here/t.json"))).unwrap();
    assert_eq!(timings["bars"].as_array().unwrap().len(), 1);
    for (name, outcome) in names.into_iter().zip(["installed", "declined", "installed"]) {
        let attempts = timings["bars"][0]["attempts"].as_array().unwrap();
        let attempt = attempts.iter().find(|attempt| attempt["binary"] == name).unwrap();
        assert_eq!(attempt["outcome"], outcome, "{attempt}");
    }
    assert_eq!(timings["providers"][0]["hooks"], 1);
    assert_eq!(timings["providers"][0]["attempts"], 3);
}

#[test]
fn escapes_html_in_names_and_logs() {
    let context = TestContext::new();
    let name = "<img src=x onerror=alert(1)>";
    context.provider("hostile", "#!/bin/sh\necho '</pre></style><script>alert(2)</script>' >&2\nexit 1\n");
    context.plugin("p", &[json!({"type": "Binary", "name": name, "binproviders": "hostile"})]);
    context.run(&["install", "--timings"]).exits_with(1);
    let page = read(&context.path("here/rigup-timings.html"));
    assert!(!page.contains("<img") && !page.contains("<script"), "{page}");
    assert!(page.contains("&lt;img src=x") && page.contains("&lt;/pre&gt;&lt;/style&gt;&lt;script&gt;"));
}

#[test]
fn rejects_an_unusable_file_before_it_installs() {
    let context = context();
    context.write("here/file", "");
    context
        .run(&["install", "--timings=file/t.html"])
        .exits_with(3)
        .stderr_contains("error: cannot write the timings to file/t.html");
    fs::create_dir(context.path("here/folder.html")).unwrap();
    context
        .run(&["install", "--timings=folder.html"])
        .exits_with(3)
        .stderr_contains("folder.html: is a directory");
    context
        .run(&["install", "--timings=t.txt"])
        .exits_with(2)
        .stderr_contains("name a file that ends in .html or .json");
    context.run(&["install", "--timings", "--dry-run"]).exits_with(2);
    assert!(!context.path("data").exists(), "no data dir is created");
}

#[test]
fn installs_even_if_the_timings_cannot_be_written_at_the_end() {
    let mut context = TestContext::new();
    context.set("SPOILED", context.path("here/out"));
    context.provider("spoiling", "#!/bin/sh\nrm -r \"$SPOILED\"\nexit 1\n").fixture("good");
    context.plugin("p", &[json!({"type": "Binary", "name": "one", "binproviders": "spoiling,good"})]);
    let output = context.run(&["install", "--timings=out/t.html"]).exits_with(1);
    let output = output.stderr_contains("error: cannot write the timings to out/t.html");
    assert_eq!(output.record()["status"], "installed");
    let output = context
        .run(&["install", "nosuch", "--binproviders", "spoiling", "--timings=out/t.html"])
        .exits_with(1);
    output
        .stderr_contains("error: cannot install nosuch: ")
        .stderr_contains("error: cannot write the timings to out/t.html");
}

#[test]
fn an_interrupted_install_writes_its_timings() {
    let context = TestContext::new();
    context
        .fixture("hanging")
        .plugin("p", &[json!({"type": "Binary", "name": "x", "binproviders": "hanging"})]);
    let mut child = context.start(&["install", "--timings=t.json"]);
    wait_until("the hook runs", || {
        context.live_processes().iter().any(|(_, command)| command.contains("sleep 600"))
    });
    signal(child.id(), Signal::SIGINT);
    assert!(died_of(child.wait().unwrap(), Signal::SIGINT));
    let timings: Value = serde_json::from_str(&read(&context.path("here/t.json"))).unwrap();
    let bar = &timings["bars"][0];
    assert!(bar["ending"].as_str().unwrap().starts_with("stopped"), "{bar}");
    assert_eq!(bar["stderr_tail"], "hanging\n");
    wait_until("all processes are dead", || context.live_processes().is_empty());
}
