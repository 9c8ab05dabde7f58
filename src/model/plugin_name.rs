//! The names of plugins and of providers. A provider is a plugin, which requirements and records name as a provider.

use std::borrow::Borrow;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// An error in the name of a plugin.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PluginNameError {
    /// The name is empty or blank.
    #[error("the name of a plugin is blank")]
    Blank,
    /// Discovery skips a folder with this name.
    #[error("{0:?} is not a plugin name: it starts with `.` or `_`")]
    Hidden(String),
    /// The name contains a character that the name of a folder or a list of names cannot contain.
    #[error("{0:?} is not a plugin name: it contains a `/`, a comma or a control character")]
    Character(String),
}

/// Defines a name type that is cheap to clone.
macro_rules! name {
    ($(#[doc = $doc:literal] $name:ident)*) => {$(
        #[doc = $doc]
        #[derive(Debug, Clone, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// Parses a name, and keeps blanks around it.
            pub fn parse(text: &str) -> Result<Self, PluginNameError> {
                check(text)?;
                Ok(Self(text.into()))
            }

            /// Returns a name that is written in the source code.
            pub fn from_static(text: &'static str) -> Self {
                Self::parse(text).expect("a name in the source code is valid")
            }

            /// Returns the name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl Deref for $name {
            type Target = str;

            fn deref(&self) -> &str {
                &self.0
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        /// Compares a name with a name of either type, or with a text.
        impl<T: Borrow<str> + ?Sized> PartialEq<T> for $name {
            fn eq(&self, other: &T) -> bool {
                *self.0 == *other.borrow()
            }
        }

        impl TryFrom<String> for $name {
            type Error = PluginNameError;

            fn try_from(text: String) -> Result<Self, PluginNameError> {
                Self::parse(&text)
            }
        }

    )*};
}

name! {
    /// The name of a plugin, which is the name of its folder.
    PluginName
    /// The name of a provider: a plugin with a `BinaryRequest` hook, which need not exist.
    ProviderName
}

impl From<&PluginName> for ProviderName {
    fn from(plugin: &PluginName) -> Self {
        Self(Arc::clone(&plugin.0))
    }
}

impl From<&ProviderName> for PluginName {
    fn from(provider: &ProviderName) -> Self {
        Self(Arc::clone(&provider.0))
    }
}

fn check(text: &str) -> Result<(), PluginNameError> {
    if text.trim().is_empty() {
        Err(PluginNameError::Blank)
    } else if text.starts_with(['.', '_']) {
        Err(PluginNameError::Hidden(text.to_owned()))
    } else if text.contains(|c: char| c == '/' || c == ',' || c.is_control()) {
        Err(PluginNameError::Character(text.to_owned()))
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rejects_a_name_that_discovery_skips_or_that_breaks_a_list() {
        assert!(PluginName::parse("my plugin").is_ok());
        assert_eq!(ProviderName::parse(" "), Err(PluginNameError::Blank));
        assert_eq!(PluginName::parse("_old"), Err(PluginNameError::Hidden("_old".to_owned())));
        for bad in ["a/b", "a,b", "a\nb", "a\0"] {
            assert_eq!(ProviderName::parse(bad), Err(PluginNameError::Character(bad.to_owned())));
        }
        assert!(serde_json::from_str::<ProviderName>("\"..\"").is_err());
    }
}
