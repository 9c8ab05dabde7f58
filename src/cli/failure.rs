//! Messages that explain why a binary is not installed.

use crate::cli::message::{error, message};
use crate::engine::install::InstallPlan;
use crate::engine::step_result::StepResult;
use crate::install::plan::{Request, Step};
use crate::install::resolver::Resolved;
use crate::model::{Attempt, Binary, Installed, Outcome, VersionRange};
use crate::plugin::requirement::Providers;
use crate::report::short_id::short_id;
use crate::report::text::{self, printable};
use crate::shell;

/// Prints why a step failed, if it did. A lookup does not try to install anything, so it only states that the binary is
/// not installed.
pub(crate) fn print(result: &StepResult, is_lookup: bool) {
    if let Some(error) = result.link_error() {
        error!("{error}");
    }
    match result {
        StepResult::Refused(refusal, _) => error!("cannot install {}: {}", refusal.name, refusal.reason),
        StepResult::Unresolved(request, error) => error!("cannot install {request}: {error}"),
        StepResult::Resolved(request, resolved) if !resolved.has_succeeded => {
            print_attempts(request, resolved, is_lookup);
        }
        StepResult::Deferred(request, binary, retry_at) => {
            error!(
                "cannot install {request}: it failed and is not tried again before {retry_at}; run `rigup install {}` to try now",
                shell::quote_text(&binary.name)
            );
            message!("  {}", printable(&binary.backoff.last_error));
            print_earlier(binary, None);
        }
        StepResult::AlreadyInstalled(_) | StepResult::Planned(_) | StepResult::Resolved(..) => {}
    }
}

/// Prints every failed attempt with its reason and the command that shows its log.
fn print_attempts(request: &Request, resolved: &Resolved, is_lookup: bool) {
    let binary = &resolved.binary;
    let label = request.to_string();
    let last_error = printable(&binary.backoff.last_error);
    // No attempt has the reason if there was no provider to try.
    let has_failed_last =
        resolved.attempts.last().is_some_and(|attempt| attempt.outcome != Outcome::Installed);
    let wanted = || if request.is_restricted { typed(request) } else { shell::quote_text(&named(request)) };
    let problem = resolved.problem.as_deref().map(printable);
    if let (true, Some(reason)) = (is_lookup, &problem) {
        let state =
            binary.installed().map(|installed| described(binary, installed, "is installed") + ", but ");
        let problem = format!("cannot load {label}: {}{reason}", state.unwrap_or_default());
        error!("{}", text::with_next_step(problem, &format!("run `rigup install {}`", wanted())));
    } else if is_lookup {
        error!("{label} is not installed; run `rigup install {}`", wanted());
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
        message!("  {} {}: {reason}{log}", attempt.provider, attempt.outcome.verb());
    }
    if !is_lookup {
        print_earlier(binary, resolved.problem.as_deref());
        if let Some(lost) = &resolved.lost {
            print_lost(binary, lost, &wanted());
        }
    }
}

/// Prints that the hook of a request that failed has changed the earlier file, and how to install the binary again.
fn print_lost(binary: &Binary, lost: &Installed, wanted: &str) {
    let change = if lost.abspath.exists() { "changed" } else { "removed" };
    message!(
        "  {}: the hook has {change} {}; correct the cause, then run `rigup install {wanted}`",
        described(binary, lost, "is no longer installed"),
        lost.abspath.display()
    );
}

/// Prints the earlier file of a request that failed, if that stays installed, and why it does not meet the request.
fn print_earlier(binary: &Binary, problem: Option<&str>) {
    if let Some(installed) = binary.installed() {
        let problem = problem.map(|problem| format!(", but {}", printable(problem))).unwrap_or_default();
        message!("  {}{problem}", described(binary, installed, "stays installed"));
    }
}

/// Describes an installed binary.
fn described(binary: &Binary, Installed { binprovider, version, .. }: &Installed, state: &str) -> String {
    let separator = if version.is_empty() { "" } else { " " };
    format!("{}{separator}{version}, which {binprovider} installed, {state}", binary.name)
}

/// Returns the name of a request, with the provider that the command line names.
fn named(request: &Request) -> String {
    let provider = request.named_provider.as_ref().map_or(String::new(), |provider| format!("{provider}:"));
    provider + request.name.as_str()
}

/// Returns the arguments that request a bare name with its versions.
fn typed(request: &Request) -> String {
    let VersionRange { min, max } = request.versions();
    let name = named(request);
    if let Some(exact) = request.versions().exact() {
        return shell::quote_text(&format!("{name}@{exact}"));
    }
    let bounds = [("--min-version", min), ("--max-version", max)];
    let bounds = bounds.into_iter().filter(|(_, version)| !version.is_empty());
    let bounds = bounds.map(|(option, version)| format!(" {option} {}", shell::quote_text(version)));
    shell::quote_text(&name) + &bounds.collect::<String>()
}

/// Prints the command that tries open registries, if only curated providers were asked by default and all of them
/// declined.
pub(crate) fn print_open_registries(step: &Step, result: &StepResult, plan: &InstallPlan) {
    let (Ok(request), StepResult::Resolved(_, resolved)) = (step, result) else { return };
    let is_declined = |attempt: &Attempt| attempt.outcome == Outcome::Declined;
    let has_default_providers = request.required_by.is_empty()
        && request.name.file().is_none()
        && request.providers == Providers::Default
        // The same name may be another package.
        && request.overrides.is_empty();
    if has_default_providers
        && !plan.options.is_lookup
        && !resolved.has_succeeded
        && resolved.attempts.iter().all(is_declined)
    {
        let registries = plan.catalog.open_registries();
        let command = format!("rigup install {} --binproviders {}", typed(request), registries.join(","));
        message!("  to try {}, to which anyone can publish, run `{command}`", registries.join(" and "));
    }
}
