//! `rigup uninstall`, `rigup binary delete` and what a failed attempt leaves behind.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::kernel;
use crate::shared_folders::FINDER;
use crate::test_context::{CommandOutput, TestContext, wait_until};

/// A provider that installs a program of 1,000 bytes into its prefix; `then` is what it does before it prints the record.
fn provider(then: &str) -> String {
    format!(
        "#!/bin/sh\nset -eu\nfor arg; do case $arg in --name=*) name=${{arg#--name=}} ;; esac; done\n\
         prefix=$(\"$RIGUP\" hook prefix --provider p -- \"$@\")\nmkdir -p \"$prefix/bin\"\n\
         (printf '#!/bin/sh\\n'; head -c 990 /dev/zero | tr '\\0' '#') >\"$prefix/bin/$name\"\n\
         chmod +x \"$prefix/bin/$name\"\n{then}\n\
         printf '{{\"type\":\"Binary\",\"name\":\"%s\",\"abspath\":\"%s\",\"version\":\"1\"}}\\n' \
         \"$name\" \"$prefix/bin/$name\"\n"
    )
}

impl TestContext {
    /// Returns a path below LIB_DIR.
    fn lib(&self, name: &str) -> PathBuf {
        self.bin("x").parent().unwrap().parent().unwrap().join(name)
    }

    /// Installs binaries with the provider `p`.
    fn install_p(&self, args: &[&str]) -> CommandOutput {
        self.run(&[&["install", "--binproviders", "p"], args].concat())
    }
}

#[test]
fn uninstall_removes_link_record_and_a_prefix_that_nothing_else_uses() {
    let context = TestContext::new();
    let shared =
        |name: &str| json!({"type": "Binary", "name": name, "overrides": {"p": {"install_root": "shared"}}});
    context.provider("p", &provider("")).plugin("two", &[shared("a"), shared("b")]);
    context.install_p(&["alone", "a", "b"]).succeeds();

    let preview = context.run(&["uninstall", "alone", "--dry-run"]).succeeds().record();
    assert!(context.lib("p/alone").exists() && context.bin("alone").is_symlink());
    let removed = context.run(&["uninstall", "alone"]).succeeds().record();
    assert_eq!(removed, preview);
    let path = context.lib("p/alone");
    let expected = json!({"type": "Uninstall", "name": "alone", "binprovider": "p", "removed": [path], "bytes": 1000,
        "reason": ""});
    assert_eq!(removed, expected);
    assert!(!path.exists() && !context.bin("alone").is_symlink());
    context.run(&["binary", "show", "alone"]).exits_with(1);
    context.run(&["uninstall", "alone"]).exits_with(1).stderr_contains("alone is not installed");

    let shown = context.run(&["uninstall", "a", "--force"]).succeeds().records();
    assert!(shown[0]["reason"].as_str().unwrap().ends_with("p/shared is kept: b uses it"), "{shown:?}");
    assert!(context.lib("p/shared/bin/b").exists() && !context.bin("a").is_symlink());
    context.run(&["uninstall", "b", "--force"]).succeeds();
    assert!(!context.lib("p/shared").exists());
    context.run(&["uninstall"]).exits_with(2);
    context.run(&["uninstall", "b", "--orphaned"]).exits_with(2);
}

#[test]
fn the_link_of_a_queued_binary_is_removed_with_its_record() {
    let context = TestContext::new();
    context.provider("p", &provider(""));
    for remove in [&["uninstall", "a"][..], &["binary", "delete", "a", "--yes"]] {
        context.install_p(&["a"]).succeeds();
        // As after a kill between the link and the record of an install.
        context.run(&["binary", "update", "a", "--status", "queued"]).succeeds();
        context.run(remove).succeeds();
        assert!(!context.bin("a").is_symlink(), "{remove:?}");
    }
    context.install_p(&["a"]).succeeds();
    fs::remove_file(context.bin("a")).unwrap();
    std::os::unix::fs::symlink("/bin/sh", context.bin("a")).unwrap();
    context.run(&["binary", "update", "a", "--status", "queued"]).succeeds();
    context.run(&["uninstall", "a"]).succeeds();
    assert_eq!(fs::read_link(context.bin("a")).unwrap(), Path::new("/bin/sh"));
}

#[test]
fn what_rigup_did_not_install_is_removed_by_its_own_command() {
    let mut context = TestContext::new();
    let tool = context.script("tools/tool", "#!/bin/sh\necho tool 1.2.0\n");
    context.set("PATH", format!("{}:/usr/bin:/bin", tool.parent().unwrap().display()));
    context.provider("p", &provider("")).provider("finder", FINDER);
    let config = r#"{"type": "object", "properties": {}, "package_commands": {"upgrade": "p up", "uninstall": "p remove"}}"#;
    context.run(&["install", "env:tool", "p:a", "finder:sh"]).succeeds();
    context.write("here/providers/p/config.json", config);
    for options in [&[][..], &["--dry-run"], &["--force"]] {
        let refused = context.run(&[&["uninstall", "tool", "a"], options].concat()).exits_with(1);
        let found = format!("cannot uninstall tool: env found it; remove {} the way it was", tool.display());
        let delete = "`rigup binary delete --yes tool` removes only its record and its link";
        let texts = [&*found, delete, "cannot uninstall a: p installed it; run `p remove a`"];
        assert!(texts.iter().all(|text| refused.stderr.contains(text)), "{}", refused.stderr);
        assert!(refused.stdout.is_empty() && context.bin("tool").exists() && context.bin("a").exists());
    }
    context.run(&["binary", "delete", "--yes", "tool"]).succeeds();
    assert!(!context.bin("tool").is_symlink());
    // Another provider that installs outside LIB_DIR has no command.
    let kept = context.run(&["uninstall", "sh"]).succeeds().record();
    assert!(kept["reason"].as_str().unwrap().contains("sh is kept: finder found or installed it"), "{kept}");
}

#[test]
fn what_a_plugin_requires_is_removed_only_with_force() {
    let context = TestContext::new();
    let line = json!({"type": "Binary", "name": "a", "binproviders": "p"});
    context
        .provider("p", &provider(""))
        .plugin("one", std::slice::from_ref(&line))
        .plugin("two", std::slice::from_ref(&line));
    context.run(&["install"]).succeeds();
    let file =
        |plugin: &str| context.path(&format!("here/plugins/{plugin}/binaries.jsonl:1")).display().to_string();
    let reason = format!(
        "error: cannot uninstall a: the plugins one ({}) and two ({}) require it; --force removes it all the same\n",
        file("one"),
        file("two")
    );
    assert_eq!(context.run(&["uninstall", "a"]).exits_with(1).stderr, reason);
    assert_eq!(context.run(&["uninstall", "a", "--dry-run"]).exits_with(1).stderr, reason);
    assert!(context.bin("a").exists());
    context.run(&["uninstall", "a", "--force"]).succeeds();
    assert!(!context.bin("a").is_symlink() && !context.lib("p/a").exists());
    context.run(&["uninstall", "--orphaned", "--force"]).exits_with(2);
}

#[test]
fn uninstall_orphaned_removes_only_what_rigup_made_and_no_record_names() {
    let context = TestContext::new();
    context.provider("p", &provider(""));
    context.install_p(&["used", "deleted"]).succeeds();
    context.run(&["binary", "delete", "deleted", "--yes"]).succeeds();
    for file in ["p/killed.part/f", "p/used.part/f", "p/mine/f", "q/mine/f", "q/mine.part/f"] {
        context.write(context.lib(file).to_str().unwrap(), "1234");
    }
    fs::create_dir(context.lib(".prefixes/p/killed")).unwrap();
    context.write(context.lib("p/mine.part/f").to_str().unwrap(), "1234");
    let list = |args: &[&str]| -> Vec<Value> {
        let output = context.run(&[&["uninstall", "--orphaned"], args].concat());
        output
            .records()
            .into_iter()
            .flat_map(|record| record["removed"].as_array().unwrap().clone())
            .collect()
    };
    let orphans = ["p/deleted", "p/killed.part", "p/used.part"].map(|path| json!(context.lib(path)));
    assert_eq!(list(&["--dry-run"]), orphans);
    assert_eq!(list(&[]), orphans);
    context
        .run(&["uninstall", "--orphaned"])
        .exits_with(1)
        .stderr_contains("confirm with --yes to remove 1008 B");
    assert!(context.lib("p/deleted").exists());
    context.run(&["uninstall", "--orphaned", "--yes"]).succeeds();
    let exists = |file: &str| context.lib(file).exists();
    assert_eq!(["p/used", "p/mine/f", "p/mine.part/f", "q/mine/f", "q/mine.part/f"].map(exists), [true; 5]);
    assert_eq!(["p/deleted", "p/killed.part", "p/used.part"].map(exists), [false; 3]);
    assert_eq!(context.run(&["uninstall", "--orphaned"]).succeeds().stdout, "");
}

#[test]
fn a_folder_in_the_place_of_a_removed_orphan_is_not_one() {
    let context = TestContext::new();
    let hook = "#!/bin/sh\nmkdir -p \"$LIB_DIR/p/x.part/half\"\nexec tail -f /dev/null\n";
    context.provider("p", hook);
    let rigup = context.start(&["install", "x", "--binproviders", "p"]);
    wait_until("the hook has created a folder", || context.lib("p/x.part/half").exists());
    context.kill_all(rigup);
    let orphaned = ["uninstall", "--orphaned", "--yes"];
    assert_eq!(context.run(&orphaned).succeeds().record()["removed"], json!([context.lib("p/x.part")]));
    let mine = context.write(context.lib("p/x/mine").to_str().unwrap(), "1234");
    assert_eq!(context.run(&orphaned).succeeds().stdout, "");
    assert!(mine.exists());
}

#[test]
fn a_prefix_that_another_data_dir_uses_is_not_orphaned() {
    let context = TestContext::new();
    context.provider("p", &provider(""));
    let lib_dir = context.path("shared");
    let other = context.path("other");
    let (lib, second) = (lib_dir.to_str().unwrap(), other.to_str().unwrap());
    context.install_p(&["x", "--lib-dir", lib]).succeeds();
    context.install_p(&["x", "--lib-dir", lib, "--data-dir", second]).succeeds();
    let kept = context.run(&["uninstall", "x", "--lib-dir", lib]).succeeds().record();
    assert!(kept["reason"].as_str().unwrap().contains("x of the data dir"), "{kept}");
    let orphans = || context.run(&["uninstall", "--orphaned", "--dry-run", "--lib-dir", lib]).succeeds();
    assert_eq!(orphans().records().len(), 0);
    // A copy of LIB_DIR is not used by the data dir of the original.
    let copy = context.path("copy");
    assert!(std::process::Command::new("cp").arg("-a").args([&lib_dir, &copy]).status().unwrap().success());
    let in_copy = ["uninstall", "--orphaned", "--dry-run", "--lib-dir", copy.to_str().unwrap()];
    assert_eq!(context.run(&in_copy).succeeds().records().len(), 2, "the prefix and the link");
    fs::remove_dir_all(other).unwrap();
    assert_eq!(orphans().records().len(), 2, "the other data dir is gone");
    // The user of another machine cannot be looked up from here.
    let markers = lib_dir.join(".prefixes/p/x");
    let marker = fs::read_dir(&markers).unwrap().next().unwrap().unwrap().path();
    let mut text: Value = serde_json::from_str(&fs::read_to_string(&marker).unwrap()).unwrap();
    (text["guid"], text["container"]) = ("another".into(), "another".into());
    fs::write(&marker, text.to_string()).unwrap();
    assert_eq!(orphans().records().len(), 0);
}

#[test]
fn a_failed_or_rejected_attempt_removes_what_it_installed() {
    let context = TestContext::new();
    let fail = "touch \"$prefix.part\"; [ \"$name\" = rejected ] || exit 1";
    context.provider("p", &provider(fail));
    context.install_p(&["failed"]).exits_with(1);
    context.install_p(&["rejected", "--min-version", "2"]).exits_with(1);
    for name in ["failed", "rejected"] {
        let paths = [format!("p/{name}"), format!("p/{name}.part"), format!(".prefixes/p/{name}")];
        assert_eq!(paths.map(|path| context.lib(&path).exists()), [false; 3], "{name}");
    }
    context.provider("p", &provider(""));
    context.install_p(&["failed"]).succeeds();
    context.provider("p", &provider(fail));
    context.install_p(&["failed", "--force"]).exits_with(1);
    assert!(context.lib("p/failed/bin/failed").exists(), "an earlier installation is kept");
    assert!(!context.lib("p/failed.part").exists(), "what is beside it is not");
}

#[test]
fn delete_waits_while_another_rigup_installs_the_same_name() {
    let context = TestContext::new();
    let gate = context.gate();
    context.provider("p", &provider("read -r _ <\"$DATA_DIR/gate\""));
    for command in [&["binary", "delete", "x", "--yes"][..], &["uninstall", "x"]] {
        // The record exists before the hook runs.
        let install = context.start(&["install", "--binproviders", "p", "x"]);
        wait_until("the hook waits", || !context.processes().is_empty() && context.count_live("/bin/sh") > 0);
        let delete = context.start(command);
        let waits = |line: &str| line.contains(command[0]) && line.contains(" x ");
        wait_until("the command runs", || context.live_processes().iter().any(|(_, line)| waits(line)));
        fs::write(&gate, "\n").unwrap();
        CommandOutput::new(&["install"], &install.wait_with_output().unwrap()).succeeds();
        CommandOutput::new(command, &delete.wait_with_output().unwrap()).succeeds();
        assert!(!context.bin("x").is_symlink());
        context.run(&["binary", "show", "x"]).exits_with(1);
    }
}

#[test]
fn installs_and_deletes_of_one_name_leave_a_link_only_with_a_record() {
    let context = TestContext::new();
    context.provider("p", &provider(""));
    context.install_p(&["x"]).succeeds();
    let commands: [&[&str]; 4] = [
        &["install", "--binproviders", "p", "x"],
        &["binary", "delete", "x", "--yes"],
        &["install", "--binproviders", "p", "x", "--force"],
        &["uninstall", "x"],
    ];
    std::thread::scope(|scope| {
        for command in commands {
            scope.spawn(|| {
                for _ in 0..10 {
                    let output = context.run(command);
                    assert!(!output.stderr.contains("the store") && output.code != Some(3), "{output:?}");
                }
            });
        }
    });
    let is_recorded = context.run(&["binary", "show", "x"]).code == Some(0);
    assert_eq!(context.bin("x").is_symlink(), is_recorded);
    context.install_p(&["x"]).succeeds();
    assert!(context.bin("x").exists());
}

#[test]
fn nothing_is_created_to_remove_what_is_not_there() {
    let context = TestContext::new();
    for args in [&["uninstall", "x"][..], &["binary", "delete", "x", "--yes"]] {
        context.run(args).exits_with(1);
        assert!(!context.path("data").exists(), "{args:?}");
    }
}

#[test]
fn a_binary_that_only_a_provider_requires_is_uninstalled_without_force() {
    let context = TestContext::new();
    context.provider("p", &provider("")).provider("q", "#!/bin/sh\n");
    let requirement = json!({"type": "Binary", "name": "tool", "binproviders": "p"});
    context.write("here/providers/q/binaries.jsonl", requirement.to_string());
    context.install_p(&["tool"]).succeeds();
    assert_eq!(context.run(&["list"]).succeeds().record()["required_by"], json!(["q"]));
    context.run(&["uninstall", "tool"]).succeeds();

    context.plugin("r", &[requirement]);
    context.install_p(&["tool"]).succeeds();
    context.run(&["uninstall", "tool"]).exits_with(1).stderr_contains("the plugin r (");
}

#[test]
fn nothing_is_removed_unless_every_name_can_be() {
    let context = TestContext::new();
    context.provider("p", &provider(""));
    context.install_p(&["a", "b", "c"]).succeeds();
    let provider = "there is no provider evil; `rigup hook list BinaryRequest` shows all providers";
    let missing = "error: nosuch is not installed; `rigup binary list` shows the binaries\n";
    let next = |names: &str| {
        format!(
            "error: nothing is removed unless everything can be; leave out what is named above to remove {names}\n"
        )
    };
    for (args, expected) in [
        (
            &["b", "a", "a", "evil:a"][..],
            format!("error: cannot uninstall evil:a: {provider}\n{}", next("b")),
        ),
        (&["a", "b@7"], format!("error: cannot uninstall b@7: b has 1; leave out `@7`\n{}", next("a"))),
        (&["a", "nosuch", "b", "c"], format!("{missing}{}", next("a, b and c"))),
        (&["a", "a@7"], "error: cannot uninstall a@7: a has 1; leave out `@7`\n".to_owned()),
        (&["nosuch"], missing.to_owned()),
    ] {
        for options in [&[][..], &["--dry-run"], &["--force"]] {
            let refused = context.run(&[&["uninstall"], args, options].concat()).exits_with(1);
            assert_eq!((&*refused.stdout, refused.stderr), ("", expected.clone()), "{args:?}");
        }
    }
    for options in [&[][..], &["--yes"], &["--dry-run"]] {
        let refused = context.run(&[&["binary", "delete", "a", "nosuch"], options].concat()).exits_with(1);
        let expected = format!(
            "error: no binary has the name or id `nosuch`; `rigup binary list` shows the binaries\n{}",
            next("a")
        );
        assert_eq!((&*refused.stdout, refused.stderr), ("", expected));
    }
    for name in ["a", "b", "c"] {
        assert!(context.bin(name).exists(), "{name}");
    }
    context.run(&["uninstall", "b", "c"]).succeeds();
    assert!(!context.bin("b").is_symlink() && !context.bin("c").is_symlink());
}

#[test]
fn a_binary_with_several_names_is_removed_once() {
    let context = TestContext::new();
    context.provider("p", &provider(""));
    context.install_p(&["a"]).succeeds();
    let removed = context.run(&["uninstall", "a", "p:a", "a", "a@1.0"]).succeeds();
    assert_eq!((removed.record()["name"].as_str(), &*removed.stderr), (Some("a"), ""));
    // Nothing is installed, so no provider differs from the one that the name asks for.
    context.run(&["install", "none", "--binproviders", "env"]).exits_with(1);
    context.run(&["uninstall", "evil:none"]).exits_with(1).stderr_contains("there is no provider evil");
    context.run(&["uninstall", "none"]).succeeds();
    let missing = "error: none is not installed; `rigup binary list` shows the binaries\n";
    assert_eq!(context.run(&["uninstall", "none", "p:none", "none"]).exits_with(1).stderr, missing);
}

#[test]
fn what_cannot_be_removed_is_an_error() {
    let namespaces = ["--user", "--map-root-user", "--mount"];
    if !kernel::unshares(&namespaces) {
        return;
    }
    let context = TestContext::new();
    context.provider("p", &provider(""));
    context.install_p(&["a"]).succeeds();
    let uninstall_with = |mount: &str, folder: &Path| {
        let script = format!("mount --bind \"$1\" \"$1\" && {mount}; shift; exec \"$@\"");
        let rigup = [env!("CARGO_BIN_EXE_rigup"), "uninstall", "a"];
        let args = [&namespaces[..], &["sh", "-c", &script, "sh", folder.to_str().unwrap()], &rigup].concat();
        let output = context.command_for(Path::new("unshare"), &args).output().unwrap();
        CommandOutput::new(&args, &output).exits_with(1)
    };
    let output = uninstall_with("mount -o remount,ro,bind \"$1\"", &context.lib(""));
    output
        .stderr_contains("error: a stays installed: cannot remove ")
        .stderr_contains("Read-only file system");
    context.run(&["load", "a"]).succeeds();
    let mounted = context.lib("p/a/bin");
    let output = uninstall_with("true", &mounted);
    assert!(output.stderr.starts_with("error: cannot remove what nothing uses: "), "{}", output.stderr);
    assert!(mounted.join("a").exists());
}

#[test]
fn a_prefix_without_evidence_is_kept_and_named() {
    let context = TestContext::new();
    context.provider("p", &provider(""));
    context.install_p(&["a"]).succeeds();
    fs::remove_dir_all(context.lib(".prefixes")).unwrap();
    let kept = context.run(&["uninstall", "a"]).succeeds().record();
    let path = context.lib("p/a");
    let reason = "is kept: nothing shows that rigup made it; if it did, remove the folder yourself";
    assert_eq!(kept["reason"], format!("{} {reason}", path.display()));
    assert!(path.exists() && kept["removed"] == json!([]));
}

#[test]
fn what_a_link_in_the_place_of_a_provider_folder_leads_to_is_kept() {
    for inside in [false, true] {
        let context = TestContext::new();
        context.provider("p", &provider(""));
        context.install_p(&["a", "b"]).succeeds();
        let target = if inside { context.lib("other") } else { context.path("out") };
        for name in ["a", "b"] {
            context.write(target.join(name).join("mine").to_str().unwrap(), "precious");
        }
        context.run(&["binary", "delete", "b", "--yes"]).succeeds();
        fs::rename(context.lib("p"), context.lib("p.old")).unwrap();
        std::os::unix::fs::symlink(&target, context.lib("p")).unwrap();
        let mine = || ["a", "b"].map(|name| target.join(name).join("mine").exists());
        context.run(&["uninstall", "--orphaned", "--yes"]).succeeds();
        assert_eq!(mine(), [true; 2]);
        let kept = context.run(&["uninstall", "a"]).succeeds().record();
        assert!(kept["reason"].as_str().unwrap().contains("nothing shows that rigup made it"), "{kept}");
        assert_eq!(mine(), [true; 2]);
        // What rigup installs through the link can be removed.
        context.install_p(&["c"]).succeeds();
        context.run(&["uninstall", "c"]).succeeds();
        assert!(!target.join("c").exists());
    }
}

#[test]
fn a_prefix_that_cannot_be_removed_now_can_be_removed_later() {
    let context = TestContext::new();
    context.provider("p", &provider(""));
    context.install_p(&["a"]).succeeds();
    let path = context.lib("p/a/bin");
    let change = |flag: &str| {
        let made = std::process::Command::new("chattr").arg(flag).arg(&path).output();
        made.is_ok_and(|output| output.status.success())
    };
    if !change("+i") {
        return kernel::print_skipped("chattr cannot make a folder immutable here");
    }
    let output = context.run(&["uninstall", "a"]);
    assert!(change("-i"));
    let next = "; remove the cause, then run `rigup uninstall --orphaned --yes`";
    output
        .exits_with(1)
        .stderr_contains(&format!("{}/a: Operation not permitted (os error 1){next}\n", path.display()));
    context.run(&["uninstall", "--orphaned", "--yes"]).succeeds();
    assert!(!context.lib("p/a").exists());
}
