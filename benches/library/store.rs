//! Writes and reads 100,000 processes in a store.

use std::path::PathBuf;

use divan::Bencher;
use divan::counter::ItemsCount;
use jiff::Timestamp;
use rigup::internal::{
    Guid, Identity, Machine, MachineFacts, MachineId, Process, ProcessExit, ProcessFilter, ProcessId,
    ProcessSpec, ProcessType, Store,
};
use serde_json::{Map, Value};
use tempfile::TempDir;

const PROCESSES: u32 = 100_000;

/// A store with a machine, and the hooks that ran on it.
struct BenchStore {
    store: Store,
    hooks: Vec<Process>,
    _dir: TempDir,
}

impl BenchStore {
    fn with(count: u32) -> Self {
        let bench_store = Self::empty(count);
        bench_store
            .store
            .save_processes(&bench_store.hooks.iter().collect::<Vec<_>>())
            .expect("the store is writable");
        bench_store
    }

    /// Returns a store that does not contain the hooks yet.
    fn empty(count: u32) -> Self {
        let dir = crate::folder();
        let store = Store::open(dir.path(), dir.path()).expect("the store can be created");
        let guid = Guid { value: "guid".to_owned(), source: "random".to_owned() };
        let machine = Machine::new(MachineId::from(0), guid, MachineFacts::default(), time(0));
        store.save_machine(&machine).expect("the store is writable");
        let hooks = (0..count).map(|n| hook(machine.id, n)).collect();
        Self { store, hooks, _dir: dir }
    }
}

fn time(n: u32) -> Timestamp {
    Timestamp::from_millisecond(1_700_000_000_000 + i64::from(n)).expect("the time is in range")
}

/// Returns a hook that exited, with an environment and output of the usual size.
fn hook(machine_id: MachineId, n: u32) -> Process {
    let env = [
        "DATA_DIR",
        "dir.path()",
        "LIB_BIN_DIR",
        "MACHINE_ID",
        "RIGUP",
        "RIGUP_PROCESS_ID",
        "NODE_PATH",
        "PATH",
    ];
    let cmd = vec!["/data/builtin/env/on_BinaryRequest__00_env.sh".to_owned(), format!("--name=tool{n}")];
    let spec = ProcessSpec {
        plugin: format!("plugin{}", n % 100),
        hook_name: "on_BinaryRequest__00_env.sh".to_owned(),
        env: env
            .map(|name| (name.to_owned(), Value::from("/data/lib/x86_64-linux")))
            .into_iter()
            .collect::<Map<_, _>>(),
        run_dir: Some(PathBuf::from("/data/processes/01890a5d-ac96-774b-bcce-b302099a8057")),
        ..ProcessSpec::new(ProcessType::Hook, cmd, "/data/machines/id/binaries/tool/id/env")
    };
    let identity = Identity { pid: n, start_ticks: u64::from(n), boot_id: "boot".to_owned() };
    let exit = ProcessExit {
        stderr_tail: format!("tool{n} is not on PATH\n"),
        stderr_bytes: 24,
        ..ProcessExit::exited(0, time(n + 3))
    };
    Process::queued(ProcessId::from(u128::from(n)), machine_id, spec, time(n))
        .into_running(identity, time(n + 1))
        .into_exited(exit)
}

#[divan::bench(sample_count = 3, sample_size = 1)]
fn store_100_000_processes_at_once(bencher: Bencher<'_, '_>) {
    bencher
        .counter(ItemsCount::new(PROCESSES))
        .with_inputs(|| BenchStore::empty(PROCESSES))
        .bench_local_refs(|bench_store| {
            bench_store
                .store
                .save_processes(&bench_store.hooks.iter().collect::<Vec<_>>())
                .expect("the store is writable");
        });
}

/// Stores one process at a time, as rigup does before a hook starts and after it exits.
#[divan::bench(sample_count = 3, sample_size = 1)]
fn store_10_000_processes_one_by_one(bencher: Bencher<'_, '_>) {
    const COUNT: u32 = PROCESSES / 10;
    bencher.counter(ItemsCount::new(COUNT)).with_inputs(|| BenchStore::empty(COUNT)).bench_local_refs(
        |bench_store| {
            for hook in &bench_store.hooks {
                bench_store.store.save_process(hook).expect("the store is writable");
            }
        },
    );
}

#[divan::bench(sample_count = 50, sample_size = 1)]
fn list_50_of_100_000_processes(bencher: Bencher<'_, '_>) {
    let bench_store = BenchStore::with(PROCESSES);
    let filter = ProcessFilter { limit: Some(50), ..ProcessFilter::default() };
    bencher.bench_local(|| bench_store.store.processes(&filter).expect("the store is readable"));
}

#[divan::bench(sample_count = 50, sample_size = 1)]
fn list_50_of_a_plugin_of_100_000_processes(bencher: Bencher<'_, '_>) {
    let bench_store = BenchStore::with(PROCESSES);
    let plugin = Some("plugin7".to_owned());
    let filter = ProcessFilter { plugin, limit: Some(50), ..ProcessFilter::default() };
    bencher.bench_local(|| bench_store.store.processes(&filter).expect("the store is readable"));
}

#[divan::bench(sample_count = 50, sample_size = 1)]
fn find_one_of_100_000_processes_by_its_prefix(bencher: Bencher<'_, '_>) {
    let bench_store = BenchStore::with(PROCESSES);
    let id = bench_store.hooks[PROCESSES as usize / 2].id.to_string();
    bencher.bench_local(|| bench_store.store.find_process(&id[..30]).expect("the store is readable"));
}
