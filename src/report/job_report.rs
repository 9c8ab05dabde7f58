//! What a command did, item by item, as CI systems show it.

use std::path::{Path, PathBuf};

use jiff::SignedDuration;

use crate::model::Process;
use crate::report::item_log::ItemLog;
use crate::report::text::printable;

/// The report of a command.
#[derive(Debug, Default)]
pub(crate) struct JobReport {
    /// The command, such as `rigup install`.
    pub command: String,
    /// The headings of the columns of the items.
    pub columns: &'static [&'static str],
    /// The binaries, hooks or lines that the command worked on.
    pub items: Vec<JobItem>,
    /// Further problems, such as an invalid line of a plugin.
    pub problems: Vec<JobItem>,
    /// How much is done, such as `4 of 5 installed`.
    pub closing: String,
    /// How long the command took.
    pub elapsed: SignedDuration,
    /// The folder that the next steps need on their PATH.
    pub bin_dir: Option<String>,
    /// The values that the next steps can read, each with its name.
    pub outputs: Vec<(&'static str, String)>,
}

impl JobReport {
    /// Replaces the path of each place.
    pub(crate) fn map_files(&mut self, path_of: impl Fn(&Path) -> PathBuf) {
        let items = self.items.iter_mut().chain(&mut self.problems);
        for place in items.filter_map(|item| item.place.as_mut()) {
            place.file = path_of(Path::new(&place.file)).to_string_lossy().into_owned();
        }
    }

    /// Returns the failed items whose hooks wrote something.
    pub(super) fn failed_with_logs(&self) -> impl Iterator<Item = &JobItem> {
        let items = self.items.iter().filter(|item| item.outcome == ItemOutcome::Failed);
        items.filter(|item| !item.logs.is_empty())
    }

    /// Returns what failed: items, then further problems.
    pub(super) fn failures(&self) -> impl Iterator<Item = &JobItem> {
        let items = self.items.iter().chain(&self.problems);
        items.filter(|item| item.outcome == ItemOutcome::Failed)
    }
}

/// An item of a report.
#[derive(Debug, Default)]
pub(crate) struct JobItem {
    /// The plugin of a hook, or another group of items; empty for none.
    pub group: String,
    /// The name, such as that of a binary.
    pub name: String,
    /// The outcome.
    pub outcome: ItemOutcome,
    /// The values of the columns after the name, without those of the reason and the time.
    pub cells: Vec<String>,
    /// Why the item failed or was skipped; otherwise empty.
    pub reason: String,
    /// How long its hooks ran; `None` if none did.
    pub elapsed: Option<SignedDuration>,
    /// The line that requires it, or another place to look at.
    pub place: Option<Place>,
    /// What its hooks wrote.
    pub logs: Vec<ItemLog>,
}

/// The outcome of an item.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub enum ItemOutcome {
    /// It is done.
    #[default]
    Done,
    /// It was not tried, or not to its end, or had nothing to do.
    Skipped,
    /// It failed.
    Failed,
}

impl ItemOutcome {
    /// Returns the outcome of a hook. One that has not exited has failed.
    pub(super) fn of_hook(process: &Process) -> Self {
        if process.exit().is_none() || process.has_failed() {
            Self::Failed
        } else if process.is_skipped() {
            Self::Skipped
        } else {
            Self::Done
        }
    }
}

/// A file, or a line of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    /// The path.
    pub file: String,
    /// The line, from 1; `None` for the whole file.
    pub line: Option<u64>,
}

impl Place {
    /// Parses the source of a requirement: `FILE:LINE`, or `FILE: required_binaries, entry N`. Returns `None` for a source
    /// that is no file.
    pub(crate) fn of_source(source: &str) -> Option<Self> {
        let numbered =
            source.rsplit_once(':').and_then(|(file, line)| Some((file, Some(line.parse().ok()?))));
        let entry = || source.rsplit_once(": ").map(|(file, _)| (file, None));
        let (file, line) = numbered.or_else(entry)?;
        Path::new(file).is_absolute().then(|| Self { file: file.to_owned(), line })
    }

    /// Returns the place as text: `FILE`, or `FILE:LINE`.
    pub(super) fn text(&self) -> String {
        let line = self.line.map(|line| format!(":{line}")).unwrap_or_default();
        printable(&self.file) + &line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_source_of_a_requirement_is_a_place_unless_it_is_no_file() {
        let place = |source| Place::of_source(source).map(|place| (place.file, place.line));
        assert_eq!(place("/a/p:x/binaries.jsonl:12"), Some(("/a/p:x/binaries.jsonl".to_owned(), Some(12))));
        assert_eq!(
            place("/a/config.json: required_binaries, entry 2"),
            Some(("/a/config.json".to_owned(), None))
        );
        assert_eq!([place("the command line"), place("jq@1.6"), place("")], [None, None, None]);
    }
}
