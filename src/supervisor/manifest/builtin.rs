//! The field `builtin`: a daemon that is a part of rigup.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::declaration::Declaration;
use super::file::ManifestFile;
use super::replicas;
use super::value::ManifestValue;
use crate::hook::command;
use crate::sorting::collect_sorted;

/// The hidden command that retries failed installs, and the value of the field.
pub(crate) const RETRY: &str = "retry";

/// The field.
pub(super) const FIELD: &str = "builtin";

/// A daemon that is a part of rigup.
#[derive(Debug)]
pub(super) struct Builtin {
    /// The command: this rigup, with its folders.
    pub command: Vec<String>,
    /// The folder in which `rigup up` was called, whose plugins and settings count.
    pub working_dir: PathBuf,
    /// The variables with the plugins and the trusted folders of `rigup up`.
    pub env: BTreeMap<String, String>,
}

/// Reads the field, or returns `None` if the daemon has a command of its own.
pub(super) fn read(fields: &Declaration<'_>, file: &mut ManifestFile<'_, '_>) -> Option<Builtin> {
    let name = file.or_default(fields.word(FIELD, &[(RETRY, RETRY)]))?;
    if cfg!(not(target_os = "linux")) {
        file.report(fields.problem(FIELD, "is supported on Linux only; remove it"));
    }
    for key in ["command", "shell"].into_iter().filter(|key| fields.get(key).is_some()) {
        file.report(fields.problem(key, "cannot be combined with \"builtin\"; remove one of them"));
    }
    file.keep(fields.read(replicas::FIELD, "1, because \"builtin\" runs once", |value: &ManifestValue| {
        value.number::<u32>().filter(|count| *count == 1)
    }));
    let settings = file.settings;
    let folders = settings.folder_flags().into_iter();
    let folders = folders.flat_map(|(flag, folder)| [flag.to_owned(), folder.display().to_string()]);
    let plugins = std::env::join_paths(&settings.plugin_path).unwrap_or_default();
    let env = [("RIGUP_PLUGINS_DIR", plugins)].into_iter().chain(command::trust(settings.trust.exceptions()));
    Some(Builtin {
        command: [settings.rigup.display().to_string(), name.to_owned()].into_iter().chain(folders).collect(),
        working_dir: std::env::current_dir().unwrap_or_else(|_error| "/".into()),
        env: collect_sorted(env.map(|(name, value)| (name.to_owned(), value.to_string_lossy().into_owned()))),
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests::{daemon, messages};

    #[test]
    fn retry_is_an_orchestrator_with_the_folders_of_rigup() {
        let spec = daemon("rigup.toml", "[daemons.a]\nbuiltin = 'retry'\n");
        assert_eq!(spec.command[1], "retry");
        for flag in ["--data-dir", "--lib-dir", "--lib-bin-dir"] {
            assert!(spec.command.contains(&flag.to_owned()), "{flag}");
        }
        assert_eq!(spec.working_dir, std::env::current_dir().unwrap());
        assert!(spec.is_orchestrator && spec.env.contains_key("RIGUP_PLUGINS_DIR"));
        let fields =
            "builtin = 'retry'\nprocess_type = 'worker'\nreplicas = 1\nenv = {RIGUP_PLUGINS_DIR = '/p'}";
        let spec = daemon("rigup.toml", &format!("[daemons.a]\n{fields}\n"));
        assert_eq!((spec.is_orchestrator, &*spec.env["RIGUP_PLUGINS_DIR"]), (false, "/p"));
    }

    #[test]
    fn problems_of_builtin_name_the_line_and_what_is_allowed() {
        for (fields, expected) in [
            ("builtin = 'retries'", "rigup.toml:2: \"builtin\" is \"retries\"; use retry"),
            (
                "command = 'x'\nbuiltin = 'retry'",
                "rigup.toml:2: \"command\" cannot be combined with \"builtin\"; remove one of them",
            ),
            ("builtin = 'retry'\nshell = true", "rigup.toml:3: \"shell\" cannot be combined with"),
            (
                "builtin = 'retry'\nreplicas = 2",
                "rigup.toml:3: \"replicas\" is 2; use 1, because \"builtin\" runs once",
            ),
        ] {
            let found = messages("rigup.toml", &format!("[daemons.a]\n{fields}\n"));
            assert!(found.starts_with(expected), "{fields}: {found}");
        }
    }
}
