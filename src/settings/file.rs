//! A settings file: `rigup.toml` of the project and of the user, and `config.env` of abx.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::fs::dir;
use crate::settings::error::SettingsError;
use crate::settings::folders;
use crate::shell;
use crate::trust::{Trust, TrustedFile, TrustedReadError};

/// The settings file: in the current folder, and in the user's configuration folder.
pub const FILE_NAME: &str = "rigup.toml";

/// The settings file of abx, in its configuration folder.
pub(super) const ENV_FILE_NAME: &str = "config.env";

/// The size limit of a settings file, in bytes.
const MAX_SIZE: u64 = 1 << 20;

/// The key with folders that are declared trusted. It is ignored in a project's file and in a file that others can write
/// to, so that no folder can declare itself trusted.
const TRUST_DIRS: &str = "trust_dirs";

/// The table with the retention limits. It is ignored in a project's file, because it applies to the records of all
/// projects.
const KEEP: &str = "keep";

/// The table with the daemons of a project, which are no settings: `supervisor::manifest` reads them.
pub(crate) const DAEMONS: &str = "daemons";

/// A settings file.
#[derive(Debug, Clone, PartialEq)]
pub struct SettingsFile {
    /// Its path.
    pub path: PathBuf,
    /// Its values by name.
    pub values: Map<String, Value>,
}

/// Reads a `rigup.toml`, and trusts the folders that the user's own file declares trusted. Returns `None` if it does not
/// exist.
pub(super) fn read(
    path: PathBuf,
    is_project: bool,
    home: Option<&Path>,
    trust: &mut Trust,
    warnings: &mut Vec<String>,
) -> Result<Option<SettingsFile>, SettingsError> {
    let Some((text, note)) = text(&path, trust)? else { return Ok(None) };
    let file_error = |reason| file_error(&path, reason);
    let mut values: Map<String, Value> =
        toml::from_str(&text).map_err(|error| syntax_error(&path, &error, &text))?;
    if let Some(folders) = values.remove(TRUST_DIRS) {
        let folders: Vec<PathBuf> = serde_json::from_value(folders).map_err(|_| {
            file_error(format!("{TRUST_DIRS} must be a list of folders, such as [\"/srv/plugins\"]"))
        })?;
        let problem = if is_project {
            Some(
                "a project cannot make folders trusted; put the key into your own rigup.toml, or use --trust-dir",
            )
        } else {
            note.is_some().then_some("others can write to the file")
        };
        if let Some(problem) = problem {
            warnings.push(format!("{TRUST_DIRS} in {} is ignored: {problem}", path.display()));
        } else {
            let here = path.parent().unwrap_or(Path::new("/"));
            for folder in folders {
                let folder =
                    dir::expand_home(&folder, home).unwrap_or_else(|| folders::resolve(here.join(folder)));
                trust.add_exception(folder, format!("{TRUST_DIRS} in {}", path.display()));
            }
        }
    }
    warnings.extend(note);
    if is_project {
        warnings.extend(remove_limits(&path, &mut values));
    }
    if values.remove(DAEMONS).is_some() && !is_project {
        warnings.push(format!(
            "[{DAEMONS}] in {} is ignored: only the {FILE_NAME} of a project declares daemons",
            path.display()
        ));
    }
    Ok(Some(SettingsFile { path, values }))
}

/// Reads the `config.env` of abx: `KEY=VALUE` lines, comments and blank lines. The value may be in quotes. Returns `None` if
/// the file does not exist. Another program writes this file, so a file or a line that rigup cannot use is ignored with a
/// warning.
pub(super) fn read_env(path: PathBuf, trust: &Trust, warnings: &mut Vec<String>) -> Option<SettingsFile> {
    let (text, note) = match text(&path, trust) {
        Ok(text) => text?,
        Err(error) => {
            warnings.push(with_effect(&error.to_string(), "so its settings are ignored"));
            return None;
        }
    };
    warnings.extend(note);
    let mut values = Map::new();
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let Some((name, value)) = shell::assignment(line) else {
            warnings.push(format!("{}:{number} is ignored: not KEY=VALUE", path.display()));
            continue;
        };
        // As in the environment, a blank value counts as unset.
        if !value.is_empty() {
            values.insert(name.to_owned(), value.into());
        }
    }
    Some(SettingsFile { path, values })
}

/// Adds an effect to an error, in front of the next step if the error ends with one.
pub(crate) fn with_effect(error: &str, effect: &str) -> String {
    match error.rsplit_once("; ") {
        Some((problem, next_step)) => format!("{problem}, {effect}; {next_step}"),
        None => format!("{error}, {effect}"),
    }
}

/// Returns the text of a settings file with a note about the trust in it, or `None` if it does not exist.
fn text(path: &Path, trust: &Trust) -> Result<Option<(String, Option<String>)>, SettingsError> {
    // A missing file is not checked. If someone creates it meanwhile, it is checked when it is read.
    if path.try_exists().is_ok_and(|exists| !exists) {
        return Ok(None);
    }
    let read = trust.read(path, MAX_SIZE).map_err(|error| match error {
        TrustedReadError::Untrusted(untrusted) => untrusted.into(),
        error => file_error(path, error.to_string()),
    })?;
    let Some(TrustedFile { bytes, note }) = read else { return Ok(None) };
    let text = String::from_utf8(bytes).map_err(|error| file_error(path, error.to_string()))?;
    Ok(Some((text, note)))
}

fn file_error(path: &Path, reason: impl Into<String>) -> SettingsError {
    SettingsError::File { path: path.to_owned(), line: None, reason: reason.into().trim_end().to_owned() }
}

/// Describes a syntax error without quoting the text, because the file may be a link to any file.
fn syntax_error(path: &Path, error: &toml::de::Error, text: &str) -> SettingsError {
    let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
    let line = before.matches('\n').count() + 1;
    let reason = format!("not TOML: line {line}: {}", error.message().trim_end());
    SettingsError::File { path: path.to_owned(), line: Some(line), reason }
}

/// Removes the retention limits from a project's file. Returns a warning if there were any.
fn remove_limits(path: &Path, values: &mut Map<String, Value>) -> Option<String> {
    let is_limit = |key: &str| key == KEEP || key.starts_with("keep.") || key.starts_with("RIGUP_KEEP_");
    let count = values.len();
    values.retain(|key, _| !is_limit(key));
    (values.len() < count).then(|| {
        format!(
            "[{KEEP}] in {} is ignored: it applies to the records of all projects; set it in rigup/{FILE_NAME} in your configuration folder",
            path.display()
        )
    })
}
