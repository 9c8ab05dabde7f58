//! Eight rigups at once over one data dir, each with 200 requests over 20 names.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::process::Child;
use std::sync::mpsc::{self, Sender};
use std::thread::{self, JoinHandle};

use serde_json::{Value, json};

use crate::test_context::TestContext;
use crate::{assert_nothing_is_left, assert_recorded, context, count};

const RIGUPS: usize = 8;
const NAMES: usize = 20;
/// Each name is asked for so often by each rigup.
const TIMES: usize = 10;

fn names() -> impl Iterator<Item = String> {
    (0..NAMES).map(|at| format!("n{at:02}"))
}

/// Three providers: the first one declines all, the second one has every other name, the third one the rest. Each takes
/// 0 to 50 ms, the longer the later the name, and writes down that it was started. The first one waits at the gate.
fn providers(context: &TestContext) {
    let head = "#!/bin/sh\nname=${1#--name=} at=${1#--name=n}\nat=${at#0}\n\
        echo \"$name\" >>\"$DATA_DIR/started.PROVIDER\"\n";
    let work = "sleep \"$(printf 0.%03d $((at * 50 / 19)))\"\n";
    let wins = "printf '{\"type\":\"Binary\",\"name\":\"%s\",\"abspath\":\"/bin/sh\",\"version\":\"1\"}\\n' \"$name\"\n";
    let bodies = [
        ("first", format!("read -r _ <\"$DATA_DIR/gate\"\n{work}")),
        ("second", format!("{work}[ $((at % 2)) = 0 ] || exit 0\n{wins}")),
        ("third", format!("{work}{wins}")),
    ];
    for (name, body) in bodies {
        context.provider(name, &(head.replace("PROVIDER", name) + &body));
    }
}

/// A rigup that is read from as it runs.
struct Rigup {
    child: Child,
    said: JoinHandle<String>,
    printed: JoinHandle<String>,
}

impl Rigup {
    /// Tells once that it tries or waits for something.
    fn start(context: &TestContext, args: &[&str], tell: Sender<()>) -> Self {
        let mut child = context.start(args);
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let mut stdout = child.stdout.take().unwrap();
        let said = thread::spawn(move || {
            let (mut said, mut tell) = (String::new(), Some(tell));
            for line in stderr.lines().map(Result::unwrap) {
                let is_in = line.contains("trying first") || line.contains("waiting for another rigup");
                if let Some(tell) = tell.take_if(|_| is_in) {
                    tell.send(()).unwrap();
                }
                said = said + &line + "\n";
            }
            said
        });
        let printed = thread::spawn(move || {
            let mut printed = String::new();
            stdout.read_to_string(&mut printed).unwrap();
            printed
        });
        Self { child, said, printed }
    }

    /// What it printed, once it has exited 0. It said nothing of trouble.
    fn end(mut self) -> String {
        let said = self.said.join().unwrap();
        assert_eq!(self.child.wait().unwrap().code(), Some(0), "{said}");
        for trouble in ["sqlite", "locked", "busy", "error", "warning"] {
            assert!(!said.to_lowercase().contains(trouble), "{said}");
        }
        self.printed.join().unwrap()
    }
}

#[test]
fn eight_rigups_with_200_requests_each_start_every_hook_once_and_lose_no_record() {
    let context = context();
    providers(&context);
    let request = |name| json!({"type": "BinaryRequest", "name": name, "binproviders": "first,second,third"});
    let requests: Vec<Value> = names().map(request).collect();
    for at in 0..TIMES {
        context.plugin(&format!("p{at}"), &requests);
    }
    let lines: Vec<String> = requests.iter().map(|it| format!("{it}\n")).collect();
    let file = context.write("requests.jsonl", lines.concat().repeat(TIMES));
    let gate = context.gate();
    // Open in both directions, so that hooks wait for a line, and not for somebody to open it.
    let mut gate = File::options().read(true).write(true).open(gate).unwrap();

    let (tell, told) = mpsc::channel();
    let apply = ["apply", file.to_str().unwrap()];
    let start = |at| Rigup::start(&context, if at % 2 == 0 { &["install"] } else { &apply }, tell.clone());
    let rigups: Vec<Rigup> = (0..RIGUPS).map(start).collect();
    // One that fails before it tells is nobody to wait for.
    drop(tell);
    for _ in 0..RIGUPS {
        told.recv().expect("every rigup tries or waits");
    }
    gate.write_all(&[b'\n'; RIGUPS * NAMES]).unwrap();
    for (at, rigup) in rigups.into_iter().enumerate() {
        let printed = rigup.end();
        let installed = printed.lines().filter(|it| it.contains("\"status\":\"installed\"")).count();
        // `install` makes one of all requests for a name; `apply` answers each.
        let wanted = if at % 2 == 0 { NAMES } else { NAMES * TIMES };
        assert_eq!((installed, printed.lines().count()), (wanted, wanted));
    }

    for (provider, step) in [("first", 1), ("second", 1), ("third", 2)] {
        let mut started: BTreeMap<String, usize> = BTreeMap::new();
        for name in fs::read_to_string(context.path(&format!("data/started.{provider}"))).unwrap().lines() {
            *started.entry(name.to_owned()).or_default() += 1;
        }
        let once = names().skip(step - 1).step_by(step).map(|it| (it, 1)).collect();
        assert_eq!(started, once, "{provider}");
    }
    let hooks = NAMES + NAMES + NAMES / 2;
    assert_recorded(&context, hooks, RIGUPS);
    let attempts = count(&context, "SELECT count(*) FROM attempt JOIN process ON process.id = process_id");
    assert_eq!(usize::try_from(attempts).unwrap(), hooks);
    assert_eq!(count(&context, "SELECT count(*) FROM attempt WHERE outcome = 'installed'"), 20);
    assert_eq!(count(&context, "SELECT count(*) FROM binary WHERE status = 'installed'"), 20);
    assert!(names().all(|it| context.bin(&it).exists()));
    assert_nothing_is_left(&context);
}
