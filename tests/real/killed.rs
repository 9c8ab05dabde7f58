//! Kills rigup during installs with real package managers.

use std::fs;

use walkdir::WalkDir;

use crate::test_context::{TestContext, wait_until};
use crate::tracer::{TracedExit, kill_before};

/// The number of kills, spread evenly over all changes of an install. Each takes two installs with pip and two with
/// npm.
const KILLS: usize = 30;

const INSTALL: &[&str] = &["install", "pycodestyle", "json", "one"];

fn context() -> TestContext {
    let context = crate::context_with_registries();
    context.fixture("good");
    let request = |name: &str, provider: &str| serde_json::json!({"type": "Binary", "name": name, "binproviders": provider});
    context.plugin("p", &[request("pycodestyle", "pip"), request("json", "npm"), request("one", "good")]);
    context
}

/// Asserts that each binary that is recorded as installed exists and matches its record.
fn check_installed(context: &TestContext) {
    for record in context.run(&["binary", "list", "--status", "installed"]).succeeds().records() {
        crate::check_binary(context, record["name"].as_str().unwrap(), &record);
    }
}

/// Asserts that all three binaries are installed and linked.
fn check_complete(context: &TestContext) {
    check_installed(context);
    let links = fs::read_dir(context.bin("")).unwrap();
    let mut names: Vec<String> = links.map(|link| link.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert_eq!(names, ["json", "one", "pycodestyle"]);
}

#[test]
#[ignore = "installs from a registry: run with --ignored"]
#[expect(clippy::print_stdout, reason = "shown with --nocapture: the counts in docs/reliability.md")]
fn installs_killed_at_any_point_are_finished_by_the_next_one() {
    let first = context();
    let TracedExit::Exited { calls, code: 0 } = kill_before(&first, INSTALL, usize::MAX, |_| true) else {
        panic!("{}", fs::read_to_string(first.path("output")).unwrap())
    };
    check_complete(&first);
    for nth in (0..KILLS).map(|kill| 1 + kill * calls / KILLS) {
        let context = context();
        let exit = kill_before(&context, INSTALL, nth, |_| true);
        println!("before change {nth} of {calls}: {exit:?}");
        check_installed(&context);
        context.run(INSTALL).succeeds();
        check_complete(&context);
        wait_until("every process has exited", || context.live_processes().is_empty());
        let processes = context.processes();
        assert!(processes.iter().all(|process| process["status"] == "exited"), "{processes:?}");
        let lib = context.bin("").parent().unwrap().to_owned();
        let paths = WalkDir::new(lib).max_depth(2).into_iter().map(|entry| entry.unwrap().into_path());
        let mut incomplete =
            paths.filter(|path| path.extension().is_some_and(|extension| extension == "part"));
        assert_eq!(incomplete.next(), None);
    }
}
