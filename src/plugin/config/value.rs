//! The values of settings, and the origin of each.

use std::collections::{HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::PathBuf;

use serde_json::{Map, Value};

use crate::boolean;
use crate::model::secret::is_secret_name;
use crate::plugin::config::schema::Property;
use crate::plugin::requirement::Substitution;
use crate::settings::{Environment, SettingsFile};
use crate::shell;

/// The sources of values: the environment, then the files.
#[derive(Debug, Clone, Copy)]
pub struct Sources<'a> {
    /// The caller's environment.
    pub environment: &'a Environment,
    /// The files, in order of precedence.
    pub files: &'a [SettingsFile],
}

/// The origin of a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A variable.
    Environment(String),
    /// A key of a file.
    File(PathBuf, String),
    /// The path that an earlier command found on this machine.
    Machine,
    /// Another setting.
    Fallback(String),
    /// The default.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Environment(name) => write!(f, "the variable {name}"),
            Self::File(path, key) => write!(f, "{key} in {}", path.display()),
            Self::Machine => f.write_str("the machine's record"),
            Self::Fallback(name) => write!(f, "the setting {name}"),
            Self::Default => f.write_str("default"),
        }
    }
}

/// A setting with its value.
#[derive(Debug, Clone, PartialEq)]
pub struct Setting {
    /// The name.
    pub name: String,
    /// The value, or null.
    pub value: Value,
    /// The bytes of a string from the environment that is not UTF-8. In `value`, U+FFFD replaces the invalid ones.
    pub bytes: Option<OsString>,
    /// The origin of the value.
    pub origin: Origin,
    /// Whether the value is hidden in records and messages: a plugin declares the setting or one of its fallbacks
    /// sensitive, or one of their names stands for a secret and its type is not boolean or a number.
    pub is_secret: bool,
    /// The values of sources that cannot be used, each with the reason. That of the next source applies.
    pub problems: Vec<String>,
}

/// A resolver of settings. A setting may fall back to a setting of another plugin.
#[derive(Debug)]
pub struct SettingResolver<'a> {
    sources: Sources<'a>,
    properties: HashMap<&'a str, &'a Property>,
    /// The names that some plugin declares sensitive.
    sensitive: HashSet<&'a str>,
}

impl<'a> SettingResolver<'a> {
    /// Returns a resolver for the properties of all plugins. If several properties have the same name, the first one
    /// applies.
    pub fn new(sources: Sources<'a>, all: impl IntoIterator<Item = &'a Property>) -> Self {
        let (mut properties, mut sensitive) = (HashMap::new(), HashSet::new());
        for property in all {
            properties.entry(property.name.as_str()).or_insert(property);
            sensitive.extend(property.names().filter(|_| property.is_secret));
        }
        Self { sources, properties, sensitive }
    }

    /// Returns the value that replaces a setting in braces. Only settings that a `config.json` declares have one.
    pub fn fill(&self, name: &str) -> Substitution {
        match self.properties.get(name) {
            None => Substitution::Undeclared,
            Some(property) => {
                let setting = self.resolve(property);
                match setting.value.as_str().map(str::trim) {
                    _ if setting.is_secret => Substitution::Sensitive,
                    None | Some("") => Substitution::Unset,
                    Some(value) => Substitution::Value(value.to_owned()),
                }
            }
        }
    }

    /// Resolves a property: the first valid value that the sources have for it, or else for its fallbacks.
    pub fn resolve(&self, property: &Property) -> Setting {
        let chain = self.chain(property);
        let is_sensitive = |name: &str| self.sensitive.contains(name);
        let is_secret = chain.iter().any(|link| {
            link.names().any(|name| is_sensitive(name) || (is_secret_name(name) && !link.is_plain()))
        });
        // A value that does not match the schema may be a secret whatever the type of the setting is.
        let is_hidden =
            chain.iter().any(|link| link.names().any(|name| is_sensitive(name) || is_secret_name(name)));
        let mut problems = Vec::new();
        let found = chain.iter().enumerate().find_map(|(at, link)| {
            let names: Vec<&str> = link.names().collect();
            let (value, bytes, origin) = self.find_value(property, &names, is_hidden, &mut problems)?;
            Some((value, bytes, if at == 0 { origin } else { Origin::Fallback(link.name.to_owned()) }))
        });
        let (value, bytes, origin) =
            found.unwrap_or_else(|| (property.default.clone(), None, Origin::Default));
        Setting { name: property.name.clone(), value, bytes, origin, is_secret, problems }
    }

    /// Returns a property and its fallbacks, up to the first that would repeat.
    fn chain<'p>(&'p self, property: &'p Property) -> Vec<ChainLink<'p>> {
        let mut chain = vec![ChainLink { name: &property.name, property: Some(property) }];
        let mut next = property.fallback.as_deref();
        while let Some(name) = next.filter(|name| !chain.iter().any(|link| link.name == *name)) {
            let property = self.properties.get(name).copied();
            chain.push(ChainLink { name, property });
            next = property.and_then(|property| property.fallback.as_deref());
        }
        chain
    }

    /// Returns the first valid value that the sources have for one of these names, its bytes if it is a string that is not
    /// UTF-8, and its origin. Adds the values before it to `problems`.
    fn find_value(
        &self,
        property: &Property,
        names: &[&str],
        is_hidden: bool,
        problems: &mut Vec<String>,
    ) -> Option<(Value, Option<OsString>, Origin)> {
        let in_environment = names.iter().filter_map(|&name| {
            let bytes = self.sources.environment.get(name)?;
            let invalid = bytes.to_str().is_none().then_some(bytes);
            Some((name, bytes.to_string_lossy().into(), invalid, Origin::Environment(name.to_owned())))
        });
        let in_files = self.sources.files.iter().flat_map(|file| {
            names.iter().filter_map(|&name| {
                let value = in_tables(&file.values, name)?.clone();
                Some((name, value, None, Origin::File(file.path.clone(), name.to_owned())))
            })
        });
        let mut all = in_environment.chain(in_files);
        all.find_map(|(name, raw, bytes, origin)| match converted(property, raw, is_hidden) {
            Ok(value) => {
                let bytes = bytes.filter(|_| value.is_string()).map(OsStr::to_owned);
                Some((value, bytes, origin))
            }
            Err(reason) => {
                let role =
                    if name == property.name { String::new() } else { format!(" as {}", property.name) };
                problems.push(format!("cannot use {origin}{role}: {reason}"));
                None
            }
        })
    }
}

/// A property or one of its fallbacks, which need not be a setting of a plugin.
#[derive(Debug)]
struct ChainLink<'a> {
    name: &'a str,
    property: Option<&'a Property>,
}

impl ChainLink<'_> {
    fn names(&self) -> impl Iterator<Item = &str> {
        let aliases = self.property.into_iter().flat_map(Property::names).skip(1);
        std::iter::once(self.name).chain(aliases)
    }

    /// Whether the value is a boolean or a number, such as `MAX_TOKENS`, which is no secret whatever its name is.
    fn is_plain(&self) -> bool {
        self.property.is_some_and(|property| {
            ["boolean", "integer", "number"].iter().any(|kind| property.may_be(kind))
                && !["string", "array", "object"].iter().any(|kind| property.may_be(kind))
        })
    }
}

/// Returns the value of a name in a file, or `None` if there is none; `keep.days` is the key `days` of the table
/// `keep`.
fn in_tables<'a>(values: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    let within = || {
        let (table, rest) = name.split_once('.')?;
        in_tables(values.get(table)?.as_object()?, rest)
    };
    values.get(name).or_else(within)
}

/// Converts a value to the type of a property, and validates it: a string is parsed as that type.
pub(crate) fn converted(property: &Property, raw: Value, is_hidden: bool) -> Result<Value, String> {
    let value = match &raw {
        Value::String(text) if !property.may_be("string") => parse_text(property, text.trim()).unwrap_or(raw),
        _ => raw,
    };
    if value.as_str().is_some_and(|text| text.contains('\0')) {
        return Err("it contains a NUL, which no environment variable can contain".to_owned());
    }
    let validator = jsonschema::validator_for(&property.schema)
        .map_err(|error| format!("its schema in config.json is invalid: {error}"))?;
    match validator.validate(&value) {
        Ok(()) => Ok(value),
        Err(_) if is_hidden => Err("it does not match its schema".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

fn parse_text(property: &Property, text: &str) -> Option<Value> {
    let boolean = boolean::parse(text).filter(|_| property.may_be("boolean"));
    boolean.map(Value::from).or_else(|| serde_json::from_str(text).ok())
}

/// A setting as an environment variable of a hook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variable {
    /// The name.
    pub name: String,
    /// The value: `true` or `false` for a boolean, JSON for a list or an object.
    pub value: OsString,
    /// Whether the value is hidden in records.
    pub is_secret: bool,
}

impl Setting {
    /// Whether the user has set it, and not only another setting that it falls back to.
    pub fn is_explicit(&self) -> bool {
        !matches!(self.origin, Origin::Default | Origin::Fallback(_))
    }

    /// Returns a warning for each value that cannot be used, with the value that applies.
    pub fn warnings(&self) -> impl Iterator<Item = String> {
        let value = match (&self.value, &self.origin) {
            (Value::Null, _) => "no value".to_owned(),
            (_, Origin::Default) if self.is_secret => "the default".to_owned(),
            (_, origin) if self.is_secret => origin.to_string(),
            (value, _) => value.to_string(),
        };
        self.problems.iter().map(move |problem| format!("{problem}; {value} applies"))
    }

    /// Returns the setting as a variable, or `None` if it has no value, or a name that no shell takes.
    pub fn variable(&self) -> Option<Variable> {
        if !shell::is_name(&self.name) {
            return None;
        }
        let value = match (&self.value, &self.bytes) {
            (Value::Null, _) => return None,
            (_, Some(bytes)) => bytes.clone(),
            (Value::String(text), None) => text.into(),
            (other, None) => other.to_string().into(),
        };
        Some(Variable { name: self.name.clone(), value, is_secret: self.is_secret })
    }
}

#[cfg(test)]
mod tests;
