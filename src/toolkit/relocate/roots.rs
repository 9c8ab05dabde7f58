//! The folders that are moved as a whole.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};

use memchr::memmem;

use crate::install::relocatable::ends_name;
use crate::sorting::sort_by_key;

/// The folders that are moved as a whole, as a file below them names them and finds them.
#[derive(Debug, Clone)]
pub(super) struct Roots {
    /// The absolute path of each, and the path from there to the folder of the file. The longest come first.
    pub folders: Vec<(Vec<u8>, PathBuf)>,
}

impl Roots {
    /// Returns the roots of the files directly in `prefix`. An installer may write a path as given to it, or with its
    /// links resolved.
    pub(super) fn new(prefix: &Path, real_prefix: &Path, lib_dir: &Path) -> io::Result<Self> {
        let mut folders =
            vec![(std::path::absolute(prefix)?, PathBuf::new()), (real_prefix.to_owned(), PathBuf::new())];
        let real_lib_dir = lib_dir.canonicalize().unwrap_or_else(|_| lib_dir.to_owned());
        if let Ok(below) = real_prefix.strip_prefix(&real_lib_dir) {
            folders
                .extend([(lib_dir.to_owned(), below.to_owned()), (real_lib_dir.clone(), below.to_owned())]);
        }
        if folders.iter().any(|(folder, _)| folder.parent().is_none()) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "/ cannot be moved"));
        }
        let bytes = |(folder, below): (PathBuf, PathBuf)| {
            (folder.components().collect::<PathBuf>().into_os_string().into_vec(), below)
        };
        let mut folders: Vec<_> = folders.into_iter().map(bytes).collect();
        sort_by_key(&mut folders, |(folder, _)| std::cmp::Reverse(folder.len()));
        folders.dedup();
        Ok(Self { folders })
    }

    /// Returns the same roots for a file in a folder below the current one.
    pub(super) fn seen_from(&self, folder: &Path) -> Self {
        let folders = self.folders.iter().map(|(root, below)| (root.clone(), below.join(folder)));
        Self { folders: folders.collect() }
    }

    /// Returns the length of the root that begins at a position of a text, and the path from there to the folder of the
    /// file.
    pub(super) fn at(&self, text: &[u8], position: usize) -> Option<(usize, &Path)> {
        let is_start = position.checked_sub(1).is_none_or(|before| {
            let before = text[before];
            before != b'/' && !ends_name(before)
        });
        let starts = |folder: &[u8]| {
            let next = text[position..].strip_prefix(folder).map(<[u8]>::first);
            next.is_some_and(|next| next.is_none_or(|byte| !continues_name(*byte)))
        };
        let (folder, below) = self.folders.iter().find(|(folder, _)| is_start && starts(folder))?;
        Some((folder.len(), below))
    }

    /// Whether a text contains the path of a root.
    pub(super) fn is_in(&self, text: &[u8]) -> bool {
        let mut positions = self.folders.iter().flat_map(|(folder, _)| memmem::find_iter(text, folder));
        positions.any(|position| self.at(text, position).is_some())
    }

    /// Returns a path below a root as a path relative to the folder of the file.
    pub(super) fn relative(&self, path: &[u8]) -> Option<Vec<u8>> {
        let (length, below) = self.at(path, 0)?;
        let target = Path::new(OsStr::from_bytes(&path[length..]));
        let mut folders = below.components();
        let mut names = target.strip_prefix("/").unwrap_or(target).components();
        while folders.clone().next().is_some() && folders.clone().next() == names.clone().next() {
            folders.next();
            names.next();
        }
        let relative: PathBuf = folders.map(|_| Component::ParentDir).chain(names).collect();
        let relative = if relative == Path::new("") { PathBuf::from(".") } else { relative };
        Some(relative.into_os_string().into_vec())
    }
}

/// Whether a name that ends before this byte would be longer with it.
const fn continues_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || !byte.is_ascii() || matches!(byte, b'_' | b'.' | b'~' | b'+' | b'-')
}
