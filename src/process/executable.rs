//! Checks that the system can start a program, without starting it.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::unistd::{AccessFlags, access};
use object::elf::{FileHeader32, FileHeader64};
use object::{Endianness, FileKind};

use crate::fs::dir;
use crate::fs::regular_file;
use crate::process::wrapper;
use crate::shebang::Shebang;
use crate::shell::{ENV_LAUNCHER, PYTHON_TRAMPOLINE, SCRIPT_DIR, split_line};

mod elf;
mod error;

pub(crate) use error::ExecutableError;

/// The number of bytes at the start of a file that are read to tell its format. The kernel reads 256 bytes of a `#!`
/// line, but a trampoline has the path of its interpreter in the second line.
const HEAD: usize = 4096;

/// The number of bytes that tell whether a file is a program.
pub(crate) const PROGRAM_HEAD: usize = 8;

/// The file in which a provider keeps the path of a prefix, if files of the prefix contain that path.
const BUILT_PATH: &str = ".rigup-built-path";

/// The maximum number of interpreters of interpreters, as in the Linux kernel.
const MAX_DEPTH: usize = 5;

/// Returns the value of PATH. Few programs need it.
type SearchPath<'a> = &'a dyn Fn() -> OsString;

/// Checks that the system can start a program: that this user may execute the file, that its format is one of this
/// system, and that its interpreter or loader exists. `env` searches for interpreters on the path that `search_path`
/// returns; without one, they count as existing. The content of a file that cannot be read passes.
pub(crate) fn check(program: &Path, search_path: Option<SearchPath<'_>>) -> Result<(), ExecutableError> {
    check_program(program, search_path, 0)
}

/// Returns whether a path leads to a file that this user may execute.
pub(crate) fn is_program(path: &Path) -> bool {
    check_access(path).is_ok()
}

fn check_access(path: &Path) -> Result<(), ExecutableError> {
    let metadata = path.metadata().map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => ExecutableError::Missing,
        _ => ExecutableError::Unreadable(error.to_string()),
    })?;
    if !metadata.is_file() {
        return Err(ExecutableError::NotFile);
    }
    // For root, access(2) succeeds only if at least one exec bit is set, which exec also requires.
    access(path, AccessFlags::X_OK).map_err(|_| match metadata.mode() & 0o111 {
        _ if is_mounted_noexec(path) => ExecutableError::Noexec,
        0 if has_program_head(path) => ExecutableError::NoExecBit(path.to_owned()),
        0 => ExecutableError::NoProgram,
        _ => ExecutableError::Forbidden,
    })
}

/// Returns whether a file begins like a program.
fn has_program_head(path: &Path) -> bool {
    let mut head = Vec::new();
    File::open(path).is_ok_and(|file| file.take(PROGRAM_HEAD as u64).read_to_end(&mut head).is_ok())
        && begins_like_program(&head)
}

/// Returns whether the first [`PROGRAM_HEAD`] bytes of a file are a shebang, or those of an ELF or a Mach-O file.
pub(crate) fn begins_like_program(head: &[u8]) -> bool {
    match head {
        [b'#', b'!', ..] | [0x7f, b'E', b'L', b'F', ..] | [0xce | 0xcf, 0xfa, 0xed, 0xfe, ..] => true,
        // The number of the architectures in a Mach-O file. In a Java class, it is the version of Java, which is larger.
        [0xca, 0xfe, 0xba, 0xbe, 0, 0, 0, count, ..] => *count < 40,
        _ => false,
    }
}

/// Returns the version of glibc on this host as its numbers, or `None` if programs use another C library.
pub(crate) fn glibc_of_host() -> Option<Vec<u32>> {
    elf::glibc_of_host()
}

/// Returns whether a program was built for another processor or operating system. An emulator may still run it.
pub(crate) fn is_foreign(program: &Path) -> bool {
    let Ok(mut file) = File::open(program) else { return false };
    let mut head = Vec::with_capacity(HEAD);
    let read = file.by_ref().take(HEAD as u64).read_to_end(&mut head);
    read.is_ok() && matches!(check_format(file, &head), Err(ExecutableError::Foreign(_)))
}

/// Returns whether the file system of this file or folder is mounted noexec.
#[cfg(target_os = "linux")]
pub(crate) fn is_mounted_noexec(path: &Path) -> bool {
    use rustix::fs::StatVfsMountFlags;

    rustix::fs::statvfs(path).is_ok_and(|stat| stat.f_flag.contains(StatVfsMountFlags::NOEXEC))
}

/// On other systems, only the mode of the file is checked.
#[cfg(not(target_os = "linux"))]
pub(crate) fn is_mounted_noexec(_path: &Path) -> bool {
    false
}

fn check_program(
    program: &Path,
    search_path: Option<SearchPath<'_>>,
    depth: usize,
) -> Result<(), ExecutableError> {
    if depth == MAX_DEPTH {
        return Err(ExecutableError::Loop);
    }
    check_access(program)?;
    check_built_path(program)?;
    check_venv(program)?;
    let Ok(mut file) = File::open(program) else { return Ok(()) };
    // With this capacity, one read is enough.
    let mut head = Vec::with_capacity(HEAD);
    if file.by_ref().take(HEAD as u64).read_to_end(&mut head).is_err() {
        return Ok(());
    }
    if let Some(script) = head.strip_prefix(b"#!") {
        return check_script(program, script, search_path, depth);
    }
    if is_bare_script(&head) {
        return check_interpreter(Path::new(SHELL), search_path, depth);
    }
    match check_format(file, &head) {
        Err(ExecutableError::Foreign(_) | ExecutableError::UnknownFormat) if has_emulators() => Ok(()),
        checked => checked,
    }
}

/// The shell that runs a script without a `#!` line.
pub(crate) const SHELL: &str = "/bin/sh";

/// Returns whether a file is a script that begins with a comment other than `#!`: `execvp` and shells run it with [`SHELL`].
pub(crate) fn lacks_shebang(program: &Path) -> bool {
    let mut head = Vec::new();
    File::open(program).is_ok_and(|file| file.take(HEAD as u64).read_to_end(&mut head).is_ok())
        && is_bare_script(&head)
}

fn is_bare_script(head: &[u8]) -> bool {
    head.starts_with(b"#") && !head.starts_with(b"#!") && !head.contains(&0)
}

/// Checks the interpreter of a script. `script` is the text after `#!`.
fn check_script(
    program: &Path,
    script: &[u8],
    search_path: Option<SearchPath<'_>>,
    depth: usize,
) -> Result<(), ExecutableError> {
    let (line, body) = split_line(script);
    let shebang = Shebang::parse(line).ok_or(ExecutableError::NoName)?;
    check_interpreter(Path::new(shebang.interpreter), search_path, depth)?;
    if let Some(wrapped) = wrapped_program(program, script) {
        let checked = check_program(&wrapped, search_path, depth + 1);
        return checked.map_err(|error| match error {
            ExecutableError::Loop => error,
            error => ExecutableError::NoWrapped(wrapped, Box::new(error)),
        });
    }
    let started = if let Some(command) = shebang.argument.strip_prefix(ENV_LAUNCHER.as_bytes()) {
        started_by(program, command.strip_suffix(b"'").unwrap_or(command))
    } else if let Some(name) = shebang.env_program() {
        search_path.map(|search_path| find(&name, &search_path())).transpose()?
    } else {
        let command = body.strip_prefix(PYTHON_TRAMPOLINE.as_bytes());
        command.and_then(|command| started_by(program, split_line(command).0))
    };
    started.map_or(Ok(()), |path| check_interpreter(&path, search_path, depth))
}

/// Returns the program that a script executes if rigup wrote it as a wrapper, or `None` if it did not.
fn wrapped_program(program: &Path, script: &[u8]) -> Option<PathBuf> {
    if !wrapper::is_start(script) {
        return None;
    }
    Some(wrapper::target(&program.canonicalize().ok()?)?.0)
}

fn check_interpreter(
    interpreter: &Path,
    search_path: Option<SearchPath<'_>>,
    depth: usize,
) -> Result<(), ExecutableError> {
    // Without a slash at its start, the path would depend on the current folder.
    let checked = if interpreter.is_absolute() {
        check_program(interpreter, search_path, depth + 1)
    } else {
        Err(ExecutableError::Missing)
    };
    checked.map_err(|error| match error {
        ExecutableError::NoInterpreter(..) | ExecutableError::NotOnPath(_) | ExecutableError::Loop => error,
        error => ExecutableError::NoInterpreter(interpreter.to_owned(), Box::new(error)),
    })
}

/// Checks that the prefix around `bin/<program>` is where it was built, if its files contain that path.
fn check_built_path(program: &Path) -> Result<(), ExecutableError> {
    let Some(prefix) = program.parent().and_then(Path::parent) else { return Ok(()) };
    let Ok(path) = regular_file::read(&prefix.join(BUILT_PATH), HEAD as u64) else { return Ok(()) };
    let path = Path::new(OsStr::from_bytes(path.trim_ascii_end()));
    match dir::is_same(path, prefix) {
        Some(false) => Err(ExecutableError::BuiltElsewhere(path.to_owned())),
        _ => Ok(()),
    }
}

/// Checks that the Python of a venv is the one that the venv was made for: a newer one does not find the packages in
/// `lib/python3.11`.
fn check_venv(program: &Path) -> Result<(), ExecutableError> {
    let name = |path: &Path| path.file_name().and_then(OsStr::to_str).map(str::to_owned);
    let is_python = |name: &String| name.starts_with("python") || name.starts_with("pypy");
    let Some(venv) = program.parent().and_then(Path::parent) else { return Ok(()) };
    if !name(program).as_ref().is_some_and(is_python) || !venv.join("pyvenv.cfg").exists() {
        return Ok(());
    }
    let Ok(python) = program.canonicalize() else { return Ok(()) };
    let version = name(&python).filter(is_python).filter(|name| name.contains('.'));
    match version.map(|version| venv.join("lib").join(version)) {
        Some(packages) if python != program && !packages.exists() => {
            Err(ExecutableError::OtherPython(python))
        }
        _ => Ok(()),
    }
}

fn find(name: &OsStr, search_path: &OsStr) -> Result<PathBuf, ExecutableError> {
    which::which_in(name, Some(search_path), "/").map_err(|_| ExecutableError::NotOnPath(name.to_owned()))
}

/// Returns the interpreter that the command of a launcher starts.
fn started_by(program: &Path, command: &[u8]) -> Option<PathBuf> {
    let relative = command.strip_prefix(b"\"").and_then(|rest| rest.strip_prefix(SCRIPT_DIR.as_bytes()));
    let (folder, word) = match relative.and_then(|rest| rest.strip_prefix(b"\"/")) {
        Some(word) => (program.canonicalize().ok()?.parent()?.to_owned(), word),
        None => (PathBuf::from("/"), command),
    };
    let word = shlex::bytes::split(word)?.into_iter().next()?;
    Some(folder.join(OsStr::from_bytes(&word)))
}

fn check_format(file: File, head: &[u8]) -> Result<(), ExecutableError> {
    const MACH_O: [&[u8]; 3] = [b"\xcf\xfa\xed\xfe", b"\xce\xfa\xed\xfe", b"\xca\xfe\xba\xbe"];
    let text = head.trim_ascii_start();
    let is_for_macos = MACH_O.iter().any(|magic| head.starts_with(magic));
    match FileKind::parse(head) {
        _ if head.is_empty() => Err(ExecutableError::Empty),
        _ if text.starts_with(b"<") => Err(ExecutableError::WebPage),
        _ if is_for_macos && cfg!(target_os = "macos") => Ok(()),
        _ if is_for_macos => Err(ExecutableError::Foreign("macOS".to_owned())),
        _ if head.starts_with(b"MZ") => Err(ExecutableError::Foreign("Windows".to_owned())),
        Ok(FileKind::Elf32 | FileKind::Elf64) if cfg!(target_os = "macos") => {
            Err(ExecutableError::Foreign("Linux".to_owned()))
        }
        Ok(FileKind::Elf32) => elf::check::<FileHeader32<Endianness>>(file, head),
        Ok(FileKind::Elf64) => elf::check::<FileHeader64<Endianness>>(file, head),
        _ if head.starts_with(b"\x7fELF") => Err(ExecutableError::Incomplete(head.len() as u64, 64)),
        _ => Err(ExecutableError::UnknownFormat),
    }
}

/// Whether Linux may run foreign formats, with the emulators that are registered at `binfmt_misc`.
fn has_emulators() -> bool {
    let formats = fs_err::read_dir("/proc/sys/fs/binfmt_misc").into_iter().flatten().flatten();
    formats.map(|format| format.file_name()).any(|name| name != "register" && name != "status")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    /// Writes an executable file, and returns why it cannot be started.
    fn problem(folder: &Path, content: &[u8]) -> Option<String> {
        let path = folder.join("program");
        fs_err::write(&path, content).unwrap();
        fs_err::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
        check(&path, Some(&|| "/usr/bin:/bin".into())).err().map(|error| error.to_string())
    }

    #[test]
    fn reports_why_the_system_cannot_start_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let shell = fs_err::read("/bin/sh").unwrap();
        let mut foreign = shell.clone();
        foreign[18] = if cfg!(target_arch = "aarch64") { 62 } else { 183 };
        let mut without_loader = shell.clone();
        let loader = memchr::memmem::find(&shell, b"/ld-linux").unwrap();
        without_loader[loader + 1] = b'X';
        let mut newer = shell.clone();
        let version = memchr::memmem::find(&shell, b"GLIBC_2.").unwrap();
        newer[version + "GLIBC_".len()] = b'9';
        let incomplete = format!("is incomplete: it has {} of at least ", shell.len() / 2);
        for (content, expected) in [
            (b"".as_slice(), "is empty"),
            (b"<!DOCTYPE html>", "is a web page, not a program"),
            (b"\n <html>", "is a web page, not a program"),
            (
                b"echo no first line",
                "has no executable format; a script begins with a line such as #!/bin/sh",
            ),
            (b"MZ and more than sixteen bytes", "was built for another system (Windows)"),
            (b"\xcf\xfa\xed\xfe", "was built for another system (macOS)"),
            (&foreign, "was built for another system ("),
            (&without_loader, "needs the loader /"),
            (&newer, "needs glibc 9."),
            (&shell[..shell.len() / 2], &incomplete),
            (&shell[..20], "is incomplete: it has 20 of at least 21 bytes"),
            (b"#!\n", "names no interpreter after #!"),
            (b"#! \r\n", "names no interpreter after #!"),
            (b"#!/no/such/python -u\n", "needs the interpreter \"/no/such/python\", which does not exist"),
            (b"#!/bin/sh\r\n", "needs the interpreter \"/bin/sh\\r\", which does not exist"),
            (b"#!bin/sh\n", "needs the interpreter \"bin/sh\", which does not exist"),
            (b"#!/usr/bin/env nosuch\n", "needs the interpreter `nosuch`, which is not on PATH"),
            (b"#!/usr/bin/env -S A=b nosuch -u\n", "needs the interpreter `nosuch`, which is not on PATH"),
            (b"#!/usr/bin/env -S '/no such/x' -u\n", "needs the interpreter `/no such/x`, which is not on PATH"),
            (
                b"#!/usr/bin/env -S sh -c 'exec \"$(dirname -- \"$(realpath -- \"$0\")\")\"/helper \"$0\" \"$@\"'\n",
                "needs the interpreter \"/",
            ),
            (
                b"#!/bin/sh\n'''exec' \"/no such/python\" \"$0\" \"$@\"\n",
                "needs the interpreter \"/no such/python\"",
            ),
            (
                b"#!/bin/sh\n'''exec' \"$(dirname -- \"$(realpath -- \"$0\")\")\"/'python' \"$0\"\n",
                "needs the interpreter \"/",
            ),
        ] {
            let found = problem(folder.path(), content).unwrap_or_default();
            let shown = String::from_utf8_lossy(&content[..content.len().min(60)]);
            assert!(found.starts_with(expected), "{shown}: {found}");
        }
    }

    #[test]
    fn accepts_programs_and_scripts_whose_interpreters_exist() {
        let folder = tempfile::tempdir().unwrap();
        symlink("/bin/sh", folder.path().join("python")).unwrap();
        for content in [
            b"#!/bin/sh\n".as_slice(),
            b"# pnpm's native binary replaces this file\nexec node\n",
            b"#! /bin/sh -e",
            b"#!/usr/bin/env sh\n",
            b"#!/usr/bin/env -S sh -e\n",
            b"#!/usr/bin/env -i\n",
            b"#!/usr/bin/env -S sh -c 'exec \"$(dirname -- \"$(realpath -- \"$0\")\")\"/python -u \"$0\" \"$@\"'\n",
            b"#!/bin/sh\n'''exec' '/bin/sh' \"$0\" \"$@\"\n",
            b"#!/bin/sh\n'''exec' \"$(dirname -- \"$(realpath -- \"$0\")\")\"/'python' \"$0\"\n",
            &fs_err::read("/bin/sh").unwrap(),
        ] {
            assert_eq!(problem(folder.path(), content), None);
        }
    }

    #[test]
    fn a_java_class_begins_differently_from_a_program() {
        let count_after = |magic: &[u8], count| begins_like_program(&[magic, &[0, 0, 0, count]].concat());
        assert!(count_after(b"\xca\xfe\xba\xbe", 2) && !count_after(b"\xca\xfe\xba\xbe", 52));
        assert!(begins_like_program(b"#!/bin/sh") && begins_like_program(b"\x7fELF\x02"));
        assert!(!begins_like_program(b"\x7fEL") && !begins_like_program(b""));
    }

    #[test]
    fn a_file_that_may_not_be_executed_has_a_reason() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a b");
        fs_err::write(&file, "#!/bin/sh\n").unwrap();
        let text = folder.path().join("text");
        fs_err::write(&text, "root:x:0:0\n").unwrap();
        let quoted = format!("has no exec bit; run `chmod +x '{}'`", file.display());
        for (path, expected) in [
            (file.as_path(), quoted.as_str()),
            (&text, "has no exec bit, and does not begin like a program; name another file"),
            (folder.path(), "is not a file"),
            (Path::new("/no/such/file"), "does not exist"),
        ] {
            assert_eq!(check(path, None).unwrap_err().to_string(), expected);
        }
    }

    #[test]
    fn the_python_of_a_venv_is_the_one_that_it_was_made_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for name in ["venv/bin", "venv/lib/python3.11"] {
            fs_err::create_dir_all(path(name)).unwrap();
        }
        for name in ["python3.11", "python3.12"] {
            fs_err::copy("/bin/sh", path(name)).unwrap();
        }
        let (python, tool) = (path("venv/bin/python"), path("venv/bin/tool"));
        fs_err::write(&tool, format!("#!{}\n", python.display())).unwrap();
        fs_err::set_permissions(&tool, PermissionsExt::from_mode(0o755)).unwrap();
        let relink = |name: &str| {
            let _ = fs_err::remove_file(path("python3"));
            symlink(name, path("python3")).unwrap();
        };
        symlink("../../python3", &python).unwrap();
        relink("python3.12");
        assert_eq!(check(&tool, None), Ok(()), "it is no venv");
        fs_err::write(path("venv/pyvenv.cfg"), "").unwrap();
        for file in [&python, &tool] {
            let error = check(file, None).unwrap_err().to_string();
            assert!(error.contains("a venv that was made for another Python than /"), "{error}");
        }
        relink("python3.11");
        assert_eq!((check(&python, None), check(&tool, None)), (Ok(()), Ok(())));
    }
}
