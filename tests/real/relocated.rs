//! What real package managers installed still runs, and is still installed, after `LIB_DIR` was copied, moved or
//! restored from an archive, and the original is gone.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::package_managers::{context_with_cargo, context_with_gems, context_with_module, put_pnpm_on_path};
use crate::test_context::TestContext;
use crate::{context_with_registries, context_with_uv};

/// Ways to put a folder elsewhere. `$1` is the folder, and `$2` its new path.
const WAYS: [(&str, &str); 3] = [
    ("copied", r#"cp -a "$1" "$2" && rm -rf "$1""#),
    ("moved", r#"mv "$1" "$2""#),
    ("archived", r#"mkdir -p "$2" && tar -C "$1" -cf - . | tar -C "$2" -xf - && rm -rf "$1""#),
];

/// Puts a folder elsewhere, and removes it.
fn relocate(script: &str, folder: &Path, new: &Path) {
    fs::create_dir_all(new.parent().unwrap()).unwrap();
    let status = Command::new("sh").args(["-c", script, "sh"]).args([folder, new]).status();
    assert!(status.unwrap().success(), "{script}");
}

/// Returns what a program prints for `--version`.
fn version(program: &Path) -> String {
    let output = Command::new(program).arg("--version").output().unwrap();
    assert!(output.status.success(), "{}: {}", program.display(), String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Installs a required program, and puts first the data dir and then `LIB_DIR` alone elsewhere. Asserts that it still runs
/// and is installed each time, without a hook.
fn check(mut context: TestContext, name: &str) {
    context.run(&["lock"]).succeeds();
    let printed = version(&context.bin(name));
    let hooks = context.hook_processes().len();
    let check = |context: &TestContext, lib: &Path, way: &str| {
        assert_eq!(version(&lib.join("bin").join(name)), printed, "{way}");
        for args in [&["load"][..], &["install"], &["install", "--locked"], &["lock", "--check"]] {
            context.run(args).succeeds();
        }
        let record = context.run(&["install"]).succeeds().record();
        assert!(Path::new(record["abspath"].as_str().unwrap()).starts_with(lib), "{way}: {record}");
        assert_eq!(context.hook_processes().len(), hooks, "{way}");
        assert_eq!(version(&lib.join("bin").join(name)), printed, "{way}");
    };
    let mut data = context.path("data");
    let below = Path::new("lib").join(rigup::settings::platform());
    for (way, script) in WAYS {
        let new = context.path(&format!("a longer path/{way}/data"));
        relocate(script, &data, &new);
        context.set("RIGUP_DATA_DIR", new.clone());
        check(&context, &new.join(&below), way);
        data = new;
    }
    let mut lib = data.join(below);
    for (way, script) in WAYS {
        let new = context.path(&format!("l/{way}"));
        relocate(script, &lib, &new);
        context.set("LIB_DIR", new.clone());
        check(&context, &new, way);
        lib = new;
    }
}

fn require(context: &TestContext, provider: &str, name: &str, overrides: &Value) {
    let overrides = json!({provider: overrides});
    let line = json!({"type": "Binary", "name": name, "binproviders": provider, "overrides": overrides});
    context.plugin("p", &[line]);
}

#[test]
#[ignore = "installs from a registry: run with --ignored"]
fn what_pip_installed_runs_after_it_was_put_elsewhere() {
    let context = context_with_registries();
    require(&context, "pip", "black", &json!(["black"]));
    check(context, "black");
}

#[test]
#[ignore = "installs from a registry: run with --ignored"]
fn a_script_with_a_docstring_from_pip_or_uv_runs_elsewhere() {
    for (context, provider) in [(context_with_registries(), "pip"), (context_with_uv(), "uv")] {
        require(&context, provider, "bottle.py", &json!(["bottle==0.12.25"]));
        context.run(&["install"]).succeeds();
        check(context, "bottle.py");
    }
}

#[test]
#[ignore = "installs from a registry: run with --ignored"]
fn what_uv_installed_runs_after_it_was_put_elsewhere() {
    for provider in ["pip", "uv"] {
        let context = context_with_uv();
        require(&context, provider, "black", &json!(["black"]));
        check(context, "black");
    }
}

#[test]
#[ignore = "installs from a registry: run with --ignored"]
fn what_npm_and_pnpm_installed_runs_after_it_was_put_elsewhere() {
    for provider in ["npm", "pnpm"] {
        let mut context = context_with_registries();
        put_pnpm_on_path(&mut context);
        require(&context, provider, "prettier", &json!(["prettier@3.0.0"]));
        check(context, "prettier");
    }
}

#[test]
#[ignore = "installs from a registry: run with --ignored"]
fn what_cargo_installed_runs_after_it_was_put_elsewhere() {
    let context = context_with_cargo();
    require(&context, "cargo", "shellharden", &json!([]));
    check(context, "shellharden");
}

#[test]
#[ignore = "needs go: run with --ignored"]
fn what_go_installed_runs_after_it_was_put_elsewhere() {
    check(context_with_module(), "hello");
}

#[test]
#[ignore = "needs gem: run with --ignored"]
fn what_gem_installed_runs_after_it_was_put_elsewhere() {
    check(context_with_gems(), "hello");
}

#[test]
#[ignore = "needs node: run with --ignored"]
fn what_node_and_bash_installed_runs_after_it_was_put_elsewhere() {
    let mut context = context_with_registries();
    let script = r#"
        version=$(node --version) os=linux-$(node -p process.arch)
        mkdir -p "mirror/$version" "release/node-$version-$os/bin"
        cp -L "$(command -v node)" "release/node-$version-$os/bin/node"
        tar -C release -czf "mirror/$version/node-$version-$os.tar.gz" "node-$version-$os"
        (cd "mirror/$version" && cp *.tar.gz "node-$version-$os.tar.xz" && sha256sum * >../sums && mv ../sums SHASUMS256.txt)
        printf 'version\tdate\tfiles\tnpm\tlts\n%s\t2024-01-01\t%s\t10.0.0\tIron\n' "$version" "$os" >mirror/index.tab"#;
    let made = Command::new("sh").args(["-euc", script]).current_dir(context.path("")).status();
    assert!(made.unwrap().success());
    context.set("NODEJS_ORG_MIRROR", format!("file://{}", context.path("mirror").display()));
    require(&context, "node", "node", &json!([]));
    check(context, "node");

    let context = TestContext::new();
    let command = r#"printf '#!/bin/sh\n. %s/lib/words\n' "$INSTALL_ROOT" >"$BIN_DIR/hello" && mkdir lib \
        && echo 'echo hello 1.0' >lib/words && chmod +x "$BIN_DIR/hello""#;
    require(&context, "bash", "hello", &json!({"install": command}));
    check(context, "hello");
}
