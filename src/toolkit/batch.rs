//! The requests of a batch hook and their records.

use std::io::{self, BufRead};
use std::path::Path;

use rayon::prelude::*;
use serde_json::{Value, json};

use crate::model::Outcome;
use crate::plugin::requirement;
use crate::process::signals::Interrupt;
use crate::protocol;
use crate::toolkit::binary::{BinaryError, Search};
use crate::toolkit::programs::InstalledPackages;
use crate::toolkit::request::HookRequest;

/// Returns the requests on stdin that allow a provider. Calls `warn` for each invalid line.
pub(crate) fn requests(
    input: impl BufRead,
    provider: &str,
    home: Option<&Path>,
    mut warn: impl FnMut(String),
) -> io::Result<Vec<HookRequest>> {
    let mut requests = Vec::new();
    let leftover = protocol::read(input, |record| {
        if !requirement::is_requirement(&record.kind) {
            return;
        }
        match HookRequest::from_record(&record.fields, home) {
            Ok(request) if request.providers.allows(provider) => requests.push(request),
            Ok(_) => {}
            Err(error) => warn(format!("line {}: {error}", record.line)),
        }
    })?;
    leftover.diagnostics.into_iter().for_each(warn);
    Ok(requests)
}

/// Returns the record of a request that was not satisfied.
pub(crate) fn failure(name: &str, outcome: Outcome, reason: &str) -> Value {
    json!({"type": "BinaryFailure", "name": name, "outcome": outcome.to_string(), "reason": reason})
}

/// A search for the binaries of several requests.
#[derive(Debug)]
pub(crate) struct BatchSearch<'a> {
    /// The search for each.
    pub search: Search<'a>,
    /// Whether a binary that does not exist is declined, not failed.
    pub or_decline: bool,
    /// A command that lists the files of packages, and the provider's format of a package with a version.
    pub list_files: Option<(&'a str, Option<String>)>,
    /// Interrupts the command.
    pub interrupt: &'a Interrupt,
}

impl BatchSearch<'_> {
    /// Returns a Binary or a `BinaryFailure` record for each request, in their order, and warnings. Probes the files in
    /// parallel.
    pub(crate) fn records(&self, requests: &[HookRequest]) -> Vec<Value> {
        let records = |request: &HookRequest| {
            let Search { provider, settings, .. } = self.search;
            let overrides = request.overrides.of(provider);
            let abspath = overrides.abspath(settings.home.as_deref());
            let file = self.search.locate(&request.name, abspath.as_deref());
            match file.and_then(|file| self.search.facts(&request.name, overrides, file, None)) {
                Ok(facts) => facts.records(&request.name, provider, &[], None),
                Err(error) => {
                    let error = self.explain(error, request);
                    let outcome = error.outcome(self.or_decline);
                    vec![failure(request.name.as_str(), outcome, &error.to_string())]
                }
            }
        };
        requests.par_iter().with_max_len(1).map(records).flatten_iter().collect()
    }

    /// Names the programs of the installed packages if the requested one does not exist.
    fn explain(&self, error: BinaryError, request: &HookRequest) -> BinaryError {
        let (BinaryError::NotOnPath(_), Some((command, version_format))) = (&error, &self.list_files) else {
            return error;
        };
        let packages = InstalledPackages::new(request, self.search.provider, version_format.as_deref());
        match packages.listed_by(command, self.search.settings, self.interrupt) {
            Ok(programs) => BinaryError::NoProgram(packages.no_program(programs)),
            Err(_) => error,
        }
    }
}
