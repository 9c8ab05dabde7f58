//! The names that other supervisors, and other formats, have for a field.

/// Fields with the same meaning in rigup, `process_pilot`, process-compose, docker compose, supervisord and systemd.
const SYNONYMS: [&[&str]; 24] = [
    &["http", "http_get", "url"],
    &["tcp", "port"],
    &["file", "path"],
    &["fifo", "pipe"],
    &["log", "ready_log_line"],
    &["command", "args", "cmd", "entrypoint", "exec", "exec_start", "path", "run", "script", "test"],
    &["working_dir", "chdir", "cwd", "dir", "directory", "working_directory"],
    &["env", "environment"],
    &["env_file", "dotenv", "environment_file"],
    &["depends_on", "after", "dependencies", "needs", "requires"],
    &["ready", "readiness", "readiness_probe", "ready_strategy"],
    &["healthcheck", "health", "liveness", "liveness_probe"],
    &["restart", "autorestart", "availability", "restart_policy", "shutdown_strategy"],
    &["restart_delay", "backoff", "backoff_seconds", "restart_sec"],
    &["restart_limit", "max_restarts", "start_limit_burst", "start_retries"],
    &["success_exit_codes", "exit_codes", "success_exit_status"],
    &["stop_signal", "kill_signal", "signal"],
    &[
        "stop_grace_period",
        "grace_period",
        "kill_timeout",
        "stop_timeout",
        "stop_wait_secs",
        "timeout_stop_sec",
    ],
    &["stop_command", "exec_stop", "shutdown", "shutdown_command"],
    &["autostart", "disabled", "enabled", "is_disabled"],
    &["replicas", "instances", "num_procs", "scale"],
    &["memory_max", "max_memory", "mem_limit", "memory", "memory_limit"],
    &["cpu_affinity", "affinity", "cpuset", "processor_affinity"],
    &["rlimits", "limits", "ulimits"],
];

/// Returns the known key that means the same as `key`, or `None` if there is none. Ignores case, `_` and `-`.
pub(super) fn synonym<'a>(key: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let letters = |text: &str| text.to_lowercase().replace(['_', '-', ' '], "");
    let key = letters(key);
    let known: Vec<&str> = known.into_iter().collect();
    let mut rows = SYNONYMS.iter().filter(|row| row.iter().any(|name| letters(name) == key));
    rows.find_map(|row| known.iter().copied().find(|name| row.contains(name)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::supervisor::manifest::tests::messages;

    #[test]
    fn an_unknown_key_of_another_format_names_the_key_that_means_the_same() {
        for (key, expected) in [
            ("environment", "env"),
            ("cmd", "command"),
            ("cwd", "working_dir"),
            ("directory", "working_dir"),
            ("workingDirectory", "working_dir"),
            ("autorestart", "restart"),
            ("dependencies", "depends_on"),
            ("readiness_probe", "ready"),
            ("liveness_probe", "healthcheck"),
            ("healthCheck", "healthcheck"),
            ("stopwaitsecs", "stop_grace_period"),
            ("numprocs", "replicas"),
            ("mem_limit", "memory_max"),
            ("ready.port", "ready.tcp"),
            ("ready.path", "ready.file"),
            ("healthcheck.cmd", "healthcheck.test"),
        ] {
            let problem = messages("a.toml", &format!("[daemons.a]\ncommand = 'x'\n{key} = 'y'\n"));
            assert_eq!(problem, format!("a.toml:3: unknown key \"{key}\"; write \"{expected}\""));
        }
        let pilot = messages("m.yaml", "processes:\n  - name: a\n    path: sleep\n    depends_on: [b]\n");
        assert_eq!(pilot, "m.yaml:4: ignored the unknown key \"depends_on\"; write \"dependencies\"");
        let compose = messages("m.yaml", "processes:\n  a:\n    command: x\n    env: {A: b}\n");
        assert_eq!(compose, "m.yaml:4: ignored the unknown key \"env\"; write \"environment\"");
    }

    #[test]
    fn a_key_without_a_similar_one_has_no_synonym() {
        assert_eq!(synonym("colour", ["command", "env"]), None);
        assert_eq!(synonym("cwd", ["command", "env"]), None);
    }
}
