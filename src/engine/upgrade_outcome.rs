//! What became of a binary in `rigup upgrade`.

use crate::model::{Installed, Version};

/// The outcome for one binary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum UpgradeOutcome {
    /// A newer version is installed now, or one that is not known.
    Upgraded,
    /// An older version is installed now, which the command named.
    Downgraded,
    /// The same version is installed.
    UpToDate,
    /// The provider ran and installed the same version, although its registry has a newer one.
    Unchanged,
    /// The provider offers only an older version.
    HeldBack,
    /// Another program upgrades it.
    Foreign,
    /// The provider would run again; only in a dry run.
    Planned,
    /// Nothing else is installed, and something went wrong.
    Failed,
}

impl UpgradeOutcome {
    /// Returns the outcome for a binary whose file was replaced.
    pub(crate) fn of_versions(earlier: &Installed, now: &Installed) -> Self {
        let versions = |installed: &Installed| {
            (Version::parse(&installed.version), Version::parse(&installed.package_version))
        };
        if (&earlier.version, &earlier.package_version) == (&now.version, &now.package_version) {
            Self::UpToDate
        } else if !now.version.is_empty() && versions(now) < versions(earlier) {
            Self::Downgraded
        } else {
            Self::Upgraded
        }
    }

    /// Whether another version is installed now.
    pub(crate) fn has_other_version(self) -> bool {
        matches!(self, Self::Upgraded | Self::Downgraded)
    }

    /// Returns the word for records and tables.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Upgraded => "upgraded",
            Self::Downgraded => "downgraded",
            Self::UpToDate => "up to date",
            Self::Unchanged => "unchanged",
            Self::HeldBack => "held back",
            Self::Foreign => "not upgraded",
            Self::Planned => "planned",
            Self::Failed => "failed",
        }
    }
}
