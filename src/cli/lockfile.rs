//! The lock file that a command line means.

use std::collections::HashMap;
use std::fmt::Display;
use std::path::{Path, PathBuf};

use crate::cli::error::CliError;
use crate::cli::output::say;
use crate::cli::search::Found;
use crate::install::pin::{self, Pins};
use crate::install::plan::Step;
use crate::lockfile::{FILE_NAME, Lockfile, MAX_SIZE};
use crate::model::plugin_name::ProviderName;
use crate::plugin::builtin;
use crate::plugin::discovery::{Hook, Plugin};
use crate::settings::{self, Settings};
use crate::trust::Trusted;

/// Whether what is installed is to be what was locked.
#[derive(Debug, clap::Args)]
pub(crate) struct LockedArgs {
    /// Get exactly what the lock file says, and refuse anything else
    #[arg(long)]
    locked: bool,
    /// The lock file [default: ./rigup.lock]
    #[arg(long, value_name = "FILE", requires = "locked")]
    lockfile: Option<PathBuf>,
}

impl LockedArgs {
    /// What the lock file leaves of a plan, where it counts.
    pub(crate) fn pin(
        self,
        steps: Vec<Step>,
        found: &Found,
        settings: &Settings,
    ) -> Result<Vec<Step>, CliError> {
        if !self.locked {
            return Ok(steps);
        }
        let file = LockfileOnDisk::read(self.lockfile, settings)?;
        if file.bytes.is_none() {
            let path = file.path.display();
            return Err(CliError::unusable(format!("there is no lock file {path}; `rigup lock` writes one")));
        }
        let hooks = hook_digests(found, settings);
        let pins = file.pins(&hooks);
        Ok(steps.into_iter().map(|step| pins.pin(step)).collect())
    }
}

/// A lock file as it was read.
#[derive(Debug)]
pub(crate) struct LockfileOnDisk {
    /// Where it is, or will be.
    pub(crate) path: PathBuf,
    /// Its bytes; none where there is no such file.
    pub(crate) bytes: Option<Vec<u8>>,
    /// What it says.
    pub(crate) lockfile: Lockfile,
}

impl LockfileOnDisk {
    /// Reads it; one that is not there says nothing. One that others may write is refused: what it says is taken for what
    /// was reviewed.
    pub(crate) fn read(path: Option<PathBuf>, settings: &Settings) -> Result<Self, CliError> {
        let (file, note) = Self::at(path.unwrap_or_else(|| FILE_NAME.into()), settings)?;
        if let Some(note) = note {
            say(&format!("warning: {note}"));
        }
        Ok(file)
    }

    /// The same file, as it is now.
    pub(crate) fn again(&self, settings: &Settings) -> Result<Self, CliError> {
        Self::at(self.path.clone(), settings).map(|(file, _)| file)
    }

    /// The file, and what a person should know of it.
    fn at(path: PathBuf, settings: &Settings) -> Result<(Self, Option<String>), CliError> {
        let whole = std::path::absolute(&path).map_err(|error| unusable(&path, error))?;
        let read = settings.trust.read(&whole, MAX_SIZE as u64);
        let Some(Trusted { bytes, note }) = read.map_err(|error| unusable(&path, error))? else {
            return Ok((Self { path, bytes: None, lockfile: Lockfile::default() }, None));
        };
        let lockfile = Lockfile::parse(&bytes).map_err(|error| unusable(&path, error))?;
        Ok((Self { path, bytes: Some(bytes), lockfile }, note))
    }

    /// What it says, held against this machine.
    pub(crate) fn pins<'a>(&'a self, hooks: &'a HashMap<ProviderName, String>) -> Pins<'a> {
        Pins { path: &self.path, lockfile: &self.lockfile, platform: settings::platform(), hooks }
    }
}

fn unusable(path: &Path, reason: impl Display) -> CliError {
    CliError::unusable(format!("the lock file {} cannot be used: {reason}", path.display()))
}

/// The digests of the providers' hooks. A hook that cannot be read has none.
pub(crate) fn hook_digests(found: &Found, settings: &Settings) -> HashMap<ProviderName, String> {
    let hooks = found.provider_hooks();
    let digest = |name: ProviderName| {
        let of_it = hooks.iter().filter(|hook| hook.plugin == name);
        let plugin = found.plugin(&name);
        let contents: Option<Vec<Vec<u8>>> = of_it.map(|hook| content(plugin?, hook, settings)).collect();
        Some((name, pin::hook_digest(&contents?)))
    };
    found.providers().into_iter().filter_map(digest).collect()
}

fn content(plugin: &Plugin, hook: &Hook, settings: &Settings) -> Option<Vec<u8>> {
    let name = hook.path.file_name()?.to_str()?;
    match builtin::file(plugin, &settings.data_dir, name) {
        // It may not be unpacked yet.
        Some(text) => text.map(<[u8]>::to_vec),
        None => fs_err::read(&hook.path).ok(),
    }
}
