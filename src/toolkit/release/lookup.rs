//! The lookup of the release that a request accepts: by its tag if that is known, and else page by page.

use std::slice;

use crate::model::{Release, ReleaseFilter, VersionRange, release};
use crate::toolkit::http::HttpClient;
use crate::toolkit::release::choice::{self, Choice, Criteria, Unsuitable};
use crate::toolkit::release::error::ReleaseError;
use crate::toolkit::release::found::FoundRelease;
use crate::toolkit::release::host::{ApiError, ReleaseHost, Repository};
use crate::toolkit::release::model::{Asset, PublishedRelease};
use crate::toolkit::release::tag::TagVersion;
use crate::toolkit::release::template::Template;

/// The largest number of pages of releases that are read.
pub(super) const MAX_PAGES: usize = 10;

/// A lookup in the releases of a repository.
#[derive(Debug)]
pub(super) struct ReleaseLookup<'a> {
    pub(super) provider: &'a str,
    pub(super) client: &'a HttpClient<'a>,
    pub(super) host: &'a ReleaseHost<'a>,
    pub(super) repository: &'a Repository,
    pub(super) criteria: Criteria<'a>,
    /// Whether a release whose age is not known is refused.
    pub(super) must_keep_age: bool,
}

impl ReleaseLookup<'_> {
    /// Finds a release, whose files `of_release` returns.
    pub(super) fn run(
        &self,
        of_release: &impl Fn(Choice<'_>) -> Result<FoundRelease, ReleaseError>,
    ) -> Result<FoundRelease, ReleaseError> {
        match self.with_api(of_release) {
            Err(ReleaseError::Api(limit @ ApiError::RateLimited(..))) if self.host.is_github() => {
                self.without_api(limit, of_release)
            }
            result => result,
        }
    }

    /// Asks the API for the release of a known tag, or else for releases until one is suitable.
    fn with_api(
        &self,
        of_release: &impl Fn(Choice<'_>) -> Result<FoundRelease, ReleaseError>,
    ) -> Result<FoundRelease, ReleaseError> {
        let Self { client, host, repository, criteria, .. } = self;
        let mut nearest = None;
        for tag in criteria.tags() {
            let Some(release) = host.release_of_tag(client, repository, &tag)? else { continue };
            match criteria.choose(slice::from_ref(&release)) {
                Ok(choice) => return of_release(choice),
                Err(Some(problem)) if criteria.tag == Some(&*tag) => {
                    return Err(ReleaseError::Unsuitable(repository.to_string(), problem));
                }
                Err(problem) => nearest = Unsuitable::nearer(nearest, problem),
            }
        }
        let any = Criteria { versions: VersionRange::default(), exact_version: "", ..*criteria };
        let mut listed = Vec::new();
        let mut page = host.releases(client, repository)?;
        for _ in 1..=MAX_PAGES {
            match criteria.choose(&page.releases) {
                Ok(choice) => return of_release(choice),
                Err(problem) => nearest = Unsuitable::nearer(nearest, problem),
            }
            listed.extend(any.list(&page.releases));
            let Some(next) = page.next else { break };
            page = host.further_releases(client, repository, &next)?;
        }
        Err(match nearest {
            Some(Unsuitable::Version(..)) if criteria.tag.is_none() => self.no_version(listed),
            Some(problem) => ReleaseError::Unsuitable(repository.to_string(), problem),
            None => ReleaseError::NoRelease(repository.to_string(), with_tag(criteria)),
        })
    }

    /// Returns the error for a repository of whose releases, each with whether it is one of the program itself, none has a
    /// version that the request accepts.
    fn no_version(&self, listed: Vec<(bool, Release)>) -> ReleaseError {
        let Self { provider, repository, criteria, .. } = self;
        let released_before = criteria.released_before;
        let filter = ReleaseFilter { released_before, needs_time: true, ..ReleaseFilter::default() };
        let releases = choice::of_program(listed);
        let wanted = criteria.versions_in_words();
        let newest = filter.newest(&releases);
        ReleaseError::MissingVersion(release::no_version(provider, &wanted, &repository.to_string(), newest))
    }

    /// Finds the release of a known tag, or else the latest one, on the pages of GitHub: its API answers only a number of
    /// requests. The age of that release is not known, and only its page, or the request, names its files. Returns `limit`
    /// if it is not found.
    fn without_api(
        &self,
        limit: ApiError,
        of_release: &impl Fn(Choice<'_>) -> Result<FoundRelease, ReleaseError>,
    ) -> Result<FoundRelease, ReleaseError> {
        let release = if self.must_keep_age { None } else { self.shown_release()? };
        let Some(release) = release else { return Err(limit.into()) };
        let criteria = Criteria { released_before: None, ..self.criteria };
        let Ok(choice) = criteria.choose(slice::from_ref(&release)) else { return Err(limit.into()) };
        let mut found = of_release(choice)?;
        found.unenforced_age =
            self.criteria.released_before.map(|_| format!("cannot enforce min_release_age: {limit}"));
        Ok(found)
    }

    /// Returns the release of a known tag, or else the latest one, as the pages of GitHub show it, or `None` if they do not.
    fn shown_release(&self) -> Result<Option<PublishedRelease>, ReleaseError> {
        let Self { client, host, repository, criteria, .. } = self;
        let tags = criteria.tags();
        for tag in &tags {
            let assets = host.listed_assets(client, repository, tag)?;
            if !assets.is_empty() {
                return Ok(Some(PublishedRelease {
                    tag: tag.clone(),
                    assets,
                    ..PublishedRelease::default()
                }));
            }
        }
        let tag = match tags.into_iter().next() {
            Some(tag) => Some(tag),
            None => host.latest_tag(client, repository)?,
        };
        let Some(tag) = tag else { return Ok(None) };
        let assets = match self.named_asset(&tag)? {
            Some(asset) => vec![asset],
            None if criteria.tags().is_empty() => host.listed_assets(client, repository, &tag)?,
            None => return Ok(None),
        };
        Ok(Some(PublishedRelease { tag, assets, ..PublishedRelease::default() }))
    }

    /// Returns the file of a release whose name the request states, or `None` if it does not. It need not exist.
    fn named_asset(&self, tag: &str) -> Result<Option<Asset>, ReleaseError> {
        let Criteria { program, repository, tag_prefix, asset, platform, .. } = self.criteria;
        let version = TagVersion::parse(tag, tag_prefix, &[program, repository]);
        let Some((template, TagVersion { version, .. })) =
            asset.filter(|template: &&Template| template.is_exact()).zip(version)
        else {
            return Ok(None);
        };
        let name = template.expand(&version, tag, platform);
        Ok(Some(self.host.asset(self.repository, tag, &name)?))
    }
}

/// Returns what an error says about the tags that count.
fn with_tag(criteria: &Criteria<'_>) -> String {
    match (criteria.tag, criteria.tag_prefix) {
        (Some(tag), _) => format!(" {tag}"),
        (None, Some(prefix)) => format!(" whose tag begins with {prefix}"),
        (None, None) => String::new(),
    }
}
