//! The manifests that declare daemons, in all formats.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use crate::fs::dir;
use crate::model::DaemonSpec;
use crate::model::misspelling::closest;
use crate::plugin::hook_name::HookName;
use crate::settings::Settings;
use crate::trust::Inspection;

mod attributes;
mod builtin;
mod declaration;
mod file;
mod health;
mod hooks;
mod native;
mod process_compose;
mod process_pilot;
mod procfile;
mod replicas;
mod synonyms;
mod value;
mod yaml;

#[cfg(target_os = "linux")]
pub(crate) use builtin::RETRY;
use declaration::Declaration;
use file::ManifestFile;
use value::{Data, ManifestProblem};

/// A file that may declare daemons.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ManifestSource {
    /// The folder of a plugin, in which a `daemons.jsonl` may exist.
    Plugin(PathBuf),
    /// The `rigup.toml` of the project, if it exists.
    Project(PathBuf),
    /// A file on the command line, of any format.
    File(PathBuf),
}

/// The problems in manifests, each with the file and the line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.join("\n"))]
pub(crate) struct ManifestError(pub Vec<String>);

/// The format of a manifest.
enum ManifestFormat {
    Lines,
    Toml,
    Procfile,
    /// YAML or JSON, whose `processes` tell of which program the manifest is.
    Yaml,
}

/// Reads all sources; `hooks` are those of the enabled plugins. Returns the daemons in the order of the sources and of their lines, and warnings about what was
/// ignored and about files that are trusted only by an exception. Fails if any declaration cannot be used, if two have the
/// same name, or if one depends on a daemon that none declares.
pub(crate) fn read(
    settings: &Settings,
    sources: &[ManifestSource],
    hooks: &[&HookName],
) -> Result<(Vec<DaemonSpec>, Vec<String>), ManifestError> {
    let mut inspection = Inspection::new(&settings.trust);
    let (mut warnings, mut problems) = (Vec::new(), Vec::new());
    let path = settings.command_environment.get("PATH").unwrap_or_default();
    let search_path = [settings.lib_bin_dir.as_os_str(), path].join(OsStr::new(":"));
    let mut daemons = Vec::new();
    for source in sources {
        let path = match source {
            ManifestSource::Plugin(folder) => folder.join(native::FILE_NAME),
            ManifestSource::Project(path) | ManifestSource::File(path) => path.clone(),
        };
        let path = &std::path::absolute(&path).unwrap_or(path);
        let format = format(source);
        let mut file = ManifestFile {
            path,
            folder: dir::parent(path).to_owned(),
            hooks,
            is_foreign: matches!(format, ManifestFormat::Procfile | ManifestFormat::Yaml),
            settings,
            home: settings.home.as_deref(),
            search_path: &search_path,
            inspection: &mut inspection,
            warnings: &mut warnings,
            problems: Vec::new(),
        };
        match file.inspection.read(path, file::MAX_SIZE) {
            Ok(Some(bytes)) => {
                daemons.extend(read_file(&bytes, &format, &mut file));
                problems.extend(file.into_problems());
            }
            Ok(None) if !matches!(source, ManifestSource::File(_)) => {}
            Ok(None) => problems.push(format!("cannot read {}: there is no such file", path.display())),
            Err(error) => problems.push(format!("cannot read {}: {error}", path.display())),
        }
    }
    for hooks in daemons.iter_mut().map(|daemon| &mut daemon.hooks).filter(|hooks| !hooks.names.is_empty()) {
        hooks.folder = std::env::current_dir().unwrap_or_else(|_error| "/".into());
        hooks.plugin_path.clone_from(&settings.plugin_path);
        hooks.trusted = settings.trust.exceptions().map(Path::to_owned).collect();
    }
    // Without the daemons that have problems, other problems would only follow from theirs.
    if problems.is_empty() {
        problems.extend(repeated_names(&daemons));
        replicas::expand_dependencies(&mut daemons);
        problems.extend(undeclared_dependencies(&daemons));
    }
    warnings.extend(inspection.notes());
    if problems.is_empty() { Ok((daemons, warnings)) } else { Err(ManifestError(problems)) }
}

fn format(source: &ManifestSource) -> ManifestFormat {
    let path = match source {
        ManifestSource::Plugin(_) => return ManifestFormat::Lines,
        ManifestSource::Project(_) => return ManifestFormat::Toml,
        ManifestSource::File(path) => path,
    };
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    match path.extension().and_then(OsStr::to_str) {
        _ if name.starts_with("Procfile") => ManifestFormat::Procfile,
        Some("jsonl") => ManifestFormat::Lines,
        Some("toml") => ManifestFormat::Toml,
        _ => ManifestFormat::Yaml,
    }
}

fn read_file(bytes: &[u8], format: &ManifestFormat, file: &mut ManifestFile<'_, '_>) -> Vec<DaemonSpec> {
    if matches!(format, ManifestFormat::Lines) {
        return native::read_lines(bytes, file);
    }
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let line = bytes[..error.valid_up_to()].split(|byte| *byte == b'\n').count();
        ManifestProblem::new(line, "not UTF-8")
    });
    let text = text.map(|text| text.strip_prefix('\u{feff}').unwrap_or(text));
    let read = text.and_then(|text| match format {
        ManifestFormat::Lines => Ok(Vec::new()),
        ManifestFormat::Toml => native::read_toml(text, file),
        ManifestFormat::Procfile => Ok(procfile::read(text, file)),
        ManifestFormat::Yaml => {
            read_yaml(text, file).map_err(|problem| with_other_formats(problem, text, file.path))
        }
    });
    file.keep(read).unwrap_or_default()
}

fn read_yaml(text: &str, file: &mut ManifestFile<'_, '_>) -> Result<Vec<DaemonSpec>, ManifestProblem> {
    const FORMS: &str =
        "use a list of processes as process_pilot does, or a table of processes as process-compose does";
    let value = yaml::parse(text)?;
    if let Data::Text(_) = value.data {
        // The file may be a link to any file, so no message quotes it.
        return Err(value.problem("the manifest is a text; use a table with its fields"));
    }
    let document = Declaration::foreign(&value, "the manifest")?;
    match document.get("processes").map(|processes| &processes.data) {
        Some(Data::List(_)) => Ok(process_pilot::read(&document, file)),
        Some(Data::Map(_)) => Ok(process_compose::read(&document, file)),
        Some(_) => Err(document.problem("processes", &format!("has no process; {FORMS}"))),
        None if document.get("services").is_some() => Err(document.problem(
            "services",
            "are containers of docker compose, which rigup does not run; declare commands under \"processes\"",
        )),
        None => Err(ManifestProblem::new(document.line, format!("no \"processes\"; {FORMS}"))),
    }
}

/// Adds to a problem with a file that is neither a manifest of `process_pilot` nor one of process-compose what it may be
/// instead, unless its name says that it is YAML or JSON.
fn with_other_formats(problem: ManifestProblem, text: &str, path: &Path) -> ManifestProblem {
    const YAML_EXTENSIONS: [&str; 3] = ["yaml", "yml", "json"];
    let extension = path.extension().and_then(OsStr::to_str).unwrap_or_default();
    if let Some((line, _)) = (1..).zip(text.lines()).find(|(_, line)| line.starts_with("[program:")) {
        let message = "a configuration of supervisord, which rigup does not read; declare each program in rigup.toml, as \
                       [daemons.NAME] with its command";
        ManifestProblem::new(line, message)
    } else if YAML_EXTENSIONS.contains(&extension) {
        problem
    } else {
        let hint = "the name of a Procfile begins with \"Procfile\", and that of a file with [daemons.NAME] ends with .toml";
        ManifestProblem::new(problem.line, format!("{}; {hint}", problem.message))
    }
}

/// Returns a problem for each name that is declared twice.
fn repeated_names(daemons: &[DaemonSpec]) -> Vec<String> {
    let mut first: BTreeMap<&str, &str> = BTreeMap::new();
    let mut problems = Vec::new();
    for daemon in daemons {
        let (source, declared) = (&daemon.source, &**daemon.declared_name());
        // The first replica stands for the name that all of them share.
        let shared = daemon.replica.as_ref().filter(|replica| replica.index == 0).map(|_| declared);
        for name in shared.into_iter().chain([&*daemon.name]) {
            if let Some(first) = first.get(name) {
                problems.push(format!(
                    "{source}: the daemon {declared:?} is declared at {first}, too; give one of them another name"
                ));
            } else {
                first.insert(name, source);
            }
        }
    }
    problems.dedup();
    problems
}

/// Returns a problem for each dependency on a daemon that no manifest declares.
fn undeclared_dependencies(daemons: &[DaemonSpec]) -> Vec<String> {
    let names: Vec<&str> = daemons.iter().map(|daemon| &*daemon.name).collect();
    let mut problems = Vec::new();
    for daemon in daemons {
        for dependency in &daemon.depends_on {
            if !dependency.required || names.contains(&&*dependency.name) {
                continue;
            }
            let advice = match closest(
                &dependency.name,
                names.iter().copied().filter(|name| *name != &*daemon.name),
            ) {
                Some(known) => format!("write {known:?}"),
                None => format!("the daemons are {}", names.join(", ")),
            };
            problems.push(format!(
                "{}: the daemon {:?} depends on {:?}, which is not declared; {advice}",
                daemon.source, &*daemon.name, &*dependency.name
            ));
        }
    }
    problems
}

#[cfg(test)]
mod tests;
