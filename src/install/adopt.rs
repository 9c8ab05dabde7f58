//! Adopts the binaries of another machine: a data dir that was restored from a cache, or that came with a container
//! image, contains records of the machine that installed them.

use crate::clock;
use crate::install::probe;
use crate::model::{Binary, BinaryId, Installed, MachineId};
use crate::store::{BinaryFilter, Store, StoreError};

/// A binary with the requested name.
#[derive(Debug)]
pub(crate) enum Found {
    /// The record of this machine.
    Stored(Binary),
    /// The record of another machine, for this machine and not stored yet.
    Adopted(Binary),
}

impl Found {
    /// Returns the record.
    pub(crate) fn into_binary(self) -> Binary {
        match self {
            Self::Stored(binary) | Self::Adopted(binary) => binary,
        }
    }
}

/// Returns the binary with this name on a machine. If there is none, copies the newest record of another machine, as
/// [`find`] returns it.
pub(crate) fn find_or_adopt(
    store: &Store,
    machine_id: MachineId,
    name: &str,
) -> Result<Option<Binary>, StoreError> {
    let found = find(store, machine_id, name)?;
    let Some(Found::Adopted(adopted)) = found else { return Ok(found.map(Found::into_binary)) };
    match store.save_binary(&adopted) {
        // Another rigup was faster.
        Err(StoreError::Conflict { .. }) => store.binary(machine_id, name),
        saved => saved.map(|()| Some(adopted)),
    }
}

/// Returns the binary with this name on a machine. If there is none, returns the newest record of another machine with
/// the same platform whose file still has the recorded digest, as a record of this machine that is not stored. Returns
/// `None` if there is no such record either.
pub(crate) fn find(store: &Store, machine_id: MachineId, name: &str) -> Result<Option<Found>, StoreError> {
    if let Some(binary) = store.binary(machine_id, name)? {
        return Ok(Some(Found::Stored(binary)));
    }
    let filter = BinaryFilter { name: Some(name.to_owned()), ..BinaryFilter::default() };
    let others = store.binaries(&filter)?;
    if others.is_empty() {
        return Ok(None);
    }
    let machines = store.machines()?;
    let platform = |id| {
        let machine = machines.iter().find(|machine| machine.id == id)?;
        Some((&machine.facts.os_arch, &machine.facts.os_family))
    };
    let this_platform = platform(machine_id);
    let mut same = others.into_iter().filter(|other| platform(other.machine_id) == this_platform);
    Ok(same.find_map(|other| adopted(other, machine_id)).map(Found::Adopted))
}

/// Returns the record of another machine as one of this machine, or `None` if its file is not the recorded one.
fn adopted(other: Binary, machine_id: MachineId) -> Option<Binary> {
    let installed = other.installed()?;
    let fingerprint = probe::fingerprint_of_same_file(installed)?;
    let installed = Some(Installed { fingerprint, ..installed.clone() });
    let now = clock::now();
    Some(Binary {
        id: BinaryId::generate(),
        machine_id,
        installed,
        created_at: now,
        modified_at: now,
        num_uses_failed: 0,
        num_uses_succeeded: 0,
        ..other
    })
}
