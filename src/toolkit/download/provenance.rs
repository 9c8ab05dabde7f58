//! Checks of where a file comes from, by the programs gh and cosign.

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::hook::command;
use crate::process::capture::{self, Captured, CapturedExit};
use crate::process::signals::Interrupt;
use crate::process::spawn::CommandSpec;
use crate::settings::Settings;
use crate::toolkit::release::host::GITHUB;

/// The longest check.
const TIME_LIMIT: Duration = Duration::from_mins(5);

/// How to install a gh that verifies attestations, which that of a distribution may not.
const INSTALL_GH: &str = "`rigup install gh --min-version 2.49`";

/// What the messages of gh and cosign contain if they could not check the file: they exit with 1 in either case.
const NOT_ASKED: [&str; 14] = [
    "gh auth login",
    "http 401",
    "http 403",
    "http 429",
    "http 5",
    "error connecting",
    "dial tcp",
    "timeout",
    "deadline exceeded",
    "trusted root",
    "not supported",
    "unknown command",
    "unknown flag",
    "tls:",
];

/// Why a check failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProvenanceError {
    /// The check was not made, with the reason.
    #[error("cannot check {0} with {1}: {2}")]
    NotAsked(String, &'static str, String),
    /// The file was not built by its repository.
    #[error("{0} is not what its repository {1} built: {2}: {3}")]
    NoMatch(String, String, &'static str, String),
    /// A signal.
    #[error("interrupted by signal {0}")]
    Interrupted(i32),
}

/// The file to check.
#[derive(Debug, Clone, Copy)]
pub(super) struct Checked<'a> {
    pub(super) file: &'a Path,
    /// The name of the file in messages.
    pub(super) name: &'a str,
    /// The repository, `owner/name`.
    pub(super) repository: &'a str,
    /// The GitHub server with the repository, or `None` if another host has it.
    pub(super) server: Option<&'a str>,
    pub(super) settings: &'a Settings,
    pub(super) interrupt: &'a Interrupt,
}

impl Checked<'_> {
    /// Checks that a workflow of the repository has attested the file.
    pub(super) fn check_attestation(self) -> Result<(), ProvenanceError> {
        let server = self.server("gh")?;
        let mut args = ["attestation", "verify", "--repo", self.repository].map(OsString::from).to_vec();
        if server != GITHUB {
            args.extend(["--hostname", server].map(OsString::from));
        }
        args.push(self.file.into());
        self.check("gh", args)
    }

    /// Checks the signature of the file: a bundle, or a signature and a certificate.
    pub(super) fn check_signature(self, files: &[&Path]) -> Result<(), ProvenanceError> {
        let server = self.server("cosign")?;
        let mut args: Vec<OsString> = vec!["verify-blob".into()];
        let options: &[&str] =
            if files.len() == 1 { &["--bundle"] } else { &["--signature", "--certificate"] };
        for (option, file) in options.iter().zip(files) {
            args.extend([OsStr::new(option).to_owned(), file.into()]);
        }
        let identity = format!("^https://{}/{}/", regex::escape(server), regex::escape(self.repository));
        args.extend(
            ["--certificate-identity-regexp", &identity, "--certificate-oidc-issuer", &issuer(server)]
                .map(OsString::from),
        );
        args.push(self.file.into());
        self.check("cosign", args)
    }

    /// Returns the GitHub server, or the error for another host, which neither program knows.
    fn server(&self, program: &'static str) -> Result<&str, ProvenanceError> {
        let reason = || "its repository is not on a GitHub server".to_owned();
        self.server.ok_or_else(|| ProvenanceError::NotAsked(self.name.to_owned(), program, reason()))
    }

    fn check(self, program: &'static str, args: Vec<OsString>) -> Result<(), ProvenanceError> {
        let not_asked = |reason: String| ProvenanceError::NotAsked(self.name.to_owned(), program, reason);
        let env = command::environment_of_program(self.settings, &[], vec![("LC_ALL", "C".into())]);
        let command = CommandSpec { program: program.into(), args, env, cwd: "/".into() };
        let exit = match capture::run(command, Instant::now() + TIME_LIMIT, self.interrupt) {
            Ok(Captured::Exited(exit)) => exit,
            Ok(Captured::NotStarted(error)) => {
                return Err(not_asked(error.reason.replace("`rigup install gh`", INSTALL_GH)));
            }
            Ok(Captured::Killed(_)) => {
                return Err(match self.interrupt.signal() {
                    Some(signal) => ProvenanceError::Interrupted(signal),
                    None => not_asked("it did not exit in time".to_owned()),
                });
            }
            Err(error) => return Err(not_asked(error.to_string())),
        };
        let reason = || exit.reason().trim_start_matches(": ").to_owned();
        match &exit {
            CapturedExit { exit_code: Some(0), .. } => Ok(()),
            exit if program == "gh" && is_too_old(exit) => {
                Err(not_asked(format!("it is too old; run {INSTALL_GH}")))
            }
            exit if is_not_asked(exit) => Err(not_asked(reason())),
            _ => Err(ProvenanceError::NoMatch(
                self.name.to_owned(),
                self.repository.to_owned(),
                program,
                reason(),
            )),
        }
    }
}

/// Returns the issuer of the tokens with which the workflows of a GitHub server sign: GitHub, GitHub Enterprise Cloud with
/// data residency, or GitHub Enterprise Server.
fn issuer(server: &str) -> String {
    match server {
        GITHUB => "https://token.actions.githubusercontent.com".to_owned(),
        server if server.ends_with(".ghe.com") => format!("https://token.actions.{server}"),
        server => format!("https://{server}/_services/token"),
    }
}

/// Whether a program does not know its arguments.
fn is_too_old(exit: &CapturedExit) -> bool {
    ["unknown command", "unknown flag"].iter().any(|part| exit.stderr.contains(part))
}

/// Whether a program has failed for a reason that says nothing about the file.
fn is_not_asked(exit: &CapturedExit) -> bool {
    let text = (exit.stderr.clone() + &exit.stdout).to_ascii_lowercase();
    // gh exits with 4 without a login.
    exit.exit_code != Some(1) || NOT_ASKED.iter().any(|part| text.contains(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_that_was_not_made_says_nothing_about_the_file() {
        let exit = |code, stderr: &str| CapturedExit {
            exit_code: Some(code),
            stdout: String::new(),
            stderr: stderr.to_owned(),
        };
        for (code, stderr) in [
            (4, "To get started with GitHub CLI, please run:  gh auth login"),
            (1, "error connecting to api.github.com"),
            (1, "HTTP 503: Service Unavailable"),
            (1, "Get \"https://x\": dial tcp: lookup x: no such host"),
            (1, "unknown command \"attestation\" for \"gh\""),
        ] {
            assert!(is_not_asked(&exit(code, stderr)), "{stderr}");
        }
        assert!(!is_not_asked(&exit(1, "Error: HTTP 404: Not Found")), "there is no attestation");
        assert!(!is_not_asked(&exit(1, "Error: verifying with issuer \"sigstore.dev\"")));
    }
}
