//! A request that changes is resolved again, and what is installed stays until the new request succeeds.

use std::fs;

use serde_json::{Value, json};

use crate::apply::apply;
use crate::test_context::TestContext;

/// A provider that installs a program whose version is that of the package `x@VERSION`, or breaks it and fails.
const SHOP: &str = r#"#!/bin/sh
set -eu
eval "$("$RIGUP" hook begin --provider shop -- "$@")"
[ "${packages#*@}" != broken ] || { echo "no such package" >&2; exit 1; }
version=${packages#*@}
[ -z "$exact_version" ] || version=$exact_version
mkdir -p "$prefix"
printf '#!/bin/sh\necho x %s\n' "$version" >"$prefix/x"
chmod +x "$prefix/x"
"$RIGUP" hook binary --provider shop --abspath "$prefix/x" -- "$@"
"#;

fn context() -> TestContext {
    let context = TestContext::new();
    context.provider("shop", SHOP);
    context
}

fn require(context: &TestContext, binproviders: &str, package: &str) {
    let overrides = json!({"shop": {"packages": [package]}});
    let line = json!({"type": "Binary", "name": "x", "binproviders": binproviders, "overrides": overrides});
    context.plugin("p", &[line]);
}

fn digest(record: &Value) -> String {
    record["request_digest"].as_str().unwrap().to_owned()
}

#[test]
fn a_changed_override_is_resolved_again_also_with_a_lock_file() {
    let context = context();
    require(&context, "shop", "x@3.10.1");
    let first = context.run(&["install"]).succeeds().record();
    assert_eq!((first["version"].as_str(), digest(&first).len()), (Some("3.10.1"), 64));
    context.run(&["lock"]).succeeds();
    context.run(&["lock", "--check"]).succeeds();

    require(&context, "shop", "x@3.0.0");
    let unmet =
        "x 3.10.1, which shop installed, is installed, but its request has changed; run `rigup install x`";
    context.run(&["load"]).exits_with(1).stderr_contains(unmet);
    let changed = "overrides.shop changed since rigup.lock was written; run `rigup lock`";
    context.run(&["lock", "--check"]).exits_with(1).stderr_contains(changed);
    context.run(&["install", "--locked"]).exits_with(1).stderr_contains(changed);
    let second = context.run(&["install"]).succeeds().record();
    assert_eq!(second["version"], "3.0.0");
    assert_ne!(digest(&first), digest(&second));
    context.run(&["lock"]).succeeds();
    context.run(&["lock", "--check"]).succeeds();
    context.run(&["install", "--locked"]).succeeds().stderr_contains("is already installed");

    context.plugin("p", &[json!({"type": "Binary", "name": "x", "binproviders": "shop"})]);
    for args in [&["lock", "--check"][..], &["install", "--locked"]] {
        let output = context.run(args).exits_with(1).stderr_contains(changed);
        assert!(!output.stderr.contains("up to date"), "{}", output.stderr);
    }
}

#[test]
fn load_fails_if_an_override_that_the_provider_rejects_was_added() {
    let context = context();
    require(&context, "shop", "x@3.10.1");
    context.run(&["install"]).succeeds();
    for overrides in [json!({"shop": "x@3.10.1"}), json!({"shop": {"install_args": ["x@3.10.1"]}})] {
        let line = json!({"type": "Binary", "name": "x", "binproviders": "shop", "overrides": overrides});
        context.plugin("p", &[line]);
        context.run(&["load"]).succeeds();
        context.run(&["install"]).succeeds().stderr_contains("is already installed");
    }
    let overrides = json!({"shop": {"packages": ["x@3.10.1"], "other": true}});
    let line = json!({"type": "Binary", "name": "x", "binproviders": "shop", "overrides": overrides});
    context.plugin("p", &[line]);
    context.run(&["load"]).exits_with(1).stderr_contains("but its request has changed");
}

#[test]
fn a_version_that_contradicts_a_pinned_package_names_the_override() {
    let context = context();
    context.provider("shop", &SHOP.replace("version=$exact_version", ":"));
    require(&context, "shop", "x@7.5.0");
    let hint = "; overrides.shop requests x@7.5.0: change that, or request this version";
    context.run(&["install", "x@7.8.6"]).exits_with(1).stderr_contains(hint);
}

#[test]
fn a_changed_file_or_list_of_providers_is_resolved_again() {
    let context = context();
    let [one, two] =
        ["one", "two"].map(|name| context.script(&format!("tools/{name}"), "#!/bin/sh\necho 1.2\n"));
    for file in [&one, &two] {
        let overrides = json!({"env": {"abspath": file}});
        let line = json!({"type": "Binary", "name": "x", "binproviders": "env", "overrides": overrides});
        context.plugin("p", &[line]);
        let record = context.run(&["install"]).succeeds().record();
        assert_eq!(record["abspath"], file.to_str().unwrap());
        assert_eq!(fs::read_link(context.bin("x")).unwrap(), *file);
    }
    require(&context, "shop,env", "x@2.0");
    assert_eq!(
        context.run(&["install", "--binproviders", "shop"]).succeeds().record()["binprovider"],
        "shop"
    );
    context.run(&["install"]).succeeds().stderr_contains("is already installed");
    require(&context, "env", "x@2.0");
    let record = context.run(&["install"]).exits_with(1).record();
    assert_eq!((record["type"].as_str(), record["status"].as_str()), (Some("BinaryRequest"), Some("queued")));
    assert_eq!(record["attempts"][0]["outcome"], "declined");
}

#[test]
fn what_is_installed_stays_until_a_new_request_succeeds() {
    let context = context();
    require(&context, "shop", "x@1.5");
    let installed = context.run(&["install"]).succeeds().record();
    let is_kept = |context: &TestContext| {
        context.run(&["load", "x"]).exits_with(1).stderr_contains("but its request has changed");
        let record = context.run(&["binary", "show", "x"]).succeeds().record();
        for key in ["abspath", "version", "sha256", "status", "binprovider"] {
            assert_eq!(record[key], installed[key], "{key}");
        }
        assert!(context.bin("x").exists());
    };
    require(&context, "shop", "x@broken");
    for args in [&["install"][..], &["install", "--force"], &["install", "--min-version", "9"]] {
        let output = context.run(args).exits_with(1);
        assert!(output.stderr.contains("x 1.5, which shop installed, stays installed"), "{}", output.stderr);
        is_kept(&context);
    }
    context
        .plugin("p", &[json!({"type": "Binary", "name": "x", "binproviders": "shop", "min_version": "9"})]);
    let reason =
        "x 1.5, which shop installed, is installed, but its version is not >= 9; run `rigup install x`";
    context.run(&["load", "x"]).exits_with(1).stderr_contains(reason);
    let shown = context.run(&["binary", "show", "x"]).succeeds().record();
    assert_eq!((shown["status"].as_str(), shown["num_uses_failed"].as_u64()), (Some("installed"), Some(3)));
}

#[test]
fn a_failed_request_holds_back_only_itself() {
    let context = context();
    let request = |package: &str, key: &str, value: Value| {
        let overrides = json!({"shop": {"packages": [package]}});
        json!({"type": "BinaryRequest", "name": "x", "binproviders": "shop", "overrides": overrides, key: value})
    };
    let broken = request("x@broken", "min_version", json!("1"));
    apply(&context, &[request("x@1.5", "min_version", json!(""))]).succeeds();
    let failed = apply(&context, std::slice::from_ref(&broken)).exits_with(1).record();
    let hooks = context.hook_processes().len();
    let output = apply(&context, &[broken]).exits_with(1);
    let deferred = output.stderr_contains("x 1.5, which shop installed, stays installed").record();
    for key in ["type", "status", "overrides", "min_version", "last_error", "retry_at"] {
        assert_eq!(deferred[key], failed[key], "{key}");
    }
    assert_eq!(
        (deferred["type"].as_str(), deferred["status"].as_str()),
        (Some("BinaryRequest"), Some("queued"))
    );
    assert_eq!(context.hook_processes().len(), hooks, "no provider was tried");

    let others = [
        request("x@broken", "min_version", json!("2")),
        request("x@broken", "postinstall_scripts", json!(false)),
        request("y@broken", "min_version", json!("1")),
    ];
    for other in others {
        let record = apply(&context, &[other]).exits_with(1).record();
        assert_eq!((record["attempts"].as_array().unwrap().len(), &record["attempt_count"]), (1, &json!(1)));
    }
    let met = apply(&context, &[request("x@1.5", "min_version", json!(""))]).succeeds().record();
    for record in [met, context.run(&["binary", "show", "x"]).succeeds().record()] {
        assert_eq!(
            (record["last_error"].as_str(), record["retry_at"].as_str()),
            (Some(""), None),
            "{record}"
        );
    }
}

#[test]
fn max_version_is_an_inclusive_bound_wherever_it_is_stated() {
    let context = context();
    require(&context, "shop", "x@1.10");
    let reason =
        |output: &crate::test_context::CommandOutput| output.record()["attempts"][0]["reason"].clone();
    let too_new = context.run(&["install", "--max-version", "1.9"]).exits_with(1);
    assert_eq!(reason(&too_new), "version 1.10 is newer than 1.9");
    let config = "here/providers/shop/config.json";
    context.write(config, r#"{"type":"object","properties":{},"version_format":"@{}"}"#);
    let too_new = context.run(&["install", "--max-version", "1.9"]).exits_with(1);
    let next_step = "; the provider cannot choose an older release by itself, so request one as NAME@VERSION";
    assert_eq!(reason(&too_new), format!("version 1.10 is newer than 1.9{next_step}"));
    fs::remove_file(context.path(config)).unwrap();
    let record = context.run(&["install", "--max-version", "1.10"]).succeeds().record();
    assert_eq!((record["version"].as_str(), record["max_version"].as_str()), (Some("1.10"), Some("1.10")));
    let line = |max: &str| json!({"type": "Binary", "name": "x", "binproviders": "shop", "max_version": max});
    context.plugin("q", &[line("1.9")]);
    assert_eq!(reason(&context.run(&["install"]).exits_with(1)), "version 1.10 is newer than 1.9");
    context
        .plugin("q", &[json!({"type": "Binary", "name": "x", "binproviders": "shop", "min_version": "2"})]);
    context.plugin("r", &[line("1")]);
    let refused = context.run(&["install", "--dry-run"]).exits_with(1).record();
    let file = |plugin: &str| context.path("here/plugins").join(plugin).join("binaries.jsonl:1");
    let (q, r) = (file("q"), file("r"));
    let sources = format!(">= 2 ({}) and <= 1 ({})", q.display(), r.display());
    assert_eq!(refused["last_error"], format!("no version satisfies both {sources}; change one of them"));
    context.run(&["install", "--min-version", "2", "--max-version", "1"]).exits_with(2);
}

#[test]
fn a_name_with_a_version_installs_exactly_that_version() {
    let context = context();
    let args = ["install", "x@2.5.0", "--binproviders", "shop"];
    let record = context.run(&args).succeeds().record();
    assert_eq!((record["name"].as_str(), record["version"].as_str()), (Some("x"), Some("2.5.0")));
    let hook = context.hook_processes().pop().unwrap();
    let cmd = hook["cmd"].to_string();
    for argument in ["--exact-version=2.5.0", "--min-version=2.5.0", "--max-version=2.5.0"] {
        assert!(cmd.contains(argument), "{cmd}");
    }
    context.run(&args).succeeds().stderr_contains("is already installed");
    let reason = "x 2.5.0, which shop installed, is installed, but its version is not == 2.5.1";
    context.run(&["load", "x@2.5.1"]).exits_with(1).stderr_contains(reason);
}

#[test]
fn contradicting_requests_of_a_name_are_refused_with_their_sources() {
    let context = context();
    let line = json!({"type": "Binary", "name": "q", "binproviders": "shop", "max_version": "2"});
    context.plugin("p", &[line]);
    let file = context.path("here/plugins/p/binaries.jsonl:1");
    let in_file = format!("<= 2 ({})", file.display());
    for (args, contradiction) in [
        (&["x@3.0.0", "x@3.0.1"][..], "== 3.0.0 (x@3.0.0) and == 3.0.1 (x@3.0.1)"),
        (&["x@1", "x", "--min-version", "2"], "== 1 (x@1) and >= 2 (the command line)"),
        (&["q@3"], &format!("{in_file} and == 3 (q@3)")),
        (&["q", "--min-version", "3"], &format!("{in_file} and >= 3 (the command line)")),
    ] {
        let args = [&["install", "--binproviders", "shop"], args].concat();
        let expected = format!("no version satisfies both {contradiction}; change one of them");
        assert_eq!(context.run(&args).exits_with(1).record()["last_error"], expected);
    }
    assert!(context.hook_processes().is_empty());
    let same = ["install", "x@3.0", "x", "x@3.0.0", "--binproviders", "shop"];
    assert_eq!(context.run(&same).succeeds().record()["version"], "3.0");
}

#[test]
fn due_installs_only_queued_binaries_whose_retry_time_has_come() {
    let context = context();
    let nothing = context.run(&["install", "--due"]).succeeds().stderr_contains("no queued binary is due");
    assert_eq!(nothing.stdout, "");
    context.run(&["install", "x@7", "--binproviders", "shop"]).succeeds();
    context.run(&["install", "nosuch", "--binproviders", "env"]).exits_with(1);
    context.run(&["binary", "update", "x", "--status", "queued"]).succeeds();
    let records = context.run(&["install", "--due"]).succeeds().records();
    assert_eq!(records.len(), 1, "nosuch is tried again in five minutes");
    assert_eq!((records[0]["name"].as_str(), records[0]["version"].as_str()), (Some("x"), Some("7")));
}
