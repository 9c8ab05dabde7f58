//! `rigup process replay`: the recorded command of a process once more.

use std::path::Path;

use serde_json::{Value, json};

use crate::test_context::TestContext;

/// Returns the newest process record.
fn newest(context: &TestContext) -> Value {
    context.processes().pop().unwrap()
}

#[test]
fn replay_runs_a_command_again_in_its_folder_with_its_variables() {
    let context = TestContext::new();
    std::fs::create_dir(context.path("here/sub")).unwrap();
    let script = "echo \"$0 $RIGUP_PROCESS_ID\"; pwd; exit 7";
    let mut command = context.command(&["exec", "--", "sh", "-c", script, "a b"]);
    assert_eq!(command.current_dir(context.path("here/sub")).output().unwrap().status.code(), Some(7));
    let first = newest(&context);
    let replay = context.run(&["process", "replay", first["id"].as_str().unwrap()]).exits_with(7);
    let second = newest(&context);
    let folder = context.path("here/sub").canonicalize().unwrap();
    let expected = format!("a b {}\n{}\n", second["id"].as_str().unwrap(), folder.display());
    assert_eq!(replay.stdout, expected);
    assert_eq!((&second["parent_id"], &second["cmd"]), (&first["id"], &first["cmd"]));
    assert_eq!(second["exit_code"], 7);
}

#[test]
fn replay_gives_a_hook_its_arguments_variables_and_standard_input() {
    let context = TestContext::new();
    let hook = "#!/bin/sh\ncat\necho \"$0 $* in ${PWD##*/} for $DATA_DIR\" >&2\n";
    context.script("here/providers/p/on_BinaryRequest__50_p.batch.sh", hook);
    context.run(&["install", "x", "--binproviders", "p"]).exits_with(1);
    let hook = context.hook_processes().remove(0);
    let id = hook["id"].as_str().unwrap();
    let log = |stream: &str| context.run(&["process", "logs", id, "--stream", stream]).succeeds().stdout;
    let (stdout, stderr) = (log("stdout"), log("stderr"));
    let replay = context.run(&["process", "replay", id]).succeeds();
    assert!(stdout.contains("\"name\":\"x\""), "{stdout}");
    assert_eq!((&replay.stdout, &replay.stderr), (&stdout, &stderr));
    let second = newest(&context);
    for field in ["plugin", "hook_name", "cmd", "pwd"] {
        assert_eq!(second[field], hook[field], "{field}");
    }
    let list = context.run(&["process", "list", "--format", "table"]).succeeds().stdout;
    assert_eq!(list.matches("p/on_BinaryRequest__50_p.batch.sh").count(), 2, "{list}");
    let again = context.run(&["process", "replay", second["id"].as_str().unwrap()]).succeeds();
    assert_eq!(again.stdout, stdout, "its own standard input is recorded, too");
}

#[test]
fn replay_needs_the_secrets_that_no_record_has() {
    let mut context = TestContext::new();
    let script = "echo \"$API_TOKEN $MODE\"";
    let start =
        ["start", "--slug", "s", "--env", "API_TOKEN=s3cret", "--env", "MODE=fast", "--", "sh", "-c", script];
    let id = context.run(&start).succeeds().record()["id"].as_str().unwrap().to_owned();
    context.run(&["process", "wait", &id]).succeeds();
    let refused = context.run(&["process", "replay", &id]).exits_with(1);
    let error = format!(
        "error: cannot replay process {id}: no record has the values of its secrets; set API_TOKEN\n"
    );
    assert_eq!(refused.stderr, error);
    context.set("API_TOKEN", "other");
    assert_eq!(context.run(&["process", "replay", &id]).succeeds().stdout, "other fast\n");
    assert_eq!(newest(&context)["parent_id"], json!(id));
}

#[test]
fn replay_says_why_a_process_cannot_be_replayed() {
    let context = TestContext::new();
    context.run(&["process", "replay", "ffffffff"]).exits_with(1);
    assert!(!context.path("data").exists());
    context.run(&["install", "sh", "--binproviders", "env"]).succeeds();
    let own = context.processes().remove(0)["id"].as_str().unwrap().to_owned();
    let command = "it is a command of rigup; run `rigup install sh --binproviders env`";
    context.run(&["process", "replay", &own]).exits_with(1).stderr_contains(command);
    std::fs::create_dir(context.path("here/sub")).unwrap();
    context.command(&["exec", "--", "true"]).current_dir(context.path("here/sub")).output().unwrap();
    let gone = newest(&context)["id"].as_str().unwrap().to_owned();
    std::fs::remove_dir(context.path("here/sub")).unwrap();
    let folder = newest(&context)["pwd"].as_str().unwrap().to_owned();
    let reason = format!("its folder {folder} does not exist; create it with `mkdir -p {folder}`\n");
    context.run(&["process", "replay", &gone]).exits_with(1).stderr_contains(&reason);
    context.run(&["exec", "--", "nosuch"]).exits_with(127);
    let missing = newest(&context)["id"].as_str().unwrap().to_owned();
    context.run(&["process", "replay", &missing]).exits_with(127);
}

#[test]
fn replay_gives_a_hook_of_an_event_a_folder_for_temporary_files() {
    let context = TestContext::new();
    let hook = "#!/bin/sh\necho text >\"$TMP_DIR/file\" || exit 1\nmkdir -p \"$PERSONAS_DIR\" || exit 2\n\
        echo \"${PERSONAS_DIR#\"$TMP_DIR\"/personas/} $TMP_DIR\"\n";
    context.script("here/plugins/p/on_E__10_p.sh", hook);
    context.run(&["run", "E"]).succeeds();
    let id = context.hook_processes().remove(0)["id"].as_str().unwrap().to_owned();
    let first = context.run(&["process", "logs", &id]).succeeds().stdout;
    let replay = context.run(&["process", "replay", &id]).succeeds().stdout;
    let words =
        |line: &str| line.trim_end().split_once(' ').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
    let ((persona, folder), (replayed_persona, new)) = (words(&first), words(&replay));
    assert_eq!(persona, replayed_persona);
    assert_ne!(folder, new);
    assert!(!Path::new(&folder).exists() && !Path::new(&new).exists(), "{new} is removed");
    // A replay is a record like another.
    let second = newest(&context)["id"].as_str().unwrap().to_owned();
    context.run(&["process", "replay", &second]).succeeds();
}

#[test]
fn replay_keeps_the_folder_for_temporary_files_of_the_caller() {
    let mut context = TestContext::new();
    let folder = context.path("tmp");
    std::fs::create_dir(&folder).unwrap();
    context.set("TMP_DIR", folder.clone());
    context.script("here/plugins/p/on_E__10_p.sh", "#!/bin/sh\necho text >\"$TMP_DIR/$RIGUP_PROCESS_ID\"\n");
    context.run(&["run", "E"]).succeeds();
    let id = context.hook_processes().remove(0)["id"].as_str().unwrap().to_owned();
    context.unset("TMP_DIR").run(&["process", "replay", &id]).succeeds();
    assert_eq!(std::fs::read_dir(folder).unwrap().count(), 2);
}

#[test]
fn replay_refuses_a_hook_whose_standard_input_was_removed() {
    let context = TestContext::new();
    let hook = "#!/bin/sh\ncat\n";
    context.script("here/providers/p/on_BinaryRequest__50_p.batch.sh", hook);
    context.script("here/plugins/q/on_E__10_q.sh", hook);
    context.run(&["install", "x", "--binproviders", "p"]).exits_with(1);
    context.run(&["run", "--stdin", "E"]).succeeds();
    context.run(&["run", "E"]).succeeds();
    let hooks = context.hook_processes();
    for hook in &hooks {
        std::fs::remove_dir_all(hook["run_dir"].as_str().unwrap()).unwrap();
    }
    let ids: Vec<&str> = hooks.iter().map(|hook| hook["id"].as_str().unwrap()).collect();
    for (id, command) in [(ids[0], "install x --binproviders p"), (ids[1], "run --stdin E")] {
        let refused = context.run(&["process", "replay", id]).exits_with(1);
        let error = format!(
            "error: cannot replay process {id}: its recorded standard input was removed; run `rigup {command}`\n"
        );
        assert_eq!((refused.stdout, refused.stderr), (String::new(), error));
    }
    assert_eq!(context.run(&["process", "replay", ids[2]]).succeeds().stdout, "", "it had none");
}

#[test]
fn a_replay_of_a_provider_leaves_installed_binaries_alone() {
    let mut context = TestContext::new();
    let hook = "#!/bin/sh\neval \"$(\"$RIGUP\" hook begin --provider p -- \"$@\")\"\nmkdir -p \"$prefix\" \"$LIB_BIN_DIR\"\n\
        printf '#!/bin/sh\\necho %s\\n' \"${V:-1.0}\" >\"$prefix/$name\"\nchmod +x \"$prefix/$name\"\n\
        echo \"$ABXPKG_LIB_DIR\" >\"$LIB_BIN_DIR/$name.txt\"\n\
        \"$RIGUP\" hook binary --provider p --abspath \"$prefix/$name\" -- \"$@\"\n";
    context.provider("p", hook);
    context.run(&["install", "p:a"]).succeeds();
    let id = context.hook_processes().remove(0)["id"].as_str().unwrap().to_owned();
    let file = context.linked_file("a");
    let installed = std::fs::read(&file).unwrap();
    std::fs::remove_file(context.bin("a.txt")).unwrap();
    context.set("V", "9");
    let first = context.run(&["process", "replay", &id]).succeeds();
    // A replay of a replay installs nothing either.
    let second = newest(&context)["id"].as_str().unwrap().to_owned();
    for replay in [first, context.run(&["process", "replay", &second]).succeeds()] {
        let record = replay.record();
        assert_eq!(record["version"], "9", "{}", replay.stdout);
        let replayed = Path::new(record["abspath"].as_str().unwrap());
        assert!(!replayed.ancestors().nth(3).unwrap().exists(), "{} is removed", replayed.display());
        assert_eq!(std::fs::read(&file).unwrap(), installed);
        assert!(!context.bin("a.txt").exists());
    }
    context.run(&["uninstall", "a"]).succeeds();
    context.run(&["process", "replay", &id]).succeeds();
    assert!(!file.exists());
}

#[test]
fn replay_names_the_hook_that_cannot_be_started() {
    let context = TestContext::new();
    let hook = "#!/bin/sh\ncat\n";
    let file = context.script("here/providers/p/on_BinaryRequest__50_p.batch.sh", hook);
    context.run(&["install", "x", "--binproviders", "p"]).exits_with(1);
    let first = context.hook_processes().remove(0);
    let id = first["id"].as_str().unwrap();
    let input = context.run(&["process", "replay", id]).succeeds().stdout;
    let second = newest(&context);
    assert_eq!(second["cmd"], first["cmd"]);
    let again = context.run(&["process", "replay", second["id"].as_str().unwrap()]).succeeds();
    assert_eq!((again.stdout, input.contains("\"name\":\"x\"")), (input, true));
    std::fs::remove_file(&file).unwrap();
    let failed = context.run(&["process", "replay", id]).exits_with(127);
    let error = format!("error: cannot start {}: it does not exist\n", file.display());
    assert_eq!((failed.stdout, failed.stderr), (String::new(), error));
}
