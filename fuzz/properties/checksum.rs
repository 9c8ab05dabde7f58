//! For any list of checksums, the one that is found is a digest in it. The first line is the name of the list, the second that
//! of the file, and the others are the list.

use rigup::internal::checksum::{Checksum, find};

pub(crate) fn check(input: &[u8]) {
    let mut lines = input.splitn(3, |&byte| byte == b'\n');
    let [list, name, content] = [(); 3].map(|()| lines.next().unwrap_or_default());
    let [list, name] = [list, name].map(String::from_utf8_lossy);
    let Ok(Some(found)) = find(content, &list, &name) else { return };
    let digest = found.digest();
    assert!([64, 96, 128].contains(&digest.len()), "{digest}");
    assert_eq!(Checksum::parse(digest).as_ref(), Some(&found));
    // The list may be UTF-16.
    let stated = String::from_utf8_lossy(content).replace('\0', "").to_lowercase();
    assert!(stated.contains(digest), "{digest}");
}
