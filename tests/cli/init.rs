//! `rigup init`: what it writes works as it is.

use std::fs;
use std::path::Path;

use crate::playground::Playground;

#[test]
fn a_provider_to_begin_with_passes_the_test_and_installs() {
    for (language, extension, program) in
        [("sh", "sh", "/bin/sh"), ("python", "py", "/usr/bin/python3"), ("node", "js", "/usr/bin/node")]
    {
        if !Path::new(program).exists() {
            continue;
        }
        let place = Playground::new();
        let hook = format!("providers/my-shelf/on_BinaryRequest__50_my-shelf.{extension}");
        let ran = place.run(&["init", "provider", "my-shelf", "--lang", language]).ok();
        assert_eq!(ran.records().len(), 2);
        assert_eq!(ran.records()[1]["path"], hook);
        let ran = ran.says(&format!("next: rigup hook test {hook}"));
        assert_eq!(ran.stderr.lines().count(), 1, "{}", ran.stderr);
        let tested = place.run(&["hook", "test", &hook]).ok().records();
        let answer = tested.iter().find(|it| it["item"] == "answer").unwrap();
        assert_eq!(answer["outcome"], "held", "{language}: {answer}");
        let record = place.run(&["install", "sh", "--binproviders", "my-shelf"]).ok().record();
        assert_eq!(record["binprovider"], "my-shelf", "{language}");
        assert!(place.bin("sh").exists());
    }
}

#[test]
fn a_provider_to_begin_with_heeds_its_overrides_and_its_setting() {
    for (language, program) in [("sh", "/bin/sh"), ("python", "/usr/bin/python3"), ("node", "/usr/bin/node")]
    {
        if !Path::new(program).exists() {
            continue;
        }
        let mut place = Playground::new();
        place.run(&["init", "provider", "shelf", "--lang", language]).ok();
        place.script("mine/tool-2", "#!/bin/sh\necho tool 2.5\n");
        place.set("SHELF_SOURCE", place.path("mine"));
        for (name, overrides) in [
            ("a", serde_json::json!({"shelf": {"packages": ["tool-2"]}})),
            ("b", serde_json::json!({"shelf": {"install_args": "tool-2"}})),
            ("c", serde_json::json!({"shelf": ["tool-2"]})),
            ("d", serde_json::json!({"shelf": "tool-2"})),
        ] {
            let line = serde_json::json!({"type": "Binary", "name": name, "binproviders": "shelf", "overrides": overrides});
            place.plugin("p", &[line]);
            let record = place.run(&["install", "--plugins", "p"]).ok().record();
            assert_eq!((record["version"].as_str(), record["name"].as_str()), (Some("2.5"), Some(name)));
        }
    }
}

#[test]
fn a_plugin_to_begin_with_passes_the_test_and_runs() {
    let place = Playground::new();
    place.run(&["init", "plugin", "notes"]).ok();
    let hook = "plugins/notes/on_Snapshot__50_notes.sh";
    place.run(&["hook", "test", hook, "--", "--url=https://example.org"]).ok();
    place.run(&["install", "--plugins", "notes"]).ok();
    let ran = place.run(&["run", "--plugins", "notes", "Snapshot", "--url=https://example.org"]).ok();
    assert_eq!(ran.records()[0]["output"], "notes.txt");
}

#[test]
fn nothing_that_is_there_is_written_over() {
    let place = Playground::new();
    place.run(&["init", "provider", "shelf", "--dir", "here"]).ok();
    let hook = place.path("here/here/shelf/on_BinaryRequest__50_shelf.sh");
    fs::write(&hook, "mine").unwrap();
    let again = ["init", "provider", "shelf", "--dir", "here"];
    place.run(&again).exits(1).says("here/shelf exists already, so nothing was written");
    assert_eq!(fs::read_to_string(hook).unwrap(), "mine");
    place.run(&["init", "plugin", "../x"]).exits(2).says("cannot be the name");
    place.run(&["init", "provider", "x", "--lang", "cobol"]).exits(2);
    assert!(!place.path("here/plugins").exists());
}
