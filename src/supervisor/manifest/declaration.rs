//! The fields of a declaration, read by their type.

use std::collections::BTreeMap;
use std::time::Duration;

use nix::sys::signal::Signal;

use super::value::{Data, ManifestProblem, ManifestValue, Member};
use crate::byte_size;
use crate::duration;
use crate::model::{Condition, DaemonName};
use crate::process::kill;
use crate::sorting::collect_sorted;

/// What is allowed as a text and as a path.
const TEXT_FORM: &str = "a text in quotes";
const PATH_FORM: &str = "a path that is not empty";

/// The fields of a table in a manifest.
#[derive(Debug)]
pub(super) struct Declaration<'a> {
    /// The line in which it begins.
    pub line: usize,
    /// The name of the field that the table belongs to, with a dot; empty for a whole declaration.
    prefix: String,
    members: &'a [Member],
    /// Whether a number, true and false count as the texts that they are written with, as in the formats of other programs.
    converts: bool,
}

impl<'a> Declaration<'a> {
    /// Returns the fields of a value that has to be a table. `name` describes the value in the error.
    pub(super) fn new(value: &'a ManifestValue, name: &str) -> Result<Self, ManifestProblem> {
        match &value.data {
            Data::Map(members) => {
                Ok(Self { line: value.line, prefix: String::new(), members, converts: false })
            }
            _ => Err(value.problem(format!("{name} is {}; use a table with its fields", value.describe()))),
        }
    }

    /// Returns the fields of a value that has to be a table in the format of another program.
    pub(super) fn foreign(value: &'a ManifestValue, name: &str) -> Result<Self, ManifestProblem> {
        Ok(Self { converts: true, ..Self::new(value, name)? })
    }

    /// Returns the table in a field, or `None` if the field is absent.
    pub(super) fn table(&self, key: &str) -> Result<Option<Self>, ManifestProblem> {
        let Some(value) = self.get(key) else { return Ok(None) };
        let prefix = format!("{}{key}.", self.prefix);
        let table = Self::new(value, &self.label(key))?;
        Ok(Some(Self { prefix, converts: self.converts, ..table }))
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

    /// Reads a list, or returns `None` if it is absent. `forms` says what it is, and `item_forms` what `parse` accepts.
    pub(super) fn list<T>(
        &self,
        key: &str,
        forms: &str,
        item_forms: &str,
        parse: impl Fn(&ManifestValue) -> Option<T>,
    ) -> Result<Option<Vec<T>>, ManifestProblem> {
        let items = self.get(key).and_then(ManifestValue::items);
        let Some(items) = items else { return self.read(key, forms, |_| None) };
        self.items(key, items, item_forms, parse).map(Some)
    }

    /// Reads the items of the list in a field, or returns a problem with the first one that `parse` does not accept.
    pub(super) fn items<T>(
        &self,
        key: &str,
        items: &[ManifestValue],
        item_forms: &str,
        parse: impl Fn(&ManifestValue) -> Option<T>,
    ) -> Result<Vec<T>, ManifestProblem> {
        let read =
            |(number, item)| parse(item).ok_or_else(|| self.item_problem(key, number, item, item_forms));
        (1..).zip(items).map(read).collect()
    }

    /// Returns a problem with an item of the list in a field; the first one has the number 1.
    fn item_problem(&self, key: &str, number: usize, item: &ManifestValue, forms: &str) -> ManifestProblem {
        item.problem(format!("item {number} of {} is {}; use {forms}", self.label(key), item.describe()))
    }

    /// Returns a value that has to be a text.
    fn as_text(&self, value: &ManifestValue) -> Option<String> {
        value.text().filter(|_| self.converts || matches!(value.data, Data::Text(_)))
    }

    /// Returns a value that has to be a path, which cannot be empty.
    fn as_path(&self, value: &ManifestValue) -> Option<String> {
        self.as_text(value).filter(|path| !path.is_empty())
    }

    /// Reads a text.
    pub(super) fn text(&self, key: &str) -> Result<Option<String>, ManifestProblem> {
        self.read(key, "a text", |value| self.as_text(value))
    }

    /// Reads a list of texts; none if it is absent.
    pub(super) fn texts(&self, key: &str) -> Result<Vec<String>, ManifestProblem> {
        let texts = self.list(key, "a list such as [\"a\", \"b\"]", TEXT_FORM, |item| self.as_text(item))?;
        Ok(texts.unwrap_or_default())
    }

    /// Reads a path, which cannot be empty.
    pub(super) fn path(&self, key: &str) -> Result<Option<String>, ManifestProblem> {
        self.read(key, PATH_FORM, |value| self.as_path(value))
    }

    /// Reads a path, or a list of them; none if it is absent.
    pub(super) fn paths(&self, key: &str) -> Result<Vec<String>, ManifestProblem> {
        if let Some(items) = self.get(key).and_then(ManifestValue::items) {
            return self.items(key, items, PATH_FORM, |item| self.as_path(item));
        }
        let forms = format!("{PATH_FORM}, or a list of such paths");
        Ok(self.read(key, &forms, |value| self.as_path(value))?.into_iter().collect())
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
        let Some(value) = self.get(key) else { return Ok(None) };
        let words = match &value.data {
            Data::List(items) => {
                let words = self.items(key, items, TEXT_FORM, |item| self.as_text(item))?;
                if words.first().is_some_and(String::is_empty) {
                    return Err(self.item_problem(key, 1, &items[0], "the name or the path of a program"));
                }
                Some(words)
            }
            Data::Text(_) => value.text().and_then(|text| shlex::split(&text)),
            _ => None,
        };
        let is_command = |words: &Vec<String>| words.first().is_some_and(|program| !program.is_empty());
        self.read(key, forms, |_| words.filter(is_command))
    }

    /// Reads variables: a table, or a list of `NAME=VALUE`. A number, true and false are values as they are written, as for
    /// docker compose. No problem quotes a value, because it may be a secret.
    pub(super) fn variables(&self, key: &str) -> Result<BTreeMap<String, String>, ManifestProblem> {
        let forms = "a table such as { NAME = \"value\" }, or a list such as [\"NAME=value\"]";
        match self.get(key).map(|value| &value.data) {
            Some(Data::Map(members)) => {
                let variables = members.iter().map(|member| self.variable(key, member));
                variables.collect::<Result<Vec<_>, _>>().map(collect_sorted)
            }
            Some(Data::List(items)) => {
                let variable = |(number, item): (usize, &ManifestValue)| {
                    let label = self.label(key);
                    let message = format!("item {number} of {label} is not a text NAME=VALUE; write one");
                    item.text().and_then(|text| pair(&text)).ok_or_else(|| item.problem(message))
                };
                (1..).zip(items).map(variable).collect::<Result<Vec<_>, _>>().map(collect_sorted)
            }
            Some(_) => Err(self.problem(key, &format!("is not {forms}"))),
            None => Ok(BTreeMap::new()),
        }
    }

    fn variable(&self, key: &str, member: &Member) -> Result<(String, String), ManifestProblem> {
        let Member { key: name, value } = member;
        if !is_variable(name) {
            let label = self.label(key);
            let message =
                format!("{label} has the name {name:?}; use one that is not empty and has no \"=\"");
            return Err(value.problem(message));
        }
        let Some(text) = value.text() else {
            let (label, kind) = (self.label(&format!("{key}.{name}")), value.describe());
            return Err(value.problem(format!("{label} is {kind}; use a text, a number, true or false")));
        };
        Ok((name.clone(), text))
    }

    /// Reads exit codes.
    pub(super) fn exit_codes(&self, key: &str) -> Result<Option<Vec<i32>>, ManifestProblem> {
        self.list(key, "a list of numbers from 0 to 255", "a number from 0 to 255", |code| {
            code.number::<u8>().map(i32::from)
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
    is_variable(name).then(|| (name.to_owned(), value.to_owned()))
}

fn is_variable(name: &str) -> bool {
    !name.is_empty() && !name.contains(['=', '\0'])
}
