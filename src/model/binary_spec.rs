//! A binary as the command line names it: `[PROVIDER:]NAME[@VERSION]`.

use std::fmt;
use std::path::Path;

use crate::model::binary::Installed;
use crate::model::name::{self, BinaryName, NameError};
use crate::model::plugin_name::ProviderName;
use crate::model::version::{Version, VersionRange};
use crate::sorting::sort_by_key;

/// A name from the command line, with the provider and the version that it asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BinarySpec {
    /// The binary.
    pub name: BinaryName,
    /// The only provider that is accepted, or `None` if any is.
    pub provider: Option<ProviderName>,
    /// The text after the name, with its first character: `@1.2`; empty if any version is accepted.
    version: String,
}

/// A text after a name that is not `@` and one version, with the spec that has no version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a version; use {1} for any version, or a form such as {1}@1.2 for that one")]
pub struct SpecVersionError(String, String);

/// The characters that begin a version. Only the first of them does so correctly.
const SEPARATORS: [char; 4] = ['@', '=', '<', '>'];

impl BinarySpec {
    /// Parses a text of the command line. A known name is never split, although it may contain a `:` or an `@`; a path
    /// has neither a provider nor a version. `home` replaces the `~` of a leading `~/`.
    pub fn parse(
        text: &str,
        home: Option<&Path>,
        is_known: impl Fn(&BinaryName) -> bool,
    ) -> Result<Self, NameError> {
        let text = text.trim();
        let spec = |provider: Option<&ProviderName>, (name, version): (&str, &str)| {
            let name = BinaryName::parse(name, home)?;
            Ok(Self { name, provider: provider.cloned(), version: version.to_owned() })
        };
        let (provider, rest) = split_provider(text).unzip();
        let (provider, rest) = (provider.as_ref(), rest.unwrap_or(text));
        let of_known = |provider, text| {
            let parsed = splits(text).filter_map(|split| spec(provider, split).ok());
            parsed.into_iter().find(|spec: &Self| is_known(&spec.name))
        };
        if let Some(known) = of_known(None, text).or_else(|| of_known(provider, rest)) {
            return Ok(known);
        }
        if name::is_address(text) {
            return Err(NameError::Address(text.to_owned()));
        }
        if text.starts_with(':') {
            return Err(NameError::NoProvider(text.to_owned()));
        }
        let split = splits(rest).last().unwrap_or((rest, ""));
        // The hint for a Node package with a scope keeps its version.
        spec(provider, split).map_err(|error| BinaryName::parse(rest, home).err().unwrap_or(error))
    }

    /// Returns the accepted versions.
    pub fn versions(&self) -> Result<VersionRange<'_>, SpecVersionError> {
        let version = self.version.strip_prefix('@').map(|text| text.strip_prefix('v').unwrap_or(text));
        let is_version =
            |text: &&str| text.starts_with(|c: char| c.is_ascii_digit()) && Version::looks_like_version(text);
        match version.filter(is_version) {
            Some(version) => Ok(VersionRange::exactly(version)),
            None if self.version.is_empty() => Ok(VersionRange::default()),
            None => {
                let text = self.version.trim_start_matches('@').to_owned();
                let any_version = Self { version: String::new(), ..self.clone() };
                Err(SpecVersionError(text, any_version.to_string()))
            }
        }
    }

    /// Returns how an installed binary differs from the one that is asked for, and the next step; `None` if it does not.
    pub fn mismatch(&self, installed: &Installed) -> Result<Option<String>, SpecVersionError> {
        let Installed { binprovider, version, package_version, .. } = installed;
        Ok(match &self.provider {
            Some(provider) if provider != binprovider => {
                Some(format!("{} was installed by {binprovider}; leave out `{provider}:`", self.name))
            }
            _ if !self.versions()?.contains_program(version, package_version) => {
                let found = if version.is_empty() { "no version" } else { &**version };
                Some(format!("{} has {found}; leave out `{}`", self.name, self.version))
            }
            _ => None,
        })
    }
}

/// A name that is not split.
impl From<BinaryName> for BinarySpec {
    fn from(name: BinaryName) -> Self {
        Self { name, provider: None, version: String::new() }
    }
}

impl fmt::Display for BinarySpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(provider) = &self.provider {
            write!(f, "{provider}:")?;
        }
        write!(f, "{}{}", self.name, self.version)
    }
}

/// Returns the provider before the first `:` and the rest, or `None` if there is no provider. A version may contain a
/// `:`, too: `git@1:2.39`.
fn split_provider(text: &str) -> Option<(ProviderName, &str)> {
    let (provider, rest) = text.split_once(':')?;
    let is_provider = !provider.contains(SEPARATORS) && !provider.starts_with('~');
    Some((ProviderName::parse(provider).ok().filter(|_| is_provider)?, rest))
}

/// Returns the ways to split a text into a name and a version, the one with the longest name first.
fn splits(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let is_path = text.starts_with('/') || text.starts_with("~/");
    // A scope such as @angular begins with a separator.
    let ends = text.char_indices().skip(1).filter(move |(_, c)| !is_path && SEPARATORS.contains(c));
    let mut splits: Vec<_> = ends.map(|(end, _)| text.split_at(end)).collect();
    splits.push((text, ""));
    sort_by_key(&mut splits, |(name, _)| std::cmp::Reverse(name.len()));
    splits.into_iter()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str, known: &[&str]) -> Result<BinarySpec, NameError> {
        BinarySpec::parse(text, Some(Path::new("/home/me")), |name| known.contains(&name.as_str()))
    }

    /// Returns the parts of a spec: provider, name, version.
    fn parts(text: &str, known: &[&str]) -> (String, String, String) {
        let spec = parse(text, known).unwrap();
        let provider = spec.provider.map(|provider| provider.to_string()).unwrap_or_default();
        (provider, spec.name.to_string(), spec.version)
    }

    fn expected(provider: &str, name: &str, version: &str) -> (String, String, String) {
        (provider.to_owned(), name.to_owned(), version.to_owned())
    }

    #[test]
    fn a_spec_has_a_provider_before_and_a_version_after_the_name() {
        for (text, provider, name, version) in [
            ("rg", "", "rg", ""),
            (" rg ", "", "rg", ""),
            ("pip:yt-dlp", "pip", "yt-dlp", ""),
            ("prettier@3.0.0", "", "prettier", "@3.0.0"),
            ("npm:prettier@v3", "npm", "prettier", "@v3"),
            ("git@1:2.39-1", "", "git", "@1:2.39-1"),
            ("apt:git@1:2.39-1", "apt", "git", "@1:2.39-1"),
            ("x==1.2", "", "x", "==1.2"),
            ("/opt/a:b@1", "", "/opt/a:b@1", ""),
            ("~/x@1", "", "/home/me/x@1", ""),
            ("env:/opt/x@1", "env", "/opt/x@1", ""),
        ] {
            assert_eq!(parts(text, &[]), expected(provider, name, version), "{text}");
        }
        assert_eq!(parse("pip:", &[]), Err(NameError::Blank));
        for text in [":jq", " :jq@1", "::jq", ":"] {
            assert_eq!(parse(text, &[]), Err(NameError::NoProvider(text.trim().to_owned())));
        }
        assert!(matches!(parse("npm:@angular/cli@17", &[]), Err(NameError::Scoped(_))));
        for address in ["https://example.org/x", "http://localhost:80/x@1", "git+https://x/y"] {
            let is_error = matches!(parse(address, &[]), Err(NameError::Address(_)));
            assert_eq!(is_error, !address.contains('+'), "{address}");
        }
        assert!(matches!(parse("pip:a/b", &[]), Err(NameError::RelativePath(_))));
    }

    #[test]
    fn a_known_name_is_not_split() {
        let known = ["python@3.12", "pip:x", "Foo::Bar", ":z", "y"];
        for (text, provider, name, version) in [
            ("python@3.12", "", "python@3.12", ""),
            ("python@3.12@3.12.1", "", "python@3.12", "@3.12.1"),
            ("brew:python@3.12", "brew", "python@3.12", ""),
            ("brew:python@3.12@3.12.1", "brew", "python@3.12", "@3.12.1"),
            ("python@3.13", "", "python", "@3.13"),
            ("pip:x", "", "pip:x", ""),
            ("pip:x@1", "", "pip:x", "@1"),
            ("Foo::Bar", "", "Foo::Bar", ""),
            (":z@1", "", ":z", "@1"),
            ("pip:y", "pip", "y", ""),
        ] {
            assert_eq!(parts(text, &known), expected(provider, name, version), "{text}");
        }
    }

    #[test]
    fn only_one_version_may_follow_the_name() {
        let versions = |text: &str| parse(text, &[]).unwrap().versions().map(|range| range.to_string());
        assert_eq!(versions("x"), Ok(String::new()));
        assert_eq!(versions("x@v1.2"), Ok("== 1.2".to_owned()));
        for text in [
            "x@next",
            "x@latest",
            "x@",
            "x@1@2",
            "x==1.2",
            "x>=1",
            "x@3.x",
            "x@1.*",
            "pip:x@*",
            "x=1",
            "x@1\n2",
            "x@1.0; rm -rf",
            "x@1..2",
            "x@-1",
            "x@1/2",
            "x@1 2",
            "x@1\u{202e}",
        ] {
            assert!(versions(text).is_err(), "{text}");
        }
        let error = parse("pip:x@latest", &[]).unwrap().versions().unwrap_err().to_string();
        let expected = "\"latest\" is not a version; use pip:x for any version, or a form such as pip:x@1.2 for that one";
        assert_eq!(error, expected, "the advice keeps the provider");
    }

    proptest! {
        #[test]
        fn a_spec_is_written_as_it_is_parsed(
            provider in proptest::option::of("[a-z][a-z0-9-]{0,5}"),
            name in "[a-zü0-9][a-zü0-9+._-]{0,8}",
            version in proptest::option::of("[0-9][0-9a-z.:+~-]{0,6}"),
        ) {
            let before = provider.as_ref().map_or(String::new(), |provider| format!("{provider}:"));
            let after = version.as_ref().map_or(String::new(), |version| format!("@{version}"));
            let text = format!("{before}{name}{after}");
            let spec = parse(&text, &[]).unwrap();
            prop_assert_eq!(spec.to_string(), &*text);
            prop_assert_eq!(spec.name.as_str(), name);
            prop_assert_eq!(spec.provider.as_deref(), provider.as_deref());
            // What is known as a whole stays whole.
            let known = parse(&text, &[&text]).unwrap();
            prop_assert_eq!(known, BinarySpec::from(BinaryName::parse(&text, None).unwrap()));
        }

        #[test]
        fn any_text_is_parsed_or_refused(text in any::<String>(), known in any::<bool>()) {
            if let Ok(spec) = BinarySpec::parse(&text, None, |_| known) {
                prop_assert_eq!(BinaryName::parse(spec.name.as_str(), None), Ok(spec.name));
            }
        }
    }
}
