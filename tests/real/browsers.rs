//! Browsers and extensions that playwright, puppeteer and chromewebstore download from a host on the loopback interface.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::context_with_registries;
use crate::javascript::context_with;
use crate::server::Server;
use crate::test_context::TestContext;

/// Writes a zip archive whose files are programs.
const ZIP: &str = r"
import sys, zipfile
with zipfile.ZipFile(sys.argv[1], 'w') as archive:
    for name in sys.argv[2:]:
        entry = zipfile.ZipInfo(name)
        entry.external_attr = 0o100755 << 16
        archive.writestr(entry, '#!/bin/sh\necho a browser\n')
";

/// Packs a manifest of version 1.2.0 and signs it as a CRX3 file. Prints the id of the extension.
const EXTENSION: &str = r#"
import hashlib, io, struct, subprocess, sys, zipfile
run = lambda *command, **options: subprocess.run(command, check=True, capture_output=True, **options).stdout
varint = lambda n: bytes([n]) if n < 128 else bytes([n % 128 + 128]) + varint(n // 128)
field = lambda number, data: varint(number * 8 + 2) + varint(len(data)) + data
key = sys.argv[1] + '.pem'
run('openssl', 'genrsa', '-out', key, '2048')
public = run('openssl', 'rsa', '-in', key, '-pubout', '-outform', 'DER')
digest = hashlib.sha256(public).digest()[:16]
archive = io.BytesIO()
with zipfile.ZipFile(archive, 'w') as file:
    file.writestr('manifest.json', '{"name": "Hello", "manifest_version": 3, "version": "1.2.0"}')
    file.writestr('page.js', 'hello')
    file.writestr('_metadata/verified_contents.json', '[]')
signed = field(1, digest)
message = b'CRX3 SignedData\0' + struct.pack('<I', len(signed)) + signed + archive.getvalue()
signature = run('openssl', 'dgst', '-sha256', '-sign', key, input=message)
header = field(2, field(1, b'another key') + field(2, b'')) + field(2, field(1, public) + field(2, signature))
header += field(10000, signed)
with open(sys.argv[1], 'wb') as file:
    file.write(b'Cr24' + struct.pack('<II', 3, len(header)) + header + archive.getvalue())
print(''.join(chr(97 + int(digit, 16)) for digit in digest.hex()))
"#;

/// Runs a Python program, and returns what it prints.
fn python(program: &str, args: &[&Path]) -> String {
    let output = Command::new("python3").args(["-c", program]).args(args).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// Puts the archive of a browser on the server.
fn serve(context: &TestContext, path: &str) {
    let file = context.write(&format!("site/{path}"), "");
    let stem = file.file_stem().unwrap().to_str().unwrap();
    let program = match stem.split('-').next().unwrap() {
        "firefox" => "firefox/firefox".to_owned(),
        "chrome" => format!("{stem}/chrome"),
        _ => stem.to_owned(),
    };
    python(ZIP, &[&file, program.as_ref()]);
}

/// Asserts that a browser is linked and runs, and returns its path below the folder of its provider.
fn check_browser(context: &TestContext, record: &Value, version: &str) -> String {
    assert_eq!(
        (record["version"].as_str(), record["package_version"].as_str()),
        (Some(version), Some(version))
    );
    let link = context.bin(record["name"].as_str().unwrap());
    assert_eq!(Command::new(link).output().unwrap().stdout, b"a browser\n");
    let folder = context.path("data/lib").join(rigup::settings::platform());
    let folder = folder.join(record["binprovider"].as_str().unwrap());
    let path = Path::new(record["abspath"].as_str().unwrap());
    path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned()
}

#[test]
#[ignore = "installs from a registry: run with --ignored"]
fn playwright_installs_the_browsers_of_its_version() {
    let mut context = context_with("playwright", "playwright", true);
    let server = Server::start(&context);
    let host = server.url.strip_suffix("/index.html").unwrap();
    context.set("PLAYWRIGHT_DOWNLOAD_HOST", host);
    let mut plan = Command::new(context.path("bin/playwright"));
    plan.args(["install", "--dry-run", "chromium", "firefox"]).env("PLAYWRIGHT_DOWNLOAD_HOST", host);
    let plan = String::from_utf8(plan.output().unwrap().stdout).unwrap();
    for path in plan.split_whitespace().filter_map(|word| word.strip_prefix(host)) {
        serve(&context, path.trim_start_matches('/'));
    }
    let version = |browser: &str| {
        let line = plan.lines().find(|line| line.contains(&format!("(playwright {browser} v"))).unwrap();
        line.split(" (").next().unwrap().rsplit(' ').next().unwrap().to_owned()
    };
    for (name, browser, file) in
        [("chrome", "chromium", "chrome-linux64/chrome"), ("firefox", "firefox", "firefox/firefox")]
    {
        let args = ["install", name, "--binproviders", "playwright"];
        let output = context.run(&args).succeeds();
        let record = output.stderr_contains("playwright cannot enforce min_release_age").record();
        let path = check_browser(&context, &record, &version(browser));
        assert!(path.starts_with(&format!("{browser}-")) && path.ends_with(file), "{path}");
        fs::remove_file(record["abspath"].as_str().unwrap()).unwrap();
        check_browser(&context, &context.run(&args).succeeds().record(), &version(browser));
    }
}

#[test]
#[ignore = "installs from a registry: run with --ignored"]
fn rigup_installs_a_missing_playwright_with_npm() {
    let mut context = context_with_registries();
    context.set("PLAYWRIGHT_DOWNLOAD_HOST", "http://127.0.0.1:9");
    let output = context.run(&["install", "webkit", "--binproviders", "playwright"]).exits_with(1);
    let output = output.stderr_contains("playwright: installed by npm");
    output.stderr_contains("cannot download webkit: ").stderr_contains("PLAYWRIGHT_DOWNLOAD_HOST");
}

#[test]
#[ignore = "installs from a registry: run with --ignored"]
fn puppeteer_installs_versions_of_chrome_side_by_side() {
    let mut context = context_with_registries();
    let server = Server::start(&context);
    context.set("PUPPETEER_DOWNLOAD_BASE_URL", server.url.strip_suffix("/index.html").unwrap());
    for version in ["156.0.8078.47", "157.0.8100.2"] {
        serve(&context, &format!("{version}/linux64/chrome-linux64.zip"));
    }
    let overrides = json!({"puppeteer": {"install_args": ["chrome@156.0.8078.47"]}});
    let chromium =
        json!({"type": "Binary", "name": "chromium", "binproviders": "puppeteer", "overrides": overrides});
    context.plugin("p", &[chromium]);
    let output = context.run(&["install"]).succeeds().stderr_contains("browsers: installed by npm");
    let path = check_browser(&context, &output.record(), "156.0.8078.47");
    assert_eq!(path, "chrome-156.0.8078.47/chrome-linux64/chrome");
    let args = ["install", "chrome@157.0.8100.2", "--binproviders", "puppeteer"];
    let path = check_browser(&context, &context.run(&args).succeeds().record(), "157.0.8100.2");
    assert_eq!(path, "chrome-157.0.8100.2/chrome-linux64/chrome");
    let load = context.run(&["load", "chromium"]).succeeds().record();
    check_browser(&context, &load, "156.0.8078.47");
    let args = ["install", "chrome@158.0.0.1", "--binproviders", "puppeteer"];
    context.run(&args).exits_with(1).stderr_contains("cannot download chrome@158.0.0.1");
}

#[test]
#[ignore = "needs openssl: run with --ignored"]
fn chromewebstore_installs_an_extension_whose_signature_matches() {
    let mut context = context_with_registries();
    let server = Server::start(&context);
    let file = context.path("site/extension.crx");
    let id = python(EXTENSION, &[&file]);
    let other = python(EXTENSION, &[&context.path("site/other.crx")]);
    let host = server.url.strip_suffix("/index.html").unwrap();
    context.set("CHROMEWEBSTORE_UPDATE_URL", format!("{host}/extension.crx"));
    let require = |id: &str, option: &str| {
        let args = json!({"chromewebstore": {"install_args": [id, "--name=hello", option]}});
        json!({"type": "Binary", "name": "hello", "binproviders": "chromewebstore", "overrides": args})
    };
    context.plugin("p", &[require(&id, "--name=hello")]);
    let record = context.run(&["install"]).succeeds().record();
    let folder = context.path("data/lib").join(rigup::settings::platform()).join("chromewebstore").join(&id);
    assert_eq!(record["abspath"], folder.join("1.2.0/manifest.json").to_str().unwrap());
    assert_eq!(record["version"], "1.2.0");
    assert!(!context.bin("hello").exists(), "an extension is not linked");
    assert!(!folder.join("1.2.0/_metadata").exists(), "Chrome refuses the folder");
    let file_id = || fs::metadata(folder.join("1.2.0/page.js")).unwrap().ino();
    let first = file_id();
    fs::create_dir(folder.join("1.2.0/_metadata")).unwrap();
    context.run(&["install", "--force"]).succeeds();
    assert_eq!(file_id(), first, "nothing but Chrome's own files has changed");
    fs::write(folder.join("1.2.0/page.js"), "changed").unwrap();
    context.run(&["install", "--force"]).succeeds();
    assert_eq!(fs::read_to_string(folder.join("1.2.0/page.js")).unwrap(), "hello");

    let fails = |line: Value, reason: &str| {
        context.plugin("p", &[line]);
        let output = context.run(&["install", "--force"]).exits_with(1);
        let outcome = output.record()["attempts"][0]["outcome"].clone();
        output.stderr_contains(reason);
        outcome
    };
    let other =
        fails(require(&other, "--name=hello"), &format!("the file is another extension than {other}"));
    let digest = fails(require(&id, "--sha256=00"), "does not match its digest");
    fails(require(&id, &format!("--url={host}/none.crx")), &format!("cannot download {host}/none.crx: "));
    fails(require(&id, &format!("--url={host}/index.html")), "is neither a CRX3 file nor a zip archive");
    let mut changed = fs::read(&file).unwrap();
    changed.push(b'x');
    fs::write(&file, changed).unwrap();
    let signature = fails(require(&id, "--name=hello"), &format!("the signature of {id} does not match: "));
    assert_eq!([other, digest, signature], ["rejected"; 3]);
}
