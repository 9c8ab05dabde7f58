//! Batch hooks: one process for all requests that reach a provider together.

use serde_json::{Value, json};

use crate::test_context::TestContext;

/// A batch hook that has what begins with `a`, declines what begins with `b`, fails at what begins with `c`, lies about
/// what begins with `d`, and says nothing of the rest.
const SHELF: &str = r#"#!/bin/sh
mkdir -p "$LIB_DIR"
tee -a "$DATA_DIR/seen" | while read -r line; do
    name=${line#*\"name\":\"} name=${name%%\"*}
    case $name in
    a*)
        printf '#!/bin/sh\necho 1.0\n' >"$LIB_DIR/$name" && chmod +x "$LIB_DIR/$name"
        echo "{\"type\":\"Binary\",\"name\":\"$name\",\"abspath\":\"$LIB_DIR/$name\",\"version\":\"1.0\"}"
        ;;
    b*) "$RIGUP" hook failure --name "$name" --declined "no $name here" ;;
    c*) "$RIGUP" hook failure --name "$name" "the shelf broke under $name" ;;
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

fn attempts(record: &Value) -> Vec<String> {
    let each = record["attempts"].as_array().unwrap().iter();
    let texts = each.map(|attempt| {
        let text = |key: &str| attempt[key].as_str().unwrap().to_owned();
        format!("{} {}: {}", text("provider"), text("outcome"), text("reason"))
    });
    texts.collect()
}

#[test]
fn all_that_reach_a_batch_hook_together_are_one_process_and_each_has_an_outcome_of_its_own() {
    let context = context(SHELF, &["a1", "a2", "b", "c", "d", "e"], "shelf");
    let records = context.run(&["install"]).exits_with(1).records();
    assert_eq!(context.hook_processes().len(), 1);
    for installed in &records[..2] {
        assert_eq!((&installed["status"], &installed["version"]), (&json!("installed"), &json!("1.0")));
    }
    assert_eq!(attempts(&records[2]), ["shelf declined: no b here"]);
    assert_eq!(attempts(&records[3]), ["shelf failed: the shelf broke under c"]);
    assert_eq!(attempts(&records[4]).len(), 1);
    assert!(
        attempts(&records[4])[0]
            .starts_with("shelf rejected: cannot read abspath /no/such/file: No such file")
    );
    assert_eq!(attempts(&records[5]), ["shelf declined: printed no Binary record"]);
    let processes: Vec<&Value> =
        records[2..].iter().map(|record| &record["attempts"][0]["process_id"]).collect();
    assert!(processes.iter().all(|id| *id == processes[0] && id.is_string()), "one process: {processes:?}");
    let of_one = context.run(&["process", "list", "--binary", "c"]).succeeds().record();
    assert_eq!(of_one["id"], *processes[0], "it is found by each of its binaries");
}

#[test]
fn a_batch_hook_is_told_on_its_standard_input_what_others_are_told_as_arguments() {
    let context = context(SHELF, &[], "shelf");
    let overrides = json!({"shelf": {"packages": ["x y"]}});
    let line = json!({"type": "Binary", "name": "a", "binproviders": "shelf", "min_version": "0.5", "overrides": overrides});
    context.plugin("p", &[line]);
    let record = context.run(&["install"]).succeeds().record();
    let seen: Value = serde_json::from_slice(&std::fs::read(context.path("data/seen")).unwrap()).unwrap();
    let expected = json!({
        "type": "BinaryRequest", "name": "a", "binproviders": "shelf", "min_version": "0.5", "min_release_age": 7,
        "postinstall_scripts": false, "best_effort": "min_release_age,postinstall_scripts", "overrides": overrides,
        "binary_id": record["id"], "machine_id": record["machine_id"],
    });
    assert_eq!(seen, expected);
    let process = &context.hook_processes()[0];
    let script = std::path::Path::new(process["run_dir"].as_str().unwrap()).join("cmd.sh");
    assert!(
        std::fs::read_to_string(script).unwrap().contains("stdin.jsonl"),
        "it can be run again as it was"
    );
}

#[test]
fn an_exit_code_is_that_of_all() {
    for (exit, outcome) in [(1, "failed"), (10, "skipped")] {
        let hook = format!("{SHELF}\nexit {exit}\n");
        let context = context(&hook, &["a1", "a2"], "shelf");
        let records = context.run(&["install"]).exits_with(1).records();
        assert!(records.iter().all(|record| record["attempts"][0]["outcome"] == outcome), "{records:?}");
    }
}

#[test]
fn what_one_batch_hook_does_not_have_reaches_the_next_one_together() {
    let context = context(SHELF, &["a-1", "a-2", "a-3", "sh"], "env,shelf");
    context.run(&["install"]).succeeds();
    let hooks: Vec<Value> = context.hook_processes().iter().map(|hook| hook["plugin"].clone()).collect();
    assert_eq!(hooks, ["env", "shelf"], "two processes for four binaries and seven attempts");
    let record = context.run(&["binary", "show", "a-2"]).succeeds().record();
    assert_eq!(record["binprovider"], "shelf");
}

#[test]
fn two_names_for_one_file_are_probed_once() {
    let mut context = TestContext::new();
    let tool = context.script("bin/tool", "#!/bin/sh\necho x >>\"$COUNT\"\necho 1.0\n");
    context.set("COUNT", context.path("count"));
    let requires = |name: &str| json!({"type": "Binary", "name": name, "binproviders": "env", "overrides": {"env": {"abspath": tool}}});
    context.plugin("p", &[requires("one"), requires("two")]);
    let records = context.run(&["install"]).succeeds().records();
    assert!(records.iter().all(|record| record["version"] == "1.0"));
    assert_eq!(std::fs::read_to_string(context.path("count")).unwrap(), "x\n");
}

#[test]
fn a_hook_of_a_batch_that_asks_rigup_for_one_of_the_batch_does_not_wait_for_itself() {
    let hook = "#!/bin/sh\n\"$RIGUP\" install a1\n";
    let context = context(hook, &["a1", "a2"], "shelf");
    context.run(&["install"]).exits_with(1);
    let logs: Vec<Value> = context.hook_processes();
    let hook = logs.iter().find(|hook| hook["plugin"] == "shelf").unwrap();
    assert!(hook["stderr_tail"].as_str().unwrap().contains("so waiting would never end"), "{hook}");
}

#[test]
fn hundreds_of_requests_take_few_processes_and_few_open_files() {
    let names: Vec<String> = (0..450).map(|n| format!("a{n}")).collect();
    let context = context(SHELF, &names.iter().map(String::as_str).collect::<Vec<_>>(), "shelf");
    let args = ["-c", "ulimit -n 256 && exec \"$@\"", "sh", env!("CARGO_BIN_EXE_rigup"), "install"];
    let output = context.command_for(std::path::Path::new("/bin/sh"), &args).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!((3..=10).contains(&context.hook_processes().len()), "{}", context.hook_processes().len());
}

#[test]
fn a_reason_that_begins_like_an_option_is_a_reason() {
    let context = TestContext::new();
    for (args, outcome) in [(&["--declined"][..], "declined"), (&[], "failed")] {
        let args = [&["hook", "failure", "--name", "x"], args, &["--no such option"]].concat();
        let record = context.run(&args).succeeds().record();
        assert_eq!((&record["outcome"], &record["reason"]), (&json!(outcome), &json!("--no such option")));
    }
}

/// A test context whose root has a dpkg that is content with everything; an `apt-get` may stand beside it in `tools`.
fn context_with_dpkg() -> TestContext {
    let mut context = TestContext::new();
    context.set("PATH", format!("{}:/usr/bin:/bin", context.path("tools").display()));
    context.script("tools/id", "#!/bin/sh\necho 0\n");
    context.script("tools/dpkg", "#!/bin/sh\n");
    context
}

#[test]
fn apt_takes_the_version_that_is_asked_for_rather_than_one_that_only_begins_like_it() {
    let context = context_with_dpkg();
    context.script("tools/apt-get", "#!/bin/sh\nprintf '%s\\n' \"$@\" >>\"$HOME/asked\"\n");
    let row = |version: &str| {
        format!("       a | {version} | http://deb.example.org/debian stable/main Packages\n")
    };
    context.write("home/asked", "");
    for (rows, asked) in [
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
        context.write("home/asked", "");
        context.run(&["install", "--force"]).exits_with(1);
        let said = std::fs::read_to_string(context.path("home/asked")).unwrap();
        assert!(said.lines().any(|argument| argument == asked), "{rows}{said}");
    }
}

#[test]
fn apt_says_of_each_package_why_it_alone_failed() {
    let context = context_with_dpkg();
    // The line of dpkg that comes last begins like an option.
    let apt = "#!/bin/sh\n[ \"$1\" = update ] || { for last; do :; done; echo \"E: $last is broken\" >&2; echo '-- dpkg' >&2; exit 100; }\n";
    context.script("tools/apt-get", apt);
    let lines = ["a", "b"].map(|name| json!({"type": "Binary", "name": name, "binproviders": "apt"}));
    context.plugin("p", &lines);
    for (record, name) in context.run(&["install"]).exits_with(1).records().iter().zip(["a", "b"]) {
        let attempt = &record["attempts"][0];
        assert_eq!(
            (attempt["outcome"].as_str(), attempt["reason"].as_str()),
            (Some("failed"), Some(&*format!("E: {name} is broken")))
        );
    }
}
