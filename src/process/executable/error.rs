//! The reasons why the system cannot start a program.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::shell;

/// The reason why the system cannot start a program. It completes a sentence that starts with the path of the file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ExecutableError {
    /// The file does not exist.
    #[error("does not exist")]
    Missing,
    /// The file cannot be found, with the error of the system.
    #[error("cannot be read: {0}")]
    Unreadable(String),
    /// The path leads to a folder or a device.
    #[error("is not a file")]
    NotFile,
    /// Nobody may execute the file.
    #[error("has no exec bit; run `chmod +x {}`", shell::quote_path(.0))]
    NoExecBit(PathBuf),
    /// Nobody may execute the file, which a provider's hook has just installed, and which is removed if it is rejected.
    #[error("has no exec bit; the provider's hook must set it")]
    NotSetByHook,
    /// Nobody may execute the file, and it has no beginning of a program.
    #[error("has no exec bit, and does not begin like a program; name another file")]
    NoProgram,
    /// Only other users may execute the file.
    #[error("may not be executed by this user; change its owner or its mode")]
    Forbidden,
    /// The file system forbids the execution of its files.
    #[error("is on a file system that is mounted noexec; move it to another, or remount this one with exec")]
    Noexec,
    /// The file has no content.
    #[error("is empty")]
    Empty,
    /// The file is HTML, as a download that failed leaves it.
    #[error("is a web page, not a program")]
    WebPage,
    /// The file is neither a program nor a script.
    #[error("has no executable format; a script begins with a line such as #!/bin/sh")]
    UnknownFormat,
    /// The file is a program for another processor or operating system.
    #[error("was built for another system ({0})")]
    Foreign(String),
    /// The end of the file is missing.
    #[error("is incomplete: it has {0} of at least {1} bytes")]
    Incomplete(u64, u64),
    /// The loader of the program does not exist.
    #[error("needs the loader {path}, which does not exist: it was built for another system", path = .0.display())]
    NoLoader(PathBuf),
    /// The program needs a newer glibc than the host has.
    #[error("needs glibc {0}, and this host has {1}")]
    OldGlibc(String, String),
    /// The first line of the script names no interpreter.
    #[error("names no interpreter after #!; a script begins with a line such as #!/bin/sh")]
    NoName,
    /// The interpreter of the script cannot be started.
    #[error("needs the interpreter {path:?}, which {1}", path = .0)]
    NoInterpreter(PathBuf, Box<ExecutableError>),
    /// The program that the wrapper executes cannot be started.
    #[error("is a wrapper of {path}, which {1}", path = .0.display())]
    NoWrapped(PathBuf, Box<ExecutableError>),
    /// The venv of the Python has no packages for its version.
    #[error("belongs to a venv that was made for another Python than {python}", python = .0.display())]
    OtherPython(PathBuf),
    /// Files of the program contain the path of the folder that they were built in, which is not this one.
    #[error("was built in {path} and moved; its files contain that path", path = .0.display())]
    BuiltElsewhere(PathBuf),
    /// The interpreter that `env` searches for is not on PATH.
    #[error("needs the interpreter `{name}`, which is not on PATH", name = .0.display())]
    NotOnPath(OsString),
    /// The interpreters of a script are scripts themselves, without an end.
    #[error("is a script whose interpreter is a script, and so on")]
    Loop,
}

impl ExecutableError {
    /// Returns the reason for a file that a provider's hook has installed into the folder `lib_dir`, or elsewhere.
    pub(crate) fn of_hook(self, lib_dir: &Path) -> Self {
        match self {
            Self::NoExecBit(file) if file.starts_with(lib_dir) => Self::NotSetByHook,
            other => other,
        }
    }
}
