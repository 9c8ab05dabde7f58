//! The `binary` table.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::LazyLock;

use jiff::Timestamp;
use rusqlite::{Connection, params};

use crate::model::{Attempt, Backoff, Binary, BinaryId, Installed, MachineId, Policy, Process};
use crate::store::connection::Store;
use crate::store::error::StoreError;
use crate::store::lookup::{self, Lookup};
use crate::store::row::{self, TableRow, columns};
use crate::store::{attempt, process};

/// A filter for lists of binaries.
#[derive(Debug, Clone, Default)]
pub struct BinaryFilter {
    /// Only binaries with this name, on any machine.
    pub name: Option<String>,
    /// Only `queued` or `installed` binaries.
    pub status: Option<String>,
    /// Only binaries whose path contains this text, regardless of case.
    pub abspath: Option<String>,
    /// Only binaries whose version contains this text, regardless of case.
    pub version: Option<String>,
    /// Only binaries of this machine.
    pub machine_id: Option<MachineId>,
    /// At most this many binaries.
    pub limit: Option<u32>,
}

impl TableRow for Binary {
    const TABLE: &'static str = "binary";
    const COLUMNS: &'static str = "id, machine_id, name, binproviders, min_version, max_version, min_release_age, \
        postinstall_scripts, overrides, retry_at, attempt_count, last_error, failed_request_digest, binprovider, \
        abspath, version, package_version, url, url_sha256, sha256, fingerprint, request_digest, needs_wrapper, created_at, \
        modified_at, num_uses_failed, num_uses_succeeded";
    const PATHS: &'static [&'static str] = &["abspath"];
}

/// The columns of a binary that tell which program it is.
struct ProgramRow {
    id: BinaryId,
    name: String,
    abspath: Option<PathBuf>,
}

impl TableRow for ProgramRow {
    const TABLE: &'static str = "binary";
    const COLUMNS: &'static str = "id, name, abspath";
    const PATHS: &'static [&'static str] = &["abspath"];
}

columns! {
    ProgramRow { id, name, abspath }
    Policy { min_release_age, postinstall_scripts }
    Backoff { retry_at, attempt_count, last_error, failed_request_digest }
    Installed {
        binprovider, abspath, version, package_version, url, url_sha256, sha256, fingerprint, request_digest, needs_wrapper,
    }
    Binary {
        id, machine_id, name, binproviders, min_version, max_version, policy, overrides, backoff, installed,
        created_at, modified_at, num_uses_failed, num_uses_succeeded,
    }
}

const BY_NAME: &str = "WHERE machine_id = ?1 AND name = ?2";

impl Store {
    /// Returns the binary with this name, which is case-sensitive, on a machine, or `None` if there is none.
    pub fn binary(&self, machine_id: MachineId, name: &str) -> Result<Option<Binary>, StoreError> {
        self.with(|connection| row::first(connection, BY_NAME, params![machine_id, name]))
    }

    /// Returns all binaries of a machine by name.
    pub fn binaries_of(&self, machine_id: MachineId) -> Result<HashMap<String, Binary>, StoreError> {
        let all: Vec<Binary> = self.list("WHERE machine_id = ?1", [machine_id])?;
        Ok(all.into_iter().map(|binary| (binary.name.clone(), binary)).collect())
    }

    /// Returns the id, the name and the path of each binary of a machine; one that is not installed has no path.
    pub fn binary_programs(
        &self,
        machine_id: MachineId,
    ) -> Result<Vec<(BinaryId, String, Option<PathBuf>)>, StoreError> {
        let all: Vec<ProgramRow> = self.list("WHERE machine_id = ?1", [machine_id])?;
        Ok(all.into_iter().map(|ProgramRow { id, name, abspath }| (id, name, abspath)).collect())
    }

    /// Returns the name and the path of each binary of all machines. Unlike a list, this fails if a record cannot be read:
    /// what no record names is removed, so none may be left out. The other columns are not read.
    pub fn binary_files(&self) -> Result<Vec<(String, Option<PathBuf>)>, StoreError> {
        let all: Vec<ProgramRow> = self.with(|connection| row::all(connection, "", []))?;
        Ok(all.into_iter().map(|ProgramRow { name, abspath, .. }| (name, abspath)).collect())
    }

    /// Returns the binaries with this name on all machines, newest first. Fails if one of them cannot be read.
    pub fn binaries_named(&self, name: &str) -> Result<Vec<Binary>, StoreError> {
        let rest = "WHERE name = ?1 ORDER BY created_at DESC, id DESC";
        self.with(|connection| row::all(connection, rest, [name]))
    }

    /// Returns whether a binary with this name is recorded on any machine, even if its record cannot be read.
    pub fn has_binary(&self, name: &str) -> Result<bool, StoreError> {
        const SQL: &str = "SELECT EXISTS (SELECT 1 FROM binary WHERE name = ?1)";
        self.with(|connection| connection.prepare_cached(SQL)?.query_row([name], |row| row.get(0)))
    }

    /// Returns the binaries that pass the filter, sorted by name; binaries of one name are sorted newest first.
    pub fn binaries(&self, filter: &BinaryFilter) -> Result<Vec<Binary>, StoreError> {
        self.list(
            "WHERE (?1 IS NULL OR name = ?1) AND (?2 IS NULL OR status = ?2) \
                 AND (?4 IS NULL OR instr(lower(real_path(abspath)), lower(?4)) > 0) \
                 AND (?5 IS NULL OR instr(lower(version), lower(?5)) > 0) \
                 AND (?6 IS NULL OR machine_id = ?6) ORDER BY name, created_at DESC, id DESC LIMIT ?3",
            params![
                filter.name,
                filter.status,
                row::limit(filter.limit),
                filter.abspath,
                filter.version,
                filter.machine_id
            ],
        )
    }

    /// Returns the binary whose name is `typed`, preferably that of a machine. If there is none, returns the binary whose
    /// id is `typed`, or begins or ends with it.
    pub fn find_binary(
        &self,
        typed: &str,
        machine_id: Option<MachineId>,
    ) -> Result<Lookup<Binary>, StoreError> {
        self.with(|connection| {
            let mut named: Vec<Binary> = row::all(connection, "WHERE name = ?1", [typed])?;
            if let Some(own) = named.iter().position(|binary| Some(binary.machine_id) == machine_id) {
                return Ok(Lookup::Found(named.swap_remove(own)));
            }
            // A name means the record of this machine, if that is known.
            if machine_id.is_some() {
                return lookup::by_id(connection, typed);
            }
            match named.len() {
                0 => lookup::by_id(connection, typed),
                1 => Ok(Lookup::Found(named.swap_remove(0))),
                count => Ok(Lookup::Ambiguous { count: count as u64, newest: named }),
            }
        })
    }

    /// Returns the binary with this name on a machine, and adds it if there is none. If several processes do this at
    /// once, they all get the same binary.
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
            let sql = row::insert_sql::<Binary>("ON CONFLICT (machine_id, name) DO NOTHING");
            row::write(transaction, &sql, &binary)?;
            row::only(transaction, BY_NAME, params![machine_id, name])
        })
    }

    /// Stores a binary, and replaces the one with the same id. If another binary on its machine has the same name,
    /// returns [`StoreError::Conflict`].
    pub fn save_binary(&self, binary: &Binary) -> Result<(), StoreError> {
        self.with(|connection| save(connection, binary))
    }

    /// Prepares the statements that store a process and what it did, for the time in which another one is waited for. An
    /// error occurs again when they are executed.
    pub fn prepare_for_results(&self) {
        let prepare = |connection: &Connection| -> rusqlite::Result<()> {
            let statements = [&process::UPDATE, &process::SAVE, &SAVE, &attempt::INSERT];
            statements.into_iter().try_for_each(|sql| connection.prepare_cached(sql).map(drop))
        };
        let _ = self.with(prepare);
    }

    /// Stores the new fingerprint of an installed file whose content is unchanged. Does nothing if the record was changed
    /// meanwhile.
    pub fn renew_fingerprint(&self, id: BinaryId, old: &str, new: &str) -> Result<(), StoreError> {
        self.with(|connection| {
            let sql = "UPDATE binary SET fingerprint = ?3 WHERE id = ?1 AND fingerprint = ?2";
            connection.prepare_cached(sql)?.execute(params![id, old, new]).map(drop)
        })
    }

    /// Removes the failures from a binary's record.
    pub fn clear_failures(&self, id: BinaryId) -> Result<(), StoreError> {
        self.with(|connection| {
            let sql = "UPDATE binary SET retry_at = NULL, attempt_count = 0, last_error = '', \
                       failed_request_digest = '' WHERE id = ?1";
            connection.prepare_cached(sql)?.execute([id]).map(drop)
        })
    }

    /// Returns the binaries that other machines have and a machine has not, with this name or with any, sorted by name;
    /// binaries of one name are sorted newest first. Without a machine, returns those of all machines.
    pub fn binaries_elsewhere(
        &self,
        machine_id: Option<MachineId>,
        name: Option<&str>,
    ) -> Result<Vec<Binary>, StoreError> {
        let rest = "WHERE machine_id IS NOT ?1 AND (?2 IS NULL OR name = ?2) \
                        AND name NOT IN (SELECT name FROM binary WHERE machine_id = ?1) \
                    ORDER BY name, created_at DESC, id DESC";
        self.list(rest, params![machine_id, name])
    }

    /// Deletes a binary and its attempts; its processes are kept. Returns whether the binary existed.
    pub fn delete_binary(&self, id: BinaryId) -> Result<bool, StoreError> {
        self.with(|connection| {
            Ok(connection.prepare_cached("DELETE FROM binary WHERE id = ?1")?.execute([id])? > 0)
        })
    }

    /// Stores the process of a provider's hook before it starts, together with the requested binaries that are new or
    /// changed, in one transaction.
    pub fn begin_attempts(&self, process: &Process, binaries: &[&Binary]) -> Result<(), StoreError> {
        self.transaction(|transaction| {
            binaries.iter().try_for_each(|binary| save(transaction, binary))?;
            process::save(transaction, process)
        })
    }

    /// Stores the process of a provider's hook after it has exited, together with its attempts and the binaries that
    /// they changed, in one transaction.
    pub fn finish_attempts(
        &self,
        process: &Process,
        attempts: &[(BinaryId, &Attempt)],
        binaries: &[&Binary],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.transaction(|transaction| {
            process::save(transaction, process)?;
            binaries.iter().try_for_each(|binary| save(transaction, binary))?;
            attempts
                .iter()
                .try_for_each(|(binary_id, attempt)| attempt::insert(transaction, *binary_id, attempt, now))
        })
    }
}

/// The statement that stores a binary, and replaces the one with the same id.
static SAVE: LazyLock<String> = LazyLock::new(|| row::upsert_sql::<Binary>("id", &["id"]));

fn save(connection: &Connection, binary: &Binary) -> rusqlite::Result<()> {
    row::write(connection, &SAVE, binary)
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    use serde_json::json;

    use super::*;
    use crate::model::plugin_name::ProviderName;
    use crate::store::tests::{machine, store_with_machine, time};

    fn installed() -> Installed {
        Installed {
            binprovider: ProviderName::from_static("apt"),
            abspath: OsStr::from_bytes(b"/opt/caf\xe9/rg").into(),
            version: String::new(),
            package_version: "1:2.0-1".to_owned(),
            url: "https://example.org/rg.gz".to_owned(),
            url_sha256: "ff11".to_owned(),
            sha256: "00ff".to_owned(),
            fingerprint: "1:2:3".to_owned(),
            request_digest: "ff00".to_owned(),
            needs_wrapper: true,
        }
    }

    #[test]
    fn a_binary_round_trips_in_every_state() {
        let (_dir, store, machine_id) = store_with_machine();
        let mut binary = store.find_or_add_binary(machine_id, "rg", time(1)).unwrap();
        assert_eq!(binary, Binary::new(binary.id, machine_id, "rg", time(1)));
        binary.overrides.insert("pip".to_owned(), json!({"packages": ["a[b]"]}));
        binary.fail("f0".to_owned(), "no network".to_owned(), time(2));
        for installed in [None, Some(installed())] {
            binary.installed = installed;
            store.save_binary(&binary).unwrap();
            assert_eq!(store.binary(machine_id, "rg").unwrap().as_ref(), Some(&binary));
        }
        binary.requeue(time(3));
        store.save_binary(&binary).unwrap();
        let all = store.binaries_of(machine_id).unwrap();
        assert_eq!(all, HashMap::from([("rg".to_owned(), binary)]));
    }

    #[test]
    fn a_machine_has_one_binary_per_case_sensitive_name() {
        let (_dir, store, machine_id) = store_with_machine();
        let first = store.find_or_add_binary(machine_id, "rg", time(1)).unwrap();
        assert_eq!(store.find_or_add_binary(machine_id, "rg", time(2)).unwrap(), first);
        assert_ne!(store.find_or_add_binary(machine_id, "RG", time(2)).unwrap().id, first.id);
        let twin = Binary::new(BinaryId::generate(), machine_id, "rg", time(3));
        let error = store.save_binary(&twin).unwrap_err();
        assert!(matches!(error, StoreError::Conflict { .. }), "{error}");
    }

    #[test]
    fn lists_the_filtered_binaries_by_name_then_newest_first() {
        let (_dir, store, here) = store_with_machine();
        let there = machine("there");
        store.save_machine(&there).unwrap();
        for (machine_id, name, at) in [(here, "wget", 1), (here, "git", 2), (there.id, "git", 3)] {
            store.find_or_add_binary(machine_id, name, time(at)).unwrap();
        }
        let list = |filter: BinaryFilter| -> Vec<(String, Timestamp)> {
            let listed = store.binaries(&filter).unwrap();
            listed.into_iter().map(|binary| (binary.name, binary.created_at)).collect()
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
    fn a_name_takes_precedence_over_the_beginning_of_an_id() {
        let (_dir, store, machine_id) = store_with_machine();
        let rg = store.find_or_add_binary(machine_id, "rg", time(1)).unwrap();
        let whole = rg.id.to_string();
        assert_eq!(store.find_binary("rg", None).unwrap(), Lookup::Found(rg.clone()));
        assert_eq!(store.find_binary(&whole[..4], None).unwrap(), Lookup::Found(rg.clone()));
        assert_eq!(store.find_binary("r", None).unwrap(), Lookup::NotFound);
        assert_eq!(store.find_binary("", None).unwrap(), Lookup::NotFound);
        let named_like_the_id = store.find_or_add_binary(machine_id, &whole[..4], time(1)).unwrap();
        assert_eq!(store.find_binary(&whole[..4], None).unwrap(), Lookup::Found(named_like_the_id));
        let there = machine("there");
        store.save_machine(&there).unwrap();
        store.find_or_add_binary(there.id, "rg", time(1)).unwrap();
        assert!(matches!(store.find_binary("rg", None).unwrap(), Lookup::Ambiguous { count: 2, .. }));
        assert_eq!(store.find_binary("rg", Some(MachineId::generate())).unwrap(), Lookup::NotFound);
        assert_eq!(store.find_binary("rg", Some(machine_id)).unwrap(), Lookup::Found(rg));
    }

    #[test]
    fn an_unknown_value_is_an_error_that_names_the_row() {
        let (_dir, store, machine_id) = store_with_machine();
        let rg = store.find_or_add_binary(machine_id, "rg", time(1)).unwrap();
        store.lock().execute_batch("UPDATE binary SET modified_at = 'molten'").unwrap();
        let text = store.binary(machine_id, "rg").unwrap_err().to_string();
        for part in ["table binary", &rg.id.to_string(), "column modified_at", "got m"] {
            assert!(text.contains(part), "{text}");
        }
    }
}
