//! `rigup completions`: real shells that complete the command line, and what rigup offers them.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};

use nix::sys::stat::Mode;
use serde_json::json;

use crate::pty::start_on_pty;
use crate::test_context::{CommandOutput, TestContext, wait_until};

/// Returns the values, each with its description after a tab, that complete the last word of a line.
fn complete(context: &TestContext, words: &[&str]) -> Vec<String> {
    let args = [&["--", "rigup"], words].concat();
    let output = context.command(&args).env("RIGUP_COMPLETE", "fish").output().unwrap();
    let output = CommandOutput::new(&args, &output).succeeds();
    assert_eq!(output.stderr, "", "{words:?}");
    output.stdout.lines().map(str::to_owned).collect()
}

/// Returns the values without their descriptions.
fn values(context: &TestContext, words: &[&str]) -> Vec<String> {
    let completed = complete(context, words).into_iter();
    completed.map(|line| line.split('\t').next().unwrap_or_default().to_owned()).collect()
}

/// Returns the script for a shell, as a file.
fn script(context: &TestContext, shell: &str) -> String {
    let text = context.run(&["completions", shell]).succeeds().stdout;
    context.write(&format!("{shell}-script"), text).to_str().unwrap().to_owned()
}

/// Returns a context in which `tool-one` is installed, and `tool-two` is required.
fn context() -> TestContext {
    let context = TestContext::new();
    context.fixture("good");
    let line = |name: &str| json!({"type": "Binary", "name": name, "binproviders": "good"});
    context.plugin("plain", &[line("tool-one"), line("tool-two"), line("tool@3.12")]);
    context.run(&["install", "tool-one"]).succeeds();
    context
}

/// Types a line into a shell on a terminal, and returns the words that it runs.
fn type_line(context: &mut TestContext, shell: &[&str], setup: &str, line: &str) -> String {
    let file = context.path("words");
    let _ = fs::remove_file(&file);
    let (mut terminal, mut child) = start_on_pty(context, shell, 80);
    let mut screen = terminal.try_clone().unwrap();
    let reader = std::thread::spawn(move || {
        let mut shown = Vec::new();
        let _ = screen.read_to_end(&mut shown);
        String::from_utf8_lossy(&shown).into_owned()
    });
    let run = format!("printf '<%s>' \"$@\" >'{}'", file.display());
    let function = match shell[0] {
        "fish" => format!("function rigup; {}; end", run.replace("\"$@\"", "$argv")),
        _ => format!("rigup() {{ {run}; }}"),
    };
    write!(terminal, "{setup}\n{function}\n{line}\nexit\n").unwrap();
    wait_until("the shell has exited", || child.try_wait().unwrap().is_some());
    let shown = reader.join().unwrap();
    fs::read_to_string(file).unwrap_or_else(|error| panic!("{error}: {shown}"))
}

/// The words with which a shell is started that reads no file of the user.
const BASH: [&str; 4] = ["bash", "--norc", "--noprofile", "-i"];
const FISH: [&str; 3] = ["fish", "-N", "-i"];
const ZSH: [&str; 3] = ["zsh", "-f", "-i"];

/// Completes words that bash splits, or after which the user goes on typing, in a shell on a terminal.
fn completes_words_with_colons_and_equals_signs(context: &mut TestContext, shell: &[&str], setup: &str) {
    for (line, words) in [
        ("rigup install goo\ttool-t\tx", "<install><good:tool-two><x>"),
        ("rigup uninstall good:t\tx", "<uninstall><good:tool-one><x>"),
        ("rigup which goo\t\tx", "<which><good:tool-one><x>"),
        ("rigup install good: tool-t\tx", "<install><good:><tool-two><x>"),
        ("rigup install tool@3.1\tx", "<install><tool@3.12><x>"),
        ("rigup install --binproviders=goo\tx", "<install><--binproviders=good><x>"),
        ("rigup config set A= MIN_\t7", "<config><set><A=><MIN_RELEASE_AGE=7>"),
    ] {
        assert_eq!(type_line(context, shell, setup, line), words, "{line:?}");
    }
}

#[test]
fn bash_completes_a_line_that_is_typed() {
    let mut context = context();
    let setup = format!("source {}", script(&context, "bash"));
    let mut typed = |line| type_line(&mut context, &BASH, &setup, line);
    assert_eq!(typed("rigup whi\ttool\t--al\t"), "<which><tool-one><--all>");
    assert_eq!(typed("rigup install --binproviders goo\tx"), "<install><--binproviders><good><x>");
    // The cursor is in the word.
    assert_eq!(typed("rigup which good:to-one\x1b[D\x1b[D\x1b[D\x1b[D\to"), "<which><good:tool-oneo-one>");
    completes_words_with_colons_and_equals_signs(&mut context, &BASH, &setup);
}

#[test]
fn bash_starts_a_rigup_whose_path_has_to_be_quoted() {
    let mut context = context();
    let rigup = context.path("it's $HOME/rigup");
    fs::create_dir(rigup.parent().unwrap()).unwrap();
    assert!(Command::new("cp").arg(env!("CARGO_BIN_EXE_rigup")).arg(&rigup).status().unwrap().success());
    let output = context.command_for(&rigup, &["completions", "bash"]).output().unwrap();
    let script = context.write("script", output.stdout);
    let setup = format!("source {}", script.display());
    assert_eq!(type_line(&mut context, &BASH, &setup, "rigup whi\ttool\t"), "<which><tool-one>");
}

#[test]
fn zsh_completes_a_line_that_is_typed() {
    let mut context = context();
    if which::which("zsh").is_err() {
        return;
    }
    let script = script(&context, "zsh");
    let setup = format!("autoload -U compinit; compinit -u -D; source {script}");
    let typed = type_line(&mut context, &ZSH, &setup, "rigup whi\ttool\t--al\t");
    assert_eq!(typed, "<which><tool-one><--all>");
    completes_words_with_colons_and_equals_signs(&mut context, &ZSH, &setup);
}

#[test]
fn fish_completes_a_line_with_descriptions() {
    let mut context = context();
    if which::which("fish").is_err() {
        return;
    }
    let setup = format!("source {}", script(&context, "fish"));
    let commands = format!("{setup}; complete -C 'rigup which t'");
    let args = ["-N", "-c", &commands];
    let output = context.command_for(Path::new("fish"), &args).output().unwrap();
    let output = CommandOutput::new(&args, &output).succeeds();
    assert_eq!(output.stdout, "tool-one\tgood 2.0.1\n");
    completes_words_with_colons_and_equals_signs(&mut context, &FISH, &setup);
}

#[test]
fn elvish_completes_a_line_that_is_typed() {
    let mut context = context();
    if which::which("elvish").is_err() {
        return;
    }
    let (script, words) = (script(&context, "elvish"), context.path("words"));
    let (mut terminal, mut child) = start_on_pty(&mut context, &["elvish", "-norc"], 80);
    let (mut screen, shown) = (terminal.try_clone().unwrap(), Arc::new(Mutex::new(Vec::new())));
    let reader = std::thread::spawn({
        let shown = Arc::clone(&shown);
        move || {
            let mut part = [0; 4096];
            while let Ok(size @ 1..) = screen.read(&mut part) {
                shown.lock().unwrap().extend_from_slice(&part[..size]);
            }
        }
    });
    let function = format!("fn rigup {{|@words| print '<'(str:join '><' $words)'>' > {} }}", words.display());
    let prompt = "set edit:prompt = { print ready-(+ 1 1)' ' }";
    writeln!(terminal, "use str; eval (slurp < {script}); {function}; {prompt}").unwrap();
    // Before that, a tab is a part of what was pasted.
    let is_ready = || String::from_utf8_lossy(&shown.lock().unwrap()).contains("ready-2");
    wait_until("elvish shows the prompt", is_ready);
    // elvish ends no word with a space.
    writeln!(terminal, "rigup whi\t goo\ttool\t x\nexit").unwrap();
    wait_until("elvish has exited", || child.try_wait().unwrap().is_some());
    reader.join().unwrap();
    let words = fs::read_to_string(words);
    assert_eq!(words.ok().as_deref(), Some("<which><good:tool-one><x>"), "{:?}", shown.lock().unwrap());
}

#[test]
fn the_other_shells_get_a_script_for_rigup() {
    let context = TestContext::new();
    for shell in ["elvish", "powershell", "pwsh"] {
        let script = context.run(&["completions", shell]).succeeds().stdout;
        assert!(
            script.contains("RIGUP_COMPLETE") && script.contains(env!("CARGO_BIN_EXE_rigup")),
            "{script}"
        );
    }
    context.run(&["completions", "csh"]).exits_with(2).stderr_contains("bash, elvish, fish, powershell, zsh");
    assert!(!context.path("data").exists());
}

#[test]
fn names_of_every_kind_complete_the_arguments_that_take_them() {
    let mut context = context();
    context.script("here/plugins/plain/on_Snapshot__10_page.sh", "#!/bin/sh\n");
    let config = json!({
        "type": "object",
        "properties": {"PLAIN_DEPTH": {"type": "integer", "default": 1}, "PLAIN_BINARY": {"type": "string", "default": "x"}},
        "required_binaries": [{"name": "tool-three"}, {"name": "{PLAIN_BINARY}"}],
    });
    context.write("here/plugins/plain/config.json", config.to_string());
    context.write("here/rigup.toml", "[daemons.web]\ncommand = [\"true\"]\n");
    context.run(&["start", "--slug", "nightly", "--", "sleep", "600"]).succeeds();
    let run = context.run(&["process", "list", "--slug", "nightly"]).succeeds().record();
    let id = run["id"].as_str().unwrap();
    let short_id = &id[id.len() - 8..];
    let hook = context.hook_processes().remove(0)["id"].as_str().unwrap().to_owned();
    let hook_id = hook[hook.len() - 8..].to_owned();
    for (words, expected) in [
        (&["which", ""][..], &["tool-one", "good:"][..]),
        (&["install", "tool-"], &["tool-one", "tool-three", "tool-two"]),
        (&["install", "p"], &["pip:", "pnpm:", "pacman:", "podman:", "playwright:", "puppeteer:"]),
        (&["install", "sy"], &["system:"]),
        (&["install", "--binproviders", "pip,sy"], &["pip,system"]),
        (&["install", "good:"], &["good:tool-one", "good:tool-three", "good:tool-two", "good:tool@3.12"]),
        (&["lock", "pip:"], &["pip:tool-three"]),
        (&["load", "none:"], &[]),
        (&["upgrade", "g"], &["good:"]),
        (&["uninstall", "good:t"], &["good:tool-one"]),
        (&["uninstall", "pip:"], &[]),
        (&["binary", "show", ""], &["tool-one"]),
        (&["install", "--plugins", "plai"], &["plain"]),
        (&["install", "--plugins", "x,plai"], &["x,plain"]),
        (&["install", "--binproviders", "pip,go"], &["pip,go", "pip,good"]),
        (&["install", "--binproviders", "pip,go,good,pi"], &[]),
        (&["install", "--binproviders=pip,pi"], &[]),
        (&["install", "--plugins", "plain,plai"], &[]),
        (&["run", "--hooks=page,pa"], &[]),
        (&["process", "kill", "-s", "USR"], &["USR1", "USR2"]),
        (&["process", "replay", ""], &[short_id, &hook_id]),
        (&["plugin", "show", "plai"], &["plain"]),
        (&["run", "Sn"], &["Snapshot"]),
        (&["run", "--hooks", "pa"], &["page"]),
        (&["hook", "list", "S"], &["Snapshot"]),
        (&["config", "MIN_"], &["MIN_RELEASE_AGE"]),
        (&["config", "PLAIN_D"], &["PLAIN_DEPTH"]),
        (&["config", "set", "MIN_"], &["MIN_RELEASE_AGE="]),
        (&["process", "list", "--slug", ""], &["nightly"]),
        (&["process", "wait", ""], &[short_id]),
        (&["logs", short_id], &[short_id]),
        (&["up", ""], &["web"]),
        (&["exec", "--", "to"], &["tool-one"]),
        (&["exec", "--", "cat", "rig"], &["rigup.toml"]),
        (&["generate", "systemd", "-f", "rig"], &["rigup.toml"]),
        (&["completions", "z"], &["zsh"]),
    ] {
        assert_eq!(values(&context, words), expected, "{words:?}");
    }
    let described = format!("{short_id}\trunning: nightly: sleep 600");
    assert_eq!(complete(&context, &["process", "kill", ""]), [described]);
    context.run(&["process", "kill", short_id]).succeeds();
    // The folders on the line count, and not those of the environment.
    let folder = context.path("data").to_str().unwrap().to_owned();
    context.set("RIGUP_DATA_DIR", context.path("other"));
    assert_eq!(values(&context, &["--data-dir", &folder, "which", "t"]), ["tool-one"]);
    assert_eq!(values(&context, &["which", "--data-dir", &folder, "t"]), ["tool-one"]);
}

#[test]
fn options_are_offered_once_a_dash_is_typed() {
    let context = context();
    assert_eq!(values(&context, &["which", "--"]), ["--all", "--help"]);
    assert_eq!(values(&context, &["which", "--q"]), ["--quiet"]);
    let commands = values(&context, &[""]);
    assert!(commands.contains(&"install".to_owned()) && commands.iter().all(|word| !word.starts_with('-')));
}

#[test]
fn names_that_a_shell_would_expand_are_not_offered() {
    let context = TestContext::new();
    context.fixture("good");
    let hostile = ["$(touch x)", "`id`", "a b", "a;b", "a\nb", "plain", "a\u{1b}[31mb"];
    let lines = hostile.map(|name| json!({"type": "Binary", "name": name, "binproviders": "good"}));
    context.plugin("p", &lines);
    for name in ["~root", "=ls", "-dash"] {
        context.plugin(name, &lines);
    }
    let plugins = values(&context, &["plugin", "show", ""]);
    assert!(plugins.iter().any(|name| name == "p"), "{plugins:?}");
    assert!(!plugins.iter().any(|name| name.starts_with(['~', '=', '-']) && name.len() > 2), "{plugins:?}");
    context.write("here/$(touch x)", "");
    context.write("here/a b", "");
    context.run(&["install"]);
    for command in ["install", "which"] {
        let mut offered = values(&context, &[command, ""]);
        offered.retain(|value| !value.ends_with(':'));
        assert_eq!(offered, ["plain"], "{command}");
    }
    let file = script(&context, "bash");
    let line = "COMP_WORDS=(rigup apply ''); COMP_CWORD=2; _clap_complete_rigup rigup '' apply";
    let bash = format!("source {file}; {line}; printf '%s\\n' \"${{COMPREPLY[@]}}\"");
    let output = context.command_for(Path::new("bash"), &["-c", &bash]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), ".\nplugins/\nproviders/\n");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

#[test]
fn nothing_is_created_changed_or_reported() {
    let context = TestContext::new();
    let all = [&["which", ""][..], &["install", ""], &["process", "show", ""], &["up", ""], &["config", "x"]];
    let silent = |context: &TestContext| {
        for words in all {
            let offered = values(context, words);
            assert!(
                offered.iter().all(|value| value.starts_with('-') || value.ends_with(':')),
                "{words:?}: {offered:?}"
            );
        }
    };
    silent(&context);
    assert!(!context.path("data").exists());

    context.run(&["install", "none", "--binproviders", "env"]).exits_with(1);
    let files = || {
        let mut names: Vec<_> =
            fs::read_dir(context.path("data")).unwrap().map(|file| file.unwrap().file_name()).collect();
        names.sort();
        names
    };
    let before = files();
    assert_eq!(values(&context, &["binary", "show", ""]), ["none"]);
    assert_eq!(files(), before);

    // A store that is damaged, a pipe, or in a folder that others can write to.
    let store = context.path("data/rigup.sqlite3");
    let sound = fs::read(&store).unwrap();
    fs::write(&store, [&sound[..sound.len() / 2], &[b'x'; 4000]].concat()).unwrap();
    context.write("here/plugins/broken/binaries.jsonl", "{");
    context.write("here/plugins/broken/config.json", "[");
    context.write("here/rigup.toml", "[daemons");
    silent(&context);
    fs::remove_file(&store).unwrap();
    nix::unistd::mkfifo(&store, Mode::S_IRWXU).unwrap();
    silent(&context);
    fs::remove_file(&store).unwrap();
    fs::write(&store, &sound).unwrap();
    fs::set_permissions(context.path("data"), fs::Permissions::from_mode(0o777)).unwrap();
    silent(&context);
    // Words that clap_complete cannot follow.
    assert_eq!(values(&context, &["run", "--timeout", "--none", "x"]), [""; 0]);
}
