//! The paths in the store and in `exit.json`. A path below LIB_DIR or the data dir is stored relative to it, as
//! `{LIB_DIR}/...` or `{DATA_DIR}/...`, so that the records are still correct after these folders were moved or copied.

use std::cmp::Reverse;
use std::ffi::OsStr;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use rusqlite::Connection;
use rusqlite::functions::{Context, FunctionFlags};
use rusqlite::types::{Value, ValueRef};

use crate::sorting::sort_by_key;

/// A folder that stored paths are relative to.
struct Root {
    /// The name that stands for the folder.
    name: &'static str,
    path: PathBuf,
    /// The path with its links resolved, as some installers write it.
    real_path: LazyLock<PathBuf, Box<dyn FnOnce() -> PathBuf + Send>>,
}

impl Root {
    fn new(name: &'static str, path: &Path) -> Self {
        let path = path.to_owned();
        let unresolved = path.clone();
        let resolve = move || unresolved.canonicalize().unwrap_or(unresolved);
        Self { name, path, real_path: LazyLock::new(Box::new(resolve)) }
    }

    /// Returns the stored form of a path, or `None` if it is not below this folder.
    fn to_stored(&self, path: &Path) -> Option<PathBuf> {
        let rest = path.strip_prefix(&self.path).or_else(|_| path.strip_prefix(&*self.real_path)).ok()?;
        Some(Path::new(self.name).join(rest))
    }

    fn to_path(&self, stored: &Path) -> Option<PathBuf> {
        Some(self.path.join(stored.strip_prefix(self.name).ok()?))
    }
}

/// The folders that stored paths are relative to.
pub(crate) struct StoredPaths([Root; 2]);

impl StoredPaths {
    pub(crate) fn new(lib_dir: &Path, data_dir: &Path) -> Self {
        let mut roots = [Root::new("{DATA_DIR}", data_dir), Root::new("{LIB_DIR}", lib_dir)];
        // Either folder may be in the other one. The inner one comes first, and the data dir if they are the same.
        sort_by_key(&mut roots, |root| Reverse(root.path.as_os_str().len()));
        Self(roots)
    }

    /// Returns the stored form of a path, or `None` if it is in neither folder.
    pub(crate) fn to_stored(&self, path: &Path) -> Option<PathBuf> {
        self.0.iter().find_map(|root| root.to_stored(path))
    }

    /// Returns the path of a stored form, or `None` if the text is something else.
    pub(crate) fn to_path(&self, stored: &Path) -> Option<PathBuf> {
        self.0.iter().find_map(|root| root.to_path(stored))
    }
}

/// Adds the SQL functions `stored_path` and `real_path` to a connection, which convert a path to its stored form and
/// back. Both leave any value unchanged that is not a path.
pub(super) fn add_functions(connection: &Connection, paths: StoredPaths) -> rusqlite::Result<()> {
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC;
    let paths = Arc::new(paths);
    let stored = Arc::clone(&paths);
    connection.create_scalar_function("stored_path", 1, flags, move |context| {
        convert(context, b"/", |path| stored.to_stored(path))
    })?;
    connection.create_scalar_function("real_path", 1, flags, move |context| {
        convert(context, b"{", |path| paths.to_path(path))
    })
}

/// Converts the argument of a function if it is a path that begins with `start`.
fn convert(
    context: &Context<'_>,
    start: &[u8],
    convert: impl FnOnce(&Path) -> Option<PathBuf>,
) -> rusqlite::Result<Value> {
    let value = context.get_raw(0);
    if let ValueRef::Text(bytes) | ValueRef::Blob(bytes) = value
        && bytes.starts_with(start)
        && let Some(path) = convert(Path::new(OsStr::from_bytes(bytes)))
    {
        let bytes = path.into_os_string().into_vec();
        return Ok(String::from_utf8(bytes).map_or_else(|error| Value::Blob(error.into_bytes()), Value::Text));
    }
    Ok(Value::try_from(value)?)
}
