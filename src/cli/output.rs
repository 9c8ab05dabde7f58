//! Where data and talk go: data to standard output, talk to standard error.

use std::borrow::Borrow;
use std::io::{self, BufWriter, IsTerminal, Stdout, Write};

use clap::ValueEnum;
use serde_json::Value;

use crate::cli::error::CliError;
use crate::report::table::Table;
use crate::report::{record, text};
use crate::settings::Environment;

/// So much is written at once, in bytes: what a pipe takes.
const AT_ONCE: usize = 64 << 10;

/// When to use color.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ColorChoice {
    /// On a terminal, unless NO_COLOR is set.
    Auto,
    /// Even into a pipe.
    Always,
    /// Not at all.
    Never,
}

/// What may be said on standard error.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Talk {
    /// Errors only.
    pub(crate) quiet: bool,
    /// Every attempt.
    pub(crate) verbose: bool,
}

/// Standard output: a table on a terminal, JSONL elsewhere.
#[derive(Debug)]
pub(crate) struct Output {
    out: BufWriter<Stdout>,
    is_json: bool,
    color: bool,
    /// The columns of the terminal; `None` if standard output is not a terminal.
    width: Option<usize>,
}

impl Output {
    /// Decides how to write.
    pub(crate) fn new(json: bool, color: ColorChoice, environment: &Environment) -> Self {
        let is_terminal = io::stdout().is_terminal();
        let color = match color {
            ColorChoice::Always => true,
            ColorChoice::Never => false,
            ColorChoice::Auto => is_terminal && environment.get("NO_COLOR").is_none(),
        };
        Self {
            out: BufWriter::with_capacity(AT_ONCE, io::stdout()),
            is_json: json || !is_terminal,
            color,
            width: is_terminal.then(|| terminal_width(environment)),
        }
    }

    /// Whether JSONL is wanted.
    pub(crate) fn is_json(&self) -> bool {
        self.is_json
    }

    /// Writes records as JSONL, one per line.
    pub(crate) fn records<R: Borrow<Value>>(
        &mut self,
        records: impl IntoIterator<Item = R>,
    ) -> Result<(), CliError> {
        for record in records {
            writeln!(self.out, "{}", record.borrow())?;
        }
        Ok(())
    }

    /// Writes a table that fits the terminal, or nothing if it has no rows.
    pub(crate) fn table(&mut self, table: &Table) -> Result<(), CliError> {
        if table.is_empty() {
            return Ok(());
        }
        Ok(self.out.write_all(table.render(self.width, self.color).as_bytes())?)
    }

    /// Writes one record: a sheet for people, else a line of JSONL.
    pub(crate) fn record(&mut self, record: &Value) -> Result<(), CliError> {
        if self.is_json {
            writeln!(self.out, "{record}")?;
        } else {
            self.out.write_all(record::lines(record).as_bytes())?;
        }
        Ok(())
    }

    /// Writes bytes as they are.
    pub(crate) fn raw(&mut self, bytes: &[u8]) -> Result<(), CliError> {
        Ok(self.out.write_all(bytes)?)
    }

    /// Brings all of it out.
    pub(crate) fn flush(&mut self) -> Result<(), CliError> {
        Ok(self.out.flush()?)
    }
}

/// Returns the columns of the terminal: those that it reports, else those of the variable `COLUMNS`, else 80.
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

/// Says something on standard error, whatever is named in it: paths and files that others wrote do not steer the terminal.
/// All of it is written at once, for other rigups may say something there as well. A standard error that nobody reads is no
/// reason to fail.
pub(crate) fn say(text: &str) {
    let lines: String = text.split('\n').map(|line| text::printable(line) + "\n").collect();
    let _ = io::stderr().write_all(lines.as_bytes());
}
