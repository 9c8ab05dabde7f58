//! The records of a store that was lost, as far as the run dirs in the data dir tell them.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::clock;
use crate::install::verify::{self, Claim};
use crate::model::attempt::{Attempt, Outcome};
use crate::model::binary::Binary;
use crate::model::id::{BinaryId, MachineId, ProcessId};
use crate::model::name::BinaryName;
use crate::model::plugin_name::ProviderName;
use crate::model::process::{ExitReason, Process, ProcessExit, ProcessSpec, ProcessType, RunSpec};
use crate::process::run_dir::RunDir;
use crate::process::tree;
use crate::protocol;
use crate::runs::remove;
use crate::store::{Store, StoreError};

/// What the run dirs tell.
#[derive(Debug)]
pub struct Found {
    /// The machine that all of it is of: the one that worked here last.
    pub machine_id: MachineId,
    processes: Vec<Process>,
    /// Each with how it was found.
    binaries: Vec<(Binary, Attempt)>,
}

/// Reads all run dirs; none where there are none. A process that lives, and that nobody sees out who notes its end in its
/// run dir, is left out: it is its rigup's, which knows another store. A binary counts where its file is still the one
/// that was recorded. What hooks write and download lies below `events`: nothing there tells of binaries, or which machine
/// this is as long as `machines` does.
pub fn find(data_dir: &Path, lib_bin_dir: &Path) -> Option<Found> {
    let now = clock::now();
    let mut processes: Vec<Process> =
        remove::run_dirs(data_dir).filter_map(|it| process_of(data_dir, &it)).collect();
    processes.retain(|it| it.created_at <= now);
    processes.sort_by_key(|it| it.id);
    let is_of_machine =
        |it: &Process| it.spec.run_dir.as_deref().is_some_and(|it| machine_of(data_dir, it).is_some());
    let last = processes.iter().rfind(|it| is_of_machine(it)).or(processes.last())?;
    let machine_id = last.machine_id;
    processes.retain(|it| it.machine_id == machine_id);
    let binaries = binaries_of(processes.iter().filter(|it| is_of_machine(it)), lib_bin_dir);
    Some(Found { machine_id, processes, binaries })
}

impl Found {
    /// How many records there are.
    pub fn count(&self) -> usize {
        self.processes.len() + self.binaries.len()
    }

    /// Stores it; the machine is stored already.
    pub fn store(&self, store: &Store) -> Result<(), StoreError> {
        self.binaries.iter().try_for_each(|(binary, _)| store.save_binary(binary))?;
        self.processes.iter().try_for_each(|it| store.import_process(it).map(drop))?;
        let mut found = self.binaries.iter();
        found.try_for_each(|(binary, attempt)| store.add_attempt(binary.id, attempt, binary.modified_at))
    }
}

/// The machine whose folder in `machines` a run dir lies in.
fn machine_of(data_dir: &Path, run_dir: &Path) -> Option<MachineId> {
    let mut names = run_dir.strip_prefix(data_dir.join("machines")).ok()?.iter();
    names.next()?.to_str()?.parse().ok()
}

/// The process of a run dir.
fn process_of(data_dir: &Path, path: &Path) -> Option<Process> {
    let name = |folder: Option<&Path>| Some(folder?.file_name()?.to_str()?.to_owned());
    let id: ProcessId = name(Some(path))?.parse().ok()?;
    let created_at = id.created_at()?;
    let script = Script::read(&fs_err::read(path.join("cmd.sh")).ok()?, path)?;
    let machine_id = if path.starts_with(data_dir.join("machines")) {
        machine_of(data_dir, path)?
    } else {
        script.env.get("MACHINE_ID")?.as_str()?.parse().ok()?
    };

    let hooks = path.ancestors().nth(2).filter(|it| it.file_name() == Some(OsStr::new(".hooks")));
    let (process_type, plugin, hook_name, run) = if let Some(hooks) = hooks {
        (ProcessType::Hook, name(hooks.parent())?, name(path.parent())?, None)
    } else {
        let run = RunSpec { slug: name(path.parent())?, description: String::new(), ttl: None };
        (ProcessType::Binary, String::new(), String::new(), Some(run))
    };
    let spec = ProcessSpec {
        plugin,
        hook_name,
        env: script.env,
        run_dir: Some(path.to_owned()),
        run,
        ..ProcessSpec::new(process_type, script.cmd, script.pwd)
    };
    let mut process = Process::queued(id, machine_id, spec, created_at);
    process.binary_id = hooks.and_then(|it| name(it.ancestors().nth(2))?.parse().ok());
    let run_dir = RunDir::at(path);
    if let Some(exit) = run_dir.read_exit() {
        return Some(process.into_exited(exit));
    }
    if run_dir.is_held() == Some(true) {
        return Some(process.into_running(run_dir.read_pid()?, created_at));
    }
    tree::marked(id)
        .is_empty()
        .then(|| process.into_exited(run_dir.with_logs(ProcessExit::lost(clock::now()))))
}

/// What `cmd.sh` runs.
struct Script {
    env: Map<String, Value>,
    pwd: PathBuf,
    cmd: Vec<String>,
}

impl Script {
    fn read(text: &[u8], run_dir: &Path) -> Option<Self> {
        let mut words = shlex::split(&String::from_utf8_lossy(text))?.into_iter();
        let mut env = Map::new();
        while words.next()? == "export" {
            let (name, value) = words.next().and_then(|it| {
                let (name, value) = it.split_once('=')?;
                Some((name.to_owned(), Value::from(value)))
            })?;
            env.insert(name, value);
        }
        // The word before was `cd`, and what follows is `&& exec`.
        let pwd = PathBuf::from(words.next()?);
        let mut cmd: Vec<String> = words.skip(2).collect();
        let input = format!("<{}", RunDir::at(run_dir).input().display());
        cmd.pop_if(|it| *it == input);
        Some(Self { env, pwd, cmd })
    }
}

/// What the hooks found last of every name, as far as it is still so.
fn binaries_of<'a>(
    processes: impl Iterator<Item = &'a Process>,
    lib_bin_dir: &Path,
) -> Vec<(Binary, Attempt)> {
    let mut found: BTreeMap<String, (&'a Process, Map<String, Value>)> = BTreeMap::new();
    let is_good = |it: &ProcessExit| it.reason == ExitReason::Exited && it.exit_code == Some(0);
    for process in processes.filter(|it| it.exit().is_some_and(is_good)) {
        let Some(run_dir) = process.spec.run_dir.as_deref().map(RunDir::at) else { continue };
        let is_of_provider = process.spec.hook_name.starts_with("on_Binary");
        let Some(output) = File::open(run_dir.stdout()).ok().filter(|_| is_of_provider) else { continue };
        let _ = protocol::read(BufReader::new(output), |record| {
            if record.kind == "Binary"
                && let Some(name) = record.fields.get("name").and_then(Value::as_str)
            {
                found.insert(name.to_owned(), (process, record.fields));
            }
        });
    }
    let found = found.into_values();
    found
        .filter_map(|(process, fields)| {
            let provider = ProviderName::parse(&process.spec.plugin).ok()?;
            Some((binary_of(process, &provider, fields, lib_bin_dir)?, success(process, provider)))
        })
        .collect()
}

fn success(process: &Process, provider: ProviderName) -> Attempt {
    Attempt { provider, outcome: Outcome::Installed, reason: String::new(), process_id: Some(process.id) }
}

fn binary_of(
    process: &Process,
    provider: &ProviderName,
    mut fields: Map<String, Value>,
    lib_bin_dir: &Path,
) -> Option<Binary> {
    let name = BinaryName::parse(fields.get("name")?.as_str()?, None).ok()?;
    let asked = |key: &str| process.spec.cmd.iter().find_map(|it| it.strip_prefix(key)).unwrap_or_default();
    let recorded = fields.remove("sha256");
    let claim = Claim {
        name: name.as_str(),
        min_version: asked("--min-version="),
        provider,
        link: &lib_bin_dir.join(name.link_name()),
        abspath: None,
        version: None,
        locked: None,
        is_measured: false,
    };
    let installed = verify::verify(claim, &fields).ok()?;
    if recorded.is_some_and(|it| it != installed.sha256.as_str()) {
        return None;
    }
    let id = process.binary_id.unwrap_or_else(BinaryId::generate);
    let mut binary = Binary::new(id, process.machine_id, name.as_str(), process.created_at);
    asked("--binproviders=").clone_into(&mut binary.binproviders);
    asked("--min-version=").clone_into(&mut binary.min_version);
    binary.satisfy(installed, process.created_at);
    Some(binary)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A run dir of a hook that found this name, as a hook of a machine leaves it.
    fn forge(run_dir: &Path, machine: MachineId, name: &str) {
        fs_err::create_dir_all(run_dir).unwrap();
        let script = format!("export MACHINE_ID={machine}\ncd / && exec hook\n");
        fs_err::write(run_dir.join("cmd.sh"), script).unwrap();
        let record = serde_json::json!({
            "type": "Binary", "name": name, "abspath": "/bin/sh", "version": "1.0.0", "binprovider": "env",
        });
        fs_err::write(run_dir.join("stdout.log"), format!("{record}\n")).unwrap();
        let exit = r#"{"exit_code":0,"exit_reason":"exited","ended_at":"2026-01-01T00:00:00.000Z"}"#;
        fs_err::write(run_dir.join("exit.json"), exit).unwrap();
    }

    #[test]
    fn what_a_hook_downloaded_and_ids_from_the_future_tell_nothing() {
        let root = tempfile::tempdir().unwrap();
        let (ours, foreign) = (MachineId::generate(), MachineId::generate());
        let good = format!("machines/{ours}/batches/env/.hooks/on_BinaryRequest__00_env.batch.sh");
        let good = root.path().join(good).join(ProcessId::generate().to_string());
        let future = "ffffffff-ffff-7fff-bfff-ffffffffffff";
        forge(&good, ours, "x");
        for place in ["events/E/id/plugin/site", "events/E/id/plugin", "events/E/id", "runs/slug", "events"] {
            for id in [ProcessId::generate().to_string(), future.to_owned()] {
                let place = root.path().join(place).join(".hooks/on_BinaryRequest__00_env.sh");
                forge(&place.join(id), foreign, "x");
            }
        }
        forge(&good.with_file_name(future), ours, "x");
        let event = root.path().join("events/E/id/plugin/.hooks/on_BinaryRequest__00_env.sh");
        let event = event.join(ProcessId::generate().to_string());
        forge(&event, ours, "y");
        let found = find(root.path(), root.path()).unwrap();
        assert_eq!(found.machine_id, ours);
        let run_dirs: Vec<_> = found.processes.iter().filter_map(|it| it.spec.run_dir.clone()).collect();
        assert_eq!(run_dirs, [good, event]);
        let names: Vec<_> = found.binaries.iter().map(|(binary, _)| binary.name.as_str()).collect();
        assert_eq!(names, ["x"], "only providers find binaries");
    }
}
