//! Commands that people type from habit.

use crate::test_context::TestContext;

#[test]
fn names_from_other_tools_work_or_lead_to_the_right_command() {
    let context = TestContext::new();
    context.run(&["add", "sh", "--binproviders", "env"]).succeeds();
    assert_eq!(context.run(&["ls"]).succeeds().record()["name"], "sh");
    context.run(&["rm", "sh"]).exits_with(1).stderr_contains("cannot uninstall sh");
    let help = context.run(&["ls", "--help"]).succeeds().stdout;
    assert!(help.contains("Usage: rigup list\n") && help.contains("global options"), "{help}");
    assert!(!context.run(&["--help"]).succeeds().stdout.contains("shellenv"), "they are hidden");
    let error = |word: &str| context.run(&[word]).exits_with(2).stderr;
    let status = error("status");
    assert!(status.contains("tip: `rigup list` shows the binaries, `rigup ps` the daemons"), "{status}");
    assert!(!status.contains("start"), "{status}");
    let typo = error("uninstal");
    assert!(typo.contains("'uninstall'") && !typo.contains("'install'"), "{typo}");
    for far in ["bundle", "tap", "tasks", "audit", "images"] {
        let far = error(far);
        assert!(!far.contains("similar"), "{far}");
    }
    let nested = context.run(&["plugin", "status"]).exits_with(2).stderr;
    assert!(!nested.contains("rigup ps"), "{nested}");
}

/// Returns what rigup prints about these arguments, without the usage.
fn error_of(context: &TestContext, line: &str) -> String {
    let arguments: Vec<&str> = line.split(' ').collect();
    let stderr = context.run(&arguments).exits_with(2).stderr;
    let end = stderr.find("\n\nUsage").or_else(|| stderr.find("\n\nFor more")).unwrap();
    stderr[..end].to_owned()
}

#[test]
fn an_option_of_another_tool_leads_to_the_right_one_or_to_none() {
    let context = TestContext::new();
    let global = "leave out -g: rigup installs for all projects that use the same data dir";
    for (line, option, tip) in [
        (
            "install --frozen x",
            "--frozen",
            "`rigup install --locked` installs exactly what the lock file pins",
        ),
        ("install --version 1 x", "--version", "name a version as in `rigup install NAME@VERSION`"),
        (
            "upgrade --all",
            "--all",
            "leave out --all: without names, `rigup upgrade` upgrades everything that is installed",
        ),
        (
            "lock --upgrade",
            "--upgrade",
            "`rigup upgrade --lock` installs newer versions and updates the lock file",
        ),
        ("install -g x", "-g", global),
        ("add -g x", "-g", global),
        ("upgrade -g", "-g", global),
        ("uninstall -g x", "-g", global),
        ("install --global=true x", "--global", &global.replace("-g", "--global")),
        ("process list -g", "-g", ""),
        ("hook lock --upgrade x -- true", "--upgrade", ""),
        ("install --user x", "--user", ""),
        ("load --junit x", "--junit", ""),
        ("lock --junit x", "--junit", ""),
        ("upgrade --junit x", "--junit", ""),
        ("upgrade --latest", "--latest", ""),
        ("logs --since 1h", "--since", ""),
        ("install --nope", "--nope", ""),
        ("which --nope", "--nope", ""),
        ("why --all", "--all", ""),
        ("uninstall -x", "-x", ""),
        ("binary delete --status", "--status", ""),
        ("exec --nope", "--nope", ""),
    ] {
        let tip = if tip.is_empty() { String::new() } else { format!("\n\n  tip: {tip}") };
        assert_eq!(error_of(&context, line), format!("error: unexpected argument '{option}' found{tip}"));
    }
}

#[test]
fn a_mistyped_word_leads_to_the_one_that_it_looks_like() {
    let context = TestContext::new();
    for (line, tip) in [
        ("install --binprovider pip x", "a similar argument exists: '--binproviders'"),
        ("install --forse x", "a similar argument exists: '--force'"),
        ("install --data-dri y x", "a similar argument exists: '--data-dir'"),
        ("process list --slg x", "a similar argument exists: '--slug'"),
        ("--dry-run install x", "'install --dry-run' exists"),
        ("process kil 1", "a similar subcommand exists: 'kill'"),
        ("instal x", "a similar subcommand exists: 'install'"),
        ("list --format tabel", "a similar value exists: 'table'"),
    ] {
        let error = error_of(&context, line);
        assert!(error.ends_with(&format!("\n\n  tip: {tip}")), "{error}");
    }
}

#[test]
fn a_tip_to_put_an_option_after_dashes_is_given_only_if_that_works() {
    let context = TestContext::new();
    for (line, option) in [
        ("post --nope", "--nope"),
        ("hook test x --name=x", "--name"),
        ("hook accepts --provider pip --name=x", "--name"),
    ] {
        let tip = format!("tip: to pass '{option}' as a value, use '-- {option}'");
        assert!(error_of(&context, line).contains(&tip), "{line}");
    }
}

#[test]
fn an_unknown_command_leaves_no_gap_in_the_error() {
    let context = TestContext::new();
    for (word, tip) in [
        ("tasks", "\n\n  tip: rigup has no tasks; `rigup run` runs the hooks of an event"),
        ("rerun", "\n\n  tip: `rigup process replay` runs the command of a process again"),
        ("services", "\n\n  tip: `rigup ps` lists the daemons, and `rigup up` starts them"),
        ("nonsense", ""),
    ] {
        assert_eq!(error_of(&context, word), format!("error: unrecognized subcommand '{word}'{tip}"));
    }
}
