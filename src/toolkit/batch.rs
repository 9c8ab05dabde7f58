//! What a batch hook does for all its requests at once.

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

/// The requests that a provider may be asked for, of those on its standard input; `complain` is told of what is none.
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

/// Why a request was not met, as a record.
pub fn failure(name: &str, outcome: Outcome, reason: &str) -> Value {
    json!({"type": "BinaryFailure", "name": name, "outcome": outcome.to_string(), "reason": reason})
}

/// Where several binaries are, and which of them are declined where they are not there.
#[derive(Debug)]
pub struct Search<'a> {
    /// The provider whose hook this is.
    pub provider: &'a str,
    /// What is not there is declined, not failed.
    pub or_decline: bool,
    /// Binaries that the store has.
    pub known: &'a [Installed],
    /// PATH and folders.
    pub settings: &'a Settings,
    /// Whether rigup was asked to stop.
    pub interrupt: &'a Interrupt,
}

impl Search<'_> {
    /// A Binary or a `BinaryFailure` record for each request, in their order. Files are asked side by side, and each once,
    /// however many requests it is the answer to.
    pub fn records(&self, requests: &[HookRequest]) -> Vec<Value> {
        let located: Vec<Result<PathBuf, BinaryError>> =
            requests.iter().map(|it| self.locate(&it.name, it)).collect();
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
                Ok((_, None)) => failure(request.name.as_str(), Outcome::Failed, "it was not looked at"),
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
