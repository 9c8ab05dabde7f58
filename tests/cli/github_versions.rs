//! The versions that the provider github lists.

use serde_json::{Value, json};

use crate::github::install_with;
use crate::listed_versions::{listed, request};
use crate::release_server::{
    Answer, Published, REPOSITORY, archive, asset_name, github, github_with, page_path, pages, published,
};
use crate::test_context::TestContext;

#[test]
fn github_lists_the_releases_that_can_be_installed() {
    let mut context = TestContext::new();
    let replaced = json!({"updated_at": "2026-02-01T00:00:00Z"});
    let releases = [
        Published::new("16.0.0"),
        published(&context, "15.0.0-rc.1").with("prerelease", true),
        published(&context, "14.3.0").with("draft", true),
        Published::new("14.2.0").asset_with(&asset_name("14.2.0"), archive(&context, "14.2.0"), replaced),
        Published::new("lib-14.1.1").asset(&asset_name("14.1.1"), "x"),
        published(&context, "14.1.0"),
        Published::new("nightly").asset(&asset_name("nightly"), "x"),
    ];
    let mut server = github(&mut context, &releases);
    let request = |overrides: Value| {
        let mut request = request("rg", "github", &json!([]));
        request["overrides"]["github"]
            .as_object_mut()
            .unwrap()
            .extend(overrides.as_object().unwrap().clone());
        request
    };
    let records = listed(&mut context, "github", &[request(json!({}))]);
    let of_2026 = "2026-01-01T00:00:00.000Z";
    let expected = json!([{"type": "BinaryVersions", "name": "rg", "versions": [
        {"version": "15.0.0-rc.1", "released_at": of_2026, "stable": false},
        {"version": "14.2.0", "released_at": "2026-02-01T00:00:00.000Z"},
        {"version": "14.1.0", "released_at": of_2026},
    ]}]);
    assert_eq!(Value::from(records), expected);
    let all = listed(&mut context, "github", &[request(json!({"prerelease": true}))]);
    assert_eq!(all[0]["versions"][0]["stable"], true);
    let of_prefix = listed(&mut context, "github", &[request(json!({"tag_prefix": "lib-"}))]);
    assert_eq!(of_prefix[0]["versions"], json!([{"version": "14.1.1", "released_at": of_2026}]));
    assert_eq!(server.paths(), [page_path(1), page_path(1), page_path(1)]);
    let unreachable = listed(&mut context, "github", &[request(json!({}))]);
    let reason = unreachable[0]["reason"].as_str().unwrap();
    assert!(reason.starts_with("cannot download http://127.0.0.1:"), "{reason}");
}

#[test]
fn a_release_asset_is_outdated_and_upgraded() {
    let mut context = TestContext::new();
    let old = published(&context, "14.1.0");
    let new = published(&context, "14.2.0");
    let server = github(&mut context, std::slice::from_ref(&old));
    context.plugin("p", &[json!({"type": "Binary", "name": "rg", "binproviders": "github"})]);
    context.run(&["install"]).succeeds();
    drop(server);
    let _server = github(&mut context, &[new, old]);
    let status = context.run(&["outdated", "--check"]).exits_with(1).record();
    assert_eq!((&status["status"], &status["latest"]), (&json!("outdated"), &json!("14.2.0")), "{status}");
    assert_eq!(context.run(&["upgrade"]).succeeds().record()["version"], "14.2.0");
    context.run(&["outdated", "--check"]).succeeds();
}

#[test]
fn a_partial_version_may_be_on_the_second_page() {
    let mut context = TestContext::new();
    let first = [published(&context, "14.1.0")];
    let second = [published(&context, "13.1.0"), published(&context, "13.0.0")];
    let _server = github_with(&mut context, |address| pages(address, &[&first, &second]));
    let record = context.run(&["install", "github:rg@13"]).succeeds().record();
    assert_eq!(record["version"], "13.1.0", "{record}");
}

#[test]
fn a_page_with_releases_of_other_programs_is_skipped() {
    let mut context = TestContext::new();
    let other = |version: &str| {
        let file = asset_name(version).replace("ripgrep", "library");
        Published::new(&format!("library-{version}")).asset(&file, archive(&context, version))
    };
    let (first, second) = ([other("9.1.0"), other("9.0.0")], [published(&context, "1.0.0")]);
    let server = github_with(&mut context, |address| pages(address, &[&first, &second]));
    let record = context.run(&["install", "github:rg"]).succeeds().record();
    assert_eq!(record["version"], "1.0.0", "{record}");
    drop(server);
    let _server = github(&mut context, &first);
    let reason = "library-9.1.0 is a release of another program, without a file for rg";
    context.run(&["install", "github:rg", "--force"]).exits_with(1).stderr_contains(reason);
}

#[test]
fn an_api_that_allows_no_more_requests_lists_nothing() {
    let mut context = TestContext::new();
    let limited = Answer::new("403 Forbidden", "{}").with("X-RateLimit-Reset: 4102444800");
    let _server = github_with(&mut context, |_| [(page_path(1), vec![limited])].into());
    let records = listed(&mut context, "github", &[request("rg", "github", &json!([]))]);
    let reason = records[0]["reason"].as_str().unwrap();
    assert!(reason.ends_with("until 2100-01-01T00:00:00Z; set GITHUB_TOKEN to have more"), "{reason}");
}

#[test]
fn a_tag_or_a_version_in_the_overrides_does_not_hide_the_latest() {
    let mut context = TestContext::new();
    let first = [published(&context, "2.0.0"), published(&context, "1.4.2"), published(&context, "1.4.0")];
    let second = [published(&context, "1.0.0")];
    let _server = github_with(&mut context, |address| pages(address, &[&first, &second]));
    for (overrides, installed, wanted) in [
        (json!(format!("{REPOSITORY}@1.0.0")), "1.0.0", "1.0.0"),
        (json!({"version": "1.4"}), "1.4.2", "1.4.2"),
        (json!({"version": "1.4.0"}), "1.4.0", "1.4.0"),
    ] {
        assert_eq!(install_with(&context, "github", &overrides)["version"], installed);
        let status = context.run(&["outdated", "rg"]).succeeds().record();
        assert_eq!(
            [&status["status"], &status["wanted"], &status["latest"]],
            ["up to date", wanted, "2.0.0"],
            "{status}"
        );
    }
}
