//! The package managers of the system among the providers.

use crate::engine::catalog::Catalog;
use crate::install::plan::HostProviders;
use crate::model::ProviderName;
use crate::plugin::requirement::SYSTEM;
use crate::sorting::sort_by_key;

impl Catalog {
    /// Returns the package managers of the system that are on PATH, in hook order, each with whether it installs as root.
    fn package_managers(&self) -> &[(ProviderName, bool)] {
        self.package_managers.get_or_init(|| {
            let configs = self.provider_configs();
            let manager = |name: ProviderName| {
                let config = &configs[&name];
                let as_root = config.commands.as_ref()?.as_root;
                self.missing_programs(config).next().is_none().then_some((name, as_root))
            };
            self.providers().into_iter().filter_map(manager).collect()
        })
    }
}

impl HostProviders for Catalog {
    /// The package managers that install as root, as the system's own does, come before the others.
    fn system(&self) -> Vec<ProviderName> {
        if self.providers().iter().any(|name| name == SYSTEM) {
            // A plugin has the name.
            return vec![ProviderName::from_static(SYSTEM)];
        }
        let mut managers = self.package_managers().to_vec();
        sort_by_key(&mut managers, |(_, as_root)| !as_root);
        managers.into_iter().map(|(name, _)| name).collect()
    }

    /// All except the open registries are curated. Of the package managers that install as root, only the first on PATH is the
    /// system's own.
    fn curated(&self) -> Vec<ProviderName> {
        let configs = self.provider_configs();
        let managers = self.package_managers();
        let own = managers.iter().find(|(_, as_root)| *as_root).map(|(name, _)| name);
        let mut providers = self.providers();
        providers.retain(|name| {
            let as_root = configs[name].commands.as_ref().is_some_and(|commands| commands.as_root);
            self.configs.is_curated(name) && (!as_root || own == Some(name))
        });
        providers
    }
}
