//! `rigup generate`: files for other programs: a unit for systemd, which keeps the supervisor, and man pages.

use std::path::{Path, PathBuf};

use clap::{Command, Subcommand, ValueHint};

use crate::cli::command::{CliError, CommandResult, Context};
use crate::cli::completions::values;
use crate::cli::{man_pages, up};
use crate::engine::ExitStatus;
use crate::engine::completion;
use crate::hook::command;
use crate::report::systemd_unit::SystemdUnit;
use crate::settings::Settings;

/// The subcommands of `rigup generate`.
#[derive(Debug, Subcommand)]
pub(crate) enum GenerateCommand {
    /// Print a systemd unit that keeps the supervisor of the daemons declared here
    #[command(after_help = include_str!("help/generate_systemd.txt"))]
    Systemd {
        /// Start only these daemons and what they depend on
        #[arg(value_name = "NAME", add = values(completion::declared_daemons))]
        names: Vec<String>,
        /// Read daemons from FILE; repeatable
        #[arg(long, short, value_name = "FILE")]
        file: Vec<PathBuf>,
        /// Write the unit for the service manager of this user
        #[arg(long)]
        user: bool,
    },
    /// Write a man page for each command, and print the paths
    #[command(after_help = include_str!("help/generate_man.txt"))]
    Man {
        /// Write the pages into this folder
        #[arg(value_hint = ValueHint::DirPath)]
        dir: PathBuf,
    },
}

/// Runs `rigup generate`. The man pages are those of `command_line`.
pub(crate) fn run(
    command: &GenerateCommand,
    command_line: impl FnOnce() -> Command,
    context: &mut Context,
) -> CommandResult {
    match command {
        GenerateCommand::Systemd { names, file, user } => systemd(names, file, *user, context),
        GenerateCommand::Man { dir } => man_pages::write(&command_line(), dir, context),
    }
}

fn systemd(names: &[String], file: &[PathBuf], is_for_user: bool, context: &mut Context) -> CommandResult {
    let specs = up::read(file, context)?;
    if let Some(name) = names.iter().find(|name| !specs.iter().any(|spec| spec.is_named(name))) {
        return Err(CliError::not_found(format!(
            "no daemon is named {name}; `rigup up --dry-run` shows the daemons"
        )));
    }
    let here = std::env::current_dir()
        .map_err(|error| CliError::setup(format!("cannot find the current folder: {error}")))?;
    let settings = &context.settings;
    let mut rigup = vec![text(&settings.rigup)?];
    for (flag, folder) in settings.folder_flags() {
        rigup.extend([flag.to_owned(), text(folder)?]);
    }
    let mut start = rigup.clone();
    start.push("up".to_owned());
    for path in file {
        let path = std::path::absolute(path)
            .map_err(|error| CliError::setup(format!("{}: {error}", path.display())))?;
        start.extend(["-f".to_owned(), text(&path)?]);
    }
    start.extend(names.iter().cloned());
    let unit = SystemdUnit {
        start,
        stop: rigup.into_iter().chain(["down".to_owned()]).collect(),
        working_dir: text(&here)?,
        env: variables(settings, &here),
        user: (!is_for_user).then(|| nix::unistd::geteuid().to_string()),
    };
    context.output.raw(unit.text().as_bytes());
    Ok(ExitStatus::Success)
}

/// Returns the variables of now that the supervisor needs: those that find programs and plugins, and those of rigup.
fn variables(settings: &Settings, here: &Path) -> Vec<(&'static str, String)> {
    const KEPT: [&str; 7] = [
        "PATH",
        "DATA_DIR",
        "RIGUP_OUTPUT_LIMIT",
        "RIGUP_KEEP_PROCESSES",
        "RIGUP_KEEP_DAYS",
        "RIGUP_KEEP_LOG_BYTES",
        "XDG_CONFIG_HOME",
    ];
    let value = |name: &'static str| Some((name, settings.command_environment.text(name)?.to_owned()));
    // The others are found from the current folder.
    let plugins = settings.plugin_path.iter().filter(|folder| folder.parent() != Some(here));
    let plugins = std::env::join_paths(plugins).unwrap_or_default().to_string_lossy().into_owned();
    let plugins = Some(("RIGUP_PLUGINS_DIR", plugins)).filter(|(_, folders)| !folders.is_empty());
    let trusted = command::trust(settings.trust.exceptions())
        .map(|(name, folders)| (name, folders.to_string_lossy().into_owned()));
    KEPT.into_iter().filter_map(value).chain(plugins).chain(trusted).collect()
}

/// Returns a path as text.
fn text(path: &Path) -> Result<String, CliError> {
    path.to_str().map(str::to_owned).ok_or_else(|| {
        CliError::setup(format!("{}: systemd reads only paths in UTF-8; rename it", path.display()))
    })
}
