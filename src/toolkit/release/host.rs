//! The hosts of repositories, and their APIs for releases: GitHub, Forgejo and GitLab.

use jiff::Timestamp;
use serde_json::Value;

use crate::settings::Settings;
use crate::shell;
use crate::toolkit::http::error::HttpError;
use crate::toolkit::http::headers::Headers;
use crate::toolkit::http::url::{self, Url, UrlError};
use crate::toolkit::http::{Credential, HttpClient, HttpRequest};
use crate::toolkit::release::model::{Asset, PublishedRelease};
use crate::toolkit::release::token;

/// The host of a repository that names no other.
pub(crate) const GITHUB: &str = "github.com";

/// The number of releases on a page.
const PAGE: u32 = 30;

/// The largest page, in bytes. Thirty releases of a project with a hundred files each have 6 MB.
const MAX_PAGE: u64 = 64 << 20;

/// The kind of an API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Api {
    GitHub,
    Forgejo,
    GitLab,
}

/// A repository.
#[derive(Debug, Clone)]
pub(crate) struct Repository {
    /// The user or the group; of GitLab, with the groups in it: `gnome/apps`.
    pub(crate) owner: String,
    /// The name.
    pub(crate) name: String,
}

/// A host of repositories.
#[derive(Debug)]
pub(crate) struct ReleaseHost<'a> {
    server: Url,
    /// The APIs that it may have, with their addresses. The first that has the repository counts.
    apis: Vec<(Api, Url)>,
    is_github: bool,
    settings: &'a Settings,
}

/// A page of releases.
#[derive(Debug)]
pub(crate) struct ReleasePage {
    /// The releases, the newest first.
    pub(crate) releases: Vec<PublishedRelease>,
    /// The address of the next page, or `None` if this is the last one.
    pub(crate) next: Option<Url>,
}

/// An error of an API.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApiError {
    /// The address is not one, or cannot be used.
    #[error(transparent)]
    Url(#[from] UrlError),
    /// The host did not answer.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// The host has no such repository, or shows it only to some users.
    #[error("{0} has no repository {1}, or {2}")]
    NotFound(String, String, String),
    /// The host answers only a number of requests, with the next step.
    #[error(
        "the API of {0} allows no more requests{next}{2}",
        next = .1.map(|time| format!(" until {time}")).unwrap_or_default()
    )]
    RateLimited(String, Option<Timestamp>, String),
    /// The token is wrong, with the next step.
    #[error("the API of {0} does not accept the token: {1}")]
    Unauthorized(String, String),
    /// The host refuses the request, and says why.
    #[error("the API of {0} refuses the request: {1}")]
    Refused(String, String),
    /// Another status than that of a success.
    #[error("the API of {0} sent the status {1}; try again later")]
    Status(String, u16),
    /// The response is not a list of releases.
    #[error("the API of {0} sent no list of releases")]
    Invalid(String),
}

impl Repository {
    /// Parses `owner/name`. Returns `None` if it cannot be that of a repository.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (owner, name) = text.rsplit_once('/')?;
        let is_part = |part: &str| {
            !part.is_empty()
                && !part.starts_with(['.', '-'])
                && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
        };
        // A name may begin with a dot, as that of github.com/owner/.github.
        let is_name = is_part(name.trim_start_matches('.')) && !name.starts_with("..");
        (owner.split('/').all(is_part) && is_name)
            .then(|| Self { owner: owner.to_owned(), name: name.to_owned() })
    }
}

impl std::fmt::Display for Repository {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.owner, self.name)
    }
}

impl<'a> ReleaseHost<'a> {
    /// Returns a host by its name. Without one, it is GitHub, or the server that the variables `GITHUB_SERVER_URL` and
    /// `GITHUB_API_URL` name.
    pub(crate) fn new(name: Option<&str>, settings: &'a Settings) -> Result<Self, UrlError> {
        let Some(name) = name else {
            let url = |name: &'static str, default: &dyn Fn() -> String| {
                let stated = settings.environment.text(name);
                let address = stated.map_or_else(default, |text| text.trim_end_matches('/').to_owned());
                Url::parse(&address).map_err(|error| UrlError::Variable(name, Box::new(error)))
            };
            let server = url("GITHUB_SERVER_URL", &|| format!("https://{GITHUB}"))?;
            let api = url("GITHUB_API_URL", &|| Self::github_api(&server))?;
            return Ok(Self { server, apis: vec![(Api::GitHub, api)], is_github: true, settings });
        };
        let server = Url::of_host(name)?;
        let base = server.as_str().trim_end_matches('/').to_owned();
        let host = server.host();
        let gitlab = (Api::GitLab, Url::parse(&format!("{base}/api/v4"))?);
        let forgejo = (Api::Forgejo, Url::parse(&format!("{base}/api/v1"))?);
        let (apis, is_github) = match host.as_str() {
            GITHUB => (vec![(Api::GitHub, Url::parse(&Self::github_api(&server))?)], true),
            "codeberg.org" => (vec![forgejo], false),
            host if host.contains("gitlab") => (vec![gitlab], false),
            _ => (vec![forgejo, gitlab], false),
        };
        Ok(Self { server, apis, is_github, settings })
    }

    fn github_api(server: &Url) -> String {
        match server.host().as_str() {
            GITHUB => "https://api.github.com".to_owned(),
            // GitHub Enterprise Server
            _ => format!("{}/api/v3", server.as_str().trim_end_matches('/')),
        }
    }

    /// Returns its name, with the port if it has one.
    pub(crate) fn name(&self) -> String {
        self.server.host_and_port()
    }

    /// Whether the host is GitHub.
    pub(crate) fn is_github(&self) -> bool {
        self.is_github
    }

    /// Returns the address of a page of the host.
    pub(crate) fn page(&self, path: &str) -> Result<Url, UrlError> {
        Url::parse(&format!("{}/{path}", self.server.as_str().trim_end_matches('/')))
    }

    /// Returns the token of the user for an API.
    fn credential(&self, api: Api, address: &Url) -> Option<Credential> {
        match api {
            Api::GitHub => token::for_github(&self.server, address, self.settings),
            Api::GitLab => token::for_gitlab(&self.server, address, self.settings),
            Api::Forgejo => None,
        }
    }

    /// Returns the token with which the API sends the files of private repositories.
    pub(crate) fn credential_for_files(&self) -> Option<Credential> {
        self.apis.iter().find_map(|(api, address)| self.credential(*api, address))
    }

    /// Whether an address is one of the API.
    pub(crate) fn is_of_api(&self, url: &Url) -> bool {
        self.apis.iter().any(|(_, address)| {
            url.as_str().starts_with(&format!("{}/", address.as_str().trim_end_matches('/')))
        })
    }

    /// Returns the newest releases of a repository.
    pub(crate) fn releases(
        &self,
        client: &HttpClient<'_>,
        repository: &Repository,
    ) -> Result<ReleasePage, ApiError> {
        self.first(|api, address| {
            let limit = if api == Api::Forgejo { "limit" } else { "per_page" };
            let url = format!("{}?{limit}={PAGE}", releases_url(api, address, repository));
            self.request(client, api, address, &Url::parse(&url)?, repository)
        })
    }

    /// Returns the release of a tag, or `None` if there is none.
    pub(crate) fn release_of_tag(
        &self,
        client: &HttpClient<'_>,
        repository: &Repository,
        tag: &str,
    ) -> Result<Option<PublishedRelease>, ApiError> {
        let found = self.first(|api, address| {
            let folder = if api == Api::GitLab { "" } else { "tags/" };
            let url =
                format!("{}/{folder}{}", releases_url(api, address, repository), url::encoded_part(tag));
            self.request(client, api, address, &Url::parse(&url)?, repository)
        });
        match found {
            Ok(page) => Ok(page.releases.into_iter().next()),
            Err(ApiError::NotFound(..)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Asks the APIs in turn, until one has the repository.
    fn first<T>(&self, ask: impl Fn(Api, &Url) -> Result<T, ApiError>) -> Result<T, ApiError> {
        let mut result = Err(ApiError::Invalid(self.name()));
        for (api, address) in &self.apis {
            result = ask(*api, address);
            if !matches!(result, Err(ApiError::NotFound(..))) {
                break;
            }
        }
        result
    }

    /// Returns the releases on a further page.
    pub(crate) fn further_releases(
        &self,
        client: &HttpClient<'_>,
        repository: &Repository,
        page: &Url,
    ) -> Result<ReleasePage, ApiError> {
        let is_of = |address: &Url| page.as_str().starts_with(address.as_str());
        let (api, address) = self.apis.iter().find(|(_, address)| is_of(address)).unwrap_or(&self.apis[0]);
        self.request(client, *api, address, page, repository)
    }

    fn request(
        &self,
        client: &HttpClient<'_>,
        api: Api,
        address: &Url,
        url: &Url,
        repository: &Repository,
    ) -> Result<ReleasePage, ApiError> {
        let credential = self.credential(api, address);
        let request = HttpRequest {
            url,
            accept: if api == Api::GitHub { "application/vnd.github+json" } else { "application/json" },
            credential: credential.as_ref(),
            max_bytes: Some(MAX_PAGE),
            follows: true,
        };
        let (headers, text) = client.text(request)?;
        self.check(api, &headers, &text, credential.is_some(), repository)?;
        let invalid = || ApiError::Invalid(self.name());
        // The release of a tag is not in a list.
        let json = match serde_json::from_str(&text).map_err(|_| invalid())? {
            Value::Array(list) => list,
            one @ Value::Object(_) => vec![one],
            _ => return Err(invalid()),
        };
        if !json.is_empty() && !json.iter().any(|release| release["tag_name"].is_string()) {
            return Err(invalid());
        }
        let parse =
            if api == Api::GitLab { PublishedRelease::from_gitlab } else { PublishedRelease::from_github };
        let next = headers.next_page().map(|next| url.join(next)).transpose()?;
        Ok(ReleasePage { releases: json.iter().filter_map(parse).collect(), next })
    }

    fn check(
        &self,
        api: Api,
        headers: &Headers,
        text: &str,
        has_token: bool,
        repository: &Repository,
    ) -> Result<(), ApiError> {
        let variable = match api {
            Api::GitHub => Some(token::GITHUB_VARIABLES[0]),
            Api::GitLab => Some(token::GITLAB.0),
            Api::Forgejo => None,
        };
        // A hint to set a variable applies only if no token was sent.
        let to_set = variable.filter(|_| !has_token);
        match headers.status {
            200 => Ok(()),
            401 if has_token => Err(ApiError::Unauthorized(self.name(), self.token_hint(api))),
            401 | 404 => {
                let hint = match to_set {
                    Some(variable) => {
                        format!("shows it only with a token; check its name, or set {variable}")
                    }
                    None if has_token => {
                        "does not show it with this token; check its name, and the token".to_owned()
                    }
                    None => "does not show it to everyone; check its name".to_owned(),
                };
                Err(ApiError::NotFound(self.name(), repository.to_string(), hint))
            }
            403 | 429 if is_limit(headers) => {
                let hint =
                    to_set.map(|variable| format!("; set {variable} to have more")).unwrap_or_default();
                Err(ApiError::RateLimited(self.name(), reset_time(headers), hint))
            }
            status => Err(match message(text) {
                Some(message) if status < 500 => ApiError::Refused(self.name(), message),
                _ => ApiError::Status(self.name(), status),
            }),
        }
    }

    /// Returns what to do about a token that the API does not accept.
    fn token_hint(&self, api: Api) -> String {
        let is_set = |name: &&&str| self.settings.environment.text(name).is_some();
        let variables = if api == Api::GitLab { &[token::GITLAB.0][..] } else { &token::GITHUB_VARIABLES };
        match variables.iter().find(is_set) {
            Some(variable) => format!("check {variable}, or unset it"),
            None => format!("run `gh auth login --hostname {}`", shell::quote_text(&self.name())),
        }
    }

    /// Returns the tag of the release that GitHub calls the latest, without its API: the page of that release leads to the
    /// one of the tag. Returns `None` if it does not.
    pub(crate) fn latest_tag(
        &self,
        client: &HttpClient<'_>,
        repository: &Repository,
    ) -> Result<Option<String>, ApiError> {
        let page = self.page(&format!("{repository}/releases/latest"))?;
        let response = client.text(HttpRequest {
            url: &page,
            accept: "text/html",
            credential: None,
            max_bytes: Some(MAX_PAGE),
            follows: false,
        });
        let (headers, _) = response?;
        let Some(location) = headers.get("location") else { return Ok(None) };
        let parts = page.join(location)?.segments();
        let tag =
            parts.iter().skip_while(|part| *part != "tag").skip(1).cloned().collect::<Vec<_>>().join("/");
        Ok(Some(tag).filter(|tag| !tag.is_empty()))
    }

    /// Returns the files of a release by the names in the part of its page that lists them.
    pub(crate) fn listed_assets(
        &self,
        client: &HttpClient<'_>,
        repository: &Repository,
        tag: &str,
    ) -> Result<Vec<Asset>, ApiError> {
        let page = self.page(&format!("{repository}/releases/expanded_assets/{tag}"))?;
        let (headers, text) = client.text(HttpRequest {
            url: &page,
            accept: "text/html",
            credential: None,
            max_bytes: Some(MAX_PAGE),
            follows: true,
        })?;
        if headers.status != 200 {
            return Ok(Vec::new());
        }
        let start = format!("href=\"/{repository}/releases/download/");
        let links = text.split(start.as_str()).skip(1).filter_map(|rest| rest.split('"').next());
        let asset = |link: &str| {
            let url = self.page(&format!("{repository}/releases/download/{link}")).ok()?;
            Some(Asset { name: url.file_name()?, url: url.as_str().to_owned(), ..Asset::default() })
        };
        Ok(links.filter_map(asset).collect())
    }

    /// Returns a file of a release by its name. Whether it exists is not checked.
    pub(crate) fn asset(&self, repository: &Repository, tag: &str, name: &str) -> Result<Asset, UrlError> {
        let url = self.page(&format!("{repository}/releases/download/{tag}/{name}"))?;
        Ok(Asset { name: name.to_owned(), url: url.as_str().to_owned(), ..Asset::default() })
    }
}

/// Returns the address of the releases of a repository in an API.
fn releases_url(api: Api, address: &Url, repository: &Repository) -> String {
    let base = address.as_str().trim_end_matches('/');
    match api {
        Api::GitHub | Api::Forgejo => format!("{base}/repos/{repository}/releases"),
        Api::GitLab => format!("{base}/projects/{}/releases", url::encoded_part(&repository.to_string())),
    }
}

/// Whether the headers of a refusal say that a host answers only a number of requests: none is left, or there is a time
/// from which it answers again. GitHub states the number and that time with every answer.
fn is_limit(headers: &Headers) -> bool {
    let of_either = |what: &str| {
        headers.get(&format!("x-ratelimit-{what}")).or_else(|| headers.get(&format!("ratelimit-{what}")))
    };
    let is_used_up =
        of_either("remaining").map_or_else(|| of_either("reset").is_some(), |left| left.trim() == "0");
    headers.status == 429 || headers.get("retry-after").is_some() || is_used_up
}

/// Returns what an API says about an error, in one short line, or `None` if it says nothing.
fn message(text: &str) -> Option<String> {
    const CHARS: usize = 200;
    let json: Value = serde_json::from_str(text).ok()?;
    let message = json.get("message")?.as_str()?.split(|c: char| c.is_whitespace() || c.is_control());
    let words: Vec<&str> = message.filter(|word| !word.is_empty()).collect();
    let (mut message, is_long) = (words.join(" "), words.join(" ").chars().count() > CHARS);
    if is_long {
        message = message.chars().take(CHARS).collect::<String>() + "...";
    }
    Some(message).filter(|message| !message.is_empty())
}

/// Returns when the host answers again, or `None` if it does not say.
fn reset_time(headers: &Headers) -> Option<Timestamp> {
    if let Some(seconds) = headers.get("retry-after").and_then(|seconds| seconds.parse::<i64>().ok()) {
        return Timestamp::from_second(crate::clock::now().as_second().checked_add(seconds)?).ok();
    }
    let seconds = headers.get("x-ratelimit-reset").or_else(|| headers.get("ratelimit-reset"))?;
    Timestamp::from_second(seconds.parse().ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repository_is_an_owner_and_a_name() {
        for (text, owner, name) in [
            ("BurntSushi/ripgrep", "BurntSushi", "ripgrep"),
            ("gnome/apps/x", "gnome/apps", "x"),
            ("owner/.github", "owner", ".github"),
        ] {
            let repository = Repository::parse(text).unwrap();
            assert_eq!((repository.owner.as_str(), repository.name.as_str()), (owner, name));
        }
        for bad in
            ["x", "/x", "x/", "x/..", "../x", "a/../x", "a b/x", "x/y?z", "https://github.com/x/y", "-x/y"]
        {
            assert!(Repository::parse(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn the_reset_time_is_that_of_the_headers() {
        let time = |text: &str| reset_time(&Headers::parse(&format!("HTTP/1.1 403 x\n{text}\n")));
        assert_eq!(time("X-RateLimit-Reset: 1767225600"), "2026-01-01T00:00:00Z".parse().ok());
        assert!(time("Retry-After: 60") > Some(crate::clock::now()));
        assert_eq!(time("X-RateLimit-Reset: soon"), None);
    }
}
