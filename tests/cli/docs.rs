//! The examples and tables in `docs/`.

use std::collections::BTreeSet;
use std::fs;
use std::net::TcpListener;
use std::path::Path;

use crate::test_context::{TestContext, wait_until};

/// A fenced block: the text after the backticks (a language, and optionally a file) and the lines of the block.
struct Block<'a> {
    info: &'a str,
    body: String,
}

fn blocks(page: &str) -> Vec<Block<'_>> {
    let mut parts = page.split("\n```");
    parts.next();
    let mut blocks = Vec::new();
    while let (Some(block), Some(_)) = (parts.next(), parts.next()) {
        let (info, body) = block.split_once('\n').unwrap_or((block, ""));
        blocks.push(Block { info, body: body.to_owned() + "\n" });
    }
    blocks
}

/// Writes the files of a page and runs its commands, in the order of the page.
fn run_page(context: &TestContext, page: &str) {
    assert!(run_blocks(context, page) > 0, "the page has commands");
}

/// Does the same for a part of a page, and returns the number of commands.
pub(crate) fn run_blocks(context: &TestContext, page: &str) -> usize {
    let mut commands = 0;
    for Block { info, body } in blocks(page) {
        if let Some((_, path)) = info.split_once(' ') {
            context.write(&format!("here/{path}"), body);
        } else if info == "console" {
            let session = format!("\n{body}");
            for command in session.split("\n$ ").skip(1) {
                let (command, expected) = command.split_once('\n').unwrap_or((command, ""));
                check_command(context, command, expected);
                commands += 1;
            }
        }
    }
    commands
}

/// Runs a command, and asserts that its output contains the expected lines in this order. In a line, `...` stands for
/// any text.
fn check_command(context: &TestContext, command: &str, expected: &str) {
    let args = ["-c", &format!("{{ {command}\n}} 2>&1")];
    let output = context.command_for(Path::new("/bin/sh"), &args).output().unwrap();
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{command}\n{printed}");
    let mut rest = &*printed;
    for part in expected.lines().flat_map(|line| line.split("...")).filter(|part| !part.trim().is_empty()) {
        let at = rest.find(part);
        let at = at.unwrap_or_else(|| panic!("`{part}` is not in the output of `{command}`:\n{printed}"));
        rest = &rest[at + part.len()..];
    }
}

/// Creates a context with rigup on PATH.
pub(crate) fn context() -> TestContext {
    let mut context = TestContext::new();
    let rigup = Path::new(env!("CARGO_BIN_EXE_rigup")).parent().unwrap();
    context.set("PATH", format!("{}:/usr/local/bin:/usr/bin:/bin", rigup.display()));
    context
}

/// Runs each chapter of a page about daemons in a folder of its own, and asserts that no daemon is left. In the page, 8731
/// stands for a free port.
fn run_page_about_daemons(page: &str) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    drop(listener);
    let page = page.replace("8731", &port).replace("\n### ", "\n## ");
    for chapter in page.split("\n## ").filter(|chapter| chapter.contains("\n```console")) {
        let context = context();
        run_page(&context, chapter);
        // `down` returns once the next supervisor can start, a moment before this one is gone.
        wait_until("the last supervisor has exited", || context.live_processes().is_empty());
    }
}

#[test]
fn the_examples_of_docs_daemons_work() {
    run_page_about_daemons(include_str!("../../docs/daemons.md"));
}

#[test]
fn the_examples_of_docs_daemon_fields_work() {
    run_page_about_daemons(include_str!("../../docs/daemon-fields.md"));
}

#[test]
fn the_examples_of_docs_coming_from_work() {
    run_page_about_daemons(include_str!("../../docs/coming-from.md"));
}

#[test]
fn the_examples_of_docs_hooks_work() {
    run_page(&context(), include_str!("../../docs/hooks.md"));
}

#[test]
fn the_examples_of_docs_lock_work() {
    run_page(&context(), include_str!("../../docs/lock.md"));
}

#[test]
fn the_examples_of_docs_plugins_work() {
    run_page(&context(), include_str!("../../docs/plugins.md"));
}

#[test]
fn docs_reliability_names_every_test_of_its_rows_and_no_other() {
    let rows_in = |text: &str, before: &str| -> BTreeSet<String> {
        let rest = text.split(before).skip(1);
        let name =
            |text: &str| text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
        rest.map(|text| format!("row_{}", name(text))).collect()
    };
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/faults");
    let files = fs::read_dir(folder).unwrap().map(|file| fs::read_to_string(file.unwrap().path()).unwrap());
    let tests: String = files.collect();
    let mut mentioned = rows_in(include_str!("../../docs/reliability.md"), "`row_");
    mentioned.remove("row_NN_");
    assert_eq!(mentioned, rows_in(&tests, "fn row_"));
}
