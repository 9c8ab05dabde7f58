//! `rigup hook`: lists and tests hooks, and provides the toolkit for hook scripts.

use std::ffi::{OsStr, OsString};
use std::io::{self, Read};
use std::path::PathBuf;

use clap::Subcommand;
use clap::error::ErrorKind;
use serde_json::{Value, json};

use crate::cli::command::{CliError, CommandResult, Context, interrupt};
use crate::cli::completions::values;
use crate::cli::message::{message, print_diagnostics, print_event, warning};
use crate::cli::standard_stream::StandardStream;
use crate::clock;
use crate::engine::catalog::Catalog;
use crate::engine::completion;
use crate::engine::{EngineError, ExitStatus};
use crate::install::probe::Prober;
use crate::model::policy::{MIN_RELEASE_AGE_KEY, POSTINSTALL_SCRIPTS_KEY};
use crate::model::{BinaryName, Outcome};
use crate::plugin::builtin;
use crate::plugin::config::provider::ProviderConfig;
use crate::plugin::config::schema;
use crate::plugin::discovery::Hook;
use crate::plugin::hook_name::canonical_event;
use crate::process::foreground::Foreground;
use crate::process::lock::{Holder, LockError};
use crate::process::notify;
use crate::process::spawn::CommandSpec;
use crate::process::subreaper;
use crate::report::table::{Cell, Column, Table};
use crate::settings::Settings;
use crate::toolkit::batch::{self, BatchSearch};
use crate::toolkit::binary::Search;
use crate::toolkit::built::BuiltPrefix;
use crate::toolkit::lock::{self, LockedError};
use crate::toolkit::request::{HookRequest, RequestError};
use crate::toolkit::single::SingleSearch;
use crate::toolkit::{begin, policy, relocate, toml_keys};
use crate::trust::Inspection;

mod asset;
mod archive;
mod test;

/// List and test hooks. Hook scripts call the other commands, and pass their own arguments on with `-- "$@"`.
#[derive(Debug, Subcommand)]
pub(crate) enum HookCommand {
    /// List all hooks, or those of one event, in the order in which they run
    List {
        /// Event, such as `BinaryRequest`
        #[arg(add = values(completion::events))]
        event: Option<String>,
    },
    /// Check a hook against the hook contract, item by item
    Test(test::TestArgs),
    /// For provider hooks: print shell code that takes the lock and sets variables
    #[command(after_help = include_str!("help/hook_begin.txt"))]
    Begin {
        /// Take this lock instead of the prefix's, or with `--batch` the provider's
        #[arg(long, value_name = "NAME")]
        lock: Option<String>,
        /// Read requests from stdin; for batch hooks
        #[arg(long)]
        batch: bool,
        #[command(flatten)]
        of: ProviderArgs,
    },
    /// For hook scripts: exit with 0 if the request allows the provider, and with 10 if not
    Accepts(ProviderArgs),
    /// For hook scripts: print the packages to install, one per line
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
    Policy(ProviderArgs),
    /// For hook scripts: print the value of a key in the provider's overrides
    #[command(after_help = "A string is printed as is, and any other value as JSON.")]
    Override {
        /// Key, such as `install_root`
        key: String,
        #[command(flatten)]
        of: ProviderArgs,
    },
    /// For hook scripts: print the folder to install into
    Prefix(ProviderArgs),
    /// For hook scripts: make the links and launchers in a folder work after a move
    Relocate {
        /// Folder that was installed into
        prefix: PathBuf,
    },
    /// For hook scripts: print what TOML files contain under some keys
    Toml {
        /// Keys, separated by spaces, such as `index.url pip.index-url`
        #[arg(long, value_name = "KEYS")]
        keys: String,
        /// Files, the first of which takes precedence; lists are joined
        files: Vec<PathBuf>,
    },
    /// For hook scripts: choose an asset of a release by the names on stdin
    Asset(asset::AssetArgs),
    /// For hook scripts: find the binary, probe its version and print its Binary record
    Binary(BinaryArgs),
    /// For hook scripts: unpack an archive
    Unpack(archive::UnpackArgs),
    /// For daemons with `ready.notify`: report that the daemon is ready
    Ready,
    /// For hook scripts: run a command while holding an exclusive lock
    Lock {
        /// Name of the lock, such as `pip/yt-dlp`
        name: String,
        /// Command and its arguments
        #[arg(last = true, required = true, value_name = "CMD")]
        command: Vec<OsString>,
    },
}

/// A provider and a request.
#[derive(Debug, clap::Args)]
pub(crate) struct ProviderArgs {
    /// Name of the provider
    #[arg(long, value_name = "NAME")]
    provider: String,
    /// Arguments of the hook
    #[arg(last = true, value_name = "HOOK ARGUMENTS")]
    arguments: Vec<String>,
}

impl ProviderArgs {
    /// Parses the request in the arguments of the hook.
    fn request(&self, settings: &Settings) -> Result<HookRequest, CliError> {
        HookRequest::parse(&self.arguments, settings.home.as_deref()).map_err(CliError::usage)
    }

    /// Reads the input of a batch hook. Returns it with the requests that allow the provider.
    fn input(&self, settings: &Settings) -> Result<(String, Vec<HookRequest>), CliError> {
        let error = |error: io::Error| CliError::setup(format!("cannot read stdin: {error}"));
        let warn = |diagnostic: String| warning!("stdin: {diagnostic}");
        let mut input = Vec::new();
        StandardStream(io::stdin()).read_to_end(&mut input).map_err(error)?;
        let home = settings.home.as_deref();
        let requests = batch::requests(&input[..], &self.provider, home, warn).map_err(error)?;
        Ok((String::from_utf8_lossy(&input).into_owned(), requests))
    }

    /// Whether a request allows the provider. Prints a message if it does not.
    fn is_accepted_by(&self, request: &HookRequest) -> bool {
        let HookRequest { providers, .. } = request;
        let is_accepted = providers.allows(&self.provider);
        if !is_accepted {
            message!("{} is not one of the providers that the request allows: {providers}", self.provider);
        }
        is_accepted
    }

    /// Reads the configuration of the provider from its `config.json`. Like discovery, it uses the first plugin of this
    /// name on the search path. A provider that does not exist has the default configuration.
    fn config(&self, settings: &Settings) -> Result<ProviderConfig, CliError> {
        let folders = settings.plugin_path.iter().map(|root| root.join(&self.provider));
        let schema = match folders.into_iter().find(|folder| folder.is_dir()) {
            Some(folder) => {
                schema::read(&folder, &mut Inspection::new(&settings.trust)).map_err(|error| {
                    let path = folder.join(schema::FILE_NAME);
                    CliError::setup(format!("{}: {error}", path.display()))
                })?
            }
            None => builtin::config(&self.provider)
                .map_err(|error| CliError::setup(format!("{}: {error}", self.provider)))?,
        };
        Ok(schema.map(|schema| schema.provider).unwrap_or_default())
    }
}

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

/// The shell code that ends a hook with a usage error.
pub(crate) const EXIT_IN_SHELL: &str = "exit 2\n";

/// Whether a hook evaluates the output of a command line with a usage error: that of `hook begin`, or of a misspelled command
/// in its place.
pub(crate) fn is_evaluated(arguments: impl IntoIterator<Item = OsString>, error: ErrorKind) -> bool {
    let mut arguments = arguments.into_iter();
    arguments.next().is_some_and(|word| word == "hook")
        && (error == ErrorKind::InvalidSubcommand || arguments.next().is_some_and(|word| word == "begin"))
}

/// The exit code of a hook whose provider the request does not allow, and of a choice without a result.
const SKIPPED: ExitStatus = ExitStatus::Code(10);

/// Runs the command.
pub(crate) fn run(command: HookCommand, context: &mut Context) -> CommandResult {
    let Context { settings, output, .. } = context;
    match command {
        HookCommand::List { event } => return list(event.as_deref(), context),
        HookCommand::Test(args) => return test::test(args, context),
        HookCommand::Asset(args) => {
            let is_chosen = asset::choose(&args, context)?;
            return Ok(if is_chosen { ExitStatus::Success } else { SKIPPED });
        }
        HookCommand::Unpack(args) => return archive::unpack(&args),
        HookCommand::Binary(args) => return print_binaries(&args, context),
        HookCommand::Begin { lock, batch, of } => {
            // The shell that evaluates the output does not check the exit code of this command.
            let result = begin(&of, lock.as_deref(), batch, settings);
            output.raw(result.as_ref().map_or(EXIT_IN_SHELL, |(script, _)| script).as_bytes());
            return result.map(|(_, status)| status);
        }
        HookCommand::Accepts(of) => {
            let is_accepted = of.is_accepted_by(&of.request(settings)?);
            return Ok(if is_accepted { ExitStatus::Success } else { SKIPPED });
        }
        HookCommand::Packages { batch, pin, of } => {
            let requests = if batch { of.input(settings)?.1 } else { vec![of.request(settings)?] };
            let mut config = of.config(settings)?;
            config.version_format = pin.or(config.version_format);
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
            let fixed_scripts = relocate::relocate(&prefix, &settings.lib_dir)
                .map_err(|error| CliError::setup(format!("cannot relocate {}: {error}", prefix.display())))?;
            for script in fixed_scripts {
                message!("{} works only in this folder, which it names", script.display());
            }
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
    settings: &Settings,
) -> Result<(String, ExitStatus), CliError> {
    if is_batch {
        let restart = begin::restart(lock.unwrap_or(&of.provider), settings).map_err(CliError::usage)?;
        let script = if let Some(script) = restart {
            script
        } else {
            let (input, requests) = of.input(settings)?;
            begin::batch_script(&input, &requests, &of.provider, &of.config(settings)?)
                .map_err(CliError::usage)?
        };
        return Ok((script, ExitStatus::Success));
    }
    let request = of.request(settings)?;
    if !of.is_accepted_by(&request) {
        return Ok(("exit 10\n".to_owned(), SKIPPED));
    }
    let config = of.config(settings)?;
    let script = begin::script(&request, &of.provider, lock, &config, settings, clock::now());
    Ok((script.map_err(CliError::usage)?, ExitStatus::Success))
}

fn list(event: Option<&str>, context: &mut Context) -> CommandResult {
    let catalog = Catalog::read(&context.settings, &[], &print_event)?;
    let all = catalog.discovery.plugins.iter().flat_map(|plugin| &plugin.hooks);
    let is_listed = |hook: &&Hook| event.is_none_or(|event| hook.name.event == canonical_event(event));
    let mut hooks: Vec<&Hook> = all.filter(is_listed).collect();
    hooks.sort_by(|a, b| {
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

/// Runs `rigup hook binary`.
fn print_binaries(args: &BinaryArgs, context: &mut Context) -> CommandResult {
    // A subreaper becomes the parent of the processes that a version probe leaves behind, so that it can terminate
    // them.
    subreaper::become_subreaper();
    // Files are probed in parallel, and rayon's implicit pool panics if it cannot start a thread.
    rayon::ThreadPoolBuilder::new().build_global().map_err(EngineError::from)?;
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
            let prefix = request.prefix(&args.of.provider, &settings.lib_dir).map_err(CliError::usage)?;
            Some(BuiltPrefix { built, prefix: prefix.path(&settings.lib_dir), lib_dir: &settings.lib_dir })
        }
        _ => None,
    };
    let interrupt = interrupt()?;
    let config = args.of.config(settings)?;
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
        config: &config,
        or_decline: args.or_decline,
        unenforced: &args.unenforced,
    };
    let found = search.records();
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
    let settings = &context.settings;
    let (_, requests) = args.of.input(settings)?;
    let list_files = match &args.list_files {
        Some(command) => Some((command.as_str(), args.of.config(settings)?.version_format)),
        None => None,
    };
    let interrupt = interrupt()?;
    let search = BatchSearch {
        search: Search {
            provider: &args.of.provider,
            metadata: args.of.config(settings)?.metadata,
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
