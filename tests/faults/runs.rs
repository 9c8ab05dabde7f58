//! Runs that replace files in their run dirs, and runs in a data dir that is moved.

use std::fs;
use std::os::fd::{AsFd, BorrowedFd};
use std::process::Child;

use nix::fcntl::{AT_FDCWD, OFlag, openat};
use nix::sys::stat::{Mode, mkdirat};
use serde_json::{Value, json};

use crate::in_parallel;
use crate::kernel::Namespaces;
use crate::test_context::{CommandOutput, TestContext, wait_until};

/// Runs rigup, and kills it if it does not exit in time.
fn run(context: &TestContext, args: &[&str]) -> CommandOutput {
    let mut child = OnDrop(Some(context.start(args)));
    wait_until(&format!("rigup {args:?} exits"), || child.0.as_mut().unwrap().try_wait().unwrap().is_some());
    CommandOutput::new(args, &child.0.take().unwrap().wait_with_output().unwrap())
}

/// A child that is killed if the test fails.
struct OnDrop(Option<Child>);

impl Drop for OnDrop {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Runs rigup with this limit of open files.
fn run_with_descriptors(context: &TestContext, limit: u32, args: &[&str]) -> CommandOutput {
    let limited = format!("ulimit -n {limit} && exec \"$@\"");
    let args = [&["-c", &limited, "sh", env!("CARGO_BIN_EXE_rigup")], args].concat();
    CommandOutput::new(&args, &context.command_for("sh".as_ref(), &args).output().unwrap()).succeeds()
}

/// Runs a script as a detached run to its end, and returns the path of its run dir.
fn finished_run(context: &TestContext, script: &str) -> String {
    let run = context.run(&["start", "--slug", "s", "--", "sh", "-euc", script]).succeeds().record();
    context.run(&["process", "wait", run["id"].as_str().unwrap()]).succeeds();
    wait_until("the waiter has exited", || context.live_processes().is_empty());
    run["run_dir"].as_str().unwrap().to_owned()
}

#[test]
fn row_46_gc_removes_nothing_through_a_mount_in_a_run_dir() {
    let Some(namespaces) = Namespaces::new(&["--mount"]) else { return };
    let context = TestContext::new();
    let kept = context.write("kept/file", "");
    let run_dir = finished_run(&context, "mkdir -p \"$RIGUP_RUN_DIR/a/b\"");
    let kept_folder = kept.parent().unwrap().display();
    namespaces.sh(&context, &format!("mount --bind {kept_folder} {run_dir}/a/b"));
    for _ in 0..2 {
        let output = namespaces.run(&context, &["process", "gc", "--ttl", "0"]).exits_with(1);
        let reason = output.record()["reason"].as_str().unwrap().to_owned();
        assert!(reason.starts_with("a file system is mounted at "), "{reason}");
        assert!(reason.ends_with("/a/b; unmount it first"), "{reason}");
    }
    assert!(kept.exists());
    namespaces.sh(&context, &format!("umount {}/processes/.gone-*/a/b", context.path("data").display()));
    namespaces.run(&context, &["process", "gc", "--ttl", "0"]).succeeds();
    assert!(kept.exists() && fs::read_dir(context.path("data/processes")).unwrap().next().is_none());
}

#[test]
fn row_46_a_run_dir_of_any_depth_is_removed_with_few_descriptors() {
    let context = TestContext::new();
    let run_dir = finished_run(&context, "true");
    let open = |above: BorrowedFd<'_>, name: &str| {
        openat(above, name, OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty()).unwrap()
    };
    let mut folder = open(AT_FDCWD, &run_dir);
    for _ in 0..500 {
        mkdirat(&folder, "d", Mode::S_IRWXU).unwrap();
        folder = open(folder.as_fd(), "d");
    }
    drop(folder);
    let removed = run_with_descriptors(&context, 40, &["process", "gc", "--ttl", "0"]).record();
    assert_eq!(removed["action"], "removed", "{removed}");
    assert!(fs::read_dir(context.path("data/processes")).unwrap().next().is_none());
}

#[test]
fn row_46_a_temporary_folder_of_any_depth_is_removed_with_few_descriptors() {
    let mut context = TestContext::new();
    let tmp = context.path("tmp");
    fs::create_dir(&tmp).unwrap();
    context.set("TMPDIR", &tmp);
    let nest =
        |folder| format!("#!/bin/sh\nmkdir -p \"${folder}/$(printf 'd/%.0s' $(seq 500))\"\necho deep 1.0\n");
    let program = context.script("deep", &nest("TMPDIR"));
    let record = json!({"type": "Binary", "name": "deep", "abspath": program});
    context.provider("p", &format!("#!/bin/sh\necho '{record}'\n"));
    run_with_descriptors(&context, 200, &["install", "deep", "--binproviders", "p"]);
    let hook = context.script("q/on_E__1_q.sh", &nest("LIB_DIR"));
    run_with_descriptors(&context, 200, &["hook", "test", hook.to_str().unwrap(), "--only", "starts"]);
    let left: Vec<_> = fs::read_dir(tmp).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn row_46_a_run_dir_that_became_a_file_or_a_pipe_is_removed() {
    let context = TestContext::new();
    for make in ["mkfifo", "touch", "ln -s /etc"] {
        // The waiter may write its first files meanwhile.
        let script = format!("until rm -r \"$RIGUP_RUN_DIR\"; do :; done; {make} \"$RIGUP_RUN_DIR\"");
        let run_dir = finished_run(&context, &script);
        let removed = context.run(&["process", "gc", "--ttl", "0"]).succeeds().record();
        assert_eq!((&removed["action"], &removed["path"]), (&json!("removed"), &json!(run_dir)), "{make}");
        assert!(fs::read_dir(context.path("data/processes")).unwrap().next().is_none(), "{make}");
    }
}

#[test]
fn row_46_no_file_in_a_run_dir_blocks_a_command() {
    let makers = ["mkfifo", "mkdir", "truncate -s 1T", "ln -s /dev/zero", "ln -s /nowhere"];
    in_parallel(makers, |make| {
        // Logs with 1 TB are those of a run that writes as much.
        let logs = if make.starts_with("truncate") { "" } else { "stdout.log stderr.log" };
        let script = format!(
            "cd \"$RIGUP_RUN_DIR\"; for file in exit.json messages.jsonl result.json stop lock process.pid {logs}; \
             do rm -f $file; {make} $file; done; touch ready; exec sleep 600"
        );
        let mut context = TestContext::new();
        let start = run(&context, &["start", "--slug", "s", "--", "sh", "-c", &script]).succeeds().record();
        let (id, run_dir) = (start["id"].as_str().unwrap(), start["run_dir"].as_str().unwrap());
        wait_until("the files are replaced", || fs::exists(format!("{run_dir}/ready")).unwrap());
        context.set("RIGUP_RUN_DIR", run_dir);
        run(&context, &["result", "1"]);
        run(&context, &["post", "x"]);
        assert_eq!(run(&context, &["process", "show", id]).succeeds().record()["status"], "running");
        run(&context, &["process", "logs", "-n", "1", id]);
        run(&context, &["process", "gc"]).succeeds();
        let killed = run(&context, &["process", "kill", id]).succeeds().record();
        // rigup does not remove the folder.
        let reason = if make == "mkdir" { "signalled" } else { "stopped" };
        assert_eq!((&killed["exit_reason"], &killed["exit_code"]), (&json!(reason), &json!(143)), "{make}");
        wait_until("the waiter has exited", || context.live_processes().is_empty());
        run(&context, &["process", "gc", "--ttl", "0"]).succeeds();
        assert!(!fs::exists(run_dir).unwrap(), "{make}");
    });
}

#[test]
fn row_46_a_damaged_run_dir_does_not_block_a_rebuild() {
    in_parallel(["mkfifo", "mkdir", "truncate -s 1T", "ln -s /dev/zero"], |make| {
        let context = TestContext::new();
        let script =
            format!("cd \"$RIGUP_RUN_DIR\"; rm -f process.json; {make} process.json; touch ready; sleep 600");
        let start = run(&context, &["start", "--slug", "s", "--", "sh", "-c", &script]).succeeds().record();
        let run_dir = start["run_dir"].as_str().unwrap();
        wait_until("the file is replaced", || fs::exists(format!("{run_dir}/ready")).unwrap());
        let killed = run(&context, &["process", "kill", start["id"].as_str().unwrap()]).succeeds().record();
        assert_eq!(killed["exit_reason"], "stopped");
        wait_until("the waiter has exited", || context.live_processes().is_empty());
        fs::remove_file(context.path("data/rigup.sqlite3")).unwrap();
        assert_eq!(run(&context, &["process", "list"]).succeeds().records(), [] as [Value; 0]);
    });
}

#[test]
fn row_46_a_run_that_removed_its_run_dir_can_be_killed() {
    let context = TestContext::new();
    let script = "cd /; until rm -r \"$RIGUP_RUN_DIR\"; do :; done; exec sleep 600";
    let start = run(&context, &["start", "--slug", "s", "--", "sh", "-c", script]).succeeds().record();
    wait_until("the run dir is removed", || context.count_live("sleep 600") == 1);
    let killed = run(&context, &["process", "kill", start["id"].as_str().unwrap()]).succeeds().record();
    assert_eq!((&killed["exit_code"], &killed["status"]), (&json!(143), &json!("exited")));
    wait_until("the waiter has exited", || context.live_processes().is_empty());
}

#[test]
fn row_46_a_machine_id_that_is_not_a_file_is_reported() {
    let context = TestContext::new();
    for make in ["mkfifo", "mkdir", "ln -s /dev/zero"] {
        let path = context.path("data/machine-id");
        fs::create_dir_all(context.path("data")).unwrap();
        let mut command = context.command_for("/bin/sh".as_ref(), &["-c", &format!("{make} \"$0\"")]);
        assert!(command.arg(&path).status().unwrap().success());
        let expected =
            format!("cannot read the machine id {}: it is not a regular file; remove it", path.display());
        run(&context, &["exec", "--", "true"]).exits_with(3).stderr_contains(&expected);
        fs::remove_file(&path).or_else(|_| fs::remove_dir(&path)).unwrap();
    }
}

#[test]
fn row_47_a_process_in_a_moved_data_dir_is_recorded_there() {
    let mut context = TestContext::new();
    let until_go = "echo up; until [ -e \"$GO\" ]; do sleep 0.05; done; echo bye; exit 7";
    context.set("GO", context.path("go"));
    let run = |context: &TestContext| {
        let start = context.run(&["start", "--slug", "s", "--", "sh", "-c", until_go]).succeeds().record();
        start["id"].as_str().unwrap().to_owned()
    };
    let [killed, exited] = [run(&context), run(&context)];
    let exec = context.start(&["exec", "--", "sh", "-c", "echo ready; exec sleep 600"]);
    wait_until("all commands run", || {
        context.count_live("sleep 600") == 1
            && context.processes().iter().all(|process| process["status"] == "running")
    });
    let command = context.processes()[2]["id"].as_str().unwrap().to_owned();
    fs::rename(context.path("data"), context.path("moved")).unwrap();
    context.set("RIGUP_DATA_DIR", context.path("moved"));
    context.run(&["process", "kill", &killed, &command]).succeeds();
    assert_eq!(exec.wait_with_output().unwrap().status.code(), Some(143));
    fs::write(context.path("go"), "").unwrap();
    context.run(&["process", "wait", &exited]).exits_with(7);
    wait_until("the waiters have exited", || context.live_processes().is_empty());
    for (id, reason, code, output) in [
        (&killed, "stopped", 143, "up\n"),
        (&exited, "exited", 7, "up\nbye\n"),
        (&command, "stopped", 143, ""),
    ] {
        let process = context.run(&["process", "show", id]).succeeds().record();
        let exit = [&process["exit_reason"], &process["exit_code"], &process["stdout_tail"]];
        assert_eq!(exit, [&json!(reason), &json!(code), &json!(output)]);
        let exit = fs::read_to_string(context.path(&format!("moved/processes/{id}/exit.json"))).unwrap();
        assert_eq!(serde_json::from_str::<Value>(&exit).unwrap()["exit_reason"], reason);
    }
    assert!(!context.path("data").exists());
}

#[test]
fn row_47_a_foreground_hook_in_a_moved_data_dir_is_recorded_there() {
    let mut context = TestContext::new();
    context.set("GO", context.path("go"));
    let hook = "#!/bin/sh\nuntil [ -e \"$GO\" ]; do sleep 0.05; done\necho bye\nexit 7\n";
    context.script("here/plugins/p/on_E__1_a.sh", hook);
    let event = context.start(&["run", "E"]);
    let is_running = |hooks: Vec<Value>| hooks.first().is_some_and(|hook| hook["status"] == "running");
    wait_until("the hook runs", || is_running(context.hook_processes()));
    fs::rename(context.path("data"), context.path("moved")).unwrap();
    context.set("RIGUP_DATA_DIR", context.path("moved"));
    fs::write(context.path("go"), "").unwrap();
    let output = CommandOutput::new(&["run"], &event.wait_with_output().unwrap()).exits_with(1);
    assert!(!output.stderr.contains("warning"), "{}", output.stderr);
    let hook = &context.hook_processes()[0];
    assert_eq!([&hook["exit_code"], &hook["stdout_tail"]], [&json!(7), &json!("bye\n")]);
    let run_dir = format!("moved/processes/{}", hook["id"].as_str().unwrap());
    let exit = fs::read_to_string(context.path(&format!("{run_dir}/exit.json"))).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&exit).unwrap()["exit_code"], 7);
    assert!(!context.path(&format!("{run_dir}/process.pid")).exists() && !context.path("data").exists());
    assert_eq!(context.live_processes(), []);
}
