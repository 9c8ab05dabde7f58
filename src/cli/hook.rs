//! `rigup hook`: lists and tests hooks, and is the toolkit for hook scripts.

use std::ffi::OsString;

use clap::Subcommand;
use serde_json::{Value, json};

use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::cli::message::print_message;
use crate::engine::ExitStatus;

use crate::cli::diagnostics;
use crate::cli::message::print_event;
use crate::clock;
use crate::engine::catalog::Catalog;
use crate::model::attempt::Outcome;
use crate::plugin::config::provider::ProviderConfig;
use crate::plugin::discovery::Hook;
use crate::plugin::hook_name::canonical_event;
use crate::process::lock::Holder;
use crate::report::table::{Column, Table};
use crate::settings::Settings;
use crate::toolkit::request::{HookRequest, RequestError};
use crate::toolkit::{batch, begin, lock, policy, prefix};

mod binary;
mod input;
mod test;

use input::{config, interrupt, parse, requests};

const BEGIN_EXAMPLE: &str = "\
Example:
  eval \"$(\"$RIGUP\" hook begin --provider mine -- \"$@\")\"

If the request does not allow the provider, the code exits with 10. Otherwise, it starts the
hook again with the lock on its prefix held, and sets name, prefix, packages (one per line),
min_version, exact_version and the variables of `rigup hook policy`.";

/// List and test hooks. Hook scripts call the other commands, and pass their own arguments on with `-- "$@"`.
#[derive(Debug, Subcommand)]
pub(crate) enum HookCommand {
    /// List all hooks, or those of one event, in the order in which they run
    List {
        /// Event, such as `BinaryRequest`
        event: Option<String>,
    },
    /// Check a hook against the hook contract, item by item
    Test(test::TestArgs),
    /// For provider hooks: print shell code that takes the lock and sets variables
    #[command(after_help = BEGIN_EXAMPLE)]
    Begin {
        /// Take this lock instead of the prefix's lock
        #[arg(long, value_name = "NAME")]
        lock: Option<String>,
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
    /// For batch hooks: print the record of a request that failed or is declined
    Failure {
        /// Name of the binary
        #[arg(long)]
        name: String,
        /// Report the request as declined rather than failed
        #[arg(long)]
        declined: bool,
        /// Reason, which may start with `-`
        #[arg(allow_hyphen_values = true)]
        reason: String,
    },
    /// For hook scripts: print the policy as shell assignments
    Policy(ProviderArgs),
    /// For hook scripts: print the value of a key in the provider's overrides
    #[command(after_help = "A string is printed as is, any other value as JSON.")]
    Override {
        /// Key, such as `install_root`
        key: String,
        #[command(flatten)]
        of: ProviderArgs,
    },
    /// For hook scripts: print the folder to install into
    Prefix(ProviderArgs),
    /// For hook scripts: find the binary, probe its version and print its Binary record
    Binary(binary::BinaryArgs),
    /// For hook scripts: run a command while no other hook holds the same lock
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

/// The exit code of a hook whose provider the request does not allow.
const SKIPPED: ExitStatus = ExitStatus::Code(10);

/// Runs the command.
pub(crate) fn run(command: HookCommand, context: &mut Context) -> Result<ExitStatus, CliError> {
    match command {
        HookCommand::List { event } => list(event.as_deref(), context),
        HookCommand::Test(args) => test::test(args, context),
        HookCommand::Begin { lock, of } => {
            // A shell that evaluates the output sees nothing else of this command.
            let result = begin(&of, lock.as_deref(), &context.settings);
            let failed = || "exit 2\n".to_owned();
            context
                .output
                .raw(result.as_ref().map_or_else(|_| failed(), |(script, _)| script.clone()).as_bytes())?;
            context.output.flush()?;
            result.map(|(_, status)| status)
        }
        HookCommand::Accepts(args) => {
            let is_accepted = accepts(&parse(&args.arguments, &context.settings)?, &args.provider);
            Ok(if is_accepted { ExitStatus::Success } else { SKIPPED })
        }
        HookCommand::Packages { batch: true, pin, of } => {
            let config = pinned(config(&of.provider, &context.settings)?, pin);
            for request in requests(&of.provider, &context.settings)? {
                let packages = request.packages(&of.provider, &config).map_err(RequestError::from)?;
                let line = format!("{}\t{}\n", request.name, packages.join("\t"));
                context.output.raw(line.as_bytes())?;
            }
            Ok(ExitStatus::Success)
        }
        HookCommand::Packages { batch: false, pin, of } => {
            let request = parse(&of.arguments, &context.settings)?;
            let config = pinned(config(&of.provider, &context.settings)?, pin);
            let packages = request.packages(&of.provider, &config).map_err(RequestError::from)?;
            context.output.raw((packages.join("\n") + "\n").as_bytes())?;
            Ok(ExitStatus::Success)
        }
        HookCommand::Failure { name, declined, reason } => {
            let outcome = if declined { Outcome::Declined } else { Outcome::Failed };
            context.output.records([batch::failure(&name, outcome, &reason)])?;
            Ok(ExitStatus::Success)
        }
        HookCommand::Policy(args) => {
            let request = parse(&args.arguments, &context.settings)?;
            context.output.raw(policy::assignments(&request, clock::now()).as_bytes())?;
            Ok(ExitStatus::Success)
        }
        HookCommand::Override { key, of } => {
            let request = parse(&of.arguments, &context.settings)?;
            let said = request.overrides.of(&of.provider).get(&key);
            match said {
                None | Some(Value::Null) => {}
                Some(Value::String(text)) => context.output.raw(format!("{text}\n").as_bytes())?,
                Some(other) => context.output.raw(format!("{other}\n").as_bytes())?,
            }
            Ok(ExitStatus::Success)
        }
        HookCommand::Prefix(args) => {
            let request = parse(&args.arguments, &context.settings)?;
            let prefix = prefix::prefix(&request, &args.provider, &context.settings.lib_dir)
                .map_err(|error| CliError::Usage(error.to_string()))?;
            context.output.raw(prefix.as_os_str().as_encoded_bytes())?;
            context.output.raw(b"\n")?;
            Ok(ExitStatus::Success)
        }
        HookCommand::Binary(args) => binary::print(&args, context),
        HookCommand::Lock { name, command } => {
            let Some((program, rest)) = command.split_first() else {
                return Err(CliError::Usage("no command to run under the lock".to_owned()));
            };
            let interrupt = interrupt()?;
            let waiting = |holder: &Holder| {
                print_message(&format!("waiting for the lock {name}, held by pid {holder}"));
            };
            let code = lock::run(&context.settings.lib_dir, &name, program, rest, &interrupt, waiting)
                .map_err(CliError::setup)?;
            Ok(ExitStatus::Code(u8::try_from(code).unwrap_or(u8::MAX)))
        }
    }
}

/// Returns the shell code that starts a provider's hook, and the exit code of the command.
fn begin(
    of: &ProviderArgs,
    lock: Option<&str>,
    settings: &Settings,
) -> Result<(String, ExitStatus), CliError> {
    let request = parse(&of.arguments, settings)?;
    if !accepts(&request, &of.provider) {
        return Ok(("exit 10\n".to_owned(), SKIPPED));
    }
    let config = config(&of.provider, settings)?;
    begin::script(&request, &of.provider, lock, &config, settings, clock::now())
        .map(|script| (script, ExitStatus::Success))
        .map_err(|error| CliError::Usage(error.to_string()))
}

fn accepts(request: &HookRequest, provider: &str) -> bool {
    let is_accepted = request.providers.allows(provider);
    if !is_accepted {
        print_message(&format!(
            "{provider} is not one of the providers that the request allows: {}",
            request.providers
        ));
    }
    is_accepted
}

fn pinned(config: ProviderConfig, pin: Option<String>) -> ProviderConfig {
    ProviderConfig { version_format: pin.or(config.version_format), ..config }
}

fn list(event: Option<&str>, context: &mut Context) -> Result<ExitStatus, CliError> {
    let Context { settings, output, .. } = context;
    let found = Catalog::read(settings, &[], &print_event)?;
    let mut hooks: Vec<&Hook> = match event {
        Some(event) => found.discovery.hooks_of(canonical_event(event)),
        None => found.discovery.plugins.iter().flat_map(|plugin| &plugin.hooks).collect(),
    };
    if event.is_none() {
        hooks.sort_by(|a, b| {
            a.name.event.cmp(&b.name.event).then(a.name.cmp_with_plugins(&a.plugin, &b.name, &b.plugin))
        });
    }
    if output.is_json() {
        output.records(hooks.into_iter().map(|hook| {
            json!({
                "type": "Hook",
                "event": hook.name.event,
                "order": hook.name.order,
                "name": hook.name.name,
                "plugin": hook.plugin,
                "path": hook.path.to_string_lossy(),
                "background": hook.name.background.is_some(),
            })
        }))?;
    } else {
        let rows = hooks.into_iter().map(|hook| {
            let order = hook.name.order.map(|order| order.to_string()).unwrap_or_default();
            let background = if hook.name.background.is_some() { "background" } else { "" };
            [
                hook.name.event.clone(),
                order,
                hook.plugin.to_string(),
                background.to_owned(),
                hook.path.display().to_string(),
            ]
        });
        let columns = [
            Column::new("EVENT"),
            Column::new("ORDER").optional(2),
            Column::new("PLUGIN"),
            Column::new("").optional(1),
            Column::new("PATH").cut_start(20),
        ];
        output.table(&Table::with_rows(columns, rows))?;
    }
    Ok(diagnostics::print(&found))
}
