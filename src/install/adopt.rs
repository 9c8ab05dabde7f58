//! Adopts the binaries of another machine: a data dir that was restored from a cache, or that came with a container
//! image, contains records of the machine that installed them.

use crate::clock;
use crate::fs::digest;
use crate::install::probe;
use crate::model::{Binary, BinaryId, Installed, MachineId};
use crate::store::{BinaryFilter, Store, StoreError};

/// Returns the binary with this name on a machine. If there is none, copies the newest record of another machine with
/// the same platform whose file still has the recorded digest. Returns `None` if there is no such record either.
pub(crate) fn find_or_adopt(
    store: &Store,
    machine_id: MachineId,
    name: &str,
) -> Result<Option<Binary>, StoreError> {
    if let Some(binary) = store.binary(machine_id, name)? {
        return Ok(Some(binary));
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
    let Some(adopted) = same.find_map(|other| adopted(other, machine_id)) else { return Ok(None) };
    match store.save_binary(&adopted) {
        // Another rigup was faster.
        Err(StoreError::Conflict { .. }) => store.binary(machine_id, name),
        saved => saved.map(|()| Some(adopted)),
    }
}

/// Returns the record of another machine as one of this machine, or `None` if its file is not the recorded one.
fn adopted(other: Binary, machine_id: MachineId) -> Option<Binary> {
    let installed = other.installed()?;
    let fingerprint = probe::fingerprint(&installed.abspath)?;
    let is_unchanged = digest::sha256(&installed.abspath).is_ok_and(|found| found == installed.sha256);
    let installed = Some(Installed { fingerprint, ..installed.clone() });
    let now = clock::now();
    is_unchanged.then_some(Binary {
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
