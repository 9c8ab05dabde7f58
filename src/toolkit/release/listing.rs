//! The releases that requests can be installed from: `rigup hook release --versions`.

use jiff::Timestamp;
use rayon::prelude::*;
use serde_json::Value;

use crate::model::{Release, VersionRange};
use crate::process::signals::Interrupt;
use crate::settings::Settings;
use crate::toolkit::http::HttpClient;
use crate::toolkit::package_spec;
use crate::toolkit::release::ReleaseSearch;
use crate::toolkit::release::choice::{self, Criteria};
use crate::toolkit::release::error::ReleaseError;
use crate::toolkit::release::host::ReleaseHost;
use crate::toolkit::release::lookup::MAX_PAGES;
use crate::toolkit::request::HookRequest;
use crate::toolkit::versions;

/// Returns the records about the releases of each request, in their order. Asks for several at a time.
pub(crate) fn records(
    provider: &str,
    requests: &[HookRequest],
    settings: &Settings,
    interrupt: &Interrupt,
    now: Timestamp,
) -> Vec<Value> {
    let records_of = |request: &HookRequest| -> Vec<Value> {
        let search = ReleaseSearch::new(provider, request, settings, interrupt, now);
        let name = request.name.as_str();
        match search.and_then(|search| search.list()) {
            Ok((releases, only)) => {
                let only = Some(only).filter(|only| !only.is_empty()).map(|only| versions::only(name, &only));
                only.into_iter().chain(versions::records(name, Ok(releases))).collect()
            }
            Err(error) => versions::records(name, Err(error.to_string())),
        }
    };
    requests.par_iter().with_max_len(1).map(records_of).flatten_iter().collect()
}

impl ReleaseSearch<'_> {
    /// Lists the releases for this host, page by page until the request accepts one. Also returns the only version that its
    /// overrides accept, or the beginning of it; empty if they accept any.
    fn list(&self) -> Result<(Vec<Release>, String), ReleaseError> {
        self.stated.check(false)?;
        let client = HttpClient::find(self.settings, self.interrupt)?;
        let host = ReleaseHost::new(self.stated.text("host")?, self.settings)?;
        let (repository, tag) = self.repository()?;
        let asset = self.stated_asset()?;
        let accepted = self.criteria(&repository, tag.as_deref(), &asset)?;
        let any = Criteria {
            tag: None,
            versions: VersionRange::default(),
            exact_version: "",
            released_before: None,
            ..accepted
        };
        // The release of a tag may be on no page that is read.
        let named = Criteria { tag: accepted.tag, ..any };
        let mut of_tag = Vec::new();
        for tag in accepted.tags().iter().filter(|_| accepted.tag.is_some()) {
            if of_tag.is_empty() {
                of_tag = named.list(host.release_of_tag(&client, &repository, tag)?.as_slice());
            }
        }
        let mut listed = Vec::new();
        let mut page = host.releases(&client, &repository)?;
        for _ in 1..=MAX_PAGES {
            listed.extend(any.list(&page.releases));
            if of_tag.is_empty() && accepted.tag.is_some() {
                of_tag = named.list(&page.releases);
            }
            if !of_tag.is_empty() || accepted.choose(&page.releases).is_ok() {
                break;
            }
            let Some(next) = page.next else { break };
            page = host.further_releases(&client, &repository, &next)?;
        }
        let mut releases: Vec<Release> = of_tag.into_iter().map(|(_, release)| release).collect();
        let only = match releases.first() {
            // The tag v1 is not that of 1.2.
            Some(Release { version, .. }) => {
                package_spec::with_numbers(version, 3).unwrap_or_else(|| version.clone())
            }
            None if accepted.tag.is_some() => {
                return Err(ReleaseError::NoRelease(repository.to_string(), " for this system".to_owned()));
            }
            None => self.stated.version()?.to_owned(),
        };
        for release in choice::of_program(listed) {
            if releases.iter().all(|earlier| earlier.version != release.version) {
                releases.push(release);
            }
        }
        if releases.is_empty() {
            return Err(ReleaseError::NoRelease(repository.to_string(), " for this system".to_owned()));
        }
        Ok((releases, only))
    }
}
