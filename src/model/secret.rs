//! Which names of variables and settings stand for secrets.

use serde_json::{Map, Value};

/// The value that replaces a secret in records.
pub(crate) const MASKED: &str = "***";

/// Masks the variables whose names stand for secrets.
pub(crate) fn mask(variables: &mut Map<String, Value>) {
    for (_, value) in variables.iter_mut().filter(|(name, _)| is_secret_name(name)) {
        *value = MASKED.into();
    }
}

/// Returns whether a variable or setting with this name may hold a secret, which records and messages must not contain.
pub(crate) fn is_secret_name(name: &str) -> bool {
    const WORDS: [&str; 7] = ["KEY", "TOKEN", "SECRET", "PASS", "AUTH", "COOKIE", "CREDENTIAL"];
    let name = name.to_ascii_uppercase();
    WORDS.iter().any(|word| name.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_one_of_the_words_is_secret() {
        for name in
            ["GITHUB_TOKEN", "api_key", "DB_PASSWORD", "MY_SECRET", "AUTH", "COOKIES_FILE", "CREDENTIALS"]
        {
            assert!(is_secret_name(name), "{name}");
        }
        assert!(!is_secret_name("PATH"));
    }
}
