//! The variables that the hooks of an event get for its folders and for the settings that plugins share.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::test_context::TestContext;

/// Writes a plugin with these settings and required plugins, and with a hook for the event E that prints its environment.
fn plugin(context: &TestContext, name: &str, required: &[&str], properties: &Value) {
    let config = json!({"type": "object", "required_plugins": required, "properties": properties});
    context.write(&format!("here/plugins/{name}/config.json"), config.to_string());
    context.script(
        &format!("here/plugins/{name}/on_E__1_{name}.sh"),
        "#!/bin/sh\nmkdir -p \"$TMP_DIR/x\"\nenv >&2\n",
    );
}

/// Runs the event E, and returns the environment of the hook of a plugin.
fn environment(context: &TestContext, plugin: &str, options: &[&str]) -> Vec<(String, String)> {
    context.run(&[&["run"], options, &["E"]].concat()).succeeds();
    let processes = context.hook_processes();
    let hook = processes.iter().rfind(|process| process["plugin"] == plugin).unwrap();
    let id = hook["id"].as_str().unwrap();
    let log = fs::read_to_string(context.path("data/processes").join(id).join("stderr.log")).unwrap();
    log.lines().filter_map(|line| line.split_once('=')).map(|(k, v)| (k.to_owned(), v.to_owned())).collect()
}

fn value<'e>(environment: &'e [(String, String)], name: &str) -> Option<&'e str> {
    environment.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
}

#[test]
fn the_hooks_of_an_event_get_its_folders() {
    let context = TestContext::new();
    plugin(&context, "p", &[], &json!({}));
    let env = environment(&context, "p", &["--output-dir", "out"]);
    let out = context.path("here/out");
    assert_eq!(value(&env, "SNAP_DIR").map(Path::new), Some(out.as_path()));
    assert_eq!(value(&env, "CRAWL_DIR").map(Path::new), Some(out.as_path()));
    assert_eq!(value(&env, "CONFIG_DIR").map(Path::new), Some(context.path("home/.config/abx").as_path()));
    assert_eq!(value(&env, "ABXPKG_LIB_DIR"), value(&env, "LIB_DIR"));
    assert_eq!(value(&env, "LIBRARY_VERSION"), Some(env!("CARGO_PKG_VERSION")));
    let temporary = value(&env, "TMP_DIR").unwrap();
    assert!(value(&env, "PERSONAS_DIR").unwrap().starts_with(&format!("{temporary}/personas/")), "{env:?}");
    assert!(!Path::new(temporary).exists(), "the folder is removed at the end");
    let again = environment(&context, "p", &[]);
    assert_ne!(value(&again, "TMP_DIR"), Some(temporary));
    assert_ne!(value(&again, "SNAP_DIR"), value(&env, "SNAP_DIR"));
}

#[test]
fn the_folders_that_the_caller_sets_apply() {
    let mut context = TestContext::new();
    plugin(&context, "base", &[], &json!({"CRAWL_DIR": {"type": "string", "default": ""}}));
    plugin(&context, "p", &[], &json!({}));
    let (tmp, abx) = (context.path("tmp"), context.path("abx"));
    context.set("SNAP_DIR", "snap").set("PERSONAS_DIR", "~/personas").set("TMP_DIR", &tmp);
    context.set("CONFIG_DIR", &abx).set("LIBRARY_VERSION", "9");
    context.write("here/rigup.toml", "CRAWL_DIR = \"/crawl\"\n");
    let env = environment(&context, "base", &[]);
    assert_eq!(value(&env, "SNAP_DIR").map(Path::new), Some(context.path("here/snap").as_path()));
    assert_eq!(value(&env, "CRAWL_DIR"), Some("/crawl"));
    assert_eq!(value(&env, "PERSONAS_DIR").map(Path::new), Some(context.path("home/personas").as_path()));
    assert_eq!(value(&env, "TMP_DIR").map(Path::new), Some(tmp.as_path()));
    assert_eq!(value(&env, "CONFIG_DIR").map(Path::new), Some(abx.as_path()));
    assert!(context.path("tmp/x").is_dir(), "rigup removes only its own folder");
}

#[test]
fn an_event_that_a_hook_runs_has_a_snap_dir_of_its_own() {
    let context = TestContext::new();
    context.script("here/plugins/p/on_E__1_p.sh", "#!/bin/sh\n\"$RIGUP\" run --output-dir inner F\n");
    context.script("here/plugins/p/on_F__1_p.sh", "#!/bin/sh\necho \"$SNAP_DIR $CRAWL_DIR\" >dirs\n");
    context.run(&["run", "--output-dir", "out", "E"]).succeeds();
    let dirs = fs::read_to_string(context.path("here/out/p/inner/p/dirs")).unwrap();
    let out = context.path("here/out");
    assert_eq!(dirs, format!("{} {}\n", out.join("p/inner").display(), out.display()));
}

#[test]
fn hooks_get_the_settings_of_base_and_of_required_plugins() {
    let mut context = TestContext::new();
    let text = |default: &str| json!({"type": "string", "default": default});
    let base = json!({
        "TIMEOUT": {"type": "integer", "default": 61},
        "USER_AGENT": text(""), "ACTIVE_PERSONA": text("Default"), "EXTRA_CONTEXT": text(""), "SHARED": text("base"),
        "NODE_V8_COVERAGE": text(""),
    });
    plugin(&context, "base", &[], &base);
    plugin(&context, "browser", &["base"], &json!({"B_ARGS": text("-a"), "SHARED": text("browser")}));
    plugin(&context, "shot", &["browser"], &json!({"SHOT_X": text("1"), "USER_AGENT": text("shot")}));
    plugin(
        &context,
        "title",
        &[],
        &json!({"TITLE_TIMEOUT": {"type": "integer", "default": 70, "x-fallback": "TIMEOUT"}}),
    );
    context.set("EXTRA_CONTEXT", "{\"a\":1}").set("BROWSER_ENABLED", "1");
    let env = environment(&context, "shot", &[]);
    let values = ["B_ARGS", "SHARED", "SHOT_X", "USER_AGENT", "ACTIVE_PERSONA", "TIMEOUT", "EXTRA_CONTEXT"];
    let expected = ["-a", "browser", "1", "shot", "Default", "61", "{\"a\":1}"];
    assert_eq!(values.map(|name| value(&env, name)), expected.map(Some));
    let title = environment(&context, "title", &["--plugins", "title"]);
    assert_eq!(["B_ARGS", "SHARED"].map(|name| value(&title, name)), [None, Some("base")]);
    let enabled = ["TITLE_ENABLED", "SHOT_ENABLED", "BROWSER_ENABLED", "PIP_ENABLED"];
    let expected = [Some("true"), Some("false"), Some("false"), None];
    assert_eq!(enabled.map(|name| value(&title, name)), expected, "only title is selected");
    let timeouts: Vec<Value> = context.hook_processes().iter().map(|hook| hook["timeout"].clone()).collect();
    assert_eq!(timeouts, [61, 61, 61, 70, 70]);
}

#[test]
fn only_this_user_can_read_temporary_files_of_hooks() {
    let context = TestContext::new();
    context.script("here/plugins/p/on_E__1_p.sh", "#!/bin/sh\nls -ld \"$TMP_DIR\" >&2\n");
    context.run(&["run", "E"]).succeeds();
    let hook = context.hook_processes().remove(0);
    assert!(hook["stderr_tail"].as_str().unwrap().starts_with("drwx------"), "{hook}");
}

#[test]
fn a_settings_file_sets_a_timeout_that_no_plugin_declares() {
    let context = TestContext::new();
    context.script("here/plugins/p/on_E__1_p.sh", "#!/bin/sh\n");
    context.script("here/plugins/q/on_E__1_q.sh", "#!/bin/sh\n");
    context.write("here/rigup.toml", "TIMEOUT = 9\nQ_TIMEOUT = \"2m\"\nMEMORY_LIMIT = \"much\"\n");
    context.run(&["run", "E"]).exits_with(3).stderr_contains("MEMORY_LIMIT=much is not a memory limit");
    context.write("here/rigup.toml", "TIMEOUT = 9\nQ_TIMEOUT = \"2m\"\n");
    context.run(&["run", "E"]).succeeds();
    let timeouts =
        context.hook_processes().iter().map(|hook| hook["timeout"].as_f64().unwrap()).collect::<Vec<_>>();
    assert_eq!(timeouts, [9.0, 120.0]);
}
