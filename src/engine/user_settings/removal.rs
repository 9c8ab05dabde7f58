//! The removal of a setting from the text of a `rigup.toml`.

use std::ops::Range;

use toml_edit::{Document, Item, Key, RawString, Table, TomlError};

use crate::sorting::sort_by_key;

/// Removes a setting with the comment lines directly above it and the comment behind it. All other comments stay where they
/// are. `keep.days` is the key `days` of the table `keep`, whose header goes with the last key unless it has a comment.
pub(super) fn without(text: &str, name: &str) -> Result<String, TomlError> {
    let document = Document::parse(text)?;
    let root = document.as_table();
    let ranges = match name.split_once('.') {
        Some((outer, inner)) if !root.contains_key(name) => match root.get_key_value(outer) {
            Some((_, Item::Table(table))) => in_table(text, table, inner),
            Some((key, item)) if item.as_inline_table().is_some_and(|table| table.contains_key(inner)) => {
                if item.as_inline_table().is_some_and(|table| table.len() > 1) {
                    let mut document = document.into_mut();
                    document
                        .get_mut(outer)
                        .and_then(Item::as_inline_table_mut)
                        .map(|table| table.remove(inner));
                    return Ok(document.to_string());
                }
                of_item(text, key, item)
            }
            _ => Vec::new(),
        },
        _ => root.get_key_value(name).map(|(key, item)| of_item(text, key, item)).unwrap_or_default(),
    };
    Ok(cut(text, ranges))
}

/// Returns the ranges of a key in a table, with the header of the table if that has neither another key nor a comment.
fn in_table(text: &str, table: &Table, name: &str) -> Vec<Range<usize>> {
    let mut ranges =
        table.get_key_value(name).map(|(key, item)| of_item(text, key, item)).unwrap_or_default();
    if let (1, Some(header), Some(first)) = (table.len(), header(text, table), ranges.first_mut())
        && !text[header.start..first.start].contains('#')
    {
        first.start = header.start;
    }
    ranges
}

/// Returns the ranges of a key with its value, or of a table with everything in it.
fn of_item(text: &str, key: &Key, item: &Item) -> Vec<Range<usize>> {
    match item {
        Item::None => Vec::new(),
        Item::Value(value) => {
            let span = key.span().zip(value.span()).map(|(key, value)| key.start..value.end);
            lines(text, key.leaf_decor().prefix(), span).into_iter().collect()
        }
        Item::Table(table) => of_table(text, table),
        Item::ArrayOfTables(tables) => tables.iter().flat_map(|table| of_table(text, table)).collect(),
    }
}

fn of_table(text: &str, table: &Table) -> Vec<Range<usize>> {
    let items = table.iter().filter_map(|(name, _)| table.get_key_value(name));
    header(text, table).into_iter().chain(items.flat_map(|(key, item)| of_item(text, key, item))).collect()
}

/// Returns the range of the header of a table, or `None` if it has none.
fn header(text: &str, table: &Table) -> Option<Range<usize>> {
    lines(text, table.decor().prefix(), table.span().filter(|_| !table.is_implicit()))
}

/// Returns the range of the lines of an item, from the comment directly above it. `prefix` is what precedes it.
fn lines(text: &str, prefix: Option<&RawString>, span: Option<Range<usize>>) -> Option<Range<usize>> {
    let Range { start, end } = span?;
    let mut first = text[..start].rfind('\n').map_or(0, |end| end + 1);
    if let Some(prefix) = prefix.and_then(RawString::span) {
        first = prefix.start;
        let mut reached = prefix.start;
        for line in text[prefix].split_inclusive('\n') {
            reached += line.len();
            if line.ends_with('\n') && line.trim().is_empty() {
                first = reached;
            }
        }
    }
    Some(first..end_of_line(text, end))
}

/// Returns the end of the line with this position, after its line break.
fn end_of_line(text: &str, position: usize) -> usize {
    text[position..].find('\n').map_or(text.len(), |length| position + length + 1)
}

/// Removes ranges of whole lines from a text, and the blank lines that would then follow another one or end the text.
fn cut(text: &str, mut ranges: Vec<Range<usize>>) -> String {
    sort_by_key(&mut ranges, |range| range.start);
    let mut kept = text.to_owned();
    for Range { start, end } in ranges.into_iter().rev() {
        let (mut before, mut after) = (&text[..start], &kept[end..]);
        if before.is_empty() || before.ends_with("\n\n") || before.ends_with("\n\r\n") {
            after = after.trim_start_matches(['\r', '\n']);
        }
        if after.is_empty() {
            before = match before.trim_end_matches(['\r', '\n']).len() {
                0 => "",
                last => &before[..end_of_line(before, last)],
            };
        }
        kept = [before, after].concat();
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn removes_a_setting_with_its_own_comments_only() {
        for (text, name, expected) in [
            ("# mine\n\nA = 3\n[keep]\ndays = 4\n", "A", "# mine\n\n[keep]\ndays = 4\n"),
            ("# mine\n\nA = 3\n", "A", "# mine\n"),
            ("# of A\nA = 3 # days\nB = 1\n", "A", "B = 1\n"),
            ("A = 3", "A", ""),
            ("\n\nA = 3\n\n", "A", ""),
            ("A = 1\n\n# of B\nB = [\n  1, # one\n]\n\nC = 3\n", "B", "A = 1\n\nC = 3\n"),
            ("A = \"\"\"\n# text\"\"\"\nB = 1\n", "B", "A = \"\"\"\n# text\"\"\"\n"),
            ("# mine\r\n\r\nA = 3\r\n\r\nB = 1\r\n", "A", "# mine\r\n\r\nB = 1\r\n"),
            ("A = 3\n# the end\n", "A", "# the end\n"),
            ("A = 3\n", "B", "A = 3\n"),
        ] {
            assert_eq!(without(text, name).unwrap(), expected, "{text:?}");
        }
    }

    #[test]
    fn removes_the_header_of_an_empty_table_unless_it_has_a_comment() {
        for (text, expected) in [
            ("A = 1\n\n[keep]\n# a week\ndays = 7\n\n[w]\nb = 1\n", "A = 1\n\n[w]\nb = 1\n"),
            ("# mine\n\n[keep]\ndays = 7\n", "# mine\n"),
            ("A = 1\n\n# section\n[keep]\ndays = 7\n", "A = 1\n\n# section\n[keep]\n"),
            ("[keep] # section\ndays = 7\n", "[keep] # section\n"),
            ("[keep]\n# section\n\ndays = 7\n", "[keep]\n# section\n"),
            ("[keep]\ndays = 7\n# processes = 5\n", "# processes = 5\n"),
            (
                "[keep]\n# of days\ndays = 7\n# of processes\nprocesses = 5\n",
                "[keep]\n# of processes\nprocesses = 5\n",
            ),
            ("# mine\n\n# of days\nkeep.days = 7\nkeep.processes = 5\n", "# mine\n\nkeep.processes = 5\n"),
            ("# mine\n\nkeep = { days = 7 }\n", "# mine\n"),
            ("# mine\nkeep = { days = 7, processes = 5 }\n", "# mine\nkeep = { processes = 5 }\n"),
            ("# mine\n\n'keep.days' = 7\n", "# mine\n"),
            ("keep = 1\n", "keep = 1\n"),
        ] {
            assert_eq!(without(text, "keep.days").unwrap(), expected, "{text:?}");
        }
    }

    #[test]
    fn removes_a_table_of_values_wherever_its_parts_are() {
        let text =
            "# mine\n\n# of MAP\n[MAP]\na = 1\n\n[keep]\ndays = 7\n\n# of b\n[MAP.b]\nc = 2\n# the end\n";
        assert_eq!(without(text, "MAP").unwrap(), "# mine\n\n[keep]\ndays = 7\n\n# the end\n");
        let text = "# mine\n\n[[LIST]]\na = 1\n\n[keep]\ndays = 7\n\n[[LIST]]\na = 2\n";
        assert_eq!(without(text, "LIST").unwrap(), "# mine\n\n[keep]\ndays = 7\n");
    }
}
