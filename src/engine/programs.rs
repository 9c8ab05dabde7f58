//! The recorded binaries as programs that commands run.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::engine::catalog::Catalog;
use crate::engine::error::EngineError;
use crate::engine::session::Session;
use crate::install::adopt;
use crate::install::status::FileCheck;
use crate::model::name::link_name;
use crate::model::{Binary, BinaryId};
use crate::sorting::sort_by_key;
use crate::store::StoreError;

/// Returns the binary that has the name of a program, or `None` if there is none. Adopts one that counts as installed because
/// another machine recorded it, so that only the first command of a restored data dir reads the plugins and the file.
pub(crate) fn named(session: &Session<'_>, program: &OsStr) -> Result<Option<Binary>, EngineError> {
    let Some(name) = program.to_str() else { return Ok(None) };
    let Session { settings, store, machine, .. } = session;
    let stored = store.binary(machine.id, name)?;
    if stored.is_some() || store.binaries_elsewhere(Some(machine.id), Some(name))?.is_empty() {
        return Ok(stored);
    }
    // Without the plugins, it is unknown which package has to own the file. The command runs all the same.
    let Ok(catalog) = Catalog::find(settings, &[], &|_event| {}) else { return Ok(None) };
    let check = FileCheck { settings, configs: &catalog.configs };
    Ok(adopt::find_or_adopt(store, check, machine.id, name, None, false)?)
}

/// The programs of this machine's binaries.
#[derive(Debug)]
pub(crate) struct Programs {
    lib_bin_dir: PathBuf,
    /// The links in LIB_BIN_DIR and the files of the binaries: the folder of each, by its file name.
    by_file_name: HashMap<OsString, Vec<(PathBuf, BinaryId)>>,
}

impl Programs {
    /// Reads the programs of this machine's binaries.
    pub(crate) fn of(session: &Session<'_>) -> Result<Self, StoreError> {
        let lib_bin_dir = session.settings.lib_bin_dir.clone();
        let mut binaries = session.store.binary_programs(session.machine.id)?;
        // Of `tool` and `/opt/x/tool`, the former owns the link.
        sort_by_key(&mut binaries, |(_, name, _)| link_name(name) != name);
        let mut by_file_name: HashMap<_, Vec<_>> = HashMap::new();
        for (id, name, abspath) in binaries {
            for path in [Some(lib_bin_dir.join(link_name(&name))), abspath].iter().flatten() {
                if let (Some(folder), Some(file_name)) = (path.parent(), path.file_name()) {
                    by_file_name.entry(file_name.to_owned()).or_default().push((folder.to_owned(), id));
                }
            }
        }
        Ok(Self { lib_bin_dir, by_file_name })
    }

    /// Returns the binary that a command in `cwd` runs, or `None` if it is not a recorded one. Its path is that of the link
    /// in LIB_BIN_DIR or of the file of the binary. A name is searched for on the path that `search_path` returns; one that
    /// is not on it could only be that of a link.
    pub(crate) fn binary_id(
        &self,
        program: &OsStr,
        cwd: &Path,
        search_path: impl FnOnce() -> OsString,
    ) -> Option<BinaryId> {
        // Most programs have the name of no binary, and need no search.
        let known = self.by_file_name.get(Path::new(program).file_name()?)?;
        let path = if program.as_bytes().contains(&b'/') {
            cwd.join(program)
        } else {
            let found = which::which_in(program, Some(search_path()), cwd);
            found.unwrap_or_else(|_| self.lib_bin_dir.join(program))
        };
        let folder = path.parent()?;
        let exact = known.iter().find(|(other, _)| other == folder);
        let found = exact.or_else(|| known.iter().find(|(other, _)| is_same_folder(other, folder)));
        found.map(|(_, id)| *id)
    }
}

fn is_same_folder(one: &Path, other: &Path) -> bool {
    matches!((one.canonicalize(), other.canonicalize()), (Ok(one), Ok(other)) if one == other)
}
