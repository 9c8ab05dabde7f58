//! `rigup doctor`: what keeps rigup, or the programs that it installed, from working.

use std::fs;
use std::io::Read;
use std::os::unix::fs::{PermissionsExt, symlink};

use serde_json::{Value, json};

use crate::pty::start_on_pty;
use crate::test_context::TestContext;

/// A program that prints a version.
const TOOL: &str = "#!/bin/sh\necho 1.0.0\n";

impl TestContext {
    /// Puts folders in front of a PATH without any package manager but those of Debian.
    fn set_path(&mut self, folders: &[&std::path::Path]) {
        let system = ["/usr/bin", "/bin"].map(std::path::Path::new);
        let path = std::env::join_paths(folders.iter().chain(&system)).unwrap();
        self.set("PATH", path);
    }

    /// Runs `rigup doctor`, and returns the findings of a check as level, message and fix.
    fn findings(&self, check: &str, code: i32) -> Vec<[String; 3]> {
        let records = self.run(&["doctor"]).exits_with(code).records();
        assert!(records.iter().all(|record| record["type"] == "Finding"), "{records:?}");
        let of_check = records.iter().filter(|record| record["check"] == check);
        let text = |record: &Value, key: &str| record[key].as_str().unwrap().to_owned();
        of_check.map(|record| ["level", "message", "fix"].map(|key| text(record, key))).collect()
    }
}

#[test]
fn doctor_finds_no_fault_without_a_data_dir_and_creates_none() {
    let mut context = TestContext::new();
    let folder = context.bin("x").parent().unwrap().to_owned();
    context.set_path(&[&folder]);
    let records = context.run(&["doctor"]).succeeds().records();
    assert!(records.iter().all(|record| record["level"] == "note"), "{records:?}");
    assert!(!context.path("data").exists());
    context.set("CI", "true").unset("RIGUP_DATA_DIR");
    let [note] = &*context.findings("ci", 0) else { panic!("a default data dir in CI is a note") };
    assert_eq!(
        (&*note[0], &*note[2]),
        ("note", "keep it in the cache of the CI, or set RIGUP_DATA_DIR to a folder that is kept")
    );
}

#[test]
fn doctor_finds_a_folder_that_is_not_on_path_and_a_program_before_it() {
    let mut context = TestContext::new();
    let tool = context.script("tools/tool", TOOL);
    let other = context.script("other/tool", TOOL);
    let [tools, others] = [&tool, &other].map(|path| path.parent().unwrap());
    context.set_path(&[tools]);
    context.run(&["install", "tool", "--binproviders", "env"]).succeeds();
    let folder = context.bin("x").parent().unwrap().to_owned();
    let missing = context.findings("path", 0);
    assert_eq!(
        missing[0][1],
        format!("{} is not on PATH, so installed programs are not found", folder.display())
    );
    assert!(missing[0][2].starts_with("eval \"$(rigup env)\","), "{missing:?}");
    context.set_path(&[others, &folder]);
    let message = format!("{} comes before {} on PATH", other.display(), context.bin("tool").display());
    let fix = format!("put {} before {} on PATH", folder.display(), others.display());
    assert_eq!(context.findings("path", 0), [["warning".to_owned(), message, fix]]);
    context.set_path(&[tools, &folder]);
    assert!(context.findings("path", 0).is_empty(), "it is the same program");
}

#[test]
fn the_fix_for_the_link_of_another_binary_works() {
    let mut context = TestContext::new();
    let [first, second] = ["one/tool", "two/tool"].map(|name| context.script(name, TOOL));
    context.set_path(&[second.parent().unwrap()]);
    context.run(&["install", &first.display().to_string()]).succeeds();
    context.run(&["install", "env:tool"]).exits_with(1).stderr_contains("--force replaces it");
    let link = context.bin("tool").display().to_string();
    let message = format!("tool is recorded, but it is not linked, because {link} leads to another program");
    assert_eq!(
        context.findings("links", 1),
        [["fault".to_owned(), message, "run `rigup install --force tool`".to_owned()]]
    );
    context.run(&["install", "--force", "tool"]).succeeds();
    assert_eq!(context.linked_file("tool"), second);
}

#[test]
fn doctor_finds_links_that_lead_nowhere() {
    let mut context = TestContext::new();
    let [kept, gone] = ["kept", "gone"].map(|name| context.script(&format!("tools/{name}"), TOOL));
    context.set_path(&[kept.parent().unwrap()]);
    context.run(&["install", "kept", "gone", "--binproviders", "env"]).succeeds();
    fs::remove_file(context.bin("kept")).unwrap();
    fs::remove_file(&gone).unwrap();
    symlink("/nowhere", context.bin("foreign")).unwrap();
    let findings = context.findings("links", 1);
    let dangles = context.bin("foreign").display().to_string();
    let expected = [
        [format!("gone is recorded, but {} is gone", gone.display()), "run `rigup install gone`".to_owned()],
        ["kept is recorded, but it is not linked".to_owned(), "run `rigup install kept`".to_owned()],
        [format!("{dangles} dangles: /nowhere is gone"), format!("run `rm {dangles}`")],
    ];
    assert_eq!(findings, expected.map(|[message, fix]| ["fault".to_owned(), message, fix]));
    context.run(&["binary", "delete", "--yes", "kept"]).succeeds();
    context.run(&["binary", "delete", "--yes", "gone"]).succeeds();
    fs::remove_file(context.bin("foreign")).unwrap();
    assert!(context.findings("links", 0).is_empty());
}

#[test]
fn doctor_finds_what_install_would_refuse() {
    let context = TestContext::new();
    context.plugin("open", &[json!({"type": "Binary", "name": "sh"})]);
    let plugin = context.path("here/plugins/open");
    fs::set_permissions(&plugin, fs::Permissions::from_mode(0o777)).unwrap();
    let [finding] = &*context.findings("trust", 1) else { panic!("the plugin is untrusted") };
    assert_eq!(finding[1], format!("{}: others can write to it (mode 0777)", plugin.display()));
    assert!(finding[2].starts_with("fix it with `chmod -R o-w "), "{finding:?}");
    fs::set_permissions(&plugin, fs::Permissions::from_mode(0o755)).unwrap();
    context.write("here/plugins/open/binaries.jsonl", "{\n");
    assert!(context.findings("plugins", 1)[0][1].contains("binaries.jsonl:1: not a JSON object"));
    context.write("here/plugins/open/binaries.jsonl", "");
    context.write("here/rigup.toml", "PLUGINS = [");
    let [finding] = &*context.findings("settings", 1) else { panic!("the file is not TOML") };
    assert!(finding[1].contains("rigup.toml: not TOML: line 1"), "{finding:?}");
    assert_eq!(context.run(&["doctor"]).stderr, "", "a finding is no message, too");
    fs::remove_file(context.path("here/rigup.toml")).unwrap();
    fs::create_dir(context.path("data")).unwrap();
    fs::set_permissions(context.path("data"), fs::Permissions::from_mode(0o777)).unwrap();
    assert!(context.findings("trust", 1)[0][1].contains("others can write to it"));
}

#[test]
fn each_finding_of_a_file_that_cannot_be_used_has_its_fix() {
    let context = TestContext::new();
    let lines = context.write("here/plugins/p/binaries.jsonl", "{\"type\":\"Binary\",\"name\":\"sh\"}\n{x\n");
    let config = context.write("here/plugins/q/config.json", "{");
    context.write("here/rigup.lock", "x\n");
    let env = context.write("home/.config/abx/config.env", "A=1\n");
    fs::set_permissions(&env, fs::Permissions::from_mode(0o666)).unwrap();
    let fixes = |check| context.findings(check, 1).into_iter().map(|[_, _, fix]| fix).collect::<Vec<_>>();
    let plugins = fixes("plugins");
    for fix in [format!("correct line 2 of {}", lines.display()), format!("correct {}", config.display())] {
        assert!(plugins.contains(&fix), "{plugins:?}");
    }
    assert_eq!(fixes("lock"), ["restore it, or remove the file and run `rigup lock`"]);
    assert!(fixes("settings")[0].starts_with("fix it with `chmod "), "{:?}", fixes("settings"));
    context.write("here/rigup.toml", "= [");
    context.write("home/.config/abx/config.env", "A\n");
    let records = context.run(&["doctor"]).exits_with(1).records();
    assert!(records.iter().all(|record| record["fix"] != ""), "{records:?}");
}

#[test]
fn doctor_finds_a_damaged_store_and_its_fix_repairs_it() {
    let context = TestContext::new();
    context.run(&["install", "sh", "--binproviders", "env"]).succeeds();
    let store = context.path("data/rigup.sqlite3");
    fs::write(&store, "not a database").unwrap();
    let findings = context.findings("store", 1);
    assert!(findings[0][2].starts_with("run `rigup process gc`"), "{findings:?}");
    assert_eq!(fs::read(&store).unwrap(), b"not a database", "it changes nothing");
    context.run(&["process", "gc"]).succeeds();
    assert!(context.findings("store", 0).is_empty());
}

#[test]
fn doctor_finds_a_missing_store_and_its_fix_restores_it() {
    let context = TestContext::new();
    context.run(&["install", "sh", "--binproviders", "env"]).succeeds();
    let store = context.path("data/rigup.sqlite3");
    fs::remove_file(&store).unwrap();
    let [finding] = &*context.findings("store", 1) else { panic!("the store is missing") };
    assert!(
        finding[1].ends_with("is missing or empty, so only records from the run dirs are known"),
        "{finding:?}"
    );
    assert!(finding[2].starts_with("`rigup process gc` restores them"), "{finding:?}");
    assert!(!store.exists(), "it changes nothing");
    context.run(&["process", "gc"]).succeeds();
    assert!(context.findings("store", 0).is_empty());
}

#[test]
fn doctor_finds_a_temporary_folder_that_cannot_be_used() {
    let mut context = TestContext::new();
    context.set("TMPDIR", context.path("none"));
    let [finding] = &*context.findings("temp", 0) else { panic!("TMPDIR does not exist") };
    assert_eq!(finding[0], "warning");
    assert!(finding[1].ends_with("is not a writable folder, so /tmp is used instead"), "{finding:?}");
    assert_eq!(finding[2], "set TMPDIR to a folder that you can write to");
    context.fixture("good").run(&["install", "x", "--binproviders", "good"]).succeeds();
    let hook = "providers/good/on_BinaryRequest__50_good.sh";
    context.run(&["hook", "test", hook, "--only", "starts"]).succeeds();
}

#[test]
fn doctor_notes_what_a_provider_lacks_by_its_own_config() {
    let context = TestContext::new();
    let hook = "#!/bin/sh\neval \"$(\"$RIGUP\" hook begin --provider p -- \"$@\")\"\nneeds nosuch\n";
    let config = |needs: &Value| json!({"type": "object", "needs": needs, "needs_check": "echo 'p is old; update it'"});
    context
        .provider("p", hook)
        .write("here/providers/p/config.json", config(&json!({"nosuch": "buy it"})).to_string());
    let of_p = || {
        let mut findings = context.findings("providers", 0);
        findings.retain(|finding| finding[1].starts_with("p: "));
        findings
    };
    let note = |message: &str, fix: &str| [["note", message, fix].map(str::to_owned)];
    assert_eq!(of_p(), note("p: nosuch is not on PATH", "buy it"));
    let install = context.run(&["install", "x", "--binproviders", "p"]).exits_with(1);
    assert!(install.stderr.contains("p declined: nosuch is not on PATH; buy it"), "{}", install.stderr);
    context.write("here/providers/p/config.json", config(&json!({"sh": ""})).to_string());
    assert_eq!(of_p(), note("p: p is old", "update it"));
    let [brew] = &*context
        .findings("providers", 0)
        .into_iter()
        .filter(|finding| finding[1].starts_with("brew: "))
        .collect::<Vec<_>>()
    else {
        panic!("Homebrew is not on PATH")
    };
    assert_eq!(brew[2], "install Homebrew from https://brew.sh");
}

#[test]
fn doctor_notes_that_npm_has_neither_npm_nor_a_bun_that_can_replace_it() {
    let mut context = TestContext::new();
    let tools = context.path("tools");
    context.script("tools/node", TOOL);
    context.set("PATH", &tools);
    let of_npm = |context: &TestContext| {
        let findings = context.findings("providers", 0);
        findings.into_iter().map(|[_, message, _]| message).find(|message| message.starts_with("npm: "))
    };
    let missing = Some("npm: neither npm nor bun 1.3 or later is on PATH".to_owned());
    assert_eq!(of_npm(&context), missing);
    let bun = context.script("tools/bun", "#!/bin/sh\necho 1.2.9\n");
    assert_eq!(of_npm(&context), missing);
    context.script("tools/bun", "#!/bin/sh\necho 1.3.0\n");
    assert_eq!(of_npm(&context), None);
    fs::remove_file(bun).unwrap();
    context.script("tools/npm", TOOL);
    assert_eq!(of_npm(&context), None);
}

#[test]
fn doctor_finds_a_lock_file_that_check_would_reject() {
    let context = TestContext::new();
    context.fixture("good").plugin("a", &[json!({"type": "Binary", "name": "one", "binproviders": "good"})]);
    context.run(&["lock"]).succeeds();
    assert!(context.findings("lock", 0).is_empty());
    context.plugin("b", &[json!({"type": "Binary", "name": "two", "binproviders": "good"})]);
    let [finding] = &*context.findings("lock", 0) else { panic!("two has no line") };
    assert_eq!(finding[..2], ["warning", "rigup.lock is not up to date: two"]);
    context.run(&["lock"]).succeeds();
    assert!(context.findings("lock", 0).is_empty());
    context.write("here/rigup.lock", "{");
    assert!(context.findings("lock", 1)[0][1].contains("rigup.lock"));
}

#[test]
fn a_narrow_terminal_does_not_break_the_fix_of_a_finding() {
    let mut context = TestContext::new();
    context.plugin("open", &[json!({"type": "Binary", "name": "sh"})]);
    fs::set_permissions(context.path("here/plugins/open"), fs::Permissions::from_mode(0o777)).unwrap();
    let findings = context.run(&["doctor"]).exits_with(1).records();
    for columns in [40, 60, 120, 1000] {
        let words = [env!("CARGO_BIN_EXE_rigup"), "doctor", "--color", "never"];
        let (mut terminal, mut doctor) = start_on_pty(&mut context, &words, columns);
        let mut shown = Vec::new();
        // Reading from a terminal that no process has open any more fails.
        let _ = terminal.read_to_end(&mut shown);
        assert_eq!(doctor.wait().unwrap().code(), Some(1));
        let shown = String::from_utf8(shown).unwrap();
        assert_eq!(shown.starts_with("LEVEL "), columns == 1000, "{columns}: {shown}");
        for finding in &findings {
            let fix = finding["fix"].as_str().unwrap();
            assert!(shown.lines().any(|line| line.ends_with(fix)), "{columns}: {fix}: {shown}");
        }
    }
}

#[test]
fn doctor_finds_values_of_settings_that_cannot_be_used() {
    let mut context = TestContext::new();
    let number = json!({"type": "object", "properties": {"Q_N": {"type": "integer", "default": 1}}});
    context.write("here/plugins/q/config.json", number.to_string());
    context.write("here/rigup.toml", "Q_N = \"x\"\n");
    let found = |context: &TestContext, code: i32, text: &str| {
        assert!(context.findings("plugins", code).is_empty());
        let findings = context.findings("settings", code);
        assert!(findings.len() == 1 && findings[0][1].contains(text), "{findings:?}");
        findings[0][0].clone()
    };
    assert_eq!(found(&context, 0, "cannot use Q_N in "), "warning");
    context.write("here/rigup.toml", "MIN_RELEASE_AGE = \"x\"\n");
    assert_eq!(found(&context, 1, "cannot use MIN_RELEASE_AGE in "), "fault");
    context.write("here/rigup.toml", "MIN_RELEASE_AG = 3\n");
    assert_eq!(found(&context, 1, "unknown setting MIN_RELEASE_AG"), "fault");
    context.write("here/rigup.toml", "");
    context.set("RIGUP_CI", "zz");
    assert_eq!(found(&context, 1, "cannot use RIGUP_CI=zz: set it to one of auto, "), "fault");
    context.run(&["install"]).exits_with(2);
}

#[test]
fn doctor_finds_a_temporary_folder_in_which_nothing_can_be_created() {
    let mut context = TestContext::new();
    context.fixture("good");
    // Its mode lets root write.
    context.set("TMPDIR", "/proc");
    let findings = context.findings("temp", i32::from(nix::unistd::geteuid().is_root()));
    let install = context.run(&["install", "x", "--binproviders", "good"]);
    if findings[0][0] == "fault" {
        assert!(findings[0][1].starts_with("cannot create a folder for temporary files in /proc: "));
        assert_eq!(findings[0][2], "set TMPDIR to another folder");
        install.exits_with(1).stderr_contains("cannot create a folder for temporary files in /proc: ");
    } else {
        install.succeeds();
    }
}
