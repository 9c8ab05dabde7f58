//! `rigup lock`: writes down what was got, for others and for later.

use std::collections::{HashMap, HashSet};
use std::fmt::Display;
use std::path::PathBuf;

use serde_json::Value;

use crate::cli::error::{CliError, Exit};
use crate::cli::install::{self, Choice, JobArgs, PolicyArgs};
use crate::cli::lockfile::{LockfileOnDisk, hook_digests};
use crate::cli::output::{Output, Talk, say};
use crate::cli::search::Found;
use crate::cli::session::Session;
use crate::cli::work::{self, Worked};
use crate::cli::workshop;
use crate::fs::lock::FileLock;
use crate::fs::{atomic, dir, link};
use crate::install::plan::{self, Request, Step};
use crate::install::status::{InstallStatus, install_status};
use crate::install::{pin, relocatable};
use crate::lockfile::{Locked, Lockfile};
use crate::model::binary::{Binary, Installed};
use crate::model::plugin_name::ProviderName;
use crate::plugin::requirement::Providers;
use crate::process::lock::folder::{self, PATIENCE};
use crate::process::signals::Interrupt;
use crate::report::table::{Cell, Column, Table};
use crate::settings::{self, Settings};

const EXAMPLES: &str = "\
Examples:
  rigup lock                     get what the plugins require, and write ./rigup.lock
  rigup install --locked         elsewhere: get exactly that
  rigup lock --check             in CI: is the file what `rigup lock` would write? Installs nothing
  rigup lock yt-dlp              the line of this name only; all others stay
  rigup install --force yt-dlp && rigup lock yt-dlp
                                 bring one up to date
  rigup lock --prune             take out the lines of what is not required any more

What is here is locked as it is; what is not is got as its line says, if it has one that will do.
Lines of other platforms stay as they are: run `rigup lock` once on each.";

/// What to lock.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct LockArgs {
    #[command(flatten)]
    choice: Choice,
    /// Only these providers, in this order
    #[arg(long, value_name = "X,Y")]
    binproviders: Option<String>,
    #[command(flatten)]
    policy: PolicyArgs,
    #[command(flatten)]
    jobs: JobArgs,
    /// The lock file [default: ./rigup.lock]
    #[arg(long, value_name = "FILE")]
    lockfile: Option<PathBuf>,
    /// Only compare: exit 1 where the file is not what would be written, and say which lines differ; installs nothing
    #[arg(long)]
    check: bool,
    /// Take out the lines of this platform whose names are not required
    #[arg(long, conflicts_with_all = ["names", "plugins"])]
    prune: bool,
}

/// What becomes of a name's line.
struct Row {
    name: String,
    status: Status,
    /// The line; none where it is not known.
    locked: Option<Locked>,
    record: Value,
}

enum Status {
    Unchanged,
    Added,
    /// Every value, before and after.
    Changed(String),
    Removed,
    /// There is no line to write, and why.
    Missing(String),
}

impl Status {
    const fn word(&self) -> &'static str {
        match self {
            Self::Unchanged => "unchanged",
            Self::Added => "added",
            Self::Changed(_) => "changed",
            Self::Removed => "removed",
            Self::Missing(_) => "missing",
        }
    }

    /// Whether it is well, for one who writes and for one who only compares.
    const fn is_well(&self, is_check: bool) -> bool {
        match self {
            Self::Unchanged => true,
            Self::Added | Self::Changed(_) | Self::Removed => !is_check,
            Self::Missing(_) => false,
        }
    }
}

impl Row {
    fn of(locked: Locked, status: Status) -> Self {
        let mut record = locked.to_record();
        record["status"] = status.word().into();
        Self { name: locked.name.clone(), status, locked: Some(locked), record }
    }

    fn missing(name: &str, reason: String, record: Value) -> Self {
        Self { name: name.to_owned(), status: Status::Missing(reason), locked: None, record }
    }
}

/// Runs it.
pub(crate) fn lock(
    args: LockArgs,
    settings: &Settings,
    output: &mut Output,
    talk: Talk,
) -> Result<Exit, CliError> {
    let file = LockfileOnDisk::read(args.lockfile, settings)?;
    if !args.check {
        atomic::check_for_user(&file.path).map_err(|error| unwritable(&file, error))?;
    }
    let providers = args
        .binproviders
        .as_deref()
        .map(Providers::parse)
        .transpose()
        .map_err(|error| CliError::Usage(error.to_string()))?;
    let (found, steps) = install::plan(args.choice, providers, args.policy.into(), settings)?;
    if steps.is_empty() && !args.prune && !talk.quiet {
        say("Nothing is required here; `rigup plugin list` shows the plugins that are found.");
    }
    let mut clerk = Clerk {
        hooks: hook_digests(&found, settings),
        known: known(settings)?,
        after: file.lockfile.clone(),
        found: &found,
        file,
        settings,
    };
    let worked = if args.check { None } else { Some(clerk.bring_about(&steps, args.jobs, talk)?) };
    let diagnostics = if found.diagnostics.is_empty() { Exit::Well } else { Exit::Missing };
    let mut exit = worked.as_ref().map_or(diagnostics, |it| it.exit(&found));
    let mut held = None;
    if !args.check && !matches!(exit, Exit::Interrupted(_)) {
        match clerk.read_again(talk) {
            Ok(lock) => held = Some(lock),
            Err(CliError::Interrupted(signal)) => exit = Exit::Interrupted(signal),
            Err(error) => return Err(error),
        }
    }
    if let Exit::Interrupted(_) = exit {
        say(&format!("interrupted: {} stays as it was", clerk.file.path.display()));
        return Ok(exit);
    }
    let mut rows = match &worked {
        Some(worked) => clerk.write_down_all(&steps, worked),
        None => clerk.compare(&steps),
    };
    // What could not be read may require a name, too.
    if args.prune && found.diagnostics.is_empty() {
        rows.extend(clerk.prune(&steps));
    }
    let text = clerk.after.to_string();
    let file = clerk.file;
    // Nothing to write is no file.
    let is_same = file.bytes.as_ref().map_or(clerk.after == Lockfile::default(), |it| *it == text.as_bytes());
    if !args.check && !is_same {
        atomic::write_for_user(&file.path, text.as_bytes()).map_err(|error| unwritable(&file, error))?;
    }
    drop(held);
    let written = write(&rows, args.check, output);
    found.complain();
    worked.iter().flat_map(|it| &it.done).for_each(work::complain);
    tell(&rows, &file, args.check, is_same, talk);
    let is_well = rows.iter().all(|it| it.status.is_well(args.check)) && (is_same || !args.check);
    match written {
        Ok(()) | Err(CliError::OutputClosed) if is_well => Ok(exit),
        Ok(()) | Err(CliError::OutputClosed) => Ok(exit.or_missing()),
        Err(error) => Err(error),
    }
}

fn unwritable(file: &LockfileOnDisk, reason: impl Display) -> CliError {
    let path = file.path.display();
    CliError::unusable(format!(
        "the lock file {path} cannot be written: {reason}; choose another with --lockfile"
    ))
}

/// The binaries of this machine, by their names.
fn known(settings: &Settings) -> Result<HashMap<String, Binary>, CliError> {
    match Session::read_known(settings)? {
        Some(session) => Ok(session.store.binaries_of(session.machine.id)?),
        None => Ok(HashMap::new()),
    }
}

/// Who writes down what is there.
struct Clerk<'a> {
    found: &'a Found,
    settings: &'a Settings,
    file: LockfileOnDisk,
    hooks: HashMap<ProviderName, String>,
    known: HashMap<String, Binary>,
    after: Lockfile,
}

impl Clerk<'_> {
    /// Gets what is missing, as it was locked where that will do.
    fn bring_about(&self, steps: &[Step], jobs: JobArgs, talk: Talk) -> Result<Worked, CliError> {
        let pins = self.file.pins(&self.hooks);
        let chosen = steps.iter().map(|step| match step {
            Ok(request) if self.installed(request).is_none() => {
                pins.pin(Ok(request.clone())).or_else(|_| step.clone())
            }
            _ => step.clone(),
        });
        let chosen: Vec<Step> = chosen.collect();
        work::bring_about(self.found, &chosen, &jobs.options(), self.settings, talk)
    }

    /// What others locked meanwhile counts, too. They wait until the value is gone; to wait for them can be interrupted.
    fn read_again(&mut self, talk: Talk) -> Result<FileLock, CliError> {
        let interrupt = Interrupt::install().map_err(CliError::unusable)?;
        let waiting = || {
            if !talk.quiet {
                say(&format!("waiting for another rigup that writes {}", self.file.path.display()));
            }
        };
        let held = link::resolve(&self.file.path)
            .and_then(|file| folder::take(dir::parent(&file), &interrupt, PATIENCE, waiting));
        if let Some(signal) = interrupt.signal() {
            return Err(CliError::Interrupted(signal));
        }
        let held = held.map_err(|error| unwritable(&self.file, error))?;
        self.file = self.file.again(self.settings)?;
        self.after = self.file.lockfile.clone();
        Ok(held)
    }

    /// Writes down what came of it.
    fn write_down_all(&mut self, steps: &[Step], worked: &Worked) -> Vec<Row> {
        let each = steps.iter().zip(&worked.done).map(|(step, done)| {
            if let (Ok(request), Some(installed)) = (step, done.installed()) {
                return self.write_down(request, installed);
            }
            Row::missing(plan::name_of(step).as_str(), String::new(), done.to_record())
        });
        each.collect()
    }

    /// Compares what is there with its lines. What is not there is got as its line says; so that has to be one that will do.
    fn compare(&mut self, steps: &[Step]) -> Vec<Row> {
        let each = steps.iter().map(|step| {
            let (name, reason) = match step {
                Err(refusal) => (&refusal.name, refusal.reason.clone()),
                Ok(request) => match self.installed(request).cloned() {
                    Some(installed) => return self.write_down(request, &installed),
                    None => match self.file.pins(&self.hooks).line_for(request) {
                        Ok(locked) => return Row::of(locked.clone(), Status::Unchanged),
                        Err(reason) => (&request.name, reason),
                    },
                },
            };
            let record = workshop::unresolved(name, &reason);
            Row::missing(name.as_str(), reason, record)
        });
        each.collect()
    }

    /// What is here under a request, whatever the lock file says.
    fn installed(&self, request: &Request) -> Option<&Installed> {
        let binary = self.known.get(request.name.as_str())?;
        let is_there = install_status(binary, request, self.settings) != InstallStatus::Missing;
        binary.installed().filter(|_| is_there)
    }

    fn write_down(&mut self, request: &Request, installed: &Installed) -> Row {
        let name = request.name.as_str();
        let line = self.line(request, installed).and_then(|it| {
            self.after.put(it.clone()).map_err(|error| error.to_string())?;
            Ok(it)
        });
        match (line, self.file.lockfile.get(&settings::platform(), name)) {
            (Ok(after), None) => Row::of(after, Status::Added),
            (Ok(after), Some(before)) if after == *before => Row::of(after, Status::Unchanged),
            (Ok(after), Some(before)) => {
                let difference = pin::difference(before, &after);
                Row::of(after, Status::Changed(difference))
            }
            (Err(reason), _) => {
                let reason = format!("cannot be locked: {reason}");
                let record = workshop::unresolved(&request.name, &reason);
                Row::missing(name, reason, record)
            }
        }
    }

    fn line(&self, request: &Request, installed: &Installed) -> Result<Locked, String> {
        let Installed { binprovider, abspath, version, .. } = installed;
        if !request.candidates.contains(binprovider) {
            let (name, allowed) = (&request.name, request.candidates.join(", "));
            return Err(format!(
                "it is here from {binprovider}, and {allowed} may provide it; `rigup install --force {name}` asks them"
            ));
        }
        let hook_sha256 =
            self.hooks.get(binprovider).ok_or_else(|| format!("no hook of {binprovider} is found here"))?;
        let sha256 =
            relocatable::sha256(abspath, &self.settings.lib_dir).map_err(|error| error.to_string())?;
        Ok(Locked {
            platform: settings::platform(),
            name: request.name.as_str().to_owned(),
            binprovider: binprovider.clone(),
            version: version.clone(),
            sha256,
            hook_sha256: hook_sha256.clone(),
        })
    }

    /// Takes out what is not required.
    fn prune(&mut self, steps: &[Step]) -> Vec<Row> {
        let names: HashSet<&str> = steps.iter().map(|it| plan::name_of(it).as_str()).collect();
        let removed = self.after.prune(&settings::platform(), |name| names.contains(name));
        removed.into_iter().map(|it| Row::of(it, Status::Removed)).collect()
    }
}

fn write(rows: &[Row], is_check: bool, output: &mut Output) -> Result<(), CliError> {
    if output.is_json() {
        output.records(rows.iter().map(|it| &it.record))?;
    } else {
        let rows = rows.iter().map(|row| {
            let status: fn(&str) -> Cell = match row.status {
                Status::Unchanged => |word| Cell::plain(word),
                _ if row.status.is_well(is_check) => |word| Cell::success(word),
                _ => |word| Cell::failure(word),
            };
            let text = |value: fn(&Locked) -> &str| Cell::plain(row.locked.as_ref().map_or("", value));
            [
                Cell::plain(&row.name),
                status(row.status.word()),
                text(|it| &it.version),
                text(|it| it.binprovider.as_str()),
            ]
        });
        let columns = [
            Column::new("BINARY").cut_end(20),
            Column::new("STATUS"),
            Column::new("VERSION").cut_end(12),
            Column::new("PROVIDER"),
        ];
        output.table(&Table::with_rows(columns, rows))?;
    }
    output.flush()
}

/// Says what differs, and what was made of it.
fn tell(rows: &[Row], file: &LockfileOnDisk, is_check: bool, is_same: bool, talk: Talk) {
    let path = file.path.display();
    for Row { name, status, .. } in rows {
        match status {
            Status::Missing(reason) if !reason.is_empty() => say(&format!("error: {name}: {reason}")),
            Status::Changed(values) if is_check => say(&format!("error: {path}: {name}: {values}")),
            Status::Added if is_check => say(&format!("error: {path}: {name} has no line")),
            Status::Removed if is_check => {
                say(&format!("error: {path}: {name} has a line, and is not required"));
            }
            Status::Changed(values) if !talk.quiet => say(&format!("{name}: {values}")),
            _ => {}
        }
    }
    let count = |word: &str| rows.iter().filter(|it| it.status.word() == word).count();
    if is_check && !is_same && count("unchanged") == rows.len() {
        say(&format!("error: {path}: it is not sorted and spelled as `rigup lock` writes it"));
    } else if is_same && count("missing") < rows.len() && !talk.quiet {
        say(&format!("{path} is up to date."));
    } else if !is_check && !is_same && !talk.quiet {
        let counts = ["added", "changed", "removed", "unchanged"].map(|word| (count(word), word));
        let counts = counts.into_iter().filter(|(count, _)| *count > 0);
        let counts: Vec<String> = counts.map(|(count, word)| format!("{count} {word}")).collect();
        say(&format!("{path}: {}.", counts.join(", ")));
    }
}
