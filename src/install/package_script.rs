//! The scripts with which a package manager starts the programs of Python and Node packages. What they start is known
//! without running them.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use memchr::memmem;
use nodejs_semver::{Range, Version};
use serde_json::Value;

use crate::fs::regular_file;
use crate::hook::command;
use crate::install::package;
use crate::plugin::config::provider::PackageMetadata;
use crate::process::capture;
use crate::process::signals::Interrupt;
use crate::process::spawn::CommandSpec;
use crate::settings::Settings;
use crate::shebang::Shebang;
use crate::shell;

/// The maximum size of a launcher of a Python program. That of pip has about 300 bytes.
const MAX_SIZE: u64 = 4096;

/// The maximum size of the `package.json` of a package.
const MAX_PACKAGE_JSON: u64 = 4 * 1024 * 1024;

/// The time in which Node.js must print its version.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Returns whether a program that the system can start needs no run to know that it runs: it is a script of a Python or
/// Node package that starts an interpreter of the right version with files that exist.
pub(crate) fn is_complete(
    metadata: PackageMetadata,
    program: &Path,
    settings: &Settings,
    interrupt: &Interrupt,
) -> bool {
    let is_complete = match metadata {
        PackageMetadata::DistInfo => is_python_launcher(program),
        PackageMetadata::PackageJson => is_node_program(program, settings, interrupt),
        _ => None,
    };
    is_complete.unwrap_or_default()
}

/// Returns whether a script is a launcher that a package manager wrote into a venv, and the module that it imports exists.
fn is_python_launcher(program: &Path) -> Option<bool> {
    let script = regular_file::read(program, MAX_SIZE).ok()?;
    let script = std::str::from_utf8(&script).ok()?;
    let mut lines = script.lines();
    let interpreter = lines.next()?.strip_prefix("#!")?;
    let is_of_venv = lines.next()?.starts_with(shell::PYTHON_TRAMPOLINE)
        || Path::new(interpreter).parent() == program.parent();
    let mut imports = script.lines().filter_map(|line| line.strip_prefix("from "));
    let (module, _) = imports.next()?.split_once(" import ")?;
    let is_launcher = is_of_venv && imports.next().is_none() && script.contains("sys.exit(");
    Some(is_launcher && package::has_python_module(program.parent()?, module))
}

/// Returns whether a script is that of a Node package, for this version of Node.js, and no package beside it has files that
/// only an install script or another package for this platform brings.
fn is_node_program(program: &Path, settings: &Settings, interrupt: &Interrupt) -> Option<bool> {
    let file = program.canonicalize().ok()?;
    let mut head = regular_file::read(&file, MAX_PACKAGE_JSON).ok()?;
    head.truncate(head.iter().position(|byte| *byte == b'\n')?);
    let node = Shebang::parse(head.strip_prefix(b"#!")?)?.env_program().filter(|name| name == "node")?;
    let engines = package::node_package(program)?["engines"]["node"].as_str().map(str::to_owned);
    if let Some(engines) = engines {
        let found = version_of_node(node, settings, interrupt)?;
        if !Range::parse(engines).ok()?.satisfies(&Version::parse(found.trim()).ok()?) {
            return Some(false);
        }
    }
    let modules = file
        .ancestors()
        .filter(|folder| folder.file_name() == Some(OsStr::new(package::NODE_MODULES)))
        .last()?;
    Some(node_packages(modules).iter().all(|folder| is_installed_by_copying(folder)))
}

fn version_of_node(node: OsString, settings: &Settings, interrupt: &Interrupt) -> Option<String> {
    let command = CommandSpec {
        program: which::which_in(node, Some(command::search_path(settings, &[])), "/").ok()?.into(),
        args: vec!["--version".into()],
        env: command::environment_of_program(settings, &[], vec![]),
        cwd: PathBuf::from("/"),
    };
    capture::stdout(command, Instant::now() + TIMEOUT, interrupt).ok()?
}

/// Returns the folders of the packages in a `node_modules` folder, and in those of its packages. Scopes, and folders such as
/// `.pnpm`, contain packages.
fn node_packages(modules: &Path) -> Vec<PathBuf> {
    let contains_packages = |path: &PathBuf| {
        path.file_name().is_some_and(|name| matches!(name.as_encoded_bytes().first(), Some(b'@' | b'.')))
    };
    let mut packages = Vec::new();
    let mut folders = vec![modules.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = package::entries(&folder).into_iter();
        let entries = entries.filter(|entry| entry.is_dir() && !entry.is_symlink());
        let (parents, found): (Vec<PathBuf>, Vec<PathBuf>) = entries.partition(contains_packages);
        folders.extend(parents);
        folders.extend(
            found.iter().map(|package| package.join(package::NODE_MODULES)).filter(|nested| nested.is_dir()),
        );
        packages.extend(found);
    }
    packages
}

/// Returns whether a Node package is complete once its files are copied: no script completes it, and none of its
/// dependencies is optional, as those for one platform are.
fn is_installed_by_copying(folder: &Path) -> bool {
    let path = folder.join("package.json");
    let Ok(text) = regular_file::read(&path, MAX_PACKAGE_JSON) else { return !path.exists() };
    let has = |text: &[u8], key: &str| memmem::find(text, key.as_bytes()).is_some();
    if folder.join("binding.gyp").exists() {
        return false;
    }
    if !has(&text, "install\"") && !has(&text, "\"optionalDependencies\"") {
        return true;
    }
    let Ok(json) = serde_json::from_slice::<Value>(&text) else { return false };
    !package::has_install_script(&json)
        && json["optionalDependencies"].as_object().is_none_or(serde_json::Map::is_empty)
}
