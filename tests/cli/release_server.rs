//! A server on the loopback interface with the releases of a repository.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::thread::JoinHandle;

use serde_json::{Value, json};

use crate::test_context::TestContext;

/// The repository that the table of repositories names for `rg`.
pub(crate) const REPOSITORY: &str = "BurntSushi/ripgrep";

/// An answer to a request.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    status: &'static str,
    headers: Vec<String>,
    body: Vec<u8>,
    /// How much of the body is sent before the connection is closed.
    sent: usize,
    /// Whether a part of the body is sent if the request asks for it.
    has_ranges: bool,
}

impl Answer {
    pub(crate) fn new(status: &'static str, body: impl Into<Vec<u8>>) -> Self {
        let body = body.into();
        Self { status, headers: Vec::new(), sent: body.len(), body, has_ranges: true }
    }

    /// Sends a file.
    pub(crate) fn file(body: impl Into<Vec<u8>>) -> Self {
        Self::new("200 OK", body)
    }

    /// Leads to another address.
    pub(crate) fn redirect(location: &str) -> Self {
        Self::new("302 Found", "").with(&format!("Location: {location}"))
    }

    /// Adds a header.
    pub(crate) fn with(mut self, header: &str) -> Self {
        self.headers.push(header.to_owned());
        self
    }

    /// Always sends the whole body.
    pub(crate) fn without_ranges(mut self) -> Self {
        self.has_ranges = false;
        self
    }

    /// Closes the connection after half of the body.
    pub(crate) fn cut(mut self) -> Self {
        self.sent = self.body.len() / 2;
        self
    }
}

/// A request that the server received.
#[derive(Debug, Clone)]
pub(crate) struct Received {
    /// The path with the query, or the whole address if the server is used as a proxy.
    pub(crate) path: String,
    /// All headers.
    pub(crate) head: String,
}

/// The answers for each path, in the order in which they are sent; the last one is repeated.
pub(crate) type Answers = HashMap<String, Vec<Answer>>;

/// An HTTP server that runs until it is dropped.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) address: String,
    thread: Option<JoinHandle<Vec<Received>>>,
}

impl Server {
    /// Starts a server. The answers may contain its address.
    pub(crate) fn start(answers: impl FnOnce(&str) -> Answers) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let mut answers = answers(&address);
        let thread = std::thread::spawn(move || {
            let mut all = Vec::new();
            for stream in listener.incoming() {
                let stream = stream.unwrap();
                let received = receive(&stream);
                if received.path == "/stop" {
                    break;
                }
                answer(&stream, &received, &mut answers);
                all.push(received);
            }
            all
        });
        Self { address, thread: Some(thread) }
    }

    /// Stops the server, and returns the requests.
    pub(crate) fn stop(&mut self) -> Vec<Received> {
        let Some(thread) = self.thread.take() else { return Vec::new() };
        TcpStream::connect(&self.address).unwrap().write_all(b"GET /stop HTTP/1.0\r\n\r\n").unwrap();
        thread.join().unwrap()
    }

    /// Stops the server, and returns the paths of the requests.
    pub(crate) fn paths(&mut self) -> Vec<String> {
        self.stop().into_iter().map(|received| received.path).collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

fn receive(stream: &TcpStream) -> Received {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    let _ = reader.read_line(&mut line);
    let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
    let mut head = String::new();
    while reader.read_line(&mut head).is_ok_and(|length| length > 2) {}
    Received { path, head }
}

/// Sends an answer, or the rest of one if the request asks for it.
fn answer(mut stream: &TcpStream, received: &Received, answers: &mut Answers) {
    let path = received
        .path
        .split_once("://")
        .map_or(received.path.as_str(), |(_, rest)| rest.find('/').map_or("/", |at| &rest[at..]));
    let Answer { mut status, mut headers, mut body, mut sent, has_ranges } = match answers.get_mut(path) {
        Some(several) if several.len() > 1 => several.remove(0),
        Some(only) => only[0].clone(),
        None => Answer::new("404 Not Found", "{}"),
    };
    let range =
        received.head.lines().find_map(|line| line.strip_prefix("Range: bytes=")?.trim().strip_suffix('-'));
    if let Some(start) =
        range.and_then(|start| start.parse::<usize>().ok()).filter(|_| has_ranges && status == "200 OK")
    {
        status = "206 Partial Content";
        headers.push(format!("Content-Range: bytes {start}-{}/{}", body.len() - 1, body.len()));
        body.drain(..start);
        sent = sent.saturating_sub(start).max(body.len().min(sent));
    }
    let mut head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n", body.len());
    for header in headers {
        head.push_str(&header);
        head.push_str("\r\n");
    }
    let _ = stream.write_all((head + "\r\n").as_bytes());
    let _ = stream.write_all(&body[..sent.min(body.len())]);
}

/// A release of [`REPOSITORY`].
#[derive(Debug, Clone)]
pub(crate) struct Published {
    tag: String,
    fields: Value,
    assets: Vec<(String, Vec<u8>, Value)>,
}

impl Published {
    /// Returns a release of 2026-01-01, without files.
    pub(crate) fn new(tag: &str) -> Self {
        let fields = json!({"published_at": "2026-01-01T00:00:00Z", "draft": false, "prerelease": false});
        Self { tag: tag.to_owned(), fields, assets: Vec::new() }
    }

    /// Sets a field.
    pub(crate) fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.fields[key] = value.into();
        self
    }

    /// Adds a file with its digest.
    pub(crate) fn asset(self, name: &str, content: impl Into<Vec<u8>>) -> Self {
        let content = content.into();
        let digest = format!("sha256:{}", sha256(&content));
        self.asset_with(name, content, json!({"digest": digest}))
    }

    /// Adds a file with these fields.
    pub(crate) fn asset_with(mut self, name: &str, content: impl Into<Vec<u8>>, fields: Value) -> Self {
        self.assets.push((name.to_owned(), content.into(), fields));
        self
    }

    fn to_json(&self, address: &str) -> Value {
        let asset = |(name, content, fields): &(String, Vec<u8>, Value)| {
            let mut json = json!({
                "name": name, "size": content.len(), "url": format!("http://{address}/api/assets/{name}"),
                "browser_download_url": format!("http://{address}{}", download_path(&self.tag, name)),
            });
            json.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
            json
        };
        let mut json = self.fields.clone();
        json["tag_name"] = self.tag.clone().into();
        json["assets"] = self.assets.iter().map(asset).collect();
        json
    }
}

/// Returns the path of the public address of a file.
pub(crate) fn download_path(tag: &str, name: &str) -> String {
    format!("/{REPOSITORY}/releases/download/{tag}/{name}")
}

/// Returns the path of a page of the API.
pub(crate) fn page_path(number: usize) -> String {
    let page = if number == 1 { String::new() } else { format!("&page={number}") };
    format!("/api/repos/{REPOSITORY}/releases?per_page=30{page}")
}

/// Returns the path of the release of a tag in the API.
pub(crate) fn tag_path(tag: &str) -> String {
    format!("/api/repos/{REPOSITORY}/releases/tags/{tag}")
}

/// Returns the answers of a GitHub with these pages of releases.
pub(crate) fn pages(address: &str, pages: &[&[Published]]) -> Answers {
    let mut answers = Answers::new();
    for (number, releases) in (1..).zip(pages) {
        let list: Value = releases.iter().map(|release| release.to_json(address)).collect();
        let mut answer = Answer::file(list.to_string());
        if number < pages.len() {
            let next = format!("http://{address}{}", page_path(number + 1));
            answer = answer.with(&format!("Link: <{next}>; rel=\"next\", <{next}>; rel=\"last\""));
        }
        answers.insert(page_path(number), vec![answer]);
        for release in *releases {
            if release.fields["draft"] == false {
                let json = release.to_json(address).to_string();
                answers.insert(tag_path(&release.tag), vec![Answer::file(json)]);
            }
            for (name, content, _) in &release.assets {
                answers.insert(download_path(&release.tag, name), vec![Answer::file(content.clone())]);
            }
        }
    }
    answers
}

/// Starts a GitHub with these releases on one page, and makes the context use it.
pub(crate) fn github(context: &mut TestContext, releases: &[Published]) -> Server {
    github_with(context, |address| pages(address, &[releases]))
}

/// Starts a GitHub with these answers, and makes the context use it.
pub(crate) fn github_with(context: &mut TestContext, answers: impl FnOnce(&str) -> Answers) -> Server {
    let server = Server::start(answers);
    context.set("GITHUB_SERVER_URL", format!("http://{}", server.address));
    context.set("GITHUB_API_URL", format!("http://{}/api", server.address));
    server
}

/// Returns the name of an asset of ripgrep for this host.
pub(crate) fn asset_name(version: &str) -> String {
    let arch = std::env::consts::ARCH;
    match std::env::consts::OS {
        "macos" => format!("ripgrep-{version}-{arch}-apple-darwin.tar.gz"),
        _ => format!("ripgrep-{version}-{arch}-unknown-linux-musl.tar.gz"),
    }
}

/// Returns a program that prints its version.
pub(crate) fn program(version: &str) -> String {
    format!("#!/bin/sh\necho ripgrep {version}\n")
}

/// Returns an archive with the program `rg` in a folder, as ripgrep has it.
pub(crate) fn archive(context: &TestContext, version: &str) -> Vec<u8> {
    let folder = format!("pack/ripgrep-{version}");
    context.script(&format!("{folder}/rg"), &program(version));
    context.write(&format!("{folder}/doc/rg.1"), ".TH RG 1\n");
    packed(context, &format!("ripgrep-{version}"))
}

/// Returns an archive of a folder below `pack`.
pub(crate) fn packed(context: &TestContext, name: &str) -> Vec<u8> {
    let output =
        Command::new("tar").args(["czf", "-", name]).current_dir(context.path("pack")).output().unwrap();
    assert!(output.status.success());
    output.stdout
}

/// Returns the release of a version with the asset for this host.
pub(crate) fn published(context: &TestContext, version: &str) -> Published {
    Published::new(version).asset(&asset_name(version), archive(context, version))
}

/// Returns the digest of bytes in hex.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("x");
    std::fs::write(&file, bytes).unwrap();
    rigup::internal::sha256(&file).unwrap()
}
