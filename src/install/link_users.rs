//! The data dirs that use the links of a LIB_DIR outside the data dir, in `LIB_DIR/.links/<name>/`. Several data dirs,
//! even of several users, may share such a LIB_DIR.

use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use sha2::{Digest, Sha256};

use crate::fs::digest::hex;
use crate::fs::dir::{ignore_missing, make_shared_dir};
use crate::model::BinaryName;
use crate::settings::Settings;

/// Returns the folder with a link to each data dir that uses the link of this name, or `None` if LIB_DIR is in the data
/// dir, and thus not shared.
fn folder(settings: &Settings, name: &BinaryName) -> Option<PathBuf> {
    let Settings { lib_dir, data_dir, .. } = settings;
    (!lib_dir.starts_with(data_dir)).then(|| lib_dir.join(".links").join(name.link_name()))
}

/// Returns the name of the link to this data dir.
fn own_name(settings: &Settings) -> String {
    hex(&Sha256::digest(settings.data_dir.as_os_str().as_bytes())[..8])
}

/// Records that this data dir uses the link of this name.
pub(super) fn add(settings: &Settings, name: &BinaryName) -> io::Result<()> {
    let Some(folder) = folder(settings, name) else { return Ok(()) };
    if let Some(links) = folder.parent() {
        make_shared_dir(links)?;
    }
    make_shared_dir(&folder)?;
    match symlink(&settings.data_dir, folder.join(own_name(settings))) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

/// Records that this data dir no longer uses the link of this name, and returns whether another one does.
pub(super) fn remove(settings: &Settings, name: &BinaryName) -> io::Result<bool> {
    let Some(folder) = folder(settings, name) else { return Ok(false) };
    ignore_missing(fs_err::remove_file(folder.join(own_name(settings))))?;
    Ok(is_used_elsewhere(settings, name))
}

/// Returns whether another data dir that still exists uses the link of this name.
fn is_used_elsewhere(settings: &Settings, name: &BinaryName) -> bool {
    let own_name = own_name(settings);
    let entries = folder(settings, name).and_then(|folder| fs_err::read_dir(folder).ok());
    let mut others = entries.into_iter().flatten().flatten().filter(|entry| entry.file_name() != *own_name);
    // A data dir that this user cannot see is not known to be gone.
    others.any(|entry| entry.path().try_exists().unwrap_or(true))
}
