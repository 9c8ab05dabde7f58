//! `[PROVIDER:]NAME[@VERSION]`, as the commands that take names of binaries read it.

use serde_json::{Value, json};

use crate::test_context::TestContext;

/// A provider that installs the version that is requested, or 9.
const PINS: &str = r#"#!/bin/sh
set -eu
eval "$("$RIGUP" hook begin --provider NAME -- "$@")"
mkdir -p "$prefix"
printf '#!/bin/sh\necho %s %s\n' "$name" "${exact_version:-9}" >"$prefix/$name"
chmod +x "$prefix/$name"
"$RIGUP" hook binary --provider NAME --abspath "$prefix/$name" -- "$@"
"#;

/// Creates a context with the providers `shop` and `mall`, neither of which is curated.
fn context() -> TestContext {
    let context = TestContext::new();
    for name in ["shop", "mall"] {
        context.provider(name, &PINS.replace("NAME", name));
        let config = r#"{"type": "object", "properties": {}, "curated": false, "concurrent": true}"#;
        context.write(&format!("here/providers/{name}/config.json"), config);
    }
    context
}

/// Returns what was installed: provider and version.
fn installed(record: &Value) -> (&str, &str) {
    (record["binprovider"].as_str().unwrap(), record["version"].as_str().unwrap())
}

#[test]
fn a_name_on_the_command_line_chooses_its_provider_and_version() {
    let context = context();
    let records = context.run(&["install", "shop:a", "mall:b@1.2", "shop:c@v3"]).succeeds().records();
    let found: Vec<_> = records.iter().map(installed).collect();
    assert_eq!(found, [("shop", "9"), ("mall", "1.2"), ("shop", "3")]);
    assert_eq!(records[0]["binproviders"], "shop");
    context.run(&["load", "shop:a", "mall:b@1.2"]).succeeds();
    let other = context.run(&["load", "mall:a", "b@2"]).exits_with(1);
    let (a, b) = ("the request does not allow shop; run `rigup install mall:a`", "run `rigup install b@2`");
    assert!(other.stderr.contains(a) && other.stderr.contains(b), "{}", other.stderr);

    context.run(&["lock", "shop:a"]).succeeds();
    let hint = "only mall may install it; run `rigup lock`";
    context.run(&["install", "--locked", "mall:a"]).exits_with(1).stderr_contains(hint);
    context.run(&["install", "--locked", "shop:a"]).succeeds();
}

#[test]
fn a_required_name_with_a_colon_or_an_at_sign_is_not_split() {
    let context = context();
    let line = |name: &str| json!({"type": "Binary", "name": name, "binproviders": "shop"});
    context.plugin("p", &[line("python@3.12"), line("mall:x"), line("y"), line(":z")]);
    let install = ["install", "python@3.12", "mall:x", "shop:y@2", ":z"];
    let records = context.run(&install).succeeds().records();
    let names: Vec<_> = records.iter().map(|record| record["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["python@3.12", "mall:x", "y", ":z"]);
    assert_eq!(installed(&records[2]), ("shop", "2"));
    let exact = context.run(&["install", "python@3.12@3.12.7", "shop:mall:x"]).succeeds().records();
    assert_eq!((installed(&exact[0]), installed(&exact[1])), (("shop", "3.12.7"), ("shop", "9")));
    for name in ["python@3.12", "mall:x", "shop:y@2", ":z"] {
        context.run(&["which", name]).succeeds();
        context.run(&["uninstall", "--force", name]).succeeds();
    }
}

#[test]
fn contradicting_providers_and_versions_are_named_with_their_sources() {
    let context = context();
    context.plugin("p", &[json!({"type": "Binary", "name": "r", "binproviders": "mall"})]);
    let file = context.path("here/plugins/p/binaries.jsonl:1");
    let required =
        format!("no provider is in both mall ({}) and shop (shop:r); change one of them", file.display());
    for (args, reason) in [
        (
            &["shop:x", "mall:x"][..],
            "no provider is in both shop (shop:x) and mall (mall:x); change one of them",
        ),
        (
            &["shop:x", "--binproviders", "mall"],
            "no provider is in both shop (shop:x) and mall (--binproviders); change one of them",
        ),
        (
            &["shop:x@1", "--min-version", "2"],
            "no version satisfies both == 1 (shop:x@1) and >= 2 (the command line); change one of them",
        ),
        (&["shop:r"], &required),
        (&["shpo:x@1"], "there is no provider shpo; write shop:x@1"),
        (&["pipx:x"], "there is no provider pipx; write pip:x"),
        // A short word with another letter is another word, and a path is found by env alone.
        (&["nope:x"], "there is no provider nope; `rigup hook list BinaryRequest` shows all providers"),
        (&["rpm:x"], "there is no provider rpm; `rigup hook list BinaryRequest` shows all providers"),
        (&["shpo:/bin/sh"], "there is no provider shpo; `rigup hook list BinaryRequest` shows all providers"),
        (&["evn:/bin/sh"], "there is no provider evn; write env:/bin/sh"),
        // mall is the only provider that the requirement allows.
        (&["shpo:r"], "there is no provider shpo; `rigup hook list BinaryRequest` shows all providers"),
        (&["mal:r"], "there is no provider mal; write mall:r"),
        (&["Foo::Bar"], "there is no provider Foo; `rigup hook list BinaryRequest` shows all providers"),
        (&["shop:/bin/sh"], "only env finds the file of a path; leave out `shop:`"),
        (
            &["shop:x@latest"],
            "\"latest\" is not a version; use shop:x for any version, or a form such as shop:x@1.2 for that one",
        ),
    ] {
        let output = context.run(&[&["install"], args].concat()).exits_with(1);
        assert_eq!(output.record()["last_error"], reason, "{args:?}");
    }
    context.run(&["install", "npm:@angular/cli"]).exits_with(2).stderr_contains("is that of a package");
    for (name, reason) in [
        ("shop:", "the name is blank; use a plain name, or the absolute path of a file"),
        ("", "the name is blank; use a plain name, or the absolute path of a file"),
        ("-bad", "the name `-bad` starts with `-`; leave that out"),
        ("..", "the name `..` is a folder; use a plain name, or the absolute path of a file"),
        ("a\\b", "contains a control character or a backslash; leave that out"),
    ] {
        context.run(&["install", "--", name]).exits_with(2).stderr_contains(reason);
    }
    for command in ["install", "load", "lock", "upgrade", "uninstall", "which"] {
        let output = context.run(&[command, ":jq"]).exits_with(2);
        output.stderr_contains("there is no provider before the `:` of `:jq`");
    }
    assert!(context.hook_processes().is_empty());
}

#[test]
fn what_a_provider_requires_limits_no_other_use_of_the_name() {
    let context = context();
    let own =
        json!({"type": "Binary", "name": "tool", "binproviders": "shop", "overrides": {"mall": ["other"]}});
    context.write("here/providers/mall/binaries.jsonl", own.to_string());
    let installed_by = |args: &[&str]| installed(&context.run(args).succeeds().record()).0.to_owned();
    assert_eq!(installed_by(&["install", "tool"]), "shop");
    assert_eq!(installed_by(&["install", "mall:tool"]), "mall");
    assert_eq!(installed_by(&["upgrade", "tool"]), "mall");
    assert_eq!(installed_by(&["install", "tool", "--binproviders", "shop"]), "shop");

    let requirement = json!({"type": "Binary", "name": "tool", "binproviders": "mall"});
    context.plugin("p", &[requirement]);
    assert_eq!(installed_by(&["install"]), "mall");
    for command in ["install", "load", "upgrade"] {
        assert_eq!(installed_by(&[command, "tool"]), "mall", "{command}");
    }
    context.run(&["lock", "tool"]).succeeds();
    assert_eq!(installed_by(&["install", "--locked"]), "mall");
}

#[test]
fn a_provider_without_exact_versions_rejects_one_before_it_starts() {
    let context = context();
    let brew = context.run(&["install", "brew:jq@1.7.1", "--dry-run"]).exits_with(1).record();
    let reason =
        "the provider cannot install a specific version such as 1.7.1; allow others, or another provider";
    assert_eq!(
        brew["attempts"][0],
        json!({"provider": "brew", "outcome": "rejected", "reason": reason, "process_id": null})
    );
    context.write(
        "here/providers/mall/config.json",
        r#"{"type": "object", "properties": {}, "exact_versions": false}"#,
    );
    let output = context.run(&["install", "mall:x@1"]).exits_with(1);
    output.stderr_contains("mall rejected: the provider cannot install a specific version such as 1;");
    assert!(context.hook_processes().is_empty());
    context.run(&["install", "mall:x", "--min-version", "1"]).succeeds();
}

#[test]
fn env_accepts_only_the_exact_version_that_is_named() {
    let mut context = context();
    let tool = context.script("tools/tool", "#!/bin/sh\necho tool 1.2.0\n");
    context.set("PATH", format!("{}:/usr/bin:/bin", tool.parent().unwrap().display()));
    let other = context.run(&["install", "env:tool@1.3"]).exits_with(1);
    other.stderr_contains("env rejected: version 1.2.0 is older than 1.3");
    let found = context.run(&["install", "env:tool@1.2"]).succeeds().record();
    assert_eq!(installed(&found), ("env", "1.2.0"));
    context
        .run(&["install", "env:tool@1.1"])
        .exits_with(1)
        .stderr_contains("version 1.2.0 is newer than 1.1");
}

#[test]
fn which_and_uninstall_compare_the_provider_and_the_version() {
    let context = context();
    context.run(&["install", "shop:x@1.2"]).succeeds();
    let link = format!("{}\n", context.bin("x").display());
    for name in ["x", "shop:x", "x@1.2.0", "shop:x@1.2"] {
        assert_eq!(context.run(&["which", name]).succeeds().stdout, link);
    }
    let by_other = "x was installed by shop; leave out `mall:`";
    let of_other_version = "x has 1.2; leave out `@3`";
    context
        .run(&["which", "mall:x"])
        .exits_with(1)
        .stderr_contains(&format!("cannot find mall:x: {by_other}"));
    context.run(&["which", "x@3"]).exits_with(1).stderr_contains(of_other_version);
    context.run(&["which", "x@latest"]).exits_with(2);
    let uninstall = context.run(&["uninstall", "mall:x", "x@3"]).exits_with(1);
    assert!(
        uninstall.stderr.contains(&format!("cannot uninstall mall:x: {by_other}")),
        "{}",
        uninstall.stderr
    );
    assert!(
        uninstall.stderr.contains(&format!("cannot uninstall x@3: {of_other_version}")),
        "{}",
        uninstall.stderr
    );
    assert!(context.bin("x").exists());
    context.run(&["uninstall", "shop:x@1.2"]).succeeds();
    context.run(&["which", "shop:x"]).exits_with(1).stderr_contains("run `rigup install shop:x`");
}

#[test]
fn no_hook_gets_a_text_that_is_not_a_version() {
    let context = context();
    for version in ["1\n2", "1.0; rm -rf", "1..2", "-1", "1.x"] {
        let spec = format!("shop:x@{version}");
        let refused = context.run(&["install", &spec]).exits_with(1);
        let reason = format!("{version:?} is not a version; use shop:x for any version");
        refused.stderr_contains(&reason);
        context.run(&["install", "shop:x", "--min-version", version]).exits_with(2);
        let requirement =
            json!({"type": "Binary", "name": "y", "binproviders": "shop", "max_version": version});
        context.plugin("p", &[requirement]);
        context.run(&["install"]).exits_with(1).stderr_contains("max_version");
    }
    for spec in ["shop:a=b", "a=b"] {
        context.run(&["uninstall", spec]).exits_with(2).stderr_contains("\"=b\" is not a version");
        context.run(&["install", spec]).exits_with(1).stderr_contains("\"=b\" is not a version");
    }
    assert!(context.hook_processes().is_empty());
    context.plugin("p", &[]);
    for version in ["1.2.3-rc.1+build", "2024a", "v1.2", "1:2.3~deb"] {
        context.run(&["install", "--dry-run", &format!("shop:x@{version}")]).succeeds();
    }
}

#[test]
fn a_refused_request_shows_what_is_installed_in_the_table() {
    let context = context();
    context.run(&["install", "shop:a@1.6.0"]).succeeds();
    for refused in [&["a@"][..], &["shop:a@1.6."], &["a@^1"], &["shop:a@2", "shop:a@1"]] {
        let args = [&["install", "--format", "table"], refused].concat();
        let table = context.run(&args).exits_with(1).stdout;
        assert!(table.contains("1.6.0") && !table.contains("queued"), "{table}");
    }
    let table = context.run(&["install", "b@", "--format", "table"]).exits_with(1).stdout;
    assert!(table.contains("queued"), "{table}");
}
