//! For any file, nothing outside of the folder that it is unpacked into changes, and that folder is complete or does not exist.

use std::fs;

use rigup::internal::Interrupt;
use rigup::internal::archive::unpack;
use walkdir::WalkDir;

pub(crate) fn check(input: &[u8]) {
    let temporary = tempfile::tempdir().expect("a temporary folder can be made");
    let above = temporary.path().canonicalize().expect("the folder exists");
    let (archive, folder) = (above.join("file"), above.join("folder"));
    fs::write(&archive, input).expect("the folder can be written to");
    let unpacked = unpack(&archive, &folder, &Interrupt::none().expect("a pipe can be made"));
    assert_eq!(fs::read(&archive).expect("the archive is still there"), input);
    assert_eq!(folder.exists(), unpacked.is_ok(), "{unpacked:?}");
    for entry in WalkDir::new(&above).min_depth(1) {
        let path = entry.expect("all that was unpacked can be read").into_path();
        assert!(path == archive || path.starts_with(&folder), "{}", path.display());
        // A link may lead to nothing.
        let real = path.canonicalize().unwrap_or_else(|_| path.clone());
        assert!(
            path == archive || real.starts_with(&folder),
            "{} leads to {}",
            path.display(),
            real.display()
        );
    }
}
