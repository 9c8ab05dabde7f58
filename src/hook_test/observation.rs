//! What was seen of one run of a hook.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::PathBuf;
use std::time::Duration;

use crate::hook_test::finding::LookAt;
use crate::install::verify::{self, Claim, RecordError};
use crate::jsonl::{self, Line};
use crate::model::id::ProcessId;
use crate::model::process::{ExitReason, ProcessExit};
use crate::process::run_dir::RunDir;
use crate::protocol;

/// So many characters of what it said are kept.
const SAID: usize = 200;

/// A run that is over.
#[derive(Debug, Clone, PartialEq)]
pub struct Observation {
    /// The run.
    pub process_id: ProcessId,
    /// How it ended.
    pub end: ExitReason,
    /// 128+N for signal N; none where it never started.
    pub exit_code: Option<i32>,
    /// How long it took.
    pub took: Duration,
    /// After which time it was told to end.
    pub timeout: Duration,
    /// Whether it runs until it is told to end.
    pub is_daemon: bool,
    /// Its Binary records.
    pub claims: Vec<Claimed>,
    /// Lines that were meant as records and are none.
    pub garbage: Vec<Garbage>,
    /// Lines that are no records and were not meant to be.
    pub ignored: u64,
    /// What was left of it when it was over, each by its command line.
    pub left: Vec<String>,
    /// What still lived shortly before the grace was over, each by its command line.
    pub stubborn: Vec<String>,
    /// The last line on standard error.
    pub said: String,
    /// Where that stands; the first line where it said nothing.
    pub said_at: LookAt,
    /// The log of standard output.
    pub stdout: PathBuf,
    /// What it wrote into LIB_DIR.
    pub installed: Vec<PathBuf>,
    /// The canaries that sing: files that only shell text makes.
    pub canaries: Vec<PathBuf>,
}

/// A Binary record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claimed {
    /// The line it stands on.
    pub line: u64,
    /// The file it claims, or what is not true of it.
    pub truth: Result<Truth, RecordError>,
}

/// A file that is as it was claimed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Truth {
    /// The file.
    pub abspath: PathBuf,
    /// Its version, as it was told; empty where none was.
    pub version: String,
    /// Its size in bytes.
    pub size: u64,
}

/// A line that was meant as a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Garbage {
    /// Its number.
    pub line: u64,
    /// What is wrong with it.
    pub problem: String,
}

/// What a log of standard output says.
#[derive(Debug, Default, PartialEq)]
pub struct Said {
    /// Its Binary records.
    pub claims: Vec<Claimed>,
    /// Lines that were meant as records and are none.
    pub garbage: Vec<Garbage>,
    /// Lines that are no records and were not meant to be.
    pub ignored: u64,
}

impl Said {
    /// Reads it; the records are checked against the claim, where there is one to make.
    pub fn read(output: impl BufRead, claim: Option<Claim<'_>>) -> io::Result<Self> {
        let mut said = Self::default();
        jsonl::for_each_line(output, |number, line| said.take(number, line, claim))?;
        Ok(said)
    }

    fn take(&mut self, number: u64, line: Line<'_>, claim: Option<Claim<'_>>) {
        let text = match line {
            Line::Text(text) => text,
            Line::TooLong(text) => {
                let problem = format!("is longer than {} bytes: {}", jsonl::MAX_LINE, jsonl::head(text));
                return self.complain(number, problem);
            }
        };
        let mut kinds = Vec::new();
        // A slice is read without errors, and as one line, whose number in the diagnostic would be 1.
        let Ok(left) = protocol::read(text, |record| kinds.push(record)) else { return };
        if let Some(problem) = left.diagnostics.into_iter().next() {
            let problem = problem.strip_prefix("line 1 ").unwrap_or(&problem).to_owned();
            self.complain(number, problem);
        } else {
            self.ignored += left.ignored;
        }
        for record in kinds {
            if let (Some(claim), "Binary") = (claim, record.kind.as_str())
                && self.claims.len() < protocol::MAX_RECORDS
            {
                let verified = verify::verify(claim, &record.fields);
                let truth = verified.map(|it| Truth {
                    size: it.abspath.metadata().map_or(0, |it| it.len()),
                    abspath: it.abspath,
                    version: it.version,
                });
                self.claims.push(Claimed { line: number, truth });
            }
        }
    }

    fn complain(&mut self, line: u64, problem: String) {
        if self.garbage.len() < protocol::MAX_COMPLAINTS {
            self.garbage.push(Garbage { line, problem });
        }
    }
}

impl Observation {
    /// What the ending and the logs tell of a run. What is seen beside them is filled in by whoever looked.
    pub fn of(
        process_id: ProcessId,
        exit: &ProcessExit,
        run_dir: &RunDir,
        claim: Option<Claim<'_>>,
        (took, timeout): (Duration, Duration),
    ) -> io::Result<Self> {
        let said = Said::read(BufReader::new(File::open(run_dir.stdout())?), claim)?;
        let (last, line) = last_line(BufReader::new(File::open(run_dir.stderr())?))?;
        Ok(Self {
            process_id,
            end: exit.reason,
            exit_code: exit.exit_code,
            took,
            timeout,
            is_daemon: false,
            claims: said.claims,
            garbage: said.garbage,
            ignored: said.ignored,
            left: Vec::new(),
            stubborn: Vec::new(),
            // What was never started said nothing itself.
            said: if exit.reason == ExitReason::SpawnFailed { exit.stderr_tail.clone() } else { last },
            said_at: LookAt { path: run_dir.stderr(), line },
            stdout: run_dir.stdout(),
            installed: Vec::new(),
            canaries: Vec::new(),
        })
    }

    /// A line of its standard output.
    pub fn out(&self, line: u64) -> LookAt {
        LookAt { path: self.stdout.clone(), line }
    }

    /// Whether it says that it did what it was asked for.
    pub fn succeeded(&self) -> bool {
        self.end == ExitReason::Exited && self.exit_code == Some(0)
    }
}

/// The last line that is not blank, and its number; nothing and 1 where there is none.
fn last_line(output: impl BufRead) -> io::Result<(String, u64)> {
    let mut last = (String::new(), 1);
    jsonl::for_each_line(output, |number, line| {
        let (Line::Text(text) | Line::TooLong(text)) = line;
        let said = String::from_utf8_lossy(&text[..text.len().min(4 * SAID)]);
        last = (said.chars().take(SAID).map(|c| if c.is_control() { ' ' } else { c }).collect(), number);
    })?;
    Ok(last)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::plugin_name::ProviderName;

    fn read(output: &[u8]) -> Said {
        let link = "/no/such/link".as_ref();
        let claim = Claim {
            name: "sh",
            min_version: "",
            provider: &ProviderName::from_static("mine"),
            link,
            abspath: None,
            version: None,
            locked: None,
            is_measured: false,
        };
        Said::read(output, Some(claim)).unwrap()
    }

    #[test]
    fn records_and_what_should_be_some_are_known_by_their_lines() {
        let said = read(
            b"looking\n{\"type\":\"Binary\",\"name\":\"sh\",\"abspath\":\"/bin/sh\"}\n\n{oops\n{\"type\":\"Binary\",\"name\":\"sh\"}\n",
        );
        let claims: Vec<(u64, bool)> = said.claims.iter().map(|it| (it.line, it.truth.is_ok())).collect();
        assert_eq!(claims, [(2, true), (5, false)]);
        assert_eq!(said.ignored, 1);
        assert_eq!(said.garbage.len(), 1);
        assert_eq!(said.garbage[0].line, 4);
        assert!(said.garbage[0].problem.starts_with("is not JSON"), "{}", said.garbage[0].problem);
    }

    #[test]
    fn a_line_over_a_mebibyte_is_no_line() {
        let mut output = b"first\n".to_vec();
        output.resize(output.len() + jsonl::MAX_LINE + 1, b'x');
        let said = read(&output);
        assert_eq!(said.garbage[0].line, 2);
        assert!(said.garbage[0].problem.starts_with("is longer than 1048576 bytes: xxx"));
    }

    #[test]
    fn the_last_words_are_found_with_their_line() {
        let (said, line) = last_line(&b"first\nlast \x1b[0m\n\n"[..]).unwrap();
        assert_eq!((said.as_str(), line), ("last  [0m", 2));
        assert_eq!(last_line(&b""[..]).unwrap(), (String::new(), 1));
    }
}
