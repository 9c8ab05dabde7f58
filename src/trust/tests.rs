use std::os::unix::fs::{PermissionsExt, symlink};

use super::*;

/// A folder that only this user can enter, with a path without links.
struct TestTree(tempfile::TempDir);

impl TestTree {
    fn new() -> Self {
        Self(tempfile::tempdir_in(std::env::temp_dir().canonicalize().unwrap()).unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn folder(&self, name: &str, mode: u32) -> PathBuf {
        fs_err::create_dir_all(self.path(name)).unwrap();
        self.mode(name, mode);
        self.path(name)
    }

    fn file(&self, name: &str, mode: u32) -> PathBuf {
        fs_err::write(self.path(name), "").unwrap();
        self.mode(name, mode);
        self.path(name)
    }

    fn mode(&self, name: &str, mode: u32) {
        fs_err::set_permissions(self.path(name), PermissionsExt::from_mode(mode)).unwrap();
    }
}

/// Returns the reason for which a path is untrusted, or an empty text if it is trusted.
fn reason(path: &Path) -> String {
    Trust::new(None).check(path).map_or_else(|untrusted| untrusted.to_string(), Option::unwrap_or_default)
}

#[test]
fn rejects_a_file_that_others_can_write_and_shows_its_mode_and_a_fix() {
    let tree = TestTree::new();
    for mode in [0o700, 0o755, 0o555, 0o2755] {
        assert_eq!(reason(&tree.folder("x", mode)), "", "{mode:o}");
    }
    for mode in [0o777, 0o757, 0o703] {
        let folder = tree.folder("x", mode);
        let path = folder.display();
        let expected = format!(
            "{path}: others can write to it (mode {mode:04o}); fix it with `chmod o-w {path}`, or declare it trusted"
        );
        assert!(reason(&folder).starts_with(&expected), "{}", reason(&folder));
    }
    assert!(reason(&tree.file("f", 0o666)).contains("(mode 0666); fix it with `chmod o-w "));
    assert_eq!(reason(&tree.file("g", 0o644)), "");
    assert_eq!(reason(&tree.path("nowhere/at/all")), "");
}

#[test]
fn no_advice_changes_or_trusts_what_all_users_share() {
    for shared in ["/dev/null", "/tmp", "/dev/full"].map(Path::new) {
        let reason = reason(shared);
        assert!(reason.ends_with("; all users share it, so use a file or folder of your own"), "{reason}");
    }
    let tree = TestTree::new();
    symlink("loop", tree.path("loop")).unwrap();
    let reason = reason(&tree.path("loop/x"));
    assert!(reason.contains(": it is one of more than 40 links that lead to each other, and "), "{reason}");
    assert!(reason.contains("; correct the link `"), "{reason}");
}

#[test]
fn rejects_files_in_a_folder_that_others_can_write_unless_it_is_sticky() {
    let tree = TestTree::new();
    tree.folder("open", 0o777);
    let inside = tree.folder("open/a/b", 0o755);
    let open = tree.path("open");
    let expected = format!(
        "{}: others can write to it (mode 0777), and {} is reached through it",
        open.display(),
        inside.display()
    );
    assert!(reason(&inside).starts_with(&expected), "{}", reason(&inside));
    assert!(reason(&inside).contains(&format!("--trust-dir {}", inside.display())));
    tree.mode("open", 0o1777);
    assert_eq!(reason(&inside), "");
}

#[test]
fn both_the_folder_of_a_link_and_that_of_its_target_count() {
    let tree = TestTree::new();
    tree.folder("safe", 0o755);
    tree.folder("open", 0o777);
    tree.folder("safe/target", 0o755);
    tree.folder("open/target", 0o755);
    for (link, target, is_trusted) in [
        ("safe/a", "target", true),
        ("safe/b", "../open/target", false),
        ("safe/c", "../safe/./../safe/a", true),
        ("open/d", "../safe/target", false),
        ("safe/e", "nowhere", true),
        ("safe/f", "f", false),
    ] {
        symlink(target, tree.path(link)).unwrap();
        assert_eq!(reason(&tree.path(link)).is_empty(), is_trusted, "{link}: {}", reason(&tree.path(link)));
        let below = tree.path(link).join("x");
        assert_eq!(reason(&below).is_empty(), is_trusted, "{link}/x: {}", reason(&below));
    }
}

/// Reads a file of at most 4 bytes.
fn read(trust: &Trust, path: &Path) -> Result<Option<TrustedFile>, String> {
    trust.read(path, 4).map_err(|error| error.to_string())
}

#[test]
fn reads_only_a_regular_file_of_limited_size_also_through_links() {
    let trust = Trust::new(None);
    let tree = TestTree::new();
    let file = tree.file("x", 0o644);
    symlink("x", tree.path("link")).unwrap();
    symlink("nowhere", tree.path("dangling")).unwrap();
    fs_err::write(&file, "four").unwrap();
    let whole = Ok(Some(TrustedFile { bytes: b"four".to_vec(), note: None }));
    assert_eq!((read(&trust, &file), read(&trust, &tree.path("link"))), (whole.clone(), whole));
    assert_eq!(
        (read(&trust, &tree.path("dangling")), read(&trust, &tree.path("no/such"))),
        (Ok(None), Ok(None))
    );
    fs_err::write(&file, "fives").unwrap();
    assert!(read(&trust, &file).unwrap_err().starts_with("it is larger than 4 bytes"));
    let pipe = tree.path("pipe");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::from_bits_truncate(0o644)).unwrap();
    for other in [&pipe, &tree.folder("folder", 0o755)] {
        assert!(read(&trust, other).unwrap_err().starts_with("not a regular file"), "{}", other.display());
    }
}

#[test]
fn reads_a_file_that_others_can_write_only_with_an_exception() {
    let mut trust = Trust::new(None);
    let tree = TestTree::new();
    let file = tree.file("x", 0o666);
    assert!(read(&trust, &file).unwrap_err().contains("(mode 0666)"));
    tree.folder("open", 0o777);
    let inside = tree.file("open/y", 0o644);
    assert!(read(&trust, &inside).unwrap_err().contains("(mode 0777), and "));
    trust.add_exception(tree.path(""), "--trust-dir");
    for path in [&file, &inside] {
        let note = read(&trust, path).unwrap().unwrap().note.unwrap();
        assert!(note.contains("is trusted because of --trust-dir, although "), "{note}");
    }
    assert_eq!(read(&trust, &tree.path("open/z")), Ok(None));
}

#[test]
fn rejects_a_folder_of_another_user_unless_that_user_called_sudo() {
    const OTHER_USER: u32 = 12345;
    if !geteuid().is_root() {
        return; // only root can give files away
    }
    let tree = TestTree::new();
    let folder = tree.folder("x", 0o755);
    std::os::unix::fs::chown(&folder, Some(OTHER_USER), None).unwrap();
    let expected = format!(
        "{}: it belongs to uid 12345, not to root; if you trust that user, run `export RIGUP_TRUST_DIR=",
        folder.display()
    );
    assert!(reason(&folder).starts_with(&expected), "{}", reason(&folder));
    assert_eq!(Trust::new(Some(OTHER_USER)).check(&folder), Ok(None));
}

#[test]
fn accepts_a_folder_that_a_private_group_can_write_but_no_other() {
    let tree = TestTree::new();
    let folder = tree.folder("x", 0o2775);
    let gid = folder.metadata().unwrap().gid();
    let is_private = gid == 0 || is_user_private_group(geteuid().as_raw(), gid, &[geteuid().as_raw()]);
    assert_eq!(reason(&folder).is_empty(), is_private);
    if geteuid().is_root() {
        std::os::unix::fs::chown(&folder, None, Some(12345)).unwrap();
        tree.mode("x", 0o2775);
        let expected = format!(
            "{}: the group 12345 can write to it (mode 2775); fix it with `chmod g-w ",
            folder.display()
        );
        assert!(reason(&folder).starts_with(&expected), "{}", reason(&folder));
    }
}

#[test]
fn finds_the_writers_in_an_access_control_list() {
    let entry = |tag: u16, may: u16, id: u32| {
        [tag.to_le_bytes().as_slice(), may.to_le_bytes().as_slice(), id.to_le_bytes().as_slice()].concat()
    };
    let no_id = u32::MAX;
    let list = [
        vec![2, 0, 0, 0],
        entry(0x01, 7, no_id),
        entry(0x02, 7, 1001),
        entry(0x02, 5, 1002),
        entry(0x04, 7, no_id),
        entry(0x08, 6, 2001),
        entry(0x10, 7, no_id),
        entry(0x20, 5, no_id),
    ]
    .concat();
    assert_eq!(acl_writers(&list).collect::<Vec<_>>(), [Writer::User(1001), Writer::Group(2001)]);
    assert_eq!(acl_writers(&[]).count(), 0);
}

#[test]
fn an_exception_covers_its_contents_and_is_reported_once() {
    let tree = TestTree::new();
    tree.folder("open", 0o777);
    let (one, two) = (tree.folder("open/p/one", 0o777), tree.folder("open/p/two", 0o755));
    let mut trust = Trust::new(None);
    trust.add_exception(tree.path("open/p"), "--trust-dir");
    let mut inspection = Inspection::new(&trust);
    for path in [&one, &two] {
        let untrusted = inspection.resolve(path).unwrap_err();
        assert!(inspection.is_excepted(path, &untrusted));
    }
    let untrusted = inspection.resolve(&tree.folder("open/q", 0o755)).unwrap_err();
    assert!(!inspection.is_excepted(&tree.path("open/q"), &untrusted), "its parent is not covered");
    let notes = inspection.notes();
    let expected = format!(
        "{} is trusted because of --trust-dir, although {}",
        tree.path("open/p").display(),
        tree.path("open").display()
    );
    assert!(notes.len() == 1 && notes[0].starts_with(&expected), "{notes:?}");
}

#[test]
fn an_exception_covers_its_contents_by_any_path() {
    let tree = TestTree::new();
    tree.folder("open", 0o777);
    tree.folder("open/p", 0o755);
    symlink("open/p", tree.path("link")).unwrap();
    for (excepted, checked) in [("link", "open/p"), ("open/p", "link"), ("link", "link")] {
        let mut trust = Trust::new(None);
        trust.add_exception(tree.path(excepted), "--trust-dir");
        assert!(matches!(trust.check(&tree.path(checked)), Ok(Some(_))), "{excepted} {checked}");
    }
}

#[test]
fn rejects_a_folder_that_an_access_control_list_lets_others_write() {
    let tree = TestTree::new();
    let folder = tree.folder("x", 0o770);
    let list = |may: u8| {
        let entry = |tag: u8, may: u8, id: u32| [&[tag, 0, may, 0], id.to_le_bytes().as_slice()].concat();
        let entries = [
            (0x01, 7, u32::MAX),
            (0x02, may, 1001),
            (0x04, 7, u32::MAX),
            (0x10, 7, u32::MAX),
            (0x20, 0, u32::MAX),
        ];
        [vec![2, 0, 0, 0], entries.map(|(tag, may, id)| entry(tag, may, id)).concat()].concat()
    };
    let set = |may| rustix::fs::setxattr(&folder, ACL, &list(may), rustix::fs::XattrFlags::empty());
    if !reason(&folder).is_empty() || set(5).is_err() {
        return; // the group is not private, or the file system keeps no lists
    }
    assert_eq!(reason(&folder), "");
    set(7).unwrap();
    let expected = format!(
        "{0}: its access control list lets others write to it; fix it with `setfacl -b {0}`, or",
        folder.display()
    );
    assert!(reason(&folder).starts_with(&expected), "{}", reason(&folder));
}
