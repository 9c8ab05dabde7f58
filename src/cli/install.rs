//! `rigup install` and `rigup load`: from requirements to linked binaries.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::UnknownArgumentValueParser;
use serde_json::{Map, Value, json};

use crate::cli::error::{CliError, Exit};
use crate::cli::lockfile::LockedArgs;
use crate::cli::output::{Output, Talk};
use crate::cli::search::{self, Found};
use crate::cli::session::Session;
use crate::cli::timings::{self, TimingsFile};
use crate::cli::work::work;
use crate::cli::workshop::{self, Options};
use crate::hook::command::MAX_TIMEOUT;
use crate::install::plan::{self, Request, Selection};
use crate::install::status::{InstallStatus, install_status};
use crate::model::binary::Binary;
use crate::model::name::BinaryName;
use crate::model::plugin_name::ProviderName;
use crate::model::policy::{MIN_RELEASE_AGE_KEY, Policy, PolicyError};
use crate::model::version::Version;
use crate::plugin::requirement::Providers;
use crate::report::table::{Cell, Column, Table};
use crate::settings::Settings;
use crate::store::{BinaryFilter, Store};

/// How long a hook that installs may take, unless `--timeout` says otherwise.
const TIMEOUT: u64 = 600;

const EXAMPLES: &str = "\
Examples:
  rigup install                          everything that the plugins require
  rigup install --plugins ytdlp,git      just what these two require
  rigup install rg yt-dlp                just these; a name that no plugin requires is looked for
                                         at env, brew and apt only
  rigup install httpie --binproviders pip
  rigup install single-file --postinstall-scripts --min-release-age 0
                                         trust what npm has, whatever it runs and however new it is
  rigup install --locked                 exactly what ./rigup.lock says; see `rigup lock`
  rigup install --dry-run                what would be asked of whom
  rigup install --timings                where the time went, as a page: rigup-timings.html";

/// Which binaries, in which version.
#[derive(Debug, clap::Args)]
pub(crate) struct Choice {
    /// Just these binaries; else all that the plugins require
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// Only what these plugins require
    #[arg(long, value_name = "A,B", value_delimiter = ',')]
    plugins: Vec<String>,
    /// At least this version
    #[arg(long, value_name = "V", default_value = "", hide_default_value = true)]
    min_version: String,
}

/// What may be brought in from open registries.
#[derive(Debug, Clone, Copy, Default, clap::Args)]
pub(crate) struct PolicyArgs {
    /// Only releases that are at least so many days old, 0 for any [default: 7, where the provider can tell]
    #[arg(long, value_name = "DAYS", value_parser = parse_age)]
    min_release_age: Option<f64>,
    /// Whether packages may run scripts of their own while they are installed [default: false, where the provider can
    /// do without]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    postinstall_scripts: Option<bool>,
}

impl From<PolicyArgs> for Policy {
    fn from(args: PolicyArgs) -> Self {
        Self { min_release_age: args.min_release_age, postinstall_scripts: args.postinstall_scripts }
    }
}

fn parse_age(text: &str) -> Result<f64, PolicyError> {
    let keys = Map::from_iter([(MIN_RELEASE_AGE_KEY.to_owned(), Value::from(text))]);
    Policy::of(&keys)?.min_release_age.ok_or(PolicyError::Age)
}

/// What to install.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct InstallArgs {
    #[command(flatten)]
    choice: Choice,
    /// Only these providers, in this order
    #[arg(long, value_name = "X,Y")]
    binproviders: Option<String>,
    /// Install anew what is there already, and replace a file that stands where a link goes
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    policy: PolicyArgs,
    /// Show what would be asked of whom, and change nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    locked: LockedArgs,
    #[command(flatten)]
    jobs: JobArgs,
    /// Write a page that shows where the time went [default: rigup-timings.html]; a FILE.json gets the same as JSON
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true, default_missing_value = timings::DEFAULT, conflicts_with = "dry_run")]
    timings: Option<PathBuf>,
}

/// How much at once, and how long.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct JobArgs {
    /// Work on so many binaries at once [default: the number of cores, at least 4]
    #[arg(long, short, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    jobs: Option<u16>,
    /// End a hook after so many seconds
    #[arg(long, value_name = "S", default_value_t = TIMEOUT, value_parser = clap::value_parser!(u64).range(1..=MAX_TIMEOUT.as_secs()))]
    timeout: u64,
}

impl JobArgs {
    /// How to work, on what is not there.
    pub(crate) fn options(self) -> Options {
        Options {
            force: false,
            only_looks: false,
            jobs: self.jobs.map(usize::from),
            timeout: Duration::from_secs(self.timeout),
        }
    }
}

/// What to look for.
#[derive(Debug, clap::Args)]
pub(crate) struct LoadArgs {
    #[command(flatten)]
    choice: Choice,
    /// Who gives it is told what to give instead.
    #[arg(long, alias = "lockfile", hide = true, value_name = "FILE", num_args = 0..=1, require_equals = true, default_missing_value = "", value_parser = UnknownArgumentValueParser::suggest(LOCKED_TIP))]
    locked: Option<String>,
}

/// What a person means who would load what is locked.
const LOCKED_TIP: &str = "`rigup install --locked` compares with the lock file, and installs nothing where all is there as it says";

/// `rigup install`
pub(crate) fn install(
    args: InstallArgs,
    settings: &Settings,
    output: &mut Output,
    talk: Talk,
) -> Result<Exit, CliError> {
    let timings = args.timings.map(TimingsFile::begin).transpose()?;
    let providers = args
        .binproviders
        .as_deref()
        .map(Providers::parse)
        .transpose()
        .map_err(|error| CliError::Usage(error.to_string()))?;
    let (found, steps) = plan(args.choice, providers, args.policy.into(), settings)?;
    let steps = args.locked.pin(steps, &found, settings)?;
    if args.dry_run {
        return dry_run(&found, &steps, settings, output);
    }
    let options = Options { force: args.force, ..args.jobs.options() };
    work(&found, &steps, &options, settings, output, talk, timings.as_ref())
}

/// `rigup load`: the same line, but nobody is asked who could install something.
pub(crate) fn load(
    args: LoadArgs,
    settings: &Settings,
    output: &mut Output,
    talk: Talk,
) -> Result<Exit, CliError> {
    let (found, mut steps) = plan(args.choice, None, Policy::default(), settings)?;
    for request in steps.iter_mut().flatten() {
        request.candidates.retain(|provider| provider == plan::ENV);
    }
    let options =
        Options { force: false, only_looks: true, jobs: None, timeout: Duration::from_secs(TIMEOUT) };
    work(&found, &steps, &options, settings, output, talk, None)
}

/// Which providers are to be asked for what.
pub(crate) fn plan(
    choice: Choice,
    providers: Option<Providers>,
    asked: Policy,
    settings: &Settings,
) -> Result<(Found, Vec<plan::Step>), CliError> {
    let parse = |text: &String| BinaryName::parse(text, settings.home.as_deref());
    let names = choice.names.iter().map(parse).collect::<Result<_, _>>();
    let names = names.map_err(|error| CliError::Usage(error.to_string()))?;
    if !choice.min_version.trim().is_empty() && !Version::is_one(&choice.min_version) {
        let text =
            format!("--min-version {:?} is no version: write it like 1.2 or 2024.01.02", choice.min_version);
        return Err(CliError::Usage(text));
    }
    let plugins: Vec<String> = choice.plugins.into_iter().filter(|it| !it.trim().is_empty()).collect();
    let found = search::search(settings, &plugins)?;
    let habit = found.own.policy();
    let curated = found.curated_providers();
    let wish = Selection { names, providers, min_version: choice.min_version, curated, asked, habit };
    let mut requirements = found.requirements.clone();
    if !wish.names.is_empty() {
        requirements.extend_from_slice(&found.needs);
    }
    let steps = plan::plan(&requirements, &wish, &found.providers());
    Ok((found, steps))
}

/// Shows the plan; nothing is made, not even the data dir.
fn dry_run(
    found: &Found,
    steps: &[plan::Step],
    settings: &Settings,
    output: &mut Output,
) -> Result<Exit, CliError> {
    let store = Session::read(settings)?;
    let providers = found.providers();
    let mut rows = Vec::new();
    let mut records = Vec::new();
    for step in steps {
        let (status, asks, record) = match step {
            Ok(request) => {
                let known = match &store {
                    Some(store) => known_binary(store, request)?,
                    None => None,
                };
                let is_there =
                    known.is_some_and(|it| install_status(&it, request, settings) != InstallStatus::Missing);
                let status = if is_there { "installed" } else { "queued" };
                let (known, unknown): (Vec<&ProviderName>, Vec<&ProviderName>) =
                    request.candidates.iter().partition(|it| providers.contains(it));
                let asks = known
                    .into_iter()
                    .map(ToString::to_string)
                    .chain(unknown.iter().map(|it| format!("{it} (unknown)")));
                let asks = asks.collect::<Vec<_>>().join(", ");
                let mut record = request.to_record(status);
                record["unknown_providers"] = json!(unknown);
                (status, asks, record)
            }
            Err(refusal) => ("queued", String::new(), workshop::unresolved(&refusal.name, &refusal.reason)),
        };
        let text = |key: &str| record[key].as_str().unwrap_or_default().to_owned();
        let is_installed = status == "installed";
        rows.push(vec![
            Cell::plain(text("name")),
            if is_installed { Cell::success(status) } else { Cell::plain(status) },
            Cell::plain(asks),
            Cell::failure(text("last_error")),
        ]);
        records.push(record);
    }
    if output.is_json() {
        output.records(records)?;
    } else {
        let columns = [
            Column::new("BINARY").cut_end(20),
            Column::new("STATUS"),
            Column::new("PROVIDERS").wrap(16),
            Column::new("ERROR").wrap(24).optional(1),
        ];
        output.table(&Table::with_rows(columns, rows))?;
    }
    let diagnostics = found.complain();
    Ok(if steps.iter().all(Result::is_ok) { diagnostics } else { Exit::Missing })
}

fn known_binary(store: &Store, request: &Request) -> Result<Option<Binary>, CliError> {
    let filter = BinaryFilter { name: Some(request.name.as_str().to_owned()), ..BinaryFilter::default() };
    Ok(store.binaries(&filter)?.into_iter().next())
}
