//! The library's public API, as a program other than rigup uses it.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use rigup::engine::{
    Engine, EventRequest, ExitReason, ExitStatus, HookEvent, InstallRequest, RunEvent, RunRequest,
};
use rigup::settings::{Environment, Flags, Settings};

use crate::test_context::{TestContext, wait_until};

#[test]
fn a_rust_program_uses_the_engine() {
    // In a process of its own, because rigup reaps the children that it did not start: here, those of other tests.
    let name = "library::an_engine_installs_runs_an_event_starts_a_run_and_cleans_up";
    let output =
        Command::new(std::env::current_exe().unwrap()).args(["--exact", name, "--ignored"]).output().unwrap();
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(stdout.contains("1 passed"), "{stdout}{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
#[ignore = "runs in a process of its own"]
fn an_engine_installs_runs_an_event_starts_a_run_and_cleans_up() {
    let context = TestContext::new();
    context
        .provider("demo", r#"echo '{"type":"Binary","name":"shell","abspath":"/bin/sh","version":"1.2"}'"#);
    context.script("here/plugins/p/on_E__1_a.sh", "#!/bin/sh\necho '{\"type\":\"Note\"}'\n");
    let folders = ["here/plugins", "here/providers"].map(|folder| context.path(folder)).to_vec();
    let data_dir = Some(context.path("data"));
    let flags = Flags { data_dir, plugins_dirs: folders, ..Flags::default() };
    let mut settings = Settings::merge(flags, Environment::of_this_process()).unwrap();
    settings.rigup = Path::new(env!("CARGO_BIN_EXE_rigup")).to_owned();
    let engine = Engine::open(settings).unwrap();

    let request =
        InstallRequest { binproviders: Some("demo".to_owned()), ..InstallRequest::for_names(["shell"]) };
    let report = engine.install(&request).unwrap();
    assert_eq!(report.installed().map(|binary| binary.name.as_str()).collect::<Vec<_>>(), ["shell"]);

    let mut records = Vec::new();
    let on_event = |event: RunEvent<'_>| {
        if let RunEvent::Hook(_hook, HookEvent::Record(record)) = event {
            records.push(record.clone());
        }
    };
    let report = engine.run_event(&EventRequest::new("E"), on_event).unwrap();
    assert!(report.status == ExitStatus::Success && records.len() == 1);

    let run = engine.start(RunRequest {
        slug: "s".parse().unwrap(),
        description: String::new(),
        program: "true".into(),
        args: Vec::new(),
        cwd: context.path(""),
        max_live: None,
        max_runtime: None,
        ttl: None,
        env: Vec::new(),
    });
    let id = run.unwrap().id.to_string();
    assert_eq!(
        context.run(&["process", "wait", &id]).succeeds().record()["exit_reason"],
        ExitReason::Exited.as_str()
    );
    wait_until("the waiter has exited", || context.live_processes().is_empty());
    let report = engine.gc(Some(Duration::ZERO), false).unwrap();
    assert_eq!(report.items.len(), 1, "the run dir of the run is removed");
}
