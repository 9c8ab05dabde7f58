//! The releases in the simple index of Python packages.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use crate::model::{Release, Version};
use crate::toolkit::versions::wheel::WheelHost;

/// The page of a package, as PEP 691 and PEP 700 describe it.
#[derive(Debug, Deserialize)]
pub(crate) struct SimplePage {
    files: Vec<File>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct File {
    filename: String,
    #[serde(default)]
    upload_time: Option<String>,
    #[serde(default)]
    requires_python: Option<String>,
    /// `true`, or the reason.
    #[serde(default)]
    yanked: Value,
}

/// What the files of a release must support.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct PythonTarget<'a> {
    /// The version of Python; `None` for any.
    pub version: Option<&'a str>,
    /// Whether only wheels count, because no package may be built.
    pub has_only_wheels: bool,
}

/// Returns the releases of a package with a file that this host can use. One is yanked if all of its files are.
pub(crate) fn releases(page: &SimplePage, target: &PythonTarget<'_>) -> Vec<Release> {
    let PythonTarget { version: python, has_only_wheels } = *target;
    let host = (python.is_some() || has_only_wheels).then(|| WheelHost::new(python));
    let mut releases: BTreeMap<&str, Release> = BTreeMap::new();
    for file in &page.files {
        let Some(version) = version(&file.filename) else { continue };
        let required = file.requires_python.as_deref().unwrap_or_default();
        let is_excluded = has_only_wheels && file.filename.strip_suffix(".whl").is_none()
            || host.as_ref().is_some_and(|host| !host.accepts(&file.filename));
        if is_excluded || python.is_some_and(|python| !supports(required, python)) {
            continue;
        }
        let time: Option<Timestamp> = file.upload_time.as_deref().and_then(|time| time.parse().ok());
        let is_yanked = file.yanked == Value::Bool(true) || file.yanked.is_string();
        let release =
            releases.entry(version).or_insert_with(|| Release { is_yanked, ..Release::new(version, time) });
        release.is_yanked &= is_yanked;
        release.released_at = release.released_at.into_iter().chain(time).min();
    }
    releases.into_values().collect()
}

/// Returns the version in the name of a wheel or of a source archive, or `None` if it is neither.
fn version(filename: &str) -> Option<&str> {
    if let Some(stem) = filename.strip_suffix(".whl") {
        return stem.split('-').nth(1);
    }
    let stem = [".tar.gz", ".zip"].iter().find_map(|end| filename.strip_suffix(end))?;
    Some(stem.rsplit_once('-')?.1)
}

/// Whether `requires-python`, such as `>=3.8,!=3.9.*`, accepts a version of Python. A form that is not understood accepts it.
fn supports(required: &str, python: &str) -> bool {
    let found = Version::parse(python);
    required.split(',').all(|clause| {
        let clause = clause.trim();
        let version = clause.trim_start_matches(['<', '>', '=', '!', '~']);
        let operator = &clause[..clause.len() - version.len()];
        let version = version.trim();
        let stem = version.strip_suffix(".*");
        let is_same = || match stem {
            Some(stem) => python == stem || python.starts_with(&format!("{stem}.")),
            None => found == Version::parse(version),
        };
        let bound = Version::parse(stem.unwrap_or(version));
        match operator {
            ">=" => found >= bound,
            ">" => found > bound,
            "<=" => found <= bound,
            "<" => found < bound,
            "==" | "===" => is_same(),
            "!=" => !is_same(),
            "~=" => {
                let series = version.rsplit_once('.').map_or(version, |(series, _)| series);
                found >= bound && (python == series || python.starts_with(&format!("{series}.")))
            }
            _ => true,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_of_a_file_is_in_its_name() {
        for (filename, expected) in [
            ("ruff-0.4.1-py3-none-manylinux_2_17_x86_64.whl", Some("0.4.1")),
            ("yt_dlp-2024.4.9-py3-none-any.whl", Some("2024.4.9")),
            ("black-24.1a1.tar.gz", Some("24.1a1")),
            ("black-23.zip", Some("23")),
            ("black-1-py2.egg", None),
            ("black.exe", None),
        ] {
            assert_eq!(version(filename), expected, "{filename}");
        }
    }

    #[test]
    fn a_release_must_support_the_python() {
        for (required, python, expected) in [
            ("", "3.8.1", true),
            (">=3.8", "3.8.1", true),
            (">=3.9", "3.8.1", false),
            (">=3.8,<4.0", "3.12.0", true),
            ("<3.12", "3.12.0", false),
            ("!=3.9.*", "3.9.7", false),
            ("==3.*", "3.9.7", true),
            ("~=3.8", "3.12", true),
            ("~=3.8.2", "3.9", false),
            ("a rule", "3.9", true),
        ] {
            assert_eq!(supports(required, python), expected, "{required} {python}");
        }
    }
}
