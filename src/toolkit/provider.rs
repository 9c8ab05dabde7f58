//! The provider whose hook calls the toolkit.

use crate::plugin::builtin;
use crate::plugin::config::provider::ProviderConfig;
use crate::plugin::config::schema;
use crate::settings::Settings;
use crate::trust::Inspection;

/// Reads what the `config.json` of a provider states about it: of the first plugin of this name on the search path, as
/// discovery finds it. A provider that does not exist takes no options.
pub fn config(provider: &str, settings: &Settings) -> Result<ProviderConfig, String> {
    let folder = settings.plugin_path.iter().map(|root| root.join(provider)).find(|folder| folder.is_dir());
    let schema = match folder {
        Some(folder) => schema::read(&folder, &mut Inspection::new(&settings.trust))
            .map_err(|(path, error)| format!("{}: {error}", path.display()))?,
        None => builtin::config(provider).map_err(|error| format!("{provider}: {error}"))?,
    };
    Ok(schema.map(|schema| schema.provider).unwrap_or_default())
}
