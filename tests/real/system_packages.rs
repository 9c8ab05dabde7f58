//! Real dnf, zypper and pacman with a repository on this machine. They install into an overlay of the system, which only
//! the test sees.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::kernel::{Namespaces, has, is_root, print_skipped};
use crate::test_context::{CommandOutput, TestContext};

/// Puts an overlay in the folder `overlays` on each folder of the system that package managers change.
const MOUNT: &str = "for name in etc root usr var; do\n\
    mkdir -p $overlays/$name/upper $overlays/$name/work\n\
    options=lowerdir=/$name,upperdir=$overlays/$name/upper,workdir=$overlays/$name/work\n\
    mount -t overlay overlay -o $options /$name || { echo failed && exit; }\n\
    done\n\
    mount -t tmpfs tmpfs /run\n\
    mkdir -p /etc/rpm /etc/yum.repos.d /etc/zypp/repos.d\n\
    echo '%_dbpath /var/lib/rpm' >/etc/rpm/macros\n";

/// A system in which a package manager can install packages.
struct System {
    manager: &'static str,
    context: TestContext,
    namespaces: Namespaces,
}

impl System {
    /// Creates a system without repositories, or returns `None` if this machine cannot.
    fn new(manager: &'static str) -> Option<Self> {
        if !is_root() || !has(manager) {
            return None;
        }
        let mut context = TestContext::new();
        context.set("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").set("LANGUAGE", "de");
        let system = Self { manager, context, namespaces: Namespaces::new(&["--mount"])? };
        let overlays = system.context.path("overlays");
        if !system.sh(&format!("overlays={}\n{MOUNT}", overlays.display())).stdout.is_empty() {
            print_skipped("no overlay can be mounted on the folders of the system");
            return None;
        }
        Some(system)
    }

    fn sh(&self, script: &str) -> CommandOutput {
        self.namespaces.sh(&self.context, script)
    }

    /// Makes a folder that is a repository of the package manager.
    fn publish(&self) -> String {
        let kind = if self.manager == "pacman" { "pacman" } else { "rpm" };
        let script = format!("{}/fixtures/repositories/{kind}.sh", env!("CARGO_MANIFEST_DIR"));
        let folder = self.context.path("repository");
        fs::create_dir(&folder).unwrap();
        let output = Command::new("sh").arg(script).arg(&folder).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        format!("file://{}", folder.display())
    }

    /// Adds a repository to the configuration of the package manager.
    fn add_repository(&self, name: &str, url: &str) {
        let options = format!("[{name}]\nname={name}\nbaseurl={url}\nenabled=1\ngpgcheck=0\nautorefresh=1\n");
        let (file, text) = match self.manager {
            "dnf" => (format!("yum.repos.d/{name}.repo"), options),
            "zypper" => (format!("zypp/repos.d/{name}.repo"), options),
            _ => ("pacman.conf".to_owned(), format!("[{name}]\nSigLevel = Never\nServer = {url}\n")),
        };
        self.sh(&format!("printf %s '{text}' >>/etc/{file}"));
    }

    /// Installs programs with the package manager, and returns what the records say about each.
    fn install(&self, names: &[&str]) -> Vec<String> {
        let args = [&["install", "--binproviders", self.manager], names].concat();
        self.namespaces.run(&self.context, &args).records().iter().map(summary).collect()
    }
}

/// Returns the path and the versions of an installed binary, or the outcome and the reason.
fn summary(record: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    if record["type"] == "Binary" {
        return ["abspath", "version", "package_version"].map(|key| text(&record[key])).join(" ");
    }
    let attempt = &record["attempts"][0];
    format!("{} {}", text(&attempt["outcome"]), text(&attempt["reason"]))
}

/// What a package manager says.
struct Messages {
    package: &'static str,
    without_repositories: &'static str,
    missing_dependency: &'static str,
    conflict: &'static str,
    other_version: &'static str,
    upgrade: &'static str,
    /// The status of rigup-moo 1.0-1, and its newest version.
    newest: [&'static str; 2],
}

fn check(manager: &'static str, expected: &Messages) {
    let Some(system) = System::new(manager) else { return };
    assert_eq!(system.install(&["rigup-hen"]), [expected.without_repositories]);
    let url = system.publish();
    system.add_repository("test", &url);

    let started = system.context.hook_processes().len();
    let unknown = format!(
        "declined {manager} has no package named rigup-none; check the name, or set overrides.{manager}.packages"
    );
    let hen = "/usr/bin/rigup-hen 2.0 2.0-1";
    let found = system.install(&["rigup-none", "rigup-hen", "rigup-egg"]);
    assert_eq!(found, [&*unknown, hen, expected.missing_dependency]);
    let started = system.context.hook_processes().len() - started;
    assert_eq!(started, 2, "one hook serves all requests, and one lists the versions of those that failed");
    assert_eq!(
        system.install(&["rigup-*"]),
        [format!("declined rigup-* is not the name of {}", expected.package)]
    );

    let moo = |package: &str| {
        let line = json!({"type": "Binary", "name": "rigup-moo", "binproviders": manager, "overrides": {manager: [package]}});
        system.context.plugin("p", &[line]);
        system.install(&["rigup-moo"])
    };
    assert_eq!(moo("rigup-cow@1.0"), ["/usr/bin/rigup-moo 1.0 1.0-1"]);
    system.sh("rm /usr/bin/rigup-moo");
    assert_eq!(moo("rigup-cow@1.0"), ["/usr/bin/rigup-moo 1.0 1.0-1"], "a removed program is repaired");
    assert_eq!(moo("rigup-cow@9.0"), [expected.other_version]);
    check_listed_versions(&system, expected);
    let lists = format!(
        "failed {manager} installed rigup-cow, which has no program of that name; it has rigup-moo: "
    );
    assert!(system.install(&["rigup-cow"])[0].starts_with(&lists));

    assert_eq!(system.install(&["rigup-fox"]), [expected.conflict]);
    assert_eq!(system.sh("rigup-hen").stdout, "rigup-hen 2.0\n", "no package is removed");
    let upgrade = system.namespaces.run(&system.context, &["upgrade", "rigup-hen"]).exits_with(1);
    upgrade.stderr_contains(&format!("{manager} installed it; run `{}`", expected.upgrade));

    system.add_repository("unreachable", "http://127.0.0.1:1");
    let unreachable = &system.install(&["rigup-none"])[0];
    assert!(unreachable.starts_with("failed cannot update the package lists, which "), "{unreachable}");
    assert!(unreachable.contains("127.0.0.1"), "{unreachable}");
    assert!(!Path::new("/usr/bin/rigup-hen").exists(), "the system itself is unchanged");
}

/// Checks `rigup outdated` and a partial version.
fn check_listed_versions(system: &System, expected: &Messages) {
    let manager = system.manager;
    let line = json!({"type": "Binary", "name": "rigup-moo", "binproviders": manager, "overrides": {manager: ["rigup-cow"]}});
    system.context.plugin("p", &[line]);
    let outdated = system.namespaces.run(&system.context, &["outdated"]).records();
    let rows = outdated.iter().map(|row| ["name", "status", "version", "wanted"].map(|key| row[key].clone()));
    let rows: Vec<_> = rows.collect();
    let [status, newest] = expected.newest;
    assert!(rows.contains(&["rigup-moo", status, "1.0-1", newest].map(Value::from)), "{rows:?}");
    assert!(rows.contains(&["rigup-hen", "up to date", "2.0-1", "2.0-1"].map(Value::from)), "{rows:?}");
    let moo = format!("{manager}:rigup-moo@1");
    let found = system.install(&[&moo]);
    let program = newest.trim_end_matches("-1");
    assert_eq!(found, [format!("/usr/bin/rigup-moo {program} {newest}")]);
}

#[test]
#[ignore = "needs dnf, rpmbuild and createrepo_c: run with --ignored"]
fn dnf_installs_repairs_and_says_what_it_cannot_install() {
    check(
        "dnf",
        &Messages {
            package: "an RPM package",
            without_repositories: "declined dnf has no enabled repositories; enable one in /etc/yum.repos.d",
            missing_dependency: "failed nothing provides rigup-none needed by rigup-egg-1.0-1.noarch",
            other_version: "declined dnf has no package named rigup-cow-9.0; check the name, or set overrides.dnf.packages",
            conflict: "failed package rigup-fox-1.0-1.noarch conflicts with rigup-hen provided by rigup-hen-2.0-1.noarch",
            upgrade: "dnf upgrade rigup-hen",
            newest: ["outdated", "1.1-1"],
        },
    );
}

#[test]
#[ignore = "needs zypper, rpmbuild and createrepo_c: run with --ignored"]
fn zypper_installs_repairs_and_says_what_it_cannot_install() {
    check(
        "zypper",
        &Messages {
            package: "an RPM package",
            without_repositories: "declined zypper has no package named rigup-hen; check the name, or set overrides.zypper.packages",
            missing_dependency: "failed nothing provides rigup-none needed by rigup-egg-1.0-1.noarch",
            other_version: "declined zypper has no version 9.0 of rigup-cow",
            conflict: "failed rigup-fox-1.0-1.noarch conflicts with rigup-hen provided by rigup-hen-2.0-1.noarch",
            upgrade: "zypper update rigup-hen",
            newest: ["outdated", "1.1-1"],
        },
    );
}

#[test]
#[ignore = "needs pacman: run with --ignored"]
fn pacman_installs_repairs_and_says_what_it_cannot_install() {
    check(
        "pacman",
        &Messages {
            package: "a package of pacman",
            without_repositories: "declined pacman has no repositories; add one to /etc/pacman.conf",
            missing_dependency: "failed cannot resolve \"rigup-none\", a dependency of \"rigup-egg\"",
            other_version: "declined pacman has no version 9.0 of rigup-cow",
            conflict: "failed unresolvable package conflicts detected",
            upgrade: "pacman -Syu rigup-hen",
            newest: ["up to date", "1.0-1"],
        },
    );
}
