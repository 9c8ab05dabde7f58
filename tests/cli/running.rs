//! Installed means that it runs: programs that cannot run, programs that do not run through a link, and their versions.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

use serde_json::{Value, json};

use crate::test_context::{TestContext, wait_until};

/// Returns the attempts of a failed install with the provider env, as pairs of outcome and reason.
fn attempts(context: &TestContext, name: &str) -> Vec<(String, String)> {
    let record = context.run(&["install", name, "--binproviders", "env"]).exits_with(1).record();
    let text = |attempt: &Value, key: &str| attempt[key].as_str().unwrap().to_owned();
    record["attempts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|attempt| (text(attempt, "outcome"), text(attempt, "reason")))
        .collect()
}

/// Creates a context whose PATH begins with `tools`.
fn context_with_tools() -> TestContext {
    let mut context = TestContext::new();
    let path = format!("{}:/usr/bin:/bin", context.path("tools").display());
    context.set("PATH", path);
    context
}

#[test]
fn a_program_that_cannot_run_is_rejected_and_the_next_provider_tried() {
    let context = context_with_tools();
    for (name, content, reason) in [
        (
            "gone",
            b"#!/opt/gone/python3\n".as_slice(),
            "needs the interpreter \"/opt/gone/python3\", which does not exist",
        ),
        ("fails", b"#!/bin/sh\nexec /no/such/file\n", "cannot run: `--version` exits with 127"),
        ("crashes", b"#!/bin/sh\nkill -SEGV $$\n", "cannot run: `--version` makes it crash with SIGSEGV"),
        (
            "stub",
            b"#!/bin/sh\necho stub failed to install correctly; exit 1\n",
            "stub failed to install correctly",
        ),
    ] {
        context.script(&format!("tools/{name}"), "");
        fs::write(context.path("tools").join(name), content).unwrap();
        let [(outcome, found)] = attempts(&context, name).try_into().unwrap();
        assert!(outcome == "rejected" && found.contains(reason), "{name}: {outcome} {found}");
        assert!(!context.bin(name).is_symlink());
    }
    context.fixture("good");
    let record = context.run(&["install", "fails", "--binproviders", "env,good"]).succeeds().record();
    assert_eq!(record["binprovider"], "good");
}

#[test]
fn the_record_of_any_hook_is_rejected_if_its_program_cannot_run() {
    let context = TestContext::new();
    let broken = context.script("broken", "#!/bin/sh\nexit 127\n");
    let record = json!({"type": "Binary", "name": "x", "abspath": broken, "version": "1.0"});
    context.provider("raw", &format!("#!/bin/sh\necho '{record}'\n"));
    context.provider(
        "tool",
        &format!(
            "#!/bin/sh\n\"$RIGUP\" hook binary --provider tool --abspath '{}' -- \"$@\"\n",
            broken.display()
        ),
    );
    for provider in ["raw", "tool"] {
        let failed = context.run(&["install", "x", "--binproviders", provider]).exits_with(1).record();
        let attempt = &failed["attempts"][0];
        assert_eq!(attempt["outcome"], "rejected", "{attempt}");
        let expected = format!("{} cannot run: `--version` exits with 127", broken.display());
        assert!(attempt["reason"].as_str().unwrap().ends_with(&expected), "{attempt}");
    }
    context.run(&["binary", "create", "--name", "x", "--abspath", broken.to_str().unwrap()]).exits_with(1);

    // Opening a FIFO waits for a writer.
    let fifo = context.path("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let create = ["binary", "create", "--name", "x", "--abspath", fifo.to_str().unwrap()];
    context.run(&create).exits_with(1).stderr_contains("is not a file");
}

#[test]
fn a_program_whose_interpreter_is_gone_is_installed_again() {
    let context = TestContext::new();
    fs::create_dir(context.path("interpreters")).unwrap();
    let interpreter = context.path("interpreters/sh");
    symlink("/bin/sh", &interpreter).unwrap();
    let tool = context.path("tool");
    context.provider(
        "p",
        &format!(
            "#!/bin/sh\nprintf '#!%s\\necho tool 1.0\\n' \"$(ls '{}'/*)\" >'{tool}'\nchmod +x '{tool}'\n\
             \"$RIGUP\" hook binary --provider p --abspath '{tool}' -- \"$@\"\n",
            context.path("interpreters").display(),
            tool = tool.display()
        ),
    );
    let install = || context.run(&["install", "tool", "--binproviders", "p"]).succeeds();
    install();
    install();
    assert_eq!(context.hook_processes().len(), 1);
    fs::rename(&interpreter, context.path("interpreters/sh2")).unwrap();
    context.run(&["load", "tool"]).exits_with(1);
    let next_step = "which does not exist; run `rigup install tool`";
    context.run(&["exec", "--", "tool"]).exits_with(127).stderr_contains(next_step);
    install();
    context.run(&["exec", "--", "tool"]).succeeds();
}

#[test]
fn commands_get_only_four_variables_on_top_of_the_callers_environment() {
    let mut context = TestContext::new();
    context.set("DATA_DIR", "/other").set("NODE_PATH", "/modules");
    let run = context.run(&["start", "--slug", "s", "--", "env"]).succeeds().record();
    let id = run["id"].as_str().unwrap();
    context.run(&["process", "wait", id]).succeeds();
    let callers = ["DATA_DIR", "HOME", "NODE_PATH", "RIGUP_TEST_CONTEXT"];
    let added = ["PATH", "RIGUP", "RIGUP_DATA_DIR", "RIGUP_PROCESS_ID"];
    for (output, of_run) in [
        (context.run(&["exec", "--", "env"]).succeeds(), &[][..]),
        (context.run(&["process", "logs", "--stream", "stdout", id]).succeeds(), &["RIGUP_RUN_DIR"]),
    ] {
        let mut names: Vec<&str> =
            output.stdout.lines().map(|line| line.split_once('=').unwrap().0).collect();
        let mut expected = [&callers, &added, of_run].concat();
        names.sort_unstable();
        expected.sort_unstable();
        assert_eq!(names, expected);
        assert!(
            output.stdout.contains("DATA_DIR=/other\n") && output.stdout.contains("NODE_PATH=/modules\n")
        );
    }
}

#[test]
fn a_script_without_a_shebang_is_run_by_a_shell_and_gets_a_wrapper() {
    let mut context = TestContext::new();
    let script = context.script("tools/bare", "# A launcher of npm's.\necho \"bare 1.2.3 $1\"\n");
    context.set("PATH", format!("{}:/usr/bin:/bin", script.parent().unwrap().display()));
    let record = context.run(&["install", "bare", "--binproviders", "env"]).succeeds().record();
    assert_eq!((&record["version"], &record["needs_wrapper"]), (&json!("1.2.3"), &json!(true)));
    // The kernel starts the wrapper.
    let output = Command::new(context.bin("bare")).arg("x").output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "bare 1.2.3 x\n");
    let path = script.to_str().unwrap();
    assert_eq!(context.run(&["exec", "--", path, "y"]).succeeds().stdout, "bare 1.2.3 y\n");
    fs::write(&script, "no comment\n").unwrap();
    context.run(&["exec", "--", path]).exits_with(126).stderr_contains("has no executable format");
}

#[test]
fn a_program_that_does_not_run_through_a_link_gets_a_wrapper() {
    let context = context_with_tools();
    context.script("libexec/real", "#!/bin/sh\necho \"real 4.5 $*\"\n");
    let program =
        context.script("tools/tool", "#!/bin/sh\nexec \"$(dirname \"$0\")/../libexec/real\" \"$@\"\n");
    let install = || context.run(&["install", "tool", "--binproviders", "env"]).succeeds().record();
    assert_eq!(install()["version"], "4.5");
    let output = context.run(&["exec", "--", "tool", "a b"]).succeeds();
    assert_eq!(output.stdout, "real 4.5 a b\n");
    let wrapper = fs::read_to_string(context.bin("tool")).unwrap();
    install();
    for changed in ["missing", "edited"] {
        match changed {
            "missing" => fs::remove_file(context.bin("tool")).unwrap(),
            _ => fs::write(context.bin("tool"), wrapper.replace("exec ", "exec env ")).unwrap(),
        }
        context.run(&["install", "tool", "--binproviders", "env", "--force"]).succeeds();
        assert_eq!(fs::read_to_string(context.bin("tool")).unwrap(), wrapper, "{changed}");
    }
    fs::remove_file(context.bin("tool")).unwrap();
    install();
    assert_eq!(fs::read_to_string(context.bin("tool")).unwrap(), wrapper);
    // The file of another record with the wrapper in between would call itself.
    let bin = context.bin("tool");
    context
        .run(&["binary", "create", "--name", "other", "--abspath", bin.to_str().unwrap()])
        .exits_with(1)
        .stderr_contains("is a link that rigup creates; name the file that it leads to");
    context.run(&["binary", "delete", "tool", "--yes"]).succeeds();
    assert!(!context.bin("tool").exists() && program.exists());
}

#[test]
fn the_python_of_a_venv_keeps_its_packages() {
    let mut context = TestContext::new();
    let python = "import venv; venv.create('venv')";
    let made = context.command_for("/usr/bin/python3".as_ref(), &["-c", python]).status().unwrap();
    assert!(made.success());
    context.set("PATH", format!("{}:/usr/bin:/bin", context.path("here/venv/bin").display()));
    context.run(&["install", "python3", "--binproviders", "env"]).succeeds();
    let output = context.run(&["exec", "--", "python3", "-c", "import sys; print(sys.prefix)"]).succeeds();
    assert_eq!(output.stdout.trim(), context.path("here/venv").to_str().unwrap());
}

#[test]
fn version_args_in_the_requirement_replace_the_usual_arguments() {
    let context = context_with_tools();
    context
        .script("tools/tool", "#!/bin/sh\n[ \"$1$2\" = showversion ] && echo 3.2.1 || { : >ran; exit 1; }\n");
    let overrides = json!({"env": {"version_args": ["show", "version"]}});
    context.plugin("p", &[json!({"type": "Binary", "name": "tool", "binproviders": "env", "min_version": "3.2", "overrides": overrides})]);
    assert_eq!(context.run(&["install"]).succeeds().record()["version"], "3.2.1");
}

#[test]
fn a_changed_override_takes_effect_and_force_probes_again() {
    let context = context_with_tools();
    let answer = context.write("answer", "echo 1.0");
    let tool = context.script("tools/tool", &format!("#!/bin/sh\n. '{}'\n", answer.display()));
    let install = |overrides: Value, args: &[&str]| {
        let overrides = json!({"env": overrides});
        context.plugin(
            "p",
            &[json!({"type": "Binary", "name": "tool", "binproviders": "env", "overrides": overrides})],
        );
        context.run(&[&["install"], args].concat()).succeeds().record()["version"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    assert_eq!(install(json!({}), &[]), "1.0");
    assert_eq!(install(json!({"version": "5.0"}), &[]), "5.0");
    assert_eq!(install(json!({"version": "6.0", "abspath": tool}), &[]), "6.0");
    fs::write(&answer, "echo \"$1\"").unwrap();
    assert_eq!(install(json!({"version_args": ["7.0"]}), &[]), "7.0");
    assert_eq!(install(json!({"version_args": ["8.0"], "abspath": tool}), &[]), "8.0");
    fs::write(&answer, "echo 9.0").unwrap();
    assert_eq!(install(json!({"version_args": ["8.0"], "abspath": tool}), &["--force"]), "9.0");
}

#[test]
fn a_program_that_was_too_slow_is_probed_again_by_the_next_install() {
    let context = TestContext::new();
    let tool = context.script("tool", "#!/bin/sh\necho 1.0\n");
    let busy = context.write("busy", "");
    context.provider(
        "p",
        &format!(
            "#!/bin/sh\n\"$RIGUP\" hook binary --provider p --abspath '{}' -- \"$@\" >out\n\
             if [ -e '{}' ]; then sed 's/\"timed_out\":false/\"timed_out\":true/' out; else cat out; fi\n",
            tool.display(),
            busy.display()
        ),
    );
    for (runs, is_busy) in [(1, true), (2, true), (3, false), (3, false)] {
        if !is_busy {
            let _ = fs::remove_file(&busy);
        }
        context.run(&["install", "tool", "--binproviders", "p"]).succeeds();
        assert_eq!(context.hook_processes().len(), runs);
    }
}

#[test]
fn a_record_for_a_path_is_for_that_file() {
    let context = TestContext::new();
    let named = context.script("opt/tool", "#!/bin/sh\necho 1.0\n");
    let other = context.script("opt/other", "#!/bin/sh\necho 1.0\n");
    let [named, other] = [named.to_str().unwrap(), other.to_str().unwrap()];
    context
        .run(&["binary", "create", "--name", named, "--abspath", other])
        .exits_with(1)
        .stderr_contains("but the name is the path of another file");
    context.run(&["binary", "create", "--name", named, "--abspath", named]).succeeds();
}

#[test]
fn a_program_that_runs_itself_through_exec_ends_with_a_reason() {
    let context = context_with_tools();
    let rigup = env!("CARGO_BIN_EXE_rigup");
    let [one, two] = ["one", "two"].map(|name| context.path(name).display().to_string());
    let exec = format!("exec '{rigup}' exec -- tool");
    for body in [
        exec.clone(),
        format!("exec env -i PATH=\"$PATH\" RIGUP_DATA_DIR='{one}' '{rigup}' exec -- tool"),
        format!(
            "case $RIGUP_DATA_DIR in '{one}') RIGUP_DATA_DIR='{two}' {exec};; *) RIGUP_DATA_DIR='{one}' {exec}; esac"
        ),
    ] {
        context.script("tools/tool", &format!("#!/bin/sh\n{body}\n"));
        let output = context.run(&["exec", "--", "tool"]).exits_with(3);
        let expected =
            "cannot start another rigup: 32 processes of rigup started each other, the last two being ";
        let output = output.stderr_contains(expected).stderr_contains("rigup exec -- tool (pid ");
        assert_eq!(output.stderr.matches(expected).count(), 1);
    }
}

#[test]
fn a_chain_of_runs_is_not_limited() {
    let context = context_with_tools();
    let (rigup, left) = (env!("CARGO_BIN_EXE_rigup"), context.path("left"));
    let start = format!("'{rigup}' start --slug chain -- tool");
    let body = format!("echo >>'{0}'; [ $(wc -l <'{0}') -ge 40 ] || {start} >/dev/null", left.display());
    context.script("tools/tool", &format!("#!/bin/sh\n{body}\n"));
    context.run(&["start", "--slug", "chain", "--", "tool"]).succeeds();
    wait_until("the last run of the chain", || {
        fs::read_to_string(&left).is_ok_and(|text| text.len() == 40) && context.live_processes().is_empty()
    });
}

#[test]
fn a_tmpdir_that_does_not_exist_is_replaced() {
    let mut context = context_with_tools();
    context.set("TMPDIR", "/no/such/folder");
    context.script("tools/tool", "#!/bin/sh\necho 1.0\n");
    let output = context.run(&["install", "tool", "--binproviders", "env"]).succeeds();
    let output = output.stderr_contains("TMPDIR=/no/such/folder is not a writable folder");
    assert_eq!(output.record()["version"], "1.0");
}

#[test]
fn a_program_that_leads_through_lib_bin_dir_is_skipped_on_path() {
    let mut context = context_with_tools();
    context.script("tools/tool", "#!/bin/sh\necho 1.0\n");
    let install = |context: &TestContext, data: &str| {
        let args = ["--data-dir", data, "install", "tool", "--binproviders", "env", "--force"];
        context.run(&args).succeeds().record()
    };
    let [one, two] = ["one", "two"].map(|name| context.path(name).display().to_string());
    let bin = |data: &str| format!("{data}/lib/{}/bin", rigup::settings::platform());
    install(&context, &one);
    context.set(
        "PATH",
        format!("{}:{}:{}:/usr/bin:/bin", bin(&one), bin(&two), context.path("tools").display()),
    );
    install(&context, &two);
    assert_eq!(install(&context, &one)["abspath"], context.path("tools/tool").to_str().unwrap());
}

#[test]
fn a_program_without_a_version_is_probed_again_when_one_is_needed() {
    let context = context_with_tools();
    let answer = context.write("answer", "exit 1");
    context.script("tools/tool", &format!("#!/bin/sh\n. '{}'\n", answer.display()));
    let install = |args: &[&str]| {
        context.run(&[&["install", "tool", "--binproviders", "env"], args].concat()).succeeds().record()
    };
    assert_eq!(install(&[])["version"], "");
    fs::write(&answer, "echo 2.0").unwrap();
    assert_eq!(install(&["--min-version", "1"])["version"], "2.0");
}

#[test]
fn a_command_that_runs_a_recorded_binary_belongs_to_it() {
    let context = TestContext::new();
    let records = context.run(&["install", "sh", "bash", "--binproviders", "env"]).succeeds().records();
    let (sh, bash) = (&records[0], &records[1]);
    context.write("here/plugins/p/on_Snapshot__50_p.sh", "exit 0\n");
    context.run(&["run", "Snapshot"]).succeeds();
    assert_eq!(context.hook_processes().last().unwrap()["binary_id"], bash["id"], "bash runs the hook");
    let link = context.bin("sh");
    let other = context.script("other/sh", "#!/bin/sh\n");
    for (program, id) in [
        ("sh", &sh["id"]),
        (link.to_str().unwrap(), &sh["id"]),
        (sh["abspath"].as_str().unwrap(), &sh["id"]),
        (other.to_str().unwrap(), &Value::Null),
        ("true", &Value::Null),
    ] {
        context.run(&["exec", "--", program, "-c", "exit 0"]).succeeds();
        let executed = context.processes().last().unwrap().clone();
        let started =
            context.run(&["start", "--slug", "s", "--", program, "-c", "exit 0"]).succeeds().record();
        assert_eq!((&executed["binary_id"], &started["binary_id"]), (id, id), "{program}");
    }
    context.wait_for_waiters();
    let of_sh = context.run(&["process", "list", "--binary", "sh", "--type", "binary"]).succeeds().records();
    assert_eq!(of_sh.len(), 6);
}

#[test]
fn a_hook_belongs_to_the_binary_that_its_first_line_names() {
    let mut context = context_with_tools();
    context.script("tools/lang", "#!/bin/sh\nexec sh \"$@\"\n");
    context.script("tools/other", "#!/bin/sh\nexec sh \"$@\"\n");
    let args = ["install", "lang", "sh", "--binproviders", "env"];
    let records = context.run(&args).succeeds().records();
    let [lang, sh] = [0, 1].map(|at| &records[at]["id"]);
    let (link, file) = (context.bin("lang"), context.path("tools/lang"));
    let aliased = context.path("alias/lang");
    std::os::unix::fs::symlink(context.path("tools"), context.path("alias")).unwrap();
    // The plugin `own` sets the folder that its hooks search first.
    context.script("own/lang", "#!/bin/sh\nexec sh \"$@\"\n");
    let own = context.path("own/lang").display().to_string();
    let config = json!({"type": "object", "properties": {"OWN_BINARY": {"type": "string", "default": own}}});
    context.write("here/plugins/own/config.json", config.to_string());
    let hooks = [
        ("p", "1_name.x", "/usr/bin/env lang".to_owned(), lang),
        ("p", "2_words.x", "/usr/bin/env -S lang -e".to_owned(), lang),
        ("p", "3_link.x", link.display().to_string(), lang),
        ("p", "4_file.x", file.display().to_string(), lang),
        ("p", "5_folder.x", format!("{} -e", aliased.display()), lang),
        ("p", "6_sh.sh", "/bin/sh".to_owned(), sh),
        ("p", "7_other.x", context.path("tools/other").display().to_string(), &Value::Null),
        ("own", "8_path.x", "/usr/bin/env lang".to_owned(), &Value::Null),
        ("own", "9_link.x", link.display().to_string(), lang),
    ];
    for (plugin, name, interpreter, _) in &hooks {
        let hook = format!("#!{interpreter}\necho '{{\"type\":\"R\"}}'\n");
        context.script(&format!("here/plugins/{plugin}/on_E__{name}"), &hook);
    }
    let started = context.run(&["run", "E"]).succeeds().records();
    let started = started.iter().filter(|record| record["type"] == "Process");
    let ids: Vec<(&str, &Value)> =
        started.map(|hook| (hook["hook_name"].as_str().unwrap(), &hook["binary_id"])).collect();
    let names = hooks.each_ref().map(|hook| format!("on_E__{}", hook.1));
    let expected: Vec<(&str, &Value)> =
        names.iter().map(String::as_str).zip(hooks.iter().map(|hook| hook.3)).collect();
    assert_eq!(ids, expected);

    // A command belongs to the binary that PATH leads to, not to any of its name.
    context.set("OWN_BINARY", own);
    context.run(&["exec", "--", "lang", "-c", "exit 0"]).succeeds();
    assert_eq!(context.processes().last().unwrap()["binary_id"], Value::Null);
}
