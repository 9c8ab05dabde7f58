//! Finds the stored record of a binary, or adopts that of another machine: a data dir that was restored from a cache, or
//! that came with a container image, contains records of the machine that installed them.

use crate::clock;
use crate::install::status::FileCheck;
use crate::model::{Backoff, Binary, BinaryId, Installed, MachineId};
use crate::store::{Store, StoreError};

/// Returns the record of a binary with its current fingerprint, or `None` if there is none. If this machine has not
/// `stored` one, copies the newest record of another machine whose file still has the recorded digest; a file for another
/// platform does not count as installed. A dry run does not change the store.
pub(crate) fn find_or_adopt(
    store: &Store,
    check: FileCheck<'_>,
    machine_id: MachineId,
    name: &str,
    stored: Option<Binary>,
    is_dry_run: bool,
) -> Result<Option<Binary>, StoreError> {
    if let Some(mut binary) = stored {
        if is_dry_run {
            check.renew_fingerprint(&mut binary);
        } else {
            check.store_renewed_fingerprint(&mut binary, store)?;
        }
        return Ok(Some(binary));
    }
    let others = store.binaries_elsewhere(machine_id, name)?;
    let Some(adopted) = others.into_iter().find_map(|other| adopted(other, check, machine_id)) else {
        return Ok(None);
    };
    match if is_dry_run { Ok(()) } else { store.save_binary(&adopted) } {
        // Another rigup was faster.
        Err(StoreError::Conflict { .. }) => store.binary(machine_id, name),
        saved => saved.map(|()| Some(adopted)),
    }
}

/// Returns the record of another machine as one of this machine, or `None` if its file is not the recorded one.
fn adopted(other: Binary, check: FileCheck<'_>, machine_id: MachineId) -> Option<Binary> {
    let installed = other.installed()?;
    let fingerprint = check.fingerprint_of_same_file(installed)?;
    let installed = Some(Installed { fingerprint, ..installed.clone() });
    let now = clock::now();
    Some(Binary {
        id: BinaryId::generate(),
        machine_id,
        installed,
        backoff: Backoff::default(),
        created_at: now,
        modified_at: now,
        num_uses_failed: 0,
        num_uses_succeeded: 0,
        ..other
    })
}
