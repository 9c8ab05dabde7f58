//! The files in a venv that name its folder, and that nothing needs.

use std::io;
use std::path::Path;

/// The file that makes a folder a venv.
const CONFIGURATION: &str = "pyvenv.cfg";

/// The list of what `uv tool install` was called with. It may contain the address of a private index.
const RECEIPT: &str = "uv-receipt.toml";

/// Removes the scripts that activate a venv, the command that created it and the receipt of uv. Does nothing if the folder
/// is not a venv.
pub(super) fn clean(venv: &Path) -> io::Result<()> {
    let configuration = venv.join(CONFIGURATION);
    let Ok(text) = fs_err::read_to_string(&configuration) else { return Ok(()) };
    if text.lines().any(is_command) {
        let lines = text.split_inclusive('\n').filter(|line| !is_command(line));
        fs_err::write(&configuration, lines.collect::<String>())?;
    }
    if venv.join(RECEIPT).exists() {
        fs_err::remove_file(venv.join(RECEIPT))?;
    }
    for entry in fs_err::read_dir(venv.join("bin"))? {
        let entry = entry?;
        if is_activation(&entry.file_name().to_string_lossy().to_lowercase()) {
            fs_err::remove_file(entry.path())?;
        }
    }
    Ok(())
}

fn is_command(line: &str) -> bool {
    line.starts_with("command = ")
}

/// Returns whether a file with this name in lower case activates a venv. Programs of packages have longer names, such as
/// `activate-global-python-argcomplete`.
fn is_activation(name: &str) -> bool {
    matches!(name.split('.').next(), Some("activate" | "activate_this" | "deactivate"))
}
