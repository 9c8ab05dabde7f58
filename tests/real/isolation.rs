//! Package managers next to files and variables that are meant for other projects.

use std::fs;
use std::net::TcpListener;
use std::path::PathBuf;

use serde_json::json;

use crate::package_managers::{context_with_cargo, context_with_gems, context_with_module, put_pnpm_on_path};
use crate::test_context::TestContext;
use crate::{check_binary, context_with_registries};

/// Installs a binary with a provider, and asserts that it is in its own prefix.
fn check_install(context: &TestContext, provider: &str, name: &str) {
    let record = context.run(&["install", name, "--binproviders", provider, "--force"]).succeeds().record();
    let prefix = context.path("data/lib").join(rigup::settings::platform()).join(provider).join(name);
    let abspath = PathBuf::from(record["abspath"].as_str().unwrap());
    assert!(abspath.canonicalize().unwrap().starts_with(prefix), "{record}");
    check_binary(context, name, &record);
}

/// Writes files that stop the package managers, or make them install something else, into the folders above the data
/// dir.
fn write_foreign_files(context: &TestContext) {
    let npm = "registry=http://127.0.0.1:9/\nfetch-retries=0\nbin-links=false\nmin-release-age=100000\n";
    context.write(".npmrc", npm);
    context.write("package.json", r#"{"workspaces": ["**"], "packageManager": "pnpm@1.0.0"}"#);
    context.write("pnpm-workspace.yaml", "packages: ['**']\nregistry: http://127.0.0.1:9/\n");
    context.write("rust-toolchain.toml", "[toolchain]\nchannel = '1.0.0'\n");
    context.write(".cargo/config.toml", "[build]\nrustc-wrapper = '/no/such/wrapper'\n");
    context.write("go.mod", "module no such module");
    context.write("go.work", "go 1.18\nuse ./none\n");
    context.write(".ruby-version", "1.0.0\n");
    context.write("Gemfile", "raise 'read'\n");
}

#[test]
#[ignore = "installs from a registry: run with --ignored"]
fn npm_and_pnpm_ignore_foreign_files_variables_and_settings() {
    let mut context = context_with_registries();
    put_pnpm_on_path(&mut context);
    write_foreign_files(&context);
    let settings = "global=true\nlocation=global\nprefix=/no/such\nbin-links=false\nomit=optional\ndry-run=true\n\
                    virtual-store-dir=/no/such\nmodules-dir=other\nsave=false\n";
    let home = context.path("settings");
    context.write("settings/.npmrc", settings);
    for (variable, value) in [
        ("npm_config_global", "true".into()),
        ("NPM_CONFIG_LOCATION", "global".into()),
        ("npm_config_bin_links", "false".into()),
        ("npm_config_workspace", "x".into()),
        ("NODE_PATH", "/no/such".into()),
        ("NODE_OPTIONS", "--require ./no-such.js".into()),
        ("HOME", home.into_os_string()),
    ] {
        context.set(variable, value);
        for provider in ["npm", "pnpm"] {
            check_install(&context, provider, "json");
        }
    }
    fs::remove_dir_all(context.path("data")).unwrap();
    context.set("HOME", context.write("file", "").join("home"));
    for provider in ["npm", "pnpm"] {
        check_install(&context, provider, "json");
    }
}

#[test]
#[ignore = "installs pnpm from a registry: run with --ignored"]
fn the_users_own_timeout_ends_the_wait_for_a_silent_registry() {
    let mut context = context_with_registries();
    put_pnpm_on_path(&mut context);
    let registry = TcpListener::bind("127.0.0.1:0").unwrap();
    context.set("npm_config_registry", format!("http://{}/", registry.local_addr().unwrap()));
    let npmrc =
        context.write("home/.npmrc", "fetch-timeout=500\nfetch-retries=1\nfetch-retry-mintimeout=100\n");
    context.set("HOME", npmrc.parent().unwrap());
    for provider in ["npm", "pnpm"] {
        let install = ["install", "json", "--binproviders", provider, "--timeout", "60"];
        let record = context.run(&install).exits_with(1).record();
        assert!(record["last_error"].as_str().unwrap().contains("cannot reach the registry: "), "{record}");
    }
}

#[test]
#[ignore = "installs from a registry: run with --ignored"]
fn cargo_ignores_foreign_files_and_variables() {
    let mut context = context_with_cargo();
    write_foreign_files(&context);
    context.set("CARGO_BUILD_TARGET", "wasm32-unknown-unknown").set("CARGO_TARGET_DIR", "/no/such");
    context.set("CARGO_INSTALL_ROOT", "/no/such");
    check_install(&context, "cargo", "shellharden");
    let file = context.write("file", "").join("home");
    context.set("HOME", file).set("CARGO_HOME", "");
    let output = context.run(&["install", "shellharden", "--binproviders", "cargo", "--force"]).exits_with(1);
    output.stderr_contains("cargo declined: cannot use ");
}

#[test]
#[ignore = "needs go and gem: run with --ignored"]
fn go_and_gem_ignore_foreign_files_and_variables() {
    let mut context = context_with_module();
    write_foreign_files(&context);
    context.set("GOFLAGS", "-modcacherw -mod=vendor -toolexec=/no/such").set("GOOS", "windows");
    check_install(&context, "go", "hello");

    let mut context = context_with_gems();
    write_foreign_files(&context);
    let gemfile = context.path("Gemfile");
    context.set("RUBYOPT", "-rbundler/setup").set("BUNDLE_GEMFILE", gemfile.clone());
    context.set("RUBYGEMS_GEMDEPS", gemfile).set("GEM_HOME", "/no/such");
    let install = ["install", "hello", "--binproviders", "gem"];
    assert_eq!(context.run(&install).succeeds().record()["version"], "1.2.0");
}

#[test]
#[ignore = "needs gem: run with --ignored"]
fn options_in_a_gemrc_decide_only_where_gems_come_from() {
    let mut context = context_with_gems();
    let sources = fs::read_to_string(context.path("gemrc")).unwrap();
    let option =
        format!("gem: --user-install --clear-sources --source={}", &sources["sources:\n- ".len() + 1..]);
    let gemrc = context.write("home/.gemrc", option);
    context.unset("GEMRC").set("HOME", gemrc.parent().unwrap());
    check_install(&context, "gem", "hello");
    for options in [
        "--platform java --install-dir /no/such --bindir /no/such --default",
        "--build-root /no/such --ignore-dependencies --local",
        "--explain --silent --version 9 --file /no/such",
    ] {
        for key in ["gem", "install"] {
            context.write("home/.gemrc", format!("{sources}gemhome: /no/such\n{key}: {options}\n"));
            check_install(&context, "gem", "hello");
        }
    }
}

#[test]
#[ignore = "installs from a registry: run with --ignored"]
fn a_package_with_scripts_is_installed_from_a_folder_as_a_copy() {
    let mut context = context_with_registries();
    put_pnpm_on_path(&mut context);
    context.script("hello/hello.js", "#!/usr/bin/env node\nconsole.log('hello 1.2.0');\n");
    let package = json!({
        "name": "rigup-hello", "version": "1.2.0", "bin": {"hello": "hello.js"},
        "scripts": {"postinstall": "echo ran >ran"},
    });
    context.write("hello/package.json", package.to_string());
    for provider in ["npm", "pnpm"] {
        let overrides = json!({provider: [context.path("hello")]});
        let line =
            json!({"type": "Binary", "name": "hello", "binproviders": provider, "overrides": overrides});
        context.plugin("p", &[line]);
        context
            .run(&["install", "--force"])
            .exits_with(1)
            .stderr_contains("allow them with --postinstall-scripts");
        let record = context.run(&["install", "--force", "--postinstall-scripts"]).succeeds().record();
        let program = PathBuf::from(record["abspath"].as_str().unwrap()).canonicalize().unwrap();
        assert!(program.starts_with(context.path("data").canonicalize().unwrap()), "{}", program.display());
        assert!(program.with_file_name("ran").exists(), "{provider} ran the script");
    }
}
