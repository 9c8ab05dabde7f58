//! Templates for `rigup init`: the plugins and providers in `examples/`, renamed.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use include_dir::{Dir, include_dir};

use crate::plugin::config::enabled;
use crate::plugin::hook_name::HookName;
use crate::sorting::sort;

/// The name of the examples, which is replaced everywhere.
const EXAMPLE: &str = "example";

static EXAMPLES: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/examples");

/// An error while writing a template. Nothing was written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TemplateError {
    /// A name that is not valid in file names, variables and scripts.
    #[error("{0:?} is not a valid name; use up to 63 letters, digits, - and _, starting with a letter")]
    Name(String),
    /// The folder exists.
    #[error("{} already exists, so nothing was written; choose another name or --dir", .0.display())]
    Exists(PathBuf),
    /// The folder cannot be written.
    #[error("cannot write {folder}: {1}", folder = .0.display())]
    Io(PathBuf, io::Error),
}

/// Returns the names and contents of the files of a template, in the order of their names. The template is a folder of the
/// examples, such as `provider/sh`.
fn files(template: &str) -> Vec<(&'static str, &'static str)> {
    let folder = EXAMPLES.get_dir(Path::new(template).join(EXAMPLE));
    let files = folder.into_iter().flat_map(Dir::files);
    let mut files: Vec<_> =
        files.filter_map(|file| Some((file.path().file_name()?.to_str()?, file.contents_utf8()?))).collect();
    sort(&mut files);
    files
}

/// Writes a template to the folder `name` in `parent`, completely or not at all. Returns the paths of its files.
pub(crate) fn write(template: &str, name: &str, parent: &Path) -> Result<Vec<PathBuf>, TemplateError> {
    if !is_name(name) {
        return Err(TemplateError::Name(name.to_owned()));
    }
    let folder = parent.join(name);
    if folder.symlink_metadata().is_ok() {
        return Err(TemplateError::Exists(folder));
    }
    write_into(template, name, parent, &folder).map_err(|error| match error.kind() {
        // Another process created the folder first.
        io::ErrorKind::DirectoryNotEmpty => TemplateError::Exists(folder),
        _ => TemplateError::Io(folder, error),
    })
}

fn write_into(template: &str, name: &str, parent: &Path, folder: &Path) -> io::Result<Vec<PathBuf>> {
    fs_err::create_dir_all(parent)?;
    let staging = tempfile::Builder::new().prefix(".new-").tempdir_in(parent)?;
    let mut written = Vec::new();
    for (file_name, text) in files(template) {
        let file_name = renamed(file_name, name);
        let path = staging.path().join(&file_name);
        fs_err::write(&path, renamed(text, name))?;
        let mode = if HookName::of_file(&path).is_some() { 0o755 } else { 0o644 };
        fs_err::set_permissions(&path, PermissionsExt::from_mode(mode))?;
        written.push(folder.join(file_name));
    }
    fs_err::set_permissions(staging.path(), PermissionsExt::from_mode(0o755))?;
    fs_err::rename(staging.path(), folder)?;
    Ok(written)
}

/// Replaces the name of an example in a text, including the prefix of its settings.
fn renamed(text: &str, name: &str) -> String {
    text.replace(EXAMPLE, name).replace(&enabled::prefix(EXAMPLE), &enabled::prefix(name))
}

/// Returns whether a folder may have this name, and variables in any language may start with it.
fn is_name(name: &str) -> bool {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    name.starts_with(|c: char| c.is_ascii_alphabetic()) && name.chars().all(is_part) && name.len() <= 63
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugin::config::schema;
    use crate::trust::{Inspection, Trust};

    const ALL: [&str; 4] = ["plugin", "provider/sh", "provider/python", "provider/node"];

    #[test]
    fn the_written_files_contain_the_new_name_only() {
        for template in ALL {
            let parent = tempfile::tempdir().unwrap();
            let files = write(template, "my-tool", parent.path()).unwrap();
            for file in &files {
                let text = fs_err::read_to_string(file).unwrap();
                assert!(!text.to_lowercase().contains(EXAMPLE), "{}", file.display());
                assert!(!file.display().to_string().contains(EXAMPLE), "{}", file.display());
            }
            let schema =
                schema::read(&parent.path().join("my-tool"), &mut Inspection::new(&Trust::new(None)))
                    .unwrap()
                    .unwrap();
            assert!(schema.properties.iter().all(|property| property.name.starts_with("MY_TOOL_")));
            assert!(files.iter().any(|file| HookName::of_file(file).is_some()));
        }
    }

    #[test]
    fn each_template_has_fewer_than_40_lines() {
        for (name, text) in ALL.into_iter().flat_map(files) {
            assert!(text.lines().count() < 40, "{name}");
        }
    }

    #[test]
    fn does_not_change_an_existing_folder() {
        let parent = tempfile::tempdir().unwrap();
        fs_err::create_dir(parent.path().join("mine")).unwrap();
        assert!(matches!(write("plugin", "mine", parent.path()), Err(TemplateError::Exists(_))));
        assert_eq!(fs_err::read_dir(parent.path().join("mine")).unwrap().count(), 0);
        assert_eq!(fs_err::read_dir(parent.path()).unwrap().count(), 1, "no incomplete folder is left");
    }

    #[test]
    fn a_name_must_be_valid_as_a_folder_a_variable_and_in_a_script() {
        for good in ["jq", "my-tool", "My_Tool2"] {
            assert!(is_name(good), "{good}");
        }
        for bad in ["", ".x", "_x", "-x", "7zip", "a b", "a/b", "..", "a$(b)", "\u{fc}", &"x".repeat(64)] {
            assert!(!is_name(bad), "{bad}");
        }
    }
}
