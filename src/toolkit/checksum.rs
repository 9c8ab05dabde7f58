//! Checksums of files, and the files that list them: `SHA256SUMS`, `NAME.sha256` and the like.

use std::io;
use std::path::Path;

use sha2::{Sha256, Sha384, Sha512};

use crate::fs::digest;

/// The algorithms that count, with the number of hexadecimal digits of their digests. MD5 and SHA-1 are broken.
const ALGORITHMS: [(ChecksumAlgorithm, usize); 3] =
    [(ChecksumAlgorithm::Sha256, 64), (ChecksumAlgorithm::Sha512, 128), (ChecksumAlgorithm::Sha384, 96)];

/// The starts of words in the names of lists with other algorithms, whose digests have the same lengths.
const OTHER_ALGORITHMS: [&str; 4] = ["b2", "b3", "blake", "sha3"];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ChecksumAlgorithm {
    Sha256,
    Sha384,
    Sha512,
}

/// The digest of a file, in lower-case hex.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checksum {
    algorithm: ChecksumAlgorithm,
    digest: String,
}

impl Checksum {
    /// Parses a digest, whose length tells the algorithm. `sha256:` may be in front.
    pub fn parse(text: &str) -> Option<Self> {
        let digest = text.to_ascii_lowercase();
        let digest = ["sha256:", "sha384:", "sha512:"]
            .iter()
            .find_map(|prefix| digest.strip_prefix(prefix))
            .unwrap_or(&digest);
        let is_hex = digest.bytes().all(|byte| byte.is_ascii_hexdigit());
        let (algorithm, _) = *ALGORITHMS.iter().find(|(_, length)| *length == digest.len() && is_hex)?;
        Some(Self { algorithm, digest: digest.to_owned() })
    }

    /// Whether this is a SHA-256 digest.
    pub(crate) fn is_sha256(&self) -> bool {
        self.algorithm == ChecksumAlgorithm::Sha256
    }

    /// Returns the digest.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// Returns the digest of a file by the algorithm of this one.
    pub(crate) fn of_file(&self, file: &Path) -> io::Result<String> {
        match self.algorithm {
            ChecksumAlgorithm::Sha256 => digest::of_file::<Sha256>(file),
            ChecksumAlgorithm::Sha384 => digest::of_file::<Sha384>(file),
            ChecksumAlgorithm::Sha512 => digest::of_file::<Sha512>(file),
        }
    }
}

/// A list names a file, or has its name and an ending, but has no checksum of it that can be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0} has no checksum of {1} that can be read")]
pub struct UnreadableChecksum(pub(crate) String, pub(crate) String);

/// Returns the checksum of the file `name` in a list with the name `list`, SHA-256 first, or `None` if the list does not
/// name the file, or has only digests of other algorithms. The only digest in a list counts if it names no file, or if the
/// list has the name of the file and an ending.
pub fn find(content: &[u8], list: &str, name: &str) -> Result<Option<Checksum>, UnreadableChecksum> {
    let is_other = |word: &str| OTHER_ALGORITHMS.iter().any(|other| word.starts_with(other));
    let lower = list.to_ascii_lowercase();
    let ending = lower.strip_prefix(&name.to_ascii_lowercase());
    if ending.unwrap_or(&lower).split(|c: char| !c.is_ascii_alphanumeric()).any(is_other) {
        return Ok(None);
    }
    let text = decode(content);
    let lines: Vec<(Checksum, &str)> = text.lines().filter_map(|line| checksum_in(line.trim())).collect();
    let files = |is_file: &dyn Fn(&str) -> bool| -> Vec<&Checksum> {
        lines.iter().filter(|(_, file)| is_file(file)).map(|(checksum, _)| checksum).collect()
    };
    let mut found = files(&|file| file.strip_prefix("./").unwrap_or(file) == name);
    if found.is_empty() {
        // The list may have been made in another folder.
        found = files(&|file| file.rsplit(['/', '\\']).next() == Some(name));
    }
    let is_sidecar = ending.is_some_and(|ending| !ending.is_empty());
    if let [(checksum, file)] = &lines[..]
        && (file.is_empty() || is_sidecar)
    {
        found.push(checksum);
    }
    let of = |(algorithm, _): &(ChecksumAlgorithm, usize)| {
        found.iter().find(|checksum| checksum.algorithm == *algorithm).map(|checksum| (*checksum).clone())
    };
    let best = ALGORITHMS.iter().find_map(of);
    let mut of_file =
        text.lines().filter(|line| is_sidecar || !line.starts_with('#') && names(line, name)).peekable();
    let is_expected = is_sidecar || of_file.peek().is_some();
    if best.is_none() && is_expected && !of_file.any(has_other_digest) {
        return Err(UnreadableChecksum(list.to_owned(), name.to_owned()));
    }
    Ok(best)
}

/// Whether a line contains the name of a file as a whole word, also after a folder.
fn names(line: &str, name: &str) -> bool {
    !name.is_empty()
        && line.match_indices(name).any(|(at, _)| {
            let (before, after) = (line[..at].chars().next_back(), line[at + name.len()..].chars().next());
            before.is_none_or(|c| c.is_whitespace() || "*(/\\\"'".contains(c))
                && after.is_none_or(|c| c.is_whitespace() || "):,\"'".contains(c))
        })
}

/// Whether a line has a digest that does not count: of MD5 or SHA-1, or one after the name of another algorithm.
fn has_other_digest(line: &str) -> bool {
    let is_hex = |word: &&str| word.len() >= 32 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
    let digest = line.split(|c: char| !c.is_ascii_alphanumeric()).find(is_hex);
    let is_named = || {
        line.split_once('(').is_some_and(|(start, _)| !start.trim().to_ascii_uppercase().starts_with("SHA2"))
    };
    digest.is_some_and(|digest| matches!(digest.len(), 32 | 40) || is_named() && line.contains('='))
}

/// Decodes a text, which programs of Windows write as UTF-16.
fn decode(content: &[u8]) -> String {
    let units = |from: fn([u8; 2]) -> u16| -> Vec<u16> {
        content[2..].as_chunks().0.iter().map(|pair| from(*pair)).collect()
    };
    match content {
        [0xff, 0xfe, ..] => String::from_utf16_lossy(&units(u16::from_le_bytes)),
        [0xfe, 0xff, ..] => String::from_utf16_lossy(&units(u16::from_be_bytes)),
        [0xef, 0xbb, 0xbf, rest @ ..] => String::from_utf8_lossy(rest).into_owned(),
        _ => String::from_utf8_lossy(content).into_owned(),
    }
}

/// Returns the digest in a line, and what remains of it: the name of the file.
fn checksum_in(line: &str) -> Option<(Checksum, &str)> {
    // `SHA256 (NAME) = DIGEST`, as BSD and OpenSSL write it
    if let Some((start, digest)) = line.rsplit_once('=')
        && let Some((algorithm, name)) =
            start.trim_end().strip_suffix(')').and_then(|start| start.split_once('('))
    {
        let algorithm = algorithm.trim().to_ascii_uppercase();
        let is_known =
            ["SHA256", "SHA384", "SHA512", "SHA2-256", "SHA2-384", "SHA2-512"].contains(&&*algorithm);
        return Some((Checksum::parse(digest.trim()).filter(|_| is_known)?, name));
    }
    // `DIGEST  NAME` and `DIGEST *NAME`; a backslash in front says that the name has escapes.
    let line = line.strip_prefix('\\').unwrap_or(line);
    let word = line.split_whitespace().find(|word| Checksum::parse(word).is_some())?;
    let (before, after) = line.split_once(word)?;
    let name = if before.is_empty() { after } else { before };
    // `NAME: DIGEST`, and the table of PowerShell: `SHA256 DIGEST PATH`
    let name = if before.trim().eq_ignore_ascii_case("sha256") { after } else { name };
    let name = name.trim().trim_end_matches(':');
    Some((Checksum::parse(word)?, name.strip_prefix('*').unwrap_or(name)))
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;

    const A: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    const B: &str = "ca7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    fn found(content: impl AsRef<[u8]>, list: &str) -> Option<String> {
        find(content.as_ref(), list, "x 1.gz").ok().flatten().map(|checksum| checksum.digest)
    }

    #[test]
    fn the_digest_of_a_file_is_found_however_it_is_written() {
        let upper = A.to_uppercase();
        for line in [
            format!("{A}  x 1.gz"),
            format!("{A} *x 1.gz\r"),
            format!("{A}  ./x 1.gz"),
            format!("{upper}\tdist\\x 1.gz"),
            format!("\\{A}  x 1.gz"),
            format!("sha256:{A}  x 1.gz"),
            format!("SHA256 (x 1.gz) = {A}"),
            format!("SHA2-256(out/x 1.gz)= {upper}"),
            format!("x 1.gz: {A}"),
            format!("SHA256  {upper}  C:\\out\\x 1.gz"),
        ] {
            let text = format!("# a list\n{B}  y.gz\n{line}\n{B}  x 1.gz.sig\n");
            assert_eq!(found(&text, "SHA256SUMS").as_deref(), Some(A), "{line}");
            let units = || std::iter::once('\u{feff}').chain(text.chars()).map(|c| c as u16);
            let little: Vec<u8> = units().flat_map(u16::to_le_bytes).collect();
            let big: Vec<u8> = units().flat_map(u16::to_be_bytes).collect();
            let marked = ["\u{feff}", &text].concat();
            for content in [little, big, marked.into_bytes()] {
                assert_eq!(found(content, "checksums.txt").as_deref(), Some(A), "{line}");
            }
        }
    }

    #[test]
    fn a_lone_digest_counts_and_one_with_another_name_in_a_sidecar() {
        assert_eq!(found(format!("{A}\n"), "x 1.gz.sha256").as_deref(), Some(A));
        assert_eq!(found(A, "download").as_deref(), Some(A));
        assert_eq!(found(format!("{A}  renamed.gz\n"), "x 1.gz.sha256").as_deref(), Some(A));
        assert_eq!(found(format!("{A}  y.gz\n"), "checksums.txt"), None);
    }

    #[test]
    fn a_list_that_names_the_file_without_a_digest_is_unreadable() {
        let of = |content: &str, list: &str| find(content.as_bytes(), list, "x 1.gz");
        for (content, list) in [
            (&*format!("{A}\n{B}\n"), "x 1.gz.sha256"),
            ("", "x 1.gz.sha256"),
            ("<html>not found</html>", "x 1.gz.sha256"),
            (&format!("{}  x 1.gz\n{B}  y.gz\n", &A[1..]), "SHA256SUMS"),
            (&format!("SHA256 (dist/x 1.gz) = broken\n{B}  y.gz\n"), "checksums.txt"),
        ] {
            let error = of(content, list).unwrap_err().to_string();
            assert_eq!(error, format!("{list} has no checksum of x 1.gz that can be read"), "{content}");
        }
        for content in [
            "",
            "<html>not found</html>",
            &format!("{B}  y.gz\n{B}  x 1.gz.sig\n"),
            "# checksums of x 1.gz\n",
            &format!("{}  x 1.gz\n", &A[..32]),
            &format!("SHA1 (x 1.gz) = {}", &A[..40]),
        ] {
            assert_eq!(of(content, "SHA256SUMS"), Ok(None), "{content}");
        }
    }

    #[test]
    fn only_digests_of_the_sha_2_family_count() {
        let long = [A, B].concat();
        let lines = format!("{}  x 1.gz\n{}  x 1.gz\n", &A[..32], &A[..40]);
        assert_eq!(found(&lines, "checksums.txt"), None);
        assert_eq!(found(format!("{lines}{long}  x 1.gz\n"), "checksums.txt").as_ref(), Some(&long));
        assert_eq!(found(format!("{long}  x 1.gz\n{A}  x 1.gz\n"), "checksums.txt").as_deref(), Some(A));
        assert_eq!(found(format!("BLAKE2b (x 1.gz) = {long}"), "checksums.txt"), None);
        for list in ["B2SUMS", "x 1.gz.blake3", "sha3-256.txt"] {
            assert_eq!(found(format!("{A}  x 1.gz"), list), None, "{list}");
        }
        assert_eq!(Checksum::parse(&"g".repeat(64)), None);
    }

    #[test]
    fn a_digest_of_each_algorithm_is_that_of_coreutils() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("x");
        fs_err::write(&file, "abc").unwrap();
        for (length, start) in [(64, "ba7816bf"), (96, "cb00753f"), (128, "ddaf35a1")] {
            let digest = Checksum::parse(&"0".repeat(length)).unwrap().of_file(&file).unwrap();
            assert!(digest.starts_with(start) && digest.len() == length, "{digest}");
        }
    }

    /// A line of a list: the number of hex digits, the file, and how the line is written.
    fn line((digits, digit, file, form): &(usize, char, &str, usize)) -> String {
        let digest = digit.to_string().repeat(*digits);
        match form {
            0 => format!("{digest}  {file}"),
            1 => format!("{digest} *./{file}"),
            2 => format!("SHA{} ({file}) = {digest}", digits * 4),
            _ => format!("# {file}"),
        }
    }

    proptest! {
        #[test]
        fn only_a_digest_in_a_line_of_the_file_counts(
            lines in vec((select(vec![63usize, 64, 96, 128]), select(vec!['0', 'a', 'F']), select(vec!["x", "y", "x.sig"]), 0usize..4), 2..8),
            is_utf16: bool,
        ) {
            let text = lines.iter().map(line).collect::<Vec<_>>().join("\r\n");
            let utf16 = || [0xff, 0xfe].into_iter().chain(text.encode_utf16().flat_map(u16::to_le_bytes)).collect();
            let content: Vec<u8> = if is_utf16 { utf16() } else { text.clone().into_bytes() };
            let of_x = |digits: usize| {
                let is_of_x = |line: &&(usize, char, &str, usize)| line.0 == digits && line.2 == "x" && line.3 < 3;
                lines.iter().find(is_of_x).map(|line| line.1.to_ascii_lowercase().to_string().repeat(digits))
            };
            let expected = of_x(64).or_else(|| of_x(128)).or_else(|| of_x(96));
            let is_unreadable = expected.is_none() && lines.iter().any(|line| line.2 == "x" && line.3 < 3);
            let found = find(&content, "SHA256SUMS", "x").map(|found| found.map(|checksum| checksum.digest));
            prop_assert_eq!(found.is_err(), is_unreadable, "{}", text);
            prop_assert_eq!(found.unwrap_or_default(), expected, "{}", text);
        }

        #[test]
        fn any_bytes_are_a_list_with_or_without_a_checksum(content in vec(any::<u8>(), 0..300), name in ".{0,8}") {
            if let Ok(Some(checksum)) = find(&content, "SHA256SUMS", &name) {
                prop_assert!(checksum.digest.bytes().all(|byte| byte.is_ascii_hexdigit()));
            }
        }
    }
}
