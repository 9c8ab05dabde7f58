//! `rigup generate man`: a page for each command.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::appearance::subcommands;
use crate::test_context::{CommandOutput, TestContext};

/// Returns the names of the pages that the commands should have, as their help lists them.
fn expected(context: &TestContext, command: &str) -> BTreeSet<String> {
    let args: Vec<&str> = command.split(' ').skip(1).chain(["--help"]).collect();
    let help = context.run(&args).succeeds().stdout;
    let mut names: BTreeSet<String> =
        subcommands(&help).flat_map(|name| expected(context, &format!("{command} {name}"))).collect();
    names.insert(format!("{}.1", command.replace(' ', "-")));
    names
}

#[test]
fn every_command_has_a_man_page_that_is_the_same_each_time() {
    let context = TestContext::new();
    let printed = context.run(&["generate", "man", "one/man1", "--format", "table"]).succeeds().stdout;
    let records = context.run(&["generate", "man", "two"]).succeeds().records();
    assert!(records.iter().all(|record| record["type"] == "ManPage"));
    let pages: BTreeSet<String> =
        printed.lines().map(|path| path.strip_prefix("one/man1/").unwrap().to_owned()).collect();
    assert_eq!(pages, expected(&context, "rigup"));
    for page in &pages {
        let read = |folder: &str| fs::read_to_string(context.path("here").join(folder).join(page)).unwrap();
        assert_eq!(read("one/man1"), read("two"), "{page}");
    }
    assert!(!context.path("data").exists());
    context.write("here/file", "");
    context
        .run(&["generate", "man", "file"])
        .exits_with(3)
        .stderr_contains("error: cannot write the page to file/rigup.1: ");
}

#[test]
fn man_pages_are_valid_and_keep_the_lines_of_examples() {
    let context = TestContext::new();
    context.run(&["generate", "man", "man"]).succeeds();
    if which::which("groff").is_err() {
        return;
    }
    for page in fs::read_dir(context.path("here/man")).unwrap() {
        let page = page.unwrap().path();
        let args = ["-man", "-Tutf8", "-ww", "-rLL=100n", page.to_str().unwrap()];
        let output =
            context.command_for(Path::new("groff"), &args).env("GROFF_NO_SGR", "1").output().unwrap();
        let output = CommandOutput::new(&args, &output).succeeds();
        assert_eq!(output.stderr, "", "{}", page.display());
        if page.ends_with("rigup-which.1") {
            let text = output.stdout;
            assert!(text.contains("  rigup which jq\n") && text.contains("rigup 0.1.0"), "{text}");
        }
    }
}
