//! The Snapshot hooks of `plugins/`, with real programs and a server on the loopback interface.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::thread::JoinHandle;

use serde_json::{Value, json};

use crate::test_context::{CommandOutput, TestContext};

const PLUGINS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/plugins");

/// An HTTP server that serves one page until it is dropped.
struct Server {
    address: String,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if answer(&stream.unwrap()) == "/stop" {
                    return;
                }
            }
        });
        Self { address, thread: Some(thread) }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.write_all(b"GET /stop HTTP/1.0\r\n\r\n").unwrap();
        self.thread.take().unwrap().join().unwrap();
    }
}

const PAGE: &str =
    "<html><head><link rel=\"stylesheet\" href=\"/style.css\"></head><img src=\"/a b.png\"></html>";

/// Answers one request, and returns its path.
fn answer(mut stream: &TcpStream) -> String {
    let mut reader = BufReader::new(stream);
    let mut request = String::new();
    // A client may close the connection without sending a request.
    let _ = reader.read_line(&mut request);
    let mut header = String::new();
    while reader.read_line(&mut header).is_ok_and(|length| length > 2) {
        header.clear();
    }
    let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
    let (status, extra, body) = match path.as_str() {
        "/" => ("200 OK", "Content-Type: text/html\r\nX-Quote: a \"b\" \\c\r\n", PAGE),
        "/style.css" => ("200 OK", "Content-Type: text/css\r\n", "body { color: red }"),
        "/a%20b.png" => ("200 OK", "Content-Type: image/png\r\n", "not really"),
        "/old" => ("302 Found", "Location: /\r\n", ""),
        _ => ("404 Not Found", "Content-Type: text/html\r\n", "nothing here"),
    };
    let length = body.len();
    let text =
        format!("HTTP/1.1 {status}\r\n{extra}Content-Length: {length}\r\nConnection: close\r\n\r\n{body}");
    let _ = stream.write_all(text.as_bytes());
    path
}

/// Runs the Snapshot hooks of these plugins for a URL.
fn snapshot(context: &TestContext, plugins: &str, url: &str) -> CommandOutput {
    let url = format!("--url={url}");
    context.run(&[
        "--plugins-dir",
        PLUGINS,
        "run",
        "--plugins",
        plugins,
        "--output-dir",
        "out",
        "Snapshot",
        &url,
    ])
}

/// Returns the `ArchiveResult` record of a plugin's hook.
fn result(output: &CommandOutput, plugin: &str) -> Value {
    let is_result = |record: &Value| record["type"] == "ArchiveResult" && record["plugin"] == plugin;
    output
        .records()
        .into_iter()
        .find(is_result)
        .unwrap_or_else(|| panic!("{plugin} printed no ArchiveResult: {}", output.stdout))
}

fn read_json(path: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

#[test]
fn saves_a_page_with_its_resources_headers_and_digests() {
    let context = TestContext::new();
    let server = Server::start();
    let out = context.path("here/out");
    let output = snapshot(&context, "headers,wget,git,hashes", &server.url("/")).succeeds();

    let wget = result(&output, "wget");
    assert_eq!((&wget["status"], &wget["files"]), (&json!("succeeded"), &json!(3)));
    let page = fs::read_to_string(out.join("wget").join(wget["output_str"].as_str().unwrap())).unwrap();
    assert!(page.contains("href=\"style.css\""), "the links are relative: {page}");

    assert_eq!(result(&output, "headers")["http_status"], 200);
    let headers = read_json(&out.join("headers/headers.json"));
    assert!(headers["headers"].as_array().unwrap().contains(&json!(["X-Quote", "a \"b\" \\c"])));

    let hashes = read_json(&out.join("hashes/hashes.json"));
    let hashes: BTreeMap<String, String> = serde_json::from_value(hashes).unwrap();
    assert_eq!(result(&output, "hashes")["files"], hashes.len());
    let files = walkdir::WalkDir::new(&out).into_iter().map(|entry| entry.unwrap().into_path());
    let expected: BTreeMap<String, String> = files
        .filter(|path| {
            path.is_file() && !path.ends_with("hashes/hashes.json") && !path.ends_with("index.jsonl")
        })
        .map(|path| {
            let digest = rigup::internal::sha256(&path).unwrap();
            (path.strip_prefix(&out).unwrap().to_string_lossy().into_owned(), digest)
        })
        .collect();
    assert!(expected.len() >= 5, "{expected:?}");
    assert_eq!(hashes, expected, "the digests cover all files");

    let git = context.hook_processes().into_iter().find(|hook| hook["plugin"] == "git").unwrap();
    assert_eq!((&git["exit_code"], &git["state"]), (&json!(10), &json!("finished")), "git skips a page");
}

#[test]
fn headers_records_redirects_and_errors() {
    let context = TestContext::new();
    let server = Server::start();
    let output = snapshot(&context, "headers", &server.url("/old")).succeeds();
    assert_eq!(result(&output, "headers")["http_status"], 200);
    let headers = read_json(&context.path("here/out/headers/headers.json"));
    assert_eq!(headers["url"], server.url("/"));
    assert_eq!(
        (&headers["redirects"][0]["status"], &headers["redirects"][0]["url"]),
        (&json!(302), &json!(server.url("/old")))
    );
    let output = snapshot(&context, "headers", &server.url("/nothing")).succeeds();
    assert_eq!(result(&output, "headers")["http_status"], 404);
}

#[test]
fn wget_fails_with_the_reason_if_a_page_is_missing() {
    let context = TestContext::new();
    let server = Server::start();
    snapshot(&context, "wget", &server.url("/nothing")).exits_with(1).stderr_contains("404");
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    snapshot(&context, "wget,headers", &format!("http://{closed}/")).exits_with(1).stderr_contains("refused");
}

#[test]
fn git_clones_a_repository_and_updates_the_clone() {
    let mut context = TestContext::new();
    context.set("GIT_CONFIG_GLOBAL", "/dev/null").set("GIT_CONFIG_NOSYSTEM", "1");
    let origin = context.path("origin.git");
    let git = |args: &[&str]| {
        let mut command = Command::new("git");
        command
            .args(["-c", "user.name=t", "-c", "user.email=t@localhost", "-c", "safe.directory=*"])
            .args(args);
        let output = command.env("GIT_CONFIG_GLOBAL", "/dev/null").output().unwrap();
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    let work = context.path("work");
    let (work, origin) = (work.to_str().unwrap(), origin.to_str().unwrap());
    git(&["init", "--quiet", "--bare", "-b", "main", origin]);
    git(&["init", "--quiet", "-b", "main", work]);
    let url = format!("file://{origin}");
    for n in ["1", "2"] {
        fs::write(format!("{work}/file"), n).unwrap();
        git(&["-C", work, "add", "file"]);
        git(&["-C", work, "commit", "--quiet", "-m", n]);
        git(&["-C", work, "push", "--quiet", origin, "main"]);
        let command_output = snapshot(&context, "git", &url).succeeds();
        assert_eq!(
            result(&command_output, "git")["commit"],
            git(&["-C", work, "rev-parse", "HEAD"]).as_str()
        );
        assert_eq!(fs::read_to_string(context.path("here/out/git/repository/file")).unwrap(), n);
    }
    snapshot(&context, "git", "file:///no/such.git")
        .exits_with(1)
        .stderr_contains("it is a clone of another repository");
    fs::remove_dir_all(context.path("here/out")).unwrap();
    snapshot(&context, "git", "file:///no/such.git")
        .exits_with(1)
        .stderr_contains("git/on_Snapshot__30_git.sh: exit 128");
}

#[test]
fn never_runs_a_url_or_passes_it_as_an_option() {
    let context = TestContext::new();
    let server = Server::start();
    let evil = server.url("/$(touch x)'\"`touch x`;touch x");
    snapshot(&context, "headers,wget,git,hashes", &evil).exits_with(1);
    for url in ["--output-document=/tmp/x", "ftp://127.0.0.1/", "javascript:alert(1)", "ext::sh -c touch% x"]
    {
        let output = snapshot(&context, "headers,wget,git", url).succeeds();
        assert!(
            output.records().iter().all(|record| record["exit_code"] == 10 || record["status"] == "skipped"),
            "{url}: {}",
            output.stdout
        );
    }
    let names =
        walkdir::WalkDir::new(context.path("here")).into_iter().map(|entry| entry.unwrap().into_path());
    assert!(!names.into_iter().any(|path| path.ends_with("x")));
    let args = ["--plugins-dir", PLUGINS, "run", "--plugins", "headers,wget,git", "Snapshot"];
    assert_eq!(context.run(&args).exits_with(1).stderr.matches(": no --url").count(), 3);
}
