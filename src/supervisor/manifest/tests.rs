use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use super::hooks::tests::HOOKS;
use super::*;
use crate::model::{
    Condition, DaemonHooks, Dependency, LogLimits, ProcessAttributes, Readiness, ReadinessCheck, Restart,
};
use crate::settings::{Environment, Flags};

/// A folder with manifests.
pub(super) struct Folder(tempfile::TempDir);

impl Folder {
    /// Creates a folder with these files.
    pub(super) fn new(files: &[(&str, &str)]) -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        for (name, text) in files {
            let path = folder.path(name);
            fs_err::create_dir_all(path.parent().unwrap()).unwrap();
            fs_err::write(path, text).unwrap();
        }
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Reads files of the command line. Paths in messages start at the folder.
    pub(super) fn read(&self, names: &[&str]) -> Result<(Vec<DaemonSpec>, Vec<String>), String> {
        let sources: Vec<_> = names.iter().map(|name| ManifestSource::File(self.path(name))).collect();
        let shorten = |text: &str| text.replace(&format!("{}/", self.0.path().display()), "");
        let (daemons, warnings) = self.read_sources(&sources).map_err(|error| shorten(&error.to_string()))?;
        Ok((daemons, warnings.iter().map(|warning| shorten(warning)).collect()))
    }

    fn read_sources(
        &self,
        sources: &[ManifestSource],
    ) -> Result<(Vec<DaemonSpec>, Vec<String>), ManifestError> {
        let flags = Flags { data_dir: Some(self.path("data")), ..Flags::default() };
        let environment = Environment::from_iter([("PATH", "/usr/bin:/bin")]);
        let hooks = HOOKS.map(|name| HookName::parse(name).unwrap());
        read(&Settings::merge(flags, environment).unwrap(), sources, &hooks.each_ref())
    }

    /// Returns the only daemon of a file, which has no warnings.
    fn daemon(&self, name: &str) -> DaemonSpec {
        let (mut daemons, warnings) = self.read(&[name]).unwrap();
        assert_eq!((daemons.len(), warnings.as_slice()), (1, [].as_slice()));
        daemons.remove(0)
    }
}

/// Returns the only daemon of a file with this text.
pub(super) fn daemon(name: &str, text: &str) -> DaemonSpec {
    Folder::new(&[(name, text)]).daemon(name)
}

/// Returns the problems or, without problems, the warnings of a file with this text.
pub(super) fn messages(name: &str, text: &str) -> String {
    Folder::new(&[(name, text)]).read(&[name]).map_or_else(|error| error, |(_, warnings)| warnings.join("\n"))
}

pub(super) fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn variables(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn a_table_declares_every_field_of_a_daemon() {
    let text = r#"
[daemons."my web"]
command = "bin/server --title 'a $b' %t"
working_dir = "site"
env = { PORT = 8080, QUOTE = "$x 'y'" }
env_file = "web.env"
binaries = ["node"]
depends_on = { db = { condition = "service_healthy" }, migrate = { condition = "service_completed_successfully", required = false } }
ready = { http = "http://localhost:8080/health", timeout = "1m", interval = 0.5 }
restart = "unless-stopped"
success_exit_codes = [0, 143]
restart_delay = "500ms"
restart_delay_max = 30
restart_reset = "1m"
restart_limit = "5/60s"
stop_signal = "SIGINT"
stop_grace_period = "5s"
exit_on_end = true
exit_on_failure = true
autostart = false
process_type = "orchestrator"
log_max_size = "64KiB"
log_max_files = 3
[daemons.db]
command = ["postgres", "-D", "data"]
ready = { tcp = 5432 }
"#;
    let env = "# comment\nexport A=\"b c\"\n\nPORT=1\n";
    let folder = Folder::new(&[("rigup.toml", text), ("web.env", env)]);
    let (daemons, warnings) = folder.read(&["rigup.toml"]).unwrap();
    assert!(warnings.is_empty(), "{warnings:?}");
    let dependency = |name: &str, condition, required| Dependency {
        name: name.parse().unwrap(),
        condition,
        required,
        restart: false,
    };
    let expected = DaemonSpec {
        name: "my web".parse().unwrap(),
        source: format!("{}:2", folder.path("rigup.toml").display()),
        command: words(&[folder.path("site/bin/server").to_str().unwrap(), "--title", "a $b", "%t"]),
        working_dir: folder.path("site"),
        env: variables(&[("A", "b c"), ("PORT", "8080"), ("QUOTE", "$x 'y'")]),
        binaries: words(&["node"]),
        depends_on: vec![
            dependency("db", Condition::Healthy, true),
            dependency("migrate", Condition::CompletedSuccessfully, false),
        ],
        ready: Some(Readiness {
            probe: ReadinessCheck::Http("http://localhost:8080/health".to_owned()),
            timeout: seconds(60),
            interval: Duration::from_millis(500),
            check_timeout: seconds(5),
            stops_all: false,
        }),
        healthcheck: None,
        restart: Restart::UnlessStopped,
        success_exit_codes: vec![0, 143],
        restart_delay: Duration::from_millis(500),
        restart_delay_max: seconds(30),
        restart_reset: seconds(60),
        restart_limit: Some((5, seconds(60))),
        stop_signal: "INT".to_owned(),
        stop_grace_period: seconds(5),
        exit_on_end: true,
        exit_on_failure: true,
        autostart: false,
        restart_on_update: false,
        is_orchestrator: true,
        log_limits: LogLimits { max_size: 65_536, max_files: 3 },
        replica: None,
        attributes: ProcessAttributes::default(),
        memory_max: None,
        stop_command: None,
        is_signalled_alone: false,
        hooks: DaemonHooks::default(),
    };
    assert_eq!(daemons[0], expected);
    let db = &daemons[1];
    assert_eq!((db.restart, db.restart_limit, db.stop_grace_period), (Restart::OnFailure, None, seconds(10)));
    assert_eq!((db.autostart, db.success_exit_codes.as_slice()), (true, [0].as_slice()));
    assert_eq!(db.ready.as_ref().unwrap().probe, ReadinessCheck::Tcp("localhost".to_owned(), 5432));
}

#[test]
fn each_line_of_a_plugin_declares_a_daemon() {
    let text = concat!(
        r#"{"type":"Daemon","name":"a","command":"echo $HOME; true","shell":true,"restart":"no"}"#,
        "\n\n",
        r#"{"type":"Daemon","name":"b","command":["x"],"depends_on":["a"],"ready":{"log":"^up"}}"#,
    );
    let folder = Folder::new(&[("plugins/x/daemons.jsonl", text)]);
    let path = folder.path("plugins/x/daemons.jsonl");
    let (daemons, _) = folder.read_sources(&[ManifestSource::Plugin(folder.path("plugins/x"))]).unwrap();
    assert_eq!(daemons[0].command, words(&["sh", "-c", "echo $HOME; true"]));
    assert_eq!(daemons[1].source, format!("{}:3", path.display()));
    assert_eq!(daemons[1].working_dir, folder.path("plugins/x"));
    assert_eq!(daemons[1].depends_on[0].condition, Condition::Ready);
    let missing = [ManifestSource::Plugin(folder.path("none")), ManifestSource::Project(folder.path("none"))];
    assert_eq!(folder.read_sources(&missing), Ok((Vec::new(), Vec::new())));
}

#[test]
fn fields_of_later_versions_may_have_an_empty_value() {
    let spec = daemon("rigup.toml", "[daemons.a]\ncommand = \"x\"\nrestart_on_update = false\n");
    assert_eq!(spec.command, ["x"]);
}

#[test]
fn a_name_declared_in_two_places_is_refused_with_both_places() {
    let folder = Folder::new(&[
        ("rigup.toml", "[daemons.web]\ncommand = \"x\"\n"),
        ("b.yaml", "processes:\n  other: { command: x }\n  web:\n    command: x\n"),
    ]);
    let expected =
        "b.yaml:3: the daemon \"web\" is declared at rigup.toml:1, too; give one of them another name";
    assert_eq!(folder.read(&["rigup.toml", "b.yaml"]).unwrap_err(), expected);
}

#[test]
fn all_problems_of_all_files_are_reported() {
    let folder = Folder::new(&[("a.toml", "[daemons.a]\n[daemons.b]\n"), ("b.yaml", "processes:\n  c: 1\n")]);
    let problems = folder.read(&["a.toml", "b.yaml", "none.yaml"]).unwrap_err();
    let lines: Vec<&str> = problems.lines().collect();
    let expected = [
        "a.toml:1: no \"command\"",
        "a.toml:2: no \"command\"",
        "b.yaml:2: the process \"c\" is 1; use a table with its fields",
        "cannot read none.yaml: there is no such file",
    ];
    assert_eq!(lines, expected);
}

#[test]
fn no_file_that_others_can_write_declares_a_daemon() {
    let folder = Folder::new(&[("Procfile", "web: x\n"), (".env", "A=b\n")]);
    for name in [".env", "Procfile"] {
        fs_err::set_permissions(folder.path(name), PermissionsExt::from_mode(0o666)).unwrap();
        let error = folder.read(&["Procfile"]).unwrap_err();
        assert!(error.contains("others can write to it (mode 0666)"), "{error}");
    }
}

#[test]
fn a_process_pilot_manifest_declares_its_processes() {
    let json = r#"{
	"kill_timeout": 2.0,
	"control_server": "tcp",
	"processes": [
		{
			"name": "store",
			"path": "sleep",
			"args": ["5", "$x"],
			"timeout": 3,
			"shutdown_strategy": "do_not_restart",
			"ready_strategy": "file",
			"ready_timeout_sec": 10.0,
			"ready_params": {"path": "ready"},
			"env": {"A": "b"},
			"lifecycle_hooks": [],
			"affinity": null
		},
		{"name": "api", "path": "services/*-api", "dependencies": ["store"], "timeout": null},
		{"name": "ui", "path": "./services/ui", "shutdown_strategy": "shutdown_everything", "working_directory": "services",
			"ready_strategy": "tcp", "ready_params": {"port": 8080}},
		{"name": "pipe", "path": "sleep", "ready_strategy": "pipe", "ready_params": {"path": "ready"}}
	]
}"#;
    let folder = Folder::new(&[("m.json", json), ("services/v2/my-api", ""), ("services/ui", "")]);
    let (daemons, warnings) = folder.read(&["m.json"]).unwrap();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].starts_with("m.json:3: control_server is ignored"), "{warnings:?}");
    let [store, api, ui, pipe] = daemons.try_into().unwrap();
    assert_eq!(store.source, format!("{}:5", folder.path("m.json").display()));
    assert_eq!(
        (store.command, store.working_dir),
        (words(&["sleep", "5", "$x"]), folder.path("").components().collect())
    );
    assert_eq!((store.restart, store.stop_grace_period), (Restart::No, seconds(3)));
    let ready = store.ready.unwrap();
    assert_eq!(
        (ready.probe, ready.timeout, ready.stops_all),
        (ReadinessCheck::File(folder.path("ready")), seconds(10), true)
    );
    assert_eq!(api.command, [folder.path("services/v2/my-api").to_str().unwrap()]);
    assert_eq!((api.working_dir, api.restart), (folder.path("services/v2"), Restart::Always));
    assert_eq!(
        (api.depends_on[0].condition, api.stop_grace_period),
        (Condition::Ready, crate::duration::MAX)
    );
    assert_eq!((ui.working_dir, ui.restart, ui.exit_on_end), (folder.path("services"), Restart::No, true));
    assert_eq!(ui.ready.unwrap().probe, ReadinessCheck::Tcp("localhost".to_owned(), 8080));
    assert_eq!(pipe.ready.unwrap().probe, ReadinessCheck::Pipe(folder.path("ready")));
}

#[test]
fn a_process_pilot_manifest_may_be_yaml_with_another_base_directory() {
    let yaml = "base_directory: services\nprocesses:\n  - name: api\n    path: api\n    timeout: 1.5\n";
    let folder = Folder::new(&[("m.yaml", yaml), ("services/api", "")]);
    let daemon = folder.daemon("m.yaml");
    assert_eq!(
        (daemon.command[0].as_str(), daemon.working_dir),
        (folder.path("services/api").to_str().unwrap(), folder.path("services"))
    );
    assert_eq!(daemon.stop_grace_period, Duration::from_millis(1500));
}

#[test]
fn problems_of_process_pilot_manifests_name_the_line() {
    for (fields, expected) in [
        ("path: sleep", "m.yaml:2: no \"name\""),
        ("name: a", "m.yaml:2: no \"path\""),
        ("name: a\n    path: ./none", "m.yaml:3: \"path\" is not a program: there is no file none"),
        ("name: a\n    path: x*", "m.yaml:3: \"path\" matches no file"),
        (
            "name: a\n    path: sleep\n    shutdown_strategy: stop",
            "use restart, do_not_restart or shutdown_everything",
        ),
        (
            "name: a\n    path: sleep\n    ready_strategy: pipe",
            "\"ready_strategy\" needs \"path\" in \"ready_params\"",
        ),
        (
            "name: a\n    path: sleep\n    ready_strategy: tcp",
            "\"ready_strategy\" needs \"port\" in \"ready_params\"",
        ),
        (
            "name: a\n    path: sleep\n    working_directory: none",
            "m.yaml:4: \"working_directory\" is not a folder",
        ),
        (
            "name: a\n    path: sleep\n    dependencies: [b]",
            "m.yaml:2: the daemon \"a\" depends on \"b\", which",
        ),
        (
            "name: a\n    path: sleep\n    colour: red",
            "m.yaml:4: ignored the unknown key \"colour\"; use name, path",
        ),
    ] {
        let found = messages("m.yaml", &format!("processes:\n  - {fields}\n"));
        assert!(found.contains(expected), "{fields}: {found}");
    }
    for (text, expected) in [
        ("processes: 1\n", "m.yaml:1: \"processes\" has no process; use a list of processes"),
        ("a: 1\n", "m.yaml:1: no \"processes\"; use a list of processes"),
        ("services:\n  a: {image: x}\n", "m.yaml:1: \"services\" are containers of docker compose"),
        ("processes:\n  - [\n", "m.yaml:"),
    ] {
        let found = messages("m.yaml", text);
        assert!(found.starts_with(expected), "{text}: {found}");
    }
}

#[test]
fn a_file_of_another_format_names_the_files_that_rigup_reads() {
    let procfile = "no \"processes\"; use a list of processes as process_pilot does, or a table of processes as process-compose \
                    does; the name of a Procfile begins with \"Procfile\", and that of a file with [daemons.NAME] ends with \
                    .toml";
    for name in ["procfile", "foo.procs"] {
        assert_eq!(messages(name, "web: ./serve\n"), format!("{name}:1: {procfile}"));
    }
    let table = messages("daemons.conf", "[daemons.a]\ncommand = 'x'\n");
    assert!(table.contains("that of a file with [daemons.NAME] ends with .toml"), "{table}");
    for text in ["[program:a]\ncommand=x\n", "; supervisord\n[supervisord]\n[program:a]\ncommand=x\n"] {
        let found = messages("supervisord.conf", text);
        let line = text.lines().count() - 1;
        let expected = format!(
            "supervisord.conf:{line}: a configuration of supervisord, which rigup does not read; declare each program \
             in rigup.toml, as [daemons.NAME] with its command"
        );
        assert_eq!(found, expected);
    }
    let found = messages("secret", "password\n");
    assert!(found.starts_with("secret:1: the manifest is a text; use a table with its fields"), "{found}");
    assert!(!messages("m.yaml", "web: ./serve\n").contains("Procfile"), "its name says that it is YAML");
}

#[test]
fn a_process_compose_manifest_declares_its_processes() {
    let yaml = r#"
version: "0.5"
environment:
  - A=shared
  - B=shared
processes:
  db:
    entrypoint: [postgres, -D, data]
    readiness_probe:
      http_get: {host: localhost, port: 8080, path: /ready}
      initial_delay_seconds: 5
      period_seconds: 2
      failure_threshold: 4
    shutdown: {signal: 2, timeout_seconds: 3}
  web:
    command: echo "$A" $$B
    description: the site
    namespace: [front]
    x-note: mine
    environment: ["B=web=1"]
    env_file: web.env
    working_dir: site
    depends_on:
      db: {condition: process_healthy}
    availability: {restart: on_failure, backoff_seconds: 3, max_restarts: 4, exit_on_end: true}
    success_exit_codes: [143]
  job:
    command: "true"
    disabled: true
    ready_log_line: "up (1)"
    availability: {restart: exit_on_failure}
"#;
    let folder =
        Folder::new(&[("pc.yaml", yaml), ("web.env", "C=file\nA=file\n"), (".env", "D=dot\nA=dot\n")]);
    let (daemons, warnings) = folder.read(&["pc.yaml"]).unwrap();
    assert!(warnings.is_empty(), "{warnings:?}");
    let [db, web, job] = daemons.try_into().unwrap();
    assert_eq!((db.command, db.restart), (words(&["postgres", "-D", "data"]), Restart::No));
    assert_eq!((db.stop_signal.as_str(), db.stop_grace_period), ("INT", seconds(3)));
    let ready = db.ready.unwrap();
    assert_eq!(ready.probe, ReadinessCheck::Http("http://localhost:8080/ready".to_owned()));
    assert_eq!((ready.timeout, ready.interval), (seconds(13), seconds(2)));
    assert_eq!(web.command, ["bash", "-c", "echo \"$A\" $B"]);
    let env = [("A", "file"), ("B", "web=1"), ("C", "file"), ("D", "dot")];
    assert_eq!(web.env, variables(&[&env[..], &[("PC_PROC_NAME", "web"), ("PC_REPLICA_NUM", "0")]].concat()));
    assert_eq!((web.working_dir, web.depends_on[0].condition), (folder.path("site"), Condition::Ready));
    assert_eq!((web.restart, web.exit_on_end), (Restart::OnFailure, true));
    assert_eq!((web.restart_delay, web.restart_delay_max), (seconds(3), seconds(3)));
    assert_eq!((web.restart_limit, web.success_exit_codes), (Some((4, crate::duration::MAX)), vec![143, 0]));
    assert_eq!((job.autostart, job.restart, job.exit_on_failure), (false, Restart::No, true));
    assert_eq!(job.ready.unwrap().probe, ReadinessCheck::Log(r"up \(1\)".to_owned()));
}

#[test]
fn problems_of_process_compose_manifests_name_the_line() {
    for (fields, expected) in [
        ("description: x", "m.yml:2: no \"command\""),
        ("is_tty: true", "m.yml:3: \"is_tty\" is not supported by this version of rigup"),
        ("is_daemon: true", "\"is_daemon\" is not supported by this version of rigup"),
        ("command: x\n    liveness_probe: {}", "\"liveness_probe\" has no check; use exec or http_get"),
        ("command: x {{.A}}", "m.yml:3: a {{ template is not supported; write the value itself"),
        (
            "command: x\n    shutdown: {send_keys: y}",
            "\"shutdown.send_keys\" is not supported by this version",
        ),
        ("command: x\n    availability: {restart: maybe}", "use no, on_failure, always or exit_on_failure"),
        ("command: x\n    readiness_probe: {}", "\"readiness_probe\" has no check; use exec or http_get"),
        (
            "command: x\n    working_dir: $HOME",
            "m.yml:4: \"working_dir\" has a `$`, but rigup does not expand",
        ),
        ("command: x\n    comand: y", "m.yml:4: ignored the unknown key \"comand\"; write \"command\""),
    ] {
        let found = messages("m.yml", &format!("processes:\n  a:\n    {fields}\n"));
        assert!(found.contains(expected), "{fields}: {found}");
    }
}

#[test]
fn a_procfile_declares_one_daemon_in_each_line() {
    let text = "# the site\nweb: bundle exec puma -p $PORT\n\nworker-1:  ./work 'a b': c\nnonsense\n";
    let folder = Folder::new(&[("Procfile.dev", text), (".env", "A=b # c\nB\n")]);
    let (daemons, warnings) = folder.read(&["Procfile.dev"]).unwrap();
    let expected =
        [".env:2 is ignored: not NAME=VALUE", "Procfile.dev:5: ignored the line; use NAME: COMMAND"];
    assert_eq!(warnings, expected);
    let [web, worker] = daemons.try_into().unwrap();
    assert_eq!(web.command, ["sh", "-c", "bundle exec puma -p $PORT"]);
    assert_eq!((web.restart, web.exit_on_end), (Restart::No, true));
    assert_eq!(web.env, variables(&[("A", "b # c"), ("PORT", "5000")]));
    assert_eq!((&*worker.name, worker.command[2].as_str()), ("worker-1", "./work 'a b': c"));
    assert_eq!(worker.env["PORT"], "5100");
    assert_eq!(worker.source, format!("{}:4", folder.path("Procfile.dev").display()));
    let folder = Folder::new(&[("Procfile", "a: x\nb: x\n"), (".env", "PORT=65500\n")]);
    assert_eq!(
        folder.read(&["Procfile"]).unwrap_err(),
        "Procfile:2: no port is left; use a lower PORT in .env"
    );
}
