//! The field `healthcheck` of rigup's own formats, which is that of docker compose.

use std::time::Duration;

use super::declaration::Declaration;
use super::file::ManifestFile;
use super::value::{Data, ManifestProblem, ManifestValue};
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
    let command = file.or_default(test(&table));
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

/// Reads the test, and returns its command, which is empty for `NONE`. `None` if it is absent.
fn test(table: &Declaration<'_>) -> Result<Option<Vec<String>>, ManifestProblem> {
    const TEST: &str = "test";
    let shell = |code: &str| ["sh", "-c", code].map(str::to_owned).to_vec();
    let has_items = |value: &ManifestValue| value.items().is_some_and(|items| !items.is_empty());
    if !table.get(TEST).is_some_and(has_items) {
        return table.read(TEST, TEST_FORMS, |value| match &value.data {
            Data::Text(code) if !code.trim().is_empty() => Some(shell(code)),
            _ => None,
        });
    }
    let words = table.texts(TEST)?;
    let command = match (words[0].as_str(), &words[1..]) {
        ("NONE", []) => Ok(Vec::new()),
        ("NONE", _) => Err("has items after \"NONE\"; remove them".to_owned()),
        ("CMD", [program, ..]) if !program.is_empty() => Ok(words[1..].to_vec()),
        ("CMD", _) => Err("has no program after \"CMD\"; add one".to_owned()),
        ("CMD-SHELL", [code]) if !code.trim().is_empty() => Ok(shell(code)),
        ("CMD-SHELL", _) => {
            Err("does not have one text with a command after \"CMD-SHELL\"; write one".to_owned())
        }
        (first, _) => {
            Err(format!("begins with {first:?}; write \"CMD\" in front of it, or use {TEST_FORMS}"))
        }
    };
    command.map(Some).map_err(|message| table.problem(TEST, &message))
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
            (
                "healthcheck = {test = ['curl', 'x']}",
                "\"healthcheck.test\" begins with \"curl\"; write \"CMD\" in front",
            ),
            ("healthcheck = {test = ['CMD', 'curl', 1]}", "item 3 of \"healthcheck.test\" is 1; use a text"),
            ("healthcheck = {test = ['CMD']}", "\"healthcheck.test\" has no program after \"CMD\""),
            ("healthcheck = {test = ['CMD-SHELL', 'a', 'b']}", "does not have one text with a command after"),
            ("healthcheck = {test = ['NONE', 'a']}", "has items after \"NONE\"; remove them"),
            ("healthcheck = {test = []}", "\"healthcheck.test\" is an empty list; use a text with a command"),
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
