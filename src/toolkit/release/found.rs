//! The files of a release that a request can be installed from, as shell code.

use std::path::PathBuf;

use crate::shell;
use crate::toolkit::download::AssetSource;

/// The files that a request can be installed from.
#[derive(Debug)]
pub(crate) struct FoundRelease {
    /// The tag; empty if there is none.
    pub(super) tag: String,
    /// The version; empty if it is unknown.
    pub(super) version: String,
    /// The start of the path of the prefix, without the digest of the file; empty for the request's own prefix.
    pub(super) release: PathBuf,
    /// The path of the program in the archive that the request states.
    pub(super) bin: String,
    /// The files, the best first.
    pub(super) candidates: Vec<AssetSource>,
    /// What could not be enforced of the age of releases, or `None`.
    pub(super) unenforced_age: Option<String>,
}

impl FoundRelease {
    pub(super) fn new(tag: String, version: String, release: PathBuf, candidates: Vec<AssetSource>) -> Self {
        Self { tag, version, release, bin: String::new(), candidates, unenforced_age: None }
    }

    /// Returns the release as shell code, which sets variables.
    pub(crate) fn script(&self) -> String {
        let candidates: Vec<String> = self.candidates.iter().map(AssetSource::to_line).collect();
        let release = self.release.to_string_lossy();
        let variables = [
            ("tag", self.tag.as_str()),
            ("version", &self.version),
            ("release", &release),
            ("bin", &self.bin),
            ("candidates", &candidates.join("\n")),
        ];
        let assign = |(name, value): (&str, &str)| format!("{name}={}\n", shell::quote_text(value));
        let warn = |text: &String| format!("warn_of_age {}\n", shell::quote_text(text));
        variables.into_iter().map(assign).collect::<String>()
            + &self.unenforced_age.iter().map(warn).collect::<String>()
    }
}
