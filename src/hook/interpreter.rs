//! The interpreters of hooks, without the shims of version managers.
//!
//! Version managers such as pyenv and mise put a `python3` or `node` on PATH that searches for the real one at every start,
//! which takes some 100 ms. rigup searches once for all hooks.

use std::collections::HashMap;
use std::ffi::OsString;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::process::capture;
use crate::process::signals::Interrupt;
use crate::process::spawn::CommandSpec;

/// How long a shim may take to print the path of the real interpreter.
const PATIENCE: Duration = Duration::from_secs(10);

/// The real interpreters, by the paths of their shims.
static REAL: LazyLock<Mutex<HashMap<PathBuf, Option<PathBuf>>>> = LazyLock::new(Mutex::default);

/// Returns the real interpreter that is the program of a command, or `None` if that is no interpreter or no shim.
pub(crate) fn real(command: &CommandSpec, interrupt: &Interrupt) -> Option<PathBuf> {
    let name = command.program.to_str()?;
    let args = match name {
        "python3" => ["-c", "import sys; print(sys.executable)"],
        "node" => ["-p", "process.execPath"],
        _ => return None,
    };
    let found = command.find_program().ok()?;
    let mut known = REAL.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(real) = known.get(&found) {
        return real.clone();
    }
    let query = || {
        let query = CommandSpec {
            program: found.clone().into(),
            args: args.map(OsString::from).into(),
            env: command.env.clone(),
            cwd: command.cwd.clone(),
        };
        let captured = capture::run(&query, Instant::now() + PATIENCE, interrupt).ok()??;
        let real = PathBuf::from(captured.stdout.trim_end_matches('\n'));
        (captured.exit_code == Some(0) && real.is_absolute() && real.is_file()).then_some(real)
    };
    let real = if is_shim(&found, name) { query() } else { None };
    known.insert(found, real.clone());
    real
}

/// Whether a file is a script, or a link to a program with another name.
fn is_shim(found: &Path, name: &str) -> bool {
    let file = found.canonicalize().unwrap_or_else(|_| found.to_owned());
    let has_name = file.file_name().is_some_and(|file| file.as_encoded_bytes().starts_with(name.as_bytes()));
    !has_name || is_script(&file).unwrap_or(false)
}

fn is_script(file: &Path) -> io::Result<bool> {
    let mut start = [0; 2];
    fs_err::File::open(file)?.read_exact(&mut start)?;
    Ok(start == *b"#!")
}
