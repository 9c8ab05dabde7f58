//! The interpreter of a script, and the trampoline that finds a Python interpreter relative to the script.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::shell::{self, PYTHON_TRAMPOLINE, SCRIPT_DIR, split_line};
use crate::toolkit::relocate::roots::Roots;

/// The line before the trampoline.
const SHEBANG: &str = "#!/bin/sh\n";

/// The arguments at the end of the trampoline.
const ARGUMENTS: &str = " \"$0\" \"$@\"";

/// The line after it, which ends the string.
const STRING_END: &str = "' '''\n";

/// The most lines that the code of a launcher has.
const MAX_LAUNCHER_LINES: usize = 11;

/// The program that runs a script.
#[derive(Debug)]
pub(super) struct Interpreter<'a> {
    /// Its path.
    pub path: Vec<u8>,
    /// Its arguments before the path of the script.
    arguments: Vec<Vec<u8>>,
    /// The rest of the script.
    body: &'a [u8],
}

impl<'a> Interpreter<'a> {
    /// Returns the interpreter of a script. The path of one below a root may contain blanks.
    pub(super) fn of(script: &'a [u8], roots: &Roots) -> Option<Self> {
        if let Some(interpreter) = Self::of_trampoline(script, roots) {
            return Some(interpreter);
        }
        let (line, body) = split_line(script.strip_prefix(b"#!")?);
        let line = line.trim_ascii();
        let root_length = roots.at(line, 0).map_or(0, |(length, _)| length);
        let end = line[root_length..].iter().position(u8::is_ascii_whitespace);
        let (path, rest) = line.split_at(end.map_or(line.len(), |end| root_length + end));
        let rest = rest.trim_ascii();
        if path == b"/usr/bin/env" {
            let name = rest.split(u8::is_ascii_whitespace).next()?;
            return Some(Self { path: name.to_vec(), arguments: Vec::new(), body });
        }
        // The kernel passes the rest of the line as one argument.
        let arguments = if rest.is_empty() { Vec::new() } else { vec![rest.to_vec()] };
        Some(Self { path: path.to_vec(), arguments, body })
    }

    /// Returns the interpreter that a trampoline starts.
    fn of_trampoline(script: &'a [u8], roots: &Roots) -> Option<Self> {
        let (line, rest) =
            split_line(script.strip_prefix(SHEBANG.as_bytes())?.strip_prefix(PYTHON_TRAMPOLINE.as_bytes())?);
        let command = line.strip_suffix(ARGUMENTS.as_bytes())?;
        let body = rest.strip_prefix(STRING_END.as_bytes())?;
        let mut words = shlex::bytes::split(command).unwrap_or_default().into_iter();
        // pip puts the path between double quotes, and does not escape the quotes in it.
        if let Some(path) = words.next().filter(|path| roots.relative(path).is_some()) {
            return Some(Self { path, arguments: words.collect(), body });
        }
        let path = command.strip_prefix(b"\"").and_then(|path| path.strip_suffix(b"\""))?;
        Some(Self { path: path.to_vec(), arguments: Vec::new(), body })
    }

    /// Returns the file name.
    pub(super) fn name(&self) -> &[u8] {
        Path::new(OsStr::from_bytes(&self.path)).file_name().unwrap_or_default().as_bytes()
    }

    /// Returns the script with a trampoline that finds the interpreter, if that is below a root.
    pub(super) fn trampoline(&self, roots: &Roots) -> Option<Vec<u8>> {
        let relative = roots.relative(&self.path)?;
        let mut script = format!("{SHEBANG}{PYTHON_TRAMPOLINE}\"{SCRIPT_DIR}\"/").into_bytes();
        script.extend_from_slice(&shell::quote(&relative).ok()?);
        for argument in &self.arguments {
            script.push(b' ');
            script.extend_from_slice(&shell::quote(argument).ok()?);
        }
        script.extend_from_slice(format!("{ARGUMENTS}\n{STRING_END}").as_bytes());
        script.extend_from_slice(&uniform(self.body));
        Some(script)
    }
}

/// Returns the code of a launcher without the lines in which pip, uv and their versions differ, which remove the suffix
/// of a Windows program: a pinned program must be the same file each time. Other code is not changed.
fn uniform(code: &[u8]) -> Cow<'_, [u8]> {
    let text = std::str::from_utf8(code).unwrap_or_default();
    let is_launcher = |line: &str| line.contains("sys.argv[0]") && line.contains("exe");
    if text.lines().count() > MAX_LAUNCHER_LINES || !text.lines().any(is_launcher) {
        return code.into();
    }
    let differs = |line: &&str| {
        *line == "import re" || line.starts_with("# -*- coding") || line.contains("sys.argv[0]")
    };
    let lines = text.lines().filter(|line| !differs(line));
    lines
        .map(|line| line.replace("'__main__'", "\"__main__\"") + "\n")
        .collect::<String>()
        .into_bytes()
        .into()
}
