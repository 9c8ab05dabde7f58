//! How a requested version reaches the package manager: as the registry writes it.

use std::fs;

use serde_json::json;

use crate::outdated::context;

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
