//! The guid of this machine, which stays the same and does not reveal the machine id.
//!
//! The sources and their order are those of [py-machineid](https://github.com/keygen-sh/py-machineid) 1.0, so that
//! `ArchiveBox` and rigup give a machine the same guid. Unlike py-machineid, rigup skips text that cannot be an id
//! (systemd writes `uninitialized` into fresh images), and gives a machine without an id a random one.

use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use sysinfo::Product;

use crate::clock;
use crate::fs::atomic;
use crate::fs::digest;
use crate::model::Guid;

/// The message of the HMAC: the application id of `ArchiveBox`.
const APPLICATION: &str = "archivebox";

/// The file in the data dir that contains the random id.
const FILE_NAME: &str = "machine-id";

/// The source of a guid that is derived from the random id.
const RANDOM: &str = "random";

/// A file that may contain the machine's id, and how to find the id in its text.
type Candidate = (PathBuf, fn(&str) -> Option<String>);

/// Returns the guid of this machine, which is derived from the first of these ids:
///
/// - a random id in `data_dir/machine-id`, so that the guid, and with it the records of this machine, stay the same if
///   the installation of a package gives the system a machine id later
/// - on macOS, the `IOPlatformUUID`
/// - the id in `/var/lib/dbus/machine-id` or `/etc/machine-id`
/// - the id of the Docker container in `/proc/self/cgroup` or `/proc/self/mountinfo`
/// - a new random id, which is written to `data_dir/machine-id`
///
/// Fails if the file in the data dir cannot be read, or is needed and cannot be written.
pub(crate) fn find_or_create(data_dir: &Path) -> io::Result<Guid> {
    if let Some(id) = read_random_id(&data_dir.join(FILE_NAME))? {
        return Ok(derive(&id, RANDOM));
    }
    if cfg!(target_os = "macos")
        && let Some(id) = Product::uuid().ok().and_then(|text| machine_id(&text))
    {
        return Ok(derive(&id, "IOPlatformUUID"));
    }
    let candidates: [Candidate; 4] = [
        ("/var/lib/dbus/machine-id".into(), machine_id),
        ("/etc/machine-id".into(), machine_id),
        ("/proc/self/cgroup".into(), id_in_cgroup),
        ("/proc/self/mountinfo".into(), id_in_mountinfo),
    ];
    guid_from(&candidates, data_dir)
}

fn guid_from(candidates: &[Candidate], data_dir: &Path) -> io::Result<Guid> {
    for (path, id_in) in candidates {
        if let Some(id) = fs_err::read_to_string(path).ok().and_then(|text| id_in(&text)) {
            return Ok(derive(&id, &path.to_string_lossy()));
        }
    }
    Ok(derive(&random_id(data_dir)?, RANDOM))
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

/// Returns the name of the container: the second folder in the first line, as in `12:cpu:/docker/<id>` or
/// `1:name=systemd:/system.slice/docker-<id>.scope`. Under cgroup v2, a container sees only `0::/`.
fn id_in_cgroup(text: &str) -> Option<String> {
    if !text.contains("docker") {
        return None;
    }
    let folder = text.lines().next()?.split('/').nth(2)?.trim();
    folder.split(|c: char| !c.is_ascii_alphanumeric()).any(is_container_id).then(|| folder.to_owned())
}

/// Returns the id of the container whose `/var/lib/docker/containers/<id>/hostname` is mounted.
fn id_in_mountinfo(text: &str) -> Option<String> {
    text.split("docker/containers/")
        .skip(1)
        .filter_map(|rest| rest.split_once("/hostname"))
        .map(|(id, _)| id)
        .find(|id| is_container_id(id))
        .map(str::to_owned)
}

fn is_container_id(word: &str) -> bool {
    word.len() == 64 && word.chars().all(|c| c.is_ascii_hexdigit())
}

/// Returns the random id in the data dir, and creates it if it is missing. Processes that create it at the same time
/// all get the same id.
fn random_id(data_dir: &Path) -> io::Result<String> {
    let path = data_dir.join(FILE_NAME);
    let failed = |error: io::Error| {
        io::Error::new(error.kind(), format!("cannot create the machine id {}: {error}", path.display()))
    };
    // The file is synced before it is renamed, so that a crash does not leave an empty file.
    let create = || {
        let mut file = atomic::create_private(&path)?;
        writeln!(file, "{}", clock::new_id().simple())?;
        atomic::persist_new(file, &path)
    };
    create().map_err(failed)?;
    read_random_id(&path)?.ok_or_else(|| {
        failed(io::Error::new(ErrorKind::NotFound, "the file was removed at once; run the command again"))
    })
}

/// Returns the random id in a file, or `None` if the file does not exist. Fails for a file without an id: if it were
/// replaced, two processes could get different ids.
fn read_random_id(path: &Path) -> io::Result<Option<String>> {
    match fs_err::read_to_string(path) {
        Ok(text) => machine_id(&text).map(Some).ok_or_else(|| {
            let text = format!(
                "cannot read the machine id {}: it does not contain 32 hex digits; remove it, and rigup creates a new one",
                path.display()
            );
            io::Error::new(ErrorKind::InvalidData, text)
        }),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::os::unix::fs::PermissionsExt;
    use std::sync::Barrier;
    use std::thread;

    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef";
    /// python3: `hmac.new(b'0123456789abcdef0123456789abcdef', b'archivebox', 'sha256').hexdigest()`
    const GUID: &str = "33c2a00a6d59cd26eca49c7c784ec179b98d6952fc06f8c150d6dbe49004ee7c";
    const CONTAINER: &str = "3f4e5d6c7b8a99887766554433221100ffeeddccbbaa00112233445566778899";

    /// Returns a data dir, and candidate files in it with these names and texts.
    fn machine(files: &[(&str, &str)]) -> (tempfile::TempDir, Vec<Candidate>) {
        let dir = tempfile::tempdir().unwrap();
        let candidate = |(name, text): &(&str, &str)| -> Candidate {
            let path = dir.path().join(name);
            fs_err::write(&path, text).unwrap();
            (path, machine_id)
        };
        let candidates = files.iter().map(candidate).collect();
        (dir, candidates)
    }

    #[test]
    fn the_guid_is_the_hmac_that_py_machineid_computes() {
        let (dir, files) = machine(&[("etc", &format!(" {ID}\u{1}\r\n"))]);
        let guid = guid_from(&files, dir.path()).unwrap();
        assert_eq!(guid.value, GUID);
        assert_eq!(guid.source, files[0].0.to_str().unwrap());
    }

    #[test]
    fn the_first_file_that_holds_an_id_wins() {
        let other = "f".repeat(32);
        let (dir, mut files) = machine(&[("dbus", ID), ("etc", &other)]);
        files.insert(0, (dir.path().join("absent"), machine_id));
        assert_eq!(guid_from(&files, dir.path()).unwrap().value, GUID);
    }

    #[test]
    fn a_file_without_an_id_is_skipped() {
        let zeros = "0".repeat(32);
        for text in ["", " \n", "uninitialized\n", &zeros, &ID[1..], "g123456789abcdef0123456789abcdef"] {
            let (dir, files) = machine(&[("dbus", text), ("etc", ID)]);
            let guid = guid_from(&files, dir.path()).unwrap();
            assert_eq!(
                (guid.value.as_str(), guid.source),
                (GUID, files[1].0.display().to_string()),
                "{text:?}"
            );
        }
    }

    #[test]
    fn a_file_that_is_not_utf_8_is_skipped() {
        let (dir, files) = machine(&[("dbus", ""), ("etc", ID)]);
        fs_err::write(&files[0].0, [0xff, 0xfe]).unwrap();
        assert_eq!(guid_from(&files, dir.path()).unwrap().value, GUID);
    }

    #[test]
    fn a_uuid_keeps_its_dashes_and_its_case() {
        let uuid = "17A28A73-BEA9-4D4B-AF5B-03A5AAE9B92C";
        assert_eq!(machine_id(uuid).as_deref(), Some(uuid));
    }

    #[test]
    fn a_container_is_named_by_the_first_line_of_its_cgroup() {
        let plain = format!("12:memory:/docker/{CONTAINER}\n11:cpu:/docker/other\n");
        assert_eq!(id_in_cgroup(&plain).as_deref(), Some(CONTAINER));
        let scope = format!("docker-{CONTAINER}.scope");
        assert_eq!(id_in_cgroup(&format!("1:name=systemd:/system.slice/{scope}\n")), Some(scope));
    }

    #[test]
    fn a_cgroup_without_a_container_has_no_id() {
        for text in [
            "",
            "0::/\n",
            "0::/system.slice/docker.service\n",
            "0::/user.slice/user-1000.slice/session-2.scope\n",
            &format!("0::/kubepods/burstable/pod12/{CONTAINER}\n1:docker:/\n"),
            &format!("0::/podman/{CONTAINER}\n"),
        ] {
            assert_eq!(id_in_cgroup(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_container_is_named_by_the_hostname_file_that_docker_mounts() {
        let text = format!(
            "613 594 254:1 /docker/containers/{CONTAINER}/resolv.conf /etc/resolv.conf rw - ext4 /dev/vda1 rw\n\
             614 594 254:1 /docker/containers/{CONTAINER}/hostname /etc/hostname rw,relatime - ext4 /dev/vda1 rw\n"
        );
        assert_eq!(id_in_mountinfo(&text).as_deref(), Some(CONTAINER));
        let rootless =
            "614 594 0:1 /home/me/.local/share/docker/containers/ID/hostname /etc/hostname rw - ext4 a rw";
        assert_eq!(id_in_mountinfo(&rootless.replace("ID", CONTAINER)).as_deref(), Some(CONTAINER));
    }

    #[test]
    fn a_host_that_runs_containers_is_not_one_of_them() {
        let host = format!(
            "22 27 0:21 / /proc rw,relatime - proc proc rw\n\
             90 27 0:45 / /var/lib/docker/containers/{CONTAINER}/mounts/shm rw - tmpfs shm rw\n"
        );
        assert_eq!(id_in_mountinfo(&host), None);
        assert_eq!(id_in_mountinfo("1 2 0:3 /docker/containers/../hostname /x rw - ext4 a rw"), None);
    }

    #[test]
    fn a_machine_without_an_id_gets_a_random_one_that_only_its_owner_reads() {
        let (dir, none) = machine(&[]);
        let first = guid_from(&none, dir.path()).unwrap();
        assert_eq!(first.source, "random");
        assert_eq!(first.value.len(), 64);
        assert_eq!(guid_from(&none, dir.path()).unwrap(), first);

        let kept = fs_err::metadata(dir.path().join(FILE_NAME)).unwrap();
        assert_eq!(kept.permissions().mode() & 0o777, 0o600);
        let (elsewhere, none) = machine(&[]);
        assert_ne!(guid_from(&none, elsewhere.path()).unwrap(), first);
    }

    #[test]
    fn sixteen_threads_that_race_for_the_random_id_agree_and_leave_one_file() {
        let (dir, none) = machine(&[]);
        let start = Barrier::new(16);
        let guids: BTreeSet<String> = thread::scope(|scope| {
            let racer = || {
                start.wait();
                guid_from(&none, dir.path()).unwrap().value
            };
            let racers: Vec<_> = (0..16).map(|_| scope.spawn(racer)).collect();
            racers.into_iter().map(|racer| racer.join().unwrap()).collect()
        });
        assert_eq!(guids.len(), 1);
        assert_eq!(fs_err::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_damaged_random_id_is_an_error_with_its_path() {
        let (dir, none) = machine(&[]);
        let path = dir.path().join(FILE_NAME);
        fs_err::write(&path, "oops").unwrap();
        let error = guid_from(&none, dir.path()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidData);
        assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
        assert_eq!(fs_err::read_to_string(&path).unwrap(), "oops");
    }

    #[test]
    fn a_missing_data_dir_is_an_error_only_if_it_is_needed() {
        let (dir, files) = machine(&[("etc", ID)]);
        let absent = dir.path().join("absent");
        assert_eq!(guid_from(&files, &absent).unwrap().value, GUID);
        assert_eq!(guid_from(&[], &absent).unwrap_err().kind(), ErrorKind::NotFound);
    }

    #[test]
    fn a_random_id_stays_even_if_the_system_gets_an_id_later() {
        let folder = tempfile::tempdir().unwrap();
        let first = guid_from(&[], folder.path()).unwrap();
        assert_eq!(find_or_create(folder.path()).unwrap(), first);
    }
}
