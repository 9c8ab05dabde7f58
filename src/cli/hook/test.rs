//! `rigup hook test`: whether a hook keeps the contract.

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::cli::context::{Context, Verbosity};
use crate::cli::error::CliError;
use crate::cli::message::print_event;
use crate::cli::message::print_message;
use crate::cli::output::Output;
use crate::engine::ExitStatus;
use crate::engine::events::hook_argument;
use crate::engine::session::Session;
use crate::hook::command::MAX_TIMEOUT;
use crate::hook::run::Runner;
use crate::hook_test::finding::{Finding, Judgement, Outcome};
use crate::hook_test::item::Item;
use crate::hook_test::judge;
use crate::hook_test::kit::Kit;
use crate::hook_test::request::Request;
use crate::hook_test::trial::{Stage, TrialError};
use crate::model::id::BinaryId;
use crate::model::plugin_name::PluginName;
use crate::plugin::config::enabled::PluginConfigs;
use crate::plugin::config::value::{Setting, Sources, Variable};
use crate::plugin::discovery::{self, Hook, Plugin};
use crate::plugin::hook_name::{BINARY_REQUEST, HookName};
use crate::process::signals::Interrupt;
use crate::report::table::{Cell, Column, Table};
use crate::report::text::printable;
use crate::settings::Settings;
use crate::trust::Inspection;

const EXAMPLES: &str = "\
Examples:
  rigup hook test providers/mine/on_BinaryRequest__50_mine.py -- --name=jq
  rigup hook test plugins/wget/on_Snapshot__20_wget.finite.bg.sh -- --url=https://example.org
  rigup hook test providers/mine/on_BinaryRequest__50_mine.py --only term,full

The hook is run some twenty times, as rigup always runs hooks, but in a temporary data dir, LIB_DIR and LIB_BIN_DIR. Where
no name is given, a provider is asked for sh. One that asks an open registry should be given a name that is trusted.
Where something is broken, the logs are kept, and the report says where.
Exit code: 1 where something is broken; 0 where all is held or could not be tried.";

/// Which hook, and how.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct TestArgs {
    /// The hook's file
    file: PathBuf,
    /// How long one run may take, in seconds
    #[arg(long, value_name = "S", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=MAX_TIMEOUT.as_secs()))]
    timeout: u64,
    /// Only these items, such as `term,full`
    #[arg(long, value_name = "ITEM,...", value_delimiter = ',')]
    only: Vec<Item>,
    /// A good request: for a provider the name of what it can provide, `--name=jq`
    #[arg(last = true, value_name = "HOOK ARGUMENTS")]
    arguments: Vec<OsString>,
}

/// Tests it.
pub(crate) fn test(args: TestArgs, context: &mut Context) -> Result<ExitStatus, CliError> {
    let Context { settings, output, verbosity } = context;
    let file = std::path::absolute(&args.file).map_err(CliError::setup)?;
    if !file.is_file() {
        return Err(CliError::Usage(format!("{} is not a file; give a hook's file", file.display())));
    }
    if let Some(note) = settings.trust.check(&file).map_err(CliError::setup)? {
        print_message(&format!("warning: {note}"));
    }
    let arguments = args.arguments.into_iter().map(hook_argument).collect::<Result<Vec<_>, _>>()?;
    let mut report = Report {
        output,
        verbosity: *verbosity,
        hook: file.display().to_string(),
        rows: Vec::new(),
        said: Vec::new(),
        broken: 0,
        written: Ok(()),
    };
    let hook = match hook_at(&file) {
        Ok(hook) => hook,
        Err(findings) => {
            for finding in findings {
                if args.only.is_empty() || args.only.contains(&finding.item) {
                    report.add(&finding);
                }
            }
            return report.finish(None);
        }
    };
    let is_provider = hook.name.event == BINARY_REQUEST;
    let items: Vec<Item> = Item::ALL
        .into_iter()
        .filter(|it| args.only.is_empty() || args.only.contains(it))
        .filter(|it| it.is_of(&hook.name))
        .collect();
    if items.is_empty() {
        return Err(CliError::Usage(format!("none of these items is of {} hooks", hook.name.event)));
    }

    let playground =
        tempfile::Builder::new().prefix("rigup-hook-test-").tempdir().map_err(CliError::setup)?;
    let folder = playground.path().canonicalize().map_err(CliError::setup)?;
    let here = Settings {
        data_dir: folder.join("data"),
        lib_dir: folder.join("lib"),
        lib_bin_dir: folder.join("lib/bin"),
        environment: settings.environment.clone().without("NODE_MODULES_DIR"),
        ..settings.clone()
    };
    let session = Session::open(here.clone(), &print_event)?;
    let interrupt = Interrupt::install().map_err(CliError::setup)?;
    let me = session.begin()?;
    let mut good = Request::given(arguments);
    if is_provider {
        good = good.to_provider(&hook.plugin, BinaryId::generate(), session.machine.id);
    }
    let variables = variables(&hook, &here);
    let stage = Stage {
        runner: Runner {
            settings: &here,
            store: &session.store,
            machine_id: session.machine.id,
            iface_id: me.process.iface_id,
            parent_id: me.process.id,
            variables: &variables,
            interrupt: &interrupt,
        },
        hook: &hook,
        folder: &folder,
        timeout: Duration::from_secs(args.timeout),
    };
    let kit = Kit { stage, good };
    let checked = kit.check(&items, |finding| report.add(&finding));
    let exit = match &checked {
        Ok(()) if report.broken == 0 => ExitStatus::Success,
        Ok(()) => ExitStatus::Incomplete,
        Err(TrialError::Interrupted) => ExitStatus::Interrupted(interrupt.signal().unwrap_or_default()),
        Err(_) => ExitStatus::Setup,
    };
    session.finish(me, exit)?;
    match checked {
        Ok(()) => {}
        Err(TrialError::Interrupted) => return Ok(exit),
        Err(error) => return Err(CliError::setup(error)),
    }
    let kept = (report.broken > 0).then(|| playground.keep());
    report.finish(kept.as_deref())
}

/// The hook in a file; where it is none, what is broken.
fn hook_at(file: &Path) -> Result<Hook, Vec<Finding>> {
    let named = judge::name(file);
    let Some(name) = HookName::parse(&file.file_name().unwrap_or_default().to_string_lossy()) else {
        let rest = Item::ALL.into_iter().skip(1).filter(|it| it.is_of_any_event());
        let skipped =
            |item| Finding { item, judgement: Judgement::skipped("its name is not that of a hook") };
        return Err(std::iter::once(Finding { item: Item::Name, judgement: named })
            .chain(rest.map(skipped))
            .collect());
    };
    let unstartable = |reason: String| {
        let rest = Item::ALL.into_iter().skip(2).filter(|it| it.is_of(&name));
        let skipped = |item| Finding { item, judgement: Judgement::skipped("it cannot be started") };
        let look_at = judge::suspect(file, "", &[]);
        let starts = Finding { item: Item::Starts, judgement: Judgement::broken(reason, Some(look_at)) };
        [Finding { item: Item::Name, judgement: named.clone() }, starts]
            .into_iter()
            .chain(rest.map(skipped))
            .collect()
    };
    let start = match discovery::start_of(file, &name) {
        Ok(Some(start)) => start,
        Ok(None) => {
            return Err(unstartable(
                "it has no exec bit, and its language is not known by its name: chmod +x".to_owned(),
            ));
        }
        Err(error) => return Err(unstartable(format!("it cannot be read: {error}"))),
    };
    let folder = file.parent().and_then(Path::file_name).unwrap_or_default();
    let plugin =
        PluginName::parse(&folder.to_string_lossy()).map_err(|error| unstartable(error.to_string()))?;
    Ok(Hook { name, plugin, path: file.to_owned(), start })
}

/// The settings in the plugin's `config.json`, for its hook.
fn variables(hook: &Hook, settings: &Settings) -> HashMap<PluginName, Vec<Variable>> {
    let path = hook.path.parent().map(Path::to_owned).unwrap_or_default();
    let plugin = Plugin { name: hook.plugin.clone(), path, hooks: Vec::new() };
    let (configuration, unreadable) = PluginConfigs::read(
        std::slice::from_ref(&plugin),
        &settings.data_dir,
        &mut Inspection::new(&settings.trust),
    );
    let warn = |text: String| print_message(&format!("warning: {text}"));
    for diagnostic in &unreadable {
        warn(diagnostic.to_string());
    }
    let sources = Sources { environment: &settings.environment, files: &settings.files };
    let resolver = configuration.resolver(sources);
    let variables = configuration.settings(&plugin.name, &resolver, warn);
    HashMap::from([(plugin.name, variables.iter().filter_map(Setting::variable).collect())])
}

/// What is told: a record as soon as it is known, or a table in the end.
struct Report<'a> {
    output: &'a mut Output,
    verbosity: Verbosity,
    hook: String,
    rows: Vec<Vec<Cell>>,
    said: Vec<String>,
    broken: usize,
    /// Whether records can still be written. Whoever reads them may leave early.
    written: Result<(), CliError>,
}

impl Report<'_> {
    fn add(&mut self, finding: &Finding) {
        let Judgement { outcome, reason, look_at, .. } = &finding.judgement;
        let shown = match outcome {
            Outcome::Held => Cell::success(outcome.as_str()),
            Outcome::Broken => Cell::failure(outcome.as_str()),
            Outcome::Skipped => Cell::plain(outcome.as_str()),
        };
        self.broken += usize::from(finding.judgement.is_broken());
        let place = look_at.as_ref().map(|it| format!("\n  look at {it}")).unwrap_or_default();
        match outcome {
            Outcome::Broken => {
                self.said.push(format!("error: {}: {}{place}", finding.item, printable(reason)));
            }
            Outcome::Held | Outcome::Skipped if reason.is_empty() || self.verbosity.quiet => {}
            Outcome::Skipped => self.said.push(format!("skipped: {}: {}", finding.item, printable(reason))),
            Outcome::Held => self.said.push(format!("note: {}: {}", finding.item, printable(reason))),
        }
        if self.output.is_json() && self.written.is_ok() {
            let written = self.output.records([finding.to_record(&self.hook)]);
            self.written = written.and_then(|()| self.output.flush());
        }
        self.rows.push(vec![
            Cell::plain(finding.item.to_string()),
            shown,
            Cell::plain(finding.item.promise()),
        ]);
    }

    fn finish(self, kept: Option<&Path>) -> Result<ExitStatus, CliError> {
        if !self.output.is_json() {
            let columns = [Column::new("ITEM"), Column::new("OUTCOME"), Column::new("PROMISE").wrap(24)];
            self.output.table(&Table::with_rows(columns, self.rows))?;
            self.output.flush()?;
        }
        self.said.iter().for_each(|it| print_message(it));
        if let Some(kept) = kept {
            print_message(&format!("What the runs wrote is kept in {}", kept.display()));
        }
        match self.written {
            Ok(()) | Err(CliError::OutputClosed) if self.broken > 0 => Ok(ExitStatus::Incomplete),
            Ok(()) | Err(CliError::OutputClosed) => Ok(ExitStatus::Success),
            Err(error) => Err(error),
        }
    }
}
