//! The provider github: why a request cannot be installed from a release.

use serde_json::json;

use crate::github::{attempt, install_with};
use crate::release_server::{
    Answer, Published, REPOSITORY, asset_name, github, github_with, page_path, pages, published, tag_path,
};
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
        (vec![preview(foreign("2.0.0")), foreign("1.0.0")], json!({}), "1.0.0 has no file for "),
    ] {
        let _server = github(&mut context, &releases);
        let found = attempt(&install_with(&context, "github", &overrides));
        assert!(found.contains(&format!("that the request accepts: {expected}")), "{expected}: {found}");
    }
}

#[test]
fn a_version_that_no_release_has_is_declined_and_the_newest_is_named() {
    let mut context = TestContext::new();
    let first = [
        Published::new("library-9.0.0").asset(&asset_name("9.0.0"), "x"),
        published(&context, "2.0.0-rc.1"),
        published(&context, "1.9.0"),
    ];
    let second = [published(&context, "1.10.0"), published(&context, "1.8.0")];
    let mut server = github_with(&mut context, |address| pages(address, &[&first, &second]));
    for (overrides, wanted) in [
        (json!({"version": "99.0.0"}), "99.0.0"),
        (json!({"version": "98"}), "98"),
        (json!({"max_version": "0.9"}), "0.9 or older"),
        (json!({"min_version": "10"}), "10 or newer"),
    ] {
        let expected =
            format!("declined github has no version {wanted} of {REPOSITORY}; the newest is 1.10.0");
        assert_eq!(attempt(&install_with(&context, "github", &overrides)), expected);
    }
    let with_previews = json!({"min_version": "10", "prerelease": true});
    let found = attempt(&install_with(&context, "github", &with_previews));
    assert!(found.ends_with("; the newest is 2.0.0-rc.1"), "{found}");
    let list = [page_path(1), page_path(2)];
    assert_eq!(server.paths()[..4], [&[tag_path("v99.0.0"), tag_path("99.0.0")][..], &list].concat());
}

#[test]
fn the_next_provider_is_tried_if_there_is_no_such_release() {
    let mut context = TestContext::new();
    context.provider("spare", "#!/bin/sh\necho 'nothing to spare' >&2\n");
    for (releases, name, reason) in [
        (vec![Published::new("nightly")], "rg@1.0", format!("github has no version 1.0 of {REPOSITORY}")),
        (vec![], "rg", format!("{REPOSITORY} has no release")),
    ] {
        let _server = github(&mut context, &releases);
        let record = context.run(&["install", name, "--binproviders", "github,spare"]).exits_with(1).record();
        assert_eq!(attempt(&record), format!("declined {reason}"));
        assert_eq!(record["attempts"][1]["reason"], "nothing to spare");
    }
}

#[test]
fn an_answer_that_is_no_list_of_releases_is_a_failure() {
    let mut context = TestContext::new();
    for body in ["{\"x\":1}", "[5]", "[{}]", "3", "<html>"] {
        let _server = github_with(&mut context, |_| [(page_path(1), vec![Answer::file(body)])].into());
        let attempt = attempt(&install_with(&context, "github", &json!({})));
        assert!(
            attempt.starts_with("failed ") && attempt.ends_with(" sent no list of releases"),
            "{attempt}"
        );
    }
}

#[test]
fn a_tag_that_the_repository_does_not_have_is_declined() {
    let mut context = TestContext::new();
    let release = published(&context, "1.0.0");
    let _server = github(&mut context, &[release]);
    let missing = json!({"packages": format!("{REPOSITORY}@v9")});
    let expected = format!("declined {REPOSITORY} has no release v9");
    assert_eq!(attempt(&install_with(&context, "github", &missing)), expected);
    let other = json!({"packages": format!("{REPOSITORY}@1.0.0"), "min_version": "2"});
    let found = attempt(&install_with(&context, "github", &other));
    assert!(
        found.starts_with("rejected ") && found.ends_with("\"1.0.0\", which is not 2 or newer"),
        "{found}"
    );
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
