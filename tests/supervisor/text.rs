//! Arguments, variables and names arrive as they are written.

use std::fs;

use serde_json::json;

use crate::leftovers::assert_nothing_is_left;
use crate::test_context::TestContext;

/// A text that shells, formatters and templates would change.
const TEXT: &str = "$x ${HOME} %t %% ' \" \\ `id` {{x}} * ~ \n\t ü ";

/// The command of a daemon that writes its second argument and a variable to a file.
fn writing(file: &str) -> Vec<String> {
    let script = format!("printf '%s\\n' \"$2\" \"$TEXT\" >\"$RIGUP_DATA_DIR/{file}\"");
    ["sh", "-c", &script, "sh", "1", TEXT].map(str::to_owned).into()
}

#[test]
fn promise_18_text_arrives_as_written_in_every_format() {
    let context = TestContext::new();
    // A JSON string is a TOML string, too.
    let toml = format!(
        "[daemons.native]\ncommand = {}\nenv = {{TEXT = {}}}\n",
        json!(writing("native")),
        json!(TEXT)
    );
    context.write("here/rigup.toml", toml);
    let line = json!({"type": "Daemon", "name": "line", "command": writing("line"), "env": {"TEXT": TEXT}});
    context.write("here/plugins/p/daemons.jsonl", line.to_string());
    let pilot = writing("pilot");
    let pilot = json!({"processes": [
        {"name": "pilot", "path": "/bin/sh", "shutdown_strategy": "do_not_restart", "args": pilot[1..], "env": [format!("TEXT={TEXT}")]}
    ]});
    context.write("here/pilot.json", pilot.to_string());
    context.run(&["up", "-f", "pilot.json"]).succeeds();
    for file in ["native", "line", "pilot"] {
        let written = fs::read_to_string(context.path("data").join(file)).unwrap();
        assert_eq!(written, format!("{TEXT}\n{TEXT}\n"), "{file}");
    }
    assert_nothing_is_left(&context);
}

#[test]
fn promise_18_a_command_line_is_split_without_expansion() {
    let context = TestContext::with_manifest(
        "[daemons.'two words']\ncommand = '''printf '%s\\n' $HOME \"a b\" '*' %t'''\n",
    );
    context.run(&["up"]).succeeds();
    let logs = context.run(&["logs", "two words"]).succeeds();
    assert_eq!(logs.stdout, "$HOME\na b\n*\n%t\n");
    assert_nothing_is_left(&context);
}

#[test]
fn a_daemon_has_data_dir_and_machine_id_unless_they_are_set() {
    let context = TestContext::with_manifest(
        "[daemons.a]\nshell = true\ncommand = 'echo \"$DATA_DIR $MACHINE_ID\" >a'\nrestart = 'no'\n\
         [daemons.b]\nshell = true\ncommand = 'echo \"$DATA_DIR\" >b'\nenv = { DATA_DIR = '/own' }\nrestart = 'no'\n",
    );
    context.run(&["up"]).succeeds();
    let read = |name: &str| fs::read_to_string(context.path("here").join(name)).unwrap();
    let machine = context.run(&["machine", "show"]).succeeds().records().remove(0);
    let expected = format!("{} {}\n", context.path("data").display(), machine["id"].as_str().unwrap());
    assert_eq!(read("a"), expected);
    assert_eq!(read("b"), "/own\n");
}
