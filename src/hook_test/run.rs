//! The result of a run of a hook: its exit, its records, and the processes and files that it left behind.

use std::io::{self, BufRead, BufReader};
use std::path::PathBuf;
use std::time::Duration;

use crate::hook_test::check::{CheckResult, Location};
use crate::hook_test::expected_record::{ExpectedRecord, RecordError, RecordedAnswer};
use crate::jsonl::{self, Line};
use crate::model::{ExitReason, ProcessId};
use crate::process::supervise::FinishedProcess;
use crate::protocol;

/// The length in characters to which a line of stderr is cut.
const MAX_STDERR_LINE: usize = 200;

/// A finished run of a hook.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct HookRun {
    /// The process.
    pub process_id: ProcessId,
    /// The exit reason.
    pub exit_reason: ExitReason,
    /// The exit code, 128+N for signal N, or `None` if the hook was never started.
    pub exit_code: Option<i32>,
    /// The time that the run took.
    pub duration: Duration,
    /// The time after which the hook was terminated.
    pub timeout: Duration,
    /// Whether the hook runs until it is terminated.
    pub is_daemon: bool,
    /// The records of the expected type.
    pub records: Vec<RecordLine>,
    /// The lines that look like records but are not.
    pub invalid_lines: Vec<InvalidLine>,
    /// The number of other lines.
    pub ignored_lines: u64,
    /// The processes that outlived the hook, each by its command line.
    pub leftovers: Vec<String>,
    /// The processes that were alive shortly before the end of the grace period, each by its command line.
    pub slow_to_exit: Vec<String>,
    /// The last line on stderr.
    pub last_stderr: String,
    /// The place of that line; the first line if stderr is empty.
    pub stderr_location: Location,
    /// The log of stdout.
    pub stdout_log: PathBuf,
    /// The files that the hook wrote into LIB_DIR.
    pub installed: Vec<PathBuf>,
    /// The files that exist only if a shell ran an argument.
    pub canaries: Vec<PathBuf>,
}

/// A record of the expected type on a line of stdout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RecordLine {
    /// The line.
    pub line: u64,
    /// What the record says, or why it is invalid.
    pub verified: Result<RecordedAnswer, RecordError>,
}

/// A line that looks like a record but is not one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct InvalidLine {
    /// The line.
    pub line: u64,
    /// The problem with it.
    pub problem: String,
}

/// The lines of a log of stdout.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct StdoutLines {
    /// The records of the expected type.
    pub records: Vec<RecordLine>,
    /// The lines that look like records but are not.
    pub invalid_lines: Vec<InvalidLine>,
    /// The number of other lines.
    pub ignored_lines: u64,
}

impl StdoutLines {
    /// Reads a log, and verifies its records of the type that `expected` states, if it is given.
    pub(crate) fn read(output: impl BufRead, expected: Option<ExpectedRecord<'_>>) -> io::Result<Self> {
        let mut lines = Self::default();
        jsonl::for_each_line(output, |number, line| lines.take(number, line, expected))?;
        Ok(lines)
    }

    fn take(&mut self, number: u64, line: Line<'_>, expected: Option<ExpectedRecord<'_>>) {
        let text = match line {
            Line::Text(text) => text,
            Line::TooLong(text) => {
                let problem = format!("is longer than {} bytes: {}", jsonl::MAX_LINE, jsonl::head(text));
                return self.add_invalid(number, problem);
            }
        };
        let mut records = Vec::new();
        // Reading a slice cannot fail. Its only line has the number 1 in diagnostics.
        let Ok(rest) = protocol::read(text, |record| records.push(record)) else { return };
        if let Some(problem) = rest.diagnostics.into_iter().next() {
            let problem = problem.strip_prefix("line 1 ").unwrap_or(&problem).to_owned();
            self.add_invalid(number, problem);
        } else {
            self.ignored_lines += rest.ignored;
        }
        for record in records {
            if let Some(verified) = expected.and_then(|expected| expected.verify(&record))
                && self.records.len() < protocol::MAX_RECORDS
            {
                self.records.push(RecordLine { line: number, verified });
            }
        }
    }

    fn add_invalid(&mut self, line: u64, problem: String) {
        if self.invalid_lines.len() < protocol::MAX_DIAGNOSTICS {
            self.invalid_lines.push(InvalidLine { line, problem });
        }
    }
}

impl HookRun {
    /// Reads the exit and the logs of a run. The caller adds its own observations.
    pub(crate) fn of(
        finished: &FinishedProcess,
        expected: Option<ExpectedRecord<'_>>,
        (duration, timeout): (Duration, Duration),
    ) -> io::Result<Self> {
        let FinishedProcess { process, run_dir, logs, .. } = finished;
        let exit = process.exit().ok_or_else(|| io::Error::other("a run has no exit"))?;
        let [stdout, stderr] = [(&logs.stdout, exit.stdout_bytes), (&logs.stderr, exit.stderr_bytes)]
            .map(|(log, size)| BufReader::new(log.read_from(0, size)));
        let lines = StdoutLines::read(stdout, expected)?;
        let (last, line) = last_line(stderr)?;
        Ok(Self {
            process_id: process.id,
            exit_reason: exit.reason,
            exit_code: exit.exit_code,
            duration,
            timeout,
            is_daemon: false,
            records: lines.records,
            invalid_lines: lines.invalid_lines,
            ignored_lines: lines.ignored_lines,
            leftovers: Vec::new(),
            slow_to_exit: Vec::new(),
            last_stderr: if exit.reason == ExitReason::SpawnFailed { exit.stderr_tail.clone() } else { last },
            stderr_location: Location { path: run_dir.stderr(), line },
            stdout_log: run_dir.stdout(),
            installed: Vec::new(),
            canaries: Vec::new(),
        })
    }

    /// Returns the result of a failed check, which the last line on stderr explains.
    pub(crate) fn broken(&self, reason: impl Into<String>) -> CheckResult {
        CheckResult::broken(reason, Some(self.stderr_location.clone()))
    }

    /// Returns the result of a failed check, which a line on stdout explains.
    pub(crate) fn broken_at(&self, line: u64, reason: impl Into<String>) -> CheckResult {
        CheckResult::broken(reason, Some(Location { path: self.stdout_log.clone(), line }))
    }

    /// Applies a check to this run. The result names the run.
    pub(crate) fn check(&self, check: impl FnOnce(&Self) -> CheckResult) -> CheckResult {
        check(self).of_run(self.process_id)
    }

    /// Whether the hook reported success.
    pub(crate) fn succeeded(&self) -> bool {
        self.exit_reason == ExitReason::Exited && self.exit_code == Some(0)
    }
}

/// Returns the last line that is not blank, and its number, or an empty line and 1.
fn last_line(output: impl BufRead) -> io::Result<(String, u64)> {
    let mut last = (String::new(), 1);
    jsonl::for_each_line(output, |number, line| {
        let (Line::Text(text) | Line::TooLong(text)) = line;
        let text = String::from_utf8_lossy(&text[..text.len().min(4 * MAX_STDERR_LINE)]);
        last = (
            text.chars().take(MAX_STDERR_LINE).map(|c| if c.is_control() { ' ' } else { c }).collect(),
            number,
        );
    })?;
    Ok(last)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::install::verify::Expected;
    use crate::model::VersionRange;
    use crate::model::plugin_name::ProviderName;

    fn read(output: &[u8]) -> StdoutLines {
        let link = "/no/such/link".as_ref();
        let provider = ProviderName::from_static("mine");
        let expected = Expected::new("sh", VersionRange::default(), &provider, link);
        StdoutLines::read(output, Some(ExpectedRecord::Binary(expected))).unwrap()
    }

    #[test]
    fn finds_valid_and_invalid_records_with_their_lines() {
        let lines = read(
            b"looking\n{\"type\":\"Binary\",\"name\":\"sh\",\"abspath\":\"/bin/sh\"}\n\n{oops\n{\"type\":\"Binary\",\"name\":\"sh\"}\n",
        );
        let records: Vec<(u64, bool)> =
            lines.records.iter().map(|record| (record.line, record.verified.is_ok())).collect();
        assert_eq!(records, [(2, true), (5, false)]);
        assert_eq!(lines.ignored_lines, 1);
        assert_eq!(lines.invalid_lines.len(), 1);
        assert_eq!(lines.invalid_lines[0].line, 4);
        assert!(
            lines.invalid_lines[0].problem.starts_with("is not JSON"),
            "{}",
            lines.invalid_lines[0].problem
        );
    }

    #[test]
    fn a_line_over_a_mebibyte_is_invalid() {
        let mut output = b"first\n".to_vec();
        output.resize(output.len() + jsonl::MAX_LINE + 1, b'x');
        let lines = read(&output);
        assert_eq!(lines.invalid_lines[0].line, 2);
        assert!(lines.invalid_lines[0].problem.starts_with("is longer than 1048576 bytes: xxx"));
    }

    #[test]
    fn finds_the_last_line_that_is_not_blank() {
        let (last, line) = last_line(&b"first\nlast \x1b[0m\n\n"[..]).unwrap();
        assert_eq!((last.as_str(), line), ("last  [0m", 2));
        assert_eq!(last_line(&b""[..]).unwrap(), (String::new(), 1));
    }
}
