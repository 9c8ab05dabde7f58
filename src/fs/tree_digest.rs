//! The digest of a folder.

use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use sha2::{Digest, Sha256};
use walkdir::WalkDir;

use crate::fs::digest;

/// The permissions that count: those of the owner, and whether others may read and execute.
const MODE: u32 = 0o755;

/// Returns a digest of the files in a folder, with their content and permissions, its links and its folders, but not of the
/// file `except` directly in it.
pub(crate) fn tree_digest(folder: &Path, except: Option<&str>) -> io::Result<String> {
    let mut tree = Sha256::new();
    let mut add = |part: &[u8]| {
        tree.update((part.len() as u64).to_le_bytes());
        tree.update(part);
    };
    for entry in WalkDir::new(folder).min_depth(1).sort_by_file_name() {
        let entry = entry?;
        if entry.depth() == 1 && except.is_some_and(|except| entry.file_name() == except) {
            continue;
        }
        let below = entry.path().strip_prefix(folder).map_err(io::Error::other)?;
        let (kind, mode) = (entry.file_type(), entry.metadata()?.permissions().mode() & MODE);
        add(below.as_os_str().as_bytes());
        if kind.is_symlink() {
            add(b"link");
            add(fs_err::read_link(entry.path())?.as_os_str().as_bytes());
        } else if kind.is_file() {
            add(format!("file {mode:o}").as_bytes());
            add(digest::sha256(entry.path())?.as_bytes());
        } else {
            add(format!("{} {mode:o}", if kind.is_dir() { "folder" } else { "other" }).as_bytes());
        }
    }
    Ok(digest::hex(&tree.finalize()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// What changes in a folder, and the function that changes it.
    type Change<'a> = (&'a str, &'a dyn Fn(&Path));

    #[test]
    fn any_difference_but_write_access_of_others_counts() {
        let folder = tempfile::tempdir().unwrap();
        let make = |name: &str| {
            let root = folder.path().join(name);
            fs_err::create_dir_all(root.join("bin/empty")).unwrap();
            fs_err::write(root.join("bin/program"), vec![b'x'; 9]).unwrap();
            symlink("program", root.join("bin/link")).unwrap();
            root
        };
        let set_mode = |path: &Path, mode| {
            fs_err::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
        };
        let first = make("first");
        let changes: [Change<'_>; 7] = [
            ("a byte", &|root| {
                fs_err::write(root.join("bin/program"), "xxxxxxxxy").unwrap();
            }),
            ("the size", &|root| fs_err::write(root.join("bin/program"), "x").unwrap()),
            ("a mode", &|root| set_mode(&root.join("bin/program"), 0o755)),
            ("a missing file", &|root| fs_err::remove_file(root.join("bin/program")).unwrap()),
            ("another file", &|root| fs_err::write(root.join("z"), "").unwrap()),
            ("another kind", &|root| {
                fs_err::rename(root.join("bin/link"), root.join("bin/program")).unwrap();
            }),
            ("the target of a link", &|root| {
                fs_err::remove_file(root.join("bin/link")).unwrap();
                symlink("empty", root.join("bin/link")).unwrap();
            }),
        ];
        for (name, change) in changes {
            let second = make(name);
            set_mode(&second.join("bin/program"), 0o664);
            set_mode(&first.join("bin/program"), 0o644);
            let digest = |root: &Path| tree_digest(root, None).unwrap();
            assert_eq!(digest(&first), digest(&second));
            change(&second);
            assert_ne!(digest(&first), digest(&second), "{name}");
            let is_of_z = name == "another file";
            assert_eq!(digest(&first) == tree_digest(&second, Some("z")).unwrap(), is_of_z, "{name}");
        }
        assert!(tree_digest(&folder.path().join("none"), None).is_err());
    }
}
