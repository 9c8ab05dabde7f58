//! The hook contract, item by item.

use std::fs;
use std::os::unix::fs::symlink;

use serde_json::json;

use crate::test_context::TestContext;

/// A provider that writes its arguments, environment, working folder, stdin, session and pid to files.
const RECORDER: &str = r#"#!/bin/sh
set -eu
out=$DATA_DIR/recorded && mkdir -p "$out"
for arg; do printf '%s\0' "$arg"; done >"$out/argv"
env -0 >"$out/env"
pwd >"$out/cwd"
readlink /proc/self/fd/0 >"$out/stdin"
cut -d ' ' -f 6 /proc/$$/stat >"$out/session" && echo $$ >"$out/pid"
printf '{"type":"Binary","name":"x","abspath":"/bin/sh","version":"1"}\n'
"#;

/// Returns what the recorder wrote to a file.
fn recorded(context: &TestContext, file: &str) -> String {
    String::from_utf8_lossy(&fs::read(context.path("data/recorded").join(file)).unwrap()).into_owned()
}

#[test]
fn a_hook_receives_the_arguments_and_environment_of_the_contract() {
    let mut context = TestContext::new();
    context
        .set("MY_SECRET_TOKEN", "canary")
        .set("TOOL_BINARY", "/opt/tool/bin/tool")
        .set("RIGUP_LIB_DIR", "");
    context.provider("recorder", RECORDER);
    let overrides = json!({"recorder": {"packages": ["a b", "$(c)"]}});
    context.plugin("p", &[json!({
        "type": "Binary", "name": "x", "binproviders": "recorder", "min_version": "0.9", "overrides": overrides,
    })]);
    let record = context.run(&["install"]).succeeds().record();

    let argv = recorded(&context, "argv");
    let argv: Vec<&str> = argv.split_terminator('\0').collect();
    let (id, machine) = (record["id"].as_str().unwrap(), record["machine_id"].as_str().unwrap());
    let expected = [
        "--name=x".to_owned(),
        "--binproviders=recorder".to_owned(),
        "--min-version=0.9".to_owned(),
        "--min-release-age=7".to_owned(),
        "--postinstall-scripts=false".to_owned(),
        "--best-effort=min_release_age,postinstall_scripts".to_owned(),
        format!("--overrides={overrides}"),
        format!("--binary-id={id}"),
        format!("--machine-id={machine}"),
    ];
    assert_eq!(argv, expected);

    let data = context.path("data");
    let cwd = data.join("machines").join(machine).join("binaries/x").join(id).join("recorder");
    assert_eq!(recorded(&context, "cwd").trim(), cwd.to_str().unwrap());
    assert_eq!(recorded(&context, "stdin").trim(), "/dev/null");
    assert_eq!(recorded(&context, "session"), recorded(&context, "pid"), "the hook leads its own session");

    let env = recorded(&context, "env");
    let variable = |name: &str| env.split('\0').find_map(|line| line.strip_prefix(&format!("{name}=")));
    let lib = data.join("lib").join(rigup::settings::platform());
    assert_eq!(variable("DATA_DIR"), data.to_str());
    assert_eq!(variable("LIB_DIR"), lib.to_str());
    assert_eq!(variable("LIB_BIN_DIR"), lib.join("bin").to_str());
    assert_eq!(variable("MACHINE_ID"), Some(machine));
    assert_eq!(variable("NODE_MODULES_DIR"), lib.join("npm/node_modules").to_str());
    assert_eq!(variable("MY_SECRET_TOKEN"), Some("canary"));
    assert_eq!(variable("RIGUP_DATA_DIR"), None, "a rigup that a hook calls uses DATA_DIR");
    assert!(fs::metadata(variable("RIGUP").unwrap()).unwrap().is_file());
    let path: Vec<&str> = variable("PATH").unwrap().split(':').collect();
    assert_eq!(path[..2], ["/opt/tool/bin", lib.join("bin").to_str().unwrap()]);
    let hook = &context.hook_processes()[0];
    assert_eq!(variable("RIGUP_PROCESS_ID"), hook["id"].as_str());

    let run_dir = hook["run_dir"].as_str().unwrap();
    assert_eq!(std::path::Path::new(run_dir), data.join("processes").join(hook["id"].as_str().unwrap()));
    for file in ["process.json", "cmd.sh", "stdout.log", "stderr.log", "exit.json"] {
        assert!(fs::metadata(format!("{run_dir}/{file}")).unwrap().is_file(), "{file}");
    }
    assert!(fs::metadata(format!("{run_dir}/process.pid")).is_err(), "process.pid is removed after the exit");
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
        let context = TestContext::new();
        context.provider("p", &format!("#!/bin/sh\n{body}\n"));
        let attempt =
            context.run(&["install", "x", "--binproviders", "p"]).exits_with(1).record()["attempts"][0]
                .clone();
        assert_eq!(
            (attempt["outcome"].as_str(), attempt["reason"].as_str()),
            (Some(outcome), Some(reason)),
            "{body}"
        );
    }
}

#[test]
fn records_the_exit_code_and_the_signal_of_a_hook() {
    for (body, code, signal) in [
        ("exit 0", 0, None),
        ("exit 127", 127, None),
        ("kill -9 $$", 137, Some(9)),
        ("kill $$", 143, Some(15)),
    ] {
        let context = TestContext::new();
        context.provider("p", &format!("#!/bin/sh\n{body}\n"));
        context.run(&["install", "x", "--binproviders", "p"]).exits_with(1);
        let hook = &context.hook_processes()[0];
        assert_eq!(hook["exit_code"], code, "{body}");
        assert_eq!(hook["signal"].as_i64(), signal, "{body}");
    }
}

#[test]
fn ignores_a_record_of_an_earlier_run() {
    let context = TestContext::new();
    let hook = "#!/bin/sh\n[ -e \"$DATA_DIR/again\" ] && exit 0\n: >\"$DATA_DIR/again\"\n\
        printf '{\"type\":\"Binary\",\"name\":\"x\",\"abspath\":\"/bin/sh\",\"version\":\"1\"}\\n'\nexit 1\n";
    context.provider("p", hook);
    context.run(&["install", "x", "--binproviders", "p"]).exits_with(1);
    let record = context.run(&["install", "x", "--binproviders", "p"]).exits_with(1).record();
    assert_eq!(record["attempts"][0]["outcome"], "declined");
    assert_eq!(record["attempt_count"], 2);
}

#[test]
fn finds_the_record_among_logs_invalid_bytes_and_other_records() {
    let context = TestContext::new();
    context.fixture("noisy");
    let output = context.run(&["install", "-q", "x", "--binproviders", "noisy"]).succeeds();
    assert_eq!(output.record()["abspath"], "/bin/sh");
    output.stderr_contains("line 8 is not JSON").stderr_contains("{\"type\":\"Binary\",\"name\":\"cut");
}

#[test]
fn terminates_a_hook_with_endless_output() {
    let mut context = TestContext::new();
    context.set("RIGUP_OUTPUT_LIMIT", "2");
    context.provider("p", "#!/bin/sh\nexec yes\n");
    let record = context.run(&["install", "x", "--binproviders", "p"]).exits_with(1).record();
    assert_eq!(
        record["attempts"][0]["reason"],
        "terminated on request: it wrote more than 2 MiB and was terminated"
    );
    assert_eq!(context.hook_processes()[0]["exit_reason"], "stopped");
}

#[test]
fn the_extension_selects_the_interpreter_of_a_hook_without_shebang() {
    let mut context = TestContext::new();
    // The interpreters are fake, so that the test needs neither Python nor Node.js.
    for interpreter in ["python3", "node"] {
        let fake = format!("#!/bin/sh\nINTERPRETER={interpreter} exec /bin/sh \"$@\"\n");
        context.script(&format!("tools/{interpreter}"), &fake);
    }
    context.set("PATH", format!("{}:/usr/bin:/bin", context.path("tools").display()));
    let hook = "echo \"${INTERPRETER-${BASH_VERSION+bash}}\" >\"$DATA_DIR/interpreter\"\n";
    context.write("here/providers/a/on_BinaryRequest__50_a.sh", hook);
    context.write("here/providers/b/on_BinaryRequest__50_b.py", hook);
    context.script("here/providers/c/on_BinaryRequest__50_c.js", hook);
    context.script(
        "here/providers/d/on_BinaryRequest__50_d.rb",
        &format!("#!/bin/sh\nINTERPRETER=itself\n{hook}"),
    );
    for (provider, interpreter) in [("a", "bash"), ("b", "python3"), ("c", "node"), ("d", "itself")] {
        context.run(&["install", "x", "--binproviders", provider]).exits_with(1);
        let used = fs::read_to_string(context.path("data/interpreter")).unwrap();
        assert_eq!(used.trim(), interpreter, "{provider}");
    }
}

#[test]
fn a_hook_that_cannot_be_started_fails_with_the_reason() {
    let context = TestContext::new();
    context.provider("p", "#!/no/such/interpreter\n");
    let record = context.run(&["install", "x", "--binproviders", "p"]).exits_with(1).record();
    let reason = record["attempts"][0]["reason"].as_str().unwrap();
    assert!(
        reason.contains("it needs the interpreter \"/no/such/interpreter\", which does not exist"),
        "{reason}"
    );
    let hook = &context.hook_processes()[0];
    assert_eq!((hook["exit_reason"].as_str(), hook["pid"].as_u64()), (Some("spawn_failed"), None));
}

#[test]
fn passes_an_environment_that_is_not_utf8_to_the_hook() {
    use std::os::unix::ffi::OsStrExt;
    let mut context = TestContext::new();
    context.set("RAW", std::ffi::OsStr::from_bytes(b"a\xffb").to_owned()).provider("recorder", RECORDER);
    context.run(&["install", "x", "--binproviders", "recorder"]).succeeds();
    let env = fs::read(context.path("data/recorded/env")).unwrap();
    assert!(env.split(|&byte| byte == 0).any(|variable| variable == b"RAW=a\xffb"));
}

#[test]
fn cmd_sh_repeats_the_hook() {
    let context = TestContext::new();
    context.fixture("good");
    let record = context.run(&["install", "x", "--binproviders", "good"]).succeeds().record();
    let script = context.hook_processes()[0]["run_dir"].as_str().unwrap().to_owned() + "/cmd.sh";
    let output =
        std::process::Command::new("sh").arg(script).env("HOME", context.path("home")).output().unwrap();
    let printed: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&printed["name"], &printed["abspath"]), (&record["name"], &record["abspath"]));
}

#[test]
fn cmd_sh_repeats_a_hook_whose_empty_folder_was_removed() {
    let context = TestContext::new();
    context.script("here/plugins/p/on_E__1_x.sh", "#!/bin/sh\necho '{\"type\":\"Said\"}'\n");
    context.run(&["run", "E"]).succeeds();
    let hook = context.hook_processes().remove(0);
    assert!(!fs::exists(hook["pwd"].as_str().unwrap()).unwrap());
    let script = hook["run_dir"].as_str().unwrap().to_owned() + "/cmd.sh";
    let output = context.command_for("/bin/sh".as_ref(), &[&script]).output().unwrap();
    assert_eq!(output.stdout, b"{\"type\":\"Said\"}\n");
}

#[test]
fn rejects_a_record_whose_path_leads_back_to_the_link() {
    let mut context = TestContext::new();
    let program = context.script("program", "#!/bin/sh\n");
    fs::create_dir(context.path("real-bin")).unwrap();
    symlink("real-bin", context.path("bin")).unwrap();
    symlink("bin/x", context.path("alias")).unwrap();
    context.set("LIB_BIN_DIR", context.path("bin"));
    context.provider(
        "p",
        "#!/bin/sh\nprintf '{\"type\":\"Binary\",\"name\":\"x\",\"abspath\":\"%s\",\"version\":\"1\"}' \
        \"$(cat \"$DATA_DIR/../file\")\"\n",
    );
    context.write("file", program.to_str().unwrap());
    context.run(&["install", "x", "--binproviders", "p"]).succeeds();
    for loops in ["real-bin/x", "alias"] {
        context.write("file", context.path(loops).to_str().unwrap());
        let output = context.run(&["install", "x", "--force", "--binproviders", "p"]).exits_with(1);
        assert_eq!(output.record()["attempts"][0]["outcome"], "rejected", "{loops}");
    }
    assert_eq!(fs::read_link(context.path("real-bin/x")).unwrap(), program);
}

#[test]
fn terminates_processes_that_a_version_probe_leaves_behind() {
    let context = TestContext::new();
    let program = context.script("tool", "#!/bin/sh\nsleep 600 &\necho 1.0\n");
    let record = context.run(&["install", program.to_str().unwrap()]).succeeds().record();
    assert_eq!(record["version"], "1.0");
    assert_eq!(context.live_processes(), []);
}

#[test]
fn terminates_daemons_that_a_version_probe_starts() {
    let context = TestContext::new();
    let daemon = context.script("daemon", "#!/bin/sh\nsetsid sleep 600 &\necho daemon 1.0\n");
    let other = context.script("other", "#!/bin/sh\necho other 2.0\n");
    // The first provider does not probe the program itself.
    context.provider(
        "p",
        &format!(
            "#!/bin/sh\necho '{{\"type\":\"Binary\",\"name\":\"daemon\",\"abspath\":\"{}\"}}'\n",
            daemon.display()
        ),
    );
    let paths = [&daemon, &other].map(|path| path.to_str().unwrap());
    let by_rigup: &[&str] = &["install", "daemon", "--binproviders", "p"];
    for args in [by_rigup, &["load", paths[1], paths[0]]] {
        let output = context.run(args).succeeds();
        assert!(output.records().iter().any(|record| record["version"] == "1.0"), "{}", output.stdout);
        assert!(!output.stderr.contains("warning"), "{}", output.stderr);
        assert_eq!(context.live_processes(), []);
    }
}

#[test]
fn rejects_a_version_that_is_not_a_short_line() {
    let context = TestContext::new();
    let tool = context.script("tool", "#!/bin/sh\necho tool 1.0\n");
    for (key, version) in
        [("version", r"1.0\u001b[31m"), ("package_version", r"1.0\n2"), ("version", &"1".repeat(201))]
    {
        let record = format!(
            r#"{{"type":"Binary","name":"tool","abspath":"{}","{key}":"{version}"}}"#,
            tool.display()
        );
        context.provider("p", &format!("#!/bin/sh\ncat <<'END'\n{record}\nEND\n"));
        let record = context.run(&["install", "tool", "--binproviders", "p"]).exits_with(1).record();
        let reason =
            format!("the {key} in the record contains a control character or has more than 200 characters");
        let attempt = &record["attempts"][0];
        assert_eq!((&attempt["outcome"], &attempt["reason"]), (&"rejected".into(), &reason.into()));
    }
}

#[test]
fn ignores_the_environment_in_a_binary_record_and_stores_none_of_it() {
    let mut context = TestContext::new();
    context.set("MY_SECRET_TOKEN", "canary-7f3a");
    let hook = r#"#!/bin/sh
printf '#!/bin/sh\necho 1.0\n' >x && chmod +x x
echo '{"type":"Other","env":{"kept":true}}'
echo "{\"type\":\"Binary\",\"name\":\"x\",\"abspath\":\"$PWD/x\",\"version\":\"1.0\",\"env\":{\"T\":\"$MY_SECRET_TOKEN\"}}"
"#;
    context.provider("leaky", hook);
    context.run(&["install", "x", "--binproviders", "leaky"]).succeeds();
    let process = context.hook_processes().remove(0);
    assert!(process["stdout_tail"].as_str().unwrap().contains("kept"));
    let found =
        std::process::Command::new("grep").args(["-rl", "canary-7f3a"]).arg(context.path("data")).output();
    assert_eq!(String::from_utf8_lossy(&found.unwrap().stdout), "", "no file contains the secret");
}

/// Asserts that each provider's package for the binary `x` is the expected one if the hook has this option.
fn assert_packages(option: &str, expected: &[(&str, &str)]) {
    let context = TestContext::new();
    for (provider, package) in expected {
        let args = ["hook", "packages", "--provider", provider, "--", "--name=x", option];
        assert_eq!(context.run(&args).succeeds().stdout, format!("{package}\n"), "{provider}");
    }
}

#[test]
fn hook_packages_limits_releases_if_the_package_manager_can() {
    let expected = [
        ("pip", "x<=3.0.0"),
        ("uv", "x<=3.0.0"),
        ("npm", "x@<=3.0.0"),
        ("pnpm", "x@<=3.0.0"),
        ("cargo", "x@<=3.0.0"),
        ("gem", "x:<=3.0.0"),
        ("go", "x"),
        ("apt", "x"),
        ("dnf", "x"),
        ("zypper", "x<=3.0.0"),
        ("pacman", "x<=3.0.0"),
        ("brew", "x"),
    ];
    assert_packages("--max-version=3", &expected);
}

#[test]
fn hook_packages_writes_a_short_exact_version_so_that_it_is_no_range() {
    let expected = [
        ("pip", "x==7.5"),
        ("uv", "x==7.5"),
        ("npm", "x@7.5.0"),
        ("pnpm", "x@7.5.0"),
        ("cargo", "x@7.5.0"),
        ("go", "x@v7.5.0"),
        ("gem", "x:7.5"),
        ("apt", "x=7.5"),
        ("dnf", "x=7.5"),
    ];
    assert_packages("--exact-version=7.5", &expected);
}

#[test]
fn hook_packages_adds_the_exact_version_to_each_package() {
    let context = TestContext::new();
    let packages = |arguments: &[&str]| {
        let args = ["hook", "packages", "--provider", "pip", "--pin", "=={}", "--"];
        context.run(&[&args, arguments].concat()).succeeds().stdout
    };
    assert_eq!(packages(&["--name=x", "--exact-version=1.2"]), "x==1.2\n");
    assert_eq!(packages(&["--name=x"]), "x\n");
    let overrides = r#"--overrides={"pip":{"install_args":["--no-deps","y[z]","w"]}}"#;
    assert_eq!(packages(&["--name=x", "--exact-version=1.2", overrides]), "--no-deps\ny[z]==1.2\nw\n");
}

#[test]
fn a_usage_error_of_the_toolkit_ends_the_hook_and_is_the_reason() {
    for (call, reason) in [
        ("begin --provder x", "exit code 2: unexpected argument '--provder' found"),
        ("begin", "exit code 2: the following required arguments were not provided: --provider <NAME>"),
        ("beginn --provider x", "exit code 2: unrecognized subcommand 'beginn'"),
    ] {
        let context = TestContext::new();
        let hook =
            format!("#!/bin/sh\nset -eu\neval \"$(\"$RIGUP\" hook {call} -- \"$@\")\"\necho after >&2\n");
        context.provider("x", &hook);
        let output = context.run(&["install", "tool", "--binproviders", "x"]).exits_with(1);
        let attempt = output.record()["attempts"][0].clone();
        assert_eq!((attempt["outcome"].as_str(), attempt["reason"].as_str()), (Some("failed"), Some(reason)));
    }
}

#[test]
fn hooks_for_python_packages_find_the_real_python_before_the_shims() {
    let mut context = TestContext::new();
    let [real, tools, shims] = ["real", "tools", "shims"].map(|folder| context.path(folder));
    let shim = format!(
        "#!/bin/sh\npwd >>{}\necho {}\n",
        context.path("log").display(),
        real.join("python3").display()
    );
    context.script("shims/python3", &shim);
    context.script("real/python3", "#!/bin/sh\n");
    let plain = format!("{}:{}:/usr/bin:/bin", tools.display(), shims.display());
    context.set("PATH", &plain);
    context.provider("recorder", "#!/bin/sh\necho \"$PATH\" >>\"$DATA_DIR/paths\"\n");
    let install = ["install", "x", "y", "--binproviders", "recorder"];
    let paths = |context: &TestContext| {
        context.run(&install).exits_with(1);
        let paths = fs::read_to_string(context.path("data/paths")).unwrap();
        fs::remove_file(context.path("data/paths")).unwrap();
        paths.lines().map(|path| path.split_once(':').unwrap().1.to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(paths(&context), [plain.clone(), plain.clone()]);
    let config = json!({"type": "object", "metadata": "dist-info"});
    context.write("here/providers/recorder/config.json", config.to_string());
    let with_real =
        plain.replace(shims.to_str().unwrap(), &format!("{}:{}", real.display(), shims.display()));
    assert_eq!(paths(&context), [with_real.clone(), with_real]);
    let starts = fs::read_to_string(context.path("log")).unwrap();
    assert_eq!(starts, "/\n", "the shim runs once, and no version file of a project counts");
}
