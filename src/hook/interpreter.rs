//! The interpreters of hooks, without the shims of version managers.
//!
//! Version managers such as pyenv and mise put a `python3` or `node` on PATH that searches for the real one at every
//! start, which takes about 100 ms. rigup searches only once for all hooks.

use std::collections::HashMap;
use std::ffi::OsString;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::fs::dir::parent;
use crate::process::capture;
use crate::process::signals::Interrupt;
use crate::process::spawn::CommandSpec;

/// How long a shim may take to print the path of the real interpreter.
const PATIENCE: Duration = Duration::from_secs(10);

/// The real interpreter of each program that was found on PATH, or `None` if the program is not a shim.
static REAL_INTERPRETERS: LazyLock<Mutex<HashMap<PathBuf, Option<PathBuf>>>> = LazyLock::new(Mutex::default);

/// Returns the real interpreter behind the program of a command, or `None` if the program is not an interpreter or not
/// a shim.
pub(crate) fn resolve_shim(command: &CommandSpec, interrupt: &Interrupt) -> Option<PathBuf> {
    let name = command.program.to_str()?;
    let args = match name {
        "python3" => ["-c", "import sys; print(sys.executable)"],
        "node" => ["-p", "process.execPath"],
        _ => return None,
    };
    let found = command.find_program().ok()?;
    let mut cache = REAL_INTERPRETERS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(real) = cache.get(&found) {
        return real.clone();
    }
    let run_shim = || {
        let query = CommandSpec {
            program: found.clone().into(),
            args: args.map(OsString::from).into(),
            env: command.env.clone(),
            // The version files in the folders above the hook's own do not count, because others may have written them.
            cwd: "/".into(),
        };
        let deadline = Instant::now() + PATIENCE;
        let stdout = capture::stdout(query, deadline, interrupt).ok()??;
        let real = PathBuf::from(stdout.trim_end_matches('\n'));
        (real.is_absolute() && real.is_file()).then_some(real)
    };
    let real = if is_shim(&found, name) { run_shim() } else { None };
    cache.insert(found, real.clone());
    real
}

/// Puts the folder of the real `python3` before the folder `shims` in which the PATH of a command has one. Otherwise, each
/// program that searches for Python runs the shim again: uv stores what it knows only about a real interpreter.
pub(crate) fn put_python_before_shims(command: &mut CommandSpec, interrupt: &Interrupt) {
    let python = CommandSpec { program: "python3".into(), ..command.clone() };
    let Some(shims) = python.find_program().ok().map(|found| parent(&found).to_owned()) else { return };
    if !shims.ends_with("shims") {
        return;
    }
    let Some(real) = resolve_shim(&python, interrupt) else { return };
    let Some((_, path)) = command.env.iter_mut().find(|(name, _)| name == "PATH") else { return };
    let mut folders: Vec<PathBuf> = std::env::split_paths(path).collect();
    let place = folders.iter().position(|folder| *folder == shims).unwrap_or_default();
    folders.insert(place, parent(&real).to_owned());
    if let Ok(joined) = std::env::join_paths(folders) {
        *path = joined;
    }
}

/// Returns whether a file is a script, or a link to a program with another name.
fn is_shim(found: &Path, name: &str) -> bool {
    let file = found.canonicalize().unwrap_or_else(|_| found.to_owned());
    let has_name = file.file_name().is_some_and(|file| file.as_encoded_bytes().starts_with(name.as_bytes()));
    let mut start = [0; 2];
    let read = fs_err::File::open(file).and_then(|mut file| file.read_exact(&mut start));
    !has_name || read.is_ok() && start == *b"#!"
}
