//! The provider github: which release it installs, with a server on the loopback interface.

use serde_json::{Value, json};

use crate::bash_and_node::{lib, names_in};
use crate::release_server::{
    Answer, Published, REPOSITORY, Server, archive, asset_name, download_path, github, github_with, packed,
    page_path, pages, program, published, sha256,
};
use crate::test_context::TestContext;

/// The arguments that install `rg` with the provider github.
pub(crate) const INSTALL: [&str; 4] = ["install", "rg", "--binproviders", "github"];

/// Installs `rg` with these overrides for a provider, and returns the record, whatever the result.
pub(crate) fn install_with(context: &TestContext, provider: &str, overrides: &Value) -> Value {
    let overrides = json!({provider: overrides});
    let line = json!({"type": "Binary", "name": "rg", "binproviders": provider, "overrides": overrides});
    context.plugin("p", &[line]);
    context.run(&["install", "--plugins", "p", "--force"]).record()
}

/// Returns the outcome and the reason of the only attempt in a record.
#[track_caller]
pub(crate) fn attempt(record: &Value) -> String {
    let attempt = &record["attempts"][0];
    format!("{} {}", attempt["outcome"].as_str().unwrap(), attempt["reason"].as_str().unwrap())
}

#[test]
fn installs_the_program_of_the_newest_release() {
    let mut context = TestContext::new();
    let releases = [published(&context, "14.1.1"), published(&context, "14.1.0")];
    let mut server = github(&mut context, &releases);
    let record = context.run(&INSTALL).succeeds().record();
    assert_eq!((&record["version"], &record["binprovider"]), (&json!("14.1.1"), &json!("github")));
    let folder = lib(&context, &format!("github/{REPOSITORY}"));
    let [release] = &names_in(&folder)[..] else { panic!("{:?}", names_in(&folder)) };
    let digest = &record["url_sha256"].as_str().unwrap()[..12];
    assert_eq!(*release, format!("14.1.1-{digest}"));
    assert_eq!(record["abspath"], folder.join(release).join("ripgrep-14.1.1/rg").to_str().unwrap());
    let path = download_path("14.1.1", &asset_name("14.1.1"));
    assert_eq!(record["url"], format!("http://{}{path}", server.address));
    assert_eq!(server.paths(), [page_path(1), path], "one request to the API");
    assert!(names_in(&lib(&context, "github/packages")).is_empty(), "nothing is left of the download");
    context.run(&["exec", "--", "rg"]).succeeds();
    context.run(&INSTALL).succeeds().stderr_contains("already installed");
}

#[test]
fn versions_are_side_by_side_until_nothing_uses_one() {
    let mut context = TestContext::new();
    let releases = [published(&context, "14.1.1"), published(&context, "14.1.0")];
    let _server = github(&mut context, &releases);
    context.run(&["install", "github:rg@14.1.0"]).succeeds();
    let old = context.linked_file("rg");
    let record = context.run(&["install", "github:rg@14.1.1"]).succeeds().record();
    assert_eq!(record["version"], "14.1.1");
    let folder = lib(&context, &format!("github/{REPOSITORY}"));
    assert_eq!(names_in(&folder).len(), 2);
    context.run(&["uninstall", "--orphaned", "--yes"]).succeeds();
    assert_eq!(names_in(&folder).len(), 1);
    assert!(!old.exists() && context.linked_file("rg").exists());
    context.run(&["uninstall", "rg", "--yes"]).succeeds();
    assert_eq!(names_in(&lib(&context, "github")), ["packages"], "no empty folder of an owner is left");
}

/// Starts a GitHub whose release has the programs `a` and `b`, which a plugin requires.
fn two_programs(context: &mut TestContext) -> Server {
    for name in ["a", "b"] {
        context.script(&format!("pack/ripgrep-1/{name}"), &program("1.0"));
    }
    let release = Published::new("v1.0").asset(&asset_name("1.0"), packed(context, "ripgrep-1"));
    let overrides = json!({"github": {"repo": REPOSITORY}});
    let line =
        |name| json!({"type": "Binary", "name": name, "binproviders": "github", "overrides": overrides});
    context.plugin("p", &["a", "b"].map(line));
    github(context, &[release])
}

#[test]
fn programs_of_one_release_are_installed_at_once_and_share_its_folder() {
    let mut context = TestContext::new();
    let _server = two_programs(&mut context);
    for data in ["1", "2", "3", "4", "5"] {
        context.set("RIGUP_DATA_DIR", context.path(data));
        context.run(&["install"]).succeeds();
    }
    let inode = || std::os::unix::fs::MetadataExt::ino(&linked("5/", &context).metadata().unwrap());
    let first = inode();
    context.run(&["install", "--force", "-j1"]).succeeds();
    assert_eq!(inode(), first, "a complete folder is not replaced, because others may use it");
}

#[test]
fn programs_of_one_release_asset_are_downloaded_once() {
    let mut context = TestContext::new();
    let mut server = two_programs(&mut context);
    let output = context.run(&["install", "-j2"]).succeeds();
    let (one, two) = (&output.records()[0], &output.records()[1]);
    assert_eq!([&one["url"], &one["url_sha256"]], [&two["url"], &two["url_sha256"]]);
    context.run(&["install", "--force", "a"]).succeeds();
    context.run(&["exec", "--", "b"]).succeeds();
    let names = names_in(&lib(&context, "github"));
    assert_eq!(names, ["BurntSushi", "packages"]);
    assert!(names_in(&lib(&context, "github/packages")).is_empty());
    let path = download_path("v1.0", &asset_name("1.0"));
    assert_eq!(server.paths().iter().filter(|found| **found == path).count(), 1);
}

#[test]
fn a_release_is_downloaded_again_if_its_folder_is_not_what_was_unpacked() {
    let mut context = TestContext::new();
    let mut server = two_programs(&mut context);
    context.run(&["install", "a"]).succeeds();
    let folder = linked("data/", &context).parent().unwrap().parent().unwrap().to_owned();
    let statement = folder.join(".rigup-asset");
    let text = std::fs::read_to_string(&statement).unwrap();
    for change in [
        &(|| std::fs::remove_file(&statement).unwrap()) as &dyn Fn(),
        &|| std::fs::write(&statement, text.replace("\"url_sha256\":\"", "\"url_sha256\":\"0")).unwrap(),
        &|| std::fs::write(folder.join("added"), "").unwrap(),
        &|| std::fs::rename(&folder, context.path("away")).unwrap(),
    ] {
        change();
        context.run(&["install", "--force", "b"]).succeeds();
        assert_eq!(std::fs::read_to_string(&statement).unwrap(), text);
        assert!(!folder.join("added").exists());
    }
    let path = download_path("v1.0", &asset_name("1.0"));
    assert_eq!(server.paths().iter().filter(|found| **found == path).count(), 5);
}

#[test]
fn a_damaged_release_is_mended_by_the_next_install_of_one_of_its_programs() {
    let mut context = TestContext::new();
    let _server = two_programs(&mut context);
    context.run(&["install", "a"]).succeeds();
    let program = linked("data/", &context);
    let other = program.with_file_name("b");
    context.script(other.to_str().unwrap(), "#!/bin/sh\necho damaged\n");
    std::fs::write(program.with_file_name("added"), "").unwrap();
    context.run(&["install", "b"]).succeeds();
    assert!(std::fs::read_to_string(&other).unwrap().contains("ripgrep 1.0"));
    assert!(!program.with_file_name("added").exists());
    std::fs::remove_file(&other).unwrap();
    context.run(&["install", "--force", "a"]).succeeds();
    context.run(&["exec", "--", "b"]).succeeds();
}

/// Returns the real path of the program `a`.
fn linked(data: &str, context: &TestContext) -> std::path::PathBuf {
    let lib = context.path(&format!("{data}lib")).join(rigup::settings::platform());
    std::fs::canonicalize(lib.join("bin/a")).unwrap()
}

#[test]
fn a_pre_release_or_a_draft_does_not_count() {
    let mut context = TestContext::new();
    let releases = [
        published(&context, "16.0.0").with("draft", true),
        published(&context, "15.0.0").with("prerelease", true),
        published(&context, "14.0.0"),
    ];
    let _server = github(&mut context, &releases);
    assert_eq!(install_with(&context, "github", &json!({}))["version"], "14.0.0");
    assert_eq!(install_with(&context, "github", &json!({"prerelease": true}))["version"], "15.0.0");
    assert_eq!(install_with(&context, "github", &json!("BurntSushi/ripgrep@15.0.0"))["version"], "15.0.0");
    assert_eq!(install_with(&context, "github", &json!({"version": "15.0.0"}))["version"], "15.0.0");
}

#[test]
fn a_release_without_a_fitting_asset_does_not_count() {
    let mut context = TestContext::new();
    let releases = [
        Published::new("16.0.0"),
        Published::new("15.0.0").asset("ripgrep-15.0.0-x86_64-pc-windows-msvc.zip", "x"),
        published(&context, "14.0.0"),
    ];
    let _server = github(&mut context, &releases);
    assert_eq!(context.run(&INSTALL).succeeds().record()["version"], "14.0.0");
    let _server = github(&mut context, &releases[..1]);
    let record = install_with(&context, "github", &json!({"packages": REPOSITORY}));
    let reason = "rejected BurntSushi/ripgrep has no release that the request accepts: 16.0.0 has no files";
    assert_eq!(attempt(&record), reason);
}

#[test]
fn the_search_continues_on_the_second_page() {
    let mut context = TestContext::new();
    let first = [Published::new("15.0.0"), Published::new("14.9.0")];
    let second = [published(&context, "14.0.0")];
    let mut server = github_with(&mut context, |address| pages(address, &[&first, &second]));
    assert_eq!(context.run(&INSTALL).succeeds().record()["version"], "14.0.0");
    assert_eq!(server.paths()[..2], [page_path(1), page_path(2)]);
}

#[test]
fn a_release_or_an_asset_that_is_too_new_does_not_count() {
    let mut context = TestContext::new();
    let name = asset_name("14.2.0");
    let replaced = archive(&context, "14.2.0");
    let releases = [
        published(&context, "14.3.0").with("published_at", "2999-01-01T00:00:00Z"),
        Published::new("14.2.0").asset_with(&name, replaced, json!({"updated_at": "2999-01-01T00:00:00Z"})),
        published(&context, "14.1.0"),
    ];
    let _server = github(&mut context, &releases);
    assert_eq!(context.run(&INSTALL).succeeds().record()["version"], "14.1.0");
    let newest = context.run(&[&INSTALL[..], &["--min-release-age", "0", "--force"]].concat()).succeeds();
    assert_eq!(newest.record()["version"], "14.3.0");
}

#[test]
fn the_version_of_a_release_is_in_the_range_of_the_request() {
    let mut context = TestContext::new();
    let releases = ["15.0.0", "14.1.1", "14.1.0", "13.0.0"].map(|version| published(&context, version));
    let _server = github(&mut context, &releases);
    let version = |args: &[&str]| {
        let args = [&["install", "--binproviders", "github", "--force"], args].concat();
        context.run(&args).succeeds().record()["version"].clone()
    };
    assert_eq!(version(&["rg", "--max-version", "14.1.5"]), "14.1.1");
    assert_eq!(version(&["rg@14.1.0"]), "14.1.0");
    let args = ["install", "--binproviders", "github", "--force", "rg@12"];
    let reason = "github declined: github has no version 12 of BurntSushi/ripgrep; the newest is 15.0.0";
    context.run(&args).exits_with(1).stderr_contains(reason);
}

#[test]
fn an_older_release_that_was_published_later_does_not_count() {
    let mut context = TestContext::new();
    let releases = [published(&context, "13.9.0"), published(&context, "14.0.0")];
    let _server = github(&mut context, &releases);
    assert_eq!(context.run(&INSTALL).succeeds().record()["version"], "14.0.0");
}

#[test]
fn overrides_name_the_repository_the_tag_and_the_asset() {
    let mut context = TestContext::new();
    let packed = archive(&context, "1.0");
    let releases = [
        Published::new("other-2.0").asset("tool.tar.gz", packed.clone()),
        Published::new("tool-1.0").asset("tool.tar.gz", packed.clone()).asset("rg-all.tar.gz", packed),
    ];
    let _server = github(&mut context, &releases);
    let overrides = json!({
        "repo": REPOSITORY, "tag_prefix": "tool-", "asset": "rg-*.tar.gz", "bin": "ripgrep-{version}/rg",
    });
    let record = install_with(&context, "github", &overrides);
    assert_eq!(record["version"], "1.0", "{record}");
    assert!(record["url"].as_str().unwrap().ends_with("/tool-1.0/rg-all.tar.gz"), "{record}");
}

#[test]
fn a_repository_that_is_not_known_must_be_named() {
    let mut context = TestContext::new();
    let _server = github(&mut context, &[]);
    for (overrides, expected) in [
        (
            json!({"packages": "no-such-program"}),
            "declined no repository of no-such-program is known; set overrides.github.repo",
        ),
        (
            json!({"repo": "../x"}),
            "rejected overrides.github.repo must be the owner and the name of a repository",
        ),
        (json!({"sha256": "abc"}), "rejected overrides.github.sha256 must be 64 hex digits"),
        (json!({"prerelease": "yes"}), "rejected overrides.github.prerelease must be true or false"),
        (json!({"verify": "x"}), "rejected overrides.github.verify must be \"attestation\" or \"cosign\""),
        (json!({"packages": "owner/missing"}), "declined 127.0.0.1:"),
    ] {
        let attempt = attempt(&install_with(&context, "github", &overrides));
        assert!(attempt.starts_with(expected), "{attempt}");
    }
}

#[test]
fn an_owner_or_a_repository_may_be_named_like_a_folder_of_rigup_itself() {
    let mut context = TestContext::new();
    let packed = archive(&context, "1.0");
    for repository in ["packages/tool", "owner/packages", "tool.part/x", "owner/tool.part"] {
        let path = format!("/file/{}", asset_name("1.0"));
        let _server = github_with(&mut context, |address| {
            let url = format!("http://{address}{path}");
            let list = json!([{"tag_name": "1.0", "published_at": "2026-01-01T00:00:00Z", "assets": [
                {"name": asset_name("1.0"), "browser_download_url": url},
            ]}]);
            let api = format!("/api/repos/{repository}/releases?per_page=30");
            [(api, vec![Answer::file(list.to_string())]), (path, vec![Answer::file(packed.clone())])].into()
        });
        let record = install_with(&context, "github", &json!(repository));
        assert_eq!(record["version"], "1.0", "{repository}: {record}");
        context.run(&["uninstall", "rg", "--yes", "--force"]).succeeds();
        assert_eq!(names_in(&lib(&context, "github")), ["packages"], "{repository}");
    }
}

#[test]
fn the_next_asset_is_installed_if_the_best_does_not_run() {
    let mut context = TestContext::new();
    // A program of this system whose loader does not exist.
    let mut foreign = std::fs::read("/bin/sh").unwrap();
    let Some(loader) = foreign.windows(4).position(|bytes| bytes == b"/ld-") else { return };
    foreign[loader + 1] = b'X';
    let arch = std::env::consts::ARCH;
    let force = [&INSTALL[..], &["--force"]].concat();
    let next = format!("rg-{arch}-linux-musl");
    // No name says that the second one needs a library that this host does not have.
    for best in [format!("rg-{arch}-linux-gnu"), format!("rg-{arch}-linux")] {
        let release = Published::new("1.0").asset(&best, foreign.clone()).asset(&next, program("1.0"));
        let mut server = github(&mut context, &[release]);
        let record = context.run(&force).succeeds().record();
        assert!(record["url"].as_str().unwrap().ends_with(&next), "{record}");
        assert_eq!(
            server.paths(),
            [page_path(1), download_path("1.0", &best), download_path("1.0", &next)],
            "the best asset is tried first"
        );
        let _server = github(&mut context, &[Published::new("1.0").asset(&best, foreign.clone())]);
        context.run(&force).exits_with(1).stderr_contains("which does not exist");
    }
}

#[test]
fn archives_of_every_kind_are_installed() {
    let mut context = TestContext::new();
    let arch = std::env::consts::ARCH;
    let zip =
        std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/releases/without_modes.zip")).unwrap();
    let release = Published::new("14.1.1").asset(&format!("rg-{arch}-linux.zip"), zip);
    let _server = github(&mut context, &[release]);
    let record = context.run(&INSTALL).succeeds().record();
    assert_eq!(record["version"], "14.1.1", "no file of the archive has an exec bit");

    context.script("pack/rg/bin/rg", &program("15.0"));
    context.write("pack/rg/complete/rg.bash", "complete rg\n");
    let release = Published::new("15.0").asset(&format!("rg-{arch}-linux.tar.gz"), packed(&context, "rg"));
    let _server = github(&mut context, &[release]);
    let record = context.run(&[&INSTALL[..], &["--force"]].concat()).succeeds().record();
    assert!(record["abspath"].as_str().unwrap().ends_with("/bin/rg"), "a folder has the name of the program");
}

#[test]
fn an_archive_with_a_path_that_leads_outside_is_refused() {
    let mut context = TestContext::new();
    context.script("pack/rg", &program("1.0"));
    let mut archive = std::process::Command::new("tar");
    archive
        .args(["cf", "-", "-P", "--transform", "s,^rg,../../../canary,", "rg"])
        .current_dir(context.path("pack"));
    let output = archive.output().unwrap();
    assert!(output.status.success());
    let name = format!("rg-{}-linux.tar", std::env::consts::ARCH);
    let _server = github(&mut context, &[Published::new("1.0").asset(&name, output.stdout)]);
    context.run(&INSTALL).exits_with(1).stderr_contains("cannot unpack");
    assert!(names_in(&lib(&context, "github")).iter().all(|name| name != "canary"));
    assert!(names_in(&lib(&context, "github/packages")).is_empty());
}

#[test]
fn other_hosts_are_asked_by_their_own_api() {
    let context = TestContext::new();
    let packed = archive(&context, "1.0");
    let name = asset_name("1.0");
    let server = Server::start(|address| {
        let list = json!([{"tag_name": "v1.0", "published_at": "2026-01-01T00:00:00Z", "assets": [
            {"name": name, "size": packed.len(), "browser_download_url": format!("http://{address}/file/{name}")},
        ]}]);
        let links = json!([{"tag_name": "v2.0", "released_at": "2026-01-01T00:00:00Z", "assets": {"links": [
            {"name": name, "url": format!("http://{address}/file/{name}")},
        ]}}]);
        [
            ("/api/v1/repos/me/rg/releases?limit=30".to_owned(), vec![Answer::file(list.to_string())]),
            (
                "/api/v4/projects/group%2Fapps%2Frg/releases?per_page=30".to_owned(),
                vec![Answer::file(links.to_string())],
            ),
            (format!("/file/{name}"), vec![Answer::file(packed.clone())]),
        ]
        .into()
    });
    for (repository, version, folder) in [("me/rg", "1.0", "me"), ("group/apps/rg", "2.0", "group+apps")] {
        let overrides = json!({"repo": repository, "host": server.address, "sha256": sha256(&packed)});
        let record = install_with(&context, "github", &overrides);
        assert_eq!(record["version"], version, "{record}");
        let folder = format!("/github/{}+{folder}/rg/v{version}-", server.address.replace(':', "+"));
        assert!(record["abspath"].as_str().unwrap().contains(&folder), "{record}");
    }
}
