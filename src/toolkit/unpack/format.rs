//! The formats of archives and compressed files, which their first bytes tell.

use std::io::{self, BufRead, Read};

use bzip2::bufread::MultiBzDecoder;
use flate2::bufread::MultiGzDecoder;
use lzma_rust2::XzReader;

use crate::toolkit::unpack::zstd::ZstdReader;

/// The number of bytes that tell the format of a file: the header of a tar archive.
pub(super) const HEAD: usize = 512;
/// The memory that a decoder may use, in KiB. `xz -9` needs an eighth of it.
pub(super) const MEMORY_KIB: u32 = 512 << 10;

/// The format of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ArchiveFormat {
    Compressed(Compression),
    Tar,
    Zip,
    SevenZip,
    /// Anything else: a file that is no archive.
    Other,
}

/// The format of a compressed file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compression {
    Gzip,
    Xz,
    Zstd,
    Bzip2,
}

impl ArchiveFormat {
    /// Returns the format of a file that begins with these bytes.
    pub(super) fn of(head: &[u8]) -> Self {
        match head {
            [0x1f, 0x8b, 8, ..] => Self::Compressed(Compression::Gzip),
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Self::Compressed(Compression::Xz),
            // A frame of data, or one of the kind that decoders skip.
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => {
                Self::Compressed(Compression::Zstd)
            }
            // A first block, or the end of an empty file.
            [b'B', b'Z', b'h', b'1'..=b'9', 0x31, 0x41, 0x59, 0x26, 0x53, 0x59, ..]
            | [b'B', b'Z', b'h', b'1'..=b'9', 0x17, 0x72, 0x45, 0x38, 0x50, 0x90, ..] => {
                Self::Compressed(Compression::Bzip2)
            }
            // A first entry, or the end of an empty archive.
            [b'P', b'K', 3, 4, ..] | [b'P', b'K', 5, 6, ..] => Self::Zip,
            [b'7', b'z', 0xbc, 0xaf, 0x27, 0x1c, ..] => Self::SevenZip,
            _ if is_tar(head) => Self::Tar,
            _ => Self::Other,
        }
    }
}

/// How files begin in formats that rigup cannot unpack, and what they are.
const UNREADABLE: [(&[u8], &str); 13] = [
    (b"Rar!\x1a\x07", "RAR"),
    (b"LZIP", "lzip"),
    (&[0x04, 0x22, 0x4d, 0x18], "LZ4"),
    (&[0x5d, 0, 0], "LZMA"),
    (&[0x1f, 0x9d], "compress"),
    (&[0x89, b'L', b'Z', b'O', 0], "lzop"),
    (b"!<arch>\n", "ar, which Debian packages have"),
    (&[0xed, 0xab, 0xee, 0xdb], "RPM"),
    (b"MSCF", "cabinet"),
    (b"xar!", "xar"),
    (b"070701", "cpio"),
    (b"070702", "cpio"),
    (b"070707", "cpio"),
];

/// How the names of files in such formats end, also in those that do not tell by the first bytes.
const UNREADABLE_ENDINGS: [&str; 16] = [
    ".tar.lzma",
    ".tar.lz",
    ".tar.lz4",
    ".tar.lzo",
    ".tar.br",
    ".tar.z",
    ".tlz",
    ".taz",
    ".lzma",
    ".lz4",
    ".br",
    ".rar",
    ".deb",
    ".rpm",
    ".dmg",
    ".cab",
];

/// Returns the format of a file if it is one that rigup cannot unpack. `name` is in lower case.
pub(super) fn unreadable(head: &[u8], name: &str) -> Option<&'static str> {
    let of_head = UNREADABLE.into_iter().find(|(start, _)| head.starts_with(start)).map(|(_, format)| format);
    of_head.or_else(|| UNREADABLE_ENDINGS.into_iter().find(|ending| name.ends_with(ending)))
}

impl Compression {
    /// Returns the endings of the names of files in this format.
    pub(super) fn endings(self) -> &'static [&'static str] {
        match self {
            Self::Gzip => &[".gz"],
            Self::Xz => &[".xz"],
            Self::Zstd => &[".zst", ".zstd"],
            Self::Bzip2 => &[".bz2", ".bz"],
        }
    }

    /// Returns a reader of the content of a file, which checks the checksums in it.
    pub(super) fn reader<'a>(self, file: Box<dyn BufRead + 'a>) -> Box<dyn Read + 'a> {
        match self {
            Self::Gzip => Box::new(MultiGzDecoder::new(file)),
            Self::Xz => Box::new(XzReader::new_mem_limit(file, true, MEMORY_KIB)),
            Self::Zstd => Box::new(ZstdReader::new(file, u64::from(MEMORY_KIB) << 10)),
            Self::Bzip2 => Box::new(MultiBzDecoder::new(file)),
        }
    }
}

/// Returns whether a file that begins with this block is a tar archive: the block has the checksum of a header.
fn is_tar(head: &[u8]) -> bool {
    const CHECKSUM: std::ops::Range<usize> = 148..156;
    let Some(block) = head.get(..HEAD) else { return false };
    let sum: u32 = block
        .iter()
        .enumerate()
        .map(|(index, byte)| u32::from(if CHECKSUM.contains(&index) { b' ' } else { *byte }))
        .sum();
    let digits = str::from_utf8(&block[CHECKSUM]).unwrap_or_default();
    let digits = digits.trim_matches(|c: char| c == ' ' || c == '\0');
    // A name may be empty if an earlier entry states it.
    u32::from_str_radix(digits, 8).is_ok_and(|stated| stated == sum)
}

/// Reads the first bytes of a file.
pub(super) fn read_head(reader: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut head = Vec::with_capacity(HEAD);
    reader.take(HEAD as u64).read_to_end(&mut head)?;
    Ok(head)
}
