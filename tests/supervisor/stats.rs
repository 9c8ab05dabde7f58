//! `rigup stats`: the resources that daemons use, with everything that they started.

use std::io::{BufRead, BufReader};

use serde_json::Value;

use crate::test_context::{TestContext, wait_until};

/// A daemon whose child, which has left its session, uses a CPU and memory, and one that does nothing.
const MANIFEST: &str = "
    [daemons.busy]
    shell = true
    command = '''
        setsid python3 -c \"
    data = bytearray(64 << 20)
    while True: pass
    \" &
        exec sleep 600'''
    [daemons.idle]
    command = 'sleep 600'
";

fn number(record: &Value, key: &str) -> f64 {
    record[key].as_f64().unwrap_or_else(|| panic!("{key} of {record} is a number"))
}

#[test]
fn stats_are_sums_over_the_tree_of_each_live_daemon() {
    let context = TestContext::with_manifest(&MANIFEST.replace("\n    ", "\n"));
    context.run(&["stats"]).exits_with(1).stderr_contains("`rigup up -d`");
    context.run(&["up", "--wait"]).succeeds();
    wait_until("the child has its memory", || {
        let records = context.run(&["stats", "--no-stream", "--json"]).succeeds().records();
        let names: Vec<&str> = records.iter().map(|record| record["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["busy", "idle"]);
        number(&records[0], "rss") > f64::from(64 << 20) && number(&records[0], "cpu_percent") > 5.0
    });
    let records = context.run(&["stats", "--no-stream", "idle"]).succeeds().records();
    let [idle] = &records[..] else { panic!("{records:?}") };
    assert_eq!((&idle["type"], &idle["pid"]), (&"DaemonStats".into(), &context.daemon("idle")["pid"]));
    assert!(number(idle, "rss") > 0.0 && number(idle, "rss") < f64::from(16 << 20), "{idle}");
    assert!(number(idle, "cpu_percent") < 5.0, "{idle}");
    for key in ["rss_peak", "cpu_percent_peak", "read_bytes", "write_bytes"] {
        assert!(number(idle, key) >= 0.0, "{key}");
    }
    context.run(&["stop", "busy", "idle"]).succeeds();
    assert!(context.run(&["stats", "--no-stream"]).succeeds().records().is_empty());
    context.down();
}

#[test]
fn stats_are_printed_every_second_with_their_peaks_until_down() {
    let context = TestContext::with_manifest("[daemons.a]\ncommand = 'sleep 600'\n");
    context.run(&["up", "--wait"]).succeeds();
    let mut command = context.start(&["stats", "--json"]);
    let mut lines = BufReader::new(command.stdout.take().unwrap()).lines();
    let records: Vec<Value> =
        lines.by_ref().take(3).map(|line| serde_json::from_str(&line.unwrap()).unwrap()).collect();
    for pair in records.windows(2) {
        for peak in ["rss_peak", "cpu_percent_peak"] {
            assert!(number(&pair[1], peak) >= number(&pair[0], peak), "{pair:?}");
        }
    }
    let rest = std::thread::spawn(move || lines.count());
    context.down();
    rest.join().unwrap();
    assert_eq!(command.wait().unwrap().code(), Some(0));
}

#[test]
fn nothing_is_sampled_unless_a_client_reads() {
    let context = TestContext::with_manifest("[daemons.a]\ncommand = 'sleep 600'\n");
    context.run(&["up", "--wait"]).succeeds();
    context.run(&["stats", "--no-stream"]).succeeds();
    let supervisor = context.supervisors()[0];
    let switches = || {
        let status = std::fs::read_to_string(format!("/proc/{supervisor}/status")).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        line.unwrap().trim().parse::<u64>().unwrap()
    };
    // One turn of the loop may still be under way; then it sleeps.
    let mut seen = switches();
    wait_until("the supervisor sleeps", || {
        let began = std::time::Instant::now();
        wait_until("two seconds have passed", || began.elapsed().as_secs() >= 2);
        std::mem::replace(&mut seen, switches()) == seen
    });
    context.down();
}
