//! The first line of a script, which names its interpreter.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

/// The number of bytes at the start of a file in which the kernel looks for the line.
pub(crate) const MAX_LENGTH: usize = 256;

/// The first line of a script.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shebang<'a> {
    /// The interpreter. A carriage return is a part of the name.
    pub interpreter: &'a OsStr,
    /// Its argument, which may be empty.
    pub argument: &'a [u8],
}

impl<'a> Shebang<'a> {
    /// Parses the first line of a file without `#!`. Returns `None` if it names no interpreter.
    pub(crate) fn parse(line: &'a [u8]) -> Option<Self> {
        let line = line.trim_ascii_start();
        let end = line.iter().position(|byte| matches!(byte, b' ' | b'\t')).unwrap_or(line.len());
        let (interpreter, argument) = (OsStr::from_bytes(&line[..end]), line[end..].trim_ascii());
        (!line[..end].trim_ascii().is_empty()).then_some(Self { interpreter, argument })
    }

    /// Returns the program that `env` starts, or `None` if the interpreter is not `env` or its program is unknown.
    pub(crate) fn env_program(&self) -> Option<OsString> {
        let argument = self.argument;
        if !self.interpreter.as_bytes().ends_with(b"/env") || argument.is_empty() {
            return None;
        }
        if !argument.starts_with(b"-") && !cfg!(target_os = "macos") {
            // Linux passes everything after `env` as one argument.
            return Some(OsStr::from_bytes(argument).to_owned());
        }
        let words = shlex::bytes::split(argument.strip_prefix(b"-S").unwrap_or(argument))?.into_iter();
        let words = words.map(|word| word.strip_prefix(b"-S").unwrap_or(&word).to_vec());
        let mut words = words.filter(|word| !word.is_empty() && !word.contains(&b'='));
        words.next().filter(|word| !word.starts_with(b"-")).map(OsString::from_vec)
    }

    /// Returns the program that runs the script: an absolute path, or a name that `env` searches for on PATH. Returns `None`
    /// if it depends on the current folder.
    pub(crate) fn program(&self) -> Option<OsString> {
        let started = self.env_program();
        if started.as_ref().is_some_and(|name| !name.as_bytes().contains(&b'/')) {
            return started;
        }
        let program = started.unwrap_or_else(|| self.interpreter.to_owned());
        Path::new(&program).is_absolute().then_some(program)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_of_a_script_is_a_path_or_a_name_for_env() {
        for (line, expected) in [
            ("/bin/sh", Some("/bin/sh")),
            (" /bin/sh -e", Some("/bin/sh")),
            ("/bin/sh\t-e ", Some("/bin/sh")),
            ("/bin/sh\r", Some("/bin/sh\r")),
            ("/usr/bin/env python3", Some("python3")),
            ("/usr/bin/env -S A=b python3 -u", Some("python3")),
            ("/usr/bin/env -Spython3 -u", Some("python3")),
            ("/usr/bin/env /opt/x", Some("/opt/x")),
            ("/usr/bin/env -i python3", Some("/usr/bin/env")),
            ("/usr/bin/env bin/x", None),
            ("/usr/bin/env", Some("/usr/bin/env")),
            ("bin/sh", None),
            ("sh", None),
            (" \r", None),
            ("", None),
        ] {
            let program = Shebang::parse(line.as_bytes()).and_then(|shebang| shebang.program());
            assert_eq!(program.as_deref(), expected.map(OsStr::new), "{line:?}");
        }
    }
}
