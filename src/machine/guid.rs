//! The guid of this machine, which stays the same and does not reveal the machine id.
//!
//! The sources and their order on a host are those of [py-machineid](https://github.com/keygen-sh/py-machineid) 1.0, so
//! that `ArchiveBox` and rigup give a host the same guid. Unlike py-machineid, rigup skips text that cannot be an id
//! (systemd writes `uninitialized` into fresh images), and gives a machine without an id a random one. A container has no
//! id that lasts as long as its data: the id of the container changes with every `docker run`, and the machine id of an
//! image is the same in all of its containers. So a random id in the data dir identifies all containers that use it.

use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use sysinfo::Product;

use crate::clock;
use crate::fs::atomic;
use crate::fs::digest;
use crate::fs::lock::FileLock;
use crate::fs::regular_file;
use crate::fs::remove::ignore_missing;
use crate::model::Guid;
use crate::model::machine::RANDOM;

/// The message of the HMAC: the application id of `ArchiveBox`.
const APPLICATION: &str = "archivebox";

/// The file in the data dir that contains the random id.
const FILE_NAME: &str = "machine-id";

/// Returns the guid of this machine, which is derived from the first of these ids:
///
/// - the random id in `data_dir/machine-id`, so that the guid, and with it the records of this machine, stay the same if
///   the system gets a machine id later
/// - unless this is a container: on macOS, the `IOPlatformUUID`; elsewhere, the id in `/var/lib/dbus/machine-id` or
///   `/etc/machine-id`
/// - a new random id, which is written to `data_dir/machine-id`
///
/// Fails if the file in the data dir cannot be read, or is needed and cannot be written.
pub(crate) fn find_or_create(data_dir: &Path, is_container: bool) -> io::Result<Guid> {
    match find(data_dir, is_container)? {
        Some(guid) => Ok(guid),
        None => Ok(derive(&random_id(data_dir)?, RANDOM)),
    }
}

/// Returns the guid like [`find_or_create`], or `None` if this machine has no id yet. Writes nothing.
pub(crate) fn find(data_dir: &Path, is_container: bool) -> io::Result<Option<Guid>> {
    if let Some(id) = read_random_id(&data_dir.join(FILE_NAME))? {
        return Ok(Some(derive(&id, RANDOM)));
    }
    if is_container {
        return Ok(None);
    }
    if cfg!(target_os = "macos")
        && let Some(id) = Product::uuid().ok().and_then(|text| machine_id(&text))
    {
        return Ok(Some(derive(&id, "IOPlatformUUID")));
    }
    Ok(guid_from(&["/var/lib/dbus/machine-id", "/etc/machine-id"].map(PathBuf::from)))
}

/// Returns a new guid, which is stored nowhere.
pub(crate) fn invent() -> Guid {
    derive(&new_random_id(), RANDOM)
}

/// Returns the guid of the first file that contains an id.
fn guid_from(files: &[PathBuf]) -> Option<Guid> {
    files.iter().find_map(|path| {
        let id = fs_err::read_to_string(path).ok().and_then(|text| machine_id(&text))?;
        Some(derive(&id, &path.to_string_lossy()))
    })
}

fn derive(id: &str, source: &str) -> Guid {
    let mut mac = Hmac::<Sha256>::new_from_slice(id.as_bytes()).expect("an HMAC key may have any length");
    mac.update(APPLICATION.as_bytes());
    let value = digest::hex(&mac.finalize().into_bytes());
    Guid { value, source: source.to_owned() }
}

/// Returns the id in a machine-id file, or `None` if it contains none. An id has 32 hex digits, possibly with the
/// dashes of a UUID, not all zero (machine-id(5)). Blanks and control characters are removed and case is kept, as in
/// py-machineid.
fn machine_id(text: &str) -> Option<String> {
    let id: String = text.chars().filter(|c| !c.is_control() && !c.is_whitespace()).collect();
    let digits = || id.chars().filter(|c| *c != '-');
    let is_id =
        digits().count() == 32 && digits().all(|c| c.is_ascii_hexdigit()) && digits().any(|c| c != '0');
    is_id.then_some(id)
}

/// Returns the random id in the data dir, and creates it if it is missing. Processes that create it at the same time
/// all get the same id. Removes the temporary file of a process that was killed while it created the id.
fn random_id(data_dir: &Path) -> io::Result<String> {
    let path = data_dir.join(FILE_NAME);
    let failed = |error: io::Error| {
        io::Error::new(error.kind(), format!("cannot create the machine id {}: {error}", path.display()))
    };
    let lock = FileLock::open(data_dir).map_err(failed)?;
    lock.lock().map_err(failed)?;
    if let Some(id) = read_random_id(&path)? {
        return Ok(id);
    }
    for file in fs_err::read_dir(data_dir).map_err(failed)?.flatten() {
        if file.file_name().as_encoded_bytes().starts_with(atomic::TEMPORARY.as_bytes()) {
            ignore_missing(fs_err::remove_file(file.path())).map_err(failed)?;
        }
    }
    let id = new_random_id();
    // The file is synced before it is renamed, so that a crash does not leave an empty file.
    let create = || {
        let mut file = atomic::create_private(&path)?;
        writeln!(file, "{id}")?;
        file.as_file().sync_all()?;
        file.persist(&path).map_err(io::Error::from)
    };
    create().map_err(failed)?;
    Ok(id)
}

fn new_random_id() -> String {
    clock::new_id().simple().to_string()
}

/// Returns the random id in a file, or `None` if the file does not exist. Fails for a file without an id: if it were
/// replaced, two processes could get different ids.
fn read_random_id(path: &Path) -> io::Result<Option<String>> {
    match regular_file::read(path, 4096) {
        Ok(text) => machine_id(&String::from_utf8_lossy(&text)).map(Some).ok_or_else(|| {
            let text = format!(
                "cannot read the machine id {}: it does not contain 32 hex digits; remove it, and rigup creates a new one",
                path.display()
            );
            io::Error::new(ErrorKind::InvalidData, text)
        }),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => {
            Err(io::Error::new(error.kind(), format!("cannot read the machine id {error}")))
        }
    }
}

#[cfg(test)]
mod tests;
