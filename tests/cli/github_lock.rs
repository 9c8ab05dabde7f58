//! Lock files with release assets, and the provider url.

use serde_json::json;

use crate::bash_and_node::lib;
use crate::github::{INSTALL, attempt, install_with};
use crate::release_server::{
    Answer, Published, Server, archive, asset_name, download_path, github_with, page_path, pages, program,
    published, sha256,
};
use crate::test_context::TestContext;

#[test]
fn a_locked_install_does_not_ask_the_api() {
    let mut context = TestContext::new();
    let (name, packed) = (asset_name("14.1.1"), archive(&context, "14.1.1"));
    let (path, digest) = (download_path("14.1.1", &name), sha256(&packed));
    let release = Published::new("14.1.1").asset(&name, packed.clone());
    let (whole, other) = (Answer::file(packed), Answer::file("other"));
    let mut server = github_with(&mut context, |address| {
        let mut answers = pages(address, &[&[release]]);
        let list = answers.remove(&page_path(1)).unwrap();
        answers.insert(page_path(1), [list, vec![Answer::new("500 Internal Server Error", "")]].concat());
        answers.insert(path.clone(), vec![whole.clone(), whole, other]);
        answers
    });
    context.plugin("p", &[json!({"type": "Binary", "name": "rg", "binproviders": "github"})]);
    let line = context.run(&["lock"]).succeeds().record();
    assert_eq!(line["url"], format!("http://{}{path}", server.address));
    assert_eq!(line["url_sha256"], digest);
    context.run(&["lock", "--check"]).succeeds();

    context.set("RIGUP_DATA_DIR", context.path("elsewhere"));
    let record = context.run(&["install", "--locked"]).succeeds().record();
    assert_eq!((&record["version"], &record["sha256"]), (&line["version"], &line["sha256"]));
    let folder =
        format!("/github/BurntSushi/ripgrep/14.1.1-{}/", &line["url_sha256"].as_str().unwrap()[..12]);
    assert!(record["abspath"].as_str().unwrap().contains(&folder), "{record}");

    context.set("RIGUP_DATA_DIR", context.path("third"));
    let output = context.run(&["install", "--locked"]).exits_with(1);
    assert!(output.stderr.contains("but the lock file states"), "{}", output.stderr);
    assert_eq!(server.paths(), [page_path(1), path.clone(), path.clone(), path]);
}

#[test]
fn a_locked_install_of_a_private_release_sends_the_token_to_the_api() {
    let mut context = TestContext::new();
    let (name, packed) = (asset_name("14.1.1"), archive(&context, "14.1.1"));
    let public = download_path("v14.1.1", &name);
    let in_api = format!("/api/assets/{name}");
    let release = Published::new("v14.1.1").asset(&name, packed.clone());
    let mut elsewhere = Server::start(|_| [("/stored".to_owned(), vec![Answer::file(packed)])].into());
    let stored = Answer::redirect(&format!("http://{}/stored", elsewhere.address));
    let mut server = github_with(&mut context, |address| {
        let mut answers = pages(address, &[&[release]]);
        answers.remove(&public);
        answers.insert(in_api.clone(), vec![stored]);
        answers
    });
    context.set("GITHUB_TOKEN", "canary");
    context.plugin("p", &[json!({"type": "Binary", "name": "rg", "binproviders": "github"})]);
    let line = context.run(&["lock"]).succeeds().record();
    assert_eq!(line["url"], format!("http://{}{in_api}#v14.1.1/{name}", server.address));

    context.set("RIGUP_DATA_DIR", context.path("elsewhere"));
    let record = context.run(&["install", "--locked"]).succeeds().record();
    assert!(record["abspath"].as_str().unwrap().contains("/ripgrep/v14.1.1-"), "{record}");
    context.run(&["lock", "--check"]).succeeds();
    let third = context.path("third");
    context.unset("GITHUB_TOKEN").set("RIGUP_DATA_DIR", third);
    context.run(&["install", "--locked"]).succeeds();

    let requests = server.stop();
    let paths: Vec<&str> = requests.iter().map(|request| request.path.as_str()).collect();
    assert_eq!(paths, [&page_path(1), &public, &in_api, &in_api, &in_api]);
    let has_token: Vec<bool> = requests.iter().map(|request| request.head.contains("canary")).collect();
    assert_eq!(has_token, [true, false, true, true, false]);
    assert!(elsewhere.stop().iter().all(|request| !request.head.contains("canary")));
}

#[test]
fn a_copied_lib_dir_needs_no_download() {
    let mut context = TestContext::new();
    let release = published(&context, "14.1.1");
    let mut server = github_with(&mut context, |address| pages(address, &[&[release]]));
    context.run(&INSTALL).succeeds();
    server.stop();
    std::fs::rename(context.path("data"), context.path("moved")).unwrap();
    context.set("RIGUP_DATA_DIR", context.path("moved"));
    context.run(&INSTALL).succeeds().stderr_contains("already installed");
    context.run(&["exec", "--", "rg"]).succeeds();
}

#[test]
fn a_locked_install_from_an_address_has_no_age_to_warn_of() {
    let mut context = TestContext::new();
    let server =
        github_with(&mut context, |_| [("/rg".to_owned(), vec![Answer::file(program("1.0"))])].into());
    let overrides = json!({"url": {"url": format!("http://{}/rg", server.address)}});
    context.plugin(
        "p",
        &[json!({"type": "Binary", "name": "rg", "binproviders": "url", "overrides": overrides})],
    );
    let warning = "url cannot enforce min_release_age";
    context.run(&["install"]).succeeds().stderr_contains(warning);
    context.run(&["lock"]).succeeds();
    let output = context.run(&["install", "--locked", "--force"]).succeeds();
    assert!(!output.stderr.contains(warning), "the lock file states the digest: {}", output.stderr);
}

#[test]
fn an_upgrade_holds_back_a_program_whose_address_needs_a_version() {
    let mut context = TestContext::new();
    let files =
        ["1.4.0", "1.5.0"].map(|version| (format!("/v{version}/rg"), vec![Answer::file(program(version))]));
    let server = github_with(&mut context, |_| files.into());
    let overrides = json!({"url": {"url": format!("http://{}/v{{version}}/rg", server.address)}});
    context.plugin(
        "p",
        &[json!({"type": "Binary", "name": "rg", "binproviders": "url", "overrides": overrides})],
    );
    context.run(&["install", "rg@1.4.0"]).succeeds();
    let record = context.run(&["upgrade"]).succeeds().record();
    assert_eq!((&record["upgrade"], &record["version"]), (&json!("held back"), &json!("1.4.0")), "{record}");
    assert_eq!(
        record["reason"],
        "the address in overrides.url.url has {version}, and no newer version is requested; request one as in rg@1.2"
    );
    assert_eq!(context.run(&["upgrade", "rg@1.5.0"]).succeeds().record()["version"], "1.5.0");
}

#[test]
fn url_installs_from_the_address_of_the_requirement() {
    let mut context = TestContext::new();
    let packed = program("2.5");
    let file = packed.clone();
    let server = github_with(&mut context, |_| [("/v2.5/rg".to_owned(), vec![Answer::file(file)])].into());
    let url = format!("http://{}/v{{version}}/rg", server.address);
    let overrides = json!({"url": url, "version": "2.5", "sha256": sha256(packed.as_bytes())});
    install_with(&context, "url", &overrides);
    let output = context.run(&["install", "--force"]).succeeds();
    assert!(!output.stderr.contains("min_release_age"), "the digest is fixed: {}", output.stderr);
    let record = output.record();
    assert_eq!((&record["version"], &record["binprovider"]), (&json!("2.5"), &json!("url")), "{record}");
    assert_eq!(record["abspath"], lib(&context, "url/rg/rg").to_str().unwrap());
    for (overrides, expected) in [
        (
            json!({}),
            "rejected no address is stated; set overrides.url.url, as in {\"url\": {\"url\": \"https://",
        ),
        (json!("https://example.org/rg"), "rejected no address is stated; set overrides.url.url, as in "),
        (
            json!({"url": url}),
            "rejected the address in overrides.url.url has {version}, but no version is requested; request one as in rg@1.2, or \
             set overrides.url.version",
        ),
        (json!({"url": url, "version": "3"}), "failed exit code 1: cannot download http://127.0.0.1:"),
        (
            json!({"url": "http://example.org/rg"}),
            "rejected cannot download http://example.org/rg: only https",
        ),
        (json!({"url": url, "version": "2.5", "require_checksum": true}), "rejected rg has no checksum, and"),
        (json!({"url": url, "version": "2.5", "sha256": "0".repeat(64)}), "rejected rg has sha256 "),
    ] {
        let attempt = attempt(&install_with(&context, "url", &overrides));
        assert!(attempt.starts_with(expected), "{attempt}");
    }
    context.run(&["exec", "--", "rg"]).succeeds();
}
