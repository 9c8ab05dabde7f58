//! Tests of the messages about problems in rigup's own formats.

use crate::supervisor::manifest::tests::{Folder, messages};

#[test]
fn problems_in_own_formats_name_the_line_and_what_is_allowed() {
    for (fields, expected) in [
        ("comand = \"x\"", "unknown key \"comand\"; write \"command\""),
        ("command = \"x\"\ncolour = 1", "3: unknown key \"colour\"; use command, shell, builtin"),
        ("restart = \"no\"", "1: no \"command\""),
        ("command = \"a 'b\"", "is \"a 'b\"; use a program and its arguments: a list such as"),
        ("command = []", "\"command\" is an empty list; use a program and its arguments: a list such as"),
        (
            "command = [\"x\"]\nshell = true",
            "is a list; use a text with a command, because \"shell\" is true",
        ),
        (
            "command = \"x\"\nrestart = \"never\"",
            "is \"never\"; use no, on-failure, always or unless-stopped",
        ),
        ("command = \"x\"\nrestart_limit = 5", "is 5; use a number and a duration such as \"5/60s\""),
        (
            "command = \"x\"\nrestart_delay = \"fast\"",
            "\"restart_delay\" is \"fast\"; use a number of seconds",
        ),
        ("command = \"x\"\nstop_signal = \"STOPP\"", "is \"STOPP\"; use a name such as TERM, or a number"),
        ("command = \"x\"\nautostart = 1", "\"autostart\" is 1; use true or false"),
        ("command = \"x\"\nsuccess_exit_codes = [256]", "use a list of numbers from 0 to 255"),
        ("command = \"x\"\nenv = { \"\" = \"x\" }", "\"env\" is a table; use a table of texts"),
        ("command = \"x\"\nbinaries = [\"a/b\"]", "\"binaries\" has an invalid name: the name `a/b`"),
        ("command = \"x\"\nenv_file = \"none\"", "create it, or remove \"env_file\""),
        ("command = \"x\"\nready = {}", "\"ready\" does not have one check; use one of tcp, http"),
        ("command = \"x\"\nready = { tcp = 1, file = \"x\" }", "\"ready\" does not have one check"),
        ("command = \"x\"\nready = { tcp = \"x\" }", "\"ready.tcp\" is \"x\"; use a port, or \"HOST:PORT\""),
        ("command = \"x\"\nready = { htpp = \"x\" }", "unknown key \"ready.htpp\"; write \"ready.http\""),
        (
            "command = \"x\"\nready = { log = \"(\" }",
            "\"ready.log\" is \"(\"; use a valid regular expression",
        ),
        ("command = \"x\"\nready = { http = \"https://x\" }", "use a URL that starts with http://"),
        ("command = \"x\"\ndepends_on = [\"b\"]", "which is not declared; the daemons are a"),
        (
            "command = \"x\"\ndepends_on = { a = { condition = \"up\" } }",
            "\"depends_on.a.condition\" is \"up\"; use service",
        ),
        ("command = ", "2: not TOML: "),
    ] {
        let found = messages("rigup.toml", &format!("[daemons.a]\n{fields}\n"));
        assert!(found.starts_with("rigup.toml:") && found.contains(expected), "{fields}: {found}");
    }
    for (line, expected) in [
        ("{", "daemons.jsonl:1: not a JSON object: EOF"),
        ("[]", "daemons.jsonl:1: the line is an empty list; use a table with its fields"),
        (r#"{"name":"a"}"#, "daemons.jsonl:1: no \"type\"; write \"type\":\"Daemon\""),
        (r#"{"type":"Binary"}"#, "daemons.jsonl:1: \"type\" is \"Binary\"; use Daemon"),
        (r#"{"type":"Daemon","command":"x"}"#, "daemons.jsonl:1: no \"name\""),
        (
            r#"{"type":"Daemon","name":"a/b","command":"x"}"#,
            "daemons.jsonl:1: \"a/b\" is not the name of a daemon",
        ),
    ] {
        let found = messages("daemons.jsonl", line);
        assert!(found.starts_with(expected), "{line}: {found}");
    }
}

#[test]
fn a_line_of_an_env_file_that_is_no_variable_is_an_error() {
    let folder =
        Folder::new(&[("a.toml", "[daemons.a]\ncommand = \"x\"\nenv_file = \"e\"\n"), ("e", "A=1\nb c\n")]);
    assert_eq!(folder.read(&["a.toml"]).unwrap_err(), "a.toml:3: cannot use e: line 2 is not NAME=VALUE");
}

#[test]
fn a_key_beside_the_daemons_of_a_file_is_an_error() {
    for (name, text, expected) in [
        ("a.toml", "[daemon.web]\ncommand = 'x'\n", "a.toml:1: unknown key \"daemon\"; write \"daemons\""),
        ("a.toml", "[daemons.a]\ncommand = 'x'\n[web]\n", "a.toml:3: unknown key \"web\"; use daemons"),
        ("a.toml", "restart = 'no'\n", "a.toml:1: unknown key \"restart\"; use daemons"),
        (
            "rigup.toml",
            "\n[Daemon.a]\ncommand = 'x'\n",
            "rigup.toml:2: unknown key \"Daemon\"; write \"daemons\"",
        ),
        // The settings of another project.
        ("rigup.toml", "min_release_age = 5\n[daemons.a]\ncommand = 'x'\n", ""),
    ] {
        assert_eq!(messages(name, text), expected, "{text}");
    }
}

#[test]
fn an_empty_value_is_an_error_that_says_what_is_allowed() {
    let path = "use a path that is not empty";
    let command = "use a program and its arguments: a list such as";
    for (field, expected) in [
        ("ready = {file = ''}", format!("\"ready.file\" is \"\"; {path}")),
        ("ready = {fifo = ''}", format!("\"ready.fifo\" is \"\"; {path}")),
        ("ready = {exec = []}", format!("\"ready.exec\" is an empty list; {command}")),
        ("ready = {exec = ' '}", format!("\"ready.exec\" is \" \"; {command}")),
        ("ready = {exec = ['', 'x']}", format!("\"ready.exec\" is a list; {command}")),
        (
            "ready = {log = ''}",
            "\"ready.log\" is \"\"; use a valid regular expression that is not empty".to_owned(),
        ),
        ("ready = {http = ''}", "\"ready.http\" is \"\"; use a URL that starts with http://".to_owned()),
        ("ready = {http = 'http://'}", "use a URL that starts with http://".to_owned()),
        ("ready = {tcp = ''}", "\"ready.tcp\" is \"\"; use a port, or \"HOST:PORT\"".to_owned()),
        ("ready = {tcp = ':80'}", "\"ready.tcp\" is \":80\"; use a port, or \"HOST:PORT\"".to_owned()),
        ("working_dir = ''", format!("\"working_dir\" is \"\"; {path}")),
        ("env_file = ''", format!("\"env_file\" is \"\"; {path}")),
        ("env_file = ['']", format!("\"env_file\" is a list; {path}")),
        ("stop_command = ''", format!("\"stop_command\" is \"\"; {command}")),
        ("stop_command = []", format!("\"stop_command\" is an empty list; {command}")),
        (
            "healthcheck = {test = ''}",
            "\"healthcheck.test\" is \"\"; use a text with a command, or a list".to_owned(),
        ),
        (
            "healthcheck = {test = ['CMD', '']}",
            "use a text with a command, or a list that begins with CMD".to_owned(),
        ),
        ("depends_on = ['']", "\"\" is not the name of a daemon; use 1 to 63 characters".to_owned()),
        ("binaries = ['']", "\"binaries\" has an invalid name: the name is blank".to_owned()),
        (
            "hooks = ['']",
            "\"hooks\" has an empty name; use the NAME of hooks called on_<Event>__<NN>_<NAME>".to_owned(),
        ),
        ("user = ''", "\"user\" is \"\"; use the name or the uid of a user".to_owned()),
        ("stop_signal = ''", "\"stop_signal\" is \"\"; use a name such as TERM".to_owned()),
        ("restart_limit = ''", "\"restart_limit\" is \"\"; use a number and a duration".to_owned()),
        ("log_max_size = ''", "\"log_max_size\" is \"\"; use ".to_owned()),
        ("restart = ''", "\"restart\" is \"\"; use no, on-failure".to_owned()),
    ] {
        let found = messages("a.toml", &format!("[daemons.a]\ncommand = 'x'\n{field}\n"));
        assert!(found.starts_with("a.toml:3: ") && found.contains(&expected), "{field}: {found}");
    }
    for fields in ["command = ''", "command = []", "command = ['', 'x']"] {
        let found = messages("a.toml", &format!("[daemons.a]\n{fields}\n"));
        assert!(found.contains(command), "{fields}: {found}");
    }
    let found = messages("a.toml", "[daemons.a]\ncommand = ' '\nshell = true\n");
    assert!(found.contains("is \" \"; use a text with a command"), "{found}");
}

#[test]
fn an_empty_value_of_a_foreign_format_is_an_error_if_it_has_no_meaning() {
    for (process, expected) in [
        ("- {name: a, path: ''}", "\"path\" is \"\"; use a path that is not empty"),
        (
            "- {name: a, path: sleep, ready_strategy: file, ready_params: {path: ''}}",
            "\"ready_params.path\" is \"\"; use a path that is not empty",
        ),
        ("- {name: '', path: sleep}", "\"\" is not the name of a daemon"),
        (
            "a: {command: x, readiness_probe: {exec: {command: ' '}}}",
            "\"readiness_probe.exec.command\" is missing or empty; write the command of the check",
        ),
        ("a: {command: ''}", "no \"command\""),
    ] {
        let found = messages("m.yaml", &format!("processes:\n  {process}\n"));
        assert!(found.starts_with("m.yaml:2: ") && found.contains(expected), "{process}: {found}");
    }
}
