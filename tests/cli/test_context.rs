//! The data dir, plugins, providers and environment of one test, and the commands that use them.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::sys::stat::Mode;
use nix::unistd::Pid;
use serde_json::Value;
use tempfile::TempDir;

/// The environment variable that identifies the processes of a test, even those whose parents have exited.
const MARK: &str = "RIGUP_TEST_CONTEXT";

/// The files and the environment of one test. Dropping it asserts that no process of the test is alive.
pub(crate) struct TestContext {
    root: TempDir,
    env: Vec<(OsString, OsString)>,
}

impl TestContext {
    /// Creates an empty context: no plugins, only the built-in providers, and Debian's default PATH.
    pub(crate) fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("here")).unwrap();
        let mut context = Self { root, env: Vec::new() };
        context.set("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
        context.set("HOME", context.path("home"));
        context.set("RIGUP_DATA_DIR", context.path("data"));
        context.set(MARK, context.root.path().to_owned());
        context
    }

    /// Sets an environment variable for all commands.
    pub(crate) fn set(&mut self, name: &str, value: impl Into<OsString>) -> &mut Self {
        self.env.retain(|(known, _)| known != name);
        self.env.push((name.into(), value.into()));
        self
    }

    /// Removes an environment variable.
    pub(crate) fn unset(&mut self, name: &str) -> &mut Self {
        self.env.retain(|(known, _)| known != name);
        self
    }

    /// Returns a path below the context's folder. Commands run in `here`.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// Returns a path below LIB_BIN_DIR.
    pub(crate) fn bin(&self, name: &str) -> PathBuf {
        self.path("data/lib").join(rigup::settings::platform()).join("bin").join(name)
    }

    /// Returns the file that the link of a binary leads to.
    pub(crate) fn linked_file(&self, name: &str) -> PathBuf {
        rigup::internal::link_target(&self.bin(name)).unwrap()
    }

    /// Makes the curl of hooks reach nothing, so that a test with fake package managers asks no real registry.
    pub(crate) fn without_registries(&self) {
        self.write("home/.curlrc", "proxy = http://127.0.0.1:1\n");
    }

    /// Writes a file, and creates its parent folders.
    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }

    /// Writes an executable file.
    pub(crate) fn script(&self, name: &str, content: &str) -> PathBuf {
        let path = self.write(name, content);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    /// Writes a plugin with these requirements.
    pub(crate) fn plugin(&self, name: &str, requirements: &[Value]) -> &Self {
        let lines: Vec<String> = requirements.iter().map(Value::to_string).collect();
        self.write(&format!("here/plugins/{name}/binaries.jsonl"), lines.join("\n"));
        self
    }

    /// Writes a provider with this hook.
    pub(crate) fn provider(&self, name: &str, hook: &str) -> &Self {
        self.script(&format!("here/providers/{name}/on_BinaryRequest__50_{name}.sh"), hook);
        self
    }

    /// Writes a provider whose hooks may run at once.
    pub(crate) fn concurrent_provider(&self, name: &str, hook: &str) -> &Self {
        let config = r#"{"type": "object", "properties": {}, "concurrent": true}"#;
        self.write(&format!("here/providers/{name}/config.json"), config);
        self.provider(name, hook)
    }

    /// Copies a provider from `fixtures/providers`. Its hooks may run at once.
    pub(crate) fn fixture(&self, name: &str) -> &Self {
        let hook = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join(format!("fixtures/providers/{name}/on_BinaryRequest__50_{name}.sh"));
        self.concurrent_provider(name, &fs::read_to_string(hook).unwrap())
    }

    /// Returns a command that runs rigup in `here`, with only the environment of the context.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        self.command_for(Path::new(env!("CARGO_BIN_EXE_rigup")), args)
    }

    /// Returns a command that runs another executable in the same way.
    pub(crate) fn command_for(&self, rigup: &Path, args: &[&str]) -> Command {
        let mut command = Command::new(rigup);
        command
            .args(args)
            .env_clear()
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .current_dir(self.path("here"))
            .stdin(Stdio::null());
        command
    }

    /// Runs rigup and waits until it exits.
    pub(crate) fn run(&self, args: &[&str]) -> CommandOutput {
        CommandOutput::new(args, &self.command(args).output().unwrap())
    }

    /// Runs `rigup hook begin` for a hook that holds this lock in LIB_DIR.
    pub(crate) fn begin(&mut self, lock: &str, args: &[&str]) -> CommandOutput {
        let lib_dir = self.run(&["hook", "prefix", "--provider", "p", "--", "--name=x"]).succeeds().stdout;
        self.set("RIGUP_LOCKED", lib_dir.trim_end().replace("/p/x", &format!("/{lock}")));
        let begin = ["hook", "lock", lock, "--", env!("CARGO_BIN_EXE_rigup"), "hook", "begin", "--provider"];
        self.run(&[&begin[..], args].concat())
    }

    /// Starts rigup without waiting for it.
    pub(crate) fn start(&self, args: &[&str]) -> Child {
        self.command(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// Runs this number of rigups at the same time, and asserts that all succeed.
    pub(crate) fn run_concurrently(&self, count: usize, args: &[&str]) {
        let children: Vec<Child> = (0..count).map(|_| self.start(args)).collect();
        for child in children {
            CommandOutput::new(args, &child.wait_with_output().unwrap()).succeeds();
        }
    }

    /// Creates the named pipe `gate` in the data dir. A hook that reads from it waits until the test writes a line.
    pub(crate) fn gate(&self) -> PathBuf {
        fs::create_dir_all(self.path("data")).unwrap();
        let gate = self.path("data/gate");
        nix::unistd::mkfifo(&gate, Mode::S_IRWXU).unwrap();
        gate
    }

    /// Opens the store, to read and write it without rigup.
    pub(crate) fn store(&self) -> rusqlite::Connection {
        rusqlite::Connection::open(self.path("data/rigup.sqlite3")).unwrap()
    }

    /// Returns all process records, oldest first.
    pub(crate) fn processes(&self) -> Vec<Value> {
        let mut processes = self.run(&["process", "list", "-n", "0"]).succeeds().records();
        processes
            .sort_by_key(|process| ["created_at", "id"].map(|key| process[key].as_str().unwrap().to_owned()));
        processes
    }

    /// Returns the process records of hooks, oldest first.
    pub(crate) fn hook_processes(&self) -> Vec<Value> {
        self.processes().into_iter().filter(|process| process["process_type"] == "hook").collect()
    }

    /// Returns the pid and the command line of each live process that the test started.
    pub(crate) fn live_processes(&self) -> Vec<(u32, String)> {
        let mark = format!("{MARK}={}", self.root.path().display());
        let processes = fs::read_dir("/proc").unwrap().filter_map(|entry| {
            let pid: u32 = entry.ok()?.file_name().to_str()?.parse().ok()?;
            let environ = fs::read(format!("/proc/{pid}/environ")).ok()?;
            let is_ours = environ.split(|&byte| byte == 0).any(|variable| variable == mark.as_bytes());
            let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            is_ours.then(|| (pid, String::from_utf8_lossy(&command).replace('\0', " ")))
        });
        processes.collect()
    }

    /// Returns the number of live processes whose command line starts with `command`.
    pub(crate) fn count_live(&self, command: &str) -> usize {
        self.live_processes().iter().filter(|(_, line)| line.starts_with(command)).count()
    }

    /// Kills rigup, and then each process that it started.
    pub(crate) fn kill_all(&self, mut rigup: Child) {
        rigup.kill().unwrap();
        rigup.wait().unwrap();
        self.kill_live(|_| true);
    }

    /// Kills each live process with such a command line until none is left: one that is being executed, or that was started
    /// at this moment, is not among those that live.
    pub(crate) fn kill_live(&self, is_victim: impl Fn(&str) -> bool) {
        wait_until("all processes are dead", || {
            let mut victims = self.live_processes();
            victims.retain(|(_, line)| is_victim(line));
            for (pid, _) in &victims {
                let _ = kill(pid_of(*pid), Signal::SIGKILL);
            }
            victims.is_empty()
        });
    }
}

impl Drop for TestContext {
    fn drop(&mut self) {
        let live_processes = self.live_processes();
        for (pid, _) in &live_processes {
            let _ = kill(pid_of(*pid), Signal::SIGKILL);
        }
        assert!(
            live_processes.is_empty() || std::thread::panicking(),
            "processes survived the test: {live_processes:?}"
        );
    }
}

/// The exit code and the output of a command.
#[derive(Debug)]
pub(crate) struct CommandOutput {
    args: Vec<String>,
    status: ExitStatus,
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl CommandOutput {
    pub(crate) fn new(args: &[&str], output: &Output) -> Self {
        Self {
            args: args.iter().map(|arg| (*arg).to_owned()).collect(),
            status: output.status,
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Asserts that the exit code is 0.
    #[track_caller]
    pub(crate) fn succeeds(self) -> Self {
        self.exits_with(0)
    }

    /// Asserts the exit code.
    #[track_caller]
    pub(crate) fn exits_with(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "rigup {:?}\n{}\n{}", self.args, self.stdout, self.stderr);
        self
    }

    /// Asserts that rigup was killed by this signal, which a shell shows as 128+N.
    #[track_caller]
    pub(crate) fn dies_of(self, signal: Signal) -> Self {
        let Self { args, status, stdout, stderr, .. } = &self;
        assert!(died_of(*status, signal), "rigup {args:?}: {status}\n{stdout}\n{stderr}");
        self
    }

    /// Asserts that standard error contains a text.
    #[track_caller]
    pub(crate) fn stderr_contains(self, text: &str) -> Self {
        assert!(self.stderr.contains(text), "`{text}` is not in\n{}", self.stderr);
        self
    }

    /// Returns the printed records, one JSON object per line.
    #[track_caller]
    pub(crate) fn records(&self) -> Vec<Value> {
        self.stdout
            .lines()
            .map(|line| serde_json::from_str(line).expect("each line is a JSON object"))
            .collect()
    }

    /// Returns the printed record, and asserts that it is the only one.
    #[track_caller]
    pub(crate) fn record(&self) -> Value {
        let records = self.records();
        assert_eq!(records.len(), 1, "{records:?}");
        records.into_iter().next().unwrap()
    }
}

/// Sends a signal to a process.
#[track_caller]
pub(crate) fn signal(pid: u32, signal: Signal) {
    kill(pid_of(pid), signal).unwrap();
}

/// Whether a process was killed by this signal.
pub(crate) fn died_of(status: ExitStatus, signal: Signal) -> bool {
    status.signal() == Some(signal as i32)
}

fn pid_of(pid: u32) -> Pid {
    Pid::from_raw(i32::try_from(pid).unwrap())
}

/// Waits until a condition is true, for at most 30 seconds.
#[track_caller]
pub(crate) fn wait_until(condition: &str, mut is_true: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !is_true() {
        assert!(Instant::now() < deadline, "timed out: {condition}");
        nix::poll::poll(&mut [], 10_u8).unwrap();
    }
}
