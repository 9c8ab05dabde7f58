//! The built-in providers, as far as that goes without a registry; `tests/real` has the rest.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::{Value, json};

use crate::test_context::TestContext;

#[test]
fn the_built_in_providers_are_there_without_any_folder() {
    let context = TestContext::new();
    let hooks = context.run(&["hook", "list", "BinaryRequestEvent"]).succeeds().records();
    let order: Vec<(u64, &str)> = hooks
        .iter()
        .map(|hook| (hook["order"].as_u64().unwrap(), hook["plugin"].as_str().unwrap()))
        .collect();
    let first = [(0, "env"), (10, "npm"), (11, "pip"), (12, "brew"), (13, "apt")];
    let more = [(14, "uv"), (15, "pnpm"), (16, "cargo"), (17, "go"), (18, "gem"), (19, "node"), (20, "bash")];
    assert_eq!(order, [&first[..], &more].concat());
}

#[test]
fn a_provider_of_ones_own_replaces_the_built_in_one_of_its_name() {
    let context = TestContext::new();
    context.provider("env", "#!/bin/sh\necho mine >&2\n");
    context
        .run(&["install", "sh", "--binproviders", "env"])
        .exits_with(1)
        .stderr_contains("env declined: mine");
}

#[test]
fn env_never_finds_the_link_that_rigup_made() {
    let mut context = TestContext::new();
    context.script("tools/one", "#!/bin/sh\necho 1.0\n");
    context.set(
        "PATH",
        format!("{}:{}:/usr/bin:/bin", context.bin("").display(), context.path("tools").display()),
    );
    for _ in 0..2 {
        let record = context.run(&["install", "one", "--force"]).succeeds().record();
        assert_eq!(record["abspath"], context.path("tools/one").to_str().unwrap());
    }
}

#[test]
fn a_provider_without_its_package_manager_declines_and_says_what_to_install() {
    let mut context = TestContext::new();
    let tools = context.path("tools");
    fs::create_dir(&tools).unwrap();
    for tool in ["sh", "env", "id", "find", "grep", "cat", "mkdir", "rm", "mv", "ls", "sed", "tr", "head"] {
        std::os::unix::fs::symlink(Path::new("/usr/bin").join(tool), tools.join(tool)).unwrap();
    }
    context.set("PATH", tools);
    let record = context
        .run(&["install", "no-such-tool", "--binproviders", "npm,pip,brew,apt"])
        .exits_with(1)
        .record();
    let attempts = record["attempts"].as_array().unwrap();
    for (attempt, reason) in attempts.iter().zip([
        "node is not on PATH",
        "python3 is not on PATH",
        "brew is not on PATH",
        "apt-get is not on PATH",
    ]) {
        assert_eq!(attempt["outcome"], "declined", "{attempt}");
        assert!(attempt["reason"].as_str().unwrap().starts_with(reason), "{attempt}");
    }
}

#[test]
fn what_a_provider_needs_is_got_once_it_declines_without_it() {
    let context = TestContext::new();
    context.fixture("good");
    context.provider(
        "picky",
        "#!/bin/sh\ncommand -v pickle >/dev/null || { echo no pickle >&2; exit 0; }\n\
        \"$RIGUP\" hook binary --provider picky --abspath /bin/sh -- \"$@\"\n",
    );
    let need = json!({"type": "Binary", "name": "pickle", "binproviders": "env,good"});
    context.write("here/providers/picky/binaries.jsonl", need.to_string());
    context.plugin("p", &[json!({"type": "Binary", "name": "x", "binproviders": "picky"})]);

    assert_eq!(
        context.run(&["install", "--dry-run"]).succeeds().records().len(),
        1,
        "a need is no requirement by itself"
    );
    assert_eq!(context.run(&["install"]).succeeds().record()["binprovider"], "picky");
    let asked: Vec<Value> = context.hook_processes().iter().map(|hook| hook["plugin"].clone()).collect();
    assert_eq!(asked, ["picky", "env", "good", "picky"]);
    assert_eq!(context.run(&["binary", "show", "pickle"]).succeeds().record()["binprovider"], "good");
    context.run(&["install", "--force"]).succeeds();
    assert_eq!(context.hook_processes().len(), 5, "a provider that does not decline needs nothing more");
}

#[test]
fn a_need_that_another_request_got_meanwhile_counts_as_well() {
    let context = TestContext::new();
    context.provider(
        "picky",
        "#!/bin/sh\nfor arg; do case $arg in --name=*) asked=$DATA_DIR/asked-${arg#--name=} ;; esac; done\n\
        command -v pickle >/dev/null || { : >\"$asked\"; echo no pickle >&2; exit 0; }\n\
        \"$RIGUP\" hook binary --provider picky --abspath /bin/sh -- \"$@\"\n",
    );
    // The pickle comes only once both have been asked, and have found none.
    context.provider(
        "jar",
        "#!/bin/sh\nuntil [ -e \"$DATA_DIR/asked-x\" ] && [ -e \"$DATA_DIR/asked-y\" ]; do :; done\n\
        \"$RIGUP\" hook binary --provider jar --abspath /bin/sh -- \"$@\"\n",
    );
    let need = json!({"type": "Binary", "name": "pickle", "binproviders": "jar"});
    context.write("here/providers/picky/binaries.jsonl", need.to_string());
    let line = |name: &str| json!({"type": "Binary", "name": name, "binproviders": "picky"});
    context.plugin("p", &[line("x"), line("y")]);
    let records = context.run(&["install"]).succeeds().records();
    assert!(records.iter().all(|record| record["binprovider"] == "picky"), "{records:?}");
}

#[test]
fn a_need_that_cannot_be_met_is_told() {
    let context = TestContext::new();
    context.provider("picky", "#!/bin/sh\necho no pickle >&2\n");
    let need = json!({"type": "Binary", "name": "pickle", "binproviders": "env"});
    context.write("here/providers/picky/binaries.jsonl", need.to_string());
    let output = context.run(&["install", "x", "--binproviders", "picky"]).exits_with(1);
    output.stderr_contains(
        "warning: x: picky requires pickle, which cannot be installed: env declined: pickle is not on PATH",
    )
    .stderr_contains("picky declined: no pickle");
}

/// A place where the stand-in for Homebrew is on PATH, and the user whom Homebrew does not refuse.
fn context_with_brew() -> TestContext {
    let mut context = TestContext::new();
    let brew = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/bin/brew")).unwrap();
    context.script("brew/bin/brew", &brew);
    // Homebrew asks `id` who it is; rigup's own tests may run as root.
    context.script("brew/bin/id", "#!/bin/sh\n[ \"$1\" = -u ] && echo 1000 || exec /usr/bin/id \"$@\"\n");
    fs::set_permissions(context.path("brew"), fs::Permissions::from_mode(0o755)).unwrap();
    context.set("PATH", format!("{}:/usr/bin:/bin", context.path("brew/bin").display()));
    context.set("HOMEBREW_PREFIX", context.path("brew"));
    context
}

#[test]
fn brew_installs_a_formula_and_links_what_is_in_its_keg() {
    let context = context_with_brew();
    context.plugin("p", &[json!({
        "type": "Binary", "name": "rg", "binproviders": "brew", "overrides": {"brew": {"packages": ["ripgrep"]}},
    })]);
    let record = context.run(&["install"]).succeeds().record();
    assert_eq!(record["binprovider"], "brew");
    assert!(record["abspath"].as_str().unwrap().ends_with("/opt/ripgrep/bin/rg"), "{record}");
    assert!(context.bin("rg").exists());
}

#[test]
fn brew_declines_a_formula_that_it_does_not_know() {
    let context = context_with_brew();
    let record =
        context.run(&["install", "no-such-formula", "--binproviders", "brew"]).exits_with(1).record();
    assert_eq!(record["attempts"][0]["outcome"], "declined");
    assert_eq!(record["attempts"][0]["reason"], "Homebrew has no formula no-such-formula");
}

#[test]
fn brew_declines_for_root_as_homebrew_does() {
    let mut context = context_with_brew();
    fs::remove_file(context.path("brew/bin/id")).unwrap();
    context.script("brew/bin/id", "#!/bin/sh\necho 0\n");
    context.set("HOME", context.path("home"));
    let record = context.run(&["install", "rg", "--binproviders", "brew"]).exits_with(1).record();
    assert_eq!(record["attempts"][0]["outcome"], "declined");
    assert!(record["attempts"][0]["reason"].as_str().unwrap().contains("refuses to run as root"));
}

#[test]
fn the_toolkit_answers_what_a_hook_asks() {
    let context = TestContext::new();
    let request = ["--name=rg", "--binproviders=apt,env", "--overrides={\"apt\":[\"ripgrep\",\"x\"]}"];
    let ask = |args: &[&str]| {
        let mut all = args.to_vec();
        all.push("--");
        all.extend(request);
        context.run(&all)
    };
    assert_eq!(ask(&["hook", "packages", "--provider", "apt"]).succeeds().stdout, "ripgrep\nx\n");
    assert_eq!(ask(&["hook", "packages", "--provider", "npm"]).succeeds().stdout, "rg\n");
    let option =
        ["hook", "packages", "--provider", "pip", "--", "--name=rg", "--overrides={\"pip\":[\"-e\"]}"];
    context.run(&option).exits_with(2).stderr_contains("starts with `-`");
    ask(&["hook", "accepts", "--provider", "apt"]).succeeds();
    ask(&["hook", "accepts", "--provider", "pip"]).exits_with(10).stderr_contains("apt,env");
    assert_eq!(
        ask(&["hook", "override", "key", "--provider", "apt"]).succeeds().stdout,
        "",
        "a list has no keys"
    );
    let said = |key: &str| {
        let overrides = "--overrides={\"x\":{\"text\":\"a\\nb\",\"list\":[1],\"none\":null}}";
        context
            .run(&["hook", "override", key, "--provider", "x", "--", "--name=x", overrides])
            .succeeds()
            .stdout
    };
    assert_eq!([said("text"), said("list"), said("none"), said("other")], ["a\nb\n", "[1]\n", "", ""]);
    let prefix = ask(&["hook", "prefix", "--provider", "pip"]).succeeds().stdout;
    assert!(prefix.ends_with("/pip/rg\n"), "{prefix}");
    let record = context.run(&["hook", "binary", "--name", "sh", "--provider", "env"]).succeeds().record();
    assert_eq!((record["type"].as_str(), record["name"].as_str()), (Some("Binary"), Some("sh")));
    context
        .run(&["hook", "binary", "--name", "no-such", "--provider", "env"])
        .exits_with(1)
        .stderr_contains("no-such is not on PATH");
    assert_eq!(
        context
            .run(&["hook", "binary", "--name", "no-such", "--provider", "env", "--or-decline"])
            .succeeds()
            .stdout,
        ""
    );
    assert!(!context.path("data").exists(), "the toolkit makes nothing");
}

#[test]
fn hook_begin_restarts_a_hook_without_an_exec_bit_or_a_shebang() {
    let body = "set -eu\neval \"$(\"$RIGUP\" hook begin --provider mine -- \"$@\")\"\n\
                \"$RIGUP\" hook binary --provider mine --abspath /bin/sh -- \"$@\"\n";
    for (mode, first_line) in [(0o644, "#!/bin/sh\n"), (0o644, ""), (0o755, "")] {
        let context = TestContext::new();
        let hook = "here/providers/mine/on_BinaryRequest__50_mine.sh";
        let path = context.script(hook, &format!("{first_line}{body}"));
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        let record = context.run(&["install", "x", "--binproviders", "mine"]).succeeds().record();
        assert_eq!(record["binprovider"], "mine", "mode {mode:o}, first line {first_line:?}: {record}");
    }
}

#[test]
fn hook_begin_takes_the_lock_and_then_sets_the_request() {
    let mut context = TestContext::new();
    let begin = ["hook", "begin", "--provider", "pip", "--", "--name=it", "--exact-version=1.2"];
    let lib_dir = context.run(&["hook", "prefix", "--provider", "pip", "--", "--name=it"]).succeeds().stdout;
    let prefix = lib_dir.trim_end();
    let locking = format!("\nRIGUP_LOCKED='{prefix}' exec \"$RIGUP\" hook lock 'pip/it' -- \"$@\"\n");
    let code = context.run(&begin).succeeds().stdout;
    assert!(code.ends_with(&locking), "{code}");
    context.set("RIGUP_LOCKED", prefix);
    let code = context.run(&begin).succeeds().stdout;
    let start = format!(
        "name='it'\nprefix='{prefix}'\npackages='it==1.2'\nmin_version=''\nexact_version='1.2'\nmin_release_age=7\n"
    );
    assert!(code.starts_with(&start), "{code}");
    let others = ["hook", "begin", "--provider", "pip", "--", "--name=it", "--binproviders=apt"];
    assert_eq!(context.run(&others).exits_with(10).stdout, "exit 10\n");
    let options = r#"--overrides={"pip":{"install_args":["--index-url=x"]}}"#;
    let refused =
        context.run(&["hook", "begin", "--provider", "pip", "--", "--name=it", options]).exits_with(2);
    assert_eq!(refused.stdout, "exit 2\n");
    refused.stderr_contains("may not use the option `--index-url=x`");
}

#[test]
fn what_a_provider_could_do_without_is_got_first_where_enough_requests_wait_for_it() {
    let hook = "#!/bin/sh\n\
        command -v faster >/dev/null && echo with >>\"$DATA_DIR/ways\" || echo without >>\"$DATA_DIR/ways\"\n\
        \"$RIGUP\" hook binary --provider slow --abspath /bin/sh -- \"$@\"\n";
    let need = json!({"type": "Binary", "name": "faster", "binproviders": "env,good", "pays_from": 3});
    let ways = |names: &[&str]| {
        let context = TestContext::new();
        context.fixture("good").provider("slow", hook);
        context.write("here/providers/slow/binaries.jsonl", need.to_string());
        let line = |name: &&str| json!({"type": "Binary", "name": name, "binproviders": "slow"});
        context.plugin("p", &names.iter().map(line).collect::<Vec<_>>());
        let output = context.run(&["install"]).succeeds();
        assert_eq!(
            output.stderr.contains("slow: installing faster first, which saves time for 3 requests"),
            names.len() == 3
        );
        fs::read_to_string(context.path("data/ways")).unwrap()
    };
    assert_eq!(ways(&["a", "b"]), "without\nwithout\n");
    assert_eq!(ways(&["a", "b", "c"]), "with\nwith\nwith\n");
}

#[test]
fn what_a_provider_could_do_without_and_cannot_be_got_stops_nobody() {
    let context = TestContext::new();
    context
        .provider("slow", "#!/bin/sh\n\"$RIGUP\" hook binary --provider slow --abspath /bin/sh -- \"$@\"\n");
    let need = json!({"type": "Binary", "name": "no-such", "binproviders": "env", "pays_from": 1});
    context.write("here/providers/slow/binaries.jsonl", need.to_string());
    context.plugin("p", &[json!({"type": "Binary", "name": "a", "binproviders": "slow"})]);
    context
        .run(&["install"])
        .succeeds()
        .stderr_contains("slow requires no-such, which cannot be installed: env declined");
    context.run(&["install", "--force"]).succeeds();
    let asked = context.hook_processes().iter().filter(|hook| hook["plugin"] == "env").count();
    assert_eq!(asked, 1, "what was not got lately is not tried again at once");
}
