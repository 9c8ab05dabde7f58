//! `rigup binary create | update | delete`: the records, changed by hand or through a pipe.

use std::io;
use std::path::PathBuf;

use serde_json::{Map, Value};

use crate::cli::error::{CliError, Exit};
use crate::cli::input;
use crate::cli::output::{Output, say};
use crate::cli::session::Session;
use crate::clock;
use crate::install::linker::Linker;
use crate::install::register::{self, AdoptError};
use crate::model::binary::Binary;
use crate::model::name::BinaryName;
use crate::model::version::Version;
use crate::plugin::requirement::Providers;
use crate::process::signals::Interrupt;
use crate::settings::Settings;
use crate::store::{Lookup, Store};

const CREATE: &str = "\
Examples:
  rigup binary create --name mytool --abspath /opt/mytool/bin/mytool
  rigup binary create --name mytool --abspath /opt/mytool/bin/mytool --version 1.2

The file has to be there and executable. It is linked into LIB_BIN_DIR, and `rigup install mytool` is content
with it. The same again changes nothing.";

const UPDATE: &str = "\
Examples:
  rigup binary update jq --min-version 1.7
  rigup binary list --status installed | rigup binary update --status queued   # ask everybody anew
  rigup binary update mytool --abspath /opt/mytool-2/bin/mytool --version 2.0";

const DELETE: &str = "\
Examples:
  rigup binary delete jq --yes
  rigup binary list --name jq | rigup binary delete --yes
  rigup binary list --status queued | rigup binary delete --dry-run

What goes is the record, with its attempts, and the link in LIB_BIN_DIR. What a provider installed stays where
it is, and so do the records of the processes.";

/// What is known of a binary.
#[derive(Debug, clap::Args)]
#[command(after_help = CREATE)]
pub(crate) struct CreateArgs {
    /// What it is called
    #[arg(long)]
    name: String,
    /// The file
    #[arg(long, value_name = "PATH")]
    abspath: PathBuf,
    /// Its version, where it has one
    #[arg(long, value_name = "V", default_value = "", hide_default_value = true)]
    version: String,
    /// Who provided it
    #[arg(long, value_name = "PROVIDER", default_value = "env")]
    binprovider: String,
    /// Show the record, and store nothing
    #[arg(long)]
    dry_run: bool,
}

/// What to change about which binaries.
#[derive(Debug, clap::Args)]
#[command(after_help = UPDATE)]
pub(crate) struct UpdateArgs {
    /// Names or ids (the beginning or end of an id is enough); otherwise the records on standard input
    #[arg(value_name = "BINARY")]
    binaries: Vec<String>,
    /// Another file
    #[arg(long, value_name = "PATH")]
    abspath: Option<PathBuf>,
    /// Another version
    #[arg(long, value_name = "V")]
    version: Option<String>,
    /// The providers that may be asked
    #[arg(long, value_name = "X,Y")]
    binproviders: Option<String>,
    /// The lowest version that will do
    #[arg(long, value_name = "V")]
    min_version: Option<String>,
    /// `queued`: to be asked for anew
    #[arg(long, value_parser = ["queued"], conflicts_with_all = ["abspath", "version"])]
    status: Option<String>,
    /// Show the records as they would be, and change nothing
    #[arg(long)]
    dry_run: bool,
}

/// Which binaries to forget.
#[derive(Debug, clap::Args)]
#[command(after_help = DELETE)]
pub(crate) struct DeleteArgs {
    /// Names or ids (the beginning or end of an id is enough); otherwise the records on standard input
    #[arg(value_name = "BINARY")]
    binaries: Vec<String>,
    /// Do it: without, nothing is deleted
    #[arg(long, short)]
    yes: bool,
    /// Show what would be deleted
    #[arg(long)]
    dry_run: bool,
}

/// `rigup binary create`
pub(crate) fn create(args: &CreateArgs, settings: &Settings, output: &mut Output) -> Result<Exit, CliError> {
    let path = std::path::absolute(&args.abspath).unwrap_or_else(|_| args.abspath.clone());
    let fields = [
        ("name", args.name.as_str()),
        ("abspath", &path.to_string_lossy()),
        ("version", &args.version),
        ("binprovider", &args.binprovider),
        ("binproviders", &args.binprovider),
    ];
    let fields = fields.into_iter().map(|(key, text)| (key.to_owned(), Value::from(text))).collect();
    let session = Session::open(settings)?;
    let adopted = take(&session, settings, &fields, args.dry_run)?;
    if let Some(known) = adopted.as_ref().filter(|it| it.was_known) {
        say(&format!("{} is there already, just like that.", known.binary.name));
    }
    output.record(&adopted.map_or(Value::Object(fields), |it| it.binary.to_record(&[])))?;
    Ok(Exit::Well)
}

/// Stores and links what a record says, if it is true; with `is_dry` only looks whether it is.
fn take(
    session: &Session,
    settings: &Settings,
    fields: &Map<String, Value>,
    is_dry: bool,
) -> Result<Option<register::Adopted>, CliError> {
    let linker = Linker { settings, store: &session.store, machine_id: session.machine.id, force: false };
    let refused = |error: AdoptError| match error {
        AdoptError::Store(error) => error.into(),
        AdoptError::Record(error) => CliError::Usage(error.to_string()),
        other => CliError::NotFound(other.to_string()),
    };
    let checked = register::check(&linker, fields).map_err(refused)?;
    if is_dry {
        return Ok(None);
    }
    let interrupt = Interrupt::install().map_err(CliError::unusable)?;
    let warn = |warning: &str| say(&format!("warning: {warning}"));
    register::adopt(&linker, checked, &interrupt, warn).map(Some).map_err(refused)
}

/// `rigup binary update`
pub(crate) fn update(args: &UpdateArgs, settings: &Settings, output: &mut Output) -> Result<Exit, CliError> {
    if args.min_version.as_deref().is_some_and(|it| !it.is_empty() && !Version::is_one(it)) {
        return Err(CliError::Usage("--min-version is no version: write it like 1.2".to_owned()));
    }
    let session = Session::open(settings)?;
    let (binaries, exit) = subjects(&session.store, &args.binaries)?;
    for mut binary in binaries {
        let now = clock::now();
        let providers = args
            .binproviders
            .as_deref()
            .map(Providers::parse)
            .transpose()
            .map_err(|error| CliError::Usage(error.to_string()))?
            .map(|providers| providers.to_string());
        let providers = providers.unwrap_or_else(|| binary.binproviders.clone());
        let min_version = args.min_version.as_ref().unwrap_or(&binary.min_version).clone();
        if let (Some(_), _) | (_, Some(_)) = (&args.abspath, &args.version) {
            let mut fields = binary.to_record(&[]).as_object().cloned().unwrap_or_default();
            fields.remove("sha256");
            fields.insert("binproviders".to_owned(), providers.into());
            fields.insert("min_version".to_owned(), min_version.into());
            let path = args.abspath.as_ref().map(|it| std::path::absolute(it).unwrap_or_else(|_| it.clone()));
            if let Some(path) = path {
                fields.insert("abspath".to_owned(), path.to_string_lossy().into());
            }
            if let Some(version) = &args.version {
                fields.insert("version".to_owned(), version.as_str().into());
            }
            let Some(adopted) = take(&session, settings, &fields, args.dry_run)? else {
                output.record(&Value::Object(fields))?;
                continue;
            };
            binary = adopted.binary;
        } else {
            binary.binproviders = providers;
            binary.min_version = min_version;
            binary.modified_at = now;
            if args.status.is_some() {
                binary.requeue(now);
            }
            if !args.dry_run {
                session.store.save_binary(&binary)?;
            }
        }
        output.record(&binary.to_record(&[]))?;
    }
    Ok(exit)
}

/// `rigup binary delete`
pub(crate) fn delete(args: &DeleteArgs, settings: &Settings, output: &mut Output) -> Result<Exit, CliError> {
    let session = Session::open(settings)?;
    let (binaries, exit) = subjects(&session.store, &args.binaries)?;
    if !args.yes && !args.dry_run {
        say(&format!("error: nothing was deleted: --yes deletes {}, --dry-run shows what", binaries.len()));
        return Ok(Exit::Missing);
    }
    let linker = Linker { settings, store: &session.store, machine_id: session.machine.id, force: false };
    for binary in &binaries {
        if args.dry_run {
            say(&format!("would delete {}", binary.name));
        } else {
            let name = BinaryName::parse(&binary.name, None);
            if let (Ok(name), Some(installed)) = (name, binary.installed())
                && let Err(error) = linker.unlink(&name, installed)
            {
                say(&format!("warning: {error}"));
            }
            session.store.delete_binary(binary.id)?;
        }
        output.record(&binary.to_record(&[]))?;
    }
    Ok(exit)
}

/// The binaries that are meant: those named, else those whose records stand on standard input. What nobody knows is said,
/// and the others count.
fn subjects(store: &Store, named: &[String]) -> Result<(Vec<Binary>, Exit), CliError> {
    let typed = if named.is_empty() {
        let ids = input::ids(io::stdin(), &["Binary", "BinaryRequest"])?;
        if ids.is_empty() {
            return Err(CliError::NotFound(
                "no binaries: name some, or pipe records in, as `rigup binary list` prints them".to_owned(),
            ));
        }
        ids
    } else {
        named.to_vec()
    };
    let mut exit = Exit::Well;
    let mut binaries: Vec<Binary> = Vec::new();
    for typed in typed {
        match store.find_binary(&typed)? {
            Lookup::Found(binary) if binaries.iter().any(|it| it.id == binary.id) => {}
            Lookup::Found(binary) => binaries.push(binary),
            Lookup::NotFound => {
                exit = Exit::Missing;
                say(&format!("warning: no binary has the name or id {typed}"));
            }
            Lookup::Ambiguous(count) => {
                exit = Exit::Missing;
                say(&format!("warning: {typed} matches {count} binaries; type more characters of an id"));
            }
        }
    }
    Ok((binaries, exit))
}
