//! Messages that explain why a binary is not installed.

use crate::cli::message::{error, message};
use crate::engine::install::{InstallPlan, StepResult};
use crate::install::plan::Step;
use crate::install::resolver::Resolved;
use crate::model::{Attempt, Binary, BinaryState, Outcome, name};
use crate::plugin::requirement::Providers;
use crate::report::short_id::short_id;
use crate::report::text::printable;
use crate::shell;

/// Prints why a step failed, if it did. A lookup does not try to install anything, so it only states that the binary is
/// not installed.
pub(crate) fn print(result: &StepResult, is_lookup: bool) {
    if let Some(error) = result.link_error() {
        error!("{error}");
    }
    match result {
        StepResult::Refused(refusal) => error!("cannot install {}: {}", refusal.name, refusal.reason),
        StepResult::Unresolved(request, error) => error!("cannot install {request}: {error}"),
        StepResult::Resolved(resolved) if resolved.binary.installed().is_none() => {
            print_attempts(resolved, is_lookup);
        }
        StepResult::Deferred(binary, retry_at) => {
            let label = label(binary);
            error!(
                "cannot install {label}: it failed and is not tried again before {retry_at}; run `rigup install {}` to try now",
                binary.name
            );
            if let BinaryState::Queued(queued) = &binary.state {
                message!("  {}", printable(&queued.last_error));
            }
        }
        StepResult::AlreadyInstalled(_) | StepResult::Planned(_) | StepResult::Resolved(_) => {}
    }
}

/// Prints every failed attempt with its reason and the command that shows its log.
fn print_attempts(resolved: &Resolved, is_lookup: bool) {
    let binary = &resolved.binary;
    let label = label(binary);
    let last_error = match &binary.state {
        BinaryState::Queued(queued) => printable(&queued.last_error),
        BinaryState::Installed(_) => return,
    };
    // No attempt has the reason if there was no provider to try.
    let has_failed_last =
        resolved.attempts.last().is_some_and(|attempt| attempt.outcome != Outcome::Installed);
    if is_lookup {
        error!("{label} is not installed; run `rigup install {}`", binary.name);
    } else if has_failed_last {
        error!("cannot install {label}: no provider could install it");
    } else {
        error!("cannot install {label}: {last_error}");
    }
    let failed = resolved.attempts.iter().filter(|attempt| attempt.outcome != Outcome::Installed);
    for attempt in failed {
        let log = attempt.process_id.map(|id| format!(" (rigup process logs {})", short_id(id)));
        let log = log.unwrap_or_default();
        let reason = printable(&attempt.reason);
        message!("  {} {}: {reason}{log}", attempt.provider, attempt.outcome);
    }
}

/// Prints the command that asks open registries, if only curated providers were asked by default and all of them
/// declined.
pub(crate) fn print_open_registries(step: &Step, result: &StepResult, plan: &InstallPlan) {
    let (Ok(request), StepResult::Resolved(resolved)) = (step, result) else { return };
    let is_declined = |attempt: &Attempt| attempt.outcome == Outcome::Declined;
    let has_default_providers = request.required_by.is_empty()
        && request.name.file().is_none()
        && request.providers == Providers::Only(plan.catalog.curated_providers());
    if has_default_providers
        && !plan.options.is_lookup
        && resolved.binary.installed().is_none()
        && resolved.attempts.iter().all(is_declined)
    {
        let name = shell::quote_text(request.name.as_str());
        message!("  to ask PyPI and npm, run `rigup install {name} --binproviders pip,npm`");
    }
}

/// Returns the name of a binary with its minimum version: `sh (>= 9)`.
fn label(binary: &Binary) -> String {
    name::label(&binary.name, &binary.min_version)
}
