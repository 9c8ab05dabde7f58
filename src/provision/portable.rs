//! The digest of a file that does not depend on where LIB_DIR is.
//!
//! Launchers such as those of a venv name the folder that they were installed into. With `{LIB_DIR}` in its place, the same
//! launcher has the same digest in every data dir. A file that names no LIB_DIR, or lies elsewhere, has the digest that
//! `sha256sum` prints.

use std::io::{self, Read};
use std::path::Path;

use memchr::memmem::Finder;
use sha2::{Digest, Sha256};

use crate::provision::probe;

/// What stands in LIB_DIR's place.
const PLACEHOLDER: &[u8] = b"{LIB_DIR}/";

/// Hex SHA-256 of a file, every `LIB_DIR/` in it read as `{LIB_DIR}/` where the file lies below LIB_DIR.
pub fn sha256(file: &Path, lib_dir: &Path) -> io::Result<String> {
    // Installers may write down the folder as they were given it, or what it is behind links.
    let real = lib_dir.canonicalize().unwrap_or_else(|_| lib_dir.to_owned());
    if ![lib_dir, &real].iter().any(|folder| file.starts_with(folder)) {
        return probe::sha256(file);
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
            digest.update(&unread[done..at]);
            digest.update(PLACEHOLDER);
            done = at + length;
            for (next, finder) in
                ahead.iter_mut().zip(&finders).filter(|(it, _)| it.is_some_and(|it| it < done))
            {
                *next = finder.find(&unread[done..]).map(|it| it + done);
            }
        }
        let rest = &unread[done..];
        let kept = if count == 0 { 0 } else { longest.min(rest.len()) };
        let (settled, open) = rest.split_at(rest.len() - kept);
        digest.update(settled);
        unread = open.to_vec();
        if count == 0 {
            return Ok(probe::hex(&digest.finalize()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(bytes: &[u8]) -> String {
        probe::hex(&Sha256::digest(bytes))
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
        let all = digest(&b"/lib /lib2/x /lib/x"[..], &[b"/lib/".to_vec()], 4).unwrap();
        assert_eq!(all, plain(b"/lib /lib2/x {LIB_DIR}/x"));
    }

    proptest::proptest! {
        #[test]
        fn the_digest_is_the_same_whatever_the_size_of_the_reads(
            text in "(/ab/|/ab/a/|[ab/]){0,40}", at_once in 1_usize..20,
        ) {
            let folders = [b"/ab/".to_vec(), b"/ab/a/".to_vec()];
            // The longer one first, as the leftmost match takes the longest.
            let mut replaced = String::new();
            let mut rest = text.as_str();
            while let Some(next) = rest.chars().next() {
                let length = ["/ab/a/", "/ab/"].into_iter().find(|it| rest.starts_with(it)).map(str::len);
                replaced.push_str(&length.map_or_else(|| next.to_string(), |_| "{LIB_DIR}/".to_owned()));
                rest = &rest[length.unwrap_or(next.len_utf8())..];
            }
            proptest::prop_assert_eq!(digest(text.as_bytes(), &folders, at_once).unwrap(), plain(replaced.as_bytes()));
        }
    }
}
