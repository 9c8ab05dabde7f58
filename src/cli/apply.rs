//! `rigup apply`: records in, records out.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, IsTerminal, Read};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::{Duration, Instant};

use serde_json::{Map, Value};

use crate::cli::error::{CliError, Exit};
use crate::cli::install::{JobArgs, PolicyArgs};
use crate::cli::output::{Output, Talk, say};
use crate::cli::search::{self, Found};
use crate::cli::session::Session;
use crate::cli::work;
use crate::cli::workshop::{Done, Options, Task, Workshop};
use crate::clock;
use crate::install::linker::Linker;
use crate::install::plan::{self, Request, Selection};
use crate::install::register::{self, AdoptError};
use crate::machine::derived;
use crate::model::binary::BinaryState;
use crate::model::id::MachineId;
use crate::model::import;
use crate::model::plugin_name::ProviderName;
use crate::plugin::requirement;
use crate::process::poll;
use crate::process::signals::Interrupt;
use crate::protocol::{Record, Records};
use crate::settings::Settings;
use crate::store::StoreError;

const EXAMPLES: &str = "\
Examples:
  echo '{\"type\":\"BinaryRequest\",\"name\":\"jq\",\"binproviders\":\"env,apt\"}' | rigup apply
  rigup apply plugins/*/binaries.jsonl
  ./list-what-i-need.py | rigup apply | jq -r .abspath
  rigup --data-dir old binary list | rigup apply

Each record is answered as soon as it is there, and in its order:
  BinaryRequest            resolved, unless it failed lately: its retry_at is waited for
  Binary with an abspath   stored and linked, if what it says is true; else resolved
  Machine, Process         stored: a Machine's \"config\" for this one, a process that is over
  anything else            passed through";

/// What to apply.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ApplyArgs {
    /// Files of records; else standard input
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    policy: PolicyArgs,
    #[command(flatten)]
    jobs: JobArgs,
    /// Show what would be done with each record, and change nothing
    #[arg(long)]
    dry_run: bool,
}

/// How many bytes are read at once: the records in them are worked on side by side.
const CHUNK: usize = 64 << 10;

/// Runs it.
pub(crate) fn apply(
    args: &ApplyArgs,
    settings: &Settings,
    output: &mut Output,
    talk: Talk,
) -> Result<Exit, CliError> {
    if args.files.is_empty() && io::stdin().is_terminal() {
        return Err(CliError::Usage("no records: name a file, or pipe JSONL into rigup apply".to_owned()));
    }
    let found = search::search(settings, &[])?;
    let session = Session::open(settings)?;
    let interrupt = Interrupt::install().map_err(CliError::unusable)?;
    let linker = Linker { settings, store: &session.store, machine_id: session.machine.id, force: false };
    let options = args.jobs.options();
    let wish = Selection { asked: args.policy.into(), habit: found.own.policy(), ..Selection::default() };
    let mut run = Run {
        found: &found,
        session: &session,
        settings,
        interrupt: &interrupt,
        linker,
        options,
        wish,
        known: found.providers(),
        is_dry: args.dry_run,
        talk,
        workshop: None,
        aliases: Vec::new(),
        exit: Exit::Well,
    };
    let done = run.all(&args.files, output);
    let exit = interrupt.signal().map_or(run.exit, Exit::Interrupted);
    if let Some(workshop) = run.workshop {
        let me = workshop.own_id();
        workshop.close(exit)?;
        if interrupt.signal().is_none() {
            session.clean_by_the_way(me, found.own.keep(), settings);
        }
    }
    done.map(|()| exit)
}

/// What to do with one record.
enum Step {
    /// It is answered already.
    Answer(Value),
    /// It is a request, which may take a while.
    Resolve(Box<Request>),
}

/// What a record that is no request comes to; none where it has to be resolved.
type Stored = Result<Option<Value>, Failure>;

/// One run of `apply`.
struct Run<'a> {
    found: &'a Found,
    session: &'a Session,
    settings: &'a Settings,
    interrupt: &'a Interrupt,
    linker: Linker<'a>,
    options: Options,
    wish: Selection,
    known: Vec<ProviderName>,
    is_dry: bool,
    talk: Talk,
    /// Made for the first request that takes work.
    workshop: Option<Workshop<'a>>,
    /// The ids that this machine has in other data dirs, as far as their records came by.
    aliases: Vec<MachineId>,
    exit: Exit,
}

/// Why a record cannot be applied.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Requirement(#[from] requirement::LineError),
    #[error(transparent)]
    Adopt(#[from] AdoptError),
    #[error(transparent)]
    Import(#[from] import::ImportError),
    #[error(transparent)]
    Config(#[from] derived::ConfigError),
    #[error("its machine {0} is not known here: apply its Machine record first")]
    UnknownMachine(MachineId),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Run<'_> {
    fn all(&mut self, files: &[PathBuf], output: &mut Output) -> Result<(), CliError> {
        if files.is_empty() {
            return self.stream("standard input", io::stdin().lock(), output);
        }
        for path in files {
            let name = path.display().to_string();
            match File::open(path) {
                Ok(file) => self.stream(&name, file, output)?,
                Err(error) => self.complain(&format!("{name}: cannot be read: {error}")),
            }
        }
        Ok(())
    }

    /// Reads to the end, and answers what has come as soon as it has.
    fn stream(
        &mut self,
        name: &str,
        mut input: impl Read + AsFd,
        output: &mut Output,
    ) -> Result<(), CliError> {
        let mut records = Records::default();
        let mut chunk = vec![0; CHUNK];
        let mut batch = Vec::new();
        while self.interrupt.signal().is_none() {
            let fds = [input.as_fd(), self.interrupt.fd()];
            let [can_read, _] = poll::readable(fds, Instant::now() + Duration::from_hours(1));
            if !can_read {
                continue;
            }
            let count = match input.read(&mut chunk) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => {
                    self.complain(&format!("{name}: cannot be read: {error}"));
                    0
                }
                Ok(count) => count,
            };
            records.push(&chunk[..count], |record| batch.push(record));
            if count > 0 {
                self.answer(name, std::mem::take(&mut batch), output)?;
                continue;
            }
            let leftover = records.finish(|record| batch.push(record));
            self.answer(name, batch, output)?;
            let ignored = leftover.ignored.saturating_sub(leftover.diagnostics.len() as u64);
            for diagnostic in leftover.diagnostics {
                self.complain(&format!("{name}: {diagnostic}"));
            }
            if ignored > 0 {
                say(&format!("warning: {name}: lines that are no record: {ignored}"));
            }
            return Ok(());
        }
        Ok(())
    }

    /// Answers records that came together, each in its place. Equal requests among them are one.
    fn answer(&mut self, name: &str, batch: Vec<Record>, output: &mut Output) -> Result<(), CliError> {
        let mut answers = Vec::new();
        let mut tasks = Vec::new();
        let mut seen: HashMap<String, Vec<(Request, usize)>> = HashMap::new();
        for record in batch {
            let line = record.line;
            match self.step(record) {
                Ok(Step::Answer(answer)) => answers.push(Ok(answer)),
                Ok(Step::Resolve(request)) => {
                    let alike = seen.entry(request.name.as_str().to_owned()).or_default();
                    let known = alike.iter().find(|(it, _)| *it == *request).map(|(_, task)| *task);
                    answers.push(Err(known.unwrap_or(tasks.len())));
                    if known.is_none() {
                        alike.push(((*request).clone(), tasks.len()));
                        tasks.push(self.task(request)?);
                    }
                }
                Err(Failure::Store(error)) => return Err(error.into()),
                Err(failure) => self.complain(&format!("{name}:{line}: {failure}")),
            }
        }
        let done = self.resolve(tasks)?;
        // What was done is told also where it cannot be recorded.
        let counted = self.workshop.as_ref().map_or(Ok(()), |it| it.count(&done));
        for missing in done.iter().filter(|it| !it.is_there() && !self.is_dry) {
            self.exit = Exit::Missing;
            work::complain(missing);
        }
        for answer in answers {
            match answer {
                Ok(answer) => output.records([answer])?,
                Err(task) => output.records(done.get(task).map(Done::to_record))?,
            }
        }
        output.flush()?;
        Ok(counted?)
    }

    fn step(&mut self, record: Record) -> Result<Step, Failure> {
        let Record { kind, fields, .. } = record;
        let answer = match kind.as_str() {
            "Machine" => Some(self.store_machine(&fields)?),
            "Process" => Some(self.store_process(&fields)?),
            kind if requirement::is_requirement(kind) => self.store_binary(&fields)?,
            _ => Some(Value::Object(fields.clone())),
        };
        Ok(match answer {
            Some(answer) => Step::Answer(answer),
            None => Step::Resolve(Box::new(self.request(&fields)?)),
        })
    }

    fn request(&self, fields: &Map<String, Value>) -> Result<Request, Failure> {
        let requirement = requirement::parse_fields(None, fields, self.settings.home.as_deref())?;
        let steps = plan::plan(&[requirement], &self.wish, &self.known);
        // Of one requirement, and without a choice of providers, nothing is refused.
        let request = steps.into_iter().flatten().next();
        request.ok_or(Failure::Requirement(requirement::LineError::NoName))
    }

    /// Whether a request has to be worked on now.
    fn task(&self, request: Box<Request>) -> Result<Task, CliError> {
        let known = self.session.store.binary(self.session.machine.id, request.name.as_str())?;
        Ok(match known {
            Some(binary) if work::is_ready(&binary, &request, self.settings) => {
                Task::Done(Box::new(Done::Ready(binary)))
            }
            Some(binary) => {
                let retry_at = match &binary.state {
                    BinaryState::Queued(queued) => queued.waits_until(clock::now()),
                    BinaryState::Installed(_) => None,
                };
                match retry_at {
                    Some(retry_at) => Task::Done(Box::new(Done::TooSoon(binary, retry_at))),
                    None => Task::Open(request),
                }
            }
            None => Task::Open(request),
        })
    }

    fn resolve(&mut self, tasks: Vec<Task>) -> Result<Vec<Done>, CliError> {
        let is_open = tasks.iter().any(|it| matches!(it, Task::Open(_)));
        if !is_open || self.is_dry {
            return Ok(tasks.into_iter().map(Task::planned).collect());
        }
        if self.workshop.is_none() {
            let Self { found, session, settings, options, interrupt, talk, .. } = self;
            // Nobody knows how many more will come.
            let at_most = usize::MAX;
            self.workshop =
                Some(Workshop::open(found, session, settings, options, at_most, interrupt, *talk)?);
        }
        match &self.workshop {
            Some(workshop) => workshop.resolve(tasks),
            None => Ok(Vec::new()),
        }
    }

    /// A Binary record that says where its file is. One that is not true is resolved like a request, unless nobody says
    /// who could provide it.
    fn store_binary(&self, fields: &Map<String, Value>) -> Stored {
        let text = |key: &str| fields.get(key).and_then(Value::as_str).unwrap_or_default();
        // `failed` and `started` are what an older store calls queued.
        if text("abspath").is_empty() || matches!(text("status"), "queued" | "failed" | "started") {
            return Ok(None);
        }
        let checked = match register::check(&self.linker, fields) {
            Err(AdoptError::RecordError(_) | AdoptError::Digest { .. })
                if !text("binproviders").is_empty() =>
            {
                return Ok(None);
            }
            checked => checked?,
        };
        if self.is_dry {
            return Ok(Some(Value::Object(fields.clone())));
        }
        let warn = |warning: &str| say(&format!("warning: {warning}"));
        let adopted = register::adopt(&self.linker, checked, self.interrupt, warn)?;
        Ok(Some(adopted.binary.to_record(&[])))
    }

    /// A patch for this machine's configuration, or another machine's whole record.
    fn store_machine(&mut self, fields: &Map<String, Value>) -> Result<Value, Failure> {
        let store = &self.session.store;
        let own = &self.session.machine;
        let guid = fields.get("guid").and_then(Value::as_str);
        if let Some(guid) = guid.filter(|it| *it != own.guid.value) {
            let machine = import::machine(fields, clock::now())?;
            if !self.is_dry && store.machine_by_guid(guid)?.is_none() {
                store.find_or_add_machine(&machine)?;
            }
            return Ok(machine.to_record());
        }
        self.aliases.extend(id::<MachineId>(fields, "id"));
        let patch = derived::patch(fields)?;
        if !self.is_dry && !patch.is_empty() {
            store.merge_machine_config(own.id, &patch)?;
        }
        let stored = store.machine_by_guid(&own.guid.value)?;
        Ok(stored.as_ref().unwrap_or(own).to_record())
    }

    fn store_process(&self, fields: &Map<String, Value>) -> Result<Value, Failure> {
        let store = &self.session.store;
        if let Some(known) = id(fields, "id").map(|id| store.process(id)).transpose()?.flatten() {
            return Ok(known.to_record());
        }
        let mut process = import::process(fields)?;
        if self.aliases.contains(&process.machine_id) {
            process.machine_id = self.session.machine.id;
        }
        if !store.machines()?.iter().any(|it| it.id == process.machine_id) {
            return Err(Failure::UnknownMachine(process.machine_id));
        }
        let process = if self.is_dry { process } else { store.import_process(&process)? };
        Ok(process.to_record())
    }

    fn complain(&mut self, text: &str) {
        self.exit = Exit::Missing;
        say(&format!("error: {text}"));
    }
}

fn id<I: FromStr>(fields: &Map<String, Value>, key: &str) -> Option<I> {
    fields.get(key)?.as_str()?.parse().ok()
}
