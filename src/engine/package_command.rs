//! The commands with which users change packages that rigup did not install into LIB_DIR.

use nix::unistd::geteuid;

use crate::engine::catalog::Catalog;
use crate::install::package;
use crate::install::plan::ENV;
use crate::model::{Binary, Installed};
use crate::plugin::config::provider::{PackageCommands, ProviderConfig};
use crate::plugin::overrides::Overrides;
use crate::process::signals::Interrupt;
use crate::settings::Settings;
use crate::shell;
use crate::toolkit::package_spec;

/// A change of a package.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    Upgrade,
    Uninstall,
}

/// Returns why rigup does not change a binary that it did not install into LIB_DIR, and the next step: the command of the
/// provider's package manager or, if env found the binary, of the one that owns the file. Returns `None` if the provider
/// has no such command.
pub(crate) fn refusal(
    binary: &Binary,
    change: Change,
    catalog: &Catalog,
    settings: &Settings,
) -> Option<String> {
    let Installed { binprovider, abspath, .. } = binary.installed()?;
    let command = command(binary, change, catalog, settings);
    if binprovider != ENV {
        return command.map(|command| format!("{binprovider} installed it; run `{command}`"));
    }
    let verb = match change {
        Change::Upgrade => "upgrade",
        Change::Uninstall => "remove",
    };
    Some(match command {
        Some(command) => format!("env found it; run `{command}`"),
        None => format!("env found it; {verb} {} the way it was installed", abspath.display()),
    })
}

fn command(binary: &Binary, change: Change, catalog: &Catalog, settings: &Settings) -> Option<String> {
    let installed = binary.installed()?;
    let configs = catalog.provider_configs();
    let (commands, packages) = if installed.binprovider == ENV {
        let mut commands = configs.values().filter_map(|config| Some((config.commands.as_ref()?, config)));
        commands.find_map(|(commands, config)| Some((commands, vec![owner(installed, config, settings)?])))?
    } else {
        let config = configs.get(&installed.binprovider)?;
        (config.commands.as_ref()?, packages(binary, installed, config, settings))
    };
    let PackageCommands { upgrade, uninstall, as_root } = commands;
    let command = match change {
        Change::Upgrade => upgrade,
        Change::Uninstall => uninstall,
    };
    let sudo = if *as_root && !geteuid().is_root() { "sudo " } else { "" };
    Some(format!("{sudo}{command} {}", shell::quote_command(&packages)))
}

/// Returns the package that owns the file of a binary, or `None` if this package manager does not know it.
fn owner(installed: &Installed, config: &ProviderConfig, settings: &Settings) -> Option<String> {
    let interrupt = Interrupt::none().ok()?;
    let package = package::owner(config.metadata?, &installed.abspath, settings, &interrupt)?;
    Some(package.name).filter(|name| !name.is_empty())
}

/// Returns the packages that the provider of a binary installed, without versions.
fn packages(
    binary: &Binary,
    installed: &Installed,
    config: &ProviderConfig,
    settings: &Settings,
) -> Vec<String> {
    // The overrides were parsed before they were stored.
    let overrides = Overrides::parse(&binary.overrides).unwrap_or_default();
    let named = overrides.of(&installed.binprovider).packages.iter().filter(|name| !name.starts_with('-'));
    let mut packages: Vec<String> = named.cloned().collect();
    if packages.is_empty() {
        // That of a partial version may have the version in its name.
        let owner = config.names_versions().then(|| owner(installed, config, settings)).flatten();
        packages.push(owner.unwrap_or_else(|| binary.name.clone()));
    }
    let format = config.version_format.as_deref();
    packages.iter().map(|package| package_spec::without_version(package, format).to_owned()).collect()
}
