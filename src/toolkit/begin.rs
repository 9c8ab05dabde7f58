//! The shell code at the start of a provider's hook, which takes the lock and sets the request as shell variables.

use std::ffi::OsStr;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use nix::unistd::geteuid;

use crate::fs::dir::{nearest_existing, other_owner, owner_blocked_by_root, parent};
use crate::fs::lib_dir::{self, make_shared_dir};
use crate::model::Outcome;
use crate::plugin::config::provider::{HookLock, PackageMetadata, ProviderConfig, SettingsReader};
use crate::plugin::overrides::OptionError;
use crate::process::inherited_lock;
use crate::process::lock::{self, LOCKED};
use crate::settings::Settings;
use crate::shell;
use crate::toolkit::pip_settings::{self, PipSettings};
use crate::toolkit::request::{HookRequest, RequestError};
use crate::toolkit::{batch, package_spec, policy, versions};

/// The shell code that ends a hook with a usage error.
pub(crate) const EXIT_IN_SHELL: &str = "exit 2\n";

/// The shell code that sets the arguments to the command that starts the hook again. Like rigup, it starts a script
/// without an exec bit or a shebang with bash.
const RESTART: &str = r##"if [ -x "$0" ] && read -r shebang <"$0" && [ "${shebang#"#!"}" != "$shebang" ]
then set -- "$0" "$@"
else set -- bash "$0" "$@"
fi
"##;

/// The shell code for a hook whose folder `part` was created. It is removed if the hook exits before `make_part`.
const PART_IS_NEW: &str = r#"part_is_new=yes
trap '[ ! -d "$prefix.part" ] || rmdir "$prefix.part" 2>/dev/null || :' EXIT
trap 'exit 143' HUP INT TERM
"#;

/// The variables that name folders in which several package managers keep files of their own.
const FOLDERS: [&str; 3] = ["XDG_CACHE_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME"];

/// The variable that names the home folder.
const HOME: &str = "HOME";

/// The shell code that defines functions for every hook.
const FUNCTIONS: &str = include_str!("begin_all.sh");

/// The shell code that defines functions for a hook with one request.
const REQUEST_FUNCTIONS: &str = include_str!("begin_request.sh");

/// The shell code that defines functions for a hook that installs Node packages.
const NODE_FUNCTIONS: &str = include_str!("begin_node.sh");

/// The shell code that defines functions for a hook that installs Python packages.
const PYTHON_FUNCTIONS: &str = include_str!("begin_python.sh");

/// The shell code that defines functions for a hook that installs images of containers.
const CONTAINER_FUNCTIONS: &str = include_str!("begin_container.sh");

/// The shell code that defines functions for a hook that installs releases.
const RELEASE_FUNCTIONS: &str = include_str!("begin_release.sh");

/// The shell code that defines functions for a hook that reads the settings of pip.
const PIP_FUNCTIONS: &str = include_str!("begin_pip.sh");

/// The shell code that defines functions for a hook that reads the settings of uv.
const UV_FUNCTIONS: &str = include_str!("begin_uv.sh");

/// Returns the shell code that a provider's hook evaluates at its start. If the hook does not hold its lock, the code
/// starts the hook again under the lock. Otherwise, it sets the umask and the variables `provider`, `name`, `prefix`, `packages` and
/// `locations` (one per line), `min_version`, `max_version`, `exact_version`, `shared`, `foreign`, `stamps` and
/// those of [`policy::assignments`], and HOME if it is unset, and it defines functions. The lock is that of the prefix
/// unless `lock` names another. The folder that contains the prefix is created, if possible.
pub(crate) fn script(
    request: &HookRequest,
    provider: &str,
    lock: Option<&str>,
    config: &ProviderConfig,
    settings: &Settings,
    now: Timestamp,
) -> Result<String, RequestError> {
    let lock = match lock {
        Some(lock) => lock.to_owned(),
        None => lock_name(config, request.prefix(provider, &settings.lib_dir)?.lock_name()),
    };
    match restart(&lock, settings)? {
        Some(restart) => Ok(restart),
        None => locked_script(request, provider, config, settings, now),
    }
}

/// Returns the code for a hook that holds its lock.
pub(super) fn locked_script(
    request: &HookRequest,
    provider: &str,
    config: &ProviderConfig,
    settings: &Settings,
    now: Timestamp,
) -> Result<String, RequestError> {
    let prefix = request.prefix(provider, &settings.lib_dir)?;
    let is_shared = !prefix.is_named(request.name.link_name());
    let foreign = prefix.foreign(&settings.lib_dir).unwrap_or_default();
    let prefix = prefix.path(&settings.lib_dir);
    if let Some(owner) = other_owner(&prefix).filter(|_| !geteuid().is_root()) {
        return Err(RequestError::OtherOwner(prefix, owner));
    }
    // If LIB_DIR cannot be written, the hook reports that.
    let _ = make_shared_dir(&settings.lib_dir, parent(&prefix));
    let packages = request.packages(provider, config)?;
    let is_location = |package: &&String| !package.starts_with('-') && package_spec::is_location(package);
    let locations: Vec<String> = packages.iter().filter(is_location).cloned().collect();
    let caches = caches(settings);
    let is_home_usable = settings.home.as_deref().is_some_and(is_usable);
    let shared = FOLDERS.map(|name| (name, "", HOME));
    let own = config.caches.iter().map(|(name, base)| (name.as_str(), name.as_str(), base.as_str()));
    let mut moved: Vec<_> = shared.into_iter().chain(own).collect();
    moved.retain(|(name, _, base)| match settings.environment.folders(name).first() {
        Some(folder) => !is_usable(folder),
        None => *base == HOME && !is_home_usable,
    });
    if !moved.is_empty() || !is_home_usable {
        let all = lib_dir::cache(&settings.lib_dir);
        let _ = make_shared_dir(&settings.lib_dir, &all);
        if all.is_symlink() && lib_dir::check_owner_of_link(&settings.lib_dir, &all).is_err() {
            return Err(RequestError::ForeignCache(all));
        }
        check_owner_of_cache(&caches)?;
    }
    let umask = lib_dir::umask(&settings.lib_dir);
    let is_part_new =
        config.builds_part && !is_shared && foreign.as_os_str().is_empty() && create_part(&prefix, umask);
    let caches = caches.to_string_lossy();
    let (prefix, packages, locations) = (prefix.to_string_lossy(), packages.join("\n"), locations.join("\n"));
    let variables = [
        ("name", request.name.link_name()),
        ("prefix", &prefix),
        ("packages", &packages),
        ("locations", &locations),
        ("min_version", &request.min_version),
        ("exact_version", &request.exact_version),
    ];
    let assignment = |(name, value): (&str, &str)| Ok([name, "=", &quoted(value)?, "\n"].concat());
    let mut script = variables.into_iter().map(assignment).collect::<Result<String, RequestError>>()?;
    script += &home_assignment(settings)?;
    script += &policy::assignments(request, now);
    script += &assignment(("max_version", &request.max_version))?;
    script += &assignment(("shared", if is_shared { "yes" } else { "" }))?;
    script += &assignment(("provider", provider))?;
    // What a lock file pins is verified, whether or not anything verifies a download.
    let has_pin = !request.exact_sha256.is_empty() || !request.exact_url_sha256.is_empty();
    script += &assignment(("has_pin", if has_pin { "yes" } else { "" }))?;
    script += &assignment(("foreign", &foreign.to_string_lossy()))?;
    script += &assignment(("stamps", &settings.data_dir.join("stamps").to_string_lossy()))?;
    script += &stated_settings(config, settings)?;
    for (name, below, _) in moved {
        script += "export ";
        script += &assignment((name, format!("{caches}/{below}").trim_end_matches('/')))?;
    }
    script += &how_to_install(config)?;
    script += if is_part_new { PART_IS_NEW } else { "part_is_new=\n" };
    let functions = [&[FUNCTIONS, REQUEST_FUNCTIONS], package_functions(config.metadata)].concat().concat();
    Ok(script + &format!("umask {umask:03o}\n{functions}"))
}

/// Returns the shell code that defines the functions for packages with this metadata, or for packages of every kind: a shell
/// takes long to read all of them.
fn package_functions(metadata: Option<PackageMetadata>) -> &'static [&'static str] {
    match metadata {
        Some(PackageMetadata::DistInfo) => &[PIP_FUNCTIONS, UV_FUNCTIONS, PYTHON_FUNCTIONS],
        Some(PackageMetadata::PackageJson) => &[NODE_FUNCTIONS],
        Some(PackageMetadata::Image) => &[CONTAINER_FUNCTIONS],
        Some(_) => &[],
        None => &[
            NODE_FUNCTIONS,
            PIP_FUNCTIONS,
            UV_FUNCTIONS,
            PYTHON_FUNCTIONS,
            CONTAINER_FUNCTIONS,
            RELEASE_FUNCTIONS,
        ],
    }
}

/// Returns the shell code that a batch hook evaluates at its start, under its lock. It sets the variables `provider`,
/// `requests`, to the input of the hook, and `plan`, and HOME if it is unset, and it defines functions.
pub(crate) fn batch_script(
    input: &str,
    requests: &[HookRequest],
    provider: &str,
    config: &ProviderConfig,
    settings: &Settings,
) -> Result<String, RequestError> {
    let (input, plan) = (quoted(input.trim_end())?, quoted(plan(requests, provider, config)?.trim_end())?);
    let hints = how_to_install(config)?;
    let functions = [FUNCTIONS, include_str!("begin_batch.sh")].concat();
    let (home, provider) = (home_assignment(settings)?, quoted(provider)?);
    Ok(format!("{home}provider={provider}\nrequests={input}\nplan={plan}\n{hints}{functions}"))
}

/// Returns the shell code that a hook for `BinaryVersions` evaluates at its start. It prints a record for each request whose
/// package is none that a registry lists, or states a version; sets HOME if it is unset; sets `plan` to a line for each of the others, with the name of the binary and
/// that of its package separated by a tab, and `builders` to the names whose packages may be built; and defines functions. Without a
/// line, the hook ends.
pub(crate) fn versions_script(
    requests: &[HookRequest],
    provider: &str,
    config: &ProviderConfig,
    settings: &Settings,
) -> Result<String, RequestError> {
    let (mut plan, mut records) = (String::new(), String::new());
    for request in requests {
        let name = request.name.as_str();
        let record = match listed_package(request, provider, config) {
            Ok((package, version)) => {
                plan += &[name, "\t", package, "\n"].concat();
                (!version.is_empty()).then(|| versions::only(name, &only(version, config)))
            }
            Err(reason) => Some(batch::failure(name, Outcome::Failed, &reason)),
        };
        records.extend(record.map(|record| format!("{record}\n")));
    }
    let may_build = requests.iter().filter(|request| request.policy.may_run_scripts());
    let builders: Vec<&str> = may_build.map(|request| request.name.as_str()).collect();
    let (records, plan, builders) =
        (quoted(&records)?, quoted(plan.trim_end())?, quoted(&builders.join("\n"))?);
    let hints = how_to_install(config)?;
    let batch = include_str!("begin_batch.sh");
    let functions =
        [FUNCTIONS, batch, PIP_FUNCTIONS, UV_FUNCTIONS, include_str!("begin_versions.sh")].concat();
    let (home, stated) = (home_assignment(settings)?, stated_settings(config, settings)?);
    Ok(format!(
        "printf %s {records}\nplan={plan}\nbuilders={builders}\n[ \"$plan\" ] || exit 0\n{home}{stated}{hints}{functions}"
    ))
}

/// Returns the versions that a package accepts which states one: after `@`, a partial version stands for all that begin with
/// it, but `==6.0` is no other than 6.0.0.
fn only(version: &str, config: &ProviderConfig) -> String {
    let is_range = config.version_format.as_deref().is_some_and(|format| format.starts_with('@'));
    let exact = package_spec::with_numbers(version, 3).filter(|_| !is_range);
    exact.unwrap_or_else(|| version.to_owned())
}

/// Returns the name of the package that stands for a binary and the version that it states, or why its versions do not say
/// what would be installed.
fn listed_package<'r>(
    request: &'r HookRequest,
    provider: &str,
    config: &ProviderConfig,
) -> Result<(&'r str, &'r str), String> {
    const CHOOSING: [&str; 5] = ["--pre", "--version", "--exclude-newer", "--min-release-age", "--HEAD"];
    let packages = &request.overrides.of(provider).packages;
    let chooses = |package: &&String| CHOOSING.iter().any(|option| package.starts_with(option));
    if let Some(option) = packages.iter().find(chooses) {
        return Err(format!("the option {option} chooses the version"));
    }
    let package = packages.iter().find(|package| !package.starts_with('-'));
    let package = package.map_or(request.name.link_name(), String::as_str);
    package_spec::listed(package)
        .map(|listed| if config.names_versions() { (package, "") } else { listed })
        .ok_or_else(|| format!("its package {package} states more than the name of a package in a registry"))
}

/// Returns the shell code that sets `settings` and `must_ask` for a provider whose hooks read the settings of pip.
fn stated_settings(config: &ProviderConfig, settings: &Settings) -> Result<String, RequestError> {
    if config.settings != Some(SettingsReader::Pip) {
        return Ok(String::new());
    }
    let environment = &settings.environment;
    let path = environment.get("PATH").unwrap_or(OsStr::new(""));
    let python = which::which_in("python3", Some(path), "/").ok();
    let PipSettings { lines, unread } =
        pip_settings::read(environment, settings.home.as_deref(), python.as_deref());
    let (lines, must_ask) =
        (quoted(lines.trim_end())?, quoted(&unread.unwrap_or_default().to_string_lossy())?);
    Ok(format!("settings={lines}\nmust_ask={must_ask}\n"))
}

/// Returns the shell function that prints how to install a program which the provider needs.
fn how_to_install(config: &ProviderConfig) -> Result<String, RequestError> {
    let case = |(program, hint): (&String, &String)| {
        Ok(format!("{}) printf %s {} ;; ", quoted(program)?, quoted(hint)?))
    };
    let cases = config.needs.iter().map(case).collect::<Result<String, RequestError>>()?;
    Ok(format!("how_to_install() {{ case $1 in {cases}*) printf 'install it' ;; esac; }}\n"))
}

/// Returns a line for each request, with its name and its packages, separated by tabs.
pub(crate) fn plan(
    requests: &[HookRequest],
    provider: &str,
    config: &ProviderConfig,
) -> Result<String, OptionError> {
    let line = |request: &HookRequest| {
        Ok(format!("{}\t{}\n", request.name, request.packages(provider, config)?.join("\t")))
    };
    requests.iter().map(line).collect()
}

/// Returns the name of the lock that a hook of a provider holds, which is `own` unless the provider names another.
pub(crate) fn lock_name(config: &ProviderConfig, own: String) -> String {
    match &config.lock {
        Some(HookLock::Named(name)) => name.clone(),
        Some(HookLock::Prefix) | None => own,
    }
}

/// Returns the shell code that starts the hook again under a lock, or `None` if the hook holds it.
pub(crate) fn restart(lock: &str, settings: &Settings) -> Result<Option<String>, RequestError> {
    if inherited_lock::is_held(settings.environment.get(LOCKED), &settings.lib_dir, lock) {
        return Ok(None);
    }
    let lock_id = lock::id(&settings.lib_dir, lock);
    let (lock_id, lock) = (quoted(&lock_id.to_string_lossy())?, quoted(lock)?);
    Ok(Some(format!("{RESTART}{LOCKED}={lock_id} exec \"$RIGUP\" hook lock {lock} -- \"$@\"\n")))
}

/// Creates the folder in which a hook builds the prefix, with the permissions that the umask gives. Returns `false` if there is
/// something in its place, or if it cannot be created: `make_part` then does so, and reports errors.
fn create_part(prefix: &Path, umask: u32) -> bool {
    let mut part = prefix.as_os_str().to_owned();
    part.push(".part");
    let create = || {
        fs_err::create_dir(&part)?;
        // The umask of this process may be another one. A group of LIB_DIR is inherited.
        let inherited = fs_err::metadata(&part)?.permissions().mode() & 0o7000;
        fs_err::set_permissions(&part, PermissionsExt::from_mode(inherited | 0o777 & !umask))
    };
    create().is_ok()
}

/// Returns the shell code that sets HOME, or nothing if it is set: to the home folder of the user or, if there is none, to the
/// folder of the caches.
fn home_assignment(settings: &Settings) -> Result<String, RequestError> {
    if settings.environment.get(HOME).is_some() {
        return Ok(String::new());
    }
    let home = if let Some(home) = &settings.home {
        home.clone()
    } else {
        let caches = caches(settings);
        check_owner_of_cache(&caches)?;
        caches
    };
    Ok(format!("export HOME={}\n", quoted(&home.to_string_lossy())?))
}

/// Returns the folder for the caches of package managers of this user if they cannot keep them below the home folder.
fn caches(settings: &Settings) -> PathBuf {
    lib_dir::cache(&settings.lib_dir).join(geteuid().to_string())
}

/// Returns whether package managers can keep files in a folder, which need not exist. What root creates in the folder of
/// another user would block that user.
fn is_usable(folder: &Path) -> bool {
    // For root, the permissions of /proc allow new files, too.
    folder.is_absolute()
        && tempfile::tempfile_in(nearest_existing(folder)).is_ok()
        && owner_blocked_by_root(folder).is_none()
}

/// Returns an error if the cache exists but is not a folder of this user: another user could write to it, or have made a
/// link to another folder.
fn check_owner_of_cache(cache: &Path) -> Result<(), RequestError> {
    match cache.symlink_metadata() {
        Ok(found) if !found.is_dir() || found.uid() != geteuid().as_raw() => {
            Err(RequestError::ForeignCache(cache.to_owned()))
        }
        _ => Ok(()),
    }
}

/// Quotes a word for a shell.
fn quoted(text: &str) -> Result<String, RequestError> {
    if text.contains('\0') {
        return Err(RequestError::Nul(text.to_owned()));
    }
    Ok(shell::quote_text(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_everything_that_a_shell_would_expand() {
        for text in ["a b$(c)`d`\n\"e\\", "it's", "~", ""] {
            assert_eq!(shlex::split(&quoted(text).unwrap()).unwrap(), [text]);
        }
        assert!(quoted("a\0").is_err());
    }
}
