//! What the commands that read print, for people and for programs.

use serde_json::json;

use crate::playground::Playground;

fn place_with_history() -> Playground {
    let place = Playground::new();
    place.fixture("good").fixture("failing");
    place.plugin(
        "p",
        &[
            json!({"type": "Binary", "name": "one", "binproviders": "failing,good"}),
            json!({"type": "Binary", "name": "two", "binproviders": "failing"}),
        ],
    );
    place.run(&["install", "-j", "1"]).exits(1);
    place
}

#[test]
fn plugins_and_hooks_are_listed_with_what_they_ask_for() {
    let place = place_with_history();
    let plugins = place.run(&["plugin", "list"]).ok().records();
    let plugin = plugins.iter().find(|it| it["name"] == "p").unwrap();
    assert_eq!(plugin["type"], "Plugin");
    assert_eq!(plugin["requirements"], json!(["one", "two"]));
    assert_eq!(plugin["enabled"], true);
    let good = plugins.iter().find(|it| it["name"] == "good").unwrap();
    assert_eq!(good["hooks"], json!(["on_BinaryRequest__50_good.sh"]));
    assert_eq!(place.run(&["plugin", "show", "P"]).ok().record(), *plugin);
    place.run(&["plugin", "show", "absent"]).exits(1).says("no plugin is called absent");
    let hooks = place.run(&["hook", "list"]).ok().records();
    assert_eq!(hooks[0]["plugin"], "env");
    assert_eq!(hooks.last().unwrap()["order"], 50);
    assert_eq!(place.run(&["hook", "list", "Snapshot"]).ok().stdout, "");
}

#[test]
fn binaries_are_listed_and_shown_with_their_attempts() {
    let place = place_with_history();
    let all = place.run(&["binary", "list"]).ok().records();
    assert_eq!(all.iter().map(|it| it["name"].as_str().unwrap()).collect::<Vec<_>>(), ["one", "two"]);
    let queued = place.run(&["binary", "list", "--status", "queued"]).ok().record();
    assert_eq!((queued["type"].as_str(), queued["name"].as_str()), (Some("BinaryRequest"), Some("two")));
    assert_eq!(place.run(&["binary", "list", "--name", "one"]).ok().record(), all[0]);
    let shown = place.run(&["binary", "show", "two"]).ok().record();
    assert_eq!(shown["attempts"][0]["provider"], "failing");
    assert_eq!(place.run(&["binary", "show", all[0]["id"].as_str().unwrap()]).ok().record(), all[0]);
    place.run(&["binary", "show", "three"]).exits(1).says("no binary has the name or id three");
}

#[test]
fn processes_are_listed_shown_and_drawn() {
    let place = place_with_history();
    let listed = place.run(&["process", "list", "-n", "2"]).ok().records();
    assert_eq!(listed.len(), 2);
    assert!(listed[0]["created_at"].as_str() >= listed[1]["created_at"].as_str(), "newest first");
    let id = listed[0]["id"].as_str().unwrap();
    let shown = place.run(&["process", "show", id]).ok().record();
    assert_eq!(shown["elapsed_seconds"], 0);
    for (key, value) in listed[0].as_object().unwrap() {
        assert_eq!(shown[key], *value, "{key}");
    }
    assert_eq!(place.run(&["ps", "-n", "2"]).ok().records(), listed);
    let tree = place.run(&["process", "tree"]).ok().records();
    let depths: Vec<u64> = tree.iter().map(|it| it["depth"].as_u64().unwrap()).collect();
    assert_eq!(depths, [0, 1, 1, 1]);
    assert!(tree[1..].iter().all(|it| it["parent_id"] == tree[0]["id"]));
    let root = tree[0]["id"].as_str().unwrap();
    assert_eq!(place.run(&["process", "tree", root]).ok().records(), tree);
    place.run(&["process", "show", "01"]).exits(1).says("ids; type more characters");
    place.run(&["process", "show", "ffffffff"]).exits(1).says("no process has the id ffffffff");
}

#[test]
fn logs_are_printed_whole_or_their_last_lines_exactly() {
    let place = Playground::new();
    place.provider("p", "#!/bin/sh\nseq 1 100\nseq 101 110 >&2\n");
    place.run(&["install", "x", "--binproviders", "p"]).exits(1);
    let id = place.hook_processes()[0]["id"].as_str().unwrap().to_owned();
    let print = |args: &[&str]| {
        let mut all = vec!["process", "logs", id.as_str()];
        all.extend(args);
        place.run(&all).ok().stdout
    };
    assert_eq!(print(&["--stream", "stderr", "-n", "2"]), "109\n110\n");
    assert_eq!(print(&["--stream", "stdout", "-n", "0"]), "");
    assert_eq!(print(&["--stream", "stdout"]).lines().count(), 100);
    let both = print(&[]);
    assert!(both.contains("stdout.log <==\n1\n") && both.contains("stderr.log <==\n101\n"), "{both}");
    let cli = place.processes()[0]["id"].as_str().unwrap().to_owned();
    place.run(&["logs", &cli]).exits(1).says("a command of rigup");
}

#[test]
fn before_anything_was_recorded_the_lists_are_empty_and_nothing_is_made() {
    let place = Playground::new();
    for args in [["binary", "list"], ["process", "list"], ["process", "tree"]] {
        assert_eq!(place.run(&args).ok().stdout, "");
    }
    assert!(!place.path("data").exists());
}

#[test]
fn the_machine_is_the_same_each_time() {
    let place = Playground::new();
    let first = place.run(&["machine", "show"]).ok().records();
    assert_eq!(first[0]["guid"].as_str().unwrap().len(), 64);
    assert_eq!(first[1]["machine_id"], first[0]["id"]);
    assert_eq!(place.run(&["machine", "show"]).ok().records(), first);
    place.run(&["install", "sh", "no-such-tool", "--binproviders", "env"]).exits(1);
    let machine = &place.run(&["machine", "show"]).ok().records()[0];
    assert_eq!((&machine["num_uses_succeeded"], &machine["num_uses_failed"]), (&json!(1), &json!(1)));
}

#[test]
fn the_version_is_that_of_the_package() {
    let ran = Playground::new().run(&["--version"]).ok();
    assert_eq!(ran.stdout, format!("rigup {}\n", env!("CARGO_PKG_VERSION")));
}
