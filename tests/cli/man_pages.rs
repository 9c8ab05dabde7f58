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

/// Returns a section of a page without escape sequences and line breaks.
fn section(context: &TestContext, page: &str, heading: &str) -> String {
    let text = fs::read_to_string(context.path("here/man").join(page)).unwrap();
    let text = ["\\fB", "\\fI", "\\fR", "\\"].iter().fold(text, |text, escape| text.replace(escape, ""));
    let start = text.find(&format!(".SH {heading}\n")).unwrap_or_else(|| panic!("{page}: {text}"));
    let lines = text[start..].lines().skip(1).take_while(|line| !line.starts_with(".SH"));
    lines.filter(|line| !line.starts_with('.')).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_synopsis_has_the_values_of_options_and_what_can_be_repeated() {
    let context = TestContext::new();
    let printed = context.run(&["generate", "man", "man", "--format", "table"]).succeeds().stdout;
    for (page, parts) in [
        (
            "rigup-install.1",
            &[
                "rigup install [--plugins <A,B>]...",
                "[--ci <SYSTEM>]",
                "[-j|--jobs <N>]",
                "[--timings[=<FILE>]]",
            ][..],
        ),
        (
            "rigup-start.1",
            &[
                "rigup start <DAEMON>...\nrigup start [--description <TEXT>]",
                "]... --slug <NAME> -- <CMD>...",
            ],
        ),
        ("rigup-list.1", &["rigup list"]),
        ("rigup-binary-create.1", &["[--version <V>]", "] --name <NAME> --abspath <PATH>"]),
        ("rigup.1", &["[--data-dir <DIR>]", "[-v|--verbose] [-V|--version] <COMMAND>"]),
    ] {
        let synopsis = section(&context, page, "SYNOPSIS");
        for part in parts {
            assert!(synopsis.contains(part), "{part} is not in {synopsis}");
        }
        assert_eq!(synopsis.matches("--slug").count(), usize::from(page == "rigup-start.1"));
    }
    // The rest is that of the help.
    for page in printed.lines().map(|path| path.strip_prefix("man/").unwrap()) {
        let command = page.strip_suffix(".1").unwrap().replace('-', " ");
        let args: Vec<&str> = command.split(' ').skip(1).chain(["--help"]).collect();
        let help = context.run(&args).succeeds().stdout;
        let (_, usage) = help.split_once("Usage: ").unwrap();
        let usage = usage.split_once("\n\n").unwrap().0.lines().map(str::trim);
        let synopsis = section(&context, page, "SYNOPSIS");
        for (usage, form) in usage.zip(synopsis.lines()) {
            let rest = usage.rsplit("[OPTIONS]").next().unwrap().trim();
            assert!(form.ends_with(rest), "{page}: {form} does not end with {rest}");
            assert!(!form.contains("OPTIONS"), "{form}");
        }
    }
    let arguments = section(&context, "rigup-install.1", "ARGUMENTS");
    assert!(arguments.starts_with("[NAME]...\nBinaries, each as "), "{arguments}");
    let shells = section(&context, "rigup-completions.1", "ARGUMENTS");
    assert!(shells.contains("<SHELL>\n") && shells.contains("[possible values: bash, elvish, "), "{shells}");
    assert!(!section(&context, "rigup-install.1", "OPTIONS").contains("NAME"));
}
