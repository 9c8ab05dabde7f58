//! The search of a hook for the binary of its only request.

use std::path::Path;

use serde_json::Value;

use crate::install::package;
use crate::install::verify::VerifyError;
use crate::model::{BinaryName, Outcome};
use crate::plugin::config::provider::{PackageMetadata, ProviderConfig};
use crate::process::executable::ExecutableError;
use crate::toolkit::binary::{BinaryError, Search};
use crate::toolkit::built::BuiltPrefix;
use crate::toolkit::programs::InstalledPackages;
use crate::toolkit::request::HookRequest;

/// A search for the binary of one request.
#[derive(Debug)]
pub(crate) struct SingleSearch<'a> {
    /// The search.
    pub search: Search<'a>,
    /// The name of the binary.
    pub name: &'a BinaryName,
    /// The request, or `None` if the hook states only a name.
    pub request: Option<&'a HookRequest>,
    /// The path at which the hook expects the binary, unless the request has another.
    pub abspath: Option<&'a Path>,
    /// The prefix that contains the path, if the hook has not put it in place.
    pub built: Option<BuiltPrefix<'a>>,
    /// The version of the package, if the hook knows it.
    pub package_version: Option<&'a str>,
    /// The configuration of the provider.
    pub config: &'a ProviderConfig,
    /// Whether a binary that does not exist is declined, not failed.
    pub or_decline: bool,
    /// The address and the digest of the file that the package was installed from.
    pub download: Option<(&'a str, &'a str)>,
    /// The rules of the policy that the provider could not enforce.
    pub unenforced: &'a [String],
}

impl SingleSearch<'_> {
    /// Returns the Binary record, and perhaps a warning, or the outcome and the reason. Puts the built prefix in place if
    /// the request accepts the binary. Returns no records after an interrupt: the version is then unknown.
    pub(crate) fn records(&self) -> Result<Vec<Value>, (Outcome, String)> {
        self.find().map_err(|error| {
            let reason = error.to_string() + &self.hint(&error);
            let with_final_paths = |built: &BuiltPrefix<'_>| built.with_final_paths(&reason);
            let reason = self.built.as_ref().map_or_else(|| reason.clone(), with_final_paths);
            (error.outcome(self.or_decline), reason)
        })
    }

    fn find(&self) -> Result<Vec<Value>, BinaryError> {
        let Search { provider, settings, ref prober, .. } = self.search;
        let overrides = self.request.map(|request| request.overrides.clone()).unwrap_or_default();
        let overrides = overrides.of(provider);
        let stated = overrides.abspath(settings.home.as_deref());
        let place =
            |file: &Path| self.built.as_ref().map_or_else(|| file.to_owned(), |built| built.locate(file));
        let file = stated.as_deref().or(self.abspath).map(place);
        let facts = self
            .search
            .locate(self.name, file.as_deref())
            .and_then(|file| self.search.facts(self.name, overrides, file, self.package_version));
        let mut facts = match (facts, self.request) {
            (Err(BinaryError::Unusable(file, ExecutableError::Missing)), Some(request))
                if stated.is_none() && self.abspath.is_some() && !self.or_decline =>
            {
                let packages =
                    InstalledPackages::new(request, provider, self.config.version_format.as_deref());
                let folder = file.parent().unwrap_or(Path::new("/"));
                let programs =
                    packages.in_folder(folder).map_err(|error| BinaryError::Io(folder.to_owned(), error))?;
                let has_modules =
                    programs.is_empty() && self.config.metadata == Some(PackageMetadata::DistInfo);
                let module = package::python_module(folder, self.name.link_name()).filter(|_| has_modules);
                let Some(module) = module else {
                    // Without a package manager, the hook itself chooses the path.
                    let problem = if programs.is_empty() && self.config.metadata.is_none() {
                        format!(
                            ": {} does not exist; correct the path in the provider's hook",
                            file.display()
                        )
                    } else {
                        String::new()
                    };
                    return Err(BinaryError::NoProgram(packages.no_program(programs) + &problem));
                };
                self.search.facts(self.name, overrides, module, self.package_version)?
            }
            (facts, _) => facts?,
        };
        if let Some(request) = self.request {
            facts.check(request, self.download, self.config, &settings.lib_dir)?;
        }
        if prober.interrupt().signal().is_some() {
            return Ok(Vec::new());
        }
        if let Some(built) = &self.built {
            let file = built.put_in_place(&facts.file, self.download, prober.interrupt())?;
            facts.move_to(file);
        }
        Ok(facts.records(self.name, provider, self.unenforced, self.download))
    }

    /// Returns a hint if the program does not run because the install script of its Node package did not run, or if it has
    /// a version that the overrides request.
    fn hint(&self, error: &BinaryError) -> String {
        if let BinaryError::NotAccepted(error) = error {
            return self.overrides_hint(error);
        }
        let (BinaryError::Unusable(file, _) | BinaryError::NotRunning(file, _), Some(request)) =
            (error, self.request)
        else {
            return String::new();
        };
        let is_node = self.config.metadata == Some(PackageMetadata::PackageJson);
        match package::node_package_with_install_script(file) {
            Some(package) if is_node && !request.policy.may_run_scripts() => {
                format!("; the install script of {package} did not run: allow it with --postinstall-scripts")
            }
            _ => String::new(),
        }
    }

    fn overrides_hint(&self, error: &VerifyError) -> String {
        let (VerifyError::TooOld(found, _)
        | VerifyError::TooNew(found, ..)
        | VerifyError::OtherVersion(found, ..)) = error
        else {
            return String::new();
        };
        let provider = self.search.provider;
        let exact = self.request.filter(|request| !request.exact_version.is_empty());
        let overrides = exact.map(|request| request.overrides.of(provider));
        let packages = overrides.map_or(&[][..], |overrides| &overrides.packages);
        let requested = packages.iter().find(|package| !found.is_empty() && package.ends_with(found));
        requested.map_or_else(String::new, |package| {
            format!("; overrides.{provider} requests {package}: change that, or request this version")
        })
    }
}
