//! The programs of installed packages, for a request whose program is not one of them.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use fs_err as fs;
use serde_json::{Value, json};

use crate::hook::command;
use crate::install::probe;
use crate::model::policy::{MIN_RELEASE_AGE_KEY, POSTINSTALL_SCRIPTS_KEY};
use crate::process::capture;
use crate::process::executable::is_program;
use crate::process::signals::Interrupt;
use crate::process::spawn::CommandSpec;
use crate::report::text::{MAX_LISTED, list};
use crate::settings::Settings;
use crate::shell;
use crate::sorting::{sort, sort_by_key};
use crate::toolkit::package_spec;
use crate::toolkit::request::HookRequest;

/// The time in which a package manager must list the files of the packages of one request.
const LIST_TIMEOUT: Duration = Duration::from_secs(20);
/// The names of folders that contain programs.
const PROGRAM_FOLDERS: [&str; 3] = ["bin", "sbin", "games"];

/// The packages that a provider installed for a request.
#[derive(Debug)]
pub(crate) struct InstalledPackages<'a> {
    request: &'a HookRequest,
    provider: &'a str,
    /// The packages without versions.
    names: Vec<String>,
}

impl<'a> InstalledPackages<'a> {
    /// Returns the packages of a request. `version_format` is the provider's format of a package with a version.
    pub(crate) fn new(request: &'a HookRequest, provider: &'a str, version_format: Option<&str>) -> Self {
        let packages =
            request.overrides.of(provider).packages.iter().filter(|package| !package.starts_with('-'));
        let mut names: Vec<String> = packages
            .map(|package| package_spec::without_version(package, version_format).to_owned())
            .collect();
        if names.is_empty() {
            // In `rigup install prettier@latest`, the name has a version.
            names.push(package_spec::without_version(request.name.link_name(), version_format).to_owned());
        }
        Self { request, provider, names }
    }

    /// Returns the programs on PATH that a command, such as `dpkg -L`, lists: it prints the path of one file per line.
    /// Returns none if the command fails.
    pub(crate) fn listed_by(
        &self,
        command: &str,
        settings: &Settings,
        interrupt: &Interrupt,
    ) -> io::Result<Vec<String>> {
        let mut words = shlex::split(command).unwrap_or_default().into_iter();
        let Some(program) = words.next() else { return Ok(Vec::new()) };
        let command = CommandSpec {
            program: program.into(),
            args: words.chain(self.names.iter().cloned()).map(Into::into).collect(),
            env: command::environment_of_program(settings, &[], Vec::new()),
            cwd: PathBuf::from("/"),
        };
        let stdout = capture::stdout(command, Instant::now() + LIST_TIMEOUT, interrupt)?;
        let stdout = stdout.unwrap_or_default();
        let files = stdout.lines().map(Path::new).filter(|file| {
            let folder = file.parent().and_then(Path::file_name);
            folder.is_some_and(|folder| PROGRAM_FOLDERS.iter().any(|name| folder == *name))
        });
        // Some packages keep programs in folders of their own, such as /usr/lib/postgresql/15/bin.
        let mut names = sorted_names(files);
        let path = settings.environment.get("PATH").unwrap_or(OsStr::new(""));
        names.retain(|name| probe::find(name, path, &settings.lib_bin_dir).is_some());
        Ok(names)
    }

    /// Returns the programs in the folder of programs of a prefix. In a venv or a prefix of npm or pnpm, which also
    /// contain the programs of dependencies, these are only the packages' own.
    pub(crate) fn in_folder(&self, folder: &Path) -> io::Result<Vec<String>> {
        if folder.join("../pyvenv.cfg").exists() {
            return Ok(sorted_names(self.files_of_wheels(folder)?.iter()));
        }
        let is_node = folder.ends_with("node_modules/.bin");
        // npm: node_modules/.bin/tsc -> ../typescript/bin/tsc
        // pnpm: node_modules/.bin/tsc -> ../.pnpm/typescript@5.9.3/node_modules/typescript/bin/tsc
        let is_own = |file: &PathBuf| {
            let target = fs::canonicalize(file).unwrap_or_default();
            let is_of = |package: &String| {
                let folder = Path::new("node_modules").join(package);
                target.ancestors().any(|above| above.ends_with(&folder))
            };
            self.names.iter().any(is_of)
        };
        let files = entries(folder)?.into_iter();
        Ok(sorted_names(files.filter(|file| is_program(file) && (!is_node || is_own(file)))))
    }

    /// Returns the files of Python packages, relative to `site-packages`, from the RECORD files of a venv.
    fn files_of_wheels(&self, bin: &Path) -> io::Result<Vec<PathBuf>> {
        let normalized = |name: &str| name.to_lowercase().replace(['-', '.'], "_");
        let mut files = Vec::new();
        for python in entries(&bin.join("../lib"))? {
            for info in entries(&python.join("site-packages"))? {
                let Some(folder) = info.file_name().and_then(OsStr::to_str) else { continue };
                let Some((package, _)) =
                    folder.strip_suffix(".dist-info").and_then(|stem| stem.split_once('-'))
                else {
                    continue;
                };
                if self.names.iter().any(|name| normalized(name) == normalized(package)) {
                    let record = fs::read_to_string(info.join("RECORD")).unwrap_or_default();
                    let programs = record.lines().filter(|line| line.starts_with("../../../bin/"));
                    files.extend(programs.filter_map(|line| line.split(',').next()).map(PathBuf::from));
                }
            }
        }
        Ok(files)
    }

    /// Returns the message that the requested program is not one of the packages' programs.
    pub(crate) fn no_program(&self, mut programs: Vec<String>) -> String {
        let name = self.request.name.link_name();
        let which = if self.names == [name] { "of that name".to_owned() } else { format!("named {name}") };
        let (has, they) = if self.names.len() == 1 { ("has", "it has") } else { ("have", "they have") };
        let missing = format!(
            "{} installed {}, which {has} no program {which}",
            self.provider,
            list(&self.names, MAX_LISTED)
        );
        sort_by_key(&mut programs, |program| {
            (!program.starts_with(name), !name.starts_with(program.as_str()))
        });
        let Some(first) = programs.first() else { return missing };
        let line = shell::quote_text(&self.requirement(first));
        format!(
            "{missing}; {they} {}: run `echo {line} | rigup apply`, or put the line into a plugin's binaries.jsonl",
            list(&programs, MAX_LISTED)
        )
    }

    /// Returns the line of a `binaries.jsonl` that requires a program of the packages.
    fn requirement(&self, program: &str) -> String {
        let request = self.request;
        let stated = request.overrides.to_json().remove(self.provider);
        let overrides = json!({ self.provider: stated.unwrap_or_else(|| json!([request.name.link_name()])) });
        let mut line = json!({
            "type": "BinaryRequest", "name": program, "binproviders": self.provider, "overrides": overrides,
        });
        let rules = [
            (MIN_RELEASE_AGE_KEY, Value::from(request.policy.min_release_age)),
            (POSTINSTALL_SCRIPTS_KEY, request.policy.postinstall_scripts.into()),
        ];
        let exact = Some(&request.exact_version).filter(|version| !version.is_empty());
        for (key, bound) in [("min_version", &request.min_version), ("max_version", &request.max_version)] {
            match exact.unwrap_or(bound) {
                version if version.is_empty() => {}
                version => line[key] = version.as_str().into(),
            }
        }
        for (key, rule) in rules {
            if !rule.is_null() && !request.best_effort.iter().any(|default| default == key) {
                line[key] = rule;
            }
        }
        line.to_string()
    }
}

/// Returns the entries of a folder; none if it does not exist.
fn entries(folder: &Path) -> io::Result<Vec<PathBuf>> {
    match fs::read_dir(folder) {
        Ok(entries) => entries.map(|entry| Ok(entry?.path())).collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

fn sorted_names(files: impl Iterator<Item = impl AsRef<Path>>) -> Vec<String> {
    let mut names: Vec<String> =
        files.filter_map(|file| Some(file.as_ref().file_name()?.to_str()?.to_owned())).collect();
    sort(&mut names);
    names.dedup();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_suggested_requirement_keeps_the_extras_of_the_package() {
        let request = HookRequest::parse(&["--name=yt-dlp[default]".to_owned()], None).unwrap();
        let packages = InstalledPackages::new(&request, "pip", Some("=={}"));
        let line: Value = serde_json::from_str(&packages.requirement("yt-dlp")).unwrap();
        assert_eq!(line["overrides"], json!({"pip": ["yt-dlp[default]"]}));
    }
}
