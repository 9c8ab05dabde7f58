//! Recovers the records of a lost store from the run dirs in the data dir.

use std::collections::BTreeMap;
use std::path::Path;

use crate::clock;
use crate::engine::event::{EngineEvent, OnEvent};
use crate::install::probe;
use crate::model::{Attempt, Binary, Machine, MachineId, Outcome, Process, ProcessExit, ProcessId};
use crate::process::run_dir::{self, FoundRunDir, RunDir};
use crate::process::{handle, tree};
use crate::report::text;
use crate::settings::Settings;
use crate::sorting::{collect_sorted, sort_by_key};
use crate::store::{Store, StoreError, StoredPaths};

/// The records that the run dirs contain.
#[derive(Debug)]
pub(crate) struct Recovered {
    /// The machine of all records: that of the newest process.
    machine_id: MachineId,
    processes: Vec<Process>,
    /// The binaries, each with the attempt that installed it.
    binaries: Vec<(Binary, Attempt)>,
    /// The run dirs whose `process.json` is invalid, so that their processes are not recovered.
    unreadable: Vec<String>,
}

/// Reads all run dirs, and returns `None` if they contain no record. Leaves out a live process without a waiter, because
/// its rigup uses another store. A binary is recovered only if it was accepted when its hook exited, and if its file
/// still has the recorded digest.
fn recover(data_dir: &Path, paths: &StoredPaths) -> Option<Recovered> {
    let now = clock::now();
    let mut run_dirs: Vec<FoundRunDir> =
        run_dir::list(data_dir).filter(|found| !found.is_partly_removed).collect();
    run_dirs.retain(|found| found.process_id.created_at().is_some_and(|time| time <= now));
    sort_by_key(&mut run_dirs, |found| found.process_id);
    let is_unreadable = |found: &&FoundRunDir| {
        let run_dir = RunDir::at(&found.path);
        run_dir.read_process().is_none() && run_dir.has_record_file()
    };
    let unreadable =
        run_dirs.iter().filter(is_unreadable).map(|found| found.path.display().to_string()).collect();
    let mut processes: Vec<Process> = run_dirs.iter().filter_map(process_of).collect();
    let accepted = run_dirs.iter().flat_map(|found| {
        let binaries = RunDir::at(&found.path).read_accepted(paths).into_iter();
        binaries.map(|binary| (found.process_id, binary))
    });
    let accepted: Vec<(ProcessId, Binary)> = accepted.collect();
    let newest = processes.last().map(|process| process.machine_id);
    let machine_id = newest.or_else(|| Some(accepted.last()?.1.machine_id))?;
    processes.retain(|process| process.machine_id == machine_id);
    let binaries = binaries_of(accepted, machine_id, &processes);
    Some(Recovered { machine_id, processes, binaries, unreadable })
}

/// Reads the records of the run dirs, and returns `None` if there are none.
pub(crate) fn read(settings: &Settings, on_event: OnEvent<'_>) -> Option<Recovered> {
    let paths = StoredPaths::new(&settings.lib_dir, &settings.data_dir);
    let recovered = recover(&settings.data_dir, &paths)?;
    if !recovered.unreadable.is_empty() {
        on_event(&EngineEvent::Warning(format!(
            "a process is not restored, because its process.json is empty or damaged: {}",
            text::list(&recovered.unreadable, 3)
        )));
    }
    Some(recovered)
}

/// Returns whether the data dir has run dirs with records.
pub(crate) fn has_records(data_dir: &Path) -> bool {
    run_dir::list(data_dir).any(|found| !found.is_partly_removed && RunDir::at(&found.path).has_record_file())
}

impl Recovered {
    /// Adds the records to a new store, as those of the machine that `machine` returns for its id. Returns their number.
    pub(crate) fn add_to(
        &self,
        store: &Store,
        machine: impl Fn(MachineId) -> Machine,
    ) -> Result<usize, StoreError> {
        store.find_or_add_machine(&machine(self.machine_id))?;
        self.binaries.iter().try_for_each(|(binary, _)| store.save_binary(binary))?;
        self.processes.iter().try_for_each(|process| store.import_process(process).map(drop))?;
        self.binaries
            .iter()
            .try_for_each(|(binary, attempt)| store.add_attempt(binary.id, attempt, binary.modified_at))?;
        Ok(self.processes.len() + self.binaries.len())
    }
}

/// Returns the process of a run dir, or `None` if the run dir has no valid record or cannot be examined. A process counts as
/// running only if it was started for this id: the run can write to the file that names it.
fn process_of(found: &FoundRunDir) -> Option<Process> {
    let run_dir = RunDir::at(&found.path);
    let process = run_dir.read_process().filter(|process| process.id == found.process_id)?;
    let (id, process_type) = (process.id, process.spec.process_type);
    // Processes are sorted by the time in their ids, so that time replaces the one in the record.
    let created_at = id.created_at()?;
    let warnings = run_dir.read_warnings();
    let process = Process { warnings, created_at, ..process };
    if let Some(exit) = run_dir.read_exit().ok()? {
        return Some(process.into_exited(run_dir.add_logs(exit, process_type)));
    }
    if run_dir.is_locked().ok()? == Some(true) {
        let entry = handle::find(&run_dir.read_identity()?).ok()?;
        // Otherwise, its exit is found in the run dir later.
        return Some(match entry.filter(|entry| tree::is_started_for(entry, id)) {
            Some(entry) => process.into_running(entry.identity(), created_at),
            None => process,
        });
    }
    tree::find_by_id(id)
        .ok()?
        .is_empty()
        .then(|| process.into_exited(run_dir.add_logs(ProcessExit::lost(clock::now()), process_type)))
}

/// Returns the binary in the last record for each name, if its file is unchanged.
fn binaries_of(
    accepted: Vec<(ProcessId, Binary)>,
    machine_id: MachineId,
    processes: &[Process],
) -> Vec<(Binary, Attempt)> {
    let of_machine = accepted.into_iter().filter(|(_, binary)| binary.machine_id == machine_id);
    let newest: BTreeMap<String, (ProcessId, Binary)> =
        collect_sorted(of_machine.map(|(process_id, binary)| (binary.name.clone(), (process_id, binary))));
    let attempts = newest.into_values().filter_map(|(process_id, binary)| {
        // The recorded fingerprint stays, so that the first request compares the version of the package as well.
        let installed = binary.installed()?;
        probe::fingerprint_of_same_file(installed)?;
        let provider = installed.binprovider.clone();
        let process_id = processes.iter().any(|process| process.id == process_id).then_some(process_id);
        let (outcome, reason) = (Outcome::Installed, String::new());
        Some((binary, Attempt { provider, outcome, reason, process_id }))
    });
    attempts.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::digest;
    use crate::model::{BinaryId, Installed, ProcessSpec, ProcessType, ProviderName};
    use crate::process::spawn::CommandSpec;

    fn paths(data_dir: &Path) -> StoredPaths {
        StoredPaths::new(&data_dir.join("lib"), data_dir)
    }

    /// Creates the run dir of a hook that printed a record of `/bin/sh`, which was accepted if there is a binary.
    fn create_run_dir(data_dir: &Path, id: ProcessId, machine: MachineId, binary: Option<&str>) {
        let path = run_dir::path(data_dir, id);
        let spec = ProcessSpec {
            plugin: "env".to_owned(),
            hook_name: "on_BinaryRequest__00_env.sh".to_owned(),
            run_dir: Some(path.clone()),
            ..ProcessSpec::new(ProcessType::Hook, vec!["hook".to_owned()], "/")
        };
        let process = Process::queued(id, machine, spec, clock::now());
        let command =
            CommandSpec { program: "hook".into(), args: Vec::new(), env: Vec::new(), cwd: "/".into() };
        let run_dir = RunDir::create(path, &process, &command, None).unwrap();
        let record = serde_json::json!({
            "type": "Binary", "name": "ignored", "abspath": "/bin/sh", "version": "1.0.0", "binprovider": "env",
        });
        fs_err::write(run_dir.stdout(), format!("{record}\n")).unwrap();
        let exited = process.into_exited(ProcessExit::exited(0, clock::now()));
        run_dir.write_exit(&exited).unwrap();
        let accepted = binary.map(|name| {
            let installed = Installed {
                binprovider: ProviderName::from_static("env"),
                abspath: "/bin/sh".into(),
                version: "1.0.0".to_owned(),
                package_version: String::new(),
                url: String::new(),
                url_sha256: String::new(),
                sha256: digest::sha256(Path::new("/bin/sh")).unwrap(),
                fingerprint: probe::fingerprint(Path::new("/bin/sh")).unwrap(),
                request_digest: String::new(),
                needs_wrapper: false,
            };
            let mut binary = Binary::new(BinaryId::generate(), machine, name, clock::now());
            binary.install(installed, clock::now());
            binary
        });
        run_dir.write_accepted(&Vec::from_iter(&accepted), &paths(data_dir)).unwrap();
    }

    #[test]
    fn only_accepted_records_of_the_newest_machine_are_recovered() {
        let root = tempfile::tempdir().unwrap();
        let (ours, foreign) = (MachineId::generate(), MachineId::generate());
        let ids: Vec<ProcessId> = (0..4).map(|_| ProcessId::generate()).collect();
        create_run_dir(root.path(), ids[0], foreign, Some("foreign"));
        create_run_dir(root.path(), ids[1], ours, Some("x"));
        create_run_dir(root.path(), ids[2], ours, None);
        create_run_dir(root.path(), ids[3], ours, Some("y"));
        let record = run_dir::path(root.path(), ids[3]).join("process.json");
        fs_err::write(&record, "").unwrap();
        let future = "ffffffff-ffff-7fff-bfff-ffffffffffff".parse().unwrap();
        create_run_dir(root.path(), future, foreign, Some("future"));
        let found = recover(root.path(), &paths(root.path())).unwrap();
        assert_eq!(found.machine_id, ours);
        let processes: Vec<ProcessId> = found.processes.iter().map(|process| process.id).collect();
        assert_eq!(processes, [ids[1], ids[2]]);
        let binaries: Vec<_> = found
            .binaries
            .iter()
            .map(|(binary, attempt)| (binary.name.as_str(), attempt.process_id))
            .collect();
        assert_eq!(binaries, [("x", Some(ids[1])), ("y", None)]);
        assert_eq!(found.unreadable, [record.parent().unwrap().display().to_string()]);
    }
}
