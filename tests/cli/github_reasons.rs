//! The provider github: why a request cannot be installed from a release.

use serde_json::json;

use crate::github::{attempt, install_with};
use crate::release_server::{Published, REPOSITORY, asset_name, github, published};
use crate::test_context::TestContext;

/// A day on which no release is old enough.
const LATER: &str = "2999-01-01T00:00:00Z";

#[test]
fn an_asset_that_no_release_has_is_named_with_its_pattern() {
    let mut context = TestContext::new();
    let releases = [published(&context, "2.0.0").with("published_at", LATER), published(&context, "1.5.0")];
    let _server = github(&mut context, &releases);
    let name = asset_name("2.0.0");
    let found = attempt(&install_with(&context, "github", &json!({"asset": "nothing-{version}-*"})));
    let expected = format!(
        "rejected {REPOSITORY} has no release that the request accepts: 2.0.0 has no file that matches \
         \"nothing-2.0.0-*\" among {name}; correct the override asset"
    );
    assert_eq!(found, expected);
}

#[test]
fn the_release_that_comes_nearest_says_what_is_wrong() {
    let mut context = TestContext::new();
    let foreign = |tag: &str| Published::new(tag).asset("ripgrep-x86_64-pc-windows-msvc.zip", "x");
    let young = |release: Published| release.with("published_at", LATER);
    let preview = |release: Published| release.with("prerelease", true);
    let fitting = published(&context, "1.0.0");
    for (releases, overrides, expected) in [
        (vec![young(foreign("2.0.0")), foreign("1.0.0")], json!({}), "2.0.0 has no file for "),
        (vec![foreign("2.0.0"), young(fitting.clone())], json!({}), "1.0.0 was released after "),
        (vec![foreign("2.0.0"), preview(fitting.clone())], json!({}), "1.0.0 is a pre-release; "),
        (vec![fitting.clone(), foreign("0.9.0")], json!({"max_version": "0.9.5"}), "0.9.0 has no file for "),
        (vec![fitting], json!({"max_version": "0.9"}), "1.0.0 has the version \"1.0.0\", "),
    ] {
        let _server = github(&mut context, &releases);
        let found = attempt(&install_with(&context, "github", &overrides));
        assert!(found.contains(&format!("that the request accepts: {expected}")), "{expected}: {found}");
    }
}

#[test]
fn a_key_that_names_no_platform_is_an_error() {
    let mut context = TestContext::new();
    let release = published(&context, "1.0.0");
    let _server = github(&mut context, &[release]);
    let name = asset_name("{version}");
    for (provider, key, text) in
        [("github", "asset", &*name), ("github", "sha256", ""), ("url", "url", "https://x/y")]
    {
        for platform in
            ["linux-amd64", "x86_64-linux", "linux", "linux-x86_64-glibc", "darwin-arm64-gnu", "Linux-x86_64"]
        {
            let overrides = json!({key: {platform: text, "linux-x86_64-gnu": text}});
            let found = attempt(&install_with(&context, provider, &overrides));
            let expected = format!(
                "rejected overrides.{provider}.{key} has the key {platform:?}, which is not a platform; write it like \
                 linux-x86_64-gnu, linux-aarch64-musl or darwin-arm64, or without the C library: linux-x86_64"
            );
            assert_eq!(found, expected);
        }
    }
    let others = json!({"asset": {"linux-riscv64": "x", "darwin-x86_64": "y", "linux-arm-musl": "z"}});
    assert_eq!(
        install_with(&context, "github", &others)["version"],
        "1.0.0",
        "rigup chooses the file of this platform"
    );
}

#[test]
fn the_name_of_a_project_leads_to_its_program() {
    let mut context = TestContext::new();
    let _server = github(&mut context, &[]);
    let output = context.run(&["install", "github:ripgrep"]).exits_with(1);
    let expected = "no repository of ripgrep is known; the project of this name releases rg, so request rg, or set \
                    overrides.github.repo to its owner and name, such as \"owner/ripgrep\"";
    assert!(output.stderr.contains(expected), "{}", output.stderr);
}

#[test]
fn a_second_package_is_an_error() {
    let mut context = TestContext::new();
    let release = published(&context, "1.0.0");
    let _server = github(&mut context, &[release]);
    let overrides = json!({"packages": [REPOSITORY, "owner/two"]});
    assert_eq!(
        attempt(&install_with(&context, "github", &overrides)),
        "rejected overrides.github.packages must be one repository, not 2; give each its own requirement"
    );
}
