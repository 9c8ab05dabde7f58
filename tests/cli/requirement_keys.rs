//! Keys, settings and providers that a requirement must not use silently.

use serde_json::json;

use crate::test_context::TestContext;

#[test]
fn unknown_keys_are_named_and_misspelled_ones_are_errors() {
    let context = TestContext::new();
    context.plugin(
        "p",
        &[
            json!({"type": "Binary", "name": "sh", "binproviders": "env", "_comment": "any"}),
            json!({"type": "Binary", "name": "ls", "binprovider": "pip"}),
            json!({"type": "Binary", "name": "cat", "binproviders": "env", "min_versoin": "1"}),
        ],
    );
    let output = context.run(&["install"]).exits_with(1);
    assert_eq!(output.record()["name"], "sh");
    for expected in [
        "warning: ",
        "binaries.jsonl:1: ignored the unknown key \"_comment\"",
        "binaries.jsonl:2: unknown key \"binprovider\"; write \"binproviders\"",
        "binaries.jsonl:3: unknown key \"min_versoin\"; write \"min_version\"",
    ] {
        assert!(output.stderr.contains(expected), "{expected} is not in\n{}", output.stderr);
    }
    let record = json!({"type": "BinaryRequest", "name": "ls", "binprovider": "pip"});
    let file = context.write("here/records.jsonl", record.to_string());
    context.run(&["apply", file.to_str().unwrap()]).exits_with(1).stderr_contains("write \"binproviders\"");
}

#[test]
fn a_misspelled_provider_is_an_error_and_an_unknown_one_a_warning() {
    let context = TestContext::new();
    let overrides = |name: &str, providers: &str, provider: &str| json!({"type": "Binary", "name": name, "binproviders": providers, "overrides": {provider: ["x"]}});
    let lines = [
        overrides("sh", "npm,env", "npn"),
        json!({"type": "Binary", "name": "sh", "providers": "env"}),
        overrides("ls", "env", "portage"),
        overrides("cat", "apk,env", "apk"),
        json!({"type": "Binary", "name": "id", "binproviders": "env", "overrides": {"apk": ["x"], "apt": ["x"]}}),
        json!({"type": "Binary", "name": "nosuch", "binproviders": "npn"}),
        overrides("nosuch", "piip", "pip"),
        overrides("sh", "apt,env", "apt_sources"),
    ];
    context.plugin("p", &lines);
    let output = context.run(&["install"]).exits_with(1);
    let names: Vec<_> = output.records().iter().map(|record| record["name"].clone()).collect();
    assert_eq!(names, ["ls", "cat", "id", "nosuch"]);
    for expected in [
        "binaries.jsonl:1: overrides.npn: there is no such provider; write overrides.npm\n",
        "binaries.jsonl:2: unknown key \"providers\"; write \"binproviders\"\n",
        "binaries.jsonl:3: ignored overrides.portage, because there is no such provider\n",
        "binaries.jsonl:5: ignored overrides.apk, because there is no such provider\n",
        "binaries.jsonl:8: overrides.apt_sources: there is no such provider; write overrides.apt\n",
        "no provider is in both npn (",
    ] {
        assert!(output.stderr.contains(expected), "{expected} is not in\n{}", output.stderr);
    }
    assert!(!output.stderr.contains("binaries.jsonl:4: "), "{}", output.stderr);
    let skipped = ["install", "nosuch", "--plugins", "none", "--binproviders", "npn"];
    context.plugin("none", &[]);
    context.run(&skipped).exits_with(1).stderr_contains("npn skipped: no such provider; write npm");
    context.write("here/records.jsonl", overrides("sh", "npm,env", "npn").to_string());
    context.run(&["apply", "records.jsonl"]).exits_with(1).stderr_contains("write overrides.npm");
}

#[test]
fn absent_providers_ask_no_open_registry() {
    let context = TestContext::new();
    context.provider("reviewed", "#!/bin/sh\nexit 0\n").provider("open", "#!/bin/sh\nexit 0\n");
    context.write("here/providers/open/config.json", r#"{"type":"object","properties":{},"curated":false}"#);
    context.script("here/providers/npm/on_BinaryRequest__10_npm.sh", "#!/bin/sh\nexit 0\n");
    let curated = "env,brew,apt,reviewed";
    context.plugin("p", &[json!({"type": "Binary", "name": "nosuch"})]);
    assert_eq!(context.run(&["install", "--dry-run"]).succeeds().record()["binproviders"], curated);
    let failed = json!({"type": "BinaryRequest", "name": "nosuch", "status": "failed", "binproviders": " "});
    let file = context.write("here/records.jsonl", failed.to_string());
    let planned = context.run(&["apply", "--dry-run", file.to_str().unwrap()]).succeeds().record();
    assert_eq!(planned["binproviders"], curated);
}

#[test]
fn an_override_or_option_that_the_provider_does_not_know_is_rejected() {
    let context = TestContext::new();
    let line =
        |overrides| json!({"type": "Binary", "name": "sonic", "binproviders": "apt", "overrides": overrides});
    for (overrides, reason) in [
        (
            json!({"apt": {"packages": ["sonic"], "apt_sources": ["deb x"]}}),
            "does not understand overrides.apt.apt_sources",
        ),
        (json!({"apt": {"install_args": ["-o", "sonic"]}}), "a requirement may not use the option `-o`"),
    ] {
        context.plugin("p", &[line(overrides)]);
        for args in [&["install"][..], &["install", "--dry-run"]] {
            let record = context.run(args).exits_with(1).record();
            assert!(record["last_error"].as_str().unwrap().contains(reason), "{record}");
        }
        assert!(context.hook_processes().is_empty());
    }
}

#[test]
fn a_template_takes_only_declared_settings_that_are_not_sensitive() {
    let mut context = TestContext::new();
    context.set("AWS_REGION", "eu").set("P_TOKEN", "canary").set("P_NAME", "sh");
    let config = |package: &str| {
        let entry = json!({"name": "{P_NAME}", "binproviders": "pip,env", "overrides": {"pip": [package]}});
        let string = json!({"type": "string"});
        let properties = json!({"P_NAME": string, "P_TOKEN": string});
        json!({"type": "object", "properties": properties, "required_binaries": [entry]}).to_string()
    };
    context.write("here/plugins/p/config.json", config("{P_NAME}-{AWS_REGION}-{LIB_DIR}"));
    let record = context.run(&["install", "--dry-run"]).succeeds().record();
    let lib_dir = context.path("data/lib").join(rigup::settings::platform());
    assert_eq!(record["overrides"]["pip"][0], format!("sh-{{AWS_REGION}}-{}", lib_dir.display()));
    context.write("here/plugins/p/config.json", config("{P_TOKEN}"));
    let output = context.run(&["install", "--dry-run"]).exits_with(1);
    assert!(output.stderr.contains("the setting P_TOKEN is sensitive"), "{}", output.stderr);
    assert!(!output.stderr.contains("canary") && !output.stdout.contains("canary"));
}

#[test]
fn an_invalid_config_or_a_missing_required_plugin_is_not_a_success() {
    let context = TestContext::new();
    context.plugin("p", &[json!({"type": "Binary", "name": "sh", "binproviders": "env"})]);
    context.write("here/plugins/q/config.json", "{oops");
    let output = context.run(&["install"]).exits_with(1);
    let record = output.stderr_contains("q/config.json: cannot use the file: it is not JSON").record();
    assert_eq!(record["status"], "installed", "the other plugins are used");
    context.write("here/plugins/q/config.json", r#"{"required_plugins":["gone"]}"#);
    context
        .run(&["install", "--plugins", "q"])
        .exits_with(3)
        .stderr_contains("cannot use the plugin q: it requires the plugin gone, which does not exist");
    context.run(&["install"]).succeeds();
}

#[test]
fn a_misspelled_setting_in_rigup_toml_is_an_error() {
    let context = TestContext::new();
    for (key, known) in [("MIN_RELEASE_AGES", "MIN_RELEASE_AGE"), ("min_release_age", "MIN_RELEASE_AGE")] {
        context.write("here/rigup.toml", format!("{key} = 30\n"));
        context
            .run(&["install", "sh"])
            .exits_with(3)
            .stderr_contains(&format!("unknown setting {key}; write {known}"));
    }
    context.write("here/rigup.toml", "WGET_TIMEOUT = 30\n");
    context.run(&["install", "sh", "--dry-run"]).succeeds();
}

#[test]
fn the_daemons_in_rigup_toml_are_no_settings() {
    let context = TestContext::new();
    let table = "[daemons.web]\ncommand = \"x\"\n";
    context.write("here/rigup.toml", table);
    let output = context.run(&["install", "sh", "--dry-run"]).succeeds();
    assert!(!output.stderr.contains("daemons"), "{}", output.stderr);
    context.write("here/rigup.toml", "[daemon.web]\ncommand = \"x\"\n");
    let misspelled = context.run(&["install", "sh", "--dry-run"]).exits_with(3);
    misspelled.stderr_contains("unknown setting daemon; write daemons");
    context.write("here/rigup.toml", "");
    context.write("home/.config/rigup/rigup.toml", table);
    let users = context.run(&["install", "sh", "--dry-run"]).succeeds();
    users.stderr_contains("rigup.toml is ignored: only the rigup.toml of a project declares daemons");
}

#[test]
fn a_provider_is_not_started_for_an_install_root_elsewhere() {
    let context = TestContext::new();
    context.provider("mine", "#!/bin/sh\n: >\"$HOME/started\"\n");
    context.write("home/x", "");
    let line = json!({"type": "Binary", "name": "x", "binproviders": "mine", "overrides": {"mine": {"install_root": "../../x"}}});
    context.plugin("p", &[line]);
    for args in [&["install", "--dry-run"][..], &["install"]] {
        let record = context.run(args).exits_with(1).record();
        let attempt = &record["attempts"][0];
        assert_eq!(attempt["outcome"], "rejected", "{attempt}");
        let reason = attempt["reason"].as_str().unwrap();
        assert!(reason.starts_with("cannot install into overrides.mine.install_root ../../x; "), "{reason}");
    }
    assert!(!context.path("home/started").exists());
}

#[test]
fn a_file_of_requirements_without_end_is_an_error() {
    let context = TestContext::new();
    context.plugin("p", &[json!({"type": "Binary", "name": "sh", "binproviders": "env"})]);
    let file = std::fs::File::create(context.path("here/plugins/p/binaries.jsonl")).unwrap();
    file.set_len(20 << 30).unwrap();
    let output = context.run(&["install"]).exits_with(1);
    output.stderr_contains("binaries.jsonl: cannot read the file: it is larger than 16777216 bytes");
}

#[test]
fn several_packages_are_an_error_if_the_program_comes_from_one() {
    let context = TestContext::new();
    for (provider, packages) in [
        ("chromewebstore", ["ddkjiahejlhfcafbddmgiahcphecmpfh", "cjpalhdlnbpafiamejdnhcphjbkeiagm"]),
        ("deno", ["cowsay", "npm:typescript"]),
        ("docker", ["alpine/jq", "alpine/git"]),
        ("node", ["node@20", "node@22"]),
        ("playwright", ["chromium", "firefox"]),
        ("podman", ["alpine/jq", "alpine/git"]),
        ("puppeteer", ["chrome@1", "firefox"]),
    ] {
        let overrides = json!({provider: {"packages": packages}});
        let line =
            json!({"type": "Binary", "name": "node", "binproviders": provider, "overrides": overrides});
        context.plugin("p", &[line]);
        let attempt = context.run(&["install"]).exits_with(1).record()["attempts"][0].clone();
        let reason = "a program comes from one package, not several; give each package its own requirement";
        assert_eq!([&attempt["outcome"], &attempt["reason"]], ["rejected", reason], "{provider}: {attempt}");
    }
}
