//! Requests for packages and versions that the real registries do not have.

use serde_json::json;

use crate::javascript::context_with;
use crate::package_managers::{context_with_cargo, context_with_module};
use crate::server::Server;
use crate::test_context::TestContext;
use crate::{context_with_registries, context_with_uv};

const NAME: &str = "rigup-no-such-package-anywhere";

/// Checks that a provider declines a request with this reason.
fn check_declined(context: &TestContext, provider: &str, binary: &str, reason: &str) {
    let record = context.run(&["install", binary, "--binproviders", provider]).exits_with(1).record();
    let attempts = record["attempts"].as_array().unwrap();
    let attempt = attempts.iter().find(|attempt| attempt["provider"] == provider).unwrap();
    assert_eq!(attempt["outcome"], "declined", "{attempt}");
    let start = format!("{provider} has {reason}");
    assert!(attempt["reason"].as_str().unwrap().starts_with(&start), "{attempt}");
}

/// Checks what a provider says about a package, and about a version, that its registry does not have.
fn check_missing(context: &TestContext, provider: &str, package: &str) {
    let next = format!("check the name, or set overrides.{provider}.packages");
    check_declined(context, provider, NAME, &format!("no package named {NAME}; {next}"));
    let newest = format!("no version 999.0.0 of {package}; the newest is ");
    check_declined(context, provider, &format!("{package}@999.0.0"), &newest);
}

#[test]
#[ignore = "asks registries: run with --ignored"]
fn pip_npm_and_cargo_decline_what_their_registry_lacks() {
    let context = context_with_registries();
    check_missing(&context, "pip", "ruff");
    check_missing(&context, "npm", "prettier");
    check_missing(&context_with_cargo(), "cargo", "ripgrep");
}

#[test]
#[ignore = "asks registries: run with --ignored"]
fn go_declines_a_module_and_a_version_that_the_proxy_lacks() {
    let mut context = context_with_module();
    let proxy = Server::of_folder(&context.path("proxy"));
    context.set("GOPROXY", &proxy.url);
    for (module, version, reason) in [
        ("example.test/none", "", "no package named example.test/none; check the name, or set"),
        ("example.test/hello", "9.0.0", "no version 9.0.0 of example.test/hello; the newest is 1.2.0"),
    ] {
        let overrides = json!({"go": {"packages": [module]}});
        let line = json!({"type": "Binary", "name": "hello", "binproviders": "go", "min_version": version,
            "max_version": version, "overrides": overrides});
        context.plugin("p", &[line]);
        check_declined(&context, "go", "hello", reason);
    }
}

#[test]
#[ignore = "asks registries: run with --ignored"]
fn uv_declines_what_the_index_lacks() {
    let context = context_with_uv();
    for provider in ["uv", "pip"] {
        check_missing(&context, provider, "ruff");
    }
}

#[test]
#[ignore = "asks registries: run with --ignored"]
fn pnpm_bun_deno_and_yarn_decline_what_the_registry_of_npm_lacks() {
    for (program, package) in
        [("pnpm", "pnpm@10"), ("bun", "bun@1"), ("deno", "deno"), ("yarn", "@yarnpkg/cli-dist")]
    {
        check_missing(&context_with(program, package, true), program, "prettier");
    }
}

#[test]
#[ignore = "asks registries: run with --ignored"]
fn apt_declines_what_its_lists_lack() {
    let _apt = crate::lock_apt();
    let context = context_with_registries();
    check_missing(&context, "apt", "hello");
}

#[test]
#[ignore = "asks registries: run with --ignored"]
fn a_registry_that_cannot_be_reached_is_a_failure() {
    let mut context = context_with_registries();
    for (variable, provider) in [("PIP_INDEX_URL", "pip"), ("npm_config_registry", "npm")] {
        context.set(variable, "http://127.0.0.1:1/");
        let record = context.run(&["install", NAME, "--binproviders", provider]).exits_with(1).record();
        assert_eq!(record["attempts"][0]["outcome"], "failed", "{record}");
        assert!(record["last_error"].as_str().unwrap().contains("cannot reach the "), "{record}");
    }
}
