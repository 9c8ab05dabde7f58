//! The recorded binaries as programs that commands run.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::engine::session::Session;
use crate::model::BinaryId;
use crate::model::name::link_name;
use crate::store::StoreError;

/// The programs of this machine's binaries.
#[derive(Debug)]
pub(crate) struct Programs {
    lib_bin_dir: PathBuf,
    by_link: HashMap<String, BinaryId>,
    by_path: HashMap<PathBuf, BinaryId>,
}

impl Programs {
    /// Reads the programs of this machine's binaries.
    pub(crate) fn of(session: &Session<'_>) -> Result<Self, StoreError> {
        let (mut by_link, mut by_path) = (HashMap::new(), HashMap::new());
        for (id, name, abspath) in session.store.binary_programs(session.machine.id)? {
            by_path.extend(abspath.map(|path| (path, id)));
            // Of `tool` and `/opt/x/tool`, the former owns the link.
            if link_name(&name) == name {
                by_link.insert(name, id);
            } else {
                by_link.entry(link_name(&name).to_owned()).or_insert(id);
            }
        }
        Ok(Self { lib_bin_dir: session.settings.lib_bin_dir.clone(), by_link, by_path })
    }

    /// Returns the binary that a command in `cwd` runs, or `None` if it is not a recorded one. A name is that of a binary.
    /// A path is that of its link in LIB_BIN_DIR or of its file.
    pub(crate) fn binary_id(&self, program: &OsStr, cwd: &Path) -> Option<BinaryId> {
        let by_name = |name: &OsStr| self.by_link.get(name.to_str()?).copied();
        if !program.as_bytes().contains(&b'/') {
            return by_name(program);
        }
        let path = cwd.join(program);
        let is_link = |folder: &Path| is_same_folder(folder, &self.lib_bin_dir);
        let linked = by_name(path.file_name()?).filter(|_| path.parent().is_some_and(is_link));
        linked.or_else(|| self.by_path.get(&path).copied())
    }
}

fn is_same_folder(one: &Path, other: &Path) -> bool {
    one == other || matches!((one.canonicalize(), other.canonicalize()), (Ok(one), Ok(other)) if one == other)
}
