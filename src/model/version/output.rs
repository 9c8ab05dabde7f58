//! Finding the version of a program in its output.

use crate::model::version::{PRERELEASE_WORDS, all_digits};

/// The words before a number that mark it as the version of the program.
const MARKS: [&str; 3] = ["version", "v", "distrib"];

/// The words of a line that is about another version, such as an update. In such a line, only the program's own name
/// marks a version.
const NOTICES: [&str; 5] = ["available", "latest", "newer", "update", "upgrade"];

/// The words before a number that is never the version of the program.
const OTHERS: [&str; 7] = ["available", "latest", "newer", "update", "upgrade", "to", "than"];

/// Returns the version of a program in its output, or `None` if there is none. `names` are the names of the program.
///
/// A number with a dot is a version. Without one, a number counts only if it is marked or alone in its line. A line that
/// contains a name of the program wins over one that does not. In a line, a number after a name, "version", "v" or
/// "Distrib" wins over any other, and one outside parentheses over one inside.
pub(crate) fn find_version<'a>(output: &'a str, names: &[&str]) -> Option<&'a str> {
    let names: Vec<String> =
        names.iter().flat_map(|name| [*name, stem(name)]).map(str::to_lowercase).collect();
    let numbers = output.lines().flat_map(|line| numbers(line, &names));
    // `min_by_key` returns the first of several.
    numbers.min_by_key(|number| number.rank).map(|number| number.text)
}

/// Returns the name without the version at its end: `python` for `python3.11`.
fn stem(name: &str) -> &str {
    let stem = name.trim_end_matches(|c: char| c.is_ascii_digit() || matches!(c, '.' | '-' | '_'));
    if stem.is_empty() { name } else { stem }
}

/// A number that may be the version.
struct Number<'a> {
    text: &'a str,
    rank: Rank,
}

/// The order of numbers: the lowest is the version. Whether the number is whole, in a line about another version, in a
/// line without the program's name, unmarked, and in parentheses.
type Rank = [bool; 5];

/// Returns the numbers of a line.
fn numbers<'a>(line: &'a str, names: &[String]) -> Vec<Number<'a>> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let lower: Vec<String> = words.iter().map(|word| bare(word).to_lowercase()).collect();
    let is_notice = lower.iter().any(|word| NOTICES.contains(&word.as_str()));
    let is_named = names.iter().any(|name| contains_word(&line.to_lowercase(), name));
    let mut found = Vec::new();
    // The depth of parentheses, and the last word outside of them.
    let (mut depth, mut outer) = (0_usize, "");
    for (index, word) in words.iter().enumerate() {
        // As in "not GNU sed version 4.0".
        if lower[index] == "not" {
            break;
        }
        let opened = depth + word.matches(['(', '[']).count();
        let is_in_parentheses = depth > 0 || word.starts_with(['(', '[']);
        let before = if is_in_parentheses && depth > 0 || index == 0 {
            index.checked_sub(1).map_or("", |before| lower[before].as_str())
        } else {
            outer
        };
        if let Some((prefix, text)) = number_in(word) {
            let prefix = bare(prefix).to_lowercase();
            let label = if prefix.is_empty() { before } else { prefix.as_str() };
            let is_name = names.iter().any(|name| name == label);
            let is_marked = is_name || !is_notice && MARKS.contains(&label);
            let is_whole = all_digits(text);
            let is_alone = words.len() == 1;
            if !OTHERS.contains(&label) && (!is_whole || is_marked || is_alone) {
                let rank = [is_whole, is_notice && !is_name, !is_named, !is_marked, is_in_parentheses];
                found.push(Number { text, rank });
            }
        }
        depth = opened.saturating_sub(word.matches([')', ']']).count());
        if !is_in_parentheses {
            outer = &lower[index];
        }
    }
    found
}

/// Returns a word without the punctuation around it.
fn bare(word: &str) -> &str {
    word.trim_matches(|c: char| c.is_ascii_punctuation() && c != '+')
}

fn contains_word(text: &str, word: &str) -> bool {
    let continues = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
    text.match_indices(word).any(|(at, _)| {
        !continues(text[..at].chars().next_back()) && !continues(text[at + word.len()..].chars().next())
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

/// Returns the position and the text of a whole number that is the word.
fn whole_number(word: &str) -> Option<(usize, &str)> {
    let digits = bare(word);
    let digits = digits.strip_prefix(['v', 'V']).unwrap_or(digits);
    all_digits(digits).then(|| (word.find(digits).unwrap_or_default(), digits))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_version_in_the_output_of_real_programs() {
        for (name, output, version) in [
            ("wget", "GNU Wget 1.21.3 built on linux-gnu.", "1.21.3"),
            ("git", "git version 2.39.5 (Apple Git-154)", "2.39.5"),
            ("node", "v20.20.2\n", "20.20.2"),
            ("rg", "ripgrep 13.0.0\n-SIMD -AVX (compiled)", "13.0.0"),
            (
                "ffmpeg",
                "ffmpeg version 5.1.6-0+deb12u1 Copyright (c) 2000-2024\nbuilt with gcc 12 (Debian 12.2.0-14)",
                "5.1.6-0+deb12u1",
            ),
            ("chromium", "Chromium 156.0.8078.73 built on Debian 12.14", "156.0.8078.73"),
            ("yt-dlp", "2024.04.09", "2024.04.09"),
            ("jq", "jq-1.6", "1.6"),
            ("bash", "GNU bash, version 5.2.15(1)-release (x86_64-pc-linux-gnu)", "5.2.15"),
            ("less", "less 590 (GNU regular expressions)\nCopyright (C) 1984-2021  Mark Nudelman", "590"),
            (
                "mariadb",
                "mariadb  Ver 15.1 Distrib 10.11.19-MariaDB, for debian-linux-gnu (x86_64) using  EditLine wrapper",
                "10.11.19",
            ),
            ("mysql", "mysql  Ver 8.0.36 for Linux on x86_64 (MySQL Community Server - GPL)", "8.0.36"),
            ("x", "/opt/py3.11/x: warning: deprecated\nx 1.2.3", "1.2.3"),
            ("x", "lib/py3.11/x.py:7: warning\n1.2.3", "1.2.3"),
            ("x", "x (built 2024.01.02) version 3.4.5", "3.4.5"),
            ("x", "(built 2024.01.02) version 3.4.5", "3.4.5"),
            ("x", "update available 9.9.9 (current 1.0.0)", "1.0.0"),
            ("x", "update available 9.9.9 (current 1.0.0)\nx 1.0.1", "1.0.1"),
            ("x", "A newer version 9.9.9 is available\n1.0.0", "1.0.0"),
            ("x", "x 1.0.0 (latest: 9.9.9)", "1.0.0"),
            ("tmux", "tmux 3.3a", "3.3a"),
            ("ssh", "OpenSSH_9.2p1 Debian-2+deb12u3, OpenSSL 3.0.15 3 Sep 2024", "9.2p1"),
            ("ip", "ip utility, iproute2-6.1.0, libbpf 1.1.0", "6.1.0"),
            (
                "java",
                "openjdk version \"17.0.13\" 2024-10-15\nOpenJDK Runtime Environment (build 17.0.13+11-Debian-2deb12u1)",
                "17.0.13",
            ),
            (
                "java",
                "java version \"1.8.0_292\"\nJava(TM) SE Runtime Environment (build 1.8.0_292-b10)",
                "1.8.0_292",
            ),
            ("go", "go version go1.22.2 linux/amd64", "1.22.2"),
            ("openssl", "OpenSSL 3.0.15 3 Sep 2024 (Library: OpenSSL 3.0.15 3 Sep 2024)", "3.0.15"),
            (
                "perl",
                "\nThis is perl 5, version 36, subversion 0 (v5.36.0) built for x86_64-linux-gnu-thread-multi",
                "5.36.0",
            ),
            (
                "gcc",
                "gcc (Debian 12.2.0-14+deb12u1) 12.2.0\nCopyright (C) 2022 Free Software Foundation, Inc.",
                "12.2.0",
            ),
            ("ls", "ls (GNU coreutils) 9.1", "9.1"),
            ("as", "GNU assembler (GNU Binutils for Debian) 2.40", "2.40"),
            ("psql", "psql (PostgreSQL) 15.10 (Debian 15.10-0+deb12u1)", "15.10"),
            ("busybox", "BusyBox v1.35.0 (Debian 1:1.35.0-4+b3) multi-call binary.", "1.35.0"),
            ("python3", "Python 3.11.2", "3.11.2"),
            ("pip3", "pip 23.0.1 from /usr/lib/python3/dist-packages/pip (python 3.11)", "23.0.1"),
            ("curl", "curl 7.88.1 (x86_64-pc-linux-gnu) libcurl/7.88.1 OpenSSL/3.0.15 zlib/1.2.13", "7.88.1"),
            ("nginx", "nginx version: nginx/1.22.1", "1.22.1"),
            ("aws", "aws-cli/2.15.0 Python/3.11.6 Linux/6.5 exe/x86_64", "2.15.0"),
            ("rsync", "rsync  version 3.2.7  protocol version 31", "3.2.7"),
            ("kubectl", "Client Version: v1.28.2\nKustomize Version: v5.0.4", "1.28.2"),
            (
                "terraform",
                "Terraform v1.5.7\non linux_amd64\n\nYour version of Terraform is out of date! The latest version\nis 1.9.0.",
                "1.5.7",
            ),
            (
                "zip",
                "Copyright (c) 1990-2008 Info-ZIP - Type 'zip \"-L\"' for software license.\nThis is Zip 3.0 (July 5th 2008), by Info-ZIP.",
                "3.0",
            ),
            ("dpkg", "Debian 'dpkg' package management program version 1.21.22 (amd64).", "1.21.22"),
            ("systemctl", "systemd 252 (252.31-1~deb12u1)\n+PAM +AUDIT", "252.31-1~deb12u1"),
            ("udevadm", "252\n", "252"),
            (
                "convert",
                "Version: ImageMagick 6.9.11-60 Q16 x86_64 2021-01-25 https://imagemagick.org",
                "6.9.11-60",
            ),
            (
                "sqlite3",
                "3.40.1 2022-12-28 14:03:47 df5c253c0b3dd24916e4ec7cf77d3db5294cc9fd45ae7b9c5e82ad8197f38a24",
                "3.40.1",
            ),
            ("vim", "VIM - Vi IMproved 9.0 (2022 Jun 28, compiled Oct 15 2023 17:55:47)", "9.0"),
            ("tree", "tree v2.1.0 \u{a9} 1996 - 2022 by Steve Baker", "2.1.0"),
            ("hg", "Mercurial Distributed SCM (version 6.3.2)", "6.3.2"),
            ("x", "\u{1b}[1mx\u{1b}[0m \u{1b}[32m1.2.3\u{1b}[0m", "1.2.3"),
            ("x", "v7", "7"),
            ("x", "x 1.0.0-rc.1-linux", "1.0.0-rc.1"),
        ] {
            assert_eq!(find_version(output, &[name]), Some(version), "{output}");
        }
    }

    #[test]
    fn a_number_that_is_not_the_version_of_the_program_is_ignored() {
        for (name, output) in [
            ("sed", "This is not GNU sed version 4.0"),
            ("x", "no number here, see foo.bar or https://x.org/2.0"),
            ("x", "/opt/py3.11/x: unknown option"),
            ("x", "usage: x [--count 5]"),
            ("x", "update available: 9.9.9"),
            ("x", ""),
        ] {
            assert_eq!(find_version(output, &[name]), None, "{output}");
        }
    }

    #[test]
    fn each_name_of_the_program_marks_its_version() {
        let output = "lib 2.0 tool 1.5";
        assert_eq!(find_version(output, &["tool"]), Some("1.5"));
        assert_eq!(find_version(output, &["x", "tool"]), Some("1.5"));
        assert_eq!(find_version(output, &["x"]), Some("2.0"));
    }
}
