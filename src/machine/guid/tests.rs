use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::sync::Barrier;
use std::thread;

use super::*;

const ID: &str = "0123456789abcdef0123456789abcdef";
/// python3: `hmac.new(b'0123456789abcdef0123456789abcdef', b'archivebox', 'sha256').hexdigest()`
const GUID: &str = "33c2a00a6d59cd26eca49c7c784ec179b98d6952fc06f8c150d6dbe49004ee7c";

/// Returns a data dir, and files in it with these names and texts.
fn machine(files: &[(&str, &str)]) -> (tempfile::TempDir, Vec<PathBuf>) {
    let dir = tempfile::tempdir().unwrap();
    let write = |(name, text): &(&str, &str)| {
        let path = dir.path().join(name);
        fs_err::write(&path, text).unwrap();
        path
    };
    let files = files.iter().map(write).collect();
    (dir, files)
}

#[test]
fn the_guid_is_the_hmac_that_py_machineid_computes() {
    let (_dir, files) = machine(&[("etc", &format!(" {ID}\u{1}\r\n"))]);
    let guid = guid_from(&files).unwrap();
    assert_eq!(guid.value, GUID);
    assert_eq!(guid.source, files[0].to_str().unwrap());
}

#[test]
fn the_first_file_that_holds_an_id_wins() {
    let other = "f".repeat(32);
    let (dir, mut files) = machine(&[("dbus", ID), ("etc", &other)]);
    files.insert(0, dir.path().join("absent"));
    assert_eq!(guid_from(&files).unwrap().value, GUID);
}

#[test]
fn a_file_without_an_id_is_skipped() {
    let zeros = "0".repeat(32);
    for text in ["", " \n", "uninitialized\n", &zeros, &ID[1..], "g123456789abcdef0123456789abcdef"] {
        let (_dir, files) = machine(&[("dbus", text), ("etc", ID)]);
        let guid = guid_from(&files).unwrap();
        assert_eq!((guid.value.as_str(), guid.source), (GUID, files[1].display().to_string()), "{text:?}");
    }
}

#[test]
fn a_file_that_is_not_utf_8_is_skipped() {
    let (_dir, files) = machine(&[("dbus", ""), ("etc", ID)]);
    fs_err::write(&files[0], [0xff, 0xfe]).unwrap();
    assert_eq!(guid_from(&files).unwrap().value, GUID);
}

#[test]
fn a_uuid_keeps_its_dashes_and_its_case() {
    let uuid = "17A28A73-BEA9-4D4B-AF5B-03A5AAE9B92C";
    assert_eq!(machine_id(uuid).as_deref(), Some(uuid));
}

#[test]
fn the_containers_that_share_a_data_dir_are_one_machine() {
    let (dir, _) = machine(&[]);
    let first = find_or_create(dir.path(), true).unwrap();
    assert_eq!(first.source, RANDOM);
    for is_container in [true, false] {
        assert_eq!(find_or_create(dir.path(), is_container).unwrap(), first);
    }
    let (other, _) = machine(&[]);
    assert_eq!(find(other.path(), true).unwrap(), None);
    assert_eq!(fs_err::read_dir(other.path()).unwrap().count(), 0, "a command that reads creates no id");
    assert_ne!(find_or_create(other.path(), true).unwrap(), first);
}

#[test]
fn a_machine_without_an_id_gets_a_random_one_that_only_its_owner_reads() {
    let (dir, _) = machine(&[]);
    let first = find_or_create(dir.path(), true).unwrap();
    assert_eq!(first.source, "random");
    assert_eq!(first.value.len(), 64);
    assert_eq!(find_or_create(dir.path(), true).unwrap(), first);

    let kept = fs_err::metadata(dir.path().join(FILE_NAME)).unwrap();
    assert_eq!(kept.permissions().mode() & 0o777, 0o600);
    let (elsewhere, _) = machine(&[]);
    assert_ne!(find_or_create(elsewhere.path(), true).unwrap(), first);
}

#[test]
fn sixteen_threads_that_race_for_the_random_id_agree_and_leave_one_file() {
    let (dir, _) = machine(&[]);
    let start = Barrier::new(16);
    let guids: BTreeSet<String> = thread::scope(|scope| {
        let racer = || {
            start.wait();
            find_or_create(dir.path(), true).unwrap().value
        };
        let racers: Vec<_> = (0..16).map(|_| scope.spawn(racer)).collect();
        racers.into_iter().map(|racer| racer.join().unwrap()).collect()
    });
    assert_eq!(guids.len(), 1);
    assert_eq!(fs_err::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn a_damaged_random_id_is_an_error_with_its_path() {
    let (dir, _) = machine(&[]);
    let path = dir.path().join(FILE_NAME);
    fs_err::write(&path, "oops").unwrap();
    let error = find_or_create(dir.path(), true).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidData);
    assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
    assert_eq!(fs_err::read_to_string(&path).unwrap(), "oops");
}

#[test]
fn a_missing_data_dir_is_an_error_only_if_it_is_needed() {
    let (dir, files) = machine(&[("etc", ID)]);
    let absent = dir.path().join("absent");
    assert_eq!(guid_from(&files).unwrap().value, GUID);
    assert_eq!(find_or_create(&absent, true).unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn a_random_id_stays_even_if_the_system_gets_an_id_later() {
    let folder = tempfile::tempdir().unwrap();
    let first = find_or_create(folder.path(), true).unwrap();
    assert_eq!(find_or_create(folder.path(), false).unwrap(), first);
}
