//! The versions in the pages of registries, and the records about them.

use std::io;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::model::{Outcome, Release};
use crate::process::signals::Interrupt;
use crate::settings::Settings;
use crate::toolkit::batch;
use crate::toolkit::http::HttpClient;
use crate::toolkit::http::error::HttpError;
use crate::toolkit::http::pages::{MAX_PAGE_SIZE, PageDownload, PageRequest, UnavailablePage};
use crate::toolkit::http::url::redacted;
use crate::toolkit::versions::format::PageFormat;
use crate::toolkit::versions::page::RegistryPage;
use crate::toolkit::versions::python::PythonTarget;

pub(crate) mod format;
pub(crate) mod page;
pub(crate) mod python;
mod wheel;

/// The number of releases in one record. The longest version leaves it below the limit for a line of a hook's output.
const MAX_PER_RECORD: usize = 2500;

/// The releases on a page, or why it lists none.
type PageListing = Result<Vec<Release>, UnavailablePage>;

/// What the pages of registries say.
#[derive(Debug)]
pub(crate) struct VersionPages<'a> {
    /// How the pages are written.
    pub format: PageFormat,
    /// What Python packages must support.
    pub python: PythonTarget<'a>,
    /// How the pages are downloaded.
    pub download: PageDownload<'a>,
}

impl VersionPages<'_> {
    /// Downloads the pages, and returns the records of each binary, in the order of their names. If a binary has several
    /// pages, the first that lists versions counts. If none does, the registry lacks the package only if it lacks all pages.
    pub(crate) fn records(
        &self,
        pages: &[RegistryPage],
        settings: &Settings,
        interrupt: &Interrupt,
    ) -> io::Result<Vec<Value>> {
        let requests: Vec<&PageRequest> = pages.iter().map(|page| &page.request).collect();
        let client = HttpClient::find(settings, interrupt);
        let bodies = match client.and_then(|client| client.pages(&self.download, &requests)) {
            Ok(bodies) => bodies,
            Err(HttpError::Io(error)) => return Err(error),
            Err(error) => vec![Err(UnavailablePage::new(&error)); pages.len()],
        };
        let mut listings: Vec<(&str, PageListing)> = Vec::new();
        for (page, body) in pages.iter().zip(bodies) {
            let read = |path: PathBuf| self.read(page, &path).map_err(|reason| UnavailablePage::new(&reason));
            let mut listing = body.and_then(read);
            if let Err(unavailable) = &mut listing {
                unavailable.is_missing &= self.format.is_of_package(&page.request.url);
            }
            match listings.iter_mut().find(|(name, _)| *name == page.name) {
                Some((_, earlier)) if replaces(earlier, &listing) => *earlier = listing,
                Some(_) => {}
                None => listings.push((&page.name, listing)),
            }
        }
        let records_of = |(name, listing): (&str, PageListing)| match listing {
            Err(UnavailablePage { reason, is_missing: true }) => {
                vec![batch::failure(name, Outcome::Declined, &reason)]
            }
            listing => records(name, listing.map_err(|page| page.reason)),
        };
        Ok(listings.into_iter().flat_map(records_of).collect())
    }

    fn read(&self, page: &RegistryPage, path: &Path) -> Result<Vec<Release>, String> {
        let url = redacted(&page.request.url);
        if path.metadata().is_ok_and(|metadata| metadata.len() > MAX_PAGE_SIZE) {
            return Err(format!("{url} is larger than {MAX_PAGE_SIZE} bytes"));
        }
        let body = fs_err::read(path).map_err(|error| error.to_string())?;
        let releases = self.format.parse(&page.name, &body, &self.python);
        let releases = releases.map_err(|error| format!("{url} {error}"))?;
        if releases.is_empty() { Err(format!("{url} lists no version")) } else { Ok(releases) }
    }
}

/// Returns whether a page says more than an earlier one: it lists versions, or it may exist.
fn replaces(earlier: &PageListing, page: &PageListing) -> bool {
    match earlier {
        Ok(_) => false,
        Err(earlier) => !page.as_ref().is_err_and(|page| page.is_missing || !earlier.is_missing),
    }
}

/// Returns the record that the overrides of a request accept only one version, or those that begin with it.
pub(crate) fn only(name: &str, version: &str) -> Value {
    json!({"type": "BinaryVersions", "name": name, "only": version})
}

/// Returns the records about a binary: its releases, or why they are unknown.
pub(crate) fn records(name: &str, listing: Result<Vec<Release>, String>) -> Vec<Value> {
    match listing {
        Err(reason) => vec![batch::failure(name, Outcome::Failed, &reason)],
        Ok(releases) => releases
            .chunks(MAX_PER_RECORD)
            .map(|releases| {
                let versions: Vec<Value> = releases.iter().map(Release::to_entry).collect();
                json!({"type": "BinaryVersions", "name": name, "versions": versions})
            })
            .collect(),
    }
}
