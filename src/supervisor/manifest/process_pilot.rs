//! The manifest of `process_pilot`: JSON or YAML with a list of processes.

use std::path::{Path, PathBuf};
use std::time::Duration;

use walkdir::WalkDir;

use super::attributes::cpu_affinity;
use super::declaration::Declaration;
use super::file::{ManifestFile, dependencies_on};
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
pub(super) fn read(
    document: &Declaration<'_>,
    file: &mut ManifestFile<'_, '_>,
) -> Result<Vec<DaemonSpec>, ManifestProblem> {
    file.check_keys(document, &[&MANIFEST_FIELDS])?;
    if let Some(server) = document.get("control_server") {
        let message =
            "control_server is ignored; control daemons with `rigup start`, `rigup stop` and `rigup restart`";
        file.warn(server.line, message);
    }
    // A stop always waits until no process of the daemon is left.
    document.duration("kill_timeout", TIMEOUT)?;
    if let Some(base) = document.text("base_directory")? {
        file.folder = file.resolve(&base);
    }
    let Some(ManifestValue { data: Data::List(processes), .. }) = document.get("processes") else {
        return Ok(Vec::new());
    };
    let daemons = processes.iter().map(|process| {
        let daemon = daemon(process, file);
        file.keep(daemon)
    });
    Ok(daemons.flatten().collect())
}

fn daemon(process: &ManifestValue, file: &mut ManifestFile<'_, '_>) -> Result<DaemonSpec, ManifestProblem> {
    const STRATEGIES: [(&str, (Restart, bool)); 3] = [
        ("restart", (Restart::Always, false)),
        ("do_not_restart", (Restart::No, false)),
        ("shutdown_everything", (Restart::No, true)),
    ];
    let fields = Declaration::new(process, "a process")?;
    file.check_keys(&fields, &[&FIELDS])?;
    let name = fields.name("name")?;
    let path = fields.path("path")?.ok_or_else(|| ManifestProblem::new(fields.line, "no \"path\""))?;
    let (program, folder) = program(&path, &fields, file)?;
    let working_dir = fields.text("working_directory")?.map_or(folder, |path| file.resolve(&path));
    if !working_dir.is_dir() {
        return Err(
            fields.problem("working_directory", &format!("is not a folder: {}", working_dir.display()))
        );
    }
    let command = std::iter::once(program).chain(fields.texts("args")?).collect();
    let (restart, exit_on_end) = fields.word("shutdown_strategy", &STRATEGIES)?.unwrap_or(STRATEGIES[0].1);
    // `processor_affinity` is what the documentation of `process_pilot` calls `affinity`.
    let affinity = if fields.get("affinity").is_some() { "affinity" } else { "processor_affinity" };
    let dependencies = fields.get("dependencies").map_or(fields.line, |value| value.line);
    Ok(DaemonSpec {
        env: fields.variables("env")?,
        depends_on: dependencies_on(&fields.texts("dependencies")?, dependencies)?,
        ready: readiness(&fields, file)?,
        restart,
        // Without a timeout, `process_pilot` waits for the exit.
        stop_grace_period: if fields.is_null("timeout") {
            duration::MAX
        } else {
            fields.duration("timeout", TIMEOUT)?
        },
        exit_on_end,
        attributes: ProcessAttributes {
            cpu_affinity: cpu_affinity(&fields, affinity)?,
            ..ProcessAttributes::default()
        },
        hooks: hooks::read(&fields, "lifecycle_hooks", "stat_handlers", file)?,
        ..file.daemon(name, fields.line, command, working_dir)
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
        let message = format!("is not a program: there is no file {}{searched}", program.display());
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

fn readiness(
    fields: &Declaration<'_>,
    file: &ManifestFile<'_, '_>,
) -> Result<Option<Readiness>, ManifestProblem> {
    const KEY: &str = "ready_strategy";
    let timeout = fields.duration("ready_timeout_sec", TIMEOUT)?;
    let params = fields.table("ready_params")?;
    let missing = |name: &str| fields.problem(KEY, &format!("needs \"{name}\" in \"ready_params\""));
    let params = |name: &str| params.as_ref().ok_or_else(|| missing(name));
    let path = || -> Result<PathBuf, ManifestProblem> {
        let path = params("path")?.path("path")?.ok_or_else(|| missing("path"))?;
        Ok(file.resolve(&path))
    };
    let probe = match fields.word(KEY, &[("tcp", "tcp"), ("file", "file"), ("pipe", "pipe")])? {
        None => return Ok(None),
        Some("file") => ReadinessCheck::File(path()?),
        Some("pipe") => ReadinessCheck::Pipe(path()?),
        Some(_) => {
            let parse = |value: &ManifestValue| port_of_this_machine(value.number()?);
            let port = params("port")?.read("port", "a port from 1 to 65535", parse)?;
            port.ok_or_else(|| missing("port"))?
        }
    };
    let (interval, check_timeout) = (READY_INTERVAL, timeout);
    Ok(Some(Readiness { probe, timeout, interval, check_timeout, stops_all: true }))
}
