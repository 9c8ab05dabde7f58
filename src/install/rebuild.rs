//! The records of a store that was lost, as far as the run dirs in the data dir tell them.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use serde_json::{Map, Value};

use crate::clock;
use crate::install::verify::{self, Claim};
use crate::model::attempt::{Attempt, Outcome};
use crate::model::binary::Binary;
use crate::model::id::{BinaryId, MachineId};
use crate::model::name::BinaryName;
use crate::model::plugin_name::ProviderName;
use crate::model::process::{ExitReason, Process, ProcessExit};
use crate::process::run_dir::RunDir;
use crate::process::run_dirs::{FoundRunDir, RunDirs};
use crate::process::tree;
use crate::protocol;
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

/// Reads all run dirs; `None` if there are none. A living process without a waiter, which notes its end in its run dir, is
/// left out: it is its rigup's, which knows another store. A binary counts if its file is still the one that was recorded.
pub fn find(data_dir: &Path, lib_bin_dir: &Path) -> Option<Found> {
    let now = clock::now();
    let mut processes: Vec<Process> =
        RunDirs::of(data_dir).list().filter_map(|found| process_of(&found)).collect();
    processes.retain(|process| process.created_at <= now);
    processes.sort_by_key(|process| process.id);
    let machine_id = processes.last()?.machine_id;
    processes.retain(|process| process.machine_id == machine_id);
    let binaries = binaries_of(&processes, lib_bin_dir);
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

/// Returns the process of a run dir, or `None` if that has no valid record.
fn process_of(found: &FoundRunDir) -> Option<Process> {
    if found.is_half_removed {
        return None;
    }
    let run_dir = RunDir::at(&found.path);
    let process = run_dir.read_process().filter(|process| process.id == found.process_id)?;
    let id = process.id;
    // The time in the record is only a claim; that in the id is what ids are sorted by.
    let created_at = id.created_at()?;
    let process = Process { created_at, ..process };
    if let Some(exit) = run_dir.read_exit() {
        return Some(process.into_exited(exit));
    }
    if run_dir.is_held() == Some(true) {
        return Some(process.into_running(run_dir.read_identity()?, created_at));
    }
    tree::marked(id)
        .is_empty()
        .then(|| process.into_exited(run_dir.with_logs(ProcessExit::lost(clock::now()))))
}

/// Whether an install ran this hook: for one binary, or for the requests in its standard input. The hooks of an event
/// install nothing.
fn is_of_install(process: &Process, run_dir: &RunDir) -> bool {
    process.spec.hook_name.starts_with("on_Binary")
        && (process.binary_id.is_some() || run_dir.input().exists())
}

/// What the hooks found last of every name, as far as it is still so.
fn binaries_of(processes: &[Process], lib_bin_dir: &Path) -> Vec<(Binary, Attempt)> {
    let mut found: BTreeMap<String, (&Process, Map<String, Value>)> = BTreeMap::new();
    let is_good = |it: &ProcessExit| it.reason == ExitReason::Exited && it.exit_code == Some(0);
    for process in processes.iter().filter(|process| process.exit().is_some_and(is_good)) {
        let Some(run_dir) = process.spec.run_dir.as_deref().map(RunDir::at) else { continue };
        if !is_of_install(process, &run_dir) {
            continue;
        }
        let Ok(output) = File::open(run_dir.stdout()) else { continue };
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
    use crate::model::id::ProcessId;
    use crate::model::process::{ProcessSpec, ProcessType};
    use crate::process::run_dir;

    /// Leaves the run dir of a hook that printed a Binary record for this name.
    fn leave(data_dir: &Path, id: ProcessId, machine: MachineId, hook: &str, binary: Option<BinaryId>) {
        let path = run_dir::path(data_dir, id);
        let spec = ProcessSpec {
            plugin: "env".to_owned(),
            hook_name: hook.to_owned(),
            run_dir: Some(path.clone()),
            ..ProcessSpec::new(ProcessType::Hook, vec!["hook".to_owned()], "/")
        };
        let mut process = Process::queued(id, machine, spec, clock::now());
        process.binary_id = binary;
        let run_dir = RunDir::create(path, &process, "hook".as_ref(), &[], None).unwrap();
        let name = if binary.is_some() { "x" } else { "y" };
        let record = serde_json::json!({
            "type": "Binary", "name": name, "abspath": "/bin/sh", "version": "1.0.0", "binprovider": "env",
        });
        fs_err::write(run_dir.stdout(), format!("{record}\n")).unwrap();
        run_dir.write_exit(clock::now(), &ProcessExit::exited(0, clock::now()), &[]).unwrap();
    }

    #[test]
    fn hooks_of_events_and_ids_from_the_future_tell_nothing_of_binaries() {
        let root = tempfile::tempdir().unwrap();
        let (ours, foreign) = (MachineId::generate(), MachineId::generate());
        let hook = "on_BinaryRequest__00_env.sh";
        let ids: Vec<ProcessId> = (0..3).map(|_| ProcessId::generate()).collect();
        leave(root.path(), ids[0], foreign, hook, Some(BinaryId::generate()));
        leave(root.path(), ids[1], ours, hook, Some(BinaryId::generate()));
        leave(root.path(), ids[2], ours, hook, None);
        let future = "ffffffff-ffff-7fff-bfff-ffffffffffff".parse().unwrap();
        leave(root.path(), future, foreign, hook, Some(BinaryId::generate()));
        fs_err::create_dir(run_dir::path(root.path(), ProcessId::generate())).unwrap();
        let found = find(root.path(), root.path()).unwrap();
        assert_eq!(found.machine_id, ours);
        let processes: Vec<ProcessId> = found.processes.iter().map(|process| process.id).collect();
        assert_eq!(processes, [ids[1], ids[2]]);
        let names: Vec<_> = found.binaries.iter().map(|(binary, _)| binary.name.as_str()).collect();
        assert_eq!(names, ["x"], "only hooks that an install ran find binaries");
    }
}
