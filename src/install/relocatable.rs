//! A digest of a file that does not depend on the path of LIB_DIR.
//!
//! A launcher, such as that of a venv, contains the path of the folder that it was installed into. With `{LIB_DIR}` in
//! place of that path, the same launcher has the same digest in every data dir. A file that does not contain the path,
//! or is outside LIB_DIR, has the digest that `sha256sum` prints.

use std::io::{self, Read};
use std::path::Path;

use memchr::memmem::Finder;
use sha2::{Digest, Sha256};

use crate::fs::digest;
use crate::fs::digest::hex;

/// The text that replaces the path of LIB_DIR.
const PLACEHOLDER: &[u8] = b"{LIB_DIR}/";

/// Returns the hex SHA-256 of a file. In a file below LIB_DIR, a `LIB_DIR/` that starts a path is read as `{LIB_DIR}/`.
pub(crate) fn sha256(file: &Path, lib_dir: &Path) -> io::Result<String> {
    // Installers may write the path as given to them, or with its links resolved.
    let real = lib_dir.canonicalize().unwrap_or_else(|_| lib_dir.to_owned());
    if ![lib_dir, &real].iter().any(|folder| file.starts_with(folder)) {
        return digest::sha256(file);
    }
    let mut folders =
        [lib_dir, &real].map(|folder| [folder.as_os_str().as_encoded_bytes(), b"/"].concat()).to_vec();
    folders.dedup();
    digest(fs_err::File::open(file)?, &folders, 256 << 10)
}

/// Digests a file in chunks of `chunk_size` bytes.
fn digest(mut file: impl Read, folders: &[Vec<u8>], chunk_size: usize) -> io::Result<String> {
    let finders: Vec<Finder<'_>> = folders.iter().map(|folder| Finder::new(folder.as_slice())).collect();
    // A chunk may end within the path of a folder.
    let longest = folders.iter().map(Vec::len).max().unwrap_or_default();
    let mut digest = Sha256::new();
    // The last byte before `unread` that is not a slash.
    let mut last_byte = None;
    let mut unread = Vec::new();
    let mut chunk = vec![0; chunk_size];
    loop {
        let count = file.read(&mut chunk)?;
        unread.extend_from_slice(&chunk[..count]);
        let mut done = 0;
        // The next position of each folder, which is searched for again only after it was passed.
        let mut positions: Vec<Option<usize>> = finders.iter().map(|finder| finder.find(&unread)).collect();
        loop {
            let found = positions
                .iter()
                .zip(&finders)
                .filter_map(|(position, finder)| Some(((*position)?, finder.needle().len())));
            let first = found.min_by_key(|&(at, length)| (at, usize::MAX - length));
            // A longer folder may start at the same position, and be truncated.
            let Some((at, length)) = first.filter(|(at, _)| count == 0 || unread.len() - at >= longest)
            else {
                break;
            };
            let passed = if last_byte_of_name(&unread[..at]).or(last_byte).is_some_and(ends_name) {
                at + 1
            } else {
                digest.update(&unread[done..at]);
                digest.update(PLACEHOLDER);
                done = at + length;
                done
            };
            for (position, finder) in positions.iter_mut().zip(&finders) {
                if position.is_some_and(|position| position < passed) {
                    *position = finder.find(&unread[passed..]).map(|position| position + passed);
                }
            }
        }
        let rest = &unread[done..];
        let kept = if count == 0 { 0 } else { longest.min(rest.len()) };
        let (complete, incomplete) = rest.split_at(rest.len() - kept);
        digest.update(complete);
        last_byte = last_byte_of_name(&unread[..unread.len() - kept]).or(last_byte);
        unread = incomplete.to_vec();
        if count == 0 {
            return Ok(hex(&digest.finalize()));
        }
    }
}

/// Returns the last byte that is not a slash.
fn last_byte_of_name(bytes: &[u8]) -> Option<u8> {
    bytes.iter().copied().rfind(|byte| *byte != b'/')
}

/// Returns whether a path continues after this byte, because it ends a name or an expansion, as in `${X}/lib`. Other
/// bytes may occur in a name too, but usually precede the start of a path: `${X:-/lib}`, `A=/lib`, `"/lib"`.
pub(crate) const fn ends_name(byte: u8) -> bool {
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
    fn a_launcher_has_the_same_digest_in_every_lib_dir() {
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
    fn the_path_is_not_replaced_in_a_file_outside_lib_dir() {
        let folder = tempfile::tempdir().unwrap();
        let text = format!("exec {}/lib/x", folder.path().display());
        let file = folder.path().join("x");
        fs_err::write(&file, &text).unwrap();
        assert_eq!(sha256(&file, &folder.path().join("lib")).unwrap(), plain(text.as_bytes()));
    }

    #[test]
    fn both_paths_of_a_linked_lib_dir_are_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let real = folder.path().canonicalize().unwrap().join("real");
        fs_err::create_dir(&real).unwrap();
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&real, &link).unwrap();
        fs_err::write(real.join("x"), format!("{}/a {}/b", link.display(), real.display())).unwrap();
        assert_eq!(sha256(&link.join("x"), &link).unwrap(), plain(b"{LIB_DIR}/a {LIB_DIR}/b"));
    }

    #[test]
    fn only_the_start_of_a_path_is_replaced() {
        for (text, read_as) in [
            ("/lib /lib2/x /lib/x", "/lib /lib2/x {LIB_DIR}/x"),
            ("/usr/lib/x ../lib/x ~/lib/x \u{fc}/lib/x", "/usr/lib/x ../lib/x ~/lib/x \u{fc}/lib/x"),
            ("${X}/lib/x $(x)/lib/x", "${X}/lib/x $(x)/lib/x"),
            ("/usr//lib/x ///lib/x", "/usr//lib/x //{LIB_DIR}/x"),
            ("#!/lib/x A=/lib/x:/lib/y", "#!{LIB_DIR}/x A={LIB_DIR}/x:{LIB_DIR}/y"),
            ("\"/lib/x\" file:///lib/x", "\"{LIB_DIR}/x\" file://{LIB_DIR}/x"),
            ("${X:-/lib/x} /lib/lib/x", "${X:-{LIB_DIR}/x} {LIB_DIR}/lib/x"),
        ] {
            for chunk_size in 1..=text.len() {
                let found = digest(text.as_bytes(), &[b"/lib/".to_vec()], chunk_size).unwrap();
                assert_eq!(found, plain(read_as.as_bytes()), "{text}, in chunks of {chunk_size}");
            }
        }
    }

    proptest::proptest! {
        #[test]
        fn the_digest_does_not_depend_on_the_chunk_size(
            text in "(/ab/|/ab/a/|[ab/ ]){0,40}", chunk_size in 1_usize..20,
        ) {
            let folders = [b"/ab/".to_vec(), b"/ab/a/".to_vec()];
            // The longest of the leftmost matches is replaced.
            let mut replaced = String::new();
            let mut rest = text.as_str();
            while let Some(next) = rest.chars().next() {
                let before = text[..text.len() - rest.len()].trim_end_matches('/').chars().last();
                let starts = |folder: &&str| rest.starts_with(folder) && before.is_none_or(|byte| byte == ' ');
                let length = ["/ab/a/", "/ab/"].into_iter().find(starts).map(str::len);
                replaced.push_str(&length.map_or_else(|| next.to_string(), |_| "{LIB_DIR}/".to_owned()));
                rest = &rest[length.unwrap_or(next.len_utf8())..];
            }
            proptest::prop_assert_eq!(digest(text.as_bytes(), &folders, chunk_size).unwrap(), plain(replaced.as_bytes()));
        }
    }
}
