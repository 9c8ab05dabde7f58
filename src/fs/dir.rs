//! Private folders, parent folders, the owners of paths, and the expansion of `~`.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Component, Path, PathBuf};

use nix::unistd::{AccessFlags, access, geteuid};

/// Creates a folder and its missing parents with mode 0700.
pub(crate) fn make_private_dir(path: &Path) -> io::Result<()> {
    make(path, 0o700)
}

/// Creates a folder and its missing parents with the mode that the umask gives.
pub(crate) fn make_dir(path: &Path) -> io::Result<()> {
    make(path, 0o777)
}

/// Creates a folder and its missing parents. Tries again if another rigup removes an empty parent meanwhile.
fn make(path: &Path, mode: u32) -> io::Result<()> {
    const TRIES: usize = 10;
    if path.is_dir() {
        return Ok(());
    }
    let create = || DirBuilder::new().recursive(true).mode(mode).create(path);
    let mut created = create();
    for _ in 1..TRIES {
        match created {
            Err(error) if error.kind() == io::ErrorKind::NotFound => created = create(),
            _ => break,
        }
    }
    created.map_err(|error| {
        io::Error::new(error.kind(), format!("cannot create the folder {}: {error}", path.display()))
    })
}

/// Returns an error with the path that it is about in front.
pub(crate) fn with_path(path: &Path, error: impl Into<io::Error>) -> io::Error {
    let error = error.into();
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

/// Creates the missing parents of a folder. They are writable by their owner only, whatever the umask is.
pub(crate) fn make_parents(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o755).create(parent(folder))
}

/// Returns the nearest folder above a path that exists, or the path itself if it exists.
pub(crate) fn nearest_existing(path: &Path) -> &Path {
    path.ancestors().find(|folder| folder.exists()).unwrap_or(Path::new("/"))
}

/// Returns the user who owns the nearest existing folder above a path if this is root and that is another user, who could
/// not change what root creates there. `sudo` may keep the HOME of its caller.
pub(crate) fn owner_blocked_by_root(path: &Path) -> Option<u32> {
    let owner = nearest_existing(path).metadata().ok()?.uid();
    (owner != 0 && geteuid().is_root()).then_some(owner)
}

/// Returns the user to whom a file, a link or a folder belongs if that is not this one.
pub(crate) fn other_owner(path: &Path) -> Option<u32> {
    let owner = path.symlink_metadata().ok()?.uid();
    (owner != geteuid().as_raw()).then_some(owner)
}

/// Returns the other user to whom a path belongs, if that is why an operation on it was denied.
pub(crate) fn denying_owner(path: &Path, error: &io::Error) -> Option<u32> {
    other_owner(path).filter(|_| error.kind() == io::ErrorKind::PermissionDenied)
}

/// Returns whether this user can write to a folder, or create it.
pub(crate) fn is_creatable(folder: &Path) -> bool {
    is_writable(nearest_existing(folder))
}

/// Returns whether a path is a folder in which this user can create files.
pub(crate) fn is_writable(folder: &Path) -> bool {
    folder.is_dir() && access(folder, AccessFlags::W_OK | AccessFlags::X_OK).is_ok()
}

/// Returns whether two paths lead to the same file or folder, or `None` if that is unknown, as it is for a folder that this
/// user cannot read.
pub(crate) fn is_same(path: &Path, other: &Path) -> Option<bool> {
    let identity = |path: &Path| match path.metadata() {
        Ok(metadata) => Some(Some((metadata.dev(), metadata.ino()))),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Some(None)
        }
        Err(_) => None,
    };
    let (one, other) = (identity(path)?, identity(other)?);
    Some(one.is_some() && one == other)
}

/// Returns whether nothing exists at a path. A path that this user cannot look up may exist.
pub(crate) fn is_missing(path: &Path) -> bool {
    is_same(path, path) == Some(false)
}

/// Returns the folder of a file, or `.` for a bare file name.
pub(crate) fn parent(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Returns the path of a file or a folder below `folder` as others name it there: relative to `folder`, without links, `.`
/// and `..`. A link out of the folder is not followed, and a path elsewhere is returned unchanged; `.` is the folder itself.
pub(crate) fn relative_to(path: &Path, folder: &Path) -> PathBuf {
    let real = path.canonicalize().ok().zip(folder.canonicalize().ok());
    let relative = real.as_ref().and_then(|(path, folder)| path.strip_prefix(folder).ok());
    let relative = relative.or_else(|| path.strip_prefix(folder).ok());
    let relative = relative.filter(|path| !path.components().any(|part| part == Component::ParentDir));
    match relative {
        None => path.to_owned(),
        Some(same) if same.as_os_str().is_empty() => ".".into(),
        Some(relative) => relative.components().collect(),
    }
}

/// Returns the path that `~` or `~/...` stands for, or `None` if the path begins with something else or there is no
/// home folder.
pub(crate) fn expand_home(path: &Path, home: Option<&Path>) -> Option<PathBuf> {
    Some(home?.join(path.strip_prefix("~").ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_relative_path_has_no_links_and_no_dots() {
        let root = tempfile::tempdir().unwrap();
        let work = root.path().join("work");
        let other = root.path().join("other");
        fs_err::create_dir_all(work.join("a/b")).unwrap();
        fs_err::create_dir(&other).unwrap();
        for (name, target) in [("in", work.join("a")), ("out", other.clone())] {
            fs_err::os::unix::fs::symlink(target, work.join(name)).unwrap();
        }
        fs_err::os::unix::fs::symlink(&work, root.path().join("link")).unwrap();
        for (path, expected) in [
            ("work/a/../a/./b", "a/b"),
            ("work/in/b", "a/b"),
            ("link/a/b", "a/b"),
            ("work/out/./none", "out/none"),
            ("work/.", "."),
        ] {
            assert_eq!(relative_to(&root.path().join(path), &work), Path::new(expected), "{path}");
        }
        assert_eq!(relative_to(&work.join("in/b"), &root.path().join("link")), Path::new("a/b"));
        for elsewhere in [other.clone(), work.join("../other"), work.join("../none")] {
            assert_eq!(relative_to(&elsewhere, &work), elsewhere);
        }
    }

    #[test]
    fn expands_a_tilde_only_as_a_whole_path_component() {
        let expand = |path: &str| expand_home(Path::new(path), Some(Path::new("/home/me")));
        assert_eq!(expand("~/a/b"), Some(PathBuf::from("/home/me/a/b")));
        assert_eq!(expand("~"), Some(PathBuf::from("/home/me/")));
        assert_eq!([expand("~me/a"), expand("/a"), expand("a/~")], [None, None, None]);
        assert_eq!(expand_home(Path::new("~/a"), None), None);
    }
}
