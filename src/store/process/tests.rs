use std::collections::HashSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use jiff::Timestamp;
use rusqlite::params_from_iter;
use serde_json::json;

use super::filter::ListPart;
use super::*;
use crate::duration;
use crate::model::{
    Attempt, ExitReason, MachineId, Outcome, ProcessId, ProcessType, ProviderName, interface,
};
use crate::store::prune::{self, EndedProcess};
use crate::store::tests::{hook, machine, store_with_machine, time};

pub(super) fn identity() -> Identity {
    Identity { pid: 4_000_000_000, start_ticks: u64::MAX, boot_id: "8a".to_owned() }
}

pub(super) fn exit(reason: ExitReason) -> ProcessExit {
    ProcessExit {
        ended_at: time(3),
        exit_code: Some(143),
        signal: Some(15),
        reason,
        stdout_tail: "out\n".to_owned(),
        stderr_tail: "é \u{0} err".to_owned(),
        stdout_bytes: 4,
        stderr_bytes: u64::MAX,
        usage: Some(Usage { max_rss: 1 << 40, user_ms: 7, sys_ms: 0 }),
    }
}

pub(super) fn detached(slug: &str) -> RunSpec {
    RunSpec {
        slug: slug.to_owned(),
        description: "the é backup".to_owned(),
        ttl: Some(Duration::from_hours(24)),
    }
}

/// Returns a process for each state and each exit reason.
pub(super) fn one_of_each(machine_id: MachineId) -> Vec<Process> {
    let queued = || hook(machine_id, time(1));
    let running = || queued().into_running(identity(), time(2));
    let mut all = vec![queued(), running(), queued().into_exited(ProcessExit::lost(time(3)))];
    for reason in ["exited", "signalled", "timeout", "memory", "stopped", "lost", "spawn_failed"] {
        all.push(running().into_exited(exit(reason.parse().unwrap())));
    }
    all
}

#[test]
fn a_process_round_trips_in_every_state() {
    let (_dir, store, machine_id) = store_with_machine();
    for process in one_of_each(machine_id) {
        store.save_process(&process).unwrap();
        assert_eq!(store.process(process.id).unwrap(), Some(process));
    }
}

#[test]
fn the_average_duration_of_a_hook_covers_only_its_own_executions() {
    let (_dir, store, machine_id) = store_with_machine();
    let average = |plugin, hook_name| store.average_duration(plugin, hook_name).unwrap();
    let ProcessSpec { plugin, hook_name, .. } = hook(machine_id, time(1)).spec;
    assert_eq!(average(&plugin, &hook_name), Duration::ZERO, "the hook never ran");
    for process in one_of_each(machine_id) {
        store.save_process(&process).unwrap();
    }
    let deviation = average(&plugin, &hook_name).abs_diff(Duration::from_millis(1));
    assert!(
        deviation < Duration::from_micros(100),
        "from 2 ms to 3 ms; only executions that started and exited count"
    );
    assert_eq!(average(&plugin, "on_Other.sh"), Duration::ZERO);
    assert_eq!(average("other", &hook_name), Duration::ZERO);
}

#[test]
fn every_field_of_a_spec_and_every_relation_round_trips() {
    let (_dir, store, machine_id) = store_with_machine();
    let parent = hook(machine_id, time(1));
    store.save_process(&parent).unwrap();
    let facts = interface::InterfaceFacts::default();
    let mut process = hook(machine_id, time(2));
    process.parent_id = Some(parent.id);
    process.binary_id = Some(store.find_or_add_binary(machine_id, "rg", time(1)).unwrap().id);
    process.iface_id = Some(store.save_interface(machine_id, &facts, time(1)).unwrap().id);
    let cmd = vec!["sh".to_owned(), "-c".to_owned(), "echo 'a\n\"b\"'".to_owned()];
    for process_type in ["cli", "hook", "binary", "worker", "orchestrator", "supervisord"] {
        process.id = ProcessId::generate();
        process.spec = ProcessSpec {
            plugin: "a".to_owned(),
            hook_name: "on_x".to_owned(),
            env: json!({"Z": "1", "A": "***"}).as_object().unwrap().clone(),
            timeout: Some(Duration::from_millis(1_100)),
            run_dir: Some("/run/é".into()),
            run: Some(detached("nightly")),
            ..ProcessSpec::new(process_type.parse().unwrap(), cmd.clone(), OsStr::from_bytes(b"/caf\xe9"))
        };
        store.save_process(&process).unwrap();
        assert_eq!(store.process(process.id).unwrap().as_ref(), Some(&process));
    }
}

#[test]
fn an_exited_process_is_never_overwritten() {
    let (_dir, store, machine_id) = store_with_machine();
    let queued = hook(machine_id, time(1));
    store.save_process(&queued).unwrap();
    let running = queued.clone().into_running(identity(), time(2));
    store.save_process(&running).unwrap();
    let exited = running.clone().into_exited(exit(ExitReason::Timeout));
    store.save_process(&exited).unwrap();
    for late in [queued, running.clone(), running.into_exited(ProcessExit::lost(time(9)))] {
        store.save_process(&late).unwrap();
        assert_eq!(store.process(exited.id).unwrap().as_ref(), Some(&exited));
    }
}

#[test]
fn refuses_a_process_of_an_unknown_machine_with_the_next_step() {
    let (_dir, store, _) = store_with_machine();
    let error = store.save_process(&hook(MachineId::generate(), time(1))).unwrap_err();
    assert!(matches!(error, StoreError::UnknownReference { .. }), "{error}");
    assert!(error.to_string().contains("store that one first"), "{error}");
}

#[test]
fn a_child_is_kept_without_its_parent_but_not_without_its_machine() {
    let (_dir, store, machine_id) = store_with_machine();
    let parent = hook(machine_id, time(1));
    let mut child = hook(machine_id, time(2));
    child.parent_id = Some(parent.id);
    store.save_process(&parent).unwrap();
    store.save_process(&child).unwrap();
    let delete = |table: &str, id: String| {
        let sql = format!("DELETE FROM {table} WHERE id = ?1");
        store.lock().execute(&sql, [id]).unwrap();
    };
    delete("process", parent.id.to_string());
    child.parent_id = None;
    assert_eq!(store.process(child.id).unwrap().as_ref(), Some(&child));
    delete("machine", machine_id.to_string());
    assert_eq!(store.processes(&ProcessFilter::default()).unwrap(), []);
}

#[test]
fn finds_a_process_by_its_id_or_the_beginning_or_end_of_it() {
    let (_dir, store, machine_id) = store_with_machine();
    let ids = [
        "0198abcd-0000-7000-8000-000000000001",
        "0198abcd-0000-7000-8000-000000000002",
        "0198abce-ffff-7fff-bfff-ffffffffffff",
    ];
    for id in ids {
        let process = Process { id: id.parse().unwrap(), ..hook(machine_id, time(1)) };
        store.save_process(&process).unwrap();
    }
    let find = |typed: &str| match store.find_process(typed).unwrap() {
        Lookup::Found(process) => process.id.to_string(),
        Lookup::Ambiguous { count, .. } => count.to_string(),
        Lookup::NotFound => "nothing".to_owned(),
    };
    assert_eq!(find("0198ABCE"), ids[2]);
    assert_eq!(find("0198abceff"), ids[2]);
    assert_eq!(find(ids[0]), ids[0]);
    assert_eq!(find("0198abcd"), "2");
    assert_eq!(find("01"), "3", "all three begin with it, and one of them also ends with it");
    assert_eq!(find("02"), ids[1]);
    assert_eq!(find("8000-0000-0000-0002"), ids[1]);
    assert_eq!(find("7FFF-BFFF-FFFFFFFFFFFF"), ids[2]);
    assert_eq!(find("03"), "nothing");
    assert_eq!(find(""), "nothing");
    assert_eq!(find("%"), "nothing");
}

#[test]
fn reserves_at_most_the_maximum_number_of_live_runs() {
    let (_dir, store, machine_id) = store_with_machine();
    let run = |slug| {
        let mut run = hook(machine_id, time(1));
        run.spec.run = Some(detached(slug));
        run
    };
    let first = run("a");
    let reserve = |run: &Process, max_live| {
        store.reserve_run(run, max_live, |_, machine, _| machine == machine_id).unwrap()
    };
    assert!(!reserve(&run("a"), 0));
    assert!(reserve(&first, 1));
    assert!(!reserve(&run("a"), 1));
    assert!(reserve(&run("b"), 1), "runs with other slugs do not count");
    store.save_process(&first.into_exited(ProcessExit::exited(0, time(2)))).unwrap();
    assert!(reserve(&run("a"), 1), "exited runs do not count");
    let there = machine("there");
    store.save_machine(&there).unwrap();
    store.save_process(&Process { machine_id: there.id, ..run("c") }).unwrap();
    assert!(reserve(&run("c"), 1), "a run that is not live does not count");
    assert!(!reserve(&run("c"), 1));
}

#[test]
fn does_not_list_a_run_after_its_run_dir_was_removed() {
    let (_dir, store, machine_id) = store_with_machine();
    let mut run = hook(machine_id, time(1)).into_exited(ProcessExit::exited(0, time(2)));
    run.spec.run = Some(detached("a"));
    run.spec.run_dir = Some("/run".into());
    store.save_process(&run).unwrap();
    assert_eq!(store.ended_runs(machine_id).unwrap(), [run.clone()]);
    store.clear_run_dir(run.id).unwrap();
    assert_eq!(store.ended_runs(machine_id).unwrap(), []);
    assert_eq!(store.process(run.id).unwrap().unwrap().state, run.state);
}

/// Returns a process that exited at this time, with this parent.
fn exited(machine_id: MachineId, at: i64, parent: Option<&Process>) -> Process {
    let mut process = hook(machine_id, time(at)).into_exited(ProcessExit::exited(0, time(at + 1)));
    process.parent_id = parent.map(|parent| parent.id);
    process.spec.run_dir = Some(format!("/run/{at}").into());
    process
}

#[test]
fn retains_ancestors_installing_hooks_and_runs_with_a_run_dir() {
    let (_dir, store, machine_id) = store_with_machine();
    let ancestor = exited(machine_id, 1, None);
    let mut live = hook(machine_id, time(2));
    live.parent_id = Some(ancestor.id);
    let mut rigup = hook(machine_id, time(2));
    rigup.spec.process_type = ProcessType::Cli;
    let child_of_live = exited(machine_id, 3, Some(&rigup));
    let mut run = exited(machine_id, 3, None);
    run.spec.run = Some(detached("a"));
    let [first, success, failure] = [4, 5, 6].map(|at| exited(machine_id, at, None));
    for process in [&ancestor, &live, &rigup, &child_of_live, &run] {
        store.save_process(process).unwrap();
    }
    let binary = store.find_or_add_binary(machine_id, "rg", time(1)).unwrap().id;
    for (process, outcome) in
        [(&first, Outcome::Installed), (&success, Outcome::Installed), (&failure, Outcome::Failed)]
    {
        let attempt = Attempt {
            provider: ProviderName::from_static("env"),
            outcome,
            reason: String::new(),
            process_id: Some(process.id),
        };
        store.finish_attempts(process, &[(binary, &attempt)], &[], process.exit().unwrap().ended_at).unwrap();
    }
    assert_eq!(
        store.retained_processes(&HashSet::new()).unwrap(),
        [ancestor.id, child_of_live.id, run.id, success.id].into()
    );
    let without_run = HashSet::from([ancestor.id, child_of_live.id, success.id]);
    assert_eq!(store.retained_processes(&HashSet::from([run.id])).unwrap(), without_run);
    store.clear_run_dir(run.id).unwrap();
    assert_eq!(store.retained_processes(&HashSet::new()).unwrap(), without_run);
}

#[test]
fn reads_exited_processes_in_pages_newest_first() {
    let (_dir, store, machine_id) = store_with_machine();
    let all: Vec<Process> = (0..5).map(|at| exited(machine_id, at / 2, None)).collect();
    store.save_processes(&all.iter().collect::<Vec<_>>()).unwrap();
    store.save_process(&hook(machine_id, time(9))).unwrap();
    let mut read: Vec<EndedProcess> = Vec::new();
    loop {
        let page = store.ended_processes(machine_id, read.last(), 2).unwrap();
        if page.is_empty() {
            break;
        }
        read.extend(page);
    }
    let mut expected: Vec<(Timestamp, ProcessId)> =
        all.iter().map(|process| (process.created_at, process.id)).collect();
    expected.sort_by(|one, other| other.cmp(one));
    assert_eq!(read.iter().map(|process| (process.created_at, process.id)).collect::<Vec<_>>(), expected);
    assert_eq!(store.ended_processes(MachineId::generate(), None, 9).unwrap(), []);
}

#[test]
fn prunes_attempts_too_but_keeps_a_process_with_a_new_child() {
    let (_dir, store, machine_id) = store_with_machine();
    let [gone, parent] = [1, 2].map(|at| exited(machine_id, at, None));
    let child = exited(machine_id, 3, Some(&parent));
    let binary = store.find_or_add_binary(machine_id, "rg", time(1)).unwrap().id;
    for process in [&gone, &parent, &child] {
        let outcome = Outcome::Declined;
        let attempt = Attempt {
            provider: ProviderName::from_static("env"),
            outcome,
            reason: String::new(),
            process_id: Some(process.id),
        };
        store.finish_attempts(process, &[(binary, &attempt)], &[], time(4)).unwrap();
    }
    let live = hook(machine_id, time(5));
    store.save_process(&live).unwrap();
    store.prune_processes(&[gone.id, parent.id, live.id], &[child.id]).unwrap();
    assert_eq!(store.process(gone.id).unwrap(), None);
    assert_eq!(store.process(live.id).unwrap(), Some(live));
    for kept in [parent, child] {
        let mut kept = kept;
        kept.spec.run_dir = None;
        assert_eq!(store.process(kept.id).unwrap(), Some(kept));
    }
    let remaining: Vec<Timestamp> = store.attempts(binary).unwrap().into_iter().map(|(_, at)| at).collect();
    assert_eq!(remaining, [time(4), time(4)]);
}

#[test]
fn a_process_whose_parent_was_pruned_has_no_parent() {
    let (_dir, store, machine_id) = store_with_machine();
    let parent = exited(machine_id, 1, None);
    let mut child = exited(machine_id, 2, Some(&parent));
    store.save_process(&child).unwrap();
    child.parent_id = None;
    assert_eq!(store.process(child.id).unwrap(), Some(child));
}

#[test]
fn prunes_old_attempts_without_a_process_a_few_at_a_time() {
    let (_dir, store, machine_id) = store_with_machine();
    let binary = store.find_or_add_binary(machine_id, "rg", time(1)).unwrap().id;
    let attempt = Attempt {
        provider: ProviderName::from_static("none"),
        outcome: Outcome::Skipped,
        reason: String::new(),
        process_id: None,
    };
    for at in 1..=4 {
        store.add_attempt(binary, &attempt, time(at)).unwrap();
    }
    assert_eq!([2, 2, 2].map(|limit| store.prune_attempts(time(4), limit).unwrap()), [2, 1, 0]);
    assert_eq!(store.attempts(binary).unwrap(), [(attempt, time(4))]);
}

#[test]
fn every_list_uses_an_index() {
    let (_dir, store, _) = store_with_machine();
    let plan = |rest: &str| -> String {
        let connection = store.lock();
        let columns = if rest.contains("LIMIT") || rest.contains("ORDER") { "*" } else { "1" };
        let sql = format!("EXPLAIN QUERY PLAN SELECT {columns} FROM process {rest}");
        let mut statement = connection.prepare(&sql).unwrap();
        let nulls = vec![None::<String>; statement.parameter_count()];
        let steps = statement.query_map(params_from_iter(nulls), |row| row.get::<_, String>("detail"));
        steps.unwrap().collect::<Result<Vec<_>, _>>().unwrap().join("; ")
    };
    let all = ProcessFilter::default;
    let word = |text: &str| Some(text.to_owned());
    let live = |filter: ProcessFilter| filter.list_sql(ListPart::Live, None).0;
    let exited = |filter: ProcessFilter| filter.list_sql(ListPart::Exited, None).0;
    let pip = || ProcessFilter { plugin: word("pip"), ..all() };
    let nightly = || ProcessFilter { slug: word("nightly"), ..all() };
    let id = Some(ProcessId::generate());
    for (rest, index) in [
        (live(all()), "process_unfinished"),
        (live(pip()), "process_unfinished"),
        (live(nightly()), "process_unfinished"),
        (live(ProcessFilter { status: word("running"), ..all() }), "process_unfinished"),
        (live(ProcessFilter { is_root: true, ..all() }), "process_unfinished"),
        (
            live(ProcessFilter { pid: Some(7), machine_id: Some(MachineId::generate()), ..all() }),
            "process_unfinished",
        ),
        (exited(all()), "process_newest"),
        (
            exited(ProcessFilter { since: Some(time(1)), has_failed: true, ..all() }),
            "process_newest (created_at>?)",
        ),
        (exited(pip()), "process_of_plugin (plugin=?)"),
        (
            exited(ProcessFilter { since: Some(time(1)), ..pip() }),
            "process_of_plugin (plugin=? AND created_at>?)",
        ),
        (exited(nightly()), "process_of_slug (slug=?)"),
        (exited(ProcessFilter { parent_id: id, ..all() }), "process_of_parent (parent_id=?)"),
        (exited(ProcessFilter { is_root: true, ..all() }), "process_root"),
        (all().conditions(ListPart::All).0, "COVERING INDEX"),
        (pip().conditions(ListPart::All).0, "COVERING INDEX process_of_plugin"),
        (ENDED_RUNS.to_owned(), "process_ended_run"),
        (UNFINISHED.to_owned(), "process_unfinished"),
        (CHILDREN.to_owned(), "process_of_parent"),
        (prune::ENDED_BEFORE.to_owned(), "process_newest"),
        (lookup::BY_PREFIX.to_owned(), "sqlite_autoindex_process_1"),
    ] {
        let plan = plan(&rest);
        assert!(plan.contains(index), "{rest}: {plan}");
        assert!(!plan.contains("TEMP B-TREE"), "{rest}: {plan}");
    }
}

#[test]
fn a_duration_out_of_range_is_read_as_the_nearest_one() {
    let (_dir, store, machine_id) = store_with_machine();
    let process = hook(machine_id, time(1));
    store.save_process(&process).unwrap();
    for (seconds, expected) in
        [("-1", Duration::ZERO), ("1e300", duration::MAX), ("0.5", Duration::from_millis(500))]
    {
        store.lock().execute_batch(&format!("UPDATE process SET timeout = {seconds}")).unwrap();
        assert_eq!(store.process(process.id).unwrap().unwrap().spec.timeout, Some(expected));
    }
}

#[test]
fn an_unknown_value_is_an_error_that_names_the_row() {
    let (_dir, store, machine_id) = store_with_machine();
    let process = hook(machine_id, time(1)).into_exited(ProcessExit::exited(0, time(2)));
    store.save_process(&process).unwrap();
    store.lock().execute_batch("PRAGMA ignore_check_constraints = ON").unwrap();
    for (column, word) in [
        ("exit_reason", "'vanished'"),
        ("status", "'molten'"),
        ("process_type", "'thread'"),
        ("cmd", "'['"),
        ("created_at", "'yesterday'"),
    ] {
        let sql = format!("UPDATE process SET {column} = {word}");
        store.lock().execute_batch("SAVEPOINT it").unwrap();
        store.lock().execute_batch(&sql).unwrap();
        let text = store.process(process.id).unwrap_err().to_string();
        let id = process.id.to_string();
        for part in ["table process", &id, &format!("column {column}")] {
            assert!(text.contains(part), "{text}");
        }
        store.lock().execute_batch("ROLLBACK TO it").unwrap();
    }
}
