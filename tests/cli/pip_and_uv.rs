//! The pip and uv providers with programs that stand for uv and Python: which of them installs, with which settings.

use std::fs;

use nix::sys::signal::Signal;
use nix::unistd::geteuid;
use serde_json::json;

use crate::test_context::{TestContext, signal, wait_until};

/// Writes the program `x` into a venv, and a line with the installer and its environment. If the file `errors` exists, prints
/// that and fails, but `errors--dry-run` with `--dry-run`; if the file `hang` exists, never ends.
const INSTALL: &str = r#"install() {
    [ ! -e "$DATA_DIR/../hang" ] || { mkdir "$DATA_DIR/hangs" && exec tail -f /dev/null; }
    [ ! -e "$DATA_DIR/../errors" ] || { [ "$PWD" = / ] || cat "$DATA_DIR/../log" >pip.log; cat "$DATA_DIR/../errors$dry_run" >&2 && exit 1; }
    echo "$1 $(env | grep -vE '^UV_(CONFIG_FILE|NO_CONFIG|TOOL)' | grep -E "^(UV_|PYTHONPATH|XDG_(CACHE|DATA|STATE)|ALL_PROXY|SSL_$2)" | sort | tr '\n' ' ')$options" >"$DATA_DIR/installed-by"
    printf '#!/bin/sh\necho 1.0\n' >"${python%/python}/x" && chmod +x "${python%/python}/x"
}
options='' dry_run=
for arg; do case $arg in --no-index | --only-*=x) options=$options$arg ;; --dry-run) dry_run=$arg ;; */bin/python) python=$arg ;; esac; done
"#;

const UV: &str = r#"case $1 in venv) mkdir -p "$3/bin" && ln -s /bin/sh "$3/bin/python" ;;
    tool) python=$UV_TOOL_DIR/x/bin/python && mkdir -p "${python%/*}" && ln -s /bin/sh "$python" ;;
esac
[ "$1" = venv ] || { install uv && cp "${UV_CONFIG_FILE:-/dev/null}" "$DATA_DIR/uv-config"; }
"#;

/// `pip config list` prints the content of the file `settings`.
const PYTHON: &str = r#"case "$1 $2 $3" in
    "-c import venv"*) echo 26 /pip/__pip-runner__.py ;;
    "-m pip config") cat "$DATA_DIR/../settings" ;;
    "-m venv"*) mkdir -p "$4/bin" && ln -s "$0" "$4/bin/python" ;;
    "-I -c "* | /pip/__pip-runner__.py*) python=$0 && install pip '|PIP_(CONFIG|INDEX|NO_DEPS|PRE|TARGET)' ;;
esac
"#;

/// Creates a context whose uv and Python only record how they were started.
pub(crate) fn context() -> TestContext {
    let mut context = TestContext::new();
    for (name, program) in [("uv", UV), ("python3", PYTHON)] {
        context.script(&format!("tools/bin/{name}"), &format!("#!/bin/sh\n{INSTALL}{program}"));
    }
    context.without_registries();
    context.write("settings", "");
    context.write("config/pip/pip.conf", "[x]\nonly-pip: reads this\n");
    context.set("XDG_CONFIG_HOME", context.path("config"));
    context.set("PATH", format!("{}:/usr/bin:/bin", context.path("tools/bin").display()));
    context
}

/// Installs `x`, and returns the program that installed it, with its environment.
pub(crate) fn installed_by(context: &TestContext, provider: &str) -> String {
    context.run(&["install", "x", "--binproviders", provider, "--force"]).succeeds();
    let line = fs::read_to_string(context.path("data/installed-by")).unwrap();
    line.trim().replace(context.path("").to_str().unwrap(), "TMP/")
}

#[test]
fn uv_gets_the_settings_of_pip_that_choose_where_packages_come_from() {
    let context = context();
    let certificates = context.write("ca.pem", "");
    for (settings, expected) in [
        ("global.timeout='9'\nlist.format='json'\n:env:.index-url=''", "uv"),
        ("global.index-url='https://x/s'", "uv UV_DEFAULT_INDEX=https://x/s UV_INDEX_URL=https://x/s"),
        (
            "global.extra-index-url='\\nhttps://a\\n  https://b'",
            "uv UV_EXTRA_INDEX_URL=https://b https://a UV_INDEX=https://b https://a UV_INDEX_STRATEGY=unsafe-best-match",
        ),
        (
            "install.find-links=\"/bin /a's file:///b ~/.. https://x/y\"",
            "uv UV_FIND_LINKS=/bin,TMP/home/..,https://x/y",
        ),
        (":env:.no-index='1'\ninstall.no-index='off'", "uv --no-index"),
        (":env:.no-index='False'\ninstall.no-index='on'", "uv"),
        (":env:.constraint='/a'\nglobal.constraint='/c'\ninstall.constraint='/b'", "uv UV_CONSTRAINT=/a"),
        ("global.proxy='http://p'", "uv ALL_PROXY=http://p"),
        (&format!("global.cert='{}'", certificates.display()), "uv SSL_CERT_FILE=TMP/ca.pem"),
        ("global.cert='/no/such'", "pip PIP_CONFIG_FILE=/dev/null"),
        (
            "install.pre='1'\nglobal.target='/t'\nglobal.no-deps='1'",
            "pip PIP_CONFIG_FILE=/dev/null PIP_PRE=1",
        ),
        (
            "global.index-url='https://a'\ninstall.index-url='https://b'\ninstall.keyring-provider='x'",
            "pip PIP_CONFIG_FILE=/dev/null PIP_INDEX_URL=https://b UV_DEFAULT_INDEX=https://b UV_INDEX_URL=https://b",
        ),
    ] {
        context.write("settings", settings);
        assert_eq!(installed_by(&context, "pip"), expected, "{settings}");
    }
    assert_eq!(installed_by(&context, "uv"), "uv", "the uv provider reads only uv's own settings");
    context.script("tools/bin/python3", "#!/bin/sh\nexit 1\n");
    context.write("config/pip/pip.conf", "# mine\n\n[global]\nindex-url = https://a \n");
    assert!(installed_by(&context, "pip").ends_with(" UV_DEFAULT_INDEX=https://a UV_INDEX_URL=https://a"));
}

#[test]
fn a_version_file_above_the_data_dir_does_not_choose_the_python() {
    let context = context();
    let shim = "case $0$1 in */tools/bin/python3* | */uvvenv)
        while :; do
            [ ! -e \"$PWD/.python-version\" ] || exit 127
            [ \"$PWD\" != / ] || break
            cd ..
        done ;;
    esac\n";
    for (name, program) in [("uv", UV), ("python3", PYTHON)] {
        context.script(
            &format!("tools/bin/{name}"),
            &format!("#!/bin/sh\n({shim}) || exit\n{INSTALL}{program}"),
        );
    }
    context.write(".python-version", "9.9\n");
    assert_eq!([installed_by(&context, "pip"), installed_by(&context, "uv")], ["uv", "uv"]);
    fs::remove_file(context.path("tools/bin/uv")).unwrap();
    assert_eq!(installed_by(&context, "pip"), "pip PIP_CONFIG_FILE=/dev/null");
}

#[test]
fn uv_gets_no_only_binary_if_it_may_build_nothing() {
    let context = context();
    for provider in ["pip", "uv"] {
        let overrides = json!({provider: {"packages": ["x"], "install_args": ["--only-binary=x"]}});
        let line = json!({"type": "Binary", "name": "x", "binproviders": provider, "overrides": overrides});
        context.plugin("p", &[line]);
        for (policy, expected) in [("=false", "uv"), ("=true", "uv --only-binary=x")] {
            context.run(&["install", "--force", &format!("--postinstall-scripts{policy}")]).succeeds();
            let line = fs::read_to_string(context.path("data/installed-by")).unwrap();
            assert_eq!(line.trim(), expected, "{provider}");
        }
    }
}

#[test]
fn settings_of_pip_that_nothing_can_read_are_not_ignored() {
    let mut context = context();
    let failure = |context: &TestContext| {
        context.run(&["install", "x", "--binproviders", "pip", "--force"]).exits_with(1).stderr
    };
    context.write("settings", "global.require-hashes='true'");
    assert!(
        failure(&context)
            .contains("pip declined: pip's setting require-hashes allows only packages with a hash")
    );
    context.script("tools/bin/python3", "#!/bin/sh\necho No module named pip >&2\nexit 1\n");
    context.set("PIP_INDEX_URL", "https://x/s");
    assert!(failure(&context).contains("python3 has no pip, which must read its settings ("));
    let file = context.write("config/pip/pip.conf", "index-url = https://me:secret@x\n");
    let error = format!("File contains no section headers.\nfile: '{}', line: 1\n'secret", file.display());
    context.script("tools/bin/python3", &format!("#!/bin/sh\necho \"{error}\" >&2\nexit 1\n"));
    let stderr = failure(&context);
    assert!(stderr.contains(&format!("cannot read pip's settings: {} is not valid", file.display())));
    assert!(!stderr.contains("secret"), "{stderr}");
}

#[test]
fn uv_is_not_brought_in_if_the_settings_of_pip_need_pip() {
    let context = context();
    fs::remove_file(context.path("tools/bin/uv")).unwrap();
    context.write("settings", "global.pre='1'");
    let args = ["install", "w", "x", "y", "z", "--binproviders", "pip"];
    let reason = "pip is faster with uv, which cannot be installed: ";
    let output = context.run(&args).exits_with(1).stderr_contains(reason);
    output.stderr_contains("pip declined: uv would not be used, because uv has no setting like pip's pre");
    assert!(!context.run(&args).exits_with(1).stderr.contains(reason), "it is said once");
}

#[test]
fn settings_of_uv_that_would_install_elsewhere_do_not_count() {
    let mut context = context();
    let settings = |context: &TestContext, provider: &str, options: &[&str]| {
        let args = ["install", "x", "--force", "--binproviders", provider];
        context.run(&[&args[..], options].concat()).succeeds();
        fs::read_to_string(context.path("data/uv-config")).unwrap()
    };
    for text in [
        "[pip]\ntarget = '/t'\nprefix='/p'\nno-deps = true\nsystem = true\npython = '3'\nindex-url = 'https://x'\n",
        "pip = { target = '/t', index-url = 'https://x' }\n",
        "pip.target = '/t'\npip.index-url = 'https://x'\nexclude-newer-package = { x = false }\n",
        "'pip' . \"index-url\" = 'https://x'\nno-binary-package = ['x']\npip.no-binary = ['x']\n",
    ] {
        let file = context.write("config/uv/uv.toml", text);
        context.unset("UV_CONFIG_FILE");
        for provider in ["pip", "uv"] {
            assert_eq!(settings(&context, provider, &[]), "[pip]\nindex-url = \"https://x\"\n", "{text}");
        }
        context.set("UV_CONFIG_FILE", file);
        assert_eq!(settings(&context, "uv", &[]), "[pip]\nindex-url = \"https://x\"\n", "{text}");
    }
    let builds = "[pip]\nindex-url = \"https://x\"\nno-binary = [\"x\"]\n";
    assert!(settings(&context, "uv", &["--postinstall-scripts"]).ends_with(builds));
    context.unset("UV_CONFIG_FILE");
    context.set("XDG_CONFIG_DIRS", context.path("system"));
    context.write("config/uv/uv.toml", "offline = true\n[[index]]\nurl = 'https://a'\n");
    context
        .write("system/uv/uv.toml", "offline = false\npip.target = '/t'\nindex = [{ url = 'https://b' }]\n");
    let lists =
        "offline = true\n\n[[index]]\nurl = \"https://a\"\n\n[[index]]\nurl = \"https://b\"\n\n[pip]\n";
    assert_eq!(settings(&context, "uv", &[]), lists);
    context.set("UV_NO_CONFIG", "1");
    assert_eq!(settings(&context, "uv", &[]), "");
    context.set("UV_NO_CONFIG", "0").write("config/uv/uv.toml", "a = 1\npassword = secret\n");
    let output = context.run(&["install", "x", "--force", "--binproviders", "uv"]).exits_with(1);
    assert!(output.stderr.contains("uv.toml is not valid TOML in line 2"), "{output:?}");
    assert!(!output.stderr.contains("secret"), "{output:?}");
}

#[test]
fn an_index_in_the_settings_of_pip_is_not_joined_by_those_of_uv() {
    let mut context = context();
    for variable in
        ["UV_INDEX", "UV_EXTRA_INDEX_URL", "UV_DEFAULT_INDEX", "UV_FIND_LINKS", "UV_TORCH_BACKEND"]
    {
        context.set(variable, "https://pypi.test");
    }
    context.write(
        "config/uv/uv.toml",
        "offline = true\nextra-index-url = ['https://pypi.test']\n[[index]]\nurl = 'https://pypi.test'\n\
         [pip]\nextra-index-url = ['https://pypi.test']\n",
    );
    let asked = |context: &TestContext| {
        let line = installed_by(context, "pip");
        let file = fs::read_to_string(context.path("data/uv-config")).unwrap();
        [line.contains("pypi.test"), file.contains("pypi.test")]
    };
    assert_eq!(asked(&context), [true, true], "pip's settings choose no index");
    for settings in
        ["global.index-url='https://x'", ":env:.extra-index-url='https://x'", "install.no-index='true'"]
    {
        context.write("settings", settings);
        assert_eq!(asked(&context), [false, false], "{settings}");
    }
}

#[test]
fn relative_paths_in_settings_are_rejected() {
    let mut context = context();
    let reason = |context: &TestContext, provider: &str| {
        let output = context.run(&["install", "x", "--force", "--binproviders", provider]).exits_with(1);
        assert_eq!(output.record()["attempts"][0]["outcome"], "rejected", "{output:?}");
        output.stderr
    };
    for (key, value) in [("constraint", "/a c.txt"), ("find-links", "https://x/y wheels")] {
        context.write("settings", format!(":env:.{key}='{value}'"));
        let path = value.split(' ').next_back().unwrap();
        assert!(
            reason(&context, "pip").contains(&format!("pip's setting {key} has the relative path {path}"))
        );
    }
    context.set("UV_FIND_LINKS", "/a,b");
    assert!(reason(&context, "uv").contains("the variable UV_FIND_LINKS has the relative path b"));
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
    context.write("file", "");
    let folder = format!("TMP/data/lib/{}/.cache/{}", rigup::settings::platform(), geteuid());
    let cache = format!("uv XDG_CACHE_HOME={folder} XDG_DATA_HOME={folder} XDG_STATE_HOME={folder}");
    for home in [context.path("file"), "/dev/null".into(), "/proc".into()] {
        context.set("HOME", &home);
        for provider in ["pip", "uv"] {
            assert_eq!(installed_by(&context, provider), cache, "{provider} {}", home.display());
        }
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
        for package in [
            "git+https://host/x",
            "git+https://host/x.whl",
            "x @ git+ssh://git@host/x.whl",
            "x @ https://host/x.tar.gz",
            "https://host/x.tar.gz#x.whl",
            "https://host/x.zip?x.whl",
            "x[a] @ file:x.zip",
            "./x",
            "/srv/x",
        ] {
            for rule in [&[][..], &["--postinstall-scripts=false"]] {
                let reason = install(provider, package, rule);
                assert!(
                    reason.contains("rejected") && reason.contains("can run scripts"),
                    "{provider} {package}: {reason}"
                );
            }
        }
        assert_eq!(install(provider, "/srv/x", &["--postinstall-scripts"]), "", "{provider}");
        let reason = install(provider, "/srv/x", &["--postinstall-scripts", "--min-release-age", "1"]);
        assert!(reason.contains("has no release date"), "{provider}: {reason}");
        for wheel in ["/srv/x-1.0-py3-none-any.whl", "x[a] @ https://host/x-1.0+cpu.whl?v=1#sha256=2"] {
            assert_eq!(
                install(provider, wheel, &["--postinstall-scripts=false"]),
                "",
                "a wheel is not built"
            );
        }
    }
}

#[test]
fn an_old_pip_that_ignores_release_dates_is_reported_once() {
    let context = context();
    fs::remove_file(context.path("tools/bin/uv")).unwrap();
    let python = PYTHON.replace("26", "23");
    context.script("tools/bin/python3", &format!("#!/bin/sh\n{INSTALL}{python}"));
    let warnings = [(); 2].map(|()| {
        let output = context.run(&["install", "x", "--binproviders", "pip", "--force"]).succeeds();
        output
            .stderr
            .contains("pip 23 cannot enforce min_release_age and installs the newest releases; install uv")
    });
    assert_eq!(warnings, [true, false]);
}

#[test]
fn upgrade_says_that_new_releases_were_left_out_only_if_they_were() {
    let context = context();
    fs::remove_file(context.path("tools/bin/uv")).unwrap();
    for (version, is_enforced) in [("26", true), ("23", false)] {
        let python = PYTHON.replace("26", version);
        context.script("tools/bin/python3", &format!("#!/bin/sh\n{INSTALL}{python}"));
        context.run(&["install", "x", "--binproviders", "pip"]).succeeds();
        let stderr = context.run(&["upgrade", "x"]).succeeds().stderr;
        assert_eq!(stderr.contains("releases of the last 7 days were left out"), is_enforced, "{stderr}");
    }
}

#[test]
fn the_reason_of_an_unenforced_age_names_a_way_out() {
    let context = context();
    let python = PYTHON.replace("26", "23");
    context.script("tools/bin/python3", &format!("#!/bin/sh\n{INSTALL}{python}"));
    context.write("settings", "global.pre='1'");
    let args = ["install", "x", "--binproviders", "pip", "--min-release-age", "3"];
    let reason = "min_release_age; use pip 26 or later, because uv has no setting like pip's pre";
    context.run(&args).exits_with(1).stderr_contains(reason);
}

#[test]
fn a_terminated_install_leaves_nothing_behind_and_keeps_the_earlier() {
    for (provider, has_uv) in [("pip", true), ("uv", true), ("pip", false)] {
        let context = context();
        if !has_uv {
            fs::remove_file(context.path("tools/bin/uv")).unwrap();
        }
        installed_by(&context, provider);
        let folder = context.path("data/lib").join(rigup::settings::platform()).join(provider);
        let program = fs::read(folder.join("x/bin/x")).unwrap();
        context.write("hang", "");
        let mut rigup = context.start(&["install", "x", "--binproviders", provider, "--force"]);
        wait_until("the installer has started", || context.path("data/hangs").exists());
        signal(rigup.id(), Signal::SIGTERM);
        rigup.wait().unwrap();
        assert_eq!(context.live_processes(), [], "{provider}");
        let left: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["x"], "{provider}");
        assert_eq!(fs::read(folder.join("x/bin/x")).unwrap(), program, "{provider}");
    }
}
