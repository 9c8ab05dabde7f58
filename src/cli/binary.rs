//! `rigup binary`: the binaries that were asked for.

use clap::Subcommand;

use crate::cli::error::{CliError, Exit};
use crate::cli::output::Output;
use crate::cli::session::Session;
use crate::clock;
use crate::model::binary::{Binary, BinaryState};
use crate::report::tables;
use crate::settings::Settings;
use crate::store::{BinaryFilter, Lookup, Store};

mod change;

/// What to do with binaries.
#[derive(Debug, Subcommand)]
pub(crate) enum BinaryCommand {
    /// All binaries that were ever asked for on this machine
    List(ListArgs),
    /// One binary, with the attempts to get it
    Show {
        /// The binary, by its name, its id, or the beginning or end of its id
        binary: String,
    },
    /// Store a binary that is there, and link it
    Create(change::CreateArgs),
    /// Change what is stored of binaries
    Update(change::UpdateArgs),
    /// Forget binaries, and take their links away
    Delete(change::DeleteArgs),
}

/// Which binaries to list.
#[derive(Debug, clap::Args)]
pub(crate) struct ListArgs {
    /// Only the binary of this name
    #[arg(long)]
    name: Option<String>,
    /// Only these
    #[arg(long, value_parser = ["queued", "installed"])]
    status: Option<String>,
    /// Only those with this in their path
    #[arg(long, value_name = "TEXT")]
    abspath: Option<String>,
    /// Only those with this in their version
    #[arg(long, value_name = "TEXT")]
    version: Option<String>,
    /// At most so many
    #[arg(long, short = 'n', value_name = "N")]
    limit: Option<u32>,
}

/// Runs it.
pub(crate) fn run(
    command: BinaryCommand,
    settings: &Settings,
    output: &mut Output,
) -> Result<Exit, CliError> {
    match command {
        BinaryCommand::List(args) => list(args, Session::read(settings)?.as_ref(), output)?,
        BinaryCommand::Show { binary } => show(&binary, Session::read(settings)?.as_ref(), output)?,
        BinaryCommand::Create(args) => return change::create(&args, settings, output),
        BinaryCommand::Update(args) => return change::update(&args, settings, output),
        BinaryCommand::Delete(args) => return change::delete(&args, settings, output),
    }
    Ok(Exit::Well)
}

fn list(args: ListArgs, store: Option<&Store>, output: &mut Output) -> Result<(), CliError> {
    let ListArgs { name, status, abspath, version, limit } = args;
    let filter = BinaryFilter { name, status, abspath, version, limit };
    let binaries = store.map(|it| it.binaries(&filter)).transpose()?.unwrap_or_default();
    if output.is_json() {
        let attempts = |binary: &Binary| -> Result<_, CliError> {
            Ok(match (store, &binary.state) {
                (Some(store), BinaryState::Queued(_)) => attempts_of(store, binary)?,
                _ => Vec::new(),
            })
        };
        for binary in &binaries {
            let attempts = attempts(binary)?;
            output.record(&binary.to_record(&attempts))?;
        }
        return Ok(());
    }
    output.table(&tables::binaries(&binaries))
}

fn show(typed: &str, store: Option<&Store>, output: &mut Output) -> Result<(), CliError> {
    let not_found = || {
        let text = format!("no binary has the name or id {typed}; `rigup binary list` shows the binaries");
        CliError::NotFound(text)
    };
    let Some(store) = store else {
        return Err(not_found());
    };
    match store.find_binary(typed)? {
        Lookup::NotFound => Err(not_found()),
        Lookup::Ambiguous(count) => Err(CliError::NotFound(format!(
            "{typed} matches {count} binaries; type more characters of an id"
        ))),
        Lookup::Found(binary) => {
            if output.is_json() {
                return output.record(&binary.to_record(&attempts_of(store, &binary)?));
            }
            output.record(&binary.to_record(&[]))?;
            output.table(&tables::attempts(&store.attempts(binary.id)?, clock::now()))
        }
    }
}

fn attempts_of(store: &Store, binary: &Binary) -> Result<Vec<crate::model::attempt::Attempt>, CliError> {
    Ok(store.attempts(binary.id)?.into_iter().map(|(attempt, _)| attempt).collect())
}
