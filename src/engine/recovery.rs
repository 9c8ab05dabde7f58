//! Recovers the records of a lost store from the run dirs in the data dir.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use serde_json::{Map, Value};

use crate::clock;
use crate::install::verify::{self, Expected};
use crate::model::{
    Attempt, Binary, BinaryId, BinaryName, ExitReason, MachineId, Outcome, Process, ProcessExit, ProviderName,
};
use crate::process::run_dir::{self, FoundRunDir, RunDir};
use crate::process::tree;
use crate::protocol;
use crate::store::{Store, StoreError};

/// The records that the run dirs contain.
#[derive(Debug)]
pub(crate) struct Recovered {
    /// The machine of all records: that of the newest process.
    pub(crate) machine_id: MachineId,
    processes: Vec<Process>,
    /// The binaries, each with the attempt that installed it.
    binaries: Vec<(Binary, Attempt)>,
}

/// Reads all run dirs, and returns `None` if there are none. Leaves out a live process without a waiter, because its
/// rigup uses another store. A binary is recovered only if its file still has the recorded digest.
pub(crate) fn recover(data_dir: &Path, lib_bin_dir: &Path) -> Option<Recovered> {
    let now = clock::now();
    let mut processes: Vec<Process> =
        run_dir::list(data_dir).filter_map(|found| process_of(&found)).collect();
    processes.retain(|process| process.created_at <= now);
    processes.sort_by_key(|process| process.id);
    let machine_id = processes.last()?.machine_id;
    processes.retain(|process| process.machine_id == machine_id);
    let binaries = binaries_of(&processes, lib_bin_dir);
    Some(Recovered { machine_id, processes, binaries })
}

impl Recovered {
    /// Returns the number of records.
    pub(crate) fn count(&self) -> usize {
        self.processes.len() + self.binaries.len()
    }

    /// Stores the records. The machine must already be stored.
    pub(crate) fn store(&self, store: &Store) -> Result<(), StoreError> {
        self.binaries.iter().try_for_each(|(binary, _)| store.save_binary(binary))?;
        self.processes.iter().try_for_each(|process| store.import_process(process).map(drop))?;
        self.binaries
            .iter()
            .try_for_each(|(binary, attempt)| store.add_attempt(binary.id, attempt, binary.modified_at))
    }
}

/// Returns the process of a run dir, or `None` if the run dir has no valid record.
fn process_of(found: &FoundRunDir) -> Option<Process> {
    if found.is_partly_removed {
        return None;
    }
    let run_dir = RunDir::at(&found.path);
    let process = run_dir.read_process().filter(|process| process.id == found.process_id)?;
    let id = process.id;
    // Processes are sorted by the time in their ids, so that time replaces the one in the record.
    let created_at = id.created_at()?;
    let process = Process { created_at, ..process };
    if let Some(exit) = run_dir.read_exit() {
        return Some(process.into_exited(run_dir.add_logs(exit)));
    }
    if run_dir.is_locked() == Some(true) {
        return Some(process.into_running(run_dir.read_identity()?, created_at));
    }
    tree::find_by_id(id)
        .is_empty()
        .then(|| process.into_exited(run_dir.add_logs(ProcessExit::lost(clock::now()))))
}

/// Whether an install ran this hook, for one binary or for the requests on its standard input. A hook that `rigup run`
/// ran installs nothing.
fn is_of_install(process: &Process, run_dir: &RunDir) -> bool {
    process.spec.hook_name.starts_with("on_Binary")
        && (process.binary_id.is_some() || run_dir.input().exists())
}

/// Returns the binary in the last record for each name, if its file is unchanged.
fn binaries_of(processes: &[Process], lib_bin_dir: &Path) -> Vec<(Binary, Attempt)> {
    let mut found: BTreeMap<String, (&Process, Map<String, Value>)> = BTreeMap::new();
    let is_success = |exit: &ProcessExit| exit.reason == ExitReason::Exited && exit.exit_code == Some(0);
    for process in processes.iter().filter(|process| process.exit().is_some_and(is_success)) {
        let run_dir = process.spec.run_dir.as_deref().map(RunDir::at);
        let Some(run_dir) = run_dir.filter(|run_dir| is_of_install(process, run_dir)) else { continue };
        let Ok(output) = File::open(run_dir.stdout()) else { continue };
        let _ = protocol::read(BufReader::new(output), |record| {
            if record.kind == "Binary"
                && let Some(name) = record.fields.get("name").and_then(Value::as_str)
            {
                found.insert(name.to_owned(), (process, record.fields));
            }
        });
    }
    let binaries = found.into_values().filter_map(|(process, fields)| {
        let provider = ProviderName::parse(&process.spec.plugin).ok()?;
        let binary = binary_of(process, &provider, fields, lib_bin_dir)?;
        let (outcome, process_id) = (Outcome::Installed, Some(process.id));
        Some((binary, Attempt { provider, outcome, reason: String::new(), process_id }))
    });
    binaries.collect()
}

fn binary_of(
    process: &Process,
    provider: &ProviderName,
    mut fields: Map<String, Value>,
    lib_bin_dir: &Path,
) -> Option<Binary> {
    let name = BinaryName::parse(fields.get("name")?.as_str()?, None).ok()?;
    let argument =
        |key: &str| process.spec.cmd.iter().find_map(|word| word.strip_prefix(key)).unwrap_or_default();
    let recorded = fields.remove("sha256");
    let link = lib_bin_dir.join(name.link_name());
    let expected = Expected::new(name.as_str(), argument("--min-version="), provider, &link);
    let installed = verify::verify(expected, &fields).ok()?.installed;
    if recorded.is_some_and(|digest| digest != installed.sha256.as_str()) {
        return None;
    }
    let id = process.binary_id.unwrap_or_else(BinaryId::generate);
    let mut binary = Binary::new(id, process.machine_id, name.as_str(), process.created_at);
    argument("--binproviders=").clone_into(&mut binary.binproviders);
    argument("--min-version=").clone_into(&mut binary.min_version);
    binary.install(installed, process.created_at);
    Some(binary)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ProcessId, ProcessSpec, ProcessType};
    use crate::process::spawn::CommandSpec;

    /// Creates the run dir of a hook that printed a Binary record.
    fn create_run_dir(
        data_dir: &Path,
        id: ProcessId,
        machine: MachineId,
        hook: &str,
        binary: Option<BinaryId>,
    ) {
        let path = run_dir::path(data_dir, id);
        let spec = ProcessSpec {
            plugin: "env".to_owned(),
            hook_name: hook.to_owned(),
            run_dir: Some(path.clone()),
            ..ProcessSpec::new(ProcessType::Hook, vec!["hook".to_owned()], "/")
        };
        let mut process = Process::queued(id, machine, spec, clock::now());
        process.binary_id = binary;
        let command =
            CommandSpec { program: "hook".into(), args: Vec::new(), env: Vec::new(), cwd: "/".into() };
        let run_dir = RunDir::create(path, &process, &command, None).unwrap();
        let name = if binary.is_some() { "x" } else { "y" };
        let record = serde_json::json!({
            "type": "Binary", "name": name, "abspath": "/bin/sh", "version": "1.0.0", "binprovider": "env",
        });
        fs_err::write(run_dir.stdout(), format!("{record}\n")).unwrap();
        let exited = process.into_exited(ProcessExit::exited(0, clock::now()));
        run_dir.write_exit(&exited, &[]).unwrap();
    }

    #[test]
    fn only_hooks_that_an_install_ran_recover_binaries() {
        let root = tempfile::tempdir().unwrap();
        let (ours, foreign) = (MachineId::generate(), MachineId::generate());
        let hook = "on_BinaryRequest__00_env.sh";
        let ids: Vec<ProcessId> = (0..3).map(|_| ProcessId::generate()).collect();
        create_run_dir(root.path(), ids[0], foreign, hook, Some(BinaryId::generate()));
        create_run_dir(root.path(), ids[1], ours, hook, Some(BinaryId::generate()));
        create_run_dir(root.path(), ids[2], ours, hook, None);
        let future = "ffffffff-ffff-7fff-bfff-ffffffffffff".parse().unwrap();
        create_run_dir(root.path(), future, foreign, hook, Some(BinaryId::generate()));
        fs_err::create_dir(run_dir::path(root.path(), ProcessId::generate())).unwrap();
        let found = recover(root.path(), root.path()).unwrap();
        assert_eq!(found.machine_id, ours);
        let processes: Vec<ProcessId> = found.processes.iter().map(|process| process.id).collect();
        assert_eq!(processes, [ids[1], ids[2]]);
        let names: Vec<_> = found.binaries.iter().map(|(binary, _)| binary.name.as_str()).collect();
        assert_eq!(names, ["x"], "only hooks that an install ran find binaries");
    }
}
