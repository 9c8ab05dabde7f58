//! Checking that a file that rigup reads or runs is trusted: that only this user and root can have written it.
//!
//! OpenSSH and sudo have the same rule for their files. The file, and every folder on the path to it, has to belong to
//! this user or to root, because anyone who can write to such a folder can replace the file. Other users must not be
//! able to write to them, and neither must a group, unless it is private: group 0, or this user's own primary group
//! without other members, which many systems give to each user. A folder with the sticky bit, such as `/tmp`, may be on
//! the path, because only the owner of a file in it can replace that file.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, ErrorKind::NotADirectory, ErrorKind::NotFound, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use nix::fcntl::OFlag;
use nix::unistd::{Gid, Group, geteuid};

use crate::shell;
use untrusted::{ALL_SHARE_IT, IF_ALONE, IF_OWNER, Remedy, is_shared};
use users::{is_unknown, is_user_private_group, user};

mod untrusted;
pub(crate) mod users;

pub use untrusted::{Circumstances, TRUST_VARIABLE, Untrusted};

/// The users that rigup trusts, and the folders that the user has declared trusted.
#[derive(Debug, Clone, Default)]
pub struct Trust {
    /// The uids of the trusted users besides root.
    users: Vec<u32>,
    exceptions: Vec<Exception>,
    circumstances: Arc<Circumstances>,
}

/// A folder that is trusted with everything in it, regardless of its permissions.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Exception {
    folder: PathBuf,
    /// The flag or file that declares it trusted, for messages: `--trust-dir`.
    source: String,
}

impl Trust {
    /// Returns the trust in the user that this process runs as and, if that is root, in the user who called sudo.
    pub fn new(sudo_user: Option<u32>) -> Self {
        let this_user = geteuid();
        let sudo_user = sudo_user.filter(|_| this_user.is_root());
        let users = std::iter::once(this_user.as_raw()).chain(sudo_user).filter(|uid| !is_unknown(*uid));
        Self { users: users.collect(), ..Self::default() }
    }

    /// Sets what the advice depends on.
    pub fn set_circumstances(&mut self, circumstances: Circumstances) {
        self.circumstances = Arc::new(circumstances);
    }

    /// Returns the advice about a folder of another user in a CI job, or `None` elsewhere.
    pub(crate) fn ci_advice(&self, folder: &Path) -> Option<String> {
        let declaration = || format!("{IF_OWNER}, {}", self.circumstances.declaration(folder, folder));
        self.circumstances.is_ci.then(declaration)
    }

    /// Adds a folder that `source`, a flag or a file, declares trusted.
    pub fn add_exception(&mut self, folder: PathBuf, source: impl Into<String>) {
        self.exceptions.push(Exception { folder, source: source.into() });
    }

    /// Returns the folders that the user has declared trusted.
    pub fn exceptions(&self) -> impl Iterator<Item = &Path> {
        self.exceptions.iter().map(|exception| exception.folder.as_path())
    }

    /// Checks a file or folder and the path to it. A missing file is trusted. Returns a note if the file is trusted
    /// only because the user declared it trusted.
    pub fn check(&self, path: &Path) -> Result<Option<String>, Untrusted> {
        let mut inspection = Inspection::new(self);
        let checked = inspection.resolve(path).and_then(|_| {
            path.metadata().map_or(Ok(()), |metadata| inspection.check_target(path, &metadata))
        });
        match checked {
            Err(untrusted) if !inspection.is_excepted(path, &untrusted) => Err(untrusted),
            _ => Ok(inspection.notes().into_iter().next()),
        }
    }

    /// Reads a file that has to be trusted, or returns `None` if it does not exist. Fails if it has more than `limit`
    /// bytes, because it could be endless.
    pub(crate) fn read(&self, path: &Path, limit: u64) -> Result<Option<TrustedFile>, TrustedReadError> {
        let mut inspection = Inspection::new(self);
        let Some(bytes) = inspection.read(path, limit)? else { return Ok(None) };
        Ok(Some(TrustedFile { bytes, note: inspection.notes().into_iter().next() }))
    }
}

/// Opens a file of any kind without blocking.
fn open(path: &Path, flags: OFlag) -> io::Result<(File, Metadata)> {
    let flags = OFlag::O_NONBLOCK | OFlag::O_NOCTTY | flags;
    let file = OpenOptions::new().read(true).custom_flags(flags.bits()).open(path)?;
    let metadata = file.metadata()?;
    Ok((file, metadata))
}

/// The content of a trusted file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TrustedFile {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// A note, if the file is trusted only because the user declared it trusted.
    pub note: Option<String>,
}

/// An error that prevents a trusted file from being read.
#[derive(Debug, thiserror::Error)]
pub enum TrustedReadError {
    /// Others may have written it.
    #[error(transparent)]
    Untrusted(#[from] Untrusted),
    /// It cannot be opened or read.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It is a folder, a pipe or a device.
    #[error("not a regular file; replace or remove it")]
    NotAFile,
    /// It is larger than this limit, in bytes.
    #[error("it is larger than {0} bytes, the limit for such a file")]
    TooLarge(u64),
}

/// The way in which a file or folder is checked.
#[derive(Debug, Clone, Copy)]
enum Subject<'a> {
    /// By its path, as a part of a longer path.
    Ancestor,
    /// By its path, as the file or folder to check.
    Target,
    /// By its open descriptor, regardless of its path.
    Open(&'a File),
}

/// A check of many files that checks each folder only once, even if it is on several of their paths.
#[derive(Debug)]
pub(crate) struct Inspection<'a> {
    trust: &'a Trust,
    /// The folders that passed the check.
    passed: HashSet<PathBuf>,
    groups: HashMap<u32, bool>,
    /// The exceptions that were needed, each with the first problem that it was needed for.
    used: Vec<(&'a Exception, String)>,
}

/// The maximum number of links on one path, as in the Linux kernel.
const MAX_LINKS: usize = 40;

impl<'a> Inspection<'a> {
    /// Begins a check.
    pub(crate) fn new(trust: &'a Trust) -> Self {
        Self { trust, passed: HashSet::new(), groups: HashMap::new(), used: Vec::new() }
    }

    /// Reads a file that has to be trusted, or returns `None` if it does not exist. Fails if it has more than `limit`
    /// bytes, because it could be endless.
    pub(crate) fn read(&mut self, path: &Path, limit: u64) -> Result<Option<Vec<u8>>, TrustedReadError> {
        let Some(file) = self.open(path)? else { return Ok(None) };
        let mut bytes = Vec::new();
        file.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > limit { Err(TrustedReadError::TooLarge(limit)) } else { Ok(Some(bytes)) }
    }

    /// Opens a file that has to be trusted, or returns `None` if it does not exist. Checks the path first and then the
    /// open file, so that the file that is read is the one that was checked. Fails if the file is not regular, because
    /// reading it could block.
    pub(crate) fn open(&mut self, path: &Path) -> Result<Option<File>, TrustedReadError> {
        let opened = match self.resolve(path) {
            Ok(None) => return Ok(None),
            // The path has been checked; a link that was put there since is not followed.
            Ok(Some(real)) => open(&real, OFlag::O_NOFOLLOW),
            Err(untrusted) if self.is_excepted(path, &untrusted) => open(path, OFlag::empty()),
            Err(untrusted) => return Err(untrusted.into()),
        };
        let (file, metadata) = match opened {
            Err(error) if error.kind() == NotFound => return Ok(None),
            opened => opened?,
        };
        if !metadata.is_file() {
            return Err(TrustedReadError::NotAFile);
        }
        match self.check(path, &metadata, Subject::Open(&file)) {
            Err(untrusted) if !self.is_excepted(path, &untrusted) => Err(untrusted.into()),
            _ => Ok(Some(file)),
        }
    }

    /// Checks every existing folder and link on a path, and on the paths of the links' targets. Returns the path
    /// without links, or `None` if it does not exist.
    pub(crate) fn resolve(&mut self, path: &Path) -> Result<Option<PathBuf>, Untrusted> {
        self.walk(path).map_err(|untrusted| untrusted.leading_to(path))
    }

    fn walk(&mut self, path: &Path) -> Result<Option<PathBuf>, Untrusted> {
        let mut reached = PathBuf::from("/");
        let mut rest = path.to_owned();
        let mut links = 0;
        loop {
            if !self.passed.contains(&reached) {
                let metadata = match fs::symlink_metadata(&reached) {
                    Ok(metadata) => metadata,
                    // A missing file cannot do harm; opening it reports that it is missing.
                    Err(error) if matches!(error.kind(), NotFound | NotADirectory) => return Ok(None),
                    Err(error) => return Err(unreadable(&reached, &error, &self.trust.circumstances)),
                };
                let is_file = !metadata.is_dir() && !metadata.is_symlink();
                if is_file && !rest.as_os_str().is_empty() {
                    return Ok(None);
                }
                self.check(&reached, &metadata, Subject::Ancestor)?;
                if metadata.is_dir() {
                    self.passed.insert(reached.clone());
                } else if metadata.is_symlink() {
                    let target = fs::read_link(&reached)
                        .map_err(|error| unreadable(&reached, &error, &self.trust.circumstances))?;
                    links += 1;
                    if links > MAX_LINKS {
                        let cause =
                            format!("it is one of more than {MAX_LINKS} links that lead to each other");
                        let fix = format!("correct the link `{}`", shell::quote_path(&reached));
                        return Err(Untrusted::new(
                            &reached,
                            cause,
                            Remedy::Other(fix),
                            &self.trust.circumstances,
                        ));
                    }
                    reached.pop();
                    rest = target.join(rest);
                }
            }
            let mut parts = rest.components();
            match parts.next() {
                None => return Ok(Some(reached)),
                Some(Component::ParentDir) => drop(reached.pop()),
                Some(Component::CurDir) => {}
                Some(part) => reached.push(part),
            }
            rest = PathBuf::from(parts.as_path());
        }
    }

    /// Checks a file or folder itself; for a link, `metadata` is that of its target. The sticky bit is ignored, because
    /// a file that others add to a plugin's folder becomes a part of the plugin.
    pub(crate) fn check_target(&mut self, path: &Path, metadata: &Metadata) -> Result<(), Untrusted> {
        self.check(path, metadata, Subject::Target)
    }

    fn check(&mut self, path: &Path, metadata: &Metadata, subject: Subject<'_>) -> Result<(), Untrusted> {
        const STICKY: u32 = 0o1000;
        let mode = metadata.mode() & 0o7777;
        let owner = metadata.uid();
        let may_change = geteuid().is_root() || geteuid().as_raw() == owner;
        let command = |program, change| {
            if is_shared(path) {
                Remedy::Other(ALL_SHARE_IT.to_owned())
            } else if may_change {
                Remedy::Command(program, change)
            } else {
                Remedy::Declare(IF_ALONE)
            }
        };
        let (cause, remedy) = if owner != 0 && !self.trust.users.contains(&owner) {
            if is_unknown(owner) {
                let cause =
                    format!("it belongs to a user that this user namespace does not map (uid {owner})");
                (cause, Remedy::Declare(IF_ALONE))
            } else {
                let expected = if geteuid().is_root() {
                    "not to root".to_owned()
                } else {
                    format!("neither to {} nor to root", user(geteuid().as_raw()))
                };
                (format!("it belongs to {}, {expected}", user(owner)), Remedy::Declare(IF_OWNER))
            }
        } else if metadata.is_symlink()
            || matches!(subject, Subject::Ancestor) && metadata.is_dir() && mode & STICKY != 0
        {
            return Ok(());
        } else if mode & 0o002 != 0 {
            let is_group_private = mode & 0o020 == 0 || self.is_private(metadata.gid());
            let change = if is_group_private { "o-w" } else { "go-w" };
            (format!("others can write to it (mode {mode:04o})"), command("chmod", change))
        } else if mode & 0o020 != 0 && !self.is_private(metadata.gid()) {
            let gid = metadata.gid();
            let group = Group::from_gid(Gid::from_raw(gid)).ok().flatten();
            let name = group.map_or_else(|| gid.to_string(), |group| group.name);
            (format!("the group {name} can write to it (mode {mode:04o})"), command("chmod", "g-w"))
        } else if mode & 0o020 != 0 && self.has_other_writers(path, subject) {
            ("its access control list lets others write to it".to_owned(), command("setfacl", "-b"))
        } else {
            return Ok(());
        };
        Err(Untrusted::new(path, cause, remedy, &self.trust.circumstances))
    }

    /// Returns whether a group has no members except trusted users.
    fn is_private(&mut self, gid: u32) -> bool {
        let users = &self.trust.users;
        *self
            .groups
            .entry(gid)
            .or_insert_with(|| gid == 0 || users.iter().any(|uid| is_user_private_group(*uid, gid, users)))
    }

    /// Returns whether an access control list lets others write. If a file has a list, the group bits of its mode are
    /// the mask of the list, so the list matters only if they allow writing.
    fn has_other_writers(&mut self, path: &Path, subject: Subject<'_>) -> bool {
        const SIZE: usize = 4096;
        let mut list = [0; SIZE];
        let read = match subject {
            Subject::Open(file) => rustix::fs::fgetxattr(file, ACL, &mut list[..]),
            Subject::Ancestor | Subject::Target => rustix::fs::getxattr(path, ACL, &mut list[..]),
        };
        match read {
            Ok(size) => acl_writers(&list[..size]).any(|writer| match writer {
                Writer::User(uid) => uid != 0 && !self.trust.users.contains(&uid),
                Writer::Group(gid) => !self.is_private(gid),
            }),
            // A list of more than 500 entries is not read, and not trusted.
            Err(error) => error == rustix::io::Errno::RANGE,
        }
    }

    /// Returns whether the user has declared a folder, or one that contains it, trusted. Records the exception for
    /// [`Self::notes`].
    pub(crate) fn is_excepted(&mut self, folder: &Path, untrusted: &Untrusted) -> bool {
        // A file that does not exist is covered like its folder.
        let real = folder.canonicalize().or_else(|_| folder.parent().unwrap_or(folder).canonicalize()).ok();
        let covers = |exception: &&Exception| {
            let both = || real.as_ref().zip(exception.folder.canonicalize().ok());
            folder.starts_with(&exception.folder)
                || both().is_some_and(|(real, exception)| real.starts_with(exception))
        };
        let Some(exception) = self.trust.exceptions.iter().find(covers) else { return false };
        if !self.used.iter().any(|(known, _)| *known == exception) {
            self.used.push((exception, format!("{}: {}", untrusted.path.display(), untrusted.reason())));
        }
        true
    }

    /// Returns a note for each exception that was needed.
    pub(crate) fn notes(self) -> Vec<String> {
        let note = |(Exception { folder, source }, problem): (&Exception, String)| {
            format!("{} is trusted because of {source}, although {problem}", folder.display())
        };
        self.used.into_iter().map(note).collect()
    }
}

/// The attribute with the access control list of a file on Linux: four bytes of version, then entries of little-endian
/// words.
const ACL: &str = "system.posix_acl_access";

/// A user or group that an access control list lets write.
#[derive(Debug, PartialEq, Eq)]
enum Writer {
    User(u32),
    Group(u32),
}

/// Returns the users and groups that an access control list lets write. Its entries have eight bytes: tag, permissions,
/// id.
fn acl_writers(list: &[u8]) -> impl Iterator<Item = Writer> {
    const VERSION: usize = 4;
    const USER: u16 = 0x02;
    const GROUP: u16 = 0x08;
    const WRITE: u16 = 0o2;
    list.get(VERSION..).unwrap_or_default().as_chunks::<8>().0.iter().filter_map(|entry| {
        let [tag, tag_high, mode, mode_high, id @ ..] = *entry;
        let id = u32::from_le_bytes(id);
        let may_write = u16::from_le_bytes([mode, mode_high]) & WRITE != 0;
        match u16::from_le_bytes([tag, tag_high]) {
            USER if may_write => Some(Writer::User(id)),
            GROUP if may_write => Some(Writer::Group(id)),
            _ => None,
        }
    })
}

fn unreadable(path: &Path, error: &io::Error, circumstances: &Arc<Circumstances>) -> Untrusted {
    let cause = format!("cannot read its owner and permissions: {error}");
    Untrusted::new(path, cause, Remedy::Other(format!("check `{}`", shell::quote_path(path))), circumstances)
}

#[cfg(test)]
mod tests;
