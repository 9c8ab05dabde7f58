//! How a requested version reaches the package manager: as the registry writes it.

use std::fs;

use serde_json::json;

use crate::outdated::context;
use crate::providers::context_with_brew;

#[test]
fn a_version_is_requested_as_the_registry_writes_it() {
    let context = context(&json!([
        {"version": "1.6.0"}, {"version": "1.6.1"}, {"version": "1.7.0-rc.1"}, {"version": "2025.1.15"},
        {"version": "3.0.0+a"}, {"version": "3.0.0+b"}, {"version": "4.0.0", "yanked": true},
    ]));
    context.write("data/lister", "echo asked >>\"$DATA_DIR/asked\"");
    for (name, requested, installed) in [
        ("a", "1.6.0.0", "1.6.0"),
        ("b", "2025.01.15", "2025.1.15"),
        ("c", "1.7-rc.1", "1.7.0-rc.1"),
        ("d", "3.0.0+a", "3.0.0+a"),
        // What the registry does not list, or no longer offers, is requested as it was typed.
        ("e", "4.0.0.0", "4.0.0.0"),
        ("f", "5.0.0.0", "5.0.0.0"),
    ] {
        let record = context.run(&["install", &format!("shop:{name}@{requested}")]).succeeds().record();
        assert_eq!([&record["version"], &record["max_version"]], [installed, requested]);
    }
    context.run(&["install", "a@1.6.0.0"]).succeeds().stderr_contains("a is already installed");
    let asked = || fs::read_to_string(context.path("data/asked")).unwrap().lines().count();
    assert_eq!(asked(), 6);
    context.run(&["install", "shop:g@1.6.1"]).succeeds();
    assert_eq!(asked(), 6, "three numbers are the same everywhere");
}

#[test]
fn a_package_of_a_system_is_requested_with_its_epoch_and_revision() {
    let context =
        context(&json!([{"version": "1:1.9.0-1"}, {"version": "1:2.39-5+deb12u1"}, {"version": "3.1-2"}]));
    let provider = "#!/bin/sh\nset -eu\neval \"$(\"$RIGUP\" hook begin --provider shop --batch)\"\n\
        printf '%s\\n' \"$plan\" >>\"$DATA_DIR/plan\"\nexit 1\n";
    context.script("here/providers/shop/on_BinaryRequest__50_shop.batch.sh", provider);
    fs::remove_file(context.path("here/providers/shop/on_BinaryRequest__50_shop.sh")).unwrap();
    let config = json!({"type": "object", "properties": {}, "version_format": "={}"});
    context.write("here/providers/shop/config.json", config.to_string());
    let requests =
        ["shop:a@2", "shop:b@2.39.0", "shop:c@1.9", "shop:d@3.1.0", "shop:e@1:1.9.0-1", "shop:f@2.38.0"];
    for request in requests {
        context.run(&["install", request]).exits_with(1);
    }
    let plan = fs::read_to_string(context.path("data/plan")).unwrap();
    let expected = "a\ta=1:2.39-5+deb12u1\nb\tb=1:2.39-5+deb12u1\nc\tc=1:1.9.0-1\nd\td=3.1-2\ne\te=1:1.9.0-1\n\
        f\tf=2.38.0\n";
    assert_eq!(plan, expected);
}

#[test]
fn a_python_package_is_requested_with_its_epoch() {
    let context =
        context(&json!([{"version": "1.0"}, {"version": "2.0"}, {"version": "1!1.0"}, {"version": "1!2.0"}]));
    let provider = "#!/bin/sh\nset -eu\neval \"$(\"$RIGUP\" hook begin --provider shop --batch)\"\n\
        printf '%s\\n' \"$plan\" >>\"$DATA_DIR/plan\"\nexit 1\n";
    context.script("here/providers/shop/on_BinaryRequest__50_shop.batch.sh", provider);
    fs::remove_file(context.path("here/providers/shop/on_BinaryRequest__50_shop.sh")).unwrap();
    let config =
        json!({"type": "object", "properties": {}, "version_format": "=={}", "max_version_format": "<={}"});
    context.write("here/providers/shop/config.json", config.to_string());
    for (request, reason) in [
        ("shop:a@1!1.0", "shop failed: "),
        ("shop:b@0!2.0", "shop failed: "),
        ("shop:c@2", "shop failed: "),
        ("shop:d@1!3.0", "shop declined: shop has no version 1!3.0 of d; the newest is 1!2.0"),
        ("shop:e@1:2.0", "shop declined: cannot request version 1:2.0: shop writes versions in another form"),
    ] {
        context.run(&["install", request]).exits_with(1).stderr_contains(reason);
    }
    context.run(&["install", "shop:f", "--max-version", "1!1.0"]).exits_with(1);
    let plan = fs::read_to_string(context.path("data/plan")).unwrap();
    assert_eq!(plan, "a\ta==1!1.0\nb\tb==2.0\nc\tc==2.0\nd\td==1!3.0\nf\tf<=1!1.0.0\n");
}

#[test]
fn a_partial_version_of_brew_is_its_formula_or_one_named_with_it() {
    let mut context = context_with_brew();
    context.write("api/formula/node.json", r#"{"name":"node","versions":{"stable":"24.9.0"}}"#);
    let api = format!("file://{}", context.path("api").display());
    context.set("HOMEBREW_API_DOMAIN", api);
    for (request, version, formula) in [
        ("brew:node@24", "24.9.0", "node"),
        ("brew:node@24.9", "24.9.0", "node"),
        ("brew:node@20", "20.19.5", "node@20"),
    ] {
        let record = context.run(&["install", request]).succeeds().record();
        assert_eq!(record["version"], version);
        let path = record["abspath"].as_str().unwrap();
        assert!(path.ends_with(&format!("/opt/{formula}/bin/node")), "{path}");
    }
    context.run(&["upgrade", "node"]).exits_with(1).stderr_contains("run `brew upgrade node@20`");
    let output = context.run(&["install", "brew:node@18"]).exits_with(1);
    output.stderr_contains("brew declined: Homebrew has no formula named node@18; check the name");
    context.run(&["install", "brew:node@20.1.0"]).exits_with(1).stderr_contains("brew rejected: ");
    let line = json!({"type": "Binary", "name": "npm", "binproviders": "brew", "min_version": "20", "max_version": "20",
        "overrides": {"brew": "node@20"}});
    context.plugin("p", &[line]);
    assert_eq!(context.run(&["install"]).succeeds().record()["version"], "20.19.5");
    context.write("api/formula/node@20.json", r#"{"name":"node@20","versions":{"stable":"20.20.0"}}"#);
    let outdated = context.run(&["outdated", "npm"]).succeeds().record();
    assert_eq!([&outdated["wanted"], &outdated["latest"]], ["20.20.0", "20.20.0"]);
}
