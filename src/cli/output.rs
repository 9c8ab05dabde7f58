//! Data on standard output: a table on a terminal, JSONL elsewhere.

use std::fmt::Display;
use std::io::{self, IsTerminal};
use std::path::Path;

use clap::ColorChoice;
use serde::Serialize;
use serde_json::{Value, json};

use crate::cli::choice;
use crate::cli::ci_log;
use crate::cli::message::message;
use crate::cli::output_queue::{STDERR, STDOUT};
use crate::jsonl;
use crate::report::record;
use crate::report::table::Table;
use crate::report::text::printable;
use crate::settings::{Environment, FORMAT_VARIABLE};

/// The size from which the buffer is written: the capacity of a pipe on Linux, in bytes.
const BUFFER_SIZE: usize = 64 << 10;

/// The form of data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    Table,
    Jsonl,
}

/// Standard output: a table on a terminal, JSONL elsewhere.
#[derive(Debug)]
pub(crate) struct Output {
    /// What is not written yet.
    buffer: Vec<u8>,
    is_json: bool,
    /// Whether an option asks for JSONL. Scripts read what has a plain form, so the environment does not change it.
    is_json_requested: bool,
    color: bool,
    /// The width of the terminal in columns; `None` if standard output is not a terminal.
    width: Option<usize>,
    /// The error of the first write that failed. Nothing is written after it, but the command continues its work: a
    /// reader that closes standard output early does not change the exit code.
    error: Option<io::Error>,
}

impl Output {
    /// Returns the output with its color, and its format: that of an option or else of the environment. The error names the
    /// variable.
    pub(crate) fn new(
        option: Option<Format>,
        color: ColorChoice,
        environment: &Environment,
    ) -> Result<Self, String> {
        let format = match option {
            None => choice::of(environment, FORMAT_VARIABLE)?,
            option => option,
        };
        let is_terminal = io::stdout().is_terminal();
        let color = match color {
            ColorChoice::Always => true,
            ColorChoice::Never => false,
            ColorChoice::Auto => is_terminal && environment.get("NO_COLOR").is_none(),
        };
        Ok(Self {
            buffer: Vec::new(),
            is_json_requested: option == Some(Format::Jsonl),
            is_json: format.map_or(!is_terminal, |format| format == Format::Jsonl),
            color,
            width: is_terminal.then(|| terminal_width(environment)),
            error: None,
        })
    }

    /// The width of the terminal in columns; `None` if standard output is not a terminal.
    pub(crate) fn width(&self) -> Option<usize> {
        self.width
    }

    /// Whether text is colored.
    pub(crate) fn has_color(&self) -> bool {
        self.color
    }

    /// Whether records are written as JSONL.
    pub(crate) fn is_json(&self) -> bool {
        self.is_json
    }

    /// Whether the user asked for JSONL.
    pub(crate) fn is_json_requested(&self) -> bool {
        self.is_json_requested
    }

    /// Writes records as JSONL, one on each line.
    pub(crate) fn records<R: Serialize>(&mut self, records: impl IntoIterator<Item = R>) {
        for record in records {
            self.raw(&ci_log::inert_json(jsonl::line(&record)));
        }
    }

    /// Writes records as JSONL or as a table. Prints the message `if_empty` in place of a table without rows.
    pub(crate) fn list<R: Serialize>(
        &mut self,
        records: impl IntoIterator<Item = R>,
        if_empty: &str,
        table: impl FnOnce() -> Table,
    ) {
        if self.is_json {
            self.records(records);
        } else {
            let table = table();
            if table.is_empty() && !if_empty.is_empty() {
                message!("{if_empty}");
            }
            self.table(&table);
        }
    }

    /// Writes a table that fits the terminal, or nothing if it has no rows.
    pub(crate) fn table(&mut self, table: &Table) {
        if !table.is_empty() {
            self.text(table.render(self.width, self.color));
        }
    }

    /// Writes one record: its fields on a terminal, a line of JSONL elsewhere.
    pub(crate) fn record(&mut self, record: &Value) {
        if self.is_json {
            self.records([record]);
        } else {
            self.text(record::lines(record));
        }
    }

    /// Writes a number, which scripts read with `$(...)`: as a record only if the user asked for JSONL.
    pub(crate) fn count(&mut self, count: u64) {
        if self.is_json_requested {
            self.records([json!({ "count": count })]);
        } else {
            self.line(count);
        }
    }

    /// Writes whole lines for people.
    pub(crate) fn text(&mut self, lines: String) {
        self.raw(ci_log::inert(lines).as_bytes());
    }

    /// Writes the path of a file on a line: unchanged, because scripts read it, except for a terminal, which it must not
    /// control.
    pub(crate) fn path(&mut self, path: &Path) {
        match self.width {
            Some(_) => self.text(printable(&path.to_string_lossy()) + "\n"),
            None => self.raw(&[path.as_os_str().as_encoded_bytes(), b"\n"].concat()),
        }
    }

    /// Writes a line of text, unchanged.
    pub(crate) fn line(&mut self, text: impl Display) {
        self.raw(format!("{text}\n").as_bytes());
    }

    /// Writes bytes unchanged.
    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        self.buffer.extend(bytes);
        if self.buffer.len() >= BUFFER_SIZE {
            // Only whole lines, unless one is longer than the buffer.
            let end = memchr::memrchr(b'\n', &self.buffer).map_or(self.buffer.len(), |end| end + 1);
            self.write(end);
        }
    }

    /// Flushes the buffer.
    pub(crate) fn flush(&mut self) {
        self.write(self.buffer.len());
    }

    /// Writes the buffer up to this position.
    fn write(&mut self, end: usize) {
        if self.error.is_none() {
            self.error = STDOUT.write(&self.buffer[..end]).err();
        }
        self.buffer.drain(..end);
    }

    /// Whether a write failed, so that all further output is dropped.
    pub(crate) fn has_failed(&self) -> bool {
        self.error.is_some()
    }

    /// Flushes the buffer, and waits until everything is written, messages included. A command that records its exit does
    /// this before, because a signal may end the wait.
    pub(crate) fn drain(&mut self) {
        self.flush();
        if self.error.is_none() {
            self.error = STDOUT.drain().err();
        }
        // Whether someone reads the messages does not change the exit code.
        let _ = STDERR.drain();
    }

    /// Waits until everything is written, and returns the error of the first write that failed. Ignores a closed standard
    /// output.
    pub(crate) fn finish(&mut self) -> io::Result<()> {
        self.drain();
        match self.error.take() {
            Some(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error),
            _ => Ok(()),
        }
    }
}

/// Returns the width of the terminal in columns: as the terminal reports it, or as `COLUMNS` sets it, or else 80.
fn terminal_width(environment: &Environment) -> usize {
    let reported = rustix::termios::tcgetwinsize(io::stdout()).map_or(0, |size| usize::from(size.ws_col));
    if reported > 0 {
        return reported;
    }
    environment
        .text("COLUMNS")
        .and_then(|text| text.parse().ok())
        .filter(|columns| *columns > 0)
        .unwrap_or(80)
}
