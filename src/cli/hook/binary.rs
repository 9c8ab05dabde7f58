//! `rigup hook binary`: Binary records for hook scripts.

use std::path::PathBuf;

use super::ProviderArgs;
use crate::cli::command::{CliError, CommandResult, Context, interrupt};
use crate::cli::message::{message, print_event};
use crate::engine::session;
use crate::engine::{EngineError, ExitStatus};
use crate::model::{BinaryName, Installed};
use crate::process::subreaper;
use crate::settings::Settings;
use crate::store::BinaryFilter;
use crate::toolkit::batch::BatchSearch;
use crate::toolkit::binary;
use crate::toolkit::request::RequestError;

/// The arguments of `rigup hook binary`.
#[derive(Debug, clap::Args)]
pub(crate) struct BinaryArgs {
    #[command(flatten)]
    of: ProviderArgs,
    /// Name of the binary [default: the one in the hook's arguments]
    #[arg(long)]
    name: Option<String>,
    /// Path of the binary [default: the first match on PATH, ignoring LIB_BIN_DIR]
    #[arg(long, value_name = "PATH")]
    abspath: Option<PathBuf>,
    /// If the binary does not exist, decline: exit with 0 and print no record
    #[arg(long)]
    or_decline: bool,
    /// Read the requests from stdin; print a record for each
    #[arg(long, conflicts_with_all = ["name", "abspath"])]
    batch: bool,
}

/// Prints the records.
pub(crate) fn print(args: &BinaryArgs, context: &mut Context) -> CommandResult {
    // Only the parent of a version probe notices the processes that it leaves.
    subreaper::become_subreaper();
    // Files are probed on threads, and the implicit pool panics if it cannot start any.
    rayon::ThreadPoolBuilder::new().build_global().map_err(EngineError::from)?;
    if args.batch { print_all(args, context) } else { print_one(args, context) }
}

fn print_one(args: &BinaryArgs, context: &mut Context) -> CommandResult {
    let Context { settings, output, .. } = context;
    let request = match (&args.name, args.of.arguments.is_empty()) {
        (Some(_), true) => None,
        _ => Some(args.of.request(settings)?),
    };
    let name = match (&args.name, &request) {
        (Some(name), _) => BinaryName::parse(name, settings.home.as_deref()).map_err(CliError::usage)?,
        (None, Some(request)) => request.name.clone(),
        (None, None) => return Err(CliError::usage(RequestError::NoName)),
    };
    let overrides = request.map(|request| request.overrides).unwrap_or_default();
    let overrides = overrides.of(&args.of.provider);
    let abspath = overrides.abspath(settings.home.as_deref());
    let interrupt = interrupt()?;
    let known = known(Some(&name), settings);
    let record =
        binary::locate(&name, abspath.as_deref().or(args.abspath.as_deref()), settings).and_then(|file| {
            let facts = binary::facts(&file, overrides.version.as_deref(), &known, settings, &interrupt)?;
            Ok(binary::record(&name, &args.of.provider, &file, &facts))
        });
    // The probe was interrupted: a record without a version would state that the program has none.
    if let Some(signal) = interrupt.signal() {
        return Ok(ExitStatus::Interrupted(signal));
    }
    match record {
        Ok(record) => output.records([record]),
        Err(error) if args.or_decline && error.is_missing() => message!("{error}"),
        Err(error) => return Err(CliError::not_found(error)),
    }
    Ok(ExitStatus::Success)
}

/// Prints a record for each request of a batch.
fn print_all(args: &BinaryArgs, context: &mut Context) -> CommandResult {
    let Context { settings, output, .. } = context;
    let requests = args.of.piped_requests(settings)?;
    let known = known(None, settings);
    let interrupt = interrupt()?;
    let search = BatchSearch {
        provider: &args.of.provider,
        or_decline: args.or_decline,
        known: &known,
        settings,
        interrupt: &interrupt,
    };
    let records = search.records(&requests);
    if let Some(signal) = interrupt.signal() {
        return Ok(ExitStatus::Interrupted(signal));
    }
    output.records(records);
    Ok(ExitStatus::Success)
}

/// Returns the installed binaries in the store, of one name or all. If the store cannot be read, the files are probed.
fn known(name: Option<&BinaryName>, settings: &Settings) -> Vec<Installed> {
    let Ok(Some(store)) = session::open_to_read(settings, &print_event) else { return Vec::new() };
    let filter = BinaryFilter { name: name.map(|name| name.as_str().to_owned()), ..BinaryFilter::default() };
    let binaries = store.binaries(&filter).unwrap_or_default();
    binaries.iter().filter_map(|binary| binary.installed().cloned()).collect()
}
