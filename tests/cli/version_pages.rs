//! `rigup hook versions`, and the hooks of built-in providers, with a registry on the loopback interface.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::{Value, json};

use crate::github_api::without_curl;
use crate::listed_versions::{listed, request};
use crate::test_context::TestContext;

/// A registry on the loopback interface. It answers a GET of each path with its page, until the test ends.
struct Registry {
    address: String,
    /// The lines of all requests.
    requests: Arc<Mutex<Vec<String>>>,
}

/// A page: what is sent as it is, including the head of the answer.
type Pages = Vec<(&'static str, Vec<u8>)>;

fn page(body: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
        .into_bytes()
}

impl Registry {
    fn start(pages: Pages) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (pages, seen) = (Arc::new(pages), Arc::clone(&requests));
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (pages, seen) = (Arc::clone(&pages), Arc::clone(&seen));
                thread::spawn(move || answer(&stream.unwrap(), &pages, &seen));
            }
        });
        Self { address, requests }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Returns the lines of all requests that begin with one of these texts.
    fn lines(&self, starts: &[&str]) -> Vec<String> {
        let mut lines = self.requests.lock().unwrap().clone();
        lines.retain(|line| starts.iter().any(|start| line.starts_with(start)));
        lines.sort();
        lines
    }
}

fn answer(mut stream: &TcpStream, pages: &Pages, seen: &Mutex<Vec<String>>) {
    let lines = BufReader::new(stream).lines().map_while(Result::ok);
    let lines: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
    let path = lines.first().and_then(|line| line.split(' ').nth(1)).unwrap_or_default().to_owned();
    seen.lock().unwrap().extend(lines);
    let missing = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".to_vec();
    let page = pages.iter().find(|(known, _)| *known == path).map_or(&missing, |(_, page)| page);
    if page == b"never" {
        // Until the client gives up.
        let _ = stream.read(&mut [0]);
        return;
    }
    let _ = stream.write_all(page);
}

/// Runs `rigup hook versions` with this input, and returns its records and what it wrote to stderr.
fn versions(context: &TestContext, args: &[&str], input: &str) -> Vec<Value> {
    let mut command = context.command(&[&["hook", "versions"], args].concat());
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    let lines = String::from_utf8(output.stdout).unwrap();
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_page_that_cannot_be_used_is_a_failure_with_its_cause() {
    let context = TestContext::new();
    let cut = b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\nConnection: close\r\n\r\n1.0\n".to_vec();
    let huge = b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\nConnection: close\r\n\r\n1.0\n".to_vec();
    let to_file = b"HTTP/1.1 302 Found\r\nLocation: file:///etc/passwd\r\nContent-Length: 0\r\n\r\n".to_vec();
    let registry = Registry::start(vec![
        ("/good", page("1.0\n1.1\n")),
        ("/garbage", page("<html>")),
        ("/empty", page("")),
        ("/cut", cut),
        ("/huge", huge),
        ("/slow", b"never".to_vec()),
        ("/denied", b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".to_vec()),
        ("/file", to_file),
    ]);
    let input: String = ["good", "none", "garbage", "empty", "cut", "huge", "slow", "denied", "file"]
        .map(|name| format!("{name}\thttp://user:secret@{}/{name}\n", registry.address))
        .concat();
    let of_lines = versions(&context, &["--registry", "lines", "--max-time", "8"], &input);
    let find = |name: &str| of_lines.iter().find(|record| record["name"] == name).unwrap();
    assert_eq!(
        *find("good"),
        json!({"type": "BinaryVersions", "name": "good", "versions": [{"version": "1.0"}, {"version": "1.1"}]})
    );
    let reason_of = |name: &str| find(name)["reason"].as_str().unwrap().to_owned();
    for (name, cause) in [
        ("none", "the registry does not have it (HTTP 404)"),
        ("cut", ""),
        ("huge", ""),
        ("slow", ""),
        ("denied", "the registry does not allow it (HTTP 403); check the credentials"),
        ("file", ""),
    ] {
        let url = registry.url(&format!("/{name}"));
        let reason = reason_of(name);
        assert!(reason.starts_with(&format!("cannot download {url}: {cause}")), "{reason}");
        assert_eq!(find(name)["type"], "BinaryFailure");
    }
    assert_eq!(reason_of("empty"), format!("{} lists no version", registry.url("/empty")));
    assert!(!of_lines.iter().any(|record| record.to_string().contains("secret")));
    let declined = of_lines.iter().filter(|record| record["outcome"] == "declined");
    assert_eq!(declined.map(|record| &record["name"]).collect::<Vec<_>>(), ["none"]);
    for registry_kind in ["pypi", "npm", "crates", "gem", "node", "brew"] {
        let line = format!("garbage\t{}\n", registry.url("/garbage"));
        let record = versions(&context, &["--registry", registry_kind], &line).remove(0);
        assert_eq!(record["type"], "BinaryFailure", "{registry_kind}");
    }
    // A page that is not about one package, or that not every server has, says nothing about a package.
    for (kind, path, outcome) in [
        ("npm", "/none", "declined"),
        ("gem", "/api/v1/versions/none.json", "declined"),
        ("gem", "/info/none", "failed"),
        ("node", "/index.json", "failed"),
    ] {
        let record =
            versions(&context, &["--registry", kind], &format!("none\t{}\n", registry.url(path))).remove(0);
        assert_eq!(record["outcome"], outcome, "{path}");
    }
    // The package is missing only if all of its pages are.
    for (pages, outcome) in
        [(["none", "gone"], "declined"), (["none", "denied"], "failed"), (["denied", "none"], "failed")]
    {
        let input = pages.map(|page| format!("x\t{}\n", registry.url(&format!("/{page}")))).concat();
        let record = versions(&context, &["--registry", "lines"], &input).remove(0);
        assert_eq!(record["outcome"], outcome, "{pages:?}");
    }
}

#[test]
fn the_users_settings_of_curl_apply_to_all_pages() {
    let context = TestContext::new();
    let registry = Registry::start(vec![("/a", page("1.0\n")), ("/b", page("1.1\n"))]);
    context.write("home/.curlrc", "header = \"X-Own: yes\"\n");
    context.write("home/.netrc", "machine 127.0.0.1 login me password pass\n");
    let input = ["a", "b", "a", "b"].map(|path| format!("{path}\t{}\n", registry.url(&format!("/{path}"))));
    let input = input.concat() + &format!("c\t{}\tX-Key: 1\n", registry.url("/a"));
    let records = versions(&context, &["--registry", "lines"], &input);
    let found: Vec<_> = records.iter().map(|record| &record["versions"][0]["version"]).collect();
    assert_eq!(found, ["1.0", "1.1", "1.0"]);
    let starts = ["X-Own: yes", "Authorization: Basic bWU6cGFzcw==", "X-Key", "User-Agent: rigup/"];
    let counts = starts.map(|start| registry.lines(&[start]).len());
    assert_eq!(counts, [5, 5, 1, 5]);
}

#[test]
fn wget_sends_credentials_only_to_the_registry() {
    let mut context = TestContext::new();
    without_curl(&mut context);
    let other = Registry::start(vec![("/b", page("1.0\n"))]);
    let to_other =
        format!("HTTP/1.1 302 Found\r\nLocation: {}\r\nContent-Length: 0\r\n\r\n", other.url("/b"));
    let registry = Registry::start(vec![("/a", page("1.0\n")), ("/to-other", to_other.into_bytes())]);
    let line = |path: &str, rest: &str| format!("{path}\t{}{rest}\n", registry.url(&format!("/{path}")));
    let input =
        line("a", "\tAuthorization: Bearer canary") + &line("to-other", "\tAuthorization: Bearer canary");
    let records = versions(&context, &["--registry", "lines"], &input);
    assert_eq!(records[0]["versions"][0]["version"], "1.0", "{}", records[0]);
    assert!(records[1]["reason"].as_str().unwrap().ends_with(": HTTP 302"), "{}", records[1]);
    assert_eq!(registry.lines(&["Authorization: Bearer canary"]).len(), 2);
    assert!(other.lines(&[""]).is_empty());
    let records = versions(&context, &["--registry", "lines"], &line("to-other", ""));
    assert_eq!(records[0]["versions"][0]["version"], "1.0", "{}", records[0]);
    let arguments = std::fs::read_to_string(context.path("arguments")).unwrap();
    assert!(!arguments.contains("canary") && !arguments.contains(&registry.address), "{arguments}");
}

#[test]
fn each_registry_lists_versions_in_its_own_form() {
    let context = TestContext::new();
    let file = |name: &str, body: Value| {
        context.write(
            &format!("pages/{name}"),
            if body.is_string() { body.as_str().unwrap().to_owned() } else { body.to_string() },
        )
    };
    let cases = [
        (
            "pypi",
            json!({"files": [
                {"filename": "x-1.0-py3-none-any.whl", "upload-time": "2024-01-02T00:00:00.5Z", "yanked": false},
                {"filename": "x-1.0.tar.gz", "upload-time": "2024-01-01T00:00:00Z", "yanked": "broken"},
                {"filename": "x-2.0-py3-none-any.whl", "requires-python": ">=3.12", "yanked": true},
            ]}),
            json!([
                {"version": "1.0", "released_at": "2024-01-01T00:00:00.000Z"},
                {"version": "2.0", "yanked": true},
            ]),
        ),
        (
            "npm",
            json!({"dist-tags": {"latest": "1.1.0"}, "time": {"1.0.0": "2024-01-01T00:00:00.000Z"},
                "versions": {"1.0.0": {}, "1.1.0": {"deprecated": "x"}, "1.1.0-odd": {}, "2.0.0": {}}}),
            json!([
                {"version": "1.0.0", "released_at": "2024-01-01T00:00:00.000Z"},
                {"version": "1.1.0"},
                {"version": "1.1.0-odd", "stable": false},
                {"version": "2.0.0", "stable": false},
            ]),
        ),
        (
            "crates",
            json!("{\"vers\":\"1.0.0\",\"yanked\":true}\n{\"vers\":\"1.1.0-x\",\"yanked\":false}\n"),
            json!([{"version": "1.0.0", "yanked": true}, {"version": "1.1.0-x", "stable": false}]),
        ),
        (
            "gem",
            json!([
                {"number": "1.0", "created_at": "2024-01-01T00:00:00Z", "platform": "ruby"},
                {"number": "1.1", "created_at": "2024-01-01T00:00:00Z", "platform": "java"},
                {"number": "2.0.pre", "platform": "ruby"},
            ]),
            json!([{"version": "1.0", "released_at": "2024-01-01T00:00:00.000Z"}, {"version": "2.0.pre", "stable": false}]),
        ),
        ("gem", json!("---\n1.0 |checksum:a\n1.1-java |checksum:a\n"), json!([{"version": "1.0"}])),
        (
            "node",
            json!([{"version": "v23.1.0", "date": "2024-11-01", "lts": false}, {"version": "v22.1.0", "date": "2024-05-01", "lts": "Jod"}]),
            json!([
                {"version": "23.1.0", "released_at": "2024-11-01T23:59:59.000Z", "stable": false},
                {"version": "22.1.0", "released_at": "2024-05-01T23:59:59.000Z"},
            ]),
        ),
        ("brew", json!({"versions": {"stable": "1.2"}, "revision": 1}), json!([{"version": "1.2_1"}])),
    ];
    for (registry, body, expected) in cases {
        let path = file(registry, body);
        let line = format!("node\tfile://{}\n", path.display());
        let records = versions(&context, &["--registry", registry], &line);
        assert_eq!(records[0]["versions"], expected, "{registry} {}", records[0]);
    }
    let line = format!("node\tfile://{}\n", context.path("pages/pypi").display());
    let for_python = versions(&context, &["--registry", "pypi", "--python", "3.11.2"], &line);
    assert_eq!(for_python[0]["versions"].as_array().unwrap().len(), 1);
}

#[test]
fn a_release_of_python_needs_a_file_that_this_host_can_install() {
    let context = TestContext::new();
    let files = ["1.0-py3-none-any.whl", "1.1-py3-none-win_amd64.whl", "1.2-cp39-cp39-any.whl", "1.3.tar.gz"];
    let files = files.map(|file| json!({"filename": format!("x-{file}")}));
    let page = context.write("pages/x", json!({"files": files}).to_string());
    let line = format!("x\tfile://{}\n", page.display());
    for (options, expected) in [
        (&[][..], &["1.0", "1.1", "1.2", "1.3"][..]),
        (&["--python", "3.11.2"], &["1.0", "1.3"]),
        (&["--python", "3.11.2", "--wheels"], &["1.0"]),
        (&["--wheels"], &["1.0", "1.2"]),
    ] {
        let records = versions(&context, &[&["--registry", "pypi"], options].concat(), &line);
        let listed = records[0]["versions"].as_array().unwrap().iter();
        let listed: Vec<&str> = listed.map(|release| release["version"].as_str().unwrap()).collect();
        assert_eq!(listed, expected, "{options:?}");
    }
}

#[test]
fn a_long_list_is_several_records_and_the_first_good_page_counts() {
    let context = TestContext::new();
    let long = (0..6000).map(|number| format!("1.0.{number}")).collect::<Vec<_>>().join("\n");
    let path = context.write("long", long);
    let line = |path: &str| format!("x\tfile://{path}\n");
    let input = [line("/no/such"), line(path.to_str().unwrap()), line("/no/other")].concat();
    let records = versions(&context, &["--registry", "lines"], &input);
    let counts: Vec<usize> =
        records.iter().map(|record| record["versions"].as_array().unwrap().len()).collect();
    assert_eq!(counts, [2500, 2500, 1000]);
}

#[test]
fn the_pip_hook_asks_the_index_of_the_users_settings_with_its_credentials() {
    let mut context = TestContext::new();
    let body = r#"{"files": [{"filename": "a_b-1.5-py3-none-any.whl"}]}"#;
    let registry = Registry::start(vec![("/own/simple/a-b/", page(body))]);
    let conf = format!("# comment\n[global]\nindex-url = http://me:pass@{}/own/simple/\n", registry.address);
    context.write("home/.config/pip/pip.conf", conf);
    let requests = [request("x", "pip", &json!(["A_b[c]"])), request("y", "pip", &json!(["z>=1"]))];
    let records = listed(&mut context, "pip", &requests);
    assert_eq!(records[0]["reason"], "its package z>=1 states more than the name of a package in a registry");
    assert_eq!(records[1], json!({"type": "BinaryVersions", "name": "x", "versions": [{"version": "1.5"}]}));
    let expected = [
        "Accept: application/vnd.pypi.simple.v1+json",
        "Authorization: Basic bWU6cGFzcw==",
        "GET /own/simple/a-b/ HTTP/1.1",
    ];
    assert_eq!(registry.lines(&["Accept:", "Authorization:", "GET"]), expected);
    // A variable takes precedence, and a second index makes one page useless.
    context.set("PIP_INDEX_URL", registry.url("/none"));
    let records = listed(&mut context, "pip", &requests[..1]);
    assert!(records[0]["reason"].as_str().unwrap().contains("HTTP 404"), "{}", records[0]);
    context.set("PIP_EXTRA_INDEX_URL", registry.url("/more"));
    assert_eq!(listed(&mut context, "pip", &requests[..1]), [] as [Value; 0]);
}

#[test]
fn the_pip_hook_lets_pip_read_a_file_that_is_not_simple() {
    let mut context = TestContext::new();
    let body = r#"{"files": [{"filename": "x-1.5-py3-none-any.whl"}]}"#;
    let registry = Registry::start(vec![("/last/x/", page(body))]);
    let python = "#!/bin/sh\ncase $3 in config) cat \"$HOME/settings\" && exit ;; esac\necho 'cannot be loaded' >&2\nexit 1\n";
    let tools = context.script("tools/python3", python).parent().unwrap().display().to_string();
    context.set("PATH", format!("{tools}:/usr/bin:/bin"));
    let twice = "[global]\nindex-url = http://127.0.0.1:1/first\nindex-url = http://127.0.0.1:1/second\n";
    context.write("home/.config/pip/pip.conf", twice);
    let requests = [request("x", "pip", &json!(["x"]))];
    assert_eq!(listed(&mut context, "pip", &requests), [] as [Value; 0], "pip refuses the file");
    context.write("home/settings", format!("global.index-url='{}'\n", registry.url("/last")));
    let records = listed(&mut context, "pip", &requests);
    assert_eq!(records, [json!({"type": "BinaryVersions", "name": "x", "versions": [{"version": "1.5"}]})]);
    context.set("PIP_PRE", "1");
    context.write("home/.config/pip/pip.conf", "[install]\npre = no\n");
    assert_eq!(listed(&mut context, "pip", &requests), [] as [Value; 0], "a variable comes last");
}

#[test]
fn the_npm_hook_asks_the_registry_of_each_scope_with_its_token() {
    let mut context = TestContext::new();
    let body = r#"{"versions": {"1.0.0": {}}}"#;
    let registry = Registry::start(vec![("/all/x", page(body)), ("/scoped/@s%2fy", page(body))]);
    let address = &registry.address;
    let npmrc = format!(
        "registry = http://{address}/all\n@s:registry=http://{address}/scoped/\n\
         //{address}/scoped/:_authToken=${{NPM_TOKEN}}\n"
    );
    context.write("home/.npmrc", npmrc);
    context.set("NPM_TOKEN", "sesame");
    let requests = [request("x", "npm", &json!([])), request("y", "npm", &json!(["@s/y"]))];
    let records = listed(&mut context, "npm", &requests);
    let names: Vec<&Value> = records.iter().map(|record| &record["name"]).collect();
    assert_eq!((names, &records[1]["type"]), (vec![&json!("x"), &json!("y")], &json!("BinaryVersions")));
    let expected = ["Authorization: Bearer sesame", "GET /all/x HTTP/1.1", "GET /scoped/@s%2fy HTTP/1.1"];
    assert_eq!(registry.lines(&["Authorization:", "GET"]), expected);
    context.set("npm_config_tag", "next");
    assert_eq!(listed(&mut context, "npm", &requests), [] as [Value; 0]);
}

#[test]
fn the_other_hooks_ask_the_registries_of_the_users_settings() {
    let mut context = TestContext::new();
    let registry = Registry::start(vec![
        ("/index/rg/-x/rg-x", page("{\"vers\":\"1.0.0\"}\n")),
        ("/go/x.org/!my/@v/list", page("v1.0.0\n")),
        ("/info/rake", page("---\n1.0 |checksum:a\n")),
        ("/dist/index.json", page(r#"[{"version":"v22.0.0","date":"2024-01-01","lts":"Jod"}]"#)),
    ]);
    let cargo = format!(
        "[source.crates-io]\nreplace-with = \"mine\"\n[source.mine]\nregistry = \"sparse+{}/\"\n",
        registry.url("/index")
    );
    context.write("home/.cargo/config.toml", cargo);
    context.write("home/.gemrc", format!(":sources:\n- {}/\n", registry.url("")));
    context.set("NODEJS_ORG_MIRROR", registry.url("/dist"));
    context.set("GOPROXY", format!("{},direct", registry.url("/go")));
    let go = "#!/bin/sh\n[ \"$2\" != GOPROXY ] || echo \"$GOPROXY\"\n";
    let tools = context.script("tools/go", go).parent().unwrap().display().to_string();
    context.set("PATH", format!("{tools}:/usr/bin:/bin"));
    for (provider, name) in [("cargo", "rg-x"), ("gem", "rake"), ("node", "node"), ("go", "x.org/My/tool")] {
        let records = listed(&mut context, provider, &[request("node", provider, &json!([name]))]);
        assert_eq!(records[0]["type"], "BinaryVersions", "{provider}: {}", records[0]);
        let version = records[0]["versions"][0]["version"].as_str().unwrap();
        assert!(!version.starts_with('v'), "{provider}: {version}");
    }
}

#[test]
fn a_page_without_a_stated_size_is_not_larger_than_others() {
    let endless = [&b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"[..], &vec![b'1'; 129 << 20]].concat();
    let registry = Registry::start(vec![("/endless", endless), ("/good", page("1.0\n"))]);
    let input = format!("endless\t{}\ngood\t{}\n", registry.url("/endless"), registry.url("/good"));
    for has_curl in [true, false] {
        let mut context = TestContext::new();
        if !has_curl {
            without_curl(&mut context);
        }
        let records = versions(&context, &["--registry", "lines"], &input);
        let reason = records[0]["reason"].as_str().unwrap();
        assert!(reason.ends_with("/endless: the file is larger than 134217728 bytes"), "{reason}");
        assert_eq!(records[1]["versions"], json!([{"version": "1.0"}]));
    }
}
