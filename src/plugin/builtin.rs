//! The providers that are embedded in the executable, so that a copied `rigup` file works on its own.

use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use include_dir::{Dir, include_dir};

use crate::fs::dir::make_private_dir;
use crate::fs::lock::FileLock;
use crate::fs::remove::{ignore_missing, remove_tree};
use crate::model::PluginName;
use crate::plugin::config::schema::{self, Schema, SchemaError};
use crate::plugin::discovery::{self, Hook, Plugin};
use crate::plugin::hook_name::HookName;

static PROVIDERS: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/providers");

/// Returns the built-in providers, with their paths below the data dir, where [`unpack`] writes them.
pub(crate) fn plugins(data_dir: &Path) -> Vec<Plugin> {
    let folder = folder(data_dir);
    PROVIDERS
        .dirs()
        .filter_map(|dir| {
            let name = PluginName::parse(dir.path().to_str()?).ok()?;
            let hooks = dir.files().filter_map(|file| {
                Some(Hook {
                    name: HookName::of_file(file.path())?,
                    plugin: name.clone(),
                    path: folder.join(file.path()),
                    start: discovery::start_of(file.contents(), None),
                })
            });
            Some(Plugin { path: folder.join(dir.path()), hooks: hooks.collect(), name: name.clone() })
        })
        .collect()
}

/// Returns the contents of a file of a built-in provider, which need not be unpacked. Returns an empty slice if the
/// provider has no such file, or `None` if the plugin is not built in.
pub(crate) fn file(plugin: &Plugin, data_dir: &Path, name: &str) -> Option<&'static [u8]> {
    let folder = provider(plugin.path.strip_prefix(folder(data_dir)).ok()?)?;
    Some(file_of(folder, name).map_or(&[], include_dir::File::contents))
}

/// Returns the `config.json` of the built-in provider of this name, or `None` if there is no such provider.
pub(crate) fn config(name: &str) -> Result<Option<Schema>, SchemaError> {
    let file = provider(Path::new(name)).and_then(|folder| file_of(folder, schema::FILE_NAME));
    file.map(|file| schema::parse(&String::from_utf8_lossy(file.contents()))).transpose()
}

/// Writes the built-in providers below the data dir unless they exist. They are written to a staging folder, which is
/// then renamed, so that no process ever sees only some of them. `lock` locks the parent folder. Every version of rigup
/// has its own folder.
pub(crate) fn unpack(data_dir: &Path, lock: impl FnOnce(&Path) -> io::Result<FileLock>) -> io::Result<()> {
    let folder = folder(data_dir);
    if folder.exists() {
        return Ok(());
    }
    let parent = data_dir.join("builtin");
    let (_lock, staging) = stage(&parent, lock)?;
    if folder.exists() {
        return fs_err::remove_dir(staging);
    }
    let fill = || {
        for dir in PROVIDERS.dirs() {
            make_private_dir(&staging.join(dir.path()))?;
            dir.files().try_for_each(|file| write(&staging.join(file.path()), file))?;
        }
        fs_err::rename(&staging, &folder)
    };
    fill().inspect_err(|_| drop(remove_tree(&staging)))
}

/// Checks that the file of a built-in hook is identical to the embedded one, and that only this user can write to it.
/// If not, locks its folder with `lock`, writes the file again and returns a warning. Does not check other hooks.
pub(crate) fn verify(
    hook: &Path,
    data_dir: &Path,
    lock: impl FnOnce(&Path) -> io::Result<FileLock>,
) -> io::Result<Option<String>> {
    let Some(file) = embedded_file(hook, data_dir) else { return Ok(None) };
    let is_same = match hook.metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => false,
        found => found?.mode() & 0o122 == 0o100 && fs_err::read(hook)? == file.contents(),
    };
    if is_same {
        return Ok(None);
    }
    let parent = hook.parent().unwrap_or(data_dir);
    let (_lock, staging) = stage(parent, lock)?;
    let copy = staging.join("whole");
    write(&copy, file)?;
    fs_err::rename(&copy, hook)?;
    fs_err::remove_dir(staging)?;
    Ok(Some(format!(
        "{} was changed, and rigup restored it; put your own provider into a folder of the search path",
        hook.display()
    )))
}

/// Returns whether this is the path of a built-in hook, whose file [`verify`] checks.
pub(crate) fn is_builtin(hook: &Path, data_dir: &Path) -> bool {
    embedded_file(hook, data_dir).is_some()
}

/// Returns the folder of a provider. Compares the paths as text, which is several times as fast as [`Dir::get_dir`].
fn provider(name: &Path) -> Option<&'static Dir<'static>> {
    PROVIDERS.dirs().find(|folder| folder.path().as_os_str() == name.as_os_str())
}

fn file_of(folder: &'static Dir<'static>, name: &str) -> Option<&'static include_dir::File<'static>> {
    folder.files().find(|file| file.path().file_name().is_some_and(|file_name| file_name == name))
}

fn embedded_file(hook: &Path, data_dir: &Path) -> Option<&'static include_dir::File<'static>> {
    PROVIDERS.get_file(hook.strip_prefix(folder(data_dir)).ok()?)
}

/// Creates an empty staging folder that only this user can read, and returns it with the lock on its parent. Anything
/// that was in the folder was left by a killed rigup.
fn stage(parent: &Path, lock: impl FnOnce(&Path) -> io::Result<FileLock>) -> io::Result<(FileLock, PathBuf)> {
    make_private_dir(parent)?;
    let lock = lock(parent)?;
    let staging = parent.join(".new");
    ignore_missing(remove_tree(&staging))?;
    make_private_dir(&staging)?;
    Ok((lock, staging))
}

/// Writes a file that only this user can read, and can run if it is a hook.
fn write(path: &Path, file: &include_dir::File<'_>) -> io::Result<()> {
    let mode = if HookName::of_file(file.path()).is_some() { 0o700 } else { 0o600 };
    fs_err::write(path, file.contents())?;
    fs_err::set_permissions(path, PermissionsExt::from_mode(mode))
}

/// Returns the folder of the providers, named after the hash of their files, which `build.rs` computes.
fn folder(data_dir: &Path) -> PathBuf {
    data_dir.join("builtin").join(env!("RIGUP_PROVIDERS_HASH"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugin::discovery;
    use crate::trust::Trust;

    fn unpack(data_dir: &Path) {
        let lock = |folder: &Path| {
            let lock = FileLock::open(folder)?;
            lock.lock()?;
            Ok(lock)
        };
        super::unpack(data_dir, lock).unwrap();
    }

    #[test]
    fn the_unpacked_plugins_match_the_list() {
        let data_dir = tempfile::tempdir().unwrap();
        unpack(data_dir.path());
        unpack(data_dir.path());
        let listed = plugins(data_dir.path());
        let found = discovery::discover(&[super::folder(data_dir.path())], Vec::new(), &Trust::new(None));
        assert!(!listed.is_empty());
        assert_eq!(found.plugins, listed);
    }

    /// Returns the names of the built-in providers.
    fn names() -> impl Iterator<Item = &'static str> {
        PROVIDERS.dirs().filter_map(|dir| dir.path().to_str())
    }

    #[test]
    fn every_provider_sets_curated_and_only_package_managers_are() {
        let mut curated = Vec::new();
        for provider in names() {
            let schema = config(provider).unwrap().expect("a built-in provider has a config.json");
            if schema.provider.curated.expect("it sets `curated`") {
                curated.push(provider);
            }
        }
        curated.sort_unstable();
        assert_eq!(curated, ["apt", "brew", "dnf", "env", "pacman", "zypper"]);
    }

    #[test]
    fn concurrent_calls_unpack_one_complete_copy() {
        let data_dir = tempfile::tempdir().unwrap();
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| unpack(data_dir.path()));
            }
        });
        let count = fs_err::read_dir(data_dir.path().join("builtin")).unwrap().count();
        assert_eq!(count, 1, "no incomplete copy is left");
    }
}
