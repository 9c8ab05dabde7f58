//! The field `healthcheck` of rigup's own formats, which is that of docker compose.

use std::time::Duration;

use super::declaration::Declaration;
use super::file::ManifestFile;
use super::value::{Data, ManifestValue};
use crate::model::{HealthCheck, ReadinessCheck};

const KEY: &str = "healthcheck";

const FIELDS: [&str; 7] =
    ["test", "interval", "timeout", "retries", "start_period", "start_interval", "disable"];

const ACTION: &str = "on_unhealthy";

/// The defaults of docker compose.
const INTERVAL: Duration = Duration::from_secs(30);
const TIMEOUT: Duration = Duration::from_secs(30);
const START_INTERVAL: Duration = Duration::from_secs(5);
const RETRIES: u32 = 3;

/// The shortest pause between two checks, as for docker.
const MIN_PAUSE: Duration = Duration::from_millis(1);

const TEST_FORMS: &str = "a text with a command, or a list that begins with CMD, CMD-SHELL or NONE";

/// Reads the health check of a daemon, or returns `None` if it has none.
pub(super) fn read(fields: &Declaration<'_>, file: &mut ManifestFile<'_, '_>) -> Option<HealthCheck> {
    let action = file.or_default(fields.word(ACTION, &[("none", false), ("restart", true)]));
    let table = file.or_default(fields.table(KEY));
    if action.is_some() && fields.get(KEY).is_none() {
        file.report(fields.problem(ACTION, "needs a \"healthcheck\"; declare one"));
    }
    let table = table?;
    let has_known_keys = file.check_keys(&table, &[&FIELDS]);
    let command = file.or_default(table.read("test", TEST_FORMS, test));
    if file.or_default(table.flag("disable", false)) {
        return None;
    }
    if has_known_keys && table.get("test").is_none() {
        file.report(fields.problem(KEY, &format!("has no \"test\"; write {TEST_FORMS}")));
    }
    let pause = |key: &str, default: Duration| {
        let pause = table.duration(key, default)?;
        if pause < MIN_PAUSE { Err(table.problem(key, "is too short; use at least 1ms")) } else { Ok(pause) }
    };
    let count = |value: &ManifestValue| value.number::<u32>().filter(|count| *count > 0);
    let retries = table.read("retries", "a number, at least 1", count);
    let command = command.unwrap_or_default();
    let is_checked = !command.is_empty();
    let check = HealthCheck {
        probe: ReadinessCheck::Exec(command),
        interval: file.or_default(pause("interval", INTERVAL)),
        timeout: file.or_default(pause("timeout", TIMEOUT)),
        retries: file.or_default(retries).unwrap_or(RETRIES),
        start_period: file.or_default(table.duration("start_period", Duration::ZERO)),
        start_interval: file.or_default(pause("start_interval", START_INTERVAL)),
        restarts: action.unwrap_or(false),
    };
    is_checked.then_some(check)
}

/// Parses a test, and returns its command, which is empty for `NONE`.
fn test(value: &ManifestValue) -> Option<Vec<String>> {
    let shell =
        |code: &str| (!code.trim().is_empty()).then(|| ["sh", "-c", code].map(str::to_owned).to_vec());
    if let Data::Text(code) = &value.data {
        return shell(code);
    }
    let words = value.texts()?;
    match (words.first()?.as_str(), &words[1..]) {
        ("NONE", []) => Some(Vec::new()),
        ("CMD", [program, ..]) if !program.is_empty() => Some(words[1..].to_vec()),
        ("CMD-SHELL", [code]) => shell(code),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::supervisor::manifest::tests::{daemon, messages, seconds};

    fn check(fields: &str) -> Option<HealthCheck> {
        daemon("rigup.toml", &format!("[daemons.a]\ncommand = 'x'\n{fields}\n")).healthcheck
    }

    #[test]
    fn a_health_check_has_the_fields_and_the_defaults_of_compose() {
        let shell = ReadinessCheck::Exec(vec!["sh".to_owned(), "-c".to_owned(), "a $b".to_owned()]);
        let defaults = HealthCheck {
            probe: shell.clone(),
            interval: seconds(30),
            timeout: seconds(30),
            retries: 3,
            start_period: seconds(0),
            start_interval: seconds(5),
            restarts: false,
        };
        for test in ["'a $b'", "['CMD-SHELL', 'a $b']", "['CMD', 'sh', '-c', 'a $b']"] {
            assert_eq!(
                check(&format!("healthcheck = {{test = {test}}}")).as_ref(),
                Some(&defaults),
                "{test}"
            );
        }
        let all = "on_unhealthy = 'restart'\nhealthcheck = {test = 'a $b', interval = '1m', timeout = 2, retries = 1, \
                   start_period = '10s', start_interval = '500ms'}";
        let expected = HealthCheck {
            interval: seconds(60),
            timeout: seconds(2),
            retries: 1,
            start_period: seconds(10),
            start_interval: Duration::from_millis(500),
            restarts: true,
            ..defaults
        };
        assert_eq!(check(all), Some(expected));
        for disabled in ["{test = ['NONE']}", "{disable = true}", "{test = 'x', disable = true}"] {
            assert_eq!(check(&format!("healthcheck = {disabled}")), None, "{disabled}");
        }
    }

    #[test]
    fn problems_of_health_checks_name_what_is_allowed() {
        for (fields, expected) in [
            ("on_unhealthy = 'restart'", "\"on_unhealthy\" needs a \"healthcheck\""),
            ("healthcheck = {interval = 1}", "\"healthcheck\" has no \"test\"; write a text with a command"),
            ("healthcheck = {test = ['curl', 'x']}", "that begins with CMD, CMD-SHELL or NONE"),
            (
                "healthcheck = {test = 'x', retries = 0}",
                "\"healthcheck.retries\" is 0; use a number, at least 1",
            ),
            ("healthcheck = {test = 'x', interval = 0}", "\"healthcheck.interval\" is too short"),
            ("healthcheck = {test = 'x', intervall = 1}", "write \"healthcheck.interval\""),
        ] {
            let problem = messages("rigup.toml", &format!("[daemons.a]\ncommand = 'x'\n{fields}\n"));
            assert!(problem.contains(expected), "{fields}: {problem}");
        }
    }
}
