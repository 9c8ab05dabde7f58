//! The path, version, digest and fingerprint of a program.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::model::Version;
use crate::process::capture;
use crate::process::signals::Interrupt;
use crate::process::spawn::CommandSpec;

/// The arguments that make programs print their version, in the order in which they are tried.
const FLAGS: [&str; 4] = ["--version", "-version", "-v", "version"];
/// The time in which a program must print its version, for all arguments together.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Returns the device, inode, size, mtime and ctime of a file, following links, or `None` if it does not exist. If the
/// fingerprint is unchanged, so is the file.
pub(crate) fn fingerprint(path: &Path) -> Option<String> {
    let metadata = path.metadata().ok()?;
    Some(format!(
        "{}:{}:{}:{}.{:09}:{}.{:09}",
        metadata.dev(),
        metadata.ino(),
        metadata.size(),
        metadata.mtime(),
        metadata.mtime_nsec(),
        metadata.ctime(),
        metadata.ctime_nsec()
    ))
}

/// Returns the first executable file of this name on `path`, or `None` if there is none. The folder `excluded` is
/// skipped.
pub(crate) fn find(name: &str, path: &OsStr, excluded: &Path) -> Option<PathBuf> {
    let excluded = excluded.canonicalize().unwrap_or_else(|_| excluded.to_owned());
    let folders = std::env::split_paths(path).filter(|folder| {
        !folder.as_os_str().is_empty() && folder.canonicalize().is_ok_and(|folder| folder != excluded)
    });
    let path = std::env::join_paths(folders).ok()?;
    which::which_in(name, Some(path), "/").ok()
}

/// Runs a program to find its version, and returns `None` if it prints none in time. Processes that it starts are
/// terminated with it.
pub(crate) fn version(
    program: &Path,
    env: &[(OsString, OsString)],
    interrupt: &Interrupt,
) -> io::Result<Option<String>> {
    let deadline = Instant::now() + TIMEOUT;
    for flag in FLAGS {
        let command = CommandSpec {
            program: program.into(),
            args: vec![flag.into()],
            env: env.to_vec(),
            cwd: PathBuf::from("/"),
        };
        let Some(output) = capture::run(&command, deadline, interrupt)? else { return Ok(None) };
        if output.exit_code == Some(0) {
            for text in [output.stdout, output.stderr] {
                if let Some(version) = Version::find_in(&text) {
                    return Ok(Some(version.to_owned()));
                }
            }
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn script(folder: &Path, name: &str, body: &str) -> PathBuf {
        let path = folder.join(name);
        fs_err::write(&path, format!("#!/bin/sh\n{body}\n")).unwrap();
        fs_err::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
        path
    }

    #[test]
    fn the_fingerprint_changes_with_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        fs_err::write(&path, "one").unwrap();
        let before = fingerprint(&path);
        assert_eq!(fingerprint(&path), before);
        fs_err::write(&path, "other").unwrap();
        assert_ne!(fingerprint(&path), before);
        fs_err::remove_file(&path).unwrap();
        assert_eq!(fingerprint(&path), None);
    }

    #[test]
    fn finds_a_program_on_the_path_but_not_in_the_excluded_folder() {
        let folder = tempfile::tempdir().unwrap();
        for dir in ["links", "real"] {
            fs_err::create_dir(folder.path().join(dir)).unwrap();
            script(&folder.path().join(dir), "tool", "");
        }
        let path = std::env::join_paths(["links", "", "real"].map(|dir| folder.path().join(dir))).unwrap();
        let found = find("tool", &path, &folder.path().join("links"));
        assert_eq!(found, Some(folder.path().join("real/tool")));
        assert_eq!(find("no-such-tool", &path, Path::new("/none")), None);
    }

    #[test]
    fn only_output_with_exit_code_0_has_a_version() {
        let folder = tempfile::tempdir().unwrap();
        let interrupt = Interrupt::install().unwrap();
        let version_of = |body: &str| version(&script(folder.path(), "tool", body), &[], &interrupt).unwrap();
        assert_eq!(version_of("echo tool 1.2.3"), Some("1.2.3".to_owned()));
        assert_eq!(version_of("echo tool 1.2.3 >&2"), Some("1.2.3".to_owned()));
        assert_eq!(
            version_of("[ \"$1\" = -version ] && echo 4.5 || { echo 9.9; exit 1; }"),
            Some("4.5".to_owned())
        );
        assert_eq!(version_of("[ \"$1\" = version ] && echo v7"), Some("7".to_owned()));
        assert_eq!(version_of("echo 1.0; exit 1"), None);
        assert_eq!(version_of("exit 0"), None);
    }
}
