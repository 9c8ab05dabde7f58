//! The interpreter of a script, and the lines that find it relative to the script.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::shell::{self, ENV_LAUNCHER, PYTHON_TRAMPOLINE, SCRIPT_DIR, split_line};
use crate::toolkit::relocate::python_script;
use crate::toolkit::relocate::roots::Roots;

/// The line before the trampoline.
const SHEBANG: &str = "#!/bin/sh\n";

/// The arguments at the end of the trampoline.
const ARGUMENTS: &str = " \"$0\" \"$@\"";

/// The line after it, which ends the string.
const STRING_END: &str = "' '''\n";

/// The most lines that the code of a launcher has.
const MAX_LAUNCHER_LINES: usize = 11;

/// The most bytes of a `#!` line that Linux reads.
const MAX_SHEBANG: usize = 255;

/// A script that was rewritten.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Rewritten {
    /// Its new content.
    pub content: Vec<u8>,
    /// Its former content, if the new one loads it.
    pub kept: Option<Vec<u8>>,
}

/// The program that runs a script.
#[derive(Debug)]
pub(super) struct Interpreter<'a> {
    /// Its path.
    pub path: Vec<u8>,
    /// Its arguments before the path of the script.
    arguments: Vec<Vec<u8>>,
    /// Whether `env -S` starts it.
    is_split: bool,
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
        let (path, rest) = split_path(line, roots);
        if path == b"/usr/bin/env" {
            if let Some(interpreter) = Self::of_env(rest, body, roots) {
                return Some(interpreter);
            }
            let name = rest.split(u8::is_ascii_whitespace).next()?;
            return Some(Self { path: name.to_vec(), arguments: Vec::new(), is_split: false, body });
        }
        // The kernel passes the rest of the line as one argument.
        let arguments = if rest.is_empty() { Vec::new() } else { vec![rest.to_vec()] };
        Some(Self { path: path.to_vec(), arguments, is_split: false, body })
    }

    /// Returns the interpreter below a root that `env -S` starts.
    fn of_env(argument: &[u8], body: &'a [u8], roots: &Roots) -> Option<Self> {
        let command = argument.strip_prefix(b"-S")?.trim_ascii_start();
        let (path, arguments) = match split_path(command, roots) {
            (path, rest) if roots.relative(path).is_some() => (path.to_vec(), shlex::bytes::split(rest)?),
            _ => {
                let mut words = shlex::bytes::split(command)?.into_iter();
                (words.next().filter(|path| roots.relative(path).is_some())?, words.collect())
            }
        };
        Some(Self { path, arguments, is_split: true, body })
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
            return Some(Self { path, arguments: words.collect(), is_split: false, body });
        }
        let path = command.strip_prefix(b"\"").and_then(|path| path.strip_suffix(b"\""))?;
        Some(Self { path: path.to_vec(), arguments: Vec::new(), is_split: false, body })
    }

    /// Returns the file name.
    pub(super) fn name(&self) -> &[u8] {
        Path::new(OsStr::from_bytes(&self.path)).file_name().unwrap_or_default().as_bytes()
    }

    /// Returns the command that starts the interpreter, if that is below a root, relative to the script.
    fn command(&self, roots: &Roots) -> Option<Vec<u8>> {
        let relative = roots.relative(&self.path)?;
        let mut command = format!("\"{SCRIPT_DIR}\"/").into_bytes();
        command.extend_from_slice(&shell::quote(&relative).ok()?);
        for argument in &self.arguments {
            command.push(b' ');
            command.extend_from_slice(&shell::quote(argument).ok()?);
        }
        command.extend_from_slice(ARGUMENTS.as_bytes());
        Some(command)
    }

    /// Returns the Python script with a trampoline that finds the interpreter, if that is below a root.
    pub(super) fn trampoline(&self, roots: &Roots) -> Option<Rewritten> {
        let mut content = format!("{SHEBANG}{PYTHON_TRAMPOLINE}").into_bytes();
        content.extend_from_slice(&self.command(roots)?);
        content.extend_from_slice(format!("\n{STRING_END}").as_bytes());
        if !python_script::depends_on_start(self.body) {
            content.extend_from_slice(&uniform(self.body));
            return Some(Rewritten { content, kept: None });
        }
        let kept = [python_script::KEPT_START, self.body].concat();
        content.extend_from_slice(python_script::loader(&kept).as_bytes());
        Some(Rewritten { content, kept: Some(kept) })
    }

    /// Returns the script with a `#!` line that finds the interpreter, if that is below a root and `env -S` starts it, or
    /// its path has a blank and could not be started.
    pub(super) fn env_line(&self, roots: &Roots) -> Option<Rewritten> {
        let is_rewritten = self.is_split || self.path.iter().any(u8::is_ascii_whitespace);
        // Between single quotes, env reads only these two bytes as special ones.
        let is_plain = |command: &Vec<u8>| !command.iter().any(|byte| b"'\\".contains(byte));
        let command = self.command(roots).filter(is_plain).filter(|_| is_rewritten)?;
        let mut content = [b"#!/usr/bin/env ", ENV_LAUNCHER.as_bytes(), &command, b"'\n"].concat();
        if content.len() > MAX_SHEBANG {
            return None;
        }
        content.extend_from_slice(self.body);
        Some(Rewritten { content, kept: None })
    }
}

/// Splits a line after the path at its start. The path of a root may contain blanks.
fn split_path<'a>(line: &'a [u8], roots: &Roots) -> (&'a [u8], &'a [u8]) {
    let root_length = roots.at(line, 0).map_or(0, |(length, _)| length);
    let end = line[root_length..].iter().position(u8::is_ascii_whitespace);
    let (path, rest) = line.split_at(end.map_or(line.len(), |end| root_length + end));
    (path, rest.trim_ascii())
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
