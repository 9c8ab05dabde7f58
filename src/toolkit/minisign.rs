//! Signatures that minisign made.

use std::io::{self, Read};
use std::path::Path;

use minisign_verify::{Error, PublicKey, Signature};

/// The reason why a signature does not prove that a file is unchanged.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MinisignError {
    /// The public key cannot be parsed.
    #[error("the public key of minisign is not valid; it is the second line of a .pub file")]
    Key,
    /// The signature cannot be parsed.
    #[error("the signature is not one of minisign")]
    Syntax,
    /// The signature was made with another key.
    #[error("the signature was made with another key")]
    OtherKey,
    /// The signature is that of another file.
    #[error("the signature does not match the file")]
    Mismatch,
    /// The file cannot be read.
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// Verifies the signature of a file. `signature` is the content of a `.minisig` file, and `key` a public key in Base64, or
/// the content of a `.pub` file.
pub(crate) fn verify(file: &Path, signature: &str, key: &str) -> Result<(), MinisignError> {
    let key = key.trim();
    let key = key.lines().last().unwrap_or(key).trim();
    let key = PublicKey::from_base64(key).map_err(|_| MinisignError::Key)?;
    let signature = Signature::decode(signature).map_err(|_| MinisignError::Syntax)?;
    let failure = |error| match error {
        Error::UnexpectedKeyId => MinisignError::OtherKey,
        _ => MinisignError::Mismatch,
    };
    let mut verifier = match key.verify_stream(&signature) {
        // Versions of minisign before 2020 signed the content itself instead of its digest.
        Err(Error::UnsupportedLegacyMode) => {
            return key.verify(&fs_err::read(file)?, &signature, true).map_err(failure);
        }
        verifier => verifier.map_err(failure)?,
    };
    let mut file = fs_err::File::open(file)?;
    let mut buffer = vec![0; 256 << 10];
    while let count @ 1.. = file.read(&mut buffer)? {
        verifier.update(&buffer[..count]);
    }
    verifier.finalize().map_err(failure)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "RWSyrv5cWNzAkCLo6XcrkrDgrzkuYB+7JeQjSHEblXVcrqHwDgmdnuvs";
    const OTHER_KEY: &str = "RWSOLZuO3lgmjcIh+hTHjfD5NaImPJzTtiCgf62vDOzMloRpjCcsywu0";
    /// The signatures of `abc` by minisign 0.11, and in the form of older versions.
    const SIGNATURES: [&str; 2] = [
        "untrusted comment: signature from minisign secret key\n\
RUSyrv5cWNzAkOrN7OnzBQqwdCCX1mqG5Lq0Rqb5LXFAdx5y6/sRsDnusBi4IVQ3UyJTMCDrcwJKE0gvDzICGA4Ew9BaF6jwUgM=\n\
trusted comment: test\n\
slB/u4vjmzaUw4wFgtJpJcKrDSdyGKRPcFzMCpNlJk1ejHjRAjzWJTUf3mUYt3OUfaKrd4pWHLrVP51hBqMJCw==",
        "untrusted comment: signature from minisign secret key\n\
RWSyrv5cWNzAkPIoTC8V1t4ypKE7xVJNoKMwfR7vyVims8e1S2gi28mSLsBvO0ut38kHImF/RAE4iJNqzXn0Z7l5itoL/g/BOgo=\n\
trusted comment: test\n\
C4/UVbX/sGM01blZQed0wHZGwDJswd4Ilppd4DXHnAcmc7gmICaO2ifWtSUJjf0uK/KSylHVtR5gHtFXPqC2DQ==",
    ];

    #[test]
    fn a_signature_is_that_of_one_file_and_one_key() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("x");
        let reason = |signature: &str, key: &str| verify(&file, signature, key).unwrap_err().to_string();
        for signature in SIGNATURES {
            fs_err::write(&file, "abc").unwrap();
            verify(&file, signature, KEY).unwrap();
            verify(&file, signature, &format!("untrusted comment: minisign public key\n{KEY}\n")).unwrap();
            assert_eq!(reason(signature, OTHER_KEY), "the signature was made with another key");
            let changed = signature.replace("trusted comment: test", "trusted comment: text");
            assert_eq!(reason(&changed, KEY), "the signature does not match the file");
            fs_err::write(&file, "abd").unwrap();
            assert_eq!(reason(signature, KEY), "the signature does not match the file");
        }
        assert_eq!(reason("text", KEY), "the signature is not one of minisign");
        assert!(reason(SIGNATURES[0], "text").starts_with("the public key of minisign is not valid"));
    }
}
