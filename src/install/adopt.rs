//! Finds the stored records of binaries, or adopts those of another machine: a data dir that was restored from a cache, or
//! that came with a container image, contains records of the machine that installed them.

use std::collections::HashMap;

use rayon::prelude::*;

use crate::clock;
use crate::install::status::FileCheck;
use crate::model::{Backoff, Binary, BinaryId, Installed, MachineId};
use crate::store::{Store, StoreError};

/// Returns all binaries of a machine by name, and those of other machines that count as installed on it, because it has no
/// record of them and their files still have the recorded digests. Of several such records, the newest counts; it keeps its
/// id. `None` is a machine that has no records. Changes nothing.
pub(crate) fn binaries(
    store: &Store,
    check: FileCheck<'_>,
    machine_id: Option<MachineId>,
) -> Result<HashMap<String, Binary>, StoreError> {
    let stored = machine_id.map(|machine_id| store.binaries_of(machine_id)).transpose()?;
    let others = store.binaries_elsewhere(machine_id, None)?;
    let by_name: Vec<&[Binary]> = others.chunk_by(|one, other| one.name == other.name).collect();
    // The digest of a large file takes a while.
    let adoptable: Vec<Binary> =
        by_name.into_par_iter().filter_map(|records| newest_adoptable(records, check)).collect();
    let mut binaries = stored.unwrap_or_default();
    binaries.extend(adoptable.into_iter().map(|binary| (binary.name.clone(), binary)));
    Ok(binaries)
}

/// Returns the binary with this name as [`binaries`] does, or `None` if there is none.
pub(crate) fn binary(
    store: &Store,
    check: FileCheck<'_>,
    machine_id: Option<MachineId>,
    name: &str,
) -> Result<Option<Binary>, StoreError> {
    match machine_id.map(|machine_id| store.binary(machine_id, name)).transpose()?.flatten() {
        Some(stored) => Ok(Some(stored)),
        None => Ok(newest_adoptable(&store.binaries_elsewhere(machine_id, Some(name))?, check)),
    }
}

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
    let others = store.binaries_elsewhere(Some(machine_id), Some(name))?;
    let Some(found) = newest_adoptable(&others, check) else { return Ok(None) };
    if is_dry_run {
        return Ok(Some(found));
    }
    let now = clock::now();
    let adopted = Binary {
        id: BinaryId::generate(),
        machine_id,
        created_at: now,
        modified_at: now,
        num_uses_failed: 0,
        num_uses_succeeded: 0,
        ..found
    };
    match store.save_binary(&adopted) {
        // Another rigup was faster.
        Err(StoreError::Conflict { .. }) => store.binary(machine_id, name),
        saved => saved.map(|()| Some(adopted)),
    }
}

/// Returns the first of these records of other machines whose file is still the recorded one, with the current fingerprint
/// and without what failed there, or `None` if there is none.
fn newest_adoptable(others: &[Binary], check: FileCheck<'_>) -> Option<Binary> {
    others.iter().find_map(|other| {
        let installed = other.installed()?;
        let fingerprint = check.fingerprint_of_same_file(installed)?;
        Some(Binary {
            installed: Some(Installed { fingerprint, ..installed.clone() }),
            backoff: Backoff::default(),
            ..other.clone()
        })
    })
}
