//! The user, the priority and the limits of daemons, as their processes see them.

use std::fs;

use serde_json::Value;

use crate::kernel;
use crate::test_context::{TestContext, wait_until};

/// A command that writes what the system says about its process, and then runs.
const REPORT: &str = r#"
    shell = true
    command = '''
        {
            # A shell blocks signals while it starts a program, so none reads this.
            while read -r line; do echo "$line"; done </proc/$$/status
            cat /proc/$$/limits
            echo "nice $(nice)"
            echo "variables $HOME $USER $LOGNAME $RIGUP_REPLICA"
        } >&2
        echo reopened >>/dev/stdout
        echo written
        exec sleep 600'''
    ready = { log = "^written$" }
"#;

/// Returns the fields of the line of a text that starts with this word.
fn fields(text: &str, start: &str) -> Vec<String> {
    let line = text.lines().find_map(|line| line.strip_prefix(start)).expect("there is such a line");
    line.split_whitespace().map(str::to_owned).collect()
}

/// Starts the daemon `a` and returns what it wrote to its standard error.
fn report(context: &TestContext) -> String {
    context.run(&["up", "--wait"]).succeeds();
    context.run(&["process", "logs", "--stream", "stderr", &process_id(context)]).succeeds().stdout
}

fn process_id(context: &TestContext) -> String {
    context.daemon("a")["process_id"].as_str().unwrap().to_owned()
}

#[test]
fn a_daemon_has_the_limits_and_the_priority_of_its_declaration() {
    let context = TestContext::with_manifest(&format!(
        "[daemons.a]{REPORT}nice = 7\ncpu_affinity = [0]\numask = '027'\n\
         rlimits = {{ nofile = 321, core = {{ soft = 0, hard = '1MiB' }}, stack = 'unlimited' }}\n"
    ));
    let text = report(&context);
    assert_eq!(fields(&text, "nice"), ["7"]);
    assert_eq!(fields(&text, "Cpus_allowed_list:"), ["0"]);
    assert_eq!(fields(&text, "Umask:"), ["0027"]);
    assert_eq!(fields(&text, "Max open files"), ["321", "321", "files"]);
    assert_eq!(fields(&text, "Max core file size"), ["0", "1048576", "bytes"]);
    assert_eq!(fields(&text, "Max stack size"), ["unlimited", "unlimited", "bytes"]);
    let ignored = u64::from_str_radix(&fields(&text, "SigIgn:")[0], 16).unwrap();
    // Above 31, there are signals of the C library.
    assert_eq!(ignored & 0x7fff_ffff, 0, "no signal is ignored");
    // The program keeps the pid that was recorded, and its record has the command of the user.
    let process = context.run(&["process", "show", &process_id(&context)]).succeeds().record();
    assert_eq!(process["cmd"][0], "sh");
    assert_eq!(fields(&text, "Pid:"), [process["pid"].to_string()]);
    context.down();
}

#[test]
fn a_daemon_runs_as_its_user_whose_output_is_kept() {
    if !kernel::is_root() {
        return;
    }
    let context =
        TestContext::with_manifest(&format!("[daemons.a]{REPORT}user = 'nobody'\nworking_dir = '/'\n"));
    let text = report(&context);
    let nobody = nix::unistd::User::from_name("nobody").unwrap().unwrap();
    let (uid, gid) = (nobody.uid.to_string(), nobody.gid.to_string());
    assert_eq!(fields(&text, "Uid:"), vec![uid; 4]);
    assert_eq!(fields(&text, "Gid:"), vec![gid.clone(); 4]);
    assert_eq!(fields(&text, "Groups:"), [gid]);
    let home = nobody.dir.to_str().unwrap();
    assert_eq!(fields(&text, "variables"), [home, "nobody", "nobody", "0"]);
    let logs = context.run(&["process", "logs", "--stream", "stdout", &process_id(&context)]).succeeds();
    assert_eq!(logs.stdout, "reopened\nwritten\n");
    context.down();
}

#[test]
fn checks_and_stop_commands_run_as_the_user_of_the_daemon() {
    if !kernel::is_root() {
        return;
    }
    let context = TestContext::with_manifest(
        "[daemons.a]\ncommand = 'sleep 600'\nuser = 'nobody'\nworking_dir = '/'\n\
         ready = { exec = ['sh', '-c', 'test $(id -un) = nobody'] }\n\
         stop_command = ['sh', '-c', 'test $(id -un) = nobody && kill $(pgrep -f \"^sleep 600\" -u nobody)']\n",
    );
    context.run(&["up", "--wait"]).succeeds();
    context.run(&["stop", "a"]).succeeds();
    let stopped = context.daemon("a");
    assert_eq!((&stopped["exit_code"], &stopped["exit_reason"]), (&143.into(), &"stopped".into()));
    context.down();
}

#[test]
fn a_fifo_of_readiness_belongs_to_the_user_of_the_daemon() {
    if !kernel::is_root() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let fifo = folder.path().join("fifo").display().to_string();
    let context = TestContext::with_manifest(&format!(
        "[daemons.a]\nshell = true\ncommand = 'echo ready >{fifo}; exec sleep 600'\nuser = 'nobody'\n\
         working_dir = '/'\nready = {{ fifo = '{fifo}' }}\n"
    ));
    context.run(&["up", "--wait"]).succeeds();
    context.down();
}

#[test]
fn a_daemon_that_cannot_have_its_limits_is_not_started() {
    let context = TestContext::with_manifest(
        "[daemons.program]\ncommand = 'no-such-program'\nnice = 1\nrestart = 'no'\n\
         [daemons.limit]\ncommand = 'sleep 600'\nrestart = 'no'\n\
         rlimits = { nofile = 99999999999999 }\n",
    );
    context.run(&["up"]).exits_with(1);
    for (name, expected) in [
        ("program", "cannot start no-such-program: it is not on PATH; run `rigup install no-such-program`"),
        ("limit", "cannot start sleep: cannot change its hard limit nofile from "),
    ] {
        let daemon = context.daemon(name);
        assert_eq!((&daemon["status"], &daemon["exit_reason"]), (&"failed".into(), &"spawn_failed".into()));
        let error = daemon["last_error"].as_str().unwrap();
        assert!(error.contains(expected), "{error}");
    }
    context.down();
}

#[test]
fn a_user_that_may_not_enter_the_folder_is_the_last_error() {
    if !kernel::is_root() {
        return;
    }
    let context = TestContext::with_manifest(
        "[daemons.a]\ncommand = 'sleep 600'\nrestart = 'no'\nuser = 'nobody'\nworking_dir = 'private'\n",
    );
    let private = context.path("here/private");
    fs::create_dir(&private).unwrap();
    fs::set_permissions(&private, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    context.run(&["up"]).exits_with(1);
    let error = context.daemon("a")["last_error"].as_str().unwrap().to_owned();
    let expected = format!("the user nobody may not enter its folder {}", private.display());
    assert!(error.contains(&expected), "{error}");
    context.down();
}

#[test]
fn a_daemon_over_its_memory_limit_is_killed_and_restarted() {
    let context = TestContext::with_manifest(
        "[daemons.a]\ncommand = ['python3', '-c', 'import time; x = bytearray(200 << 20); time.sleep(600)']\n\
         memory_max = '100MiB'\nrestart_delay = '10ms'\nsuccess_exit_codes = [0, 137]\n\
         [daemons.b]\ncommand = 'sleep 600'\nmemory_max = '100MiB'\n",
    );
    context.run(&["up", "-d"]).succeeds();
    wait_until("it was restarted", || context.executions("a").len() >= 2);
    let first = &context.executions("a")[0];
    assert_eq!((&first["exit_reason"], &first["exit_code"]), (&"memory".into(), &137.into()));
    assert_eq!(context.executions("b").len(), 1, "one within its limit keeps running");
    let daemon = context.daemon("b");
    assert_eq!((&daemon["memory_max"], &daemon["memory_limit"]), (&104_857_600.into(), &"polled".into()));
    let table = context.run(&["ps", "--format", "table"]).succeeds().stdout;
    assert!(table.contains("100 MiB (polled)"), "{table}");
    context.run(&["stop", "a"]).succeeds();
    assert!(context.daemon("a")["last_error"].as_str().unwrap().contains("over its memory limit"));
    context.down();
}

#[test]
fn a_change_of_limits_restarts_only_that_daemon() {
    let manifest = |nofile: u32| {
        format!(
            "[daemons.a]\ncommand = 'sleep 600'\nrlimits = {{ nofile = {nofile} }}\n\
             [daemons.b]\ncommand = 'sleep 600'\nnice = 1\nstop_command = 'true {nofile}'\n"
        )
    };
    let context = TestContext::with_manifest(&manifest(100));
    context.run(&["up", "--wait"]).succeeds();
    let before: Vec<Value> = ["a", "b"].map(|name| context.daemon(name)["pid"].clone()).into();
    context.write("here/rigup.toml", manifest(200));
    context.run(&["up", "--wait"]).succeeds();
    wait_until("it was restarted", || {
        context.daemon("a")["pid"].is_u64() && context.daemon("a")["pid"] != before[0]
    });
    assert_eq!(context.daemon("b")["pid"], before[1]);
    context.run(&["down", "-t", "0"]).succeeds();
    context.down();
}
