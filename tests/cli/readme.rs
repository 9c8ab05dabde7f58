//! The worked example of the README, as a newcomer would type it.

use std::path::Path;

use crate::test_context::TestContext;

const README: &str = include_str!("../../README.md");

/// The fenced blocks of a section: what stands behind the backticks, and the lines inside.
fn blocks(section: &str) -> Vec<(&str, String)> {
    let (_, rest) = README.split_once(&format!("\n## {section}\n")).expect("the section is there");
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

#[test]
fn the_worked_example_of_the_readme_does_what_it_says() {
    let mut context = TestContext::new();
    let rigup = Path::new(env!("CARGO_BIN_EXE_rigup")).parent().unwrap();
    context.set("PATH", format!("{}:/usr/bin:/bin", rigup.display()));
    let mut typed = String::from("set -e\n");
    let mut files = 0;
    for (info, body) in blocks("A plugin and a provider in five minutes") {
        if let Some((_, path)) = info.split_once(' ') {
            context.write(&format!("here/{path}"), body);
            files += 1;
        } else if info == "console" {
            let commands = body.lines().filter_map(|line| line.strip_prefix("$ "));
            typed.extend(commands.map(|command| format!("{command}\n")));
        }
    }
    assert_eq!(files, 3, "a plugin and two providers");
    if !Path::new("/usr/bin/python3").exists() {
        // Without Python, the second provider of the example cannot be had.
        typed.truncate(typed.find("rigup install hello --min-version").expect("the second part"));
    }
    let output = context.command_for(Path::new("/bin/sh"), &["-c", &typed]).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{typed}\n{stderr}");
    let stdout = String::from_utf8_lossy(&output.stdout);
    let order = ["hello, world (version 1.0.0)", "HELLO! (version 2.0.0)"].map(|text| stdout.find(text));
    if !typed.contains("--min-version") {
        assert!(order[0].is_some(), "{stdout}");
        return;
    }
    assert!(order[0].is_some() && order[0] < order[1], "{stdout}");
    assert!(stderr.contains("greet rejected: version 1.0.0 is older than 2"), "{stderr}");
}
