//! Comparison of folders.

use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use walkdir::{DirEntry, WalkDir};

/// How many bytes of two files are compared at once.
const CHUNK: usize = 64 << 10;

/// The permissions that count: those of the owner, and whether others may read and execute.
const MODE: u32 = 0o755;

/// Returns whether two folders have the same files, with the same content and permissions, links and folders.
pub(crate) fn is_same_tree(first: &Path, second: &Path) -> io::Result<bool> {
    let [mut others, entries] =
        [second, first].map(|folder| WalkDir::new(folder).min_depth(1).sort_by_file_name().into_iter());
    for entry in entries {
        let entry = entry?;
        let Some(other) = others.next().transpose()? else { return Ok(false) };
        let below = |entry: &DirEntry, folder| entry.path().strip_prefix(folder).map(Path::to_owned);
        if below(&entry, first) != below(&other, second) || !is_same_entry(&entry, &other)? {
            return Ok(false);
        }
    }
    Ok(others.next().is_none())
}

fn is_same_entry(entry: &DirEntry, other: &DirEntry) -> io::Result<bool> {
    if entry.file_type() != other.file_type() {
        return Ok(false);
    }
    if entry.file_type().is_symlink() {
        return Ok(fs_err::read_link(entry.path())? == fs_err::read_link(other.path())?);
    }
    let [metadata, of_other] = [entry.metadata()?, other.metadata()?];
    let is_same_mode = (metadata.permissions().mode() ^ of_other.permissions().mode()) & MODE == 0;
    if !entry.file_type().is_file() {
        return Ok(is_same_mode && entry.file_type().is_dir());
    }
    Ok(is_same_mode
        && metadata.len() == of_other.len()
        && has_same_content(entry.path(), other.path(), metadata.len())?)
}

/// Returns whether two files of this size have the same content.
fn has_same_content(first: &Path, second: &Path, size: u64) -> io::Result<bool> {
    let (mut first, mut second) = (fs_err::File::open(first)?, fs_err::File::open(second)?);
    let (mut bytes, mut others) = (vec![0; CHUNK], vec![0; CHUNK]);
    let mut rest = size;
    while rest > 0 {
        let length = usize::try_from(rest).unwrap_or(CHUNK).min(CHUNK);
        first.read_exact(&mut bytes[..length])?;
        second.read_exact(&mut others[..length])?;
        if bytes[..length] != others[..length] {
            return Ok(false);
        }
        rest -= length as u64;
    }
    Ok(true)
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
            fs_err::write(root.join("bin/program"), vec![b'x'; CHUNK + 1]).unwrap();
            symlink("program", root.join("bin/link")).unwrap();
            root
        };
        let set_mode = |path: &Path, mode| {
            fs_err::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
        };
        let first = make("first");
        let changes: [Change<'_>; 7] = [
            ("a byte", &|root| {
                fs_err::write(root.join("bin/program"), [vec![b'x'; CHUNK], vec![b'y']].concat()).unwrap();
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
            assert!(is_same_tree(&first, &second).unwrap());
            change(&second);
            assert!(!is_same_tree(&first, &second).unwrap(), "{name}");
            assert!(!is_same_tree(&second, &first).unwrap(), "{name}");
        }
        assert!(is_same_tree(&first, &folder.path().join("none")).is_err());
    }
}
