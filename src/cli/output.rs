//! Data on standard output: a table on a terminal, JSONL elsewhere.

use std::borrow::Borrow;
use std::io::{self, BufWriter, IsTerminal, Stdout, Write};

use clap::ValueEnum;
use serde_json::Value;

use crate::cli::error::CliError;
use crate::report::record;
use crate::report::table::Table;
use crate::settings::Environment;

/// The size of the write buffer: the capacity of a pipe on Linux, in bytes.
const BUFFER_SIZE: usize = 64 << 10;

/// When to use color.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ColorChoice {
    // On a terminal, unless NO_COLOR is set.
    Auto,
    // Even into a pipe.
    Always,
    Never,
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
    /// Chooses the form of the output and its color.
    pub(crate) fn new(json: bool, color: ColorChoice, environment: &Environment) -> Self {
        let is_terminal = io::stdout().is_terminal();
        let color = match color {
            ColorChoice::Always => true,
            ColorChoice::Never => false,
            ColorChoice::Auto => is_terminal && environment.get("NO_COLOR").is_none(),
        };
        Self {
            out: BufWriter::with_capacity(BUFFER_SIZE, io::stdout()),
            is_json: json || !is_terminal,
            color,
            width: is_terminal.then(|| terminal_width(environment)),
        }
    }

    /// Whether records are written as JSONL.
    pub(crate) fn is_json(&self) -> bool {
        self.is_json
    }

    /// Writes records as JSONL, one on each line.
    pub(crate) fn records<R: Borrow<Value>>(
        &mut self,
        records: impl IntoIterator<Item = R>,
    ) -> Result<(), CliError> {
        for record in records {
            writeln!(self.out, "{}", record.borrow())?;
        }
        Ok(())
    }

    /// Writes records as JSONL, or the table that shows them.
    pub(crate) fn list<R: Borrow<Value>>(
        &mut self,
        records: impl IntoIterator<Item = R>,
        table: impl FnOnce() -> Table,
    ) -> Result<(), CliError> {
        if self.is_json { self.records(records) } else { self.table(&table()) }
    }

    /// Writes a table that fits the terminal, or nothing if it has no rows.
    pub(crate) fn table(&mut self, table: &Table) -> Result<(), CliError> {
        if table.is_empty() {
            return Ok(());
        }
        self.raw(table.render(self.width, self.color).as_bytes())
    }

    /// Writes one record: its fields on a terminal, a line of JSONL elsewhere.
    pub(crate) fn record(&mut self, record: &Value) -> Result<(), CliError> {
        if self.is_json { self.records([record]) } else { self.raw(record::lines(record).as_bytes()) }
    }

    /// Writes bytes unchanged.
    pub(crate) fn raw(&mut self, bytes: &[u8]) -> Result<(), CliError> {
        Ok(self.out.write_all(bytes)?)
    }

    /// Flushes the buffer.
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
