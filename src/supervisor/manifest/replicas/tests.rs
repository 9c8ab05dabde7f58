use crate::model::{Condition, DaemonSpec};
use crate::supervisor::manifest::tests::{Folder, messages};

/// Returns the daemons of a file with this text.
fn daemons(name: &str, text: &str) -> Vec<DaemonSpec> {
    Folder::new(&[(name, text)]).read(&[name]).unwrap().0
}

fn names(daemons: &[DaemonSpec]) -> Vec<&str> {
    daemons.iter().map(|daemon| &*daemon.name).collect()
}

#[test]
fn replicas_are_numbered_and_a_dependency_means_all() {
    let text = "[daemons.web]\ncommand = \"x\"\nreplicas = 2\n[daemons.one]\ncommand = \"x\"\nreplicas = 1\n\
        [daemons.proxy]\ncommand = \"x\"\n\
        depends_on = { web = { condition = \"service_started\", required = false }, one = {} }\n";
    let daemons = daemons("rigup.toml", text);
    assert_eq!(names(&daemons), ["web.0", "web.1", "one", "proxy"]);
    let indexes: Vec<_> =
        daemons.iter().map(|daemon| daemon.replica.as_ref().map(|replica| replica.index)).collect();
    assert_eq!(indexes, [Some(0), Some(1), None, None]);
    let [web, other, one] = &daemons[3].depends_on[..] else { panic!() };
    assert_eq!((&*web.name, &*other.name, &*one.name), ("web.0", "web.1", "one"));
    assert_eq!((web.condition, web.required), (Condition::Started, false));
    assert!(daemons[0].is_named("web") && daemons[0].is_named("web.0") && !daemons[0].is_named("web.1"));
}

#[test]
fn problems_with_replicas_name_the_line() {
    for (fields, expected) in [
        ("replicas = 0", "rigup.toml:3: \"replicas\" is 0; use a number from 1 to 1000"),
        ("replicas = \"two\"", "rigup.toml:3: \"replicas\" is \"two\"; use a number from 1 to 1000"),
        (
            "replicas = 2\nready = { tcp = 80 }",
            "rigup.toml:3: \"replicas\" is 2, but all of them would have the same address or file in \"ready\"",
        ),
        (
            "replicas = 2\n[daemons.\"a.1\"]\ncommand = \"y\"",
            "rigup.toml:4: the daemon \"a.1\" is declared at rigup.toml:1, too; give one of them another name",
        ),
        (
            "replicas = 2\ndepends_on = [\"b\"]",
            "rigup.toml:1: the daemon \"a.0\" depends on \"b\", which is not declared",
        ),
    ] {
        let found = messages("rigup.toml", &format!("[daemons.a]\ncommand = \"x\"\n{fields}\n"));
        assert!(found.starts_with(expected), "{fields}: {found}");
    }
}

#[test]
fn a_name_with_replicas_cannot_be_declared_again() {
    for replicas in ["", "replicas = 3\n"] {
        let other = format!("[daemons.web]\ncommand = \"x\"\n{replicas}");
        let folder =
            Folder::new(&[("a.toml", "[daemons.web]\ncommand = \"x\"\nreplicas = 2\n"), ("b.toml", &other)]);
        let expected =
            "b.toml:1: the daemon \"web\" is declared at a.toml:1, too; give one of them another name";
        assert_eq!(folder.read(&["a.toml", "b.toml"]).unwrap_err(), expected);
    }
}

#[test]
fn process_compose_declares_replicas_and_ways_to_stop() {
    let yaml = "processes:\n  web:\n    command: x\n    replicas: 2\n    shutdown: {command: stop $$me, parent_only: true}\n  \
        job:\n    command: x\n    is_disabled: \"true\"\n    depends_on: {web: {condition: process_completed}}\n";
    let daemons = daemons("pc.yaml", yaml);
    assert_eq!(names(&daemons), ["web.0", "web.1", "job"]);
    let [_, web, job] = &daemons[..] else { panic!() };
    assert_eq!((&*web.env["PC_PROC_NAME"], &*web.env["PC_REPLICA_NUM"]), ("web.1", "1"));
    assert_eq!(web.stop_command.as_ref().unwrap(), &["bash", "-c", "stop $me"]);
    assert!(web.is_signalled_alone);
    assert_eq!((job.autostart, job.depends_on.len()), (false, 2));
    assert_eq!(job.depends_on[1].condition, Condition::Completed);
}
