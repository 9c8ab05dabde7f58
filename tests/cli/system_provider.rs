//! The provider `system`, which stands for the package managers of this system.

use serde_json::json;

use crate::test_context::TestContext;

/// Creates a context whose PATH has only these programs.
fn context_with(programs: &[&str]) -> TestContext {
    let mut context = TestContext::new();
    context.write("tools/none", "");
    for program in programs {
        context.script(&format!("tools/{program}"), "#!/bin/sh\nexit 1\n");
    }
    context.set("PATH", context.path("tools"));
    context
}

/// Returns the providers that would be tried for `jq`.
fn planned(context: &TestContext, args: &[&str]) -> String {
    let args = [&["install", "--dry-run"], args].concat();
    context.run(&args).succeeds().record()["binproviders"].as_str().unwrap().to_owned()
}

#[test]
fn system_means_the_package_managers_on_path_those_of_the_system_first() {
    let context = context_with(&["brew", "apt-get", "dnf", "nix"]);
    assert_eq!(planned(&context, &["jq", "--binproviders", "system"]), "apt,dnf,brew");
    assert_eq!(planned(&context, &["system:jq"]), "apt,dnf,brew");
    assert_eq!(planned(&context, &["jq", "--binproviders", "pip,system,env,dnf"]), "pip,apt,dnf,brew,env");
    let context = context_with(&["zypper", "pacman"]);
    assert_eq!(planned(&context, &["system:jq"]), "zypper,pacman");
    assert_eq!(planned(&context, &["jq"]), "env,brew,zypper", "the system's own is the first one");
}

#[test]
fn a_requirement_and_the_command_line_may_both_say_system() {
    let context = context_with(&["brew", "apt-get"]);
    context.plugin("p", &[json!({"type": "Binary", "name": "jq", "binproviders": "env,system"})]);
    context.plugin("q", &[json!({"type": "Binary", "name": "jq", "binproviders": "brew,apt"})]);
    assert_eq!(planned(&context, &[]), "apt,brew");
    assert_eq!(planned(&context, &["--binproviders", "brew,env"]), "brew");
    assert_eq!(planned(&context, &["--plugins", "q", "--binproviders", "system"]), "apt,brew");
    context.plugin("q", &[json!({"type": "Binary", "name": "jq", "binproviders": "pip"})]);
    let refused = context.run(&["install", "--dry-run"]).exits_with(1).record();
    assert!(refused["last_error"].as_str().unwrap().starts_with("no provider is in both env,apt,brew ("));
}

#[test]
fn system_is_an_error_if_no_package_manager_is_on_path() {
    let context = context_with(&[]);
    let reason =
        "no package manager of this system is on PATH, so `system` stands for no provider; name others";
    context.run(&["install", "jq", "--binproviders", "system"]).exits_with(1).stderr_contains(reason);
    context.run(&["install", "system:jq"]).exits_with(1).stderr_contains(reason);
    assert_eq!(planned(&context, &["jq", "--binproviders", "system,env"]), "env");
}

#[test]
fn overrides_for_system_are_reported() {
    let context = context_with(&["apt-get"]);
    let overrides = json!({"system": ["jq"]});
    let line = json!({"type": "Binary", "name": "jq", "binproviders": "system", "overrides": overrides});
    context.plugin("p", &[line]);
    context
        .run(&["install", "--dry-run"])
        .stderr_contains("ignored overrides.system, because there is no such provider");
}

#[test]
fn a_provider_of_that_name_or_with_package_commands_of_its_own_counts() {
    let context = context_with(&["apt-get", "apk"]);
    context.provider("apk", "#!/bin/sh\n");
    let commands = json!({"upgrade": "apk upgrade", "uninstall": "apk del", "as_root": true});
    let config =
        json!({"type": "object", "needs": {"apk": "x"}, "package_commands": commands, "properties": {}});
    context.write("here/providers/apk/config.json", config.to_string());
    assert_eq!(planned(&context, &["system:jq"]), "apt,apk");
    context.provider("system", "#!/bin/sh\n");
    assert_eq!(planned(&context, &["system:jq"]), "system");
}
