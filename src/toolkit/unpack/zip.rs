//! Zip archives.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use flate2::bufread::DeflateDecoder;
use lzma_rust2::{LzmaReader, lzma_get_memory_usage_by_props};
use rawzip::{CompressionMethod, Error, ErrorKind, RECOMMENDED_BUFFER_SIZE, ZipArchive};

use crate::toolkit::unpack::error::UnpackError;
use crate::toolkit::unpack::format::{Compression, MEMORY_KIB};
use crate::toolkit::unpack::tree::Tree;
use crate::toolkit::unpack::unix_mode::UnixMode;

/// Returns a reader of LZMA data of this size, which begins with the version of the encoder, and the length and the content
/// of its properties.
fn lzma_reader<R: Read>(mut file: R, size: u64) -> io::Result<LzmaReader<R>> {
    let mut head = [0; 9];
    file.read_exact(&mut head)?;
    let [_, _, 5, 0, properties, dictionary @ ..] = head else {
        return Err(io::Error::other("the properties of LZMA data are not valid"));
    };
    let dictionary = u32::from_le_bytes(dictionary);
    if lzma_get_memory_usage_by_props(dictionary, properties)? > MEMORY_KIB {
        return Err(io::Error::other("LZMA data needs too much memory"));
    }
    LzmaReader::new_with_props(file, size, properties, dictionary, None)
}

/// Adds the entries of an archive to a tree.
pub(super) fn unpack(file: File, tree: &mut Tree<'_>) -> Result<(), UnpackError> {
    let damaged = |error: Error| match error.into_kind() {
        ErrorKind::IO(error) => UnpackError::of_reader(error),
        kind => UnpackError::Damaged(kind.to_string()),
    };
    let mut buffer = vec![0; RECOMMENDED_BUFFER_SIZE];
    let zip = ZipArchive::from_file(file, &mut buffer).map_err(damaged)?;
    let mut entries = zip.entries(&mut buffer);
    while let Some(entry) = entries.next_entry().map_err(damaged)? {
        // Some programs on Windows write their own separators.
        let name: Vec<u8> = entry
            .file_path()
            .as_bytes()
            .iter()
            .map(|byte| if *byte == b'\\' { b'/' } else { *byte })
            .collect();
        let path = Path::new(OsStr::from_bytes(&name));
        if entry.flags().is_encrypted() {
            return Err(UnpackError::Unsupported("encryption".to_owned()));
        }
        let mode = UnixMode(entry.external_attributes() >> 16);
        if mode.is_folder() || name.ends_with(b"/") {
            tree.add_folder(path)?;
            continue;
        }
        let data = zip.get_entry(entry.wayfinder()).map_err(damaged)?;
        let reader: Box<dyn BufRead> = Box::new(BufReader::new(data.reader()));
        let reader: Box<dyn Read> = match entry.compression_method() {
            CompressionMethod::STORE => reader,
            CompressionMethod::DEFLATE => Box::new(DeflateDecoder::new(reader)),
            CompressionMethod::BZIP2 => Compression::Bzip2.reader(reader),
            CompressionMethod::LZMA => {
                Box::new(lzma_reader(reader, entry.uncompressed_size_hint()).map_err(UnpackError::of_reader)?)
            }
            CompressionMethod::XZ => Compression::Xz.reader(reader),
            CompressionMethod::ZSTD => Compression::Zstd.reader(reader),
            method => {
                let method = method.name().map_or_else(|| method.as_u16().to_string(), str::to_owned);
                return Err(UnpackError::Unsupported(format!("the compression method {method}")));
            }
        };
        mode.add(path, data.verifying_reader(reader), tree)?;
    }
    Ok(())
}
