//! The binaries that daemons need, which are installed before the daemons are started.

use std::collections::BTreeSet;

use crate::cli::command::{CliError, Context};
use crate::cli::failure;
use crate::cli::progress::ProgressDisplay;
use crate::engine::step_result::StepResult;
use crate::engine::{Engine, EngineEvent, ExitStatus, InstallRequest};
use crate::model::DaemonSpec;
use crate::sorting::collect_sorted;

/// Installs the binaries that daemons name. Returns whether all are installed.
pub(crate) fn install<'s>(
    specs: impl IntoIterator<Item = &'s DaemonSpec>,
    context: &Context,
) -> Result<bool, CliError> {
    let names: BTreeSet<&String> = collect_sorted(specs.into_iter().flat_map(|spec| &spec.binaries));
    if names.is_empty() {
        return Ok(true);
    }
    let progress = ProgressDisplay::new(context);
    let on_event = |event: &EngineEvent<'_>| progress.show(event);
    let request = InstallRequest::for_names(names.into_iter().cloned());
    let (engine, plan) = Engine::open_with_plan(&request, context.settings.clone(), &on_event)?;
    let print_failures = |results: &[StepResult]| {
        progress.clear();
        for result in results {
            failure::print(result, false);
        }
    };
    let report = engine.install_planned(&plan, print_failures, |_report| ())?;
    Ok(report.exit_status() == ExitStatus::Success)
}
