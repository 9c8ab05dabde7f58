//! Downloading the pages of registries with curl or wget, several at a time.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::{self, Seek, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rayon::prelude::*;

use crate::fs::temporary_folder::TemporaryFolder;
use crate::hook::command;
use crate::install::probe;
use crate::process::capture::{self, Captured, CapturedExit};
use crate::process::signals::Interrupt;
use crate::process::spawn::CommandSpec;
use crate::process::system;
use crate::settings::Settings;
use crate::toolkit::versions::page::RegistryPage;

/// The largest page, in bytes.
pub(super) const MAX_SIZE: u64 = 128 << 20;
/// How long a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How many pages one curl downloads.
const PAGES_PER_CURL: usize = 100;
/// What curl prints about each page. An older curl leaves out the last two.
const WRITE_OUT: &str = r"%{filename_effective}\t%{http_code}\t%{exitcode}\t%{errormsg}\n";

/// How pages are downloaded.
#[derive(Debug)]
pub(crate) struct Download<'a> {
    /// How long a page may take.
    pub max_time: Duration,
    /// The folder that the pages are written to.
    pub folder: &'a TemporaryFolder,
}

/// The file of a page, or why it was not downloaded.
type Downloaded = Result<PathBuf, String>;

impl Download<'_> {
    /// Downloads pages, and returns their files in the same order. curl reads the URLs and the headers from its standard
    /// input, so that no other user sees the credentials in them.
    pub(crate) fn run(
        &self,
        pages: &[RegistryPage],
        settings: &Settings,
        interrupt: &Interrupt,
    ) -> io::Result<Vec<Downloaded>> {
        let path = settings.environment.get("PATH").unwrap_or_default();
        let is_on_path = |program: &str| probe::find(program, path, &settings.lib_bin_dir).is_some();
        if is_on_path("curl") {
            let chunks = pages.chunks(PAGES_PER_CURL).enumerate();
            let downloaded = chunks.map(|(number, pages)| self.curl(number, pages, settings, interrupt));
            Ok(downloaded.collect::<io::Result<Vec<_>>>()?.into_iter().flatten().collect())
        } else if is_on_path("wget") {
            let numbered = pages.par_iter().enumerate().with_max_len(1);
            numbered.map(|(number, page)| self.wget(number, page, settings, interrupt)).collect()
        } else {
            let missing = "neither curl nor wget is on PATH; install one with apt-get install curl";
            Ok(vec![Err(missing.to_owned()); pages.len()])
        }
    }

    /// Downloads pages with one curl.
    fn curl(
        &self,
        number: usize,
        pages: &[RegistryPage],
        settings: &Settings,
        interrupt: &Interrupt,
    ) -> io::Result<Vec<Downloaded>> {
        let file = |index: usize| self.folder.path().join(format!("{number}-{index}"));
        let sections = pages.iter().enumerate().map(|(index, page)| self.section(page, &file(index)));
        let config = sections.collect::<Vec<_>>().join("next\n");
        let rounds = u32::try_from(pages.len()).unwrap_or(u32::MAX).div_ceil(50).max(1);
        let arguments = ["--parallel", "-K", "-"].map(str::to_owned).to_vec();
        let exit = match start("curl", arguments, &config, self.max_time * rounds, settings, interrupt)? {
            Ok(exit) => exit,
            Err(reason) => return Ok(vec![Err(reason); pages.len()]),
        };
        let mut outcomes: HashMap<&str, Vec<&str>> = HashMap::new();
        for line in exit.stdout.lines() {
            if let Some((file, outcome)) = line.split_once('\t') {
                outcomes.insert(file, outcome.split('\t').collect());
            }
        }
        let downloaded = |(index, page): (usize, &RegistryPage)| {
            let file = file(index);
            let outcome = outcomes.get(&*file.to_string_lossy()).cloned().unwrap_or_default();
            let field = |index: usize| outcome.get(index).copied().unwrap_or_default();
            let (status, code, message) = (field(0), field(1), field(2));
            let is_answered = status == "200" || status == "000" && code == "0";
            let cause = if is_answered && matches!(code, "" | "0") {
                return Ok(file);
            } else if is_answered || matches!(status, "" | "000") {
                let printed = exit.stderr.lines().rfind(|line| !line.trim().is_empty());
                let stated = Some(message).filter(|message| !message.is_empty());
                stated.or(printed).unwrap_or("curl failed").to_owned()
            } else {
                status_text(status)
            };
            Err(unreachable(page, &cause))
        };
        Ok(pages.iter().enumerate().map(downloaded).collect())
    }

    /// Returns the part of curl's configuration that is about one page.
    fn section(&self, page: &RegistryPage, file: &Path) -> String {
        let mut section = String::new();
        let mut add = |key: &str, value: &str| {
            // Writing to a string does not fail.
            let _ = writeln!(section, "{key} = {}", quoted(value));
        };
        add("url", &page.url);
        add("output", &file.to_string_lossy());
        add("write-out", WRITE_OUT);
        add("max-time", &self.max_time.as_secs().to_string());
        add("connect-timeout", &CONNECT_TIMEOUT.as_secs().to_string());
        add("max-filesize", &MAX_SIZE.to_string());
        add("max-redirs", "5");
        add("proto", "=https,http,file");
        add("proto-redir", "=https,http");
        for header in &page.headers {
            add("header", header);
        }
        section + "silent\nshow-error\nlocation\ncompressed\ngloboff\nnetrc-optional\n"
    }

    /// Downloads a page with wget, which reads the URL from its standard input.
    fn wget(
        &self,
        number: usize,
        page: &RegistryPage,
        settings: &Settings,
        interrupt: &Interrupt,
    ) -> io::Result<Downloaded> {
        let (file, has_secret) = (
            self.folder.path().join(number.to_string()),
            page.headers.iter().any(|header| !header.to_ascii_lowercase().starts_with("accept:")),
        );
        if has_secret {
            return Ok(Err(unreachable(page, "only curl can send its credentials; install curl")));
        }
        let mut arguments: Vec<String> = ["-nv", "--tries=1", "-i", "-"].map(str::to_owned).to_vec();
        arguments.push(format!("--timeout={}", self.max_time.as_secs()));
        arguments.push(format!("--output-document={}", file.display()));
        arguments.extend(page.headers.iter().map(|header| format!("--header={header}")));
        Ok(match start("wget", arguments, &page.url, self.max_time * 2, settings, interrupt)? {
            Ok(CapturedExit { exit_code: Some(0), .. }) => Ok(file),
            Ok(exit) => {
                let printed = exit.stderr.lines().rfind(|line| !line.trim().is_empty());
                Err(unreachable(page, printed.unwrap_or("wget failed")))
            }
            Err(reason) => Err(unreachable(page, &reason)),
        })
    }
}

/// Runs a program with this standard input. Returns its exit, or why it has none.
fn start(
    program: &str,
    arguments: Vec<String>,
    input: &str,
    time: Duration,
    settings: &Settings,
    interrupt: &Interrupt,
) -> io::Result<Result<CapturedExit, String>> {
    let mut stdin = system::unnamed_file()?;
    stdin.write_all(input.as_bytes())?;
    stdin.rewind()?;
    let command = CommandSpec {
        program: program.into(),
        args: arguments.into_iter().map(Into::into).collect(),
        env: command::environment_of_program(settings, &[], Vec::new()),
        cwd: PathBuf::from("/"),
    };
    let deadline = Instant::now() + time + CONNECT_TIMEOUT;
    Ok(match capture::run_with_input(command, Some(&stdin), deadline, interrupt)? {
        Captured::Exited(exit) => Ok(exit),
        Captured::NotStarted(error) => Err(error.to_string()),
        Captured::Killed(_) => Err(format!("{program} did not end in time")),
    })
}

/// Quotes a value of a configuration of curl.
fn quoted(value: &str) -> String {
    format!("\"{}\"", value.replace('\\', r"\\").replace('"', r#"\""#))
}

/// Returns what a status of HTTP means here.
fn status_text(status: &str) -> String {
    match status {
        "401" | "403" => format!("the registry does not allow it (HTTP {status}); check the credentials"),
        "404" => "the registry does not have it (HTTP 404)".to_owned(),
        status => format!("HTTP {status}"),
    }
}

/// Returns why a page was not downloaded, without the credentials in its URL.
fn unreachable(page: &RegistryPage, cause: &str) -> String {
    let url = redacted(&page.url);
    format!("cannot download {url}: {}", cause.replace(&page.url, &url))
}

/// Returns a URL without its user, password and query.
pub(crate) fn redacted(url: &str) -> String {
    let url = url.split(['?', '#']).next().unwrap_or_default();
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let (authority, path) = rest.split_once('/').map_or((rest, ""), |(authority, path)| (authority, path));
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    format!("{scheme}://{host}/{path}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_shown_without_credentials() {
        for (url, expected) in [
            ("https://user:pass@x.org/simple/?token=1", "https://x.org/simple/"),
            ("https://x.org", "https://x.org/"),
            ("file:///a@b", "file:///a@b"),
        ] {
            assert_eq!(redacted(url), expected);
        }
    }

    #[test]
    fn a_value_of_curl_can_contain_quotes() {
        assert_eq!(quoted(r#"a "b" \c"#), r#""a \"b\" \\c""#);
    }
}
