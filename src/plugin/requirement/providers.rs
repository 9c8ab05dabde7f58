//! The providers that a requirement allows.

use std::fmt;

use crate::model::{PluginNameError, ProviderName};

/// The name that stands for the package managers of the system in a list of providers.
pub(crate) const SYSTEM: &str = "system";

/// The providers that may install a binary, in order of preference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Providers {
    /// Every provider except the open registries, in hook order; no providers are named.
    Default,
    /// Every provider, in hook order: `*`.
    Any,
    /// These, in this order.
    Only(Vec<ProviderName>),
}

impl Providers {
    /// Parses a list such as `pip, env`; `*` means any provider, and a blank list the default.
    pub fn parse(list: &str) -> Result<Self, PluginNameError> {
        let mut names: Vec<ProviderName> = Vec::new();
        for name in list.split(',').map(str::trim).filter(|name| !name.is_empty()) {
            if name == "*" {
                return Ok(Self::Any);
            }
            let name = ProviderName::parse(name)?;
            if !names.contains(&name) {
                names.push(name);
            }
        }
        Ok(if names.is_empty() { Self::Default } else { Self::Only(names) })
    }

    /// Returns the list with the package managers of this system, which `managers` returns, in place of `system`. If there are
    /// none and the list names nothing else, it stays as it is.
    pub(crate) fn expand_system(&self, managers: impl FnOnce() -> Vec<ProviderName>) -> Self {
        let names = match self {
            Self::Only(names) if names.iter().any(|name| name == SYSTEM) => names,
            other => return other.clone(),
        };
        let managers = &*managers();
        let mut expanded: Vec<ProviderName> = Vec::new();
        for name in names {
            let meant = if name == SYSTEM { managers } else { std::slice::from_ref(name) };
            let new = meant.iter().filter(|name| !expanded.contains(name)).cloned().collect::<Vec<_>>();
            expanded.extend(new);
        }
        Self::Only(if expanded.is_empty() { names.clone() } else { expanded })
    }

    /// Returns whether the list allows this provider. The default forbids none: it only limits which providers are
    /// tried.
    pub fn allows(&self, provider: &str) -> bool {
        match self {
            Self::Default | Self::Any => true,
            Self::Only(names) => names.iter().any(|name| name == provider),
        }
    }

    /// Returns the providers that both allow, in the order of `self`, or `None` if there are none. Named providers
    /// replace the default.
    pub fn both(&self, other: &Self) -> Option<Self> {
        match (self, other) {
            (Self::Default, _) => Some(other.clone()),
            (_, Self::Default) => Some(self.clone()),
            (Self::Any, _) => Some(other.clone()),
            (Self::Only(names), _) => {
                let common: Vec<ProviderName> =
                    names.iter().filter(|name| other.allows(name)).cloned().collect();
                (!common.is_empty()).then_some(Self::Only(common))
            }
        }
    }
}

impl fmt::Display for Providers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => Ok(()),
            Self::Any => f.write_str("*"),
            Self::Only(names) => f.write_str(&names.join(",")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_requirements_share_the_providers_that_both_allow() {
        let only = |list| Providers::parse(list).unwrap();
        assert_eq!(only("pip,apt,env").both(&only("env,pip")), Some(only("pip,env")));
        assert_eq!(Providers::Any.both(&only("apt")), Some(only("apt")));
        assert_eq!(only("").both(&only("pip")), Some(only("pip")), "named providers replace the default");
        assert_eq!(Providers::Any.both(&only("")), Some(Providers::Any));
        assert_eq!(only("apt").both(&Providers::Any), Some(only("apt")));
        assert_eq!(only("pip").both(&only("npm")), None);
    }

    #[test]
    fn system_stands_for_the_package_managers_of_this_system() {
        let managers = ["apt", "brew"].map(ProviderName::from_static);
        for (list, expected) in [
            ("system", "apt,brew"),
            ("pip,system,env", "pip,apt,brew,env"),
            ("brew,system", "brew,apt"),
            ("*", "*"),
            ("", ""),
        ] {
            assert_eq!(
                Providers::parse(list).unwrap().expand_system(|| managers.to_vec()).to_string(),
                expected
            );
        }
        for (list, expected) in [("system", "system"), ("system,env", "env")] {
            assert_eq!(Providers::parse(list).unwrap().expand_system(Vec::new).to_string(), expected);
        }
    }
}
