//! `rigup install --timings`: where the time went.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::playground::{Playground, signal, wait_until};

/// Two providers and three binaries: one is had at once, one at the second provider, one nowhere.
fn place() -> Playground {
    let place = Playground::new();
    place.fixture("good").fixture("failing").plugin(
        "p",
        &[
            json!({"type": "Binary", "name": "one", "binproviders": "good"}),
            json!({"type": "Binary", "name": "two", "binproviders": "failing,good"}),
            json!({"type": "Binary", "name": "none", "binproviders": "failing"}),
        ],
    );
    place
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap()
}

fn bars<'a>(timings: &'a Value, binary: &str) -> Vec<&'a Value> {
    let bars = timings["bars"].as_array().unwrap().iter();
    bars.filter(|bar| bar["attempts"].as_array().unwrap().iter().any(|it| it["binary"] == binary)).collect()
}

#[test]
fn the_json_holds_every_hook_with_its_times_its_outcome_and_its_log() {
    let place = place();
    let ran = place.run(&["install", "--timings=out/t.json"]).exits(1);
    let ran = ran.says("timings written to out/t.json");
    assert_eq!(ran.records().len(), 3, "standard output holds what it always does");
    let timings: Value = serde_json::from_str(&read(&place.path("here/out/t.json"))).unwrap();
    assert_eq!(timings["type"], "Timings");
    assert_eq!(timings["command"], "rigup install --timings=out/t.json");
    assert_eq!(timings["bars"].as_array().unwrap().len(), 4);

    let two = bars(&timings, "two");
    assert_eq!(two[0]["attempts"][0]["outcome"], "failed");
    assert_eq!(two[0]["attempts"][0]["reason"], "exit code 3: the disk is on fire");
    assert_eq!(two[0]["stderr_tail"], "the disk is on fire\n");
    assert_eq!(two[1]["attempts"][0]["outcome"], "installed");
    assert_eq!(two[1]["waiting_since"], two[0]["judged_at"], "the second attempt waits for the first");
    let hooks = place.hook_processes();
    for bar in timings["bars"].as_array().unwrap() {
        let process = hooks.iter().find(|it| it["id"] == bar["process_id"]).unwrap();
        assert_eq!((&process["started_at"], &process["ended_at"]), (&bar["started_at"], &bar["ended_at"]));
        let times =
            ["waiting_since", "started_at", "ended_at", "judged_at"].map(|it| bar[it].as_str().unwrap());
        assert!(times.is_sorted(), "{times:?}");
        assert!(
            timings["began_at"].as_str() <= Some(times[0]) && Some(times[3]) <= timings["ended_at"].as_str()
        );
    }
    let providers = timings["providers"].as_array().unwrap();
    let good = providers.iter().find(|it| it["provider"] == "good").unwrap();
    assert_eq!((&good["attempts"], &good["installed"]), (&json!(2), &json!(2)));
    let path = timings["critical_path"]["process_ids"].as_array().unwrap();
    let last = timings["bars"].as_array().unwrap().iter().max_by_key(|it| it["judged_at"].as_str());
    assert_eq!(path.last(), Some(&last.unwrap()["process_id"]));
}

#[test]
fn the_page_has_its_usual_name_a_lane_for_each_provider_and_a_bar_for_each_hook() {
    let place = place();
    place.run(&["install", "--timings"]).exits(1).says("timings written to rigup-timings.html");
    let path = place.path("here/rigup-timings.html");
    let page = read(&path);
    assert!(page.starts_with("<!DOCTYPE html>") && page.contains("<title>Timings: rigup install --timings"));
    assert_eq!(page.matches("<section class=\"lane\"").count(), 2);
    assert_eq!(page.matches("<div class=\"bar ").count(), 4);
    assert!(page.contains("the disk is on fire") && page.contains("critical"));
    for hook in place.hook_processes() {
        assert!(page.contains(&format!("data-process={}", hook["id"])), "{}", hook["id"]);
    }
    let mode = path.metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o600, 0o600);
    let left: Vec<_> = fs::read_dir(place.path("here")).unwrap().map(|it| it.unwrap().file_name()).collect();
    assert!(!left.iter().any(|it| it.to_string_lossy().starts_with(".new-")), "{left:?}");
}

#[test]
fn a_page_is_written_where_nothing_had_to_be_done_too() {
    let place = Playground::new();
    place.fixture("good").plugin("p", &[json!({"type": "Binary", "name": "one", "binproviders": "good"})]);
    place.run(&["install", "--timings", "--quiet"]).ok();
    let page = place.path("here/rigup-timings.html");
    assert!(read(&page).contains("data-process"));
    let ran = place.run(&["install", "--timings"]).ok().says("is already installed");
    ran.says("timings written to");
    assert!(read(&page).contains("No hook ran."), "the page is of the last run");
    let said = place.run(&["install", "--timings=t.json", "--quiet"]).ok().stderr;
    assert_eq!(said, "");
    let timings: Value = serde_json::from_str(&read(&place.path("here/t.json"))).unwrap();
    assert_eq!((&timings["bars"], &timings["critical_path"]["duration_ms"]), (&json!([]), &json!(0)));
}

#[test]
fn what_hooks_start_in_turn_has_no_bar_of_its_own() {
    let place = Playground::new();
    place.fixture("good").provider(
        "nesting",
        "#!/bin/sh\n\"$RIGUP\" install inner --binproviders good >&2 || exit 1\n\
         \"$RIGUP\" hook binary --provider nesting --abspath \"$LIB_BIN_DIR/../good/inner\" -- \"$@\"\n",
    );
    place.run(&["install", "outer", "--binproviders", "nesting", "--timings=t.json"]).ok();
    assert_eq!(place.hook_processes().len(), 2);
    let timings: Value = serde_json::from_str(&read(&place.path("here/t.json"))).unwrap();
    assert_eq!(timings["bars"].as_array().unwrap().len(), 1);
    assert_eq!(bars(&timings, "outer").len(), 1);
}

#[test]
fn a_batch_hook_is_one_bar_for_all_that_it_was_asked_for() {
    let place = Playground::new();
    let names = ["sh", "no-such-tool", "env"];
    place.plugin("p", &names.map(|name| json!({"type": "Binary", "name": name, "binproviders": "env"})));
    place.run(&["install", "--timings=t.json"]).exits(1);
    let timings: Value = serde_json::from_str(&read(&place.path("here/t.json"))).unwrap();
    assert_eq!(timings["bars"].as_array().unwrap().len(), 1);
    for (name, outcome) in names.into_iter().zip(["installed", "declined", "installed"]) {
        let attempts = timings["bars"][0]["attempts"].as_array().unwrap();
        let attempt = attempts.iter().find(|it| it["binary"] == name).unwrap();
        assert_eq!(attempt["outcome"], outcome, "{attempt}");
    }
    assert_eq!(timings["providers"][0]["hooks"], 1);
    assert_eq!(timings["providers"][0]["attempts"], 3);
}

#[test]
fn names_and_logs_that_look_like_html_stay_text() {
    let place = Playground::new();
    let name = "<img src=x onerror=alert(1)>";
    place.provider("hostile", "#!/bin/sh\necho '</pre></style><script>alert(2)</script>' >&2\nexit 1\n");
    place.plugin("p", &[json!({"type": "Binary", "name": name, "binproviders": "hostile"})]);
    place.run(&["install", "--timings"]).exits(1);
    let page = read(&place.path("here/rigup-timings.html"));
    assert!(!page.contains("<img") && !page.contains("<script"), "{page}");
    assert!(page.contains("&lt;img src=x") && page.contains("&lt;/pre&gt;&lt;/style&gt;&lt;script&gt;"));
}

#[test]
fn a_file_that_cannot_be_written_is_told_of_before_anything_is_done() {
    let place = place();
    place.write("here/file", "");
    place
        .run(&["install", "--timings=file/t.html"])
        .exits(3)
        .says("error: cannot write the timings to file/t.html");
    fs::create_dir(place.path("here/folder.html")).unwrap();
    place.run(&["install", "--timings=folder.html"]).exits(3).says("folder.html: is a directory");
    place.run(&["install", "--timings=t.txt"]).exits(2).says("name a file that ends in .html or .json");
    place.run(&["install", "--timings", "--dry-run"]).exits(2);
    assert!(!place.path("data").exists(), "nothing was begun");
}

#[test]
fn a_file_that_cannot_be_written_in_the_end_costs_neither_the_work_nor_its_exit_code() {
    let mut place = Playground::new();
    place.set("SPOILED", place.path("here/out"));
    place.provider("spoiling", "#!/bin/sh\nrm -r \"$SPOILED\"\nexit 1\n").fixture("good");
    place.plugin("p", &[json!({"type": "Binary", "name": "one", "binproviders": "spoiling,good"})]);
    let ran = place.run(&["install", "--timings=out/t.html"]).exits(1);
    let ran = ran.says("error: cannot write the timings to out/t.html");
    assert_eq!(ran.record()["status"], "installed");
    let ran =
        place.run(&["install", "nosuch", "--binproviders", "spoiling", "--timings=out/t.html"]).exits(1);
    ran.says("error: cannot install nosuch: ").says("error: cannot write the timings to out/t.html");
}

#[test]
fn an_interrupted_run_has_its_page_and_leaves_nothing_behind() {
    let place = Playground::new();
    place
        .fixture("hanging")
        .plugin("p", &[json!({"type": "Binary", "name": "x", "binproviders": "hanging"})]);
    let mut child = place.start(&["install", "--timings=t.json"]);
    wait_until("the hook runs", || place.living().iter().any(|(_, command)| command.contains("sleep 600")));
    signal(child.id(), Signal::SIGINT);
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let timings: Value = serde_json::from_str(&read(&place.path("here/t.json"))).unwrap();
    let bar = &timings["bars"][0];
    assert!(bar["ending"].as_str().unwrap().starts_with("stopped"), "{bar}");
    assert_eq!(bar["stderr_tail"], "hanging\n");
    wait_until("all is dead", || place.living().is_empty());
}
