//! Providers that are not built in: hooks that do not lock what they change, and plugins that other plugins require.

use serde_json::json;

use crate::test_context::TestContext;

/// A hook that notes if another one runs at the same time.
const ALONE: &str = r#"#!/bin/sh
mkdir "$LIB_DIR/busy" 2>/dev/null || : >"$LIB_DIR/overlap"
for i in 1 2 3 4 5 6 7 8 9 10; do /bin/true; done
rmdir "$LIB_DIR/busy" 2>/dev/null
for name; do case $name in --name=*) name=${name#--name=} && break ;; esac; done
printf '{"type":"Binary","name":"%s","abspath":"/bin/sh","version":"1"}\n' "$name"
"#;

#[test]
fn hooks_of_a_foreign_provider_run_one_at_a_time() {
    let mut context = TestContext::new();
    context.provider("alone", ALONE);
    context.set("RIGUP_LIB_DIR", context.path("lib"));
    std::fs::create_dir(context.path("lib")).unwrap();
    let install = |data_dir: &str, names: [&str; 3]| {
        let data_dir = context.path(data_dir);
        let mut args = vec!["--data-dir", data_dir.to_str().unwrap(), "install", "-j", "4"];
        args.extend(["--binproviders", "alone"]);
        args.extend(names);
        context.start(&args)
    };
    // Two data dirs share a LIB_DIR.
    let commands = [install("one", ["a", "b", "c"]), install("two", ["d", "e", "f"])];
    for mut command in commands {
        assert!(command.wait().unwrap().success());
    }
    assert!(!context.path("lib/overlap").exists());
}

#[test]
fn concurrent_hooks_of_a_foreign_provider_run_at_once() {
    let context = TestContext::new();
    context.concurrent_provider(
        "both",
        "#!/bin/sh\nfor name; do case $name in --name=*) name=${name#--name=} && break ;; esac; done\n\
         : >\"$DATA_DIR/started-$name\"\n\
         until [ -e \"$DATA_DIR/started-a\" ] && [ -e \"$DATA_DIR/started-b\" ]; do sleep 0.01; done\n\
         printf '{\"type\":\"Binary\",\"name\":\"%s\",\"abspath\":\"/bin/sh\",\"version\":\"1\"}\\n' \"$name\"\n",
    );
    context.run(&["install", "-j", "2", "--binproviders", "both", "--timeout", "20", "a", "b"]).succeeds();
}

#[test]
fn a_hook_that_installs_with_its_own_provider_does_not_wait_for_itself() {
    let context = TestContext::new();
    context.provider(
        "nested",
        "#!/bin/sh\ncase $* in *--name=outer*) name=outer; \"$RIGUP\" install inner --binproviders nested >&2 || exit 1 ;;\n\
         *) name=inner ;; esac\n\
         printf '{\"type\":\"Binary\",\"name\":\"%s\",\"abspath\":\"/bin/sh\",\"version\":\"1\"}\\n' \"$name\"\n",
    );
    context.run(&["install", "outer", "--binproviders", "nested", "--timeout", "20"]).succeeds();
}

#[test]
fn a_provider_that_keeps_the_age_by_itself_gets_the_rule_and_is_believed() {
    let context = TestContext::new();
    context.provider(
        "dated",
        "#!/bin/sh\ncase $* in *--min-release-age=30*) ;; *) exit 1 ;; esac\n\
         echo '{\"type\":\"Binary\",\"name\":\"x\",\"abspath\":\"/bin/sh\",\"version\":\"1\"}'\n",
    );
    let install = ["install", "x", "--binproviders", "dated", "--min-release-age", "30"];
    context.run(&install).exits_with(1).stderr_contains("does not declare that it enforces min_release_age");
    let config = r#"{"type": "object", "properties": {}, "enforces": {"min_release_age": true}}"#;
    context.write("here/providers/dated/config.json", config);
    assert_eq!(context.run(&install).succeeds().record()["status"], "installed");
}

#[test]
fn the_binaries_of_a_required_provider_are_planned() {
    let context = TestContext::new();
    for (provider, binary) in [("required", "sh"), ("other", "ls")] {
        context.provider(provider, "#!/bin/sh\nexit 0\n");
        let entry = json!({"name": binary, "binproviders": "env"});
        let config = json!({"type": "object", "properties": {}, "required_binaries": [entry]});
        context.write(&format!("here/providers/{provider}/config.json"), config.to_string());
    }
    let config = json!({"type": "object", "properties": {}, "required_plugins": ["required"]});
    context.write("here/plugins/p/config.json", config.to_string());
    for args in [&["install", "--dry-run"][..], &["install", "--dry-run", "--plugins", "p"]] {
        assert_eq!(context.run(args).succeeds().record()["name"], "sh");
    }
}

#[test]
fn the_oldest_requirements_are_read_and_the_oldest_hooks_are_named() {
    let context = TestContext::new();
    let line = json!({"type": "Dependency", "bin_name": "sh", "bin_providers": "env"});
    context.write("here/plugins/p/dependencies.jsonl", line.to_string());
    context.script("here/plugins/p/on_Dependency__install_using_pip_provider.py", "#!/usr/bin/env python3\n");
    let output = context.run(&["install"]).succeeds();
    assert_eq!(output.record()["name"], "sh");
    output.stderr_contains("does not run hooks for Dependency, which read --bin-name and --bin-providers");
    context.write("here/plugins/p/dependencies.jsonl", "{oops");
    context.run(&["install"]).exits_with(1).stderr_contains("dependencies.jsonl:1: not a JSON object");
}
