//! Installs with pip, npm, apt, uv, pnpm and cargo from their registries, and with go and gem from local folders.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::test_context::TestContext;
use crate::{
    check_binary, check_install_and_repair, check_killed_install, context_with_registries, context_with_uv,
};

/// Returns the provider and the binary of each hook that ran, in order.
fn attempts(context: &TestContext) -> Vec<String> {
    let binaries = context.run(&["binary", "list"]).succeeds().records();
    let name_of =
        |id: &Value| binaries.iter().find(|binary| binary["id"] == *id).unwrap()["name"].as_str().unwrap();
    let text = |hook: &Value| format!("{} {}", hook["plugin"].as_str().unwrap(), name_of(&hook["binary_id"]));
    context.hook_processes().iter().map(text).collect()
}

#[test]
#[ignore = "installs from a registry: run with --ignored"]
fn pip_installs_once_for_ten_commands_and_repairs() {
    check_install_and_repair(&context_with_registries(), "pip", "pycodestyle");
}

#[test]
#[ignore = "installs from a registry: run with --ignored"]
fn pip_with_uv_installs_once_for_ten_commands_and_repairs() {
    let context = context_with_uv();
    check_install_and_repair(&context, "pip", "pycodestyle");
    let ran_uv = |hook: &Value| hook["stderr_tail"].as_str().unwrap().contains("pycodestyle==");
    assert!(context.hook_processes().iter().all(ran_uv), "the hook ran uv");
}

#[test]
#[ignore = "installs from a registry: run with --ignored"]
fn npm_installs_once_for_ten_commands_and_repairs() {
    check_install_and_repair(&context_with_registries(), "npm", "json");
}

#[test]
#[ignore = "installs from a registry: run with --ignored"]
fn pip_completes_an_install_that_was_killed() {
    check_killed_install(&context_with_registries(), "pip", "pycodestyle", |prefix| {
        prefix.with_extension("part").join("bin/python").exists()
    });
}

#[test]
#[ignore = "installs from a registry: run with --ignored"]
fn npm_completes_an_install_that_was_killed() {
    check_killed_install(&context_with_registries(), "npm", "json", |prefix| {
        prefix.with_extension("part").join("package.json").exists()
    });
}

#[test]
#[ignore = "installs from a registry: run with --ignored"]
fn apt_installs_once_for_ten_commands_and_repairs() {
    let _apt = crate::lock_apt();
    let apt = |verb: &str| {
        let args = ["-o", "DPkg::Lock::Timeout=300", verb, "-qy", "tree"];
        let output = Command::new("apt-get").args(args).output().unwrap();
        assert!(output.status.success(), "apt-get as root succeeds");
    };
    let was_installed = Path::new("/usr/bin/tree").exists();
    apt("remove");
    check_install_and_repair(&context_with_registries(), "apt", "tree");
    if !was_installed {
        apt("remove");
    }
}

#[test]
#[ignore = "installs from a registry: run with --ignored"]
fn uv_installs_once_for_ten_commands_and_repairs() {
    check_install_and_repair(&context_with_uv(), "uv", "pycodestyle");
}

#[test]
#[ignore = "installs from a registry: run with --ignored"]
fn uv_completes_an_install_that_was_killed() {
    check_killed_install(&context_with_uv(), "uv", "pycodestyle", |prefix| {
        prefix.with_extension("part").join("pycodestyle/bin/python").exists()
    });
}

#[test]
#[ignore = "installs from a registry: run with --ignored"]
fn rigup_installs_a_missing_uv_with_pip() {
    let context = context_with_registries();
    check_binary(
        &context,
        "pycodestyle",
        &context.run(&["install", "pycodestyle", "--binproviders", "uv"]).succeeds().record(),
    );
    assert_eq!(attempts(&context), ["uv pycodestyle", "env uv", "pip uv", "uv pycodestyle"]);
}

#[test]
#[ignore = "installs from a registry: run with --ignored"]
fn uv_and_pnpm_enforce_the_minimum_release_age() {
    let mut context = context_with_uv();
    put_pnpm_on_path(&mut context);
    for (provider, name) in [("uv", "pycodestyle"), ("pnpm", "json")] {
        let install = ["install", name, "--binproviders", provider, "--min-release-age"];
        let record = context.run(&[&install[..], &["9000"]].concat()).exits_with(1).record();
        assert_eq!(record["attempts"][0]["outcome"], "failed", "{record}");
        assert!(!context.bin(name).exists(), "no release is as old as 9,000 days");
        check_binary(&context, name, &context.run(&[&install[..], &["0.5"]].concat()).succeeds().record());
    }
}

#[test]
#[ignore = "installs from a registry: run with --ignored"]
fn uv_builds_nothing_without_postinstall_scripts() {
    let context = context_with_uv();
    // docopt has no wheels, only a source distribution.
    let install = ["install", "docopt", "--binproviders", "uv"];
    let reason = context.run(&install).exits_with(1).record()["last_error"].clone();
    assert!(
        reason.as_str().unwrap().ends_with("a package that must be built needs --postinstall-scripts"),
        "{reason}"
    );
}

/// Puts a version of pnpm on PATH that also runs on older versions of Node.js.
pub(crate) fn put_pnpm_on_path(context: &mut TestContext) {
    let folder = context.path("pnpm");
    let install = ["install", "--silent", "--no-audit", "--no-fund", "pnpm@10", "--prefix"];
    assert!(Command::new("npm").args(install).arg(&folder).status().unwrap().success());
    let bin = folder.join("node_modules/.bin");
    let path = format!("{}:{}/uv/bin:/usr/bin:/bin", bin.display(), context.path("").display());
    context.set("PATH", path);
}

#[test]
#[ignore = "installs from a registry: run with --ignored"]
fn pnpm_installs_once_for_ten_commands_and_repairs() {
    let mut context = context_with_registries();
    put_pnpm_on_path(&mut context);
    check_install_and_repair(&context, "pnpm", "json");
}

#[test]
#[ignore = "installs from a registry: run with --ignored"]
fn pnpm_completes_an_install_that_was_killed() {
    let mut context = context_with_registries();
    put_pnpm_on_path(&mut context);
    check_killed_install(&context, "pnpm", "json", |prefix| {
        prefix.with_extension("part").join("package.json").exists()
    });
}

#[test]
#[ignore = "installs from a registry: run with --ignored"]
fn a_pnpm_whose_launcher_has_no_shebang_runs() {
    let context = context_with_registries();
    let pnpm = ["install", "pnpm@12.21.0", "--binproviders", "npm", "--min-release-age", "0"];
    context.run(&pnpm).succeeds();
    let output = Command::new(context.bin("pnpm")).arg("--version").output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "12.21.0\n");
    let json = context.run(&["install", "json", "--binproviders", "pnpm"]).succeeds().record();
    check_binary(&context, "json", &json);
}

#[test]
#[ignore = "installs from a registry: run with --ignored"]
fn rigup_installs_a_missing_pnpm_with_npm() {
    let context = context_with_registries();
    check_binary(
        &context,
        "json",
        &context.run(&["install", "json", "--binproviders", "pnpm"]).succeeds().record(),
    );
    assert_eq!(attempts(&context), ["pnpm json", "env pnpm", "npm pnpm", "pnpm json"]);
}

/// Creates a context whose cargo is the one that runs these tests.
pub(crate) fn context_with_cargo() -> TestContext {
    let mut context = context_with_registries();
    let toolchain = Path::new(env!("CARGO")).parent().unwrap();
    context.set("PATH", format!("{}:/usr/bin:/bin", toolchain.display()));
    context
}

#[test]
#[ignore = "installs from a registry: run with --ignored"]
fn cargo_installs_once_for_ten_commands_and_repairs() {
    check_install_and_repair(&context_with_cargo(), "cargo", "shellharden");
}

#[test]
#[ignore = "installs from a registry: run with --ignored"]
fn cargo_completes_an_install_that_was_killed() {
    check_killed_install(&context_with_cargo(), "cargo", "shellharden", |prefix| {
        prefix.with_extension("part").exists()
    });
}

#[test]
#[ignore = "installs from a registry: run with --ignored"]
fn cargo_installs_the_newest_release_of_a_two_part_version() {
    let context = context_with_cargo();
    let overrides = json!({"cargo": {"packages": ["shellharden@4.2"]}});
    let line = json!({
        "type": "Binary", "name": "shellharden", "binproviders": "cargo", "overrides": overrides,
    });
    context.plugin("p", &[line]);
    let record = context
        .run(&["install"])
        .succeeds()
        .stderr_contains("cargo cannot enforce min_release_age and")
        .record();
    assert!(record["version"].as_str().unwrap().starts_with("4.2."), "{record}");
    let folder = context.path("data/lib").join(rigup::settings::platform()).join("cargo");
    assert_eq!(fs::read_dir(folder).unwrap().count(), 1, "only the prefix is left");
}

/// Sets PATH to the folder of a tool, followed by /usr/bin and /bin.
fn put_on_path(context: &mut TestContext, tool: &str) {
    let path = std::env::var_os("PATH").unwrap();
    let folder = std::env::split_paths(&path).find(|folder| folder.join(tool).is_file()).unwrap();
    context.set("PATH", format!("{}:/usr/bin:/bin", folder.display()));
}

/// Creates a context whose go finds the module `example.test/hello` in a local folder.
pub(crate) fn context_with_module() -> TestContext {
    let mut context = context_with_registries();
    let versions = "proxy/example.test/hello/@v";
    let module = "module example.test/hello\n\ngo 1.16\n";
    context.write(&format!("{versions}/list"), "v1.2.0\n");
    context
        .write(&format!("{versions}/v1.2.0.info"), r#"{"Version":"v1.2.0","Time":"2024-01-01T00:00:00Z"}"#);
    context.write(&format!("{versions}/v1.2.0.mod"), module);
    let source_dir = "zip/example.test/hello@v1.2.0";
    context.write(&format!("{source_dir}/go.mod"), module);
    let program =
        "package main\n\nimport \"os\"\n\nfunc main() { os.Stdout.WriteString(\"hello 1.2.0\\n\") }\n";
    context.write(&format!("{source_dir}/main.go"), program);
    // go rejects a zip file that has entries for folders.
    let zip = "import sys, zipfile\nwith zipfile.ZipFile(sys.argv[1], 'w') as archive:\n for name in sys.argv[2:]: archive.write(name)";
    let archive = context.path(versions).join("v1.2.0.zip");
    let files = ["go.mod", "main.go"].map(|name| format!("example.test/hello@v1.2.0/{name}"));
    let mut python = Command::new("python3");
    python.args(["-c", zip]).arg(archive).args(files).current_dir(context.path("zip"));
    assert!(python.status().unwrap().success());
    put_on_path(&mut context, "go");
    context.set("GOPROXY", format!("file://{}", context.path("proxy").display()));
    context.set("GOSUMDB", "off");
    context.set("GOMODCACHE", context.path("modules"));
    // Without this flag, the module cache is read-only and cannot be removed.
    context.set("GOFLAGS", "-modcacherw");
    let overrides = json!({"go": ["example.test/hello"]});
    context.plugin(
        "p",
        &[json!({"type": "Binary", "name": "hello", "binproviders": "go", "overrides": overrides})],
    );
    context
}

#[test]
#[ignore = "needs go: run with --ignored"]
fn go_installs_once_for_ten_commands_and_repairs() {
    check_install_and_repair(&context_with_module(), "go", "hello");
}

#[test]
#[ignore = "needs go: run with --ignored"]
fn go_completes_an_install_that_was_killed() {
    check_killed_install(&context_with_module(), "go", "hello", |prefix| {
        prefix.with_extension("part").exists()
    });
}

#[test]
#[ignore = "needs go: run with --ignored"]
fn go_reports_a_missing_module_and_a_missing_program() {
    let context = context_with_module();
    let check_reason = |name: &str, package: &str, reason: &str| {
        let overrides = json!({"go": [package]});
        let line = json!({"type": "Binary", "name": name, "binproviders": "go", "overrides": overrides});
        context.plugin("q", &[line]);
        let record = context.run(&["install", "--plugins", "q"]).exits_with(1).record();
        assert!(record["last_error"].as_str().unwrap().contains(reason), "{record}");
    };
    check_reason("none", "example.test/none@v1.0.0", "go: example.test/none@v1.0.0");
    check_reason(
        "hallo",
        "example.test/hello@v1.2.0",
        "go installed example.test/hello, which has no program named hallo; it has hello",
    );
}

/// A Ruby script that builds a gem, a gem that depends on it, and an index of both.
const GEMS: &str = r##"
require "rubygems/package"
Dir.mkdir "bin"
Dir.mkdir "lib"
File.write "lib/rigup_words.rb", "WORDS = 'hello 1.2.0'\n"
File.write "bin/hello", "#!/usr/bin/env ruby\nrequire 'rigup_words'\nputs WORDS\n"
common = ->(s, name) { s.name, s.version, s.summary, s.authors = name, "1.2.0", "a test", ["rigup"] }
words = Gem::Specification.new { |s| common.(s, "rigup-words"); s.files = ["lib/rigup_words.rb"] }
hello = Gem::Specification.new do |s|
  common.(s, "rigup-hello")
  s.files, s.bindir, s.executables = ["bin/hello"], "bin", ["hello"]
  s.add_dependency "rigup-words", "~> 1.0"
end
require "fileutils"
FileUtils.mkdir_p ["gems", "quick/Marshal.4.8"]
[words, hello].each do |spec|
  File.rename Gem::Package.build(spec), "gems/#{spec.full_name}.gem"
  File.binwrite "quick/Marshal.4.8/#{spec.full_name}.gemspec.rz", Zlib::Deflate.deflate(Marshal.dump(spec))
end
index = [words, hello].map { |spec| [spec.name, spec.version, "ruby"] }
{ "specs" => index, "latest_specs" => index, "prerelease_specs" => [] }.each do |name, list|
  File.binwrite "#{name}.4.8.gz", Gem::Util.gzip(Marshal.dump(list))
end
"##;

/// Creates a context whose gem finds two gems in a local folder.
pub(crate) fn context_with_gems() -> TestContext {
    let mut context = context_with_registries();
    let script = context.write("gems/make.rb", GEMS);
    let made = Command::new("ruby").arg(script).current_dir(context.path("gems")).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let sources = format!(":sources:\n- file://{}/\n", context.path("gems").display());
    put_on_path(&mut context, "gem");
    context.set("GEMRC", context.write("gemrc", sources));
    let overrides = json!({"gem": ["rigup-hello"]});
    let line = json!({"type": "Binary", "name": "hello", "binproviders": "gem", "overrides": overrides});
    context.plugin("p", &[line]);
    context
}

#[test]
#[ignore = "needs gem: run with --ignored"]
fn gem_installs_once_for_ten_commands_and_repairs() {
    let context = context_with_gems();
    check_install_and_repair(&context, "gem", "hello");
    // The program does not depend on the user's own gem folders.
    for home in ["", "/nonexistent"] {
        let mut hello = Command::new(context.bin("hello"));
        hello.env_remove("GEM_HOME").env_remove("GEM_PATH");
        if !home.is_empty() {
            hello.env("GEM_HOME", home).env("GEM_PATH", home);
        }
        assert_eq!(String::from_utf8_lossy(&hello.output().unwrap().stdout), "hello 1.2.0\n");
    }
}

#[test]
#[ignore = "installs from registries: run with --ignored"]
fn a_maximum_version_selects_the_newest_release_up_to_it() {
    let install = |context: &TestContext, name: &str, provider: &str, max: &str| {
        context.run(&["install", name, "--binproviders", provider, "--max-version", max])
    };
    let context = context_with_uv();
    for (provider, name, max, expected) in [
        ("pip", "pycodestyle", "2.10", "2.10.0"),
        ("uv", "pycodestyle", "2.9", "2.9.0"),
        ("npm", "json", "10", "10.0.0"),
        ("npm", "json", "9.0.5", "9.0.4"),
    ] {
        let record = install(&context, name, provider, max);
        assert_eq!(record.record()["version"], expected, "{provider} {name} {record:?}");
    }
    let gems = context_with_gems();
    assert_eq!(install(&gems, "hello", "gem", "1.2").succeeds().record()["version"], "1.2.0");
    let none = install(&gems, "hello", "gem", "1.1").exits_with(1);
    assert!(none.record()["last_error"].as_str().unwrap().contains("hello"), "{none:?}");
}

#[test]
#[ignore = "needs gem: run with --ignored"]
fn gem_completes_an_install_that_was_killed() {
    check_killed_install(&context_with_gems(), "gem", "hello", |prefix| {
        prefix.with_extension("part").exists()
    });
}

#[test]
#[ignore = "needs gem: run with --ignored"]
fn gem_reports_the_cause_if_a_gem_does_not_exist() {
    let context = context_with_gems();
    let record = context.run(&["install", "rigup-none", "--binproviders", "gem"]).exits_with(1).record();
    let reason = record["last_error"].as_str().unwrap();
    assert!(reason.contains("Could not find a valid gem 'rigup-none'"), "{reason}");
    let record = context.run(&["install", "rigup-words", "--binproviders", "gem"]).exits_with(1).record();
    let reason = record["last_error"].as_str().unwrap();
    assert!(reason.ends_with("gem installed rigup-words, which has no program of that name"), "{reason}");
}

#[test]
#[ignore = "installs from a registry: run with --ignored"]
fn upgrade_goes_to_the_newest_version_that_the_requirement_allows() {
    let context = context_with_registries();
    let require = |maximum: &str, name: &str, provider: &str| json!({"type": "Binary", "name": name, "binproviders": provider, "max_version": maximum});
    context.plugin("p", &[require("2.11.0", "pycodestyle", "pip"), require("10.0.0", "json", "npm")]);
    context.run(&["install"]).succeeds();
    context.plugin("p", &[require("2.12.0", "pycodestyle", "pip"), require("11.0.0", "json", "npm")]);
    let upgraded = context.run(&["upgrade"]).succeeds();
    assert!(upgraded.stderr.contains("pycodestyle: 2.11.0 -> 2.12.0"), "{}", upgraded.stderr);
    assert!(upgraded.stderr.contains("json: 10.0.0 -> 11.0.0"), "{}", upgraded.stderr);
    let again = context.run(&["upgrade", "pip:pycodestyle"]).succeeds();
    assert!(again.stderr.contains("pycodestyle is up to date (2.12.0)"), "{}", again.stderr);
}
