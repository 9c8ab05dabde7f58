//! What a lock file makes of a plan, and whether a file is the one that was locked.

use std::collections::HashMap;
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::fs::digest::hex;
use crate::install::plan::{Refusal, Request, Step};
use crate::install::relocatable;
use crate::lockfile::{Locked, Lockfile};
use crate::model::binary::Installed;
use crate::model::plugin_name::ProviderName;
use crate::model::version::Version;

/// A lock file, and what it is held against.
#[derive(Debug)]
pub struct Pins<'a> {
    /// Where it was read, for people.
    pub path: &'a Path,
    /// What it says.
    pub lockfile: &'a Lockfile,
    /// The platform whose lines count.
    pub platform: String,
    /// The digest of every provider's hook; see [`hook_digest`].
    pub hooks: &'a HashMap<ProviderName, String>,
}

impl Pins<'_> {
    /// What is left of a step: the request goes to the locked provider only, for exactly what was locked. Nothing is asked
    /// where that could not come true.
    pub fn pin(&self, step: Step) -> Step {
        let request = step?;
        match self.line_for(&request) {
            Ok(locked) => Ok(Request {
                candidates: vec![locked.binprovider.clone()],
                locked: Some(locked.clone()),
                ..request
            }),
            Err(reason) => Err(Refusal { name: request.name, reason }),
        }
    }

    /// The line that meets a request; else why there is none.
    pub fn line_for(&self, request: &Request) -> Result<&Locked, String> {
        let path = self.path.display();
        let Some(locked) = self.lockfile.get(&self.platform, request.name.as_str()) else {
            return Err(format!("{path} has no line for it on {}; `rigup lock` writes one", self.platform));
        };
        let provider = &locked.binprovider;
        if !request.candidates.contains(provider) {
            let allowed = request.candidates.join(", ");
            return Err(format!("{path} has it from {provider}, and {allowed} may provide it; `rigup lock`"));
        }
        match self.hooks.get(provider) {
            None => {
                return Err(format!(
                    "{path} has it from {provider}, and no hook of that provider is found here"
                ));
            }
            Some(found) if *found != locked.hook_sha256 => {
                return Err(format!(
                    "the hook of {provider} has sha256 {found}, and {path} has {}; see what changed in it, then `rigup lock`",
                    locked.hook_sha256
                ));
            }
            Some(_) => {}
        }
        let min_version = request.min_version_of(provider);
        if !min_version.is_empty() && Version::parse(&locked.version) < Version::parse(min_version) {
            let version = &locked.version;
            return Err(format!(
                "{path} has version {version}, and {min_version} or newer is asked for; `rigup lock`"
            ));
        }
        Ok(locked)
    }
}

/// What `rigup.lock` says of a provider's hook: its digest. Of several hooks, that of their digests, one a line.
pub fn hook_digest(hooks: &[impl AsRef<[u8]>]) -> String {
    let digest = |bytes: &[u8]| hex(&Sha256::digest(bytes));
    match hooks {
        [only] => digest(only.as_ref()),
        many => digest(many.iter().map(|it| digest(it.as_ref()) + "\n").collect::<String>().as_bytes()),
    }
}

/// Whether what was verified earlier is what was locked. Only a file that names LIB_DIR has to be read for that: of any other
/// one the digest is known, which was measured when it was verified.
pub fn is_same(locked: &Locked, installed: &Installed, lib_dir: &Path) -> bool {
    installed.binprovider == locked.binprovider
        && installed.version == locked.version
        && (installed.sha256 == locked.sha256
            || relocatable::sha256(&installed.abspath, lib_dir).is_ok_and(|it| it == locked.sha256))
}

/// How one line differs from another: every value, before and after; empty where none does.
pub fn difference(before: &Locked, after: &Locked) -> String {
    let values = |it: &Locked| {
        [
            ("binprovider", it.binprovider.to_string()),
            ("version", it.version.clone()),
            ("sha256", it.sha256.clone()),
            ("hook_sha256", it.hook_sha256.clone()),
        ]
    };
    let pairs = values(before).into_iter().zip(values(after)).filter(|(before, after)| before != after);
    let shown = |text: String| if text.is_empty() { "none".to_owned() } else { text };
    let each =
        pairs.map(|((key, before), (_, after))| format!("{key} {} -> {}", shown(before), shown(after)));
    each.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn locked(version: &str, sha256: &str) -> Locked {
        Locked {
            platform: "x86_64-linux".to_owned(),
            name: "x".to_owned(),
            binprovider: ProviderName::from_static("pip"),
            version: version.to_owned(),
            sha256: sha256.to_owned(),
            hook_sha256: "0".repeat(64),
        }
    }

    #[test]
    fn a_digest_that_is_known_and_right_is_not_computed_again() {
        let installed = Installed {
            binprovider: ProviderName::from_static("pip"),
            abspath: "/no/such/file".into(),
            version: "1.0".to_owned(),
            sha256: "a".repeat(64),
            fingerprint: "1:2".to_owned(),
        };
        let lib_dir = Path::new("/lib");
        assert!(is_same(&locked("1.0", &"a".repeat(64)), &installed, lib_dir));
        assert!(!is_same(&locked("1.0", &"b".repeat(64)), &installed, lib_dir));
        assert!(!is_same(&locked("1.1", &"a".repeat(64)), &installed, lib_dir));
        let from_npm = Installed { binprovider: ProviderName::from_static("npm"), ..installed };
        assert!(!is_same(&locked("1.0", &"a".repeat(64)), &from_npm, lib_dir));
    }

    #[test]
    fn the_digest_of_a_hook_is_that_of_its_file_and_of_several_all_count_in_their_order() {
        let one = hex(&Sha256::digest(b"one"));
        assert_eq!(hook_digest(&[b"one"]), one);
        let both = hook_digest(&[b"one", b"two"]);
        assert!(both != one && both != hook_digest(&[b"two", b"one"]) && both.len() == 64);
    }

    #[test]
    fn a_difference_shows_every_value_before_and_after() {
        let (before, after) = (locked("1.0", "a"), locked("", "b"));
        assert_eq!(difference(&before, &after), "version 1.0 -> none, sha256 a -> b");
        assert_eq!(difference(&before, &before), "");
    }
}
