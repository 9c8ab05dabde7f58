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
    context
        .run(&["install", "-g", "sh"])
        .exits_with(2)
        .stderr_contains("tip: leave out -g: rigup installs for all projects");
}
