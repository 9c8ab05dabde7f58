//! rigup killed in the middle of real installs.

use std::fs;

use walkdir::WalkDir;

use crate::killer::{Fate, kill_before};
use crate::playground::{Playground, wait_until};

/// So many kills are spread evenly over all changes of a run: each costs two installs by pip and by npm.
const KILLS: usize = 30;

const INSTALL: &[&str] = &["install", "pycodestyle", "json", "one"];

fn place() -> Playground {
    let place = crate::place_with_registries();
    place.fixture("good");
    let request = |name: &str, provider: &str| serde_json::json!({"type": "Binary", "name": name, "binproviders": provider});
    place.plugin("p", &[request("pycodestyle", "pip"), request("json", "npm"), request("one", "good")]);
    place
}

/// Every record that says so is true, and all three are there.
fn is_whole(place: &Playground) {
    for record in place.run(&["binary", "list", "--status", "installed"]).ok().records() {
        crate::check(place, record["name"].as_str().unwrap(), &record);
    }
    let names = fs::read_dir(place.bin("")).unwrap().map(|it| it.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.collect();
    names.sort();
    assert_eq!(names, ["json", "one", "pycodestyle"]);
}

#[test]
#[ignore = "installs from a registry: run with --ignored"]
#[expect(clippy::print_stdout, reason = "shown with --nocapture: the counts in docs/reliability.md")]
fn installs_by_pip_npm_and_a_fixture_that_were_killed_anywhere_are_finished_by_the_next_run() {
    let first = place();
    let Fate::Unharmed { calls, code: 0 } = kill_before(&first, INSTALL, usize::MAX, |_| true) else {
        panic!("{}", fs::read_to_string(first.path("said")).unwrap())
    };
    is_whole(&first);
    for nth in (0..KILLS).map(|it| 1 + it * calls / KILLS) {
        let place = place();
        let fate = kill_before(&place, INSTALL, nth, |_| true);
        println!("before change {nth} of {calls}: {fate:?}");
        // What is called installed at once is there; what is not is got.
        for record in place.run(&["binary", "list", "--status", "installed"]).ok().records() {
            crate::check(&place, record["name"].as_str().unwrap(), &record);
        }
        place.run(INSTALL).ok();
        is_whole(&place);
        wait_until("nothing lives on", || place.living().is_empty());
        let processes = place.processes();
        assert!(processes.iter().all(|it| it["status"] == "exited"), "{processes:?}");
        let lib = place.bin("").parent().unwrap().to_owned();
        let half = WalkDir::new(lib).max_depth(2).into_iter().map(|it| it.unwrap().into_path());
        // npm's hook remembers here what the registry can do.
        let mut half =
            half.filter(|it| it.extension().is_some_and(|it| it == "part") && !it.ends_with("registry.part"));
        assert_eq!(half.next(), None);
    }
}
