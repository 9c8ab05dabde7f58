//! The providers that are embedded in the executable, so that a copied `rigup` file works on its own.

use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use include_dir::{Dir, include_dir};

use crate::fs::dir::{make_private_dir, parent};
use crate::fs::lock::OwnLock;
use crate::fs::remove::{ignore_missing, remove_tree};
use crate::model::PluginName;
use crate::plugin::config::schema::{self, Schema, SchemaError};
use crate::plugin::discovery::{self, Hook, Plugin};
use crate::plugin::hook_name::HookName;

static PROVIDERS: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/providers");

/// The threads of a rigup that write files take turns, so that none of them waits for a lock as if another rigup held it.
static TURN: Mutex<()> = Mutex::new(());

/// Returns the built-in providers, with their paths below the data dir, where [`verify`] writes them.
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

/// Returns the text of a file of a built-in provider, which need not be unpacked. It is empty if the provider has no such
/// file. Returns `None` if the plugin is not built in.
pub(crate) fn file(plugin: &Plugin, data_dir: &Path, name: &str) -> Option<&'static str> {
    let folder = provider(plugin.path.strip_prefix(folder(data_dir)).ok()?)?;
    Some(file_of(folder, name).map_or("", text))
}

fn text(file: &'static include_dir::File<'_>) -> &'static str {
    file.contents_utf8().expect("the files of the built-in providers are texts")
}

/// Returns the `config.json` of the built-in provider of this name, or `None` if there is no such provider.
pub(crate) fn config(name: &str) -> Result<Option<Schema>, SchemaError> {
    let file = provider(Path::new(name)).and_then(|folder| file_of(folder, schema::FILE_NAME));
    file.map(|file| schema::parse(text(file))).transpose()
}

/// Checks that the file of a built-in hook is identical to the embedded one, and that only this user can write to it.
/// If not, writes the file again and returns a warning. Does not check other hooks. If the folder of its provider does not
/// exist, [`unpack`]s that first. `lock` locks the folder in which files are written.
pub(crate) fn verify(
    hook: &Path,
    data_dir: &Path,
    lock: impl Fn(&Path) -> io::Result<OwnLock>,
) -> io::Result<Option<String>> {
    let Some(file) = embedded_file(hook, data_dir) else { return Ok(None) };
    let is_same = || match hook.metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        found => io::Result::Ok(found?.mode() & 0o122 == 0o100 && fs_err::read(hook)? == file.contents()),
    };
    if is_same()? {
        return Ok(None);
    }
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = parent(hook);
    if !folder.exists() {
        unpack(folder, data_dir, &lock)?;
    }
    if is_same()? {
        return Ok(None);
    }
    let (_lock, staging) = stage(folder, lock)?;
    let copy = staging.join("whole");
    write(&copy, file)?;
    fs_err::rename(&copy, hook)?;
    fs_err::remove_dir(staging)?;
    Ok(Some(format!(
        "{} was changed, and rigup restored it; put your own provider into a folder of the search path",
        hook.display()
    )))
}

/// Writes the files of a provider into its folder below the data dir unless that exists. They are written to a staging
/// folder, which is then renamed, so that no process ever sees only some of them. Every version of rigup has folders of its
/// own.
fn unpack(folder: &Path, data_dir: &Path, lock: impl Fn(&Path) -> io::Result<OwnLock>) -> io::Result<()> {
    let name = folder.file_name().map(Path::new);
    let Some(provider) = name.and_then(provider) else { return Ok(()) };
    let (_lock, staging) = stage(&data_dir.join("builtin"), lock)?;
    if folder.exists() {
        return fs_err::remove_dir(staging);
    }
    let fill = || {
        for file in provider.files() {
            write(&staging.join(file.path().file_name().unwrap_or_default()), file)?;
        }
        make_private_dir(parent(folder))?;
        fs_err::rename(&staging, folder)
    };
    fill().inspect_err(|_| drop(remove_tree(&staging)))
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
fn stage(parent: &Path, lock: impl Fn(&Path) -> io::Result<OwnLock>) -> io::Result<(OwnLock, PathBuf)> {
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
    use crate::fs::lock::FileLock;
    use crate::plugin::discovery;
    use crate::trust::Trust;

    fn verify(hook: &Path, data_dir: &Path) {
        let lock = |folder: &Path| {
            let lock = FileLock::open(folder)?;
            lock.lock()?;
            Ok(lock.into())
        };
        assert_eq!(super::verify(hook, data_dir, lock).unwrap(), None);
    }

    #[test]
    fn the_unpacked_plugins_match_the_list() {
        let data_dir = tempfile::tempdir().unwrap();
        let listed = plugins(data_dir.path());
        for hook in listed.iter().flat_map(|plugin| &plugin.hooks) {
            verify(&hook.path, data_dir.path());
        }
        let found = discovery::discover(&[folder(data_dir.path())], Vec::new(), &Trust::new(None));
        assert!(!listed.is_empty());
        assert_eq!(found.plugins, listed);
    }

    #[test]
    fn only_the_provider_of_the_hook_is_unpacked() {
        let data_dir = tempfile::tempdir().unwrap();
        let listed = plugins(data_dir.path());
        verify(&listed[0].hooks[0].path, data_dir.path());
        let unpacked = fs_err::read_dir(folder(data_dir.path())).unwrap();
        let unpacked: Vec<PathBuf> = unpacked.map(|entry| entry.unwrap().path()).collect();
        assert_eq!(unpacked, [&*listed[0].path]);
    }

    /// Returns the names of the built-in providers.
    fn names() -> impl Iterator<Item = &'static str> {
        PROVIDERS.dirs().filter_map(|dir| dir.path().to_str())
    }

    #[test]
    fn the_patterns_of_package_names_are_valid() {
        for provider in names() {
            let schema = config(provider).unwrap().unwrap();
            assert_eq!(schema.provider.check_package_names(), Ok(()), "{provider}");
        }
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
    fn concurrent_calls_unpack_complete_copies() {
        let data_dir = tempfile::tempdir().unwrap();
        let listed = plugins(data_dir.path());
        std::thread::scope(|scope| {
            for plugin in listed.iter().cycle().take(2 * listed.len()) {
                scope.spawn(|| verify(&plugin.hooks[0].path, data_dir.path()));
            }
        });
        let count = fs_err::read_dir(data_dir.path().join("builtin")).unwrap().count();
        assert_eq!(count, 1, "no incomplete copy is left");
        let found = discovery::discover(&[folder(data_dir.path())], Vec::new(), &Trust::new(None));
        assert_eq!(found.plugins, listed);
    }
}
