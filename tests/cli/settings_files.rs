//! Commands that need no value of a settings file, and what a file that cannot be used means for them.

use std::fs;
use std::os::unix::fs::chown;
use std::path::Path;

use serde_json::json;

use crate::kernel;
use crate::test_context::TestContext;
use crate::trust::set_mode;

/// Commands that read no settings file. The first ones are meant for the startup files of shells.
const WITHOUT_FILES: [&[&str]; 14] = [
    &["env"],
    &["env", "--shell", "fish"],
    &["env", "--shell", "nu"],
    &["env", "--shell", "pwsh"],
    &["env", "--shell", "json"],
    &["env", "--shell", "dotenv"],
    &["env", "--shell", "github"],
    &["completions", "bash"],
    &["completions", "fish"],
    &["completions", "zsh"],
    &["config", "path"],
    &["generate", "man", "man"],
    &["init", "plugin", "new", "--dir", "new"],
    &["init", "provider", "shelf", "--dir", "new"],
];

/// What makes a settings file one that cannot be used.
type Change = fn(&Path);

const PROBLEMS: [(&str, Change); 5] = [
    ("it is not TOML", |file| fs::write(file, "x =\n").unwrap()),
    ("it has an invalid value", |file| fs::write(file, "trust_dirs = 1\n").unwrap()),
    ("others can write to it", |file| set_mode(file, 0o666)),
    ("it belongs to another user", |file| chown(file, Some(1234), None).unwrap()),
    ("it is a folder", |file| {
        fs::remove_file(file).unwrap();
        fs::create_dir(file).unwrap();
    }),
];

#[test]
fn a_command_that_needs_no_setting_reads_no_settings_file() {
    let context = TestContext::new();
    let run = |args: &[&str]| {
        for folder in ["here/man", "here/new"] {
            let _ = fs::remove_dir_all(context.path(folder));
        }
        fs::create_dir(context.path("here/man")).unwrap();
        let output = context.run(args).succeeds();
        (output.stdout, output.stderr)
    };
    let expected = WITHOUT_FILES.map(run);
    for file in ["here/rigup.toml", "home/.config/rigup/rigup.toml", "home/.config/abx/config.env"] {
        for (problem, make) in PROBLEMS {
            if problem.contains("another user") && !kernel::is_root() {
                continue;
            }
            let path = context.write(file, "");
            make(&path);
            for (args, expected) in WITHOUT_FILES.iter().zip(&expected) {
                assert_eq!(run(args), *expected, "{file}: {problem}: {args:?}");
            }
            let _ = fs::remove_file(&path).or_else(|_| fs::remove_dir(&path));
        }
    }
    set_mode(&context.path("here"), 0o777);
    context.write("here/rigup.toml", "");
    assert_eq!(run(&["env"]), expected[0]);
    context.run(&["list"]).exits_with(3);
}

#[test]
fn what_prints_the_same_in_each_form_ignores_the_form() {
    let mut context = TestContext::new();
    let commands = &WITHOUT_FILES[..11];
    let run = |context: &TestContext, args: &[&str]| {
        let output = context.run(args).succeeds();
        (output.stdout, output.stderr)
    };
    let expected: Vec<_> = commands.iter().map(|args| run(&context, args)).collect();
    context.set("RIGUP_FORMAT", "zz").set("RIGUP_OUTPUT_LIMIT", "zz");
    for (args, expected) in commands.iter().zip(expected) {
        assert_eq!(run(&context, args), expected, "{args:?}");
    }
    context.run(&["init", "plugin", "new"]).exits_with(2).stderr_contains("cannot use RIGUP_FORMAT=zz");
}

#[test]
fn a_run_posts_from_a_folder_whose_settings_cannot_be_used() {
    let context = TestContext::new();
    fs::create_dir(context.path("broken")).unwrap();
    context.write("broken/rigup.toml", "x =\n");
    let script = "\"$RIGUP\" post begun && \"$RIGUP\" result 1";
    let cwd = context.path("broken");
    let start = ["start", "--slug", "s", "--cwd", cwd.to_str().unwrap(), "--", "sh", "-c", script];
    let id = context.run(&start).succeeds().record()["id"].as_str().unwrap().to_owned();
    context.run(&["process", "wait", &id]).succeeds();
    let run = context.run(&["process", "show", &id]).succeeds().record();
    assert_eq!((&run["messages"][0]["text"], &run["result"]), (&json!("begun"), &json!(1)));
}

#[test]
fn which_prints_a_path_while_the_settings_are_being_edited() {
    let context = TestContext::new();
    context.run(&["install", "sh", "--binproviders", "env"]).succeeds();
    let path = context.run(&["which", "sh"]).succeeds().stdout;
    let file = context.write("here/rigup.toml", "x =\n");
    let output = context.run(&["which", "sh"]).succeeds();
    assert_eq!(output.stdout, path);
    output.stderr_contains(&format!("warning: cannot use {}: not TOML: line 1", file.display()));
}

#[test]
fn what_prunes_by_the_settings_does_not_run_without_them() {
    let context = TestContext::new();
    context.run(&["exec", "--", "true"]).succeeds();
    context.write("here/rigup.toml", "keep.days = 4000 x\n");
    let ran = &context.run(&["process", "list"]).succeeds().records()[0];
    for args in [&["process", "gc"][..], &["process", "replay", ran["id"].as_str().unwrap()]] {
        context.run(args).exits_with(3).stderr_contains("here/rigup.toml: not TOML: line 1");
    }
}
