//! `rigup list`: the binaries of this machine.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};

use crate::test_context::TestContext;

/// A provider that installs a program and a file of 1,000 bytes into its prefix.
const PROVIDER: &str = r#"#!/bin/sh
set -eu
eval "$("$RIGUP" hook begin --provider p -- "$@")"
mkdir -p "$prefix"
printf '#!/bin/sh\necho 1.0.0\n' >"$prefix/$name"
chmod +x "$prefix/$name"
head -c 1000 /dev/zero >"$prefix/data"
"$RIGUP" hook binary --provider p --abspath "$prefix/$name" -- "$@"
"#;

/// Returns the fields that `list` adds, and the name and the status.
fn added(record: &Value) -> Value {
    json!([record["name"], record["status"], record["bytes"], record["required_by"]])
}

#[test]
fn list_shows_what_is_installed_or_failed_and_who_requires_it() {
    let mut context = TestContext::new();
    let tool = context.script("tools/tool", "#!/bin/sh\necho 3.0.0\n");
    context.set("PATH", format!("{}:/usr/bin:/bin", tool.parent().unwrap().display()));
    context.provider("p", PROVIDER);
    context.plugin("a", &[json!({"type": "Binary", "name": "one", "binproviders": "p"})]);
    context.plugin(
        "b",
        &[
            json!({"type": "Binary", "name": "one", "binproviders": "p"}),
            json!({"type": "Binary", "name": "nosuch", "binproviders": "env"}),
        ],
    );
    context.run(&["install"]).exits_with(1);
    context.run(&["install", "tool", "--binproviders", "env"]).succeeds();
    let prefix = ["one", "data"].map(|file| {
        let path = context.linked_file("one").with_file_name(file);
        fs::metadata(path).unwrap().len()
    });
    let records = context.run(&["list"]).succeeds().records();
    let expected = [
        json!(["nosuch", "queued", null, ["b"]]),
        json!(["one", "installed", prefix[0] + prefix[1], ["a", "b"]]),
        json!(["tool", "installed", fs::metadata(&tool).unwrap().len(), []]),
    ];
    assert_eq!(records.iter().map(added).collect::<Vec<_>>(), expected);
    assert_eq!(records[0]["attempts"][0]["outcome"], "declined");
    let mut stored = context.run(&["binary", "list"]).succeeds().records();
    for (record, stored) in records.iter().zip(&mut stored) {
        for key in ["bytes", "required_by"] {
            stored[key] = record[key].clone();
        }
    }
    assert_eq!(records, stored, "they are the records of `binary list` with two more fields");
    let table = context.run(&["list", "--format", "table"]).succeeds().stdout;
    let rows: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[1][..5], ["nosuch", "queued", "env", "b", "env"], "the last error follows the plugins");
    assert_eq!(rows[2], ["one", "installed", "1.0.0", "p", "1021", "B", "a,", "b"]);
}

#[test]
fn list_says_why_an_installed_binary_cannot_be_run() {
    let context = TestContext::new();
    context.provider("p", PROVIDER);
    context.run(&["install", "one", "two", "--binproviders", "p"]).succeeds();
    fs::remove_file(context.bin("one")).unwrap();
    let gone = context.linked_file("two");
    fs::remove_file(&gone).unwrap();
    let records = context.run(&["list"]).succeeds().records();
    let errors: Vec<&str> = records.iter().map(|record| record["link_error"].as_str().unwrap()).collect();
    let gone = format!("{} is gone; run `rigup install two`", gone.display());
    assert_eq!(errors, ["it is not linked; run `rigup install one`", &gone]);

    context.write(context.bin("one").strip_prefix(context.path("")).unwrap().to_str().unwrap(), "mine");
    context.run(&["install", "two", "--binproviders", "p"]).succeeds();
    fs::set_permissions(context.linked_file("two"), fs::Permissions::from_mode(0o644)).unwrap();
    let records = context.run(&["list"]).succeeds().records();
    let error = |index: usize| records[index]["link_error"].as_str().unwrap();
    assert!(error(0).contains("/one; run `rigup install --force one`"), "{}", error(0));
    assert!(error(1).contains("two/two has no exec bit; run `chmod +x "), "{}", error(1));
    let levels = context.run(&["doctor"]).exits_with(1).records();
    assert_eq!(levels.iter().filter(|finding| finding["check"] == "links").count(), 2);
    context.run(&["install", "--force", "one", "--binproviders", "p"]).succeeds();
    assert_eq!(context.run(&["list"]).succeeds().records()[0].get("link_error"), None);
}

#[test]
fn list_creates_no_data_dir_and_names_a_plugin_that_cannot_be_read() {
    let context = TestContext::new();
    assert_eq!(context.run(&["list"]).succeeds().stdout, "");
    context.run(&["list", "--format", "table"]).succeeds().stderr_contains("no binaries");
    context.write("here/plugins/a/binaries.jsonl", "{\n");
    context.run(&["list"]).exits_with(1).stderr_contains("binaries.jsonl:1: not a JSON object");
    assert!(!context.path("data").exists());
}

#[test]
fn a_file_that_changed_after_its_install_is_the_same_problem_everywhere() {
    let context = TestContext::new();
    context.provider("p", PROVIDER);
    context.plugin("a", &[json!({"type": "Binary", "name": "one", "binproviders": "p"})]);
    context.run(&["install"]).succeeds();
    let file = context.linked_file("one");
    let installed = fs::read(&file).unwrap();
    fs::write(&file, [&installed[..], b"# more\n"].concat()).unwrap();
    let changed = format!("{} has changed since it was installed", file.display());
    let next = "; run `rigup install one`";
    let load = context.run(&["load"]).exits_with(1);
    assert_eq!(load.record()["last_error"], *changed);
    load.stderr_contains(&format!("error: cannot load one: {changed}{next}\n"));
    assert_eq!(context.run(&["why", "one"]).succeeds().record()["problem"], *changed);
    let problem = || context.run(&["list"]).succeeds().record().get("problem").cloned();
    assert_eq!(problem(), Some(json!(format!("{changed}{next}"))));
    let table = context.run(&["list", "--format", "table"]).succeeds().stdout;
    assert!(table.lines().nth(1).unwrap().starts_with("one     changed "), "{table}");
    let finding = context.run(&["doctor"]).exits_with(1).records().swap_remove(0);
    let fields = ["check", "message", "fix"].map(|key| finding[key].as_str().unwrap());
    assert_eq!(fields, ["links", &changed, "run `rigup install one`"]);

    // With the same bytes, it is the file that was installed.
    fs::write(&file, &installed).unwrap();
    assert_eq!(
        [problem(), context.run(&["why", "one"]).record().get("problem").cloned()],
        [None, Some(json!(null))]
    );
    context.run(&["load"]).succeeds();

    fs::remove_file(&file).unwrap();
    let gone = format!("{} is gone", file.display());
    let load = context.run(&["load"]).exits_with(1);
    assert_eq!(load.record()["last_error"], *gone);
    load.stderr_contains(&format!("error: cannot load one: {gone}{next}\n"));
    assert_eq!(context.run(&["why", "one"]).succeeds().record()["problem"], *gone);
    let text = context.run(&["why", "one", "--format", "table"]).succeeds().stdout;
    assert_eq!(text.matches("is gone").count(), 1, "it is said once:\n{text}");
    context.run(&["install"]).succeeds();
    context.run(&["load"]).succeeds();
}
