//! The packages of the system, in the databases of its package managers.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::fs::link;
use crate::hook::command;
use crate::install::package::identity::{Package, upstream_version};
use crate::process::capture;
use crate::process::signals::Interrupt;
use crate::process::spawn::CommandSpec;
use crate::settings::Settings;

/// The time in which a package manager must find a package.
const TIMEOUT: Duration = Duration::from_secs(20);

/// What rpm prints about a package: its name, the version of its author, and its own version.
const RPM_FORMAT: &str = "%{NAME}\\t%{VERSION}\\t%|EPOCH?{%{EPOCH}:}|%{VERSION}-%{RELEASE}\\n";

/// The database of a package manager.
#[derive(Debug, Clone, Copy)]
pub(super) enum Database {
    Dpkg,
    Rpm,
    Pacman,
}

impl Database {
    /// Returns the package that owns a file. `run` runs a command, and returns what it prints if it succeeds.
    fn owner_of(
        self,
        file: &Path,
        run: impl Fn(&str, &[&OsStr]) -> io::Result<Option<String>>,
    ) -> io::Result<Option<Package>> {
        let file = file.as_os_str();
        match self {
            Self::Dpkg => {
                let Some(found) = run("dpkg-query", &["-S".as_ref(), file])? else { return Ok(None) };
                let Some(name) = package_of_dpkg(&found) else { return Ok(None) };
                let version = run("dpkg-query", &["-W".as_ref(), "-f=${Version}".as_ref(), name.as_ref()])?;
                Ok(version.map(|version| package(name, upstream_version(&version), &version)))
            }
            Self::Rpm => {
                let format = ["-q".as_ref(), "--queryformat".as_ref(), RPM_FORMAT.as_ref()];
                let found = run("rpm", &[&format[..], &["-f".as_ref(), file]].concat())?;
                Ok(found.as_deref().and_then(package_of_rpm))
            }
            Self::Pacman => {
                let found = run("pacman", &["-Qo".as_ref(), file])?;
                Ok(found.as_deref().and_then(package_of_pacman))
            }
        }
    }
}

/// Asks a package manager for the package that owns a program, or the file that the program is a link to.
pub(super) fn owner(
    database: Database,
    program: &Path,
    settings: &Settings,
    interrupt: &Interrupt,
) -> io::Result<Option<Package>> {
    let deadline = Instant::now() + TIMEOUT;
    let run = |program: &str, args: &[&OsStr]| {
        let command = CommandSpec {
            program: program.into(),
            args: args.iter().map(OsString::from).collect(),
            env: command::environment_of_program(settings, &[], vec![("LC_ALL", "C".into())]),
            cwd: PathBuf::from("/"),
        };
        capture::stdout(command, deadline, interrupt)
    };
    for step in link::steps(program) {
        // Where /bin is a link to /usr/bin, dpkg knows only the path in the package.
        let unmerged = step.strip_prefix("/usr").map(|path| Path::new("/").join(path));
        for path in [Some(step), unmerged.ok()].into_iter().flatten() {
            let package = database.owner_of(&path, run)?;
            if package.is_some() {
                return Ok(package);
            }
        }
    }
    Ok(None)
}

fn package(name: &str, version: &str, package_version: &str) -> Package {
    let [name, version, package_version] = [name, version, package_version].map(str::to_owned);
    Package { name, version, package_version }
}

/// Parses what `dpkg-query -S` prints: `git, git-man: /usr/bin/git`.
fn package_of_dpkg(found: &str) -> Option<&str> {
    let mut owners = found.lines().filter(|line| !line.starts_with("diversion "));
    owners.next()?.split([',', ' ']).next().map(|owner| owner.trim_end_matches(':'))
}

/// Parses what rpm prints in [`RPM_FORMAT`].
fn package_of_rpm(found: &str) -> Option<Package> {
    let mut fields = found.lines().next()?.split('\t');
    Some(package(fields.next()?, fields.next()?, fields.next()?))
}

/// Parses what `pacman -Qo` prints: `/usr/bin/git is owned by git 2.51.0-1`.
fn package_of_pacman(found: &str) -> Option<Package> {
    let mut words = found.lines().next()?.rsplit(' ');
    let (version, name) = (words.next()?, words.next()?);
    Some(package(name, upstream_version(version), version))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_package_manager_of_the_system_names_the_owner_of_a_program() {
        assert_eq!(package_of_dpkg("git, git-man: /usr/bin/git\n"), Some("git"));
        assert_eq!(
            package_of_dpkg("diversion by dash from: /bin/sh\ndash:amd64: /bin/sh\n"),
            Some("dash:amd64")
        );
        for (found, expected) in [
            (
                package_of_rpm("vim-enhanced\t9.1.1\t2:9.1.1-1.fc41\n"),
                ("vim-enhanced", "9.1.1", "2:9.1.1-1.fc41"),
            ),
            (package_of_pacman("/usr/bin/git is owned by git 1:2.51.0-1\n"), ("git", "2.51.0", "1:2.51.0-1")),
        ] {
            let (name, version, package_version) = expected;
            assert_eq!(found, Some(package(name, version, package_version)));
        }
        assert_eq!(package_of_rpm(""), None);
    }
}
