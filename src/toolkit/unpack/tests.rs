//! Archives as people make them, and as an attacker may.

use std::io::Write;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::PathBuf;

use ::tar::{Builder, EntryType, Header};
use bzip2::write::BzEncoder;
use flate2::write::GzEncoder;
use lzma_rust2::{XzOptions, XzWriter};
use ruzstd::encoding::{CompressionLevel, compress_to_vec};
use sevenz_rust2::{ArchiveEntry, ArchiveWriter};

use super::*;

pub(super) const SCRIPT: &[u8] = b"#!/bin/sh\necho 1.0\n";

/// An entry of an archive: type, name, target of a link, mode, content.
pub(super) type Entry<'a> = (EntryType, &'a [u8], &'a str, u32, &'a [u8]);

pub(super) fn file<'a>(name: &'a str, mode: u32, content: &'a [u8]) -> Entry<'a> {
    (EntryType::Regular, name.as_bytes(), "", mode, content)
}

pub(super) fn link<'a>(kind: EntryType, name: &'a str, target: &'a str) -> Entry<'a> {
    (kind, name.as_bytes(), target, 0o777, b"")
}

/// Returns a tar archive. Names are written as they are.
pub(super) fn tar(entries: &[Entry<'_>]) -> Vec<u8> {
    let mut tar = Builder::new(Vec::new());
    for (kind, name, target, mode, content) in entries {
        let mut header = Header::new_ustar();
        header.as_old_mut().name[..name.len()].copy_from_slice(name);
        header.as_old_mut().linkname[..target.len()].copy_from_slice(target.as_bytes());
        header.set_entry_type(*kind);
        header.set_mode(*mode);
        header.set_size(content.len() as u64);
        header.set_cksum();
        tar.append(&header, *content).unwrap();
    }
    tar.into_inner().unwrap()
}

pub(super) fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

pub(super) fn bzip2(content: &[u8]) -> Vec<u8> {
    let mut encoder = BzEncoder::new(Vec::new(), bzip2::Compression::default());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

pub(super) fn xz(content: &[u8]) -> Vec<u8> {
    let mut encoder = XzWriter::new(Vec::new(), XzOptions::with_preset(1)).unwrap();
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

pub(super) fn zstd(content: &[u8]) -> Vec<u8> {
    compress_to_vec(content, CompressionLevel::Fastest)
}

/// Returns a zip archive of files, which have modes unless they are 0.
pub(super) fn zip(files: &[(&str, u32, &[u8])]) -> Vec<u8> {
    let mut zip = rawzip::ZipArchiveWriter::new(Vec::new());
    for (name, mode, content) in files {
        let mut builder = zip.new_file(*name).compression_method(rawzip::CompressionMethod::DEFLATE);
        if *mode != 0 {
            builder = builder.unix_permissions(*mode);
        }
        let (mut entry, config) = builder.start().unwrap();
        let encoder = flate2::write::DeflateEncoder::new(&mut entry, flate2::Compression::default());
        let mut writer = config.wrap(encoder);
        writer.write_all(content).unwrap();
        let (encoder, descriptor) = writer.finish().unwrap();
        encoder.finish().unwrap();
        entry.finish(descriptor).unwrap();
    }
    zip.finish().unwrap()
}

pub(super) fn seven_zip(files: &[(&str, u32, &[u8])]) -> Vec<u8> {
    let mut writer = ArchiveWriter::new(Cursor::new(Vec::new())).unwrap();
    for (name, mode, content) in files {
        let mut entry = ArchiveEntry::new_file(name);
        entry.has_windows_attributes = *mode != 0;
        entry.windows_attributes = mode << 16 | 0x8000;
        writer.push_archive_entry(entry, Some(*content)).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

/// A folder with an archive. Everything else in it is written while the archive is unpacked.
pub(super) struct UnpackTest(tempfile::TempDir);

impl UnpackTest {
    pub(super) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Unpacks an archive with this name. Returns the error.
    pub(super) fn unpack(&self, name: &str, archive: &[u8]) -> Result<(), String> {
        let file = self.path(name);
        fs_err::write(&file, archive).unwrap();
        let unpacked = unpack(&file, &self.path("out"), &Interrupt::none().unwrap());
        fs_err::remove_file(&file).unwrap();
        unpacked.map_err(|error| error.to_string())
    }

    /// Returns what is in the folder, sorted: a folder with a slash, a program with a star, a link with its target, and
    /// a file with its length.
    pub(super) fn content(&self) -> Vec<String> {
        let entries = walkdir::WalkDir::new(self.0.path()).min_depth(1).sort_by_file_name();
        let describe = |entry: walkdir::DirEntry| {
            let name = entry.path().strip_prefix(self.0.path()).unwrap().display();
            let found = entry.path().symlink_metadata().unwrap();
            assert_eq!(found.mode() & 0o7000, 0, "{name}");
            match found {
                found if found.is_dir() => format!("{name}/"),
                found if found.is_symlink() => {
                    format!("{name} -> {}", entry.path().read_link().unwrap().display())
                }
                found if found.mode() & 0o111 != 0 => format!("{name}* {}", found.len()),
                found => format!("{name} {}", found.len()),
            }
        };
        entries.into_iter().map(|entry| describe(entry.unwrap())).collect()
    }
}

/// Returns the content of the folder after an archive was unpacked, without the prefix of each line, or the error.
fn unpacked(name: &str, archive: &[u8]) -> Result<Vec<String>, String> {
    let place = UnpackTest::new();
    let unpacked = place.unpack(name, archive);
    let content = place.content();
    match unpacked {
        Ok(()) => Ok(content
            .iter()
            .filter_map(|line| line.strip_prefix("out/"))
            .map(str::to_owned)
            .filter(|line| !line.is_empty())
            .collect()),
        Err(error) => {
            assert!(content.is_empty(), "{error}: {content:?}");
            Err(error)
        }
    }
}

/// A usual release of a tool.
fn release() -> Vec<u8> {
    let long = "long/".repeat(18) + "name";
    tar(&[
        (EntryType::Directory, b"./", "", 0o755, b""),
        (EntryType::XGlobalHeader, b"pax_global_header", "", 0o644, b"19 comment=0123456\n"),
        (EntryType::Directory, b"tool-1.0/", "", 0o555, b""),
        file("tool-1.0/tool", 0o6755, SCRIPT),
        file("./tool-1.0/README", 0o600, b"a tool"),
        file(&long, 0o644, &vec![7; 100_000]),
        link(EntryType::Symlink, "tool-1.0/bin/t", "../tool"),
        link(EntryType::Link, "other", "tool-1.0/tool"),
    ])
}

#[test]
fn a_tar_archive_has_the_same_files_in_each_compression() {
    let tar = release();
    for archive in [tar.clone(), gzip(&tar), bzip2(&tar), xz(&tar), zstd(&tar)] {
        let content = unpacked("download", &archive).unwrap();
        let content: Vec<&str> =
            content.iter().map(String::as_str).filter(|line| !line.ends_with("long/")).collect();
        assert_eq!(content[0].rsplit('/').next(), Some("name 100000"));
        assert_eq!(
            content[1..],
            [
                "other* 19",
                "tool-1.0/",
                "tool-1.0/README 6",
                "tool-1.0/bin/",
                "tool-1.0/bin/t -> ../tool",
                "tool-1.0/tool* 19"
            ]
        );
    }
}

#[test]
fn zip_and_7z_archives_have_modes_and_links_if_they_state_them() {
    let files: [(&str, u32, &[u8]); 3] = [
        ("tool-1.0/tool", 0o100_755, SCRIPT),
        ("tool-1.0/setup.sh", 0o100_644, SCRIPT),
        ("t", 0o120_777, b"tool-1.0/tool"),
    ];
    let expected = ["t -> tool-1.0/tool", "tool-1.0/", "tool-1.0/setup.sh 19", "tool-1.0/tool* 19"];
    assert_eq!(unpacked("tool.zip", &zip(&files)).unwrap(), expected);
    assert_eq!(unpacked("tool.7z", &seven_zip(&files)).unwrap(), expected);
    for kind in [0o010_644, 0o020_644, 0o060_644, 0o140_644] {
        let files: [(&str, u32, &[u8]); 1] = [("x", kind, b"")];
        for archive in [zip(&files), seven_zip(&files)] {
            let error = unpacked("x", &archive).unwrap_err();
            assert!(error.contains("neither a file nor a folder nor a link"), "{error}");
        }
    }
}

#[test]
fn an_archive_without_exec_bits_gives_them_to_what_begins_like_a_program() {
    let files: [(&str, u32, &[u8]); 5] = [
        ("bin\\script", 0, SCRIPT),
        ("elf", 0, b"\x7fELF and so on"),
        ("mach-o", 0, b"\xca\xfe\xba\xbe\0\0\0\x02 and so on"),
        ("Main.class", 0, b"\xca\xfe\xba\xbe\0\0\0\x34 and so on"),
        ("README", 0, b"text"),
    ];
    let expected = ["Main.class 18", "README 4", "bin/", "bin/script* 19", "elf* 14", "mach-o* 18"];
    assert_eq!(unpacked("tool.zip", &zip(&files)).unwrap(), expected);
    let entries = files.map(|(name, _, content)| file(name, 0o644, content));
    let content = unpacked("tool.tar", &tar(&entries[1..])).unwrap();
    assert_eq!(content, ["Main.class 18", "README 4", "elf* 14", "mach-o* 18"]);
}

#[test]
fn a_file_that_is_no_archive_is_one_file_without_its_ending() {
    for (name, archive, expected) in [
        ("tool-linux", SCRIPT.to_vec(), "tool-linux* 19"),
        ("tool.gz", b"text".to_vec(), "tool.gz 4"),
        ("tool.gz", gzip(SCRIPT), "tool* 19"),
        ("tool.xz", xz(SCRIPT), "tool* 19"),
        ("tool.zst", zstd(SCRIPT), "tool* 19"),
        ("tool.bz2", bzip2(SCRIPT), "tool* 19"),
        ("tool", gzip(SCRIPT), "tool* 19"),
        (".gz", gzip(b""), ".gz 0"),
        ("tool.7z.gz", gzip(&seven_zip(&[])), "tool.7z 44"),
    ] {
        assert_eq!(unpacked(name, &archive).unwrap(), [expected], "{name}");
    }
    assert_eq!(unpacked("empty", b"").unwrap_err(), "it is damaged or incomplete: it is empty");
}

#[test]
fn a_path_or_a_link_that_leads_out_is_refused_and_nothing_is_written() {
    const LINK: EntryType = EntryType::Symlink;
    let entries: [(&[Entry<'_>], &str); 17] = [
        (&[file("../x", 0o644, b"")], "it contains the path \"../x\", which leads out of the folder"),
        (&[file("a/../../x", 0o644, b"")], "the path \"a/../../x\""),
        (&[file("/tmp/x", 0o644, b"")], "the path \"/tmp/x\""),
        (&[(EntryType::Directory, b"..", "", 0o755, b"")], "the path \"..\""),
        (&[link(LINK, "x", "../y")], "the link \"x\" to \"../y\", which leads out of the folder"),
        (&[link(LINK, "x", "/etc/passwd")], "the link \"x\" to \"/etc/passwd\""),
        (&[link(LINK, "a/x", "../../y")], "the link \"a/x\""),
        (&[link(LINK, "x", "missing/../../y")], "the link \"x\""),
        (&[link(LINK, "a", "."), link(LINK, "b", "a/../y")], "the link \"b\" to \"a/../y\""),
        (&[link(LINK, "d", "a/b"), link(LINK, "a/b/x", "../../../y")], "the link \"a/b/x\" to"),
        (&[link(LINK, "up", ".."), file("up/x", 0o644, b"")], "\"up\" both as a folder"),
        (&[file("x", 0o644, b""), file("x/y", 0o644, b"")], "\"x\" both as a folder"),
        (&[file("x/y", 0o644, b""), link(LINK, "x", "y")], "\"x\" both as a folder"),
        (&[link(EntryType::Link, "x", "/etc/passwd")], "the path \"/etc/passwd\""),
        (&[link(EntryType::Link, "x", "y")], "the hard link \"x\" to \"y\", which is not an earlier file"),
        (&[(EntryType::Char, b"null", "", 0o666, b"")], "\"null\", which is neither a file nor a folder"),
        (&[(EntryType::Fifo, b"fifo", "", 0o666, b"")], "\"fifo\", which is neither a file nor a folder"),
    ];
    for (entries, expected) in entries {
        let error = unpacked("x.tar", &tar(entries)).unwrap_err();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn a_later_entry_replaces_an_earlier_one_with_its_name() {
    let entries = [
        link(EntryType::Symlink, "x", "missing"),
        file("x", 0o644, b"first"),
        link(EntryType::Link, "y", "x"),
        file("x", 0o644, b"second one"),
        file("z", 0o644, b"third"),
        link(EntryType::Symlink, "z", "y"),
        link(EntryType::Symlink, "loop", "loop"),
        (EntryType::Directory, b"empty", "", 0, b""),
        (EntryType::Directory, b"empty", "", 0, b""),
    ];
    let expected = ["empty/", "loop -> loop", "x 10", "y 5", "z -> y"];
    assert_eq!(unpacked("x.tar", &tar(&entries)).unwrap(), expected);
}

#[test]
fn a_cut_archive_is_an_error_wherever_it_ends() {
    let tar = release();
    let files: [(&str, u32, &[u8]); 2] = [("tool", 0o100_755, SCRIPT), ("README", 0o100_644, &[7; 3000])];
    for archive in [gzip(&tar), bzip2(&tar), xz(&tar), zstd(&tar), zip(&files), seven_zip(&files)] {
        for length in (16..archive.len()).step_by(archive.len() / 50 + 1) {
            let error = unpacked("x", &archive[..length]).unwrap_err();
            assert!(error.starts_with("it is damaged or incomplete: "), "{length}: {error}");
        }
        unpacked("x", &archive[..archive.len() - 1]).unwrap_err();
    }
    for length in (512..tar.len() - 1024).step_by(512) {
        unpacked("x", &tar[..length]).unwrap_err();
        unpacked("x", &tar[..length + 300]).unwrap_err();
    }
}

#[test]
fn a_changed_byte_never_leads_out_of_the_folder() {
    let tar = release();
    let files: [(&str, u32, &[u8]); 2] = [("tool", 0o100_755, SCRIPT), ("README", 0o100_644, &[7; 3000])];
    for archive in [gzip(&tar), bzip2(&tar), xz(&tar), zstd(&tar), zip(&files), seven_zip(&files)] {
        for index in (0..archive.len()).step_by(archive.len() / 100 + 1) {
            let mut changed = archive.clone();
            changed[index] ^= 0x55;
            // Some bytes, such as times, change nothing, and a changed magic number makes the file a raw one.
            let _ = unpacked("x", &changed);
        }
    }
}

#[test]
fn the_content_of_zstd_frames_is_joined_and_checked() {
    let skipped = [&[0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0][..], b"abc"].concat();
    let frames = [skipped.clone(), zstd(b"one "), skipped.clone(), zstd(b"two")].concat();
    assert_eq!(unpacked("x.zst", &frames).unwrap(), ["x 7"]);
    unpacked("x.zst", &skipped[..10]).unwrap_err();
    let mut changed = zstd(b"content");
    let last = changed.len() - 1;
    changed[last] ^= 1;
    let error = unpacked("x.zst", &changed).unwrap_err();
    assert!(error.ends_with("the checksum of the content differs"), "{error}");
}

#[test]
fn the_header_of_an_entry_has_a_limit() {
    let long = |length| {
        let name = vec![b'a'; length];
        tar(&[(EntryType::GNULongName, b"././@LongLink", "", 0o644, &name), file("x", 0o644, b"")])
    };
    assert_eq!(unpacked("x.tar", &long(200)).unwrap(), ["a".repeat(200) + " 0"]);
    let error = unpacked("x.tar.gz", &gzip(&long(2 << 20))).unwrap_err();
    assert!(error.ends_with("the header of a file is too long"), "{error}");
}

#[test]
fn content_beyond_the_limit_is_not_written() {
    let folder = tempfile::tempdir().unwrap();
    let interrupt = Interrupt::none().unwrap();
    for (limit, expected) in [
        (SizeLimit::Plausible(1000), "its content is larger than 1000 B, as that of a decompression bomb"),
        (
            SizeLimit::Space(1000, "/a b".into()),
            "its content is larger than the 1000 B that are free on the file system of '/a b'; free some space",
        ),
    ] {
        let root = tempfile::tempdir_in(folder.path()).unwrap();
        let mut tree = Tree::new(root.path(), &interrupt, limit);
        tree.add_file(Path::new("a"), false, &[0; 600][..]).unwrap();
        let error = tree.add_file(Path::new("b"), false, std::io::repeat(0)).unwrap_err();
        assert_eq!(error.to_string(), expected);
        assert_eq!(root.path().join("b").metadata().unwrap().len(), 0);
    }
}

#[test]
fn the_target_is_a_new_or_an_empty_folder() {
    let place = UnpackTest::new();
    fs_err::create_dir(place.path("real")).unwrap();
    symlink("real", place.path("out")).unwrap();
    place.unpack("x", SCRIPT).unwrap();
    assert_eq!(place.content(), ["out -> real", "real/", "real/x* 19"]);
    let error = place.unpack("x", SCRIPT).unwrap_err();
    assert!(error.ends_with("/real is not an empty folder; name another one"), "{error}");
    fs_err::remove_file(place.path("out")).unwrap();
    fs_err::write(place.path("out"), "").unwrap();
    let error = place.unpack("x", SCRIPT).unwrap_err();
    assert!(error.ends_with("/out is not an empty folder; name another one"), "{error}");
}

/// Returns a zstd frame with the content `abc` that states a window of 2 to the power of `log` bytes.
fn zstd_with_window(log: u8) -> Vec<u8> {
    [&[0x28, 0xb5, 0x2f, 0xfd, 0, (log - 10) << 3, 3 << 3 | 1, 0, 0], &b"abc"[..]].concat()
}

#[test]
fn a_window_of_up_to_512_mib_is_unpacked_and_a_larger_one_named() {
    let folder = tempfile::tempdir().unwrap();
    let unpacked = |log: u8| {
        let file = folder.path().join(format!("{log}.zst"));
        fs_err::write(&file, zstd_with_window(log)).unwrap();
        let result = unpack(&file, &folder.path().join(log.to_string()), &Interrupt::install().unwrap());
        result.map_err(|error| error.to_string())
    };
    assert_eq!(unpacked(29), Ok(()));
    assert_eq!(fs_err::read(folder.path().join("29/29")).unwrap(), b"abc");
    assert_eq!(unpacked(30), Err("unpacking it needs more than 512 MiB of memory".to_owned()));
}

#[test]
fn formats_that_rigup_cannot_unpack_are_no_programs() {
    let folder = tempfile::tempdir().unwrap();
    for (name, content, format) in [
        ("x.tar.lzma", &b"\x5d\0\0\x80\0"[..], "LZMA"),
        ("x.tlz", b"LZIP\x01", "lzip"),
        ("x.tar.Z", b"\x1f\x9d\x90", "compress"),
        ("x.tar.lz4", b"\x04\x22\x4d\x18", "LZ4"),
        ("x.tar.br", b"anything", ".tar.br"),
        ("x", b"Rar!\x1a\x07\x01\0", "RAR"),
        ("x.deb", b"!<arch>\ndebian-binary", "ar, which Debian packages have"),
    ] {
        let file = folder.path().join(name);
        fs_err::write(&file, content).unwrap();
        let error = unpack(&file, &folder.path().join("new"), &Interrupt::install().unwrap()).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("it uses the format {format}, which rigup cannot read"),
            "{name}"
        );
    }
}
