//! Finding the version of a program in its output.

use crate::model::version::{PRERELEASE_WORDS, all_digits};

/// The words before a number that mark it as the version of the program.
const MARKS: [&str; 3] = ["version", "v", "distrib"];

/// The words of a line that is about another version, such as an update. In such a line, only the program's own name
/// marks a version.
const NOTICES: [&str; 5] = ["available", "latest", "newer", "update", "upgrade"];

/// The words before a number that is never the version of the program.
const OTHERS: [&str; 9] = ["at", "available", "latest", "newer", "on", "update", "upgrade", "to", "than"];

/// The words between an update and its version, in either order: "a new release of x is available: 2.0".
const FILLERS: [&str; 16] = [
    "", "a", "an", "are", "been", "has", "is", "new", "now", "of", "release", "the", "v", "version", "was",
    "will",
];

/// The words after a version that make it that of an update: "2.0 has been released". All but the first follow a filler.
const RELEASED: [&str; 3] = ["available", "out", "released"];

/// The signs between the version of the program and that of an update.
const ARROWS: [&str; 5] = ["->", "=>", "-->", "\u{2192}", "\u{279c}"];

/// The words after which a line, or the rest of the parentheses, is about another program, a license or a variable:
/// `built with gcc 12.2.0`, `Picked up JAVA_TOOL_OPTIONS: -Dx=1.2`.
const OTHER_TOPICS: [&str; 10] =
    ["built", "compiled", "license", "licensed", "linked", "picked", "requires", "under", "using", "with"];

/// Numbers that are addresses.
const ADDRESSES: [&str; 2] = ["127.0.0.1", "0.0.0.0"];

/// Returns the version of a program in its output, or `None` if there is none. `names` are the names of the program.
///
/// A number with a dot is a version. Without one, a number counts only if it is marked or alone in its line. A line that
/// contains a name of the program wins over one that does not, and then the first line wins. In a line, a number after a
/// name, "version", "v" or "Distrib" wins over any other, one outside parentheses over one inside, and one after a name
/// over one in it. If a name and "version" are followed by "unknown" or by another word with a digit, such as a commit,
/// there is none.
pub(crate) fn find_version<'a>(output: &'a str, names: &[&str]) -> Option<&'a str> {
    let names: Vec<String> =
        names.iter().flat_map(|name| [*name, stem(name)]).map(str::to_lowercase).collect();
    if output.lines().any(|line| has_other_version(line, &names)) {
        return None;
    }
    // Markup, such as `<?xml version="1.0"?>`, has versions of its own.
    let lines = output.lines().enumerate().filter(|(_, line)| !line.starts_with('<'));
    let numbers = lines.flat_map(|(index, line)| numbers(line, index, &names));
    // `min_by_key` returns the first of several.
    numbers.min_by_key(|(rank, _)| *rank).map(|(_, text)| text)
}

/// Returns whether the version in a line is not a number: `ffmpeg version N-109468-gd39b34123d`, `/bin/x version [unknown]`.
fn has_other_version(line: &str, names: &[String]) -> bool {
    let words: Vec<&str> = line.split_whitespace().collect();
    words.windows(3).any(|words| {
        let name = bare(words[0].rsplit('/').next().unwrap_or_default()).to_lowercase();
        names.contains(&name)
            && bare(words[1]).eq_ignore_ascii_case("version")
            && number_in(words[2]).is_none()
            && (words[2].contains(|c: char| c.is_ascii_digit()) || bare(words[2]) == "unknown")
    })
}

/// Returns the name without the version at its end: `python` for `python3.11`.
fn stem(name: &str) -> &str {
    let stem = name.trim_end_matches(|c: char| c.is_ascii_digit() || matches!(c, '.' | '-' | '_'));
    if stem.is_empty() { name } else { stem }
}

/// The order of numbers: the lowest is the version. Whether the number is whole, in a line about another version, and in
/// a line without the program's name; the number of the line; whether it is unmarked, in parentheses, and in a name.
type Rank = ([bool; 3], usize, [bool; 3]);

/// Returns the numbers of a line that may be the version.
fn numbers<'a>(line: &'a str, line_number: usize, names: &[String]) -> Vec<(Rank, &'a str)> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let lower: Vec<String> = words.iter().map(|word| bare(word).to_lowercase()).collect();
    let is_notice = lower.iter().any(|word| NOTICES.contains(&word.as_str()));
    let is_named = names.iter().any(|name| contains_word(&line.to_lowercase(), name));
    let mut found = Vec::new();
    // The depth of parentheses, and the index of the last word outside of them.
    let (mut depth, mut outer) = (0_usize, None);
    // The depth of the first word about another topic.
    let mut other_depth = None;
    for (index, word) in words.iter().enumerate() {
        // As in "not GNU sed version 4.0".
        if lower[index] == "not" {
            break;
        }
        let opened = depth + word.matches(['(', '[']).count();
        let is_in_parentheses = depth > 0 || word.starts_with(['(', '[']);
        let before = if is_in_parentheses && depth > 0 { index.checked_sub(1) } else { outer };
        // As in "you are using x 1.0".
        let is_used = index.checked_sub(1).is_some_and(|before| lower[before] == "are");
        if OTHER_TOPICS.contains(&lower[index].as_str()) && !is_used {
            other_depth = other_depth.or(Some(opened));
        }
        if let Some((prefix, text)) = number_in(word).filter(|_| other_depth.is_none()) {
            let prefix = bare(prefix).to_lowercase();
            let label = match before {
                Some(before) if prefix.is_empty() => lower[before].as_str(),
                _ => prefix.as_str(),
            };
            let is_name = names.iter().any(|name| name == label);
            let is_marked = is_name || !is_notice && MARKS.contains(&label);
            let next = lower.get(index + 1).map_or("", String::as_str);
            // As in "x3.1 6.4.1" and "x-3.0 version 2.42".
            let is_in_name = names.contains(&lower[index]) || is_name && next == "version";
            // As in "version 3 or later" and "version 2.1 of the License, or".
            let is_of_license = next == "or" || next == "of" && lower.iter().any(|word| word == "license");
            let is_whole = all_digits(text);
            let is_updated = words.get(index + 1).is_some_and(|next| ARROWS.contains(next));
            // As in "to update, run: npm install npm@2.0".
            let is_package = is_notice && word[..word.find(text).unwrap_or_default()].ends_with('@');
            let is_other = !is_updated
                && (OTHERS.contains(&label) || is_package || is_of_update(&words, &lower, index, names))
                || is_of_license
                || ADDRESSES.contains(&text);
            if !is_other && (!is_whole || is_marked || words.len() == 1) {
                let of_line = [is_whole, is_notice && !is_name, !is_named];
                let rank = (of_line, line_number, [!is_marked, is_in_parentheses, is_in_name]);
                found.push((rank, text));
            }
        }
        depth = opened.saturating_sub(word.matches([')', ']']).count());
        other_depth = other_depth.filter(|other_depth| depth >= *other_depth);
        if !is_in_parentheses {
            outer = Some(index);
        }
    }
    found
}

/// Returns whether the number at `index` is the version of an update: after an arrow, or only fillers and names are
/// between it and a word such as "available".
fn is_of_update(words: &[&str], lower: &[String], index: usize, names: &[String]) -> bool {
    let is_filler = |word: &&String| FILLERS.contains(&word.as_str()) || names.contains(word);
    let is_after_arrow = index.checked_sub(1).is_some_and(|before| ARROWS.contains(&words[before]));
    let before = lower[..index].iter().rev().find(|word| !is_filler(word));
    let fillers = lower[index + 1..].iter().take_while(is_filler).count();
    let is_released = |word: &String| word == RELEASED[0] || fillers > 0 && RELEASED.contains(&word.as_str());
    // The next words are not about a number that ends its clause.
    let is_at_end = words[index].ends_with([',', ';', ')', ']']);
    is_after_arrow
        || before.is_some_and(|word| NOTICES.contains(&word.as_str()))
        || !is_at_end && lower.get(index + 1 + fillers).is_some_and(is_released)
}

/// Returns a word without the punctuation around it.
fn bare(word: &str) -> &str {
    word.trim_matches(|c: char| c.is_ascii_punctuation() && c != '+')
}

/// Returns whether a text contains a word: `jq-1.6` contains `jq`, but `jq-tool` does not.
fn contains_word(text: &str, word: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(word).any(|(at, _)| {
        let after = &text[at + word.len()..];
        let after =
            after.strip_prefix('-').filter(|after| after.starts_with(char::is_alphabetic)).unwrap_or(after);
        !text[..at].ends_with(is_part) && !after.starts_with(is_part)
    })
}

/// Returns the number in a word and the text before it: `v` and `5.36.0` for `(v5.36.0)`. A path or a URL has none.
fn number_in(word: &str) -> Option<(&str, &str)> {
    if word.starts_with(['/', '~', '.', '<', '>']) || word.contains("://") {
        return None;
    }
    // A number after a slash is a version only if the name is before the slash: `nginx/1.22.1`, not `lib/py3.11`.
    let name_end = word.rfind('/').map_or(0, |slash| slash + 1);
    let (name, last) = word.split_at(name_end);
    let (start, text) = dotted_number(last).or_else(|| whole_number(last))?;
    if !name.is_empty() && !matches!(&last[..start], "" | "v") {
        return None;
    }
    let prefix = if name.is_empty() { &word[..start] } else { name };
    Some((prefix, text))
}

/// Returns the position and the text of the dotted number in a word, with its suffix: `5.1.6-0+deb12u1` in
/// `(5.1.6-0+deb12u1),`, and `None` for `foo.bar` or `12.`. A suffix that is a word, such as `-MariaDB`, is left out.
fn dotted_number(word: &str) -> Option<(usize, &str)> {
    const PUNCTUATION: [char; 5] = ['.', '-', '+', '~', '_'];
    let bytes = word.as_bytes();
    let is_dotted = |part: &[u8]| part[0].is_ascii_digit() && part[1] == b'.' && part[2].is_ascii_digit();
    let before_dot = bytes.windows(3).position(is_dotted)?;
    let start =
        bytes[..before_dot].iter().rposition(|byte| !byte.is_ascii_digit()).map_or(0, |last| last + 1);
    let tail = &word[start..];
    let end = tail.find(|c: char| !c.is_ascii_alphanumeric() && !PUNCTUATION.contains(&c));
    let text = &tail[..end.unwrap_or(tail.len())];
    let is_name = |suffix: &str| {
        let word = suffix.split(PUNCTUATION).next().unwrap_or_default();
        let is_word = word.chars().all(|c| c.is_ascii_alphabetic());
        is_word && !PRERELEASE_WORDS.contains(&word.to_ascii_lowercase().as_str())
    };
    let name_start = text.match_indices('-').find(|(at, _)| is_name(&text[at + 1..])).map(|(at, _)| at);
    Some((start, text[..name_start.unwrap_or(text.len())].trim_end_matches(PUNCTUATION)))
}

/// Returns the position and the text of a whole number that is the word, perhaps with a pre-release: `16beta2`.
fn whole_number(word: &str) -> Option<(usize, &str)> {
    let text = bare(word);
    let text = text.strip_prefix(['v', 'V']).unwrap_or(text);
    let (digits, suffix) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let pre = suffix.trim_end_matches(|c: char| c.is_ascii_digit());
    let is_prerelease = pre.len() > 1 && PRERELEASE_WORDS.contains(&pre.to_ascii_lowercase().as_str());
    let is_number = all_digits(digits) && (suffix.is_empty() || is_prerelease);
    is_number.then(|| (word.find(text).unwrap_or_default(), text))
}

#[cfg(test)]
mod tests;
