//! The code with which a provider's hook begins. The toolkit writes it.

use std::ffi::OsString;

use crate::plugin::config::provider::ProviderConfig;
use crate::settings::BEGIN_VARIABLE;

/// The variable with the code that the hook would get from `hook begin`.
pub(crate) const VARIABLE: &str = BEGIN_VARIABLE;

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

/// Returns the code for a hook, or `None` if the hook has to run `hook begin` itself.
pub(crate) type Begin<'a> = &'a (dyn Fn(&HookStart<'_>) -> Option<String> + Sync);
