//! The work of `rigup config set`: changes settings in the user's own `rigup.toml`.

use std::fmt::Display;
use std::io::ErrorKind;
use std::path::Path;

use serde_json::Value;
use toml_edit::{Array, DocumentMut, InlineTable, Item, Table, TableLike, TomlError};

use crate::engine::catalog::Catalog;
use crate::engine::error::EngineError;
use crate::engine::event::OnEvent;
use crate::fs::dir::parent;
use crate::fs::lock::FileLock;
use crate::fs::{atomic, link};
use crate::model::secret::is_secret_name;
use crate::model::{PluginName, misspelling};
use crate::plugin::config::core;
use crate::plugin::config::schema::Property;
use crate::plugin::config::value::{self, Setting, Sources};
use crate::settings::{FILE_NAME, Settings, SettingsFile};

mod removal;

/// A new value of a setting.
#[derive(Debug)]
struct Assignment {
    /// The name of the setting; `keep.days` is the key `days` of the table `keep`.
    name: String,
    /// The value, or `None` to remove the setting from the file.
    value: Option<toml_edit::Value>,
}

impl Assignment {
    /// Returns the text of a `rigup.toml` with this change.
    fn apply(&self, text: &str) -> Result<String, TomlError> {
        let Some(value) = &self.value else { return removal::without(text, &self.name) };
        let mut document: DocumentMut = text.parse()?;
        insert(document.as_table_mut(), &self.name, value);
        Ok(document.to_string())
    }
}

/// Parses `KEY=VALUE`, and checks the value against the schema of the setting. An empty value removes the setting.
fn parse(text: &str, catalog: &Catalog, settings: &Settings) -> Result<Assignment, EngineError> {
    let invalid = |reason: &dyn Display| EngineError::InvalidRequest(format!("cannot set {reason}"));
    let Some((name, text)) = text.split_once('=') else {
        return Err(invalid(&format!("{text}: there is no `=`; write {text}=VALUE")));
    };
    let properties = core::properties();
    let known: Vec<&Property> = properties.iter().chain(catalog.configs.properties()).collect();
    let enabled = catalog.enabled_properties();
    let mut all = known.iter().copied().chain(&enabled);
    let Some(property) = all.clone().find(|property| property.name == name) else {
        let next = match misspelling::closest(name, all.by_ref().map(|property| property.name.as_str())) {
            Some(known) => format!("did you mean {known}?"),
            None => "`rigup config` shows all settings".to_owned(),
        };
        return Err(EngineError::InvalidRequest(format!("there is no setting named {name}; {next}")));
    };
    let is_sensitive = property.is_secret || is_secret_name(name) && property.may_be("string");
    if is_sensitive && !text.is_empty() {
        let file = user_file(settings)?.display();
        return Err(invalid(&format!(
            "{name}: it is sensitive, and others can see a command line; write it into {file}, or set the variable {name}"
        )));
    }
    let value = (!text.is_empty())
        .then(|| value::converted(property, raw_value(property, text), is_sensitive))
        .transpose()
        .map_err(|reason| invalid(&format!("{name}: {reason}")))?;
    let value = value.as_ref().map(toml_value).transpose();
    let value = value.map_err(|reason| invalid(&format!("{name}={text}: {reason}")))?;
    Ok(Assignment { name: name.to_owned(), value })
}

/// Returns a text as a number if the setting may be one, also if it may be a text, too.
fn raw_value(property: &Property, text: &str) -> Value {
    let is_number = ["integer", "number"].iter().any(|kind| property.may_be(kind));
    let number = serde_json::from_str(text).ok().filter(|value: &Value| is_number && value.is_number());
    number.unwrap_or_else(|| text.into())
}

/// Returns the path of the user's own `rigup.toml`, which need not exist.
pub(crate) fn user_file(settings: &Settings) -> Result<&Path, EngineError> {
    settings.user_file.as_deref().ok_or_else(|| {
        EngineError::Setup(
            "cannot choose a configuration folder: HOME is not set to an absolute path; set it, or XDG_CONFIG_HOME"
                .to_owned(),
        )
    })
}

/// Returns the settings that enable and disable plugins and that these do not declare, each with its plugin.
pub(crate) fn undeclared(catalog: &Catalog, settings: &Settings) -> Vec<(PluginName, Setting)> {
    let sources = Sources { environment: &settings.environment, files: &settings.files };
    let resolver = catalog.configs.resolver(sources);
    let names = catalog.discovery.plugins.iter().map(|plugin| plugin.name.clone());
    let all = names.zip(catalog.enabled_properties());
    let undeclared = all.filter(|(_, property)| !catalog.configs.declares(&property.name));
    undeclared.map(|(plugin, property)| (plugin, resolver.resolve(&property))).collect()
}

/// Changes settings, given as `KEY=VALUE`, in the user's own `rigup.toml`, whose order and comments stay as they are, except
/// those of a removed setting, and creates the file if it does not exist. Changes nothing if rigup could not use the new values. Returns the names of the
/// settings.
pub(crate) fn set(
    assignments: &[String],
    settings: &mut Settings,
    on_event: OnEvent<'_>,
) -> Result<Vec<String>, EngineError> {
    let others: Vec<SettingsFile> = settings
        .files
        .iter()
        .filter(|file| Some(&file.path) != settings.user_file.as_ref())
        .cloned()
        .collect();
    // An invalid value in the file can be replaced.
    let catalog = Catalog::find(&Settings { files: others.clone(), ..settings.clone() }, &[], on_event)?;
    let parsed = assignments.iter().map(|text| parse(text, &catalog, settings));
    let assignments = parsed.collect::<Result<Vec<_>, _>>()?;
    store(&assignments, others, settings)?;
    Ok(assignments.into_iter().map(|assignment| assignment.name).collect())
}

/// Writes the file, after checking that rigup can use it beside the `others`.
fn store(
    assignments: &[Assignment],
    mut others: Vec<SettingsFile>,
    settings: &mut Settings,
) -> Result<(), EngineError> {
    let path = user_file(settings)?.to_owned();
    let problem =
        |cause: &dyn Display| EngineError::Setup(format!("cannot change {}: {cause}", path.display()));
    atomic::check_for_user(&path).map_err(|error| problem(&error))?;
    let target = link::resolve(&path).map_err(|error| problem(&error))?;
    // Another rigup may be changing the file.
    let lock = FileLock::open(parent(&target)).map_err(|error| problem(&error))?;
    let _ = lock.lock();
    let text = match fs_err::read_to_string(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
        read => read.map_err(|error| problem(&error))?,
    };
    let changed = assignments.iter().try_fold(text, |text, assignment| assignment.apply(&text));
    let text = changed.map_err(|error| problem(&error.message()))?;
    let values = toml::from_str(&text).map_err(|error| problem(&error.message()))?;
    // The project's file comes first, and that of abx last.
    let position = others.iter().position(|file| !file.path.ends_with(FILE_NAME)).unwrap_or(others.len());
    others.insert(position, SettingsFile { path: path.clone(), values });
    settings.files = others;
    Catalog::find(settings, &[], &|_event| {})
        .map_err(|error| EngineError::InvalidRequest(format!("nothing was set: {error}")))?;
    atomic::write_for_user(&path, text.as_bytes()).map_err(|error| problem(&error))
}

/// Sets a value in a table. An existing value keeps the comments around it.
fn insert(table: &mut dyn TableLike, name: &str, value: &toml_edit::Value) {
    if let (Some((outer, inner)), false) = (name.split_once('.'), table.contains_key(name)) {
        let inside = table.entry(outer).or_insert_with(|| Item::Table(Table::new()));
        if let Some(inside) = inside.as_table_like_mut() {
            insert(inside, inner, value);
        }
        return;
    }
    match table.get_mut(name) {
        Some(earlier) => *earlier = with_decor_of(earlier, value.clone()),
        None => drop(table.insert(name, Item::Value(value.clone()))),
    }
}

/// Returns an item with the spaces and the comment around an earlier one.
fn with_decor_of(earlier: &Item, mut value: toml_edit::Value) -> Item {
    if let Some(earlier) = earlier.as_value() {
        *value.decor_mut() = earlier.decor().clone();
    }
    Item::Value(value)
}

/// Converts a value. Returns the reason if TOML has no such value.
fn toml_value(value: &Value) -> Result<toml_edit::Value, &'static str> {
    Ok(match value {
        Value::Null => return Err("TOML, in which it is stored, has no null; leave it out"),
        Value::Bool(value) => (*value).into(),
        Value::Number(number) => {
            let is_integer = number.to_string().bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
            match (number.as_i64(), number.as_f64()) {
                (Some(number), _) => number.into(),
                (None, Some(number)) if !is_integer => number.into(),
                _ => return Err("TOML, in which it is stored, has no number as large as that"),
            }
        }
        Value::String(text) => text.into(),
        Value::Array(values) => values.iter().map(toml_value).collect::<Result<Array, _>>()?.into(),
        Value::Object(fields) => {
            let fields = fields.iter().map(|(key, value)| Ok((key, toml_value(value)?)));
            fields.collect::<Result<InlineTable, &str>>()?.into()
        }
    })
}
