//! What it takes to resolve requests: hooks, threads, a display, and a record of this run.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use rayon::ThreadPool;
use serde_json::{Value, json};

use crate::cli::error::{CliError, Exit};
use crate::cli::output::Talk;
use crate::cli::progress::Display;
use crate::cli::search::Found;
use crate::cli::session::{self, Me, Session};
use crate::hook::run::Runner;
use crate::install::plan::{Refusal, Request};
use crate::install::resolver::{ResolveError, Resolved, Resolver};
use crate::model::binary::{Binary, Installed};
use crate::model::id::ProcessId;
use crate::model::name::BinaryName;
use crate::model::plugin_name::{PluginName, ProviderName};
use crate::plugin::config::provider::ProviderConfig;
use crate::plugin::config::value::Variable;
use crate::plugin::discovery::Hook;
use crate::process::signals::Interrupt;
use crate::settings::Settings;
use crate::store::StoreError;

/// The fewest requirements that are worked on at once: hooks mostly wait.
const FEWEST_AT_ONCE: usize = 4;

/// How to work.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Options {
    /// Resolve anew what is there.
    pub(crate) force: bool,
    /// Change no record of what is not got.
    pub(crate) only_looks: bool,
    /// So many binaries at once.
    pub(crate) jobs: Option<usize>,
    /// How long a hook may take.
    pub(crate) timeout: Duration,
}

/// What one step of the plan came to.
pub(crate) enum Done {
    /// It was there already; nothing was done.
    Ready(Binary),
    /// It was worked on.
    Resolved(Resolved),
    /// It failed lately, and is to be tried again only at this time.
    TooSoon(Binary, Timestamp),
    /// It would be worked on.
    Planned(Request),
    /// Nobody may provide it.
    Refused(Refusal),
    /// It could not be worked on.
    Broken(Request, ResolveError),
}

impl Done {
    /// What is there.
    pub(crate) fn installed(&self) -> Option<&Installed> {
        match self {
            Self::Ready(binary) => binary.installed(),
            Self::Resolved(resolved) => resolved.binary.installed(),
            Self::TooSoon(..) | Self::Planned(_) | Self::Refused(_) | Self::Broken(..) => None,
        }
    }

    /// Whether the binary is there.
    pub(crate) fn is_there(&self) -> bool {
        self.installed().is_some()
    }

    /// What JSONL shows of it.
    pub(crate) fn to_record(&self) -> Value {
        match self {
            Self::Ready(binary) | Self::TooSoon(binary, _) => binary.to_record(&[]),
            Self::Resolved(resolved) => resolved.binary.to_record(&resolved.attempts),
            Self::Planned(request) => request.to_record("queued"),
            Self::Refused(refusal) => unresolved(&refusal.name, &refusal.reason),
            Self::Broken(request, error) => unresolved(&request.name, &error.to_string()),
        }
    }
}

/// A request that left no row in the store.
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

/// A step of the plan, after a look at what is there.
pub(crate) enum Task {
    /// There is nothing to do about it.
    Done(Box<Done>),
    /// It has to be worked on.
    Open(Box<Request>),
}

impl Task {
    /// What would come of it, as far as one can tell without doing it.
    pub(crate) fn planned(self) -> Done {
        match self {
            Self::Done(done) => *done,
            Self::Open(request) => Done::Planned(*request),
        }
    }

    /// What came of it, where there is nothing to do about it.
    pub(crate) fn done(self) -> Option<Done> {
        match self {
            Self::Done(done) => Some(*done),
            Self::Open(_) => None,
        }
    }
}

/// Resolves requests, several at once.
pub(crate) struct Workshop<'a> {
    session: &'a Session,
    settings: &'a Settings,
    options: Options,
    interrupt: &'a Interrupt,
    hooks: Vec<&'a Hook>,
    needs: HashMap<ProviderName, Vec<Request>>,
    provider_configs: HashMap<ProviderName, ProviderConfig>,
    variables: HashMap<PluginName, Vec<Variable>>,
    pool: ThreadPool,
    display: Display,
    me: Me,
}

impl<'a> Workshop<'a> {
    /// Gets ready for work on at most so many requests at once, and records this run.
    pub(crate) fn open(
        found: &'a Found,
        session: &'a Session,
        settings: &'a Settings,
        options: &Options,
        at_most: usize,
        interrupt: &'a Interrupt,
        talk: Talk,
    ) -> Result<Self, CliError> {
        session::unpack(settings, interrupt, talk)?;
        let cores = std::thread::available_parallelism().map_or(FEWEST_AT_ONCE, std::num::NonZero::get);
        // More threads than tasks would only take time and memory.
        let jobs = options.jobs.unwrap_or(cores.max(FEWEST_AT_ONCE)).min(at_most);
        let pool = rayon::ThreadPoolBuilder::new().num_threads(jobs).build()?;
        let me = session.begin(settings)?;
        Ok(Self {
            session,
            settings,
            options: *options,
            interrupt,
            hooks: found.provider_hooks(),
            needs: found.provider_needs(),
            provider_configs: found.provider_configs(),
            variables: found.variables(),
            pool,
            display: Display::new(talk, &settings.environment),
            me,
        })
    }

    /// The id of this run's record.
    pub(crate) fn own_id(&self) -> ProcessId {
        self.me.process.id
    }

    /// Works on what is not there.
    pub(crate) fn resolve(&self, tasks: Vec<Task>) -> Result<Vec<Done>, CliError> {
        let resolver = Resolver {
            runner: Runner {
                settings: self.settings,
                store: &self.session.store,
                machine_id: self.session.machine.id,
                iface_id: self.me.process.iface_id,
                parent_id: self.me.process.id,
                variables: &self.variables,
                interrupt: self.interrupt,
            },
            hooks: &self.hooks,
            provider_deps: &self.needs,
            provider_configs: &self.provider_configs,
            force: self.options.force,
            is_lookup: self.options.only_looks,
            timeout: self.options.timeout,
            on_event: &|request, event| self.display.show(request, &event),
        };
        let mut done: Vec<Option<Done>> = Vec::new();
        let mut open = Vec::new();
        for task in tasks {
            match task {
                Task::Done(it) => done.push(Some(*it)),
                Task::Open(request) => {
                    done.push(None);
                    open.push(*request);
                }
            }
        }
        let mut settled = resolver.resolve(open, &self.pool)?.into_iter().map(|(request, outcome)| {
            outcome.map_or_else(|error| Done::Broken(Arc::unwrap_or_clone(request), error), Done::Resolved)
        });
        let done: Vec<Done> = done.into_iter().filter_map(|it| it.or_else(|| settled.next())).collect();
        self.display.clear();
        Ok(done)
    }

    /// Counts what was worked on.
    pub(crate) fn count(&self, done: &[Done]) -> Result<(), StoreError> {
        let worked_on = done.iter().filter(|it| matches!(it, Done::Resolved(_)));
        if self.options.only_looks || worked_on.clone().next().is_none() {
            return Ok(());
        }
        let (there, missing): (Vec<&Done>, Vec<&Done>) = worked_on.partition(|it| it.is_there());
        let count = |list: Vec<&Done>| u32::try_from(list.len()).unwrap_or(u32::MAX);
        self.session.store.count_uses(self.session.machine.id, count(there), count(missing))
    }

    /// Records the end of this run.
    pub(crate) fn close(self, exit: Exit) -> Result<(), CliError> {
        self.session.end(self.me, exit)
    }
}
