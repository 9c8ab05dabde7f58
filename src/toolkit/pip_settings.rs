//! The settings of pip, as its files and variables state them, for the hooks of providers that install Python packages.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use crate::settings::Environment;

/// The sections that apply to an install, the last of which takes precedence.
const SECTIONS: [&str; 3] = ["global", "install", VARIABLES];

/// The section that stands for the variables.
const VARIABLES: &str = ":env:";

/// The beginning of the variables of pip.
const PREFIX: &str = "PIP_";

/// What follows in the name of a variable of rigup, and in one that chooses another Python.
const OF_OTHERS: [&str; 2] = ["enabled", "python"];

/// The settings of pip.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct PipSettings {
    /// A line for each setting, such as `INDEX_URL=index-url=https://example.org/simple`, the last of which takes
    /// precedence.
    pub lines: String,
    /// A file with more than sections, comments and settings of one line, or one of them twice, which only pip itself can read. There are no
    /// lines then.
    pub unread: Option<PathBuf>,
}

/// Reads the settings of pip with these variables. `python` is the `python3` on PATH.
pub(crate) fn read(environment: &Environment, home: Option<&Path>, python: Option<&Path>) -> PipSettings {
    let mut settings: BTreeMap<usize, Vec<(String, String)>> = BTreeMap::new();
    let rank = |section: &str| SECTIONS.iter().position(|applied| *applied == section);
    for file in files(environment, home, python).into_iter().filter(|file| file.is_file()) {
        let Some(found) = fs_err::read_to_string(&file).ok().and_then(|text| parse(&text)) else {
            return PipSettings { unread: Some(file), ..PipSettings::default() };
        };
        for (section, key, value) in found {
            if let Some(rank) = rank(&section) {
                settings.entry(rank).or_default().push((key, value));
            }
        }
    }
    let variables = environment.iter().filter_map(|(name, value)| {
        let key = name.to_str()?.strip_prefix(PREFIX)?.to_lowercase().replace('_', "-");
        Some((key, value.to_str()?.to_owned()))
    });
    let variables = variables.filter(|(key, _)| is_key(key) && !OF_OTHERS.contains(&&**key));
    settings.entry(SECTIONS.len() - 1).or_default().extend(variables);
    let line = |(key, value): (String, String)| {
        let value = value.split_whitespace().collect::<Vec<_>>().join(" ");
        let name = key.to_uppercase().replace('-', "_");
        (!value.is_empty()).then(|| format!("{name}={key}={value}\n"))
    };
    PipSettings { lines: settings.into_values().flatten().filter_map(line).collect(), unread: None }
}

/// Returns the files that may have settings, the last of which takes precedence: those of the system, of the user and of
/// the Python.
fn files(environment: &Environment, home: Option<&Path>, python: Option<&Path>) -> Vec<PathBuf> {
    const NAME: &str = "pip/pip.conf";
    const SUPPORT: &str = "Library/Application Support/pip/pip.conf";
    let own = environment.get("PIP_CONFIG_FILE").map(Path::new);
    if own == Some(Path::new("/dev/null")) {
        return Vec::new();
    }
    let mut folders = environment.folders("XDG_CONFIG_DIRS");
    if folders.is_empty() {
        folders.push("/etc/xdg".into());
    }
    let mut files: Vec<PathBuf> = folders.iter().map(|folder| folder.join(NAME)).collect();
    files.extend([Path::new("/").join(SUPPORT), "/etc/pip.conf".into()]);
    if let Some(home) = home.filter(|_| !own.is_some_and(Path::exists)) {
        let config = environment.xdg_folder("XDG_CONFIG_HOME", Some(home), ".config");
        files.push(home.join(".pip/pip.conf"));
        files.extend(config.map(|folder| folder.join(NAME)));
        files.push(home.join(SUPPORT));
    }
    files.extend(python.and_then(prefix_of).map(|prefix| prefix.join("pip.conf")));
    files.extend(own.map(Path::to_owned));
    files
}

/// Returns the folder of a Python, that of the venv if it is in one.
fn prefix_of(python: &Path) -> Option<PathBuf> {
    let prefix = |program: &Path| {
        let folder = program.parent().filter(|folder| folder.file_name() == Some(OsStr::new("bin")))?;
        folder.parent().map(Path::to_owned)
    };
    let named = prefix(python)?;
    // That of a link which is not in a venv is the Python that it leads to.
    if python.is_symlink() && python != Path::new("/usr/bin/python3") && !named.join("pyvenv.cfg").exists() {
        return prefix(&fs_err::canonicalize(python).ok()?);
    }
    Some(named)
}

/// Parses a file: the section, the key and the value of each setting. Returns `None` if only pip can read the file.
fn parse(text: &str) -> Option<Vec<(String, String, String)>> {
    let (mut section, mut sections) = (String::new(), Vec::new());
    let mut settings: Vec<(String, String, String)> = Vec::new();
    for line in text.lines() {
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            // pip refuses a section that comes twice, and takes DEFAULT for a part of each.
            if sections.contains(&name) || name == "DEFAULT" {
                return None;
            }
            sections.push(name);
            name.clone_into(&mut section);
            continue;
        }
        let (key, value) = line.split_once('=')?;
        let key = key.trim_end_matches(' ');
        let is_simple = line.starts_with(|first: char| first.is_ascii_lowercase())
            && is_key(key)
            && !section.is_empty()
            && !line.contains(|character: char| character == '\\' || character.is_control());
        let is_again = || settings.iter().any(|(of, known, _)| *of == section && known == key);
        if !is_simple || is_again() {
            return None;
        }
        settings.push((section.clone(), key.to_owned(), value.to_owned()));
    }
    Some(settings)
}

fn is_key(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)], files: &[(&str, &str)]) -> PipSettings {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let file = folder.path().join(name);
            fs_err::create_dir_all(file.parent().unwrap()).unwrap();
            fs_err::write(file, text).unwrap();
        }
        let xdg = folder.path().join("xdg");
        let system = ("XDG_CONFIG_DIRS", xdg.to_str().unwrap());
        let environment = variables.iter().copied().chain([system]).collect();
        let python = folder.path().join("python/bin/python3");
        let mut settings = super::read(&environment, Some(&folder.path().join("home")), Some(&python));
        settings.unread = settings.unread.map(|file| file.strip_prefix(folder.path()).unwrap().to_owned());
        // That of the machine on which the test runs.
        let without_system = |line: &&str| !line.starts_with("CERT=");
        settings.lines = settings.lines.lines().filter(without_system).collect::<Vec<_>>().join("\n");
        settings
    }

    #[test]
    fn variables_come_last_and_the_section_install_after_global() {
        let files = [
            ("xdg/pip/pip.conf", "[install]\npre=yes\n[global]\nindex-url = https://one.example\n"),
            (
                "home/.config/pip/pip.conf",
                "# the user's\n[global]\nfind-links =  /a   /b \n[list]\nformat=json\n",
            ),
            ("python/pip.conf", "[global]\nindex-url=https://two.example\nretries=\n"),
        ];
        let settings =
            read(&[("PIP_NO_INDEX", "1"), ("PIP_", "x"), ("PIP_ENABLED", "x"), ("PIP_PRE", "")], &files);
        let expected = "INDEX_URL=index-url=https://one.example\nFIND_LINKS=find-links=/a /b\n\
            INDEX_URL=index-url=https://two.example\nPRE=pre=yes\nNO_INDEX=no-index=1";
        assert_eq!(settings, PipSettings { lines: expected.to_owned(), unread: None });
    }

    #[test]
    fn a_file_that_only_pip_can_read_is_named() {
        for text in [
            "[global]\nfind-links =\n    /a\n",
            "[global]\nkey: value\n",
            "a=b\n",
            "[global]\na=\\n\n",
            "[global]\npre=no\npre=yes\n",
            "[global]\npre=no\n[list]\n[global]\na=b\n",
            "[DEFAULT]\npre=yes\n",
        ] {
            let settings = read(&[("PIP_PRE", "1")], &[("home/.pip/pip.conf", text)]);
            assert_eq!(settings.unread.as_deref(), Some(Path::new("home/.pip/pip.conf")), "{text:?}");
            assert_eq!(settings.lines, "", "{text:?}");
        }
    }

    #[test]
    fn the_file_dev_null_stands_for_no_file() {
        let variables = [("PIP_CONFIG_FILE", "/dev/null")];
        let settings = read(&variables, &[("home/.pip/pip.conf", "[global]\npre=yes\n")]);
        assert_eq!(settings.lines, "CONFIG_FILE=config-file=/dev/null");
    }
}
