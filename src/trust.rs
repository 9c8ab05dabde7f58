//! Who may have written what rigup is about to run, to read settings from, or to keep its records in.
//!
//! That is this user and root, and nobody else: the rule that OpenSSH and sudo have for their files. A file or folder
//! belongs to one of the two, and so does every folder on the way to it, since whoever may write one of those can put
//! something else in its place. Others may not write there, nor may a group, unless it is a private one: group 0, or this
//! user's own primary group that nobody else is in, as many systems give one to every user. A folder with the sticky bit,
//! such as `/tmp`, may lie on the way, for there nobody can touch what belongs to somebody else.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, ErrorKind::NotADirectory, ErrorKind::NotFound, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Component, Path, PathBuf};

use nix::fcntl::OFlag;
use nix::unistd::{Gid, Group, geteuid};

use crate::shell;
use people::{is_own_group, is_unknown, user};

mod people;

/// Whom this run trusts, and which folders the user vouches for.
#[derive(Debug, Clone, Default)]
pub struct Trust {
    /// The users besides root.
    people: Vec<u32>,
    exceptions: Vec<Exception>,
}

/// A folder that is trusted with all that is in it, whoever may write there.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Exception {
    folder: PathBuf,
    /// Who says so, as it is told: `--trust-dir`.
    by: String,
}

impl Trust {
    /// Trusts the user that this process runs as. `behind_sudo` is the user who called sudo; to root he is as good.
    pub fn new(behind_sudo: Option<u32>) -> Self {
        let me = geteuid();
        let behind_sudo = behind_sudo.filter(|_| me.is_root());
        let people = std::iter::once(me.as_raw()).chain(behind_sudo).filter(|it| !is_unknown(*it));
        Self { people: people.collect(), exceptions: Vec::new() }
    }

    /// Takes the user's word, given `by` this flag or file, for a folder.
    pub fn vouch(&mut self, folder: PathBuf, by: impl Into<String>) {
        self.exceptions.push(Exception { folder, by: by.into() });
    }

    /// The folders that the user vouches for.
    pub fn exceptions(&self) -> impl Iterator<Item = &Path> {
        self.exceptions.iter().map(|it| it.folder.as_path())
    }

    /// Looks at one file or folder and at the way to it; `Ok` also where it is not there. Where the user has to vouch for it,
    /// the text says so.
    pub fn check(&self, path: &Path) -> Result<Option<String>, Untrusted> {
        let mut inspection = Inspection::new(self);
        let checked = inspection.way(path).and_then(|()| match path.metadata() {
            Ok(metadata) => inspection.itself(path, &metadata),
            Err(_) => Ok(()),
        });
        match checked {
            Err(distrust) if !inspection.excuses(path, &distrust) => Err(distrust),
            _ => Ok(inspection.notes().into_iter().next()),
        }
    }

    /// Reads a file that has to be trusted; none where there is no such file. One that has more than `limit` bytes is not
    /// read: it could keep rigup waiting for ever.
    pub fn read(&self, path: &Path, limit: u64) -> Result<Option<Trusted>, ReadError> {
        let mut inspection = Inspection::new(self);
        let Some(file) = inspection.open(path)? else { return Ok(None) };
        let mut bytes = Vec::new();
        file.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > limit {
            return Err(ReadError::TooLarge(limit));
        }
        Ok(Some(Trusted { bytes, note: inspection.notes().into_iter().next() }))
    }
}

/// Opens a file, whatever it is, without waiting.
fn open(path: &Path, more: OFlag) -> io::Result<(File, Metadata)> {
    let flags = OFlag::O_NONBLOCK | OFlag::O_NOCTTY | more;
    let file = OpenOptions::new().read(true).custom_flags(flags.bits()).open(path)?;
    let metadata = file.metadata()?;
    Ok((file, metadata))
}

/// What is in a file that is trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trusted {
    /// All of it.
    pub bytes: Vec<u8>,
    /// Where the user has to vouch for it, what a person should know.
    pub note: Option<String>,
}

/// Why a file that has to be trusted is not read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// Somebody else may have written it.
    #[error(transparent)]
    Untrusted(#[from] Untrusted),
    /// It cannot be opened or read.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// A folder, a pipe, a device.
    #[error("it is no regular file; put one in its place, or take it away")]
    NotAFile,
    /// More than so many bytes.
    #[error("it has more than {0} bytes, which no such file needs")]
    TooLarge(u64),
}

/// How a file or folder is looked at.
#[derive(Debug, Clone, Copy)]
enum Seen<'a> {
    /// By its name, on the way to something.
    OnTheWay,
    /// By its name, as what was asked about.
    Itself,
    /// Open: whatever has its name by now.
    Open(&'a File),
}

/// A file or folder that somebody else may have written, or may have put there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Untrusted {
    /// What is not to be trusted.
    pub path: PathBuf,
    why: Why,
    /// What was asked about, where that is something that `path` lies on the way to.
    leads_to: Option<PathBuf>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Why {
    Owner(u32),
    /// The uid that stands for everybody whom the user namespace does not know.
    Unknown(u32),
    /// The bits of its mode.
    Others(u32),
    /// The bits of its mode, and the group.
    Group(u32, u32),
    /// An access control list lets them write.
    Listed,
    Unreadable(String),
}

impl Untrusted {
    /// What is wrong.
    pub fn reason(&self) -> String {
        let reason = match &self.why {
            Why::Owner(owner) if geteuid().is_root() => {
                format!("it belongs to {}, not to root", user(*owner))
            }
            Why::Owner(owner) => {
                let me = user(geteuid().as_raw());
                format!("it belongs to {}, neither to {me} nor to root", user(*owner))
            }
            Why::Unknown(uid) => {
                format!("it belongs to a user that this user namespace does not know (uid {uid})")
            }
            Why::Others(mode) => format!("others may write it (mode {mode:04o})"),
            Why::Group(mode, gid) => {
                let group = Group::from_gid(Gid::from_raw(*gid)).ok().flatten();
                let name = group.map_or_else(|| gid.to_string(), |it| it.name);
                format!("the group {name} may write it (mode {mode:04o})")
            }
            Why::Listed => "its access control list lets somebody else write it".to_owned(),
            Why::Unreadable(error) => format!("who may write it cannot be told: {error}"),
        };
        match &self.leads_to {
            Some(path) => format!("{reason}, and with it what is found at {}", path.display()),
            None => reason,
        }
    }

    /// What was asked about.
    fn asked(&self) -> &Path {
        self.leads_to.as_deref().unwrap_or(&self.path)
    }

    /// What is wrong, and how to set it right or to trust `folder` all the same.
    pub fn advice(&self, folder: &Path) -> String {
        let (path, folder_quoted) = (quoted(&self.path), quoted(folder));
        let fix = match &self.why {
            Why::Owner(_) => format!("chown -h {} {path}", geteuid()),
            // Nothing can be set right from in here, and a rigup.toml is most often behind the same `/`.
            Why::Unknown(_) => {
                return format!(
                    "{}: who that is cannot be told; if you know that nobody else may write it, trust it, \
                     with --trust-dir {folder_quoted} or RIGUP_TRUST_DIR={folder_quoted}",
                    self.reason()
                );
            }
            Why::Others(_) => format!("chmod o-w {path}"),
            Why::Group(..) => format!("chmod g-w {path}"),
            Why::Listed => format!("setfacl -b {path}"),
            Why::Unreadable(_) => format!("look at {path}"),
        };
        // No settings file can vouch for one.
        let other_way = if self.asked().ends_with("rigup.toml") {
            format!("RIGUP_TRUST_DIR={folder_quoted}")
        } else {
            format!("trust_dirs = [{:?}] in your own rigup.toml", folder.display().to_string())
        };
        format!(
            "{}: {fix}; or trust it all the same, with --trust-dir {folder_quoted} or {other_way}",
            self.reason()
        )
    }
}

impl fmt::Display for Untrusted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let asked = self.asked();
        let is_file = asked.metadata().is_ok_and(|it| !it.is_dir());
        let folder = asked.parent().filter(|_| is_file).unwrap_or(asked);
        write!(f, "{}: {}", self.path.display(), self.advice(folder))
    }
}

impl std::error::Error for Untrusted {}

/// One look at many files: what lies on the way to several of them is looked at once.
#[derive(Debug)]
pub struct Inspection<'a> {
    trust: &'a Trust,
    /// Folders that others cannot replace anything in.
    passed: HashSet<PathBuf>,
    groups: HashMap<u32, bool>,
    /// The exceptions that were needed, and what each was needed for first.
    used: Vec<(&'a Exception, String)>,
}

/// So many links may lie on one way, as in the kernel.
const MAX_LINKS: u32 = 40;

impl<'a> Inspection<'a> {
    /// Nothing was looked at so far.
    pub fn new(trust: &'a Trust) -> Self {
        Self { trust, passed: HashSet::new(), groups: HashMap::new(), used: Vec::new() }
    }

    /// Opens a file that has to be trusted; none where there is no such file. What is judged is the open file that bytes are
    /// read from, behind a way that was looked at before, so that nobody can show one file and have another one read. What
    /// is no regular file is not opened for good: it could keep rigup waiting for ever.
    pub fn open(&mut self, path: &Path) -> Result<Option<File>, ReadError> {
        let opened = match self.resolve(path) {
            Ok(None) => return Ok(None),
            // The way is judged; a link that came since is not followed.
            Ok(Some(real)) => open(&real, OFlag::O_NOFOLLOW),
            Err(distrust) if self.excuses(path, &distrust) => open(path, OFlag::empty()),
            Err(distrust) => return Err(distrust.into()),
        };
        let (file, metadata) = match opened {
            Err(error) if error.kind() == NotFound => return Ok(None),
            opened => opened?,
        };
        if !metadata.is_file() {
            return Err(ReadError::NotAFile);
        }
        match self.judge(path, &metadata, Seen::Open(&file)) {
            Err(distrust) if !self.excuses(path, &distrust) => Err(distrust.into()),
            _ => Ok(Some(file)),
        }
    }

    /// Looks at every folder and link on the way to a file or folder, itself included, as far as it is there. A link's
    /// target is reached on a way of its own, which counts as well.
    pub fn way(&mut self, path: &Path) -> Result<(), Untrusted> {
        self.resolve(path).map(drop)
    }

    /// The same path without links, once all that lies on it was looked at; none where it is not there.
    fn resolve(&mut self, path: &Path) -> Result<Option<PathBuf>, Untrusted> {
        self.walk(path, MAX_LINKS).map_err(|distrust| {
            let leads_to = (distrust.path != path).then(|| path.to_owned());
            Untrusted { leads_to, ..distrust }
        })
    }

    fn walk(&mut self, path: &Path, links: u32) -> Result<Option<PathBuf>, Untrusted> {
        let mut reached = PathBuf::from("/");
        let mut parts = path.components();
        loop {
            if !self.passed.contains(&reached) {
                match fs::symlink_metadata(&reached) {
                    Ok(metadata) if metadata.is_symlink() => {
                        self.judge(&reached, &metadata, Seen::OnTheWay)?;
                        match self.target(&reached, links)? {
                            Some(target) => reached = target,
                            None => return Ok(None),
                        }
                        continue;
                    }
                    Ok(metadata) => {
                        self.judge(&reached, &metadata, Seen::OnTheWay)?;
                        if metadata.is_dir() {
                            self.passed.insert(reached.clone());
                        }
                    }
                    // What is not there is no danger; whoever opens it says so.
                    Err(error) if matches!(error.kind(), NotFound | NotADirectory) => return Ok(None),
                    Err(error) => return Err(unreadable(&reached, &error)),
                }
            }
            match parts.next() {
                None => return Ok(Some(reached)),
                Some(Component::ParentDir) => drop(reached.pop()),
                Some(Component::Normal(name)) => reached.push(name),
                Some(Component::RootDir | Component::CurDir | Component::Prefix(_)) => {}
            }
        }
    }

    /// Where a link leads, without further links; none where that is not there.
    fn target(&mut self, link: &Path, links: u32) -> Result<Option<PathBuf>, Untrusted> {
        let target = fs::read_link(link).map_err(|error| unreadable(link, &error))?;
        let Some(links) = links.checked_sub(1) else {
            return Err(unreadable(link, &io::Error::other("too many links")));
        };
        self.walk(&link.parent().unwrap_or(Path::new("/")).join(target), links)
    }

    /// Looks at a file or folder itself; `metadata` is that of what a link leads to. The sticky bit excuses nothing here:
    /// what others add to a plugin's folder is a part of the plugin.
    pub fn itself(&mut self, path: &Path, metadata: &Metadata) -> Result<(), Untrusted> {
        self.judge(path, metadata, Seen::Itself)
    }

    fn judge(&mut self, path: &Path, metadata: &Metadata, seen: Seen<'_>) -> Result<(), Untrusted> {
        const STICKY: u32 = 0o1000;
        let mode = metadata.mode() & 0o7777;
        let owner = metadata.uid();
        let why = if owner != 0 && !self.trust.people.contains(&owner) {
            if is_unknown(owner) { Why::Unknown(owner) } else { Why::Owner(owner) }
        } else if metadata.is_symlink()
            || matches!(seen, Seen::OnTheWay) && metadata.is_dir() && mode & STICKY != 0
        {
            return Ok(());
        } else if mode & 0o002 != 0 {
            Why::Others(mode)
        } else if mode & 0o020 != 0 && !self.is_private(metadata.gid()) {
            Why::Group(mode, metadata.gid())
        } else if mode & 0o020 != 0 && self.is_listed(path, seen) {
            Why::Listed
        } else {
            return Ok(());
        };
        Err(Untrusted { path: path.to_owned(), why, leads_to: None })
    }

    /// Whether nobody is in a group but those who are trusted.
    fn is_private(&mut self, gid: u32) -> bool {
        let people = &self.trust.people;
        *self
            .groups
            .entry(gid)
            .or_insert_with(|| gid == 0 || people.iter().any(|it| is_own_group(*it, gid, people)))
    }

    /// Whether an access control list lets somebody else write. Where there is one, the bits of the group are the most that
    /// anybody in it may do, so that it need not be read where they do not say write.
    fn is_listed(&mut self, path: &Path, seen: Seen<'_>) -> bool {
        const SIZE: usize = 4096;
        let mut list = [0; SIZE];
        let read = match seen {
            Seen::Open(file) => rustix::fs::fgetxattr(file, ACL, &mut list[..]),
            Seen::OnTheWay | Seen::Itself => rustix::fs::getxattr(path, ACL, &mut list[..]),
        };
        match read {
            Ok(size) => acl_writers(&list[..size]).any(|writer| match writer {
                Writer::User(uid) => uid != 0 && !self.trust.people.contains(&uid),
                Writer::Group(gid) => !self.is_private(gid),
            }),
            // A list of more than 500 entries is not read.
            Err(error) => error == rustix::io::Errno::RANGE,
        }
    }

    /// Whether the user vouches for a folder, or for one that it lies in, which is noted.
    pub fn excuses(&mut self, folder: &Path, distrust: &Untrusted) -> bool {
        let real = folder.canonicalize().ok();
        let covers = |it: &&Exception| {
            let is_in = |below: &Path| real.as_ref().is_some_and(|real| real.starts_with(below));
            folder.starts_with(&it.folder) || it.folder.canonicalize().is_ok_and(|it| is_in(&it))
        };
        let Some(exception) = self.trust.exceptions.iter().find(covers) else { return false };
        if !self.used.iter().any(|(known, _)| *known == exception) {
            self.used.push((exception, format!("{}: {}", distrust.path.display(), distrust.reason())));
        }
        true
    }

    /// What a person should know of the exceptions that were needed: a line for each.
    pub fn notes(self) -> Vec<String> {
        let note = |(exception, fault): (&Exception, String)| {
            format!("{} is trusted because of {}, though {fault}", exception.folder.display(), exception.by)
        };
        self.used.into_iter().map(note).collect()
    }
}

/// Where Linux keeps the access control list of a file, as pairs of little-endian words behind four bytes of version.
const ACL: &str = "system.posix_acl_access";

/// Somebody whom an access control list lets write.
#[derive(Debug, PartialEq, Eq)]
enum Writer {
    User(u32),
    Group(u32),
}

/// Those whom an access control list names and lets write: entries of eight bytes, tag, permissions and id.
fn acl_writers(list: &[u8]) -> impl Iterator<Item = Writer> {
    const VERSION: usize = 4;
    const USER: u16 = 0x02;
    const GROUP: u16 = 0x08;
    const WRITE: u16 = 0o2;
    list.get(VERSION..).unwrap_or_default().as_chunks::<8>().0.iter().filter_map(|entry| {
        let [tag, tag_high, may, may_high, id @ ..] = *entry;
        let id = u32::from_le_bytes(id);
        let may_write = u16::from_le_bytes([may, may_high]) & WRITE != 0;
        match u16::from_le_bytes([tag, tag_high]) {
            USER if may_write => Some(Writer::User(id)),
            GROUP if may_write => Some(Writer::Group(id)),
            _ => None,
        }
    })
}

fn unreadable(path: &Path, error: &io::Error) -> Untrusted {
    Untrusted { path: path.to_owned(), why: Why::Unreadable(error.to_string()), leads_to: None }
}

fn quoted(path: &Path) -> String {
    shell::quote_text(&path.to_string_lossy())
}

#[cfg(test)]
mod tests;
