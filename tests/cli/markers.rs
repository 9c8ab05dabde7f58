//! The markers in LIB_DIR and LIB_BIN_DIR, which show what rigup made and who uses it.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sys::stat::Mode;
use serde_json::json;

use crate::invalid_input::run_as_nobody;
use crate::shared_folders::{Folders, context};
use crate::test_context::TestContext;

const UNINSTALL: [&[&str]; 2] = [&["uninstall", "x", "--force"], &["binary", "delete", "x", "--yes"]];
const ORPHANS: [&str; 3] = ["uninstall", "--orphaned", "--dry-run"];

/// Returns the path of the only marker in a folder.
fn marker(folder: &Path) -> PathBuf {
    let [marker] = &*fs::read_dir(folder).unwrap().collect::<Vec<_>>() else { panic!("one marker") };
    marker.as_ref().unwrap().path()
}

/// Asserts that neither the link nor its marker exists, and that an install creates both.
#[track_caller]
fn assert_unlinked(context: &TestContext, folders: &Folders) {
    let markers = folders.bin.join(".rigup-links/x");
    assert!(!folders.bin.join("x").is_symlink() && !markers.exists());
    folders.run(context, &["install"]).succeeds();
    folders.assert_runs("x");
    assert!(marker(&markers).is_file());
}

#[test]
fn a_lib_dir_is_still_known_after_tar_or_a_copy_that_follows_links() {
    let context = context();
    let data = format!("data-{}", "long".repeat(40));
    for (number, copy) in [
        "cp -RL lib copy",
        "tar --format=ustar -cf a.tar lib && mkdir copy && tar -xf a.tar -C copy --strip-components=1",
        "tar --format=v7 -cf a.tar lib && mkdir copy && tar -xf a.tar -C copy --strip-components=1",
    ]
    .iter()
    .enumerate()
    {
        let folders = |data: &str, lib: &str| {
            Folders::new(&context, data, &format!("{number}/{lib}"), &format!("{number}/bin"))
        };
        let (original, copied) = (folders(&data, "lib"), folders(&data, "copy"));
        original.run(&context, &["install"]).succeeds();
        let folder = context.path(&number.to_string());
        let copying = Command::new("sh").args(["-ec", copy]).current_dir(folder).output().unwrap();
        assert!(copying.status.success() && copying.stderr.is_empty(), "{copy}: {copying:?}");
        // A marker that cannot be read would mean that the prefix is in use.
        let orphans = folders("other", "copy").run(&context, &ORPHANS).succeeds().record();
        assert_eq!(orphans["removed"], json!([copied.lib.join("p/x")]));
        let hooks = original.hooks(&context);
        copied.run(&context, &["install"]).succeeds();
        assert_eq!(original.hooks(&context), hooks, "no hook was started");
        copied.assert_runs("x");
        let removed = copied.run(&context, &["uninstall", "x", "--force"]).succeeds().record();
        assert_eq!(removed["removed"], json!([copied.lib.join("p/x")]));
        assert!(original.lib.join("p/x").exists());
    }
}

#[test]
fn a_link_that_dangles_after_a_move_is_removed_with_its_marker() {
    let context = context();
    for (number, command) in UNINSTALL.iter().enumerate() {
        for moved in ["data", "lib"] {
            let path = |name: &str| format!("{number}-{moved}/{name}");
            let lib = if moved == "data" { "data/lib" } else { "lib" };
            let mut folders = Folders::new(&context, &path("data"), &path(lib), &path("bin"));
            folders.run(&context, &["install"]).succeeds();
            fs::rename(context.path(&path(moved)), context.path(&path("new"))).unwrap();
            if moved == "data" {
                (folders.data, folders.lib) = (context.path(&path("new")), context.path(&path("new/lib")));
            } else {
                folders.lib = context.path(&path("new"));
            }
            folders.run(&context, command).succeeds();
            assert_unlinked(&context, &folders);
        }
    }
}

#[test]
fn orphaned_removes_the_dangling_links_of_a_data_dir_that_is_gone() {
    let context = context();
    for lib in ["one/lib", "lib"] {
        let path = |name: &str| format!("{}/{name}", lib.replace('/', "-"));
        let one = Folders::new(&context, &path("one"), &path(lib), &path("bin"));
        let two = Folders::new(&context, &path("two"), &path("lib"), &path("bin"));
        one.run(&context, &["install"]).succeeds();
        one.run(&context, &["install", "sh", "--binproviders", "env"]).succeeds();
        assert_eq!(two.run(&context, &ORPHANS).succeeds().stdout, "", "the other data dir exists");
        fs::remove_dir_all(&one.data).unwrap();
        let mut expected = vec![json!([two.bin.join("x")])];
        if lib == "lib" {
            expected.insert(0, json!([two.lib.join("p/x")]));
        }
        let removed = |args: &[&str], code: i32| -> Vec<_> {
            let output = two.run(&context, args).exits_with(code);
            output.records().iter().map(|record| record["removed"].clone()).collect()
        };
        assert_eq!(removed(&ORPHANS, 0), expected);
        assert_eq!(removed(&["uninstall", "--orphaned"], 1), expected);
        assert!(two.bin.join("x").is_symlink());
        assert_eq!(removed(&["uninstall", "--orphaned", "--yes"], 0), expected);
        assert_eq!(removed(&ORPHANS, 0).len(), 0);
        assert_unlinked(&context, &two);
        // The link to a program that still exists has its marker, so an install may replace it.
        two.assert_runs("sh");
        context.script("other/sh", "#!/bin/sh\necho 1.0\n");
        let other = context.path("other/sh");
        two.run(&context, &["install", other.to_str().unwrap()]).succeeds();
        assert_eq!(fs::read_link(two.bin.join("sh")).unwrap(), other);
    }
}

#[test]
fn a_link_without_a_marker_of_its_target_is_not_touched() {
    let context = context();
    let one = Folders::new(&context, "one", "lib", "bin");
    let two = Folders::new(&context, "two", "lib", "bin");
    let link = one.bin.join("x");
    for target in [Path::new("/nowhere"), &one.lib.join("p/x/bin/x")] {
        for command in UNINSTALL.into_iter().chain([&["uninstall", "--orphaned", "--yes"][..]]) {
            one.run(&context, &["install", "--force"]).succeeds();
            fs::remove_file(&link).unwrap();
            symlink(target, &link).unwrap();
            if target != Path::new("/nowhere") {
                fs::remove_dir_all(one.bin.join(".rigup-links/x")).unwrap();
            }
            if command.contains(&"--orphaned") {
                fs::remove_dir_all(&one.data).unwrap();
                two.run(&context, command).succeeds();
            } else {
                one.run(&context, command).succeeds();
            }
            assert_eq!(fs::read_link(&link).unwrap(), target);
        }
    }
    // Its target and its marker have to agree.
    symlink("/nowhere", one.bin.join("sh")).unwrap();
    let install = ["install", "sh", "--binproviders", "env"];
    one.run(&context, &install).exits_with(1).stderr_contains("rigup did not create this file");
}

#[test]
fn a_file_that_is_no_marker_means_that_the_prefix_is_in_use() {
    let context = context();
    let one = Folders::new(&context, "one", "lib", "bin");
    let two = Folders::new(&context, "two", "lib", "bin");
    one.run(&context, &["install"]).succeeds();
    let markers = one.lib.join(".prefixes/p/x");
    let text = fs::read_to_string(marker(&markers)).unwrap();
    let is_in_use = |create: &dyn Fn(&Path)| {
        let path = markers.join("y");
        create(&path);
        let kept = two.run(&context, &ORPHANS).succeeds().records();
        fs::remove_file(path).unwrap();
        kept.is_empty()
    };
    fs::remove_dir_all(&one.data).unwrap();
    let large = format!("{text}{}", " ".repeat(1 << 20));
    assert!(is_in_use(&|path| fs::write(path, &large).unwrap()));
    assert!(is_in_use(&|path| fs::write(path, &text[..20]).unwrap()));
    assert!(is_in_use(&|path| nix::unistd::mkfifo(path, Mode::S_IRWXU).unwrap()));
    assert!(is_in_use(&|path| symlink("/dev/zero", path).unwrap()));
    assert!(!is_in_use(&|path| fs::write(path, &text).unwrap()), "a whole marker is read");
}

#[test]
fn what_a_killed_process_left_of_a_marker_counts_for_nothing() {
    let context = context();
    let one = Folders::new(&context, "one", "lib", "bin");
    one.run(&context, &["install"]).succeeds();
    for folder in [one.lib.join(".prefixes/p"), one.bin.join(".rigup-links")] {
        let (temporary, marker) = (folder.join(".new-killed"), marker(&folder.join("x")));
        let text = fs::read_to_string(&marker).unwrap();
        fs::write(&temporary, "{").unwrap();
        // A crash of the system may leave an empty file.
        fs::write(&marker, "").unwrap();
        assert_eq!(one.run(&context, &ORPHANS).succeeds().stdout, "");
        one.run(&context, &["install"]).succeeds().stderr_contains("is already installed");
        assert_eq!(fs::read_to_string(&marker).unwrap(), text);
        assert!(!temporary.exists());
    }
}

#[test]
fn another_user_reads_the_markers_but_cannot_change_them() {
    let mut context = context();
    let lib = context.path("lib");
    for (mode, expected) in [(0o1777, 0o644), (0o755, 0o644), (0o2775, 0o644)] {
        fs::create_dir(&lib).unwrap();
        fs::set_permissions(&lib, fs::Permissions::from_mode(mode)).unwrap();
        context.set("LIB_DIR", &lib);
        context.set("RIGUP_DATA_DIR", context.path("root"));
        let install = ["-c", "umask 077; exec \"$0\" install", env!("CARGO_BIN_EXE_rigup")];
        let output = context.command_for(Path::new("/bin/sh"), &install).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        for folder in [".prefixes/p/x", ".links/bin/x"] {
            let metadata = marker(&lib.join(folder)).metadata().unwrap();
            assert_eq!(metadata.permissions().mode() & 0o7777, expected);
        }
        if nix::unistd::geteuid().is_root() {
            context.set("RIGUP_DATA_DIR", context.path("nobody"));
            let orphans = run_as_nobody(&context, &ORPHANS).succeeds();
            assert_eq!(orphans.stdout, "", "{orphans:?}");
            fs::remove_dir_all(context.path("root")).unwrap();
            let orphans = run_as_nobody(&context, &ORPHANS).succeeds().records();
            assert!(!orphans.is_empty(), "the marker was read");
        }
        fs::remove_dir_all(&lib).unwrap();
    }
}
