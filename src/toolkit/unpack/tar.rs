//! Tar archives.

use std::cell::Cell;
use std::ffi::OsStr;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use tar::{Archive, EntryType};

use crate::toolkit::unpack::error::UnpackError;
use crate::toolkit::unpack::tree::{Tree, inner_path, special_file};

/// The maximum size of the header of an entry, with its long names and other attributes, which are kept in memory.
const MAX_HEADER: u64 = 1 << 20;

/// A reader of a tar archive that fails after some bytes.
struct Budgeted<'a, R> {
    inner: R,
    /// The number of bytes that may still be read.
    budget: &'a Cell<u64>,
    /// Whether the end of the file was read.
    is_at_end: &'a Cell<bool>,
}

impl<R: Read> Read for Budgeted<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        let budget = self.budget.get().checked_sub(count as u64);
        self.budget.set(budget.ok_or_else(|| io::Error::other("the header of a file is too long"))?);
        if count == 0 && !buffer.is_empty() {
            self.is_at_end.set(true);
        }
        Ok(count)
    }
}

/// Adds the entries of an archive to a tree.
pub(super) fn unpack(
    mut reader: &mut dyn Read,
    is_compressed: bool,
    tree: &mut Tree<'_>,
) -> Result<(), UnpackError> {
    let (budget, is_at_end) = (Cell::new(MAX_HEADER), Cell::new(false));
    let mut tar = Archive::new(Budgeted { inner: &mut reader, budget: &budget, is_at_end: &is_at_end });
    let mut entries = tar.entries().map_err(UnpackError::of_reader)?;
    loop {
        budget.set(MAX_HEADER);
        let Some(entry) = entries.next() else { break };
        let mut entry = entry.map_err(UnpackError::of_reader)?;
        budget.set(u64::MAX);
        add(&mut entry, tree)?;
        // What an entry contains besides the content of a file is of no use.
        io::copy(&mut entry, &mut io::sink()).map_err(UnpackError::of_reader)?;
    }
    // A compressed file says itself where it ends, and its checksum is at its end.
    if is_compressed {
        io::copy(&mut reader, &mut io::sink()).map_err(UnpackError::of_reader)?;
    } else if is_at_end.get() {
        return Err(UnpackError::Damaged("its end is missing".to_owned()));
    }
    Ok(())
}

fn add<R: Read>(entry: &mut tar::Entry<'_, R>, tree: &mut Tree<'_>) -> Result<(), UnpackError> {
    let bytes = entry.path_bytes().into_owned();
    let name = Path::new(OsStr::from_bytes(&bytes));
    if has_sparse_map(entry).map_err(UnpackError::of_reader)? {
        return Err(UnpackError::Unsupported(format!(
            "the pax format of sparse files for {}",
            inner_path(name)?.display()
        )));
    }
    let target = entry.link_name_bytes().unwrap_or_default().into_owned();
    let target = Path::new(OsStr::from_bytes(&target));
    match entry.header().entry_type() {
        // Old archives write a folder as a file whose name ends with a slash.
        EntryType::Regular if bytes.ends_with(b"/") => tree.add_folder(name),
        EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
            let mode = entry.header().mode().map_err(UnpackError::of_reader)?;
            let size = entry.size();
            if tree.add_file(name, mode & 0o111 != 0, entry)? == size {
                Ok(())
            } else {
                Err(UnpackError::Damaged(format!("{} is cut", name.display())))
            }
        }
        EntryType::Directory => tree.add_folder(name),
        EntryType::Symlink => tree.add_link(name, target),
        EntryType::Link => tree.add_hard_link(name, target),
        // Facts about the whole archive, such as the commit that it was made from.
        EntryType::XGlobalHeader => Ok(()),
        _ => Err(special_file(name)),
    }
}

/// Returns whether the content of an entry begins with a map of its holes.
fn has_sparse_map<R: Read>(entry: &mut tar::Entry<'_, R>) -> io::Result<bool> {
    let Some(attributes) = entry.pax_extensions()? else { return Ok(false) };
    for attribute in attributes {
        if attribute?.key_bytes().starts_with(b"GNU.sparse.") {
            return Ok(true);
        }
    }
    Ok(false)
}
