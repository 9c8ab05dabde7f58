//! `rigup which`: where installed binaries are.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::cli::command::{CliError, CommandResult, Context};
use crate::cli::completions::specs;
use crate::cli::message::error;
use crate::engine::catalog::Catalog;
use crate::engine::completion;
use crate::engine::{ExitStatus, session};
use crate::install::status::FileCheck;
use crate::install::{adopt, plan, status};
use crate::model::{Binary, BinaryName, BinarySpec, Installed};
use crate::plugin::config::enabled::PluginConfigs;
use crate::plugin::requirement::Providers;
use crate::report::text::printable;
use crate::settings::Settings;
use crate::shell;

/// The arguments of `rigup which`.
#[derive(Debug, clap::Args)]
#[command(after_help = include_str!("help/which.txt"))]
pub(crate) struct WhichArgs {
    /// Binaries, each as [PROVIDER:]NAME[@VERSION]
    #[arg(required = true, value_name = "NAME", add = specs(completion::installed_specs))]
    names: Vec<String>,
    /// Also print the installed file, and other programs with that name on PATH
    #[arg(long, short)]
    all: bool,
}

/// Runs `rigup which`.
pub(crate) fn which(args: &WhichArgs, context: &mut Context) -> CommandResult {
    let store = context.store()?;
    let machine_id =
        store.as_deref().map(|store| session::machine_id(&context.settings, store)).transpose()?;
    let mut status = ExitStatus::Success;
    // To be fast, this reads no plugin: the digest decides whether the file of another machine's record has changed.
    let configs = PluginConfigs::default();
    for name in &args.names {
        // An error of the store is reported when the binary is read.
        let is_known = |name: &BinaryName| {
            store.as_ref().is_some_and(|store| store.has_binary(name.as_str()).unwrap_or_default())
        };
        let spec = BinarySpec::parse(name, context.settings.home.as_deref(), is_known);
        let spec = spec.map_err(CliError::usage)?;
        spec.versions().map_err(CliError::usage)?;
        let binary = match &store {
            Some(store) => {
                let file_check = FileCheck { settings: &context.settings, configs: &configs };
                adopt::binary(store, file_check, machine_id.flatten(), spec.name.as_str())?
            }
            None => None,
        };
        match find(&spec, binary.as_ref(), &context.settings) {
            Ok((installed, path)) => print(spec.name.as_str(), installed, path, args.all, context),
            Err(problem) => {
                error!("{problem}");
                status = ExitStatus::Incomplete;
            }
        }
    }
    Ok(status)
}

/// Returns an installed binary with the path at which it is run, or the problem.
fn find<'b>(
    spec: &BinarySpec,
    binary: Option<&'b Binary>,
    settings: &Settings,
) -> Result<(&'b Installed, PathBuf), String> {
    let next = format!("run `rigup install {}`", shell::quote_text(&spec.to_string()));
    let name = printable(spec.name.as_str());
    let unknown_provider = || {
        let catalog = Catalog::find(settings, &[], &|_event| {}).ok().filter(|_| spec.provider.is_some())?;
        let problem = plan::unknown_provider(spec, &Providers::Any, &catalog.providers())?;
        Some(format!("cannot find {spec}: {problem}"))
    };
    if binary.is_none_or(|binary| binary.installed().is_none())
        && let Some(problem) = unknown_provider()
    {
        return Err(problem);
    }
    let Some(binary) = binary else { return Err(format!("{name} is not installed; {next}")) };
    let Some(installed) = binary.installed() else {
        let reason = match &*binary.backoff.last_error {
            "" => String::new(),
            error => format!(" ({})", printable(error)),
        };
        return Err(format!("{name} is not installed{reason}; {next}"));
    };
    if let Ok(Some(mismatch)) = spec.mismatch(installed) {
        return Err(format!("cannot find {spec}: {mismatch}"));
    }
    if let Some(problem) = status::link_problem(&binary.name, &spec.to_string(), installed, settings) {
        return Err(format!("cannot run {name}: {problem}"));
    }
    let link = status::link_path(&binary.name, settings);
    // A Python module has no link.
    Ok((installed, if link.exists() { link } else { installed.abspath.clone() }))
}

/// Prints where a binary is: a path in each line, because scripts read it.
fn print(name: &str, installed: &Installed, path: PathBuf, is_all: bool, context: &mut Context) {
    let mut paths = vec![path];
    if is_all {
        let search_path = context.settings.command_environment.get("PATH");
        let on_path = which::which_in_all(name, search_path, "/").into_iter().flatten();
        for path in std::iter::once(installed.abspath.clone()).chain(on_path) {
            if !paths.contains(&path) {
                paths.push(path);
            }
        }
    }
    for (index, path) in paths.iter().enumerate() {
        if context.output.is_json_requested() {
            let is_own = index == 0 || *path == installed.abspath;
            context.output.records([record(name, path, is_own.then_some(installed))]);
        } else {
            context.output.path(path);
        }
    }
}

fn record(name: &str, path: &Path, installed: Option<&Installed>) -> Value {
    json!({
        "name": name,
        "path": path,
        "abspath": installed.map(|installed| &installed.abspath),
        "binprovider": installed.map(|installed| &installed.binprovider),
        "version": installed.map(|installed| installed.version.as_str()),
    })
}
