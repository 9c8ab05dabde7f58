//! The download of many pages at a time.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::time::Duration;

use rayon::prelude::*;

use crate::fs::temporary_folder::TemporaryFolder;
use crate::sorting::sort_by_key;
use crate::toolkit::http::curl_config::CurlConfig;
use crate::toolkit::http::downloader::{CONNECT_TIMEOUT, Downloader, DownloaderKind};
use crate::toolkit::http::error::HttpError;
use crate::toolkit::http::transfer_options::{TransferKind, TransferOptions, last_line};
use crate::toolkit::http::url::redacted;

/// The largest page, in bytes.
pub(crate) const MAX_PAGE_SIZE: u64 = 128 << 20;
/// How many pages one curl downloads, and how many of them at a time: the default of curl.
const PAGES_PER_CURL: usize = 100;
const PARALLEL_PAGES: usize = 50;
/// What curl prints about each page. An older curl leaves out the last two.
const WRITE_OUT: &str = r"%{filename_effective}\t%{http_code}\t%{exitcode}\t%{errormsg}\n";

/// A page to download.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PageRequest {
    /// The address, which may contain credentials.
    pub(crate) url: String,
    /// The headers of the request, which may contain credentials.
    pub(crate) headers: Vec<String>,
}

/// How pages are downloaded.
#[derive(Debug)]
pub(crate) struct PageDownload<'a> {
    /// How long a page may take.
    pub(crate) max_time: Duration,
    /// The folder that the pages are written to.
    pub(crate) folder: &'a TemporaryFolder,
}

/// The file of a page, or why it was not downloaded.
pub(crate) type DownloadedPage = Result<PathBuf, UnavailablePage>;

/// Why there is no page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UnavailablePage {
    /// The cause, without credentials.
    pub(crate) reason: String,
    /// Whether the server says that it has no such page.
    pub(crate) is_missing: bool,
}

impl UnavailablePage {
    /// Returns a failure that says nothing about whether the server has the page.
    pub(crate) fn new(reason: &impl ToString) -> Self {
        Self { reason: reason.to_string(), is_missing: false }
    }
}

impl PageDownload<'_> {
    /// Downloads pages, and returns their files in the same order.
    pub(super) fn run(
        &self,
        downloader: &Downloader<'_>,
        pages: &[&PageRequest],
    ) -> Result<Vec<DownloadedPage>, HttpError> {
        if downloader.kind != DownloaderKind::Curl {
            let numbered = pages.par_iter().enumerate().with_max_len(1);
            return numbered.map(|(number, page)| self.alone(downloader, number, page)).collect();
        }
        // One curl sends the same headers with all requests.
        let mut by_headers: BTreeMap<&[String], Vec<usize>> = BTreeMap::new();
        for (number, page) in pages.iter().enumerate() {
            by_headers.entry(&page.headers).or_default().push(number);
        }
        let chunks: Vec<&[usize]> =
            by_headers.values().flat_map(|numbers| numbers.chunks(PAGES_PER_CURL)).collect();
        let runs = chunks.par_iter().with_max_len(1).map(|numbers| self.together(downloader, numbers, pages));
        let mut numbered: Vec<_> = runs.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect();
        sort_by_key(&mut numbered, |(number, _)| *number);
        Ok(numbered.into_iter().map(|(_, page)| page).collect())
    }

    fn file(&self, number: usize) -> PathBuf {
        self.folder.path().join(number.to_string())
    }

    fn options<'a>(&self, page: &'a PageRequest) -> TransferOptions<'a> {
        let kind = TransferKind::Page { max_time: self.max_time };
        TransferOptions { headers: &page.headers, max_bytes: Some(MAX_PAGE_SIZE), kind }
    }

    /// Downloads pages that have the same headers with one curl.
    fn together(
        &self,
        downloader: &Downloader<'_>,
        numbers: &[usize],
        pages: &[&PageRequest],
    ) -> Result<Vec<(usize, DownloadedPage)>, HttpError> {
        let mut config = CurlConfig::new(&self.options(pages[numbers[0]]));
        config.set("write-out", WRITE_OUT);
        if numbers.iter().all(|number| !pages[*number].url.starts_with("https:")) {
            config.use_http_1_1();
        }
        for number in numbers {
            config.add(&pages[*number].url, &self.file(*number));
        }
        let rounds = u32::try_from(numbers.len().div_ceil(PARALLEL_PAGES)).unwrap_or(u32::MAX);
        let time_limit = self.max_time * rounds + Duration::from_secs(CONNECT_TIMEOUT.into());
        let args = ["--parallel", "--config", "-"].map(Into::into).to_vec();
        let exit = match downloader.start(args, config.as_str(), time_limit, Some(MAX_PAGE_SIZE)) {
            Ok(exit) => exit,
            Err(error @ HttpError::Io(_)) => return Err(error),
            Err(error) => {
                return Ok(numbers
                    .iter()
                    .map(|number| (*number, Err(UnavailablePage::new(&error))))
                    .collect());
            }
        };
        let mut outcomes: HashMap<&str, Vec<&str>> = HashMap::new();
        for line in exit.stdout.lines() {
            if let Some((file, outcome)) = line.split_once('\t') {
                outcomes.insert(file, outcome.split('\t').collect());
            }
        }
        let outcome_of = |number: &usize| {
            let file = self.file(*number);
            let outcome = outcomes.get(&*file.to_string_lossy()).cloned().unwrap_or_default();
            let field = |index: usize| outcome.get(index).copied().unwrap_or_default();
            let (status, code, message) = (field(0), field(1), field(2));
            let is_answered = status == "200" || status == "000" && code == "0";
            let options = self.options(pages[*number]);
            let page = if options.is_exceeded_by(&file) {
                Err(unreachable(pages[*number], 0, &options.reason(true, "", "")))
            } else if is_answered && matches!(code, "" | "0") {
                Ok(file)
            } else {
                let printed = if message.is_empty() { last_line(&exit.stderr) } else { message };
                let status = status.parse().ok().filter(|_| !is_answered).unwrap_or_default();
                Err(unreachable(pages[*number], status, printed))
            };
            (*number, page)
        };
        Ok(numbers.iter().map(outcome_of).collect())
    }

    /// Downloads a page with a process of its own.
    fn alone(
        &self,
        downloader: &Downloader<'_>,
        number: usize,
        page: &PageRequest,
    ) -> Result<DownloadedPage, HttpError> {
        let file = self.file(number);
        match downloader.transfer(&page.url, &file, &self.options(page)) {
            Ok(transferred) => Ok(match (transferred.headers.status, transferred.failure) {
                (200, None) => Ok(file),
                (_, Some(failure)) => Err(unreachable(page, 0, &failure.reason)),
                (status, None) => Err(unreachable(page, status, "no error message")),
            }),
            Err(error @ HttpError::Io(_)) => Err(error),
            Err(error) => Ok(Err(unreachable(page, 0, &error.to_string()))),
        }
    }
}

/// Returns why a page was not downloaded, without the credentials in its URL: what its status means here, or else the cause.
fn unreachable(page: &PageRequest, status: u16, cause: &str) -> UnavailablePage {
    let url = redacted(&page.url);
    let cause = match status {
        0 => cause.replace(&page.url, &url),
        401 | 403 => format!("the registry does not allow it (HTTP {status}); check the credentials"),
        404 | 410 => format!("the registry does not have it (HTTP {status})"),
        status => format!("HTTP {status}"),
    };
    let reason = format!("cannot download {url}: {cause}");
    UnavailablePage { reason, is_missing: matches!(status, 404 | 410) }
}
