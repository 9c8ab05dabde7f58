//! A clock that jumps. Nobody may set the clock of the machine for a test: what another clock wrote is put into the store,
//! and rigup is told another time than the system has.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::process::Command;

use serde_json::{Value, json};

use crate::aftermath::nothing_is_left;
use crate::kernel;
use crate::playground::{Playground, Ran, wait_until};
use crate::side_by_side;

/// Long before and long after now: the clock was set forward or back since.
const TIMES: [&str; 2] = ["2020-01-01T00:00:00.000Z", "2099-01-01T00:00:00.000Z"];

/// A place where what reads the gate waits, and its hooks: in front of rigup and beside it.
fn gated(kind: &str) -> Playground {
    let place = Playground::new();
    place.gate();
    let hook = "#!/bin/sh\necho up\nread -r _ <\"$DATA_DIR/gate\"\n";
    place.script(&format!("here/plugins/p/on_E__1_a{kind}.sh"), hook);
    place
}

fn is_recorded_as_running(place: &Playground) -> bool {
    place.processes().iter().any(|it| it["process_type"] != "cli" && it["status"] == "running")
}

#[test]
fn row_26_a_clock_that_jumps_changes_no_timeout_and_no_record_of_it_is_lost() {
    side_by_side(TIMES, |time| {
        for kind in ["", ".finite.bg"] {
            // It is well within its time, whatever the clock says.
            let place = gated(kind);
            let child = place.start(&["run", "--timeout", "600", "E"]);
            wait_until("the hook runs", || is_recorded_as_running(&place));
            place.store().execute("UPDATE process SET started_at = ?, created_at = ?", [time, time]).unwrap();
            for args in [&["process", "gc"][..], &["exec", "--", "true"], &["process", "tree"]] {
                place.run(args).ok();
            }
            assert!(is_recorded_as_running(&place), "{kind} {time}");
            fs::write(place.path("data/gate"), "\n").unwrap();
            Ran::from(&["run"], &child.wait_with_output().unwrap()).ok();
            nothing_is_left(&place);

            // Its time is up, whatever the clock says.
            let place = gated(kind);
            let child = place.start(&["run", "--timeout", "2", "E"]);
            // On a machine that is too busy it may be over already.
            wait_until("the hook runs", || !place.hook_processes().iter().all(|it| it["status"] == "queued"));
            place.store().execute("UPDATE process SET started_at = ?, created_at = ?", [time, time]).unwrap();
            Ran::from(&["run"], &child.wait_with_output().unwrap()).exits(1);
            assert_eq!(place.hook_processes()[0]["exit_reason"], "timeout");
            nothing_is_left(&place);
        }

        let place = gated("");
        let gate = "read -r _ <\"$DATA_DIR/gate\"; exit 7";
        let id = place.run(&["start", "--slug", "s", "--", "sh", "-c", gate]).ok().record()["id"].clone();
        let id = id.as_str().unwrap();
        place.store().execute("UPDATE process SET started_at = ?, created_at = ?", [time, time]).unwrap();
        place.run(&["process", "gc"]).ok();
        assert_eq!(place.run(&["process", "show", id]).ok().record()["state"], "running", "{time}");
        fs::write(place.path("data/gate"), "\n").unwrap();
        place.run(&["process", "wait", id]).exits(7);
        wait_until("its waiter is gone", || place.living().is_empty());
        nothing_is_left(&place);
    });
}

/// A library that adds the seconds in the file `CLOCK` to the time of day, and to no other clock.
const SHIFT: &str = r#"
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int clock_gettime(clockid_t clock, struct timespec *time) {
    int failed = syscall(SYS_clock_gettime, clock, time);
    FILE *file = clock == CLOCK_REALTIME ? fopen(getenv("CLOCK"), "r") : NULL;
    long seconds = 0;
    if (file && fscanf(file, "%ld", &seconds) == 1) time->tv_sec += seconds;
    if (file) fclose(file);
    return failed;
}
"#;

/// A place with a clock that can be set, and with a hook that says something at a first line from the gate, and ends at a
/// second one.
fn place_with_clock(kind: &str) -> Playground {
    let mut place = Playground::new();
    let (source, library) = (place.write("shift.c", SHIFT), place.path("shift.so"));
    let built = Command::new("cc").args(["-shared", "-fPIC", "-o"]).args([&library, &source]).status();
    assert!(built.unwrap().success());
    place.set("CLOCK", place.write("clock", "0")).set("LD_PRELOAD", library);
    place.gate();
    let hook = "#!/bin/sh\n: >\"$DATA_DIR/up\"\nexec <\"$DATA_DIR/gate\"\nread -r _\necho '{\"type\":\"Late\"}'\nread -r _\n";
    place.script(&format!("here/plugins/p/on_E__1_a{kind}.sh"), hook);
    place
}

#[test]
fn row_26_a_clock_that_is_set_while_a_hook_runs_neither_ends_it_nor_keeps_it() {
    if !kernel::has("cc") {
        return;
    }
    side_by_side(["", ".finite.bg"], |kind| {
        for (seconds, is_later) in [("-200000000", false), ("200000000", true)] {
            // It is well within its time, and what it says after the jump is heard.
            let place = place_with_clock(kind);
            let mut child = place.start(&["run", "--timeout", "600", "E"]);
            wait_until("the hook runs", || place.path("data/up").exists());
            place.write("clock", seconds);
            place.run(&["exec", "--", "true"]).ok();
            let processes = place.processes();
            let time = |of: &str| {
                processes.iter().find(|it| it["process_type"] == of).unwrap()["created_at"].as_str()
            };
            assert_eq!(time("binary") > time("hook"), is_later, "the clock was set");
            let mut gate = File::options().write(true).open(place.path("data/gate")).unwrap();
            gate.write_all(b"\n").unwrap();
            let mut line = String::new();
            BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
            assert!(line.contains("Late"), "{kind} {seconds}: {line}");
            gate.write_all(b"\n").unwrap();
            Ran::from(&["run"], &child.wait_with_output().unwrap()).ok();
            nothing_is_left(&place);

            // Its time is up soon.
            let place = place_with_clock(kind);
            let mut child = place.start(&["run", "--timeout", "2", "E"]);
            wait_until("the hook runs", || place.path("data/up").exists());
            place.write("clock", seconds);
            wait_until("it is ended", || child.try_wait().unwrap().is_some());
            Ran::from(&["run"], &child.wait_with_output().unwrap()).exits(1);
            assert_eq!(place.hook_processes()[0]["exit_reason"], "timeout");
            nothing_is_left(&place);
        }
    });
}

#[test]
fn row_26_a_clock_that_jumped_back_keeps_no_binary_waiting_beyond_the_longest_backoff() {
    let place = Playground::new();
    place.fixture("failing");
    let request = json!({"type": "BinaryRequest", "name": "x", "binproviders": "failing"}).to_string();
    place.write("requests", request);
    let attempts = || -> Value {
        let mut command = place.command(&["apply"]);
        let ran = command.stdin(fs::File::open(place.path("requests")).unwrap()).output().unwrap();
        Ran::from(&["apply"], &ran).exits(1);
        place.run(&["binary", "show", "x"]).ok().record()["attempt_count"].clone()
    };
    assert_eq!(attempts(), 1);
    assert_eq!(attempts(), 1, "it waits for its time");
    for (time, expected) in TIMES.into_iter().zip([2, 3]) {
        assert_eq!(place.store().execute("UPDATE binary SET retry_at = ?", [time]).unwrap(), 1);
        assert_eq!(attempts(), expected, "{time}");
        assert_eq!(attempts(), expected, "it waits for its new time");
    }
    nothing_is_left(&place);
}
