//! Records that come in through a pipe.

use std::io::{self, BufReader, IsTerminal, Read};

use serde_json::Value;

use crate::cli::error::CliError;
use crate::cli::output::say;
use crate::protocol;

/// The ids of the records of these types, or the names of those that have no id; none from a terminal, where nobody can
/// have meant to type them.
pub(crate) fn ids(input: impl Read + IsTerminal, kinds: &[&str]) -> Result<Vec<String>, CliError> {
    if input.is_terminal() {
        return Ok(Vec::new());
    }
    let mut ids = Vec::new();
    let leftover = protocol::read(BufReader::new(input), |record| {
        let text = |key: &str| record.fields.get(key).and_then(Value::as_str).map(str::to_owned);
        if kinds.contains(&record.kind.as_str()) {
            ids.extend(text("id").or_else(|| text("name")));
        }
    })
    .map_err(|error: io::Error| CliError::unusable(format!("standard input cannot be read: {error}")))?;
    for diagnostic in leftover.diagnostics {
        say(&format!("warning: standard input: {diagnostic}"));
    }
    Ok(ids)
}
