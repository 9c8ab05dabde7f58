//! The layout of LIB_DIR, which several data dirs and users may share:
//!
//! | path | content |
//! | --- | --- |
//! | `bin` | the links, unless the settings name another LIB_BIN_DIR |
//! | `<provider>/<name>`, `<provider>/packages/<name>` | a prefix, with a `+` if its name is `packages` or ends with `.part` |
//! | `github/<owner>/<repository>/<tag>-<digest>` | a prefix with a release asset, which several binaries may share |
//! | `<prefix>/.rigup-asset` | the release asset that was unpacked into a prefix |
//! | `<prefix>.part` | a prefix that a hook is building |
//! | `<prefix>.part/.rigup-old` | the earlier version of a prefix that the bash provider is building in place |
//! | `.prefixes/<prefix>` | the markers of the users of a prefix |
//! | `.prefixes/<provider>/.linked-<digest>/<name>` | the same, if the folder of the provider is a link to that folder |
//! | `.links/bin/<name>` | the markers of the users of a link |
//! | `.locks` | the locks of hooks |
//! | `.cache/<uid>` | the caches of package managers of a user whose own folders cannot be used |
//! | `.rigup` | the data dir, if there is no home folder |
//!
//! The markers of the users of a link in a LIB_BIN_DIR outside LIB_DIR are in `LIB_BIN_DIR/.rigup-links/<name>`.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::fs::{File, Metadata, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Component, Path, PathBuf};

use nix::unistd::geteuid;
use rustix::fs::OFlags;

use crate::fs::atomic::{TEMPORARY, create_private};
use crate::fs::digest;
use crate::fs::dir::parent;
use crate::fs::remove::{ignore_missing, remove_files_with_prefix};
use crate::sorting::sort;

/// The name of the folder of the locks.
pub(crate) const LOCKS: &str = ".locks";

/// The folder of the markers of all prefixes.
pub(crate) const PREFIXES: &str = ".prefixes";

/// The beginning of the name of the folder of the markers of prefixes in a folder that is a link.
const LINKED: &str = ".linked-";

/// The folder below `LIB_DIR/<provider>` that contains further prefixes, as in abx-plugins.
pub(crate) const PACKAGES: &str = "packages";

/// The provider whose prefixes are those of release assets: `<owner>/<repository>/<tag>-<digest>`. What it installs into for
/// a binary alone is below its [`PACKAGES`], so that the name of a binary is never taken for an owner.
pub(crate) const RELEASES: &str = "github";

/// The end of the name of a prefix that a hook is building.
pub(crate) const PART: &str = ".part";

/// The folder, in that of a prefix that a hook is building, of the version that the next run of the hook restores.
pub(crate) const OLD: &str = ".rigup-old";

/// Returns the default LIB_BIN_DIR.
pub(crate) fn bin(lib_dir: &Path) -> PathBuf {
    lib_dir.join("bin")
}

/// Returns the folder that contains a folder for each user with the caches of package managers.
pub(crate) fn cache(lib_dir: &Path) -> PathBuf {
    lib_dir.join(".cache")
}

/// Returns the data dir of a user without a home folder.
pub(crate) fn data_dir(lib_dir: &Path) -> PathBuf {
    lib_dir.join(".rigup")
}

/// Returns the folder of the markers of a link.
pub(crate) fn link_markers(lib_dir: &Path, link: &Path) -> PathBuf {
    match link.strip_prefix(lib_dir) {
        Ok(below) => lib_dir.join(".links").join(below),
        Err(_) => outside_markers(link),
    }
}

/// Returns the folder of the markers of a link outside LIB_DIR.
fn outside_markers(link: &Path) -> PathBuf {
    parent(link).join(".rigup-links").join(link.file_name().unwrap_or_default())
}

/// Returns the paths of the links in LIB_BIN_DIR with markers, sorted.
pub(crate) fn marked_links(lib_dir: &Path, lib_bin_dir: &Path) -> Vec<PathBuf> {
    let markers = entries(parent(&link_markers(lib_dir, &lib_bin_dir.join("x")))).into_iter();
    let mut links: Vec<_> = markers.filter_map(|path| Some(lib_bin_dir.join(path.file_name()?))).collect();
    sort(&mut links);
    links
}

/// Returns whether a path is the link of any data dir, by the markers of its users.
pub(crate) fn is_marked_link(link: &Path) -> bool {
    let mut lib_dirs = link.ancestors().skip(2);
    outside_markers(link).is_dir() || lib_dirs.any(|lib_dir| link_markers(lib_dir, link).is_dir())
}

/// A prefix: a folder that a provider installs into, as its path relative to LIB_DIR, such as `pip/yt-dlp` or
/// `npm/packages/chrome`. No prefix contains another, because providers empty the prefix that they install into.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Prefix(PathBuf);

impl Prefix {
    /// Returns the prefix with this path, or `None` if no prefix can have it.
    pub(crate) fn new(path: &Path, lib_dir: &Path) -> Option<Self> {
        let prefix = Self::containing(&path.join("file"), lib_dir)?;
        (lib_dir.join(&prefix.0) == path).then_some(prefix)
    }

    /// Returns the prefix that contains a file, or `None` if it is not in one.
    pub(crate) fn containing(file: &Path, lib_dir: &Path) -> Option<Self> {
        let below: Vec<Component<'_>> = file.strip_prefix(lib_dir).ok()?.components().collect();
        let is_name = |part: &Component<'_>| matches!(part, Component::Normal(_));
        let is_at = |at: usize, name: &str| below.get(at) == Some(&Component::Normal(name.as_ref()));
        let depth = if is_at(1, PACKAGES) {
            3
        } else if is_at(0, RELEASES) {
            4
        } else {
            2
        };
        let is_prefix = below.len() > depth
            && below[..depth].iter().all(is_name)
            && !below[depth - 1].as_os_str().as_encoded_bytes().ends_with(PART.as_bytes())
            && !below[0].as_os_str().as_encoded_bytes().starts_with(b".");
        is_prefix.then(|| Self(below[..depth].iter().collect()))
    }

    /// Returns the prefix of a binary that shares it with no other.
    pub(crate) fn of_binary(provider: &str, name: &str) -> Self {
        let folder = Path::new(provider);
        let folder = if provider == RELEASES { folder.join(PACKAGES) } else { folder.to_owned() };
        Self(folder.join(&*folder_name(name)))
    }

    /// Returns the prefix that a hook is building at this path, or `None` if it is no such path.
    pub(crate) fn of_part(path: &Path, lib_dir: &Path) -> Option<Self> {
        Self::new(Path::new(path.to_str()?.strip_suffix(PART)?), lib_dir)
    }

    /// Returns all folders that exist at the path of a prefix, or of one that is being built, for the providers with a
    /// marker.
    pub(crate) fn candidates(lib_dir: &Path) -> impl Iterator<Item = PathBuf> {
        let providers = entries(&lib_dir.join(PREFIXES)).into_iter();
        providers.flat_map(|provider| of_provider(provider.file_name().unwrap_or_default(), lib_dir))
    }

    /// Returns the prefixes of a provider in whose place is something that rigup did not make.
    pub(crate) fn all_foreign(provider: &str, lib_dir: &Path) -> Vec<Self> {
        let prefixes = of_provider(provider.as_ref(), lib_dir).filter_map(|path| Self::new(&path, lib_dir));
        prefixes.filter(|prefix| prefix.foreign(lib_dir).is_some()).collect()
    }

    /// Returns the name of the provider.
    pub(crate) fn provider(&self) -> &OsStr {
        self.0.iter().next().unwrap_or_default()
    }

    /// Returns whether it is the prefix of a binary with this name that shares it with no other.
    pub(crate) fn is_named(&self, name: &str) -> bool {
        *self == Self::of_binary(self.provider().to_str().unwrap_or_default(), name)
    }

    /// Returns its path.
    pub fn path(&self, lib_dir: &Path) -> PathBuf {
        lib_dir.join(&self.0)
    }

    /// Returns the path at which a hook builds it.
    pub(crate) fn part(&self, lib_dir: &Path) -> PathBuf {
        let mut path = self.path(lib_dir).into_os_string();
        path.push(PART);
        path.into()
    }

    /// Returns the folder of its markers. If a folder around the prefix is a link, they are about the folder that it leads
    /// to now: what another folder contains that took its place was not made by rigup.
    pub(crate) fn markers(&self, lib_dir: &Path) -> PathBuf {
        let markers = lib_dir.join(PREFIXES).join(&self.0);
        if !self.folders(lib_dir).any(|folder| folder.is_symlink()) {
            return markers;
        }
        let Ok(folder) = fs_err::canonicalize(parent(&self.path(lib_dir))) else { return markers };
        let digest = digest::short(folder.as_os_str().as_encoded_bytes());
        markers.with_file_name(format!("{LINKED}{digest}")).join(self.0.file_name().unwrap_or_default())
    }

    /// Returns the folders between LIB_DIR and the prefix.
    fn folders(&self, lib_dir: &Path) -> impl Iterator<Item = PathBuf> {
        let folders = parent(&self.0).ancestors().filter(|folder| !folder.as_os_str().is_empty());
        folders.map(|folder| lib_dir.join(folder))
    }

    /// Removes the empty folders around a release that does not exist any more: those of the repository and its owner.
    pub(crate) fn remove_empty_folders(&self, lib_dir: &Path) {
        for folder in self.folders(lib_dir).filter(|folder| *folder != lib_dir.join(self.provider())) {
            // This fails if the folder is not empty.
            let _ = fs_err::remove_dir(folder);
        }
    }

    /// Returns whether rigup made the prefix, or what an unfinished install left beside it. A copy of LIB_DIR contains the
    /// folder that shows this, too.
    pub(crate) fn has_evidence(&self, lib_dir: &Path) -> bool {
        self.markers(lib_dir).is_dir()
    }

    /// Returns whether there is something in its place, or in that of the one that is being built.
    pub(crate) fn exists(&self, lib_dir: &Path) -> bool {
        [self.path(lib_dir), self.part(lib_dir)].iter().any(|path| path.symlink_metadata().is_ok())
    }

    /// Creates the evidence that rigup made the prefix. Call this only if nothing foreign is in its place.
    pub(crate) fn create_evidence(&self, lib_dir: &Path) -> io::Result<()> {
        make_shared_dir(lib_dir, &self.markers(lib_dir))
    }

    /// Returns the path of what is in the place of the prefix, or of the one that is being built, if rigup did not make
    /// it. An empty folder does not count.
    pub(crate) fn foreign(&self, lib_dir: &Path) -> Option<PathBuf> {
        let paths = || [self.path(lib_dir), self.part(lib_dir)];
        if self.has_evidence(lib_dir) { None } else { paths().into_iter().find(|path| is_filled(path)) }
    }

    /// Returns an error if a folder between LIB_DIR and the prefix is the link of another user, who could make this one
    /// write elsewhere.
    pub(crate) fn check_folders(&self, lib_dir: &Path) -> io::Result<()> {
        self.folders(lib_dir).try_for_each(|folder| ignore_missing(check_owner_of_link(lib_dir, &folder)))
    }

    /// Returns the name of its lock, which hooks hold while they install into the prefix. A hook may hold the lock with
    /// the name of the provider instead.
    pub(crate) fn lock_name(&self) -> String {
        let name = self.0.file_name().unwrap_or_default();
        format!("{}/{}", self.provider().to_string_lossy(), name.to_string_lossy())
    }
}

/// Returns the name of the folder for something with this name, which is one that rigup uses for nothing else. No two names
/// have the same.
pub(crate) fn folder_name(name: &str) -> Cow<'_, str> {
    const MARK: char = '+';
    let unmarked = name.trim_end_matches(MARK);
    if unmarked == PACKAGES || unmarked.ends_with(PART) {
        format!("{name}{MARK}").into()
    } else {
        name.into()
    }
}

/// Returns whether a path is a file, a link, or a folder that is not known to be empty.
pub(crate) fn is_filled(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|found| {
        let is_empty = || fs_err::read_dir(path).is_ok_and(|mut entries| entries.next().is_none());
        !found.is_dir() || !is_empty()
    })
}

/// Returns the paths in the folder of a provider that may be those of prefixes.
fn of_provider(provider: &OsStr, lib_dir: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    let folder = lib_dir.join(provider);
    let packages = folder.join(PACKAGES);
    let depth = if provider == RELEASES { 2 } else { 0 };
    let folders = (0..depth)
        .fold(vec![folder], |folders, _| folders.iter().flat_map(|folder| entries(folder)).collect());
    [packages].into_iter().chain(folders).flat_map(|folder| entries(&folder))
}

/// Returns the paths in a folder, or none if it cannot be read.
pub(crate) fn entries(path: &Path) -> Vec<PathBuf> {
    fs_err::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

/// The permissions that a folder in LIB_DIR has from LIB_DIR.
const FOLDER_MASK: u32 = 0o7777;

/// Creates a folder below `base`, unless it exists, so that all users who may write to `base` can write to it: it and
/// the missing folders above it get the group and the permissions of `base`. If everyone may write to it, it gets the
/// sticky bit, so that no user can rename or remove what another one created in it.
pub(crate) fn make_shared_dir(base: &Path, folder: &Path) -> io::Result<()> {
    if !base.is_dir() {
        fs_err::create_dir_all(base)?;
    }
    let mode = shared_mode(&base.metadata()?, FOLDER_MASK);
    let is_complete = |found: &Metadata| found.is_dir() && found.permissions().mode() & mode == mode;
    let mut path = base.to_owned();
    for name in folder.strip_prefix(base).into_iter().flatten() {
        path.push(name);
        if !path.symlink_metadata().is_ok_and(|found| is_complete(&found)) {
            create_shared(base, &path, |path| fs_err::create_dir(path), FOLDER_MASK)?;
            check_owner_of_link(base, &path)?;
        }
    }
    Ok(())
}

/// Creates a folder or an empty file with those permissions of `base` that are in `mask`. An existing one that lacks some
/// gets them if it belongs to this user: another process, which may have been killed, did not complete it.
fn create_shared(
    base: &Path,
    path: &Path,
    create: impl Fn(&Path) -> io::Result<()>,
    mask: u32,
) -> io::Result<()> {
    let is_new = match create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => false,
        created => {
            created?;
            true
        }
    };
    // An existing one may be a link, or unreadable for this user.
    let Ok(file) = open_shared(path) else { return Ok(()) };
    let (found, above) = (file.metadata()?, base.metadata()?);
    let mode = shared_mode(&above, mask);
    let is_incomplete = found.uid() == geteuid().as_raw() && found.permissions().mode() & mode != mode;
    if is_new || is_incomplete { share(&file, &above, mode) } else { Ok(()) }
}

/// Returns an error if a path below `base` is the link of a user other than this one, root and the owner of `base`, who
/// could make this user write elsewhere.
pub(crate) fn check_owner_of_link(base: &Path, path: &Path) -> io::Result<()> {
    let link = path.symlink_metadata()?;
    let is_trusted = [0, geteuid().as_raw(), base.metadata()?.uid()].contains(&link.uid());
    if !link.is_symlink() || is_trusted {
        return Ok(());
    }
    let reason = format!("{} is a link of the user {}; remove it", path.display(), link.uid());
    Err(io::Error::new(io::ErrorKind::PermissionDenied, reason))
}

/// Creates a file below `base` in the same way.
pub(crate) fn make_shared_file(base: &Path, path: &Path) -> io::Result<()> {
    make_shared_dir(base, parent(path))?;
    create_shared(base, path, |path| fs_err::File::create_new(path).map(drop), 0o666)
}

/// Writes or replaces a file in such a folder that the same users can read, but only this one can write. A temporary file
/// is created beside the folder, where the caller has the lock, so the one of a killed process can be removed.
pub(crate) fn write_shared_file(path: &Path, content: &[u8]) -> io::Result<()> {
    let folder = parent(path);
    let _ = remove_files_with_prefix(parent(folder), TEMPORARY);
    let mut file = create_private(folder)?;
    file.write_all(content)?;
    let above = folder.metadata()?;
    share(file.as_file(), &above, shared_mode(&above, 0o644))?;
    Ok(file.persist(path).map(drop)?)
}

/// Returns the umask with which files get the permissions of LIB_DIR. Only their owner may write to them if everyone may
/// write to LIB_DIR.
pub(crate) fn umask(lib_dir: &Path) -> u32 {
    let mode = lib_dir.metadata().map_or(0o755, |metadata| metadata.permissions().mode());
    if mode & 0o002 == 0 { !mode & 0o077 } else { 0o022 }
}

/// Returns those permissions of a folder that are in `mask`, with the sticky bit if everyone may write.
fn shared_mode(above: &Metadata, mask: u32) -> u32 {
    let mode = above.permissions().mode() & mask;
    if mode & 0o002 == 0 { mode } else { mode | mask & 0o1000 }
}

/// Gives a file or a folder a mode, and the group of the folder above it.
fn share(file: &File, above: &Metadata, mode: u32) -> io::Result<()> {
    // Fails if this user is not in the group.
    let _ = fchown(file, None, Some(above.gid()));
    file.set_permissions(Permissions::from_mode(mode))
}

/// Opens a file or a folder, but no link, and no FIFO, which could block.
fn open_shared(path: &Path) -> io::Result<File> {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    File::options().read(true).custom_flags(flags).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_the_folder_of_a_provider_or_one_below_packages() {
        let containing = |path: &str| {
            let prefix = Prefix::containing(Path::new(path), Path::new("/lib"))?;
            Some(prefix.0.into_os_string().into_string().unwrap())
        };
        assert_eq!(containing("/lib/pip/x/bin/x").as_deref(), Some("pip/x"));
        assert_eq!(containing("/lib/npm/packages/x/bin/x").as_deref(), Some("npm/packages/x"));
        for outside in [
            "/lib/pip/x",
            "/lib/bin/x",
            "/lib/npm/packages/x",
            "/usr/bin/x",
            "/lib/pip/x.part/y",
            "/lib/.locks/a/b",
        ] {
            assert_eq!(containing(outside), None, "{outside}");
        }
    }

    #[test]
    fn a_folder_that_another_user_replaced_by_a_link_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let (base, link) = (folder.path().join("lib"), folder.path().join("lib/.locks"));
        fs_err::create_dir_all(folder.path().join("target")).unwrap();
        fs_err::create_dir(&base).unwrap();
        std::os::unix::fs::symlink("../target", &link).unwrap();
        make_shared_file(&base, &link.join("own")).unwrap();
        // Only root can give the link to another user.
        if geteuid().is_root() {
            std::os::unix::fs::lchown(&link, Some(12345), None).unwrap();
            let error = make_shared_file(&base, &link.join("x")).unwrap_err().to_string();
            assert_eq!(error, format!("{} is a link of the user 12345; remove it", link.display()));
            assert!(!folder.path().join("target/x").exists());
            fs_err::rename(&link, base.join("pip")).unwrap();
            for path in ["pip/x", "pip/packages/x"] {
                let prefix = Prefix::new(&base.join(path), &base).unwrap();
                assert_eq!(prefix.check_folders(&base).unwrap_err().kind(), io::ErrorKind::PermissionDenied);
            }
        }
    }

    #[test]
    fn a_shared_file_has_the_permissions_of_the_folder_above() {
        let folder = tempfile::tempdir().unwrap();
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o7777;
        for (above, expected) in
            [(0o755, 0o755), (0o2775, 0o2775), (0o1777, 0o1777), (0o777, 0o1777), (0o700, 0o700)]
        {
            fs_err::set_permissions(folder.path(), Permissions::from_mode(above)).unwrap();
            let file = folder.path().join(format!("{above:o}/a/x"));
            for _ in 0..2 {
                make_shared_file(folder.path(), &file).unwrap();
            }
            assert_eq!([parent(&file), parent(parent(&file))].map(mode), [expected; 2]);
            assert_eq!(mode(&file), expected & 0o666);
        }
    }

    #[test]
    fn folders_and_files_that_are_made_at_once_all_get_the_permissions() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        fs_err::set_permissions(folder, Permissions::from_mode(0o775)).unwrap();
        // A killed process left it.
        fs_err::create_dir(folder.join("0")).unwrap();
        fs_err::set_permissions(folder.join("0"), Permissions::from_mode(0o755)).unwrap();
        for round in 0..20 {
            std::thread::scope(|scope| {
                for name in ["a", "a", "b", "b"] {
                    let path = folder.join(format!("{round}/{name}/lock"));
                    scope.spawn(move || make_shared_file(folder, &path).unwrap());
                }
            });
        }
        let made = walkdir::WalkDir::new(folder).min_depth(1).into_iter().map(Result::unwrap);
        let modes: Vec<u32> =
            made.map(|entry| entry.metadata().unwrap().permissions().mode() & 0o777).collect();
        assert_eq!(modes.iter().filter(|mode| **mode == 0o775).count(), 60);
        assert_eq!(modes.iter().filter(|mode| **mode == 0o664).count(), 40);
        assert_eq!(modes.len(), 100);
    }
}
