//! The releases that requests can be installed from: `rigup hook release --versions`.

use jiff::Timestamp;
use rayon::prelude::*;
use serde_json::Value;

use crate::model::{Release, VersionRange};
use crate::process::signals::Interrupt;
use crate::settings::Settings;
use crate::toolkit::http::HttpClient;
use crate::toolkit::release::ReleaseSearch;
use crate::toolkit::release::choice::Criteria;
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
    let records_of = |request: &HookRequest| {
        let search = ReleaseSearch::new(provider, request, settings, interrupt, now);
        let listing = search.and_then(|search| search.list()).map_err(|error| error.to_string());
        versions::records(request.name.as_str(), listing)
    };
    requests.par_iter().with_max_len(1).map(records_of).flatten_iter().collect()
}

impl ReleaseSearch<'_> {
    /// Lists the releases for this host, page by page until the request accepts one.
    fn list(&self) -> Result<Vec<Release>, ReleaseError> {
        self.stated.check(false)?;
        let client = HttpClient::find(self.settings, self.interrupt)?;
        let host = ReleaseHost::new(self.stated.text("host")?, self.settings)?;
        let (repository, tag) = self.repository()?;
        let asset = self.stated_asset()?;
        let accepted = self.criteria(&repository, tag.as_deref(), &asset)?;
        let any = Criteria {
            versions: VersionRange::default(),
            exact_version: self.stated.version()?,
            released_before: None,
            ..accepted
        };
        let mut listed = Vec::new();
        for tag in accepted.tags().iter().filter(|_| accepted.tag.is_some()) {
            listed.extend(any.list(host.release_of_tag(&client, &repository, tag)?.as_slice()));
            if !listed.is_empty() {
                return Ok(listed.into_iter().map(|(_, release)| release).collect());
            }
        }
        let mut page = host.releases(&client, &repository)?;
        for _ in 1..=MAX_PAGES {
            listed.extend(any.list(&page.releases));
            if accepted.choose(&page.releases).is_ok() {
                break;
            }
            let Some(next) = page.next else { break };
            page = host.further_releases(&client, &repository, &next)?;
        }
        // The releases of other programs in the repository count only if there are no others.
        let has_own = listed.iter().any(|(is_own, _)| *is_own);
        let releases: Vec<Release> = listed
            .into_iter()
            .filter(|(is_own, _)| *is_own || !has_own)
            .map(|(_, release)| release)
            .collect();
        if releases.is_empty() {
            return Err(ReleaseError::NoRelease(repository.to_string(), " for this system".to_owned()));
        }
        Ok(releases)
    }
}
