//! Batch hooks: one process resolves all requests that reach a provider together.

use serde_json::{Value, json};

use crate::test_context::TestContext;

/// A batch hook that depends on the first letter of each name: it installs names with `a`, declines names with `b`,
/// fails for names with `c`, prints an invalid record for names with `d`, and prints nothing for other names.
const SHELF: &str = r#"#!/bin/sh
mkdir -p "$LIB_DIR"
tee -a "$DATA_DIR/input" | while read -r line; do
    name=${line#*\"name\":\"} name=${name%%\"*}
    case $name in
    a*)
        printf '#!/bin/sh\necho 1.0\n' >"$LIB_DIR/$name" && chmod +x "$LIB_DIR/$name"
        echo "{\"type\":\"Binary\",\"name\":\"$name\",\"abspath\":\"$LIB_DIR/$name\",\"version\":\"1.0\"}"
        ;;
    b*) "$RIGUP" hook failure --name "$name" --declined "no $name here" ;;
    c*) "$RIGUP" hook failure --name "$name" "cannot build $name" ;;
    d*) echo "{\"type\":\"Binary\",\"name\":\"$name\",\"abspath\":\"/no/such/file\"}" ;;
    esac
done
"#;

fn context(hook: &str, names: &[&str], providers: &str) -> TestContext {
    let context = TestContext::new();
    context.script("here/providers/shelf/on_BinaryRequest__50_shelf.batch.sh", hook);
    let line = |name: &&str| json!({"type": "Binary", "name": name, "binproviders": providers});
    context.plugin("p", &names.iter().map(line).collect::<Vec<_>>());
    context
}

/// Formats each attempt of a record as `PROVIDER OUTCOME: REASON`.
fn attempts(record: &Value) -> Vec<String> {
    let each = record["attempts"].as_array().unwrap().iter();
    let texts = each.map(|attempt| {
        let text = |key: &str| attempt[key].as_str().unwrap().to_owned();
        format!("{} {}: {}", text("provider"), text("outcome"), text("reason"))
    });
    texts.collect()
}

#[test]
fn one_process_resolves_all_requests_with_an_outcome_for_each() {
    let context = context(SHELF, &["a1", "a2", "b", "c", "d", "e"], "shelf");
    let records = context.run(&["install"]).exits_with(1).records();
    assert_eq!(context.hook_processes().len(), 1);
    for installed in &records[..2] {
        assert_eq!((&installed["status"], &installed["version"]), (&json!("installed"), &json!("1.0")));
    }
    assert_eq!(attempts(&records[2]), ["shelf declined: no b here"]);
    assert_eq!(attempts(&records[3]), ["shelf failed: cannot build c"]);
    assert_eq!(attempts(&records[4]).len(), 1);
    assert!(attempts(&records[4])[0].starts_with("shelf rejected: abspath /no/such/file does not exist"));
    assert_eq!(attempts(&records[5]), ["shelf declined: printed no Binary record"]);
    let processes: Vec<&Value> =
        records[2..].iter().map(|record| &record["attempts"][0]["process_id"]).collect();
    assert!(
        processes.iter().all(|id| *id == processes[0] && id.is_string()),
        "one process made all attempts: {processes:?}"
    );
    let listed = context.run(&["process", "list", "--binary", "c"]).succeeds().record();
    assert_eq!(listed["id"], *processes[0], "the process is listed for each of its binaries");
}

#[test]
fn a_batch_hook_reads_its_requests_on_standard_input() {
    let context = context(SHELF, &[], "shelf");
    let overrides = json!({"shelf": {"packages": ["x y"]}});
    let line = json!({"type": "Binary", "name": "a", "binproviders": "shelf", "min_version": "0.5", "overrides": overrides});
    context.plugin("p", &[line]);
    let record = context.run(&["install"]).succeeds().record();
    let input: Value = serde_json::from_slice(&std::fs::read(context.path("data/input")).unwrap()).unwrap();
    let expected = json!({
        "type": "BinaryRequest", "name": "a", "binproviders": "shelf", "min_version": "0.5", "min_release_age": 7,
        "postinstall_scripts": false, "best_effort": "min_release_age,postinstall_scripts", "overrides": overrides,
        "binary_id": record["id"], "machine_id": record["machine_id"],
    });
    assert_eq!(input, expected);
    let process = &context.hook_processes()[0];
    let script = std::path::Path::new(process["run_dir"].as_str().unwrap()).join("cmd.sh");
    assert!(
        std::fs::read_to_string(script).unwrap().contains("stdin.jsonl"),
        "cmd.sh reads the same standard input"
    );
}

#[test]
fn the_exit_code_of_a_batch_hook_applies_to_each_request() {
    for (exit, outcome) in [(1, "failed"), (10, "skipped")] {
        let hook = format!("{SHELF}\nexit {exit}\n");
        let context = context(&hook, &["a1", "a2"], "shelf");
        let records = context.run(&["install"]).exits_with(1).records();
        assert!(records.iter().all(|record| record["attempts"][0]["outcome"] == outcome), "{records:?}");
    }
}

#[test]
fn a_warning_about_a_batch_hook_names_all_its_requests() {
    let hook = format!("{SHELF}\necho '{{\"oops'\nsleep 600 &\n");
    for (count, names) in [(1, "a1"), (2, "a1 and a2"), (7, "a1, a2, a3, a4, a5 and 2 more")] {
        let all = ["a1", "a2", "a3", "a4", "a5", "a6", "a7"];
        let context = context(&hook, &all[..count], "shelf");
        let output = context.run(&["install"]).succeeds();
        for warning in ["terminated a process that it left behind: ", "stdout line "] {
            let warning = format!("warning: {names}: shelf: {warning}");
            assert_eq!(output.stderr.matches(&warning).count(), 1, "{warning} in {}", output.stderr);
        }
        assert_eq!(context.live_processes(), []);
    }
}

#[test]
fn requests_that_a_batch_hook_declines_reach_the_next_one_together() {
    let context = context(SHELF, &["a-1", "a-2", "a-3", "sh"], "env,shelf");
    context.run(&["install"]).succeeds();
    let hooks: Vec<Value> = context.hook_processes().iter().map(|hook| hook["plugin"].clone()).collect();
    assert_eq!(hooks, ["env", "shelf"], "two processes make seven attempts");
    let record = context.run(&["binary", "show", "a-2"]).succeeds().record();
    assert_eq!(record["binprovider"], "shelf");
}

#[test]
fn a_file_with_two_names_is_probed_under_each() {
    let context = TestContext::new();
    let tool = context.script("bin/tool", "#!/bin/sh\necho \"${0##*/}.0\"\n");
    let line = |name: &str| json!({"type": "Binary", "name": name, "binproviders": "env", "overrides": {"env": {"abspath": tool}}});
    context.plugin("p", &[line("1"), line("2")]);
    let records = context.run(&["install"]).succeeds().records();
    assert_eq!([&records[0]["version"], &records[1]["version"]], ["1.0", "2.0"]);
}

#[test]
fn a_batch_hook_that_installs_its_own_binary_fails_instead_of_waiting() {
    let hook = "#!/bin/sh\n\"$RIGUP\" install a1\n";
    let context = context(hook, &["a1", "a2"], "shelf");
    context.run(&["install"]).exits_with(1);
    let processes = context.hook_processes();
    let hook = processes.iter().find(|hook| hook["plugin"] == "shelf").unwrap();
    assert!(hook["stderr_tail"].as_str().unwrap().contains("would wait forever"), "{hook}");
}

#[test]
fn hundreds_of_requests_need_few_processes_and_few_open_files() {
    let names: Vec<String> = (0..450).map(|n| format!("a{n}")).collect();
    let context = context(SHELF, &names.iter().map(String::as_str).collect::<Vec<_>>(), "shelf");
    let args = ["-c", "ulimit -n 256 && exec \"$@\"", "sh", env!("CARGO_BIN_EXE_rigup"), "install"];
    let output = context.command_for(std::path::Path::new("/bin/sh"), &args).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!((3..=10).contains(&context.hook_processes().len()), "{}", context.hook_processes().len());
}

#[test]
fn hook_failure_accepts_a_reason_that_starts_with_a_dash() {
    let context = TestContext::new();
    for (args, outcome) in [(&["--declined"][..], "declined"), (&[], "failed")] {
        let args = [&["hook", "failure", "--name", "x"], args, &["--no such option"]].concat();
        let record = context.run(&args).succeeds().record();
        assert_eq!((&record["outcome"], &record["reason"]), (&json!(outcome), &json!("--no such option")));
    }
}

/// Creates a context with a fake `id` that prints the uid of root and a fake `dpkg` that succeeds. Each test adds its
/// own `apt-get`.
fn context_with_dpkg() -> TestContext {
    let mut context = TestContext::new();
    context.set("PATH", format!("{}:/usr/bin:/bin", context.path("tools").display()));
    context.script("tools/id", "#!/bin/sh\necho 0\n");
    context.script("tools/dpkg", "#!/bin/sh\n");
    context
}

#[test]
fn apt_prefers_the_requested_version_to_one_that_starts_with_it() {
    let context = context_with_dpkg();
    context.script("tools/apt-get", "#!/bin/sh\nprintf '%s\\n' \"$@\" >>\"$HOME/arguments\"\n");
    let row = |version: &str| {
        format!("       a | {version} | http://deb.example.org/debian stable/main Packages\n")
    };
    context.write("home/arguments", "");
    for (rows, expected) in [
        (&["1:1.2.3-1", "1:1.20-1", "1:1.2-4", "1:1.2-3"][..], "a=1:1.2-4"),
        (&["1.2.3-1", "1.2+b1"], "a=1.2+b1"),
        (&["1.2.4-1", "1.2~rc1-1"], "a=1.2~rc1-1"),
        (&["1.2.3-1", "1.2"], "a=1.2"),
        (&["1.20-1", "1.2.4-1", "1.2.3-1"], "a=1.2.4-1"),
        (&["1.20-1"], "a=1.2"),
    ] {
        let rows: String = rows.iter().map(|version| row(version)).collect();
        context.script("tools/apt-cache", &format!("#!/bin/sh\ncat <<.\n{rows}.\n"));
        context.plugin(
            "p",
            &[json!({"type": "Binary", "name": "a", "binproviders": "apt", "overrides": {"apt": ["a=1.2"]}})],
        );
        context.write("home/arguments", "");
        context.run(&["install", "--force"]).exits_with(1);
        let arguments = std::fs::read_to_string(context.path("home/arguments")).unwrap();
        assert!(arguments.lines().any(|argument| argument == expected), "{rows}{arguments}");
    }
}

#[test]
fn apt_reports_a_reason_for_each_package() {
    let context = context_with_dpkg();
    // The last line of stderr is not the reason, and looks like an option.
    let apt = "#!/bin/sh\n[ \"$1\" = update ] || { for last; do :; done; echo \"E: $last is broken\" >&2; echo '-- dpkg' >&2; exit 100; }\n";
    context.script("tools/apt-get", apt);
    let lines = ["a", "b"].map(|name| json!({"type": "Binary", "name": name, "binproviders": "apt"}));
    context.plugin("p", &lines);
    for (record, name) in context.run(&["install"]).exits_with(1).records().iter().zip(["a", "b"]) {
        let attempt = &record["attempts"][0];
        assert_eq!(
            (attempt["outcome"].as_str(), attempt["reason"].as_str()),
            (Some("failed"), Some(&*format!("{name} is broken")))
        );
    }
}
