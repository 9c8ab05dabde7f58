//! `rigup binary`: the records of binaries.

use std::io::{self, BufReader, IsTerminal};
use std::path::{Path, PathBuf};

use clap::Subcommand;
use serde_json::{Map, Value};

use crate::cli::command::{CliError, CommandResult, Context, interrupt, machine_with_id};
use crate::cli::completions::{list_of, values};
use crate::cli::count;
use crate::cli::message::{error, message, warning};
use crate::cli::standard_stream::StandardStream;
use crate::cli::uninstall::print_refused;
use crate::clock;
use crate::engine::completion;
use crate::engine::session::{self, Session};
use crate::engine::{ExitStatus, inventory, uninstall};
use crate::install::register::{self, RegisterError, Registered};
use crate::model::{Attempt, Binary, BinaryName, Version};
use crate::plugin::requirement::Providers;
use crate::protocol::{self, Source};
use crate::report::tables;
use crate::store::{BinaryFilter, Lookup, Store};

/// The subcommands of `rigup binary`.
#[derive(Debug, Subcommand)]
pub(crate) enum BinaryCommand {
    /// List all binaries that were requested on this machine
    List(BinaryListArgs),
    /// Show a binary with its attempts
    #[command(after_help = include_str!("help/binary_show.txt"))]
    Show {
        /// Name of the binary, or a unique prefix or suffix of its id
        #[arg(add = values(completion::recorded))]
        binary: String,
    },
    /// Store a record of an existing file, and link it
    Create(CreateArgs),
    /// Change the records of binaries
    Update(UpdateArgs),
    /// Delete the records and links of binaries
    Delete(DeleteArgs),
}

/// The arguments of `rigup binary list`.
#[derive(Debug, clap::Args)]
#[command(after_help = include_str!("help/binary_list.txt"))]
pub(crate) struct BinaryListArgs {
    /// List only the binary with this name
    #[arg(long, add = values(completion::recorded))]
    name: Option<String>,
    /// List only binaries with this status
    #[arg(long, value_parser = ["queued", "installed"])]
    status: Option<String>,
    /// List only binaries whose path contains TEXT
    #[arg(long, value_name = "TEXT")]
    abspath: Option<String>,
    /// List only binaries whose version contains TEXT
    #[arg(long, value_name = "TEXT")]
    version: Option<String>,
    /// List the binaries of the machine with this id
    #[arg(long, value_name = "ID", add = values(completion::machines))]
    machine: Option<String>,
    /// List at most N binaries; 0 lists all
    #[arg(long, short = 'n', value_name = "N", value_parser = count::parse::<u32>)]
    limit: Option<u32>,
}

/// The arguments of `rigup binary create`.
#[derive(Debug, clap::Args)]
#[command(after_help = include_str!("help/binary_create.txt"))]
pub(crate) struct CreateArgs {
    /// Name of the binary
    #[arg(long)]
    name: String,
    /// Path of the file
    #[arg(long, value_name = "PATH")]
    abspath: PathBuf,
    /// Version of the file [default: probed]
    #[arg(long, value_name = "V")]
    version: Option<String>,
    /// Provider that installed the file
    #[arg(long, value_name = "PROVIDER", default_value = "env", add = values(completion::providers))]
    binprovider: String,
    /// Show the record without storing it
    #[arg(long)]
    dry_run: bool,
}

/// The arguments of `rigup binary update`.
#[derive(Debug, clap::Args)]
#[command(after_help = include_str!("help/binary_update.txt"))]
pub(crate) struct UpdateArgs {
    /// Names or ids of binaries [default: the records on standard input]
    #[arg(value_name = "BINARY", add = values(completion::recorded))]
    binaries: Vec<String>,
    /// Set a different path
    #[arg(long, value_name = "PATH")]
    abspath: Option<PathBuf>,
    /// Set a different version
    #[arg(long, value_name = "V")]
    version: Option<String>,
    /// Set the providers that may install the binary
    #[arg(long, value_name = "X,Y", add = list_of(completion::provider_list))]
    binproviders: Option<String>,
    /// Set the minimum version
    #[arg(long, value_name = "V")]
    min_version: Option<String>,
    /// Set the status; `queued` requests the binary again
    #[arg(long, value_parser = ["queued"], conflicts_with_all = ["abspath", "version"])]
    status: Option<String>,
    /// Show the changed records without storing them
    #[arg(long)]
    dry_run: bool,
}

/// The arguments of `rigup binary delete`.
#[derive(Debug, clap::Args)]
#[command(after_help = include_str!("help/binary_delete.txt"))]
pub(crate) struct DeleteArgs {
    /// Names or ids of binaries [default: the records on standard input]
    #[arg(value_name = "BINARY", add = values(completion::recorded))]
    binaries: Vec<String>,
    /// Confirm the deletion
    #[arg(long, short)]
    yes: bool,
    /// Show what would be deleted
    #[arg(long)]
    dry_run: bool,
}

/// Runs `rigup binary`.
pub(crate) fn run(command: BinaryCommand, context: &mut Context) -> CommandResult {
    match command {
        BinaryCommand::List(args) => list(args, context),
        BinaryCommand::Show { binary } => show(&binary, context),
        BinaryCommand::Create(args) => create(&args, context),
        BinaryCommand::Update(args) => update(&args, context),
        BinaryCommand::Delete(args) => delete(&args, context),
    }
}

fn list(args: BinaryListArgs, context: &mut Context) -> CommandResult {
    let Some(store) = context.store()? else { return Ok(ExitStatus::Success) };
    let BinaryListArgs { name, status, abspath, version, machine, limit } = args;
    // A data dir that came from another machine has its records, too.
    let machine_id = match machine {
        None => session::machine_id(&context.settings, &store)?,
        Some(id) => Some(machine_with_id(&store, &id)?),
    };
    let filter =
        BinaryFilter { name, status, abspath, version, machine_id, limit: limit.filter(|limit| *limit > 0) };
    let binaries = store.binaries(&filter)?;
    let Context { settings, output, .. } = context;
    let records = binaries.iter().map(|binary| inventory::record(&store, binary, settings));
    let records = records.collect::<Result<Vec<_>, _>>()?;
    let rows = binaries
        .iter()
        .map(|binary| tables::binary_row(binary, inventory::link_error(binary, settings).is_none()));
    output.list(records, "no binaries", || tables::binary_rows(rows));
    Ok(ExitStatus::Success)
}

fn show(name: &str, context: &mut Context) -> CommandResult {
    let store = context.store()?.ok_or_else(|| CliError::not_found(not_found(name)))?;
    let machine_id = session::machine_id(&context.settings, &store)?;
    let binary = match store.find_binary(name, machine_id)? {
        Lookup::NotFound => return Err(CliError::not_found(not_found(name))),
        Lookup::Ambiguous { count, .. } => return Err(CliError::not_found(ambiguous(name, count))),
        Lookup::Found(binary) => binary,
    };
    if context.output.is_json() {
        context.output.record(&binary.to_record(&attempts_of(&store, &binary)?));
    } else {
        context.output.record(&binary.to_record(&[]));
        context.output.table(&tables::attempts(&store.attempts(binary.id)?, clock::now()));
    }
    Ok(ExitStatus::Success)
}

fn attempts_of(store: &Store, binary: &Binary) -> Result<Vec<Attempt>, CliError> {
    Ok(store.attempts(binary.id)?.into_iter().map(|(attempt, _)| attempt).collect())
}

/// Describes a name that has no record.
fn not_found(name: &str) -> String {
    format!("no binary has the name or id `{name}`; `rigup binary list` shows the binaries")
}

/// Describes a name that matches several ids.
fn ambiguous(name: &str, count: u64) -> String {
    format!("{name} matches {count} binaries; type more characters of an id")
}

/// Runs `rigup binary create`.
fn create(args: &CreateArgs, context: &mut Context) -> CommandResult {
    let path = absolute(&args.abspath);
    let fields = [
        ("name", args.name.as_str()),
        ("abspath", &path.to_string_lossy()),
        ("version", args.version.as_deref().unwrap_or_default()),
        ("binprovider", &args.binprovider),
        ("binproviders", &args.binprovider),
    ];
    let mut fields: Map<_, _> =
        fields.into_iter().map(|(key, text)| (key.to_owned(), Value::from(text))).collect();
    let session = context.session_for(args.dry_run)?;
    let linker = session.linker();
    let verified = register::verify(&linker, &fields, &interrupt()?).map_err(register_error)?;
    fields["version"] = verified.installed.version.as_str().into();
    let register = || register::register(&linker, verified, &interrupt()?).map_err(register_error);
    let registered = if args.dry_run { None } else { Some(register()?) };
    if let Some(registered) = registered.as_ref().filter(|registered| registered.is_unchanged) {
        message!("{} already has this record", registered.binary.name);
    }
    let status = registered.as_ref().map_or(ExitStatus::Success, link_status);
    let record = registered.map_or(Value::Object(fields), |registered| registered.to_record());
    context.output.record(&record);
    Ok(status)
}

/// Prints why a registered binary could not be linked, if it could not, and returns the exit status.
fn link_status(registered: &Registered) -> ExitStatus {
    match &registered.link_error {
        Some(error) => {
            error!("{error}");
            ExitStatus::Incomplete
        }
        None => ExitStatus::Success,
    }
}

fn register_error(error: RegisterError) -> CliError {
    match error {
        RegisterError::Store(error) => error.into(),
        RegisterError::Record(error) => CliError::usage(error),
        other => CliError::not_found(other),
    }
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_error| path.to_owned())
}

/// Runs `rigup binary update`.
fn update(args: &UpdateArgs, context: &mut Context) -> CommandResult {
    let min_version = args.min_version.as_deref().unwrap_or_default();
    if !min_version.is_empty() && !Version::looks_like_version(min_version) {
        return Err(CliError::usage("--min-version is not a version; use a form such as 1.2"));
    }
    let providers =
        args.binproviders.as_deref().map(Providers::parse).transpose().map_err(CliError::usage)?;
    let session = context.session_with_records(args.dry_run)?;
    let linker = session.linker();
    let (binaries, problems) = selected(&session, &args.binaries)?;
    let mut status = ExitStatus::Success;
    for problem in problems {
        error!("{problem}");
        status = ExitStatus::Incomplete;
    }
    for Binary { machine_id, name, .. } in binaries {
        let parsed = BinaryName::parse(&name, None).map_err(CliError::usage)?;
        let _lock =
            if args.dry_run { None } else { Some(uninstall::lock(&session, &parsed, &interrupt()?)?) };
        // Another rigup may have changed the record meanwhile.
        let Some(mut binary) = session.store.binary(machine_id, &name)? else { continue };
        if let Some(providers) = &providers {
            binary.binproviders = providers.to_string();
        }
        if let Some(min_version) = &args.min_version {
            binary.min_version.clone_from(min_version);
        }
        if args.abspath.is_some() || args.version.is_some() {
            let fields = changed_fields(&binary, args);
            let verified = register::verify(&linker, &fields, &interrupt()?).map_err(register_error)?;
            if args.dry_run {
                context.output.record(&Value::Object(fields));
                continue;
            }
            let registered = register::register_locked(&linker, verified).map_err(register_error)?;
            status = if registered.link_error.is_some() { link_status(&registered) } else { status };
            context.output.record(&registered.to_record());
        } else {
            let now = clock::now();
            binary.modified_at = now;
            if args.status.is_some() {
                binary.requeue(now);
            }
            if !args.dry_run {
                session.store.save_binary(&binary)?;
            }
            context.output.record(&binary.to_record(&[]));
        }
    }
    Ok(status)
}

/// Returns the record of a binary with the path and version in the arguments.
fn changed_fields(binary: &Binary, args: &UpdateArgs) -> Map<String, Value> {
    let mut fields = binary.to_record(&[]).as_object().cloned().unwrap_or_default();
    fields.remove("sha256");
    if let Some(path) = &args.abspath {
        fields.insert("abspath".to_owned(), absolute(path).to_string_lossy().into());
    }
    if let Some(version) = &args.version {
        fields.insert("version".to_owned(), version.as_str().into());
    }
    fields
}

/// Runs `rigup binary delete`.
fn delete(args: &DeleteArgs, context: &mut Context) -> CommandResult {
    let session = context.session_with_records(args.dry_run)?;
    let (binaries, problems) = selected(&session, &args.binaries)?;
    if !problems.is_empty() {
        let others = binaries.into_iter().map(|binary| binary.name).collect();
        print_refused(&uninstall::Refused { problems, others });
        return Ok(ExitStatus::Incomplete);
    }
    if !binaries.is_empty() && !args.yes && !args.dry_run {
        let count = binaries.len();
        let noun = if count == 1 { "record" } else { "records" };
        return Err(CliError::not_found(format!(
            "nothing deleted; confirm with --yes to delete {count} {noun}, or use --dry-run to see what would be deleted"
        )));
    }
    let interrupt = interrupt()?;
    for binary in &binaries {
        if args.dry_run {
            message!("would delete {}", binary.name);
        } else {
            uninstall::delete(&session, binary, &interrupt)?;
        }
        context.output.record(&binary.to_record(&[]));
    }
    Ok(ExitStatus::Success)
}

/// Returns the binaries with these names or ids, or those whose records are on standard input, and an error for each name
/// that has no record or several.
fn selected(session: &Session<'_>, names: &[String]) -> Result<(Vec<Binary>, Vec<String>), CliError> {
    let names = if names.is_empty() {
        let ids = piped_ids()?;
        if ids.is_empty() {
            return Err(CliError::not_found(
                "no binaries: name some, or pipe in records as `rigup binary list` prints them".to_owned(),
            ));
        }
        ids
    } else {
        names.to_vec()
    };
    let mut problems = Vec::new();
    let mut binaries: Vec<Binary> = Vec::new();
    for name in names {
        match session.store.find_binary(&name, Some(session.machine.id))? {
            Lookup::Found(binary) if binaries.iter().any(|known| known.id == binary.id) => {}
            Lookup::Found(binary) => binaries.push(binary),
            Lookup::NotFound => problems.push(not_found(&name)),
            Lookup::Ambiguous { count, .. } => problems.push(ambiguous(&name, count)),
        }
    }
    Ok((binaries, problems))
}

/// Reads the records of binaries from standard input, and returns the id of each, or its name if it has no id. Returns
/// none if standard input is a terminal, because no one types records.
fn piped_ids() -> Result<Vec<String>, CliError> {
    let mut ids = Vec::new();
    if io::stdin().is_terminal() {
        return Ok(ids);
    }
    let leftover = protocol::read_from(Source::File, BufReader::new(StandardStream(io::stdin())), |record| {
        let text = |key: &str| record.fields.get(key).and_then(Value::as_str).map(str::to_owned);
        if matches!(record.kind.as_str(), "Binary" | "BinaryRequest") {
            ids.extend(text("id").or_else(|| text("name")));
        }
    });
    let leftover =
        leftover.map_err(|error| CliError::setup(format!("cannot read standard input: {error}")))?;
    for diagnostic in leftover.diagnostics {
        warning!("standard input: {diagnostic}");
    }
    Ok(ids)
}
