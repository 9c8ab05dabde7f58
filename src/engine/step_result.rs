//! The result of one step of a plan.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::install::plan::{Refusal, Request};
use crate::install::resolver::{self, ResolveError, Resolved};
use crate::model::{Attempt, Binary, BinaryName, Installed, ProviderName};
use crate::plugin::config::provider::ProviderConfig;
use crate::plugin::discovery::Discovery;

/// The result of one step of a plan.
#[derive(Debug)]
pub(crate) enum StepResult {
    /// The binary was installed before; no hook ran.
    AlreadyInstalled(Binary),
    /// The request was resolved, with or without success.
    Resolved(Arc<Request>, Resolved),
    /// The request failed recently and is not tried again before this time.
    Deferred(Request, Box<Binary>, Timestamp),
    /// The request has to be resolved.
    Planned(Request),
    /// No provider may install the binary, whose record is that of an earlier request.
    Refused(Refusal, Option<Box<Binary>>),
    /// An error ended the request before its outcome was known.
    Unresolved(Request, ResolveError),
}

impl StepResult {
    /// Returns the record of the binary, or `None` if it is not installed.
    pub(crate) fn installed_binary(&self) -> Option<&Binary> {
        match self {
            Self::AlreadyInstalled(binary)
            | Self::Resolved(_, Resolved { binary, has_succeeded: true, .. }) => Some(binary),
            _ => None,
        }
    }

    /// Returns the installed file, or `None` if the binary is not installed.
    pub(crate) fn installed(&self) -> Option<&Installed> {
        self.installed_binary().and_then(Binary::installed)
    }

    /// Returns the earlier file, if a hook of the request, which failed, has changed or removed it.
    pub(crate) fn lost(&self) -> Option<&Installed> {
        let Self::Resolved(_, resolved) = self else { return None };
        resolved.lost.as_deref()
    }

    /// Whether the binary is installed.
    pub(crate) fn is_installed(&self) -> bool {
        self.installed().is_some()
    }

    /// Whether the binary is installed and linked.
    pub(crate) fn is_linked(&self) -> bool {
        self.is_installed() && self.link_error().is_none()
    }

    /// Whether rigup was interrupted before the outcome of the request was known.
    pub(crate) fn is_interrupted(&self) -> bool {
        matches!(self, Self::Unresolved(_, ResolveError::Interrupted))
    }

    /// Whether the binary is installed and linked, or an upgrade keeps the installed version.
    pub(crate) fn is_done(&self) -> bool {
        self.is_linked() || self.held_back().is_some()
    }

    /// Returns the attempts, in their order; none if the request was not resolved.
    pub(crate) fn attempts(&self) -> &[Attempt] {
        if let Self::Resolved(_, resolved) = self { &resolved.attempts } else { &[] }
    }

    /// Returns why an upgrade keeps the installed version although the provider works, or `None` if it does not.
    pub(crate) fn held_back(&self) -> Option<&str> {
        self.attempts().last().filter(|_| self.lost().is_none() && !self.is_installed())?.held_back()
    }

    /// Returns why the binary is installed without a link, or `None` if it is linked or not installed.
    pub(crate) fn link_error(&self) -> Option<&str> {
        let Self::Resolved(_, resolved) = self else { return None };
        resolved.link_error.as_deref()
    }

    /// Returns the rules of the policy that the provider could not enforce.
    pub(crate) fn unenforced(&self) -> &[String] {
        if let Self::Resolved(_, resolved) = self { &resolved.unenforced } else { &[] }
    }

    /// Returns the request, or `None` if it does not have to be resolved any more.
    pub(crate) fn planned(&self) -> Option<&Request> {
        if let Self::Planned(request) = self { Some(request) } else { None }
    }

    /// Returns the result as a record.
    pub(crate) fn to_record(&self) -> Value {
        let mut record = match self {
            Self::AlreadyInstalled(binary) => binary.to_record(&[]),
            Self::Deferred(request, binary, _) => unmet(request, binary, &[]),
            Self::Resolved(_, Resolved { binary, has_succeeded: true, attempts, .. }) => {
                binary.to_record(attempts)
            }
            Self::Resolved(request, Resolved { binary, attempts, .. }) => unmet(request, binary, attempts),
            Self::Planned(request) => request.to_record("queued"),
            Self::Refused(refusal, _) => unresolved(&refusal.name, &refusal.reason),
            Self::Unresolved(request, error) => unresolved(&request.name, &error.to_string()),
        };
        if let Some(error) = self.link_error() {
            record["link_error"] = error.into();
        }
        record
    }

    /// Returns the result of a dry run as a record, in which `binproviders` are the providers that would be tried, and
    /// `attempts` are about those that would not.
    pub(crate) fn to_dry_run_record(
        &self,
        providers: &[ProviderName],
        configs: &HashMap<ProviderName, ProviderConfig>,
        discovery: &Discovery,
        lib_dir: &Path,
    ) -> Value {
        let Self::Planned(request) = self else { return self.to_record() };
        let mut untried = Vec::new();
        let mut tried = request.candidates.clone();
        tried.retain(|provider| {
            let config = configs.get(provider);
            let attempt = resolver::untried(request, provider, providers, config, discovery, lib_dir);
            let is_tried = attempt.is_none();
            untried.extend(attempt);
            is_tried
        });
        let mut record = request.to_record("queued");
        record["binproviders"] = tried.join(",").into();
        if !untried.is_empty() {
            record["last_error"] = resolver::summary(&untried).into();
        }
        record["attempts"] = json!(untried);
        record
    }
}

/// Returns the record of a request that failed. It has the values of the earlier file if that stays installed.
fn unmet(request: &Request, binary: &Binary, attempts: &[Attempt]) -> Value {
    let mut record = binary.to_record(&[]);
    for (key, value) in request.to_record("queued").as_object().into_iter().flatten() {
        if key != "last_error" && key != "binproviders" {
            record[key] = value.clone();
        }
    }
    record["binproviders"] = request.binproviders().into();
    record["attempts"] = json!(attempts);
    record
}

/// Returns the record of a request that has no row in the store.
pub(crate) fn unresolved(name: &BinaryName, reason: &str) -> Value {
    json!({
        "type": "BinaryRequest",
        "name": name.as_str(),
        "status": "queued",
        "last_error": reason,
        "retry_at": null,
        "attempts": [],
    })
}
