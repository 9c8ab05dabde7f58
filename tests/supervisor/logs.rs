//! The logs of daemons: rotation, several executions, and several daemons at once.

use std::fs;
use std::path::PathBuf;

use crate::test_context::{TestContext, wait_until};

impl TestContext {
    /// Returns the run dir of the current or last execution of a daemon.
    fn run_dir(&self, name: &str) -> PathBuf {
        let id = self.daemon(name)["process_id"].as_str().unwrap().to_owned();
        self.path("data").join("processes").join(id)
    }
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
