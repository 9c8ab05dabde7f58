//! Prints the logs of processes, with headings on a terminal.

use std::io;

use crate::cli::command::Verbosity;
use crate::cli::output::Output;
use crate::model::{Process, ProcessId};
use crate::report::log_text::LogText;
use crate::report::short_id::short_id;
use crate::report::text;

/// A log of a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LogSource {
    process_id: ProcessId,
    process: String,
    stream: &'static str,
}

impl LogSource {
    /// Returns a log of a process.
    pub(crate) fn new(process: &Process, stream: &'static str) -> Self {
        let title = format!("{} {}", short_id(process.id), process.title());
        Self { process_id: process.id, process: title, stream }
    }
}

/// A printer of logs. To a program or a file, it writes exactly the bytes of the logs. On a terminal, it neutralizes
/// what controls the terminal, and writes a heading where another log follows.
pub(crate) struct LogPrinter<'o> {
    output: &'o mut Output,
    verbosity: Verbosity,
    names_processes: bool,
    begins_with_heading: bool,
    current: Option<LogSource>,
    text: LogText,
}

impl<'o> LogPrinter<'o> {
    /// Returns a printer whose headings name the processes if `names_processes`. If `begins_with_heading`, a heading
    /// precedes the first log, too.
    pub(crate) fn new(
        output: &'o mut Output,
        verbosity: Verbosity,
        names_processes: bool,
        begins_with_heading: bool,
    ) -> Self {
        let text = LogText::new(output.has_color());
        Self { output, verbosity, names_processes, begins_with_heading, current: None, text }
    }

    /// Prints the next bytes of a log.
    pub(crate) fn print(&mut self, source: &LogSource, bytes: &[u8]) -> io::Result<()> {
        if self.current.as_ref() != Some(source) {
            self.switch_to(source);
        }
        if self.output.width().is_some() {
            self.output.raw(self.text.push(bytes).as_bytes());
        } else {
            self.output.raw(bytes);
        }
        if self.output.has_failed() { Err(io::ErrorKind::BrokenPipe.into()) } else { Ok(()) }
    }

    fn switch_to(&mut self, source: &LogSource) {
        let previous = self.current.replace(source.clone());
        let is_other_process =
            previous.as_ref().is_none_or(|previous| previous.process_id != source.process_id);
        let Some(width) = self.output.width() else {
            // A program reads the logs, so the heading goes where people and CI logs have it.
            if self.names_processes && is_other_process {
                self.output.flush();
                self.verbosity.note(&format!("==> {} <==", source.process));
            }
            return;
        };
        self.output.raw(self.text.finish().as_bytes());
        if previous.is_some() || self.begins_with_heading {
            let process = if self.names_processes { format!("{}: ", source.process) } else { String::new() };
            let around = "==>  <==".len() + source.stream.len();
            let process = text::printable(&process);
            let process = text::cut_end(&process, width.saturating_sub(around));
            self.output.line(format_args!("==> {process}{} <==", source.stream));
        }
    }

    /// Writes what was printed so far.
    pub(crate) fn flush(&mut self) {
        self.output.flush();
    }

    /// Whether standard output is closed.
    pub(crate) fn has_failed(&self) -> bool {
        self.output.has_failed()
    }

    /// Ends the output.
    pub(crate) fn finish(mut self) {
        if self.output.width().is_some() {
            self.output.raw(self.text.finish().as_bytes());
        }
        self.output.flush();
    }
}
