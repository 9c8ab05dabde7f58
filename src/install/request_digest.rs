//! The digests of requests, by which a changed request is noticed.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::fs::digest::hex;
use crate::install::plan::Request;
use crate::settings::Settings;

/// The digest of a request whose program did not print its version in time. It is that of no request, so a later command
/// probes the program again.
pub(crate) const UNFINISHED: &str = "unfinished";

/// Returns the digest of a request as a provider sees it: the name, the policy, and the provider's own overrides. The
/// accepted versions are not part of it: they are compared with the installed version.
pub(crate) fn of_request(request: &Request, provider: &str, settings: &Settings) -> String {
    let policy = request.policy_of(provider);
    let overrides = request.overrides.of(provider).without_rules();
    let name = request.name.as_str();
    digest(&json!([name, policy.min_release_age, policy.postinstall_scripts, overrides]), settings)
}

/// Returns the digest of a whole request, with which its failures are stored.
pub(crate) fn of_failure(request: &Request, settings: &Settings) -> String {
    digest(&json!([request.to_record(""), request.pin]), settings)
}

/// Returns the digest of a provider's own overrides without the rules, which a pin is compared with directly. Empty if
/// there are none.
pub(crate) fn of_overrides(request: &Request, provider: &str, settings: &Settings) -> String {
    match request.overrides.of(provider).without_rules() {
        Value::Null => String::new(),
        overrides => digest(&overrides, settings),
    }
}

/// Returns the digest of a value, which does not change if the data dir or LIB_DIR is moved.
fn digest(value: &Value, settings: &Settings) -> String {
    let mut text = value.to_string();
    let folders = [
        (&settings.lib_bin_dir, "{LIB_BIN_DIR}"),
        (&settings.lib_dir, "{LIB_DIR}"),
        (&settings.data_dir, "{DATA_DIR}"),
    ];
    for (folder, template) in folders {
        text = text.replace(&*folder.to_string_lossy(), template);
    }
    hex(&Sha256::digest(text))
}
