//! The releases of a repository, as the APIs of GitHub, Forgejo and GitLab describe them.

use jiff::Timestamp;
use serde_json::Value;

/// A release.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct PublishedRelease {
    /// The tag.
    pub(crate) tag: String,
    /// Whether it is not published yet.
    pub(crate) is_draft: bool,
    /// Whether it is a pre-release.
    pub(crate) is_prerelease: bool,
    /// When it was published, or `None` if that is unknown.
    pub(crate) published_at: Option<Timestamp>,
    /// Its files.
    pub(crate) assets: Vec<Asset>,
}

/// A file of a release.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Asset {
    /// The name of the file.
    pub(crate) name: String,
    /// The public address of the file.
    pub(crate) url: String,
    /// The address of the file in the API, which a token opens, if the repository is private, with `#`, its tag and its name.
    pub(crate) api_url: Option<String>,
    /// The size in bytes, or `None` if it is unknown.
    pub(crate) size: Option<u64>,
    /// The SHA-256 digest, or `None` if it is unknown. It may be one that cannot be read.
    pub(crate) sha256: Option<String>,
    /// When the file was last replaced, or `None` if that is unknown.
    pub(crate) updated_at: Option<Timestamp>,
}

impl PublishedRelease {
    /// Parses a release of the API of GitHub, which is also that of Forgejo. Returns `None` if it has no tag.
    pub(super) fn from_github(json: &Value) -> Option<Self> {
        let tag = tag(json)?;
        let asset = |json: &Value| {
            // The files of Forgejo that are elsewhere have no name of their own.
            let digest = json["digest"].as_str().and_then(|digest| digest.strip_prefix("sha256:"));
            let name = json["name"].as_str()?;
            Some(Asset {
                name: name.to_owned(),
                url: json["browser_download_url"].as_str()?.to_owned(),
                api_url: json["url"].as_str().map(|url| with_fragment(url, &tag, name)),
                size: json["size"].as_u64(),
                sha256: digest.map(str::to_ascii_lowercase),
                updated_at: time(&json["updated_at"]).max(time(&json["created_at"])),
            })
        };
        let assets = json["assets"].as_array().into_iter().flatten().filter_map(asset).collect();
        Some(Self {
            is_draft: json["draft"].as_bool().unwrap_or_default(),
            is_prerelease: json["prerelease"].as_bool().unwrap_or_default(),
            published_at: time(&json["published_at"]),
            assets,
            tag,
        })
    }

    /// Parses a release of the API of GitLab, whose files are links.
    pub(super) fn from_gitlab(json: &Value) -> Option<Self> {
        let asset = |json: &Value| {
            let url = json["direct_asset_url"].as_str().or_else(|| json["url"].as_str())?;
            // The name of a link is a title, such as "Linux x86_64".
            let of_url = url.split(['?', '#']).next()?.rsplit('/').next()?;
            let name = json["name"].as_str().filter(|name| name.contains('.') || !of_url.contains('.'));
            Some(Asset { name: name.unwrap_or(of_url).to_owned(), url: url.to_owned(), ..Asset::default() })
        };
        Some(Self {
            tag: tag(json)?,
            is_draft: json["upcoming_release"].as_bool().unwrap_or_default(),
            is_prerelease: false,
            published_at: time(&json["released_at"]),
            assets: json["assets"]["links"].as_array().into_iter().flatten().filter_map(asset).collect(),
        })
    }
}

/// Adds the tag and the name of a file, which its address in the API does not have, for a lock file.
fn with_fragment(url: &str, tag: &str, name: &str) -> String {
    let encoded = |text: &str| text.replace('%', "%25").replace('#', "%23");
    format!("{url}#{}/{}", encoded(tag), encoded(name))
}

fn tag(json: &Value) -> Option<String> {
    json["tag_name"]
        .as_str()
        .filter(|tag| !tag.is_empty() && !tag.contains(char::is_control))
        .map(str::to_owned)
}

fn time(json: &Value) -> Option<Timestamp> {
    json.as_str()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn reads_the_releases_of_each_api() {
        let sha256 = "a".repeat(64);
        let json = json!({
            "tag_name": "v1.0", "draft": false, "prerelease": true, "published_at": "2026-01-02T00:00:00Z",
            "assets": [{
                "name": "x.gz", "browser_download_url": "https://example.org/x.gz", "url": "https://api/1", "size": 3,
                "digest": format!("sha256:{sha256}"), "created_at": "2026-01-01T00:00:00Z", "updated_at": null,
            }, {"name": "y"}],
        });
        let release = PublishedRelease::from_github(&json).unwrap();
        assert!(release.is_prerelease && !release.is_draft && release.published_at.is_some());
        let [asset] = &release.assets[..] else { panic!("{release:?}") };
        assert_eq!((asset.size, asset.sha256.as_deref()), (Some(3), Some(sha256.as_str())));
        assert!(asset.updated_at < release.published_at);
        assert_eq!(asset.api_url.as_deref(), Some("https://api/1#v1.0/x.gz"));

        let json = json!({
            "tag_name": "v1.0", "released_at": "2026-01-02T00:00:00Z", "assets": {"links": [
                {"name": "Linux", "url": "https://example.org/x-linux.tar.gz?y=/z"},
                {"name": "x-darwin.tar.gz", "url": "https://example.org/1", "direct_asset_url": "https://example.org/2"},
            ]},
        });
        let assets = PublishedRelease::from_gitlab(&json).unwrap().assets;
        let assets: Vec<_> = assets.iter().map(|asset| (asset.name.as_str(), asset.url.as_str())).collect();
        assert_eq!(
            assets,
            [
                ("x-linux.tar.gz", "https://example.org/x-linux.tar.gz?y=/z"),
                ("x-darwin.tar.gz", "https://example.org/2")
            ]
        );
        assert!(PublishedRelease::from_github(&json!({"tag_name": ""})).is_none());
    }
}
