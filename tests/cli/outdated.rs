//! `rigup outdated`, `rigup upgrade` with providers that list versions, and partial versions.

use std::fs;

use serde_json::{Value, json};

use crate::test_context::TestContext;

/// A provider that installs the requested version, or else the one in the file `release`.
const SHOP: &str = r#"#!/bin/sh
set -eu
eval "$("$RIGUP" hook begin --provider shop -- "$@")"
mkdir -p "$part"
printf '#!/bin/sh\necho %s %s\n' "$name" "${exact_version:-$(cat "$DATA_DIR/release")}" >"$part/$name"
chmod +x "$part/$name"
"$RIGUP" hook binary --provider shop --built "$part" --abspath "$prefix/$name" -- "$@"
"#;

/// Lists the versions in the file `versions` for each binary, or does what the file `lister` says.
const LISTER: &str = r#"#!/bin/sh
set -eu
IFS='
'
eval "$("$RIGUP" hook begin --provider shop --versions)"
[ ! -e "$DATA_DIR/lister" ] || . "$DATA_DIR/lister"
for line in $plan; do
    printf '{"type":"BinaryVersions","name":"%s","versions":%s}\n' "$(name "$line")" "$(cat "$DATA_DIR/versions")"
done
"#;

/// Creates a context in which the provider `shop` sells version 1.0.0 and lists these versions.
pub(crate) fn context(versions: &Value) -> TestContext {
    let context = TestContext::new();
    context.provider("shop", SHOP);
    context.script("here/providers/shop/on_BinaryVersions__50_shop.batch.sh", LISTER);
    let config = json!({"type": "object", "properties": {}, "curated": false, "concurrent": true, "override_keys": [],
        "version_format": "@{}", "enforces": {"min_release_age": true}});
    context.write("here/providers/shop/config.json", config.to_string());
    context.write("data/release", "1.0.0");
    context.write("data/versions", versions.to_string());
    context
}

/// Returns name, status, installed version, wanted version and latest version of each record.
fn statuses(records: &[Value]) -> Vec<[&str; 5]> {
    let keys = ["name", "status", "version", "wanted", "latest"];
    records.iter().map(|record| keys.map(|key| record[key].as_str().unwrap_or("none"))).collect()
}

#[test]
fn outdated_shows_what_an_upgrade_would_install_and_what_is_newest() {
    let context = context(&json!([
        {"version": "1.0.0", "released_at": "2024-01-01T00:00:00Z"},
        {"version": "1.2.0", "released_at": "2024-02-01T00:00:00Z"},
        {"version": "2.0.0", "released_at": "2024-03-01T00:00:00Z"},
        {"version": "2.1.0", "released_at": "2024-03-01T00:00:00Z", "yanked": true},
        {"version": "3.0.0-rc.1", "released_at": "2024-03-01T00:00:00Z"},
        {"version": "2.2.0", "released_at": "9999-01-01T00:00:00Z"},
    ]));
    context.plugin(
        "p",
        &[json!({"type": "Binary", "name": "most", "binproviders": "shop", "max_version": "1.9"})],
    );
    assert_eq!(context.run(&["outdated"]).succeeds().stdout, "");
    context.run(&["install", "most", "shop:any"]).succeeds();
    let hooks = context.hook_processes().len();
    let before = fs::read_to_string(context.bin("any")).unwrap();
    let output = context.run(&["outdated"]).succeeds();
    assert_eq!(
        statuses(&output.records()),
        [["any", "outdated", "1.0.0", "2.0.0", "2.2.0"], ["most", "outdated", "1.0.0", "1.2.0", "2.2.0"]]
    );
    let first = &output.records()[0];
    assert_eq!(
        [&first["type"], &first["binprovider"], &first["released_at"], &first["reason"]],
        [&json!("VersionStatus"), &json!("shop"), &json!("2024-03-01T00:00:00.000Z"), &Value::Null]
    );
    assert_eq!(context.hook_processes().len(), hooks + 1, "one hook for all binaries of a provider");
    assert_eq!(fs::read_to_string(context.bin("any")).unwrap(), before);
    let table = context.run(&["outdated", "any", "--format", "table"]).succeeds().stdout;
    assert_eq!(
        table,
        "BINARY  STATUS    VERSION  WANTED  LATEST  PROVIDER\nany     outdated  1.0.0    2.0.0   2.2.0   shop\n"
    );
    context.run(&["outdated", "--check"]).exits_with(1);
    let all = context.run(&["outdated", "any", "--min-release-age", "0"]).succeeds().records();
    assert_eq!(statuses(&all), [["any", "outdated", "1.0.0", "2.2.0", "2.2.0"]]);
    let none = context.run(&["outdated", "none"]).exits_with(1);
    none.stderr_contains(
        "cannot tell whether none is outdated: it is not installed; run `rigup install none`",
    );
}

#[test]
fn a_provider_that_cannot_tell_is_named_and_does_not_fail_the_check() {
    let mut context = context(&json!([{"version": "1.0.0"}]));
    let tool = context.script("tools/tool", "#!/bin/sh\necho tool 1.2.0\n");
    context.set("PATH", format!("{}:/usr/bin:/bin", tool.parent().unwrap().display()));
    context.run(&["install", "shop:a", "env:tool"]).succeeds();
    let check = context.run(&["outdated", "--check"]).succeeds();
    assert_eq!(
        statuses(&check.records()),
        [["a", "up to date", "1.0.0", "1.0.0", "1.0.0"], ["tool", "unknown", "1.2.0", "none", "none"]]
    );
    check.stderr_contains("cannot tell whether tool is outdated: env does not list versions\n");
    for (lister, reason) in [
        ("echo 'the shop is closed' >&2; exit 3", "exit code 3: the shop is closed"),
        ("decline 'no list today'", "no list today"),
        ("exit 0", "printed no BinaryVersions record"),
        (
            "echo '{\"type\":\"BinaryFailure\",\"name\":\"a\",\"reason\":\"a is secret\"}'; exit 0",
            "a is secret",
        ),
        ("echo '{\"type\":\"BinaryVersions\",\"name\":\"a\",\"versions\":7}'; exit 0", "it lists no version"),
        ("exec sleep 60", "terminated after 1 s"),
    ] {
        context.write("data/lister", lister);
        let output = context.run(&["outdated", "a", "--check", "--timeout", "1"]).succeeds();
        let record = output.record();
        assert_eq!([&record["status"], &record["reason"]], ["unknown", reason], "{lister}");
    }
}

#[test]
fn an_enforced_age_without_release_dates_is_unknown_only_if_it_was_stated() {
    let context = context(&json!([{"version": "1.0.0"}, {"version": "2.0.0"}]));
    context.run(&["install", "shop:a"]).succeeds();
    let by_default = context.run(&["outdated"]).succeeds().records();
    assert_eq!(statuses(&by_default), [["a", "outdated", "1.0.0", "2.0.0", "2.0.0"]]);
    let stated = context.run(&["outdated", "--min-release-age", "3"]).succeeds().record();
    assert_eq!(stated["reason"], "the registry has no release dates");
}

#[test]
fn a_hook_without_batch_is_asked_about_one_binary_at_a_time() {
    let context = context(&json!([]));
    fs::remove_file(context.path("here/providers/shop/on_BinaryVersions__50_shop.batch.sh")).unwrap();
    context.script(
        "here/providers/shop/on_BinaryVersions__50_shop.sh",
        "#!/bin/sh\nfor arg; do case $arg in --name=*) name=${arg#--name=} ;; esac; done\n\
         echo \"{\\\"type\\\":\\\"BinaryVersions\\\",\\\"name\\\":\\\"$name\\\",\\\"versions\\\":[{\\\"version\\\":\\\"1.1\\\"}]}\"\n",
    );
    context.run(&["install", "shop:a", "shop:b"]).succeeds();
    let hooks = context.hook_processes().len();
    let records = context.run(&["outdated", "-j", "1"]).succeeds().records();
    assert_eq!(
        statuses(&records),
        [["a", "outdated", "1.0.0", "1.1", "1.1"], ["b", "outdated", "1.0.0", "1.1", "1.1"]]
    );
    assert_eq!(context.hook_processes().len(), hooks + 2);
}

#[test]
fn upgrade_runs_only_the_hooks_that_have_something_newer() {
    let context = context(&json!([{"version": "1.0.0"}]));
    context.run(&["install", "shop:a", "shop:b"]).succeeds();
    let installs = || {
        let hooks = context.hook_processes();
        hooks.iter().filter(|hook| hook["hook_name"] == "on_BinaryRequest__50_shop.sh").count()
    };
    assert_eq!(installs(), 2);
    let newest = context.run(&["upgrade"]).succeeds();
    assert!(newest.stderr.contains("a is up to date (1.0.0)\n"), "{}", newest.stderr);
    assert_eq!(installs(), 2);
    context.write("data/versions", json!([{"version": "1.0.0"}, {"version": "2.0.0"}]).to_string());
    context.write("data/release", "2.0.0");
    let planned = context.run(&["upgrade", "a", "--dry-run"]).succeeds();
    let record = planned.record();
    assert_eq!([&record["upgrade"], &record["wanted"]], ["planned", "2.0.0"]);
    assert!(planned.stderr.contains("a: 1.0.0 -> 2.0.0\n"), "{}", planned.stderr);
    let table = context.run(&["upgrade", "a", "--dry-run", "--format", "table"]).succeeds().stdout;
    assert_eq!(
        table.lines().nth(1).unwrap().split_whitespace().collect::<Vec<_>>(),
        ["a", "planned", "1.0.0", "2.0.0", "shop"]
    );
    assert_eq!(installs(), 2);
    let upgraded = context.run(&["upgrade", "a"]).succeeds();
    assert!(upgraded.stderr.contains("a: 1.0.0 -> 2.0.0\n"), "{}", upgraded.stderr);
    assert_eq!(upgraded.record()["version"], "2.0.0");
    assert_eq!(installs(), 3);
    // What the shop cannot tell is resolved again.
    context.write("data/lister", "exit 1");
    context.run(&["upgrade", "b"]).succeeds().stderr_contains("b: 1.0.0 -> 2.0.0\n");
    // So is a binary whose file is gone, although there is nothing newer.
    fs::remove_file(context.path("data/lister")).unwrap();
    fs::remove_file(context.linked_file("b")).unwrap();
    context.run(&["upgrade", "b"]).succeeds();
    assert!(context.linked_file("b").exists());
    assert_eq!(installs(), 5);
}

#[test]
fn a_partial_version_is_the_newest_that_begins_with_it() {
    let context = context(&json!([
        {"version": "13.9.0"}, {"version": "14.0.0"}, {"version": "14.1.1"}, {"version": "14.2.0-rc.1"},
        {"version": "15.0.0"},
    ]));
    let record = context.run(&["install", "shop:a@14"]).succeeds().record();
    assert_eq!([&record["version"], &record["min_version"], &record["max_version"]], ["14.1.1", "14", "14"]);
    context.run(&["install", "a@14"]).succeeds().stderr_contains("a is already installed");
    context.run(&["which", "a@14"]).succeeds();
    context.run(&["which", "a@15"]).exits_with(1);
    assert_eq!(context.run(&["install", "shop:b@14.0"]).succeeds().record()["version"], "14.0.0");
    assert_eq!(context.run(&["install", "shop:c@14.1.1"]).succeeds().record()["version"], "14.1.1");
    // A version that the shop does not list is requested as it is, as if the shop listed none.
    assert_eq!(context.run(&["install", "shop:d@16"]).succeeds().record()["version"], "16");

    context.write("data/versions", json!([{"version": "14.3.0"}, {"version": "15.0.0"}]).to_string());
    let outdated = context.run(&["outdated", "a"]).succeeds().records();
    assert_eq!(statuses(&outdated), [["a", "outdated", "14.1.1", "14.3.0", "15.0.0"]]);
    let upgraded = context.run(&["upgrade", "a", "c"]).succeeds().records();
    assert_eq!(
        [&upgraded[0]["version"], &upgraded[0]["max_version"], &upgraded[1]["version"]],
        ["14.3.0", "14", "14.1.1"]
    );
    // The request of a pin is for exactly its version.
    context.run(&["lock", "a"]).succeeds();
    context.write("data/versions", json!([{"version": "14.4.0"}]).to_string());
    assert_eq!(
        context.run(&["install", "a", "--locked", "--force"]).succeeds().record()["version"],
        "14.3.0"
    );
}

#[test]
fn a_version_in_the_overrides_does_not_hide_the_latest() {
    let context = context(&json!([{"version": "1.0.0"}, {"version": "1.0.3"}, {"version": "2.0.0"}]));
    let line = |name: &str, package: &str| json!({"type": "Binary", "name": name, "binproviders": "shop", "overrides": {"shop": package}});
    context.plugin(
        "p",
        &[line("exact", "x@1.0.0"), line("open", "x"), line("part", "y@1"), line("range", "z@^1")],
    );
    context.run(&["install"]).succeeds();
    let records = context.run(&["outdated"]).succeeds().records();
    let expected = [
        ["exact", "up to date", "1.0.0", "1.0.0", "2.0.0"],
        ["open", "outdated", "1.0.0", "2.0.0", "2.0.0"],
        ["part", "outdated", "1.0.0", "1.0.3", "2.0.0"],
        ["range", "unknown", "1.0.0", "none", "none"],
    ];
    assert_eq!(statuses(&records), expected);
    let upgrade = context.run(&["upgrade", "exact"]).succeeds();
    upgrade.stderr_contains("exact is up to date (1.0.0); overrides.shop accept only 1.0.0, not 2.0.0\n");
}

#[test]
fn a_version_that_its_requirement_excludes_is_not_called_up_to_date() {
    let context = context(&json!([{"version": "1.0.0"}, {"version": "2.0.0"}]));
    context.write("data/release", "2.0.0");
    context.run(&["install", "shop:a"]).succeeds();
    let require = |max_version: &str| {
        let line = json!({"type": "Binary", "name": "a", "binproviders": "shop", "max_version": max_version});
        context.plugin("p", &[line]);
    };
    require("0.5");
    let outdated = context.run(&["outdated", "--check"]).succeeds();
    assert_eq!(statuses(&outdated.records()), [["a", "held back", "2.0.0", "none", "2.0.0"]]);
    outdated.stderr_contains("a is held back (2.0.0): no release is allowed\n");
    require("1.5");
    let outdated = context.run(&["outdated", "--check"]).exits_with(1);
    assert_eq!(statuses(&outdated.records()), [["a", "outdated", "2.0.0", "1.0.0", "2.0.0"]]);
    context.write("data/release", "1.0.0");
    context.run(&["upgrade"]).succeeds().stderr_contains("a: 2.0.0 -> 1.0.0 (older)");
    let outdated = context.run(&["outdated", "--check"]).succeeds();
    assert_eq!(statuses(&outdated.records()), [["a", "up to date", "1.0.0", "1.0.0", "2.0.0"]]);
}

/// Returns the number of the installs that the provider ran.
fn installs(context: &TestContext) -> usize {
    let hooks = context.hook_processes();
    hooks.iter().filter(|hook| hook["hook_name"] == "on_BinaryRequest__50_shop.sh").count()
}

#[test]
fn upgrade_says_that_the_provider_chose_the_same_version_again() {
    let context = context(&json!([{"version": "1.0.0"}, {"version": "2.0.0"}]));
    context.run(&["install", "shop:a"]).succeeds();
    let output = context.run(&["upgrade"]).succeeds();
    let reason =
        "shop chose this version again, although 2.0.0 is listed; `rigup upgrade a@2.0.0` requests that one";
    assert!(output.stderr.contains(&format!("a is unchanged (1.0.0): {reason}\n")), "{}", output.stderr);
    let record = output.record();
    assert_eq!([&record["upgrade"], &record["wanted"], &record["reason"]], ["unchanged", "2.0.0", reason]);
    assert_eq!(context.run(&["upgrade", "a@2.0.0"]).succeeds().record()["upgrade"], "upgraded");
}

#[test]
fn upgrade_runs_no_hook_if_only_older_or_too_young_versions_are_listed() {
    let context = context(&json!([
        {"version": "0.9.0", "released_at": "2020-01-01T00:00:00Z"},
        {"version": "1.0.0", "released_at": "2999-01-01T00:00:00Z"},
    ]));
    context.run(&["install", "shop:a", "--min-release-age", "0"]).succeeds();
    let older = "version 0.9.0 is older than the installed 1.0.0; `rigup upgrade a@0.9.0` installs it";
    for (args, wanted, reason) in [
        (&["upgrade", "a", "--min-release-age", "7"][..], json!("0.9.0"), older),
        (
            &["upgrade", "a", "--min-release-age", "36500"],
            Value::Null,
            "every release that is allowed is too young",
        ),
    ] {
        let outdated = context.run(&[&["outdated"], &args[1..]].concat()).succeeds();
        let outdated = outdated.stderr_contains(&format!("a is held back (1.0.0): {reason}\n")).record();
        assert_eq!([&outdated["status"], &outdated["reason"]], ["held back", reason]);
        let planned = context.run(&[args, &["--dry-run"]].concat()).succeeds().record();
        let output = context.run(args).succeeds();
        assert!(output.stderr.contains(&format!("a is held back (1.0.0): {reason}\n")), "{}", output.stderr);
        output.stderr_contains("days were left out; `--min-release-age 0` allows them");
        for record in [planned, context.run(args).succeeds().record()] {
            assert_eq!([&record["upgrade"], &record["reason"]], ["held back", reason]);
            assert_eq!((&record["wanted"], &record["version"]), (&wanted, &json!("1.0.0")));
        }
    }
    assert_eq!(installs(&context), 1);
    context.run(&["upgrade", "a@0.9.0"]).succeeds().stderr_contains("a: 1.0.0 -> 0.9.0 (older)");
}

#[test]
fn an_upgrade_names_the_partial_version_that_limits_it() {
    let context = context(&json!([{"version": "3.0.3"}, {"version": "3.10.1"}]));
    context.run(&["install", "shop:a@3.0"]).succeeds();
    let output = context.run(&["upgrade", "a"]).succeeds();
    let hint = "by the request that installed it; for the newest, run `rigup install --force a`";
    let limit = format!("3.10.1 is excluded: only versions that begin with 3.0 are allowed ({hint})");
    assert!(output.stderr.contains(&format!("a is up to date (3.0.3); {limit}\n")), "{}", output.stderr);
    let upgraded = context.run(&["upgrade", "a@3"]).succeeds();
    upgraded.stderr_contains("a: 3.0.3 -> 3.10.1; only versions that begin with 3 are allowed (a@3)\n");
}

#[test]
fn an_upgrade_of_an_exact_version_shows_what_is_listed() {
    let context = context(&json!([{"version": "3.0.0"}, {"version": "3.10.1"}]));
    context.run(&["install", "shop:a@3.0.0"]).succeeds();
    let record = context.run(&["upgrade", "a"]).succeeds().record();
    assert_eq!([&record["upgrade"], &record["wanted"], &record["latest"]], ["up to date", "3.0.0", "3.10.1"]);
    assert_eq!(installs(&context), 1);
}

#[test]
fn an_upgrade_does_not_blame_a_bound_for_a_release_that_is_too_young() {
    let context = context(&json!([{"version": "1.0.0"}]));
    let most = json!({"type": "Binary", "name": "most", "binproviders": "shop", "max_version": "3"});
    context.plugin("p", &[most]);
    context.run(&["install"]).succeeds();
    context.run(&["install", "shop:part@1"]).succeeds();
    let list = |versions: &[(&str, &str)]| {
        let entry = |(version, day): &(&str, &str)| json!({"version": version, "released_at": format!("{day}T00:00:00Z")});
        context.write("data/versions", versions.iter().map(entry).collect::<Value>().to_string());
    };
    list(&[("1.0.0", "2024-01-01"), ("1.2.0", "9999-01-01")]);
    let output = context.run(&["upgrade"]).succeeds();
    for name in ["most", "part"] {
        let line = format!("{name} is up to date (1.0.0); 1.2.0 is not allowed yet\n");
        assert!(output.stderr.contains(&line), "{}", output.stderr);
    }
    list(&[("1.1.0", "2024-01-01"), ("1.2.0", "9999-01-01")]);
    context.write("data/release", "1.1.0");
    let output = context.run(&["upgrade"]).succeeds();
    for name in ["most", "part"] {
        let line = format!("{name}: 1.0.0 -> 1.1.0; 1.2.0 is not allowed yet\n");
        assert!(output.stderr.contains(&line), "{}", output.stderr);
    }
}
