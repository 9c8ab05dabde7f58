//! The tags and the versions that requirements of github and url state.

use serde_json::json;

use crate::bash_and_node::lib;
use crate::github::{INSTALL, attempt, install_with};
use crate::release_server::{
    Answer, Published, REPOSITORY, archive, asset_name, download_path, github, github_with, page_path, pages,
    program, published, sha256, tag_path,
};
use crate::test_context::TestContext;

/// Returns the release v`version`.
fn with_v(context: &TestContext, version: &str) -> Published {
    Published::new(&format!("v{version}")).asset(&asset_name(version), archive(context, version))
}

#[test]
fn the_release_of_a_known_tag_or_version_is_one_request() {
    let mut context = TestContext::new();
    let second = [with_v(&context, "14.1.0"), published(&context, "14.0.0")];
    let first = [with_v(&context, "15.0.0")];
    let mut server = github_with(&mut context, |address| pages(address, &[&first, &second]));
    let version = |args: &[&str]| {
        let args = [&["install", "--binproviders", "github", "--force"], args].concat();
        context.run(&args).succeeds().record()["version"].clone()
    };
    assert_eq!(version(&["rg@14.1.0"]), "14.1.0");
    let package = format!("{REPOSITORY}@14.0.0");
    assert_eq!(install_with(&context, "github", &json!({"packages": [package]}))["version"], "14.0.0");
    assert_eq!(
        server.paths(),
        [
            tag_path("v14.1.0"),
            download_path("v14.1.0", &asset_name("14.1.0")),
            tag_path("14.0.0"),
            download_path("14.0.0", &asset_name("14.0.0")),
        ]
    );
}

#[test]
fn a_known_tag_is_found_without_the_api() {
    let mut context = TestContext::new();
    let limited = Answer::new("403 Forbidden", "{}").with("X-RateLimit-Reset: 4102444800");
    let release = [with_v(&context, "14.1.0")];
    let link = download_path("v14.1.0", &asset_name("14.1.0"));
    let page = format!("/{REPOSITORY}/releases/expanded_assets/v14.1.0");
    let mut server = github_with(&mut context, |address| {
        let mut answers = pages(address, &[&release]);
        answers.insert(page_path(1), vec![limited.clone()]);
        answers.insert(tag_path("v14.1.0"), vec![limited]);
        answers.insert(page, vec![Answer::file(format!("<a href=\"{link}\">x</a>"))]);
        answers
    });
    let packages = json!({"packages": [format!("{REPOSITORY}@v14.1.0")], "min_release_age": 0});
    assert_eq!(install_with(&context, "github", &packages)["version"], "14.1.0");
    let record = context.run(&["install", "github:rg@14.1.0", "--force"]).succeeds().record();
    assert_eq!(record["version"], "14.1.0");
    let none = json!({"packages": [format!("{REPOSITORY}@v9")], "min_release_age": 0});
    let none = attempt(&install_with(&context, "github", &none));
    assert!(none.contains("allows no more requests until"), "{none}");
    assert!(!server.paths().iter().any(|path| path.ends_with("/releases/latest")));
}

#[test]
fn a_version_before_a_release_is_a_pre_release_whatever_the_host_says() {
    let mut context = TestContext::new();
    let releases = ["15.0.0-beta.2", "14.1.0"].map(|version| published(&context, version));
    let _server = github(&mut context, &releases);
    assert_eq!(context.run(&INSTALL).succeeds().record()["version"], "14.1.0");
    let all = install_with(&context, "github", &json!({"prerelease": true}));
    assert_eq!(all["version"], "15.0.0-beta.2");
    let named = json!({"packages": [format!("{REPOSITORY}@15.0.0-beta.2")]});
    assert_eq!(install_with(&context, "github", &named)["version"], "15.0.0-beta.2");
}

#[test]
fn a_partial_version_in_the_overrides_of_github_is_a_prefix() {
    let mut context = TestContext::new();
    let releases = ["15.0.0", "14.2.0-rc.1", "14.1.1", "14.0.0"].map(|version| published(&context, version));
    let _server = github(&mut context, &releases);
    let record = install_with(&context, "github", &json!({"version": "14"}));
    assert_eq!([&record["version"], &record["package_version"]], ["14.1.1", "14.1.1"], "{record}");
    let outdated = context.run(&["outdated", "rg"]).succeeds().record();
    assert_eq!([&outdated["status"], &outdated["wanted"]], ["up to date", "14.1.1"], "{outdated}");
    context.run(&["install"]).succeeds().stderr_contains("already installed");
    let record = context.run(&["install", "--force", "rg@14.0.0"]).succeeds().record();
    assert_eq!(record["version"], "14.0.0");
    let other = context.run(&["install", "--force", "rg@15.0.0"]).exits_with(1);
    other
        .stderr_contains("overrides.github.version is 14, but the request is for 15.0.0; change one of them");
}

#[test]
fn a_contradiction_or_a_wrong_value_is_an_error_before_any_request() {
    let mut context = TestContext::new();
    let mut server = github_with(&mut context, |_| [("/rg".to_owned(), vec![Answer::file("")])].into());
    let url = format!("http://{}/{{version}}/rg", server.address);
    for (overrides, expected) in [
        (json!({"url": url, "version": "latest"}), "overrides.url.version must be a version such as \"1.2\""),
        (json!({"url": url, "version": "../1.2"}), "overrides.url.version must be a version such as \"1.2\""),
        (
            json!({"url": format!("{url}-{{vers}}"), "version": "1.2"}),
            "overrides.url.url has {vers}, which is no placeholder; use {version}, {tag}, {os}, {arch} or {target}",
        ),
        (
            json!({"url": url, "version": "1.2", "bin": "x/{platform}/rg"}),
            "overrides.url.bin has {platform}, which is no placeholder; use",
        ),
        (
            json!({"url": {"darwin-arm64": url, "linux-riscv64-musl": url}, "version": "1.2"}),
            "only darwin-arm64, linux-riscv64-musl; add one for",
        ),
        (
            json!({"url": url, "version": "1.2", "sha256": {"linux-riscv64-musl": "0".repeat(64)}}),
            "only linux-riscv64-musl; add one for",
        ),
        (
            json!({"url": url, "version": "1.2", "min_version": "1.3"}),
            "overrides.url.version is 1.2, but the request is for 1.3 or newer; change one of them",
        ),
    ] {
        let attempt = attempt(&install_with(&context, "url", &overrides));
        assert!(attempt.starts_with("rejected ") && attempt.contains(expected), "{attempt}");
    }
    install_with(&context, "url", &json!({"url": url, "version": "1.2"}));
    let other = context.run(&["install", "rg@1.3"]).exits_with(1);
    other.stderr_contains("overrides.url.version is 1.2, but the request is for 1.3; change one of them");
    let asset = attempt(&install_with(&context, "github", &json!({"asset": "rg-{v}.gz"})));
    assert!(asset.contains("overrides.github.asset has {v}, which is no placeholder"), "{asset}");
    assert_eq!(server.paths(), ["/1.2/rg"]);
}

#[test]
fn the_requested_version_fills_the_address_if_the_overrides_state_none() {
    let mut context = TestContext::new();
    let file = program("1.3");
    let digest = sha256(file.as_bytes());
    let server = github_with(&mut context, |_| [("/1.3/rg".to_owned(), vec![Answer::file(file)])].into());
    let url = format!("http://{}/{{version}}/rg", server.address);
    let line = json!({"type": "Binary", "name": "rg", "binproviders": "url", "overrides": {"url": {"url": url, "sha256": digest}}});
    context.plugin("p", &[line]);
    let record = context.run(&["install", "rg@1.3"]).succeeds().record();
    assert_eq!([&record["version"], &record["url"]], ["1.3", &*url.replace("{version}", "1.3")]);
}

#[test]
fn a_tag_that_is_too_long_for_a_folder_is_named_with_the_limit() {
    let mut context = TestContext::new();
    let tags = [242, 243].map(|length| format!("{}-14.1.0", "b".repeat(length - "-14.1.0".len())));
    let packed = archive(&context, "14.1.0");
    let releases =
        tags.each_ref().map(|tag| Published::new(tag).asset(&asset_name("14.1.0"), packed.clone()));
    let _server = github(&mut context, &releases);
    let [longest, too_long] = tags
        .map(|tag| install_with(&context, "github", &json!({"packages": [format!("{REPOSITORY}@{tag}")]})));
    assert_eq!(longest["version"], "14.1.0", "{longest}");
    let parent = lib(&context, &format!("github/{REPOSITORY}"));
    let expected = format!(
        "rejected cannot create a folder in {}: the tag of the release has 243 bytes, and at most 242 fit; request a \
         release with a shorter tag, as in rg@1.2",
        parent.display()
    );
    assert_eq!(attempt(&too_long), expected);
}
