//! `rigup uninstall`: removes binaries, and prefixes and links that no record names.

use crate::cli::command::{CliError, CommandResult, Context, interrupt};
use crate::cli::completions::specs;
use crate::cli::message::{error, message};
use crate::engine::ExitStatus;
use crate::engine::catalog::Catalog;
use crate::engine::completion;
use crate::engine::session::Session;
use crate::engine::uninstall::{self, Refused, UninstallOptions, Uninstalled};
use crate::report::table::{Cell, Column, Table};
use crate::report::{text, units};

/// The arguments of `rigup uninstall`.
#[derive(Debug, clap::Args)]
#[command(after_help = include_str!("help/uninstall.txt"))]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command")]
pub(crate) struct UninstallArgs {
    /// Binaries, each as [PROVIDER:]NAME[@VERSION]
    #[arg(value_name = "NAME", required_unless_present = "orphaned", conflicts_with = "orphaned", add = specs(completion::recorded_specs))]
    names: Vec<String>,
    /// Remove what rigup installed into LIB_DIR and no record names
    #[arg(long)]
    orphaned: bool,
    /// Confirm --orphaned
    #[arg(long, short)]
    yes: bool,
    /// Also remove what plugins require
    #[arg(long, conflicts_with = "orphaned")]
    force: bool,
    /// Show what would be removed
    #[arg(long)]
    dry_run: bool,
}

/// Runs `rigup uninstall`.
pub(crate) fn uninstall(args: &UninstallArgs, context: &mut Context) -> CommandResult {
    // A data dir that does not exist names no binary, and is not created for that.
    let is_preview = args.is_preview() || (!args.orphaned && !context.settings.data_dir.exists());
    let session = context.session_for(is_preview)?;
    let (results, mut status) = if args.orphaned {
        (uninstall::remove_orphans(&session, is_preview)?, ExitStatus::Success)
    } else {
        named(&args.names, UninstallOptions { is_dry_run: is_preview, force: args.force }, &session)?
    };
    for result in &results {
        for reason in &result.reasons {
            message!("{reason}");
        }
        for failure in &result.failures {
            error!("{failure}");
            status = status.or_incomplete();
        }
    }
    let columns = [
        Column::new("BINARY"),
        Column::new("SIZE"),
        Column::new(if args.is_preview() { "WOULD REMOVE" } else { "REMOVED" }).cut_start(16),
    ];
    let rows = results.iter().map(row);
    let records = results.iter().map(Uninstalled::to_record);
    if args.orphaned || !results.is_empty() {
        context.output.list(records, "no orphaned prefixes or links", || Table::with_rows(columns, rows));
    }
    let bytes = results.iter().map(|result| result.bytes).sum();
    if args.orphaned && !results.is_empty() && !args.yes && !args.dry_run {
        return Err(CliError::not_found(format!(
            "nothing removed; confirm with --yes to remove {}",
            units::bytes(bytes)
        )));
    }
    Ok(status)
}

impl UninstallArgs {
    /// Whether nothing is removed.
    fn is_preview(&self) -> bool {
        self.dry_run || (self.orphaned && !self.yes)
    }
}

/// Uninstalls binaries, or none of them if one cannot be uninstalled. Prints why.
fn named(
    names: &[String],
    options: UninstallOptions,
    session: &Session<'_>,
) -> Result<(Vec<Uninstalled>, ExitStatus), CliError> {
    let catalog = Catalog::read(&session.settings, &[], session.on_event)?;
    let interrupt = interrupt()?;
    let specs = match uninstall::resolve(session, names, &catalog, options.force)? {
        Ok(specs) => specs,
        Err(refused) => {
            print_refused(&refused);
            return Ok((Vec::new(), ExitStatus::Incomplete));
        }
    };
    let (mut results, mut status) = (Vec::new(), ExitStatus::Success);
    for spec in specs {
        match uninstall::uninstall(session, &spec, &catalog, options, &interrupt)? {
            Ok(uninstalled) => results.push(uninstalled),
            Err(problem) => {
                error!("{problem}");
                status = ExitStatus::Incomplete;
            }
        }
    }
    Ok((results, status))
}

/// Prints why nothing is removed, and what could be.
pub(crate) fn print_refused(Refused { problems, others }: &Refused) {
    for problem in problems {
        error!("{problem}");
    }
    if !others.is_empty() {
        error!(
            "nothing is removed unless everything can be; leave out what is named above to remove {}",
            text::list(others, text::MAX_LISTED)
        );
    }
}

fn row(result: &Uninstalled) -> Vec<Cell> {
    let name = result.binary.as_ref().map(|binary| binary.name.clone());
    let removed = match &*result.paths() {
        [] if result.binary.is_none() => "nothing".to_owned(),
        [] if result.keeps_link => "only the record".to_owned(),
        [] => "only the record and the link".to_owned(),
        paths => paths.join(", "),
    };
    [name.unwrap_or_default(), units::bytes(result.bytes), removed].map(Cell::plain).into()
}
