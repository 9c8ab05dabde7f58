//! `action.yml` in a runner that is a part of these tests, and the template for GitLab.

mod runner;

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::test_context::TestContext;
use runner::{Finished, Job, yaml};

/// A stand-in for the script that installs a release: it takes the same variables, and links the tested rigup.
const INSTALL: &str = "#!/bin/sh\nset -eu\nmkdir -p \"$RIGUP_INSTALL_DIR\"\n\
                       ln -s \"$TESTED_RIGUP\" \"$RIGUP_INSTALL_DIR/rigup\"\n\
                       echo \"$RIGUP_VERSION ${RIGUP_SHA256-} ${RIGUP_MIRROR-}\" >\"$RUNNER_TEMP/installed\"\n";

/// Returns the text of a file in this repository.
fn repository(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// Creates a repository whose plugin requires `good` at its first line and these others, and a copy of the action. Its provider
/// fails for every other name, and leaves a file in `started` each time it is started.
fn context(others: &[&str]) -> (TestContext, PathBuf) {
    let mut context = TestContext::new();
    context.concurrent_provider(
        "mixed",
        "#!/bin/sh\neval \"$(\"$RIGUP\" hook begin --provider mixed -- \"$@\")\"\n: >\"$STARTED/$name\"\n\
         [ \"$name\" = good ] || { echo \"cannot download $name\" >&2; exit 3; }\n\
         mkdir -p \"$prefix\"\nprintf '#!/bin/sh\\necho good 1.0\\n' >\"$prefix/good\"\nchmod +x \"$prefix/good\"\n\
         \"$RIGUP\" hook binary --provider mixed --abspath \"$prefix/good\" -- \"$@\"\n",
    );
    require(&context, others);
    let started = context.path("started");
    fs::create_dir(&started).unwrap();
    context.set("STARTED", started).set("TESTED_RIGUP", env!("CARGO_BIN_EXE_rigup")).unset("RIGUP_DATA_DIR");
    for file in
        ["action.yml", "packaging/github/plan.sh", "packaging/github/get.sh", "packaging/github/install.sh"]
    {
        context.write(&format!("action/{file}"), repository(file));
    }
    context.write("action/packaging/install.sh", INSTALL);
    let action = context.path("action");
    (context, action)
}

fn require(context: &TestContext, others: &[&str]) {
    let requirement = |name: &&str| json!({"type": "Binary", "name": name, "binproviders": "mixed"});
    let names: Vec<&str> = ["good"].into_iter().chain(others.iter().copied()).collect();
    context.plugin("p", &names.iter().map(requirement).collect::<Vec<_>>());
}

/// Writes rigup.lock with a data dir of its own.
fn lock(context: &TestContext) {
    let data = context.path("lock-data").display().to_string();
    context.run(&["lock", "--data-dir", &data]).succeeds();
    forget_starts(context);
}

/// Returns the names for which a hook was started.
fn starts(context: &TestContext) -> Vec<String> {
    let entries = fs::read_dir(context.path("started")).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn forget_starts(context: &TestContext) {
    for name in starts(context) {
        fs::remove_file(context.path("started").join(name)).unwrap();
    }
}

fn cached(context: &TestContext) -> Vec<String> {
    let entries = fs::read_dir(context.path("runner/cache")).into_iter().flatten();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn a_failing_tool_has_an_annotation_a_summary_and_its_log_in_a_group() {
    let (context, action) = context(&["bad"]);
    let mut job = Job::new(&context, &action);
    let Finished { succeeds, outputs } = job.run_action(&[]);
    assert!(!succeeds, "{}", job.log);
    let annotation = "::error title=rigup install%3A bad,file=plugins/p/binaries.jsonl,line=2::\
                      mixed failed: exit code 3: cannot download bad\n";
    assert!(job.log.ends_with(annotation), "{}", job.log);
    let (_, group) = job.log.split_once("::group::bad\n").unwrap();
    assert!(group.split("::endgroup::").next().unwrap().contains("cannot download bad\n"), "{group}");
    assert!(job.summary.contains("| bad | failed | "), "{}", job.summary);
    assert_eq!(outputs["missing"], "bad");
    assert_eq!(cached(&context), [""; 0]);
}

#[test]
fn the_tools_are_on_the_path_of_the_next_steps() {
    let (context, action) = context(&[]);
    let mut job = Job::new(&context, &action);
    let Finished { succeeds, outputs } = job.run_action(&[("sha256", "abc")]);
    assert!(succeeds, "{}", job.log);
    assert_eq!(outputs["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!((outputs["missing"].as_str(), outputs["cache-hit"].as_str()), ("", ""));
    job.log.clear();
    let script =
        format!("good; rigup load good --json | grep -c installed; [ -x '{}/good' ]", outputs["lib-bin-dir"]);
    assert!(job.run(&script), "{}", job.log);
    assert!(job.log.starts_with("good 1.0\n1\n"), "{}", job.log);
    let installed = fs::read_to_string(context.path("runner/temp/installed")).unwrap();
    let expected =
        format!("{} abc https://example.org/example/rigup/releases/download\n", outputs["version"]);
    assert_eq!(installed, expected);
    assert_eq!(cached(&context), [""; 0], "nothing is cached without a lock file");
}

#[test]
fn the_second_job_restores_the_tools_and_starts_no_hook() {
    let (context, action) = context(&[]);
    lock(&context);
    let mut job = Job::new(&context, &action);
    assert!(job.run_action(&[]).succeeds, "{}", job.log);
    assert_eq!(starts(&context), ["good"]);
    let keys = cached(&context);
    assert!(
        keys.len() == 1 && keys[0].starts_with("rigup-Linux-X64-") && keys[0].len() == 16 + 64,
        "{keys:?}"
    );
    assert!(context.path("runner/cache").join(&keys[0]).join("machine-id").exists());

    forget_starts(&context);
    let mut job = Job::new(&context, &action);
    let Finished { succeeds, outputs } = job.run_action(&[]);
    assert!(succeeds, "{}", job.log);
    assert_eq!(outputs["cache-hit"], "true");
    assert!(job.log.contains("good is already installed\n"), "{}", job.log);
    assert!(job.run("good"), "{}", job.log);
    assert_eq!(starts(&context), [""; 0], "no hook was started");
    assert_eq!(cached(&context), keys);
}

#[test]
fn a_job_with_secrets_or_a_failed_one_does_not_fill_the_cache() {
    let (context, action) = context(&[]);
    lock(&context);
    for (name, value) in [
        ("GITHUB_EVENT_NAME", "release"),
        ("GITHUB_EVENT_NAME", "pull_request_target"),
        ("GITHUB_EVENT_NAME", "workflow_run"),
        ("GITHUB_REF_TYPE", "tag"),
    ] {
        let mut job = Job::new(&context, &action);
        job.env.insert(name.to_owned(), value.to_owned());
        assert!(job.run_action(&[]).succeeds, "{}", job.log);
        assert_eq!(cached(&context), [""; 0], "{value}");
    }
    let mut job = Job::new(&context, &action);
    assert!(job.run_action(&[("cache", "false")]).succeeds, "{}", job.log);
    require(&context, &["bad"]);
    let mut job = Job::new(&context, &action);
    assert!(!job.run_action(&[("install", "good bad")]).succeeds, "{}", job.log);
    assert_eq!(cached(&context), [""; 0]);
    let mut job = Job::new(&context, &action);
    assert!(job.run_action(&[("install", "good"), ("cache-key-prefix", "own")]).succeeds, "{}", job.log);
    assert!(cached(&context)[0].starts_with("own-Linux-X64-"));
}

#[test]
fn inputs_choose_what_is_installed_and_invalid_ones_are_errors() {
    let (context, action) = context(&["bad"]);
    let mut job = Job::new(&context, &action);
    let Finished { succeeds, outputs } = job.run_action(&[("install", "false")]);
    assert!(succeeds, "{}", job.log);
    assert_eq!(starts(&context), [""; 0]);
    assert!(outputs["lib-bin-dir"].ends_with("/bin"), "{outputs:?}");
    assert!(job.run("rigup install good && good"), "{}", job.log);

    for (name, value, message) in [
        ("cache", "yes", "::error title=rigup::cache is yes; write auto, true or false\n"),
        ("locked", "", "::error title=rigup::locked is ; write auto, true or false\n"),
        ("cache", "true", "::error title=rigup::cache is true, but there is no rigup.lock in "),
    ] {
        let mut job = Job::new(&context, &action);
        assert!(!job.run_action(&[(name, value)]).succeeds);
        assert!(job.log.contains(message), "{}", job.log);
    }
}

#[test]
fn the_action_and_the_template_install_the_version_of_this_repository() {
    let action = yaml(&repository("action.yml"));
    assert_eq!(action["inputs"]["version"]["default"], env!("CARGO_PKG_VERSION"));
    let template = yaml(&repository("packaging/gitlab/rigup.yml"));
    assert_eq!(template[".rigup"]["variables"]["RIGUP_VERSION"], env!("CARGO_PKG_VERSION"));
}

#[test]
fn the_template_for_gitlab_installs_and_puts_the_tools_on_the_path() {
    let (context, _) = context(&[]);
    let template = yaml(&repository("packaging/gitlab/rigup.yml"))[".rigup"].clone();
    let version = env!("CARGO_PKG_VERSION");
    context.write(&format!("mirror/v{version}/install.sh"), INSTALL);
    let here = context.path("here").display().to_string();
    for (install, command, is_started) in [("false", "rigup --version", false), ("true", "good", true)] {
        let script = format!("{}\n{command}\n", template["before_script"][0].as_str().unwrap());
        let mut command = context.command_for(Path::new("/bin/sh"), &["-c", &script]);
        for (name, value) in template["variables"].as_object().unwrap() {
            command.env(name, value.as_str().unwrap().replace("$CI_PROJECT_DIR", &here));
        }
        command.env("RIGUP_INSTALL", install).env("CI_PROJECT_DIR", &here).env("GITLAB_CI", "true");
        command.env("RIGUP_MIRROR", format!("file://{}", context.path("mirror").display()));
        command.env("RUNNER_TEMP", context.path("here/.rigup"));
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(!starts(&context).is_empty(), is_started);
        let _ = fs::remove_dir_all(context.path("here/.rigup/bin"));
    }
    assert!(context.path("here/.rigup/data/machine-id").exists());
}
