//! Fourteen workers run mixed commands while their processes are killed at random: for a minute, or for the number of
//! seconds in `RIGUP_SOAK_SECONDS`.

use std::collections::BTreeMap;
use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::os::unix::process::ExitStatusExt;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::test_context::{CommandOutput, TestContext, wait_until};
use crate::{context, count};

const WORKERS: usize = 14;
const NAMES: usize = 6;

/// The pauses between two kills, in milliseconds.
const PAUSES: u64 = 150;

/// The command line of a daemon hook, which never exits by itself.
const DAEMON: &str = "sleep 600";

/// The age of a daemon at which it is an orphan: an event on a busy machine takes a few seconds, and a grace period five.
const ORPHAN_AGE: Duration = Duration::from_secs(40);

/// Words that no command may print, whatever is killed: it panicked, or could not use the store.
const PROBLEMS: [&str; 4] = ["panicked", "the store", "sqlite", "bug in rigup"];

/// Returns a random number below `limit`.
fn random(limit: u64) -> u64 {
    RandomState::new().hash_one(()) % limit
}

fn name() -> String {
    format!("n{}", random(NAMES as u64))
}

fn request(name: &str) -> Value {
    let install = format!(
        "printf '#!/bin/sh\\necho {name} 1.2.3\\n' >\"$BIN_DIR/{name}\" && chmod +x \"$BIN_DIR/{name}\""
    );
    json!({"type": "BinaryRequest", "name": name, "binproviders": "bash", "overrides": {"bash": {"install": install}}})
}

fn add_plugins(context: &TestContext) {
    let requests: Vec<Value> = (0..NAMES).map(|number| request(&format!("n{number}"))).collect();
    context.plugin("programs", &requests);
    let hooks = [
        ("10_first.sh", "printf '{\"type\":\"Thing\",\"n\":1}\\n'".to_owned()),
        ("20_finite.finite.bg.sh", "echo ready && sleep 0.1".to_owned()),
        ("30_daemon.daemon.bg.sh", format!("echo ready && exec {DAEMON}")),
        ("40_leftover.sh", format!("{DAEMON} & exit 3")),
        ("50_last.sh", "sleep 0.05".to_owned()),
    ];
    for (hook, body) in hooks {
        context.script(&format!("here/plugins/soak/on_Soak__{hook}"), &format!("#!/bin/sh\n{body}\n"));
    }
}

/// Returns the arguments of a random command.
fn command(context: &TestContext) -> Vec<String> {
    let name = name();
    let script = "\"$RIGUP\" post half progress=0.5; sleep 0.2; \"$RIGUP\" result '{\"ok\":true}'";
    let words: &[&str] = match random(16) {
        0 | 1 => &["install", &name],
        2 => &["install", "--force", &name],
        3 => &["install"],
        4 => &["uninstall", "--force", &name],
        5 => &["load", &name],
        6 | 7 => &["run", "Soak"],
        8 => &["apply", "requests.jsonl"],
        9 => &["exec", "--", &name],
        10 | 11 => &["start", "--slug", "soak", "--max-live", "6", "--", "sh", "-c", script],
        12 => &["process", "list", "-n", "20"],
        13 => &["process", "gc", "--ttl", "0"],
        14 => {
            let Some(id) = newest_process(context) else {
                return vec!["binary".to_owned(), "list".to_owned()];
            };
            let action = ["kill", "wait", "show", "logs"][usize::try_from(random(4)).unwrap()];
            return vec!["process".to_owned(), action.to_owned(), id];
        }
        _ => &["machine", "set", "SOAK_BINARY=/bin/sh"],
    };
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn newest_process(context: &TestContext) -> Option<String> {
    let sql = "SELECT id FROM process WHERE process_type <> 'cli' ORDER BY created_at DESC LIMIT 1";
    context.store().query_row(sql, [], |row| row.get(0)).ok()
}

/// What the commands of all workers showed.
#[derive(Default)]
struct Findings {
    /// The number of commands with each name and exit.
    exits: BTreeMap<String, u32>,
    /// The commands that could not do their work for another reason than a signal, with their messages.
    problems: Vec<String>,
}

/// Runs one random command.
fn run_command(context: &TestContext, findings: &Mutex<Findings>) {
    let args = command(context);
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let output = context.command(&args).output().unwrap();
    let exit = output.status.signal().map_or_else(
        || format!("exit code {}", output.status.code().unwrap()),
        |signal| format!("signal {signal}"),
    );
    let CommandOutput { code, stderr, .. } = CommandOutput::new(&args, &output);
    let is_expected = match (args[0], code) {
        // They exit with the code of their process, which may have been killed.
        ("exec" | "process", _) | (_, None | Some(0 | 1)) => true,
        // Its waiter was killed before it started the run.
        ("start", Some(3)) => ["the waiter was killed", "the waiter did not report that it is ready"]
            .iter()
            .any(|reason| stderr.contains(reason)),
        _ => false,
    };
    let mut findings = findings.lock().unwrap();
    if !is_expected || PROBLEMS.iter().any(|problem| stderr.contains(problem)) {
        findings.problems.push(format!("rigup {args:?}: {exit}\n{stderr}"));
    }
    *findings.exits.entry(format!("{}: {exit}", args[0])).or_default() += 1;
}

/// Kills or terminates a random process of the test: a rigup, a waiter, a hook or a program that it started. Sometimes
/// kills every rigup and waiter at once, so that nothing supervises the processes that they started.
fn kill_some(context: &TestContext) {
    let mut live = context.live_processes();
    if random(20) == 0 {
        live.retain(|(_, command)| command.starts_with(env!("CARGO_BIN_EXE_rigup")));
    } else if !live.is_empty() {
        live = vec![live.swap_remove(usize::try_from(random(live.len() as u64)).unwrap())];
    }
    let signal = if live.len() == 1 && random(8) == 0 { Signal::SIGTERM } else { Signal::SIGKILL };
    for (pid, _) in live {
        // It may have exited meanwhile.
        let _ = kill(Pid::from_raw(i32::try_from(pid).unwrap()), signal);
    }
}

/// Asserts that no daemon outlives its event by more than a grace period. `first_seen` has the daemons of earlier calls.
fn assert_no_orphan(context: &TestContext, first_seen: &mut BTreeMap<u32, Instant>) {
    let mut live = context.live_processes();
    live.retain(|(_, command)| command.starts_with(DAEMON));
    first_seen.retain(|pid, _| live.iter().any(|(other, _)| other == pid));
    for (pid, command) in &live {
        let age = first_seen.entry(*pid).or_insert_with(Instant::now).elapsed();
        assert!(age < ORPHAN_AGE, "{command} (pid {pid}) is an orphan");
    }
}

#[test]
#[ignore = "takes a minute"]
fn commands_that_are_killed_at_random_leave_a_correct_store() {
    let seconds = std::env::var("RIGUP_SOAK_SECONDS").map_or(60, |text| text.parse().expect("a number"));
    let context = context();
    add_plugins(&context);
    let requests: Vec<String> =
        (0..NAMES).map(|number| format!("{}\n", request(&format!("n{number}")))).collect();
    context.write("here/requests.jsonl", requests.concat());
    context.run(&["install"]).succeeds();

    let findings = Mutex::new(Findings::default());
    let deadline = Instant::now() + Duration::from_secs(seconds);
    let mut kills = 0_u32;
    thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                while Instant::now() < deadline {
                    run_command(&context, &findings);
                }
            });
        }
        let mut daemons = BTreeMap::new();
        while Instant::now() < deadline {
            nix::poll::poll(&mut [], u16::try_from(random(PAUSES)).unwrap()).unwrap();
            kill_some(&context);
            kills += 1;
            assert_no_orphan(&context, &mut daemons);
        }
    });
    let Findings { exits, problems } = findings.into_inner().unwrap();
    println!("{kills} kills");
    for (exit, number) in exits {
        println!("{number:6}  {exit}");
    }
    assert!(problems.is_empty(), "{} problems:\n{}", problems.len(), problems.join("\n"));
    assert_correct(&context);
}

/// Asserts that the next commands repair everything that the killed ones left.
fn assert_correct(context: &TestContext) {
    context.run(&["process", "gc"]).succeeds();
    wait_until("no process is alive", || context.live_processes().is_empty());
    context.run(&["process", "gc"]).succeeds();
    let integrity: String =
        context.store().query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(integrity, "ok");
    assert_eq!(count(context, "SELECT count(*) FROM pragma_foreign_key_check"), 0);
    assert_eq!(count(context, "SELECT count(*) FROM process WHERE status <> 'exited'"), 0);
    let names = |sql: &str| -> Vec<String> {
        let store = context.store();
        let mut statement = store.prepare(sql).unwrap();
        statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    };
    let recorded = names("SELECT name FROM binary");
    let installed = names("SELECT name FROM binary WHERE status = 'installed'");
    let links: Vec<String> = fs::read_dir(context.bin(""))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert!(
        links.iter().all(|name| recorded.contains(name)),
        "every link of {links:?} has a record: {recorded:?}"
    );
    println!("{installed:?} are installed, {links:?} are linked");
    context.run(&["install"]).succeeds();
    for number in 0..NAMES {
        let name = format!("n{number}");
        let output = context.run(&["exec", "--", &name]).succeeds();
        assert_eq!(output.stdout, format!("{name} 1.2.3\n"));
    }
}
