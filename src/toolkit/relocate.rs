//! Makes a folder relocatable: its links and launchers still work after it was moved or copied.
//!
//! Installers write absolute paths into links and launchers. A path relative to the link or launcher replaces each one
//! that is below the folder, or below LIB_DIR if the folder is.

use std::ffi::OsString;
use std::fs::{FileTimes, Metadata, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use walkdir::WalkDir;

use crate::fs::{atomic, dir};
use crate::toolkit::relocate::interpreter::{Interpreter, Rewritten};
use crate::toolkit::relocate::roots::Roots;

mod interpreter;
mod python_script;
mod roots;
mod shell_script;
mod venv;

/// Rewrites the links and launchers below `prefix`, and cleans it if it is a venv. Returns the scripts that still name their own folder.
pub(crate) fn relocate(prefix: &Path, lib_dir: &Path) -> io::Result<Vec<PathBuf>> {
    let real = fs_err::canonicalize(prefix)?;
    let roots = Roots::new(prefix, &real, lib_dir)?;
    venv::clean(&real)?;
    let mut fixed_scripts = Vec::new();
    // The entries are collected first, because rewriting a file adds one to its folder.
    for entry in WalkDir::new(&real).min_depth(1).into_iter().collect::<Result<Vec<_>, _>>()? {
        let path = entry.path();
        let folder = dir::parent(path);
        let roots = roots.seen_from(folder.strip_prefix(&real).unwrap_or(folder));
        if entry.path_is_symlink() {
            let target = fs_err::read_link(path)?;
            if let Some(relative) = roots.relative(target.as_os_str().as_bytes()) {
                atomic::replace_link(path, Path::new(&OsString::from_vec(relative)))?;
            }
        } else if let Some(script) = read_script(path)? {
            let Some(Rewritten { content, kept }) = rewrite(&script, &roots) else {
                fixed_scripts.extend(roots.is_in(&script).then(|| path.to_owned()));
                continue;
            };
            let metadata = fs_err::metadata(path)?;
            if roots.is_in(kept.as_ref().unwrap_or(&content)) {
                fixed_scripts.push(path.to_owned());
            }
            if let Some(kept) = kept {
                let kept_folder = folder.join(python_script::FOLDER);
                fs_err::create_dir_all(&kept_folder)?;
                let name = path.file_name().unwrap_or_default();
                replace(&kept_folder.join(name), &kept, &metadata, 0o666)?;
            }
            replace(path, &content, &metadata, 0o777)?;
        }
    }
    Ok(fixed_scripts)
}

/// Returns the message about a script that still names its own folder.
pub(crate) fn fixed_script(script: &Path) -> String {
    format!("{} works only in this folder, which it names", script.display())
}

/// Returns the content of an executable file that begins with `#!`.
fn read_script(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let metadata = fs_err::symlink_metadata(path)?;
    if !metadata.is_file() || metadata.permissions().mode() & 0o111 == 0 || metadata.len() < 3 {
        return Ok(None);
    }
    let mut content = vec![0; 2];
    let mut file = fs_err::File::open(path)?;
    file.read_exact(&mut content)?;
    if content != b"#!" {
        return Ok(None);
    }
    file.read_to_end(&mut content)?;
    Ok(Some(content))
}

/// Replaces the paths in a script. Returns `None` if it has none, or is in a language in which that is not possible.
fn rewrite(script: &[u8], roots: &Roots) -> Option<Rewritten> {
    let interpreter = Interpreter::of(script, roots)?;
    match interpreter.name() {
        name if name.starts_with(b"python") || name.starts_with(b"pypy") => interpreter.trampoline(roots),
        b"sh" | b"bash" | b"dash" | b"ksh" | b"zsh" => {
            if roots.relative(&interpreter.path).is_some() {
                return interpreter.env_line(roots);
            }
            let content = roots.is_in(script).then(|| shell_script::rewrite(script, roots)).flatten()?;
            Some(Rewritten { content, kept: None })
        }
        _ => interpreter.env_line(roots),
    }
}

/// Replaces a file, which may be a hard link into a cache. The new file has the time and, with the bits in `mask`, the
/// mode of the old one.
fn replace(path: &Path, content: &[u8], metadata: &Metadata, mask: u32) -> io::Result<()> {
    let mut file = atomic::create_private(path)?;
    file.write_all(content)?;
    file.as_file().set_permissions(Permissions::from_mode(metadata.permissions().mode() & mask))?;
    file.as_file().set_times(FileTimes::new().set_modified(metadata.modified()?))?;
    Ok(file.persist(path).map(drop)?)
}

#[cfg(test)]
mod tests;
