//! The names and addresses that a request writes with placeholders.

use regex::Regex;
use serde_json::Value;

use crate::toolkit::asset::platform::Platform;

/// A text with the placeholders `{version}`, `{tag}`, `{os}`, `{arch}` and `{target}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Template(String);

/// The placeholders, for messages.
pub(crate) const PLACEHOLDERS: &str = "{version}, {tag}, {os}, {arch} or {target}";

impl Template {
    /// Parses a text. Returns an error with the name of a placeholder that does not exist.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let names = text.split('{').skip(1).filter_map(|rest| Some(rest.split_once('}')?.0));
        let is_name = |name: &&str| {
            !name.is_empty()
                && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte))
        };
        match names.filter(is_name).find(|name| !PLACEHOLDERS.contains(&format!("{{{name}}}"))) {
            Some(unknown) => Err(unknown.to_owned()),
            None => Ok(Self(text.to_owned())),
        }
    }

    /// Returns the text with the values of the placeholders.
    pub(crate) fn expand(&self, version: &str, tag: &str, platform: Platform) -> String {
        let (os, arch, target) = names(platform);
        let values =
            [("{version}", version), ("{tag}", tag), ("{os}", os), ("{arch}", &arch), ("{target}", &target)];
        values.into_iter().fold(self.0.clone(), |text, (placeholder, value)| text.replace(placeholder, value))
    }

    /// Returns the expression for the names that the text stands for, with `*` for any text.
    pub(crate) fn pattern(&self, version: &str, tag: &str, platform: Platform) -> Regex {
        glob(&self.expand(version, tag, platform))
    }

    /// Whether the text stands for one name alone.
    pub(crate) fn is_exact(&self) -> bool {
        !self.0.contains(['*', '?'])
    }

    /// Whether the text contains the version.
    pub(crate) fn has_version(&self) -> bool {
        self.0.contains("{version}")
    }
}

/// Returns the expression that a pattern with `*` for any text stands for.
fn glob(pattern: &str) -> Regex {
    let expression = format!("^{}$", regex::escape(pattern).replace(r"\*", ".*").replace(r"\?", "."));
    Regex::new(&expression).expect("an escaped text is an expression")
}

/// Returns how `{os}`, `{arch}` and `{target}` are written: the last is a target of Rust.
fn names(platform: Platform) -> (&'static str, String, String) {
    let text = platform.to_string();
    let mut words = text.split('-').skip(1);
    let (name, libc) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let arch = if name == "arm64" { "aarch64" } else { name };
    let of_target = match arch {
        "x86" => "i686",
        "arm" => "armv7",
        "armv6" => "arm",
        "riscv64" => "riscv64gc",
        arch => arch,
    };
    let os = if text.starts_with("darwin") { "darwin" } else { "linux" };
    let target = match (os, arch) {
        ("darwin", _) => format!("{of_target}-apple-darwin"),
        (_, "arm" | "armv6") => format!("{of_target}-unknown-linux-{libc}eabihf"),
        _ => format!("{of_target}-unknown-linux-{libc}"),
    };
    (os, arch.to_owned(), target)
}

/// A value that is no text, nor one for each platform.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum OfPlatformError {
    /// A key that names no platform.
    Key(String),
    /// A value of another type.
    Type,
}

/// Returns the text of an override: one text, or one for each platform, such as `{"linux-x86_64-gnu": "..."}`. A platform
/// may leave out the C library. Returns `None` if the override is absent or has no text for the platform.
pub(crate) fn of_platform(
    value: Option<&Value>,
    platform: Platform,
) -> Result<Option<&str>, OfPlatformError> {
    let text = match value {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Object(platforms)) => {
            if let Some(key) = platforms.keys().find(|key| !is_platform(key)) {
                return Err(OfPlatformError::Key(key.clone()));
            }
            let name = platform.to_string();
            let found = platforms.get(&name).or_else(|| platforms.get(without_libc(&name)));
            let Some(found) = found else { return Ok(None) };
            found
        }
        Some(text) => text,
    };
    text.as_str().map(Some).ok_or(OfPlatformError::Type)
}

/// Whether a key is a platform as it is written, with or without the C library: `linux-amd64` is none.
fn is_platform(key: &str) -> bool {
    let platforms = [key.to_owned(), format!("{key}-gnu")].map(|text| text.parse::<Platform>());
    let names = platforms.into_iter().flatten().map(|platform| platform.to_string());
    names.into_iter().any(|name| [name.as_str(), without_libc(&name)].contains(&key))
}

/// Returns the name of a platform of Linux without the C library.
fn without_libc(platform: &str) -> &str {
    ["-gnu", "-musl"].iter().find_map(|libc| platform.strip_suffix(libc)).unwrap_or(platform)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn placeholders_stand_for_the_version_and_the_platform() {
        let template = Template::parse("{tag}/x-{version}-{os}-{arch}-{target}.tgz").unwrap();
        for (platform, expected) in [
            ("linux-x86_64-gnu", "v1/x-1-linux-x86_64-x86_64-unknown-linux-gnu.tgz"),
            ("linux-aarch64-musl", "v1/x-1-linux-aarch64-aarch64-unknown-linux-musl.tgz"),
            ("linux-arm-gnu", "v1/x-1-linux-arm-armv7-unknown-linux-gnueabihf.tgz"),
            ("linux-armv6-musl", "v1/x-1-linux-armv6-arm-unknown-linux-musleabihf.tgz"),
            ("darwin-arm64", "v1/x-1-darwin-aarch64-aarch64-apple-darwin.tgz"),
        ] {
            assert_eq!(template.expand("1", "v1", platform.parse().unwrap()), expected);
        }
    }

    #[test]
    fn a_placeholder_that_does_not_exist_is_an_error() {
        assert_eq!(Template::parse("x-{vers}-{os}"), Err("vers".to_owned()));
        for text in ["{}", "a{b", "a}b", "{a b}", "{version}{tag}"] {
            assert!(Template::parse(text).is_ok(), "{text}");
        }
    }

    #[test]
    fn a_pattern_matches_whole_names() {
        let platform = "linux-x86_64-gnu".parse().unwrap();
        let pattern = Template::parse("x.*-{arch}.gz").unwrap().pattern("", "", platform);
        assert!(pattern.is_match("x.1-x86_64.gz"));
        assert!(!pattern.is_match("x-1-x86_64.gz") && !pattern.is_match("x.1-x86_64.gz.sig"));
    }

    #[test]
    fn a_text_may_differ_by_platform() {
        let platform = "linux-x86_64-gnu".parse().unwrap();
        let both = json!({"linux-x86_64": "a", "linux-x86_64-musl": "b", "darwin-arm64": "c"});
        assert_eq!(of_platform(Some(&both), platform), Ok(Some("a")));
        assert_eq!(of_platform(Some(&both), "linux-x86_64-musl".parse().unwrap()), Ok(Some("b")));
        assert_eq!(of_platform(Some(&both), "linux-aarch64-gnu".parse().unwrap()), Ok(None));
        assert_eq!(of_platform(Some(&json!("x")), platform), Ok(Some("x")));
        let arm = json!({"linux-arm": "v7", "linux-armv6": "v6"});
        assert_eq!(of_platform(Some(&arm), "linux-armv6-gnu".parse().unwrap()), Ok(Some("v6")));
        assert_eq!(of_platform(Some(&arm), "linux-arm-gnu".parse().unwrap()), Ok(Some("v7")));
        for wrong in [json!(1), json!({"darwin-arm64": 1, "linux-x86_64": 2})] {
            assert_eq!(of_platform(Some(&wrong), platform), Err(OfPlatformError::Type), "{wrong}");
        }
        let wrong = json!({"amiga": "x", "linux-x86_64": "y"});
        assert_eq!(of_platform(Some(&wrong), platform), Err(OfPlatformError::Key("amiga".to_owned())));
    }
}
