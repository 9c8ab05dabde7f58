//! `rigup why`: which plugins require a binary, how it was installed, or why it is not.

use crate::cli::command::{CommandResult, Context};
use crate::cli::completions::values;
use crate::cli::message::{print_diagnostics, print_event};
use crate::clock;
use crate::engine::completion;
use crate::engine::why::{self, Explanation};
use crate::install::plan::ENV;
use crate::model::{Binary, Installed, Outcome, VersionRange};
use crate::plugin::requirement::{Providers, Requirement};
use crate::report::short_id::short_ids;
use crate::report::table::{Cell, Column, Table};
use crate::report::text::printable;
use crate::report::{tables, units};
use crate::shell;

/// The arguments of `rigup why`.
#[derive(Debug, clap::Args)]
#[command(after_help = include_str!("help/why.txt"))]
pub(crate) struct WhyArgs {
    /// Name of the binary
    #[arg(add = values(completion::binaries))]
    name: String,
}

/// Runs `rigup why`.
pub(crate) fn why(args: &WhyArgs, context: &mut Context) -> CommandResult {
    let (explanation, plan) = why::explain(&args.name, &context.settings, &print_event)?;
    let output = &mut context.output;
    if output.is_json() {
        output.record(&explanation.to_record());
    } else {
        for line in summary(&explanation) {
            output.text(printable(&line) + "\n");
        }
        for table in [requirements(&explanation), attempts(&explanation)] {
            if !table.is_empty() {
                output.line("");
                output.table(&table);
            }
        }
    }
    Ok(print_diagnostics(&plan.catalog))
}

/// Describes the state of the binary and how it was installed, a statement in each line.
fn summary(explanation: &Explanation) -> Vec<String> {
    let Explanation { name, candidates, binary, link_error, problem, last, .. } = explanation;
    let install = format!("`rigup install {}`", shell::quote_text(name.as_str()));
    let mut lines = Vec::new();
    match binary.as_ref().map(|binary| (binary, binary.installed())) {
        Some((_, Some(installed))) => lines.push(how_installed(name.as_str(), installed)),
        Some((binary, None)) => lines.push(not_installed(binary)),
        None if candidates.is_empty() => {
            lines.push(format!("{name} is not installed: it was never requested"));
        }
        None => lines.push(format!(
            "{name} is not installed: it was never requested; {install} tries {}",
            candidates.join(", ")
        )),
    }
    lines.extend(link_error.as_ref().map(|error| format!("it cannot be run: {error}")));
    // The error of the link may state the same problem.
    let is_stated = |problem: &&String| link_error.as_ref().is_some_and(|error| error.starts_with(*problem));
    let problem = problem.as_ref().filter(|problem| !is_stated(problem));
    lines.extend(problem.map(|problem| match binary.as_ref().and_then(Binary::installed) {
        Some(_) if !candidates.is_empty() => format!("{install} resolves it again: {problem}"),
        _ => format!("{install} cannot install it: {problem}"),
    }));
    if explanation.requirements.is_empty() {
        let plugin = if explanation.disabled.is_empty() { "plugin" } else { "enabled plugin" };
        let origin = if binary.is_some() { "; it was requested by name" } else { "" };
        lines.push(format!("no {plugin} requires it{origin}"));
    }
    lines.extend(explanation.disabled.iter().map(|(Requirement { plugin, source, .. }, status)| {
        let plugin = plugin.as_ref().map_or("", |plugin| plugin.as_str());
        format!("the plugin {plugin} would require it ({source}), but {status}")
    }));
    lines.extend(last.command.as_ref().map(|command| {
        let time = units::relative_time(command.created_at, clock::now());
        format!("last tried {time} by `{}`", why::command_line(command))
    }));
    lines
}

/// Says how a binary was installed.
fn how_installed(name: &str, installed: &Installed) -> String {
    let Installed { version, abspath, binprovider, request_digest, .. } = installed;
    let separator = if version.is_empty() { "" } else { " " };
    let how = match binprovider.as_str() {
        _ if request_digest.is_empty() => "its record came without a request; it is".to_owned(),
        ENV => "env found it".to_owned(),
        provider => format!("{provider} installed it"),
    };
    format!("{name}{separator}{version} is installed: {how} at {}", abspath.display())
}

/// Says that a binary is not installed, how often it failed, and until when `apply` waits.
fn not_installed(binary: &Binary) -> String {
    let Binary { name, backoff, .. } = binary;
    let times = match backoff.attempt_count {
        0 => return format!("{name} is not installed: it is queued"),
        1 => "once".to_owned(),
        count => format!("{count} times"),
    };
    let now = clock::now();
    let retry = backoff.pending_retry(now).map(|at| {
        format!("; `rigup apply` and `rigup install --due` try it again {}", units::relative_time(at, now))
    });
    format!("{name} is not installed: it failed {times}{}", retry.unwrap_or_default())
}

/// Returns the table of the requirements, each with the file and line that states it.
fn requirements(explanation: &Explanation) -> Table {
    let rows = explanation.requirements.iter().map(|requirement| {
        let Requirement { plugin, providers, min_version: min, max_version: max, source, .. } = requirement;
        let allowed = match providers {
            Providers::Default => "curated providers".to_owned(),
            Providers::Any => "every provider".to_owned(),
            Providers::Only(names) => names.join(","),
        };
        let versions = VersionRange { min, max }.to_string();
        [plugin.as_ref().map_or("", |plugin| plugin.as_str()), &allowed, &versions, source].map(Cell::plain)
    });
    let columns = [
        Column::new("REQUIRED BY").cut_end(12),
        Column::new("ALLOWS").cut_end(16),
        Column::new("VERSION"),
        Column::new("SOURCE").cut_start(24),
    ];
    Table::with_rows(columns, rows)
}

/// Returns the table of the attempts, each with the command that shows its log.
fn attempts(explanation: &Explanation) -> Table {
    let attempts = &explanation.last.attempts;
    let mut ids = short_ids(attempts.iter().filter_map(|(attempt, _)| attempt.process_id)).into_iter();
    let rows = attempts.iter().map(|(attempt, _)| {
        let id = attempt.process_id.and_then(|_| ids.next());
        let reason = match attempt.outcome {
            Outcome::Installed => "",
            _ => &*attempt.reason,
        };
        vec![
            Cell::plain(attempt.provider.as_str()),
            tables::outcome(attempt.outcome),
            Cell::plain(reason),
            Cell::plain(id.map(|id| format!("rigup process logs {id}")).unwrap_or_default()),
        ]
    });
    let columns =
        [Column::new("PROVIDER"), Column::new("OUTCOME"), Column::new("REASON").wrap(24), Column::new("LOG")];
    Table::with_rows(columns, rows)
}
