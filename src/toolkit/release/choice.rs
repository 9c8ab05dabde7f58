//! The choice of a release and of its assets. Pure.

use std::cmp::Reverse;

use jiff::Timestamp;

use crate::model::{Release, Version, VersionRange};
use crate::sorting::sort_by_key;
use crate::toolkit::asset;
use crate::toolkit::asset::platform::Platform;
use crate::toolkit::release::model::{Asset, PublishedRelease};
use crate::toolkit::release::tag::TagVersion;
use crate::toolkit::release::template::Template;

/// What a request accepts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Criteria<'a> {
    /// The name of the program.
    pub(crate) program: &'a str,
    /// The name of the repository, without its owner.
    pub(crate) repository: &'a str,
    /// The tag, or the version in it, that the request names.
    pub(crate) tag: Option<&'a str>,
    /// The beginning of the tags that count.
    pub(crate) tag_prefix: Option<&'a str>,
    /// Whether pre-releases count.
    pub(crate) with_prereleases: bool,
    /// The versions.
    pub(crate) versions: VersionRange<'a>,
    /// The only version, if it is not empty.
    pub(crate) exact_version: &'a str,
    /// The time before which the release and its files were published.
    pub(crate) released_before: Option<Timestamp>,
    /// The name of the asset, with `*` for any text.
    pub(crate) asset: Option<&'a Template>,
    /// The digest of the asset that the request states.
    pub(crate) sha256: Option<&'a str>,
    /// The platform.
    pub(crate) platform: Platform,
}

/// A release with assets that may contain the program.
#[derive(Debug, PartialEq)]
pub(crate) struct Choice<'a> {
    /// The release.
    pub(crate) release: &'a PublishedRelease,
    /// The version in its tag; may be empty.
    pub(crate) version: String,
    /// The assets, best first; never empty.
    pub(crate) assets: Vec<&'a Asset>,
}

/// Why a release does not count.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unsuitable {
    #[error("{0} has the version {1:?}, which is not {2}")]
    Version(String, String, String),
    #[error(
        "{0} is a release of another program, without a file for {1}; if it has {1}, set the override tag_prefix"
    )]
    OtherProgram(String, String),
    #[error("{0} has no files")]
    NoAssets(String),
    #[error("{0} has no file for {1} among {2}; name one with the override asset")]
    NoFit(String, Platform, String),
    #[error("{0} has no file that matches {1:?} among {2}; correct the override asset")]
    NoMatch(String, String, String),
    #[error("{0} is a pre-release; set prerelease to true to accept it")]
    Prerelease(String),
    #[error("{0} was released after {1}; choose an older release or a lower min_release_age")]
    TooNew(String, Timestamp),
    #[error("{0} does not say when it was released")]
    Undated(String),
}

impl Unsuitable {
    /// Returns the problem of the release that comes nearer to the request, or the first one if both come equally near: only
    /// then does the next step in its text lead to a release.
    pub(crate) fn nearer(first: Option<Self>, second: Option<Self>) -> Option<Self> {
        let rank = |problem: &Self| match problem {
            Self::OtherProgram(..) => 0,
            Self::Version(..) => 1,
            Self::NoAssets(_) | Self::NoFit(..) | Self::NoMatch(..) => 2,
            Self::Prerelease(_) | Self::TooNew(..) | Self::Undated(_) => 3,
        };
        if second.as_ref().map(rank) > first.as_ref().map(rank) { second } else { first }
    }
}

impl Criteria<'_> {
    /// Returns the tags that the release may have, the most probable first, if the request names a tag or one version.
    pub(crate) fn tags(&self) -> Vec<String> {
        let start = self.tag_prefix.unwrap_or_default();
        match (self.tag, self.exact_version) {
            (Some(tag), _) if tag.starts_with(|c: char| c.is_ascii_digit()) => {
                vec![tag.to_owned(), format!("v{tag}")]
            }
            (Some(tag), _) => vec![tag.to_owned()],
            (None, _) if !self.names_version() => Vec::new(),
            (None, version) if start.is_empty() => vec![format!("v{version}"), version.to_owned()],
            (None, version) => vec![format!("{start}{version}"), format!("{start}v{version}")],
        }
    }

    /// Whether the request names one version, and not only its beginning.
    fn names_version(&self) -> bool {
        !self.exact_version.is_empty() && VersionRange::exactly(self.exact_version).partial().is_none()
    }

    /// Whether a release is no pre-release, or the request accepts pre-releases or names this one.
    fn counts(&self, release: &PublishedRelease, version: &str) -> bool {
        let is_named = self.tag.is_some() || self.names_version();
        self.with_prereleases || is_named || !is_prerelease(release, version)
    }

    /// Returns the versions that the request accepts, in words.
    pub(crate) fn versions_in_words(&self) -> String {
        let (exact, range) = (self.exact_version, self.versions);
        match (exact.is_empty(), range.exact().is_some() || range == VersionRange::default()) {
            (true, _) => range.in_words(),
            (false, true) => exact.to_owned(),
            (false, false) => format!("{exact} that is {}", range.in_words()),
        }
    }

    /// Chooses from the releases of one page the one with the highest version that the request accepts. Those of the
    /// program itself come before those of other programs in the repository, and pre-releases that do not count come last.
    /// If it accepts none, returns why the release that comes nearest does not count, or `None` if no release may have been
    /// meant.
    pub(crate) fn choose<'a>(
        &self,
        releases: &'a [PublishedRelease],
    ) -> Result<Choice<'a>, Option<Unsuitable>> {
        let mut tagged = self.tagged(releases);
        let rank = |release: &PublishedRelease, found: &TagVersion| {
            let is_own = found.is_own && !found.version.is_empty();
            (is_own, self.counts(release, &found.version), Version::parse(&found.version))
        };
        // Stable, so that of equal versions the newest comes first.
        sort_by_key(&mut tagged, |(release, found)| Reverse(rank(release, found)));
        let mut nearest = None;
        for (release, found) in tagged {
            match self.accepted_assets(release, &found) {
                Ok(assets) => return Ok(Choice { release, version: found.version, assets }),
                Err(problem) => nearest = Unsuitable::nearer(nearest, Some(problem)),
            }
        }
        Err(nearest)
    }

    /// Returns the releases of a page that may have been meant, with the versions in their tags.
    fn tagged<'a>(&self, releases: &'a [PublishedRelease]) -> Vec<(&'a PublishedRelease, TagVersion)> {
        let names = [self.program, self.repository];
        let tagged = |release: &'a PublishedRelease| {
            let found = TagVersion::parse(&release.tag, self.tag_prefix, &names)?;
            let is_named = |tag: &str| {
                tag == release.tag || Version::looks_like_version(tag) && is_same(tag, &found.version)
            };
            self.tag.is_none_or(is_named).then_some((release, found))
        };
        releases.iter().filter(|release| !release.is_draft).filter_map(tagged).collect()
    }

    /// Returns the releases of a page that have a version and assets for the platform, each with whether it is one of the
    /// program itself. A release is as old as its best asset.
    pub(crate) fn list(&self, releases: &[PublishedRelease]) -> Vec<(bool, Release)> {
        let listed = |(release, found): (&PublishedRelease, TagVersion)| {
            if self.is_of_other_program(release, &found) {
                return None;
            }
            let is_stated =
                VersionRange::exactly(self.exact_version).contains_program(&found.version, &found.version);
            let assets = self.assets(release, &found.version).ok().filter(|_| is_stated)?;
            let is_stable =
                self.with_prereleases || self.tag.is_some() || !is_prerelease(release, &found.version);
            let released_at = release.published_at.max(assets[0].updated_at);
            (!found.version.is_empty())
                .then(|| (found.is_own, Release { is_stable, ..Release::new(found.version, released_at) }))
        };
        self.tagged(releases).into_iter().filter_map(listed).collect()
    }

    /// Returns the assets of a release that the request accepts, best first. Checks first what a lower age or `prerelease`
    /// would not change.
    fn accepted_assets<'a>(
        &self,
        release: &'a PublishedRelease,
        found: &TagVersion,
    ) -> Result<Vec<&'a Asset>, Unsuitable> {
        let (tag, version) = (|| release.tag.clone(), &*found.version);
        if self.is_of_other_program(release, found) {
            return Err(Unsuitable::OtherProgram(tag(), self.program.to_owned()));
        }
        let exact = VersionRange::exactly(self.exact_version);
        for range in [exact, self.versions] {
            if !range.contains_program(version, version) {
                return Err(Unsuitable::Version(tag(), version.to_owned(), range.in_words()));
            }
        }
        let assets = self.assets(release, version)?;
        if !self.counts(release, version) {
            return Err(Unsuitable::Prerelease(tag()));
        }
        self.check_age(release, release.published_at)?;
        Ok(assets)
    }

    /// Whether a release is one of another program in the repository: its tag says so, no file has the name of this one, and
    /// the request names neither the tag nor the file.
    fn is_of_other_program(&self, release: &PublishedRelease, found: &TagVersion) -> bool {
        let is_named = |asset: &Asset| {
            asset::is_named_for(&asset.name, self.program, self.repository, &release.tag)
                || self.sha256.is_some() && asset.sha256.as_deref() == self.sha256
        };
        let is_stated = self.tag.is_some() || self.asset.is_some();
        !found.is_own && !is_stated && !release.assets.iter().any(is_named)
    }

    fn check_age(&self, release: &PublishedRelease, time: Option<Timestamp>) -> Result<(), Unsuitable> {
        match (self.released_before, time) {
            (None, _) => Ok(()),
            (Some(_), None) => Err(Unsuitable::Undated(release.tag.clone())),
            (Some(before), Some(time)) if time <= before => Ok(()),
            (Some(before), Some(_)) => Err(Unsuitable::TooNew(release.tag.clone(), before)),
        }
    }

    /// Returns the assets that may contain the program, best first. One that was replaced too recently does not count.
    fn assets<'a>(&self, release: &'a PublishedRelease, version: &str) -> Result<Vec<&'a Asset>, Unsuitable> {
        let all: Vec<&Asset> = release.assets.iter().collect();
        let names: Vec<&str> = all.iter().map(|asset| asset.name.as_str()).collect();
        let ranked = match self.asset {
            Some(template) => {
                let pattern = template.pattern(version, &release.tag, self.platform);
                let matches: Vec<usize> =
                    (0..names.len()).filter(|&at| pattern.is_match(names[at])).collect();
                let matching: Vec<&str> = matches.iter().map(|&at| names[at]).collect();
                let ranked = asset::rank(&matching, self.program, self.platform);
                // A name that says nothing about the platform was chosen by the request.
                if ranked.is_empty() { matches } else { ranked.into_iter().map(|at| matches[at]).collect() }
            }
            None => asset::rank(&names, self.program, self.platform),
        };
        let mut assets: Vec<&Asset> = ranked.into_iter().map(|at| all[at]).collect();
        // The digest tells which one is meant.
        if assets.iter().any(|asset| asset.sha256.is_some() && asset.sha256.as_deref() == self.sha256) {
            assets.retain(|asset| asset.sha256.as_deref() == self.sha256);
        }
        if assets.is_empty() {
            let tag = release.tag.clone();
            return Err(match (&names[..], self.asset) {
                ([], _) => Unsuitable::NoAssets(tag),
                (_, Some(template)) => {
                    let pattern = template.expand(version, &tag, self.platform);
                    Unsuitable::NoMatch(tag, pattern, some_of(&names))
                }
                (_, None) => Unsuitable::NoFit(tag, self.platform, some_of(&names)),
            });
        }
        let check_age = |asset: &Asset| self.check_age(release, asset.updated_at.or(release.published_at));
        check_age(assets[0])?;
        assets.retain(|asset| check_age(asset).is_ok());
        Ok(assets)
    }
}

/// Returns the releases of the program itself, or those of other programs in the repository if there are no others. Each
/// comes with whether it is one of the program itself.
pub(super) fn of_program(listed: Vec<(bool, Release)>) -> Vec<Release> {
    let has_own = listed.iter().any(|(is_own, _)| *is_own);
    listed.into_iter().filter(|(is_own, _)| *is_own || !has_own).map(|(_, release)| release).collect()
}

/// Whether a release is a pre-release: its host says so, or its version, as in v2.0.0-beta.2.
fn is_prerelease(release: &PublishedRelease, version: &str) -> bool {
    release.is_prerelease || Version::parse(version).is_prerelease()
}

/// Returns whether a version is the one that a request names: `14` is not `14.1`.
fn is_same(named: &str, version: &str) -> bool {
    !version.is_empty() && Version::parse(named) == Version::parse(version)
}

/// Returns the first names.
fn some_of(names: &[&str]) -> String {
    const SHOWN: usize = 20;
    let shown = names.iter().take(SHOWN).copied().collect::<Vec<_>>().join(", ");
    if names.len() > SHOWN { format!("{shown} and {} more", names.len() - SHOWN) } else { shown }
}

#[cfg(test)]
mod tests;
