//! rigup killed in the middle of real installs.

use std::fs;

use walkdir::WalkDir;

use crate::killer::{Fate, kill_before};
use crate::test_context::{TestContext, wait_until};

/// So many kills are spread evenly over all changes of a run: each costs two installs by pip and by npm.
const KILLS: usize = 30;

const INSTALL: &[&str] = &["install", "pycodestyle", "json", "one"];

fn context() -> TestContext {
    let context = crate::context_with_registries();
    context.fixture("good");
    let request = |name: &str, provider: &str| serde_json::json!({"type": "Binary", "name": name, "binproviders": provider});
    context.plugin("p", &[request("pycodestyle", "pip"), request("json", "npm"), request("one", "good")]);
    context
}

/// Every record that says so is true, and all three are there.
fn is_whole(context: &TestContext) {
    for record in context.run(&["binary", "list", "--status", "installed"]).succeeds().records() {
        crate::check(context, record["name"].as_str().unwrap(), &record);
    }
    let names =
        fs::read_dir(context.bin("")).unwrap().map(|it| it.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.collect();
    names.sort();
    assert_eq!(names, ["json", "one", "pycodestyle"]);
}

#[test]
#[ignore = "installs from a registry: run with --ignored"]
#[expect(clippy::print_stdout, reason = "shown with --nocapture: the counts in docs/reliability.md")]
fn installs_by_pip_npm_and_a_fixture_that_were_killed_anywhere_are_finished_by_the_next_run() {
    let first = context();
    let Fate::Unharmed { calls, code: 0 } = kill_before(&first, INSTALL, usize::MAX, |_| true) else {
        panic!("{}", fs::read_to_string(first.path("said")).unwrap())
    };
    is_whole(&first);
    for nth in (0..KILLS).map(|it| 1 + it * calls / KILLS) {
        let context = context();
        let fate = kill_before(&context, INSTALL, nth, |_| true);
        println!("before change {nth} of {calls}: {fate:?}");
        // What is called installed at once is there; what is not is got.
        for record in context.run(&["binary", "list", "--status", "installed"]).succeeds().records() {
            crate::check(&context, record["name"].as_str().unwrap(), &record);
        }
        context.run(INSTALL).succeeds();
        is_whole(&context);
        wait_until("nothing lives on", || context.live_processes().is_empty());
        let processes = context.processes();
        assert!(processes.iter().all(|it| it["status"] == "exited"), "{processes:?}");
        let lib = context.bin("").parent().unwrap().to_owned();
        let half = WalkDir::new(lib).max_depth(2).into_iter().map(|it| it.unwrap().into_path());
        // npm's hook remembers here what the registry can do.
        let mut half =
            half.filter(|it| it.extension().is_some_and(|it| it == "part") && !it.ends_with("registry.part"));
        assert_eq!(half.next(), None);
    }
}
