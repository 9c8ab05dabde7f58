//! What holds for any archive: nothing is written outside of the folder, and the folder is complete or does not exist.

use ::tar::EntryType;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use walkdir::WalkDir;

use crate::toolkit::unpack::tests::{
    SCRIPT, UnpackTest, bzip2, file, gzip, link, seven_zip, tar, xz, zip, zstd,
};

/// Unpacks an archive, and checks what is there afterwards.
fn check(archive: &[u8]) {
    let place = UnpackTest::new();
    fs_err::write(place.path("beside"), "x").unwrap();
    let unpacked = place.unpack("x.tar", archive);
    let content = place.content();
    let is_outside = |line: &&String| !line.starts_with("out/");
    assert_eq!(content.iter().filter(is_outside).collect::<Vec<_>>(), ["beside 1"]);
    if let Err(reason) = unpacked {
        assert_eq!(content, ["beside 1"], "{reason}");
        return;
    }
    let root = place.path("out").canonicalize().unwrap();
    for entry in WalkDir::new(&root) {
        let entry = entry.unwrap();
        let kind = entry.file_type();
        assert!(kind.is_dir() || kind.is_file() || kind.is_symlink(), "{}", entry.path().display());
        if let Ok(real) = entry.path().canonicalize() {
            assert!(real.starts_with(&root), "{} leads to {}", entry.path().display(), real.display());
        }
    }
}

/// Paths that may lead anywhere.
fn path() -> impl Strategy<Value = String> {
    let part = select(vec!["a", "b", "c", "..", ".", "", "a\nb", "out", "beside"]);
    (select(vec!["", "/", "../", "./"]), vec(part, 1..5))
        .prop_map(|(start, parts)| start.to_owned() + &parts.join("/"))
}

fn kind() -> impl Strategy<Value = EntryType> {
    select(vec![
        EntryType::Regular,
        EntryType::Regular,
        EntryType::Directory,
        EntryType::Symlink,
        EntryType::Symlink,
        EntryType::Link,
        EntryType::Fifo,
        EntryType::GNULongName,
        EntryType::XHeader,
        EntryType::GNUSparse,
    ])
}

/// Archives of each format, with a program.
fn archives() -> Vec<Vec<u8>> {
    let plain = tar(&[file("d/tool", 0o755, SCRIPT), link(EntryType::Symlink, "l", "d/tool")]);
    let files = [("d/tool", 0o755, SCRIPT), ("d/readme", 0o644, &b"text"[..])];
    let packed = [gzip(&plain), bzip2(&plain), xz(&plain), zstd(&plain), zip(&files), seven_zip(&files)];
    [plain].into_iter().chain(packed).collect()
}

proptest! {
    // Each case unpacks an archive into a folder of its own.
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_archive_writes_outside_of_its_folder(
        entries in vec((kind(), path(), path(), 0u32..0o10000), 0..8),
        is_packed: bool,
    ) {
        let entry = |(kind, name, target, mode): &(EntryType, String, String, u32)| {
            let has_content = matches!(kind, EntryType::Regular | EntryType::GNULongName | EntryType::XHeader);
            (*kind, name.clone(), target.clone(), *mode, if has_content { target.clone() } else { String::new() })
        };
        let entries: Vec<_> = entries.iter().map(entry).collect();
        let entries: Vec<_> = entries
            .iter()
            .map(|(kind, name, target, mode, content)| (*kind, name.as_bytes(), target.as_str(), *mode, content.as_bytes()))
            .collect();
        let archive = tar(&entries);
        check(&if is_packed { gzip(&archive) } else { archive });
    }

    #[test]
    fn a_damaged_archive_is_refused_or_unpacked_safely(
        format in any::<Index>(),
        changes in vec((any::<Index>(), any::<u8>()), 0..6),
        cut in any::<Index>(),
        is_cut: bool,
    ) {
        let mut archive = format.get(&archives()).clone();
        for (at, byte) in changes {
            let at = at.index(archive.len());
            archive[at] = byte;
        }
        if is_cut {
            archive.truncate(cut.index(archive.len()));
        }
        check(&archive);
    }

    #[test]
    fn bytes_of_no_archive_are_one_file(bytes in vec(any::<u8>(), 0..200)) {
        check(&bytes);
    }
}
