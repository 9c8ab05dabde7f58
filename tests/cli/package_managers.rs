//! The hooks that build a prefix with a package manager, with one fake program in place of every package manager.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::PathBuf;

use nix::sys::signal::Signal;
use nix::unistd::geteuid;
use serde_json::{Value, json};

use crate::test_context::{CommandOutput, TestContext, signal, wait_until};

/// A package manager that installs `x`, whose version is the content of `version`. With `fault`, it fails after it has
/// created the program, or never ends.
const FAKE: &str = r#"#!/bin/sh
here=${0%/*} previous=
for arg; do
    case $previous in --prefix | --dir | --cwd) bin=$arg/node_modules/.bin ;; --root) bin=$arg/bin ;; --bindir) bin=$arg ;; esac
    previous=$arg
done
case " $* " in
    *" install "* | *" add "*) ;;
    *" view "*) echo view >>"$here/viewed"; echo dates; exit ;;
    *" --version "*) echo 99.0 && exit ;;
    *" -vV "*) echo host: this-host; exit ;;
    *) exit 0 ;;
esac
[ -z "${GOBIN:-}" ] || bin=$GOBIN
mkdir -p "$bin"
# The first line of a gem's stub is also that of its launcher.
printf '#!%s/program\nx %s\n' "$here" "$(cat "$here/version")" >"$bin/x"
chmod +x "$bin/x"
{ pwd; printf '%s\n' "NODE_OPTIONS=${NODE_OPTIONS:-}" "RUBYOPT=${RUBYOPT:-}" "GOFLAGS=${GOFLAGS:-}" "TARGET=${CARGO_BUILD_TARGET:-}" "$*"; } >"$here/seen"
case $(cat "$here/fault") in
    fail) echo "$(cat "$here/errors")" >&2 && exit 1 ;;
    hang) exec tail -f /dev/null ;;
esac
"#;

/// The interpreter of the program. A gem's launcher differs from its stub.
const PROGRAM: &str = r#"#!/bin/sh
file=$(realpath "$1")
stub=${file%/*/*}/stubs/x
[ -e "$stub" ] || stub=$file
sed -n 2p "$stub"
"#;

/// Creates a context in which the fake is the package manager of every provider.
fn context() -> TestContext {
    let mut context = TestContext::new();
    for manager in PROVIDERS {
        context.script(&format!("fake/{manager}"), FAKE);
    }
    context.script("fake/node", "#!/bin/sh\n");
    context.script("fake/ruby", "#!/bin/sh\n");
    context.script("fake/program", PROGRAM);
    context.set("PATH", format!("{}:/usr/bin:/bin", context.path("fake").display()));
    // The npm provider stays with npm.
    context.set("NPM_USE_BUN", "false");
    context.without_registries();
    set(&context, "version", "1.5");
    set(&context, "fault", "");
    set(&context, "errors", "");
    context
}

/// Sets what the fake does.
fn set(context: &TestContext, name: &str, value: &str) {
    context.write(&format!("fake/{name}"), value);
}

/// Writes a plugin that requires `x` from a provider.
fn require(context: &TestContext, provider: &str, overrides: &Value) {
    let overrides = json!({provider: overrides});
    let line = json!({"type": "Binary", "name": "x", "binproviders": provider, "overrides": overrides});
    context.plugin("p", &[line]);
}

/// Returns the package that provides `x`.
fn package(provider: &str) -> Value {
    json!(if provider == "go" { "example.com/tools/cmd/x" } else { "x" })
}

/// The providers that build a prefix with the fake.
const PROVIDERS: [&str; 6] = ["npm", "pnpm", "bun", "cargo", "go", "gem"];

/// Returns the names in a provider's folder in LIB_DIR.
fn prefixes(context: &TestContext, provider: &str) -> Vec<String> {
    let folder = context.path("data/lib").join(rigup::settings::platform()).join(provider);
    let entries = fs::read_dir(folder).into_iter().flatten();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

fn abspath(record: &Value) -> PathBuf {
    PathBuf::from(record["abspath"].as_str().unwrap())
}

#[test]
fn a_failed_or_terminated_install_leaves_only_the_earlier_version() {
    for provider in PROVIDERS {
        let context = context();
        require(&context, provider, &package(provider));
        set(&context, "fault", "fail");
        context.run(&["install"]).exits_with(1);
        assert!(prefixes(&context, provider).is_empty(), "{provider}");

        set(&context, "fault", "hang");
        fs::remove_file(context.path("fake/seen")).unwrap();
        let mut rigup = context.start(&["install"]);
        wait_until("the package manager has started", || context.path("fake/seen").exists());
        signal(rigup.id(), Signal::SIGTERM);
        rigup.wait().unwrap();
        assert!(prefixes(&context, provider).is_empty(), "{provider}");
        assert_eq!(context.live_processes(), [], "{provider}");

        set(&context, "fault", "");
        let installed = context.run(&["install"]).succeeds().record();
        let bytes = fs::read(abspath(&installed)).unwrap();
        set(&context, "fault", "hang");
        set(&context, "version", "1.6");
        fs::remove_file(context.path("fake/seen")).unwrap();
        let mut rigup = context.start(&["install", "--force"]);
        wait_until("the package manager has started", || context.path("fake/seen").exists());
        signal(rigup.id(), Signal::SIGTERM);
        rigup.wait().unwrap();
        assert_eq!(fs::read(abspath(&installed)).unwrap(), bytes, "{provider}");
        assert_eq!(prefixes(&context, provider), ["x"]);
    }
}

#[test]
fn a_rejected_version_leaves_the_installed_one_in_place() {
    for provider in PROVIDERS {
        let context = context();
        require(&context, provider, &package(provider));
        let installed = context.run(&["install"]).succeeds().record();
        assert_eq!(installed["version"], "1.5", "{provider}");
        let bytes = fs::read(abspath(&installed)).unwrap();
        set(&context, "version", "1.6");
        let record = context.run(&["install", "--force", "--min-version", "2"]).exits_with(1).record();
        assert_eq!(record["attempts"][0]["outcome"], "rejected", "{record}");
        assert_eq!(record["attempts"][0]["reason"], "version 1.6 is older than 2", "{record}");
        assert_eq!(fs::read(abspath(&installed)).unwrap(), bytes, "{provider}");
        assert_eq!(prefixes(&context, provider), ["x"]);
    }
}

#[test]
fn package_managers_start_in_the_root_folder_without_foreign_options() {
    for provider in PROVIDERS {
        let mut context = context();
        context.set("NODE_OPTIONS", "--require ./x.js --use-openssl-ca --inspect");
        context.set("RUBYOPT", "-r./x").set("GOFLAGS", "-toolexec=./x -mod=vendor");
        require(&context, provider, &package(provider));
        context.run(&["install"]).succeeds();
        let seen = fs::read_to_string(context.path("fake/seen")).unwrap();
        let mut lines = seen.lines();
        assert_eq!(lines.next(), Some("/"), "{provider}");
        let expected = match provider {
            "npm" | "pnpm" | "bun" => "NODE_OPTIONS=--use-openssl-ca ",
            "go" => "GOFLAGS=-trimpath ",
            "gem" => "RUBYOPT=",
            _ => continue,
        };
        assert!(lines.any(|line| line == expected), "{provider}: {seen}");
    }
}

#[test]
fn a_package_outside_the_registry_needs_postinstall_scripts() {
    for provider in ["npm", "pnpm"] {
        for location in ["git+https://example.org/x.git", "user/x.whl", "/src/x", "y@file:/src/x.tgz"] {
            let context = context();
            require(&context, provider, &json!([location]));
            for rule in [&[][..], &["--postinstall-scripts=false"]] {
                let record = context.run(&[&["install"], rule].concat()).exits_with(1).record();
                assert_eq!(record["attempts"][0]["outcome"], "rejected", "{record}");
                let expected = format!("{location} is not from a registry, so it can run scripts");
                assert!(record["last_error"].as_str().unwrap().contains(&expected), "{record}");
            }
            assert!(!context.path("fake/seen").exists(), "{provider} {location}");
            let allowed = ["install", "--postinstall-scripts"];
            let record =
                context.run(&[&allowed[..], &["--min-release-age", "3"]].concat()).exits_with(1).record();
            let expected = format!("cannot enforce min_release_age: {location} has no release date");
            assert!(record["last_error"].as_str().unwrap().contains(&expected), "{record}");
            let output = context.run(&allowed).succeeds();
            assert!(!output.stderr.contains("no release dates"), "only a registry has dates: {output:?}");
        }
    }
}

#[test]
fn an_unreachable_registry_is_named_as_such() {
    for (provider, errors, expected) in [
        (
            "npm",
            "npm error code ENOTFOUND\nnpm error syscall getaddrinfo\nnpm error network request to http://a.test/x failed, reason: y",
            "cannot reach the registry: request to http://a.test/x failed, reason: y; check the network",
        ),
        (
            "npm",
            "npm error code FETCH_ERROR\nnpm error errno FETCH_ERROR\nnpm error network timeout at: http://a.test/x",
            "cannot reach the registry: timeout at: http://a.test/x; check the network",
        ),
        ("npm", "npm error code E404\nnpm error 404 GET /@s%2fx", "exit code 1: npm error 404 GET /@s/x"),
        (
            "npm",
            "npm error code EALLOWGIT\nnpm error Fetching is disabled\nnpm error Refusing to fetch \"d@github:u/d\"",
            "\"d@github:u/d\" is not from a registry, so it can run scripts; allow them with --postinstall-scripts",
        ),
        (
            "pnpm",
            " ERR_PNPM_META_FETCH_FAIL  GET http://a.test/x: request to http://a.test/x failed, reason: y",
            "cannot reach the registry: request to http://a.test/x failed, reason: y; check the network",
        ),
        (
            "pnpm",
            "Error: ERR_PNPM_ADD\n\n  × adding x\n  ├─▶ Failed to fetch metadata\n  │   from http://a.test/x: error sending request: y\n  ├─▶ z\n  ╰─▶ u",
            "cannot reach the registry: http://a.test/x: error sending request: y; check the network",
        ),
        (
            "cargo",
            "error: download of config.json failed\n\nCaused by:\n  [6] Could not resolve host: a.test",
            "cannot reach the registry: [6] Could not resolve host: a.test; check the network",
        ),
        (
            "cargo",
            "error: failed to query replaced source registry `crates-io`\n\nCaused by:\n  download of config.json failed\n\n\
             Caused by:\n  failed to get successful HTTP response from `http://a.test` (127.0.0.1), got 503\n  body:\n",
            "cannot reach the registry: failed to get successful HTTP response from `http://a.test` (127.0.0.1), got 503; check",
        ),
        (
            "cargo",
            "error: failed to query replaced source registry `crates-io`\n\nCaused by:\n  a\n\nCaused by:\n  b requires c\n  see d\n",
            "exit code 1: failed to query replaced source registry `crates-io`: b requires c",
        ),
        (
            "go",
            "go: module x: Get \"http://a.test/x\": dial tcp: lookup a.test: no such host",
            "cannot reach the module proxy: module x: Get \"http://a.test/x\": dial tcp",
        ),
        (
            "gem",
            "ERROR:  Could not find a valid gem 'x' (>= 0), here is why:\n    Unable to download data from http://a.test/ - y",
            "cannot reach the gem server: no data from http://a.test/ - y; check the network",
        ),
    ] {
        let context = context();
        set(&context, "fault", "fail");
        set(&context, "errors", errors);
        require(&context, provider, &package(provider));
        let record = context.run(&["install"]).exits_with(1).record();
        assert!(record["last_error"].as_str().unwrap().contains(expected), "{record}");
    }
}

#[test]
fn caches_are_in_lib_dir_if_the_home_folder_is_not_writable() {
    let mut context = TestContext::new();
    let lib_dir = context.path("data/lib").join(rigup::settings::platform());
    let begin =
        |context: &mut TestContext| context.begin("npm/x", &["npm", "--", "--name=x"]).succeeds().stdout;
    assert!(!begin(&mut context).contains("\nexport "), "the home folder can be created");
    let file = context.write("file", "");
    context.set("HOME", file.join("home"));
    let code = begin(&mut context);
    for (variable, folder) in [("XDG_CACHE_HOME", ""), ("npm_config_cache", "/npm_config_cache")] {
        let expected = format!("\nexport {variable}={}/.cache/{}{folder}\n", lib_dir.display(), geteuid());
        assert!(code.contains(&expected), "{code}");
    }
    assert!(!code.contains("export HOME="), "{code}");
    context.set("HOME", "");
    assert!(begin(&mut context).contains("\nexport HOME=/"), "HOME is set if it is not");
}

/// The variables that name caches, each with the provider that uses it.
const CACHES: [(&str, &str); 10] = [
    ("npm", "XDG_CACHE_HOME"),
    ("npm", "npm_config_cache"),
    ("npm", "NPM_CONFIG_CACHE"),
    ("pnpm", "PNPM_HOME"),
    ("pip", "PIP_CACHE_DIR"),
    ("uv", "UV_CACHE_DIR"),
    ("cargo", "CARGO_HOME"),
    ("go", "GOMODCACHE"),
    ("go", "GOCACHE"),
    ("gem", "GEM_SPEC_CACHE"),
];

#[test]
fn root_keeps_no_caches_in_the_folders_of_another_user() {
    for (provider, variable) in CACHES {
        let mut context = TestContext::new();
        let lib_dir = context.path("data/lib").join(rigup::settings::platform());
        let folder = context.path("other");
        fs::create_dir(&folder).unwrap();
        context.set("HOME", context.path("home")).set(variable, folder.join("cache"));
        let (lock, begin) = (format!("{provider}/x"), [provider, "--", "--name=x"]);
        let code = context.begin(&lock, &begin).succeeds().stdout;
        assert!(!code.contains("\nexport "), "the user's own variable counts: {code}");
        if geteuid().is_root() {
            std::os::unix::fs::chown(&folder, Some(12345), None).unwrap();
            let code = context.begin(&lock, &begin).succeeds().stdout;
            let expected = format!("\nexport {variable}={}/.cache/0", lib_dir.display());
            assert!(code.contains(&expected) && code.matches("\nexport ").count() == 1, "{code}");
            // The user of LIB_DIR could have made a link, for root to write elsewhere.
            std::os::unix::fs::symlink(&folder, lib_dir.join(".cache/0")).unwrap();
            context.begin(&lock, &begin).exits_with(2).stderr_contains("/.cache/0");
        }
    }
}

#[test]
fn a_cache_that_cannot_be_written_is_replaced_by_one_in_lib_dir() {
    for (provider, variable) in CACHES {
        let mut context = TestContext::new();
        let lib_dir = context.path("data/lib").join(rigup::settings::platform());
        let file = context.write("file", "");
        context.set("HOME", context.path("home")).set(variable, file.join("cache"));
        let code = context.begin(&format!("{provider}/x"), &[provider, "--", "--name=x"]).succeeds().stdout;
        let expected = format!("\nexport {variable}={}/.cache/{}", lib_dir.display(), geteuid());
        assert!(code.contains(&expected) && code.matches("\nexport ").count() == 1, "{code}");
    }
}

#[test]
fn the_first_folder_of_gopath_is_its_cache() {
    let mut context = TestContext::new();
    let (file, own) = (context.write("file", ""), context.path("own"));
    for (list, is_replaced) in [([own.clone(), file.clone()], false), ([file, own], true)] {
        context.set("GOPATH", std::env::join_paths(list).unwrap());
        let code = context.begin("go/x", &["go", "--", "--name=x"]).succeeds().stdout;
        assert_eq!(code.contains("\nexport GOPATH="), is_replaced, "{code}");
    }
}

#[test]
fn settings_that_choose_another_platform_or_install_nothing_do_not_count() {
    for (provider, expected) in [
        ("npm", "--os= --cpu= --libc= --min-release-age-exclude= "),
        ("pnpm", "--config.lockfile-only=false "),
        ("pnpm", "--config.only=prod --config.dev=false --config.optional=true "),
        ("pnpm", "--config.minimum-release-age-exclude"),
        ("gem", " --wrappers "),
        ("cargo", "TARGET=\n"),
    ] {
        let context = context();
        require(&context, provider, &package(provider));
        context.run(&["install"]).succeeds();
        let seen = fs::read_to_string(context.path("fake/seen")).unwrap();
        assert!(seen.contains(expected), "{seen}");
    }
    let mut context = context();
    require(&context, "cargo", &package("cargo"));
    context.set("CARGO_HOME", context.path("cargo")).set("CARGO_BUILD_TARGET", "other");
    for setting in
        ["[build]\ntarget = 'other'", "build.target=['other']", "build = { jobs = 1, target = 'other' }"]
    {
        context.write("cargo/config.toml", setting);
        context.run(&["install", "--force"]).succeeds();
        let seen = fs::read_to_string(context.path("fake/seen")).unwrap();
        assert!(seen.contains("TARGET=this-host\n"), "{setting}: {seen}");
    }
    set(&context, "fault", "fail");
    set(&context, "errors", "error: could not find `x`");
    context.set("CARGO_NET_OFFLINE", "true");
    let reason = "could not find `x`; cargo is offline because CARGO_NET_OFFLINE is set";
    context.run(&["install", "--force"]).exits_with(1).stderr_contains(reason);
}

#[test]
fn npm_and_pnpm_wait_briefly_for_a_registry_unless_the_user_set_it() {
    for provider in ["npm", "pnpm"] {
        let mut context = context();
        require(&context, provider, &package(provider));
        let is_set = |context: &TestContext| {
            context.run(&["install", "--force"]).succeeds();
            fs::read_to_string(context.path("fake/seen")).unwrap().contains("fetch-retry-maxtimeout=3000")
        };
        assert!(is_set(&context), "{provider}");
        let npmrc = context.write("home/.npmrc", "fetch-retries = 5\n");
        context.set("HOME", context.path("home"));
        assert!(!is_set(&context), "{provider}");
        fs::remove_file(npmrc).unwrap();
        context.set("NPM_CONFIG_FETCH_RETRY_MAXTIMEOUT", "9000");
        assert!(!is_set(&context), "{provider}");
    }
}

#[test]
fn npm_looks_once_a_day_whether_another_registry_has_release_dates() {
    let mut context = context();
    require(&context, "npm", &package("npm"));
    let looks = |context: &TestContext| {
        context.run(&["install", "--force"]).succeeds();
        fs::read_to_string(context.path("fake/viewed")).unwrap_or_default().lines().count()
    };
    assert_eq!(looks(&context), 0, "the registry of npm has dates");
    context.set("npm_config_registry", "http://one.test");
    assert_eq!([looks(&context), looks(&context)], [1, 1]);
    context.set("npm_config_registry", "http://other.test");
    assert_eq!([looks(&context), looks(&context)], [2, 2], "another registry is another question");
}

#[test]
fn the_hint_for_a_package_with_a_scope_guesses_no_program() {
    let context = context();
    let output =
        context.run(&["install", "npm:@s/x@1.5"]).exits_with(2).stderr_contains("`npm view @s/x@1.5 bin`");
    let hint = output.stderr.split('`').nth(5).unwrap().replace("rigup", env!("CARGO_BIN_EXE_rigup"));
    let paste = |hint: &str| {
        let args = ["-c", hint];
        CommandOutput::new(&args, &context.command_for("/bin/sh".as_ref(), &args).output().unwrap())
    };
    let reason = "npm installed @s/x, which has no program named PROGRAM";
    paste(&hint).exits_with(1).stderr_contains(reason);
    let record = paste(&hint.replace("PROGRAM", "x")).succeeds().record();
    assert_eq!((&record["name"], &record["version"]), (&json!("x"), &json!("1.5")), "{record}");
    assert!(fs::read_to_string(context.path("fake/seen")).unwrap().contains(" @s/x@1.5 "));
}

#[test]
fn pnpm_names_the_programs_of_a_scoped_package() {
    let context = context();
    let install = "#!/bin/sh\nwhile [ \"$1\" != --dir ]; do shift || exit 0; done\ncd \"$2/node_modules\" || mkdir \"$2/node_modules\" && cd \"$2/node_modules\"\n\
        mkdir -p .bin .pnpm/@s+y@1.0.0/node_modules/@s/y .pnpm/d@1.0.0/node_modules/d\n\
        for package in @s+y@1.0.0/node_modules/@s/y d@1.0.0/node_modules/d; do\n\
        cp /bin/true .pnpm/$package/prog\nln -s ../.pnpm/$package/prog .bin/${package##*/}\ndone\n";
    context.script("fake/pnpm", install);
    require(&context, "pnpm", &json!(["@s/y@1"]));
    let record = context.run(&["install"]).exits_with(1).record();
    let reason = "pnpm installed @s/y, which has no program named x; it has y: ";
    assert!(record["last_error"].as_str().unwrap().contains(reason), "{record}");
}

#[test]
fn what_is_installed_gets_the_permissions_of_lib_dir_under_any_umask() {
    for (umask, lib_mode, provider_mode, prefix_mode) in [
        ("000", 0o755, 0o755, 0o755),
        ("077", 0o755, 0o755, 0o755),
        ("077", 0o2775, 0o2775, 0o2775),
        ("000", 0o1777, 0o1777, 0o755),
        ("022", 0o700, 0o700, 0o700),
    ] {
        let mut context = context();
        require(&context, "npm", &package("npm"));
        let lib_dir = context.path("lib");
        fs::create_dir(&lib_dir).unwrap();
        fs::set_permissions(&lib_dir, fs::Permissions::from_mode(lib_mode)).unwrap();
        context.set("RIGUP_LIB_DIR", &lib_dir);
        // Not a script of its own: it could not be executed while another test forks, which copies the open file.
        let args = ["-c", r#"umask "$0" && exec "$@""#, umask, env!("CARGO_BIN_EXE_rigup"), "install"];
        let output = context.command_for("/bin/sh".as_ref(), &args).output().unwrap();
        let output = CommandOutput::new(&args, &output).succeeds();
        let mode = |path: &str| lib_dir.join(path).metadata().unwrap().mode() & 0o7777;
        assert_eq!(
            [mode("npm"), mode("npm/x"), mode("npm/x/node_modules/.bin/x") | lib_mode & 0o2000],
            [provider_mode, prefix_mode, prefix_mode],
            "umask {umask}, LIB_DIR {lib_mode:o}: {output:?}"
        );
    }
}

#[test]
fn a_program_whose_install_script_did_not_run_is_rejected_with_a_hint() {
    for provider in ["npm", "pnpm"] {
        let context = context();
        let install = "#!/bin/sh\nwhile [ \"$1\" != --prefix ] && [ \"$1\" != --dir ]; do shift || exit 0; done\n\
            mkdir -p \"$2/node_modules/.bin\" \"$2/node_modules/x\" && cd \"$2/node_modules/x\"\n\
            echo '{\"name\": \"x\", \"version\": \"1.0.0\", \"scripts\": {\"postinstall\": \"y\"}}' >package.json\n\
            echo stub >x && chmod +x x && ln -sf ../x/x ../.bin\n";
        context.script(&format!("fake/{provider}"), install);
        require(&context, provider, &package(provider));
        let record = context.run(&["install"]).exits_with(1).record();
        assert_eq!(record["attempts"][0]["outcome"], "rejected", "{record}");
        let hint = "#!/bin/sh; the install script of x did not run: allow it with --postinstall-scripts";
        assert!(record["last_error"].as_str().unwrap().ends_with(hint), "{record}");
    }
}
