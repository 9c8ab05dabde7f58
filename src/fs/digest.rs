//! SHA-256 digests in hexadecimal.

use std::fmt::Write as _;
use std::io::{self, Read};
use std::path::Path;

use sha2::{Digest, Sha256};

/// Encodes bytes in lower-case hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Returns whether a text is a SHA-256 digest in lower-case hex.
pub(crate) fn is_sha256(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

/// Returns a name of 16 characters for these bytes, the start of their SHA-256 digest in hex.
pub(crate) fn short(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes)[..8])
}

/// Returns the SHA-256 digest of a file in hex.
pub fn sha256(path: &Path) -> io::Result<String> {
    of_file::<Sha256>(path)
}

/// Returns the digest of a file in hex.
pub(crate) fn of_file<D: Digest>(path: &Path) -> io::Result<String> {
    let mut file = fs_err::File::open(path)?;
    let mut digest = D::new();
    let mut buffer = vec![0; 256 << 10];
    while let count @ 1.. = file.read(&mut buffer)? {
        digest.update(&buffer[..count]);
    }
    Ok(hex(&digest.finalize()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_equals_the_output_of_sha256sum() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        fs_err::write(&path, "abc").unwrap();
        let digest = sha256(&path).unwrap();
        assert_eq!(digest, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert!(is_sha256(&digest) && !is_sha256(&digest.to_uppercase()) && !is_sha256("ab"));
    }
}
