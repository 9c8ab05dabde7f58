//! `rigup upgrade`: newer versions of installed binaries.

use std::fs;

use serde_json::{Value, json};

use crate::test_context::TestContext;

/// A provider that installs the version in the file `release`, or the newest one up to the maximum version, or fails.
pub(crate) const SHOP: &str = r#"#!/bin/sh
set -eu
eval "$("$RIGUP" hook begin --provider shop -- "$@")"
release=$(cat "$DATA_DIR/release")
[ "$release" != broken ] || { echo "the shop is closed" >&2; exit 1; }
[ -z "$max_version" ] || release=$max_version
mkdir -p "$part"
printf '#!/bin/sh\necho %s %s\n' "$name" "${exact_version:-$release}" >"$part/$name"
chmod +x "$part/$name"
"$RIGUP" hook binary --provider shop --built "$part" --abspath "$prefix/$name" -- "$@"
"#;

/// Creates a context in which the provider `shop` sells version 1.
fn context() -> TestContext {
    let context = TestContext::new();
    context.provider("shop", SHOP);
    let config = json!({"type": "object", "properties": {}, "curated": false, "concurrent": true, "override_keys": [],
        "version_format": "@{}", "max_version_format": "@<={}", "enforces": {"min_release_age": true}});
    context.write("here/providers/shop/config.json", config.to_string());
    context.write("data/release", "1");
    context
}

/// Returns name, earlier version, version and outcome of each record.
fn outcomes(records: &[Value]) -> Vec<[&str; 4]> {
    records
        .iter()
        .map(|record| {
            ["name", "previous_version", "version", "upgrade"]
                .map(|key| record[key].as_str().unwrap_or("none"))
        })
        .collect()
}

#[test]
fn upgrade_installs_the_newest_version_with_the_same_provider() {
    let context = context();
    let nothing = context.run(&["upgrade"]).succeeds();
    assert_eq!(nothing.stdout, "");
    context.run(&["install", "shop:a", "shop:b"]).succeeds();
    context.write("data/release", "2");
    let before = fs::read_to_string(context.bin("a")).unwrap();
    let planned = context.run(&["upgrade", "--dry-run"]).succeeds().records();
    assert_eq!(outcomes(&planned), [["a", "1", "none", "planned"], ["b", "1", "none", "planned"]]);
    assert_eq!(fs::read_to_string(context.bin("a")).unwrap(), before);

    let upgraded = context.run(&["upgrade", "a"]).succeeds();
    assert_eq!(outcomes(&upgraded.records()), [["a", "1", "2", "upgraded"]]);
    assert!(upgraded.stderr.contains("a: 1 -> 2\n"), "{}", upgraded.stderr);
    assert!(upgraded.stderr.contains("\n1 of 1 upgraded in "), "{}", upgraded.stderr);
    let note = "releases of the last 7 days were left out; `--min-release-age 0` allows them";
    assert!(upgraded.stderr.contains(note), "{}", upgraded.stderr);
    // A later install does not resolve the binary again.
    context.run(&["install", "a"]).succeeds().stderr_contains("a is already installed");
    let all = context.run(&["upgrade", "--min-release-age", "0"]).succeeds();
    assert_eq!(outcomes(&all.records()), [["a", "2", "2", "up to date"], ["b", "1", "2", "upgraded"]]);
    assert!(
        all.stderr.contains("a is up to date (2)\n") && !all.stderr.contains("left out"),
        "{}",
        all.stderr
    );
    let table = context.run(&["upgrade", "--format", "table"]).succeeds().stdout;
    assert!(
        table.starts_with(
            "BINARY  STATUS      PREVIOUS  VERSION  PROVIDER\na       up to date  2         2        shop"
        ),
        "{table}"
    );
}

#[test]
fn the_earlier_version_stays_after_a_failed_upgrade() {
    let context = context();
    context.run(&["install", "shop:a", "shop:b"]).succeeds();
    context.write("data/release", "broken");
    let failed = context.run(&["upgrade", "a"]).exits_with(1);
    assert_eq!(outcomes(&failed.records()), [["a", "1", "1", "failed"]]);
    assert!(failed.stderr.contains("shop failed: exit code 1: the shop is closed"), "{}", failed.stderr);
    assert!(failed.stderr.contains("a 1, which shop installed, stays installed"), "{}", failed.stderr);
    assert!(context.linked_file("a").exists());
    assert_eq!(context.run(&["load", "a"]).succeeds().record()["version"], "1");
}

#[test]
fn an_earlier_version_that_the_hook_has_changed_is_not_installed() {
    let context = context();
    context.provider(
        "mine",
        "#!/bin/sh\neval \"$(\"$RIGUP\" hook begin --provider mine -- \"$@\")\"\nprefix=$DATA_DIR/elsewhere\n\
         release=$(cat \"$DATA_DIR/release\")\nmkdir -p \"$prefix\"\nrm -f \"$prefix/$name\"\n\
         [ \"$release\" != gone ] || exit 1\n\
         printf '#!/bin/sh\\necho %s %s\\n' \"$name\" \"$release\" >\"$prefix/$name\"\nchmod +x \"$prefix/$name\"\n\
         \"$RIGUP\" hook binary --provider mine --abspath \"$prefix/$name\" -- \"$@\"\n",
    );
    context.plugin(
        "p",
        &[json!({"type": "Binary", "name": "aa", "binproviders": "mine", "max_version": "1.5"})],
    );
    for (args, release, change) in [
        (&["upgrade"] as &[&str], "2.0", "changed"),
        (&["install", "--force", "aa"], "2.0", "changed"),
        (&["upgrade", "aa"], "gone", "removed"),
    ] {
        context.write("data/release", "1.0");
        context.run(&["install"]).succeeds();
        context.run(&["which", "aa@1.0"]).succeeds();
        context.write("data/release", release);
        let failed = context.run(args).exits_with(1);
        let lost = format!("aa 1.0, which mine installed, is no longer installed: the hook has {change} /");
        assert!(failed.stderr.contains(&lost) && !failed.stderr.contains("stays"), "{}", failed.stderr);
        let record = failed.record();
        assert_eq!([&record["type"], &record["status"], &record["version"]], ["BinaryRequest", "queued", ""]);
        assert_eq!(context.run(&["binary", "show", "aa"]).succeeds().record()["status"], "queued");
        context.run(&["which", "aa@1.0"]).exits_with(1).stderr_contains("aa is not installed (mine ");
        assert!(fs::symlink_metadata(context.bin("aa")).is_err(), "nothing leads to what was not accepted");
    }
    // A file that the hook writes again with the same content is the same file.
    context.write("data/release", "1.0");
    context.run(&["install"]).succeeds();
    let hook = context.path("here/providers/mine/on_BinaryRequest__50_mine.sh");
    let script = fs::read_to_string(&hook).unwrap();
    context.script("here/providers/mine/on_BinaryRequest__50_mine.sh", &(script + "exit 1\n"));
    let failed = context.run(&["upgrade"]).exits_with(1);
    assert!(failed.stderr.contains("aa 1.0, which mine installed, stays installed"), "{}", failed.stderr);
    assert!(context.linked_file("aa").exists());
}

#[test]
fn upgrade_says_what_limits_the_version() {
    let context = context();
    let line = |name: &str, bounds: &[(&str, &str)]| {
        let mut line = json!({"type": "Binary", "name": name, "binproviders": "shop"});
        for (key, value) in bounds {
            line[key] = json!(value);
        }
        line
    };
    let exact = [("min_version", "1"), ("max_version", "1")];
    context.plugin("p", &[line("most", &[("max_version", "1.5")]), line("exact", &exact)]);
    context.run(&["install"]).succeeds();
    context.write("data/release", "2");
    let file = context.path("here/plugins/p/binaries.jsonl");
    let hooks = context.hook_processes().len();
    let output = context.run(&["upgrade"]).succeeds();
    assert_eq!(
        outcomes(&output.records()),
        [["exact", "1", "1", "up to date"], ["most", "1.5", "1.5", "up to date"]]
    );
    let limits = [
        format!("exact is up to date (1); exactly 1 is required ({}:2)\n", file.display()),
        format!("most is up to date (1.5); max_version 1.5 ({}:1)\n", file.display()),
    ];
    assert!(limits.iter().all(|limit| output.stderr.contains(limit)), "{}", output.stderr);
    assert_eq!(context.hook_processes().len(), hooks + 1);
    context.plugin("p", &[line("most", &[]), line("exact", &[])]);
    let to = context.run(&["upgrade", "most@1.7", "exact"]).succeeds().records();
    assert_eq!(outcomes(&to), [["most", "1.5", "1.7", "upgraded"], ["exact", "1", "2", "upgraded"]]);
    context.run(&["install", "shop:one@1"]).succeeds();
    let hint = "(by the request that installed it; for the newest, run `rigup install --force one`)";
    context.run(&["upgrade", "one"]).succeeds().stderr_contains(hint);
    let newest = context.run(&["install", "--force", "one"]).succeeds().record();
    assert_eq!(newest["version"], "2");
    context.plugin("p", &[json!({"type": "Binary", "name": "most", "binproviders": "env"})]);
    let refused = context.run(&["upgrade", "most"]).exits_with(1);
    refused.stderr_contains("its request does not allow shop; run `rigup install most`");
}

#[test]
fn what_another_package_manager_installed_is_upgraded_by_its_command() {
    let mut context = context();
    let tool = context.script("tools/tool", "#!/bin/sh\necho tool 1.2.0\n");
    context.set("PATH", format!("{}:/usr/bin:/bin", tool.parent().unwrap().display()));
    context.run(&["install", "env:tool", "shop:a"]).succeeds();
    let hint = format!("env found it; upgrade {} the way it was installed", tool.display());
    let all = context.run(&["upgrade"]).succeeds();
    assert_eq!(outcomes(&all.records())[1], ["tool", "1.2.0", "1.2.0", "not upgraded"]);
    assert!(all.stderr.contains(&format!("tool is not upgraded: {hint}")), "{}", all.stderr);
    let named = context.run(&["upgrade", "tool", "none"]).exits_with(1);
    assert!(named.stderr.contains(&format!("error: cannot upgrade tool: {hint}")), "{}", named.stderr);
    let none = "error: cannot upgrade none: it is not installed; run `rigup install none`";
    assert!(named.stderr.contains(none), "{}", named.stderr);
    assert_eq!(named.records()[1]["last_error"], "it is not installed; run `rigup install none`");

    let config = json!({"type": "object", "properties": {}, "curated": true, "override_keys": [], "version_format": "={}",
        "package_commands": {"upgrade": "shop-get upgrade", "uninstall": "shop-get remove"}});
    context.write("here/providers/shop/config.json", config.to_string());
    let overrides = json!({"shop": ["b-tools=1", "b-more"]});
    context.plugin(
        "p",
        &[json!({"type": "Binary", "name": "b", "binproviders": "shop", "overrides": overrides})],
    );
    context.run(&["install", "b"]).succeeds();
    let b = context.run(&["upgrade", "b"]).exits_with(1);
    b.stderr_contains("error: cannot upgrade b: shop installed it; run `shop-get upgrade b-tools b-more`");
    let a = context.run(&["upgrade", "a"]).exits_with(1);
    a.stderr_contains("error: cannot upgrade a: shop installed it; run `shop-get upgrade a`");
}

#[test]
fn only_with_lock_are_the_lines_of_the_lock_file_updated() {
    let context = context();
    let line = |name: &str| json!({"type": "Binary", "name": name, "binproviders": "shop"});
    context.plugin("p", &[line("a"), line("b")]);
    context.run(&["lock"]).succeeds();
    let lockfile = context.path("here/rigup.lock");
    let before = fs::read_to_string(&lockfile).unwrap();
    context.write("data/release", "2");
    let hint = "rigup.lock still pins the earlier versions; to update it, run `rigup upgrade --lock a`";
    context.run(&["upgrade", "a"]).succeeds().stderr_contains(hint);
    assert_eq!(fs::read_to_string(&lockfile).unwrap(), before);
    context.run(&["install", "shop:c"]).succeeds();
    let locked = context.run(&["upgrade", "--lock"]).succeeds();
    assert!(locked.stderr.contains("rigup.lock: a: version 1 -> 2"), "{}", locked.stderr);
    assert!(locked.stderr.contains("rigup.lock: b: version 1 -> 2"), "{}", locked.stderr);
    assert!(!fs::read_to_string(&lockfile).unwrap().contains("\"c\""));
    context.run(&["lock", "--check"]).succeeds();
    fs::remove_file(&lockfile).unwrap();
    context.run(&["upgrade", "--lock", "a"]).exits_with(3).stderr_contains("run `rigup lock` to create it");
}

#[test]
fn upgrade_replaces_no_file_in_the_place_of_its_link() {
    let mut context = context();
    context.set("LIB_BIN_DIR", context.path("bin"));
    context.run(&["install", "shop:a"]).succeeds();
    fs::remove_file(context.path("bin/a")).unwrap();
    let mine = context.write("bin/a", "mine");
    context.write("data/release", "2");
    let output = context.run(&["upgrade", "a"]).exits_with(1);
    assert_eq!(outcomes(&output.records()), [["a", "1", "2", "upgraded"]]);
    output.stderr_contains("--force replaces it");
    assert_eq!(fs::read_to_string(mine).unwrap(), "mine");
}

/// A provider that changes its prefix, and then exits with the code in the file `broken`, if there is one.
const IN_PLACE: &str = r#"#!/bin/sh
eval "$("$RIGUP" hook begin --provider mine -- "$@")"
mkdir -p "$prefix"
rm -f "$prefix/$name" "$prefix/data"
release=${exact_version:-$(cat "$DATA_DIR/release")}
printf '#!/bin/sh\necho %s %s\n' "$name" "$release" >"$prefix/$name"
chmod +x "$prefix/$name"
echo "$release" >"$prefix/data"
[ ! -e "$DATA_DIR/broken" ] || exit "$(cat "$DATA_DIR/broken")"
"$RIGUP" hook binary --provider mine --abspath "$prefix/$name" -- "$@"
"#;

#[test]
fn upgrade_does_not_replace_a_version_with_an_older_one() {
    let context = context();
    context.provider("mine", IN_PLACE);
    context.write("data/release", "2.0");
    context.plugin("p", &[json!({"type": "Binary", "name": "a", "binproviders": "shop"})]);
    context.run(&["lock"]).succeeds();
    context.run(&["install", "mine:b"]).succeeds();
    let lockfile = fs::read_to_string(context.path("here/rigup.lock")).unwrap();
    context.write("data/release", "1.9");
    let held = context.run(&["upgrade", "--lock"]).succeeds();
    assert_eq!(
        outcomes(&held.records()),
        [["a", "2.0", "2.0", "held back"], ["b", "2.0", "2.0", "held back"]]
    );
    for (name, record) in ["a", "b"].iter().zip(held.records()) {
        let reason =
            format!("version 1.9 is older than the installed 2.0; `rigup upgrade {name}@1.9` installs it");
        assert!(held.stderr.contains(&format!("{name} is held back (2.0): {reason}\n")), "{}", held.stderr);
        assert_eq!([&record["type"], &record["reason"]], ["Binary", &*reason]);
        assert_eq!([&record["attempt_count"], &record["num_uses_failed"]], [0, 0]);
        assert!(fs::read_to_string(context.linked_file(name)).unwrap().contains("2.0"));
    }
    assert!(held.stderr.contains("\n0 of 2 upgraded in "), "{}", held.stderr);
    assert_eq!(fs::read_to_string(context.path("here/rigup.lock")).unwrap(), lockfile);
    context.run(&["install"]).succeeds().stderr_contains("a is already installed");
    assert_eq!(
        context.processes().iter().filter(|process| process["exit_code"] == 1).count(),
        2,
        "the hooks"
    );

    context
        .plugin("p", &[json!({"type": "Binary", "name": "a", "binproviders": "shop", "max_version": "1.5"})]);
    let asked = context.run(&["upgrade", "a", "b@1.9"]).succeeds().records();
    assert_eq!(outcomes(&asked), [["a", "2.0", "1.5", "downgraded"], ["b", "2.0", "1.9", "downgraded"]]);
}

#[test]
fn a_prefix_that_a_failed_hook_has_changed_is_restored() {
    let context = context();
    context.provider("mine", IN_PLACE);
    context.run(&["install", "mine:b"]).succeeds();
    let data = || fs::read_to_string(context.linked_file("b").with_file_name("data")).unwrap();
    context.write("data/release", "2");
    for (args, code) in [
        (&["upgrade"][..], "1"),
        (&["install", "--force", "b"], "1"),
        (&["install", "b", "--min-version", "2"], "1"),
        (&["upgrade"], "10"),
        (&["upgrade"], "0"),
    ] {
        context.write("data/broken", code);
        let failed = context.run(args).exits_with(1);
        assert!(failed.stderr.contains("b 1, which mine installed, stays installed"), "{}", failed.stderr);
        assert_eq!(data(), "1\n");
        assert_eq!(context.run(&["load", "b"]).succeeds().record()["version"], "1");
    }
    fs::remove_file(context.path("data/broken")).unwrap();
    assert_eq!(outcomes(&context.run(&["upgrade"]).succeeds().records()), [["b", "1", "2", "upgraded"]]);
    assert_eq!(data(), "2\n");
}

#[test]
fn a_named_version_replaces_that_of_the_stored_request() {
    let context = context();
    context.run(&["install", "shop:a@1.0"]).succeeds();
    context.write("data/release", "3");
    let held = context.run(&["upgrade", "a"]).succeeds();
    let next = "exactly 1.0 is required (by the request that installed it; for the newest, run `rigup install --force a`)";
    assert_eq!(held.record()["reason"], next);
    let upgraded = context.run(&["upgrade", "a@2"]).succeeds();
    assert_eq!(outcomes(&upgraded.records()), [["a", "1.0", "2", "upgraded"]]);
    let stored = context.run(&["binary", "show", "a"]).succeeds().record();
    assert_eq!([&stored["min_version"], &stored["max_version"]], ["2", "2"]);
    let older = context.run(&["upgrade", "shop:a@1.0"]).succeeds();
    assert_eq!(outcomes(&older.records()), [["a", "2", "1.0", "downgraded"]]);
    older.stderr_contains("a: 2 -> 1.0 (older)").stderr_contains("0 of 1 upgraded, 1 downgraded in ");

    context
        .plugin("p", &[json!({"type": "Binary", "name": "a", "binproviders": "shop", "max_version": "1.5"})]);
    let limited = context.run(&["upgrade", "a@2"]).exits_with(1);
    assert!(limited.stderr.contains("no version satisfies both <= 1.5 ("), "{}", limited.stderr);
}
