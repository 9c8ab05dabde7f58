//! Eight commands at once with one data dir, each with 200 requests for 20 names.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::process::Child;
use std::sync::mpsc::{self, Sender};
use std::thread::{self, JoinHandle};

use serde_json::{Value, json};

use crate::test_context::TestContext;
use crate::{assert_intact, assert_recorded, context, count};

const COMMANDS: usize = 8;
const NAMES: usize = 20;
/// The number of requests of each command for each name.
const REPEATS: usize = 10;

fn names() -> impl Iterator<Item = String> {
    (0..NAMES).map(|number| format!("n{number:02}"))
}

/// Adds three providers: the first declines every name, the second installs every other name, and the third installs
/// the rest. Each records its start and takes 0 to 50 ms, longer for later names. The first also waits at the gate.
fn add_providers(context: &TestContext) {
    let head = "#!/bin/sh\nname=${1#--name=} number=${1#--name=n}\nnumber=${number#0}\n\
        echo \"$name\" >>\"$DATA_DIR/started.PROVIDER\"\n";
    let work = "sleep \"$(printf 0.%03d $((number * 50 / 19)))\"\n";
    let record = "printf '{\"type\":\"Binary\",\"name\":\"%s\",\"abspath\":\"/bin/sh\",\"version\":\"1\"}\\n' \"$name\"\n";
    let bodies = [
        ("first", format!("read -r _ <\"$DATA_DIR/gate\"\n{work}")),
        ("second", format!("{work}[ $((number % 2)) = 0 ] || exit 0\n{record}")),
        ("third", format!("{work}{record}")),
    ];
    for (name, body) in bodies {
        context.concurrent_provider(name, &(head.replace("PROVIDER", name) + &body));
    }
}

/// A command whose output is read while it runs.
struct RunningCommand {
    child: Child,
    stderr: JoinHandle<String>,
    stdout: JoinHandle<String>,
}

impl RunningCommand {
    /// Starts rigup, and sends one message when it runs a hook or waits for another command.
    fn start(context: &TestContext, args: &[&str], sender: Sender<()>) -> Self {
        let mut child = context.start(args);
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut pipe = child.stdout.take().unwrap();
        let stderr = thread::spawn(move || {
            let (mut text, mut sender) = (String::new(), Some(sender));
            for line in lines.map(Result::unwrap) {
                let has_started = line.contains("trying first") || line.contains("waiting for another rigup");
                if let Some(sender) = sender.take_if(|_| has_started) {
                    sender.send(()).unwrap();
                }
                text = text + &line + "\n";
            }
            text
        });
        let stdout = thread::spawn(move || {
            let mut text = String::new();
            pipe.read_to_string(&mut text).unwrap();
            text
        });
        Self { child, stderr, stdout }
    }

    /// Waits for the command, asserts that it exits with 0 and reports no problem, and returns its stdout.
    fn wait(mut self) -> String {
        let stderr = self.stderr.join().unwrap();
        assert_eq!(self.child.wait().unwrap().code(), Some(0), "{stderr}");
        for problem in ["sqlite", "locked", "busy", "error", "warning"] {
            assert!(!stderr.to_lowercase().contains(problem), "{stderr}");
        }
        self.stdout.join().unwrap()
    }
}

#[test]
fn eight_commands_at_once_start_each_hook_once_and_lose_no_record() {
    let context = context();
    add_providers(&context);
    let request = |name| json!({"type": "BinaryRequest", "name": name, "binproviders": "first,second,third"});
    let requests: Vec<Value> = names().map(request).collect();
    for number in 0..REPEATS {
        context.plugin(&format!("p{number}"), &requests);
    }
    let lines: Vec<String> = requests.iter().map(|request| format!("{request}\n")).collect();
    let file = context.write("requests.jsonl", lines.concat().repeat(REPEATS));
    let gate = context.gate();
    // Open for reading and writing, so that no open of the pipe blocks.
    let mut gate = File::options().read(true).write(true).open(gate).unwrap();

    let (sender, receiver) = mpsc::channel();
    let apply = ["apply", file.to_str().unwrap()];
    let start = |number| {
        let args: &[&str] = if number % 2 == 0 { &["install"] } else { &apply };
        RunningCommand::start(&context, args, sender.clone())
    };
    let commands: Vec<RunningCommand> = (0..COMMANDS).map(start).collect();
    // `recv` fails if a command exits before it sends its message.
    drop(sender);
    for _ in 0..COMMANDS {
        receiver.recv().expect("every command runs a hook or waits");
    }
    gate.write_all(&[b'\n'; COMMANDS * NAMES]).unwrap();
    for (number, command) in commands.into_iter().enumerate() {
        let stdout = command.wait();
        let installed = stdout.lines().filter(|line| line.contains("\"status\":\"installed\"")).count();
        // `install` merges all requests for a name; `apply` prints a record for each.
        let expected = if number % 2 == 0 { NAMES } else { NAMES * REPEATS };
        assert_eq!((installed, stdout.lines().count()), (expected, expected));
    }

    for (provider, step) in [("first", 1), ("second", 1), ("third", 2)] {
        let mut started: BTreeMap<String, usize> = BTreeMap::new();
        for name in fs::read_to_string(context.path(&format!("data/started.{provider}"))).unwrap().lines() {
            *started.entry(name.to_owned()).or_default() += 1;
        }
        let once = names().skip(step - 1).step_by(step).map(|name| (name, 1)).collect();
        assert_eq!(started, once, "{provider}");
    }
    let hooks = NAMES + NAMES + NAMES / 2;
    assert_recorded(&context, hooks, COMMANDS);
    let attempts = count(&context, "SELECT count(*) FROM attempt JOIN process ON process.id = process_id");
    assert_eq!(usize::try_from(attempts).unwrap(), hooks);
    assert_eq!(count(&context, "SELECT count(*) FROM attempt WHERE outcome = 'installed'"), 20);
    assert_eq!(count(&context, "SELECT count(*) FROM binary WHERE status = 'installed'"), 20);
    assert!(names().all(|name| context.bin(&name).exists()));
    assert_intact(&context);
}
