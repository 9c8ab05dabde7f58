//! The `machine` table.

use jiff::Timestamp;
use rusqlite::params;
use serde_json::{Map, Value};

use crate::clock;
use crate::model::{Guid, Machine, MachineFacts, MachineId};
use crate::store::connection::Store;
use crate::store::error::StoreError;
use crate::store::lookup::{self, Lookup};
use crate::store::row::{self, TableRow, columns};

impl TableRow for Machine {
    const TABLE: &'static str = "machine";
    const COLUMNS: &'static str = "id, guid, guid_source, hostname, hw_in_docker, hw_in_vm, hw_manufacturer, hw_product, \
        hw_uuid, os_arch, os_family, os_platform, os_release, os_kernel, stats, config, \
        facts_at, created_at, modified_at, num_uses_failed, num_uses_succeeded";

    fn selected(column: &str) -> String {
        match column {
            "config" => with_paths("real_path", "config") + " AS config",
            _ => column.to_owned(),
        }
    }

    fn expression(column: &str, parameter: String) -> String {
        match column {
            "config" => with_paths("stored_path", &parameter),
            _ => parameter,
        }
    }
}

/// Returns the SQL expression for a JSON object of paths, each converted with `function`.
fn with_paths(function: &str, object: &str) -> String {
    format!("(SELECT json_group_object(key, {function}(value)) FROM json_each({object}))")
}

columns! {
    Guid { value, source }
    MachineFacts {
        hostname, hw_in_docker, hw_in_vm, hw_manufacturer, hw_product, hw_uuid, os_arch, os_family, os_platform, os_release,
        os_kernel, stats,
    }
    Machine { id, guid, facts, config, facts_at, created_at, modified_at, num_uses_failed, num_uses_succeeded }
}

const BY_GUID: &str = "WHERE guid = ?1";

impl Store {
    /// Merges keys into the config of a machine: a value replaces the previous one, and null removes the key. Other
    /// keys do not change.
    pub fn merge_machine_config(
        &self,
        machine_id: MachineId,
        patch: &Map<String, Value>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.with(|connection| {
            let patch_paths = with_paths("stored_path", "?2");
            let sql = format!(
                "UPDATE machine SET config = json_patch(config, {patch_paths}), modified_at = ?3 WHERE id = ?1"
            );
            let params = params![machine_id, row::json(patch)?, clock::format(now)];
            connection.prepare_cached(&sql)?.execute(params).map(drop)
        })
    }

    /// Returns the machine with this guid, or `None` if there is none that can be read.
    pub fn machine_by_guid(&self, guid: &str) -> Result<Option<Machine>, StoreError> {
        Ok(self.list(BY_GUID, [guid])?.pop())
    }

    /// Returns the machine with this id, or with an id that begins or ends with it.
    pub fn find_machine(&self, typed: &str) -> Result<Lookup<Machine>, StoreError> {
        self.with(|connection| lookup::by_id(connection, typed))
    }

    /// Returns all machines, oldest first.
    pub fn machines(&self) -> Result<Vec<Machine>, StoreError> {
        self.list("ORDER BY created_at, id", [])
    }

    /// Stores a machine, and replaces the one with the same id. If another machine has the same guid, returns
    /// [`StoreError::Conflict`]; see [`Store::find_or_add_machine`].
    pub fn save_machine(&self, machine: &Machine) -> Result<(), StoreError> {
        self.with(|connection| row::write(connection, &row::upsert_sql::<Machine>("id", &["id"]), machine))
    }

    /// Adds to the numbers of requests on a machine that succeeded and failed.
    pub fn count_uses(&self, id: MachineId, succeeded: u32, failed: u32) -> Result<(), StoreError> {
        self.with(|connection| {
            let mut statement = connection.prepare_cached(
                "UPDATE machine SET num_uses_succeeded = num_uses_succeeded + ?2, \
                 num_uses_failed = num_uses_failed + ?3 WHERE id = ?1",
            )?;
            statement.execute((id, succeeded, failed)).map(drop)
        })
    }

    /// Returns the stored machine with the guid of `machine`, or stores and returns `machine` if there is none. If
    /// several processes do this at once, they all get the same machine. A row that cannot be read is replaced, except
    /// its id.
    pub fn find_or_add_machine(&self, machine: &Machine) -> Result<Machine, StoreError> {
        if let Some(stored) = self.machine_by_guid(&machine.guid.value)? {
            return Ok(stored);
        }
        self.transaction(|transaction| {
            let guid = &machine.guid.value;
            if let Ok(stored) = row::only(transaction, BY_GUID, [guid]) {
                return Ok(stored);
            }
            row::write(transaction, &row::upsert_sql::<Machine>("guid", &["id"]), machine)?;
            row::only(transaction, BY_GUID, [guid])
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::store::tests::{machine, time};

    #[test]
    fn a_machine_round_trips() {
        let (_dir, store) = crate::store::tests::store();
        let mut stored = machine("a");
        stored.facts.hw_in_vm = true;
        stored.facts.os_release = "Debian GNU/Linux 12 (bookworm)".to_owned();
        stored.facts.stats.insert("z".to_owned(), json!(1.5));
        stored.facts.stats.insert("a".to_owned(), json!(null));
        stored.config.insert("RG_BINARY".to_owned(), json!("/usr/bin/rg"));
        store.save_machine(&stored).unwrap();
        assert_eq!(store.machine_by_guid("a").unwrap(), Some(stored.clone()));
        stored.num_uses_failed = u32::MAX;
        stored.modified_at = time(9);
        store.save_machine(&stored).unwrap();
        assert_eq!(store.machines().unwrap(), [stored]);
        assert_eq!(store.machine_by_guid("A").unwrap(), None);
    }

    #[test]
    fn the_first_of_two_machines_with_one_guid_is_kept() {
        let (_dir, store) = crate::store::tests::store();
        let first = machine("a");
        let second =
            Machine { id: MachineId::generate(), created_at: Timestamp::UNIX_EPOCH, ..first.clone() };
        assert_eq!(store.find_or_add_machine(&first).unwrap(), first);
        assert_eq!(store.find_or_add_machine(&second).unwrap(), first);
        let error = store.save_machine(&second).unwrap_err();
        assert!(matches!(error, StoreError::Conflict { .. }), "{error}");
        assert!(error.to_string().contains("machine.guid"), "{error}");
    }
}
