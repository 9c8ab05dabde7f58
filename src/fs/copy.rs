//! Copies of folders.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use walkdir::WalkDir;

/// Copies a folder with its files, links, permissions and times of change. `copy` must not exist.
pub(crate) fn copy_tree(folder: &Path, copy: &Path) -> io::Result<()> {
    let mut folders = Vec::new();
    for entry in WalkDir::new(folder) {
        let entry = entry?;
        let below = entry.path().strip_prefix(folder).map_err(io::Error::other)?;
        let target = if below.as_os_str().is_empty() { copy.to_owned() } else { copy.join(below) };
        let kind = entry.file_type();
        if kind.is_dir() {
            fs_err::create_dir(&target)?;
            fs_err::set_permissions(&target, Permissions::from_mode(0o700))?;
            folders.push((target, entry.metadata()?.permissions()));
        } else if kind.is_symlink() {
            fs_err::os::unix::fs::symlink(fs_err::read_link(entry.path())?, &target)?;
        } else if kind.is_file() {
            let metadata = entry.metadata()?;
            let (mut from, mut to) = (fs_err::File::open(entry.path())?, fs_err::File::create_new(&target)?);
            io::copy(&mut from, &mut to)?;
            to.set_modified(metadata.modified()?)?;
            to.set_permissions(metadata.permissions())?;
        }
    }
    // Nothing can be created in a folder that is read-only.
    folders
        .into_iter()
        .rev()
        .try_for_each(|(folder, permissions)| fs_err::set_permissions(folder, permissions))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::remove::remove_tree;

    #[test]
    fn a_copy_has_the_files_links_and_permissions_of_the_folder() {
        let temporary = tempfile::tempdir().unwrap();
        let [folder, copy] = ["folder", "copy"].map(|name| temporary.path().join(name));
        fs_err::create_dir_all(folder.join("read-only")).unwrap();
        fs_err::write(folder.join("read-only/program"), "text").unwrap();
        fs_err::os::unix::fs::symlink("nowhere", folder.join("link")).unwrap();
        for (path, mode) in [("read-only/program", 0o755), ("read-only", 0o555)] {
            fs_err::set_permissions(folder.join(path), Permissions::from_mode(mode)).unwrap();
        }
        copy_tree(&folder, &copy).unwrap();
        assert_eq!(fs_err::read_to_string(copy.join("read-only/program")).unwrap(), "text");
        assert_eq!(fs_err::read_link(copy.join("link")).unwrap(), Path::new("nowhere"));
        for path in ["read-only/program", "read-only"] {
            let [original, copied] = [&folder, &copy].map(|root| root.join(path).metadata().unwrap());
            assert_eq!(original.permissions(), copied.permissions());
            assert!(!original.is_file() || original.modified().unwrap() == copied.modified().unwrap());
        }
        assert!(copy_tree(&folder, &copy).is_err(), "nothing is replaced");
        for path in [folder, copy] {
            remove_tree(&path).unwrap();
        }
    }
}
