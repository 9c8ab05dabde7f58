//! `rigup which`: where installed binaries are.

use std::fs;

use serde_json::json;

use crate::test_context::TestContext;

#[test]
fn which_prints_the_link_and_with_all_every_program_of_that_name() {
    let mut context = TestContext::new();
    let other = context.script("other/tool", "#!/bin/sh\necho 2.0.0\n");
    let found = context.script("tools/tool", "#!/bin/sh\necho 1.0.0\n");
    let folders = [found.parent().unwrap(), other.parent().unwrap(), "/usr/bin".as_ref(), "/bin".as_ref()];
    context.set("PATH", std::env::join_paths(folders).unwrap());
    context.run(&["install", "tool", "--binproviders", "env"]).succeeds();
    let link = context.bin("tool");
    assert_eq!(context.run(&["which", "tool"]).succeeds().stdout, format!("{}\n", link.display()));
    let all = context.run(&["which", "--all", "tool"]).succeeds().stdout;
    let paths = [&link, &found, &other].map(|path| path.display().to_string());
    assert_eq!(all.lines().collect::<Vec<_>>(), paths);
    let records = context.run(&["which", "--all", "tool", "--json"]).succeeds().records();
    let own = |path| json!({"name": "tool", "path": path, "abspath": found, "binprovider": "env", "version": "1.0.0"});
    let others =
        json!({"name": "tool", "path": other, "abspath": null, "binprovider": null, "version": null});
    assert_eq!(records, [own(&link), own(&found), others]);
}

#[test]
fn which_says_why_a_binary_cannot_be_run() {
    let mut context = TestContext::new();
    let next = "run `rigup install tool`";
    let which = |context: &TestContext| context.run(&["which", "tool"]).exits_with(1).stderr;
    assert_eq!(which(&context), format!("error: tool is not installed; {next}\n"));
    context.set("PATH", "/usr/bin:/bin");
    context.run(&["install", "tool", "--binproviders", "env"]).exits_with(1);
    let stderr = which(&context);
    assert!(
        stderr.starts_with("error: tool is not installed (") && stderr.ends_with(&format!("; {next}\n")),
        "{stderr}"
    );
    let tool = context.script("tools/tool", "#!/bin/sh\necho 1.0.0\n");
    context.set("PATH", std::env::join_paths([tool.parent().unwrap(), "/bin".as_ref()]).unwrap());
    context.run(&["install", "tool", "--binproviders", "env"]).succeeds();
    fs::remove_file(context.bin("tool")).unwrap();
    assert_eq!(which(&context), format!("error: cannot run tool: it is not linked; {next}\n"));
    fs::remove_file(&tool).unwrap();
    assert_eq!(which(&context), format!("error: cannot run tool: {} is gone; {next}\n", tool.display()));
    let both = context.run(&["which", "tool", "none"]).exits_with(1);
    assert!(both.stderr.contains("none is not installed") && both.stdout.is_empty());
}
