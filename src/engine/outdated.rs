//! The work of `rigup outdated`: compares installed binaries with what registries have.

use serde_json::{Value, json};

use crate::clock;
use crate::engine::catalog::Catalog;
use crate::engine::error::EngineError;
use crate::engine::event::OnEvent;
use crate::engine::install::InstallRequest;
use crate::engine::session;
use crate::engine::upgrade::{Asked, PlannedUpgrade, Unchanged, UpgradePlan};
use crate::engine::upgrade_outcome::UpgradeOutcome;
use crate::engine::version_status::VersionStatus;
use crate::model::{Binary, Release};
use crate::settings::Settings;

/// The result of `rigup outdated`.
#[derive(Debug)]
pub(crate) struct OutdatedReport {
    /// The plugins whose requirements count.
    pub(crate) catalog: Catalog,
    /// One entry for each binary.
    pub(crate) rows: Vec<OutdatedRow>,
    /// The signal that interrupted the hooks.
    pub(crate) interrupted: Option<i32>,
}

/// An installed binary, and what its registry has.
#[derive(Debug)]
pub(crate) struct OutdatedRow {
    /// Its name.
    pub(crate) name: String,
    /// The installed version, as the package manager writes it; empty if it is unknown or the binary is not installed.
    pub(crate) version: String,
    /// The provider that installed it; empty if it is not installed.
    pub(crate) binprovider: String,
    /// What the registry has, or why that is unknown.
    pub(crate) status: Result<VersionStatus, String>,
    /// Why an upgrade keeps the installed version although no release that is allowed is as new; `None` if one is.
    pub(crate) held_back: Option<String>,
    /// Whether the binary is installed and has a request that can be resolved.
    pub(crate) is_known: bool,
}

impl OutdatedRow {
    fn new(row: PlannedUpgrade) -> Self {
        let held_back = match row.unless_outdated() {
            Some(Unchanged::HeldBack(reason)) => Some(reason),
            _ => None,
        };
        let installed = row.earlier.as_ref().and_then(Binary::installed);
        let (version, binprovider) = installed.map_or_else(Default::default, |installed| {
            (installed.listed_version().to_owned(), installed.binprovider.to_string())
        });
        let reason = match row.unchanged {
            Some(Unchanged::Refused(reason)) => Some(reason),
            _ => None,
        };
        let is_known = reason.is_none();
        let not_asked = || Err(format!("{binprovider} does not list versions"));
        let status = reason.map_or_else(|| row.status.unwrap_or_else(not_asked), Err);
        Self { name: row.name.to_string(), version, status, held_back, is_known, binprovider }
    }

    /// Returns the word for records and tables.
    pub(crate) fn word(&self) -> &'static str {
        match &self.status {
            Ok(status) if status.is_outdated => "outdated",
            Ok(_) if self.held_back.is_some() => UpgradeOutcome::HeldBack.as_str(),
            Ok(_) => UpgradeOutcome::UpToDate.as_str(),
            Err(_) => "unknown",
        }
    }

    /// Whether another version would be installed by an upgrade.
    pub(crate) fn is_outdated(&self) -> bool {
        self.status.as_ref().is_ok_and(|status| status.is_outdated)
    }

    /// Returns the record.
    pub(crate) fn to_record(&self) -> Value {
        let status = self.status.as_ref().ok();
        let wanted = status.and_then(|status| status.wanted.as_ref());
        let latest = status.and_then(|status| status.latest.as_ref());
        let version = |release: Option<&Release>| release.map(|release| release.version.clone());
        json!({
            "type": "VersionStatus",
            "name": self.name,
            "status": self.word(),
            "version": self.version,
            "wanted": version(wanted),
            "latest": version(latest),
            "binprovider": self.binprovider,
            "released_at": wanted.and_then(|wanted| wanted.released_at).map(clock::format),
            "reason": self.status.as_ref().err().or(self.held_back.as_ref()),
        })
    }
}

/// Compares the named binaries, or all that are installed, with what registries have. Changes no binary; the hooks that it
/// runs are recorded.
pub(crate) fn outdated(
    request: &InstallRequest,
    settings: &Settings,
    on_event: OnEvent<'_>,
) -> Result<OutdatedReport, EngineError> {
    session::make_store_readable(settings, on_event)?;
    let mut plan = UpgradePlan::new(request, settings, on_event)?;
    let interrupted =
        if plan.asks(Asked::All) { plan.ask_alone(Asked::All, settings, on_event)? } else { None };
    let rows = plan.rows.into_iter().map(OutdatedRow::new).collect();
    Ok(OutdatedReport { catalog: plan.install.catalog, rows, interrupted })
}
