use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::sync::Barrier;

use jiff::Timestamp;
use tempfile::TempDir;

use std::path::Path;

use super::attempt::AttemptRow;
use super::open::open_read_only;
use super::row::TableRow;
use super::*;
use crate::model::{
    Binary, Guid, Installed, Machine, MachineFacts, MachineId, NetworkInterface, Process, ProcessId,
    ProcessSpec, ProcessType, ProviderName,
};

/// Returns the time `n` milliseconds after the Unix epoch.
pub(super) fn time(n: i64) -> Timestamp {
    Timestamp::from_millisecond(n).unwrap()
}

pub(super) fn machine(guid: &str) -> Machine {
    let guid = Guid { value: guid.to_owned(), source: "random".to_owned() };
    Machine::new(MachineId::generate(), guid, MachineFacts::default(), time(1))
}

pub(super) fn hook(machine_id: MachineId, now: Timestamp) -> Process {
    let spec = ProcessSpec {
        plugin: "env".to_owned(),
        hook_name: "on_BinaryRequest__00_env.sh".to_owned(),
        ..ProcessSpec::new(ProcessType::Hook, vec!["sh".to_owned()], "/")
    };
    Process::queued(ProcessId::generate(), machine_id, spec, now)
}

fn lib() -> &'static Path {
    Path::new("/lib")
}

pub(super) fn store() -> (TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), lib()).unwrap();
    (dir, store)
}

pub(super) fn store_with_machine() -> (TempDir, Store, MachineId) {
    let (dir, store) = store();
    let machine = machine("here");
    store.save_machine(&machine).unwrap();
    (dir, store, machine.id)
}

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o777
}

fn names(dir: &Path) -> Vec<String> {
    let entries = dir.read_dir().unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn a_new_store_is_private_and_closing_it_leaves_one_file() {
    let (dir, store, _) = store_with_machine();
    let files = ["rigup.sqlite3", "rigup.sqlite3-shm", "rigup.sqlite3-wal"];
    assert_eq!(names(dir.path()), files);
    for file in files {
        assert_eq!(mode(&dir.path().join(file)), 0o600, "{file}");
    }
    drop(store);
    assert_eq!(names(dir.path()), files[..1]);
}

#[test]
fn a_connection_uses_a_wal_checks_foreign_keys_and_waits() {
    let (_dir, store) = store();
    let pragma = |name: &str| -> String {
        let sql = format!("SELECT CAST({name} AS TEXT) FROM pragma_{name}");
        store.lock().query_row(&sql, [], |row| row.get(0)).unwrap()
    };
    assert_eq!(pragma("journal_mode"), "wal");
    assert_eq!(pragma("foreign_keys"), "1");
    assert_eq!(pragma("synchronous"), "1");
    let timeout: i64 = store.lock().query_row("PRAGMA busy_timeout", [], |row| row.get(0)).unwrap();
    assert_eq!(timeout, 10_000);
}

#[test]
fn records_persist_when_the_store_is_closed() {
    let (dir, store, machine_id) = store_with_machine();
    drop(store);
    let store = Store::open(dir.path(), lib()).unwrap();
    assert_eq!(store.machine_by_guid("here").unwrap().unwrap().id, machine_id);
}

#[test]
fn many_threads_can_create_and_write_one_store_at_once() {
    const EACH: i64 = 20;
    let dir = tempfile::tempdir().unwrap();
    let start = Barrier::new(8);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                start.wait();
                let store = Store::open(dir.path(), lib()).unwrap();
                let machine = store.find_or_add_machine(&machine("here")).unwrap();
                for n in 0..EACH {
                    store.find_or_add_binary(machine.id, "rg", time(n)).unwrap();
                    store.save_process(&hook(machine.id, time(n))).unwrap();
                }
            });
        }
    });
    let store = Store::open(dir.path(), lib()).unwrap();
    let machines = store.machines().unwrap();
    assert_eq!(machines.len(), 1);
    assert_eq!(store.binaries(&BinaryFilter::default()).unwrap().len(), 1);
    let processes = store.unfinished_processes(machines[0].id).unwrap();
    assert_eq!(processes.len(), 160);
    drop(store);
    assert_eq!(names(dir.path()), ["rigup.sqlite3"]);
}

#[test]
fn many_threads_can_migrate_an_empty_file_at_once() {
    let dir = tempfile::tempdir().unwrap();
    fs_err::write(dir.path().join(FILE_NAME), "").unwrap();
    let start = Barrier::new(8);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                start.wait();
                let store = Store::open(dir.path(), lib()).unwrap();
                store.find_or_add_machine(&machine("here")).unwrap();
            });
        }
    });
}

#[test]
fn threads_share_one_store() {
    let (_dir, store, machine_id) = store_with_machine();
    std::thread::scope(|scope| {
        for n in 0..8 {
            let store = &store;
            scope.spawn(move || store.save_process(&hook(machine_id, time(n))).unwrap());
        }
    });
    assert_eq!(store.unfinished_processes(machine_id).unwrap().len(), 8);
}

#[test]
fn refuses_a_newer_schema_and_does_not_change_it() {
    let (dir, store) = store();
    let newer = schema::KNOWN + 1;
    store.lock().pragma_update(None, "user_version", newer).unwrap();
    let unknown_syntax = "PRAGMA writable_schema = ON; UPDATE sqlite_schema SET sql = 'CREATE ROPE ' || name";
    store.lock().execute_batch(unknown_syntax).unwrap();
    drop(store);
    let file = dir.path().join(FILE_NAME);
    let before = fs_err::read(&file).unwrap();
    for result in [Store::open(dir.path(), lib()).map(Some), Store::open_existing(dir.path(), lib())] {
        let error = result.unwrap_err();
        let text = error.to_string();
        let StoreError::Newer { path, found, known } = error else { panic!("{text}") };
        assert_eq!((path, found, known), (file.clone(), newer, schema::KNOWN));
        assert!(text.contains("update rigup"), "{text}");
    }
    assert_eq!(fs_err::read(&file).unwrap(), before);
    assert_eq!(names(dir.path()), ["rigup.sqlite3"]);
}

#[test]
fn reports_a_file_that_is_not_a_database_and_does_not_change_it() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join(FILE_NAME);
    let garbage = "not a database, though long enough to be one ".repeat(100);
    fs_err::write(&file, &garbage).unwrap();
    for result in [Store::open(dir.path(), lib()).map(Some), Store::open_existing(dir.path(), lib())] {
        let error = result.unwrap_err();
        assert!(matches!(error, StoreError::Corrupt { .. }), "{error}");
        let text = error.to_string();
        assert!(text.contains("rigup.sqlite3") && text.contains("moves it aside"), "{text}");
    }
    assert_eq!(fs_err::read_to_string(&file).unwrap(), garbage);
}

#[test]
fn reports_a_damaged_page() {
    let (dir, store, machine_id) = store_with_machine();
    drop(store);
    let file = dir.path().join(FILE_NAME);
    let mut bytes = fs_err::read(&file).unwrap();
    bytes[4096..].fill(0xff);
    fs_err::write(&file, bytes).unwrap();
    let error = Store::open(dir.path(), lib()).and_then(|store| store.binaries_of(machine_id)).unwrap_err();
    assert!(matches!(error, StoreError::Corrupt { .. }), "{error}");
}

#[test]
fn reports_a_folder_at_the_path_of_the_file() {
    let dir = tempfile::tempdir().unwrap();
    fs_err::create_dir(dir.path().join(FILE_NAME)).unwrap();
    for result in [Store::open(dir.path(), lib()).map(Some), Store::open_existing(dir.path(), lib())] {
        let error = result.unwrap_err();
        assert!(matches!(error, StoreError::NotAFile { .. }), "{error}");
    }
}

#[test]
fn a_missing_data_dir_is_an_error_and_is_not_created() {
    let dir = tempfile::tempdir().unwrap();
    let nowhere = dir.path().join("nowhere");
    let error = Store::open(&nowhere, lib()).unwrap_err();
    assert!(matches!(error, StoreError::Create { .. }), "{error}");
    assert!(!nowhere.exists());
}

#[test]
fn a_command_that_only_reads_creates_no_store() {
    let dir = tempfile::tempdir().unwrap();
    assert!(Store::open_existing(dir.path(), lib()).unwrap().is_none());
    assert_eq!(names(dir.path()), Vec::<String>::new());
    drop(Store::open(dir.path(), lib()).unwrap());
    assert!(Store::open_existing(dir.path(), lib()).unwrap().is_some());
}

#[test]
fn reads_a_read_only_store() {
    let (dir, store, machine_id) = store_with_machine();
    drop(store);
    // Root can write everywhere, so the test also opens the store read-only directly.
    let file = dir.path().join(FILE_NAME);
    fs_err::set_permissions(&file, Permissions::from_mode(0o400)).unwrap();
    fs_err::set_permissions(dir.path(), Permissions::from_mode(0o500)).unwrap();
    let read_only = open_read_only(&file, lib()).unwrap();
    for store in [read_only, Store::open_existing(dir.path(), lib()).unwrap().unwrap()] {
        assert_eq!(store.machine_by_guid("here").unwrap().unwrap().id, machine_id);
    }
    let read_only = open_read_only(&file, lib()).unwrap();
    let error = read_only.save_machine(&machine("there")).unwrap_err();
    assert!(matches!(error, StoreError::Denied { .. }), "{error}");
    drop(read_only);
    fs_err::set_permissions(dir.path(), Permissions::from_mode(0o700)).unwrap();
}

#[test]
fn reads_a_store_in_a_folder_that_takes_no_new_files() {
    let (dir, store, machine_id) = store_with_machine();
    drop(store);
    // SQLite does not follow a link to its `-shm` file, so not even root can create one.
    std::os::unix::fs::symlink("nowhere", dir.path().join("rigup.sqlite3-shm")).unwrap();
    let error = Store::open(dir.path(), lib()).unwrap_err();
    assert!(matches!(error, StoreError::Denied { .. }), "{error}");
    let store = Store::open_existing(dir.path(), lib()).unwrap().unwrap();
    assert_eq!(store.machine_by_guid("here").unwrap().unwrap().id, machine_id);
}

#[test]
fn a_new_store_does_not_use_the_wal_of_a_deleted_one() {
    let (dir, store, _) = store_with_machine();
    let wal_path = dir.path().join("rigup.sqlite3-wal");
    let wal = fs_err::read(&wal_path).unwrap();
    drop(store);
    fs_err::remove_file(dir.path().join(FILE_NAME)).unwrap();
    fs_err::write(&wal_path, wal).unwrap();
    let store = Store::open(dir.path(), lib()).unwrap();
    assert_eq!(store.machines().unwrap(), []);
}

#[test]
fn reports_a_locked_store_as_busy() {
    let (dir, store) = store();
    let other = Store::open(dir.path(), lib()).unwrap();
    other.lock().busy_timeout(std::time::Duration::ZERO).unwrap();
    store.lock().execute_batch("BEGIN IMMEDIATE").unwrap();
    let error = other.save_machine(&machine("here")).unwrap_err();
    assert!(matches!(error, StoreError::Busy { .. }), "{error}");
    assert!(error.to_string().contains("rigup.sqlite3"), "{error}");
}

#[test]
fn a_failed_transaction_changes_nothing() {
    let (_dir, store) = store();
    let failed = store.transaction(|transaction| {
        transaction.execute_batch("UPDATE machine SET guid = 'x'")?;
        Err::<(), _>(rusqlite::Error::InvalidQuery)
    });
    assert!(failed.is_err());
    store.save_machine(&machine("here")).unwrap();
}

#[test]
fn an_empty_file_is_not_a_store_and_is_rebuilt() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(FILE_NAME);
    fs_err::write(&path, "").unwrap();
    assert!(Store::open_existing(folder.path(), lib()).unwrap().is_none());
    assert_eq!(path.metadata().unwrap().len(), 0, "a reader does not create a store");
    let known = machine("g");
    let fill = |store: &Store| store.find_or_add_machine(&known).map(drop);
    let find_records = || Some(Box::new(fill) as Fill<'_>);
    let (store, moved_aside) = Store::open_or_rebuild(folder.path(), lib(), false, &find_records).unwrap();
    assert_eq!((store.find_or_add_machine(&machine("g")).unwrap().id, moved_aside), (known.id, None));
}

fn columns_in_schema(store: &Store, table: &str) -> Vec<String> {
    let connection = store.lock();
    let mut statement = connection.prepare("SELECT name FROM pragma_table_info(?1)").unwrap();
    let names = statement.query_map([table], |row| row.get(0)).unwrap();
    names.collect::<Result<_, _>>().unwrap()
}

#[test]
fn the_migrations_create_the_columns_that_the_code_uses() {
    let (_dir, store) = store();
    for (table, columns) in [
        (Machine::TABLE, Machine::COLUMNS),
        (NetworkInterface::TABLE, NetworkInterface::COLUMNS),
        (Binary::TABLE, Binary::COLUMNS),
        (Process::TABLE, Process::COLUMNS),
        (AttemptRow::TABLE, AttemptRow::COLUMNS),
    ] {
        assert_eq!(columns_in_schema(&store, table).join(", "), columns, "{table}");
    }
}

#[test]
fn paths_below_lib_dir_and_the_data_dir_move_with_these_folders() {
    let dir = tempfile::tempdir().unwrap();
    let (old, new) = (dir.path().join("old"), dir.path().join("new"));
    fs_err::create_dir(&old).unwrap();
    let store = Store::open(&old, &old.join("lib")).unwrap();
    let mut machine = machine("here");
    let config = |folder: &Path| {
        let paths = [("RG_BINARY", folder.join("lib/rg")), ("SH_BINARY", "/bin/sh".into())];
        serde_json::Map::from_iter(paths.map(|(key, path)| (key.to_owned(), path.to_str().unwrap().into())))
    };
    machine.config = config(&old);
    store.save_machine(&machine).unwrap();
    store.merge_machine_config(machine.id, &config(&old), time(1)).unwrap();
    let mut binary = store.find_or_add_binary(machine.id, "rg", time(1)).unwrap();
    let installed = |folder: &Path| Installed {
        binprovider: ProviderName::from_static("pip"),
        abspath: folder.join("lib/rg"),
        version: String::new(),
        package_version: String::new(),
        url: String::new(),
        url_sha256: String::new(),
        sha256: "00".to_owned(),
        fingerprint: "1".to_owned(),
        request_digest: String::new(),
        needs_wrapper: false,
    };
    binary.install(installed(&old), time(1));
    store.save_binary(&binary).unwrap();
    let mut process = hook(machine.id, time(1));
    process.spec.run_dir = Some(old.join("processes/x"));
    store.save_process(&process).unwrap();
    drop(store);
    fs_err::rename(&old, &new).unwrap();

    let store = Store::open(&new, &new.join("lib")).unwrap();
    assert_eq!(store.machine_by_guid("here").unwrap().unwrap().config, config(&new));
    let moved = store.binary(machine.id, "rg").unwrap().unwrap();
    assert_eq!(moved.installed(), Some(&installed(&new)));
    let stored = store.process(process.id).unwrap().unwrap();
    assert_eq!(stored.spec.run_dir, Some(new.join("processes/x")));
    store.renew_fingerprint(binary.id, "0", "2").unwrap();
    assert_eq!(store.binary(machine.id, "rg").unwrap().unwrap(), moved, "it is not the fingerprint to renew");
    store.renew_fingerprint(binary.id, "1", "2").unwrap();
    let renewed = store.binary(machine.id, "rg").unwrap().unwrap();
    assert_eq!(renewed.installed().unwrap().fingerprint, "2");
    let other_lib = Store::open(&new, Path::new("/lib")).unwrap();
    let elsewhere = other_lib.binary(machine.id, "rg").unwrap().unwrap();
    assert_eq!(elsewhere.installed().unwrap().abspath, Path::new("/lib/rg"));
}
