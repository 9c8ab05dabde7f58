//! `rigup binary`: the records of binaries.

use clap::Subcommand;

use crate::cli::command::{CliError, CommandResult, Context};
use crate::clock;
use crate::engine::ExitStatus;
use crate::model::{Attempt, Binary, BinaryState};
use crate::report::tables;
use crate::store::{BinaryFilter, Lookup, Store};

mod change;

/// What to do with binaries.
#[derive(Debug, Subcommand)]
pub(crate) enum BinaryCommand {
    /// List all binaries that were requested on this machine
    List(BinaryListArgs),
    /// Show a binary with its attempts
    Show {
        /// Name of the binary, or a unique prefix or suffix of its id
        binary: String,
    },
    /// Store the record of an existing file, and link it
    Create(change::CreateArgs),
    /// Change the records of binaries
    Update(change::UpdateArgs),
    /// Delete the records and links of binaries
    Delete(change::DeleteArgs),
}

/// Which binaries to list.
#[derive(Debug, clap::Args)]
pub(crate) struct BinaryListArgs {
    /// List only the binary with this name
    #[arg(long)]
    name: Option<String>,
    /// List only binaries with this status
    #[arg(long, value_parser = ["queued", "installed"])]
    status: Option<String>,
    /// List only binaries whose path contains TEXT
    #[arg(long, value_name = "TEXT")]
    abspath: Option<String>,
    /// List only binaries whose version contains TEXT
    #[arg(long, value_name = "TEXT")]
    version: Option<String>,
    /// List at most N binaries
    #[arg(long, short = 'n', value_name = "N")]
    limit: Option<u32>,
}

/// Runs `rigup binary`.
pub(crate) fn run(command: BinaryCommand, context: &mut Context) -> CommandResult {
    match command {
        BinaryCommand::List(args) => list(args, context),
        BinaryCommand::Show { binary } => show(&binary, context),
        BinaryCommand::Create(args) => change::create(&args, context),
        BinaryCommand::Update(args) => change::update(&args, context),
        BinaryCommand::Delete(args) => change::delete(&args, context),
    }
}

fn list(args: BinaryListArgs, context: &mut Context) -> CommandResult {
    let Some(store) = context.store()? else { return Ok(ExitStatus::Success) };
    let BinaryListArgs { name, status, abspath, version, limit } = args;
    let binaries = store.binaries(&BinaryFilter { name, status, abspath, version, limit })?;
    let output = &mut context.output;
    if !output.is_json() {
        output.table(&tables::binaries(&binaries));
        return Ok(ExitStatus::Success);
    }
    for binary in &binaries {
        let attempts = match &binary.state {
            BinaryState::Queued(_) => attempts_of(&store, binary)?,
            BinaryState::Installed(_) => Vec::new(),
        };
        output.record(&binary.to_record(&attempts));
    }
    Ok(ExitStatus::Success)
}

fn show(name: &str, context: &mut Context) -> CommandResult {
    let store = context.store()?.ok_or_else(|| not_found(name))?;
    let binary = match store.find_binary(name)? {
        Lookup::NotFound => return Err(not_found(name)),
        Lookup::Ambiguous(count) => return Err(CliError::not_found(ambiguous(name, count))),
        Lookup::Found(binary) => binary,
    };
    if context.output.is_json() {
        context.output.record(&binary.to_record(&attempts_of(&store, &binary)?));
    } else {
        context.output.record(&binary.to_record(&[]));
        context.output.table(&tables::attempts(&store.attempts(binary.id)?, clock::now()));
    }
    Ok(ExitStatus::Success)
}

fn attempts_of(store: &Store, binary: &Binary) -> Result<Vec<Attempt>, CliError> {
    Ok(store.attempts(binary.id)?.into_iter().map(|(attempt, _)| attempt).collect())
}

fn not_found(name: &str) -> CliError {
    CliError::not_found(format!(
        "no binary has the name or id `{name}`; `rigup binary list` shows the binaries"
    ))
}

/// Describes a name that more than one id matches.
fn ambiguous(name: &str, count: u64) -> String {
    format!("{name} matches {count} binaries; type more characters of an id")
}
