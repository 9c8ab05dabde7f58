//! A file that a CI system reads after the step.

use crate::report::job_report::JobReport;

/// A file that a CI system reads after the step.
#[derive(Debug)]
pub(crate) struct CommandFile {
    /// The variable with its path.
    pub variable: &'static str,
    /// Returns what to append to it, which may be nothing. The second argument is a word that no text contains, and the third
    /// one is the size of the file in bytes.
    pub text: fn(&JobReport, &str, u64) -> String,
}
