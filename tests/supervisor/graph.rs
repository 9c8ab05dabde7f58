//! `rigup graph`: what the declared daemons wait for.

use std::io::Read;

use serde_json::json;

use crate::pty::start_on_pty;
use crate::test_context::TestContext;

const MANIFEST: &str = r#"
    [daemons.web]
    command = 'sleep 600'
    depends_on = { db = { condition = "service_started" }, migrate = { condition = "service_completed_successfully" }, cache = { required = false } }
    [daemons.migrate]
    command = 'true'
    depends_on = ["db"]
    [daemons.db]
    command = 'sleep 600'
    [daemons.cache]
    command = 'sleep 600'
    [daemons.worker]
    command = 'sleep 600'
    depends_on = ["db"]
"#;

#[test]
fn the_graph_shows_each_daemon_below_the_last_one_it_requires() {
    let context = TestContext::with_manifest(MANIFEST);
    let graph = context.run(&["graph", "--format", "table"]).succeeds().stdout;
    let lines: Vec<&str> = graph.lines().map(str::trim_end).collect();
    assert_eq!(
        lines,
        [
            "DAEMON      STATUS   WAITS FOR",
            "db          stopped",
            "├─ migrate  stopped  db (ready)",
            "│  └─ web   stopped  db (started), migrate (succeeded), cache (ready, optional)",
            "└─ worker   stopped  db (ready)",
            "cache       stopped",
        ]
    );
    assert!(!context.path("data").exists(), "nothing was written");
    context.run(&["up", "--wait"]).succeeds();
    let records = context.run(&["graph", "--json"]).succeeds().records();
    let web = records.iter().find(|record| record["name"] == "web").unwrap();
    assert_eq!((&web["type"], &web["status"]), (&json!("Daemon"), &json!("running")));
    assert_eq!(
        web["depends_on"][1],
        json!({"name": "migrate", "condition": "service_completed_successfully", "required": true})
    );
    context.down();
}

#[test]
fn the_graph_can_be_printed_for_graphviz() {
    let context = TestContext::new();
    context.write(
        "here/x.toml",
        "[daemons.'a \"b']\ncommand = 'true'\n[daemons.c]\ncommand = 'true'\ndepends_on = { 'a \"b' = { required = false } }\n",
    );
    let graph = context.run(&["graph", "--dot", "-f", "x.toml"]).succeeds().stdout;
    assert_eq!(
        graph,
        "digraph daemons {\n  \"a \\\"b\";\n  \"c\";\n  \"a \\\"b\" -> \"c\" [label=\"ready\", style=dashed];\n}\n"
    );
}

#[test]
fn the_graph_shows_what_daemons_wait_for_in_60_columns() {
    const COLUMNS: u16 = 60;
    let [a, b, c, d] = ["a", "b", "c", "d"].map(|letter| letter.repeat(16));
    let mut context = TestContext::with_manifest(&format!(
        "[daemons.{a}]\ncommand = 'true'\n[daemons.{b}]\ncommand = 'true'\n[daemons.{c}]\ncommand = 'true'\n\
         [daemons.{d}]\ncommand = 'true'\ndepends_on = ['{a}', '{b}', '{c}']\n"
    ));
    context.set("NO_COLOR", "1");
    let (mut terminal, mut graph) =
        start_on_pty(&mut context, &[env!("CARGO_BIN_EXE_rigup"), "graph"], COLUMNS);
    let mut shown = Vec::new();
    // Reading from a terminal that no process has open any more fails.
    let _ = terminal.read_to_end(&mut shown);
    assert!(graph.wait().unwrap().success());
    let shown = String::from_utf8(shown).unwrap();
    assert!(shown.lines().all(|line| line.chars().count() <= usize::from(COLUMNS)), "{shown}");
    assert!(shown.contains("WAITS FOR"), "{shown}");
    for dependency in [a, b, c] {
        assert!(shown.contains(&format!("{dependency} (ready)")), "{shown}");
    }
}
