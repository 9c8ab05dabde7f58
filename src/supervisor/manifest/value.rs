//! The values of a manifest with their lines, whatever its format is.

use serde_json::Value;
use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use crate::sorting::sort_by_key;

/// A problem in a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ManifestProblem {
    /// The line in the file, from 1.
    pub line: usize,
    /// What is wrong, and what is allowed.
    pub message: String,
}

impl ManifestProblem {
    /// Returns a problem in a line.
    pub(super) fn new(line: usize, message: impl Into<String>) -> Self {
        Self { line, message: message.into() }
    }
}

/// A value and the line in which it, or its key, begins.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ManifestValue {
    /// The line, from 1.
    pub line: usize,
    /// The value itself.
    pub data: Data,
}

/// The value itself.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Data {
    Null,
    Bool(bool),
    /// A number as it is written in the file.
    Number(String),
    Text(String),
    List(Vec<ManifestValue>),
    /// The members in the order of the file. No key is repeated.
    Map(Vec<Member>),
}

/// A key of a map with its value.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Member {
    pub key: String,
    pub value: ManifestValue,
}

impl ManifestValue {
    /// Returns a problem with this value.
    pub(super) fn problem(&self, message: impl Into<String>) -> ManifestProblem {
        ManifestProblem::new(self.line, message)
    }

    /// Returns the text of a single value as it is written, or `None` for a list, a map or no value.
    pub(super) fn text(&self) -> Option<String> {
        match &self.data {
            // Neither a path nor an argument nor a variable can have one.
            Data::Text(text) if text.contains('\0') => None,
            Data::Text(text) | Data::Number(text) => Some(text.clone()),
            Data::Bool(value) => Some(value.to_string()),
            Data::Null | Data::List(_) | Data::Map(_) => None,
        }
    }

    /// Returns the items of a list, or `None` for another value.
    pub(super) fn items(&self) -> Option<&[Self]> {
        if let Data::List(items) = &self.data { Some(items) } else { None }
    }

    /// Returns the whole number that the value is.
    pub(super) fn number<T: std::str::FromStr>(&self) -> Option<T> {
        if let Data::Number(digits) = &self.data { digits.parse().ok() } else { None }
    }

    /// Whether the value says nothing, so that a field with it counts as absent.
    pub(super) fn is_unset(&self) -> bool {
        match &self.data {
            Data::Null | Data::Bool(false) => true,
            Data::Bool(true) | Data::Number(_) => false,
            Data::Text(text) => text.is_empty(),
            Data::List(items) => items.is_empty(),
            Data::Map(members) => members.is_empty(),
        }
    }

    /// Describes the value for a message.
    pub(super) fn describe(&self) -> String {
        match &self.data {
            Data::Null => "empty".to_owned(),
            Data::Text(text) if text.contains('\0') => "a text with a NUL character".to_owned(),
            Data::Text(text) => format!("{text:?}"),
            Data::Number(text) => text.clone(),
            Data::Bool(value) => value.to_string(),
            Data::List(items) if items.is_empty() => "an empty list".to_owned(),
            Data::List(_) => "a list".to_owned(),
            Data::Map(_) => "a table".to_owned(),
        }
    }

    /// Returns a JSON value, all of which is in one line.
    pub(super) fn from_json(value: Value, line: usize) -> Self {
        let data = match value {
            Value::Null => Data::Null,
            Value::Bool(value) => Data::Bool(value),
            Value::Number(number) => Data::Number(number.to_string()),
            Value::String(text) => Data::Text(text),
            Value::Array(items) => {
                Data::List(items.into_iter().map(|item| Self::from_json(item, line)).collect())
            }
            Value::Object(object) => {
                let member = |(key, value)| Member { key, value: Self::from_json(value, line) };
                Data::Map(object.into_iter().map(member).collect())
            }
        };
        Self { line, data }
    }

    /// Parses TOML. The message of an error does not quote the text, because the file may be a link to any file.
    pub(super) fn from_toml(text: &str) -> Result<Self, ManifestProblem> {
        let line_of = |start| text.get(..start).unwrap_or_default().matches('\n').count() + 1;
        let table = DeTable::parse(text).map_err(|error| {
            let start = error.span().map_or(0, |span| span.start);
            ManifestProblem::new(line_of(start), format!("not TOML: {}", error.message()))
        })?;
        Ok(Self { line: 1, data: toml_map(table.get_ref(), &line_of) })
    }
}

fn toml_map(table: &DeTable<'_>, line_of: &dyn Fn(usize) -> usize) -> Data {
    let mut members: Vec<_> = table.iter().collect();
    sort_by_key(&mut members, |(key, _)| key.span().start);
    let member = |(key, value): (&Spanned<DeString<'_>>, &Spanned<DeValue<'_>>)| {
        let value =
            ManifestValue { line: line_of(key.span().start), data: toml_data(value.get_ref(), line_of) };
        Member { key: key.get_ref().to_string(), value }
    };
    Data::Map(members.into_iter().map(member).collect())
}

fn toml_data(value: &DeValue<'_>, line_of: &dyn Fn(usize) -> usize) -> Data {
    match value {
        DeValue::String(text) => Data::Text(text.to_string()),
        DeValue::Integer(number) => {
            let decimal = i64::from_str_radix(number.as_str(), number.radix());
            Data::Number(decimal.map_or_else(|_| number.to_string(), |number| number.to_string()))
        }
        DeValue::Float(number) => Data::Number(number.as_str().to_owned()),
        DeValue::Boolean(value) => Data::Bool(*value),
        DeValue::Datetime(time) => Data::Text(time.to_string()),
        DeValue::Array(items) => {
            let item = |item: &Spanned<DeValue<'_>>| ManifestValue {
                line: line_of(item.span().start),
                data: toml_data(item.get_ref(), line_of),
            };
            Data::List(items.iter().map(item).collect())
        }
        DeValue::Table(table) => toml_map(table, line_of),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_toml_have_their_lines_in_the_order_of_the_file() {
        let text = "[z]\nb = 1.50\na = [\n  \"x\",\n  true,\n]\n[z.c]\nd = 0x10\n";
        let Data::Map(members) = ManifestValue::from_toml(text).unwrap().data else { panic!() };
        let Data::Map(members) = &members[0].value.data else { panic!() };
        let found: Vec<_> = members.iter().map(|member| (member.key.as_str(), member.value.line)).collect();
        assert_eq!(found, [("b", 2), ("a", 3), ("c", 7)]);
        assert_eq!(members[0].value.text().unwrap(), "1.50");
        let items = members[1].value.items().unwrap();
        let found: Vec<_> = items.iter().map(|item| (item.text().unwrap(), item.line)).collect();
        assert_eq!(found, [("x".to_owned(), 4), ("true".to_owned(), 5)]);
        let Data::Map(members) = &members[2].value.data else { panic!() };
        assert_eq!(members[0].value.number::<u8>(), Some(16));
    }

    #[test]
    fn an_error_in_toml_has_its_line_and_does_not_quote_it() {
        let problem = ManifestValue::from_toml("a = 1\npassword = secret\n").unwrap_err();
        assert_eq!(problem.line, 2);
        assert!(
            problem.message.starts_with("not TOML: ") && !problem.message.contains("secret"),
            "{problem:?}"
        );
    }
}
