//! Runs the examples of the README, command by command.

use std::path::Path;

use crate::appearance::run_on_terminal;
use crate::test_context::TestContext;

const README: &str = include_str!("../../README.md");

/// Returns the fenced blocks of a section: the text after the backticks, and the lines of the block.
fn blocks(section: &str) -> Vec<(&str, String)> {
    let (_, rest) = README.split_once(&format!("\n## {section}\n")).expect("the README has the section");
    let section = rest.split("\n## ").next().unwrap_or_default();
    let mut blocks = Vec::new();
    let mut parts = section.split("\n```");
    parts.next();
    while let (Some(block), Some(_)) = (parts.next(), parts.next()) {
        let (info, body) = block.split_once('\n').unwrap_or((block, ""));
        blocks.push((info, body.to_owned() + "\n"));
    }
    blocks
}

/// Creates a context with rigup on PATH, but with no package manager that is not in /usr/bin.
fn context() -> TestContext {
    let mut context = TestContext::new();
    let rigup = Path::new(env!("CARGO_BIN_EXE_rigup")).parent().unwrap();
    context.set("PATH", format!("{}:{}:/usr/bin:/bin", context.path("tools").display(), rigup.display()));
    context
}

/// Writes the files of a section, runs the commands of its `console` blocks, and compares what they print. Returns the
/// number of files.
fn check_section(context: &TestContext, section: &str) -> usize {
    let (mut script, mut expected) = (String::from("set -e\n"), String::new());
    let mut files = 0;
    for (info, body) in blocks(section) {
        if let Some((_, path)) = info.split_once(' ') {
            context.write(&format!("here/{path}"), body);
            files += 1;
        } else if info == "console" {
            for line in body.lines() {
                if let Some(command) = line.strip_prefix("$ ") {
                    script.extend(["echo '$ ", command, "'\n", command, "\n"]);
                }
            }
            expected += &body;
        }
    }
    assert!(!expected.is_empty(), "the section {section} has a `console` block");
    let printed = run_on_terminal(context, 120, Path::new("/bin/sh"), &["-c", &script]);
    // The test sets `CI`; without it, a progress bar shows these lines.
    let printed: String = printed.split_inclusive('\n').filter(|line| !line.contains(": trying ")).collect();
    assert_eq!(normalized(&printed), normalized(&expected), "{printed}");
    files
}

#[test]
fn the_example_of_the_readme_prints_the_shown_output() {
    let files = check_section(&context(), "A plugin and a provider in five minutes");
    assert_eq!(files, 3, "a plugin and two providers");
}

#[test]
fn the_failed_install_in_the_readme_prints_the_shown_output() {
    let context = context();
    // With these programs, the output depends neither on the system's apt nor on the network.
    let apt_get =
        "#!/bin/sh\n[ \"$1\" = update ] || { echo 'E: Unable to locate package nosuch' >&2; exit 100; }\n";
    context.script("tools/apt-get", apt_get);
    context.script("tools/dpkg", "#!/bin/sh\n");
    context.script("tools/sudo", "#!/bin/sh\nshift\nexec \"$@\"\n");
    check_section(&context, "Quick start");
}

/// Returns the lines without ids, numbers, units, folders and column widths, which differ between runs.
fn normalized(text: &str) -> Vec<String> {
    let lines = text.lines().filter(|line| !line.is_empty());
    lines
        .map(|line| line.split_whitespace().filter_map(normalized_word).collect::<Vec<_>>().join(" "))
        .collect()
}

/// Returns a word without its folder, or `None` for an id, a number or a unit.
fn normalized_word(word: &str) -> Option<String> {
    if let Some((_, rest)) = word.split_once("/data/lib/") {
        return Some(format!(".../data/lib/{rest}"));
    }
    let id = word.trim_end_matches(')');
    let is_id = id.len() == 8 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    let is_number = word.parse::<f64>().is_ok();
    let is_unit = matches!(word, "ms" | "s" | "kB" | "MB" | "now" | "ago");
    (!is_id && !is_number && !is_unit).then(|| word.to_owned())
}
