use std::collections::HashSet;

use super::*;
use crate::model::{ExitReason, ProcessExit};
use crate::store::process::tests::{detached, exit, identity, one_of_each};
use crate::store::tests::{hook, store_with_machine, time};

#[test]
fn lists_the_filtered_processes_the_live_and_the_newest_first() {
    let (_dir, store, machine_id) = store_with_machine();
    let rg = store.find_or_add_binary(machine_id, "rg", time(1)).unwrap().id;
    let at = |at| hook(machine_id, time(at));
    let parent = at(1);
    let mut child = at(2);
    child.parent_id = Some(parent.id);
    child.spec.plugin = "pip".to_owned();
    let mut about_rg = at(3).into_running(identity(), time(3));
    about_rg.binary_id = Some(rg);
    let mut exited_cli = at(4).into_exited(ProcessExit::exited(0, time(4)));
    exited_cli.spec.process_type = ProcessType::Cli;
    let mut run = at(5).into_exited(ProcessExit::lost(time(6)));
    run.spec.run = Some(detached("nightly"));
    for process in [&parent, &child, &about_rg, &exited_cli, &run] {
        store.save_process(process).unwrap();
    }
    let list = |filter: ProcessFilter| -> Vec<Timestamp> {
        let listed = store.processes(&filter).unwrap();
        listed.into_iter().map(|process| process.created_at).collect()
    };
    let all = ProcessFilter::default;
    let word = |text: &str| Some(text.to_owned());
    assert_eq!(list(all()), [time(3), time(2), time(1), time(5), time(4)]);
    let filter = ProcessFilter { limit: Some(4), ..all() };
    assert_eq!(list(filter), [time(3), time(2), time(1), time(5)]);
    for (status, expected) in [
        ("exited", vec![time(5), time(4)]),
        ("running", vec![time(3)]),
        ("queued", vec![time(2), time(1)]),
        ("molten", vec![]),
    ] {
        let filter = ProcessFilter { status: word(status), ..all() };
        assert_eq!(list(filter), expected, "{status}");
    }
    let filter = ProcessFilter { binary_name: word("rg"), status: word("running"), ..all() };
    assert_eq!(list(filter), [time(3)]);
    for (filter, expected) in [
        (ProcessFilter { plugin: word("pip"), ..all() }, vec![time(2)]),
        (ProcessFilter { plugin: word(""), ..all() }, vec![]),
        (ProcessFilter { process_type: Some(ProcessType::Cli), ..all() }, vec![time(4)]),
        (ProcessFilter { parent_id: Some(parent.id), ..all() }, vec![time(2)]),
        (ProcessFilter { pid: Some(identity().pid), ..all() }, vec![time(3)]),
        (
            ProcessFilter { machine_id: Some(machine_id), is_live: true, ..all() },
            vec![time(3), time(2), time(1)],
        ),
        (ProcessFilter { machine_id: Some(MachineId::generate()), ..all() }, vec![]),
        (ProcessFilter { since: Some(time(3)), ..all() }, vec![time(3), time(5), time(4)]),
        (ProcessFilter { since: Some(time(4)), has_failed: true, ..all() }, vec![time(5)]),
        (ProcessFilter { is_live: true, has_failed: true, ..all() }, vec![]),
    ] {
        assert_eq!(store.count_processes(&filter, None).unwrap(), expected.len() as u64, "{filter:?}");
        assert_eq!(list(filter.clone()), expected, "{filter:?}");
    }
    assert_eq!(store.count_processes(&ProcessFilter { limit: Some(1), ..all() }, Some(4)).unwrap(), 4);
    let filter = ProcessFilter { slug: word("nightly"), ..all() };
    assert_eq!(list(filter), [time(5)]);
    let filter = ProcessFilter { is_root: true, ..all() };
    assert_eq!(list(filter), [time(3), time(1), time(5), time(4)]);
    assert_eq!(store.process_children(parent.id).unwrap(), [child.clone()]);
    assert_eq!(store.unfinished_processes(machine_id).unwrap(), [parent, child, about_rg]);
    assert_eq!(store.unfinished_processes(MachineId::generate()).unwrap(), []);
}

#[test]
fn failed_processes_are_the_same_in_lists_and_in_tables() {
    let (_dir, store, machine_id) = store_with_machine();
    let mut all = one_of_each(machine_id);
    for reason in ExitReason::ALL {
        for (process_type, hook_name) in [
            (ProcessType::Hook, "on_E__1_x.sh"),
            (ProcessType::Hook, "on_E__1_x.finite.bg.sh"),
            (ProcessType::Hook, "on_E__1_x.daemon.bg.sh"),
            (ProcessType::Hook, "on_E__1_x__background.js"),
            (ProcessType::Binary, ""),
        ] {
            for exit_code in [None, Some(0), Some(1), Some(10), Some(143)] {
                let mut process = hook(machine_id, time(1));
                process.spec.process_type = process_type;
                hook_name.clone_into(&mut process.spec.hook_name);
                let running = process.clone().into_running(identity(), time(2));
                for process in [process, running] {
                    all.push(
                        Process { id: ProcessId::generate(), ..process }
                            .into_exited(ProcessExit { exit_code, ..exit(reason) }),
                    );
                }
            }
        }
    }
    store.save_processes(&all.iter().collect::<Vec<_>>()).unwrap();
    let filter = ProcessFilter { has_failed: true, ..ProcessFilter::default() };
    let listed: HashSet<ProcessId> =
        store.processes(&filter).unwrap().into_iter().map(|process| process.id).collect();
    let failed: HashSet<ProcessId> =
        all.iter().filter(|process| process.has_failed()).map(|process| process.id).collect();
    assert_eq!(listed, failed);
    assert!(failed.len() > 20 && failed.len() < all.len() - 5, "{}", failed.len());
}
