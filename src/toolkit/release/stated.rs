//! What a request states about its release in the overrides of the provider.

use serde_json::{Map, Value};

use crate::fs::digest::is_sha256;
use crate::model::{Version, VersionRange};
use crate::plugin::overrides::ProviderOverrides;
use crate::toolkit::asset::platform::Platform;
use crate::toolkit::release::error::ReleaseError;
use crate::toolkit::release::template::{self, OfPlatformError, Template};
use crate::toolkit::request::HookRequest;

/// What `overrides.P.sha256` must be.
const SHA256: &str = "64 hex digits, or a digest for each platform, such as {\"linux-x86_64-gnu\": \"...\"}";

/// The overrides of a provider that installs from releases.
#[derive(Debug, Clone, Copy)]
pub(super) struct StatedRelease<'a> {
    pub(super) provider: &'a str,
    pub(super) overrides: &'a ProviderOverrides,
    pub(super) platform: Platform,
}

impl<'a> StatedRelease<'a> {
    /// Checks all values, so that a wrong one is named before anything is requested from a server. A digest for this
    /// platform may be missing if `has_pin`: the lock file has one.
    pub(super) fn check(&self, has_pin: bool) -> Result<(), ReleaseError> {
        self.verify()?;
        match self.sha256() {
            Err(ReleaseError::OtherPlatforms(..)) if has_pin => {}
            sha256 => drop(sha256?),
        }
        self.version()?;
        for key in ["prerelease", "require_checksum"] {
            self.flag(key)?;
        }
        self.asset()?;
        self.bin().map(drop)
    }

    /// Returns the version, or the beginning of it; empty if none is stated.
    pub(super) fn version(&self) -> Result<&'a str, ReleaseError> {
        let version = self.overrides.version.as_deref().unwrap_or_default().trim();
        if version.is_empty() || Version::looks_like_version(version) {
            return Ok(version);
        }
        Err(self.wrong("version", "a version such as \"1.2\""))
    }

    /// Returns the version for which both the request and its overrides are, the longer one if one of them is partial and
    /// `may_be_partial`; empty if there is none.
    pub(super) fn version_of(
        &self,
        request: &'a HookRequest,
        may_be_partial: bool,
    ) -> Result<&'a str, ReleaseError> {
        let (stated, requested) = (self.version()?, request.exact_version.as_str());
        let begins =
            |start: &'a str, version: &str| VersionRange::exactly(start).contains_program(version, version);
        if stated.is_empty() {
            return Ok(requested);
        }
        let is_partial = may_be_partial && VersionRange::exactly(stated).partial().is_some();
        if is_partial && !requested.is_empty() && begins(stated, requested) {
            return Ok(requested);
        }
        let is_requested = requested.is_empty() || begins(requested, stated);
        if is_requested && (is_partial || request.versions().contains_program(stated, stated)) {
            return Ok(stated);
        }
        let requested = if is_requested { request.versions().in_words() } else { requested.to_owned() };
        Err(ReleaseError::OtherVersion(self.provider.to_owned(), stated.to_owned(), requested))
    }

    /// Returns the address of the file, or `None` if none is stated.
    pub(super) fn url(&self) -> Result<Option<Template>, ReleaseError> {
        let value = self.of_platform("url", "an address, or one for each platform")?;
        value.map(|text| self.template("url", text)).transpose()
    }

    /// Returns the name of the file, with `*` for any text, or `None` if rigup chooses it.
    pub(super) fn asset(&self) -> Result<Option<Template>, ReleaseError> {
        let of_platform = self.of_platform("asset", "a name with * for any text, or one for each platform");
        let value = match of_platform {
            Err(ReleaseError::OtherPlatforms(..)) => None,
            value => value?,
        };
        value.map(|text| self.template("asset", text)).transpose()
    }

    /// Returns the path of the program in the archive; empty if rigup finds it.
    pub(super) fn bin(&self) -> Result<Template, ReleaseError> {
        self.template("bin", self.text("bin")?.unwrap_or_default())
    }

    fn template(&self, key: &'static str, text: &str) -> Result<Template, ReleaseError> {
        let unknown = |name| ReleaseError::Placeholder(self.provider.to_owned(), key, name);
        Template::parse(text).map_err(unknown)
    }

    /// Returns the check that is made in addition to that of the digest.
    pub(super) fn verify(&self) -> Result<Option<&'a str>, ReleaseError> {
        let verify = self.text("verify")?;
        match verify {
            None | Some("attestation" | "cosign") => Ok(verify),
            Some(_) => Err(self.wrong("verify", "\"attestation\" or \"cosign\"")),
        }
    }

    /// Returns the digest of the file, or `None` if none is stated. One that is stated only for other platforms is an error.
    pub(super) fn sha256(&self) -> Result<Option<String>, ReleaseError> {
        let stated = self.of_platform("sha256", SHA256)?.map(|text| text.trim().to_ascii_lowercase());
        if stated.as_deref().is_some_and(|text| !is_sha256(text)) {
            return Err(self.wrong("sha256", SHA256));
        }
        Ok(stated)
    }

    /// Returns a text, or `None` if it is empty or absent.
    pub(super) fn text(&self, key: &'static str) -> Result<Option<&'a str>, ReleaseError> {
        match self.overrides.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) if !text.contains(char::is_control) => {
                Ok(Some(text.as_str()).filter(|text| !text.is_empty()))
            }
            Some(_) => Err(self.wrong(key, "a string without control characters")),
        }
    }

    /// Returns whether a key is true.
    pub(super) fn flag(&self, key: &'static str) -> Result<bool, ReleaseError> {
        match self.overrides.get(key) {
            None | Some(Value::Null) => Ok(false),
            Some(value) => value.as_bool().ok_or_else(|| self.wrong(key, "true or false")),
        }
    }

    /// Returns the text of a key for the platform, or `None` if the key is absent.
    fn of_platform(
        &self,
        key: &'static str,
        expected: &'static str,
    ) -> Result<Option<&'a str>, ReleaseError> {
        let value = self.overrides.get(key);
        let found = template::of_platform(value, self.platform).map_err(|error| match error {
            OfPlatformError::Key(platform) => {
                ReleaseError::PlatformKey(self.provider.to_owned(), key, platform)
            }
            OfPlatformError::Type => self.wrong(key, expected),
        })?;
        if let (None, Some(Value::Object(platforms))) = (found, value) {
            return Err(self.other_platforms(key, platforms));
        }
        Ok(found)
    }

    fn other_platforms(&self, key: &'static str, platforms: &Map<String, Value>) -> ReleaseError {
        let stated = platforms.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
        ReleaseError::OtherPlatforms(self.provider.to_owned(), key, self.platform, stated)
    }

    fn wrong(&self, key: &'static str, expected: &'static str) -> ReleaseError {
        ReleaseError::Override(self.provider.to_owned(), key, expected)
    }
}
