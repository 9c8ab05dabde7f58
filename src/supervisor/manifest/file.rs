//! A manifest file while it is read: its folder, its problems and its warnings.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use super::declaration::{Declaration, daemon_name, one_of};
use super::synonyms::synonym;
use super::value::ManifestProblem;
use crate::fs::dir;
use crate::model::misspelling::closest;
use crate::model::{Condition, DaemonName, DaemonSpec, Dependency};
use crate::plugin::hook_name::HookName;
use crate::settings::Settings;
use crate::shell;
use crate::sorting::sort_by_key;
use crate::trust::Inspection;

/// The largest manifest that rigup reads, in bytes.
pub(super) const MAX_SIZE: u64 = 1 << 20;

/// A manifest file while it is read.
pub(super) struct ManifestFile<'a, 't> {
    /// Its absolute path.
    pub path: &'a Path,
    /// The folder that relative paths in it start from.
    pub folder: PathBuf,
    /// The hooks of the enabled plugins.
    pub hooks: &'a [&'a HookName],
    /// Whether its format is one of another program.
    pub is_foreign: bool,
    /// The settings of this rigup.
    pub settings: &'a Settings,
    /// The home folder, for `~/`.
    pub home: Option<&'a Path>,
    /// The folders that are searched for programs.
    pub search_path: &'a OsStr,
    /// The check of trust, which all files share.
    pub inspection: &'a mut Inspection<'t>,
    /// The warnings of all files.
    pub warnings: &'a mut Vec<String>,
    /// Its problems.
    pub problems: Vec<ManifestProblem>,
}

impl ManifestFile<'_, '_> {
    /// Returns its problems in the order of their lines, with their places.
    pub(super) fn into_problems(mut self) -> impl Iterator<Item = String> {
        sort_by_key(&mut self.problems, |problem| problem.line);
        let path = self.path;
        self.problems
            .into_iter()
            .map(|problem| format!("{}:{}: {}", path.display(), problem.line, problem.message))
    }

    /// Returns a place in the file.
    pub(super) fn place(&self, line: usize) -> String {
        format!("{}:{line}", self.path.display())
    }

    /// Adds a warning about a line.
    pub(super) fn warn(&mut self, line: usize, message: &str) {
        self.warnings.push(format!("{}: {message}", self.place(line)));
    }

    /// Adds a problem. With one in any file, no daemon is used, so a value may stand for a wrong one until all problems are
    /// found.
    pub(super) fn report(&mut self, problem: ManifestProblem) {
        self.problems.push(problem);
    }

    /// Returns a result, or reports its problem and returns `None`.
    pub(super) fn keep<T>(&mut self, result: Result<T, ManifestProblem>) -> Option<T> {
        result.map_err(|problem| self.report(problem)).ok()
    }

    /// Returns a result, or reports its problem and returns the default of its type.
    pub(super) fn or_default<T: Default>(&mut self, result: Result<T, ManifestProblem>) -> T {
        self.keep(result).unwrap_or_default()
    }

    /// Returns the name of a daemon, or reports its problem and returns a name that stands for it.
    pub(super) fn or_unnamed(&mut self, name: Result<DaemonName, ManifestProblem>) -> DaemonName {
        self.keep(name).unwrap_or_else(|| "unnamed".parse().expect("the name is valid"))
    }

    /// Returns the absolute path that a path in the file stands for.
    pub(super) fn resolve(&self, path: &str) -> PathBuf {
        self.resolve_in(&self.folder, path)
    }

    /// Returns the absolute path that a path relative to a folder stands for.
    pub(super) fn resolve_in(&self, folder: &Path, path: &str) -> PathBuf {
        let path = Path::new(path);
        let path = dir::expand_home(path, self.home).unwrap_or_else(|| folder.join(path));
        path.components().collect()
    }

    /// Checks the keys of a table: an unknown one is an error in rigup's own formats, and a warning in others. Returns
    /// whether there is no such error.
    pub(super) fn check_keys(&mut self, table: &Declaration<'_>, known: &[&[&str]]) -> bool {
        self.check_other_keys(table, known, &[])
    }

    /// Checks the keys of a table, as `check_keys` does, except those that are `handled` elsewhere: they have no effect or are
    /// refused, so no message offers them.
    pub(super) fn check_other_keys(
        &mut self,
        table: &Declaration<'_>,
        known: &[&[&str]],
        handled: &[&[&str]],
    ) -> bool {
        let count = self.problems.len();
        for member in table.others(&[known, handled].concat()) {
            let all = || known.iter().copied().flatten().copied();
            let label = table.label(&member.key);
            let message = match synonym(&member.key, all()).or_else(|| closest(&member.key, all())) {
                Some(known) => format!("unknown key {label}; write {}", table.label(known)),
                None => format!("unknown key {label}; use {}", one_of(&all().collect::<Vec<_>>())),
            };
            if self.is_foreign {
                self.warn(member.value.line, &format!("ignored the {message}"));
            } else {
                self.report(member.value.problem(message));
            }
        }
        self.problems.len() == count
    }

    /// Reports each of these fields that has a value, because this version lacks the feature.
    pub(super) fn refuse(&mut self, table: &Declaration<'_>, keys: &[&str]) {
        for key in keys {
            if table.get(key).is_some_and(|value| !value.is_unset()) {
                self.report(table.problem(key, "is not supported by this version of rigup"));
            }
        }
    }

    /// Returns the declaration of a daemon with the default of every field.
    pub(super) fn daemon(
        &self,
        name: DaemonName,
        line: usize,
        command: Vec<String>,
        working_dir: PathBuf,
    ) -> DaemonSpec {
        DaemonSpec::new(name, self.place(line), command, working_dir)
    }

    /// Reads an env file: lines of `NAME=VALUE`, comments and blank lines. The value may be in quotes. Returns `None` if
    /// the file does not exist.
    pub(super) fn env_file(
        &mut self,
        path: &Path,
        line: usize,
    ) -> Result<Option<BTreeMap<String, String>>, ManifestProblem> {
        let problem =
            |reason: String| ManifestProblem::new(line, format!("cannot use {}: {reason}", path.display()));
        let bytes = self.inspection.read(path, MAX_SIZE).map_err(|error| problem(error.to_string()))?;
        let Some(bytes) = bytes else { return Ok(None) };
        let text = String::from_utf8(bytes).map_err(|error| problem(error.to_string()))?;
        let mut variables = BTreeMap::new();
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let assignment = line.strip_prefix("export ").unwrap_or(line).trim_start();
            let Some((name, value)) = shell::assignment(assignment) else {
                if self.is_foreign {
                    self.warnings.push(format!("{}:{number} is ignored: not NAME=VALUE", path.display()));
                } else {
                    self.report(problem(format!("line {number} is not NAME=VALUE")));
                }
                continue;
            };
            variables.insert(name.to_owned(), value.to_owned());
        }
        Ok(Some(variables))
    }

    /// Reads the variables of a declaration: those in the files of `env_file`, which have to exist, and then those in the
    /// field `env`, which take precedence.
    pub(super) fn environment(&mut self, fields: &Declaration<'_>, env: &str) -> BTreeMap<String, String> {
        let mut variables = BTreeMap::new();
        for path in self.or_default(fields.paths("env_file")) {
            let path = self.resolve(&path);
            let line = fields.get("env_file").map_or(fields.line, |value| value.line);
            let missing = || {
                ManifestProblem::new(
                    line,
                    format!("there is no {}; create it, or remove \"env_file\"", path.display()),
                )
            };
            let read = self.env_file(&path, line).and_then(|read| read.ok_or_else(missing));
            variables.extend(self.or_default(read));
        }
        variables.extend(self.or_default(fields.variables(env)));
        variables
    }

    /// Reads the dependencies: a list of names, or a table of names, each with its condition.
    pub(super) fn dependencies(&mut self, fields: &Declaration<'_>) -> Vec<Dependency> {
        const KEY: &str = "depends_on";
        let Some(value) = fields.get(KEY) else { return Vec::new() };
        if value.items().is_some() {
            return self.dependencies_on(fields, KEY);
        }
        let forms = "a list of names, or a table of names with a condition each";
        let table = fields.table(KEY).map_err(|_| fields.problem(KEY, &format!("is not {forms}")));
        let Some(table) = self.or_default(table) else { return Vec::new() };
        let mut dependencies = Vec::new();
        for member in table.others(&[]) {
            let mut dependency = dependency(self.or_unnamed(daemon_name(&member.key, member.value.line)));
            if let Some(table) = self.or_default(table.table(&member.key)) {
                self.check_keys(&table, &[&["condition", "required", "restart"]]);
                dependency.condition = self.keep(table.condition()).unwrap_or(dependency.condition);
                dependency.required = self.or_default(table.flag("required", true));
                dependency.restart = self.or_default(table.flag("restart", false));
            }
            dependencies.push(dependency);
        }
        dependencies
    }

    /// Reads the dependencies in a list of names.
    pub(super) fn dependencies_on(&mut self, fields: &Declaration<'_>, key: &str) -> Vec<Dependency> {
        let line = fields.get(key).map_or(fields.line, |value| value.line);
        let names = self.or_default(fields.texts(key)).into_iter();
        names.filter_map(|name| self.keep(daemon_name(&name, line))).map(dependency).collect()
    }
}

/// Returns the dependency on a daemon that is only named: until it is ready.
fn dependency(name: DaemonName) -> Dependency {
    Dependency { name, condition: Condition::Ready, required: true, restart: false }
}
