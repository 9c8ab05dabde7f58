//! Real nix with a flake on this machine, and with a store that only the test sees.

use serde_json::{Value, json};

use crate::kernel::{Namespaces, has, is_root};
use crate::test_context::TestContext;

/// A flake with a package of one program, and with one that cannot be built.
const FLAKE: &str = r#"{ outputs = { self }: let
  package = system: name: script: derivation {
    inherit name system; builder = "/bin/sh"; args = ["-c" "PATH=/usr/bin:/bin; ${script}"];
  };
  packages = system: {
    tiny = package system "rigup-tiny-VERSION" "mkdir -p $out/bin; printf '#!/bin/sh\necho tiny VERSION\n' >$out/bin/rigup-tiny; chmod 755 $out/bin/rigup-tiny";
    broken = package system "broken-1.0" "false";
  };
in { packages.x86_64-linux = packages "x86_64-linux"; packages.aarch64-linux = packages "aarch64-linux"; }; }
"#;

#[test]
#[ignore = "needs nix: run with --ignored"]
fn nix_installs_a_profile_for_each_requirement_and_keeps_it() {
    if !is_root() || !has("nix") {
        return;
    }
    let mut context = TestContext::new();
    context.write(
        "nix/nix.conf",
        "build-users-group =\nsubstitute = false\nsandbox = false\npure-eval = false\n",
    );
    let settings = context.path("nix");
    context.set("NIX_CONF_DIR", settings).set("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    let Some(namespaces) = Namespaces::new(&["--mount"]) else { return };
    namespaces.sh(&context, "mkdir -p /nix && mount -t tmpfs tmpfs /nix");
    let flake = format!("path:{}", context.path("flake").display());
    let install = |version: &str, package: &str| -> Value {
        context.write("flake/flake.nix", FLAKE.replace("VERSION", version));
        let package = if package.contains('#') { format!("{flake}{package}") } else { package.to_owned() };
        let line = json!({"type": "Binary", "name": "rigup-tiny", "binproviders": "nix", "overrides": {"nix": [package]}});
        context.plugin("p", &[line]);
        namespaces.run(&context, &["install", "--force"]).records().remove(0)
    };
    let outcome = |record: &Value| {
        let attempt = &record["attempts"][0];
        format!("{} {}", attempt["outcome"].as_str().unwrap(), attempt["reason"].as_str().unwrap())
    };

    let record = install("2.0", "#tiny");
    assert_eq!(
        (record["version"].as_str(), record["package_version"].as_str()),
        (Some("2.0"), Some("2.0")),
        "{record}"
    );
    assert!(
        record["abspath"].as_str().unwrap().ends_with("/nix/rigup-tiny/profile/bin/rigup-tiny"),
        "{record}"
    );
    namespaces.sh(&context, "nix-store --gc");
    let link = context.bin("rigup-tiny");
    let run = format!("{} --version", link.display());
    assert_eq!(namespaces.sh(&context, &run).stdout, "tiny 2.0\n", "nix does not collect what is installed");

    assert_eq!(install("3.0", "#tiny")["version"], "3.0");
    let broken = outcome(&install("3.0", "#broken"));
    assert!(broken.starts_with("failed exit code 1: builder for '"), "{broken}");
    let unknown = outcome(&install("3.0", "#none"));
    assert!(
        unknown.starts_with("declined path:")
            && unknown.contains(" has no package named none; check the name"),
        "{unknown}"
    );
    let odd = outcome(&install("3.0", "./x"));
    assert!(odd.starts_with("declined ./x is neither the name of a package of nixpkgs"), "{odd}");
    assert_eq!(namespaces.sh(&context, &run).stdout, "tiny 3.0\n", "a failed attempt changes nothing");
}
