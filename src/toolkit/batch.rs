//! The requests of a batch hook and their records.

use std::collections::HashMap;
use std::io::{self, BufRead};
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use serde_json::{Value, json};

use crate::model::{Installed, Outcome};
use crate::plugin::requirement;
use crate::process::signals::Interrupt;
use crate::protocol;
use crate::settings::Settings;
use crate::toolkit::binary::{self, BinaryError, ProgramFacts};
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
    /// The provider whose hook this is.
    pub provider: &'a str,
    /// Whether a binary that does not exist is declined, not failed.
    pub or_decline: bool,
    /// A command that lists the files of packages, and the provider's format of a package with a version.
    pub list_files: Option<(&'a str, Option<String>)>,
    /// The installed binaries in the store.
    pub known: &'a [Installed],
    /// The PATH and the folders.
    pub settings: &'a Settings,
    /// Interrupts the probes.
    pub interrupt: &'a Interrupt,
}

impl BatchSearch<'_> {
    /// Returns a Binary or a `BinaryFailure` record for each request, in their order. Probes each file once, and the
    /// files in parallel.
    pub(crate) fn records(&self, requests: &[HookRequest]) -> Vec<Value> {
        let home = self.settings.home.as_deref();
        let programs: Vec<Result<(PathBuf, Option<&str>), BinaryError>> = requests
            .iter()
            .map(|request| {
                let overrides = request.overrides.of(self.provider);
                let file = binary::locate(&request.name, overrides.abspath(home).as_deref(), self.settings)
                    .map_err(|error| self.explain(error, request))?;
                Ok((file, overrides.version.as_deref()))
            })
            .collect();
        let mut unique: Vec<&(PathBuf, Option<&str>)> = programs.iter().flatten().collect();
        unique.sort_unstable();
        unique.dedup();
        let facts: HashMap<_, Result<ProgramFacts, BinaryError>> = unique
            .into_par_iter()
            .with_max_len(1)
            .map(|program| {
                let (file, version) = program;
                (program, binary::facts(file, *version, self.known, self.settings, self.interrupt))
            })
            .collect();
        let record = |(request, program): (&HookRequest, &Result<(PathBuf, _), BinaryError>)| match program
            .as_ref()
            .map(|program| (&program.0, &facts[program]))
        {
            Ok((file, Ok(facts))) => binary::record(&request.name, self.provider, file, facts),
            Ok((_, Err(error))) | Err(error) => {
                let is_declined = self.or_decline && error.is_missing();
                let outcome = if is_declined { Outcome::Declined } else { Outcome::Failed };
                failure(request.name.as_str(), outcome, &error.to_string())
            }
        };
        requests.iter().zip(&programs).map(record).collect()
    }

    /// Names the programs of the installed packages if the requested one does not exist.
    fn explain(&self, error: BinaryError, request: &HookRequest) -> BinaryError {
        let (BinaryError::NotOnPath(_), Some((command, version_format))) = (&error, &self.list_files) else {
            return error;
        };
        let packages = InstalledPackages::new(request, self.provider, version_format.as_deref());
        match packages.listed_by(command, self.settings, self.interrupt) {
            Ok(programs) => BinaryError::NoProgram(packages.no_program(programs)),
            Err(_) => error,
        }
    }
}
