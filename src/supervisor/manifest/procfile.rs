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
pub(super) fn read(text: &str, file: &mut ManifestFile<'_, '_>) -> Result<Vec<DaemonSpec>, ManifestProblem> {
    const PORT: &str = "PORT";
    let env = file.env_file(&file.resolve(".env"), 1)?.unwrap_or_default();
    let first_port = match env.get(PORT) {
        None => FIRST_PORT,
        Some(port) => port.parse().map_err(|_| {
            ManifestProblem::new(1, format!("PORT is {port:?} in .env; use a number below 65536"))
        })?,
    };
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
        let daemon = daemon(name.trim(), code.trim(), number, file).and_then(|daemon| {
            let port = port
                .ok_or_else(|| ManifestProblem::new(number, "no port is left; use a lower PORT in .env"))?;
            let mut env: BTreeMap<String, String> = env.clone();
            env.insert(PORT.to_owned(), port.to_string());
            Ok(DaemonSpec { env, ..daemon })
        });
        daemons.extend(file.keep(daemon));
    }
    Ok(daemons)
}

fn daemon(
    name: &str,
    code: &str,
    line: usize,
    file: &ManifestFile<'_, '_>,
) -> Result<DaemonSpec, ManifestProblem> {
    let command = ["sh", "-c", code].map(str::to_owned).into();
    Ok(DaemonSpec {
        restart: Restart::No,
        exit_on_end: true,
        ..file.daemon(daemon_name(name, line)?, line, command, file.folder.clone())
    })
}
