//! The request in a hook's arguments.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::fs::lib_dir::Prefix;
use crate::model::policy::{MIN_RELEASE_AGE_KEY, POSTINSTALL_SCRIPTS_KEY};
use crate::model::{BinaryName, Policy, VersionRange};
use crate::plugin::config::provider::ProviderConfig;
use crate::plugin::overrides::{InstallRootError, OptionError, Overrides};
use crate::plugin::requirement::{self, LineError, Providers};
use crate::toolkit::package_spec;

/// The request of a hook. Unknown arguments are ignored.
#[derive(Debug, Clone, PartialEq)]
pub struct HookRequest {
    /// `--name`
    pub name: BinaryName,
    /// `--binproviders`
    pub providers: Providers,
    /// `--min-version`; empty for any.
    pub min_version: String,
    /// `--max-version`; empty for any.
    pub max_version: String,
    /// `--exact-version`; empty for any.
    pub exact_version: String,
    /// `--exact-sha256`: the pinned digest, with `{LIB_DIR}` for LIB_DIR; empty for any.
    pub exact_sha256: String,
    /// `--exact-url`: the pinned address of the file that the binary was installed from; empty for any.
    pub exact_url: String,
    /// `--exact-url-sha256`: the digest of that file; empty if it is not known.
    pub exact_url_sha256: String,
    /// `--not-below`: the installed version, which no older one may replace; empty if any may.
    pub not_below: String,
    /// `--min-release-age`, `--postinstall-scripts`
    pub policy: Policy,
    /// `--best-effort`: the rules that are only defaults.
    pub best_effort: Vec<String>,
    /// `--overrides`
    pub overrides: Overrides,
}

/// The keys of a request, which are arguments of a hook.
const KEYS: [&str; 13] = [
    "name",
    "binproviders",
    "min_version",
    "max_version",
    "exact_version",
    "exact_sha256",
    "exact_url",
    "exact_url_sha256",
    "not_below",
    MIN_RELEASE_AGE_KEY,
    POSTINSTALL_SCRIPTS_KEY,
    "best_effort",
    "overrides",
];

/// An error in the arguments of a hook.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// No `--name=...`.
    #[error("the hook's arguments have no --name; pass them on with -- \"$@\"")]
    NoName,
    /// A value that cannot be used.
    #[error(transparent)]
    Value(#[from] LineError),
    /// `--overrides` is not JSON.
    #[error("--overrides is not JSON: {0}")]
    Overrides(String),
    /// An option that the provider does not allow.
    #[error(transparent)]
    Option(#[from] OptionError),
    /// An `install_root` outside the folders in which a provider may install.
    #[error(transparent)]
    InstallRoot(#[from] InstallRootError),
    /// A prefix that another user installed, with the id of that user.
    #[error("cannot install into {path}: it belongs to the user {1}; choose another LIB_DIR", path = .0.display())]
    OtherOwner(PathBuf, u32),
    /// A folder that no prefix of the provider can be.
    #[error("cannot install into {path}: it is not a prefix of {1} in LIB_DIR", path = .0.display())]
    NoPrefix(PathBuf, String),
    /// A folder around the prefix is the link of another user, with the path, the user and the next step.
    #[error("cannot install: {0}")]
    Link(String),
    /// The cache is a link, a file or a folder of another user.
    #[error("cannot use the cache {path}: it is not a folder of this user; remove it, or set HOME", path = .0.display())]
    ForeignCache(PathBuf),
    /// A NUL, which no shell variable can hold.
    #[error("cannot pass {0:?} to a shell: it contains a NUL")]
    Nul(String),
}

impl HookRequest {
    /// Parses the arguments of a `BinaryRequest` hook. The last of a repeated argument counts.
    pub fn parse(arguments: &[String], home: Option<&Path>) -> Result<Self, RequestError> {
        let value = |key: &str| {
            arguments
                .iter()
                .rev()
                .find_map(|argument| argument.strip_prefix("--")?.strip_prefix(key)?.strip_prefix('='))
        };
        let mut fields = Map::new();
        for key in KEYS {
            if let Some(text) = value(&key.replace('_', "-")) {
                fields.insert(key.to_owned(), text.into());
            }
        }
        if let Some(overrides) = fields.get_mut("overrides") {
            let parsed = serde_json::from_str(overrides.as_str().unwrap_or_default());
            *overrides = parsed.map_err(|error| RequestError::Overrides(error.to_string()))?;
        }
        if !fields.contains_key("name") {
            return Err(RequestError::NoName);
        }
        Ok(Self::from_record(&fields, home)?)
    }

    /// Parses a record on the stdin of a batch hook.
    pub fn from_record(fields: &Map<String, Value>, home: Option<&Path>) -> Result<Self, LineError> {
        let requirement = requirement::parse_record(fields, home)?;
        let text = |key: &str| fields.get(key).and_then(Value::as_str).unwrap_or_default();
        Ok(Self {
            name: requirement.name,
            providers: requirement.providers,
            min_version: requirement.min_version,
            max_version: requirement.max_version,
            exact_version: text("exact_version").to_owned(),
            exact_sha256: text("exact_sha256").to_owned(),
            exact_url: text("exact_url").to_owned(),
            exact_url_sha256: text("exact_url_sha256").to_owned(),
            not_below: text("not_below").to_owned(),
            policy: requirement.policy,
            best_effort: text("best_effort").split(',').map(str::to_owned).collect(),
            overrides: requirement.overrides,
        })
    }

    /// Returns the versions that the request accepts.
    pub fn versions(&self) -> VersionRange<'_> {
        VersionRange { min: &self.min_version, max: &self.max_version }
    }

    /// Whether the request is for all versions that begin with its exact version, because nothing says which is the newest.
    fn is_for_partial_version(&self) -> bool {
        self.exact_sha256.is_empty() && self.versions().partial() == Some(&self.exact_version)
    }

    /// Returns the prefix that a provider installs into.
    pub fn prefix(&self, provider: &str, lib_dir: &Path) -> Result<Prefix, RequestError> {
        let prefix = self.overrides.of(provider).prefix(provider, &self.name, lib_dir)?;
        prefix.check_folders(lib_dir).map_err(|error| RequestError::Link(error.to_string()))?;
        Ok(prefix)
    }

    /// Returns the prefix of a provider at a path, or the one of the request.
    pub(crate) fn prefix_at(
        &self,
        provider: &str,
        path: Option<&Path>,
        lib_dir: &Path,
    ) -> Result<Prefix, RequestError> {
        let Some(path) = path else { return self.prefix(provider, lib_dir) };
        let prefix = Prefix::new(path, lib_dir).filter(|prefix| prefix.provider() == provider);
        let prefix = prefix.ok_or_else(|| RequestError::NoPrefix(path.to_owned(), provider.to_owned()))?;
        prefix.check_folders(lib_dir).map_err(|error| RequestError::Link(error.to_string()))?;
        Ok(prefix)
    }

    /// Returns the packages to request from a provider: those of the overrides, or the name itself. If one version is
    /// requested, or the newest up to one, and the provider has a format for that, the first package states it.
    pub fn packages(&self, provider: &str, config: &ProviderConfig) -> Result<Vec<String>, OptionError> {
        let overrides = self.overrides.of(provider);
        overrides.check_options(provider, config.options.as_deref().unwrap_or_default())?;
        let mut packages = overrides.packages_of(&self.name);
        let (format, partial_format) =
            (config.version_format.as_deref(), config.partial_version_format.as_deref());
        for package in packages.iter_mut().filter(|package| !package.starts_with('-')) {
            if let Some(written) = format.and_then(|format| package_spec::with_version(package, format)) {
                *package = written;
            }
        }
        match (self.is_for_partial_version(), partial_format, format) {
            // A package that names a version, such as python@3.12, stays as it is.
            (true, Some(format), None) => {
                package_spec::add_version(&mut packages, format, &self.exact_version);
            }
            (true, Some(format), _) | (true, None, Some(format)) => {
                package_spec::pin(&mut packages, format, &self.exact_version);
            }
            (false, _, Some(format)) => {
                let padded = config
                    .version_numbers
                    .and_then(|count| package_spec::with_numbers(&self.exact_version, count));
                package_spec::pin(&mut packages, format, padded.as_deref().unwrap_or(&self.exact_version));
            }
            (_, _, None) => {}
        }
        if let (Some(format), true) = (&config.max_version_format, self.exact_version.is_empty()) {
            package_spec::limit(&mut packages, format, &self.max_version);
        }
        Ok(packages)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Result<HookRequest, RequestError> {
        let arguments: Vec<String> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        HookRequest::parse(&arguments, None)
    }

    #[test]
    fn parses_the_arguments_of_a_hook() {
        let request = parse(&[
            "--name=rg",
            "--binproviders=apt,env",
            "--overrides={\"apt\":[\"ripgrep=13\"]}",
            "--min-version=13",
            "--other",
        ])
        .unwrap();
        assert_eq!(request.packages("apt", &ProviderConfig::default()).unwrap(), ["ripgrep=13"]);
        assert_eq!(request.packages("brew", &ProviderConfig::default()).unwrap(), ["rg"]);
        assert_eq!(request.min_version, "13");
        assert!(request.providers.allows("env") && !request.providers.allows("pip"));
    }

    #[test]
    fn only_an_exact_version_gets_the_numbers_that_the_provider_needs() {
        let mut config = ProviderConfig {
            version_format: Some("@{}".to_owned()),
            version_numbers: Some(3),
            ..ProviderConfig::default()
        };
        for (version, expected) in [
            ("7", "x@7.0.0"),
            ("7.5", "x@7.5.0"),
            ("v7.05", "x@7.5.0"),
            ("1.2.3.4", "x@1.2.3.4"),
            ("7.5-rc.1", "x@7.5-rc.1"),
            ("7.5+1", "x@7.5+1"),
        ] {
            let request = parse(&["--name=x", &format!("--exact-version={version}")]).unwrap();
            assert_eq!(request.packages("npm", &config).unwrap(), [expected]);
        }
        let partial =
            parse(&["--name=x", "--exact-version=7", "--min-version=7", "--max-version=7"]).unwrap();
        assert_eq!(partial.packages("npm", &config).unwrap(), ["x@7"]);
        config.partial_version_format = Some("@~{}".to_owned());
        assert_eq!(partial.packages("npm", &config).unwrap(), ["x@~7"]);
        config.version_numbers = None;
        let request = parse(&["--name=x", "--exact-version=7.5"]).unwrap();
        assert_eq!(request.packages("npm", &config).unwrap(), ["x@7.5"]);
    }

    #[test]
    fn rejects_arguments_that_are_not_a_request() {
        assert_eq!(parse(&["--names=x"]), Err(RequestError::NoName));
        assert!(matches!(parse(&["--name=../x"]), Err(RequestError::Value(_))));
        assert!(matches!(parse(&["--name=x", "--overrides=[]"]), Err(RequestError::Value(_))));
        assert!(matches!(parse(&["--name=x", "--overrides={"]), Err(RequestError::Overrides(_))));
    }

    fn prefix_of(overrides: &str) -> Result<PathBuf, RequestError> {
        let arguments = ["--name=x".to_owned(), format!("--overrides={overrides}")];
        let request = HookRequest::parse(&arguments, None).unwrap();
        Ok(request.prefix("pip", Path::new("/lib"))?.path(Path::new("/lib")))
    }

    #[test]
    fn every_requirement_has_its_own_prefix_unless_it_shares_one() {
        assert_eq!(prefix_of("{}").unwrap(), Path::new("/lib/pip/x"));
        assert_eq!(prefix_of(r#"{"pip":{"install_root":"shared"}}"#).unwrap(), Path::new("/lib/pip/shared"));
        let below_packages = r#"{"pip":{"install_root":"/lib/pip/packages/x"}}"#;
        assert_eq!(prefix_of(below_packages).unwrap(), Path::new("/lib/pip/packages/x"));
        for same in ["/lib/pip/shared", "shared/", "./shared", "/lib/pip/./shared/"] {
            let overrides = format!(r#"{{"pip":{{"install_root":"{same}"}}}}"#);
            assert_eq!(prefix_of(&overrides).unwrap(), Path::new("/lib/pip/shared"), "{same}");
        }
    }

    #[test]
    fn an_install_root_cannot_leave_the_folder_of_the_provider() {
        let others = [
            "/etc",
            "../../x",
            "/lib/../etc",
            "/lib",
            "/lib/bin",
            "/lib/pip",
            ".",
            "x/lib",
            "y.part",
            "..",
            "packages",
        ];
        for root in others {
            let error = prefix_of(&format!(r#"{{"pip":{{"install_root":"{root}"}}}}"#)).unwrap_err();
            let hint = ", with a name that does not end with .part";
            assert_eq!(error.to_string().ends_with(hint), root == "y.part", "{error}");
        }
    }
}
