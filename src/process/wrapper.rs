//! How LIB_BIN_DIR leads to a program: by a symbolic link, or by a wrapper script that executes the program by its path.

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use nix::unistd::{AccessFlags, access};

use crate::fs::dir::parent;
use crate::fs::link;
use crate::fs::regular_file;
use crate::model::Installed;
use crate::shell;

/// The kind of a file in LIB_BIN_DIR.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkKind {
    /// A symbolic link.
    Symlink,
    /// A script that executes the program by its path: the program does not run through a link.
    Wrapper,
}

impl LinkKind {
    /// Returns the kind that an installed binary needs.
    pub(crate) fn of(installed: &Installed) -> Self {
        if installed.needs_wrapper { Self::Wrapper } else { Self::Symlink }
    }
}

/// The start of each wrapper.
const HEAD: &[u8] =
    b"#!/bin/sh\n# rigup wrote this wrapper because the program does not run through a link.\n";

/// The start of the command for an absolute path.
const ABSOLUTE: &[u8] = b"exec ";

/// The start of the command for a path relative to the wrapper, which may itself be called through a link.
const RELATIVE: &[u8] = br#"[ ! -L "$0" ] || exec "$(realpath -- "$0")" "$@"
exec "${0%/*}"/"#;

/// The arguments of a wrapper.
const TAIL: &[u8] = b" \"$@\"\n";

/// The size limit of a wrapper, in bytes: twice the longest path.
const MAX_SIZE: u64 = 2 * 4096;

/// Returns the content of the wrapper of a program. A relative path is relative to the wrapper's folder.
pub(crate) fn content(program: &Path) -> io::Result<Vec<u8>> {
    let command = if program.is_absolute() { ABSOLUTE } else { RELATIVE };
    let path = shell::quote(program.as_os_str().as_bytes()).map_err(io::Error::other)?;
    Ok([HEAD, command, &path, TAIL].concat())
}

/// Returns whether a script may be a wrapper, by its text after `#!`.
pub(crate) fn is_start(script: &[u8]) -> bool {
    HEAD.strip_prefix(b"#!").is_some_and(|head| script.starts_with(head))
}

/// Returns the path that a file in LIB_BIN_DIR leads to, and its kind, or `None` if it is neither a link nor a wrapper.
pub(crate) fn target(file: &Path) -> Option<(PathBuf, LinkKind)> {
    let (path, kind) = written_target(file)?;
    Some((link::resolve_from(parent(file), &path), kind))
}

/// Like [`target`], but returns the path as it is written, which may be relative.
pub(crate) fn written_target(file: &Path) -> Option<(PathBuf, LinkKind)> {
    if let Ok(target) = fs_err::read_link(file) {
        return Some((target, LinkKind::Symlink));
    }
    let text = regular_file::read(file, MAX_SIZE).ok()?;
    let path = text.strip_prefix(HEAD)?.strip_suffix(TAIL)?;
    let path = path.strip_prefix(RELATIVE).or_else(|| path.strip_prefix(ABSOLUTE))?;
    let path = PathBuf::from(OsString::from_vec(shlex::bytes::split(path)?.into_iter().next()?));
    content(&path).is_ok_and(|content| content == text).then_some((path, LinkKind::Wrapper))
}

/// Returns the links and wrappers that lead from a path to its file, beginning with the path itself.
fn steps(path: &Path) -> impl Iterator<Item = PathBuf> {
    /// The maximum number of links on one path, as in the Linux kernel.
    const MAX_STEPS: usize = 40;
    let next = |path: &PathBuf| Some(target(path)?.0);
    std::iter::successors(Some(path.to_owned()), next).take(MAX_STEPS)
}

/// Returns whether a path is the link or the wrapper of a file, and can be called.
pub(crate) fn is_correct(path: &Path, file: &Path, kind: LinkKind) -> bool {
    let leads_to_file = target(path).is_some_and(|found| found == (file.to_owned(), kind));
    leads_to_file && (kind == LinkKind::Symlink || access(path, AccessFlags::X_OK).is_ok())
}

/// Returns the path behind the last wrapper that a path leads through, and behind the last link for which `is_followed`
/// returns true; the path itself if there is none. Returns `None` if they lead in a circle.
pub(crate) fn program(path: &Path, is_followed: impl Fn(&Path) -> bool) -> Option<PathBuf> {
    let steps: Vec<PathBuf> = steps(path).collect();
    let is_last = |step: &PathBuf| match target(step) {
        Some((_, LinkKind::Wrapper)) => true,
        Some((_, LinkKind::Symlink)) => is_followed(step),
        None => false,
    };
    match steps.iter().rposition(is_last) {
        Some(last) => steps.into_iter().nth(last + 1),
        None => Some(path.to_owned()),
    }
}

/// Returns whether a path leads to its file through a link or a wrapper in LIB_BIN_DIR, even if that has another path.
pub(crate) fn leads_through(path: &Path, lib_bin_dir: &Path) -> bool {
    let Ok(lib_bin_dir) = lib_bin_dir.canonicalize() else { return false };
    let is_in_lib_bin_dir =
        |step: &Path| parent(step).canonicalize().is_ok_and(|folder| folder == lib_bin_dir);
    steps(path).any(|step| target(&step).is_some() && is_in_lib_bin_dir(&step))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn the_target_of_a_wrapper_is_the_path_that_it_was_written_for() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("x");
        for path in ["/opt/a b/it's", "pip/x/bin/python", "/x"] {
            fs_err::write(&file, content(Path::new(path)).unwrap()).unwrap();
            assert_eq!(target(&file), Some((folder.path().join(path), LinkKind::Wrapper)));
        }
        let edited = String::from_utf8(content(Path::new("/x")).unwrap()).unwrap().replace("/x", "/x -y");
        for other in ["", "#!/bin/sh\nexec /x \"$@\"\n", &edited] {
            fs_err::write(&file, other).unwrap();
            assert_eq!(target(&file), None);
        }
        assert_eq!(target(&folder.path().join("missing")), None);
    }

    #[test]
    fn a_path_leads_through_a_folder_by_links_and_wrappers() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for name in ["bin", "other"] {
            fs_err::create_dir(path(name)).unwrap();
        }
        symlink("bin", path("alias")).unwrap();
        symlink("/bin/sh", path("bin/sh")).unwrap();
        symlink("../alias/sh", path("other/link")).unwrap();
        fs_err::write(path("other/wrapper"), content(&path("other/link")).unwrap()).unwrap();
        for name in ["bin/sh", "alias/sh", "other/link", "other/wrapper"] {
            assert!(leads_through(&path(name), &path("bin")), "{name}");
        }
        fs_err::write(path("bin/file"), "").unwrap();
        for name in ["bin/file", "bin/missing", "other/missing"] {
            assert!(!leads_through(&path(name), &path("bin")), "{name}");
        }
    }
}
