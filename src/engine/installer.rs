//! Resolves requests with the hooks of a catalog, several at the same time, and records the command that does so.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use rayon::ThreadPool;
use serde_json::{Value, json};

use crate::engine::catalog::Catalog;
use crate::engine::error::EngineError;
use crate::engine::event::EngineEvent;
use crate::engine::exit_status::ExitStatus;
use crate::engine::session::{CommandProcess, Session};
use crate::install::plan::{Refusal, Request};
use crate::install::resolver::{ResolveError, Resolved, Resolver};
use crate::model::{Binary, BinaryName, Installed, ProcessId};
use crate::process::signals::Interrupt;
use crate::store::StoreError;

/// The fewest hooks that may run at the same time by default: hooks mostly wait for the network.
const MIN_JOBS: usize = 4;

/// How to resolve requests.
#[derive(Debug, Clone, Copy)]
pub(crate) struct InstallOptions {
    /// Reinstall what is installed, and replace a foreign file where a link goes.
    pub(crate) force: bool,
    /// Leave the record of what cannot be installed as it was.
    pub(crate) is_lookup: bool,
    /// How many hooks may run at the same time.
    pub(crate) jobs: Option<usize>,
    /// How long a hook may run.
    pub(crate) timeout: Duration,
}

/// The result of one step of a plan.
#[derive(Debug)]
pub(crate) enum StepResult {
    /// The binary was installed before; no hook ran.
    Present(Binary),
    /// The request was resolved, with or without success.
    Resolved(Resolved),
    /// The request failed recently and is not tried again before this time.
    Deferred(Binary, Timestamp),
    /// The request has to be resolved.
    Planned(Request),
    /// No provider may install the binary.
    Refused(Refusal),
    /// The request could not be resolved at all.
    Unresolved(Request, ResolveError),
}

impl StepResult {
    /// Returns the record of the binary if it is installed.
    pub(crate) fn installed_binary(&self) -> Option<&Binary> {
        let binary = match self {
            Self::Present(binary) => binary,
            Self::Resolved(resolved) => &resolved.binary,
            Self::Deferred(..) | Self::Planned(_) | Self::Refused(_) | Self::Unresolved(..) => return None,
        };
        binary.installed().map(|_| binary)
    }

    /// Returns the installed file.
    pub(crate) fn installed(&self) -> Option<&Installed> {
        self.installed_binary().and_then(Binary::installed)
    }

    /// Whether the binary is installed.
    pub(crate) fn is_installed(&self) -> bool {
        self.installed().is_some()
    }

    /// Returns the request if it still has to be resolved.
    pub(crate) fn planned(&self) -> Option<&Request> {
        if let Self::Planned(request) = self { Some(request) } else { None }
    }

    /// Returns the record that JSONL shows.
    pub(crate) fn to_record(&self) -> Value {
        match self {
            Self::Present(binary) | Self::Deferred(binary, _) => binary.to_record(&[]),
            Self::Resolved(resolved) => resolved.binary.to_record(&resolved.attempts),
            Self::Planned(request) => request.to_record("queued"),
            Self::Refused(refusal) => unresolved(&refusal.name, &refusal.reason),
            Self::Unresolved(request, error) => unresolved(&request.name, &error.to_string()),
        }
    }
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

/// Resolves requests with as many hooks at the same time as its pool has threads.
pub(crate) struct Installer<'a> {
    catalog: &'a Catalog,
    session: &'a Session<'a>,
    options: InstallOptions,
    interrupt: &'a Interrupt,
    pool: ThreadPool,
    command: CommandProcess,
}

impl<'a> Installer<'a> {
    /// Prepares for at most `max_requests` requests at a time, and records the command.
    pub(crate) fn open(
        catalog: &'a Catalog,
        session: &'a Session<'_>,
        options: InstallOptions,
        max_requests: usize,
        interrupt: &'a Interrupt,
    ) -> Result<Self, EngineError> {
        session.unpack_providers(interrupt)?;
        let cores = std::thread::available_parallelism().map_or(MIN_JOBS, std::num::NonZero::get);
        // More threads than requests would only cost time and memory.
        let jobs = options.jobs.unwrap_or(cores.max(MIN_JOBS)).min(max_requests);
        let pool = rayon::ThreadPoolBuilder::new().num_threads(jobs).build()?;
        let command = session.begin()?;
        Ok(Self { catalog, session, options, interrupt, pool, command })
    }

    /// Returns the id of the command's record.
    pub(crate) fn command_id(&self) -> ProcessId {
        self.command.process.id
    }

    /// Resolves the planned requests, and puts their results in their places.
    pub(crate) fn resolve(&self, mut results: Vec<StepResult>) -> Result<Vec<StepResult>, EngineError> {
        let variables = self.catalog.variables();
        let resolver = Resolver {
            runner: self.session.runner(&self.command, &variables, self.interrupt),
            hooks: &self.catalog.provider_hooks(),
            provider_deps: &self.catalog.provider_deps(),
            provider_configs: &self.catalog.provider_configs(),
            force: self.options.force,
            is_lookup: self.options.is_lookup,
            timeout: self.options.timeout,
            on_event: &|request, event| self.session.report(EngineEvent::Install(request, event)),
        };
        let planned = results.iter().filter_map(StepResult::planned).cloned();
        let outcomes = resolver.resolve(planned.collect(), &self.pool)?;
        let open = results.iter_mut().filter(|result| result.planned().is_some());
        for (result, (request, outcome)) in open.zip(outcomes) {
            *result = match outcome {
                Ok(done) => StepResult::Resolved(done),
                Err(error) => StepResult::Unresolved(Arc::unwrap_or_clone(request), error),
            };
        }
        Ok(results)
    }

    /// Adds the resolved requests to the use counts of the machine.
    pub(crate) fn count_uses(&self, results: &[StepResult]) -> Result<(), StoreError> {
        let resolved = results.iter().filter(|result| matches!(result, StepResult::Resolved(_)));
        let (installed, failed): (Vec<_>, Vec<_>) = resolved.partition(|result| result.is_installed());
        if self.options.is_lookup || installed.is_empty() && failed.is_empty() {
            return Ok(());
        }
        let count = |results: Vec<&StepResult>| u32::try_from(results.len()).unwrap_or(u32::MAX);
        self.session.store.count_uses(self.session.machine.id, count(installed), count(failed))
    }

    /// Records the exit status of the command.
    pub(crate) fn finish(self, status: ExitStatus) -> Result<(), EngineError> {
        self.session.finish(self.command, status)
    }
}
