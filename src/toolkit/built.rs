//! A prefix that a hook builds beside its place, and that replaces the earlier one only if its program is accepted.

use std::path::{Path, PathBuf};

use crate::fs::atomic;
use crate::fs::dir::{denying_owner, parent};
use crate::fs::lib_dir::{self, Prefix};
use crate::fs::remove::remove_tree;
use crate::fs::tree_digest::tree_digest;
use crate::process::inherited_lock;
use crate::process::lock::{self, LOCKED, Lock};
use crate::process::signals::Interrupt;
use crate::process::tree;
use crate::settings::Settings;
use crate::toolkit::binary::BinaryError;
use crate::toolkit::{relocate, unpacked_asset};

/// A folder that a hook has filled, and the prefix that it replaces.
#[derive(Debug)]
pub(crate) struct BuiltPrefix<'a> {
    /// The folder, on the same file system as the prefix: the one in which hooks build it, or a folder in that.
    pub built: &'a Path,
    /// The prefix.
    pub prefix: PathBuf,
    /// Whether the requests of other binaries, whose hooks have other locks, build the same prefix.
    pub is_shared: bool,
    /// The settings, with the folder that contains the prefix.
    pub settings: &'a Settings,
}

impl BuiltPrefix<'_> {
    /// Returns the path at which a file of the prefix is until [`Self::put_in_place`].
    pub(crate) fn locate(&self, file: &Path) -> PathBuf {
        file.strip_prefix(&self.prefix).map_or_else(|_| file.to_owned(), |inside| self.built.join(inside))
    }

    /// Makes the links and launchers in the folder work after it was moved. Calls `on_message` for each script for which that
    /// is not possible.
    pub(crate) fn relocate(&self, on_message: &dyn Fn(String)) -> Result<(), BinaryError> {
        let failed = |error| BinaryError::Relocate(self.built.to_owned(), error);
        for script in relocate::relocate(self.built, &self.settings.lib_dir).map_err(failed)? {
            on_message(relocate::fixed_script(&script));
        }
        Ok(())
    }

    /// Returns a message about a file in the folder with the path that it has in the prefix.
    pub(crate) fn with_final_paths(&self, message: &str) -> String {
        message.replace(&*self.built.to_string_lossy(), &self.prefix.to_string_lossy())
    }

    /// Replaces the prefix with the folder, and returns the new path of a file. After an error, the earlier prefix is
    /// still in place. Something that rigup did not make is not replaced. A hook that had to build in the prefix itself
    /// has checked that before, and names the prefix as the folder. If the folder is in the one in which hooks build, that
    /// is removed with the rest of its files. A shared prefix is replaced only if it differs: others may use it.
    /// `download` is the address and the digest of the file that was unpacked into the folder, if the hook states them.
    pub(crate) fn put_in_place(
        &self,
        file: &Path,
        download: Option<(&str, &str)>,
        interrupt: &Interrupt,
    ) -> Result<PathBuf, BinaryError> {
        let prefix = &self.prefix;
        let lib_dir = &*self.settings.lib_dir;
        let failed = |error| BinaryError::Replace(prefix.clone(), error);
        let is_in_place = self.built == prefix;
        let place = Prefix::new(prefix, lib_dir);
        let mut _lock = None;
        if let Some(place) = &place {
            place.check_folders(lib_dir).map_err(failed)?;
            _lock = self.lock(place, interrupt)?;
            if !is_in_place && !place.has_evidence(lib_dir) && lib_dir::is_filled(prefix) {
                return Err(BinaryError::Foreign(prefix.clone()));
            }
            place.create_evidence(lib_dir).map_err(failed)?;
            lib_dir::make_shared_dir(lib_dir, parent(prefix)).map_err(failed)?;
        }
        if is_in_place {
            return Ok(file.to_owned());
        }
        let part = place.as_ref().map(|place| place.part(lib_dir));
        let aside = part.as_deref().filter(|part| self.built.starts_with(part)).unwrap_or(self.built);
        let final_path =
            file.strip_prefix(self.built).map_or_else(|_| file.to_owned(), |inside| prefix.join(inside));
        if let Some(download) = download.filter(|_| self.is_shared) {
            unpacked_asset::state(self.built, download).map_err(failed)?;
        }
        let digest = |folder: &Path| tree_digest(folder, None).ok();
        if self.is_shared && digest(prefix).is_some_and(|found| Some(found) == digest(self.built)) {
            let _ = remove_tree(aside);
            return Ok(final_path);
        }
        atomic::replace_folder(prefix, self.built, aside).map_err(|error| {
            match denying_owner(prefix, &error) {
                Some(owner) => BinaryError::OtherOwner(prefix.clone(), owner),
                None => failed(error),
            }
        })?;
        // The new prefix is in place even if the rest cannot be removed.
        let _ = remove_tree(aside);
        Ok(final_path)
    }

    /// Releases the lock of a shared prefix that the hook holds. A process that the program left behind would hold it, too.
    pub(crate) fn release_lock(&self) {
        let lib_dir = &self.settings.lib_dir;
        if let Some(place) = Prefix::new(&self.prefix, lib_dir).filter(|_| self.is_shared) {
            inherited_lock::release(lib_dir, &place.lock_name());
        }
    }

    /// Takes the lock of a shared prefix, unless the hook holds it.
    fn lock(&self, place: &Prefix, interrupt: &Interrupt) -> Result<Option<Lock>, BinaryError> {
        let Settings { lib_dir, environment, .. } = self.settings;
        let name = place.lock_name();
        let is_held = || {
            environment.get(LOCKED) == Some(lock::id(lib_dir, &name).as_os_str())
                || inherited_lock::is_inherited(lib_dir, &name)
        };
        if !self.is_shared || is_held() {
            return Ok(None);
        }
        let waits_for_this = tree::descends_from;
        Ok(Some(Lock::take_in_lib_dir(lib_dir, &name, interrupt, waits_for_this, |_| {})?))
    }
}
