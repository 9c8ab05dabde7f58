//! The pins of a lock file, applied to a plan and compared with installed binaries.

use std::collections::HashMap;
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::fs::digest::hex;
use crate::install::plan::{Refusal, Request, Step};
use crate::install::{package, request_digest, verify};
use crate::lockfile::{self, Lockfile, Pin};
use crate::model::{Installed, ProviderName, VersionRange, version};
use crate::plugin::requirement::Providers;
use crate::settings::Settings;

/// The pins of a lock file for this platform and its providers.
#[derive(Debug)]
pub(crate) struct Pins<'a> {
    /// The path of the lock file, for messages.
    pub path: &'a Path,
    /// The contents of the lock file.
    pub lockfile: &'a Lockfile,
    /// The platform whose pins apply.
    pub platform: String,
    /// The digest of each provider's hook; see [`hook_digest`].
    pub hooks: &'a HashMap<ProviderName, String>,
    /// The settings.
    pub settings: &'a Settings,
}

impl Pins<'_> {
    /// Pins the request of a step: only the pinned provider is tried, and only for the pinned binary. Refuses a request
    /// whose pin cannot be met.
    pub(crate) fn pin(&self, step: Step) -> Step {
        let request = step?;
        match self.find(&request) {
            Ok(pin) => {
                Ok(Request { candidates: vec![pin.binprovider.clone()], pin: Some(pin.clone()), ..request })
            }
            Err(reason) => Err(Refusal { name: request.name, reason }),
        }
    }

    /// Returns the pin of a request, or why the lock file has none that can be met.
    pub(crate) fn find(&self, request: &Request) -> Result<&Pin, String> {
        let (path, update) = (self.path.display(), lockfile::command(self.path, &[]));
        let pin = self.lockfile.get(&self.platform, request.name.as_str());
        let pin = pin.ok_or_else(|| no_pin(self.path, &self.platform, request.name.as_str()))?;
        let provider = &pin.binprovider;
        // The pin of a name that no plugin requires was reviewed, so that it chooses the provider.
        let is_chosen = request.required_by.is_empty()
            && request.providers == Providers::Default
            && request.name.file().is_none();
        if !is_chosen && !request.candidates.contains(provider) {
            let allowed = request.candidates.join(", ");
            return Err(format!("{path} pins {provider}, but only {allowed} may install it; run `{update}`"));
        }
        let Some(found) = self.hooks.get(provider) else {
            return Err(format!(
                "{path} pins {provider}, but that provider does not exist; `rigup hook list BinaryRequest` shows the providers"
            ));
        };
        if *found != pin.hook_sha256 {
            return Err(format!(
                "the hook of {provider} has sha256 {found}, but {path} pins {}; review the change, then run `{update}`",
                pin.hook_sha256
            ));
        }
        // A pin has the version of the program. That of its package is checked after the installation.
        let of_program =
            |bound| if version::is_of_package(bound) { package::upstream_version(bound) } else { bound };
        let required = request.versions_of(provider);
        let versions = VersionRange { min: of_program(required.min), max: of_program(required.max) };
        if !versions.contains_program(&pin.version, "") {
            if pin.version.is_empty() {
                return Err(format!("{path} pins no version, but {versions} is required; run `{update}`"));
            }
            let pinned = &pin.version;
            let VersionRange { min, max } = versions;
            let is_old = !(VersionRange { min, max: "" }).contains(pinned);
            let problem = if is_old { format!("older than {min}") } else { format!("newer than {max}") };
            return Err(format!("{path} pins version {pinned}, which is {problem}; run `{update}`"));
        }
        let overrides_sha256 = request_digest::of_overrides(request, provider, self.settings);
        if pin.overrides_sha256 != overrides_sha256 {
            return Err(format!("overrides.{provider} changed since {path} was written; run `{update}`"));
        }
        Ok(pin)
    }
}

/// Returns that a lock file has no pin for a binary, and the next step.
pub(crate) fn no_pin(path: &Path, platform: &str, name: &str) -> String {
    format!("{} has no pin for {platform}; run `{}`", path.display(), lockfile::command(path, &[name]))
}

/// Returns the digest of a provider's hook. The digest of several hooks is the digest of their digests, one on each
/// line.
pub(crate) fn hook_digest(hooks: &[impl AsRef<[u8]>]) -> String {
    let digest = |bytes: &[u8]| hex(&Sha256::digest(bytes));
    match hooks {
        [only] => digest(only.as_ref()),
        hooks => digest(hooks.iter().map(|hook| digest(hook.as_ref()) + "\n").collect::<String>().as_bytes()),
    }
}

/// Returns whether an installed binary is the pinned one.
pub(crate) fn matches(pin: &Pin, installed: &Installed, lib_dir: &Path) -> bool {
    installed.binprovider == pin.binprovider
        && pin.other_version(&installed.version, &installed.package_version).is_none()
        && verify::check_digest(&installed.abspath, &installed.sha256, (&pin.name, &pin.sha256), lib_dir)
            .is_ok()
        && verify::check_url_digest(&installed.url_sha256, (&pin.name, &pin.url_sha256)).is_ok()
}

/// Returns each value that differs between two pins, before and after; empty if they are equal.
pub(crate) fn difference(before: &Pin, after: &Pin) -> String {
    let changes = [
        ("binprovider", before.binprovider.as_str(), after.binprovider.as_str()),
        ("version", &before.version, &after.version),
        ("package_version", &before.package_version, &after.package_version),
        ("sha256", &before.sha256, &after.sha256),
        ("url", &before.url, &after.url),
        ("url_sha256", &before.url_sha256, &after.url_sha256),
        ("hook_sha256", &before.hook_sha256, &after.hook_sha256),
        ("overrides_sha256", &before.overrides_sha256, &after.overrides_sha256),
    ];
    changes
        .into_iter()
        .filter(|(_, before, after)| before != after)
        .map(|(key, before, after)| format!("{key} {} -> {}", or_none(before), or_none(after)))
        .collect::<Vec<_>>()
        .join(", ")
}

fn or_none(text: &str) -> &str {
    if text.is_empty() { "none" } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pin(version: &str, sha256: &str) -> Pin {
        Pin {
            platform: "x86_64-linux".to_owned(),
            name: "x".to_owned(),
            binprovider: ProviderName::from_static("pip"),
            version: version.to_owned(),
            package_version: String::new(),
            sha256: sha256.to_owned(),
            url: String::new(),
            url_sha256: String::new(),
            hook_sha256: "0".repeat(64),
            overrides_sha256: String::new(),
        }
    }

    #[test]
    fn a_stored_digest_that_matches_is_not_computed_again() {
        let installed = Installed {
            binprovider: ProviderName::from_static("pip"),
            abspath: "/no/such/file".into(),
            version: "1.0".to_owned(),
            package_version: String::new(),
            url: String::new(),
            url_sha256: String::new(),
            sha256: "a".repeat(64),
            fingerprint: "1:2".to_owned(),
            request_digest: String::new(),
            needs_wrapper: false,
        };
        let lib_dir = Path::new("/lib");
        assert!(matches(&pin("1.0", &"a".repeat(64)), &installed, lib_dir));
        assert!(!matches(&pin("1.0", &"b".repeat(64)), &installed, lib_dir));
        assert!(!matches(&pin("1.1", &"a".repeat(64)), &installed, lib_dir));
        let from_npm = Installed { binprovider: ProviderName::from_static("npm"), ..installed };
        assert!(!matches(&pin("1.0", &"a".repeat(64)), &from_npm, lib_dir));
    }

    #[test]
    fn the_digest_of_several_hooks_depends_on_each_and_their_order() {
        let one = hex(&Sha256::digest(b"one"));
        assert_eq!(hook_digest(&[b"one"]), one);
        let both = hook_digest(&[b"one", b"two"]);
        assert!(both != one && both != hook_digest(&[b"two", b"one"]) && both.len() == 64);
    }

    #[test]
    fn a_difference_shows_each_changed_value_before_and_after() {
        let (before, after) = (pin("1.0", "a"), pin("", "b"));
        assert_eq!(difference(&before, &after), "version 1.0 -> none, sha256 a -> b");
        assert_eq!(difference(&before, &before), "");
    }
}
