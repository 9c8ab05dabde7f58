//! Tests of the messages about problems in rigup's own formats.

use crate::supervisor::manifest::tests::{Folder, daemon, messages};

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
        ("command = \"x\"\nsuccess_exit_codes = [256]", "is 256; use a number from 0 to 255"),
        ("command = \"x\"\nenv = { \"\" = \"x\" }", "\"env\" has the name \"\"; use one that is not empty"),
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
        (
            r#"stop_command = "a\u0000b""#,
            format!("\"stop_command\" is a text with a NUL character; {command}"),
        ),
        (r#"working_dir = "a\u0000b""#, format!("\"working_dir\" is a text with a NUL character; {path}")),
        ("ready = {fifo = ''}", format!("\"ready.fifo\" is \"\"; {path}")),
        ("ready = {exec = []}", format!("\"ready.exec\" is an empty list; {command}")),
        ("ready = {exec = ' '}", format!("\"ready.exec\" is \" \"; {command}")),
        ("ready = {exec = ['', 'x']}", "item 1 of \"ready.exec\" is \"\"; use the name or".to_owned()),
        ("command = ['', 'x']", "item 1 of \"command\" is \"\"; use the name or the path of a".to_owned()),
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
        ("env_file = ['']", format!("item 1 of \"env_file\" is \"\"; {path}")),
        ("stop_command = ''", format!("\"stop_command\" is \"\"; {command}")),
        ("stop_command = []", format!("\"stop_command\" is an empty list; {command}")),
        (
            "healthcheck = {test = ''}",
            "\"healthcheck.test\" is \"\"; use a text with a command, or a list".to_owned(),
        ),
        (
            "healthcheck = {test = ['CMD', '']}",
            "\"healthcheck.test\" has no program after \"CMD\"; add one".to_owned(),
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
        let command = if field.starts_with("command") { "" } else { "command = 'x'" };
        let found = messages("a.toml", &format!("[daemons.a]\n{command}\n{field}\n"));
        assert!(found.starts_with("a.toml:3: ") && found.contains(&expected), "{field}: {found}");
    }
    for fields in ["command = ''", "command = []"] {
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

#[test]
fn all_problems_of_a_daemon_are_named_and_none_that_follows_from_another() {
    let toml = "[daemons.'a/b']\ncomand = 'x'\nrestart = 'never'\ncolour = 1\nready = {tpc = 1, timeout = 'x'}\n\
        depends_on = {c = {condition = 'up', required = 1}, '' = {}}\nbinaries = ['', 'a/b']\nhooks = ['', 'x']\n\
        healthcheck = {interval = 0, timeout = 'x'}\nnice = 30\numask = '9'\nenv_file = ['e', 'none']\nreplicas = 0\n\
        [daemons.'a/b'.rlimits]\nnofile = {soft = 'x', hard = 'x'}\ncores = 1\n\
        [daemons.c]\nready = {tcp = 0}\n[daemons.d]\nbuiltin = 'x'\nshell = 1\n[daemons.e]\ncommand = ''\nshell = true\n";
    let folder = Folder::new(&[("a.toml", toml), ("e", "b c\nd e\n")]);
    let expected = [
        "a.toml:1: \"a/b\" is not the name of a daemon",
        "a.toml:2: unknown key \"comand\"",
        "a.toml:3: \"restart\" is \"never\"",
        "a.toml:4: unknown key \"colour\"",
        "a.toml:5: unknown key \"ready.tpc\"",
        "a.toml:5: \"ready.timeout\" is \"x\"",
        "a.toml:6: \"depends_on.c.condition\" is \"up\"",
        "a.toml:6: \"depends_on.c.required\" is 1",
        "a.toml:6: \"\" is not the name of a daemon",
        "a.toml:7: \"binaries\" has an invalid name: the name is blank",
        "a.toml:7: \"binaries\" has an invalid name: the name `a/b`",
        "a.toml:8: \"hooks\" has an empty name",
        "a.toml:8: \"hooks\" names",
        "a.toml:9: \"healthcheck\" has no \"test\"",
        "a.toml:9: \"healthcheck.interval\" is too short",
        "a.toml:9: \"healthcheck.timeout\" is \"x\"",
        "a.toml:10: \"nice\" is 30",
        "a.toml:11: \"umask\" is \"9\"",
        "a.toml:12: cannot use e: line 1 is not NAME=VALUE",
        "a.toml:12: cannot use e: line 2 is not NAME=VALUE",
        "a.toml:12: there is no none",
        "a.toml:13: \"replicas\" is 0",
        "a.toml:15: \"rlimits.nofile.soft\" is \"x\"",
        "a.toml:15: \"rlimits.nofile.hard\" is \"x\"",
        "a.toml:16: unknown key \"rlimits.cores\"",
        "a.toml:17: no \"command\"",
        "a.toml:18: \"ready.tcp\" is 0",
        "a.toml:20: \"builtin\" is \"x\"",
        "a.toml:21: \"shell\" is 1",
        "a.toml:23: \"command\" is \"\"",
    ];
    assert_problems(&folder, "a.toml", &expected);
}

#[test]
fn all_problems_of_a_foreign_process_are_named() {
    let pilot = "kill_timeout: x\nprocesses:\n  - path: ./none\n    shutdown_strategy: stop\n    timeout: x\n    args: 1\n    \
        env: 1\n    dependencies: ['', a]\n    ready_strategy: file\n    ready_timeout_sec: x\n    ready_params: {path: ''}\n    \
        affinity: x\n    lifecycle_hooks: 1\n    working_directory: none\n  - 1\n";
    let compose = "environment: 1\nextends: x\nprocesses:\n  a/b:\n    is_tty: true\n    is_daemon: true\n    working_dir: []\n    \
        replicas: 0\n    success_exit_codes: [x]\n    depends_on: {c: {condition: up}}\n    readiness_probe: {period_seconds: x}\n    \
        liveness_probe: {exec: {working_dir: x}, timeout_seconds: x}\n    availability: {restart: maybe, max_restarts: x}\n    \
        shutdown: {signal: x, timeout_seconds: x, send_keys: y}\n    environment: 1\n    disabled: 1\n";
    let folder = Folder::new(&[("pilot.yaml", pilot), ("compose.yaml", compose)]);
    let expected = [
        "pilot.yaml:1: \"kill_timeout\" is \"x\"",
        "pilot.yaml:3: no \"name\"",
        "pilot.yaml:3: \"path\" is not a program",
        "pilot.yaml:4: \"shutdown_strategy\" is \"stop\"",
        "pilot.yaml:5: \"timeout\" is \"x\"",
        "pilot.yaml:6: \"args\" is 1",
        "pilot.yaml:7: \"env\" is not a table",
        "pilot.yaml:8: \"\" is not the name of a daemon",
        "pilot.yaml:10: \"ready_timeout_sec\" is \"x\"",
        "pilot.yaml:11: \"ready_params.path\" is \"\"",
        "pilot.yaml:12: \"affinity\" is \"x\"",
        "pilot.yaml:13: \"lifecycle_hooks\" is 1",
        "pilot.yaml:14: \"working_directory\" is not a folder",
        "pilot.yaml:15: a process is 1",
    ];
    assert_problems(&folder, "pilot.yaml", &expected);
    let expected = [
        "compose.yaml:1: \"environment\" is not a table",
        "compose.yaml:2: \"extends\" is not supported",
        "compose.yaml:4: \"a/b\" is not the name of a daemon",
        "compose.yaml:4: no \"command\"",
        "compose.yaml:5: \"is_tty\" is not supported",
        "compose.yaml:6: \"is_daemon\" is not supported",
        "compose.yaml:7: \"working_dir\" is an empty list",
        "compose.yaml:8: \"replicas\" is 0",
        "compose.yaml:9: item 1 of \"success_exit_codes\" is \"x\"",
        "compose.yaml:10: \"depends_on.c.condition\" is \"up\"",
        "compose.yaml:11: \"readiness_probe.period_seconds\" is \"x\"",
        "compose.yaml:11: \"readiness_probe\" has no check",
        "compose.yaml:12: \"liveness_probe.timeout_seconds\" is \"x\"",
        "compose.yaml:12: \"liveness_probe.exec.working_dir\" is not supported",
        "compose.yaml:12: \"liveness_probe.exec.command\" is missing or empty",
        "compose.yaml:13: \"availability.restart\" is \"maybe\"",
        "compose.yaml:13: \"availability.max_restarts\" is \"x\"",
        "compose.yaml:14: \"shutdown.send_keys\" is not supported",
        "compose.yaml:14: \"shutdown.signal\" is \"x\"",
        "compose.yaml:14: \"shutdown.timeout_seconds\" is \"x\"",
        "compose.yaml:15: \"environment\" is not a table",
        "compose.yaml:16: \"disabled\" is 1",
    ];
    assert_problems(&folder, "compose.yaml", &expected);
    let folder = Folder::new(&[("Procfile", "a/b: x\nc: x\nd/e: x\n"), (".env", "PORT=x\n")]);
    let expected = [
        "Procfile:1: PORT is \"x\" in .env",
        "Procfile:1: \"a/b\" is not the name of a daemon",
        "Procfile:3: \"d/e\" is not the name of a daemon",
    ];
    assert_problems(&folder, "Procfile", &expected);
}

#[test]
fn a_wrong_item_of_a_list_or_a_table_is_named_with_its_line() {
    for (fields, expected) in [
        ("command = ['sleep', 600]", "3: item 2 of \"command\" is 600; use a text in quotes"),
        ("command = [\n'sh',\n['x']]", "5: item 2 of \"command\" is a list; use a text in quotes"),
        ("stop_command = ['x', true]", "3: item 2 of \"stop_command\" is true; use a text in quotes"),
        ("ready = {exec = ['x', 1.5]}", "3: item 2 of \"ready.exec\" is 1.5; use a text in quotes"),
        ("binaries = [1]", "3: item 1 of \"binaries\" is 1; use a text in quotes"),
        ("hooks = ['a', 1]", "3: item 2 of \"hooks\" is 1; use a text in quotes"),
        ("depends_on = ['a', 1]", "3: item 2 of \"depends_on\" is 1; use a text in quotes"),
        ("env_file = ['a', '']", "3: item 2 of \"env_file\" is \"\"; use a path that is not empty"),
        ("working_dir = 1", "3: \"working_dir\" is 1; use a path that is not empty"),
        ("ready = {log = 1}", "3: \"ready.log\" is 1; use a valid regular expression"),
        (
            "success_exit_codes = [\n0,\n300]",
            "5: item 2 of \"success_exit_codes\" is 300; use a number from 0 to 255",
        ),
        (
            "cpu_affinity = [0, 'a']",
            "3: item 2 of \"cpu_affinity\" is \"a\"; use the number of a CPU such as 0",
        ),
        ("env = ['A=b', 'secret']", "3: item 2 of \"env\" is not a text NAME=VALUE; write one"),
        ("env = {A = 'b', B = [1]}", "3: \"env.B\" is a list; use a text, a number, true or false"),
        ("env = {A = \"secret\\u0000\"}", "3: \"env.A\" is a text with a NUL character; use a text"),
        ("env = {'A=' = 'b'}", "3: \"env\" has the name \"A=\"; use one that is not empty and has no \"=\""),
        (
            "env = 'secret'",
            "3: \"env\" is not a table such as { NAME = \"value\" }, or a list such as [\"NAME=value\"]",
        ),
    ] {
        let command = if fields.starts_with("command") { "" } else { "command = 'x'" };
        let found = messages("a.toml", &format!("[daemons.a]\n{command}\n{fields}\n"));
        assert!(found.contains(&format!("a.toml:{expected}")), "{fields}: {found}");
        assert!(!found.contains("secret"), "{found}");
    }
}

#[test]
fn a_number_is_a_value_of_env_and_a_text_in_foreign_formats() {
    let spec = daemon("a.toml", "[daemons.a]\ncommand = 'x'\nenv = {A = 1, B = true, C = 1.50}\n");
    let expected = [("A", "1"), ("B", "true"), ("C", "1.50")];
    assert_eq!(spec.env, expected.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
    let compose = daemon("m.yaml", "processes:\n  a:\n    entrypoint: [sleep, 600, true]\n");
    assert_eq!(compose.command, ["sleep", "600", "true"]);
    let pilot = daemon("m.yaml", "processes:\n  - {name: a, path: sleep, args: [600, 1.50]}\n");
    assert_eq!(pilot.command, ["sleep", "600", "1.50"]);
}

/// Asserts that the problems of a file begin with these texts.
fn assert_problems(folder: &Folder, name: &str, expected: &[&str]) {
    let problems = folder.read(&[name]).unwrap_err();
    let found: Vec<&str> = problems.lines().collect();
    assert_eq!(found.len(), expected.len(), "{problems}");
    for (found, expected) in found.iter().zip(expected) {
        assert!(found.starts_with(expected), "{expected}: {found}");
    }
}
