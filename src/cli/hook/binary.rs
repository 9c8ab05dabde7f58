//! `rigup hook binary`: the records of what is there, for hook scripts.

use std::path::PathBuf;

use super::input::{interrupt, parse, requests};
use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::cli::message::print_event;
use crate::cli::message::print_message;
use crate::engine::session;
use crate::engine::{EngineError, ExitStatus};
use crate::model::binary::Installed;
use crate::model::name::BinaryName;
use crate::plugin::overrides::Overrides;
use crate::process::subreaper;
use crate::settings::Settings;
use crate::store::BinaryFilter;
use crate::toolkit::batch::Search;
use crate::toolkit::binary::{self, BinaryError};
use crate::toolkit::request::RequestError;

/// A binary to be told about.
#[derive(Debug, clap::Args)]
pub(crate) struct BinaryArgs {
    /// The provider whose hook this is
    #[arg(long, value_name = "NAME")]
    provider: String,
    /// The binary's name; else the one among the hook's own arguments
    #[arg(long)]
    name: Option<String>,
    /// Exactly this file; else the first of its name on PATH, LIB_BIN_DIR left out
    #[arg(long, value_name = "PATH")]
    abspath: Option<PathBuf>,
    /// Exit 0 without a record where it is not there: the request is declined, not failed
    #[arg(long)]
    or_decline: bool,
    /// The requests stand on standard input: print a record for each
    #[arg(long, conflicts_with_all = ["name", "abspath"])]
    batch: bool,
    /// The hook's own arguments
    #[arg(last = true, value_name = "HOOK ARGUMENTS")]
    arguments: Vec<String>,
}

/// Prints them.
pub(crate) fn print(args: &BinaryArgs, context: &mut Context) -> Result<ExitStatus, CliError> {
    // What a version probe leaves behind is noticed only by its parent.
    subreaper::become_subreaper();
    // Files are asked on threads, and without any the pool that makes itself would panic.
    rayon::ThreadPoolBuilder::new().build_global().map_err(EngineError::from)?;
    if args.batch { print_all(args, context) } else { print_one(args, context) }
}

fn print_one(args: &BinaryArgs, context: &mut Context) -> Result<ExitStatus, CliError> {
    let Context { settings, output, .. } = context;
    let request = match (&args.name, args.arguments.is_empty()) {
        (Some(_), true) => None,
        _ => Some(parse(&args.arguments, settings)?),
    };
    let name = match (&args.name, &request) {
        (Some(name), _) => BinaryName::parse(name, settings.home.as_deref())
            .map_err(|error| CliError::Usage(error.to_string()))?,
        (None, Some(request)) => request.name.clone(),
        (None, None) => return Err(RequestError::NoName.into()),
    };
    let no_overrides = Overrides::default();
    let overrides = request.as_ref().map_or(&no_overrides, |request| &request.overrides).of(&args.provider);
    let meant = overrides.abspath(settings.home.as_deref());
    let interrupt = interrupt()?;
    let record =
        binary::locate(&name, meant.as_deref().or(args.abspath.as_deref()), settings).and_then(|file| {
            let version = overrides.version();
            let facts = binary::facts(&file, version, &known(Some(&name), settings), settings, &interrupt)?;
            Ok(binary::record(&name, &args.provider, &file, &facts))
        });
    // The version was not waited for: a record without it would be that of a program that tells none.
    if let Some(signal) = interrupt.signal() {
        return Ok(ExitStatus::Interrupted(signal));
    }
    match record {
        Ok(record) => {
            output.records([record])?;
            Ok(ExitStatus::Success)
        }
        Err(error @ (BinaryError::NotOnPath(_) | BinaryError::NotExecutable(_))) if args.or_decline => {
            print_message(&format!("{error}"));
            Ok(ExitStatus::Success)
        }
        Err(error) => Err(CliError::NotFound(error.to_string())),
    }
}

/// The same for all requests of a batch.
fn print_all(args: &BinaryArgs, context: &mut Context) -> Result<ExitStatus, CliError> {
    let Context { settings, output, .. } = context;
    let requests = requests(&args.provider, settings)?;
    let known = known(None, settings);
    let interrupt = interrupt()?;
    let search = Search {
        provider: &args.provider,
        or_decline: args.or_decline,
        known: &known,
        settings,
        interrupt: &interrupt,
    };
    let records = search.records(&requests);
    if let Some(signal) = interrupt.signal() {
        return Ok(ExitStatus::Interrupted(signal));
    }
    output.records(records)?;
    Ok(ExitStatus::Success)
}

/// What the store has of a binary, or of all. A store that cannot be read is no reason to fail: files are asked then.
fn known(name: Option<&BinaryName>, settings: &Settings) -> Vec<Installed> {
    let Ok(Some(store)) = session::open_to_read(settings, &print_event) else { return Vec::new() };
    let filter = BinaryFilter { name: name.map(|it| it.as_str().to_owned()), ..BinaryFilter::default() };
    let binaries = store.binaries(&filter).unwrap_or_default();
    binaries.iter().filter_map(|it| it.installed().cloned()).collect()
}
