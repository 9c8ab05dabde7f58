//! The fields of a declaration, read by their type.

use std::collections::BTreeMap;
use std::time::Duration;

use nix::sys::signal::Signal;

use super::value::{Data, ManifestProblem, ManifestValue, Member};
use crate::byte_size;
use crate::duration;
use crate::model::{Condition, DaemonName};
use crate::process::kill;

/// The fields of a table in a manifest.
#[derive(Debug)]
pub(super) struct Declaration<'a> {
    /// The line in which it begins.
    pub line: usize,
    /// The name of the field that the table belongs to, with a dot; empty for a whole declaration.
    prefix: String,
    members: &'a [Member],
}

impl<'a> Declaration<'a> {
    /// Returns the fields of a value that has to be a table. `name` describes the value in the error.
    pub(super) fn new(value: &'a ManifestValue, name: &str) -> Result<Self, ManifestProblem> {
        match &value.data {
            Data::Map(members) => Ok(Self { line: value.line, prefix: String::new(), members }),
            _ => Err(value.problem(format!("{name} is {}; use a table with its fields", value.describe()))),
        }
    }

    /// Returns the table in a field, or `None` if the field is absent.
    pub(super) fn table(&self, key: &str) -> Result<Option<Self>, ManifestProblem> {
        let Some(value) = self.get(key) else { return Ok(None) };
        let prefix = format!("{}{key}.", self.prefix);
        Self::new(value, &self.label(key)).map(|table| Some(Self { prefix, ..table }))
    }

    /// Returns the value of a field, or `None` if it is absent or null.
    pub(super) fn get(&self, key: &str) -> Option<&'a ManifestValue> {
        let member = self.members.iter().find(|member| member.key == key)?;
        Some(&member.value).filter(|value| value.data != Data::Null)
    }

    /// Whether a field is null, which is not the same as absent in some formats.
    pub(super) fn is_null(&self, key: &str) -> bool {
        self.members.iter().any(|member| member.key == key && member.value.data == Data::Null)
    }

    /// Returns the members that have none of these keys.
    pub(super) fn others(&self, known: &[&[&str]]) -> impl Iterator<Item = &'a Member> {
        let is_known = |member: &&Member| known.iter().any(|keys| keys.contains(&member.key.as_str()));
        self.members.iter().filter(move |member| !is_known(member))
    }

    /// Returns the name of a field for a message.
    pub(super) fn label(&self, key: &str) -> String {
        format!("\"{}{key}\"", self.prefix)
    }

    /// Returns the name of the field that the table belongs to, for a message.
    pub(super) fn name_of_table(&self) -> String {
        format!("\"{}\"", self.prefix.trim_end_matches('.'))
    }

    /// Returns a problem with the value of a field.
    pub(super) fn problem(&self, key: &str, message: &str) -> ManifestProblem {
        let line = self.get(key).map_or(self.line, |value| value.line);
        ManifestProblem::new(line, format!("{} {message}", self.label(key)))
    }

    /// Reads a field, or returns `None` if it is absent. `forms` says what `parse` accepts.
    pub(super) fn read<T>(
        &self,
        key: &str,
        forms: &str,
        parse: impl FnOnce(&ManifestValue) -> Option<T>,
    ) -> Result<Option<T>, ManifestProblem> {
        let Some(value) = self.get(key) else { return Ok(None) };
        let problem = || self.problem(key, &format!("is {}; use {forms}", value.describe()));
        parse(value).map(Some).ok_or_else(problem)
    }

    /// Reads a single value as it is written.
    pub(super) fn text(&self, key: &str) -> Result<Option<String>, ManifestProblem> {
        self.read(key, "a text", ManifestValue::text)
    }

    /// Reads a list of single values; none if it is absent.
    pub(super) fn texts(&self, key: &str) -> Result<Vec<String>, ManifestProblem> {
        Ok(self.read(key, "a list such as [\"a\", \"b\"]", ManifestValue::texts)?.unwrap_or_default())
    }

    /// Reads a path, which cannot be empty.
    pub(super) fn path(&self, key: &str) -> Result<Option<String>, ManifestProblem> {
        self.read(key, "a path that is not empty", |value| value.text().filter(|path| !path.is_empty()))
    }

    /// Reads a path, or a list of them; none if it is absent.
    pub(super) fn paths(&self, key: &str) -> Result<Vec<String>, ManifestProblem> {
        let paths = self.read(key, "a path that is not empty, or a list of such paths", |value| {
            let paths = value.texts().or_else(|| Some(vec![value.text()?]))?;
            paths.iter().all(|path| !path.is_empty()).then_some(paths)
        })?;
        Ok(paths.unwrap_or_default())
    }

    /// Reads a field that is true or false.
    pub(super) fn flag(&self, key: &str, default: bool) -> Result<bool, ManifestProblem> {
        let parse = |value: &ManifestValue| if let Data::Bool(flag) = value.data { Some(flag) } else { None };
        Ok(self.read(key, "true or false", parse)?.unwrap_or(default))
    }

    /// Reads a duration.
    pub(super) fn duration(&self, key: &str, default: Duration) -> Result<Duration, ManifestProblem> {
        let parse = |value: &ManifestValue| duration::parse(&value.text()?).ok();
        Ok(self.read(key, duration::FORMS, parse)?.unwrap_or(default))
    }

    /// Reads a size, in bytes.
    pub(super) fn size(&self, key: &str) -> Result<Option<u64>, ManifestProblem> {
        self.read(key, byte_size::FORMS, |value| byte_size::parse(&value.text()?))
    }

    /// Reads one of these words.
    pub(super) fn word<T: Copy>(
        &self,
        key: &str,
        choices: &[(&str, T)],
    ) -> Result<Option<T>, ManifestProblem> {
        let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
        self.read(key, &one_of(&words), |value| {
            let text = value.text()?;
            choices.iter().find(|(word, _)| *word == text).map(|(_, choice)| *choice)
        })
    }

    /// Reads a command: a list, or a text that is split as a shell would split it, without expansion. `None` if it is
    /// absent.
    pub(super) fn command(&self, key: &str) -> Result<Option<Vec<String>>, ManifestProblem> {
        let forms = "a program and its arguments: a list such as [\"server\", \"--port\", \"8080\"], or a text with \
                     balanced quotes";
        self.read(key, forms, |value| {
            let words =
                if let Data::List(_) = value.data { value.texts() } else { shlex::split(&value.text()?) };
            words.filter(|words| words.first().is_some_and(|program| !program.is_empty()))
        })
    }

    /// Reads variables: a table, or a list of `NAME=VALUE`; none if it is absent.
    pub(super) fn variables(&self, key: &str) -> Result<BTreeMap<String, String>, ManifestProblem> {
        let variables = self.read(key, "a table of texts such as { NAME = \"value\" }", |value| {
            let pairs: Option<Vec<(String, String)>> = match &value.data {
                Data::Map(members) => {
                    members.iter().map(|member| Some((member.key.clone(), member.value.text()?))).collect()
                }
                Data::List(items) => items.iter().map(|item| pair(&item.text()?)).collect(),
                _ => None,
            };
            pairs.filter(|pairs| pairs.iter().all(|(name, value)| is_variable(name) && !value.contains('\0')))
        })?;
        Ok(variables.unwrap_or_default().into_iter().collect())
    }

    /// Reads exit codes.
    pub(super) fn exit_codes(&self, key: &str) -> Result<Option<Vec<i32>>, ManifestProblem> {
        self.read(key, "a list of numbers from 0 to 255", |value| {
            let Data::List(codes) = &value.data else { return None };
            codes.iter().map(|code| code.number::<u8>().map(i32::from)).collect()
        })
    }

    /// Reads a signal, and returns its name such as `TERM`.
    pub(super) fn signal(&self, key: &str) -> Result<Option<String>, ManifestProblem> {
        self.read(key, "a name such as TERM, or a number", |value| {
            let signal = kill::parse_signal(&value.text()?).ok()?;
            let name = Signal::try_from(signal.as_raw()).ok()?.as_str();
            Some(name.trim_start_matches("SIG").to_owned())
        })
    }

    /// Reads the name of a daemon.
    pub(super) fn name(&self, key: &str) -> Result<DaemonName, ManifestProblem> {
        let text = self.text(key)?.ok_or_else(|| ManifestProblem::new(self.line, format!("no \"{key}\"")))?;
        daemon_name(&text, self.get(key).map_or(self.line, |value| value.line))
    }

    /// Reads the condition of a dependency, or returns the one of a bare name.
    pub(super) fn condition(&self) -> Result<Condition, ManifestProblem> {
        const CONDITIONS: [(&str, Condition); 8] = [
            ("service_started", Condition::Started),
            ("service_healthy", Condition::Healthy),
            ("service_completed_successfully", Condition::CompletedSuccessfully),
            ("process_started", Condition::Started),
            ("process_healthy", Condition::Healthy),
            ("process_log_ready", Condition::Ready),
            ("process_completed", Condition::Completed),
            ("process_completed_successfully", Condition::CompletedSuccessfully),
        ];
        Ok(self.word("condition", &CONDITIONS)?.unwrap_or(Condition::Ready))
    }
}

/// Parses the name of a daemon.
pub(super) fn daemon_name(text: &str, line: usize) -> Result<DaemonName, ManifestProblem> {
    text.parse()
        .map_err(|error: crate::model::InvalidDaemonName| ManifestProblem::new(line, error.to_string()))
}

/// Returns `a, b or c`.
pub(super) fn one_of(words: &[&str]) -> String {
    match words {
        [rest @ .., last] if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        words => words.concat(),
    }
}

fn pair(text: &str) -> Option<(String, String)> {
    let (name, value) = text.split_once('=')?;
    Some((name.to_owned(), value.to_owned()))
}

fn is_variable(name: &str) -> bool {
    !name.is_empty() && !name.contains(['=', '\0'])
}
