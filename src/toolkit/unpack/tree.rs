//! The files, folders and links of an archive, which are written below a new folder and nowhere else.
//!
//! While files are written, the folder contains no link, so that no path leads through one. The links follow at the end,
//! when it is known where each of them leads.

use std::collections::{BTreeMap, VecDeque};
use std::fs::Permissions;
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Component, Path, PathBuf};

use fs_err::os::unix::fs::OpenOptionsExt;

use crate::process::executable::{PROGRAM_HEAD, begins_like_program};
use crate::process::signals::Interrupt;
use crate::toolkit::unpack::error::UnpackError;

/// The maximum number of files, folders and links. The largest toolchains have about a tenth of it.
const MAX_ENTRIES: usize = 500_000;
/// The maximum number of links that the system follows in one path, as in the Linux kernel.
const MAX_LINKS: usize = 40;
/// The length of a path that is too long for the system, in bytes, as in Linux.
const MAX_PATH: usize = 4096;
/// The number of bytes that are written at once.
const CHUNK: usize = 64 << 10;

/// How much an archive may contain, in bytes.
#[derive(Debug, Clone)]
pub(super) enum SizeLimit {
    /// No archive of this size contains more.
    Plausible(u64),
    /// The file system of a folder has no more space.
    Space(u64, PathBuf),
}

impl SizeLimit {
    fn bytes(&self) -> u64 {
        let (Self::Plausible(bytes) | Self::Space(bytes, _)) = self;
        *bytes
    }

    fn error(&self) -> UnpackError {
        match self {
            Self::Plausible(bytes) => UnpackError::Bomb(*bytes),
            Self::Space(bytes, folder) => UnpackError::NoSpace(*bytes, folder.clone()),
        }
    }
}

/// What is at a path.
#[derive(Debug, Clone)]
enum TreeEntry {
    Folder,
    File {
        is_executable: bool,
        begins_like_program: bool,
    },
    /// A link to this path, which is not created yet.
    Link(PathBuf),
}

/// A folder that is being filled.
#[derive(Debug)]
pub(super) struct Tree<'a> {
    root: &'a Path,
    interrupt: &'a Interrupt,
    limit: SizeLimit,
    written: u64,
    nodes: BTreeMap<PathBuf, TreeEntry>,
    buffer: Vec<u8>,
}

impl<'a> Tree<'a> {
    /// Returns a tree in the empty folder `root`.
    pub(super) fn new(root: &'a Path, interrupt: &'a Interrupt, limit: SizeLimit) -> Self {
        Self { root, interrupt, limit, written: 0, nodes: BTreeMap::new(), buffer: vec![0; CHUNK] }
    }

    /// Adds a folder.
    pub(super) fn add_folder(&mut self, name: &Path) -> Result<(), UnpackError> {
        let path = inner_path(name)?;
        self.make_folder(&path)
    }

    /// Adds a file, with the content of the reader. It replaces an earlier file or link. Returns its length.
    pub(super) fn add_file(
        &mut self,
        name: &Path,
        is_executable: bool,
        mut content: impl Read,
    ) -> Result<u64, UnpackError> {
        let path = self.make_room(name)?;
        let target = self.root.join(&path);
        let mode = if is_executable { 0o777 } else { 0o666 };
        let mut options = fs_err::OpenOptions::new();
        let created = options.write(true).create_new(true).mode(mode).open(&target);
        let mut file = created.map_err(|error| UnpackError::of_creation(&path, error))?.into_parts().0;
        let mut head = Vec::new();
        let mut length = 0;
        loop {
            if let Some(signal) = self.interrupt.signal() {
                return Err(UnpackError::Interrupted(signal));
            }
            let count = match content.read(&mut self.buffer) {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                read => read.map_err(UnpackError::of_reader)?,
            };
            if count == 0 {
                break;
            }
            length += count as u64;
            self.add_bytes(count as u64)?;
            let chunk = &self.buffer[..count];
            head.extend_from_slice(&chunk[..count.min(PROGRAM_HEAD - head.len())]);
            file.write_all(chunk).map_err(UnpackError::at(&path))?;
        }
        let begins_like_program = begins_like_program(&head);
        self.insert(path, TreeEntry::File { is_executable, begins_like_program })?;
        Ok(length)
    }

    /// Adds a symbolic link. It replaces an earlier file or link.
    pub(super) fn add_link(&mut self, name: &Path, target: &Path) -> Result<(), UnpackError> {
        let bytes = target.as_os_str().as_bytes();
        let problem = match bytes {
            [] => Some("is empty"),
            bytes if bytes.len() >= MAX_PATH => Some("is too long"),
            bytes if bytes.contains(&0) => Some("contains a NUL"),
            _ => None,
        };
        if let Some(problem) = problem {
            return Err(UnpackError::Target(inner_path(name)?, problem));
        }
        let path = self.make_room(name)?;
        self.insert(path, TreeEntry::Link(target.to_owned()))
    }

    /// Adds another name for an earlier file or link.
    pub(super) fn add_hard_link(&mut self, name: &Path, target: &Path) -> Result<(), UnpackError> {
        let original = inner_path(target)?;
        let error = || UnpackError::HardLink(name.to_owned(), target.to_owned());
        let node = self.nodes.get(&original).filter(|node| !matches!(node, TreeEntry::Folder));
        let node = node.ok_or_else(error)?.clone();
        if inner_path(name)? == original {
            return Ok(());
        }
        let path = self.make_room(name)?;
        if let TreeEntry::File { .. } = node {
            fs_err::hard_link(self.root.join(&original), self.root.join(&path))
                .map_err(|error| UnpackError::of_creation(&path, error))?;
        }
        self.insert(path, node)
    }

    /// Creates the links, and sets the exec bits if the archive has none.
    pub(super) fn finish(self) -> Result<(), UnpackError> {
        for (path, node) in &self.nodes {
            if let TreeEntry::Link(target) = node {
                if self.leads_outside(path, target) {
                    return Err(UnpackError::LinkOutside(path.clone(), target.clone()));
                }
                symlink(target, self.root.join(path))
                    .map_err(|error| UnpackError::of_creation(path, error))?;
            }
        }
        let has_exec_bits =
            self.nodes.values().any(|node| matches!(node, TreeEntry::File { is_executable: true, .. }));
        for (path, node) in &self.nodes {
            if let TreeEntry::File { begins_like_program: true, .. } = node
                && !has_exec_bits
            {
                make_executable(&self.root.join(path)).map_err(UnpackError::at(path))?;
            }
        }
        Ok(())
    }

    /// Creates the folder of an entry, and removes what an earlier entry with this name has written.
    fn make_room(&mut self, name: &Path) -> Result<PathBuf, UnpackError> {
        let path = inner_path(name)?;
        if let Some(folder) = path.parent() {
            self.make_folder(folder)?;
        }
        match self.nodes.get(&path) {
            Some(TreeEntry::Folder) => return Err(UnpackError::Contradiction(path)),
            Some(TreeEntry::File { .. }) => {
                fs_err::remove_file(self.root.join(&path)).map_err(UnpackError::at(&path))?;
                self.nodes.remove(&path);
            }
            Some(TreeEntry::Link(_)) | None => {}
        }
        // The name of the folder itself, such as `.`.
        if path.as_os_str().is_empty() { Err(UnpackError::Contradiction(name.to_owned())) } else { Ok(path) }
    }

    /// Creates a folder with those above it, unless an earlier entry did so.
    fn make_folder(&mut self, path: &Path) -> Result<(), UnpackError> {
        let above = path.ancestors().filter(|folder| !folder.as_os_str().is_empty());
        let missing: Vec<&Path> =
            above.take_while(|folder| !matches!(self.nodes.get(*folder), Some(TreeEntry::Folder))).collect();
        for folder in missing.into_iter().rev() {
            if self.nodes.contains_key(folder) {
                return Err(UnpackError::Contradiction(folder.to_owned()));
            }
            fs_err::create_dir(self.root.join(folder))
                .map_err(|error| UnpackError::of_creation(folder, error))?;
            self.insert(folder.to_owned(), TreeEntry::Folder)?;
        }
        Ok(())
    }

    fn insert(&mut self, path: PathBuf, node: TreeEntry) -> Result<(), UnpackError> {
        // Names take memory as the content takes space.
        let target = if let TreeEntry::Link(target) = &node { target.as_os_str().len() } else { 0 };
        self.add_bytes((path.as_os_str().len() + target) as u64)?;
        self.nodes.insert(path, node);
        if self.nodes.len() > MAX_ENTRIES {
            return Err(UnpackError::TooManyEntries(MAX_ENTRIES as u64));
        }
        match self.interrupt.signal() {
            Some(signal) => Err(UnpackError::Interrupted(signal)),
            None => Ok(()),
        }
    }

    /// Counts bytes of the archive's content.
    fn add_bytes(&mut self, count: u64) -> Result<(), UnpackError> {
        self.written = self.written.saturating_add(count);
        if self.written > self.limit.bytes() { Err(self.limit.error()) } else { Ok(()) }
    }

    /// Returns whether a link leads out of the folder, also by way of other links. A path through a file, a missing folder
    /// or too many links leads nowhere, but may still not begin to lead out.
    fn leads_outside(&self, link: &Path, target: &Path) -> bool {
        let mut place = link.parent().unwrap_or(Path::new("")).to_owned();
        let mut rest: VecDeque<Component<'_>> = target.components().collect();
        let mut links = 0;
        while let Some(part) = rest.pop_front() {
            match part {
                Component::RootDir | Component::Prefix(_) => return true,
                Component::ParentDir if !place.pop() => return true,
                Component::ParentDir | Component::CurDir => {}
                Component::Normal(name) => {
                    place.push(name);
                    if let Some(TreeEntry::Link(next)) = self.nodes.get(&place) {
                        place.pop();
                        links += 1;
                        if links > MAX_LINKS {
                            return false;
                        }
                        for part in next.components().rev() {
                            rest.push_front(part);
                        }
                    }
                }
            }
        }
        false
    }
}

/// Returns the error of an entry that is no file, folder or link.
pub(super) fn special_file(name: &Path) -> UnpackError {
    inner_path(name).map_or_else(|error| error, UnpackError::SpecialFile)
}

/// Returns the path of an entry without `.`. Fails if it is absolute, contains `..` or cannot be that of a file.
pub(super) fn inner_path(name: &Path) -> Result<PathBuf, UnpackError> {
    let bytes = name.as_os_str().as_bytes();
    if bytes.len() >= MAX_PATH || bytes.contains(&0) {
        return Err(UnpackError::of_name(name));
    }
    let mut path = PathBuf::new();
    for part in name.components() {
        match part {
            Component::Normal(part) => path.push(part),
            Component::CurDir => {}
            _ => return Err(UnpackError::PathOutside(name.to_owned())),
        }
    }
    Ok(path)
}

/// Sets the exec bit for each class of users that may read the file.
fn make_executable(path: &Path) -> io::Result<()> {
    let mode = path.metadata()?.permissions().mode();
    fs_err::set_permissions(path, Permissions::from_mode(mode | (mode & 0o444) >> 2))
}
