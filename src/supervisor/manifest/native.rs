//! rigup's own formats: the lines of a plugin's `daemons.jsonl`, and `[daemons.NAME]` in `rigup.toml`.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io::Cursor;
use std::time::Duration;

use regex::Regex;

use super::attributes;
use super::builtin;
use super::declaration::{Declaration, daemon_name, one_of};
use super::file::ManifestFile;
use super::health;
use super::hooks;
use super::replicas::replicas;
use super::value::{Data, ManifestProblem, ManifestValue};
use crate::duration;
use crate::jsonl::{self, Line, StrictValue};
use crate::model::misspelling::closest;
use crate::model::{BinaryName, DaemonName, DaemonSpec, LogLimits, Readiness, ReadinessCheck, Restart};
use crate::settings::{self, DAEMONS};

/// The name of the file in a plugin's folder.
pub(super) const FILE_NAME: &str = "daemons.jsonl";

/// The keys of a line that are not fields of a daemon.
const LINE_KEYS: [&str; 2] = ["type", "name"];

const FIELDS: [&str; 36] = [
    "command",
    "shell",
    builtin::FIELD,
    "working_dir",
    "env",
    "env_file",
    "binaries",
    "depends_on",
    "ready",
    "healthcheck",
    "on_unhealthy",
    "restart",
    "success_exit_codes",
    "restart_delay",
    "restart_delay_max",
    "restart_reset",
    "restart_limit",
    "stop_signal",
    "stop_grace_period",
    "exit_on_end",
    "exit_on_failure",
    "autostart",
    "restart_on_update",
    "process_type",
    "log_max_size",
    "log_max_files",
    "stop_command",
    "replicas",
    "user",
    "nice",
    "cpu_affinity",
    "rlimits",
    "umask",
    "memory_max",
    "hooks",
    "stats_hooks",
];

/// The checks of readiness, of which a daemon has one.
const PROBES: [&str; 8] = ["tcp", "http", "file", "fifo", "notify", "exec", "log", "stdout_line"];

/// The time in which a daemon has to become ready.
const READY_TIMEOUT: Duration = Duration::from_secs(30);

/// The pause between two checks of readiness.
const READY_INTERVAL: Duration = Duration::from_millis(200);

/// How long a command that checks readiness may take, and any other check.
const EXEC_TIMEOUT: Duration = Duration::from_secs(30);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Reads the daemons in the lines of a `daemons.jsonl`.
pub(super) fn read_lines(bytes: &[u8], file: &mut ManifestFile<'_, '_>) -> Vec<DaemonSpec> {
    let mut lines = Vec::new();
    let mut on_line = |number: u64, line: Line<'_>| {
        let number = usize::try_from(number).unwrap_or(usize::MAX);
        lines.push(match line {
            Line::Text(text) => serde_json::from_slice(text)
                .map_err(|error| {
                    ManifestProblem::new(number, format!("not a JSON object: {}", jsonl::parse_error(&error)))
                })
                .map(|StrictValue(value)| ManifestValue::from_json(value, number)),
            Line::TooLong(_) => Err(ManifestProblem::new(
                number,
                format!("the line is longer than {} bytes", jsonl::MAX_LINE),
            )),
        });
    };
    jsonl::for_each_line(Cursor::new(bytes), &mut on_line).expect("bytes in memory are always read");
    let values: Vec<_> = lines.into_iter().filter_map(|value| file.keep(value)).collect();
    values.iter().flat_map(|value| line_daemon(value, file)).collect()
}

fn line_daemon(value: &ManifestValue, file: &mut ManifestFile<'_, '_>) -> Vec<DaemonSpec> {
    let Some(fields) = file.keep(Declaration::new(value, "the line")) else { return Vec::new() };
    let kind = fields.word("type", &[("Daemon", ())]).and_then(|kind| {
        kind.ok_or_else(|| ManifestProblem::new(fields.line, "no \"type\"; write \"type\":\"Daemon\""))
    });
    // A line of another type has other fields.
    if file.keep(kind).is_none() {
        return Vec::new();
    }
    let has_known_keys = file.check_keys(&fields, &[&LINE_KEYS, &FIELDS]);
    let name = file.or_unnamed(fields.name("name"));
    daemon(name, &fields, has_known_keys, file)
}

/// Reads the daemons in a TOML file; none if it has no `[daemons.NAME]`. The other keys of a `rigup.toml` are settings of the
/// project in its folder, which count for the commands there; another file has no other keys.
pub(super) fn read_toml(
    text: &str,
    file: &mut ManifestFile<'_, '_>,
) -> Result<Vec<DaemonSpec>, ManifestProblem> {
    let value = ManifestValue::from_toml(text)?;
    let document = Declaration::new(&value, "the file")?;
    let is_setting =
        |key: &&str| file.path.ends_with(settings::FILE_NAME) && closest(key, [DAEMONS]).is_none();
    let settings: Vec<&str> =
        document.others(&[]).map(|member| member.key.as_str()).filter(is_setting).collect();
    file.check_other_keys(&document, &[&[DAEMONS]], &[&settings]);
    let Some(table) = document.table(DAEMONS)? else { return Ok(Vec::new()) };
    Ok(table.others(&[]).flat_map(|member| table_daemon(&member.key, &member.value, file)).collect())
}

fn table_daemon(name: &str, value: &ManifestValue, file: &mut ManifestFile<'_, '_>) -> Vec<DaemonSpec> {
    let fields = Declaration::new(value, &format!("the daemon {name:?}"));
    let name = file.or_unnamed(daemon_name(name, value.line));
    let Some(fields) = file.keep(fields) else { return Vec::new() };
    let has_known_keys = file.check_keys(&fields, &[&FIELDS]);
    daemon(name, &fields, has_known_keys, file)
}

/// Reads the fields of a daemon. `has_known_keys` is false if one of its keys is a problem: that may be the command.
fn daemon(
    name: DaemonName,
    fields: &Declaration<'_>,
    has_known_keys: bool,
    file: &mut ManifestFile<'_, '_>,
) -> Vec<DaemonSpec> {
    let builtin = builtin::read(fields, file);
    let folder = builtin.as_ref().map_or_else(|| file.folder.clone(), |builtin| builtin.working_dir.clone());
    let working_dir = file.or_default(fields.path("working_dir"));
    let working_dir = working_dir.map_or(folder, |path| file.resolve(&path));
    let is_builtin = builtin.is_some();
    let (mut command, mut env) = match builtin {
        Some(builtin) => (builtin.command, builtin.env),
        None => (file.or_default(command(fields)).unwrap_or_default(), BTreeMap::new()),
    };
    if has_known_keys && ["command", builtin::FIELD].iter().all(|key| fields.get(key).is_none()) {
        file.report(ManifestProblem::new(fields.line, "no \"command\""));
    }
    env.extend(file.environment(fields, "env"));
    // A shell that has changed to the working directory would find the program there, too.
    if let Some(program) = command.first_mut().filter(|program| program.contains('/')) {
        *program = file.resolve_in(&working_dir, program).display().to_string();
    }
    let (delay, delay_max) = (DaemonSpec::RESTART_DELAY, DaemonSpec::RESTART_DELAY_MAX);
    let limit = fields.read("restart_limit", "a number and a duration such as \"5/60s\"", limit);
    let process_type = fields.word("process_type", &[("worker", false), ("orchestrator", true)]);
    let attributes = attributes::read(fields, &mut env, file);
    let spec = DaemonSpec {
        env,
        binaries: binaries(fields, file),
        depends_on: file.dependencies(fields),
        ready: readiness(fields, file),
        healthcheck: health::read(fields, file),
        restart: file.or_default(fields.word("restart", &RESTARTS)).unwrap_or(Restart::OnFailure),
        success_exit_codes: file
            .or_default(fields.exit_codes("success_exit_codes"))
            .unwrap_or_else(|| vec![0]),
        restart_delay: file.or_default(fields.duration("restart_delay", delay)),
        restart_delay_max: file.or_default(fields.duration("restart_delay_max", delay_max)),
        restart_reset: file.or_default(fields.duration("restart_reset", DaemonSpec::RESTART_RESET)),
        restart_limit: file.or_default(limit),
        stop_signal: file.or_default(fields.signal("stop_signal")).unwrap_or_else(|| "TERM".to_owned()),
        stop_grace_period: file
            .or_default(fields.duration("stop_grace_period", DaemonSpec::STOP_GRACE_PERIOD)),
        exit_on_end: file.or_default(fields.flag("exit_on_end", false)),
        exit_on_failure: file.or_default(fields.flag("exit_on_failure", false)),
        autostart: file.or_default(fields.flag("autostart", true)),
        restart_on_update: file.or_default(fields.flag("restart_on_update", false)),
        is_orchestrator: file.or_default(process_type).unwrap_or(is_builtin),
        log_limits: log_limits(fields, file),
        attributes,
        memory_max: file.or_default(fields.size("memory_max")),
        stop_command: file.or_default(fields.command("stop_command")),
        hooks: hooks::read(fields, "hooks", "stats_hooks", file),
        ..file.daemon(name, fields.line, command, working_dir)
    };
    file.or_default(replicas(spec, fields))
}

const RESTARTS: [(&str, Restart); 4] = [
    ("no", Restart::No),
    ("on-failure", Restart::OnFailure),
    ("always", Restart::Always),
    ("unless-stopped", Restart::UnlessStopped),
];

fn command(fields: &Declaration<'_>) -> Result<Option<Vec<String>>, ManifestProblem> {
    if !fields.flag("shell", false)? {
        return fields.command("command");
    }
    let forms = "a text with a command, because \"shell\" is true";
    let code = fields.read("command", forms, |value| match &value.data {
        Data::Text(text) if !text.trim().is_empty() => Some(text.clone()),
        _ => None,
    })?;
    Ok(code.map(|code| ["sh".to_owned(), "-c".to_owned(), code].into()))
}

fn binaries(fields: &Declaration<'_>, file: &mut ManifestFile<'_, '_>) -> Vec<String> {
    let names = file.or_default(fields.texts("binaries"));
    for name in &names {
        if let Err(error) = BinaryName::parse(name, file.home) {
            file.report(fields.problem("binaries", &format!("has an invalid name: {error}")));
        }
    }
    names
}

fn log_limits(fields: &Declaration<'_>, file: &mut ManifestFile<'_, '_>) -> LogLimits {
    let default = LogLimits::default();
    let files = fields.read("log_max_files", "a number of files, at least 1", |value| {
        value.number::<u32>().filter(|files| *files > 0)
    });
    LogLimits {
        max_size: file.or_default(fields.size("log_max_size")).unwrap_or(default.max_size),
        max_files: file.or_default(files).unwrap_or(default.max_files),
    }
}

fn limit(value: &ManifestValue) -> Option<(u32, Duration)> {
    let text = value.text()?;
    let (count, time) = text.split_once('/')?;
    Some((count.trim().parse().ok()?, duration::parse(time).ok()?))
}

fn readiness(fields: &Declaration<'_>, file: &mut ManifestFile<'_, '_>) -> Option<Readiness> {
    let ready = file.or_default(fields.table("ready"))?;
    let count = file.problems.len();
    file.check_keys(&ready, &[&PROBES, &["timeout", "interval"]]);
    let notifies = file.or_default(ready.flag("notify", false));
    if notifies && !cfg!(target_os = "linux") {
        file.report(ready.problem("notify", "needs Linux; use fifo on this system"));
    }
    let probes = [
        file.or_default(ready.read("tcp", "a port, or \"HOST:PORT\"", tcp)),
        file.or_default(ready.read("http", "a URL that starts with http://", http)),
        file.or_default(ready.path("file")).map(|path| ReadinessCheck::File(file.resolve(&path))),
        file.or_default(ready.path("fifo")).map(|path| ReadinessCheck::Fifo(file.resolve(&path))),
        notifies.then_some(ReadinessCheck::Notify),
        file.or_default(ready.command("exec")).map(ReadinessCheck::Exec),
        file.or_default(ready.read("log", "a valid regular expression that is not empty", log)),
        file.or_default(ready.flag("stdout_line", false)).then_some(ReadinessCheck::StdoutLine),
    ];
    let has_problem = file.problems.len() > count;
    let timeout = file.or_default(ready.duration("timeout", READY_TIMEOUT));
    let interval = file.or_default(ready.duration("interval", READY_INTERVAL));
    let mut probes = probes.into_iter().flatten();
    let (Some(probe), None) = (probes.next(), probes.next()) else {
        // A check with a problem is one, too.
        if !has_problem {
            let message = format!("does not have one check; use one of {}", one_of(&PROBES));
            file.report(fields.problem("ready", &message));
        }
        return None;
    };
    let check_timeout = if matches!(probe, ReadinessCheck::Exec(_)) { EXEC_TIMEOUT } else { CONNECT_TIMEOUT };
    Some(Readiness { timeout, interval, check_timeout, probe, stops_all: false })
}

/// Parses the address of a daemon: a port of this machine, or `HOST:PORT`.
fn tcp(value: &ManifestValue) -> Option<ReadinessCheck> {
    if let Some(port) = value.number() {
        return port_of_this_machine(port);
    }
    let text = value.text()?;
    let (host, port) = text.rsplit_once(':')?;
    let host = host.strip_prefix('[').map_or(Some(host), |host| host.strip_suffix(']'))?;
    let port: u16 = port.parse().ok()?;
    (!host.is_empty() && port > 0).then(|| ReadinessCheck::Tcp(host.to_owned(), port))
}

/// Returns the check of a port of this machine, or `None` for port 0, on which nothing can listen.
pub(super) fn port_of_this_machine(port: u16) -> Option<ReadinessCheck> {
    (port > 0).then(|| ReadinessCheck::Tcp("localhost".to_owned(), port))
}

fn http(value: &ManifestValue) -> Option<ReadinessCheck> {
    let url = value.text()?;
    let is_url = url.strip_prefix("http://").is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/'));
    is_url.then_some(ReadinessCheck::Http(url))
}

fn log(value: &ManifestValue) -> Option<ReadinessCheck> {
    let Data::Text(pattern) = &value.data else { return None };
    (!pattern.is_empty() && Regex::new(pattern).is_ok()).then(|| ReadinessCheck::Log(pattern.clone()))
}
