//! `config.json` and `rigup.toml`: which plugins are enabled, their settings and their requirements.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};

use crate::event::context_with;
use crate::test_context::TestContext;

/// Creates the plugin `my-w` with settings of each kind, and a hook for the event E that writes its environment to a
/// file.
fn context() -> TestContext {
    let context = TestContext::new();
    let config = json!({
        "type": "object",
        "required_binaries": [{"name": "{W_BINARY}", "binproviders": "env", "min_version": null}],
        "properties": {
            "MY_W_ENABLED": {"type": "boolean", "default": true, "x-aliases": ["SAVE_W"]},
            "W_BINARY": {"type": "string", "default": "sh"},
            "W_FAST": {"type": "boolean", "default": true},
            "W_ARGS": {"type": "array", "items": {"type": "string"}, "default": ["-a", "b c"]},
            "MY_W_TIMEOUT": {"type": "integer", "minimum": 1, "default": 7, "x-fallback": "TIMEOUT"},
            "W_PIN": {"type": "string", "default": "", "x-sensitive": true},
            "W_MAX_TOKENS": {"type": "integer", "default": 9},
            "W_ACCEPT_COOKIES": {"type": "boolean", "default": true},
            "W_COOKIES_FILE": {"type": "string", "default": "c.txt"},
            "W_NOTHING": {"type": ["string", "null"], "default": null},
            "PATH": {"type": "string", "default": "/nowhere"}
        }
    });
    context.write("here/plugins/my-w/config.json", config.to_string());
    context.script(
        "here/plugins/my-w/on_E__1_a.sh",
        "#!/bin/sh\nenv | grep -E '^(W_|MY_W|PATH)' | sort >\"$DATA_DIR/env\"\n",
    );
    context
}

/// Returns the value and the origin of a setting.
fn setting(context: &TestContext, name: &str) -> (Value, String) {
    let shown = context.run(&["plugin", "show", "my-w"]).succeeds().record();
    let has_name = |setting: &&Value| setting["name"] == name;
    let setting = shown["settings"].as_array().unwrap().iter().find(has_name).unwrap().clone();
    (setting["value"].clone(), setting["origin"].as_str().unwrap().to_owned())
}

#[test]
fn passes_a_plugins_settings_to_its_hooks_and_hides_secrets() {
    let mut context = context();
    context.set("W_FAST", "no").set("W_PIN", "canary-91c2");
    context.run(&["run", "E"]).succeeds();
    let env = fs::read_to_string(context.path("data/env")).unwrap();
    let path = env.lines().find(|line| line.starts_with("PATH=")).unwrap().to_owned();
    assert!(path.contains("/usr/bin") && !path.contains("/nowhere"), "a setting cannot replace PATH");
    let lines: Vec<&str> = env.lines().filter(|line| !line.starts_with("PATH=")).collect();
    assert_eq!(
        lines,
        [
            "MY_W_ENABLED=true",
            "MY_W_TIMEOUT=7",
            "W_ACCEPT_COOKIES=true",
            "W_ARGS=[\"-a\",\"b c\"]",
            "W_BINARY=sh",
            "W_COOKIES_FILE=c.txt",
            "W_FAST=false",
            "W_MAX_TOKENS=9",
            "W_PIN=canary-91c2"
        ]
    );
    let hook = &context.hook_processes()[0];
    assert_eq!((&hook["env"]["W_PIN"], &hook["env"]["W_FAST"]), (&json!("***"), &json!("false")));
    assert_eq!(
        (&hook["env"]["W_MAX_TOKENS"], &hook["env"]["W_ACCEPT_COOKIES"]),
        (&json!("9"), &json!("true"))
    );
    assert_eq!(hook["env"]["W_COOKIES_FILE"], "***");
    assert_eq!(hook["timeout"], 7);
    assert_eq!(setting(&context, "W_PIN").0, "***");
}

#[test]
fn shows_the_origin_of_each_setting() {
    let mut context = context();
    assert_eq!(setting(&context, "W_FAST"), (json!(true), "default".to_owned()));
    context.write("here/rigup.toml", "W_FAST = false\nTIMEOUT = 90\n");
    let (value, origin) = setting(&context, "W_FAST");
    assert!(
        value == false && origin.starts_with("W_FAST in ") && origin.ends_with("here/rigup.toml"),
        "{origin}"
    );
    assert_eq!(setting(&context, "MY_W_TIMEOUT"), (json!(90), "the setting TIMEOUT".to_owned()));
    context.set("W_FAST", "1");
    assert_eq!(setting(&context, "W_FAST"), (json!(true), "the variable W_FAST".to_owned()));
    context.set("MY_W_TIMEOUT", "0");
    let output = context.run(&["plugin", "show", "my-w"]).succeeds();
    assert!(
        output.stderr.contains(
            "warning: cannot use the variable MY_W_TIMEOUT: 0 is less than the minimum of 1; 90 applies\n"
        ),
        "{}",
        output.stderr
    );
    context.write("here/rigup.toml", "W_FAST = ");
    context.run(&["plugin", "list"]).exits_with(3).stderr_contains("here/rigup.toml: ");
}

#[test]
fn a_disabled_plugin_runs_no_hook_and_requires_nothing() {
    let mut context = context();
    context.script("here/plugins/other/on_E__2_b.sh", "#!/bin/sh\n");
    context.write(
        "here/plugins/other/config.json",
        json!({"type": "object", "properties": {}, "required_plugins": ["my-w"]}).to_string(),
    );
    context.set("SAVE_W", "false");
    let reason = "the plugin my-w is disabled because MY_W_ENABLED is false (the variable SAVE_W)";
    let none =
        context.run(&["run", "E"]).succeeds().stderr_contains("no hooks run for the event E: the plugin");
    none.stderr_contains(reason).stderr_contains("; `rigup plugin list` shows the plugins\n");
    let chosen = context.run(&["run", "--plugins", "my-w", "E"]).succeeds();
    chosen.stderr_contains(&format!("warning: {reason}\n"));
    assert_eq!(context.run(&["install", "--dry-run"]).succeeds().stdout, "");
    let listed = context.run(&["plugin", "list"]).succeeds().records();
    let plugin = |name: &str| listed.iter().find(|record| record["name"] == name).unwrap().clone();
    assert_eq!(plugin("my-w")["disabled_because"], "MY_W_ENABLED is false (the variable SAVE_W)");
    assert_eq!(
        plugin("other")["disabled_because"],
        "it requires my-w, and MY_W_ENABLED is false (the variable SAVE_W)"
    );
    assert_eq!(plugin("env")["enabled"], true);
}

#[test]
fn the_plugins_setting_selects_plugins_and_those_they_require() {
    let mut context = context();
    context.script("here/plugins/first/on_E__2_b.sh", "#!/bin/sh\n");
    context.script("here/plugins/third/on_E__3_c.sh", "#!/bin/sh\n");
    let config = json!({"type": "object", "properties": {}, "required_plugins": ["MY-W"]});
    context.write("here/plugins/first/config.json", config.to_string());
    context.set("PLUGINS", " First ,");
    context.run(&["run", "E"]).succeeds();
    let plugins: Vec<Value> = context.hook_processes().iter().map(|hook| hook["plugin"].clone()).collect();
    assert_eq!(plugins, ["my-w", "first"]);
    context.set("PLUGINS", "nosuch");
    context.run(&["run", "E"]).exits_with(3).stderr_contains("there is no plugin named nosuch");
}

#[test]
fn a_plugin_that_requires_a_missing_one_is_named_if_it_is_needed() {
    let context = context();
    context.script("here/plugins/q/on_E__2_b.sh", "#!/bin/sh\n");
    context.script("here/plugins/r/on_F__2_b.sh", "#!/bin/sh\n");
    let requires = json!({"required_plugins": ["gone"]});
    context.write("here/plugins/q/config.json", requires.to_string());
    let reason = "the plugin q cannot be used because it requires the plugin gone, which does not exist";
    let count = |args: &[&str]| context.run(args).succeeds().stderr.matches(reason).count();
    assert_eq!(count(&["run", "E"]), 1);
    assert_eq!(count(&["run", "--plugins", "my-w", "E"]), 0, "it is not selected");
    assert_eq!(count(&["run", "F"]), 0, "it has no hook for F");
    assert_eq!(count(&["run", "--follow", "E", "F"]), 1);
    assert_eq!(count(&["install", "--dry-run"]), 0, "it requires no binary");
    context.plugin("q", &[json!({"type": "Binary", "name": "sh"})]);
    assert_eq!(count(&["install", "--dry-run"]), 1);
    let none = context.run(&["run", "--plugins", "r", "E"]).succeeds();
    none.stderr_contains(
        "no hooks run for the event E: the plugin my-w is not selected and the plugin q is not selected; `rigup plugin list`",
    );
}

#[test]
fn a_run_warns_only_about_the_settings_of_plugins_that_take_part() {
    let mut context = TestContext::new();
    for (plugin, key, required) in [("a", "A_N", "b"), ("b", "B_N", "base"), ("c", "C_N", "base")] {
        let properties = json!({key: {"type": "integer", "default": 7}});
        let config = json!({"properties": properties, "required_plugins": [required]});
        context.write(&format!("here/plugins/{plugin}/config.json"), config.to_string());
        context.set(key, "many");
    }
    context.write("here/plugins/base/config.json", "{}");
    context.script("here/plugins/a/on_EEnd__1_a.sh", "#!/bin/sh\n");
    let warned = |args: &[&str]| {
        let output = context.run(args).succeeds();
        ["A_N", "B_N", "C_N"].map(|key| output.stderr.matches(&format!("the variable {key}: ")).count())
    };
    assert_eq!(warned(&["run", "E"]), [1, 1, 0]);
    assert_eq!(warned(&["run", "--follow", "E", "F"]), [1, 1, 0]);
    assert_eq!(warned(&["run", "F"]), [0, 0, 0]);
    assert_eq!(warned(&["plugin", "list"]), [1, 1, 1]);
}

#[test]
fn no_hook_runs_without_the_memory_limit_that_was_requested() {
    let mut context = context_with(&[("1_p.sh", "true")]);
    let refused = |context: &TestContext, expected: &str| {
        let output = context.run(&["run", "E"]).exits_with(3);
        assert!(!output.stderr.contains("applies"), "{}", output.stderr);
        output
            .stderr_contains(expected)
            .stderr_contains("; set it to a number of bytes, or to 0 for no limit\n");
        assert_eq!(context.hook_processes(), [Value::Null; 0]);
    };
    context.set("MEMORY_LIMIT", "100MB");
    refused(&context, "error: MEMORY_LIMIT=100MB is not a memory limit");
    let limit = json!({"type": "integer", "default": 0, "x-fallback": "MEMORY_LIMIT"});
    context.write("here/plugins/p/config.json", json!({"properties": {"P_MEMORY_LIMIT": limit}}).to_string());
    refused(&context, "error: cannot use the variable MEMORY_LIMIT as P_MEMORY_LIMIT: ");
    context.set("P_MEMORY_LIMIT", "100000000");
    context.run(&["run", "E"]).succeeds();
    context.run(&["run", "F"]).succeeds();
    let mut context = context_with(&[("1_p.sh", "true")]);
    let limit = json!({"type": "integer", "default": 2_000_000_000});
    context
        .write("here/plugins/base/config.json", json!({"properties": {"MEMORY_LIMIT": limit}}).to_string());
    context.set("MEMORY_LIMIT", "100MB");
    refused(&context, "error: cannot use the variable MEMORY_LIMIT: ");
}

#[test]
fn fills_in_settings_in_the_names_of_required_binaries() {
    let mut context = context();
    let planned =
        |context: &TestContext| context.run(&["install", "--dry-run"]).succeeds().record()["name"].clone();
    assert_eq!(planned(&context), "sh");
    context.set("W_BINARY", "/bin/sh");
    assert_eq!(planned(&context), "/bin/sh");
    context.write(
        "here/plugins/my-w/config.json",
        json!({"type": "object", "properties": {}, "required_binaries": [{"name": "{GONE_BINARY}"}]})
            .to_string(),
    );
    context
        .run(&["install", "--dry-run"])
        .exits_with(1)
        .stderr_contains("entry 1: the setting GONE_BINARY has no value");
}

#[test]
fn a_path_in_a_setting_is_installed_whatever_the_providers_are() {
    let mut context = TestContext::new();
    let entry = json!({"name": "{W_BINARY}", "binproviders": "pip,apt"});
    let properties = json!({"W_BINARY": {"type": "string", "default": "w"}});
    let config = json!({"type": "object", "properties": properties, "required_binaries": [entry]});
    context.write("here/plugins/w/config.json", config.to_string());
    let tool = context.script("here/tool", "#!/bin/sh\necho 1.0\n");
    context.set("W_BINARY", &tool);
    for args in [&["install"][..], &["install", "--binproviders", "npm"]] {
        let record = context.run(args).succeeds().record();
        assert_eq!((&record["abspath"], &record["binproviders"]), (&json!(tool), &json!("env")));
    }
    std::fs::remove_file(&tool).unwrap();
    context.run(&["install"]).exits_with(1).stderr_contains("does not exist");
}

#[test]
fn warns_about_an_invalid_config_and_runs_the_plugins_hooks() {
    let context = context();
    context.write("here/plugins/my-w/config.json", "{oops");
    let output = context.run(&["run", "E"]).succeeds();
    output
        .stderr_contains(
            "plugins/my-w/config.json: cannot use the file: it is not JSON (key must be a string",
        )
        .stderr_contains("), so nothing in it is used\n");
    assert_eq!(context.hook_processes()[0]["state"], "finished");
}

#[test]
fn the_path_of_a_binary_is_the_default_of_the_setting_that_names_it() {
    let mut context = context();
    let found = context.run(&["install"]).succeeds().record()["abspath"].clone();
    assert_eq!(setting(&context, "W_BINARY"), (found.clone(), "the machine's record".to_owned()));
    context.run(&["run", "E"]).succeeds();
    assert_eq!(context.hook_processes().last().unwrap()["env"]["W_BINARY"], found);
    // The requirement keeps its name, so that rigup can find the binary elsewhere when the path no longer exists.
    assert_eq!(context.run(&["install", "--dry-run"]).succeeds().record()["name"], "sh");
    context.set("W_BINARY", "dash");
    assert_eq!(setting(&context, "W_BINARY").0, "dash");

    let mut context = self::context();
    context.set("W_BINARY", context.script("here/tool", "#!/bin/sh\necho 1.0\n"));
    context.run(&["install"]).succeeds();
    context.set("W_BINARY", "");
    assert_eq!(setting(&context, "W_BINARY").1, "the machine's record");
    fs::remove_file(context.path("here/tool")).unwrap();
    assert_eq!(
        setting(&context, "W_BINARY"),
        (json!("sh"), "default".to_owned()),
        "a path that no longer exists is not used"
    );
}

#[test]
fn config_shows_all_settings_or_the_named_ones() {
    let mut context = context();
    let all = context.run(&["config"]).succeeds().records();
    assert!(all.iter().all(|setting| setting["type"] == "Setting"));
    let count = |plugin: &str| all.iter().filter(|setting| setting["plugin"] == plugin).count();
    assert_eq!(
        (all.len(), count("rigup"), count("my-w")),
        (28, 14, 11),
        "8 are folders and files, and 3 of npm, github and url"
    );
    context.set("W_FAST", "off").set("W_PIN", "canary");
    let two = context.run(&["config", "W_FAST", "W_PIN"]).succeeds().records();
    assert_eq!((&two[0]["value"], &two[0]["origin"]), (&json!(false), &json!("the variable W_FAST")));
    assert_eq!(two[1]["value"], "***");
    context
        .run(&["config", "W_FAST", "NOSUCH"])
        .exits_with(1)
        .stderr_contains("there is no setting named NOSUCH");
}

#[test]
fn warns_about_a_folder_with_a_colon_in_its_path() {
    let context = TestContext::new();
    context.script("here/a:b/p/on_E__1_p.sh", "#!/bin/sh\n");
    let output = context.run(&["--plugins-dir", "a:b", "--trust-dir", "a:b", "hook", "list", "E"]).succeeds();
    assert_eq!(output.record()["plugin"], "p");
    let folder = context.path("here/a:b");
    let warning = |what: &str| {
        format!(
            "warning: the path {} contains a ':', so rigup {what} if a hook runs it; rename the folder",
            folder.display()
        )
    };
    output.stderr_contains(&warning("finds no plugins there")).stderr_contains(&warning("does not trust it"));
    let output = context.run(&["hook", "list", "E", "--trust-dir", "a"]).succeeds();
    assert_eq!(output.stderr, "");
}

#[test]
fn data_dir_counts_only_if_it_can_be_a_data_dir_of_rigup() {
    let mut context = TestContext::new();
    let home = context.path("home/.local/share/rigup");
    let data_dir = |context: &TestContext, expected: &std::path::Path| {
        let output = context.run(&["exec", "--", "sh", "-c", "echo $RIGUP_DATA_DIR"]).succeeds();
        assert_eq!(output.stdout.trim(), expected.to_str().unwrap(), "{output:?}");
        output
    };
    let ml = context.path("ml");
    context.unset("RIGUP_DATA_DIR").set("DATA_DIR", ml);
    context.write("ml/runs/detect/train1/best.pt", "weights");
    data_dir(&context, &home).stderr_contains("ml is ignored: the folder holds other files");
    assert!(!context.path("ml/rigup.sqlite3").exists());
    for name in ["absent", "empty"] {
        std::fs::create_dir_all(context.path("empty")).unwrap();
        let expected = context.path(name);
        context.set("DATA_DIR", expected.clone());
        for _ in 0..2 {
            assert!(data_dir(&context, &expected).stderr.is_empty(), "{name}");
        }
    }
}

#[test]
fn the_settings_of_abx_apply_after_those_of_every_rigup_toml() {
    let mut context = context();
    let file = context.write(
        "home/.config/abx/config.env",
        "# by hand\nTIMEOUT=9\nW_FAST=False\nW_ARGS='[\"x\"]'\nW_BINARY=\"/bin/sh\"\nW_PIN=\nKEEP=1\n",
    );
    let origin = |name: &str| format!("{name} in {}", file.display());
    assert_eq!(setting(&context, "W_FAST"), (json!(false), origin("W_FAST")));
    assert_eq!(setting(&context, "W_ARGS").0, json!(["x"]));
    assert_eq!(setting(&context, "W_BINARY").0, "/bin/sh");
    assert_eq!(setting(&context, "W_PIN").1, "default");
    assert_eq!(setting(&context, "MY_W_TIMEOUT"), (json!(9), "the setting TIMEOUT".to_owned()));
    context.write("home/.config/rigup/rigup.toml", "W_FAST = true\n");
    assert_eq!(setting(&context, "W_FAST").0, true);

    let other = context.write("abx/config.env", "W_FAST no\nW_ARGS=[]\n");
    context.set("CONFIG_DIR", other.parent().unwrap());
    let output = context.run(&["config", "W_ARGS"]).succeeds();
    assert_eq!(output.record()["value"], json!([]));
    assert!(output.stderr.contains("abx/config.env:1 is ignored: not KEY=VALUE"), "{}", output.stderr);
    fs::set_permissions(&other, fs::Permissions::from_mode(0o666)).unwrap();
    let output = context.run(&["config", "W_ARGS"]).succeeds();
    assert_eq!(output.record()["value"], json!(["-a", "b c"]));
    assert!(output.stderr.contains(", so its settings are ignored; fix it with "), "{}", output.stderr);
}

#[test]
fn a_plugin_for_another_runtime_or_one_that_is_opt_in_is_disabled() {
    let mut context = TestContext::new();
    let write = |name: &str, extra: Value| {
        let mut config = json!({"type": "object", "properties": {}});
        config.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        context.write(&format!("here/plugins/{name}/config.json"), config.to_string());
    };
    write("sonic", json!({"x-runtimes": [" ArchiveBox "]}));
    write("rss", json!({"x-auto-run": false}));
    write("sqlite", json!({"x-auto-run": false}));
    write("feed", json!({"required_plugins": ["rss"]}));
    let enabled = |context: &TestContext, options: &[&str]| {
        let plugins = context.run(&[&["plugin", "list"], options].concat()).succeeds().records();
        let names = ["sonic", "rss", "sqlite", "feed"];
        names.map(|name| plugins.iter().find(|plugin| plugin["name"] == name).unwrap()["enabled"] == true)
    };
    assert_eq!(enabled(&context, &[]), [false, true, false, true]);
    context.set("FEED_ENABLED", "false");
    assert_eq!(enabled(&context, &[]), [false, false, false, false]);
    for (name, reason) in [
        ("sonic", "it is only for archivebox, and ABX_RUNTIME is abx-dl"),
        ("rss", "its x-auto-run is false; select it, or set RSS_ENABLED=true"),
    ] {
        assert_eq!(context.run(&["plugin", "show", name]).succeeds().record()["disabled_because"], reason);
    }
    context.set("ABX_RUNTIME", "archivebox").set("SQLITE_ENABLED", "true");
    assert_eq!(enabled(&context, &[]), [true, false, true, false]);
    context.set("PLUGINS", "rss");
    assert_eq!(enabled(&context, &[]), [false, true, false, false]);
}
