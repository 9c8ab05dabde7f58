//! The tokens of the user for the hosts of releases.

use crate::settings::Settings;
use crate::toolkit::http::Credential;
use crate::toolkit::http::url::Url;

/// The variables with a token for GitHub, in order of precedence.
pub(crate) const GITHUB_VARIABLES: [&str; 2] = ["GITHUB_TOKEN", "GH_TOKEN"];

/// The variable with a token for GitLab, and the one that names its host.
pub(crate) const GITLAB: (&str, &str) = ("GITLAB_TOKEN", "GITLAB_HOST");

/// Returns the token for GitHub: that of the variables, or the one that `gh auth login` stored for the server. It is sent
/// only to `api`.
pub(super) fn for_github(server: &Url, api: &Url, settings: &Settings) -> Option<Credential> {
    let of_variable = GITHUB_VARIABLES.iter().find_map(|name| settings.environment.text(name));
    let token = of_variable.map(str::to_owned).or_else(|| of_gh(server, settings))?;
    credential("Authorization: Bearer ", &token, api)
}

/// Returns the token for GitLab, which is for `gitlab.com` or the host in `GITLAB_HOST`: a requirement may name any host.
pub(super) fn for_gitlab(server: &Url, api: &Url, settings: &Settings) -> Option<Credential> {
    let (token, host) = GITLAB;
    let named = settings.environment.text(host).unwrap_or("gitlab.com");
    let named = named.split_once("://").map_or(named, |(_, host)| host).trim_end_matches('/');
    if !named.eq_ignore_ascii_case(&server.host_and_port()) {
        return None;
    }
    credential("PRIVATE-TOKEN: ", settings.environment.text(token)?, api)
}

/// Returns the header of a token. One with a blank or a control character could add another header, and is none.
fn credential(header: &str, token: &str, api: &Url) -> Option<Credential> {
    let token = token.trim();
    let is_token = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
    is_token.then(|| Credential { header: format!("{header}{token}"), origin: api.origin() })
}

/// Reads the token of a server from the `hosts.yml` of gh. Newer versions of gh keep it in the keyring of the system.
fn of_gh(server: &Url, settings: &Settings) -> Option<String> {
    let environment = &settings.environment;
    let folder = match environment.get("GH_CONFIG_DIR") {
        Some(folder) => folder.into(),
        None => environment.xdg_folder("XDG_CONFIG_HOME", settings.home.as_deref(), ".config")?.join("gh"),
    };
    token_in(&fs_err::read_to_string(folder.join("hosts.yml")).ok()?, &server.host_and_port())
}

/// Returns the `oauth_token` of a host in the YAML that gh writes: a key for each host, and below it the keys of the host.
fn token_in(hosts: &str, host: &str) -> Option<String> {
    let mut is_host = false;
    for line in hosts.lines() {
        let (key, value) = line.split_once(": ").or_else(|| Some((line.strip_suffix(':')?, "")))?;
        if !line.starts_with([' ', '\t', '#']) {
            is_host = key.trim_matches(['"', '\'']).eq_ignore_ascii_case(host);
        } else if is_host && key.trim() == "oauth_token" {
            return Some(value.trim().trim_matches(['"', '\'']).to_owned());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_of_gh_is_that_of_the_host() {
        let hosts = "ghe.example.org:\n    oauth_token: one\ngithub.com:\n    users:\n        me:\n    user: me\n    \
                     oauth_token: \"two\"\n    git_protocol: https\n";
        assert_eq!(token_in(hosts, "github.com").as_deref(), Some("two"));
        assert_eq!(token_in(hosts, "ghe.example.org").as_deref(), Some("one"));
        assert_eq!(token_in(hosts, "example.org"), None);
    }

    #[test]
    fn a_token_cannot_add_a_header() {
        let api = Url::parse("https://api.github.com").unwrap();
        assert!(credential("A: ", "x\ny: z", &api).is_none());
        assert_eq!(credential("A: ", " x\n", &api).unwrap().header, "A: x");
    }
}
