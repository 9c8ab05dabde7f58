//! The pip and uv providers with programs that stand for uv and Python: which of them installs, with which settings.

use std::fs;

use nix::unistd::geteuid;
use serde_json::json;

use crate::test_context::TestContext;

/// Writes the program `x` into a venv, and a line with the name of the installer and some of its environment.
const INSTALL: &str = r#"install() {
    echo "$1 $(env | grep -E '^(UV_|PIP_TARGET|PYTHONPATH|XDG_)' | sort | tr '\n' ' ')$no_index" >"$DATA_DIR/installed-by"
    printf '#!/bin/sh\necho 1.0\n' >"${2%/python}/x" && chmod +x "${2%/python}/x"
}
no_index=
for arg; do [ "$arg" != --no-index ] || no_index=$arg; done
"#;

const UV: &str = r#"case $1 in
    venv) mkdir -p "$3/bin" && ln -s /bin/sh "$3/bin/python" ;;
    pip) install uv "$4" ;;
esac
"#;

const PYTHON: &str = r#"case "$1 $2" in
    "-c import venv"*) echo 26 ;;
    "-m venv") mkdir -p "$4/bin" && ln -s /bin/sh "$4/bin/python" ;;
    "-m pip") install pip "$4" ;;
esac
"#;

/// Creates a context whose uv and Python only record how they were started.
fn context() -> TestContext {
    let mut context = TestContext::new();
    for (name, program) in [("uv", UV), ("python3", PYTHON)] {
        context.script(&format!("tools/bin/{name}"), &format!("#!/bin/sh\n{INSTALL}{program}"));
    }
    fs::create_dir(context.path("home")).unwrap();
    // The machine may have settings of pip.
    context.set("PIP_CONFIG_FILE", "/dev/null");
    context.set("PATH", format!("{}:/usr/bin:/bin", context.path("tools/bin").display()));
    context
}

/// Installs `x`, and returns the program that installed it, with its environment.
fn installed_by(context: &TestContext, provider: &str) -> String {
    context.run(&["install", "x", "--binproviders", provider, "--force"]).succeeds();
    let line = fs::read_to_string(context.path("data/installed-by")).unwrap();
    line.trim().replace(context.path("").to_str().unwrap(), "TMP/")
}

#[test]
fn uv_gets_the_settings_of_pip_that_choose_where_packages_come_from() {
    for (variable, value, expected) in [
        ("PIP_TIMEOUT", "9", "uv"),
        ("PIP_INDEX_URL", "https://x/s", "uv UV_DEFAULT_INDEX=https://x/s UV_INDEX_URL=https://x/s"),
        ("PIP_EXTRA_INDEX_URL", "a b", "uv UV_EXTRA_INDEX_URL=a b UV_INDEX=a b"),
        ("PIP_FIND_LINKS", "a b", "uv UV_FIND_LINKS=a,b"),
        ("PIP_NO_INDEX", "1", "uv --no-index"),
        ("PIP_NO_INDEX", "false", "uv"),
        ("PIP_CONSTRAINT", "/c", "uv UV_CONSTRAINT=/c"),
        ("PIP_REQUIRE_HASHES", "1", "pip"),
        ("PIP_NO_BINARY", "x", "pip"),
    ] {
        let mut context = context();
        context.set(variable, value);
        assert_eq!(installed_by(&context, "pip"), expected, "{variable}={value}");
    }
}

#[test]
fn uv_gets_the_settings_in_the_files_of_pip() {
    let mut context = context();
    let file = context.write(
        "home/.config/pip/pip.conf",
        "[global]\n; comment\ntimeout = 3\nindex-url: https://a/s\n[list]\nindex-url = https://b\n[install]\nno_index = yes",
    );
    context.set("PIP_CONFIG_FILE", "");
    let settings = "uv UV_DEFAULT_INDEX=https://a/s UV_INDEX_URL=https://a/s --no-index";
    assert_eq!(installed_by(&context, "pip"), settings);
    assert_eq!(installed_by(&context, "uv"), "uv", "the uv provider reads only uv's own settings");
    context.set("PIP_CONFIG_FILE", "/dev/null");
    assert_eq!(installed_by(&context, "pip"), "uv", "as in pip, no file is read");
    context.set("PIP_CONFIG_FILE", "");
    fs::write(&file, "[global]\nextra-index-url =\n  https://a\n  https://b\n").unwrap();
    assert_eq!(installed_by(&context, "pip"), "pip", "a list of several lines");
    fs::remove_file(&file).unwrap();
    context.write("tools/pip.conf", "[global]\nfind-links = /w\n");
    assert_eq!(installed_by(&context, "pip"), "uv UV_FIND_LINKS=/w", "the file of the Python on PATH");
}

#[test]
fn variables_that_would_install_elsewhere_do_not_reach_uv() {
    let mut context = context();
    for variable in ["PYTHONPATH", "UV_PROJECT", "UV_WORKING_DIR", "UV_SYSTEM_PYTHON"] {
        context.set(variable, "/elsewhere");
    }
    for provider in ["pip", "uv"] {
        assert_eq!(installed_by(&context, provider), "uv", "{provider}");
    }
}

#[test]
fn without_a_usable_home_the_cache_of_uv_is_in_lib_dir() {
    let mut context = context();
    context.set("HOME", context.write("file", ""));
    let folder = format!("TMP/data/lib/{}/.cache/{}", rigup::settings::platform(), geteuid());
    let cache = format!("uv XDG_CACHE_HOME={folder} XDG_DATA_HOME={folder} XDG_STATE_HOME={folder}");
    for provider in ["pip", "uv"] {
        assert_eq!(installed_by(&context, provider), cache, "{provider}");
    }
}

#[test]
fn packages_that_are_not_in_an_index_need_postinstall_scripts() {
    let context = context();
    let install = |provider: &str, package: &str, policy: &[&str]| {
        let overrides = json!({provider: [package]});
        context.plugin(
            "p",
            &[json!({"type": "Binary", "name": "x", "binproviders": provider, "overrides": overrides})],
        );
        let output = context.run(&[&["install", "--force"], policy].concat());
        output.record()["last_error"].as_str().unwrap_or_default().to_owned()
    };
    for provider in ["pip", "uv"] {
        for package in ["git+https://host/x", "x @ https://host/x.tar.gz", "x@file:x.zip", "./x", "/srv/x"] {
            let reason = install(provider, package, &[]);
            assert!(
                reason.contains("rejected") && reason.contains("can run scripts"),
                "{provider} {package}: {reason}"
            );
        }
        assert_eq!(install(provider, "/srv/x", &["--postinstall-scripts"]), "", "{provider}");
        let reason = install(provider, "/srv/x", &["--postinstall-scripts", "--min-release-age", "1"]);
        assert!(reason.contains("has no release date"), "{provider}: {reason}");
        assert_eq!(install(provider, "/srv/x-1.0-py3-none-any.whl", &[]), "", "a wheel is not built");
    }
}

#[test]
fn an_old_pip_that_ignores_release_dates_is_reported_once() {
    let mut context = TestContext::new();
    let python = PYTHON.replace("26", "23");
    context.script("tools/bin/python3", &format!("#!/bin/sh\n{INSTALL}{python}"));
    context.set("PATH", format!("{}:/usr/bin:/bin", context.path("tools/bin").display()));
    let warnings = [(); 2].map(|()| {
        let output = context.run(&["install", "x", "--binproviders", "pip", "--force"]).succeeds();
        output
            .stderr
            .contains("pip 23 cannot enforce min_release_age and installs the newest releases; install uv")
    });
    assert_eq!(warnings, [true, false]);
}
