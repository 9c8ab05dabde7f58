//! Replaces the settings in braces in an entry of `required_binaries`.

use serde_json::Value;

/// A setting in braces that has no value which may be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FillError {
    /// The setting has no value.
    #[error("the setting {0} has no value; set the variable {0}, or put it into rigup.toml")]
    Unset(String),
    /// There is no such setting.
    #[error("the setting {0} has no value: no config.json declares it; add it to `properties`")]
    Undeclared(String),
    /// The value must stay secret.
    #[error("the setting {0} is sensitive; a name or an override must not contain it")]
    Sensitive(String),
}

/// The value that replaces a setting in braces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Substitution {
    /// The setting has this value.
    Value(String),
    /// The setting has no value.
    Unset,
    /// There is no such setting.
    Undeclared,
    /// The value must stay secret.
    Sensitive,
}

impl Substitution {
    /// Returns the value, or `None` if there is none.
    pub(super) fn value(self, setting: &str) -> Result<Option<String>, FillError> {
        match self {
            Self::Value(value) => Ok(Some(value)),
            Self::Unset | Self::Undeclared => Ok(None),
            Self::Sensitive => Err(FillError::Sensitive(setting.to_owned())),
        }
    }
}

/// A function that returns the value of a setting, or `None` if the text is left unchanged.
type Filler<'a> = &'a dyn Fn(&str) -> Result<Option<String>, FillError>;

/// Replaces the settings in every string of a value.
pub(super) fn fill_all(value: &mut Value, fill: Filler<'_>) -> Result<(), FillError> {
    match value {
        Value::String(text) => *text = filled(text, fill)?,
        Value::Array(values) => values.iter_mut().try_for_each(|value| fill_all(value, fill))?,
        Value::Object(keys) => keys.values_mut().try_for_each(|value| fill_all(value, fill))?,
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
    Ok(())
}

/// Returns a text with every `{SETTING}` replaced by the value from `fill`, or unchanged if there is none.
pub(super) fn filled(text: &str, fill: Filler<'_>) -> Result<String, FillError> {
    let mut done = String::new();
    let mut rest = text;
    while let Some((before, (setting, after))) =
        rest.split_once('{').and_then(|(before, behind)| Some((before, behind.split_once('}')?)))
    {
        done.push_str(before);
        if let Some(value) = fill(setting)? {
            done.push_str(&value);
            rest = after;
        } else {
            done.push('{');
            rest = &rest[before.len() + 1..];
        }
    }
    Ok(done + rest)
}
