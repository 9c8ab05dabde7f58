use serde_json::Value;

use super::*;

fn merge(flags: Flags, environment: Environment) -> Settings {
    let home = Some(PathBuf::from("/home/me"));
    Settings::merge_in(
        Some(Path::new("/here")),
        home,
        PathBuf::from("/bin/rigup"),
        SettingsUse::Values,
        flags,
        environment,
    )
    .unwrap()
}

#[test]
fn flags_override_the_environment_and_that_overrides_defaults() {
    let environment = Environment::from_iter([("RIGUP_DATA_DIR", "/env"), ("DATA_DIR", "/older")]);
    assert_eq!(merge(Flags::default(), environment.clone()).data_dir, Path::new("/env"));
    let flags = Flags { data_dir: Some("flag".into()), ..Flags::default() };
    assert_eq!(merge(flags, environment).data_dir, Path::new("/here/flag"));
    let environment = Environment::from_iter([("XDG_DATA_HOME", "/xdg"), ("DATA_DIR", "")]);
    assert_eq!(merge(Flags::default(), environment).data_dir, Path::new("/xdg/rigup"));
    let environment = Environment::default();
    assert_eq!(merge(Flags::default(), environment).data_dir, Path::new("/home/me/.local/share/rigup"));
}

#[test]
fn lib_dir_is_in_the_data_dir_and_lib_bin_dir_in_lib_dir_by_default() {
    let settings = merge(Flags::default(), Environment::from_iter([("DATA_DIR", "/d")]));
    assert_eq!(settings.lib_dir, Path::new("/d/lib").join(platform()));
    assert_eq!(settings.lib_bin_dir, settings.lib_dir.join("bin"));
    let settings = merge(Flags::default(), Environment::from_iter([("DATA_DIR", "/d"), ("LIB_DIR", "/l")]));
    assert_eq!(settings.lib_bin_dir, Path::new("/l/bin"));
}

#[test]
fn the_output_limit_is_a_number_of_mebibytes() {
    let limit = |text: &str| {
        let environment = Environment::from_iter([("DATA_DIR", "/d"), ("RIGUP_OUTPUT_LIMIT", text)]);
        let flags = Flags::default();
        Settings::merge_in(
            Some(Path::new("/")),
            None,
            PathBuf::new(),
            SettingsUse::Values,
            flags,
            environment,
        )
        .map(|settings| settings.output_limit)
    };
    assert_eq!(limit("").unwrap(), 64 << 20);
    assert_eq!(limit("2000").unwrap(), 2000 << 20);
    for bad in ["0", "-1", "1.5", "64M", "99999999999999999"] {
        assert!(limit(bad).unwrap_err().to_string().contains("a whole number of MiB"), "{bad}");
    }
}

#[test]
fn the_projects_file_overrides_the_users_and_invalid_toml_is_reported() {
    let folder = tempfile::tempdir().unwrap();
    let (here, config) = (folder.path().join("here"), folder.path().join("config/rigup"));
    for (dir, text) in [(&here, "T = 1\nLIST = [\"a\", \"b\"]"), (&config, "T = 2")] {
        fs_err::create_dir_all(dir).unwrap();
        fs_err::write(dir.join(FILE_NAME), text).unwrap();
    }
    let xdg = folder.path().join("config");
    let environment =
        || Environment::from_iter([("DATA_DIR", "/d"), ("XDG_CONFIG_HOME", xdg.to_str().unwrap())]);
    let read = || {
        Settings::merge_in(
            Some(&here),
            None,
            PathBuf::new(),
            SettingsUse::Values,
            Flags::default(),
            environment(),
        )
    };
    let values: Vec<Value> = read().unwrap().files.into_iter().map(|file| file.values.into()).collect();
    assert_eq!(values, [serde_json::json!({"T": 1, "LIST": ["a", "b"]}), serde_json::json!({"T": 2})]);
    fs_err::write(here.join(FILE_NAME), "T = ").unwrap();
    let error = read().unwrap_err().to_string();
    assert!(
        error.starts_with("cannot use ") && error.contains("here/rigup.toml: ") && error.contains("line 1"),
        "{error}"
    );
}

#[test]
fn a_folder_with_an_unsupported_path_is_an_error() {
    use std::os::unix::ffi::OsStrExt;
    let error = |flags: Flags| {
        let environment = Environment::from_iter([("DATA_DIR", "/d")]);
        Settings::merge_in(
            Some(Path::new("/here")),
            None,
            PathBuf::new(),
            SettingsUse::Values,
            flags,
            environment,
        )
        .unwrap_err()
        .to_string()
    };
    let not_text = PathBuf::from(OsStr::from_bytes(b"/d\xff"));
    let message = error(Flags { data_dir: Some(not_text), ..Flags::default() });
    assert_eq!(
        message,
        "cannot use the folder /d\u{fffd}: its path is not UTF-8, which records require; \
         choose another with --data-dir"
    );
    for bad in ["/a:b", "/a\nb", "/a$b", "/a`b", "/a\"b", "/a\\b"] {
        let message = error(Flags { lib_dir: Some(bad.into()), ..Flags::default() });
        assert!(message.ends_with("choose another with --lib-dir"), "{message}");
        let message = error(Flags { lib_bin_dir: Some(bad.into()), ..Flags::default() });
        assert!(message.contains("its path has a ") && message.ends_with("with --lib-bin-dir"), "{message}");
    }
    merge(Flags { data_dir: Some("/a b/\u{fc}'(x)#&".into()), ..Flags::default() }, Environment::default());
}

#[test]
fn the_plugin_path_has_flags_then_the_variable_then_the_current_folder() {
    let flags = Flags { plugins_dirs: vec!["a".into(), "/b".into()], ..Flags::default() };
    let environment = Environment::from_iter([("DATA_DIR", "/d"), ("RIGUP_PLUGINS_DIR", "/c::d")]);
    let expected = ["/here/a", "/b", "/c", "/here/d", "/here/plugins", "/here/providers"];
    assert_eq!(merge(flags, environment).plugin_path, expected.map(PathBuf::from));
}
