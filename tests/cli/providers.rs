//! The built-in providers without registries (`tests/real` runs them with registries), and the requirements of
//! providers.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use serde_json::{Value, json};

use crate::builtin_providers;
use crate::test_context::TestContext;

#[test]
fn lists_the_built_in_providers_without_a_providers_folder() {
    let context = TestContext::new();
    let hooks = context.run(&["hook", "list", "BinaryRequestEvent"]).succeeds().records();
    let order: Vec<(u64, &str)> = hooks
        .iter()
        .map(|hook| (hook["order"].as_u64().unwrap(), hook["plugin"].as_str().unwrap()))
        .collect();
    let providers = builtin_providers::providers();
    let mut expected: Vec<(u64, &str)> =
        providers.iter().map(|provider| (builtin_providers::order(provider), provider.as_str())).collect();
    expected.sort_unstable();
    assert_eq!(order, expected);
    assert_eq!(order[0], (0, "env"));
}

#[test]
fn a_provider_replaces_the_built_in_one_of_the_same_name() {
    let context = TestContext::new();
    context.provider("env", "#!/bin/sh\necho mine >&2\n");
    context
        .run(&["install", "sh", "--binproviders", "env"])
        .exits_with(1)
        .stderr_contains("env declined: mine");
}

#[test]
fn env_ignores_the_link_in_lib_bin_dir() {
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
fn env_ignores_version_files_of_other_users_and_the_options_of_java() {
    let mut context = TestContext::new();
    let shim = r#"#!/bin/sh
version=${PYENV_VERSION:-}
while [ -z "$version" ]; do
    version=$(cat .python-version 2>/dev/null || { [ "$PWD" != / ] || echo 3.11.7; })
    cd ..
done
echo "Python $version"
"#;
    for path in ["shims/python3", "bin/rustup"] {
        context.script(path, shim);
    }
    symlink("rustup", context.path("bin/rustc")).unwrap();
    context.script("bin/java", "#!/bin/sh\n! env | grep JAVA || exit 1\necho 'openjdk 17.0.1' >&2\n");
    let [shims, bin, tmp] = ["shims", "bin", "tmp"].map(|folder| context.path(folder).display().to_string());
    context.write("tmp/.python-version", "3.12.1\n");
    context.set("TMPDIR", tmp).set("PATH", format!("{shims}:{bin}:/usr/bin:/bin"));
    context
        .set("JAVA_TOOL_OPTIONS", "-Dx.y=1.2.3")
        .set("_JAVA_OPTIONS", "-Dx=1.2")
        .set("JDK_JAVA_OPTIONS", "1.2");
    let version = |context: &TestContext, name: &str| {
        let output = context.run(&["install", name, "--binproviders", "env", "--force"]).succeeds();
        output.record()["version"].as_str().unwrap().to_owned()
    };
    assert_eq!(
        ["python3", "rustc", "java"].map(|name| version(&context, name)),
        ["3.11.7", "3.11.7", "17.0.1"]
    );
    context.set("PYENV_VERSION", "3.9.18");
    assert_eq!(version(&context, "python3"), "3.9.18", "a variable is the choice of the user");
}

#[test]
fn a_provider_declines_without_its_package_manager() {
    let mut context = TestContext::new();
    let tools = context.path("tools");
    fs::create_dir(&tools).unwrap();
    for tool in ["sh", "env", "id", "find", "grep", "cat", "mkdir", "rm", "mv", "ls", "sed", "tr", "head"] {
        std::os::unix::fs::symlink(Path::new("/usr/bin").join(tool), tools.join(tool)).unwrap();
    }
    context.set("PATH", tools);
    let record = context
        .run(&["install", "no-such-tool", "--binproviders", "npm,pip,brew,apt,dnf,zypper,pacman"])
        .exits_with(1)
        .record();
    let attempts = record["attempts"].as_array().unwrap();
    for (attempt, reason) in attempts.iter().zip([
        "node is not on PATH",
        "python3 is not on PATH",
        "brew is not on PATH",
        "apt-get is not on PATH",
        "dnf is not on PATH",
        "zypper is not on PATH",
        "pacman is not on PATH",
    ]) {
        assert_eq!(attempt["outcome"], "declined", "{attempt}");
        assert!(attempt["reason"].as_str().unwrap().starts_with(reason), "{attempt}");
    }
}

#[test]
fn installs_the_requirements_of_a_provider_that_declines() {
    let context = TestContext::new();
    context.fixture("good");
    context.provider(
        "picky",
        "#!/bin/sh\ncommand -v pickle >/dev/null || { echo no pickle >&2; exit 0; }\n\
        \"$RIGUP\" hook binary --provider picky --abspath /bin/sh -- \"$@\"\n",
    );
    let requirement = json!({"type": "Binary", "name": "pickle", "binproviders": "env,good"});
    context.write("here/providers/picky/binaries.jsonl", requirement.to_string());
    context.plugin("p", &[json!({"type": "Binary", "name": "x", "binproviders": "picky"})]);

    assert_eq!(
        context.run(&["install", "--dry-run"]).succeeds().records().len(),
        1,
        "the requirement of a provider is not planned by itself"
    );
    assert_eq!(context.run(&["install"]).succeeds().record()["binprovider"], "picky");
    let providers: Vec<Value> = context.hook_processes().iter().map(|hook| hook["plugin"].clone()).collect();
    assert_eq!(providers, ["picky", "env", "good", "picky"]);
    assert_eq!(context.run(&["binary", "show", "pickle"]).succeeds().record()["binprovider"], "good");
    context.run(&["install", "--force"]).succeeds();
    assert_eq!(context.hook_processes().len(), 5, "a provider that does not decline uses no requirement");
}

#[test]
fn tries_a_provider_again_if_another_request_installed_its_requirement() {
    let context = TestContext::new();
    context.provider(
        "picky",
        "#!/bin/sh\nfor arg; do case $arg in --name=*) declined=$DATA_DIR/declined-${arg#--name=} ;; esac; done\n\
        command -v pickle >/dev/null || { : >\"$declined\"; echo no pickle >&2; exit 0; }\n\
        \"$RIGUP\" hook binary --provider picky --abspath /bin/sh -- \"$@\"\n",
    );
    // The provider installs the requirement `pickle` only after both requests were declined.
    context.provider(
        "jar",
        "#!/bin/sh\nuntil [ -e \"$DATA_DIR/declined-x\" ] && [ -e \"$DATA_DIR/declined-y\" ]; do :; done\n\
        \"$RIGUP\" hook binary --provider jar --abspath /bin/sh -- \"$@\"\n",
    );
    let requirement = json!({"type": "Binary", "name": "pickle", "binproviders": "jar"});
    context.write("here/providers/picky/binaries.jsonl", requirement.to_string());
    let line = |name: &str| json!({"type": "Binary", "name": name, "binproviders": "picky"});
    context.plugin("p", &[line("x"), line("y")]);
    let records = context.run(&["install"]).succeeds().records();
    assert!(records.iter().all(|record| record["binprovider"] == "picky"), "{records:?}");
}

#[test]
fn does_not_try_a_provider_again_with_a_requirement_that_is_on_path() {
    let context = TestContext::new();
    context.provider("picky", "#!/bin/sh\necho no pickle >&2\n");
    let requirement = json!({"type": "Binary", "name": "sh", "binproviders": "env"});
    context.write("here/providers/picky/binaries.jsonl", requirement.to_string());
    let record = context.run(&["install", "x", "--binproviders", "picky"]).exits_with(1).record();
    assert_eq!(record["attempts"].as_array().unwrap().len(), 1, "{record}");
}

#[test]
fn warns_about_a_provider_requirement_that_cannot_be_installed() {
    let context = TestContext::new();
    context.provider("picky", "#!/bin/sh\necho no pickle >&2\n");
    let requirement = json!({"type": "Binary", "name": "pickle", "binproviders": "env"});
    context.write("here/providers/picky/binaries.jsonl", requirement.to_string());
    let output = context.run(&["install", "x", "--binproviders", "picky"]).exits_with(1);
    output
        .stderr_contains(
            "warning: picky requires pickle, which cannot be installed: env declined: pickle is not on PATH",
        )
        .stderr_contains("picky declined: no pickle");
}

/// Creates a context with the fake Homebrew on PATH and a fake `id` whose user is not root.
pub(crate) fn context_with_brew() -> TestContext {
    let mut context = TestContext::new();
    let brew = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/bin/brew")).unwrap();
    context.script("brew/bin/brew", &brew);
    // The tests may run as root, and the hook checks the user with `id`.
    context.script("brew/bin/id", "#!/bin/sh\n[ \"$1\" = -u ] && echo 1000 || exec /usr/bin/id \"$@\"\n");
    fs::set_permissions(context.path("brew"), fs::Permissions::from_mode(0o755)).unwrap();
    context.set("PATH", format!("{}:/usr/bin:/bin", context.path("brew/bin").display()));
    context.set("HOMEBREW_PREFIX", context.path("brew"));
    context
}

#[test]
fn brew_installs_a_formula_and_links_its_program() {
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
fn names_the_programs_of_a_package_that_has_none_of_the_requested_name() {
    let context = context_with_brew();
    // A provider with a prefix: a folder of programs, a venv, and the folder of npm with a program of a dependency.
    context.provider(
        "p",
        "#!/bin/sh\nroot=$LIB_DIR/p/x; bin=$root/bin\n\
        case $1 in\n\
        --name=my-venv) info=$root/lib/python3/site-packages/My_Venv-1.0.dist-info; mkdir -p \"$info\"\n\
        : >$root/pyvenv.cfg; echo ../../../bin/other,sha256=x,1 >\"$info/RECORD\" ;;\n\
        --name=my-node) bin=$root/node_modules/.bin; mkdir -p \"$bin\" \"$bin/../my-node\"; cp /bin/true \"$bin/../my-node/\"\n\
        ln -s ../my-node/true \"$bin/other\" ;;\n\
        esac\n\
        mkdir -p \"$bin\"; for name in other python dep; do [ -e \"$bin/$name\" ] || cp /bin/true \"$bin/$name\"; done\n\
        exec \"$RIGUP\" hook binary --provider p --abspath \"$bin/x\" -- \"$@\"\n",
    );
    for (name, provider, program, others, version) in [
        ("ripgrep", "brew", "rg", "", ""),
        ("plain", "p", "dep", ", other and python", "@1.5"),
        ("my-venv", "p", "other", "", ""),
        ("my-node", "p", "other", "", ""),
    ] {
        let requested = format!("{name}{version}");
        let record = context.run(&["install", &requested, "--binproviders", provider]).exits_with(1).record();
        let versions = if version.is_empty() { "" } else { r#","min_version":"1.5","max_version":"1.5""# };
        let line = format!(
            r#"{{"type":"BinaryRequest","name":"{program}","binproviders":"{provider}","overrides":{{"{provider}":["{name}"]}}{versions}}}"#
        );
        let expected = format!(
            "{provider} installed {name}, which has no program of that name; it has {program}{others}: \
             run `echo '{line}' | rigup apply`, or put the line into a plugin's binaries.jsonl"
        );
        let reason = record["attempts"][0]["reason"].as_str().unwrap();
        assert_eq!(reason.trim_start_matches("exit code 1: "), expected);
        fs::remove_dir_all(context.path("data")).unwrap();
    }
    let line = json!({"type": "BinaryRequest", "name": "rg", "binproviders": "brew", "overrides": {"brew": ["ripgrep"]}});
    context.plugin("p", &[line]);
    assert_eq!(context.run(&["install", "rg"]).succeeds().record()["binprovider"], "brew");
}

#[test]
fn open_registries_are_not_asked_for_a_pattern() {
    let context = TestContext::new();
    let providers = ["npm", "pip", "uv", "pnpm", "cargo", "go", "gem"];
    for name in ["cow*", "$(cow)", "cow?"] {
        let stderr =
            context.run(&["install", name, "--binproviders", &providers.join(",")]).exits_with(1).stderr;
        for provider in providers {
            let reason = format!("{provider} rejected: {name} is not the name of a package");
            assert!(stderr.contains(&reason), "{stderr}");
        }
    }
    assert!(context.hook_processes().is_empty());
}

#[test]
fn names_the_command_that_asks_open_registries_for_an_unknown_name() {
    let context = TestContext::new();
    context.provider("apt", "#!/bin/sh\necho no >&2\n").provider("brew", "#!/bin/sh\necho no >&2\n");
    for (args, same) in [
        (&["no-such"][..], "no-such"),
        (&["no-such@1.2"], "no-such@1.2"),
        (&["no-such", "--min-version", "2"], "no-such --min-version 2"),
    ] {
        let command = format!("run `rigup install {same} --binproviders npm,pip`");
        context
            .run(&[&["install"], args].concat())
            .exits_with(1)
            .stderr_contains(&format!("to try npm and pip, to which anyone can publish, {command}"));
    }
    for args in
        [&["install", "no-such", "--binproviders", "env"][..], &["load", "no-such"], &["install", "/no-such"]]
    {
        assert!(!context.run(args).exits_with(1).stderr.contains("to try npm"), "{args:?}");
    }
}

#[test]
fn brew_declines_an_unknown_formula() {
    let context = context_with_brew();
    let record =
        context.run(&["install", "no-such-formula", "--binproviders", "brew"]).exits_with(1).record();
    assert_eq!(record["attempts"][0]["outcome"], "declined");
    let reason =
        "Homebrew has no formula named no-such-formula; check the name, or set overrides.brew.packages";
    assert_eq!(record["attempts"][0]["reason"], reason);
}

#[test]
fn brew_names_the_network_as_the_cause_if_it_is_unreachable() {
    let mut context = context_with_brew();
    context.set("HOMEBREW_FAKE_OFFLINE", "1");
    let record = context.run(&["install", "hello", "--binproviders", "brew"]).exits_with(1).record();
    assert_eq!(record["attempts"][0]["outcome"], "failed");
    let cause = "cannot reach the servers of Homebrew: curl: (6) Could not resolve host: formulae.brew.sh";
    assert_eq!(record["attempts"][0]["reason"], cause);
}

#[test]
fn brew_declines_to_run_as_root() {
    let mut context = context_with_brew();
    fs::remove_file(context.path("brew/bin/id")).unwrap();
    context.script("brew/bin/id", "#!/bin/sh\necho 0\n");
    context.set("HOME", context.path("home"));
    let record = context.run(&["install", "rg", "--binproviders", "brew"]).exits_with(1).record();
    assert_eq!(record["attempts"][0]["outcome"], "declined");
    assert!(record["attempts"][0]["reason"].as_str().unwrap().contains("refuses to run as root"));
}

#[test]
fn the_toolkit_prints_packages_overrides_and_records() {
    let context = TestContext::new();
    let request = ["--name=rg", "--binproviders=apt,env", "--overrides={\"apt\":[\"ripgrep\",\"x\"]}"];
    let hook_command = |args: &[&str]| {
        let mut all = args.to_vec();
        all.push("--");
        all.extend(request);
        context.run(&all)
    };
    assert_eq!(hook_command(&["hook", "packages", "--provider", "apt"]).succeeds().stdout, "ripgrep\nx\n");
    assert_eq!(hook_command(&["hook", "packages", "--provider", "npm"]).succeeds().stdout, "rg\n");
    let option =
        ["hook", "packages", "--provider", "pip", "--", "--name=rg", "--overrides={\"pip\":[\"-e\"]}"];
    context.run(&option).exits_with(2).stderr_contains("starts with `-`");
    hook_command(&["hook", "accepts", "--provider", "apt"]).succeeds();
    hook_command(&["hook", "accepts", "--provider", "pip"]).exits_with(10).stderr_contains("apt,env");
    assert_eq!(
        hook_command(&["hook", "override", "key", "--provider", "apt"]).succeeds().stdout,
        "",
        "a list has no keys"
    );
    let value = |key: &str| {
        let overrides = "--overrides={\"x\":{\"text\":\"a\\nb\",\"list\":[1],\"none\":null}}";
        context
            .run(&["hook", "override", key, "--provider", "x", "--", "--name=x", overrides])
            .succeeds()
            .stdout
    };
    assert_eq!([value("text"), value("list"), value("none"), value("other")], ["a\nb\n", "[1]\n", "", ""]);
    let prefix = hook_command(&["hook", "prefix", "--provider", "pip"]).succeeds().stdout;
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
    assert!(!context.path("data").exists(), "the toolkit creates no data dir");
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
fn hook_begin_takes_the_lock_and_sets_the_variables_of_the_request() {
    let mut context = TestContext::new();
    let begin = ["hook", "begin", "--provider", "pip", "--", "--name=it", "--exact-version=1.2"];
    let lib_dir = context.run(&["hook", "prefix", "--provider", "pip", "--", "--name=it"]).succeeds().stdout;
    let prefix = lib_dir.trim_end();
    let locking = format!("\nRIGUP_LOCKED={prefix} exec \"$RIGUP\" hook lock pip/it -- \"$@\"\n");
    let code = context.run(&begin).succeeds().stdout;
    assert!(code.ends_with(&locking), "{code}");
    let code = context.begin("pip/it", &begin[3..]).succeeds().stdout;
    let pinned = ["mine", "--pin", "@{}", "--", "--name=it", "--exact-version=1.2"];
    let start = format!(
        "name=it\nprefix={prefix}\npackages=it==1.2\nlocations=''\nmin_version=''\nexact_version=1.2\n\
         min_release_age=7\n"
    );
    assert!(code.starts_with(&start), "{code}");
    let code_with_pin = context.begin("mine/it", &pinned).succeeds().stdout;
    assert!(code_with_pin.contains("\npackages=it@1.2\n"), "{code_with_pin}");
    assert!(code.contains("\nmust_keep_scripts=\nmax_version=''\nshared=''\n"), "{code}");
    let others = ["pip", "--", "--name=it", "--binproviders=apt"];
    assert_eq!(context.begin("pip/it", &others).exits_with(10).stdout, "exit 10\n");
    let options = r#"--overrides={"pip":{"install_args":["--index-url=x","it"]}}"#;
    let refused = context.begin("pip/it", &["pip", "--", "--name=it", options]).exits_with(2);
    assert_eq!(refused.stdout, "exit 2\n");
    refused.stderr_contains("may not use the option `--index-url=x`");
}

#[test]
fn hook_begin_defines_the_functions_that_provider_hooks_share() {
    for (step, expected) in [
        (r#"warn 'a "b" \c'; decline '-n \t'"#, r#"mine: a "b" \c"#),
        ("decline '-n x'", "declined: -n x"),
        ("needs no-such-tool 'buy one'", "declined: no-such-tool is not on PATH; buy one"),
        ("fail '-n x'", "failed: exit code 1: -n x"),
        (r#"reject 'a "b"'"#, r#"rejected: a "b""#),
        ("check_locations", "rejected: ./y.whl is not from a registry, so it can run scripts"),
        (r"check_locations '\.whl(#|$)'", "rejected: ./z is not from a registry, so it can run scripts"),
        (
            "must_keep_age=yes; check_locations",
            "rejected: cannot enforce min_release_age: ./y.whl has no release date",
        ),
        ("make_part; ls \"$part\"; fail \"$(cat \"$part/file\")\"", "failed: exit code 1: earlier"),
        ("once a && ! once a && once b && decline first", "declined: first"),
        ("make_part file; rm \"$part/other\"", "other': No such file"),
    ] {
        let context = TestContext::new();
        let hook = format!(
            "#!/bin/sh\nset -eu\neval \"$(\"$RIGUP\" hook begin --provider mine -- \"$@\")\"\n{step}\n"
        );
        context.provider("mine", &hook);
        let lib_dir = format!("data/lib/{}", rigup::settings::platform());
        fs::create_dir_all(context.path(&format!("{lib_dir}/.prefixes/mine/shared"))).unwrap();
        let prefix = format!("{lib_dir}/mine/shared");
        context.write(&format!("{prefix}/file"), "earlier");
        context.write(&format!("{prefix}/other"), "");
        let overrides = json!({"mine": {"packages": ["y", "./y.whl", "./z"], "install_root": "shared"}});
        let line = json!({"type": "Binary", "name": "x", "binproviders": "mine", "overrides": overrides});
        context.plugin("p", &[line]);
        context.run(&["install"]).exits_with(1).stderr_contains(expected);
        assert!(!context.path(&format!("{prefix}.part")).exists(), "{step}");
    }
}

#[test]
fn installs_an_optional_requirement_first_if_enough_requests_need_it() {
    let hook = "#!/bin/sh\n\
        command -v faster >/dev/null && echo with >>\"$DATA_DIR/modes\" || echo without >>\"$DATA_DIR/modes\"\n\
        \"$RIGUP\" hook binary --provider slow --abspath /bin/sh -- \"$@\"\n";
    let requirement = json!({"type": "Binary", "name": "faster", "binproviders": "env,good", "pays_from": 3});
    let modes = |names: &[&str]| {
        let context = TestContext::new();
        context.fixture("good").provider("slow", hook);
        context.write("here/providers/slow/binaries.jsonl", requirement.to_string());
        let line = |name: &&str| json!({"type": "Binary", "name": name, "binproviders": "slow"});
        context.plugin("p", &names.iter().map(line).collect::<Vec<_>>());
        let output = context.run(&["install"]).succeeds();
        assert_eq!(
            output.stderr.contains("slow: resolving faster first, which saves time for 3 requests"),
            names.len() == 3
        );
        fs::read_to_string(context.path("data/modes")).unwrap()
    };
    assert_eq!(modes(&["a", "b"]), "without\nwithout\n");
    assert_eq!(modes(&["a", "b", "c"]), "with\nwith\nwith\n");
}

#[test]
fn continues_without_an_optional_requirement_that_is_unavailable() {
    let context = TestContext::new();
    context
        .provider("slow", "#!/bin/sh\n\"$RIGUP\" hook binary --provider slow --abspath /bin/sh -- \"$@\"\n");
    let requirement = json!({"type": "Binary", "name": "no-such", "binproviders": "env", "pays_from": 1});
    context.write("here/providers/slow/binaries.jsonl", requirement.to_string());
    let line = |name| json!({"type": "Binary", "name": name, "binproviders": "slow"});
    context.plugin("p", &["a", "b"].map(line));
    let output = context.run(&["install"]).succeeds();
    let warning = "slow is faster with no-such, which cannot be installed: env declined";
    assert_eq!(output.stderr.matches(warning).count(), 1, "{output:?}");
    context.run(&["install", "--force"]).succeeds();
    let attempts = context.hook_processes().iter().filter(|hook| hook["plugin"] == "env").count();
    assert_eq!(attempts, 1, "the requirement is not tried again before its retry time");
}
