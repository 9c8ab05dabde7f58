//! `rigup hook`: lists and tests hooks, and provides the toolkit for hook scripts.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::cli::command::{CliError, CommandResult, Context, interrupt};
use crate::cli::completions::values;
use crate::cli::hook::provider_args::ProviderArgs;
use crate::cli::message::{message, print_diagnostics, print_event};
use crate::clock;
use crate::engine::ExitStatus;
use crate::engine::catalog::Catalog;
use crate::engine::completion;
use crate::model::Outcome;
use crate::plugin::discovery::Hook;
use crate::plugin::hook_name::canonical_event;
use crate::process::foreground::Foreground;
use crate::process::lock::{Holder, LockError};
use crate::process::notify;
use crate::process::spawn::CommandSpec;
use crate::report::table::{Cell, Column, Table};
use crate::settings::Settings;
use crate::sorting::sort_by;
use crate::toolkit::batch;
use crate::toolkit::begin::EXIT_IN_SHELL;
use crate::toolkit::lock::{self, LockedError};
use crate::toolkit::{begin, policy, toml_keys};

mod archive;
mod asset;
mod binary;
mod provider_args;
mod release;
mod repository;
mod test;
mod versions;

/// List and test hooks. Hook scripts call the other commands, and pass their own arguments on with `-- "$@"`.
#[derive(Debug, Subcommand)]
pub(crate) enum HookCommand {
    /// List all hooks, or those of one event, in the order in which they run
    #[command(after_help = include_str!("help/hook_list.txt"))]
    List {
        /// Event, such as `BinaryRequest`
        #[arg(add = values(completion::events))]
        event: Option<String>,
    },
    /// Check a hook against the hook contract, item by item
    Test(test::TestArgs),
    /// For provider hooks: print shell code that takes the lock and sets variables
    #[command(after_help = include_str!("help/hook_begin.txt"))]
    Begin(BeginArgs),
    /// For hook scripts: exit with 0 if the request allows the provider, and with 10 if not
    #[command(after_help = include_str!("help/hook_accepts.txt"))]
    Accepts(ProviderArgs),
    /// For hook scripts: print the packages to install, one per line
    #[command(after_help = include_str!("help/hook_packages.txt"))]
    Packages {
        /// Read requests from stdin; print each name and its packages, tab-separated
        #[arg(long)]
        batch: bool,
        /// Append versions in this format, such as `=={}` [default: `version_format`]
        #[arg(long, value_name = "FORMAT")]
        pin: Option<String>,
        #[command(flatten)]
        of: ProviderArgs,
    },
    /// For hook scripts: print the record of a request that was not satisfied
    #[command(after_help = include_str!("help/hook_failure.txt"))]
    Failure {
        /// Name of the binary
        #[arg(long)]
        name: String,
        /// Report the request as declined rather than failed
        #[arg(long)]
        declined: bool,
        /// Report the request as rejected rather than failed
        #[arg(long, conflicts_with = "declined")]
        rejected: bool,
        /// Reason, which may start with `-`
        #[arg(allow_hyphen_values = true)]
        reason: String,
    },
    /// For hook scripts: print the policy as shell assignments
    #[command(after_help = include_str!("help/hook_policy.txt"))]
    Policy(ProviderArgs),
    /// For hook scripts: print the value of a key in the provider's overrides
    #[command(after_help = include_str!("help/hook_override.txt"))]
    Override {
        /// Key, such as `install_root`
        key: String,
        #[command(flatten)]
        of: ProviderArgs,
    },
    /// For hook scripts: print the folder to install into
    #[command(after_help = include_str!("help/hook_prefix.txt"))]
    Prefix(ProviderArgs),
    /// For hook scripts: make the links and launchers in a folder work after a move
    #[command(after_help = include_str!("help/hook_relocate.txt"))]
    Relocate {
        /// Folder that was installed into
        prefix: PathBuf,
    },
    /// For hook scripts: print what TOML files contain under some keys
    #[command(after_help = include_str!("help/hook_toml.txt"))]
    Toml {
        /// Keys, separated by spaces, such as `index.url pip.index-url`
        #[arg(long, value_name = "KEYS")]
        keys: String,
        /// Files, the first of which takes precedence; lists are joined
        files: Vec<PathBuf>,
    },
    /// For hook scripts: choose an asset of a release by the names on stdin
    Asset(asset::AssetArgs),
    /// For hook scripts: print the repositories on GitHub whose releases contain a program
    #[command(after_help = include_str!("help/hook_repository.txt"))]
    Repository {
        /// Name of the program
        #[arg(long)]
        name: String,
    },
    /// For hook scripts: print the release assets to install from as shell assignments
    #[command(after_help = include_str!("help/hook_release.txt"))]
    Release(release::ReleaseArgs),
    /// For hook scripts: download and verify a file, and print its path as a shell assignment
    #[command(after_help = include_str!("help/hook_download.txt"))]
    Download(release::DownloadArgs),
    /// For hook scripts: exit with 0 if the system can start a program, and with 1 if not
    #[command(after_help = include_str!("help/hook_startable.txt"))]
    Startable {
        /// Path of the program
        file: PathBuf,
    },
    /// For hook scripts: find the binary, probe its version and print its Binary record
    #[command(after_help = include_str!("help/hook_binary.txt"))]
    Binary(binary::BinaryArgs),
    /// For hook scripts: download pages of a registry and print the versions on them
    #[command(after_help = include_str!("help/hook_versions.txt"))]
    Versions(versions::VersionsArgs),
    /// For hook scripts: verify a file by checksums and signatures
    #[command(after_help = include_str!("help/hook_verify.txt"))]
    Verify(archive::VerifyArgs),
    /// For hook scripts: unpack an archive
    #[command(after_help = include_str!("help/hook_unpack.txt"))]
    Unpack(archive::UnpackArgs),
    /// For hook scripts: print the path of the program in an unpacked archive
    #[command(after_help = include_str!("help/hook_program.txt"))]
    Program(archive::ProgramArgs),
    /// For daemons with `ready.notify`: report that the daemon is ready
    #[command(after_help = include_str!("help/hook_ready.txt"))]
    Ready,
    /// For hook scripts: run a command while holding an exclusive lock
    #[command(after_help = include_str!("help/hook_lock.txt"))]
    Lock {
        /// Name of the lock, such as `pip/yt-dlp`
        name: String,
        /// Command and its arguments
        #[arg(last = true, required = true, value_name = "CMD")]
        command: Vec<OsString>,
    },
}

/// The arguments of `rigup hook begin`.
#[derive(Debug, clap::Args)]
pub(crate) struct BeginArgs {
    /// Take this lock instead of the prefix's, or with `--batch` the provider's
    #[arg(long, value_name = "NAME")]
    lock: Option<String>,
    /// Read requests from stdin; for batch hooks
    #[arg(long)]
    batch: bool,
    /// Append versions in this format, such as `=={}` [default: `version_format`]
    #[arg(long, value_name = "FORMAT")]
    pin: Option<String>,
    /// Read requests from stdin, and take no lock; for batch hooks that list versions
    #[arg(long, conflicts_with_all = ["batch", "lock", "pin"])]
    versions: bool,
    #[command(flatten)]
    of: ProviderArgs,
}

/// A function that adds the arguments of a command to its parser.
pub(crate) type AddArguments = fn(clap::Command) -> clap::Command;

/// The commands that hooks run often.
pub(crate) const FREQUENT: [(&str, AddArguments); 9] = [
    ("accepts", ProviderArgs::augment_args),
    ("begin", BeginArgs::augment_args),
    ("binary", binary::BinaryArgs::augment_args),
    ("download", release::DownloadArgs::augment_args),
    ("policy", ProviderArgs::augment_args),
    ("prefix", ProviderArgs::augment_args),
    ("release", release::ReleaseArgs::augment_args),
    ("unpack", archive::UnpackArgs::augment_args),
    ("versions", versions::VersionsArgs::augment_args),
];

/// The commands whose output a hook evaluates, so that a usage error must end the hook.
const EVALUATED: [&str; 3] = ["begin", "release", "download"];

/// Whether a hook evaluates the output of a command line with a usage error, also that of a misspelled command.
pub(crate) fn is_evaluated(arguments: impl IntoIterator<Item = OsString>, error: ErrorKind) -> bool {
    let mut arguments = arguments.into_iter();
    arguments.next().is_some_and(|word| word == "hook")
        && (error == ErrorKind::InvalidSubcommand
            || arguments.next().is_some_and(|word| EVALUATED.iter().any(|name| word == *name)))
}

/// The exit code of a hook whose provider the request does not allow, and of a search without a result.
const SKIPPED: ExitStatus = ExitStatus::Code(10);

/// Returns the exit status of a search, or of the question whether a request allows the provider.
fn found(is_found: bool) -> ExitStatus {
    if is_found { ExitStatus::Success } else { SKIPPED }
}

/// Runs the command.
pub(crate) fn run(command: HookCommand, context: &mut Context) -> CommandResult {
    let Context { settings, output, .. } = context;
    match command {
        HookCommand::List { event } => return list(event.as_deref(), context),
        HookCommand::Test(args) => return test::test(args, context),
        HookCommand::Asset(args) => return Ok(found(asset::choose(&args, context)?)),
        HookCommand::Repository { name } => return Ok(found(repository::print(&name, context))),
        HookCommand::Verify(args) => return archive::verify(&args),
        HookCommand::Unpack(args) => return archive::unpack(&args),
        HookCommand::Program(args) => return archive::program(&args, context),
        HookCommand::Release(args) => return release::release(&args, context),
        HookCommand::Download(args) => return release::download(&args, context),
        HookCommand::Startable { file } => return release::startable(&file, context),
        HookCommand::Binary(args) => return binary::run(&args, context),
        HookCommand::Versions(args) => return versions::print(&args, context),
        HookCommand::Begin(BeginArgs { lock, batch, pin, versions, of }) => {
            // The shell that evaluates the output does not check the exit code of this command.
            let result = if versions {
                begin_versions(&of, settings)
            } else {
                begin(&of, lock.as_deref(), batch, pin, settings)
            };
            output.raw(result.as_ref().map_or(EXIT_IN_SHELL, |(script, _)| script).as_bytes());
            return result.map(|(_, status)| status);
        }
        HookCommand::Accepts(of) => {
            return Ok(found(of.is_accepted_by(&of.request(settings)?)));
        }
        HookCommand::Packages { batch, pin, of } => {
            let requests = if batch { of.input(settings)?.1 } else { vec![of.request(settings)?] };
            let config = of.config(settings, pin)?;
            let plan = begin::plan(&requests, &of.provider, &config).map_err(CliError::usage)?;
            if batch {
                output.raw(plan.as_bytes());
            } else {
                let packages = plan.split_once('\t').map_or("", |(_, packages)| packages);
                output.raw(packages.replace('\t', "\n").as_bytes());
            }
        }
        HookCommand::Failure { name, declined, rejected, reason } => {
            let outcome = match (declined, rejected) {
                (true, _) => Outcome::Declined,
                (_, true) => Outcome::Rejected,
                _ => Outcome::Failed,
            };
            output.records([batch::failure(&name, outcome, &reason)]);
        }
        HookCommand::Policy(of) => {
            output.raw(policy::assignments(&of.request(settings)?, clock::now()).as_bytes());
        }
        HookCommand::Override { key, of } => {
            match of.request(settings)?.overrides.of(&of.provider).get(&key) {
                None | Some(Value::Null) => {}
                Some(Value::String(text)) => output.line(text),
                Some(other) => output.line(other),
            }
        }
        HookCommand::Prefix(of) => {
            let prefix = of.request(settings)?.prefix(&of.provider, &settings.lib_dir);
            let prefix = prefix.map_err(CliError::usage)?.path(&settings.lib_dir);
            output.raw(&[prefix.as_os_str().as_encoded_bytes(), b"\n"].concat());
        }
        HookCommand::Relocate { prefix } => {
            binary::relocate(&prefix, settings)?;
        }
        HookCommand::Toml { keys, files } => {
            output.raw(toml_keys::select(&files, &keys).map_err(CliError::setup)?.as_bytes());
        }
        HookCommand::Ready => {
            let address = settings.environment.get(notify::SOCKET_VARIABLE).and_then(OsStr::to_str);
            let address = address.ok_or_else(|| {
                CliError::not_found(
                    "cannot report that the daemon is ready: NOTIFY_SOCKET is not set; declare \
                     `ready = { notify = true }` for the daemon",
                )
            })?;
            notify::send(address, "READY=1").map_err(|error| {
                CliError::not_found(format!("cannot report to {address} that the daemon is ready: {error}"))
            })?;
        }
        HookCommand::Lock { name, command } => {
            let mut words = command.into_iter();
            let program = words.next().ok_or_else(|| CliError::usage("no command to run under the lock"))?;
            let environment = settings.command_environment.iter();
            let env = environment.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
            let command = CommandSpec { program, args: words.collect(), env, cwd: ".".into() };
            let interrupt = interrupt()?;
            let mut foreground = Foreground::install().map_err(CliError::setup)?;
            let on_wait = |holder: &Holder| message!("waiting for the lock {name}, held by {holder}");
            let ran = lock::run(&settings.lib_dir, &name, &command, &mut foreground, &interrupt, on_wait);
            let exit = match ran {
                Err(LockedError::Lock(LockError::Interrupted(signal))) => {
                    return Ok(ExitStatus::Interrupted(signal));
                }
                ran => ran.map_err(CliError::setup)?,
            };
            return Ok(ExitStatus::of_foreground(&exit, foreground.interrupted_by(&exit)));
        }
    }
    Ok(ExitStatus::Success)
}

/// Returns the shell code that starts a provider's hook, and the exit status of the command.
fn begin(
    of: &ProviderArgs,
    lock: Option<&str>,
    is_batch: bool,
    pin: Option<String>,
    settings: &Settings,
) -> Result<(String, ExitStatus), CliError> {
    if is_batch {
        let config = of.config(settings, pin)?;
        let lock = lock.map_or_else(|| begin::lock_name(&config, of.provider.clone()), str::to_owned);
        let restart = begin::restart(&lock, settings).map_err(CliError::usage)?;
        let script = if let Some(script) = restart {
            script
        } else {
            let (input, requests) = of.input(settings)?;
            begin::batch_script(&input, &requests, &of.provider, &config, settings)
                .map_err(CliError::usage)?
        };
        return Ok((script, ExitStatus::Success));
    }
    let request = of.request(settings)?;
    if !of.is_accepted_by(&request) {
        return Ok(("exit 10\n".to_owned(), SKIPPED));
    }
    let config = of.config(settings, pin)?;
    let script = begin::script(&request, &of.provider, lock, &config, settings, clock::now());
    Ok((script.map_err(CliError::usage)?, ExitStatus::Success))
}

/// Returns the shell code that starts a hook which lists versions.
fn begin_versions(of: &ProviderArgs, settings: &Settings) -> Result<(String, ExitStatus), CliError> {
    let (_, requests) = of.input(settings)?;
    let script = begin::versions_script(&requests, &of.provider, &of.config(settings, None)?, settings);
    Ok((script.map_err(CliError::usage)?, ExitStatus::Success))
}

fn list(event: Option<&str>, context: &mut Context) -> CommandResult {
    let catalog = Catalog::read(&context.settings, &[], &print_event)?;
    let all = catalog.discovery.plugins.iter().flat_map(|plugin| &plugin.hooks);
    let is_listed = |hook: &&Hook| event.is_none_or(|event| hook.name.event == canonical_event(event));
    let mut hooks: Vec<&Hook> = all.filter(is_listed).collect();
    sort_by(&mut hooks, |a, b| {
        a.name.event.cmp(&b.name.event).then(a.name.cmp_with_plugins(&a.plugin, &b.name, &b.plugin))
    });
    let records = hooks.iter().map(|hook| {
        json!({
            "type": "Hook",
            "event": hook.name.event,
            "order": hook.name.order,
            "name": hook.name.name,
            "plugin": hook.plugin,
            "path": hook.path.to_string_lossy(),
            "background": hook.name.background.is_some(),
        })
    });
    let rows = hooks.iter().map(|hook| {
        let order = hook.name.order.map(|order| order.to_string()).unwrap_or_default();
        let background = if hook.name.background.is_some() { "background" } else { "" };
        let path = hook.path.to_string_lossy();
        [&hook.name.event, order.as_str(), hook.plugin.as_str(), background, &path].map(Cell::plain)
    });
    let columns = [
        Column::new("EVENT"),
        Column::new("ORDER").optional(2),
        Column::new("PLUGIN"),
        Column::new("").optional(1),
        Column::new("PATH").cut_start(20),
    ];
    context.output.list(records, "no hooks", || Table::with_rows(columns, rows));
    Ok(print_diagnostics(&catalog))
}
