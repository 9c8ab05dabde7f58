//! What the toolkit does for a provider's hook that rigup starts, instead of the hook: it writes the code with which the hook
//! begins, and puts in place what the hook has built. The hook itself then starts no rigup.

use std::ffi::OsString;

use serde_json::{Map, Value};

use crate::model::Outcome;
use crate::plugin::config::provider::ProviderConfig;
use crate::process::signals::Interrupt;
use crate::protocol::Record;
use crate::settings::BEGIN_VARIABLE;

/// The variable with the code that the hook would get from `hook begin`.
pub(crate) const VARIABLE: &str = BEGIN_VARIABLE;

/// The field of a Binary record with the folder that contains the prefix, which rigup has to put in place.
pub(crate) const BUILT: &str = "built";

/// A provider's hook that is about to be started, and holds its lock.
#[derive(Debug)]
pub(crate) struct HookStart<'a> {
    /// The arguments of the hook.
    pub arguments: &'a [OsString],
    /// The name of the provider.
    pub provider: &'a str,
    /// The `config.json` of the provider.
    pub config: &'a ProviderConfig,
    /// The variables of the hook.
    pub environment: &'a [(OsString, OsString)],
}

/// What the toolkit does for a hook that rigup starts.
pub(crate) trait BegunHook {
    /// Returns the code with which the hook begins.
    fn code(&self) -> &str;

    /// Does what `hook binary --built` does, for a Binary record with the field [`BUILT`]: returns the records of the binary
    /// in the prefix, or the outcome and the reason. Returns no record after an interrupt. Messages are passed to `on_message`.
    fn put_in_place(
        &self,
        record: &Map<String, Value>,
        interrupt: &Interrupt,
        on_message: &dyn Fn(String),
    ) -> Result<Vec<Record>, (Outcome, String)>;
}

/// Begins a hook. Returns `None` if the hook has to run `hook begin` itself.
pub(crate) type Begin<'a> = &'a (dyn Fn(&HookStart<'_>) -> Option<Box<dyn BegunHook>> + Sync);
