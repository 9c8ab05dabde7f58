//! The requests of a batch hook and their records.

use std::collections::HashMap;
use std::io::{self, BufRead};
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use serde_json::{Value, json};

use crate::model::attempt::Outcome;
use crate::model::binary::Installed;
use crate::model::name::BinaryName;
use crate::plugin::requirement;
use crate::process::signals::Interrupt;
use crate::protocol;
use crate::settings::Settings;
use crate::toolkit::binary::{self, BinaryError, ProgramFacts};
use crate::toolkit::request::HookRequest;

/// Returns the requests on stdin that allow a provider; `complain` receives what is wrong with the others.
pub fn requests(
    input: impl BufRead,
    provider: &str,
    home: Option<&Path>,
    mut complain: impl FnMut(String),
) -> io::Result<Vec<HookRequest>> {
    let mut requests = Vec::new();
    let leftover = protocol::read(input, |record| {
        if !requirement::is_requirement(&record.kind) {
            return;
        }
        match HookRequest::from_record(&record.fields, home) {
            Ok(request) if request.providers.allows(provider) => requests.push(request),
            Ok(_) => {}
            Err(error) => complain(format!("line {}: {error}", record.line)),
        }
    })?;
    leftover.diagnostics.into_iter().for_each(complain);
    Ok(requests)
}

/// Returns the record of a request that was not satisfied.
pub fn failure(name: &str, outcome: Outcome, reason: &str) -> Value {
    json!({"type": "BinaryFailure", "name": name, "outcome": outcome.to_string(), "reason": reason})
}

/// Finds the binaries of several requests.
#[derive(Debug)]
pub struct BatchSearch<'a> {
    /// The provider whose hook this is.
    pub provider: &'a str,
    /// Whether a binary that does not exist is declined, not failed.
    pub or_decline: bool,
    /// The installed binaries in the store.
    pub known: &'a [Installed],
    /// The PATH and the folders.
    pub settings: &'a Settings,
    /// Interrupts the probes.
    pub interrupt: &'a Interrupt,
}

impl BatchSearch<'_> {
    /// Returns a Binary or a `BinaryFailure` record for each request, in their order. Each file is probed once, and the files
    /// in parallel.
    pub fn records(&self, requests: &[HookRequest]) -> Vec<Value> {
        let located: Vec<Result<PathBuf, BinaryError>> =
            requests.iter().map(|request| self.locate(&request.name, request)).collect();
        let mut wanted: Vec<(&Path, Option<&str>)> = Vec::new();
        for (request, file) in requests.iter().zip(&located) {
            if let Ok(file) = file {
                let version = request.overrides.of(self.provider).version();
                if !wanted.contains(&(file, version)) {
                    wanted.push((file, version));
                }
            }
        }
        let facts: HashMap<(&Path, Option<&str>), Result<ProgramFacts, BinaryError>> = wanted
            .into_par_iter()
            .with_max_len(1)
            .map(|(file, version)| {
                let facts = binary::facts(file, version, self.known, self.settings, self.interrupt);
                ((file, version), facts)
            })
            .collect();
        let answer = |(request, file): (&HookRequest, &Result<PathBuf, BinaryError>)| {
            let version = request.overrides.of(self.provider).version();
            let found = file.as_ref().map(|file| (file, facts.get(&(file.as_path(), version))));
            match found {
                Ok((file, Some(Ok(facts)))) => binary::record(&request.name, self.provider, file, facts),
                Ok((_, Some(Err(error)))) | Err(error) => self.failure(&request.name, error),
                Ok((_, None)) => failure(request.name.as_str(), Outcome::Failed, "its file was not probed"),
            }
        };
        requests.iter().zip(&located).map(answer).collect()
    }

    fn locate(&self, name: &BinaryName, request: &HookRequest) -> Result<PathBuf, BinaryError> {
        let meant = request.overrides.of(self.provider).abspath(self.settings.home.as_deref());
        binary::locate(name, meant.as_deref(), self.settings)
    }

    fn failure(&self, name: &BinaryName, error: &BinaryError) -> Value {
        let is_missing = matches!(error, BinaryError::NotOnPath(_) | BinaryError::NotExecutable(_));
        let outcome = if is_missing && self.or_decline { Outcome::Declined } else { Outcome::Failed };
        failure(name.as_str(), outcome, &error.to_string())
    }
}
