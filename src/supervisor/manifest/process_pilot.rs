//! The manifest of `process_pilot`: JSON or YAML with a list of processes.

use std::path::{Path, PathBuf};
use std::time::Duration;

use walkdir::WalkDir;

use super::attributes::cpu_affinity;
use super::declaration::Declaration;
use super::file::ManifestFile;
use super::hooks;
use super::native::port_of_this_machine;
use super::value::{Data, ManifestProblem, ManifestValue};
use crate::duration;
use crate::fs::dir;
use crate::model::{DaemonSpec, ProcessAttributes, Readiness, ReadinessCheck, Restart};

/// The keys of the whole manifest.
const MANIFEST_FIELDS: [&str; 4] = ["processes", "control_server", "kill_timeout", "base_directory"];

const FIELDS: [&str; 15] = [
    "name",
    "path",
    "args",
    "env",
    "timeout",
    "shutdown_strategy",
    "dependencies",
    "ready_strategy",
    "ready_timeout_sec",
    "ready_params",
    "working_directory",
    "affinity",
    "processor_affinity",
    "lifecycle_hooks",
    "stat_handlers",
];

/// The default of `timeout` and of `ready_timeout_sec`.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The pause between two checks of readiness.
const READY_INTERVAL: Duration = Duration::from_millis(100);

/// Reads the daemons of a manifest.
pub(super) fn read(document: &Declaration<'_>, file: &mut ManifestFile<'_, '_>) -> Vec<DaemonSpec> {
    file.check_keys(document, &[&MANIFEST_FIELDS]);
    if let Some(server) = document.get("control_server") {
        let message =
            "control_server is ignored; control daemons with `rigup start`, `rigup stop` and `rigup restart`";
        file.warn(server.line, message);
    }
    // A stop always waits until no process of the daemon is left.
    file.keep(document.duration("kill_timeout", TIMEOUT));
    if let Some(base) = file.or_default(document.text("base_directory")) {
        file.folder = file.resolve(&base);
    }
    let Some(ManifestValue { data: Data::List(processes), .. }) = document.get("processes") else {
        return Vec::new();
    };
    processes.iter().filter_map(|process| daemon(process, file)).collect()
}

fn daemon(process: &ManifestValue, file: &mut ManifestFile<'_, '_>) -> Option<DaemonSpec> {
    const STRATEGIES: [(&str, (Restart, bool)); 3] = [
        ("restart", (Restart::Always, false)),
        ("do_not_restart", (Restart::No, false)),
        ("shutdown_everything", (Restart::No, true)),
    ];
    let fields = file.keep(Declaration::foreign(process, "a process"))?;
    file.check_keys(&fields, &[&FIELDS]);
    let name = file.or_unnamed(fields.name("name"));
    let no_path = || ManifestProblem::new(fields.line, "no \"path\"");
    let program = fields.path("path").and_then(|path| program(&path.ok_or_else(no_path)?, &fields, file));
    // The folder is unknown together with the program.
    let (program, folder) = file.keep(program).unzip();
    let working_dir = file.or_default(fields.text("working_directory")).map(|path| file.resolve(&path));
    let working_dir = working_dir.or(folder);
    if let Some(folder) = working_dir.as_ref().filter(|folder| !folder.is_dir()) {
        file.report(fields.problem("working_directory", &format!("is not a folder: {}", folder.display())));
    }
    let command = program.into_iter().chain(file.or_default(fields.texts("args"))).collect();
    let strategy = fields.word("shutdown_strategy", &STRATEGIES);
    let (restart, exit_on_end) = file.or_default(strategy).unwrap_or(STRATEGIES[0].1);
    // `processor_affinity` is what the documentation of `process_pilot` calls `affinity`.
    let affinity = if fields.get("affinity").is_some() { "affinity" } else { "processor_affinity" };
    Some(DaemonSpec {
        env: file.or_default(fields.variables("env")),
        depends_on: file.dependencies_on(&fields, "dependencies"),
        ready: readiness(&fields, file),
        restart,
        // Without a timeout, `process_pilot` waits for the exit.
        stop_grace_period: if fields.is_null("timeout") {
            duration::MAX
        } else {
            file.or_default(fields.duration("timeout", TIMEOUT))
        },
        exit_on_end,
        attributes: ProcessAttributes {
            cpu_affinity: file.or_default(cpu_affinity(&fields, affinity)),
            ..ProcessAttributes::default()
        },
        hooks: hooks::read(&fields, "lifecycle_hooks", "stat_handlers", file),
        ..file.daemon(name, fields.line, command, working_dir.unwrap_or_default())
    })
}

/// Returns the program that a path names, and the default working directory: the program's folder, or that of the manifest
/// for a program on PATH, which uses files beside the manifest.
fn program(
    path: &str,
    fields: &Declaration<'_>,
    file: &mut ManifestFile<'_, '_>,
) -> Result<(String, PathBuf), ManifestProblem> {
    let is_name = !path.contains('/');
    if is_name && which::which_in(path, Some(file.search_path), &file.folder).is_ok() {
        let folder = dir::parent(file.path).to_owned();
        return Ok((path.to_owned(), folder));
    }
    let mut program = file.resolve(path);
    if path.contains('*') {
        let mut matches = matches(&program).into_iter();
        let first = matches.next();
        program = first
            .ok_or_else(|| fields.problem("path", &format!("matches no file: {}", program.display())))?;
        if matches.next().is_some() {
            file.warn(fields.line, &format!("{path} matches several files; using {}", program.display()));
        }
    }
    if !program.is_file() {
        let searched = if is_name { ", and PATH has no such program" } else { "" };
        // `process_pilot` starts all relative paths from the current folder.
        let hint = if Path::new(path).is_file() {
            "; relative paths start from the folder of the manifest, or from \"base_directory\""
        } else {
            ""
        };
        let message = format!("is not a program: there is no file {}{searched}{hint}", program.display());
        return Err(fields.problem("path", &message));
    }
    let folder = dir::parent(&program).to_owned();
    Ok((program.display().to_string(), folder))
}

/// Returns the files below the folder of a pattern whose names match its last part, in the order of their names. The folder
/// is the part before the first one with a `*`, as in `process_pilot`, which searches below its base directory.
fn matches(pattern: &Path) -> Vec<PathBuf> {
    let name = pattern.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let has_no_wildcard = |folder: &&Path| !folder.as_os_str().as_encoded_bytes().contains(&b'*');
    let folder = pattern.ancestors().skip(1).find(has_no_wildcard).unwrap_or(pattern);
    let entries = WalkDir::new(folder).sort_by_file_name().into_iter().flatten();
    let found = entries.filter(|entry| is_match(&name, &entry.file_name().to_string_lossy()));
    found.map(walkdir::DirEntry::into_path).filter(|path| path.is_file()).collect()
}

/// Whether a name matches a pattern in which `*` stands for any text.
fn is_match(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((start, rest)) => name.strip_prefix(start).is_some_and(|name| {
            let ends = name.char_indices().map(|(at, _)| at).chain([name.len()]);
            ends.into_iter().any(|at| is_match(rest, &name[at..]))
        }),
    }
}

fn readiness(fields: &Declaration<'_>, file: &mut ManifestFile<'_, '_>) -> Option<Readiness> {
    const KEY: &str = "ready_strategy";
    let timeout = file.or_default(fields.duration("ready_timeout_sec", TIMEOUT));
    let strategy = fields.word(KEY, &[("tcp", "tcp"), ("file", "file"), ("pipe", "pipe")]);
    let strategy = file.or_default(strategy);
    let params = file.keep(fields.table("ready_params"))?;
    let missing = |name: &str| fields.problem(KEY, &format!("needs \"{name}\" in \"ready_params\""));
    let params = |name: &str| params.as_ref().ok_or_else(|| missing(name));
    let path = || -> Result<PathBuf, ManifestProblem> {
        let path = params("path")?.path("path")?.ok_or_else(|| missing("path"))?;
        Ok(file.resolve(&path))
    };
    let port = || {
        let parse = |value: &ManifestValue| port_of_this_machine(value.number()?);
        params("port")?.read("port", "a port from 1 to 65535", parse)?.ok_or_else(|| missing("port"))
    };
    let probe = match strategy? {
        "file" => path().map(ReadinessCheck::File),
        "pipe" => path().map(ReadinessCheck::Pipe),
        _ => port(),
    };
    let probe = file.keep(probe)?;
    let (interval, check_timeout) = (READY_INTERVAL, timeout);
    Some(Readiness { probe, timeout, interval, check_timeout, stops_all: true })
}

#[cfg(test)]
mod tests {
    use crate::supervisor::manifest::tests::{Folder, messages};

    #[test]
    fn a_program_that_is_only_in_the_current_folder_is_an_error_with_a_hint() {
        let found = messages("m.yaml", "processes:\n  - {name: a, path: src/main.rs}\n");
        let expected = "m.yaml:2: \"path\" is not a program: there is no file src/main.rs; relative paths start from the \
                        folder of the manifest, or from \"base_directory\"";
        assert_eq!(found, expected);
        let found = messages("m.yaml", "processes:\n  - {name: a, path: src/none.rs}\n");
        assert!(found.ends_with("src/none.rs"), "{found}");
    }

    #[test]
    fn a_wildcard_in_a_folder_of_a_path_searches_below_the_part_before_it() {
        for path in ["serv*/api", "services/*/bin/api", "./s*s/v*/a*i"] {
            let manifest = format!("processes:\n  - name: a\n    path: '{path}'\n");
            let folder =
                Folder::new(&[("m.yaml", &manifest), ("services/v2/bin/api", ""), ("services/v2/bin/b", "")]);
            let (daemons, warnings) = folder.read(&["m.yaml"]).unwrap();
            assert!(warnings.is_empty(), "{path}: {warnings:?}");
            let program = daemons[0].working_dir.join("api");
            assert_eq!(daemons[0].command, [program.to_str().unwrap()], "{path}");
            assert!(program.ends_with("services/v2/bin/api"), "{path}");
        }
    }
}
