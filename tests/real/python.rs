//! pip and uv with a private index on this machine, which has packages that no other index has.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use serde_json::json;

use crate::test_context::TestContext;
use crate::{context_with_registries, context_with_uv};

/// A Python script that writes an index with the packages `rigup-private-a`, whose program is `private`, and
/// `rigup-private-b`, which the first one needs. `rigup-private-c` needs a source package that is not in an index,
/// `rigup-private-e` has only a wheel for another Python, and `rigup-private-f` only a source.
const INDEX: &str = r#"
import os, sys, zipfile
version, = sys.argv[1:]
for name, needs in (("a", "b"), ("b", ""), ("c", f"d @ file://{os.getcwd()}/d.zip"), ("e", "")):
    package = f"rigup_private_{name}"
    folder, info = f"simple/rigup-private-{name}", f"{package}-{version}.dist-info"
    os.makedirs(folder)
    files = {
        f"{package}.py": (f"import rigup_private_{needs}\n" if needs == "b" else "") + "def main(): print('private 9.9')\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: rigup-private-{name}\nVersion: {version}\n"
            + (f"Requires-Dist: {needs if ' ' in needs else 'rigup-private-' + needs}\n" if needs else ""),
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": f"[console_scripts]\nprivate = {package}:main\n" if needs else "",
    }
    files[f"{info}/RECORD"] = "".join(f"{path},,\n" for path in [*files, f"{info}/RECORD"])
    with zipfile.ZipFile(f"{folder}/{package}-{version}-py3-none-any.whl", "w") as wheel:
        for path, text in files.items():
            wheel.writestr(path, text)
with open("simple/rigup-private-e/index.html", "w") as page:
    for file in (f"rigup_private_e-{version}-py3-none-any.whl", f"rigup_private_e-{version}.zip"):
        page.write(f'<a href="{file}" data-requires-python="&gt;=3.99">{file}</a>\n')
os.mkdir("simple/rigup-private-f")
for path, name in (("d.zip", "d"), (f"simple/rigup-private-f/rigup_private_f-{version}.zip", "rigup_private_f")):
    with zipfile.ZipFile(path, "w") as source:
        setup = f"open({os.getcwd() + '/ran'!r}, 'w')\\nimport setuptools\\nsetuptools.setup(name={name!r}, version='{version}')\\n"
        source.writestr(f"{name}-{version}/setup.py", setup)
"#;

/// A web server for the index. It is killed when the value is dropped.
struct Index {
    server: Child,
    url: String,
}

impl Index {
    /// Writes the index into a folder of the context, and starts the server.
    fn start(context: &TestContext) -> Self {
        Self::with_version(context, "index", "1.0")
    }

    /// Writes an index with this version of its packages into a folder of the context, and starts the server.
    fn with_version(context: &TestContext, folder: &str, version: &str) -> Self {
        let script = context.write(&format!("{folder}/make.py"), INDEX);
        let folder = script.parent().unwrap();
        let mut make = Command::new("python3");
        assert!(make.arg(&script).arg(version).current_dir(folder).status().unwrap().success());
        let mut server = Command::new("python3")
            .args(["-u", "-m", "http.server", "0", "--bind", "127.0.0.1"])
            .current_dir(folder)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // "Serving HTTP on 127.0.0.1 port 34567 (http://127.0.0.1:34567/) ..."
        let mut line = String::new();
        BufReader::new(server.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let port = line.split_whitespace().nth(5).unwrap();
        Self { url: format!("http://127.0.0.1:{port}/simple"), server }
    }
}

impl Drop for Index {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// Requires the program `private` of the private package.
fn require(context: &TestContext, provider: &str) {
    let overrides = json!({provider: ["rigup-private-a"]});
    let line = json!({"type": "Binary", "name": "private", "binproviders": provider, "overrides": overrides});
    context.plugin("p", &[line]);
}

/// Installs `private`, and asserts that its version is that of the package, and that it runs after its LIB_DIR was moved.
fn check_install(context: &TestContext) {
    let record = context.run(&["install", "--force"]).succeeds().record();
    assert_eq!((&record["version"], &record["package_version"]), (&json!("1.0"), &json!("1.0")));
    let (lib_dir, moved) = (context.path("data/lib"), context.path("moved lib"));
    fs::rename(&lib_dir, &moved).unwrap();
    let program = moved.join(rigup::settings::platform()).join("bin/private");
    let output = Command::new(program).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "private 9.9\n", "{output:?}");
    fs::rename(moved, lib_dir).unwrap();
}

/// Puts the Python of a venv first on PATH, whose own `pip.conf` has no index, and returns the folder of the user's.
fn context_with_config_files(mut context: TestContext) -> TestContext {
    let venv = context.path("venv");
    let mut python = Command::new("/usr/bin/python3");
    python.args(["-m", "venv", "--without-pip", "--system-site-packages"]).arg(&venv);
    assert!(python.status().unwrap().success());
    context.write("venv/pip.conf", "[global]\ntimeout = 9\n");
    let path = context.path("uv-only").into_os_string().into_string().unwrap();
    context.set("PATH", format!("{}:{path}:/usr/bin:/bin", venv.join("bin").display()));
    for variable in ["PIP_INDEX_URL", "PIP_CONFIG_FILE", "PIP_FIND_LINKS"] {
        context.unset(variable);
    }
    context.set("XDG_CONFIG_HOME", context.path("config"));
    context
}

#[test]
#[ignore = "needs pip, and PyPI for uv: run with --ignored"]
fn pip_and_uv_ask_only_the_indexes_in_the_settings_of_pip() {
    for context in [context_with_registries(), context_with_uv()] {
        let mut context = context_with_config_files(context);
        let index = Index::start(&context);
        let url = &index.url;
        require(&context, "pip");
        for text in [
            format!("[global]\nindex-url = {url}\n"),
            format!("[install]\nindex_url: {url}\n[global]\nindex-url = http://127.0.0.1:9/simple\n"),
            format!(
                "[global]\nno-index = true\nfind-links =\n  {url}/rigup-private-a/\n  {url}/rigup-private-b/\n"
            ),
            format!("[global]\nindex-url = {url}\nno-deps = true\ntarget = {url}\nplatform = win32\n"),
        ] {
            context.write("config/pip/pip.conf", text);
            check_install(&context);
        }
        let config = context.write("pip.conf", format!("[global]\nindex-url = {url}\n"));
        context.write("config/pip/pip.conf", "[global]\nindex-url = http://127.0.0.1:9/simple\n");
        for (variable, value) in
            [("PIP_INDEX_URL", url.clone()), ("PIP_CONFIG_FILE", config.display().to_string())]
        {
            context.unset("PIP_INDEX_URL").set(variable, value);
            check_install(&context);
        }
    }
}

#[test]
#[ignore = "needs pip, and PyPI for uv: run with --ignored"]
fn pip_and_uv_choose_the_newest_release_of_all_indexes_of_pip() {
    for context in [context_with_registries(), context_with_uv()] {
        let mut context = context_with_config_files(context);
        let old = Index::with_version(&context, "old", "2.0");
        let new = Index::with_version(&context, "new", "9.0");
        require(&context, "pip");
        let folder = |name: &str| context.path(&format!("new/simple/rigup-private-{name}"));
        let links = format!("/no/such {} {}", folder("a").display(), folder("b").display());
        for (index, extra, find_links) in [
            (&new.url, format!("https://pypi.org/simple {}", old.url), "/no/such"),
            (&old.url, format!("{} https://pypi.org/simple", new.url), "file:///no/such"),
            (&old.url, String::new(), &links),
        ] {
            context.set("PIP_INDEX_URL", index).set("PIP_EXTRA_INDEX_URL", extra);
            context.set("PIP_FIND_LINKS", find_links);
            let record = context.run(&["install", "--force"]).succeeds().record();
            assert_eq!(record["package_version"], "9.0", "{index} {find_links}");
        }
    }
}

#[test]
#[ignore = "needs pip: run with --ignored"]
fn pip_suggests_a_build_only_if_it_would_help() {
    let mut context = context_with_registries();
    let index = Index::start(&context);
    context.set("PIP_INDEX_URL", index.url.clone());
    for (package, expected) in [
        ("a==2.0", "No matching distribution found for rigup-private-a==2.0"),
        ("e", "found for rigup-private-e; 1.0 requires Python >=3.99, and this is Python 3."),
        ("e==1.0", "found for rigup-private-e==1.0; 1.0 requires Python >=3.99, and this is Python 3."),
        ("f", "found for rigup-private-f; a package that must be built needs --postinstall-scripts"),
    ] {
        let overrides = json!({"pip": [format!("rigup-private-{package}")]});
        let line =
            json!({"type": "Binary", "name": "private", "binproviders": "pip", "overrides": overrides});
        context.plugin("p", &[line]);
        let output = context.run(&["install", "--force"]).exits_with(1);
        let error = output.record()["last_error"].as_str().unwrap().to_owned();
        assert!(error.contains(expected), "{error}");
        assert_eq!(error.contains("postinstall"), package == "f", "{error}");
    }
    assert!(!context.path("index/ran").exists());
}

#[test]
#[ignore = "needs PyPI for uv: run with --ignored"]
fn settings_of_uv_choose_the_index_but_not_where_packages_are_installed() {
    let mut context = context_with_uv();
    let index = Index::start(&context);
    context.set("XDG_CONFIG_HOME", context.path("config"));
    for setting in ["target = '/no/such'", "prefix = '/no/such'", "no-deps = true", "system = true"] {
        context.write("config/uv/uv.toml", format!("[pip]\n{setting}\nindex-url = '{}'\n", index.url));
        require(&context, "uv");
        check_install(&context);
    }
}

#[test]
#[ignore = "needs pip, and PyPI for uv: run with --ignored"]
fn settings_of_the_caller_and_of_projects_do_not_change_an_install() {
    for mut context in [context_with_registries(), context_with_uv()] {
        let index = Index::start(&context);
        // pip would take the dependency for installed.
        let packages = context.path("packages");
        let mut unzip = Command::new("python3");
        unzip.args(["-m", "zipfile", "-e"]);
        let wheel = "index/simple/rigup-private-b/rigup_private_b-1.0-py3-none-any.whl";
        assert!(unzip.arg(context.path(wheel)).arg(&packages).status().unwrap().success());
        context.set("PYTHONPATH", &packages).set("PIP_INDEX_URL", index.url.clone());
        for variable in ["PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "UV_PROJECT", "UV_WORKING_DIR"] {
            context.set(variable, context.path("elsewhere"));
        }
        for variable in ["PIP_USER", "PIP_NO_DEPS", "PIP_DRY_RUN", "UV_SYSTEM_PYTHON"] {
            context.set(variable, "1");
        }
        context.write("uv.toml", "index-url = \"http://127.0.0.1:9/simple\"\n");
        context.write(
            "data/pyproject.toml",
            "[project]\nname = \"x\"\nversion = \"1\"\nrequires-python = \">=3.99\"\n",
        );
        require(&context, "pip");
        check_install(&context);
        assert!(!context.path("elsewhere").exists());
    }
}

#[test]
#[ignore = "needs pip, and PyPI for uv: run with --ignored"]
fn an_index_that_cannot_be_reached_is_named_with_the_cause() {
    for mut context in [context_with_registries(), context_with_uv()] {
        context
            .set("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
            .set("UV_INDEX_URL", "http://127.0.0.1:9/simple");
        context.set("PIP_RETRIES", "0").set("UV_HTTP_RETRIES", "0");
        for provider in ["pip", "uv"] {
            require(&context, provider);
            let output = context.run(&["install", "--force", "--binproviders", provider]).exits_with(1);
            let reason = output.record()["last_error"].as_str().unwrap().to_owned();
            if !reason.contains("uv is not on PATH") {
                let url = "cannot reach the index: http://127.0.0.1:9/simple/rigup-private-a/: ";
                assert!(reason.contains(url) && reason.contains("Connection refused"), "{reason}");
                assert!(!reason.contains("postinstall"), "{reason}");
            }
        }
    }
}

#[test]
#[ignore = "needs pip, and PyPI for uv: run with --ignored"]
fn a_dependency_with_a_url_is_not_built_without_postinstall_scripts() {
    for mut context in [context_with_registries(), context_with_uv()] {
        let index = Index::start(&context);
        context.set("PIP_INDEX_URL", index.url.clone()).set("UV_INDEX", "https://pypi.test/simple");
        let overrides = json!({"pip": ["rigup-private-c"]});
        let line =
            json!({"type": "Binary", "name": "private", "binproviders": "pip", "overrides": overrides});
        context.plugin("p", &[line]);
        for rule in [&[][..], &["--postinstall-scripts=false"]] {
            context.run(&[&["install", "--force", "--min-release-age", "0"], rule].concat()).exits_with(1);
            assert!(!context.path("index/ran").exists());
        }
    }
}
