//! Archives that are refused because of what they say, not because of this system: see the exit codes of `hook unpack`.

use std::os::unix::ffi::OsStrExt;

use ::tar::{Builder, EntryType, Header};
use lzma_rust2::{LzmaOptions, LzmaWriter};
use sevenz_rust2::{ArchiveEntry, ArchiveWriter, EncoderMethod};

use super::*;
use crate::toolkit::unpack::tests::{SCRIPT, UnpackTest, file, gzip, link, seven_zip, tar, xz, zip};

/// Unpacks an archive that is refused, and returns the error.
fn refused(name: &str, archive: &[u8]) -> UnpackError {
    let place = UnpackTest::new();
    let path = place.path(name);
    fs_err::write(&path, archive).unwrap();
    let error = super::unpack(&path, &place.path("out"), &Interrupt::none().unwrap()).unwrap_err();
    assert!(!place.path("out").exists(), "{error}");
    error
}

/// Checks that an archive is at fault, with a short message that has this text.
fn check_refused(name: &str, archive: &[u8], text: &str) {
    let error = refused(name, archive);
    assert!(!matches!(error, UnpackError::Io(..) | UnpackError::Unreadable(_)), "{error:?}");
    let message = error.to_string();
    assert!(message.contains(text) && message.len() < 600, "{}", &message[..message.len().min(600)]);
}

/// Returns a tar archive of an entry whose path, or target, is an attribute.
fn pax(kind: EntryType, attributes: &[(&str, &[u8])]) -> Vec<u8> {
    let mut tar = Builder::new(Vec::new());
    tar.append_pax_extensions(attributes.iter().copied()).unwrap();
    let mut header = Header::new_ustar();
    header.set_entry_type(kind);
    header.set_size(0);
    header.set_mode(0o755);
    header.as_old_mut().name[..1].copy_from_slice(b"x");
    header.set_cksum();
    tar.append(&header, &b""[..]).unwrap();
    tar.into_inner().unwrap()
}

#[test]
fn a_path_that_no_file_can_have_is_the_fault_of_the_archive() {
    let text = "which is not possible in this file system";
    let (long_name, long_path) = ("n".repeat(300), "path/".repeat(900));
    let huge = "h".repeat(900_000);
    for name in [long_name.as_bytes(), long_path.as_bytes(), b"a\0b", huge.as_bytes()] {
        for kind in [EntryType::Regular, EntryType::Directory, EntryType::Symlink, EntryType::Fifo] {
            let attributes: [(&str, &[u8]); 2] = [("path", name), ("linkpath", b"y")];
            let archive = pax(kind, &attributes);
            // A FIFO is refused anyway.
            check_refused("x.tar", &archive, if kind == EntryType::Fifo { "it contains " } else { text });
        }
    }
    for name in [&*long_name, &*long_path] {
        check_refused("x.zip", &zip(&[(name, 0, SCRIPT)]), text);
        check_refused("x.7z", &seven_zip(&[(name, 0, SCRIPT)]), text);
    }
    check_refused("x.zip", &zip(&[("a\0b", 0, SCRIPT)]), text);
}

#[test]
fn a_link_without_a_possible_target_is_the_fault_of_the_archive() {
    let long = "t".repeat(5000);
    check_refused(
        "x.tar",
        &tar(&[link(EntryType::Symlink, "x", "")]),
        "the link \"x\", whose target is empty",
    );
    for (target, text) in [(long.as_bytes(), "is too long"), (b"a\0b", "contains a NUL")] {
        check_refused("x.tar", &pax(EntryType::Symlink, &[("linkpath", target)]), text);
    }
    for (target, text) in
        [(&b""[..], "is empty"), (long.as_bytes(), "is too long"), (b"a\0b", "contains a NUL")]
    {
        check_refused("x.zip", &zip(&[("x", 0o120_777, target)]), text);
        if !target.is_empty() {
            check_refused("x.7z", &seven_zip(&[("x", 0o120_777, target)]), text);
        }
    }
    let target = pax(EntryType::Link, &[("linkpath", long.as_bytes())]);
    check_refused("x.tar", &target, "which is not possible in this file system");
}

#[test]
fn the_names_and_targets_in_an_archive_count_as_its_content() {
    let place = UnpackTest::new();
    let root = place.path("root");
    fs_err::create_dir(&root).unwrap();
    let interrupt = Interrupt::none().unwrap();
    let mut tree = Tree::new(&root, &interrupt, SizeLimit::Plausible(10_000));
    let target = OsStr::from_bytes(&[b't'; 4000]);
    tree.add_link(Path::new("1"), Path::new(target)).unwrap();
    tree.add_link(Path::new("2"), Path::new(target)).unwrap();
    assert!(matches!(tree.add_link(Path::new("3"), Path::new(target)), Err(UnpackError::Bomb(_))));
}

#[test]
fn a_damaged_archive_is_not_taken_for_another_file() {
    let mut damaged = tar(&[file("tool", 0o755, SCRIPT)]);
    damaged[150] ^= 1;
    for name in ["x.tar", "x.TAR"] {
        check_refused(name, &damaged, "its name ends with .tar, but it does not begin like such a file");
    }
    check_refused("x.tar.gz", &gzip(&damaged), "its name ends with .tar.gz");
    check_refused("x.txz", &xz(&damaged), "its name ends with .txz");
    check_refused("x.tar.gz", &damaged, "its name ends with .tar.gz");
    check_refused("x.zip", b"<html>Not found</html>", "its name ends with .zip");
    check_refused("x.7z", SCRIPT, "its name ends with .7z");
    check_refused("x.zip", b"", "it is empty");
}

#[test]
fn what_rigup_cannot_read_is_named() {
    let sparse = pax(EntryType::Regular, &[("GNU.sparse.major", b"1")]);
    check_refused("x.tar", &sparse, "it uses the pax format of sparse files for x, which rigup cannot read");
    let mut method = zip(&[("tool", 0, SCRIPT)]);
    // In the local header and in the central directory.
    let central = method.windows(4).position(|bytes| bytes == b"PK\x01\x02").unwrap();
    for at in [8, central + 10] {
        method[at] = 9;
    }
    check_refused("x.zip", &method, "it uses the compression method DEFLATE64, which rigup cannot read");
}

#[test]
fn zip_archives_with_lzma_are_unpacked() {
    let options = LzmaOptions::with_preset(1);
    let mut packed = vec![16, 2, 5, 0, options.get_props()];
    packed.extend(options.dict_size.to_le_bytes());
    let mut writer = LzmaWriter::new_no_header(&mut packed, &options, true).unwrap();
    std::io::Write::write_all(&mut writer, SCRIPT).unwrap();
    writer.finish().unwrap();
    let lzma = |content: &[u8]| {
        let mut zip = rawzip::ZipArchiveWriter::new(Vec::new());
        let builder = zip.new_file("tool").compression_method(rawzip::CompressionMethod::LZMA);
        let (mut entry, config) = builder.start().unwrap();
        let mut plain = config.wrap(std::io::sink());
        std::io::Write::write_all(&mut plain, SCRIPT).unwrap();
        let (_, descriptor) = plain.finish().unwrap();
        std::io::Write::write_all(&mut entry, content).unwrap();
        entry.finish(descriptor).unwrap();
        zip.finish().unwrap()
    };
    let place = UnpackTest::new();
    place.unpack("x.zip", &lzma(&packed)).unwrap();
    assert_eq!(place.content(), ["out/", "out/tool* 19"]);
    let mut greedy = packed.clone();
    greedy[5..9].fill(0xff);
    check_refused("x.zip", &lzma(&greedy), "too large");
    greedy[5..9].copy_from_slice(&(1u32 << 30).to_le_bytes());
    check_refused("x.zip", &lzma(&greedy), "LZMA data needs too much memory");
    greedy[2] = 6;
    check_refused("x.zip", &lzma(&greedy), "the properties of LZMA data are not valid");
    check_refused("x.zip", &lzma(&packed[..3]), "it is damaged or incomplete");
}

#[test]
fn archives_of_7z_are_unpacked_with_each_method_that_rigup_knows() {
    for method in [EncoderMethod::COPY, EncoderMethod::LZMA, EncoderMethod::LZMA2, EncoderMethod::BZIP2] {
        let mut writer = ArchiveWriter::new(Cursor::new(Vec::new())).unwrap();
        writer.set_content_methods(vec![method.into()]);
        writer.push_archive_entry(ArchiveEntry::new_file("tool"), Some(SCRIPT)).unwrap();
        let archive = writer.finish().unwrap().into_inner();
        let place = UnpackTest::new();
        place.unpack("x.7z", &archive).unwrap();
        assert_eq!(place.content(), ["out/", "out/tool* 19"]);
    }
}
