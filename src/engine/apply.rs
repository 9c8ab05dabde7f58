//! The work of `rigup apply`: resolves requests, stores other records, and returns a record for each.

use std::collections::HashMap;
use std::str::FromStr;

use serde_json::{Map, Value};

use crate::clock;
use crate::engine::catalog::Catalog;
use crate::engine::daemons;
use crate::engine::error::{EngineError, ExitStatus};
use crate::engine::event::EngineEvent;
use crate::engine::install::{self, Installer};
use crate::engine::session::Session;
use crate::engine::status_check::{InstallOptions, StatusCheck};
use crate::engine::step_result::StepResult;
use crate::install::plan::{self, Request, Selection, Step};
use crate::install::register::{self, RegisterError};
use crate::machine::config;
use crate::model::{MachineId, Policy, Process, ProcessId, ProviderName, import};
use crate::plugin::requirement;
use crate::process::signals::Interrupt;
use crate::protocol::Record;
use crate::store::StoreError;

/// The state of `rigup apply` between two batches of records.
pub(crate) struct Applier<'a> {
    catalog: &'a Catalog,
    session: &'a Session<'a>,
    interrupt: &'a Interrupt,
    options: InstallOptions,
    selection: Selection<'a>,
    providers: Vec<ProviderName>,
    is_dry_run: bool,
    /// The command that the records are part of; `None` if applying them is a command of its own.
    within: Option<&'a Process>,
    /// The installer, which is opened for the first request that has to be resolved.
    installer: Option<Installer<'a>>,
    /// The ids of this machine in other data dirs, from the Machine records that were read so far.
    aliases: Vec<MachineId>,
    status: ExitStatus,
}

/// The result of a batch of records.
#[derive(Debug, Default)]
pub struct BatchOutput {
    /// One record for each record that was applied, in the same order.
    pub(crate) records: Vec<Value>,
    /// The results of the requests.
    pub(crate) results: Vec<StepResult>,
    /// The lines that cannot be applied, each with the error.
    pub(crate) errors: Vec<(u64, String)>,
    /// The lines of which a part is not applied, each with the reason.
    pub(crate) warnings: Vec<(u64, String)>,
}

/// The action for a record.
enum RecordAction {
    /// Print this record.
    Print(Value),
    /// Resolve this request, and print its record.
    Resolve(Box<Request>),
}

/// An error that keeps a record from being applied.
#[derive(Debug, thiserror::Error)]
enum ApplyError {
    #[error(transparent)]
    Requirement(#[from] requirement::LineError),
    #[error(transparent)]
    Register(#[from] RegisterError),
    #[error(transparent)]
    Import(#[from] import::ImportError),
    #[error(transparent)]
    Config(#[from] config::ConfigError),
    #[error("no machine has the id {0}; apply its Machine record first")]
    UnknownMachine(MachineId),
    #[error("the machine {0} is recorded with another guid; correct the guid or the id of the record")]
    OtherGuid(MachineId),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl BatchOutput {
    /// Returns the records that resulted, in the order of those that were applied.
    pub fn records(&self) -> &[Value] {
        &self.records
    }
}

impl<'a> Applier<'a> {
    /// Returns an applier that has not applied any record.
    pub(crate) fn new(
        catalog: &'a Catalog,
        session: &'a Session<'_>,
        interrupt: &'a Interrupt,
        policy: Policy,
        options: InstallOptions,
        is_dry_run: bool,
        within: Option<&'a Process>,
    ) -> Self {
        Self {
            catalog,
            session,
            interrupt,
            options,
            selection: Selection { policy, settings_policy: catalog.core.policy(), ..catalog.selection() },
            providers: catalog.providers(),
            is_dry_run,
            within,
            installer: None,
            aliases: Vec::new(),
            status: ExitStatus::Success,
        }
    }

    /// Applies a batch of records. Resolves equal requests in it once.
    pub(crate) fn apply(&mut self, batch: Vec<Record>) -> Result<BatchOutput, EngineError> {
        let mut output = BatchOutput::default();
        // For each applied record, the record to print, or the index of its result among those of the requests.
        let mut applied: Vec<Result<Value, usize>> = Vec::new();
        let (mut steps, mut results): (Vec<Step>, Vec<StepResult>) = (Vec::new(), Vec::new());
        let mut requested: HashMap<String, Vec<(Request, usize)>> = HashMap::new();
        for record in batch {
            let line = record.line;
            let mut refuse = |error: ApplyError| match error {
                ApplyError::Store(error) if !error.is_about_record() => Err(EngineError::from(error)),
                error => {
                    output.errors.push((line, error.to_string()));
                    Ok(())
                }
            };
            let mut warnings = Vec::new();
            match self.action(record, &mut warnings) {
                Ok(RecordAction::Print(record)) => applied.push(Ok(record)),
                Ok(RecordAction::Resolve(request)) => {
                    let same_name = requested.entry(request.name.as_str().to_owned()).or_default();
                    let equal = same_name.iter().find(|(other, _)| *other == *request);
                    if let Some((_, index)) = equal {
                        applied.push(Err(*index));
                    } else {
                        match self.plan(&request) {
                            Ok(planned) => {
                                applied.push(Err(results.len()));
                                steps.push(Ok((*request).clone()));
                                same_name.push((*request, results.len()));
                                results.push(planned);
                            }
                            Err(error) => refuse(error.into())?,
                        }
                    }
                }
                Err(error) => refuse(error)?,
            }
            output.warnings.extend(warnings.into_iter().map(|warning| (line, warning)));
        }
        if !output.errors.is_empty() {
            self.add_failure();
        }
        output.results = self.resolve(results)?;
        if !self.is_dry_run {
            install::store_paths(&steps, &output.results, self.session);
        }
        if !self.is_dry_run && !output.results.iter().all(StepResult::is_linked) {
            self.add_failure();
        }
        let configs = self.catalog.provider_configs();
        let record = |record: Result<Value, usize>| match record {
            Err(index) if self.is_dry_run => {
                let lib_dir = &self.session.settings.lib_dir;
                output.results[index].to_dry_run_record(
                    &self.providers,
                    configs,
                    &self.catalog.discovery,
                    lib_dir,
                )
            }
            record => record.unwrap_or_else(|index| output.results[index].to_record()),
        };
        output.records = applied.into_iter().map(record).collect();
        Ok(output)
    }

    /// Makes the exit status report a record or a line that could not be applied.
    pub(crate) fn add_failure(&mut self) {
        self.status = self.status.or_incomplete();
    }

    /// Returns the exit status so far.
    pub(crate) fn status(&self) -> ExitStatus {
        self.status
    }

    /// Records the exit status of this command, and returns it.
    pub(crate) fn finish(self) -> Result<ExitStatus, EngineError> {
        let status = self.interrupt.signal().map_or(self.status, ExitStatus::Interrupted);
        if let Some(installer) = self.installer {
            let command = installer.command_id();
            installer.finish(status)?;
            daemons::announce_installs(&self.session.settings);
            self.session.prune_if_due(command, self.interrupt.signal(), self.catalog.core.keep());
        }
        Ok(status)
    }

    fn action(&mut self, record: Record, warnings: &mut Vec<String>) -> Result<RecordAction, ApplyError> {
        let Record { kind, fields, .. } = record;
        let printed = match kind.as_str() {
            "Machine" => Some(self.store_machine(&fields, warnings)?),
            "Process" => Some(self.store_process(&fields)?),
            kind if requirement::is_requirement(kind) => self.store_binary(&fields)?,
            _ => Some(Value::Object(fields.clone())),
        };
        Ok(match printed {
            Some(record) => RecordAction::Print(record),
            None => RecordAction::Resolve(Box::new(self.request(&fields)?)),
        })
    }

    fn request(&self, fields: &Map<String, Value>) -> Result<Request, ApplyError> {
        let requirement = requirement::parse_record(fields, self.session.settings.home.as_deref())?;
        let cause = |provider: &str| self.catalog.discovery.why_no_provider(provider);
        if let Some(warning) = requirement.check_override_providers(&self.providers, cause)? {
            self.session.warn(format!("{}: {warning}", requirement.name));
        }
        let steps = plan::plan(&[requirement], &self.selection, &self.providers);
        // A single requirement without a selection of providers is never refused.
        let request = steps.into_iter().flatten().next();
        let with_settings = |request: Request| {
            let same = self.catalog.requirements.iter().filter(|known| known.name == request.name);
            Request { settings: same.filter_map(|known| known.setting.clone()).collect(), ..request }
        };
        request.map(with_settings).ok_or(ApplyError::Requirement(requirement::LineError::NoName))
    }

    /// Returns the result of a request that no hook has to resolve, or the request as planned.
    fn plan(&self, request: &Request) -> Result<StepResult, StoreError> {
        let Session { store, machine, settings, .. } = self.session;
        let (machine_id, options, is_dry_run) = (machine.id, self.options, self.is_dry_run);
        let configs = &self.catalog.configs;
        let check = StatusCheck { store, machine_id, settings, configs, options, is_dry_run };
        check.request(request, store.binary(machine.id, request.name.as_str())?)
    }

    fn resolve(&mut self, planned: Vec<StepResult>) -> Result<Vec<StepResult>, EngineError> {
        if self.is_dry_run || !planned.iter().any(|result| result.planned().is_some()) {
            return Ok(planned);
        }
        let installer = if let Some(installer) = self.installer.take() {
            installer
        } else {
            let Self { catalog, session, options, interrupt, within, .. } = *self;
            // The number of further requests is unknown.
            Installer::open(catalog, session, options, usize::MAX, interrupt, within)?
        };
        let installer = self.installer.insert(installer);
        let results = installer.resolve(planned)?;
        // The results are reported even if they cannot be recorded.
        if let Err(error) = installer.count_uses(&results) {
            self.session.report(EngineEvent::Error(error.to_string()));
            self.status = ExitStatus::Setup;
        }
        Ok(results)
    }

    /// Stores a Binary record with an `abspath`. Returns `None` if the record has to be resolved as a request: it is
    /// not installed, or its file does not match the record and the record names providers.
    fn store_binary(&mut self, fields: &Map<String, Value>) -> Result<Option<Value>, ApplyError> {
        let text = |key: &str| fields.get(key).and_then(Value::as_str).unwrap_or_default();
        // In ArchiveBox, the statuses `failed` and `started` mean queued.
        if text("abspath").is_empty() || matches!(text("status"), "queued" | "failed" | "started") {
            return Ok(None);
        }
        let linker = self.session.linker();
        let checked = match register::verify(&linker, fields, self.interrupt) {
            Err(RegisterError::Verify(_)) if !text("binproviders").is_empty() => return Ok(None),
            checked => checked?,
        };
        if self.is_dry_run {
            return Ok(Some(Value::Object(fields.clone())));
        }
        let registered = register::register(&linker, checked, self.interrupt)?;
        if let Some(error) = &registered.link_error {
            self.session.report(EngineEvent::Error(error.clone()));
            self.add_failure();
        }
        Ok(Some(registered.to_record()))
    }

    /// Stores a change of this machine's configuration, or the record of another machine.
    fn store_machine(
        &mut self,
        fields: &Map<String, Value>,
        warnings: &mut Vec<String>,
    ) -> Result<Value, ApplyError> {
        let skip = |error: config::ConfigError| warnings.push(error.to_string());
        let store = &self.session.store;
        let this_machine = &self.session.machine;
        let guid = fields.get("guid").and_then(Value::as_str);
        if let Some(guid) = guid.filter(|guid| *guid != this_machine.guid.value) {
            let mut machine = import::machine(fields, clock::now())?;
            config::retain_storable(&mut machine.config, skip);
            if store.machines()?.iter().any(|known| known.id == machine.id && known.guid.value != guid) {
                return Err(ApplyError::OtherGuid(machine.id));
            }
            if !self.is_dry_run && store.machine_by_guid(guid)?.is_none() {
                store.find_or_add_machine(&machine)?;
            }
            return Ok(machine.to_record());
        }
        self.aliases.extend(id::<MachineId>(fields, "id"));
        let patch = config::patch(fields, skip)?;
        if !self.is_dry_run && !patch.is_empty() {
            store.merge_machine_config(this_machine.id, &patch, clock::now())?;
        }
        let stored = store.machine_by_guid(&this_machine.guid.value)?;
        Ok(config::without_missing(stored.as_ref().unwrap_or(this_machine)).to_record())
    }

    fn store_process(&self, fields: &Map<String, Value>) -> Result<Value, ApplyError> {
        let store = &self.session.store;
        if let Some(id) = id::<ProcessId>(fields, "id")
            && let Some(known) = store.process(id)?
        {
            return Ok(known.to_record());
        }
        let mut process = import::process(fields)?;
        if self.aliases.contains(&process.machine_id) {
            process.machine_id = self.session.machine.id;
        }
        if !store.machines()?.iter().any(|machine| machine.id == process.machine_id) {
            return Err(ApplyError::UnknownMachine(process.machine_id));
        }
        let process = if self.is_dry_run { process } else { store.import_process(&process)? };
        Ok(process.to_record())
    }
}

fn id<I: FromStr>(fields: &Map<String, Value>, key: &str) -> Option<I> {
    fields.get(key)?.as_str()?.parse().ok()
}
