//! The provider github: its API, the limit of requests and tokens.

use std::path::Path;

use serde_json::json;
use walkdir::WalkDir;

use crate::github::{INSTALL, attempt, install_with};
use crate::release_server::{
    Answer, Answers, REPOSITORY, Received, Server, asset_name, download_path, github, github_with, page_path,
    pages, published,
};
use crate::test_context::TestContext;

/// The answer of an API that allows no more requests until 2100.
fn limited() -> Answer {
    Answer::new("403 Forbidden", r#"{"message": "API rate limit exceeded"}"#)
        .with("X-RateLimit-Remaining: 0")
        .with("X-RateLimit-Reset: 4102444800")
}

/// Returns the answers of a GitHub whose API is limited, but which has the release 14.1.1.
fn limited_answers(context: &TestContext, address: &str) -> Answers {
    let mut answers = pages(address, &[&[published(context, "14.1.1")]]);
    answers.insert(page_path(1), vec![limited()]);
    answers
}

/// Adds the page that leads to the latest release.
fn with_latest(mut answers: Answers, address: &str) -> Answers {
    let latest = Answer::redirect(&format!("http://{address}/{REPOSITORY}/releases/tag/14.1.1"));
    answers.insert(format!("/{REPOSITORY}/releases/latest"), vec![latest]);
    answers
}

#[test]
fn a_limit_without_a_way_around_names_the_time_and_the_variable() {
    let mut context = TestContext::new();
    let answers = limited_answers(&context, "");
    let mut server = github_with(&mut context, |_address| answers);
    let output = context.run(&INSTALL).exits_with(1);
    let reason = "allows no more requests until 2100-01-01T00:00:00Z; set GITHUB_TOKEN to have more";
    assert!(output.stderr.contains(reason), "{}", output.stderr);
    let requests = server.paths();
    let of_api = requests.iter().filter(|path| path.contains("/releases?")).count();
    assert_eq!(of_api, 1, "an API that allows nothing more is not asked again: {requests:?}");
}

#[test]
fn the_latest_release_is_found_without_the_api() {
    let mut context = TestContext::new();
    let page = format!("/{REPOSITORY}/releases/expanded_assets/14.1.1");
    let path = download_path("14.1.1", &asset_name("14.1.1"));
    let list =
        Answer::file(format!("<a href=\"{path}\">x</a><a href=\"/{REPOSITORY}/archive/14.1.1.zip\">y</a>"));
    let packed = limited_answers(&context, "");
    let mut server = github_with(&mut context, |address| {
        let mut answers = with_latest(packed, address);
        answers.insert(page, vec![list]);
        answers
    });
    let output = context
        .run(&INSTALL)
        .succeeds()
        .stderr_contains("github: cannot enforce min_release_age: the API of");
    assert_eq!(output.record()["version"], "14.1.1");
    let stated = context.run(&[&INSTALL[..], &["--force", "--min-release-age", "1"]].concat());
    stated.exits_with(1).stderr_contains("set GITHUB_TOKEN");
    let requests = server.stop();
    assert!(requests.iter().any(|request| request.path == path));
}

#[test]
fn an_asset_that_the_request_names_is_found_without_the_api() {
    let mut context = TestContext::new();
    let packed = limited_answers(&context, "");
    let _server = github_with(&mut context, |address| with_latest(packed, address));
    let name = asset_name("{version}");
    let record = install_with(&context, "github", &json!({"asset": name, "min_release_age": 0}));
    assert_eq!(record["version"], "14.1.1", "{record}");
}

/// Returns the requests that have a header with this start.
fn with_header<'a>(requests: &'a [Received], start: &str) -> Vec<&'a str> {
    let has = |request: &&Received| request.head.to_ascii_lowercase().contains(&start.to_ascii_lowercase());
    requests.iter().filter(has).map(|request| request.path.as_str()).collect()
}

/// Asserts that no file below a folder contains a text.
#[track_caller]
fn assert_nowhere(folder: &Path, text: &str) {
    for entry in WalkDir::new(folder).into_iter().flatten().filter(|entry| entry.file_type().is_file()) {
        let bytes = std::fs::read(entry.path()).unwrap();
        let found = bytes.windows(text.len()).any(|window| window == text.as_bytes());
        assert!(!found, "{} contains the token", entry.path().display());
    }
}

#[test]
fn a_token_is_sent_only_to_the_api_and_kept_nowhere() {
    let mut context = TestContext::new();
    let release = published(&context, "14.1.1");
    let mut elsewhere = Server::start(|address| {
        let mut answers = pages(address, &[&[release]]);
        let list = answers.remove(&page_path(1)).unwrap();
        answers.insert("/list".to_owned(), list);
        answers
    });
    let location = format!("http://{}/list", elsewhere.address);
    let path = page_path(1);
    let mut server =
        github_with(&mut context, |_| [(path.clone(), vec![Answer::redirect(&location)])].into());
    // A curl that shows its arguments.
    context.script("tools/curl", "#!/bin/sh\necho \"curl: $*\" >&2\nexec /usr/bin/curl \"$@\"\n");
    context.set("PATH", format!("{}:/usr/bin:/bin", context.path("tools").display()));
    context.set("GITHUB_TOKEN", "canary-canary");
    let output = context.run(&INSTALL).succeeds();
    assert!(!output.stderr.contains("canary") && !output.stdout.contains("canary"), "{}", output.stderr);
    assert_eq!(with_header(&server.stop(), "Authorization: Bearer canary-canary"), [path]);
    let requests = elsewhere.stop();
    assert_eq!(requests.len(), 2);
    assert!(with_header(&requests, "canary").is_empty(), "another host gets no token");
    assert_nowhere(&context.path("data"), "canary-canary");
}

#[test]
fn the_token_of_gh_is_used_for_its_own_host() {
    let mut context = TestContext::new();
    let release = published(&context, "14.1.1");
    let mut server = github(&mut context, &[release]);
    let hosts = format!("github.com:\n    oauth_token: other\n{}:\n    oauth_token: own\n", server.address);
    context.write("home/.config/gh/hosts.yml", hosts);
    context.run(&INSTALL).succeeds();
    let requests = server.stop();
    assert_eq!(with_header(&requests, "Authorization: Bearer own"), [page_path(1)]);
    assert!(with_header(&requests, "other").is_empty());
}

#[test]
fn wget_keeps_the_token_out_of_its_arguments() {
    let mut context = TestContext::new();
    let release = published(&context, "14.1.1");
    let mut server = github(&mut context, &[release]);
    context.set("GITHUB_TOKEN", "canary-canary");
    without_curl(&mut context);
    context.run(&INSTALL).succeeds();
    assert_eq!(with_header(&server.stop(), "Authorization: Bearer canary-canary"), [page_path(1)]);
    let arguments = std::fs::read_to_string(context.path("arguments")).unwrap();
    assert!(arguments.contains("--input-file=-"), "{arguments}");
    assert!(!arguments.contains("canary") && !arguments.contains(&server.address), "{arguments}");
    assert_nowhere(&context.path("data"), "canary-canary");
}

/// Hides curl, and makes wget write its arguments to a file.
pub(crate) fn without_curl(context: &mut TestContext) {
    crate::bash_and_node::put_only_on_path(
        context,
        &["sh", "bash", "env", "cat", "rm", "mkdir", "chmod", "find", "sed", "head", "mv", "grep"],
    );
    let arguments = context.path("arguments");
    let script = format!("#!/bin/sh\necho \"$*\" >>{}\nexec /usr/bin/wget \"$@\"\n", arguments.display());
    context.script("tools/wget", &script);
}

#[test]
fn a_wrong_token_is_reported_as_one() {
    let mut context = TestContext::new();
    let path = page_path(1);
    let _server = github_with(&mut context, |_| [(path, vec![Answer::new("401 Unauthorized", "{}")])].into());
    context.set("GH_TOKEN", "canary");
    let record = install_with(&context, "github", &json!({}));
    assert!(attempt(&record).ends_with("does not accept the token: check GH_TOKEN, or unset it"), "{record}");
}

#[test]
fn a_hint_to_set_a_token_applies_only_if_none_was_sent() {
    let mut context = TestContext::new();
    let hosts = |context: &TestContext, address: &str| {
        context.write("gh/hosts.yml", format!("{address}:\n    oauth_token: one\n"));
    };
    context.set("GH_CONFIG_DIR", context.path("gh"));
    let retry = Answer::new("403 Forbidden", "{}").with("Retry-After: 3600");
    let not_found = Answer::new("404 Not Found", "{}");
    let unauthorized = Answer::new("401 Unauthorized", "{}");
    for (answer, expected) in [
        (retry, "allows no more requests until "),
        (not_found, "does not show it with this token; check its name, and the token"),
        (unauthorized, "does not accept the token: run `gh auth login --hostname "),
    ] {
        let server = github_with(&mut context, |_| [(page_path(1), vec![answer])].into_iter().collect());
        hosts(&context, &server.address);
        let stderr = context.run(&INSTALL).exits_with(1).stderr;
        assert!(stderr.contains(expected) && !stderr.contains("set GITHUB_TOKEN"), "{stderr}");
        let time = stderr.split(" until ").nth(1).unwrap_or("Z").split('Z').next().unwrap_or_default();
        assert!(!time.contains('.'), "a time without milliseconds: {stderr}");
    }
}

#[test]
fn an_address_of_the_api_that_cannot_be_used_names_its_variable() {
    for variable in ["GITHUB_API_URL", "GITHUB_SERVER_URL"] {
        let mut context = TestContext::new();
        context.set(variable, "ftp://x");
        let expected = format!("cannot use {variable}: cannot download ftp://x: only https is allowed");
        context.run(&INSTALL).exits_with(1).stderr_contains(&expected);
    }
}

#[test]
fn a_refusal_that_is_no_limit_is_shown_in_the_words_of_the_api() {
    let mut context = TestContext::new();
    let long = "x".repeat(300);
    let bodies = [
        (
            json!({"message": "Resource protected by\u{1b}[31m\nSAML enforcement"}).to_string(),
            "refuses the request: Resource protected by [31m SAML enforcement",
        ),
        (json!({"message": long}).to_string(), "xxx..."),
        ("<html>".to_owned(), "sent the status 403; try again later"),
    ];
    for (body, expected) in bodies {
        let answer = Answer::new("403 Forbidden", body).with("X-RateLimit-Remaining: 50");
        let _server = github_with(&mut context, |_| [(page_path(1), vec![answer])].into_iter().collect());
        let stderr = context.run(&INSTALL).exits_with(1).stderr;
        assert!(stderr.contains(expected) && !stderr.contains("no more requests"), "{stderr}");
        assert!(!stderr.contains(&long) && !stderr.contains('\u{1b}'), "{stderr}");
    }
}
