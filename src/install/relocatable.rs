//! The digest of a file that does not depend on where LIB_DIR is.
//!
//! Launchers such as those of a venv name the folder that they were installed into. With `{LIB_DIR}` in its place, the same
//! launcher has the same digest in every data dir. A file that names no LIB_DIR, or lies elsewhere, has the digest that
//! `sha256sum` prints.

use std::io::{self, Read};
use std::path::Path;

use memchr::memmem::Finder;
use sha2::{Digest, Sha256};

use crate::fs::digest;
use crate::fs::digest::hex;

/// What stands in LIB_DIR's place.
const PLACEHOLDER: &[u8] = b"{LIB_DIR}/";

/// Hex SHA-256 of a file, every `LIB_DIR/` that a path in it begins with read as `{LIB_DIR}/` where the file lies below
/// LIB_DIR.
pub fn sha256(file: &Path, lib_dir: &Path) -> io::Result<String> {
    // Installers may write down the folder as they were given it, or what it is behind links.
    let real = lib_dir.canonicalize().unwrap_or_else(|_| lib_dir.to_owned());
    if ![lib_dir, &real].iter().any(|folder| file.starts_with(folder)) {
        return digest::sha256(file);
    }
    let spelled = |folder: &Path| [folder.as_os_str().as_encoded_bytes(), b"/"].concat();
    let mut folders = vec![spelled(lib_dir), spelled(&real)];
    folders.dedup();
    digest(fs_err::File::open(file)?, &folders, 256 << 10)
}

/// Reads so many bytes at once.
fn digest(mut file: impl Read, folders: &[Vec<u8>], at_once: usize) -> io::Result<String> {
    let finders: Vec<Finder<'_>> = folders.iter().map(|it| Finder::new(it.as_slice())).collect();
    // The beginning of a folder may be the end of what was read.
    let longest = folders.iter().map(Vec::len).max().unwrap_or_default();
    let mut digest = Sha256::new();
    // The last byte of all that was digested, slashes left out.
    let mut before = None;
    let mut unread = Vec::new();
    let mut chunk = vec![0; at_once];
    loop {
        let count = file.read(&mut chunk)?;
        unread.extend_from_slice(&chunk[..count]);
        let mut done = 0;
        // Where each folder comes next: looked for anew only once that is passed.
        let mut ahead: Vec<Option<usize>> = finders.iter().map(|it| it.find(&unread)).collect();
        loop {
            let places = ahead.iter().zip(&finders).filter_map(|(at, it)| Some(((*at)?, it.needle().len())));
            let first = places.min_by_key(|&(at, length)| (at, usize::MAX - length));
            // A longer folder may begin there, and be cut.
            let Some((at, length)) = first.filter(|(at, _)| count == 0 || unread.len() - at >= longest)
            else {
                break;
            };
            let passed = if last_name(&unread[..at]).or(before).is_some_and(ends_name) {
                at + 1
            } else {
                digest.update(&unread[done..at]);
                digest.update(PLACEHOLDER);
                done = at + length;
                done
            };
            for (next, finder) in
                ahead.iter_mut().zip(&finders).filter(|(it, _)| it.is_some_and(|it| it < passed))
            {
                *next = finder.find(&unread[passed..]).map(|it| it + passed);
            }
        }
        let rest = &unread[done..];
        let kept = if count == 0 { 0 } else { longest.min(rest.len()) };
        let (settled, open) = rest.split_at(rest.len() - kept);
        digest.update(settled);
        before = last_name(&unread[..unread.len() - kept]).or(before);
        unread = open.to_vec();
        if count == 0 {
            return Ok(hex(&digest.finalize()));
        }
    }
}

/// The last byte that is no slash.
fn last_name(bytes: &[u8]) -> Option<u8> {
    bytes.iter().copied().rfind(|byte| *byte != b'/')
}

/// Whether a path goes on behind this byte: it ends a name, or what stands for one, as in `${X}/lib`. Others may stand in a
/// name, too, but are what a path begins behind: `${X:-/lib}`, `A=/lib`, `"/lib"`.
const fn ends_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || !byte.is_ascii()
        || matches!(byte, b'_' | b'.' | b'~' | b'+' | b')' | b']' | b'}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(bytes: &[u8]) -> String {
        hex(&Sha256::digest(bytes))
    }

    #[test]
    fn a_launcher_has_one_digest_in_every_lib_dir() {
        let folder = tempfile::tempdir().unwrap();
        let digests = ["one", "a/longer/one"].map(|name| {
            let lib_dir = folder.path().join(name);
            let file = lib_dir.join("pip/x/bin/x");
            fs_err::create_dir_all(file.parent().unwrap()).unwrap();
            fs_err::write(&file, format!("#!{}/pip/x/bin/python\nmain()\n", lib_dir.display())).unwrap();
            sha256(&file, &lib_dir).unwrap()
        });
        assert_eq!(digests, [plain(b"#!{LIB_DIR}/pip/x/bin/python\nmain()\n"), digests[0].clone()]);
    }

    #[test]
    fn a_file_elsewhere_is_digested_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let text = format!("exec {}/lib/x", folder.path().display());
        let file = folder.path().join("x");
        fs_err::write(&file, &text).unwrap();
        assert_eq!(sha256(&file, &folder.path().join("lib")).unwrap(), plain(text.as_bytes()));
    }

    #[test]
    fn a_lib_dir_behind_a_link_counts_under_both_names() {
        let folder = tempfile::tempdir().unwrap();
        let real = folder.path().canonicalize().unwrap().join("real");
        fs_err::create_dir(&real).unwrap();
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&real, &link).unwrap();
        fs_err::write(real.join("x"), format!("{}/a {}/b", link.display(), real.display())).unwrap();
        assert_eq!(sha256(&link.join("x"), &link).unwrap(), plain(b"{LIB_DIR}/a {LIB_DIR}/b"));
    }

    #[test]
    fn only_a_whole_folder_is_replaced() {
        for (text, read_as) in [
            ("/lib /lib2/x /lib/x", "/lib /lib2/x {LIB_DIR}/x"),
            ("/usr/lib/x ../lib/x ~/lib/x \u{fc}/lib/x", "/usr/lib/x ../lib/x ~/lib/x \u{fc}/lib/x"),
            ("${X}/lib/x $(x)/lib/x", "${X}/lib/x $(x)/lib/x"),
            ("/usr//lib/x ///lib/x", "/usr//lib/x //{LIB_DIR}/x"),
            ("#!/lib/x A=/lib/x:/lib/y", "#!{LIB_DIR}/x A={LIB_DIR}/x:{LIB_DIR}/y"),
            ("\"/lib/x\" file:///lib/x", "\"{LIB_DIR}/x\" file://{LIB_DIR}/x"),
            ("${X:-/lib/x} /lib/lib/x", "${X:-{LIB_DIR}/x} {LIB_DIR}/lib/x"),
        ] {
            for at_once in 1..=text.len() {
                let found = digest(text.as_bytes(), &[b"/lib/".to_vec()], at_once).unwrap();
                assert_eq!(found, plain(read_as.as_bytes()), "{text}, {at_once} at once");
            }
        }
    }

    proptest::proptest! {
        #[test]
        fn the_digest_is_the_same_whatever_the_size_of_the_reads(
            text in "(/ab/|/ab/a/|[ab/ ]){0,40}", at_once in 1_usize..20,
        ) {
            let folders = [b"/ab/".to_vec(), b"/ab/a/".to_vec()];
            // The longer one first, as the leftmost match takes the longest.
            let mut replaced = String::new();
            let mut rest = text.as_str();
            while let Some(next) = rest.chars().next() {
                let before = text[..text.len() - rest.len()].trim_end_matches('/').chars().last();
                let begins = |it: &&str| rest.starts_with(it) && before.is_none_or(|it| it == ' ');
                let length = ["/ab/a/", "/ab/"].into_iter().find(begins).map(str::len);
                replaced.push_str(&length.map_or_else(|| next.to_string(), |_| "{LIB_DIR}/".to_owned()));
                rest = &rest[length.unwrap_or(next.len_utf8())..];
            }
            proptest::prop_assert_eq!(digest(text.as_bytes(), &folders, at_once).unwrap(), plain(replaced.as_bytes()));
        }
    }
}
