//! The formats in which registries list the versions of a package.

use std::collections::{BTreeMap, HashMap};

use clap::ValueEnum;
use jiff::Timestamp;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use crate::model::{Release, Version};
use crate::toolkit::versions::python::{self, PythonTarget};

/// A format of the pages of a registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum PageFormat {
    /// The simple index of Python packages as JSON (PEP 691)
    Pypi,
    /// The document of a package in an npm registry
    Npm,
    /// A file of a sparse index of crates
    Crates,
    /// The versions of a gem in the API of rubygems.org, or its file in a compact index
    Gem,
    /// `index.json` of nodejs.org
    Node,
    /// A formula of Homebrew's API
    Brew,
    /// A version in each line, as Go's module proxies list them
    Lines,
}

/// Why a page cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PageError {
    /// It is not in the format.
    #[error("is no page of this format: {0}")]
    Syntax(#[from] serde_json::Error),
    /// It is neither JSON nor a compact index.
    #[error("is neither JSON nor a compact index of gems")]
    NoIndex,
    /// It has none of the programs.
    #[error("does not list versions of {0}")]
    OtherProgram(String),
}

impl PageFormat {
    /// Returns whether a registry that lacks the page at this address lacks the package: the page of Node.js is about all
    /// programs, and not every server of gems has a compact index.
    pub(crate) fn is_of_package(self, url: &str) -> bool {
        match self {
            Self::Node => false,
            Self::Gem => !url.contains("/info/"),
            Self::Pypi | Self::Npm | Self::Crates | Self::Brew | Self::Lines => true,
        }
    }

    /// Returns the releases on a page about the package of the binary `name`.
    pub(crate) fn parse(
        self,
        name: &str,
        body: &[u8],
        python: &PythonTarget<'_>,
    ) -> Result<Vec<Release>, PageError> {
        match self {
            Self::Pypi => Ok(python::releases(&serde_json::from_slice(body)?, python)),
            Self::Npm => Ok(npm(serde_json::from_slice(body)?)),
            Self::Crates => crates(body),
            Self::Gem => gem(body),
            Self::Node => node(name, serde_json::from_slice(body)?),
            Self::Brew => Ok(brew(&serde_json::from_slice(body)?)),
            Self::Lines => Ok(lines(body).map(|version| Release::new(without_v(version), None)).collect()),
        }
    }
}

#[derive(Deserialize)]
#[expect(clippy::zero_sized_map_values, reason = "the format has objects, of which only the keys matter")]
struct NpmPackage {
    #[serde(rename = "dist-tags", default)]
    tags: HashMap<String, String>,
    versions: BTreeMap<String, IgnoredAny>,
    #[serde(default)]
    time: HashMap<String, Value>,
}

/// Without a version, npm installs the release with the tag `latest`, so a newer one is not stable.
fn npm(package: NpmPackage) -> Vec<Release> {
    let latest = package.tags.get("latest").map(|latest| (latest, Version::parse(latest)));
    let release = |version: String| {
        let time = package.time.get(&version).and_then(Value::as_str).and_then(time);
        let is_above_latest = latest.as_ref().is_some_and(|(_, latest)| Version::parse(&version) > *latest);
        let is_stable = !is_semver_prerelease(&version) && !is_above_latest
            || latest.as_ref().is_some_and(|(latest, _)| **latest == version);
        Release { is_stable, ..Release::new(version, time) }
    };
    package.versions.into_keys().map(release).collect()
}

#[derive(Deserialize)]
struct Crate {
    vers: String,
    #[serde(default)]
    yanked: bool,
    #[serde(default)]
    pubtime: Option<String>,
}

fn crates(body: &[u8]) -> Result<Vec<Release>, PageError> {
    let release = |line: &str| {
        let Crate { vers, yanked, pubtime } = serde_json::from_str(line)?;
        let is_stable = !is_semver_prerelease(&vers);
        Ok(Release { is_yanked: yanked, is_stable, ..Release::new(vers, pubtime.as_deref().and_then(time)) })
    };
    lines(body).map(release).collect()
}

#[derive(Deserialize)]
struct GemVersion {
    number: String,
    #[serde(default)]
    created_at: String,
    #[serde(default)]
    platform: String,
}

/// Yanked versions are on neither page.
fn gem(body: &[u8]) -> Result<Vec<Release>, PageError> {
    if body.trim_ascii_start().starts_with(b"[") {
        let mut versions: Vec<GemVersion> = serde_json::from_slice(body)?;
        let is_portable = |version: &GemVersion| ["", "ruby"].contains(&version.platform.as_str());
        // A gem of one platform only is a program for that one.
        if versions.iter().any(is_portable) {
            versions.retain(is_portable);
        }
        let release = |version: GemVersion| gem_release(&version.number, time(&version.created_at));
        return Ok(versions.into_iter().map(release).collect());
    }
    let mut entries = lines(body).skip_while(|line| !line.starts_with("---")).skip(1).peekable();
    if entries.peek().is_none() {
        return Err(PageError::NoIndex);
    }
    // VERSION[-PLATFORM] DEPENDENCIES|REQUIREMENTS
    let version = |line: &str| {
        let version = line.split_whitespace().next()?;
        (!version.contains('-')).then(|| gem_release(version, None))
    };
    Ok(entries.filter_map(version).collect())
}

/// A version of a gem with a letter is a pre-release.
fn gem_release(version: &str, released_at: Option<Timestamp>) -> Release {
    let is_stable = !version.contains(|c: char| c.is_ascii_alphabetic());
    Release { is_stable, ..Release::new(version, released_at) }
}

#[derive(Deserialize)]
struct NodeRelease {
    version: String,
    date: String,
    #[serde(default)]
    npm: Option<String>,
    #[serde(default)]
    lts: Value,
}

/// The provider prefers releases with long-term support.
fn node(name: &str, releases: Vec<NodeRelease>) -> Result<Vec<Release>, PageError> {
    let version_of = |release: &NodeRelease| match name {
        "node" => Some(release.version.trim_start_matches('v').to_owned()),
        "npm" | "npx" => release.npm.clone(),
        _ => None,
    };
    if !["node", "npm", "npx"].contains(&name) {
        return Err(PageError::OtherProgram(name.to_owned()));
    }
    let release = |release: NodeRelease| {
        // The index lists only the day, so a release counts as published at its end.
        let time = time(&format!("{}T23:59:59Z", release.date));
        Some(Release { is_stable: release.lts.is_string(), ..Release::new(version_of(&release)?, time) })
    };
    Ok(releases.into_iter().filter_map(release).collect())
}

#[derive(Deserialize)]
struct Formula {
    versions: FormulaVersions,
    #[serde(default)]
    revision: u32,
}

#[derive(Deserialize)]
struct FormulaVersions {
    stable: Option<String>,
}

/// Homebrew writes its own revision after the version: `1.2_1`.
fn brew(formula: &Formula) -> Vec<Release> {
    let revision = if formula.revision == 0 { String::new() } else { format!("_{}", formula.revision) };
    let release = |stable: &String| Release::new(format!("{stable}{revision}"), None);
    formula.versions.stable.iter().map(release).collect()
}

/// Returns the lines of a page that are not blank.
fn lines(body: &[u8]) -> impl Iterator<Item = &str> {
    let lines = body.split(|byte| *byte == b'\n').filter_map(|line| std::str::from_utf8(line).ok());
    lines.map(str::trim).filter(|line| !line.is_empty())
}

/// Returns a version without the letter that Go writes before it.
fn without_v(version: &str) -> &str {
    version
        .strip_prefix('v')
        .filter(|rest| rest.starts_with(|first: char| first.is_ascii_digit()))
        .unwrap_or(version)
}

/// Whether a version has a pre-release by the rules of semver: any text after a `-`.
fn is_semver_prerelease(version: &str) -> bool {
    version.split('+').next().is_some_and(|version| version.contains('-'))
}

/// Parses a time of a registry, or returns `None` if it has another form.
fn time(text: &str) -> Option<Timestamp> {
    text.parse().ok()
}
