//! Reads the lock file of a command, and pins the steps of a plan to its lines.

use std::collections::{HashMap, HashSet};
use std::fmt::Display;
use std::path::{Path, PathBuf};

use crate::engine::catalog::Catalog;
use crate::engine::error::EngineError;
use crate::engine::event::{EngineEvent, OnEvent};
use crate::install::pins::{self, Pins};
use crate::install::plan::{self, Step};
use crate::lockfile::{self, Lockfile, MAX_SIZE, Pin};
use crate::model::{BinaryName, BinarySpec, ProviderName};
use crate::plugin::builtin;
use crate::plugin::discovery::{Hook, Plugin};
use crate::settings::{self, Settings};
use crate::trust::TrustedFile;

/// A lock file and its contents on disk.
#[derive(Debug)]
pub(crate) struct LockfileOnDisk {
    /// The path of the file.
    pub(crate) path: PathBuf,
    /// Its bytes; `None` if it does not exist.
    pub(crate) bytes: Option<Vec<u8>>,
    /// Its contents.
    pub(crate) lockfile: Lockfile,
}

impl LockfileOnDisk {
    /// Reads a lock file; a missing file is empty. Rejects a file that other users may write to, because its pins count
    /// as reviewed.
    pub(crate) fn read(path: &Path, settings: &Settings, on_event: OnEvent<'_>) -> Result<Self, EngineError> {
        let absolute = std::path::absolute(path).map_err(|error| lockfile_error(path, error))?;
        let read = settings.trust.read(&absolute, MAX_SIZE as u64);
        let path = path.to_owned();
        let Some(TrustedFile { bytes, note }) = read.map_err(|error| lockfile_error(&path, error))? else {
            return Ok(Self { path, bytes: None, lockfile: Lockfile::default() });
        };
        let lockfile = Lockfile::parse(&bytes).map_err(|error| EngineError::Lockfile {
            path: path.clone(),
            line: error.line(),
            reason: error.to_string(),
        })?;
        if let Some(warning) = note {
            on_event(&EngineEvent::Warning(warning));
        }
        Ok(Self { path, bytes: Some(bytes), lockfile })
    }

    /// Returns the pins of this platform.
    pub(crate) fn pins<'a>(
        &'a self,
        hooks: &'a HashMap<ProviderName, String>,
        settings: &'a Settings,
    ) -> Pins<'a> {
        let platform = settings::platform();
        Pins { path: &self.path, lockfile: &self.lockfile, platform, hooks, settings }
    }

    /// Pins every step of a plan to its line.
    pub(crate) fn pin_steps(&self, steps: Vec<Step>, catalog: &Catalog, settings: &Settings) -> Vec<Step> {
        let hooks = hook_digests(catalog, settings);
        let pins = self.pins(&hooks, settings);
        steps.into_iter().map(|step| pins.pin(step)).collect()
    }

    /// Returns the names with a line for this platform that no step is about. A line with overrides is left out unless the
    /// requirement of a provider has the name, because only a requirement states them.
    pub(crate) fn names_beside(
        &self,
        steps: &[Step],
        catalog: &Catalog,
        settings: &Settings,
    ) -> Vec<BinarySpec> {
        let known: HashSet<&str> = steps.iter().map(|step| plan::name_of(step).as_str()).collect();
        let platform = settings::platform();
        let pins = self.lockfile.of_platform(&platform);
        let of_providers = &catalog.provider_requirements;
        let is_complete = |pin: &&Pin| {
            pin.overrides_sha256.is_empty()
                || of_providers.iter().any(|requirement| requirement.name.as_str() == pin.name)
        };
        let others = pins.filter(is_complete).filter(|pin| !known.contains(pin.name.as_str()));
        let names = others.filter_map(|pin| BinaryName::parse(&pin.name, settings.home.as_deref()).ok());
        names.map(BinarySpec::from).collect()
    }
}

/// Reads a lock file that has to exist.
pub(crate) fn read_existing(
    path: &Path,
    settings: &Settings,
    on_event: OnEvent<'_>,
) -> Result<LockfileOnDisk, EngineError> {
    let file = LockfileOnDisk::read(path, settings, on_event)?;
    if file.bytes.is_none() {
        let command = lockfile::command(path, &[]);
        return Err(lockfile_error(path, format!("it does not exist; run `{command}` to create it")));
    }
    Ok(file)
}

/// Returns the digests of the hooks of each provider. A provider with an unreadable hook has none.
pub(crate) fn hook_digests(catalog: &Catalog, settings: &Settings) -> HashMap<ProviderName, String> {
    let hooks = catalog.provider_hooks();
    let digest = |name: ProviderName| {
        let plugin = catalog.plugin(name.as_str())?;
        let of_provider = hooks.iter().filter(|hook| hook.plugin == name);
        let contents: Option<Vec<Vec<u8>>> =
            of_provider.map(|hook| hook_content(plugin, hook, settings)).collect();
        Some((name, pins::hook_digest(&contents?)))
    };
    catalog.providers().into_iter().filter_map(digest).collect()
}

fn hook_content(plugin: &Plugin, hook: &Hook, settings: &Settings) -> Option<Vec<u8>> {
    let name = hook.path.file_name()?.to_str()?;
    match builtin::file(plugin, &settings.data_dir, name) {
        // The hook may not be unpacked yet.
        Some(content) => Some(content.as_bytes().to_vec()),
        None => fs_err::read(&hook.path).ok(),
    }
}

/// Returns the error for a lock file that cannot be used.
pub(crate) fn lockfile_error(path: &Path, reason: impl Display) -> EngineError {
    EngineError::Lockfile { path: path.to_owned(), line: None, reason: reason.to_string() }
}
