//! The folders that `rigup config` shows, and `rigup config set` and `path`.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::{Value, json};

use crate::invalid_input::run_as_nobody;
use crate::kernel;
use crate::test_context::{CommandOutput, TestContext};

/// Creates a context with a plugin that has settings.
fn context() -> TestContext {
    let context = TestContext::new();
    let config = json!({"properties": {
        "W_LIMIT": {"type": "integer", "minimum": 5, "default": 60},
        "W_ARGS": {"type": "array", "default": []},
        "W_FLOAT": {"type": "number"},
        "W_COOKIES": {"type": "string", "x-sensitive": true},
    }});
    context.write("here/plugins/w/config.json", config.to_string());
    context
}

/// Returns the values of records by name.
fn values(records: &[Value]) -> Vec<Value> {
    records.iter().map(|record| json!([record["name"], record["value"]])).collect()
}

const FILE: &str = "home/.config/rigup/rigup.toml";

#[test]
fn config_shows_folders_and_files_with_their_origins() {
    let mut context = context();
    context.set("LIB_BIN_DIR", "/opt/bin");
    let lib = context.path("lib");
    let lib_dir = lib.to_str().unwrap();
    context.write(FILE, "");
    let args = ["config", "lib_dir", "lib_bin_dir", "data_dir", "user_file", "--lib-dir", lib_dir];
    let records = context.run(&args).succeeds().records();
    let record = |name: &str, value: &str, origin: &str, exists: bool| {
        json!({"type": "Setting", "plugin": "rigup",
        "name": name, "value": value, "origin": origin, "exists": exists})
    };
    let expected = [
        record("data_dir", context.path("data").to_str().unwrap(), "the variable RIGUP_DATA_DIR", false),
        record("lib_dir", lib_dir, "--lib-dir", false),
        record("lib_bin_dir", "/opt/bin", "the variable LIB_BIN_DIR", false),
        record("user_file", context.path(FILE).to_str().unwrap(), "your configuration folder", true),
    ];
    assert_eq!(records, expected);
    let plugins = context.run(&["config", "plugins_dir"]).succeeds().records();
    let folders = ["plugins", "providers"].map(|name| context.path("here").join(name).display().to_string());
    assert_eq!(values(&plugins), folders.map(|path| json!(["plugins_dir", path])));
    assert_eq!(
        context.run(&["config", "path"]).succeeds().stdout,
        format!("{}\n", context.path(FILE).display())
    );
}

#[test]
fn config_set_writes_typed_values_and_keeps_comments() {
    let mut context = context();
    let set = |context: &TestContext, words: &[&str]| context.run(&[&["config", "set"], words].concat());
    let records = set(&context, &["W_LIMIT=90", "keep.days=7", "W_ARGS=[1,\"a\"]", "W_ENABLED=no"])
        .succeeds()
        .records();
    let expected = [
        json!(["keep.days", 7]),
        json!(["W_LIMIT", 90]),
        json!(["W_ARGS", [1, "a"]]),
        json!(["W_ENABLED", false]),
    ];
    assert_eq!(values(&records), expected);
    let read = |context: &TestContext| fs::read_to_string(context.path(FILE)).unwrap();
    assert_eq!(read(&context), "W_LIMIT = 90\nW_ARGS = [1, \"a\"]\nW_ENABLED = false\n\n[keep]\ndays = 7\n");
    context.write(FILE, "# mine\nW_LIMIT = 90 # seconds\n\n[keep]\n# a week\ndays = 7\n");
    fs::set_permissions(context.path(FILE), fs::Permissions::from_mode(0o600)).unwrap();
    set(&context, &["keep.days=12h", "W_LIMIT=80"]).succeeds();
    assert_eq!(read(&context), "# mine\nW_LIMIT = 80 # seconds\n\n[keep]\n# a week\ndays = \"12h\"\n");
    assert_eq!(fs::metadata(context.path(FILE)).unwrap().permissions().mode() & 0o777, 0o600);
    context.set("W_LIMIT", "70");
    let other = set(&context, &["W_LIMIT=50"]).succeeds().record();
    assert_eq!((&other["value"], &other["origin"]), (&json!(70), &json!("the variable W_LIMIT")));
    set(&context, &["W_LIMIT=", "keep.days=", "keep.processes="]).succeeds();
    assert_eq!(read(&context), "");
}

#[test]
fn removing_a_setting_keeps_the_comments_that_are_not_its_own() {
    let context = context();
    let file = "# my machine\n\nMIN_RELEASE_AGE = 3\n\n# section about keeping\n[keep]\n# a week\ndays = 7\n# processes = 100\n";
    for (removed, kept) in [
        (
            &["MIN_RELEASE_AGE="][..],
            "# my machine\n\n# section about keeping\n[keep]\n# a week\ndays = 7\n# processes = 100\n",
        ),
        (
            &["keep.days="],
            "# my machine\n\nMIN_RELEASE_AGE = 3\n\n# section about keeping\n[keep]\n# processes = 100\n",
        ),
        (
            &["keep.days=", "MIN_RELEASE_AGE="],
            "# my machine\n\n# section about keeping\n[keep]\n# processes = 100\n",
        ),
        (&["W_LIMIT=", "keep.processes="], file),
        (
            &["keep.days=", "keep.days=2"],
            "# my machine\n\nMIN_RELEASE_AGE = 3\n\n# section about keeping\n[keep]\ndays = 2\n# processes = 100\n",
        ),
    ] {
        context.write(FILE, file);
        context.run(&[&["config", "set"], removed].concat()).succeeds();
        assert_eq!(fs::read_to_string(context.path(FILE)).unwrap(), kept, "{removed:?}");
    }
}

#[test]
fn config_set_changes_nothing_if_a_value_cannot_be_used() {
    let context = context();
    for (assignment, code, error) in [
        ("W_LIMIT=4", 2, "cannot set W_LIMIT: 4 is less than the minimum of 5"),
        ("W_LIMT=9", 2, "there is no setting named W_LIMT; did you mean W_LIMIT?"),
        ("W_LIMIT", 2, "cannot set W_LIMIT: there is no `=`; write W_LIMIT=VALUE"),
        (
            "W_COOKIES=s3cret",
            2,
            "cannot set W_COOKIES: it is sensitive, and others can see a command line; write it into",
        ),
        ("W_ARGS=[1, null]", 2, "cannot set W_ARGS=[1, null]: TOML, in which it is stored, has no null"),
        ("W_FLOAT=1e400", 2, "cannot set W_FLOAT=1e400: TOML, in which it is stored, has no number as large"),
        ("W_LIMIT=18446744073709551615", 2, "cannot set W_LIMIT=18446744073709551615: TOML, in which it is"),
        ("keep.days=soon", 2, "nothing was set: cannot use keep.days"),
        ("keep.day=1", 2, "there is no setting named keep.day; did you mean keep.days?"),
        ("PLUGINS=nosuch", 2, "nothing was set: there is no plugin named nosuch"),
        ("data_dir=/x", 2, "there is no setting named data_dir; `rigup config` shows all settings"),
    ] {
        let output = context.run(&["config", "set", "W_ENABLED=true", assignment]).exits_with(code);
        assert!(output.stderr.starts_with(&format!("error: {error}")), "{}", output.stderr);
        assert!(!output.stderr.contains("s3cret"));
    }
    assert!(!context.path(FILE).exists());
    context.write(FILE, "PLUGINS = \"nosuch\"\n");
    context.run(&["config"]).exits_with(3);
    context.run(&["config", "set", "PLUGINS=w"]).succeeds();
    context.run(&["config", "set", "W_LIMIT=9", "PLUGINS="]).succeeds();
    assert_eq!(fs::read_to_string(context.path(FILE)).unwrap(), "W_LIMIT = 9\n");
    assert!(!context.path("data").exists());
}

#[test]
fn the_examples_of_the_help_work_with_the_plugins_of_this_repository() {
    let mut context = TestContext::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    context.set("RIGUP_PLUGINS_DIR", root.join("plugins")).set("RIGUP_TRUST_DIR", root);
    for page in ["config", "config_set"] {
        let help = fs::read_to_string(root.join(format!("src/cli/help/{page}.txt"))).unwrap();
        let examples = help.lines().filter_map(|line| line.strip_prefix("  "));
        let examples: Vec<&str> = examples.map(|line| line.split("  ").next().unwrap_or_default()).collect();
        assert_eq!(examples.len(), if page == "config" { 4 } else { 3 });
        for example in examples {
            let words: Vec<&str> = example.split(' ').collect();
            let (variable, args) = words.split_at(words.iter().position(|word| *word == "rigup").unwrap());
            let mut command = context.command(&args[1..]);
            command.envs(variable.iter().map(|word| word.split_once('=').unwrap()));
            CommandOutput::new(&args[1..], &command.output().unwrap()).succeeds();
        }
    }
}

#[test]
fn without_a_home_folder_the_next_step_is_named_instead_of_a_path() {
    let mut context = context();
    let check = |context: &TestContext, run: &dyn Fn(&[&str]) -> CommandOutput| {
        let advice = "HOME is not set to an absolute path; set it, or XDG_CONFIG_HOME";
        for args in [&["config", "path"][..], &["config", "set", "keep.days=3"]] {
            let output = run(args).exits_with(3).stderr_contains(advice);
            assert_eq!(output.stdout, "", "{args:?}");
        }
        assert_eq!(fs::read_dir(context.path("here")).unwrap().count(), 1, "only the plugins");
    };
    context.set("HOME", "relative");
    check(&context, &|args| context.run(args));
    let mut command = context.command(&["list"]);
    let output = CommandOutput::new(&["list"], &command.env_remove("RIGUP_DATA_DIR").output().unwrap());
    output.exits_with(3).stderr_contains("HOME is not set to an absolute path; set it, or --data-dir");
    context.set("XDG_CONFIG_HOME", context.path("config"));
    let path = context.path("config/rigup/rigup.toml");
    assert_eq!(context.run(&["config", "path"]).succeeds().stdout, format!("{}\n", path.display()));
    context.unset("XDG_CONFIG_HOME").unset("HOME");
    // The home folder of this user in /etc/passwd does not exist.
    if kernel::is_root() {
        check(&context, &|args| run_as_nobody(&context, args));
    }
}
