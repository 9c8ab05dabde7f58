use std::collections::BTreeMap;

use nix::unistd::{User, geteuid};

use crate::model::{ProcessAttributes, ResourceLimit};
use crate::supervisor::manifest::tests::{daemon, messages};

fn limit(soft: u64, hard: u64) -> ResourceLimit {
    ResourceLimit { soft, hard }
}

#[test]
fn the_limits_of_a_daemon_are_numbers_sizes_and_tables() {
    let spec = daemon(
        "rigup.toml",
        "[daemons.a]\ncommand = \"x\"\nnice = -5\ncpu_affinity = [0]\numask = \"0027\"\nmemory_max = \"64MiB\"\n\
         rlimits = { nofile = 1024, core = { soft = 0, hard = \"unlimited\" }, as = \"1GiB\", stack = \"unlimited\" }\n",
    );
    let rlimits = [
        ("nofile", limit(1024, 1024)),
        ("core", limit(0, ResourceLimit::NONE)),
        ("as", limit(1 << 30, 1 << 30)),
        ("stack", limit(ResourceLimit::NONE, ResourceLimit::NONE)),
    ];
    let expected = ProcessAttributes {
        user: None,
        nice: Some(-5),
        cpu_affinity: vec![0],
        rlimits: rlimits.map(|(name, limit)| (name.to_owned(), limit)).into(),
        umask: Some(0o27),
    };
    assert_eq!(spec.attributes, expected);
    assert_eq!(spec.memory_max, Some(64 << 20));
    let plain = daemon("rigup.toml", "[daemons.a]\ncommand = \"x\"\n");
    assert_eq!((plain.attributes.if_any(), plain.memory_max), (None, None));
}

#[test]
fn problems_with_limits_name_the_line_and_what_is_allowed() {
    for (field, expected) in [
        ("nice = 20", "\"nice\" is 20; use a number from -20 to 19"),
        ("umask = 27", "\"umask\" is 27; use octal digits in quotes such as \"027\""),
        ("umask = \"9\"", "\"umask\" is \"9\"; use octal digits in quotes such as \"027\""),
        ("umask = \"1777\"", "\"umask\" is \"1777\"; use octal digits"),
        ("cpu_affinity = 0", "\"cpu_affinity\" is 0; use a list of the numbers of CPUs such as [0, 1]"),
        ("cpu_affinity = [0, 99999]", "\"cpu_affinity\" has 99999, but the CPUs of this machine are 0 to "),
        ("memory_max = \"1G\"", "\"memory_max\" is \"1G\"; use a number of bytes such as 65536, or"),
        ("memory_max = 0", "\"memory_max\" is 0; use a number of bytes such as 65536, or"),
        ("rlimits = { nofiles = 1 }", "unknown key \"rlimits.nofiles\"; write \"rlimits.nofile\""),
        (
            "rlimits = { nofile = \"many\" }",
            "\"rlimits.nofile\" is \"many\"; use a number, \"unlimited\", or a",
        ),
        ("rlimits = { nofile = { soft = 1 } }", "\"rlimits.nofile\" needs both soft and hard"),
        (
            "rlimits = { nofile = { soft = 2, hard = 1 } }",
            "\"rlimits.nofile\" has a \"soft\" limit above the",
        ),
        (
            "rlimits = { nofile = { soft = \"unlimited\", hard = 1 } }",
            "\"soft\" limit above the \"hard\" one",
        ),
        (
            "user = \"no-such-user\"",
            "\"user\" is \"no-such-user\"; use the name or the uid of a user of this",
        ),
        ("user = []", "\"user\" is an empty list; use the name or the uid of a user"),
    ] {
        let found = messages("rigup.toml", &format!("[daemons.a]\ncommand = \"x\"\n{field}\n"));
        assert!(found.starts_with("rigup.toml:3: ") && found.contains(expected), "{field}: {found}");
    }
}

#[test]
fn only_root_can_start_a_daemon_as_another_user() {
    let other = if geteuid().is_root() { "nobody" } else { "root" };
    let manifest = format!("[daemons.a]\ncommand = \"x\"\nuser = \"{other}\"\nenv = {{ USER = \"me\" }}\n");
    if !geteuid().is_root() {
        let expected = "rigup.toml:3: \"user\" is \"root\", but only root can start a daemon as another user; run \
                        rigup as root, or remove \"user\"";
        assert_eq!(messages("rigup.toml", &manifest), expected);
        return;
    }
    let spec = daemon("rigup.toml", &manifest);
    let nobody = User::from_name("nobody").unwrap().unwrap();
    assert_eq!(spec.attributes.user.as_deref(), Some("nobody"));
    let home = nobody.dir.to_str().unwrap();
    let env = [("HOME", home), ("LOGNAME", "nobody"), ("USER", "me")];
    let expected: BTreeMap<_, _> = env.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    assert_eq!(spec.env, expected);
    let by_uid = format!("[daemons.a]\ncommand = \"x\"\nuser = {}\n", nobody.uid);
    assert_eq!(daemon("rigup.toml", &by_uid).env["USER"], "nobody");
}

#[test]
fn the_limits_and_the_user_change_the_digest() {
    let digest = |fields: &str| {
        let text = format!("[daemons.a]\ncommand = \"x\"\nworking_dir = \"/\"\n{fields}\n");
        daemon("a.toml", &text).digest()
    };
    let plain = digest("");
    for field in [
        "nice = 1",
        "umask = \"077\"",
        "memory_max = \"1GiB\"",
        "rlimits = { nofile = 9 }",
        "cpu_affinity = [0]",
    ] {
        assert_ne!(digest(field), plain, "{field}");
    }
    assert_eq!(digest("stop_command = \"x\""), plain);
}

#[test]
fn the_affinity_of_process_pilot_restricts_the_cpus() {
    let manifest = |field: &str| format!("processes:\n  - name: a\n    path: sleep\n    {field}\n");
    for key in ["affinity", "processor_affinity"] {
        let spec = daemon("m.yaml", &manifest(&format!("{key}: [0]")));
        assert_eq!(spec.attributes.cpu_affinity, [0], "{key}");
        let found = messages("m.yaml", &manifest(&format!("{key}: [99999]")));
        assert!(found.starts_with(&format!("m.yaml:4: \"{key}\" has 99999, but the CPUs")), "{found}");
    }
    assert!(daemon("m.yaml", &manifest("affinity: null")).attributes.cpu_affinity.is_empty());
}
