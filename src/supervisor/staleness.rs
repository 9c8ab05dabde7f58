//! The binaries that a daemon was started with, and whether they have changed since then.

use serde_json::{Map, Value, json};

use crate::model::{Daemon, MachineId};
use crate::store::{Store, StoreError};

/// Returns the state of the binaries with these names: `null` for one that is not installed.
pub(super) fn binaries(
    store: &Store,
    machine_id: MachineId,
    names: &[String],
) -> Result<Map<String, Value>, StoreError> {
    let state = |name: &String| {
        let binary = store.binary(machine_id, name)?;
        let installed = binary.as_ref().and_then(|binary| binary.installed());
        let state = installed.map(|file| {
            // The script of a package stays the same when the package is updated.
            json!([file.abspath.to_string_lossy(), file.version, file.package_version, file.sha256])
        });
        Ok((name.clone(), state.unwrap_or_default()))
    };
    names.iter().map(state).collect()
}

/// Returns whether an install has changed a binary since the execution of a daemon was started.
pub(crate) fn is_stale(store: &Store, machine_id: MachineId, daemon: &Daemon) -> Result<bool, StoreError> {
    let names: Vec<String> = daemon.binaries.keys().cloned().collect();
    Ok(!names.is_empty() && binaries(store, machine_id, &names)? != daemon.binaries)
}
