//! A binary that no plugin requires is resolved by the request in its record.

use serde_json::{Value, json};

use crate::apply::apply;
use crate::test_context::TestContext;
use crate::upgrade::SHOP;

/// Returns a provider whose package `right` has the program of every name, and whose other packages have none.
fn shop() -> String {
    let check = "case $packages in right*) ;; *) echo \"no package $packages\" >&2; exit 1 ;; esac\n";
    SHOP.replacen("mkdir", &format!("{check}mkdir"), 1)
}

/// Creates a context with an open registry in which the program `tsc` is in the package `right`.
fn context() -> TestContext {
    let context = TestContext::new();
    context.provider("shop", &shop());
    let config = json!({"type": "object", "properties": {}, "curated": false, "version_format": "@{}",
        "override_keys": [], "enforces": {"min_release_age": true, "postinstall_scripts": true}});
    context.write("here/providers/shop/config.json", config.to_string());
    context.write("data/release", "2.0.0");
    context
}

fn request(version: &str) -> Value {
    json!({"type": "BinaryRequest", "name": "tsc", "binproviders": "shop", "overrides": {"shop": ["right"]},
        "min_version": version, "max_version": version})
}

#[test]
fn an_install_of_a_name_uses_its_stored_providers_and_packages() {
    let context = context();
    let applied = apply(&context, &[request("")]).succeeds().record();
    let explained = context.run(&["why", "tsc"]).succeeds().record();
    assert_eq!((&explained["problem"], &explained["candidates"]), (&Value::Null, &json!(["shop"])));
    context.run(&["install", "tsc"]).succeeds().stderr_contains("tsc is already installed");
    for args in [&["install", "--force", "tsc"][..], &["install", "--force", "shop:tsc"]] {
        let record = context.run(args).succeeds().record();
        assert_eq!(
            [&record["binprovider"], &record["overrides"]],
            [&json!("shop"), &applied["overrides"]],
            "{args:?}"
        );
    }
}

#[test]
fn the_hint_for_the_newest_version_works_for_a_stored_request() {
    let context = context();
    apply(&context, &[request("1.5.0")]).succeeds();
    let output = context.run(&["upgrade", "tsc"]).succeeds();
    assert!(output.stderr.contains("run `rigup install --force tsc`"), "{}", output.stderr);
    assert_eq!(context.run(&["install", "--force", "tsc"]).succeeds().record()["version"], "2.0.0");
}

#[test]
fn a_failed_request_is_tried_again_with_its_providers_and_packages() {
    let context = context();
    context.script("here/providers/shop/on_BinaryRequest__50_shop.sh", "#!/bin/sh\nexit 1\n");
    apply(&context, &[request("")]).exits_with(1);
    context.provider("shop", &shop());
    assert_eq!(context.run(&["install", "tsc"]).succeeds().record()["binprovider"], "shop");
}

#[test]
fn no_open_registry_is_offered_if_the_stored_request_names_packages() {
    let context = context();
    let request = json!({"type": "BinaryRequest", "name": "nosuch-tool", "overrides": {"shop": ["right"]}});
    let output = apply(&context, &[request]).exits_with(1);
    assert!(!output.stderr.contains("anyone can publish"), "{}", output.stderr);
    let output = context.run(&["install", "nosuch-tool"]).exits_with(1);
    assert!(!output.stderr.contains("anyone can publish"), "{}", output.stderr);
}

#[test]
fn a_request_without_providers_tries_a_provider_that_was_added_later() {
    let context = context();
    context.run(&["install", "nosuch-tool"]).exits_with(1);
    context.provider("own", &SHOP.replace("provider shop", "provider own"));
    assert_eq!(context.run(&["install", "nosuch-tool"]).succeeds().record()["binprovider"], "own");
}
