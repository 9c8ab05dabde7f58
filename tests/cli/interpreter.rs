//! Programs whose interpreter, or whose program behind a wrapper, is gone, perhaps for a while.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use serde_json::json;

use crate::test_context::TestContext;

/// A provider that installs a script for the interpreter `tools/node`, and declines without it.
const SHOP: &str = r#"#!/bin/sh
set -eu
node=$DATA_DIR/../tools/node
[ -x "$node" ] || { echo "there is no node" >&2; exit 0; }
mkdir -p "$LIB_DIR/shop/x"
printf '#!%s\necho x 1.5\n' "$node" >"$LIB_DIR/shop/x/x"
chmod +x "$LIB_DIR/shop/x/x"
"$RIGUP" hook binary --provider shop --abspath "$LIB_DIR/shop/x/x" -- "$@"
"#;

/// Creates a context in which `x` is installed, and its interpreter is in `tools`.
fn context() -> TestContext {
    let context = TestContext::new();
    context.provider("shop", SHOP);
    context.plugin("p", &[json!({"type": "Binary", "name": "x", "binproviders": "shop"})]);
    fs::create_dir(context.path("tools")).unwrap();
    symlink("/bin/sh", context.path("tools/node")).unwrap();
    context.run(&["install"]).succeeds();
    context
}

#[test]
fn a_program_stays_installed_while_its_interpreter_is_away() {
    let context = context();
    fs::rename(context.path("tools"), context.path("away")).unwrap();
    let output = context.run(&["install"]).exits_with(1);
    let reason = "x needs the interpreter \"";
    let kept = output.stderr_contains("x 1.5, which shop installed, stays installed, but /");
    kept.stderr_contains(reason).stderr_contains("shop declined");
    context.run(&["load", "x"]).exits_with(1).stderr_contains(reason).stderr_contains("is installed, but /");
    let orphaned = context.run(&["uninstall", "--orphaned", "--dry-run"]).succeeds();
    assert!(!orphaned.stdout.contains("shop/x"), "{}", orphaned.stdout);
    assert!(context.bin("x").is_symlink());

    fs::rename(context.path("away"), context.path("tools")).unwrap();
    let hooks = context.hook_processes().len();
    for command in ["load", "install"] {
        context.run(&[command]).succeeds().stderr_contains("x is already installed");
    }
    assert_eq!(context.hook_processes().len(), hooks);
}

#[test]
fn a_program_whose_interpreter_is_away_is_replaced_by_a_new_one() {
    let context = context();
    fs::remove_dir_all(context.path("tools")).unwrap();
    let script = "#!/bin/sh\nmkdir -p \"$LIB_DIR/shop/new\"\nprintf '#!/bin/sh\\necho x 2.0\\n' >\"$LIB_DIR/shop/new/x\"\n\
        chmod +x \"$LIB_DIR/shop/new/x\"\n\
        \"$RIGUP\" hook binary --provider shop --abspath \"$LIB_DIR/shop/new/x\" -- \"$@\"\n";
    context.provider("shop", script);
    assert_eq!(context.run(&["install"]).succeeds().record()["version"], "2.0");
}

#[test]
fn a_bare_name_is_installed_again_by_the_open_registry_that_installed_it() {
    let context = context();
    context.write("here/providers/shop/config.json", r#"{"type":"object","properties":{},"curated":false}"#);
    context.provider("apt", "#!/bin/sh\necho no >&2\n").provider("brew", "#!/bin/sh\necho no >&2\n");
    context.plugin("p", &[]);
    context.run(&["install", "x", "--binproviders", "shop", "--force"]).succeeds();
    fs::remove_file(context.bin("../shop/x/x")).unwrap();
    let record = context.run(&["install", "x"]).succeeds().record();
    assert_eq!((&record["binprovider"], &record["version"]), (&json!("shop"), &json!("1.5")));
    context.run(&["binary", "delete", "x", "--yes"]).succeeds();
    let stderr = context.run(&["install", "x"]).exits_with(1).stderr;
    assert!(!stderr.contains("shop declined"), "{stderr}");
}

#[test]
fn a_wrapper_of_a_program_that_is_gone_does_not_count_as_installed() {
    let mut context = TestContext::new();
    let body = "#!/bin/sh\n[ ! -L \"$0\" ] || exit 3\necho lx 1.0\n";
    let real = context.script("real/lx", body);
    let path = |folders: &str| format!("{folders}:/usr/bin:/bin");
    context.set("PATH", path(real.parent().unwrap().to_str().unwrap()));
    context.run(&["install", "lx", "--binproviders", "env"]).succeeds();
    assert!(!context.bin("lx").is_symlink(), "it is a wrapper");

    // A data dir whose rigup did not follow the wrapper.
    let other = context.path("other");
    let overrides = json!({"env": {"abspath": context.bin("lx")}});
    context.plugin(
        "p",
        &[json!({"type": "Binary", "name": "lx", "binproviders": "env", "overrides": overrides})],
    );
    context.set("RIGUP_DATA_DIR", other);
    context.run(&["install"]).succeeds();
    fs::remove_file(&real).unwrap();
    let reason = format!("is a wrapper of {}, which does not exist", real.display());
    for args in [&["install"][..], &["load"]] {
        context.run(args).exits_with(1).stderr_contains(&reason);
    }
    context.run(&["exec", "--", "lx"]).exits_with(127).stderr_contains(&reason);
}

#[test]
fn env_finds_the_program_behind_the_link_of_another_data_dir() {
    for body in ["#!/bin/sh\n[ ! -L \"$0\" ] || exit 3\necho lx 1.0\n", "#!/bin/sh\necho lx 1.0\n"] {
        let mut context = TestContext::new();
        let real = context.script("real/lx", body);
        let later = context.script("later/lx", body);
        let folder = |file: &std::path::Path| file.parent().unwrap().display().to_string();
        context.set("PATH", format!("{}:/usr/bin:/bin", folder(&real)));
        context.run(&["install", "lx", "--binproviders", "env"]).succeeds();
        let first = context.bin("lx");
        context.set("PATH", format!("{}:{}:/usr/bin:/bin", folder(&first), folder(&later)));
        context.set("RIGUP_DATA_DIR", context.path("other"));
        let record = context.run(&["install", "lx", "--binproviders", "env"]).succeeds().record();
        assert_eq!(record["abspath"], real.to_str().unwrap());
        fs::remove_file(&real).unwrap();
        let record = context.run(&["install", "lx", "--binproviders", "env"]).succeeds().record();
        assert_eq!(record["abspath"], later.to_str().unwrap());
    }
}

#[test]
fn a_wrapper_that_is_not_executable_is_written_again() {
    let mut context = TestContext::new();
    let real = context.script("real/lx", "#!/bin/sh\n[ ! -L \"$0\" ] || exit 3\necho lx 1.0\n");
    context.set("PATH", format!("{}:/usr/bin:/bin", real.parent().unwrap().display()));
    context.run(&["install", "lx", "--binproviders", "env"]).succeeds();
    fs::set_permissions(context.bin("lx"), fs::Permissions::from_mode(0o644)).unwrap();
    assert!(context.run(&["binary", "list"]).succeeds().record()["link_error"].is_string());
    context.run(&["install", "lx", "--binproviders", "env"]).succeeds();
    assert_eq!(context.run(&["exec", "--", "lx"]).succeeds().stdout, "lx 1.0\n");
}

#[test]
fn exec_says_why_a_program_on_path_cannot_be_started() {
    let mut context = TestContext::new();
    let dead = context.script("tools/dead", "#!/no/such/python\n");
    context.set("PATH", format!("{}:/usr/bin:/bin", dead.parent().unwrap().display()));
    let reason =
        format!("{} needs the interpreter \"/no/such/python\", which does not exist", dead.display());
    let output = context.run(&["exec", "--", "dead"]).exits_with(127).stderr_contains(&reason);
    assert!(!output.stderr.contains("not on PATH"), "{}", output.stderr);
}
