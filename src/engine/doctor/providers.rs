//! What each provider lacks, as its own `config.json` says.

use std::time::{Duration, Instant};

use crate::engine::catalog::Catalog;
use crate::engine::doctor::finding::{Finding, Level};
use crate::hook::command;
use crate::model::ProviderName;
use crate::plugin::config::provider::ProviderConfig;
use crate::process::capture;
use crate::process::signals::Interrupt;
use crate::process::spawn::CommandSpec;
use crate::settings::Settings;

/// How long the check of a provider may take.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The fix for a note of a provider that names none.
const OTHER_PROVIDER: &str = "remove the cause, or let `binproviders` name other providers";

/// Returns a note for each program that a provider needs and that is not on PATH. If all of them are, returns one for
/// each line that its check prints.
pub(super) fn examine(catalog: &Catalog, settings: &Settings, interrupt: &Interrupt) -> Vec<Finding> {
    let configs = catalog.provider_configs();
    let mut notes = Vec::new();
    for provider in catalog.providers() {
        let mut missing = missing_programs(&provider, &configs[&provider], catalog);
        if missing.is_empty() {
            missing = check(&configs[&provider], settings, interrupt);
        }
        notes.extend(missing.iter().map(|text| {
            Finding::from_text("providers", Level::Note, &format!("{provider}: {text}"), OTHER_PROVIDER)
        }));
    }
    notes
}

/// Describes the programs that a provider needs, that are not on PATH, and that rigup does not install for it.
fn missing_programs(provider: &ProviderName, config: &ProviderConfig, catalog: &Catalog) -> Vec<String> {
    let is_required = |program: &str| {
        catalog.requirements_of(program).any(|requirement| requirement.provider().as_ref() == Some(provider))
    };
    let texts = catalog.missing_programs(config).map(|(program, hint)| {
        let or_rigup = if is_required(program) { ", or let rigup install it for a request" } else { "" };
        format!("{program} is not on PATH; {hint}{or_rigup}")
    });
    texts.collect()
}

/// Returns the lines that the check of a provider prints; none if it does not exit with 0 in time.
fn check(config: &ProviderConfig, settings: &Settings, interrupt: &Interrupt) -> Vec<String> {
    let Some(check) = &config.check else { return Vec::new() };
    let path = command::search_path(settings, &[]);
    let command = CommandSpec {
        program: "/bin/sh".into(),
        args: ["-c", check.as_str()].map(Into::into).into(),
        env: command::environment_of_program(settings, &[], vec![("PATH", path)]),
        cwd: "/".into(),
    };
    let stdout = capture::stdout(command, Instant::now() + TIMEOUT, interrupt).ok().flatten();
    stdout.unwrap_or_default().lines().map(str::to_owned).collect()
}
