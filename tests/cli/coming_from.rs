//! The tables in docs/coming-from.md: each command of rigup in them works.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use nix::sys::signal::Signal;

use crate::docs::{context, run_blocks};
use crate::test_context::{CommandOutput, TestContext, signal, wait_until};

const PAGE: &str = include_str!("../../docs/coming-from.md");

/// A provider that installs a program of any name and version.
const HOOK: &str = r#"#!/bin/sh
set -eu
eval "$("$RIGUP" hook begin --provider PROVIDER -- "$@")"
mkdir -p "$prefix"
printf '#!/bin/sh\necho "%s %s"\n' "$name" "${max_version:-9.1}" >"$prefix/$name"
chmod +x "$prefix/$name"
"$RIGUP" hook binary --provider PROVIDER --abspath "$prefix/$name" -- "$@"
"#;

/// What the built-in pip and npm enforce.
const CONFIG: &str = r#"{
    "type": "object", "properties": {}, "enforces": {"min_release_age": true, "postinstall_scripts": true}
}"#;

/// A daemon that always has something to say, for the commands that show it.
const MANIFEST: &str = "[daemons.web]\ncommand = 'while echo on; do sleep 0.1; done'\nshell = true\n";

/// Returns the commands of rigup in the tables of a chapter, in their order: those in the second column.
fn commands(chapter: &str) -> Vec<&str> {
    let rows = chapter.lines().filter(|line| line.starts_with("| "));
    let cells = rows.filter_map(|row| row.split(" | ").nth(1));
    let code = cells.flat_map(|cell| cell.split('`').skip(1).step_by(2));
    code.filter(|code| code.starts_with("rigup ") || code.contains("$(rigup ")).collect()
}

fn shell(context: &TestContext, command: &str) -> Command {
    context.command_for(Path::new("/bin/sh"), &["-c", command])
}

/// Starts a command that goes on until it is interrupted, and interrupts it once it has printed something.
fn interrupt_after_output(context: &TestContext, command: &str) {
    let log = fs::File::create(context.path("foreground")).unwrap();
    let mut child = shell(context, &format!("exec {command}"))
        .stdout(log)
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .unwrap();
    wait_until("it has printed something", || context.path("foreground").metadata().unwrap().len() > 0);
    signal(child.id(), Signal::SIGINT);
    child.wait().unwrap();
}

/// Runs the commands in the tables of the chapters with this heading in folders of their own, after the examples there.
#[test]
fn the_commands_in_the_tables_of_docs_coming_from_work() {
    let (mut count, mut failures) = (0, Vec::new());
    // The tables of the other chapters about supervisors are about the fields of their files.
    let chapters = PAGE.split("\n## ").skip(1).take_while(|chapter| !chapter.starts_with("process_pilot\n"));
    for chapter in chapters {
        let commands = commands(chapter);
        if commands.is_empty() {
            continue;
        }
        let context = context();
        for provider in ["brew", "node", "npm", "pip"] {
            context.provider(provider, &HOOK.replace("PROVIDER", provider));
            context.write(&format!("here/providers/{provider}/config.json"), CONFIG);
        }
        if chapter.starts_with("Commands of supervisors\n") {
            context.write("here/rigup.toml", MANIFEST);
        }
        run_blocks(&context, chapter);
        for command in commands {
            if matches!(command, "rigup up" | "rigup up web" | "rigup logs -f web") {
                interrupt_after_output(&context, command);
            } else {
                let output = shell(&context, command).output().unwrap();
                if !output.status.success() {
                    failures.push(format!("{command}: {}", String::from_utf8_lossy(&output.stderr)));
                }
            }
            count += 1;
        }
        CommandOutput::new(&["down"], &shell(&context, "rigup down").output().unwrap()).succeeds();
        wait_until("the last supervisor has exited", || context.live_processes().is_empty());
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert!(count > 60, "{count} commands");
}
