//! What can be learned of a file: where it is, its version, its digest, its fingerprint.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::model::version::Version;
use crate::process::capture::Capture;
use crate::process::signals::Interrupt;

/// What programs are asked for their version with, in this order.
const FLAGS: [&str; 4] = ["--version", "-version", "-v", "version"];
/// How long a program may take to tell its version, all flags together.
const PATIENCE: Duration = Duration::from_secs(10);

/// Device, inode, size, mtime and ctime of a file, through links; none where it is gone. As long as it stays the
/// same, the file is the one that was verified.
pub fn fingerprint(path: &Path) -> Option<String> {
    let it = path.metadata().ok()?;
    Some(format!(
        "{}:{}:{}:{}.{:09}:{}.{:09}",
        it.dev(),
        it.ino(),
        it.size(),
        it.mtime(),
        it.mtime_nsec(),
        it.ctime(),
        it.ctime_nsec()
    ))
}

/// The first executable file of this name on `path`; `left_out` is a folder that does not count.
pub fn find(name: &str, path: &OsStr, left_out: &Path) -> Option<PathBuf> {
    let left_out = left_out.canonicalize().unwrap_or_else(|_| left_out.to_owned());
    let folders = std::env::split_paths(path)
        .filter(|it| !it.as_os_str().is_empty() && it.canonicalize().is_ok_and(|it| it != left_out));
    let path = std::env::join_paths(folders).ok()?;
    which::which_in(name, Some(path), "/").ok()
}

/// Asks a program for its version; none where it tells none in time. What it starts is ended with it.
pub fn version(
    program: &Path,
    env: &[(OsString, OsString)],
    interrupt: &Interrupt,
) -> io::Result<Option<String>> {
    let deadline = Instant::now() + PATIENCE;
    for flag in FLAGS {
        let asking = Capture { program, args: &[flag], env, cwd: Path::new("/") };
        let Some(answer) = asking.run(deadline, interrupt)? else { return Ok(None) };
        if answer.exit_code == 0 {
            for text in [answer.stdout, answer.stderr] {
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
    fn the_fingerprint_changes_with_the_file_and_is_none_without_it() {
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
    fn a_program_is_found_on_the_path_but_not_in_the_folder_that_is_left_out() {
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
    fn a_version_is_asked_for_in_four_ways_and_only_an_answer_with_exit_0_counts() {
        let folder = tempfile::tempdir().unwrap();
        let interrupt = Interrupt::install().unwrap();
        let ask = |body: &str| version(&script(folder.path(), "tool", body), &[], &interrupt).unwrap();
        assert_eq!(ask("echo tool 1.2.3"), Some("1.2.3".to_owned()));
        assert_eq!(ask("echo tool 1.2.3 >&2"), Some("1.2.3".to_owned()));
        assert_eq!(ask("[ \"$1\" = -version ] && echo 4.5 || { echo 9.9; exit 1; }"), Some("4.5".to_owned()));
        assert_eq!(ask("[ \"$1\" = version ] && echo v7"), Some("7".to_owned()));
        assert_eq!(ask("echo 1.0; exit 1"), None);
        assert_eq!(ask("exit 0"), None);
    }
}
