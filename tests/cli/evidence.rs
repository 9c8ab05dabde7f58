//! The evidence that rigup made a prefix, without which it neither replaces nor removes it.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;
use std::process::Command;

use crate::invalid_input::run_as_nobody;
use crate::kernel;
use crate::shared_folders::FINDER;
use crate::test_context::TestContext;

const BEGIN: &str = "#!/bin/sh\nset -eu\neval \"$(\"$RIGUP\" hook begin --provider p -- \"$@\")\"\n";

/// Writes the program into $folder. It prints the file `version`.
const BUILD: &str = "mkdir -p \"$folder/bin\"\n\
    printf '#!/bin/sh\\necho %s\\n' \"$(cat \"$HOME/version\")\" >\"$folder/bin/$name\"\nchmod +x \"$folder/bin/$name\"\n";

/// Builds with `make_part`, after which it would download.
fn builder() -> String {
    format!(
        "{BEGIN}make_part\n: >\"$HOME/downloaded\"\nfolder=$part\n{BUILD}\
         \"$RIGUP\" hook binary --provider p --built \"$part\" --abspath \"$prefix/bin/$name\" -- \"$@\"\n"
    )
}

/// Builds in a folder of its own.
fn other_builder() -> String {
    format!(
        "{BEGIN}folder=$(dirname \"$prefix\")/building\n{BUILD}\
         \"$RIGUP\" hook binary --provider p --built \"$folder\" --abspath \"$prefix/bin/$name\" -- \"$@\"\n"
    )
}

/// Installs into its prefix.
fn in_place() -> String {
    format!(
        "{BEGIN}folder=$prefix\n{BUILD}\
         \"$RIGUP\" hook binary --provider p --abspath \"$prefix/bin/$name\" -- \"$@\"\n"
    )
}

fn context(hook: &str) -> TestContext {
    let mut context = TestContext::new();
    context.write("home/version", "1.0");
    context.provider("p", hook);
    context.set("LIB_DIR", context.path("lib"));
    context
}

const INSTALL: [&str; 5] = ["install", "x", "--binproviders", "p", "--force"];

fn version(context: &TestContext) -> String {
    String::from_utf8(Command::new(context.path("lib/bin/x")).output().unwrap().stdout).unwrap()
}

#[test]
fn what_rigup_did_not_make_is_neither_replaced_nor_removed() {
    for (hook, is_early) in [(builder(), true), (other_builder(), false)] {
        for foreign in ["lib/p/x/notes", "lib/p/x", "elsewhere/x/notes", "lib/p/x.part/notes", "lib/p/x.part"]
        {
            if !is_early && foreign.contains(".part") {
                continue;
            }
            let context = context(&hook);
            context.write(foreign, "precious");
            if foreign.starts_with("elsewhere") {
                fs::create_dir(context.path("lib")).unwrap();
                symlink(context.path("elsewhere"), context.path("lib/p")).unwrap();
            }
            let part = if foreign.contains(".part") { ".part" } else { "" };
            let path = context.path(&format!("lib/p/x{part}"));
            let reason = format!("{} exists, and rigup did not make it; move it away", path.display());
            for _ in 0..2 {
                let output = context.run(&INSTALL).exits_with(1);
                output.stderr_contains(&reason);
            }
            assert!(!context.path("home/downloaded").exists(), "it fails before it downloads");
            context.run(&["uninstall", "--orphaned", "--yes"]).succeeds();
            context.run(&["uninstall", "x"]);
            assert_eq!(fs::read_to_string(context.path(foreign)).unwrap(), "precious", "{foreign}");
            fs::rename(&path, context.path("away")).unwrap();
            context.run(&INSTALL).succeeds();
            context.run(&["uninstall", "x"]).succeeds();
            assert!(!path.exists());
        }
    }
}

#[test]
fn an_empty_folder_and_the_prefix_in_a_copy_of_lib_dir_are_replaced() {
    for hook in [builder(), other_builder()] {
        let mut context = context(&hook);
        fs::create_dir_all(context.path("lib/p/x")).unwrap();
        context.run(&INSTALL).succeeds();
        context.run(&["binary", "delete", "x", "--yes"]).succeeds();
        let copied = Command::new("cp").arg("-a").args([context.path("lib"), context.path("copy")]).status();
        assert!(copied.unwrap().success());
        context.set("LIB_DIR", context.path("copy"));
        context.set("RIGUP_DATA_DIR", context.path("other"));
        context.run(&INSTALL).succeeds();
        let removed = context.run(&["uninstall", "x"]).succeeds().record();
        assert_eq!(removed["removed"][0], context.path("copy/p/x").to_str().unwrap());
    }
}

#[test]
fn a_binary_may_be_named_like_a_folder_of_rigup_itself() {
    for hook in [builder(), other_builder(), in_place()] {
        let context = context(&hook);
        let names = [("x.part", "x.part+"), ("packages", "packages+"), ("x.part+", "x.part++"), ("x", "x")];
        for (name, folder) in names {
            let record = context.run(&["install", name, "--binproviders", "p"]).succeeds().record();
            let program = context.path("lib/p").join(folder).join("bin").join(name);
            assert_eq!(record["abspath"], program.to_str().unwrap());
        }
        for (name, folder) in names {
            context.run(&["exec", "--", name]).succeeds();
            let removed = context.run(&["uninstall", name]).succeeds().record();
            assert_eq!(removed["removed"][0], context.path("lib/p").join(folder).to_str().unwrap());
        }
    }
}

#[test]
fn a_hook_that_runs_outside_rigup_replaces_what_it_installed() {
    for hook in [builder(), other_builder(), in_place()] {
        let context = context(&hook);
        let hook = context.path("here/providers/p/on_BinaryRequest__50_p.sh");
        for _ in 0..2 {
            let mut command = context.command_for(&hook, &["--name=x", "--binproviders=p"]);
            let output = command.env("RIGUP", env!("CARGO_BIN_EXE_rigup")).output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        }
    }
}

#[test]
fn a_hook_that_installs_in_place_may_use_a_foreign_folder_which_is_kept() {
    let context = context(&in_place());
    let notes = context.write("lib/p/x/notes", "precious");
    for _ in 0..2 {
        context.run(&INSTALL).succeeds();
    }
    assert_eq!(version(&context), "1.0\n");
    context.run(&["uninstall", "x"]).succeeds();
    assert!(notes.exists());
    fs::remove_dir_all(context.path("lib/p/x")).unwrap();
    context.run(&INSTALL).succeeds();
    context.run(&["uninstall", "x"]).succeeds();
    assert!(!context.path("lib/p/x").exists());
}

#[test]
fn an_install_that_replaces_the_version_of_another_data_dir_names_that() {
    let mut context = context(&builder());
    context.run(&INSTALL).succeeds();
    let first = context.path("data");
    context.set("RIGUP_DATA_DIR", context.path("other"));
    let output = context.run(&INSTALL).succeeds();
    assert!(!output.stderr.contains("now runs"), "{}", output.stderr);
    context.write("home/version", "2.0");
    let warning = format!("contains x 2.0, but x of the data dir {} (", first.display());
    context.run(&INSTALL).succeeds().stderr_contains(&warning).stderr_contains("installed 1.0");
    assert_eq!(version(&context), "2.0\n");
}

#[test]
fn no_user_can_rename_what_another_one_put_into_a_folder_of_everyone() {
    let context = context(&builder());
    fs::create_dir(context.path("lib")).unwrap();
    fs::set_permissions(context.path("lib"), fs::Permissions::from_mode(0o777)).unwrap();
    context.run(&INSTALL).succeeds();
    for folder in ["lib/p", "lib/bin", "lib/.prefixes/p"] {
        let mode = context.path(folder).metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o1777, "{folder}");
    }
}

#[test]
fn what_only_another_user_can_replace_is_named_with_that_user() {
    if !kernel::is_root() {
        return;
    }
    let mut context =
        context(&other_builder().replace(BEGIN, &BEGIN.replace("eval", "name=x prefix=$LIB_DIR/p/x\n: ")));
    for folder in ["lib", "lib/p"] {
        fs::create_dir(context.path(folder)).unwrap();
        fs::set_permissions(context.path(folder), fs::Permissions::from_mode(0o1777)).unwrap();
    }
    context.run(&INSTALL).succeeds();
    context.set("RIGUP_DATA_DIR", context.path("nobody"));
    let reason =
        |verb: &str| format!("cannot {verb} {}: it belongs to the user 0", context.path("lib/p/x").display());
    run_as_nobody(&context, &INSTALL).exits_with(1).stderr_contains(&reason("replace"));
}

#[test]
fn a_dry_run_creates_nothing() {
    let context = TestContext::new();
    let records = context.write("records", "{\"type\":\"Binary\",\"name\":\"x\",\"binproviders\":\"env\"}\n");
    let runs: [(&[&str], i32); 8] = [
        (&["uninstall", "x"], 1),
        (&["uninstall", "--orphaned"], 0),
        (&["binary", "delete", "x"], 1),
        (&["binary", "update", "x", "--status", "queued"], 1),
        (&["binary", "create", "--name", "sh", "--abspath", "/bin/sh"], 0),
        (&["machine", "set", "A_BINARY=/bin/sh"], 0),
        (&["process", "gc"], 0),
        (&["apply", records.to_str().unwrap()], 0),
    ];
    for (args, code) in runs {
        context.run(&[args, &["--dry-run"]].concat()).exits_with(code);
        assert!(!context.path("data").exists(), "{args:?}");
    }
}

#[test]
fn a_correct_link_in_a_folder_that_cannot_be_written_is_no_error() {
    let mut context = context(&builder());
    context.set("LIB_BIN_DIR", context.path("bin"));
    context.set("RIGUP_DATA_DIR", context.path("nobody"));
    context
        .run(&["--data-dir", context.path("root").to_str().unwrap(), "install", "x", "--binproviders", "p"])
        .succeeds();
    let record = context
        .run(&["--data-dir", context.path("root").to_str().unwrap(), "binary", "list"])
        .succeeds()
        .stdout;
    let records = context.write("records", record);
    for path in ["bin", "lib"] {
        fs::set_permissions(context.path(path), fs::Permissions::from_mode(0o755)).unwrap();
    }
    fs::set_permissions(&records, fs::Permissions::from_mode(0o644)).unwrap();
    if !kernel::is_root() {
        return;
    }
    for _ in 0..2 {
        let applied = run_as_nobody(&context, &["apply", records.to_str().unwrap()]).succeeds();
        assert!(!applied.stderr.contains("LIB_BIN_DIR"), "{}", applied.stderr);
    }
    run_as_nobody(&context, &["load", "x"]).succeeds();
    let folder: PathBuf = context.path("bin");
    fs::remove_file(folder.join("x")).unwrap();
    run_as_nobody(&context, &["load", "x"]).exits_with(1).stderr_contains("choose another LIB_BIN_DIR");
}

#[test]
fn uninstall_accepts_the_version_and_says_what_stays() {
    let mut context = context(&builder());
    let shared = context.path("bin");
    context.set("LIB_BIN_DIR", &shared);
    context.run(&INSTALL).succeeds();
    let wrong = context.run(&["uninstall", "x@2.0", "y"]).exits_with(1);
    assert!(!wrong.stderr.contains("orphaned"), "{}", wrong.stderr);
    wrong.stderr_contains("cannot uninstall x@2.0: x has 1.0; leave out `@2.0`");
    assert!(shared.join("x").is_symlink());
    let table = ["uninstall", "y", "--format", "table"];
    assert!(!context.run(&table).exits_with(1).stderr.contains("orphaned"));
    context.run(&["uninstall", "x@1.0"]).succeeds();
    assert!(!shared.join("x").is_symlink());

    context.provider("finder", FINDER);
    context.run(&["install", "finder:sh"]).succeeds();
    let other = context.path("other");
    context.run(&["install", "finder:sh", "--data-dir", other.to_str().unwrap()]).succeeds();
    let output = context.run(&["uninstall", "sh", "--format", "table"]).succeeds();
    assert!(
        output.stdout.contains("only the record") && !output.stdout.contains("the link"),
        "{}",
        output.stdout
    );
    assert!(shared.join("sh").is_symlink());
}
