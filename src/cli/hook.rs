//! `rigup hook`: lists and tests hooks, and is the toolkit for hook scripts.

use std::ffi::OsString;

use clap::Subcommand;
use serde_json::{Value, json};

use crate::cli::context::Context;
use crate::cli::diagnostics;
use crate::cli::error::CliError;
use crate::cli::message::{message, print_event};
use crate::clock;
use crate::engine::ExitStatus;
use crate::engine::catalog::Catalog;
use crate::model::Outcome;
use crate::plugin::discovery::Hook;
use crate::plugin::hook_name::canonical_event;
use crate::process::lock::Holder;
use crate::report::table::{Column, Table};
use crate::settings::Settings;
use crate::toolkit::request::HookRequest;
use crate::toolkit::{batch, begin, lock, policy};

mod binary;
mod input;
mod test;

use input::{config, interrupt, parse, requests, usage};

const BEGIN_EXAMPLE: &str = "\
Example:
  eval \"$(\"$RIGUP\" hook begin --provider mine -- \"$@\")\"

If the request does not allow the provider, the code exits with 10. Otherwise, it starts the
hook again with the prefix's lock held, and sets name, prefix, packages (one per line),
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
    /// For batch hooks: print the record of a request that failed or was declined
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
    #[command(after_help = "A string is printed as is, and any other value as JSON.")]
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

/// The exit code of a hook whose provider the request does not allow.
const SKIPPED: ExitStatus = ExitStatus::Code(10);

/// Runs the command.
pub(crate) fn run(command: HookCommand, context: &mut Context) -> Result<ExitStatus, CliError> {
    let Context { settings, output, .. } = context;
    match command {
        HookCommand::List { event } => return list(event.as_deref(), context),
        HookCommand::Test(args) => return test::test(args, context),
        HookCommand::Binary(args) => return binary::print(&args, context),
        HookCommand::Begin { lock, of } => {
            // A shell that evaluates the output sees nothing else of this command.
            let result = begin(&of, lock.as_deref(), settings);
            output.raw(result.as_ref().map_or("exit 2\n", |(script, _)| script).as_bytes())?;
            output.flush()?;
            return result.map(|(_, status)| status);
        }
        HookCommand::Accepts(of) => {
            let is_accepted = accepts(&parse(&of.arguments, settings)?, &of.provider);
            return Ok(if is_accepted { ExitStatus::Success } else { SKIPPED });
        }
        HookCommand::Packages { batch, pin, of } => {
            let requests =
                if batch { requests(&of.provider, settings)? } else { vec![parse(&of.arguments, settings)?] };
            let mut config = config(&of.provider, settings)?;
            config.version_format = pin.or(config.version_format);
            for request in requests {
                let packages = request.packages(&of.provider, &config).map_err(usage)?;
                let text = if batch {
                    format!("{}\t{}\n", request.name, packages.join("\t"))
                } else {
                    packages.join("\n") + "\n"
                };
                output.raw(text.as_bytes())?;
            }
        }
        HookCommand::Failure { name, declined, reason } => {
            let outcome = if declined { Outcome::Declined } else { Outcome::Failed };
            output.records([batch::failure(&name, outcome, &reason)])?;
        }
        HookCommand::Policy(of) => {
            let request = parse(&of.arguments, settings)?;
            output.raw(policy::assignments(&request, clock::now()).as_bytes())?;
        }
        HookCommand::Override { key, of } => {
            let request = parse(&of.arguments, settings)?;
            match request.overrides.of(&of.provider).get(&key) {
                None | Some(Value::Null) => {}
                Some(Value::String(text)) => output.raw(format!("{text}\n").as_bytes())?,
                Some(other) => output.raw(format!("{other}\n").as_bytes())?,
            }
        }
        HookCommand::Prefix(of) => {
            let request = parse(&of.arguments, settings)?;
            let prefix = request.prefix(&of.provider, &settings.lib_dir).map_err(usage)?;
            output.raw(&[prefix.as_os_str().as_encoded_bytes(), b"\n"].concat())?;
        }
        HookCommand::Lock { name, command } => {
            let Some((program, rest)) = command.split_first() else {
                return Err(usage("no command to run under the lock"));
            };
            let interrupt = interrupt()?;
            let waiting = |holder: &Holder| message!("waiting for the lock {name}, held by pid {holder}");
            let code = lock::run(&settings.lib_dir, &name, program, rest, &interrupt, waiting)
                .map_err(CliError::setup)?;
            return Ok(ExitStatus::Code(u8::try_from(code).unwrap_or(u8::MAX)));
        }
    }
    Ok(ExitStatus::Success)
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
    let script = begin::script(&request, &of.provider, lock, &config, settings, clock::now());
    Ok((script.map_err(usage)?, ExitStatus::Success))
}

fn accepts(request: &HookRequest, provider: &str) -> bool {
    let is_accepted = request.providers.allows(provider);
    if !is_accepted {
        message!("{provider} is not one of the providers that the request allows: {}", request.providers);
    }
    is_accepted
}

fn list(event: Option<&str>, context: &mut Context) -> Result<ExitStatus, CliError> {
    let Context { settings, output, .. } = context;
    let catalog = Catalog::read(settings, &[], &print_event)?;
    let all = catalog.discovery.plugins.iter().flat_map(|plugin| &plugin.hooks);
    let is_listed = |hook: &&Hook| event.is_none_or(|event| hook.name.event == canonical_event(event));
    let mut hooks: Vec<&Hook> = all.filter(is_listed).collect();
    hooks.sort_by(|a, b| {
        a.name.event.cmp(&b.name.event).then(a.name.cmp_with_plugins(&a.plugin, &b.name, &b.plugin))
    });
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
            [
                hook.name.event.clone(),
                hook.name.order.map(|order| order.to_string()).unwrap_or_default(),
                hook.plugin.to_string(),
                hook.name.background.map(|_| "background".to_owned()).unwrap_or_default(),
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
    Ok(diagnostics::print(&catalog))
}
