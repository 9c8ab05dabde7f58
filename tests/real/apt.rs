//! Real apt-get with a repository on this machine that changes and becomes unreachable.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};

use crate::test_context::TestContext;

/// A web server for a folder, on a free port, which it prints. It always sends the whole file: the times of two releases
/// may be in the same second, so apt must not ask whether a file changed.
const SERVER: &str = "import functools, http.server as h, sys\n\
    class Handler(h.SimpleHTTPRequestHandler):\n\
    \tdef send_head(self):\n\
    \t\tdel self.headers['If-Modified-Since']\n\
    \t\treturn super().send_head()\n\
    handler = functools.partial(Handler, directory=sys.argv[1])\n\
    server = h.ThreadingHTTPServer(('127.0.0.1', 0), handler)\n\
    print(server.server_port, flush=True)\n\
    server.serve_forever()\n";

/// A repository with the package `rigup-cow`, whose only program on PATH is `rigup-moo`.
struct Repository {
    context: TestContext,
    server: Child,
    _alone: MutexGuard<'static, ()>,
}

/// Held by the test that may install the package.
static ALONE: Mutex<()> = Mutex::new(());

impl Repository {
    fn new() -> Self {
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let mut context = TestContext::new();
        context.write("repository/x", "");
        let mut server = Command::new("python3");
        server.args(["-c", SERVER]).arg(context.path("repository"));
        let mut server = server.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut port = String::new();
        BufReader::new(server.stdout.take().unwrap()).read_line(&mut port).unwrap();
        context.write("sources.list", format!("deb [trusted=yes] http://127.0.0.1:{} ./\n", port.trim()));
        let path = |name: &str| context.path(name).display().to_string();
        let config = format!(
            "Dir::State \"{}\"; Dir::State::status \"/var/lib/dpkg/status\"; Dir::Cache \"{}\";\n\
             Dir::Etc::sourcelist \"{}\"; Dir::Etc::sourceparts \"-\"; APT::Sandbox::User \"root\";\n\
             Acquire::http::Proxy::127.0.0.1 \"DIRECT\"; Acquire::Retries \"0\";\n",
            path("state"),
            path("cache"),
            path("sources.list")
        );
        let config = context.write("apt.conf", config);
        for folder in ["state/lists/partial", "cache/archives/partial"] {
            fs::create_dir_all(context.path(folder)).unwrap();
        }
        context.set("APT_CONFIG", config).set("LANGUAGE", "de");
        Self { context, server, _alone: alone }
    }

    /// Publishes a version of the package, and removes the earlier one.
    fn publish(&self, version: &str) {
        let control = format!(
            "Package: rigup-cow\nVersion: {version}\nArchitecture: all\nMaintainer: rigup <rigup@example.org>\n\
             Description: a test of rigup\n"
        );
        self.context.write("cow/DEBIAN/control", &control);
        self.context.script("cow/usr/games/rigup-moo", &format!("#!/bin/sh\necho moo {version}\n"));
        self.context.script("cow/usr/lib/rigup-cow/bin/rigup-hidden", "#!/bin/sh\n");
        let repository = self.context.path("repository");
        fs::remove_dir_all(&repository).unwrap();
        fs::create_dir(&repository).unwrap();
        let file = format!("rigup-cow_{version}_all.deb");
        let mut dpkg_deb = Command::new("dpkg-deb");
        dpkg_deb
            .args(["--root-owner-group", "--build"])
            .arg(self.context.path("cow"))
            .arg(repository.join(&file));
        assert!(dpkg_deb.output().unwrap().status.success());
        let size_and_digest = |file: &str| {
            let path = repository.join(file);
            (fs::metadata(&path).unwrap().len(), rigup::internal::sha256(&path).unwrap())
        };
        let (size, digest) = size_and_digest(&file);
        let packages = format!("{control}Filename: ./{file}\nSize: {size}\nSHA256: {digest}\n");
        self.context.write("repository/Packages", packages);
        let (size, digest) = size_and_digest("Packages");
        self.context.write("repository/Release", format!("Suite: x\nSHA256:\n {digest} {size} Packages\n"));
    }

    /// Requests the program `rigup-moo` from this package, and returns its record.
    fn install(&self, package: &str, exit_code: i32) -> Value {
        let line = json!({"type": "Binary", "name": "rigup-moo", "binproviders": "apt", "overrides": {"apt": [package]}});
        self.context.plugin("p", &[line]);
        self.context.run(&["install", "--force"]).exits_with(exit_code).record()
    }

    /// Makes the repository unreachable.
    fn stop(&mut self) {
        self.server.kill().unwrap();
        self.server.wait().unwrap();
    }
}

impl Drop for Repository {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
        let _ = Command::new("dpkg").args(["--purge", "rigup-cow"]).output();
    }
}

fn reason(record: &Value) -> String {
    let attempt = &record["attempts"][0];
    format!("{} {}", attempt["outcome"].as_str().unwrap(), attempt["reason"].as_str().unwrap())
}

#[test]
#[ignore = "installs with apt: run with --ignored"]
fn apt_updates_outdated_lists_and_reports_an_unreachable_server() {
    let _apt = crate::lock_apt();
    let mut repository = Repository::new();
    repository.publish("1.0");
    let unknown = reason(&repository.install("rigup-none", 1));
    let next = "check the name, or set overrides.apt.packages";
    assert_eq!(unknown, format!("declined apt has no package named rigup-none; {next}"));
    // The lists still have 1.0, which the server no longer has.
    repository.publish("1.1");
    let record = repository.install("rigup-cow", 0);
    assert_eq!(
        (record["version"].as_str(), record["abspath"].as_str()),
        (Some("1.1"), Some("/usr/games/rigup-moo"))
    );
    let record =
        repository.context.run(&["install", "rigup-cow", "--binproviders", "apt"]).exits_with(1).record();
    assert!(reason(&record).starts_with(
        "failed apt installed rigup-cow, which has no program of that name; it has rigup-moo: "
    ));

    repository.stop();
    fs::remove_dir_all(repository.context.path("cache")).unwrap();
    fs::create_dir_all(repository.context.path("cache/archives/partial")).unwrap();
    fs::remove_file("/usr/games/rigup-moo").unwrap();
    let offline = reason(&repository.install("rigup-cow", 1));
    assert!(offline.starts_with("failed cannot fetch http://127.0.0.1:"), "{offline}");
    assert!(offline.contains("onnect to 127.0.0.1:"), "{offline}");
    assert!(Path::new(&repository.context.path("state/rigup-updated")).exists());
    fs::remove_dir_all(repository.context.path("state")).unwrap();
    fs::create_dir_all(repository.context.path("state/lists/partial")).unwrap();
    let offline = reason(&repository.install("rigup-none", 1));
    let start = "failed cannot update the package lists, which have no package named rigup-none: cannot fetch http://";
    assert!(offline.starts_with(start), "{offline}");
    assert!(!repository.context.path("state/rigup-updated").exists(), "a failed update does not count");
}

#[test]
#[ignore = "installs with apt: run with --ignored"]
fn apt_takes_only_names_of_packages() {
    let _apt = crate::lock_apt();
    let repository = Repository::new();
    repository.publish("1.0");
    let file = repository.context.path("repository/rigup-cow_1.0_all.deb").display().to_string();
    for odd in [
        "?name(^rigup-cow)",
        "~nrigup-cow",
        "rigup-cow-",
        "rigup-cow=1.0-",
        "rigup-cow=1.0+",
        "rigup-cow:all+",
        "rigup*",
        "./x.deb",
        &file,
    ] {
        let declined = format!("declined {odd} is not the name of a Debian package");
        assert_eq!(reason(&repository.install(odd, 1)), declined);
    }
    for unknown in ["rigup-cow+", "rigup-cow+:all"] {
        let declined = reason(&repository.install(unknown, 1));
        assert!(declined.starts_with("declined apt has no package named rigup-cow"), "{unknown}: {declined}");
    }
    for name in ["rigup-cow", "rigup-cow:all", "rigup-cow=1.0"] {
        assert_eq!(repository.install(name, 0)["version"], "1.0");
    }
}
