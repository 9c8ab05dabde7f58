//! Reading YAML by the core schema of YAML 1.2, in which `off` and `no` are texts. JSON is read as the YAML that it is.

use std::borrow::Cow;
use std::collections::HashMap;

use regex::{Captures, Regex};
use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Span, StrInput};
use serde::de::IgnoredAny;

use super::value::{Data, ManifestProblem, ManifestValue, Member};

/// The deepest nesting of values, so that no file exhausts the stack.
const MAX_DEPTH: usize = 100;

/// The maximum number of values, which a few aliases of aliases could otherwise exceed.
const MAX_VALUES: usize = 100_000;

/// The key that adds the members of another map, as in YAML 1.1 and in most manifests that use anchors.
const MERGE: &str = "<<";

/// Parses a file with one document; an empty one has no value.
pub(super) fn parse(text: &str) -> Result<ManifestValue, ManifestProblem> {
    let text = with_long_escapes(text);
    let parser = Parser::new_from_str(&text);
    let mut reader = YamlReader { parser, anchors: HashMap::new(), count: 0 };
    let mut document = None;
    loop {
        let (event, line) = reader.next()?;
        match event {
            Event::StreamEnd => break,
            Event::DocumentStart(_) if document.is_some() => {
                return Err(ManifestProblem::new(
                    line,
                    "a second document begins; use one document in a file",
                ));
            }
            Event::DocumentStart(_) => {
                let (event, line) = reader.next()?;
                document = Some(reader.value(event, line, 0)?);
            }
            _ => {}
        }
    }
    Ok(document.unwrap_or(ManifestValue { line: 1, data: Data::Null }))
}

/// Returns JSON with the long escapes of YAML instead of pairs of surrogates, which YAML lacks. Other text is unchanged.
fn with_long_escapes(text: &str) -> Cow<'_, str> {
    if !text.contains(r"\u") || serde_json::from_str::<IgnoredAny>(text).is_err() {
        return text.into();
    }
    let escape =
        Regex::new(r"(?i)\\(?:u(d[89ab][0-9a-f]{2})\\u(d[c-f][0-9a-f]{2})|.)").expect("the pattern is valid");
    escape.replace_all(text, |found: &Captures<'_>| {
        let unit = |group| u16::from_str_radix(found.get(group)?.as_str(), 16).ok();
        let pair = unit(1).zip(unit(2)).and_then(|(high, low)| char::decode_utf16([high, low]).next()?.ok());
        pair.map_or_else(|| found[0].to_owned(), |c| format!("\\U{:08x}", u32::from(c)))
    })
}

struct YamlReader<'a> {
    parser: Parser<'a, StrInput<'a>>,
    anchors: HashMap<usize, ManifestValue>,
    /// The number of values that were read or copied.
    count: usize,
}

impl<'a> YamlReader<'a> {
    fn next(&mut self) -> Result<(Event<'a>, usize), ManifestProblem> {
        match self.parser.next_event() {
            Some(Ok((event, span))) => Ok((event, line(span))),
            Some(Err(error)) => Err(syntax_error(&error)),
            None => Ok((Event::StreamEnd, 1)),
        }
    }

    fn value(
        &mut self,
        event: Event<'a>,
        line: usize,
        depth: usize,
    ) -> Result<ManifestValue, ManifestProblem> {
        if depth > MAX_DEPTH {
            return Err(ManifestProblem::new(
                line,
                format!("the values are nested more than {MAX_DEPTH} deep"),
            ));
        }
        self.add(1, line)?;
        let (anchor, data) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                let is_text = tag.is_some_and(|tag| tag.is_yaml_core_schema() && tag.suffix == "str");
                let is_plain = style == ScalarStyle::Plain && !is_text;
                (anchor, if is_plain { plain(&text) } else { Data::Text(text.into_owned()) })
            }
            Event::SequenceStart(anchor, _) => {
                let mut items = Vec::new();
                loop {
                    match self.next()? {
                        (Event::SequenceEnd, _) => break,
                        (event, line) => items.push(self.value(event, line, depth + 1)?),
                    }
                }
                (anchor, Data::List(items))
            }
            Event::MappingStart(anchor, _) => (anchor, Data::Map(self.members(depth)?)),
            Event::Alias(anchor) => {
                let value = self.anchors.get(&anchor).cloned();
                let value = value.ok_or_else(|| ManifestProblem::new(line, "an alias contains itself"))?;
                self.add(size(&value), line)?;
                return Ok(value);
            }
            _ => return Err(ManifestProblem::new(line, "not YAML or JSON: a value is missing")),
        };
        let value = ManifestValue { line, data };
        if anchor > 0 {
            self.anchors.insert(anchor, value.clone());
        }
        Ok(value)
    }

    /// Reads the members of a map, the start of which was read.
    fn members(&mut self, depth: usize) -> Result<Vec<Member>, ManifestProblem> {
        let mut members: Vec<Member> = Vec::new();
        let mut merged = Vec::new();
        loop {
            let (key, line) = match self.next()? {
                (Event::MappingEnd, _) => break,
                (Event::Scalar(key, ..), line) => (key.into_owned(), line),
                (_, line) => return Err(ManifestProblem::new(line, "a key is a list or a map; use a text")),
            };
            let (event, value_line) = self.next()?;
            let value = self.value(event, value_line, depth + 1)?;
            match value.data {
                Data::Map(others) if key == MERGE => merged.extend(others),
                Data::List(maps) if key == MERGE => {
                    merged.extend(maps.into_iter().flat_map(|map| match map.data {
                        Data::Map(others) => others,
                        _ => Vec::new(),
                    }));
                }
                data => {
                    if let Some(first) = members.iter().find(|member| member.key == key) {
                        let first = first.value.line;
                        let message = format!("{key:?} is repeated; line {first} has it, too");
                        return Err(ManifestProblem::new(line, message));
                    }
                    members.push(Member { key, value: ManifestValue { line, data } });
                }
            }
        }
        for member in merged {
            if !members.iter().any(|known| known.key == member.key) {
                members.push(member);
            }
        }
        Ok(members)
    }

    fn add(&mut self, count: usize, line: usize) -> Result<(), ManifestProblem> {
        self.count += count;
        if self.count <= MAX_VALUES {
            return Ok(());
        }
        Err(ManifestProblem::new(
            line,
            format!("the file has more than {MAX_VALUES} values with its aliases"),
        ))
    }
}

fn size(value: &ManifestValue) -> usize {
    let inner: usize = match &value.data {
        Data::List(items) => items.iter().map(size).sum(),
        Data::Map(members) => members.iter().map(|member| size(&member.value)).sum(),
        _ => 0,
    };
    inner + 1
}

/// Returns the value of a scalar without quotes.
fn plain(text: &str) -> Data {
    let radix = |start, radix| i64::from_str_radix(text.strip_prefix(start)?, radix).ok();
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Data::Null,
        "true" | "True" | "TRUE" => Data::Bool(true),
        "false" | "False" | "FALSE" => Data::Bool(false),
        _ => match radix("0x", 16).or_else(|| radix("0o", 8)) {
            Some(number) => Data::Number(number.to_string()),
            None if is_number(text) => Data::Number(text.to_owned()),
            None => Data::Text(text.to_owned()),
        },
    }
}

fn is_number(text: &str) -> bool {
    let is_digit = |c: char| c.is_ascii_digit() || "+-.eE".contains(c);
    text.chars().all(is_digit) && text.parse::<f64>().is_ok()
}

fn line(span: Span) -> usize {
    span.start.line()
}

fn syntax_error(error: &ScanError) -> ManifestProblem {
    ManifestProblem::new(error.marker().line(), format!("not YAML or JSON: {}", error.info()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> Data {
        parse(text).unwrap().data
    }

    #[test]
    fn scalars_follow_the_core_schema() {
        for text in ["off", "no", "yes", "On", "1:30", "1_000", "v1", "0b1", "1.2.3", "-x", "e"] {
            assert_eq!(value(text), Data::Text(text.to_owned()), "{text}");
        }
        for text in ["0", "-7", "1.10", "010", "1e3", ".5"] {
            assert_eq!(value(text), Data::Number(text.to_owned()), "{text}");
        }
        assert_eq!([value("0x1F"), value("0o17")], ["31", "15"].map(|text| Data::Number(text.to_owned())));
        assert_eq!([value("~"), value("")], [Data::Null, Data::Null]);
        assert_eq!([value("True"), value("\"true\"")], [Data::Bool(true), Data::Text("true".to_owned())]);
        assert_eq!(value("!!str 8080"), Data::Text("8080".to_owned()));
    }

    #[test]
    fn members_have_the_line_of_their_key_and_merge_other_maps() {
        let text = "base: &base\n  a: 1\n  b: 2\nweb:\n  <<: *base\n  b: 3\n";
        let Data::Map(members) = value(text) else { panic!() };
        assert_eq!(members[1].value.line, 4);
        let Data::Map(web) = &members[1].value.data else { panic!() };
        let found: Vec<_> = web.iter().map(|member| (&*member.key, member.value.text().unwrap())).collect();
        assert_eq!(found, [("b", "3".to_owned()), ("a", "1".to_owned())]);
    }

    #[test]
    fn json_is_read_as_other_programs_write_it() {
        let text = "{\n\t\"a\": [\"\\u00fc\\/\\ud83d\\uDE00\\\\ud83d\",\n\t\t1.5],\n\t\"b\": {}\n}\n";
        let Data::Map(members) = value(text) else { panic!() };
        let items = members[0].value.items().unwrap();
        let texts: Vec<_> = items.iter().filter_map(ManifestValue::text).collect();
        assert_eq!(texts, ["ü/\u{1f600}\\ud83d", "1.5"]);
        assert_eq!((members[1].value.line, members[1].value.is_unset()), (4, true));
    }

    #[test]
    fn errors_have_their_line() {
        for (text, expected) in [
            ("a: 1\nb: ]\n", 2),
            ("a: 1\nb: 2\na: 3\n", 3),
            ("a: 1\n---\nb: 2\n", 2),
            ("a: 1\n? [x]\n: 2\n", 2),
        ] {
            assert_eq!(parse(text).unwrap_err().line, expected, "{text}");
        }
        let repeated = parse("a: 1\nb: 2\na: 3\n").unwrap_err().message;
        assert_eq!(repeated, "\"a\" is repeated; line 1 has it, too");
    }

    #[test]
    fn no_file_exhausts_the_stack_or_the_memory() {
        assert!(parse(&"[".repeat(100_000)).is_err());
        let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..12 {
            let below = format!("*a{}", level - 1);
            bomb.extend([
                "a",
                &level.to_string(),
                ": &a",
                &level.to_string(),
                " [",
                &[below.as_str(); 10].join(", "),
                "]\n",
            ]);
        }
        assert!(parse(&bomb).unwrap_err().message.contains("more than 100000 values"));
    }
}
