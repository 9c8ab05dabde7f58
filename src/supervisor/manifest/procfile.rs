//! A Procfile: a line `NAME: COMMAND` for each daemon.

use std::collections::BTreeMap;

use super::declaration::daemon_name;
use super::file::ManifestFile;
use super::value::ManifestProblem;
use crate::model::{DaemonSpec, Restart};

/// The PORT of the first daemon, unless `.env` has another.
const FIRST_PORT: u16 = 5000;

/// The distance between the ports of two daemons.
const PORT_STEP: u16 = 100;

/// Reads the daemons of a Procfile. The end of the first one that ends stops all others.
pub(super) fn read(text: &str, file: &mut ManifestFile<'_, '_>) -> Vec<DaemonSpec> {
    const PORT: &str = "PORT";
    let env = file.env_file(&file.resolve(".env"), 1);
    let env = file.or_default(env).unwrap_or_default();
    let first_port = env.get(PORT).map_or(Ok(FIRST_PORT), |port| {
        port.parse().map_err(|_| {
            ManifestProblem::new(1, format!("PORT is {port:?} in .env; use a number below 65536"))
        })
    });
    let first_port = file.or_default(first_port);
    let mut daemons: Vec<DaemonSpec> = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let Some((name, code)) = line.split_once(':').filter(|(_, code)| !code.trim().is_empty()) else {
            file.warn(number, "ignored the line; use NAME: COMMAND");
            continue;
        };
        let index = u16::try_from(daemons.len()).unwrap_or(u16::MAX);
        let port = index.checked_mul(PORT_STEP).and_then(|distance| first_port.checked_add(distance));
        let no_port = || ManifestProblem::new(number, "no port is left; use a lower PORT in .env");
        let port = file.or_default(port.ok_or_else(no_port));
        let name = file.or_unnamed(daemon_name(name.trim(), number));
        let command = ["sh", "-c", code.trim()].map(str::to_owned).into();
        let mut env: BTreeMap<String, String> = env.clone();
        env.insert(PORT.to_owned(), port.to_string());
        daemons.push(DaemonSpec {
            env,
            restart: Restart::No,
            exit_on_end: true,
            ..file.daemon(name, number, command, file.folder.clone())
        });
    }
    daemons
}
