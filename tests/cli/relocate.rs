//! `rigup hook relocate`: what a provider installed still works after its folder was moved.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use crate::test_context::TestContext;

#[test]
fn a_relocated_prefix_works_after_it_was_moved() {
    let context = TestContext::new();
    let name = format!("it's a \"long\" prefix {}", "x".repeat(120));
    let prefix = context.path(&name);
    let file = |path: &str, content: &str| context.script(&format!("{name}/{path}"), content);
    // A Python that prints the path of its script.
    file("lib/python3", "#!/bin/sh\necho python \"$(basename \"$1\")\" \"$2\"\n");
    fs::create_dir_all(prefix.join("bin")).unwrap();
    symlink(prefix.join("lib/python3"), prefix.join("bin/python3")).unwrap();
    let quoted = shlex::try_quote(prefix.to_str().unwrap()).unwrap();
    file("bin/plain", &format!("#!{}/bin/python3\n", prefix.display()));
    let by_pip = |path: &str| format!("#!/bin/sh\n'''exec' {path} \"$0\" \"$@\"\n' '''\n");
    file("bin/by-pip", &by_pip(&format!("\"{}/bin/python3\"", prefix.display())));
    file("bin/by-uv", &by_pip(&format!("{quoted}/bin/python3")));
    symlink("python3", prefix.join("lib/helper")).unwrap();
    file("bin/by-env", &format!("#!/usr/bin/env -S {}/lib/helper\n", prefix.display()));
    let text = format!("ELF{}", prefix.display());
    file("bin/binary", &text);
    let before = fs::metadata(prefix.join("bin/plain")).unwrap();
    let launchers = ["plain", "by-pip", "by-uv", "by-env"];
    let contents = || launchers.map(|name| fs::read_to_string(prefix.join("bin").join(name)).unwrap());

    let relocate = ["hook", "relocate", prefix.to_str().unwrap()];
    assert_eq!(context.run(&relocate).succeeds().stderr, "");
    let once = contents();
    let after = fs::metadata(prefix.join("bin/plain")).unwrap();
    assert_eq!((after.mode(), after.mtime_nsec()), (before.mode(), before.mtime_nsec()));
    context.run(&relocate).succeeds();
    assert_eq!(contents(), once, "a second run changes nothing");
    assert_eq!(fs::read_to_string(prefix.join("bin/binary")).unwrap(), text);

    let moved = context.path("moved to");
    fs::rename(&prefix, &moved).unwrap();
    symlink(moved.join("bin/plain"), context.path("link")).unwrap();
    let programs = launchers.map(|name| moved.join("bin").join(name));
    for program in programs.iter().chain([&context.path("link")]) {
        let output = Command::new(program).arg("a b").output().unwrap();
        let expected = format!("python {} a b\n", program.file_name().unwrap().to_str().unwrap());
        assert_eq!(String::from_utf8_lossy(&output.stdout), expected, "{output:?}");
    }
}

#[test]
fn a_relocated_venv_has_no_files_that_nothing_needs() {
    let context = TestContext::new();
    let venv = context.path("venv");
    let configuration = "home = /usr/bin\ncommand = python3 -m venv /somewhere\nversion = 3.11\n";
    context.write("venv/pyvenv.cfg", configuration);
    context.write("venv/uv-receipt.toml", "[tool.options]\nindex = [{ url = \"https://me:secret@host\" }]\n");
    let kept = "activate-global-python-argcomplete";
    for name in ["activate", "Activate.ps1", "activate_this.py", "deactivate.nu", kept] {
        context.write(&format!("venv/bin/{name}"), "");
    }
    context.run(&["hook", "relocate", venv.to_str().unwrap()]).succeeds();
    let names = |folder: &str| {
        let entries = fs::read_dir(venv.join(folder)).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    };
    assert_eq!(names("."), ["bin", "pyvenv.cfg"]);
    assert_eq!(names("bin"), [kept]);
    let left = fs::read_to_string(venv.join("pyvenv.cfg")).unwrap();
    assert_eq!(left, "home = /usr/bin\nversion = 3.11\n");
}

#[test]
fn a_folder_in_the_part_of_a_prefix_is_relocated_and_replaces_it() {
    let context = TestContext::new();
    let lib_dir = context.run(&["hook", "prefix", "--provider", "p", "--", "--name=x"]).succeeds().stdout;
    let prefix = Path::new(lib_dir.trim_end());
    for version in ["1.0", "2.0"] {
        let built = prefix.with_extension("part").join("venv");
        fs::create_dir_all(built.join("bin")).unwrap();
        fs::write(built.join("bin/real"), format!("#!/bin/sh\necho {version}\n")).unwrap();
        fs::set_permissions(built.join("bin/real"), fs::Permissions::from_mode(0o755)).unwrap();
        symlink(built.join("bin/real"), built.join("bin/x")).unwrap();
        let (built, program) = (built.to_str().unwrap(), prefix.join("bin/x"));
        let flags =
            ["--built", built, "--relocate", "--abspath", program.to_str().unwrap(), "--", "--name=x"];
        let record =
            context.run(&[&["hook", "binary", "--provider", "p"], &flags[..]].concat()).succeeds().record();
        assert_eq!(
            (&record["abspath"], &record["version"]),
            (&program.to_str().unwrap().into(), &version.into())
        );
        assert_eq!(fs::read_link(program).unwrap(), Path::new("real"));
        assert!(!prefix.with_extension("part").exists(), "the rest of the folder is removed");
    }
}

#[test]
fn a_relocated_python_script_keeps_its_meaning() {
    let context = TestContext::new();
    let prefix = context.path("a prefix");
    let python = which::which("python3").unwrap();
    fs::create_dir_all(prefix.join("bin")).unwrap();
    symlink(python, prefix.join("bin/python3")).unwrap();
    let path = context.script("a prefix/bin/tool.py", "");
    let start = format!("#!{}/bin/python3\n# coding: latin-1\n", prefix.display());
    let body = b"\"\"\"Usage: t\xe9\"\"\"\nfrom __future__ import annotations\nimport helper, os, sys\n\
        def f(x: Missing): pass\n\
        print(ascii(__doc__), os.path.basename(sys.argv[0]), sys.argv[1:], __name__, helper.X)\n\
        print(os.path.dirname(os.path.realpath(__file__)) == sys.path[0])\n\
        if sys.argv[1:] == ['fail']: raise ValueError\n";
    fs::write(&path, [start.as_bytes(), body].concat()).unwrap();
    fs::write(prefix.join("bin/helper.py"), "X = 5\n").unwrap();
    let run = |path: &std::path::Path, argument: &str| {
        let output = Command::new(path).arg(argument).env("PYTHONDONTWRITEBYTECODE", "1").output().unwrap();
        [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap())
    };
    let output =
        Command::new(prefix.join("bin/python3")).args([path.to_str().unwrap(), "a b"]).output().unwrap();
    let before = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
    let _ = fs::remove_dir_all(prefix.join("bin/__pycache__"));
    let expected = "'Usage: t\\xe9' tool.py ['a b'] __main__ 5\nTrue\n";
    assert_eq!(before, [expected, ""]);

    let relocate = ["hook", "relocate", prefix.to_str().unwrap()];
    assert_eq!(context.run(&relocate).succeeds().stderr, "");
    let once = fs::read(&path).unwrap();
    assert_eq!(context.run(&relocate).succeeds().stderr, "");
    assert_eq!(fs::read(&path).unwrap(), once, "a second run changes nothing");
    let moved = context.path("moved to");
    fs::rename(&prefix, &moved).unwrap();
    let path = moved.join("bin/tool.py");
    symlink(&path, context.path("link.py")).unwrap();
    assert_eq!(run(&path, "a b"), before);
    assert_eq!(run(&context.path("link.py"), "a b")[0], expected.replace("tool.py", "link.py"));
    let [_, traceback] = run(&path, "fail");
    let line = format!("File \"{}\", line 9, in <module>", moved.join("bin/.scripts/tool.py").display());
    assert!(traceback.contains(&line), "{traceback}");

    // An interpreter that is gone is noticed.
    let line = serde_json::json!({"type": "Binary", "name": path, "binproviders": "env"});
    context.plugin("p", &[line]);
    context.run(&["install"]).succeeds();
    fs::remove_file(moved.join("bin/python3")).unwrap();
    context.run(&["install"]).exits_with(1).stderr_contains("needs the interpreter");
}

#[test]
fn relocate_names_the_scripts_that_cannot_be_moved() {
    let context = TestContext::new();
    let prefix = context.path("prefix");
    let script = context.script("prefix/bin/x", &format!("#!/usr/bin/env node\n'{}'\n", prefix.display()));
    let output = context.run(&["hook", "relocate", prefix.to_str().unwrap()]).succeeds();
    output.stderr_contains(&format!("{} works only in this folder", script.display()));
    let no_prefix = context.path("none");
    context
        .run(&["hook", "relocate", no_prefix.to_str().unwrap()])
        .exits_with(3)
        .stderr_contains("cannot relocate");
}
