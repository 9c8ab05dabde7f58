//! The manifest of process-compose: YAML with a map of processes.

use std::collections::BTreeMap;
use std::time::Duration;

use super::declaration::{Declaration, daemon_name};
use super::file::ManifestFile;
use super::replicas::replicas;
use super::value::{Data, ManifestProblem, ManifestValue};
use crate::duration;
use crate::model::{Condition, DaemonSpec, HealthCheck, Readiness, ReadinessCheck, Restart};

/// The keys of the whole manifest that have a meaning for rigup.
const MANIFEST_FIELDS: [&str; 5] =
    ["processes", "environment", "shell", "disable_env_expansion", "log_location"];

/// Keys that only affect process-compose itself and its screen.
const IGNORED_MANIFEST_FIELDS: [&str; 10] = [
    "version",
    "name",
    "log_level",
    "log_length",
    "log_format",
    "is_strict",
    "is_tui_disabled",
    "ordered_shutdown",
    "theme",
    "vars",
];

const UNSUPPORTED_MANIFEST_FIELDS: [&str; 3] = ["extends", "env_cmds", "mcp_server"];

const FIELDS: [&str; 17] = [
    "command",
    "entrypoint",
    "depends_on",
    "availability",
    "working_dir",
    "environment",
    "env_file",
    "readiness_probe",
    "liveness_probe",
    "ready_log_line",
    "disabled",
    "shutdown",
    "success_exit_codes",
    "is_dotenv_disabled",
    "is_disabled",
    "replicas",
    "log_location",
];

const IGNORED_FIELDS: [&str; 6] = [
    "description",
    "namespace",
    "disable_ansi_colors",
    "vars",
    "launch_timeout_seconds",
    "is_template_disabled",
];

/// Fields that this version refuses.
const UNSUPPORTED: [&str; 9] = [
    "is_tty",
    "is_foreground",
    "is_daemon",
    "is_interactive",
    "is_elevated",
    "extends",
    "schedule",
    "watch",
    "mcp",
];

/// The default shell of process-compose.
const SHELL: [&str; 2] = ["bash", "-c"];

/// The defaults of `period_seconds` and `timeout_seconds`.
const PROBE_PERIOD: Duration = Duration::from_secs(10);
const PROBE_TIMEOUT: Duration = Duration::from_secs(1);

/// The interval at which the logs are read for `ready_log_line`.
const LOG_INTERVAL: Duration = Duration::from_millis(200);

/// The keys of the words of the shell.
const SHELL_FIELDS: [&str; 2] = ["shell_command", "shell_argument"];

/// What all processes of a manifest share.
struct Shared {
    shell: [String; 2],
    env: BTreeMap<String, String>,
    /// The variables in `.env`.
    dotenv: BTreeMap<String, String>,
    /// Whether `$$` stands for `$`.
    has_escapes: bool,
}

/// Reads the daemons of a manifest.
pub(super) fn read(document: &Declaration<'_>, file: &mut ManifestFile<'_, '_>) -> Vec<DaemonSpec> {
    let ignored = extensions(document);
    let handled: [&[&str]; 3] = [&IGNORED_MANIFEST_FIELDS, &UNSUPPORTED_MANIFEST_FIELDS, &ignored];
    file.check_other_keys(document, &[&MANIFEST_FIELDS], &handled);
    file.refuse(document, &UNSUPPORTED_MANIFEST_FIELDS);
    warn_about_log_location(document, file);
    let mut shell = SHELL.map(str::to_owned);
    if let Some(table) = file.or_default(document.table("shell")) {
        let ignored = ["elevated_shell_command", "elevated_shell_argument"];
        file.check_other_keys(&table, &[&SHELL_FIELDS], &[&ignored]);
        for (word, key) in shell.iter_mut().zip(SHELL_FIELDS) {
            *word = file.or_default(table.text(key)).unwrap_or_else(|| word.clone());
        }
    }
    let dotenv = file.env_file(&file.resolve(".env"), document.line);
    let shared = Shared {
        shell,
        env: file.or_default(document.variables("environment")),
        dotenv: file.or_default(dotenv).unwrap_or_default(),
        has_escapes: !file.or_default(document.flag("disable_env_expansion", false)),
    };
    let processes = file.or_default(document.table("processes"));
    let processes = processes.iter().flat_map(|table| table.others(&[]));
    processes.flat_map(|member| daemon(&member.key, &member.value, &shared, file)).collect()
}

/// rigup keeps the logs of every execution itself.
fn warn_about_log_location(fields: &Declaration<'_>, file: &mut ManifestFile<'_, '_>) {
    if let Some(value) = fields.get("log_location") {
        file.warn(value.line, "\"log_location\" has no effect; read the logs with `rigup logs`");
    }
}

/// Returns the keys that process-compose reserves for other programs.
fn extensions<'a>(table: &Declaration<'a>) -> Vec<&'a str> {
    table.others(&[]).map(|member| member.key.as_str()).filter(|key| key.starts_with("x-")).collect()
}

fn daemon(
    name: &str,
    process: &ManifestValue,
    shared: &Shared,
    file: &mut ManifestFile<'_, '_>,
) -> Vec<DaemonSpec> {
    let fields = Declaration::foreign(process, &format!("the process {name:?}"));
    let name = file.or_unnamed(daemon_name(name, process.line));
    let Some(fields) = file.keep(fields) else { return Vec::new() };
    let ignored = extensions(&fields);
    file.check_other_keys(&fields, &[&FIELDS], &[&IGNORED_FIELDS, &UNSUPPORTED, &ignored]);
    file.refuse(&fields, &UNSUPPORTED);
    warn_about_log_location(&fields, file);
    if !file.or_default(fields.flag("is_template_disabled", false))
        && let Some(line) = line_with(process, "{{")
    {
        let message = "a {{ template is not supported; write the value itself";
        file.report(ManifestProblem::new(line, message));
    }
    for key in ["entrypoint", "environment", "env_file", "working_dir"] {
        let line = fields.get(key).and_then(|value| line_with(value, "$"));
        if let Some(line) = line.filter(|_| shared.has_escapes) {
            file.warn(
                line,
                &format!("\"{key}\" has a `$`, but rigup does not expand variables in a manifest"),
            );
        }
    }
    let has_dotenv = !file.or_default(fields.flag("is_dotenv_disabled", false));
    let mut env = if has_dotenv { shared.dotenv.clone() } else { BTreeMap::new() };
    env.extend(shared.env.clone());
    env.extend(file.environment(&fields, "environment"));
    let working_dir = file.or_default(fields.text("working_dir"));
    let working_dir = working_dir.map_or_else(|| file.folder.clone(), |path| file.resolve(&path));
    let mut success_exit_codes = file.or_default(fields.exit_codes("success_exit_codes")).unwrap_or_default();
    if !success_exit_codes.contains(&0) {
        success_exit_codes.push(0);
    }
    let is_disabled = fields.word("is_disabled", &[("true", true), ("false", false)]);
    let is_disabled = file.or_default(is_disabled).unwrap_or(false);
    let mut depends_on = file.dependencies(&fields);
    // process-compose waits for the readiness probe alone.
    for dependency in depends_on.iter_mut().filter(|dependency| dependency.condition == Condition::Healthy) {
        dependency.condition = Condition::Ready;
    }
    let command = file.or_default(command(&fields, shared));
    let spec = DaemonSpec {
        env,
        depends_on,
        ready: readiness(&fields, shared, file),
        healthcheck: liveness(&fields, shared, file),
        success_exit_codes,
        autostart: !file.or_default(fields.flag("disabled", false)) && !is_disabled,
        restart: Restart::No,
        ..file.daemon(name, fields.line, command, working_dir)
    };
    let spec = with_availability(spec, &fields, file);
    let spec = with_shutdown(spec, &fields, shared, file);
    let mut replicas = file.or_default(replicas(spec, &fields));
    for (index, replica) in (0..).zip(&mut replicas) {
        // The variables that process-compose sets, too, for each replica.
        for (name, value) in
            [("PC_PROC_NAME", replica.name.to_string()), ("PC_REPLICA_NUM", format!("{index}"))]
        {
            replica.env.entry(name.to_owned()).or_insert(value);
        }
    }
    replicas
}

/// Returns the line of the first text in a value that contains `part`.
fn line_with(value: &ManifestValue, part: &str) -> Option<usize> {
    match &value.data {
        Data::Text(text) => text.contains(part).then_some(value.line),
        Data::List(items) => items.iter().find_map(|item| line_with(item, part)),
        Data::Map(members) => members.iter().find_map(|member| line_with(&member.value, part)),
        _ => None,
    }
}

fn command(fields: &Declaration<'_>, shared: &Shared) -> Result<Vec<String>, ManifestProblem> {
    if let Some(code) = fields.text("command")?.filter(|code| !code.trim().is_empty()) {
        return Ok(in_shell(&code, shared));
    }
    let entrypoint = fields.texts("entrypoint")?;
    if entrypoint.first().is_none_or(String::is_empty) {
        return Err(ManifestProblem::new(fields.line, "no \"command\""));
    }
    Ok(entrypoint)
}

/// Returns the command that runs code in the shell of the manifest.
fn in_shell(code: &str, shared: &Shared) -> Vec<String> {
    let code = if shared.has_escapes { code.replace("$$", "$") } else { code.to_owned() };
    shared.shell.iter().cloned().chain([code]).collect()
}

fn readiness(
    fields: &Declaration<'_>,
    shared: &Shared,
    file: &mut ManifestFile<'_, '_>,
) -> Option<Readiness> {
    let log_line = file.or_default(fields.text("ready_log_line")).filter(|text| !text.is_empty());
    let Some(probe) = file.or_default(fields.table("readiness_probe")) else {
        let readiness = |text: String| Readiness {
            probe: ReadinessCheck::Log(regex::escape(&text)),
            // process-compose waits for the line without a limit.
            timeout: duration::MAX,
            interval: LOG_INTERVAL,
            check_timeout: PROBE_TIMEOUT,
            stops_all: false,
        };
        return log_line.map(readiness);
    };
    if log_line.is_some() {
        file.report(fields.problem("ready_log_line", "excludes \"readiness_probe\"; use one of them"));
    }
    let check = health_check(&probe, shared, file)?;
    let patience = check.interval.saturating_mul(check.retries);
    Some(Readiness {
        probe: check.probe,
        timeout: check.start_period.saturating_add(patience).min(duration::MAX),
        interval: check.interval,
        check_timeout: check.timeout,
        stops_all: false,
    })
}

fn liveness(
    fields: &Declaration<'_>,
    shared: &Shared,
    file: &mut ManifestFile<'_, '_>,
) -> Option<HealthCheck> {
    let probe = file.or_default(fields.table("liveness_probe"))?;
    health_check(&probe, shared, file)
}

/// Reads a probe. One that fails ends the process, whose `availability` decides what follows.
fn health_check(
    probe: &Declaration<'_>,
    shared: &Shared,
    file: &mut ManifestFile<'_, '_>,
) -> Option<HealthCheck> {
    const FAILURES: u32 = 3;
    let times = ["initial_delay_seconds", "period_seconds", "timeout_seconds"];
    let counts = ["success_threshold", "failure_threshold"];
    file.check_keys(probe, &[&["exec", "http_get"], &times, &counts]);
    let at_least_one = |duration: Duration| if duration.is_zero() { PROBE_PERIOD } else { duration };
    let interval = at_least_one(file.or_default(probe.duration("period_seconds", PROBE_PERIOD)));
    let timeout = file.or_default(probe.duration("timeout_seconds", PROBE_TIMEOUT));
    let failures = file.or_default(probe.read("failure_threshold", "a number", ManifestValue::number::<u32>));
    let start_period = file.or_default(probe.duration("initial_delay_seconds", Duration::ZERO));
    Some(HealthCheck {
        probe: check(probe, shared, file)?,
        interval,
        timeout: timeout.max(PROBE_TIMEOUT),
        retries: failures.filter(|failures| *failures > 0).unwrap_or(FAILURES),
        start_period,
        start_interval: interval,
        restarts: true,
    })
}

fn check(
    probe: &Declaration<'_>,
    shared: &Shared,
    file: &mut ManifestFile<'_, '_>,
) -> Option<ReadinessCheck> {
    let exec = file.keep(probe.table("exec"))?;
    if let Some(exec) = exec {
        file.check_other_keys(&exec, &[&["command"]], &[&["working_dir"]]);
        file.refuse(&exec, &["working_dir"]);
        let code = file.keep(exec.text("command"))?.filter(|code| !code.trim().is_empty());
        if code.is_none() {
            let message = "is missing or empty; write the command of the check";
            file.report(exec.problem("command", message));
        }
        return code.map(|code| ReadinessCheck::Exec(in_shell(&code, shared)));
    }
    let Some(http) = file.keep(probe.table("http_get"))? else {
        let message = format!("{} has no check; use exec or http_get", probe.name_of_table());
        file.report(ManifestProblem::new(probe.line, message));
        return None;
    };
    file.check_other_keys(&http, &[&["host", "scheme", "path", "port", "status_code"]], &[&["headers"]]);
    file.refuse(&http, &["headers"]);
    file.keep(http.word("scheme", &[("http", ())]));
    file.keep(http.read("status_code", "200, because any 2xx is a success", |value| {
        (value.number() == Some(200)).then_some(())
    }));
    let port = http.read("port", "a port from 1 to 65535", |value| value.text()?.parse::<u16>().ok());
    let port = file.or_default(port).map(|port| format!(":{port}")).unwrap_or_default();
    let mut text = |key, default: &str| {
        let text = file.or_default(http.text(key)).filter(|text| !text.trim().is_empty());
        text.unwrap_or_else(|| default.to_owned())
    };
    Some(ReadinessCheck::Http(format!("http://{}{port}{}", text("host", "127.0.0.1"), text("path", "/"))))
}

fn with_availability(
    spec: DaemonSpec,
    fields: &Declaration<'_>,
    file: &mut ManifestFile<'_, '_>,
) -> DaemonSpec {
    const RESTARTS: [(&str, (Restart, bool)); 4] = [
        ("no", (Restart::No, false)),
        ("on_failure", (Restart::OnFailure, false)),
        ("always", (Restart::Always, false)),
        ("exit_on_failure", (Restart::No, true)),
    ];
    let Some(table) = file.or_default(fields.table("availability")) else { return spec };
    let unsupported = ["exit_on_skipped"];
    let known = ["restart", "backoff_seconds", "max_restarts", "exit_on_end"];
    file.check_other_keys(&table, &[&known], &[&unsupported]);
    file.refuse(&table, &unsupported);
    let (restart, exit_on_failure) =
        file.or_default(table.word("restart", &RESTARTS)).unwrap_or(RESTARTS[0].1);
    let delay = file.or_default(table.duration("backoff_seconds", DaemonSpec::RESTART_DELAY));
    let limit = file.or_default(table.read("max_restarts", "a number", ManifestValue::number::<u32>));
    DaemonSpec {
        restart,
        exit_on_failure,
        exit_on_end: file.or_default(table.flag("exit_on_end", false)),
        // process-compose waits equally long before each restart.
        restart_delay: delay,
        restart_delay_max: delay,
        restart_limit: limit.filter(|limit| *limit > 0).map(|limit| (limit, duration::MAX)),
        ..spec
    }
}

fn with_shutdown(
    spec: DaemonSpec,
    fields: &Declaration<'_>,
    shared: &Shared,
    file: &mut ManifestFile<'_, '_>,
) -> DaemonSpec {
    let Some(table) = file.or_default(fields.table("shutdown")) else { return spec };
    let unsupported = ["send_keys"];
    let known = ["command", "signal", "timeout_seconds", "parent_only"];
    file.check_other_keys(&table, &[&known], &[&unsupported]);
    file.refuse(&table, &unsupported);
    let command = file.or_default(table.text("command")).filter(|code| !code.trim().is_empty());
    let has_signal = table.get("signal").is_some_and(|value| value.number() != Some(0));
    let signal = if has_signal { file.or_default(table.signal("signal")) } else { None };
    let grace = table.duration("timeout_seconds", DaemonSpec::STOP_GRACE_PERIOD);
    DaemonSpec {
        stop_signal: signal.unwrap_or(spec.stop_signal),
        stop_grace_period: file.or_default(grace),
        stop_command: command.map(|code| in_shell(&code, shared)),
        is_signalled_alone: file.or_default(table.flag("parent_only", false)),
        ..spec
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::supervisor::manifest::tests::{daemon, messages};

    #[test]
    fn ready_log_line_is_looked_for_every_200_ms_without_a_limit() {
        let spec = daemon("m.yaml", "processes:\n  a:\n    command: x\n    ready_log_line: up\n");
        let ready = spec.ready.unwrap();
        assert_eq!((ready.interval, ready.timeout), (Duration::from_millis(200), crate::duration::MAX));
    }

    #[test]
    fn an_unknown_key_names_no_key_that_is_refused_or_has_no_effect() {
        let process = "    colour: 1\n    is_ttyy: 1\n    availability: {colour: 1}\n    shutdown: {colour: 1}\n    \
                       readiness_probe: {http_get: {colour: 1}}\n    liveness_probe: {exec: {command: x, colour: 1}}\n";
        let text = format!("colour: 1\nshell: {{colour: 1}}\nprocesses:\n  a:\n    command: x\n{process}");
        let warnings = messages("m.yaml", &text);
        assert_eq!(warnings.matches("ignored the unknown key").count(), 8, "{warnings}");
        assert!(warnings.contains("m.yaml:6: ignored the unknown key \"colour\"; use command, entrypoint,"));
        for key in super::UNSUPPORTED.into_iter().chain(super::UNSUPPORTED_MANIFEST_FIELDS).chain([
            "theme",
            "elevated_shell_command",
            "namespace",
            "exit_on_skipped",
            "send_keys",
            "headers",
            "exec.working_dir",
        ]) {
            assert!(
                !warnings.contains(&format!("{key}\"")) && !warnings.contains(&format!("{key},")),
                "{key}: {warnings}"
            );
        }
    }

    #[test]
    fn log_location_is_a_warning_wherever_it_stands() {
        let warning = "\"log_location\" has no effect; read the logs with `rigup logs`";
        let text = "log_location: all.log\nprocesses:\n  a:\n    command: x\n    log_location: a.log\n";
        assert_eq!(messages("m.yaml", text), format!("m.yaml:1: {warning}\nm.yaml:5: {warning}"));
    }
}
