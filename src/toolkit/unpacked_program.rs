//! `rigup hook program`: the program in a folder that an archive was unpacked into.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Component, Path, PathBuf};

use regex::Regex;
use walkdir::WalkDir;

use crate::process::executable::{self, PROGRAM_HEAD, begins_like_program};
use crate::report::text::{MAX_LISTED, list};
use crate::shell;

/// The reason why no program is found.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProgramError {
    /// No file begins like a program.
    #[error("there is no program in {folder}", folder = shell::quote_path(.0))]
    None(PathBuf),
    /// The path of the program leads to none.
    #[error(
        "{folder} has no program {bin}, only {programs}",
        bin = shell::quote_text(.0), folder = shell::quote_path(.1), programs = programs(.2)
    )]
    NotFound(String, PathBuf, Vec<String>),
    /// Several programs may be meant.
    #[error(
        "{folder} has several programs; name one of them with `--bin`: {programs}",
        folder = shell::quote_path(.0), programs = list(.1, MAX_LISTED)
    )]
    Several(PathBuf, Vec<String>),
    /// The folder, or one in it, cannot be read.
    #[error("cannot read {path}: {cause}", path = shell::quote_path(.0.path().unwrap_or(Path::new(""))), cause = cause(.0))]
    Unreadable(#[from] walkdir::Error),
}

impl ProgramError {
    /// Returns the error for the user of a provider, who does not know the folder and states the program in the overrides.
    pub(crate) fn of_requirement(&self, provider: &str) -> String {
        match self {
            Self::None(_) => "there is no program in the archive".to_owned(),
            Self::NotFound(bin, _, paths) => format!(
                "overrides.{provider}.bin is {}, which is no program in the archive; it has {}",
                shell::quote_text(bin),
                programs(paths)
            ),
            Self::Several(_, paths) => {
                let paths = list(paths, MAX_LISTED);
                format!(
                    "the archive has several programs; set overrides.{provider}.bin to one of them: {paths}"
                )
            }
            Self::Unreadable(error) => error.to_string(),
        }
    }
}

/// Returns why a folder cannot be read, without its path.
fn cause(error: &walkdir::Error) -> String {
    error.io_error().map_or_else(|| error.to_string(), ToString::to_string)
}

fn programs(paths: &[String]) -> String {
    if paths.is_empty() { "files of other kinds".to_owned() } else { list(paths, MAX_LISTED) }
}

/// A file that begins like a program.
#[derive(Debug, Clone)]
struct UnpackedProgram {
    /// The path in the folder.
    path: PathBuf,
    /// The device and the inode, which several names of one file share.
    identity: (u64, u64),
    is_executable: bool,
    is_script: bool,
    is_foreign: bool,
}

/// The endings of the names of files that are loaded by a program, or sourced by a shell.
const NO_PROGRAMS: [&str; 13] = [
    ".a", ".bash", ".bundle", ".dll", ".dylib", ".elv", ".fish", ".ko", ".node", ".nu", ".o", ".ps1", ".zsh",
];
/// The names of folders that contain completions and manuals, or metadata of macOS.
const OTHER_FOLDERS: [&str; 13] = [
    "__MACOSX",
    "autocomplete",
    "bash-completion",
    "complete",
    "completion",
    "completions",
    "contrib",
    "doc",
    "docs",
    "examples",
    "man",
    "manual",
    "site-functions",
];
/// The words that follow the name of a program in the name of its file.
const PLATFORM_WORDS: [&str; 58] = [
    "aarch64",
    "amd64",
    "amd64v1",
    "amd64v2",
    "amd64v3",
    "android",
    "apple",
    "appimage",
    "arm",
    "arm64",
    "arm64v8",
    "armhf",
    "armv5",
    "armv6",
    "armv6hf",
    "armv6l",
    "armv7",
    "armv7l",
    "armv8",
    "bin",
    "darwin",
    "dynamic",
    "exe",
    "freebsd",
    "gnu",
    "gnueabihf",
    "i386",
    "i686",
    "intel",
    "linux",
    "linux32",
    "linux64",
    "mac",
    "macos",
    "musl",
    "musleabihf",
    "netbsd",
    "openbsd",
    "osx",
    "pc",
    "pl",
    "portable",
    "ppc64le",
    "py",
    "rb",
    "release",
    "riscv64",
    "s390x",
    "sh",
    "silicon",
    "static",
    "stable",
    "universal",
    "universal2",
    "unknown",
    "x32",
    "x64",
    "x86",
];

/// Returns the path of the program `name` below a folder. `bin` is its path there, without the single folder that contains
/// everything if there is one, or a pattern in which `*` stands for any characters but `/`.
pub(crate) fn find(folder: &Path, name: &str, bin: Option<&str>) -> Result<PathBuf, ProgramError> {
    let programs = programs_in(folder)?;
    let found = if let Some(bin) = bin {
        let error = || ProgramError::NotFound(bin.to_owned(), folder.to_owned(), paths(&programs));
        named_by(bin, &programs).ok_or_else(error)?
    } else {
        best(name, programs)
    };
    match found.split_first() {
        None => Err(ProgramError::None(folder.to_owned())),
        Some((first, rest)) if rest.iter().all(|other| other.identity == first.identity) => {
            Ok(folder.join(&first.path))
        }
        _ => Err(ProgramError::Several(folder.to_owned(), paths(&found))),
    }
}

fn paths(programs: &[UnpackedProgram]) -> Vec<String> {
    programs.iter().map(|program| program.path.display().to_string()).collect()
}

/// Returns the programs below a folder, sorted by path. A link counts as the file that it leads to.
fn programs_in(folder: &Path) -> Result<Vec<UnpackedProgram>, ProgramError> {
    let mut programs = Vec::new();
    let is_other = |entry: &walkdir::DirEntry| {
        entry.depth() > 0
            && entry.file_type().is_dir()
            && OTHER_FOLDERS.iter().any(|other| entry.file_name() == *other)
    };
    let entries = WalkDir::new(folder).sort_by_file_name().into_iter();
    for entry in entries.filter_entry(|entry| !is_other(entry)) {
        let entry = entry?;
        let Ok(path) = entry.path().strip_prefix(folder) else { continue };
        let Ok(metadata) = entry.path().metadata() else { continue };
        if !metadata.is_file() || !is_name_of_program(entry.file_name()) {
            continue;
        }
        let mut head = Vec::new();
        let read =
            File::open(entry.path()).and_then(|file| file.take(PROGRAM_HEAD as u64).read_to_end(&mut head));
        if read.is_ok() && begins_like_program(&head) {
            programs.push(UnpackedProgram {
                path: path.to_owned(),
                identity: (metadata.dev(), metadata.ino()),
                is_executable: metadata.permissions().mode() & 0o111 != 0,
                is_script: head.starts_with(b"#!"),
                is_foreign: executable::is_foreign(entry.path()),
            });
        }
    }
    Ok(programs)
}

/// Whether a file with this name may be a program, not a library, a completion or metadata of macOS.
fn is_name_of_program(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    let is_library = name.ends_with(".so") || name.contains(".so.");
    !is_library && !name.starts_with("._") && !NO_PROGRAMS.iter().any(|ending| name.ends_with(ending))
}

/// Returns the programs that a path or a pattern names, or `None` if there are none.
fn named_by(bin: &str, programs: &[UnpackedProgram]) -> Option<Vec<UnpackedProgram>> {
    let bin = bin.strip_prefix("./").unwrap_or(bin);
    let pattern = regex::escape(bin).replace(r"\*", "[^/]*");
    let pattern = Regex::new(&format!("^{pattern}$")).ok()?;
    // The whole path, the path below the first folder, or just the name of the file.
    let wholes = |path: &Path| path.to_path_buf();
    let inner = |path: &Path| path.components().skip(1).collect::<PathBuf>();
    let last = |path: &Path| PathBuf::from(path.file_name().unwrap_or_default());
    let parts: [&dyn Fn(&Path) -> PathBuf; 3] = [&wholes, &inner, &last];
    let found = parts.into_iter().map(|part| {
        let is_named = |program: &&UnpackedProgram| pattern.is_match(&part(&program.path).to_string_lossy());
        programs.iter().filter(is_named).cloned().collect::<Vec<_>>()
    });
    found.into_iter().find(|found| !found.is_empty())
}

/// Returns the programs that may be meant by a name: one, or several that are equally likely.
fn best(name: &str, mut programs: Vec<UnpackedProgram>) -> Vec<UnpackedProgram> {
    // An archive may contain programs for several systems.
    narrow(&mut programs, |program| !program.is_foreign);
    let file_name = |program: &UnpackedProgram| {
        program.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
    };
    let is_exact = |program: &UnpackedProgram| file_name(program) == name;
    let is_similar = |program: &UnpackedProgram| is_name_with_platform(&file_name(program), name);
    if narrow(&mut programs, is_exact) || narrow(&mut programs, is_similar) {
        let place =
            |program: &UnpackedProgram| (!is_in_bin(&program.path), program.path.components().count());
        let first = programs.iter().map(place).min();
        programs.retain(|program| Some(place(program)) == first);
        return programs;
    }
    narrow(&mut programs, |program| program.is_executable);
    narrow(&mut programs, |program| !program.is_script);
    narrow(&mut programs, |program| is_in_bin(&program.path));
    programs
}

/// Keeps the programs with a property if there are any. Returns whether there are.
fn narrow(programs: &mut Vec<UnpackedProgram>, has_property: impl Fn(&UnpackedProgram) -> bool) -> bool {
    let is_any = programs.iter().any(&has_property);
    if is_any {
        programs.retain(has_property);
    }
    is_any
}

/// Whether a path leads through a folder of programs, such as `bin` and `bin/linux`.
fn is_in_bin(path: &Path) -> bool {
    let folders = path.parent().into_iter().flat_map(Path::components);
    folders
        .into_iter()
        .any(|part| [Component::Normal("bin".as_ref()), Component::Normal("sbin".as_ref())].contains(&part))
}

/// Whether a file is named after a program, with nothing but a version and a platform behind: `jq-linux-amd64`.
fn is_name_with_platform(file: &str, name: &str) -> bool {
    let (file, name) = (file.to_ascii_lowercase(), name.to_ascii_lowercase());
    let Some(rest) = file.strip_prefix(&name) else { return false };
    let is_word = |word: &str| {
        let number = word.strip_prefix('v').unwrap_or(word);
        word.is_empty() || number.starts_with(|c: char| c.is_ascii_digit()) || PLATFORM_WORDS.contains(&word)
    };
    rest.is_empty()
        || rest.starts_with(['-', '_', '.'])
            && rest.replace("x86_64", "x64").split(['-', '_', '.', '+']).all(is_word)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// Makes a folder with these files: a program of this system, a foreign one, a script or a text. Returns the path that
    /// is found, or the reason.
    fn found(files: &[(&str, &str)], name: &str, bin: Option<&str>) -> Result<String, String> {
        let folder = tempfile::tempdir().unwrap();
        let native = fs_err::read("/bin/sh").unwrap();
        for (path, kind) in files {
            let path = folder.path().join(path);
            fs_err::create_dir_all(path.parent().unwrap()).unwrap();
            if let Some(target) = kind.strip_prefix("->") {
                symlink(target, path).unwrap();
                continue;
            }
            let (content, mode) = match *kind {
                "program" => (&*native, 0o755),
                "foreign" => (&b"\xcf\xfa\xed\xfe"[..], 0o755),
                "script" => (&b"#!/bin/sh\n"[..], 0o755),
                "sourced" => (&b"#!/bin/sh\n"[..], 0o644),
                _ => (&b"text"[..], 0o755),
            };
            fs_err::write(&path, content).unwrap();
            fs_err::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
        }
        let path = find(folder.path(), name, bin).map_err(|error| error.to_string());
        let folder = format!("{}/", folder.path().display());
        let shown = |text: String| text.replace(&folder, "").replace(folder.trim_end_matches('/'), "DIR");
        path.map(|path| shown(path.display().to_string())).map_err(shown)
    }

    #[test]
    fn the_program_is_found_whatever_the_layout_of_the_archive() {
        let cases: [(&[(&str, &str)], &str); 14] = [
            (&[("tool", "program"), ("README", "text")], "tool"),
            (&[("tool-1.0/tool/README", "text"), ("tool-1.0/bin/tool", "program")], "tool-1.0/bin/tool"),
            (&[("tool", "program"), ("tool-helper", "program")], "tool"),
            (
                &[("tool-v1.0-x86_64-unknown-linux-musl", "program"), ("x", "program")],
                "tool-v1.0-x86_64-unknown-linux-musl",
            ),
            (&[("Tool_linux_amd64.AppImage", "program")], "Tool_linux_amd64.AppImage"),
            (&[("other", "program"), ("install.sh", "script"), ("tool.1", "text")], "other"),
            (&[("bin/linux/tool", "program"), ("bin/darwin/tool", "foreign")], "bin/linux/tool"),
            (&[("tool", "text"), ("libexec/tool", "program")], "libexec/tool"),
            (&[("completions/tool", "script"), ("man/tool", "script"), ("tool-2", "script")], "tool-2"),
            (
                &[
                    ("tool.so", "program"),
                    ("libtool.dylib", "program"),
                    ("libtool.so.1", "program"),
                    ("t", "script"),
                ],
                "t",
            ),
            (
                &[("bin/tool", "->../lib/a/tool"), ("lib/a/tool", "program"), ("lib/tool", "program")],
                "bin/tool",
            ),
            (&[("a", "program"), ("b", "->a")], "a"),
            (&[("bin/a", "program"), ("libexec/b", "program")], "bin/a"),
            (&[("a.sh", "sourced"), ("b", "script")], "b"),
        ];
        for (files, expected) in cases {
            assert_eq!(found(files, "tool", None).as_deref(), Ok(expected), "{files:?}");
        }
    }

    #[test]
    fn several_programs_and_none_are_errors_that_list_what_exists() {
        let files = [("x/bin/a", "program"), ("x/bin/b", "program"), ("c", "text")];
        let error = "DIR has several programs; name one of them with `--bin`: x/bin/a and x/bin/b";
        assert_eq!(found(&files, "tool", None).unwrap_err(), error);
        assert_eq!(found(&[("tool", "text")], "tool", None).unwrap_err(), "there is no program in DIR");
        let error = "DIR has no program c, only x/bin/a and x/bin/b";
        assert_eq!(found(&files, "tool", Some("c")).unwrap_err(), error);
        for bin in ["../x", "/bin/sh"] {
            found(&files, "tool", Some(bin)).unwrap_err();
        }
        found(&files, "tool", Some("*/bin/*")).unwrap_err();
    }

    #[test]
    fn a_program_is_named_by_a_path_a_pattern_or_its_name() {
        let files = [("x-1.0/bin/a", "program"), ("x-1.0/bin/b", "program"), ("x-1.0/a.d/c", "text")];
        for bin in ["x-1.0/bin/a", "./x-1.0/bin/a", "bin/a", "a", "x-*/bin/a", "bin/a*", "*/*/a"] {
            assert_eq!(found(&files, "b", Some(bin)).as_deref(), Ok("x-1.0/bin/a"), "{bin}");
        }
    }
}
