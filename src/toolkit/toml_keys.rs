//! Selected settings of TOML files.

use std::io;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

/// An error in a TOML file. It does not quote the file, which may contain passwords.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SelectionError {
    #[error("cannot read {0}: {1}")]
    Read(PathBuf, #[source] io::Error),
    #[error("{0} is not valid TOML in line {1}")]
    Syntax(PathBuf, usize),
}

/// Returns what the files contain under these keys, such as `a` and `b.c`. An earlier file takes precedence, lists are
/// joined, and files that do not exist count as empty. A key that leads through a list selects from each of its tables.
pub(crate) fn select(files: &[PathBuf], keys: &str) -> Result<String, SelectionError> {
    let keys: Vec<Vec<&str>> = keys.split_whitespace().map(|key| key.split('.').collect()).collect();
    let mut merged = Table::new();
    for file in files {
        merge(&mut merged, selected(read(file)?, &keys.iter().map(Vec::as_slice).collect::<Vec<_>>()));
    }
    Ok(merged.to_string())
}

fn read(file: &Path) -> Result<Table, SelectionError> {
    let text = match fs_err::read_to_string(file) {
        Ok(text) => text,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(Table::new());
        }
        Err(error) => return Err(SelectionError::Read(file.to_owned(), error)),
    };
    text.parse().map_err(|error: toml::de::Error| {
        let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        SelectionError::Syntax(file.to_owned(), line)
    })
}

/// Returns the part of a table that is under the keys, each of which is a path.
fn selected(table: Table, keys: &[&[&str]]) -> Table {
    let mut kept = Table::new();
    for (name, value) in table {
        let keys: Vec<&[&str]> = keys.iter().filter_map(|key| key.strip_prefix(&[&*name])).collect();
        let selected_table = |value| match value {
            Value::Table(inner) => Some(Value::Table(selected(inner, &keys))),
            _ => None,
        };
        let value = match value {
            value if keys.iter().any(|key| key.is_empty()) => Some(value),
            _ if keys.is_empty() => None,
            Value::Array(values) => {
                Some(Value::Array(values.into_iter().filter_map(selected_table).collect()))
            }
            value => selected_table(value),
        };
        kept.extend(value.map(|value| (name, value)));
    }
    kept
}

fn merge(table: &mut Table, other: Table) {
    for (name, value) in other {
        match (table.get_mut(&name), value) {
            (None, value) => {
                table.insert(name, value);
            }
            (Some(Value::Table(inner)), Value::Table(other)) => merge(inner, other),
            (Some(Value::Array(values)), Value::Array(others)) => values.extend(others),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_selected_keys_are_kept_however_they_are_written() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let file = folder.path().join(name);
            fs_err::write(&file, text).unwrap();
            file
        };
        let user = write(
            "user.toml",
            "pip = { target = '/x', index-url = 'u' }\noffline = true\n[[index]]\nurl = 'i'\nage = false\n",
        );
        let dotted =
            write("dotted.toml", "pip.target = '/x'\npip.index-url = 'v'\nindex = [{ url = 'j' }]\n");
        let files = [user, folder.path().join("none"), dotted];
        assert_eq!(
            select(&files, "offline pip.index-url index.url").unwrap().parse::<Table>().unwrap(),
            "offline = true\npip.index-url = 'u'\nindex = [{ url = 'i' }, { url = 'j' }]".parse().unwrap()
        );
        let wrong = write("wrong.toml", "a = 1\npassword = secret\n");
        let error = select(&[wrong], "a").unwrap_err().to_string();
        assert!(error.ends_with("wrong.toml is not valid TOML in line 2"), "{error}");
    }
}
