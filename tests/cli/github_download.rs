//! The provider github: downloads, and what verifies them.

use serde_json::{Value, json};

use crate::bash_and_node::{lib, names_in, put_only_on_path};
use crate::github::{INSTALL, attempt, install_with};
use crate::github_api::without_curl;
use crate::release_server::{
    Answer, Published, archive, asset_name, download_path, github, github_with, pages, published, sha256,
};
use crate::test_context::TestContext;

/// The programs that the hook itself needs.
const TOOLS: [&str; 12] =
    ["sh", "bash", "env", "cat", "rm", "mkdir", "chmod", "find", "sed", "head", "mv", "grep"];

#[test]
fn a_download_that_is_cut_off_continues() {
    let mut context = TestContext::new();
    let packed = archive(&context, "14.1.1");
    let release = Published::new("14.1.1").asset(&asset_name("14.1.1"), packed.clone());
    let whole = Answer::file(packed);
    let path = download_path("14.1.1", &asset_name("14.1.1"));
    let mut server = github_with(&mut context, |address| {
        let mut answers = pages(address, &[&[release]]);
        answers.insert(path.clone(), vec![whole.clone().cut(), whole]);
        answers
    });
    context.run(&INSTALL).succeeds();
    let requests = server.stop();
    let ranges: Vec<bool> =
        requests[1..].iter().map(|request| request.head.contains("Range: bytes=")).collect();
    assert_eq!(ranges, [false, true], "only the rest is requested again");
}

#[test]
fn a_download_that_is_cut_off_starts_again_if_the_server_has_no_ranges() {
    let mut context = TestContext::new();
    let packed = archive(&context, "14.1.1");
    let release = [Published::new("14.1.1").asset(&asset_name("14.1.1"), packed.clone())];
    let size = packed.len();
    let whole = Answer::file(packed).without_ranges();
    let cut = whole.clone().cut();
    let path = download_path("14.1.1", &asset_name("14.1.1"));
    // The second request is for the rest, which the server does not send.
    for (answers_of_file, is_complete) in
        [(vec![cut.clone(), cut.clone(), cut.clone(), cut.clone(), whole], true), (vec![cut], false)]
    {
        let mut server = github_with(&mut context, |address| {
            let mut answers = pages(address, &[&release]);
            answers.insert(path.clone(), answers_of_file);
            answers
        });
        let output = context.run(&[&INSTALL[..], &["--force"]].concat());
        if is_complete {
            output.succeeds();
        } else {
            let expected = format!("the server sent {} of {size} bytes in the last of 4 tries", size / 2);
            let stderr = output.exits_with(1).stderr;
            assert!(stderr.contains(&expected) && !stderr.contains("range"), "{stderr}");
        }
        let ranges = server.stop().iter().filter(|request| request.head.contains("Range: bytes=")).count();
        assert_eq!(ranges, 1, "a server without ranges is asked for one only once");
    }
}

#[test]
fn a_download_that_a_server_cannot_send_fails() {
    let mut context = TestContext::new();
    let release = published(&context, "14.1.1");
    let path = download_path("14.1.1", &asset_name("14.1.1"));
    let _server = github_with(&mut context, |address| {
        let mut answers = pages(address, &[&[release]]);
        answers.insert(path, vec![Answer::new("503 Service Unavailable", "")]);
        answers
    });
    context.run(&INSTALL).exits_with(1).stderr_contains("the server sent the status 503");
    assert!(names_in(&lib(&context, "github/packages")).is_empty());
}

#[test]
fn a_file_with_another_digest_is_rejected() {
    let mut context = TestContext::new();
    let packed = archive(&context, "14.1.1");
    let name = asset_name("14.1.1");
    let digest = format!("sha256:{}", "0".repeat(64));
    let release = Published::new("14.1.1").asset_with(&name, packed.clone(), json!({"digest": digest}));
    let _server = github(&mut context, &[release]);
    let reason = attempt(&install_with(&context, "github", &json!({})));
    let zeros = "0".repeat(64);
    let expected = format!("rejected {name} has sha256 {}, but the API of 127.0.0.1:", sha256(&packed));
    assert!(reason.starts_with(&expected) && reason.ends_with(&format!(" states {zeros}")), "{reason}");
    // The digest in the requirement counts more, and may differ by platform.
    let stated = json!({"sha256": {"linux-x86_64": sha256(&packed), "linux-aarch64": sha256(&packed),
        "darwin-arm64": sha256(&packed), "darwin-x86_64": sha256(&packed)}});
    assert_eq!(install_with(&context, "github", &stated)["version"], "14.1.1");
    let wrong = attempt(&install_with(&context, "github", &json!({"sha256": zeros})));
    assert!(wrong.contains("but overrides.github.sha256 states 000"), "{wrong}");
}

#[test]
fn a_digest_of_the_api_that_cannot_be_read_is_a_failure() {
    let mut context = TestContext::new();
    let (name, packed) = (asset_name("14.1.1"), archive(&context, "14.1.1"));
    let digest = json!({"digest": "sha256:zz"});
    let release = Published::new("14.1.1").asset_with(&name, packed.clone(), digest.clone());
    let _server = github(&mut context, &[release]);
    let attempted = attempt(&install_with(&context, "github", &json!({})));
    let end = format!(" has no checksum of {name} that can be read; set sha256 if you know its digest");
    assert!(attempted.starts_with("failed ") && attempted.ends_with(&end), "{attempted}");
    let list = format!("{}  {name}\n", sha256(&packed));
    let release =
        Published::new("14.1.1").asset_with(&name, packed, digest).asset_with("SHA256SUMS", list, json!({}));
    let _server = github(&mut context, &[release]);
    let record = install_with(&context, "github", &json!({}));
    assert_eq!(record["version"], "14.1.1", "{record}");
}

/// Returns a release without digests in the API.
fn without_digests(packed: &[u8]) -> Published {
    Published::new("14.1.1").asset_with(&asset_name("14.1.1"), packed, json!({}))
}

#[test]
fn a_checksum_in_the_release_verifies_the_file() {
    let mut context = TestContext::new();
    let (name, packed) = (asset_name("14.1.1"), archive(&context, "14.1.1"));
    let digest = sha256(&packed);
    let (other, zeros) = ("ripgrep-14.1.1-other.tar.gz", "0".repeat(64));
    let required = json!({"require_checksum": true});
    for (file, text) in [
        (format!("{name}.sha256"), format!("{digest}\n")),
        ("SHA256SUMS".to_owned(), format!("{zeros}  {other}\n{digest} *{name}\n")),
        (
            "ripgrep_14.1.1_checksums.txt".to_owned(),
            format!("SHA256 ({other}) = {zeros}\nSHA256 ({name}) = {digest}\n"),
        ),
    ] {
        let release = without_digests(&packed).asset_with(&file, text.clone(), json!({}));
        let _server = github(&mut context, &[release]);
        let record = install_with(&context, "github", &required);
        assert_eq!(record["version"], "14.1.1", "{record}");
        let wrong = text.replace(&digest, &zeros);
        let release = without_digests(&packed).asset_with(&file, wrong, json!({}));
        let _server = github(&mut context, &[release]);
        let reason = attempt(&install_with(&context, "github", &json!({})));
        assert!(
            reason.starts_with("rejected ") && reason.contains(&format!("but {file} states")),
            "{reason}"
        );
    }
}

#[test]
fn a_file_that_nothing_verifies_is_installed_with_a_warning() {
    let mut context = TestContext::new();
    let release = without_digests(&archive(&context, "14.1.1"));
    let _server = github(&mut context, &[release]);
    let warning = format!("{} has no checksum", asset_name("14.1.1"));
    context.run(&INSTALL).succeeds().stderr_contains(&warning);
    let refused = |record: Value| {
        let reason = attempt(&record);
        assert!(reason.contains("has no checksum, and require_checksum is set; set sha256 to"), "{reason}");
    };
    refused(install_with(&context, "github", &json!({"require_checksum": true})));
    context.write("here/rigup.toml", "REQUIRE_CHECKSUM = true\n");
    refused(install_with(&context, "github", &json!({})));
}

#[test]
fn a_list_without_the_file_is_no_checksum_and_an_unreadable_one_fails() {
    let mut context = TestContext::new();
    let (name, packed) = (asset_name("14.1.1"), archive(&context, "14.1.1"));
    let zeros = "0".repeat(64);
    for (file, text, expected) in [
        ("SHA256SUMS".to_owned(), format!("{zeros}  other.gz\n"), None),
        (
            "SHA256SUMS".to_owned(),
            format!("broken  {name}\n{zeros}  other.gz\n"),
            Some("SHA256SUMS has no checksum of"),
        ),
        (format!("{name}.sha256"), "Not Found".to_owned(), Some(".sha256 has no checksum of")),
    ] {
        let release = without_digests(&packed).asset_with(&file, text, json!({}));
        let _server = github(&mut context, &[release]);
        let output = context.run(&[&INSTALL[..], &["--force"]].concat());
        match expected {
            None => {
                output.succeeds().stderr_contains("has no checksum, so nothing verifies");
            }
            Some(reason) => {
                let reason_of = attempt(&output.exits_with(1).record());
                assert!(reason_of.starts_with("failed ") && reason_of.contains(reason), "{reason_of}");
            }
        }
    }
}

#[test]
fn wget_downloads_without_curl_and_something_must() {
    let mut context = TestContext::new();
    let release = published(&context, "14.1.1");
    let _server = github(&mut context, &[release]);
    without_curl(&mut context);
    context.run(&INSTALL).succeeds();
    std::fs::remove_file(context.path("tools/wget")).unwrap();
    let record = install_with(&context, "github", &json!({}));
    assert!(
        attempt(&record).starts_with("declined neither curl nor wget is on PATH; install one"),
        "{record}"
    );
}

#[test]
fn a_small_wget_such_as_that_of_busybox_is_enough() {
    let busybox = std::path::Path::new("/usr/bin/busybox");
    if !busybox.exists() {
        return;
    }
    let mut context = TestContext::new();
    let release = published(&context, "14.1.1");
    let mut server = github(&mut context, &[release]);
    put_only_on_path(&mut context, &TOOLS);
    std::os::unix::fs::symlink(busybox, context.path("tools/wget")).unwrap();
    context.set("GITHUB_TOKEN", "canary");
    context.run(&INSTALL).succeeds();
    assert!(
        server.stop().iter().all(|request| !request.head.contains("canary")),
        "it could send it elsewhere"
    );
}

#[test]
fn downloads_go_through_the_proxy_of_the_environment() {
    let mut context = TestContext::new();
    let release = published(&context, "14.1.1");
    let mut server = github(&mut context, &[release]);
    context.set("http_proxy", format!("http://{}", server.address));
    context.run(&INSTALL).succeeds();
    assert!(server.paths().iter().all(|path| path.starts_with("http://127.0.0.1:")));
}

#[test]
fn the_password_of_a_server_in_netrc_is_sent_to_it() {
    let mut context = TestContext::new();
    let release = published(&context, "14.1.1");
    let mut server = github(&mut context, &[release]);
    context.write("home/.netrc", "machine 127.0.0.1 login me password pass\n");
    context.run(&INSTALL).succeeds();
    let has_password = |head: &str| head.contains("Authorization: Basic bWU6cGFzcw==");
    assert!(server.stop().iter().all(|request| has_password(&request.head)));
}

#[test]
fn hook_download_takes_only_secure_addresses() {
    let mut context = TestContext::new();
    let folder = context.path("downloads");
    let download = |url: &str| context.run(&["hook", "download", url, folder.to_str().unwrap()]);
    for (url, expected) in [
        ("http://example.org/x", "reject 'cannot download http://example.org/x: only https is allowed"),
        ("https://me:canary@example.org/x", "reject 'cannot download from example.org: the address contains"),
        ("{}", "reject 'cannot download : it has no file name'"),
        ("x", "reject '\"x\" is not an address"),
    ] {
        let output = download(url).exits_with(1);
        assert!(
            output.stdout.starts_with(expected) && !output.stdout.contains("canary"),
            "{}",
            output.stdout
        );
    }
    assert!(!folder.exists());
    let server = github_with(&mut context, |_| {
        let insecure = Answer::redirect("http://example.org/x");
        [("/a%20b".to_owned(), vec![Answer::file("abc")]), ("/insecure".to_owned(), vec![insecure])].into()
    });
    let download = |path: &str| {
        let url = format!("http://{}{path}", server.address);
        context.run(&["hook", "download", &url, folder.to_str().unwrap()])
    };
    download("/insecure").exits_with(1);
    assert!(names_in(&folder).is_empty());
    let output = download("/a b").succeeds();
    assert!(output.stdout.contains(&format!("sha256={}\n", sha256(b"abc"))), "{}", output.stdout);
    assert_eq!(std::fs::read(folder.join("a b")).unwrap(), b"abc");
}

#[test]
fn hook_download_checks_a_digest_and_takes_what_a_setting_names() {
    let mut context = TestContext::new();
    let folder = context.path("downloads");
    let server = github_with(&mut context, |_| {
        [
            ("/x".to_owned(), vec![Answer::file("abc")]),
            ("/empty".to_owned(), vec![Answer::new("204 No Content", "")]),
        ]
        .into()
    });
    let download = |url: &str, options: &[&str]| {
        context.run(&[&["hook", "download", url, folder.to_str().unwrap()], options].concat())
    };
    let url = format!("http://{}/x", server.address);
    let digest = sha256(b"abc");
    for (options, has_warning) in
        [(&["--sha256", &digest.to_uppercase()][..], false), (&["--unverified"], false), (&[], true)]
    {
        let output = download(&url, options).succeeds();
        assert_eq!(output.stdout.contains("warn "), has_warning, "{}", output.stdout);
        assert_eq!(std::fs::read(folder.join("x")).unwrap(), b"abc");
        std::fs::remove_file(folder.join("x")).unwrap();
    }
    let wrong = download(&url, &["--sha256", &"0".repeat(64)]).exits_with(1);
    assert!(wrong.stdout.starts_with("reject 'x has sha256 "), "{}", wrong.stdout);
    assert!(names_in(&folder).is_empty());
    download(&url.replace("/x", "/empty"), &["--unverified"]).succeeds();
    assert_eq!(std::fs::read(folder.join("empty")).unwrap(), b"");

    let local =
        format!("file://{}", context.write("my site/y", "local").display().to_string().replace(' ', "%20"));
    assert!(download(&local, &[]).exits_with(1).stdout.starts_with("reject "));
    let output = download(&local, &["--unverified", "--setting", "MY_MIRROR"]).succeeds();
    assert!(output.stdout.contains(&format!("sha256={}\n", sha256(b"local"))), "{}", output.stdout);
    let missing = download("http://192.0.2.1.invalid/x", &["--setting", "MY_MIRROR"]).exits_with(1);
    assert!(missing.stdout.contains("; MY_MIRROR names the server"), "{}", missing.stdout);
    for wrong in [&["--sha256", "00"][..], &["--sha256", &digest, "--unverified"]] {
        assert_eq!(download(&url, wrong).exits_with(2).stdout, "exit 2\n");
    }
    let line = context.run(&["hook", "download", "{\"name\": \"x\"}", "/no", "--unverified"]);
    line.exits_with(2).stderr_contains("need an address");
}
