//! The `attempt` table.

use jiff::Timestamp;
use std::sync::LazyLock;

use rusqlite::Connection;

use crate::model::{Attempt, AttemptId, BinaryId, ProcessId};
use crate::store::connection::Store;
use crate::store::error::StoreError;
use crate::store::row::{self, TableRow, columns};

/// A row of the table.
pub(super) struct AttemptRow {
    id: AttemptId,
    binary_id: BinaryId,
    attempt: Attempt,
    created_at: Timestamp,
}

columns! {
    Attempt { process_id, provider, outcome, reason }
    AttemptRow { id, binary_id, attempt, created_at }
    NamedRow { row, binary }
}

impl TableRow for AttemptRow {
    const TABLE: &'static str = "attempt";
    const COLUMNS: &'static str = "id, binary_id, process_id, provider, outcome, reason, created_at";
}

/// A row of the table with the name of its binary.
struct NamedRow {
    row: AttemptRow,
    binary: String,
}

impl TableRow for NamedRow {
    const TABLE: &'static str = "attempt AS a JOIN binary AS b ON b.id = a.binary_id";
    const COLUMNS: &'static str =
        "a.id, a.binary_id, a.process_id, a.provider, a.outcome, a.reason, a.created_at, b.name";
}

/// An attempt with the name of its binary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BinaryAttempt {
    /// The binary's name.
    pub binary: String,
    /// The attempt.
    pub attempt: Attempt,
    /// When the attempt was stored, which is when its result was verified.
    pub at: Timestamp,
}

impl Store {
    /// Stores an attempt to install a binary.
    pub fn add_attempt(
        &self,
        binary_id: BinaryId,
        attempt: &Attempt,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.with(|connection| insert(connection, binary_id, attempt, now))
    }

    /// Returns the attempts to install a binary, each with the time when it was stored, oldest first.
    pub fn attempts(&self, binary_id: BinaryId) -> Result<Vec<(Attempt, Timestamp)>, StoreError> {
        let rows: Vec<AttemptRow> = self.list("WHERE binary_id = ?1 ORDER BY created_at, id", [binary_id])?;
        Ok(rows.into_iter().map(|row| (row.attempt, row.created_at)).collect())
    }

    /// Returns the attempts of the children of a process, oldest first.
    pub fn attempts_of_children(&self, parent_id: ProcessId) -> Result<Vec<BinaryAttempt>, StoreError> {
        const OF_CHILDREN: &str = "WHERE a.process_id IN (SELECT id FROM process WHERE parent_id = ?1) \
            ORDER BY a.created_at, a.id";
        let rows: Vec<NamedRow> = self.list(OF_CHILDREN, [parent_id])?;
        let named =
            |NamedRow { row, binary }| BinaryAttempt { binary, attempt: row.attempt, at: row.created_at };
        Ok(rows.into_iter().map(named).collect())
    }
}

/// The statement that stores an attempt.
pub(super) static INSERT: LazyLock<String> = LazyLock::new(|| row::insert_sql::<AttemptRow>(""));

pub(super) fn insert(
    connection: &Connection,
    binary_id: BinaryId,
    attempt: &Attempt,
    now: Timestamp,
) -> rusqlite::Result<()> {
    let attempt = attempt.clone();
    let row = AttemptRow { id: AttemptId::generate(), binary_id, attempt, created_at: now };
    row::write(connection, &INSERT, &row)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::attempt::Outcome;
    use crate::model::plugin_name::ProviderName;
    use crate::model::process::{Process, ProcessExit};
    use crate::store::tests::{hook, store_with_machine, time};

    fn attempt(outcome: Outcome) -> Attempt {
        Attempt {
            provider: ProviderName::from_static("apt"),
            outcome,
            reason: "because".to_owned(),
            process_id: None,
        }
    }

    #[test]
    fn attempts_of_every_outcome_round_trip_in_their_order() {
        let (_dir, store, machine) = store_with_machine();
        let binary = store.find_or_add_binary(machine, "rg", time(1)).unwrap().id;
        for outcome in Outcome::ALL {
            store.add_attempt(binary, &attempt(outcome), time(1)).unwrap();
        }
        let expected = Outcome::ALL.map(|outcome| (attempt(outcome), time(1)));
        assert_eq!(store.attempts(binary).unwrap(), expected);
        assert_eq!(store.attempts(BinaryId::generate()).unwrap(), []);
    }

    #[test]
    fn a_finished_attempt_is_stored_with_its_process_or_not_at_all() {
        let (_dir, store, machine) = store_with_machine();
        let binary = store.find_or_add_binary(machine, "rg", time(1)).unwrap().id;
        let process = hook(machine, time(1)).into_exited(ProcessExit::exited(0, time(2)));
        let finished = Attempt { process_id: Some(process.id), ..attempt(Outcome::Declined) };
        let no_such_binary = BinaryId::generate();
        let error =
            store.finish_attempts(&process, &[(no_such_binary, &finished)], &[], time(2)).unwrap_err();
        assert!(matches!(error, StoreError::UnknownReference { .. }), "{error}");
        assert_eq!(store.process(process.id).unwrap(), None);
        store.finish_attempts(&process, &[(binary, &finished)], &[], time(2)).unwrap();
        assert_eq!(store.process(process.id).unwrap(), Some(process));
        assert_eq!(store.attempts(binary).unwrap(), [(finished, time(2))]);
    }

    #[test]
    fn finds_the_attempts_of_the_hooks_that_a_process_started() {
        let (_dir, store, machine) = store_with_machine();
        let rigup = hook(machine, time(1));
        store.save_process(&rigup).unwrap();
        let try_for = |name, parent: &Process, at| {
            let mut process = hook(machine, time(at));
            process.parent_id = Some(parent.id);
            let attempt = Attempt { process_id: Some(process.id), ..attempt(Outcome::Declined) };
            let binary = store.find_or_add_binary(machine, name, time(1)).unwrap().id;
            store.finish_attempts(&process, &[(binary, &attempt)], &[], time(at)).unwrap();
            (process, BinaryAttempt { binary: name.to_owned(), attempt, at: time(at) })
        };
        let (child, first) = try_for("rg", &rigup, 2);
        let (_, second) = try_for("jq", &rigup, 3);
        try_for("node", &child, 4);
        store
            .add_attempt(
                store.find_or_add_binary(machine, "rg", time(1)).unwrap().id,
                &attempt(Outcome::Skipped),
                time(5),
            )
            .unwrap();
        assert_eq!(store.attempts_of_children(rigup.id).unwrap(), [first, second]);
    }

    #[test]
    fn deleting_a_binary_deletes_its_attempts_but_no_process() {
        let (_dir, store, machine) = store_with_machine();
        let binary = store.find_or_add_binary(machine, "rg", time(1)).unwrap().id;
        let mut process = hook(machine, time(1));
        process.binary_id = Some(binary);
        store.finish_attempts(&process, &[(binary, &attempt(Outcome::Failed))], &[], time(2)).unwrap();
        assert!(store.delete_binary(binary).unwrap());
        assert!(!store.delete_binary(binary).unwrap());
        assert_eq!(store.attempts(binary).unwrap(), []);
        process.binary_id = None;
        assert_eq!(store.process(process.id).unwrap(), Some(process));
    }

    #[test]
    fn an_attempt_with_an_unknown_outcome_is_left_out_and_named() {
        let (_dir, store, machine) = store_with_machine();
        let binary = store.find_or_add_binary(machine, "rg", time(1)).unwrap().id;
        store.add_attempt(binary, &attempt(Outcome::Failed), time(1)).unwrap();
        store
            .lock()
            .execute_batch("PRAGMA ignore_check_constraints = ON; UPDATE attempt SET outcome = 'undecided'")
            .unwrap();
        assert_eq!(store.attempts(binary).unwrap(), []);
        let text = store.take_unreadable().join("\n");
        for part in ["table attempt", "column outcome", "`undecided`"] {
            assert!(text.contains(part), "{text}");
        }
    }
}
