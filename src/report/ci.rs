//! The report of a command in the form of a CI system. Pure.

use crate::boolean;
use crate::report::job_report::JobReport;

mod azure;
mod buildkite;
mod command_file;
pub(crate) mod github;
mod gitlab;

pub(crate) use command_file::CommandFile;

/// A CI system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CiSystem {
    Github,
    Gitlab,
    Azure,
    Buildkite,
}

impl CiSystem {
    /// Returns the system that these variables show, or `None` if there is none.
    pub(crate) fn detect<'v>(variable: impl Fn(&str) -> Option<&'v str>) -> Option<Self> {
        let known = [
            ("GITHUB_ACTIONS", Self::Github),
            ("GITLAB_CI", Self::Gitlab),
            ("TF_BUILD", Self::Azure),
            ("BUILDKITE", Self::Buildkite),
        ];
        let is_set = |name: &str| variable(name).is_some_and(|value| boolean::parse(value) == Some(true));
        known.into_iter().find(|(name, _)| is_set(name)).map(|(_, system)| system)
    }

    /// Returns the variable with the folder of the checkout.
    pub(crate) const fn workspace_variable(self) -> &'static str {
        match self {
            Self::Github => "GITHUB_WORKSPACE",
            Self::Gitlab => "CI_PROJECT_DIR",
            Self::Azure => "BUILD_SOURCESDIRECTORY",
            Self::Buildkite => "BUILDKITE_BUILD_CHECKOUT_PATH",
        }
    }

    /// Returns the lines for standard error. The token is a word that no log contains; `now` is in seconds since 1970.
    pub(crate) fn lines(self, report: &JobReport, token: &str, now: i64) -> String {
        match self {
            Self::Github => github::lines(report, token),
            Self::Gitlab => gitlab::lines(report, now),
            Self::Azure => azure::lines(report),
            Self::Buildkite => buildkite::lines(report),
        }
    }

    /// Returns lines of a log in which the system finds no command and no heading. The token is a word that no log contains.
    pub(crate) fn inert_log(self, log: &str, token: &str) -> String {
        match self {
            Self::Github => github::inert_log(log, token),
            Self::Gitlab => log.to_owned(),
            Self::Azure => azure::inert(log),
            Self::Buildkite => buildkite::inert_log(log),
        }
    }

    /// Returns printable lines in which the system finds no command and no heading.
    pub(crate) fn inert(self, lines: &str) -> String {
        let inert: fn(&str) -> String = match self {
            Self::Github => github::inert,
            // Its marks have control characters, which no printable line has.
            Self::Gitlab => str::to_owned,
            Self::Azure => azure::inert,
            Self::Buildkite => buildkite::inert,
        };
        lines.split_inclusive('\n').map(inert).collect()
    }

    /// Returns the same JSON, in which no system finds a command.
    pub(crate) fn inert_json(json: &str) -> String {
        json.replace("##vso[", "#\\u0023vso[").replace("##[", "#\\u0023[")
    }

    /// Returns the files that the system reads after the step.
    pub(crate) const fn command_files(self) -> &'static [CommandFile] {
        match self {
            Self::Github => &github::FILES,
            Self::Gitlab | Self::Azure | Self::Buildkite => &[],
        }
    }
}

#[cfg(test)]
mod tests;
