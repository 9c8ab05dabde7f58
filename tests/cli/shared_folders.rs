//! Several data dirs that share LIB_DIR or LIB_BIN_DIR, and folders that move.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};

use crate::invalid_input::run_as_nobody;
use crate::test_context::{CommandOutput, TestContext, wait_until};

/// A provider that builds the program beside its prefix. The program prints the file `version`.
const PROVIDER: &str = "#!/bin/sh\nset -eu\neval \"$(\"$RIGUP\" hook begin --provider p -- \"$@\")\"\n\
    part=$prefix.part\ntrap 'rm -rf \"$part\"' EXIT\nmkdir -p \"$part/bin\"\n\
    printf '#!/bin/sh\\necho %s\\n' \"$(cat \"$HOME/version\")\" >\"$part/bin/$name\"\nchmod +x \"$part/bin/$name\"\n\
    if [ -p \"$DATA_DIR/gate\" ]; then read -r _ <\"$DATA_DIR/gate\"; fi\n\
    \"$RIGUP\" hook binary --provider p --built \"$part\" --abspath \"$prefix/bin/$name\" -- \"$@\"\n";

pub(crate) fn context() -> TestContext {
    let context = TestContext::new();
    context.write("home/version", "1.0");
    context
        .provider("p", PROVIDER)
        .plugin("q", &[json!({"type": "Binary", "name": "x", "binproviders": "p"})]);
    context
}

/// The folders of a data dir.
#[derive(Clone)]
pub(crate) struct Folders {
    pub(crate) data: PathBuf,
    pub(crate) lib: PathBuf,
    pub(crate) bin: PathBuf,
}

impl Folders {
    pub(crate) fn new(context: &TestContext, data: &str, lib: &str, bin: &str) -> Self {
        let [data, lib, bin] = [data, lib, bin].map(|path| context.path(path));
        Self { data, lib, bin }
    }

    pub(crate) fn args<'a>(&'a self, args: &[&'a str]) -> Vec<&'a str> {
        let [data, lib, bin] = [&self.data, &self.lib, &self.bin].map(|path| path.to_str().unwrap());
        [args, &["--data-dir", data, "--lib-dir", lib, "--lib-bin-dir", bin]].concat()
    }

    pub(crate) fn run(&self, context: &TestContext, args: &[&str]) -> CommandOutput {
        context.run(&self.args(args))
    }

    pub(crate) fn hooks(&self, context: &TestContext) -> usize {
        let processes = self.run(context, &["process", "list"]).succeeds().records();
        processes.iter().filter(|process| process["process_type"] == "hook").count()
    }

    /// Asserts that the linked program runs.
    #[track_caller]
    pub(crate) fn assert_runs(&self, name: &str) {
        let output = Command::new(self.bin.join(name)).args(["-c", "true"]).output();
        assert!(output.is_ok_and(|output| output.status.success()), "{name} in {}", self.bin.display());
    }
}

/// A provider that reports `/bin/sh` and installs nothing.
pub(crate) const FINDER: &str = r#"echo '{"type":"Binary","name":"sh","abspath":"/bin/sh","version":"1"}'"#;

#[test]
fn removing_a_binary_keeps_the_link_and_prefix_of_another_data_dir() {
    let context = context();
    context.provider("finder", FINDER);
    // LIB_DIR outside the data dirs, in one of them, in the other one; only LIB_BIN_DIR is shared.
    for (round, libs) in
        [["lib"; 2], ["one/lib"; 2], ["two/lib"; 2], ["one/lib", "two/lib"]].iter().enumerate()
    {
        for (step, command) in
            [&["binary", "delete", "--yes"][..], &["uninstall", "--force"]].iter().enumerate()
        {
            let root = format!("{round}{step}");
            let folders = |data: &str, lib: &str, bin: &str| {
                Folders::new(
                    &context,
                    &format!("{root}/{data}"),
                    &format!("{root}/{lib}"),
                    &format!("{root}/{bin}"),
                )
            };
            let bin = if libs[0] == libs[1] { format!("{}/bin", libs[0]) } else { "bin".to_owned() };
            let [one, two] = [folders("one", libs[0], &bin), folders("two", libs[1], &bin)];
            // Both link /bin/sh; only with one LIB_DIR can both link the same x.
            let names = if libs[0] == libs[1] { &["x", "sh"][..] } else { &["sh"] };
            for name in names {
                let providers = if *name == "x" { "p" } else { "finder" };
                for data_dir in [&one, &two] {
                    data_dir.run(&context, &["install", name, "--binproviders", providers]).succeeds();
                }
                one.run(&context, &[command, &[*name][..]].concat()).succeeds();
                two.assert_runs(name);
                two.run(&context, &[command, &[*name][..]].concat()).succeeds();
                assert!(!two.bin.join(name).is_symlink(), "nothing uses {name}");
            }
        }
    }
}

#[test]
fn the_link_of_another_data_dir_is_named_and_replaced_only_with_force() {
    let context = context();
    let [one, two] = ["one", "two"].map(|name| Folders::new(&context, name, &format!("{name}/lib"), "bin"));
    one.run(&context, &["install"]).succeeds();
    let link = fs::read_link(one.bin.join("x")).unwrap();
    let output = two.run(&context, &["install"]).exits_with(1);
    let owner = format!("it is the link of x of the data dir {} (", one.data.display());
    output.stderr_contains(&owner).stderr_contains("or replace the link with --force");
    assert_eq!(fs::read_link(one.bin.join("x")).unwrap(), link);
    two.run(&context, &["install", "--force"]).succeeds();
    assert!(fs::read_link(one.bin.join("x")).unwrap().starts_with(&two.lib));
    one.run(&context, &["uninstall", "x", "--force"]).succeeds();
    two.assert_runs("x");
}

#[test]
fn the_markers_of_a_data_dir_or_lib_dir_that_moved_are_renewed() {
    let context = context();
    for moved in ["data", "lib", "both"] {
        let path = |name: &str| format!("{moved}/{name}");
        let mut one = Folders::new(&context, &path("one"), &path("lib"), &path("lib/bin"));
        let mut two = Folders { data: context.path(&path("two")), ..one.clone() };
        for data_dir in [&one, &two] {
            data_dir.run(&context, &["install"]).succeeds();
        }
        if moved != "lib" {
            fs::rename(&one.data, context.path(&path("new"))).unwrap();
            one.data = context.path(&path("new"));
        }
        if moved != "data" {
            fs::rename(&one.lib, context.path(&path("new-lib"))).unwrap();
            one.lib = context.path(&path("new-lib"));
            one.bin = one.lib.join("bin");
            (two.lib, two.bin) = (one.lib.clone(), one.bin.clone());
        }
        // Twice, because the second run must find the markers of the first one.
        for _ in 0..2 {
            one.run(&context, &["install"]).succeeds().stderr_contains("is already installed");
        }
        assert_eq!(one.hooks(&context), 1);
        let kept = two.run(&context, &["uninstall", "x", "--force"]).succeeds().record();
        let reason = kept["reason"].as_str().unwrap();
        assert!(reason.contains(&format!("x of the data dir {}", one.data.display())), "{reason}");
        one.assert_runs("x");
        // A marker of a data dir that is gone does not count, unlike one that this rigup cannot read.
        let markers = one.lib.join(".prefixes/p/x");
        assert_eq!(fs::read_dir(&markers).unwrap().count(), 1, "the markers of the old paths are removed");
        fs::remove_dir_all(&one.data).unwrap();
        fs::write(markers.join("newer"), "{\"version\":2}\n").unwrap();
        let is_orphaned = || {
            let orphans = two.run(&context, &["uninstall", "--orphaned", "--dry-run"]).succeeds().records();
            orphans.iter().any(|orphan| orphan["removed"] == json!([one.lib.join("p/x")]))
        };
        assert!(!is_orphaned());
        fs::remove_file(markers.join("newer")).unwrap();
        assert!(is_orphaned());
    }
}

#[test]
fn a_link_outside_lib_dir_is_restored_after_lib_dir_moved() {
    let context = context();
    for (round, command) in ["load", "install"].into_iter().enumerate() {
        for lib in ["lib", "data/lib"] {
            let path = |name: &str| format!("{round}-{}/{name}", lib.len());
            let mut folders = Folders::new(&context, &path("data"), &path(lib), &path("usr/bin"));
            folders.run(&context, &["install"]).succeeds();
            let (from, to) = if lib == "lib" { ("lib", "new") } else { ("data", "new") };
            fs::rename(context.path(&path(from)), context.path(&path(to))).unwrap();
            if lib == "lib" {
                folders.lib = context.path(&path("new"));
            } else {
                (folders.data, folders.lib) = (context.path(&path("new")), context.path(&path("new/lib")));
            }
            assert!(!folders.bin.join("x").exists(), "the link dangles");
            folders.run(&context, &[command, "x"]).succeeds();
            folders.assert_runs("x");
            assert_eq!(folders.hooks(&context), 1, "no hook was started");
            // A link that the user made instead is foreign.
            fs::remove_file(folders.bin.join("x")).unwrap();
            symlink("/nowhere", folders.bin.join("x")).unwrap();
            folders
                .run(&context, &["install", "x"])
                .exits_with(1)
                .stderr_contains("did not create this file");
        }
    }
}

#[test]
fn uninstall_keeps_a_prefix_while_another_data_dir_installs_into_it() {
    let context = context();
    let one = Folders::new(&context, "one", "lib", "lib/bin");
    let two = Folders { data: context.path("data"), ..one.clone() };
    let gate = context.gate();
    one.run(&context, &["install"]).succeeds();
    let install = context.start(&two.args(&["install"]));
    wait_until("the hook waits", || {
        context.count_live("/bin/sh") > 0 && one.lib.join("p/x.part/bin/x").exists()
    });
    for args in [&["uninstall", "x", "--force"][..], &["uninstall", "--orphaned", "--yes"]] {
        let kept = one.run(&context, args).succeeds().records();
        assert!(kept.iter().all(|kept| kept["removed"] == json!([])), "{kept:?}");
    }
    fs::write(gate, "\n").unwrap();
    CommandOutput::new(&["install"], &install.wait_with_output().unwrap()).succeeds();
    two.assert_runs("x");
}

#[test]
fn a_pinned_mismatch_keeps_the_earlier_version_running() {
    let context = context();
    let program = context.bin("x");
    let runs = || String::from_utf8(Command::new(&program).output().unwrap().stdout).unwrap();
    context.run(&["lock"]).succeeds();
    context.write("home/version", "2.0");
    context.run(&["install", "--force"]).succeeds();
    for (version, reason) in
        [("1.1", "version \"1.1\" is not the pinned \"1.0\""), ("1.0 # other", "is not the pinned")]
    {
        context.write("home/version", version);
        let record = context.run(&["install", "--locked"]).exits_with(1).record();
        assert!(record["last_error"].as_str().unwrap().contains(reason), "{record}");
        assert_eq!(runs(), "2.0\n");
        let shown: Value = context.run(&["load"]).succeeds().record();
        assert_eq!(shown["version"], "2.0");
    }
    assert!(!context.bin("../p/x.part").exists());
    context.write("home/version", "1.0");
    context.run(&["install", "--locked"]).succeeds();
    assert_eq!(runs(), "1.0\n");
}

#[test]
fn a_read_only_folder_is_removed_and_the_prefix_of_another_user_kept() {
    let mut context = context();
    let build = "make_part\nmkdir -p \"$part/bin\" \"$part/read-only\"\n\
        printf '#!/bin/sh\\necho 1.0\\n' >\"$part/bin/$name\"\nchmod +x \"$part/bin/$name\"\n\
        : >\"$part/read-only/file\"\nchmod 555 \"$part/read-only\"\n";
    let (begin, rest) = PROVIDER.split_once("part=$prefix.part").unwrap();
    let (_, rest) = rest.split_once("if [ -p").unwrap();
    context.provider("p", &format!("{begin}{build}if [ -p{rest}"));
    let lib = context.path("lib");
    fs::create_dir(&lib).unwrap();
    fs::set_permissions(&lib, fs::Permissions::from_mode(0o777)).unwrap();
    context.set("LIB_DIR", &lib);
    context.set("RIGUP_DATA_DIR", context.path("nobody"));
    for _ in 0..2 {
        let installed = run_as_nobody(&context, &["install", "--force"]).succeeds();
        assert!(!lib.join("p/x.part").exists(), "{}", installed.stderr);
    }
    run_as_nobody(&context, &["uninstall", "x", "--force"]).succeeds();
    assert!(!lib.join("p/x").exists());

    context.set("RIGUP_DATA_DIR", context.path("root"));
    context.run(&["install"]).succeeds();
    context.set("RIGUP_DATA_DIR", context.path("nobody"));
    let reason = format!("cannot install into {}: it belongs to the user 0", lib.join("p/x").display());
    if nix::unistd::geteuid().is_root() {
        run_as_nobody(&context, &["install"]).exits_with(1).stderr_contains(&reason);
    }
    context.set("RIGUP_DATA_DIR", context.path("root"));
    let removed = context.run(&["uninstall", "x", "--force"]).succeeds().record();
    assert_eq!(removed["reason"], "", "the failed attempt of the other user does not count");
    assert!(!lib.join("p/x").exists());
}

#[test]
fn others_cannot_write_to_what_a_provider_leaves() {
    let context = TestContext::new();
    let leave = "prefix=$LIB_DIR/p/$name\nmkdir -p \"$prefix/cache\"\nprintf '#!/bin/sh\\necho 1.0\\n' >\"$prefix/$name\"\n\
        : >\"$prefix/cache/module\"\nchmod 777 \"$prefix\" \"$prefix/cache\" \"$prefix/$name\"\n\
        chmod 666 \"$prefix/cache/module\"\n";
    let by_hand =
        "printf '{\"type\":\"Binary\",\"name\":\"%s\",\"abspath\":\"%s\"}\\n' \"$name\" \"$prefix/$name\"\n";
    let by_toolkit = "\"$RIGUP\" hook binary --provider p --abspath \"$prefix/$name\" -- \"$@\"\n";
    for (name, record) in [("x", by_hand), ("y", by_toolkit)] {
        context.provider("p", &format!("#!/bin/sh\nset -eu\nname={name}\n{leave}{record}"));
        let record = context.run(&["install", name, "--binproviders", "p"]).succeeds().record();
        assert_eq!(record["status"], "installed");
        let prefix = context.path(record["abspath"].as_str().unwrap()).parent().unwrap().to_owned();
        for (file, mode) in [("", 0o755), ("cache", 0o755), (name, 0o755), ("cache/module", 0o644)] {
            let found = fs::metadata(prefix.join(file)).unwrap().permissions().mode() & 0o777;
            assert_eq!(found, mode, "{name}: {file} has the mode {found:o}");
        }
        context
            .run(&["install", name, "--binproviders", "p"])
            .succeeds()
            .stderr_contains("already installed");
    }
}
