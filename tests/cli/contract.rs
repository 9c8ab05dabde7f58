//! The hook contract, item by item.

use std::fs;
use std::os::unix::fs::symlink;

use serde_json::json;

use crate::playground::Playground;

/// A provider that notes all that it is given, in files named after the thing.
const NOSY: &str = r#"#!/bin/sh
set -eu
out=$DATA_DIR/seen && mkdir -p "$out"
for arg; do printf '%s\0' "$arg"; done >"$out/argv"
env -0 >"$out/env"
pwd >"$out/cwd"
readlink /proc/self/fd/0 >"$out/stdin"
cut -d ' ' -f 6 /proc/$$/stat >"$out/session" && echo $$ >"$out/pid"
printf '{"type":"Binary","name":"x","abspath":"/bin/sh","version":"1"}\n'
"#;

fn seen(place: &Playground, what: &str) -> String {
    String::from_utf8_lossy(&fs::read(place.path("data/seen").join(what)).unwrap()).into_owned()
}

#[test]
fn a_hook_is_given_what_the_contract_says() {
    let mut place = Playground::new();
    place.set("MY_SECRET_TOKEN", "canary").set("TOOL_BINARY", "/opt/tool/bin/tool").set("RIGUP_LIB_DIR", "");
    place.provider("nosy", NOSY);
    let overrides = json!({"nosy": {"packages": ["a b", "$(c)"]}});
    place.plugin("p", &[json!({
        "type": "Binary", "name": "x", "binproviders": "nosy", "min_version": "0.9", "overrides": overrides,
    })]);
    let record = place.run(&["install"]).ok().record();

    let argv = seen(&place, "argv");
    let argv: Vec<&str> = argv.split_terminator('\0').collect();
    let (id, machine) = (record["id"].as_str().unwrap(), record["machine_id"].as_str().unwrap());
    let expected = [
        "--name=x".to_owned(),
        "--binproviders=nosy".to_owned(),
        "--min-version=0.9".to_owned(),
        "--min-release-age=7".to_owned(),
        "--postinstall-scripts=false".to_owned(),
        "--best-effort=min_release_age,postinstall_scripts".to_owned(),
        format!("--overrides={overrides}"),
        format!("--binary-id={id}"),
        format!("--machine-id={machine}"),
    ];
    assert_eq!(argv, expected);

    let data = place.path("data");
    let cwd = data.join("machines").join(machine).join("binaries/x").join(id).join("nosy");
    assert_eq!(seen(&place, "cwd").trim(), cwd.to_str().unwrap());
    assert_eq!(seen(&place, "stdin").trim(), "/dev/null");
    assert_eq!(seen(&place, "session"), seen(&place, "pid"), "a session of its own");

    let env = seen(&place, "env");
    let variable = |name: &str| env.split('\0').find_map(|it| it.strip_prefix(&format!("{name}=")));
    let lib = data.join("lib").join(rigup::settings::platform());
    assert_eq!(variable("DATA_DIR"), data.to_str());
    assert_eq!(variable("LIB_DIR"), lib.to_str());
    assert_eq!(variable("LIB_BIN_DIR"), lib.join("bin").to_str());
    assert_eq!(variable("MACHINE_ID"), Some(machine));
    assert_eq!(variable("NODE_MODULES_DIR"), lib.join("npm/node_modules").to_str());
    assert_eq!(variable("MY_SECRET_TOKEN"), Some("canary"));
    assert_eq!(variable("RIGUP_DATA_DIR"), None, "a rigup called by a hook uses DATA_DIR");
    assert!(fs::metadata(variable("RIGUP").unwrap()).unwrap().is_file());
    let path: Vec<&str> = variable("PATH").unwrap().split(':').collect();
    assert_eq!(path[..2], ["/opt/tool/bin", lib.join("bin").to_str().unwrap()]);
    let hook = &place.hook_processes()[0];
    assert_eq!(variable("RIGUP_PROCESS_ID"), hook["id"].as_str());

    let run_dir = hook["run_dir"].as_str().unwrap();
    assert_eq!(std::path::Path::new(run_dir), data.join("processes").join(hook["id"].as_str().unwrap()));
    for file in ["process.json", "cmd.sh", "stdout.log", "stderr.log", "exit.json"] {
        assert!(fs::metadata(format!("{run_dir}/{file}")).unwrap().is_file(), "{file}");
    }
    assert!(fs::metadata(format!("{run_dir}/process.pid")).is_err(), "it is over");
}

#[test]
fn exit_codes_mean_installed_declined_skipped_and_failed() {
    for (body, outcome, reason) in [
        ("exit 0", "declined", "printed no Binary record"),
        ("echo why not >&2; exit 0", "declined", "why not"),
        ("exit 10", "skipped", "exit code 10"),
        ("exit 3", "failed", "exit code 3"),
        ("echo first >&2; echo last >&2; exit 1", "failed", "exit code 1: last"),
        ("kill -9 $$", "failed", "killed by signal 9"),
        ("kill -15 $$", "failed", "killed by signal 15"),
    ] {
        let place = Playground::new();
        place.provider("p", &format!("#!/bin/sh\n{body}\n"));
        let attempt =
            place.run(&["install", "x", "--binproviders", "p"]).exits(1).record()["attempts"][0].clone();
        assert_eq!(
            (attempt["outcome"].as_str(), attempt["reason"].as_str()),
            (Some(outcome), Some(reason)),
            "{body}"
        );
    }
}

#[test]
fn the_exit_code_of_a_process_is_the_true_one() {
    for (body, code, signal) in [
        ("exit 0", 0, None),
        ("exit 127", 127, None),
        ("kill -9 $$", 137, Some(9)),
        ("kill $$", 143, Some(15)),
    ] {
        let place = Playground::new();
        place.provider("p", &format!("#!/bin/sh\n{body}\n"));
        place.run(&["install", "x", "--binproviders", "p"]).exits(1);
        let hook = &place.hook_processes()[0];
        assert_eq!(hook["exit_code"], code, "{body}");
        assert_eq!(hook["signal"].as_i64(), signal, "{body}");
    }
}

#[test]
fn a_record_of_an_earlier_run_counts_for_nothing_in_a_later_one() {
    let place = Playground::new();
    let hook = "#!/bin/sh\n[ -e \"$DATA_DIR/again\" ] && exit 0\n: >\"$DATA_DIR/again\"\n\
        printf '{\"type\":\"Binary\",\"name\":\"x\",\"abspath\":\"/bin/sh\",\"version\":\"1\"}\\n'\nexit 1\n";
    place.provider("p", hook);
    place.run(&["install", "x", "--binproviders", "p"]).exits(1);
    let record = place.run(&["install", "x", "--binproviders", "p"]).exits(1).record();
    assert_eq!(record["attempts"][0]["outcome"], "declined");
    assert_eq!(record["attempt_count"], 2);
}

#[test]
fn a_record_is_found_among_logs_bad_bytes_and_other_records() {
    let place = Playground::new();
    place.fixture("noisy");
    let ran = place.run(&["install", "x", "--binproviders", "noisy"]).ok();
    assert_eq!(ran.record()["abspath"], "/bin/sh");
    ran.says("line 8 is not JSON").says("{\"type\":\"Binary\",\"name\":\"cut");
}

#[test]
fn output_without_end_is_stopped() {
    let place = Playground::new();
    place.provider("p", "#!/bin/sh\nexec yes\n");
    let record = place.run(&["install", "x", "--binproviders", "p"]).exits(1).record();
    assert_eq!(
        record["attempts"][0]["reason"],
        "terminated on request: it wrote more than 64 MiB and was terminated"
    );
    assert_eq!(place.hook_processes()[0]["exit_reason"], "stopped");
}

#[test]
fn a_hook_without_an_exec_bit_or_a_shebang_is_run_by_its_extension() {
    let mut place = Playground::new();
    // Interpreters that say who they are, so that the test needs neither Python nor Node.
    for interpreter in ["python3", "node"] {
        let speak = format!("#!/bin/sh\nINTERPRETER={interpreter} exec /bin/sh \"$@\"\n");
        place.script(&format!("tools/{interpreter}"), &speak);
    }
    place.set("PATH", format!("{}:/usr/bin:/bin", place.path("tools").display()));
    let hook = "echo \"${INTERPRETER-${BASH_VERSION+bash}}\" >\"$DATA_DIR/interpreter\"\n";
    place.write("here/providers/a/on_BinaryRequest__50_a.sh", hook);
    place.write("here/providers/b/on_BinaryRequest__50_b.py", hook);
    place.script("here/providers/c/on_BinaryRequest__50_c.js", hook);
    place.script(
        "here/providers/d/on_BinaryRequest__50_d.rb",
        &format!("#!/bin/sh\nINTERPRETER=itself\n{hook}"),
    );
    for (provider, interpreter) in [("a", "bash"), ("b", "python3"), ("c", "node"), ("d", "itself")] {
        place.run(&["install", "x", "--binproviders", provider]).exits(1);
        let seen = fs::read_to_string(place.path("data/interpreter")).unwrap();
        assert_eq!(seen.trim(), interpreter, "{provider}");
    }
}

#[test]
fn a_hook_that_cannot_be_started_is_a_failed_attempt_that_says_why() {
    let place = Playground::new();
    place.provider("p", "#!/no/such/interpreter\n");
    let record = place.run(&["install", "x", "--binproviders", "p"]).exits(1).record();
    let reason = record["attempts"][0]["reason"].as_str().unwrap();
    assert!(reason.contains("its interpreter does not exist: #!/no/such/interpreter"), "{reason}");
    let hook = &place.hook_processes()[0];
    assert_eq!((hook["exit_reason"].as_str(), hook["pid"].as_u64()), (Some("spawn_failed"), None));
}

#[test]
fn an_environment_that_is_not_utf8_reaches_the_hook_byte_for_byte() {
    use std::os::unix::ffi::OsStrExt;
    let mut place = Playground::new();
    place.set("RAW", std::ffi::OsStr::from_bytes(b"a\xffb").to_owned()).provider("nosy", NOSY);
    place.run(&["install", "x", "--binproviders", "nosy"]).ok();
    let env = fs::read(place.path("data/seen/env")).unwrap();
    assert!(env.split(|&byte| byte == 0).any(|it| it == b"RAW=a\xffb"));
}

#[test]
fn cmd_sh_runs_the_hook_once_more_as_it_was_run() {
    let place = Playground::new();
    place.fixture("good");
    let record = place.run(&["install", "x", "--binproviders", "good"]).ok().record();
    let script = place.hook_processes()[0]["run_dir"].as_str().unwrap().to_owned() + "/cmd.sh";
    let output =
        std::process::Command::new("sh").arg(script).env("HOME", place.path("home")).output().unwrap();
    let printed: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&printed["name"], &printed["abspath"]), (&record["name"], &record["abspath"]));
}

#[test]
fn a_record_that_leads_back_to_the_link_is_rejected_under_whatever_name_it_goes() {
    let mut place = Playground::new();
    let program = place.script("program", "#!/bin/sh\n");
    fs::create_dir(place.path("real-bin")).unwrap();
    symlink("real-bin", place.path("bin")).unwrap();
    symlink("bin/x", place.path("alias")).unwrap();
    place.set("LIB_BIN_DIR", place.path("bin"));
    place.provider(
        "p",
        "#!/bin/sh\nprintf '{\"type\":\"Binary\",\"name\":\"x\",\"abspath\":\"%s\",\"version\":\"1\"}' \
        \"$(cat \"$DATA_DIR/../file\")\"\n",
    );
    place.write("file", program.to_str().unwrap());
    place.run(&["install", "x", "--binproviders", "p"]).ok();
    for loops in ["real-bin/x", "alias"] {
        place.write("file", place.path(loops).to_str().unwrap());
        let ran = place.run(&["install", "x", "--force", "--binproviders", "p"]).exits(1);
        assert_eq!(ran.record()["attempts"][0]["outcome"], "rejected", "{loops}");
    }
    assert_eq!(fs::read_link(place.path("real-bin/x")).unwrap(), program);
}

#[test]
fn what_a_program_leaves_behind_when_it_is_asked_for_its_version_is_ended() {
    let place = Playground::new();
    let program = place.script("tool", "#!/bin/sh\nsleep 600 &\necho 1.0\n");
    let record = place.run(&["install", program.to_str().unwrap()]).ok().record();
    assert_eq!(record["version"], "1.0");
    assert_eq!(place.living(), []);
}

#[test]
fn an_environment_in_a_binary_record_is_used_by_nothing_and_kept_nowhere() {
    let mut place = Playground::new();
    place.set("MY_SECRET_TOKEN", "canary-7f3a");
    let hook = r#"#!/bin/sh
printf '#!/bin/sh\necho 1.0\n' >x && chmod +x x
echo '{"type":"Other","env":{"kept":true}}'
echo "{\"type\":\"Binary\",\"name\":\"x\",\"abspath\":\"$PWD/x\",\"version\":\"1.0\",\"env\":{\"T\":\"$MY_SECRET_TOKEN\"}}"
"#;
    place.provider("leaky", hook);
    place.run(&["install", "x", "--binproviders", "leaky"]).ok();
    let process = place.hook_processes().remove(0);
    assert!(process["stdout_tail"].as_str().unwrap().contains("kept"));
    let found =
        std::process::Command::new("grep").args(["-rl", "canary-7f3a"]).arg(place.path("data")).output();
    assert_eq!(String::from_utf8_lossy(&found.unwrap().stdout), "", "no file has it");
}
