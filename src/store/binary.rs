//! The `binary` table.

use std::collections::HashMap;

use jiff::Timestamp;
use rusqlite::{Connection, params};

use super::row::{self, BadValue, Columns, FilePath, Json, Lookup, Stored};
use super::{Fault, Store, StoreError};
use crate::model::binary::{Binary, BinaryState, Installed, Queued};
use crate::model::id::{BinaryId, MachineId};
use crate::model::policy::Policy;

/// Which binaries to list.
#[derive(Debug, Clone, Default)]
pub struct BinaryFilter {
    /// Only those of this name, on any machine.
    pub name: Option<String>,
    /// Only `queued` or `installed` ones.
    pub status: Option<String>,
    /// Only those with this in their path, in any case.
    pub abspath: Option<String>,
    /// Only those with this in their version, in any case.
    pub version: Option<String>,
    /// At most so many.
    pub limit: Option<u32>,
}

impl Stored for Binary {
    const TABLE: &'static str = "binary";
    const COLUMNS: &'static str = "id, machine_id, name, binproviders, min_version, min_release_age, \
        postinstall_scripts, overrides, status, retry_at, \
        attempt_count, last_error, binprovider, abspath, version, sha256, fingerprint, created_at, modified_at, \
        num_uses_failed, num_uses_succeeded";

    fn read(columns: &mut Columns<'_>) -> Result<Self, BadValue> {
        Ok(Self {
            id: columns.id()?,
            machine_id: columns.id()?,
            name: columns.get()?,
            binproviders: columns.get()?,
            min_version: columns.get()?,
            policy: Policy { min_release_age: columns.get()?, postinstall_scripts: columns.get()? },
            overrides: columns.json()?,
            state: read_state(columns)?,
            created_at: columns.time()?,
            modified_at: columns.time()?,
            num_uses_failed: columns.get()?,
            num_uses_succeeded: columns.get()?,
        })
    }
}

fn read_state(columns: &mut Columns<'_>) -> Result<BinaryState, BadValue> {
    let status: String = columns.get()?;
    match status.as_str() {
        "queued" => {
            let queued = Queued {
                retry_at: columns.optional_time()?,
                attempt_count: columns.get()?,
                last_error: columns.get()?,
            };
            columns.skip(5);
            Ok(BinaryState::Queued(queued))
        }
        "installed" => {
            columns.skip(3);
            Ok(BinaryState::Installed(Installed {
                binprovider: columns.parse(str::parse)?,
                abspath: columns.path()?,
                version: columns.get()?,
                sha256: columns.get()?,
                fingerprint: columns.get()?,
            }))
        }
        _ => Err(BadValue::unknown_word("status", status)),
    }
}

const UPDATE_BY_ID: &str = "ON CONFLICT (id) DO UPDATE SET machine_id = excluded.machine_id, name = excluded.name, \
    binproviders = excluded.binproviders, min_version = excluded.min_version, \
    min_release_age = excluded.min_release_age, postinstall_scripts = excluded.postinstall_scripts, overrides = excluded.overrides, \
    status = excluded.status, retry_at = excluded.retry_at, attempt_count = excluded.attempt_count, \
    last_error = excluded.last_error, binprovider = excluded.binprovider, abspath = excluded.abspath, \
    version = excluded.version, sha256 = excluded.sha256, fingerprint = excluded.fingerprint, \
    created_at = excluded.created_at, modified_at = excluded.modified_at, \
    num_uses_failed = excluded.num_uses_failed, num_uses_succeeded = excluded.num_uses_succeeded";

const KEEP_THE_FIRST: &str = "ON CONFLICT (machine_id, name) DO NOTHING";

const BY_NAME: &str = "WHERE machine_id = ?1 AND name = ?2";

impl Store {
    /// The binary of this name, in this case, on a machine.
    pub fn binary(&self, machine_id: MachineId, name: &str) -> Result<Option<Binary>, StoreError> {
        self.with(|connection| row::first(connection, BY_NAME, params![row::id(machine_id), name]))
    }

    /// All binaries of a machine by name, read at once.
    pub fn binaries_of(&self, machine_id: MachineId) -> Result<HashMap<String, Binary>, StoreError> {
        let all: Vec<Binary> =
            self.with(|connection| row::all(connection, "WHERE machine_id = ?1", [row::id(machine_id)]))?;
        Ok(all.into_iter().map(|it| (it.name.clone(), it)).collect())
    }

    /// The binaries that pass the filter, by name, and of one name the newest first.
    pub fn binaries(&self, filter: &BinaryFilter) -> Result<Vec<Binary>, StoreError> {
        self.with(|connection| {
            row::all(
                connection,
                "WHERE (?1 IS NULL OR name = ?1) AND (?2 IS NULL OR status = ?2) \
                 AND (?4 IS NULL OR instr(lower(abspath), lower(?4)) > 0) \
                 AND (?5 IS NULL OR instr(lower(version), lower(?5)) > 0) \
                 ORDER BY name, created_at DESC, id DESC LIMIT ?3",
                params![filter.name, filter.status, row::limit(filter.limit), filter.abspath, filter.version],
            )
        })
    }

    /// The binary that a person means: by its exact name, else by the beginning of its id.
    pub fn find_binary(&self, typed: &str) -> Result<Lookup<Binary>, StoreError> {
        self.with(|connection| {
            let mut named = row::all(connection, "WHERE name = ?1", [typed])?;
            match (named.pop(), named.len()) {
                (None, _) => row::by_id_prefix(connection, typed),
                (Some(one), 0) => Ok(Lookup::Found(one)),
                (Some(_), others) => Ok(Lookup::Ambiguous(others as u64 + 1)),
            }
        })
    }

    /// The binary of this name on a machine, made where there is none. When several processes do so at once, all
    /// of them get the same one.
    pub fn find_or_add_binary(
        &self,
        machine_id: MachineId,
        name: &str,
        now: Timestamp,
    ) -> Result<Binary, StoreError> {
        if let Some(stored) = self.binary(machine_id, name)? {
            return Ok(stored);
        }
        let binary = Binary::new(BinaryId::generate(), machine_id, name, now);
        self.transaction(|transaction| {
            insert(transaction, &binary, KEEP_THE_FIRST)?;
            row::only(transaction, BY_NAME, params![row::id(machine_id), name])
        })
    }

    /// Stores a binary in place of the one with its id. Another one of its name on its machine is
    /// [`StoreError::Refused`].
    pub fn save_binary(&self, binary: &Binary) -> Result<(), StoreError> {
        self.with(|connection| save(connection, binary))
    }

    /// Forgets a binary and its attempts; its processes stay. Whether there was one.
    pub fn delete_binary(&self, id: BinaryId) -> Result<bool, StoreError> {
        self.with(|connection| {
            let mut statement = connection.prepare_cached("DELETE FROM binary WHERE id = ?1")?;
            Ok(statement.execute([row::id(id)])? > 0)
        })
    }
}

/// Stores a binary in place of the one with its id.
pub(super) fn save(connection: &Connection, binary: &Binary) -> Result<(), Fault> {
    insert(connection, binary, UPDATE_BY_ID)
}

fn insert(connection: &Connection, binary: &Binary, on_conflict: &str) -> Result<(), Fault> {
    let (queued, installed) = match &binary.state {
        BinaryState::Queued(queued) => (Some(queued), None),
        BinaryState::Installed(installed) => (None, Some(installed)),
    };
    let sql = format!(
        "INSERT INTO binary ({}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, \
         ?17, ?18, ?19, ?20, ?21) {on_conflict}",
        Binary::COLUMNS
    );
    connection.prepare_cached(&sql)?.execute(params![
        row::id(binary.id),
        row::id(binary.machine_id),
        binary.name,
        binary.binproviders,
        binary.min_version,
        binary.policy.min_release_age,
        binary.policy.postinstall_scripts,
        Json(&binary.overrides),
        binary.state.word(),
        queued.and_then(|it| it.retry_at).map(row::time),
        queued.map(|it| it.attempt_count),
        queued.map(|it| &it.last_error),
        installed.map(|it| it.binprovider.as_str()),
        installed.map(|it| FilePath(&it.abspath)),
        installed.map(|it| &it.version),
        installed.map(|it| &it.sha256),
        installed.map(|it| &it.fingerprint),
        row::time(binary.created_at),
        row::time(binary.modified_at),
        binary.num_uses_failed,
        binary.num_uses_succeeded,
    ])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    use serde_json::json;

    use super::super::tests::{machine, store_with_machine, time};
    use super::*;
    use crate::model::plugin_name::ProviderName;

    fn installed() -> Installed {
        Installed {
            binprovider: ProviderName::from_static("apt"),
            abspath: OsStr::from_bytes(b"/opt/caf\xe9/rg").into(),
            version: String::new(),
            sha256: "00ff".to_owned(),
            fingerprint: "1:2:3".to_owned(),
        }
    }

    #[test]
    fn a_binary_comes_back_as_it_was_saved_in_every_state() {
        let (_dir, store, machine_id) = store_with_machine();
        let mut it = store.find_or_add_binary(machine_id, "rg", time(1)).unwrap();
        assert_eq!(it, Binary::new(it.id, machine_id, "rg", time(1)));
        it.overrides.insert("pip".to_owned(), json!({"packages": ["a[b]"]}));
        it.disappoint("no network".to_owned(), time(2));
        for state in [it.state.clone(), BinaryState::Installed(installed())] {
            it.state = state;
            store.save_binary(&it).unwrap();
            assert_eq!(store.binary(machine_id, "rg").unwrap().as_ref(), Some(&it));
        }
        it.state = BinaryState::Queued(Queued::default());
        store.save_binary(&it).unwrap();
        let all = store.binaries_of(machine_id).unwrap();
        assert_eq!(all, HashMap::from([("rg".to_owned(), it)]));
    }

    #[test]
    fn there_is_one_binary_per_name_and_machine_and_case_counts() {
        let (_dir, store, machine_id) = store_with_machine();
        let first = store.find_or_add_binary(machine_id, "rg", time(1)).unwrap();
        assert_eq!(store.find_or_add_binary(machine_id, "rg", time(2)).unwrap(), first);
        assert_ne!(store.find_or_add_binary(machine_id, "RG", time(2)).unwrap().id, first.id);
        let twin = Binary::new(BinaryId::generate(), machine_id, "rg", time(3));
        let refused = store.save_binary(&twin).unwrap_err();
        assert!(matches!(refused, StoreError::Refused { .. }), "{refused}");
    }

    #[test]
    fn binaries_are_listed_by_name_then_newest_within_the_filter() {
        let (_dir, store, here) = store_with_machine();
        let there = machine("there");
        store.save_machine(&there).unwrap();
        for (machine_id, name, at) in [(here, "wget", 1), (here, "git", 2), (there.id, "git", 3)] {
            store.find_or_add_binary(machine_id, name, time(at)).unwrap();
        }
        let list = |filter: BinaryFilter| -> Vec<(String, Timestamp)> {
            let listed = store.binaries(&filter).unwrap();
            listed.into_iter().map(|it| (it.name, it.created_at)).collect()
        };
        let all = [("git".to_owned(), time(3)), ("git".to_owned(), time(2)), ("wget".to_owned(), time(1))];
        assert_eq!(list(BinaryFilter::default()), all);
        let limit = Some(1);
        assert_eq!(list(BinaryFilter { limit, ..BinaryFilter::default() }), all[..1]);
        let name = Some("git".to_owned());
        assert_eq!(list(BinaryFilter { name, ..BinaryFilter::default() }), all[..2]);
        let status = Some("installed".to_owned());
        assert_eq!(list(BinaryFilter { status, ..BinaryFilter::default() }), []);
    }

    #[test]
    fn a_person_means_a_name_before_the_beginning_of_an_id() {
        let (_dir, store, machine_id) = store_with_machine();
        let rg = store.find_or_add_binary(machine_id, "rg", time(1)).unwrap();
        let whole = rg.id.to_string();
        assert_eq!(store.find_binary("rg").unwrap(), Lookup::Found(rg.clone()));
        assert_eq!(store.find_binary(&whole[..4]).unwrap(), Lookup::Found(rg.clone()));
        assert_eq!(store.find_binary("r").unwrap(), Lookup::NotFound);
        assert_eq!(store.find_binary("").unwrap(), Lookup::NotFound);
        let named_like_the_id = store.find_or_add_binary(machine_id, &whole[..4], time(1)).unwrap();
        assert_eq!(store.find_binary(&whole[..4]).unwrap(), Lookup::Found(named_like_the_id));
        let there = machine("there");
        store.save_machine(&there).unwrap();
        store.find_or_add_binary(there.id, "rg", time(1)).unwrap();
        assert_eq!(store.find_binary("rg").unwrap(), Lookup::Ambiguous(2));
    }

    #[test]
    fn a_state_of_a_later_version_is_an_error_that_names_the_row() {
        let (_dir, store, machine_id) = store_with_machine();
        let rg = store.find_or_add_binary(machine_id, "rg", time(1)).unwrap();
        store
            .lock()
            .execute_batch("PRAGMA ignore_check_constraints = ON; UPDATE binary SET status = 'molten'")
            .unwrap();
        let text = store.binary(machine_id, "rg").unwrap_err().to_string();
        for part in ["table binary", &rg.id.to_string(), "column status", "`molten`"] {
            assert!(text.contains(part), "{text}");
        }
    }
}
