//! Prints the lines of daemons, with their names in front.

use std::io;

use crate::cli::ci_log;
use crate::cli::output::Output;
use crate::report::log_text::LogText;
use crate::report::text::{printable, width};

/// The colors of the names, in turn.
const COLORS: [u8; 6] = [36, 33, 32, 35, 34, 31];

/// A printer of lines. To a program or a file, it writes the bytes of each line unchanged. On a terminal, it neutralizes what
/// controls the terminal, and in the log of a CI job, if the lines must be inert, also what controls the CI system.
pub(crate) struct LinePrinter<'o> {
    output: &'o mut Output,
    /// The names in front of the lines; none if there is only one daemon.
    prefixes: Option<Prefixes>,
    /// Whether the CI system that reads the output finds no command in the lines.
    is_inert: bool,
    /// The number of lines that were printed.
    pub count: u64,
}

/// The names in front of lines, padded to the same width.
struct Prefixes {
    names: Vec<String>,
    width: usize,
}

impl<'o> LinePrinter<'o> {
    /// Returns a printer of lines without names.
    pub(crate) fn plain(output: &'o mut Output) -> Self {
        Self { output, prefixes: None, is_inert: false, count: 0 }
    }

    /// Returns a printer that writes a name in front of each line, padded to the longest of these.
    pub(crate) fn with_names(output: &'o mut Output, names: Vec<String>) -> Self {
        let width = names.iter().map(|name| width(&printable(name))).max().unwrap_or_default();
        Self { output, prefixes: Some(Prefixes { names, width }), is_inert: false, count: 0 }
    }

    /// Returns the same printer, in whose lines the CI system that reads the output finds no command.
    #[must_use]
    pub(crate) fn inert(self) -> Self {
        Self { is_inert: true, ..self }
    }

    /// Prints a line of a daemon. Fails if standard output is closed.
    pub(crate) fn print(&mut self, name: &str, line: &[u8]) -> io::Result<()> {
        let has_color = self.output.has_color();
        let prefix = self.prefixes.as_mut().map_or_else(String::new, |prefixes| prefixes.of(name, has_color));
        let is_terminal = self.output.width().is_some();
        if is_terminal || self.is_inert && ci_log::reader().is_some() {
            let mut text = LogText::new(has_color || !is_terminal);
            let text = text.push(&[line, b"\n"].concat()) + &text.finish();
            for line in text.lines() {
                let line = format!("{prefix}{line}\n");
                if self.is_inert {
                    self.output.text(line);
                } else {
                    self.output.raw(line.as_bytes());
                }
            }
        } else {
            self.output.raw(&[prefix.as_bytes(), line, b"\n"].concat());
        }
        self.count += 1;
        if self.output.has_failed() { Err(io::ErrorKind::BrokenPipe.into()) } else { Ok(()) }
    }

    /// Writes what was printed so far.
    pub(crate) fn flush(&mut self) {
        self.output.flush();
    }

    /// Whether standard output is closed.
    pub(crate) fn has_failed(&self) -> bool {
        self.output.has_failed()
    }
}

impl Prefixes {
    fn of(&mut self, name: &str, has_color: bool) -> String {
        let index = self.names.iter().position(|known| known == name).unwrap_or_else(|| {
            self.names.push(name.to_owned());
            self.names.len() - 1
        });
        let name = printable(name);
        let padding = " ".repeat(self.width.saturating_sub(width(&name)));
        if has_color {
            format!("\x1b[{}m{name}{padding} |\x1b[0m ", COLORS[index % COLORS.len()])
        } else {
            format!("{name}{padding} | ")
        }
    }
}
