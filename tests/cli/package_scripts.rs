//! The scripts of Python and Node packages are not run to know that they run, unless something may be missing.

use serde_json::json;

use crate::test_context::TestContext;

/// A provider that fills a venv, whose Python runs no program.
const VENV: &str = r#"#!/bin/sh
root=$LIB_DIR/venv/tool
info=$root/lib/python3/site-packages/tool-6.1.dist-info
mkdir -p "$root/bin" "$info" "$info/../tool"
: >"$root/pyvenv.cfg"
printf '#!/bin/sh\nexit 127\n' >"$root/bin/python"
cat "$HOME/launcher" >"$root/bin/tool"
chmod +x "$root/bin/python" "$root/bin/tool"
: >"$info/../tool/cli.py"
echo ../../../bin/tool,sha256=x,1 >"$info/RECORD"
echo 'Version: 6.1' >"$info/METADATA"
exec "$RIGUP" hook binary --provider venv --abspath "$root/bin/tool" -- "$@"
"#;

/// A provider that fills a `node_modules` folder with a package and a dependency.
const NODE_MODULES: &str = r#"#!/bin/sh
root=$LIB_DIR/modules/tool/node_modules
read -r dep <"$HOME/dep"
rm -rf "$root" && mkdir -p "$root/.bin" "$root/tool" "$root/$dep"
cp "$HOME/tool.json" "$root/tool/package.json"
cp "$HOME/dep.json" "$root/$dep/package.json"
printf '#!/usr/bin/env node\n' >"$root/tool/cli.js"
chmod +x "$root/tool/cli.js"
ln -sf ../tool/cli.js "$root/.bin/tool"
exec "$RIGUP" hook binary --provider modules --abspath "$root/.bin/tool" -- "$@"
"#;

/// Returns a context with a provider whose package manager keeps this metadata.
fn context(provider: &str, hook: &str, metadata: &str) -> TestContext {
    let context = TestContext::new();
    context.provider(provider, hook);
    let config = json!({"type": "object", "properties": {}, "metadata": metadata});
    context.write(&format!("here/providers/{provider}/config.json"), config.to_string());
    context.plugin("p", &[json!({"type": "Binary", "name": "tool", "binproviders": provider})]);
    context
}

/// Asserts that an install records version 6.1 without a run, or that it runs the program, which fails.
#[track_caller]
fn assert_runs(context: &TestContext, is_run: bool, case: &str) {
    let output = context.run(&["install", "--force"]);
    let record = output.record();
    if is_run {
        let reason = record["attempts"][0]["reason"].as_str().unwrap_or_default();
        assert!(reason.contains("cannot run"), "{case}: {}", output.stderr);
    } else {
        assert_eq!(output.code, Some(0), "{case}: {}", output.stderr);
        assert_eq!((&record["version"], &record["package_version"]), (&json!("6.1"), &json!("6.1")));
    }
}

#[test]
fn the_launcher_of_a_python_package_is_run_only_if_its_module_is_missing() {
    let context = context("venv", VENV, "dist-info");
    let start =
        "#!/bin/sh\n'''exec' \"$(dirname -- \"$(realpath -- \"$0\")\")\"/'python' \"$0\" \"$@\"\n' '''\n";
    for (body, is_run) in [
        ("import sys\nfrom tool.cli import main\nsys.exit(main())\n", false),
        ("import sys\nfrom tool import main\nsys.exit(main())\n", false),
        ("import sys\nfrom tool.gone import main\nsys.exit(main())\n", true),
        ("import sys\nfrom tool import main\nfrom other import more\nsys.exit(main())\n", true),
        ("print('a script of its own')\n", true),
    ] {
        context.write("home/launcher", format!("{start}{body}"));
        assert_runs(&context, is_run, body);
    }
}

#[test]
fn the_script_of_a_node_package_is_run_only_if_something_may_be_missing() {
    let mut context = context("modules", NODE_MODULES, "package.json");
    let node = "#!/bin/sh\n[ \"$*\" = --version ] && echo v20.1.0 || exit 127\n";
    let node = context.script("home/bin/node", node);
    let path = format!("{}:/usr/bin:/bin", node.parent().unwrap().display());
    context.set("PATH", path);
    for (tool, dependency, is_run) in [
        (json!({}), json!({}), false),
        (json!({"engines": {"node": "^18.17.0 || >=20"}}), json!({"scripts": {"test": "install"}}), false),
        (json!({"engines": {"node": ">=22"}}), json!({}), true),
        (json!({"engines": {"node": "the newest"}}), json!({}), true),
        (json!({}), json!({"scripts": {"postinstall": "node build.js"}}), true),
        (json!({"optionalDependencies": {"tool-linux-x64": "1.0.0"}}), json!({}), true),
        (json!({"optionalDependencies": {}}), json!({}), false),
    ] {
        for (file, name, package) in [("tool", "tool", &tool), ("dep", "@scope/dep", &dependency)] {
            let mut package = package.clone();
            package["name"] = name.into();
            package["version"] = "6.1".into();
            context.write(&format!("home/{file}.json"), package.to_string());
        }
        for folder in ["@scope/dep", "tool/node_modules/dep", ".pnpm/dep@1/node_modules/dep"] {
            context.write("home/dep", format!("{folder}\n"));
            assert_runs(&context, is_run, &format!("{tool} {dependency} {folder}"));
        }
    }
}
