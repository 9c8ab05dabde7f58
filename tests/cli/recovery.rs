//! The next command after rigup was killed terminates the hooks and completes their records.

use std::fs;

use crate::test_context::{TestContext, wait_until};

#[test]
fn terminates_a_hook_of_a_killed_rigup_and_records_it_as_lost() {
    let context = TestContext::new();
    context.fixture("hanging").fixture("good");
    let mut child = context.start(&["install", "x", "--binproviders", "hanging"]);
    let statuses = |context: &TestContext| -> Vec<String> {
        context
            .processes()
            .iter()
            .map(|process| format!("{} {}", process["status"], process["exit_reason"]))
            .collect()
    };
    wait_until("the hook and its children run, and are recorded", || {
        context.count_live("sleep") >= 2 && statuses(&context) == [r#""running" null"#; 2]
    });
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!context.live_processes().is_empty());
    let shown = [r#""exited" "lost""#, r#""running" null"#];
    assert_eq!(statuses(&context), shown, "rigup is gone, and the hook is not");

    context.run(&["install", "y", "--binproviders", "good"]).succeeds();
    assert_eq!(context.live_processes(), []);
    assert_eq!(statuses(&context)[..2], [r#""exited" "lost""#; 2]);
    assert_eq!(context.processes()[1]["exit_code"], serde_json::Value::Null);
}

#[test]
fn reading_commands_show_a_dead_process_as_lost_and_write_nothing() {
    let context = TestContext::new();
    context.run(&["exec", "--", "false"]).exits_with(1);
    let child = context.start(&["exec", "--", "sleep", "603"]);
    let list = |args: &[&str]| context.run(&[&["process", "list"], args].concat()).succeeds();
    wait_until("the command runs, and is recorded", || {
        context.count_live("sleep") == 1 && list(&["--status", "running"]).records().len() == 1
    });
    let id = list(&["--status", "running"]).record()["id"].as_str().unwrap().to_owned();
    context.kill_all(child);
    let files = || {
        let files = walkdir::WalkDir::new(context.path("data/processes")).sort_by_file_name();
        files.into_iter().map(|entry| entry.unwrap().into_path()).collect::<Vec<_>>()
    };
    let before = files();

    let failed = list(&["--failed"]).records();
    assert_eq!((failed[0]["id"].as_str(), failed.len()), (Some(&*id), 2), "the newest first");
    assert_eq!(failed[0]["exit_reason"], "lost");
    for (args, count) in [
        (&["--status", "running"][..], 0),
        (&["--status", "exited"], 2),
        (&["--failed"], 2),
        (&["--failed", "-n", "1"], 1),
        (&[], 2),
    ] {
        assert_eq!(list(args).records().len(), count, "{args:?}");
        if !args.contains(&"-n") {
            assert_eq!(list(&[args, &["--count"]].concat()).stdout, format!("{count}\n"), "{args:?}");
        }
    }
    let shown = context.run(&["process", "show", &id]).succeeds().record();
    assert_eq!((&shown["exit_reason"], &shown["elapsed_seconds"]), (&"lost".into(), &().into()));
    assert_eq!(context.run(&["process", "tree", &id]).succeeds().record()["exit_reason"], "lost");
    let page = context.run(&["report", "--html", "-"]).succeeds().stdout;
    assert!(page.contains(">lost<"), "{page}");

    assert_eq!(files(), before);
    let running = "SELECT count(*) FROM process WHERE status = 'running'";
    assert_eq!(context.store().query_row(running, (), |row| row.get::<_, u32>(0)).unwrap(), 1);
}

#[test]
fn reads_an_exit_that_is_not_in_the_store_from_the_run_dir() {
    let context = TestContext::new();
    context.fixture("failing").fixture("good");
    context.run(&["install", "x", "--binproviders", "failing"]).exits_with(1);
    context
        .store()
        .execute(
            "UPDATE process SET status = 'running', ended_at = NULL, exit_code = NULL, exit_reason = NULL, \
             stdout_tail = NULL, stderr_tail = NULL, stdout_bytes = NULL, stderr_bytes = NULL, max_rss = NULL, \
             user_ms = NULL, sys_ms = NULL WHERE process_type = 'hook'",
            [],
        )
        .unwrap();
    context.run(&["install", "y", "--binproviders", "good"]).succeeds();
    let hook = &context.hook_processes()[0];
    assert_eq!((hook["exit_reason"].as_str(), hook["exit_code"].as_i64()), (Some("exited"), Some(3)));
    assert_eq!(hook["stderr_tail"], "the disk is on fire\n");
}

#[test]
fn terminates_the_process_group_of_a_hook_that_exited() {
    let context = TestContext::new();
    context.fixture("good").provider(
        "p",
        "#!/bin/sh\nsleep 600 &\necho waiting >&2\nuntil [ -e \"$DATA_DIR/go\" ]; do :; done\n",
    );
    let mut child = context.start(&["install", "x", "--binproviders", "p"]);
    wait_until("the hook's child runs", || context.count_live("sleep") > 0);
    child.kill().unwrap();
    child.wait().unwrap();
    fs::write(context.path("data/go"), "").unwrap();
    wait_until("the hook has exited", || context.live_processes().len() == 1);

    context.run(&["install", "y", "--binproviders", "good"]).succeeds();
    assert_eq!(context.live_processes(), []);
    let hook = &context.hook_processes()[0];
    assert_eq!((&hook["exit_reason"], &hook["stderr_tail"]), (&"lost".into(), &"waiting\n".into()));
}

#[test]
fn each_command_that_writes_completes_lost_processes() {
    let context = TestContext::new();
    context.fixture("good");
    context.run(&["install", "x", "y", "z", "--binproviders", "good"]).succeeds();
    context.write("empty.jsonl", "");
    let empty = context.path("empty.jsonl");
    let lost = || {
        let reason = "SELECT count(*) FROM process WHERE exit_reason = 'lost'";
        context.store().query_row(reason, (), |row| row.get::<_, u32>(0)).unwrap()
    };
    let set_running = "UPDATE process SET status = 'running', pid = 999999999, start_ticks = 1, boot_id = 'earlier', \
        started_at = created_at, ended_at = NULL, exit_code = NULL, exit_reason = NULL, stdout_tail = NULL, \
        stderr_tail = NULL, stdout_bytes = NULL, stderr_bytes = NULL, max_rss = NULL, user_ms = NULL, sys_ms = NULL \
        WHERE process_type = 'cli' AND id = (SELECT min(id) FROM process)";
    for (args, completes) in [
        (&["uninstall", "x"][..], true),
        (&["uninstall", "--orphaned", "--yes"], true),
        (&["uninstall", "--orphaned"], false),
        (&["binary", "delete", "--yes", "y"], true),
        (&["binary", "update", "z", "--status", "queued"], true),
        (&["machine", "set", "SH_BINARY=/bin/sh"], true),
        (&["apply", empty.to_str().unwrap()], true),
        (&["exec", "--", "true"], true),
        (&["process", "gc"], true),
        (&["binary", "list"], false),
        (&["process", "list"], false),
        (&["load", "nosuch", "--dry-run"], false),
    ] {
        assert_eq!(context.store().execute(set_running, ()).unwrap(), 1);
        context.run(args);
        assert_eq!(lost() == 1, completes, "{args:?}");
    }
}

#[test]
fn terminates_a_hook_whose_start_is_not_in_the_store() {
    let context = TestContext::new();
    context.fixture("hanging").fixture("good");
    let mut child = context.start(&["install", "x", "--binproviders", "hanging"]);
    wait_until("the hook and its children run", || context.count_live("sleep") >= 2);
    child.kill().unwrap();
    child.wait().unwrap();
    context
        .store()
        .execute(
            "UPDATE process SET status = 'queued', pid = NULL, start_ticks = NULL, boot_id = NULL, \
             started_at = NULL WHERE process_type = 'hook'",
            [],
        )
        .unwrap();
    context.run(&["install", "y", "--binproviders", "good"]).succeeds();
    assert_eq!(context.live_processes(), []);
}

/// Copies the data dir while a hook of the original runs, and returns the copy.
fn copied_data_dir(context: &TestContext) -> String {
    let copy = context.path("copy");
    let copied =
        std::process::Command::new("cp").arg("-a").args([context.path("data"), copy.clone()]).status();
    assert!(copied.unwrap().success());
    copy.into_os_string().into_string().unwrap()
}

/// Checks that a copy of a data dir, which is moved after the copy is made or not, leaves the live processes of the
/// original alone, and that the original still owns them.
fn check_copy(moved_to: Option<&str>) {
    let mut context = TestContext::new();
    context.fixture("hanging").fixture("good");
    let run = context.run(&["start", "--slug", "s", "--", "sleep", "601"]).succeeds().record();
    let run = run["id"].as_str().unwrap();
    let mut child = context.start(&["install", "x", "--binproviders", "hanging"]);
    let running = |context: &TestContext| {
        let processes = context.processes().into_iter().filter(|process| process["status"] == "running");
        processes.map(|process| process["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    wait_until("the hook runs, and is recorded", || {
        context.count_live("sleep") >= 3 && running(&context).len() == 3
    });
    let recorded = running(&context);
    let copy = copied_data_dir(&context);
    if let Some(name) = moved_to {
        fs::rename(context.path("data"), context.path(name)).unwrap();
        let data_dir = context.path(name);
        context.set("RIGUP_DATA_DIR", data_dir);
    }
    let in_copy = |args: &[&str]| context.run(&[&["--data-dir", &copy], args].concat());
    let check = |has_rigup: bool| {
        let live = context.live_processes();
        for args in [
            &["install", "y", "--binproviders", "good"][..],
            &["process", "gc"],
            &["start", "--slug", "s", "--max-live", "1", "--", "true"],
        ] {
            in_copy(args).succeeds();
            wait_until("the run of the copy has exited", || context.live_processes().len() <= live.len());
            assert_eq!(context.live_processes(), live, "{args:?}");
        }
        for id in &recorded {
            let process = in_copy(&["process", "show", id]).succeeds().record();
            if process["process_type"] == "cli" && !has_rigup {
                assert_eq!(process["exit_reason"], "lost");
                continue;
            }
            assert_eq!((&process["status"], &process["exit_reason"]), (&"running".into(), &().into()));
            for args in [&["kill"][..], &["kill", "-s", "USR1"], &["wait"]] {
                in_copy(&[&["process"], args, &[id]].concat())
                    .exits_with(1)
                    .stderr_contains("belongs to another data dir, of which this one is a copy");
            }
        }
        assert_eq!(context.live_processes(), live);
    };
    check(true);
    assert_eq!(running(&context), recorded);
    child.kill().unwrap();
    child.wait().unwrap();
    check(false);
    context.run(&["process", "gc"]).succeeds();
    assert_eq!(running(&context), [run], "the hook of the killed rigup is terminated");
    context.run(&["process", "kill", run]).succeeds();
    wait_until("all processes are gone", || context.live_processes().is_empty());
    assert_eq!(in_copy(&["process", "gc"]).succeeds().records().len(), 2);
    assert_eq!(in_copy(&["process", "show", run]).succeeds().record()["exit_reason"], "lost");
}

#[test]
fn a_copy_of_a_data_dir_ends_no_process_of_the_original() {
    check_copy(None);
}

#[test]
fn a_copy_of_a_data_dir_that_was_moved_ends_no_process_of_it() {
    check_copy(Some("elsewhere"));
}

#[test]
fn a_run_of_another_machine_without_a_waiter_does_not_count_as_live() {
    let context = TestContext::new();
    let start = ["start", "--slug", "s", "--max-live", "1", "--", "sleep", "602"];
    let id = context.run(&start).succeeds().record()["id"].clone();
    // As if a container had recorded the run, before containers that share a data dir were one machine.
    let store = context.store();
    let other = "INSERT INTO machine SELECT '00000000-0000-7000-8000-000000000001', 'other', guid_source, hostname, \
        hw_in_docker, hw_in_vm, hw_manufacturer, hw_product, hw_uuid, os_arch, os_family, os_platform, os_release, \
        os_kernel, stats, config, facts_at, created_at, modified_at, num_uses_failed, num_uses_succeeded FROM machine LIMIT 1";
    store.execute(other, []).unwrap();
    let moved = "UPDATE process SET machine_id = '00000000-0000-7000-8000-000000000001', iface_id = NULL";
    store.execute(moved, []).unwrap();
    context.run(&start).exits_with(1).stderr_contains("--max-live 1 is reached");
    for (pid, line) in context.live_processes() {
        assert!(line.contains("602") || line.contains(id.as_str().unwrap()), "{line}");
        crate::test_context::signal(pid, nix::sys::signal::Signal::SIGKILL);
    }
    wait_until("the run and its waiter are dead", || context.live_processes().is_empty());
    let second = context.run(&start).succeeds().record()["id"].clone();
    assert_ne!(second, id);
    context.run(&["process", "kill", second.as_str().unwrap()]).succeeds();
    wait_until("the waiter has exited", || context.live_processes().is_empty());
}

#[test]
fn unchanged_binaries_of_another_machine_stay_installed() {
    let context = TestContext::new();
    context.fixture("good");
    let install = ["install", "x", "y", "--binproviders", "good"];
    context.run(&install).succeeds();
    let as_machine = |digit: &str| fs::write(context.path("data/machine-id"), digit.repeat(32)).unwrap();
    let hooks = context.hook_processes().len();
    as_machine("1");
    let rows =
        || -> u32 { context.store().query_row("SELECT count(*) FROM binary", (), |row| row.get(0)).unwrap() };
    let request = r#"{"type":"BinaryRequest","name":"x","binproviders":"good"}"#;
    context.write("requests.jsonl", request);
    let requests = context.path("requests.jsonl");
    let dry = context.run(&["apply", "--dry-run", requests.to_str().unwrap()]).succeeds().record();
    assert_eq!((dry["status"].as_str(), rows()), (Some("installed"), 2), "a dry run stores nothing");
    context.run(&install).succeeds().stderr_contains("2 binaries are already installed");
    assert_eq!(context.hook_processes().len(), hooks);
    let shown = context.run(&["binary", "list"]).succeeds().records();
    assert_eq!(shown.len(), 2, "those of this machine");
    assert_eq!(context.run(&["binary", "show", "x"]).succeeds().record()["id"], shown[0]["id"]);

    as_machine("2");
    let lib_dir = context.bin("x").parent().unwrap().parent().unwrap().to_owned();
    fs::write(lib_dir.join("good/y"), "#!/bin/sh\necho 9\n").unwrap();
    let planned = context.run(&[&install[..], &["--dry-run"]].concat()).succeeds().records();
    let statuses: Vec<_> = planned.iter().map(|record| record["status"].as_str().unwrap()).collect();
    assert_eq!(statuses, ["installed", "queued"], "as the install that follows finds them");
    let output = context.run(&install).succeeds();
    assert!(output.stderr.contains("y: installed by good") && !output.stderr.contains("x: "), "{output:?}");
    context.run(&["uninstall", "x"]).succeeds();
    context.run(&["binary", "show", "x"]).exits_with(1);
}

#[test]
fn unusable_records_of_other_machines_fail_no_command() {
    let context = TestContext::new();
    context.fixture("good");
    let names = ["pipe", "huge", "row", "platform"];
    let install = |name: &str| context.run(&["install", name, "--binproviders", "good"]).succeeds();
    for name in names {
        install(name);
    }
    let file = |name: &str| context.bin("x").with_file_name(format!("../good/{name}"));
    fs::remove_file(file("pipe")).unwrap();
    nix::unistd::mkfifo(&file("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    // Its digest would take many minutes.
    fs::File::options().write(true).open(file("huge")).unwrap().set_len(1 << 40).unwrap();
    // The same file as recorded, but for another architecture.
    let mut foreign = fs::read("/bin/true").unwrap();
    foreign[18] ^= 1;
    fs::write(file("platform"), &foreign).unwrap();
    let digest = std::process::Command::new("sha256sum").arg(file("platform")).output().unwrap().stdout;
    let digest = String::from_utf8(digest).unwrap()[..64].to_owned();
    let recorded = "UPDATE binary SET sha256 = ?, fingerprint = ? WHERE name = 'platform'";
    let fingerprint = format!("1:{}:0", foreign.len());
    context.store().execute(recorded, [&digest, &fingerprint]).unwrap();
    let invalid = "UPDATE binary SET modified_at = 'molten' WHERE name = 'row'";
    assert_eq!(context.store().execute(invalid, ()).unwrap(), 1);
    for (digit, name) in ["1", "2", "3", "4"].into_iter().zip(names) {
        fs::write(context.path("data/machine-id"), digit.repeat(32)).unwrap();
        context.run(&["load", name, "--dry-run"]);
        install(name).stderr_contains(&format!("{name}: installed by good"));
        context.run(&["binary", "list"]).succeeds();
        context.run(&["process", "gc"]).succeeds();
    }
    let machines = context.run(&["machine", "list"]).succeeds().records();
    let id = machines[0]["id"].as_str().unwrap();
    context.store().execute("DELETE FROM binary WHERE modified_at = 'molten'", ()).unwrap();
    let listed = context.run(&["binary", "list", "--machine", id]).succeeds().records();
    assert!(!listed.is_empty() && listed.iter().all(|binary| binary["machine_id"] == id), "{listed:?}");
    context
        .run(&["binary", "list", "--machine", "f00"])
        .exits_with(1)
        .stderr_contains("no machine has the id f00");
}
