//! The logs of daemons: rotation, several executions, and several daemons at once.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::leftovers::assert_nothing_is_left;
use crate::test_context::{TestContext, wait_until};

impl TestContext {
    /// Returns the run dir of the current or last execution of a daemon.
    fn run_dir(&self, name: &str) -> PathBuf {
        let id = self.daemon(name)["process_id"].as_str().unwrap().to_owned();
        self.path("data").join("processes").join(id)
    }
}

/// How long rigup may take at most for what must not wait for the rotation of a backlog.
const PROMPTLY: Duration = Duration::from_secs(10);

/// Returns the space that the files in a folder take on the disk, in bytes.
fn disk_usage(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).unwrap();
    // A file may be renamed or removed meanwhile.
    entries.filter_map(|entry| entry.unwrap().metadata().ok()).map(|metadata| metadata.blocks() * 512).sum()
}

/// Returns the number of bytes that the rotation of a log has moved out of it or dropped.
fn rotated_bytes(run_dir: &Path) -> u64 {
    let state = fs::read(run_dir.join("stdout.rotation")).unwrap_or_default();
    let state: serde_json::Value = serde_json::from_slice(&state).unwrap_or_default();
    state["start"].as_u64().unwrap_or_default()
}

/// A command that writes the lines 0 to 4,999, then those to 9,999 once the file `go` exists.
const COUNTER: &str = "i=0; while [ $i -lt 10000 ]; do echo \"line $i\"; i=$((i+1)); \
     if [ $i = 5000 ]; then until [ -e go ]; do sleep 0.01; done; fi; done; echo end; exec sleep 600";

fn counted(lines: std::ops::Range<u32>) -> String {
    lines.map(|number| format!("line {number}")).chain([String::new()]).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_log_is_rotated_also_without_a_supervisor_and_read_as_one() {
    let context = TestContext::with_manifest(&format!(
        "[daemons.a]\nshell = true\ncommand = '''{COUNTER}'''\nready.log = 'line 4999'\n\
         log_max_size = '16KiB'\nlog_max_files = 20\n"
    ));
    context.run(&["up", "-d", "--wait"]).succeeds();
    let run_dir = context.run_dir("a");
    wait_until("the log is rotated", || run_dir.join("stdout.3.log").exists());
    context.kill_supervisor();
    context.write("here/go", "");
    wait_until("the log is rotated again", || run_dir.join("stdout.7.log").exists());
    let id = run_dir.file_name().unwrap().to_str().unwrap();
    let text = || context.run(&["process", "logs", id]).stdout;
    wait_until("everything is written", || text().ends_with("end\n"));
    assert_eq!(text(), counted(0..10_000) + "end\n");
    assert_eq!(context.run(&["process", "logs", "-n", "5001", id]).stdout, counted(5000..10_000) + "end\n");
    assert!(fs::metadata(run_dir.join("stdout.log")).unwrap().len() <= 16 << 10);
    context.down();
    let record = context.run(&["process", "show", "--json", id]).succeeds();
    assert_eq!(record.record()["stdout_bytes"], text().len());
}

#[test]
fn a_stop_does_not_wait_for_the_rotation_of_a_backlog() {
    let context = TestContext::with_manifest(
        "[daemons.a]\nshell = true\ncommand = 'yes | head -c 200000000; touch written; exec sleep 600'\n\
         log_max_size = '8KiB'\nlog_max_files = 3\nstop_grace_period = 2\n",
    );
    context.run(&["up", "-d"]).succeeds();
    wait_until("the backlog is written", || context.path("here/written").exists());
    let start = Instant::now();
    context.run(&["stop", "a"]).succeeds();
    assert!(start.elapsed() < PROMPTLY, "it took {:?}", start.elapsed());
    context.down();
}

#[test]
fn the_exit_of_a_daemon_with_a_backlog_is_recorded_at_once() {
    let context = TestContext::with_manifest(
        "[daemons.a]\nshell = true\ncommand = 'yes | head -c 200000000; touch written; exit 3'\nrestart = 'no'\n\
         log_max_size = '8KiB'\nlog_max_files = 3\n",
    );
    context.run(&["up", "-d"]).succeeds();
    wait_until("the backlog is written", || context.path("here/written").exists());
    let start = Instant::now();
    context.await_status("a", "failed");
    assert!(start.elapsed() < PROMPTLY, "it took {:?}", start.elapsed());
    let (run_dir, record) = (context.run_dir("a"), &context.executions("a")[0]);
    let kept = record["stdout_bytes"].as_u64().unwrap();
    assert!(kept <= 3 * (8 << 10) && record["exit_code"] == 3, "{kept} bytes are kept");
    assert!(disk_usage(&run_dir) < 1 << 20);
    assert_eq!(context.run(&["logs", "a"]).stdout.len() as u64, kept);
    context.down();
}

#[test]
fn a_log_that_is_written_at_memory_speed_stays_bounded() {
    let context = TestContext::with_manifest(
        "[daemons.a]\ncommand = 'yes'\nlog_max_size = '1MiB'\nlog_max_files = 5\n",
    );
    context.run(&["up", "-d"]).succeeds();
    wait_until("it was started", || context.daemon("a")["process_id"].is_string());
    let run_dir = context.run_dir("a");
    wait_until("2 GB are rotated", || {
        assert!(disk_usage(&run_dir) < 500_000_000, "{} bytes", disk_usage(&run_dir));
        rotated_bytes(&run_dir) > 2_000_000_000
    });
    context.run(&["stop", "a"]).succeeds();
    assert!(disk_usage(&run_dir) < 6 << 20);
    context.down();
}

#[test]
fn a_log_stays_bounded_while_what_its_daemon_left_behind_is_terminated() {
    let context = TestContext::with_manifest(
        "[daemons.a]\nshell = true\ncommand = 'trap \"\" TERM; yes & exit 1'\nrestart = 'no'\n\
         log_max_size = '1MiB'\nstop_grace_period = '100ms'\n",
    );
    context.run(&["up", "-d"]).succeeds();
    wait_until("it was started", || context.daemon("a")["process_id"].is_string());
    let run_dir = context.run_dir("a");
    wait_until("1 GB is rotated", || {
        assert!(disk_usage(&run_dir) < 500_000_000, "{} bytes", disk_usage(&run_dir));
        rotated_bytes(&run_dir) > 1_000_000_000
    });
    context.down();
}

#[test]
fn promise_16_no_line_is_lost_and_logs_f_follows_restarts_until_down() {
    // Each execution continues to count where the one before it was stopped, and rotates its log several times.
    let context = TestContext::with_manifest(
        "[daemons.a]\nshell = true\nrestart = 'always'\nrestart_delay = '10ms'\nlog_max_size = '8KiB'\nlog_max_files = 50\n\
         command = '''i=$(cat at 2>/dev/null || echo 0); end=$((i+3000)); while [ $i -lt $end ]; do echo \"line $i\"; \
         i=$((i+1)); done; echo $i > at; [ $i -lt 12000 ] || exec sleep 600'''\n",
    );
    context.run(&["up", "-d"]).succeeds();
    let file = fs::File::create(context.path("followed")).unwrap();
    let mut following = context.command(&["logs", "-f", "a"]).stdout(file).spawn().unwrap();
    wait_until("everything is counted", || {
        fs::read_to_string(context.path("here/at")).is_ok_and(|at| at == "12000\n")
    });
    let whole = counted(0..12_000);
    wait_until("everything is in the logs", || context.run(&["logs", "a"]).stdout.len() >= whole.len());
    assert_eq!(context.run(&["logs", "a"]).stdout, whole);
    let executions = context.executions("a");
    let rotations = executions.iter().map(|process| {
        let run_dir = context.path("data").join("processes").join(process["id"].as_str().unwrap());
        (1..50).take_while(|number| run_dir.join(format!("stdout.{number}.log")).exists()).count()
    });
    assert_eq!(executions.len(), 4);
    assert!(rotations.sum::<usize>() >= 10);
    context.down();
    assert!(following.wait().unwrap().success());
    assert_eq!(fs::read_to_string(context.path("followed")).unwrap(), whole);
}

#[test]
fn logs_of_several_daemons_have_padded_names_in_front() {
    let context = TestContext::with_manifest(
        "[daemons.web]\nshell = true\ncommand = 'echo up; echo oops >&2; printf end; exit 3'\nrestart = 'no'\n\
         [daemons.worker]\nshell = true\ncommand = 'echo one; exec sleep 600'\nready.stdout_line = true\n\
         depends_on.web.condition = 'service_completed_successfully'\n[daemons.silent]\ncommand = 'sleep 600'\n",
    );
    context.run(&["logs"]).succeeds().stderr_contains("no daemon was started");
    context.write(
        "here/rigup.toml",
        fs::read_to_string(context.path("here/rigup.toml")).unwrap().replace("exit 3", "exit 0"),
    );
    context.run(&["up", "-d", "--wait"]).succeeds();
    let all = "web    | up\nweb    | end\nweb    | oops\nworker | one\n";
    assert_eq!(context.run(&["logs"]).succeeds().stdout, all);
    assert_eq!(context.run(&["logs", "worker", "web"]).succeeds().stdout, all);
    assert_eq!(context.run(&["logs", "web"]).succeeds().stdout, "up\nend\noops\n");
    assert_eq!(context.run(&["logs", "--stream", "stderr"]).succeeds().stdout, "web    | oops\n");
    context.run(&["logs", "silent"]).succeeds().stderr_contains("silent wrote nothing");
    context.run(&["logs", "web", "none"]).exits_with(1).stderr_contains("no daemon or binary has that name");
    context.down();
    assert_eq!(context.run(&["logs", "-f", "worker"]).succeeds().stdout, "one\n");
}

#[test]
fn the_last_lines_of_a_daemon_may_be_of_several_executions() {
    let context = TestContext::with_manifest(
        "[daemons.a]\nshell = true\ncommand = 'echo \"1 $$\"; echo \"2 $$\"; echo \"3 $$\"'\nrestart = 'no'\n",
    );
    for _ in 0..3 {
        context.run(&["up", "a"]).succeeds();
    }
    let all = context.run(&["logs", "a"]).succeeds().stdout;
    let lines: Vec<&str> = all.lines().collect();
    assert_eq!(lines.len(), 9);
    for count in [0, 1, 3, 4, 8, 9, 20] {
        let last = context.run(&["logs", "--tail", &count.to_string(), "a"]).succeeds().stdout;
        assert_eq!(context.run(&["logs", "-n", &count.to_string(), "a"]).succeeds().stdout, last);
        assert_eq!(last.lines().collect::<Vec<_>>(), lines[9_usize.saturating_sub(count)..], "{count} lines");
    }
    assert_nothing_is_left(&context);
}

#[test]
fn logs_f_without_a_supervisor_ends_with_the_daemon() {
    let context = TestContext::with_manifest(
        "[daemons.a]\nshell = true\ncommand = 'echo start; until [ -e go ]; do sleep 0.01; done; echo end'\nready.stdout_line = true\n",
    );
    context.run(&["up", "-d", "--wait"]).succeeds();
    context.kill_supervisor();
    let following = context.command(&["logs", "-f", "a"]).stdout(Stdio::piped()).spawn().unwrap();
    context.write("here/go", "");
    let followed = following.wait_with_output().unwrap();
    assert_eq!(String::from_utf8(followed.stdout).unwrap(), "start\nend\n");
    context.down();
}

#[test]
fn at_most_twenty_executions_of_a_daemon_are_kept() {
    let context = TestContext::with_manifest(
        "[daemons.loops]\ncommand = 'false'\nrestart = 'always'\nrestart_delay = '1ms'\nrestart_delay_max = '1ms'\n\
         [daemons.other]\ncommand = 'true'\n",
    );
    context.run(&["up", "-d"]).succeeds();
    wait_until("it was restarted often", || context.daemon("loops")["restarts"].as_u64() > Some(40));
    context.run(&["stop", "loops"]).succeeds();
    wait_until("the old executions are removed", || context.executions("loops").len() <= 20);
    context.run(&["start", "loops"]).succeeds();
    context.run(&["stop", "loops"]).succeeds();
    wait_until("the old executions are removed", || context.executions("loops").len() <= 20);
    assert_eq!((context.executions("loops").len(), context.executions("other").len()), (20, 1));
    let entries = fs::read_dir(context.path("data/processes")).unwrap();
    assert_eq!(entries.filter(|entry| entry.as_ref().unwrap().path().is_dir()).count(), 21);
    context.down();
}

#[test]
fn logs_says_that_a_declared_daemon_has_not_been_started() {
    let context = TestContext::with_manifest(
        "[daemons.a]\ncommand = 'sleep 600'\n[daemons.b]\ncommand = 'true'\nautostart = false\n\
         [daemons.c]\ncommand = 'true'\nworking_dir = 'none'\nrestart = 'no'\n",
    );
    for has_data_dir in [false, true] {
        assert_eq!(context.path("data/rigup.sqlite3").exists(), has_data_dir);
        let logs = context.run(&["logs", "a"]).exits_with(1).stderr;
        assert_eq!(logs, "error: a has not been started; start it with `rigup up a`\n");
        context.run(&["logs", "none"]).exits_with(1).stderr_contains("no daemon or binary has that name");
        if !has_data_dir {
            context.run(&["exec", "--", "true"]).succeeds();
            // Its id ends with a name.
            let id = "01a1fc54-0000-7000-8000-00000000000a";
            context
                .store()
                .execute("UPDATE process SET id = ?1 WHERE id = (SELECT max(id) FROM process)", [id])
                .unwrap();
        }
    }
    context.run(&["up", "-d"]).succeeds();
    context.await_status("c", "failed");
    let stderr = |name: &str| context.run(&["logs", name]).succeeds().stderr;
    assert_eq!(stderr("b"), "b has not been started\n");
    assert!(stderr("c").starts_with("c was not started: its working_dir "), "{}", stderr("c"));
    context.down();
}

#[test]
fn logs_warns_about_a_daemon_that_has_truncated_its_log() {
    let context = TestContext::with_manifest(
        "[daemons.a]\nshell = true\nrestart = 'no'\ncommand = '''echo lost; echo lost too; \
         until [ -e go ]; do sleep 0.01; done; echo new >/dev/stdout'''\nready.stdout_line = true\n\
         [daemons.b]\ncommand = 'true'\n",
    );
    context.run(&["up", "-d", "--wait"]).succeeds();
    context.write("here/go", "");
    context.await_status("a", "exited");
    let warning = "warning: a: it truncated its stdout, so output may be lost; write to `>&1` or `>>/dev/stdout` instead of \
                   `>/dev/stdout`\n";
    for args in [&["logs", "a"][..], &["logs"]] {
        assert_eq!(context.run(args).succeeds().stderr, warning);
    }
    assert_eq!(context.run(&["logs", "b"]).succeeds().stderr, "b wrote nothing\n");
    context.down();
}
