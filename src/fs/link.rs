//! Following symbolic links.

use std::io;
use std::path::{Component, Path, PathBuf};

use crate::fs::dir::parent;

/// The maximum number of links on one path, as in the Linux kernel.
const MAX_LINKS: usize = 40;

/// Returns a path and, if it is a link, its target, and so on, up to the limit of the system.
pub(crate) fn steps(path: &Path) -> impl Iterator<Item = PathBuf> {
    let next = |path: &PathBuf| Some(parent(path).join(fs_err::read_link(path).ok()?));
    std::iter::successors(Some(path.to_owned()), next).take(MAX_LINKS + 1)
}

/// Returns the absolute path that a link names, or `None` if the file is no link. Each `..` in the target is resolved
/// without regard for other links.
pub fn target(link: &Path) -> Option<PathBuf> {
    Some(resolve_from(parent(link), &fs_err::read_link(link).ok()?))
}

/// Returns the absolute path that a path in a folder names, with each `..` resolved without regard for links.
pub(crate) fn resolve_from(folder: &Path, path: &Path) -> PathBuf {
    let mut resolved = PathBuf::new();
    for part in folder.join(path).components() {
        if part == Component::ParentDir {
            resolved.pop();
        } else {
            resolved.push(part);
        }
    }
    resolved
}

/// Returns whether a path leads through a link in `/proc` to a file that a process has open, as `/dev/stdout` does. That
/// file may have no name, and the process would not see one that replaces it.
pub(crate) fn is_open_file(path: &Path) -> bool {
    let is_in_proc =
        |step: &Path| parent(step).canonicalize().is_ok_and(|folder| folder.starts_with("/proc"));
    steps(path).any(|step| step.is_symlink() && is_in_proc(&step))
}

/// Follows the links of a path. Returns the canonical path of the file, or the path at which a missing file would be
/// created.
pub(crate) fn resolve(path: &Path) -> io::Result<PathBuf> {
    for step in steps(path) {
        match step.canonicalize() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            found => return found,
        }
        if !step.is_symlink() {
            return Ok(step);
        }
    }
    Err(io::Error::other("too many links"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn follows_links_to_an_existing_or_a_future_file() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        symlink("next", root.join("link")).unwrap();
        symlink("below/target", root.join("next")).unwrap();
        assert_eq!(resolve(&root.join("link")).unwrap(), root.join("below/target"));
        assert_eq!(steps(&root.join("link")).count(), 3);
        assert_eq!(target(&root.join("next")), Some(root.join("below/target")));
        assert_eq!(target(&root), None);
        symlink("../../x", root.join("up")).unwrap();
        assert_eq!(target(&root.join("up")), root.ancestors().nth(2).map(|folder| folder.join("x")));
        fs_err::create_dir(root.join("below")).unwrap();
        fs_err::write(root.join("below/target"), "").unwrap();
        assert_eq!(resolve(&root.join("link")).unwrap(), root.join("below/target"));
        symlink("loop", root.join("loop")).unwrap();
        resolve(&root.join("loop")).unwrap_err();
        assert_eq!(steps(&root.join("loop")).count(), MAX_LINKS + 1);
    }
}
