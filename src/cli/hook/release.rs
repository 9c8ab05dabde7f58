//! `rigup hook release` and `rigup hook download`, whose output a hook evaluates.

use std::path::{Path, PathBuf};

use crate::cli::command::{CliError, CommandResult, Context, interrupt};
use crate::cli::hook::provider_args::ProviderArgs;
use crate::cli::message::message;
use crate::clock;
use crate::engine::ExitStatus;
use crate::fs::digest::is_sha256;
use crate::model::Outcome;
use crate::process::executable;
use crate::process::lock::LockError;
use crate::process::signals::Interrupt;
use crate::settings::Settings;
use crate::shell;
use crate::toolkit::begin::EXIT_IN_SHELL;
use crate::toolkit::download::AssetSource;
use crate::toolkit::release::{ReleaseSearch, listing};
use crate::toolkit::unpacked_asset::AssetPrefix;

/// The arguments of `rigup hook release`.
#[derive(Debug, clap::Args)]
pub(crate) struct ReleaseArgs {
    /// Take the file at the address in the override `url`
    #[arg(long)]
    at_url: bool,
    /// Read requests from stdin, and print the versions of their releases; for batch hooks that list versions
    #[arg(long, conflicts_with = "at_url")]
    versions: bool,
    #[command(flatten)]
    of: ProviderArgs,
}

/// The arguments of `rigup hook download`.
#[derive(Debug, clap::Args)]
pub(crate) struct DownloadArgs {
    /// Address of the file, or a line of `candidates`, which `hook release` sets
    source: String,
    /// Folder to put the file into
    folder: PathBuf,
    /// SHA-256 digest that the file must have
    #[arg(long, value_name = "DIGEST")]
    sha256: Option<String>,
    /// Print no warning if nothing verifies the file, because the hook does
    #[arg(long, conflicts_with = "sha256")]
    unverified: bool,
    /// Allow an address of http or file too, because the user's setting NAME has it
    #[arg(long, value_name = "NAME")]
    setting: Option<String>,
    /// Download nothing if the file is already unpacked in the prefix of this release; set `built` to the prefix
    #[arg(long, value_name = "PATH")]
    release: Option<PathBuf>,
    /// The hook has opened the file of the lock
    #[arg(long, hide = true, requires = "release")]
    under_lock: bool,
}

/// Prints shell code that sets the release of a request and its files, or that ends the hook.
pub(super) fn release(args: &ReleaseArgs, context: &mut Context) -> CommandResult {
    let ReleaseArgs { at_url, versions, of } = args;
    if *versions {
        return list(of, context);
    }
    evaluated(context, |settings| {
        let request = of.request(settings)?;
        let interrupt = interrupt()?;
        let search = ReleaseSearch::new(&of.provider, &request, settings, &interrupt, clock::now());
        let found = search.and_then(|search| search.find(*at_url));
        Ok(found
            .map(|found| found.script())
            .map_err(|error| (error.signal(), error.outcome(), error.to_string())))
    })
}

/// Prints the records about the releases of the requests on stdin.
fn list(of: &ProviderArgs, context: &mut Context) -> CommandResult {
    let (_, requests) = of.input(&context.settings)?;
    let interrupt = interrupt()?;
    let records = listing::records(&of.provider, &requests, &context.settings, &interrupt, clock::now());
    if let Some(signal) = interrupt.signal() {
        return Ok(ExitStatus::Interrupted(signal));
    }
    context.output.records(records);
    Ok(ExitStatus::Success)
}

/// Downloads a file, and prints shell code that sets its path, or that ends the hook.
pub(super) fn download(args: &DownloadArgs, context: &mut Context) -> CommandResult {
    let DownloadArgs { source, folder, sha256, unverified, setting, release, .. } = args;
    evaluated(context, |settings| {
        let is_line = AssetSource::is_line(source);
        if is_line && (sha256.is_some() || *unverified || setting.is_some()) {
            return Err(CliError::usage("--sha256, --unverified and --setting need an address"));
        }
        let sha256 = sha256.as_ref().map(|digest| digest.to_ascii_lowercase());
        if let Some(wrong) = sha256.as_deref().filter(|text| !is_sha256(text)) {
            return Err(CliError::usage(format!("{wrong} is not a SHA-256 digest")));
        }
        let interrupt = interrupt()?;
        let download = if is_line {
            AssetSource::parse_line(source)
        } else {
            AssetSource::at(source, setting.as_deref(), sha256.as_deref(), *unverified)
        };
        let unpacked = |download: &AssetSource| {
            let place = AssetPrefix::new(release.as_deref()?, download, settings)?;
            // Without the lock, the file is downloaded.
            unpacked(args, &place, &interrupt).unwrap_or_default()
        };
        let script = download.and_then(|download| match unpacked(&download) {
            Some(script) => Ok(script),
            None => Ok(download.run(folder, settings, &interrupt)?.script()),
        });
        Ok(script.map_err(|error| (error.signal(), error.outcome(), error.to_string())))
    })
}

/// Returns the shell code for a file that is unpacked already, or that takes the lock under which that is checked. Returns
/// `None` if the file has to be downloaded.
fn unpacked(
    args: &DownloadArgs,
    place: &AssetPrefix<'_>,
    interrupt: &Interrupt,
) -> Result<Option<String>, LockError> {
    let DownloadArgs { source, folder, release, under_lock, .. } = args;
    if !under_lock {
        let release = release.as_deref().map(shell::quote_path).unwrap_or_default();
        let (source, folder) = (shell::quote_text(source), shell::quote_path(folder));
        let command =
            format!("\"$RIGUP\" hook download --under-lock --release {release} -- {source} {folder}");
        return place.opening(&command).map(Some);
    }
    let is_locked =
        place.lock(interrupt, |holder| message!("waiting for {holder}, which downloads the same file"))?;
    Ok(if is_locked { place.script() } else { None })
}

/// Checks whether the system can start a program.
pub(super) fn startable(file: &Path, context: &Context) -> CommandResult {
    let search_path = || context.settings.environment.get("PATH").unwrap_or_default().to_owned();
    match executable::check(file, Some(&search_path)) {
        Ok(()) => Ok(ExitStatus::Success),
        Err(problem) => Err(CliError::not_found(format!("{} {problem}", file.display()))),
    }
}

/// Why there is no shell code: the signal that interrupted the command, if one did, the outcome and the reason.
type HookEnd = (Option<i32>, Outcome, String);

/// Prints the shell code that a function returns, or the code that ends the hook: the shell that evaluates it does not
/// check the exit code of this command.
fn evaluated(
    context: &mut Context,
    script: impl FnOnce(&Settings) -> Result<Result<String, HookEnd>, CliError>,
) -> CommandResult {
    let result = script(&context.settings);
    let (code, status) = match &result {
        Ok(Ok(script)) => (script.clone(), ExitStatus::Success),
        Ok(Err((Some(signal), ..))) => (format!("exit {}\n", 128 + signal), ExitStatus::Interrupted(*signal)),
        Ok(Err((None, outcome, reason))) => {
            let function = match outcome {
                Outcome::Declined => "decline",
                Outcome::Rejected => "reject",
                _ => "fail",
            };
            (format!("{function} {}\n", shell::quote_text(reason)), ExitStatus::Incomplete)
        }
        Err(_) => (EXIT_IN_SHELL.to_owned(), ExitStatus::Incomplete),
    };
    context.output.raw(code.as_bytes());
    result.map(|_| status)
}
