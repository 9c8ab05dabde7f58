//! `rigup why`: which plugins require a binary, how it was installed, or why it is not.

use serde_json::{Value, json};

use crate::test_context::TestContext;

/// Returns the providers and outcomes of an explanation's attempts.
fn attempts(record: &Value) -> Vec<[&str; 2]> {
    let attempts = record["attempts"].as_array().unwrap().iter();
    attempts.map(|attempt| ["provider", "outcome"].map(|key| attempt[key].as_str().unwrap())).collect()
}

#[test]
fn why_names_the_requirements_and_the_attempts_of_the_last_command() {
    let context = TestContext::new();
    context.fixture("good").fixture("failing");
    let requirement = json!({"type": "Binary", "name": "two", "binproviders": "failing,env"});
    context.plugin("a", &[requirement]);
    context.plugin("b", &[json!({"type": "Binary", "name": "two", "min_version": "9"})]);
    context.run(&["install", "two", "--binproviders", "env"]).exits_with(1);
    context.run(&["install"]).exits_with(1);
    let record = context.run(&["why", "two"]).succeeds().record();
    let source =
        |plugin| format!("{}:1", context.path(&format!("here/plugins/{plugin}/binaries.jsonl")).display());
    let required_by = json!([
        {"plugin": "a", "source": source("a"), "binproviders": "failing,env", "min_version": "", "max_version": ""},
        {"plugin": "b", "source": source("b"), "binproviders": "", "min_version": "9", "max_version": ""},
    ]);
    assert_eq!(record["required_by"], required_by);
    assert_eq!((&record["type"], &record["status"]), (&json!("Explanation"), &json!("queued")));
    assert_eq!(record["candidates"], json!(["failing", "env"]));
    assert_eq!(attempts(&record), [["failing", "failed"], ["env", "declined"]]);
    assert_eq!(record["command"], "rigup install", "not the earlier command");
    let table = context.run(&["why", "two", "--format", "table"]).succeeds().stdout;
    let id = record["attempts"][0]["process_id"].as_str().unwrap();
    let log = format!("rigup process logs {}", &id[id.len() - 8..]);
    for part in
        ["two is not installed: it failed once", "failing,env", "curated providers", &source("b"), &log]
    {
        assert!(table.contains(part), "`{part}` is not in\n{table}");
    }
}

#[test]
fn why_says_how_an_installed_binary_came() {
    let context = TestContext::new();
    context.fixture("good");
    context.run(&["install", "one", "--binproviders", "env,good"]).succeeds();
    let record = context.run(&["why", "one"]).succeeds().record();
    assert_eq!(attempts(&record), [["env", "declined"], ["good", "installed"]]);
    assert_eq!([&record["binprovider"], &record["version"]], ["good", "2.0.1"]);
    let explain = |name| context.run(&["why", name, "--format", "table"]).succeeds().stdout;
    let text = explain("one");
    let file = context.linked_file("one");
    for part in [
        format!("one 2.0.1 is installed: good installed it at {}\n", file.display()),
        "no plugin requires it; it was requested by name\n".to_owned(),
        "by `rigup install one --binproviders env,good`\n".to_owned(),
    ] {
        assert!(text.contains(&part), "`{part}` is not in\n{text}");
    }
    context.plugin("a", &[json!({"type": "Binary", "name": "one", "min_version": "3"})]);
    let changed = "`rigup install one` resolves it again: its version is not >= 3\n";
    assert!(explain("one").contains(changed), "{}", explain("one"));
    let path = file.to_str().unwrap();
    context.run(&["binary", "create", "--name", "made", "--abspath", path]).succeeds();
    assert!(explain("made").contains("its record came without a request"), "{}", explain("made"));
    std::fs::remove_file(context.bin("made")).unwrap();
    let unlinked = "it cannot be run: it is not linked; run `rigup install made`\n";
    assert!(explain("made").contains(unlinked), "{}", explain("made"));
}

#[test]
fn why_works_before_anything_is_installed_and_creates_nothing() {
    let context = TestContext::new();
    context.plugin("a", &[json!({"type": "Binary", "name": "jq", "binproviders": "env,apt"})]);
    let record = context.run(&["why", "jq"]).succeeds().record();
    assert_eq!([&record["status"], &record["candidates"]], [&json!("missing"), &json!(["env", "apt"])]);
    let text = context.run(&["why", "jq", "--format", "table"]).succeeds().stdout;
    let state = "jq is not installed: it was never requested; `rigup install jq` tries env, apt\n";
    assert!(text.starts_with(state), "{text}");
    context.plugin("b", &[json!({"type": "Binary", "name": "jq", "binproviders": "brew"})]);
    let text = context.run(&["why", "jq", "--format", "table"]).succeeds().stdout;
    let conflict = "`rigup install jq` cannot install it: no provider is in both env,apt (";
    assert!(text.contains(conflict) && text.contains("b/binaries.jsonl:1"), "{text}");
    let provider = context.run(&["why", "node"]).succeeds().record();
    assert_eq!(provider["required_by"][0]["plugin"], "npm", "a provider requires it");
    assert!(!context.path("data").exists());
}

#[test]
fn why_suggests_a_known_name_for_an_unknown_one() {
    let context = TestContext::new();
    context.fixture("good").plugin("a", &[json!({"type": "Binary", "name": "yt-dlp"})]);
    let unknown = |name| context.run(&["why", name]).exits_with(1).stderr;
    let error =
        "error: no plugin requires ytdlp, and it was never requested; did you mean `rigup why yt-dlp`?\n";
    assert_eq!(unknown("ytdlp"), error);
    assert!(unknown("gallerydl").contains("; `rigup list` and `rigup plugin list` show the names"));
    context.run(&["install", "gallery-dl", "--binproviders", "good"]).succeeds();
    assert!(unknown("gallerydl").contains("did you mean `rigup why gallery-dl`?"));
    context.run(&["why", "../x"]).exits_with(2);
}

#[test]
fn why_names_the_requirements_of_plugins_that_are_not_enabled() {
    let mut context = TestContext::new();
    let requirement =
        json!({"type": "Binary", "name": "jq", "binproviders": "env,apt", "min_version": "1.5"});
    context.plugin("off", std::slice::from_ref(&requirement)).plugin("other", &[requirement]);
    context.write("here/plugins/off/config.json", json!({"required_binaries": [{"name": "jq"}]}).to_string());
    context.set("OFF_ENABLED", "false").set("PLUGINS", "on").plugin("on", &[]);
    let record = context.run(&["why", "jq"]).succeeds().record();
    let disabled: Vec<[&str; 3]> = record["disabled"]
        .as_array()
        .unwrap()
        .iter()
        .map(|found| ["plugin", "reason", "min_version"].map(|key| found[key].as_str().unwrap()))
        .collect();
    let is_off = "is disabled because OFF_ENABLED is false (the variable OFF_ENABLED)";
    let expected = [["off", is_off, "1.5"], ["off", is_off, ""], ["other", "is not selected", "1.5"]];
    assert_eq!((&record["required_by"], &*disabled), (&json!([]), &expected[..]));
    let text = context.run(&["why", "jq", "--format", "table"]).succeeds().stdout;
    let source = context.path("here/plugins/other/binaries.jsonl:1");
    for line in [
        "no enabled plugin requires it\n".to_owned(),
        format!("the plugin other would require it ({}), but is not selected\n", source.display()),
    ] {
        assert!(text.contains(&line), "`{line}` is not in\n{text}");
    }
    context.unset("PLUGINS").unset("OFF_ENABLED");
    let record = context.run(&["why", "jq"]).succeeds().record();
    assert_eq!((record["required_by"].as_array().unwrap().len(), &record["disabled"]), (3, &json!([])));
    context.run(&["why", "nosuch"]).exits_with(1);
}
