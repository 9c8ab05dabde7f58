//! `rigup hook binary`, which prints the Binary records of what a provider installed.

use std::path::{Path, PathBuf};

use crate::cli::command::{CliError, CommandResult, Context, interrupt};
use crate::cli::hook::provider_args::ProviderArgs;
use crate::cli::message::message;
use crate::engine::ExitStatus;
use crate::install::probe::Prober;
use crate::model::policy::{MIN_RELEASE_AGE_KEY, POSTINSTALL_SCRIPTS_KEY};
use crate::model::{BinaryName, Outcome};
use crate::process::subreaper;
use crate::settings::Settings;
use crate::toolkit::batch::{self, BatchSearch};
use crate::toolkit::binary::{Search, start_threads};
use crate::toolkit::built::BuiltPrefix;
use crate::toolkit::relocate;
use crate::toolkit::request::RequestError;
use crate::toolkit::single::SingleSearch;

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
    /// Probe the binary in this folder, and then move the folder to the prefix
    #[arg(long, value_name = "FOLDER", requires = "abspath", conflicts_with = "or_decline")]
    built: Option<PathBuf>,
    /// Make the links and launchers in that folder work after a move, as `hook relocate` does
    #[arg(long, requires = "built")]
    relocate: bool,
    /// Move the folder of `--built` to this prefix of the provider [default: that of the request]
    #[arg(long, value_name = "FOLDER", requires = "built")]
    prefix: Option<PathBuf>,
    /// Version of the package that the binary is from, instead of the one that the binary prints
    #[arg(long, value_name = "VERSION", conflicts_with = "batch")]
    package_version: Option<String>,
    /// State in the record the address of the file that the binary was installed from
    #[arg(long, value_name = "URL", requires = "url_sha256", conflicts_with = "batch")]
    url: Option<String>,
    /// Digest of the file at `--url`
    #[arg(long, value_name = "SHA256", requires = "url")]
    url_sha256: Option<String>,
    /// If the binary does not exist, decline: exit with 0 and print no record
    #[arg(long)]
    or_decline: bool,
    /// State in the record that the provider could not enforce this rule of the policy, which is only a default
    #[arg(long, value_name = "RULE", value_parser = [MIN_RELEASE_AGE_KEY, POSTINSTALL_SCRIPTS_KEY])]
    unenforced: Vec<String>,
    /// Read the requests from stdin; print a record for each
    #[arg(long, conflicts_with_all = ["name", "abspath"])]
    batch: bool,
    /// If a binary does not exist, name the programs of its packages, whose files CMD lists
    #[arg(long, value_name = "CMD", requires = "batch")]
    list_files: Option<String>,
}

/// Runs the command.
pub(super) fn run(args: &BinaryArgs, context: &mut Context) -> CommandResult {
    // A subreaper becomes the parent of the processes that a version probe leaves behind, so that it can terminate
    // them.
    subreaper::become_subreaper();
    if args.batch { print_batch(args, context) } else { print_binary(args, context) }
}

fn print_binary(args: &BinaryArgs, context: &mut Context) -> CommandResult {
    let settings = &context.settings;
    let request = match (&args.name, args.of.arguments.is_empty()) {
        (Some(_), true) => None,
        _ => Some(args.of.request(settings)?),
    };
    let name = match (&args.name, &request) {
        (Some(name), _) => BinaryName::parse(name, settings.home.as_deref()).map_err(CliError::usage)?,
        (None, Some(request)) => request.name.clone(),
        (None, None) => return Err(CliError::usage(RequestError::NoName)),
    };
    let built = match (&args.built, &request) {
        (Some(built), Some(request)) => {
            let prefix = request.prefix_at(&args.of.provider, args.prefix.as_deref(), &settings.lib_dir);
            let prefix = prefix.map_err(CliError::usage)?.path(&settings.lib_dir);
            Some(BuiltPrefix { built, prefix, is_shared: args.prefix.is_some(), settings })
        }
        _ => None,
    };
    if let Some(built) = args.built.as_deref().filter(|_| args.relocate) {
        relocate(built, settings)?;
    }
    let interrupt = interrupt()?;
    let config = args.of.config(settings, None)?;
    let search = SingleSearch {
        search: Search {
            provider: &args.of.provider,
            metadata: config.metadata,
            settings,
            prober: Prober::new(settings, &interrupt),
        },
        name: &name,
        request: request.as_ref(),
        abspath: args.abspath.as_deref(),
        built,
        package_version: args.package_version.as_deref(),
        config: &config,
        or_decline: args.or_decline,
        download: args.url.as_deref().zip(args.url_sha256.as_deref()),
        unenforced: &args.unenforced,
    };
    let found = search.records();
    search.built.iter().for_each(BuiltPrefix::release_lock);
    if let Some(signal) = interrupt.signal() {
        return Ok(ExitStatus::Interrupted(signal));
    }
    match found {
        Ok(records) => context.output.records(records),
        Err((Outcome::Declined, reason)) => message!("{reason}"),
        Err((outcome, reason)) => {
            if outcome == Outcome::Rejected {
                context.output.records([batch::failure(name.as_str(), outcome, &reason)]);
            }
            return Err(CliError::not_found(reason));
        }
    }
    Ok(ExitStatus::Success)
}

/// Prints a record for each request of a batch.
fn print_batch(args: &BinaryArgs, context: &mut Context) -> CommandResult {
    start_threads().map_err(CliError::setup)?;
    let settings = &context.settings;
    let (_, requests) = args.of.input(settings)?;
    let list_files = match &args.list_files {
        Some(command) => Some((command.as_str(), args.of.config(settings, None)?.version_format)),
        None => None,
    };
    let interrupt = interrupt()?;
    let search = BatchSearch {
        search: Search {
            provider: &args.of.provider,
            metadata: args.of.config(settings, None)?.metadata,
            settings,
            prober: Prober::new(settings, &interrupt),
        },
        or_decline: args.or_decline,
        list_files,
        interrupt: &interrupt,
    };
    let records = search.records(&requests);
    if let Some(signal) = interrupt.signal() {
        return Ok(ExitStatus::Interrupted(signal));
    }
    context.output.records(records);
    Ok(ExitStatus::Success)
}

/// Makes the links and launchers in a folder work after a move. Lists the scripts for which that is not possible.
pub(super) fn relocate(prefix: &Path, settings: &Settings) -> Result<(), CliError> {
    let fixed_scripts = relocate::relocate(prefix, &settings.lib_dir)
        .map_err(|error| CliError::setup(format!("cannot relocate {}: {error}", prefix.display())))?;
    for script in fixed_scripts {
        message!("{}", relocate::fixed_script(&script));
    }
    Ok(())
}
