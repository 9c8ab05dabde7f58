//! Which file the link of a binary leads to, and whose link it may take.

use std::path::{Path, PathBuf};

use crate::install::link::{self, LinkError};
use crate::model::binary::Installed;
use crate::model::id::MachineId;
use crate::model::name::{self, BinaryName};
use crate::settings::Settings;
use crate::store::{Store, StoreError};

/// What links binaries of this machine into LIB_BIN_DIR.
#[derive(Debug, Clone, Copy)]
pub struct Linker<'a> {
    /// Where LIB_BIN_DIR is.
    pub settings: &'a Settings,
    /// Whose link is whose.
    pub store: &'a Store,
    /// This machine.
    pub machine_id: MachineId,
    /// Replace a file that stands where a link goes, and take the link of another binary.
    pub force: bool,
}

impl Linker<'_> {
    /// Where the link of a binary is.
    pub fn path(&self, name: &BinaryName) -> PathBuf {
        self.settings.lib_bin_dir.join(name.link_name())
    }

    /// Links what was installed; `previous` is the file that the binary was before. The inner error says why the link is
    /// not made. A LIB_BIN_DIR that cannot be written is a warning: the binary is installed all the same.
    pub fn link(
        &self,
        name: &BinaryName,
        installed: &Installed,
        previous: Option<&Path>,
        warn: impl Fn(&str),
    ) -> Result<Result<(), String>, StoreError> {
        let path = self.path(name);
        if !self.force
            && let Some(owner) = self.owner(name, installed)?
        {
            let path = path.display();
            return Ok(Err(format!("not linked: {path} is the link of {owner}; --force takes it over")));
        }
        let linked = if installed.is_in_app_bundle() {
            link::unlink(&path)
        } else {
            link::link(&path, &installed.abspath, |old| self.is_ours(previous, old), self.force)
        };
        Ok(match linked {
            Ok(()) => Ok(()),
            Err(error @ LinkError::Unwritable { .. }) => {
                warn(&error.to_string());
                Ok(())
            }
            Err(refused) => Err(format!("not linked: {refused}")),
        })
    }

    /// Takes the link of a binary away, where it is the one that was made for this file.
    pub fn unlink(&self, name: &BinaryName, installed: &Installed) -> Result<(), LinkError> {
        let path = self.path(name);
        if fs_err::read_link(&path).is_ok_and(|it| it == installed.abspath) {
            link::unlink(&path)?;
        }
        Ok(())
    }

    /// The other binary whose link stands where this one's goes: `/opt/x/tool` and `tool` are both linked as `tool`.
    fn owner(&self, name: &BinaryName, installed: &Installed) -> Result<Option<String>, StoreError> {
        let Ok(there) = fs_err::read_link(self.path(name)) else {
            return Ok(None);
        };
        if there == installed.abspath {
            return Ok(None);
        }
        let others = self.store.binaries_of(self.machine_id)?.into_values();
        let mut owners = others.filter(|it| {
            it.name != name.as_str()
                && name::link_name(&it.name) == name.link_name()
                && it.installed().is_some_and(|it| it.abspath == there)
        });
        Ok(owners.next().map(|it| it.name))
    }

    /// Whether rigup made the link that points to `old`: all links of its own LIB_BIN_DIR are, and elsewhere those into
    /// LIB_DIR and to the file that was recorded.
    fn is_ours(&self, previous: Option<&Path>, old: &Path) -> bool {
        let Settings { lib_dir, lib_bin_dir, .. } = self.settings;
        lib_bin_dir.starts_with(lib_dir) || old.starts_with(lib_dir) || previous == Some(old)
    }
}
