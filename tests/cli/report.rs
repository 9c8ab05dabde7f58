//! `rigup report`: the page about a data dir.

use std::fs;

use serde_json::json;

use crate::test_context::{CommandOutput, TestContext, wait_until};

/// Writes the report, and returns its text.
fn page(context: &TestContext) -> String {
    assert_eq!(context.run(&["report"]).succeeds().stdout, "rigup-report.html\n");
    fs::read_to_string(context.path("here/rigup-report.html")).unwrap()
}

#[test]
fn the_page_shows_what_is_installed_what_failed_and_what_ran() {
    let context = TestContext::new();
    context.fixture("good").fixture("failing");
    let line = |name: &str, by: &str| json!({"type": "Binary", "name": name, "binproviders": by});
    context.plugin("p", &[line("one", "good"), line("two", "failing,good"), line("none", "failing")]);
    context.script("here/plugins/p/on_Snapshot__1_page.sh", "#!/bin/sh\necho offline >&2\nexit 4\n");
    context.run(&["install"]).exits_with(1);
    context.run(&["run", "Snapshot"]).exits_with(1);
    fs::remove_file(context.bin("one")).unwrap();
    let page = page(&context);
    let (missing, rest) = page.split_once("<h2 id=\"installed\">").unwrap();
    let (installed, rest) = rest.split_once("<h2 id=\"commands\">").unwrap();
    let (commands, daemons) = rest.split_once("<h2 id=\"daemons\">").unwrap();
    assert!(missing.contains("<h3>none</h3>") && missing.contains("exit code 3: the disk is on fire"));
    assert!(missing.contains("the disk is on fire</pre>") && !missing.contains("<h3>one</h3>"), "{missing}");
    assert!(installed.contains("one</th><td>2.0.1</td><td>good</td>") && installed.contains("two</th>"));
    assert_eq!(installed.matches("not linked").count(), 1, "{installed}");
    let (run, install) = commands.split_once(">rigup install</code>").unwrap();
    assert!(
        run.contains(">rigup run Snapshot</code>") && run.contains("1 hook, <span class=\"bad\">1 failed")
    );
    assert!(install.contains("4 hooks, <span class=\"bad\">1 failed"), "{install}");
    assert_eq!(commands.matches("<div class=\"bar ").count(), 5);
    assert!(daemons.contains("No daemon is known"));
    assert!(!page.contains("<script"));
}

#[test]
fn hooks_of_removed_binaries_are_shown_as_they_exited() {
    let context = TestContext::new();
    context.fixture("good").fixture("failing");
    let line = |name: &str, by: &str| json!({"type": "Binary", "name": name, "binproviders": by});
    context.plugin("p", &[line("one", "failing,good")]);
    context.run(&["install"]).succeeds();
    let before = page(&context);
    assert!(before.contains("<summary>All 2 attempts</summary>") && before.contains(">Attempts</th>"));
    context.run(&["uninstall", "--force", "one"]).succeeds();
    let after = page(&context);
    assert!(!after.contains(">Attempts</th>"), "{after}");
    for text in ["<div class=\"bar succeeded ", "<div class=\"bar failed ", "<dd>exit 0</dd>"] {
        assert!(after.contains(text), "{text}");
    }
    assert_eq!(after.matches("<div class=\"bar ").count(), 2);
    context.plugin("p", &[line("two", "good")]);
    context.run(&["install"]).succeeds();
    assert!(page(&context).contains("<summary>1 attempt</summary>"));
}

#[test]
fn the_page_of_an_empty_data_dir_creates_nothing_else() {
    let context = TestContext::new();
    let page = page(&context);
    for text in ["No binary is installed", "No command is recorded", "No daemon is known"] {
        assert!(page.contains(text), "{text}");
    }
    assert!(!context.path("data").exists());
    let record = context.run(&["report", "--html", "out/r.html", "--json"]).succeeds().record();
    assert_eq!(record, json!({"type": "Report", "path": "out/r.html"}));
    assert!(context.path("here/out/r.html").exists());
    context.write("here/file", "");
    context
        .run(&["report", "--html", "file/r.html"])
        .exits_with(3)
        .stderr_contains("error: cannot write the report to file/r.html: ");
}

#[test]
fn text_of_others_is_escaped_and_long_logs_are_cut() {
    let context = TestContext::new();
    let hook = "#!/bin/sh\nseq -f 'line %g </pre><script>alert(2)</script>' 100000 >&2\nexit 1\n";
    context.provider("hostile", hook);
    let name = "<img src=x onerror=alert(1)>";
    context.plugin("p", &[json!({"type": "Binary", "name": name, "binproviders": "hostile"})]);
    context.run(&["install"]).exits_with(1);
    context.write(
        "here/rigup.toml",
        "[daemons.\"<b>d\"]\ncommand = [\"sh\", \"-c\", \"echo '<i>' >&2; exit 1\"]\nrestart = \"no\"\n",
    );
    context.run(&["up", "-d"]);
    wait_until("the daemon has ended", || {
        context.run(&["ps", "-a"]).records().iter().any(|daemon| daemon["status"] == "failed")
    });
    let page = page(&context);
    context.run(&["down"]).succeeds();
    for tag in ["<img", "<script", "<b>d", "<i>"] {
        assert!(!page.contains(tag), "{tag}");
    }
    assert!(page.contains("&lt;img src=x") && page.contains("&lt;b&gt;d") && page.contains("&lt;i&gt;"));
    assert!(page.contains("line 100000") && !page.contains("line 99000"));
    assert!(page.len() < 60_000, "{}", page.len());
}

#[test]
fn a_large_data_dir_has_a_page_that_a_browser_can_show() {
    let context = TestContext::new();
    context.concurrent_provider("failing", "#!/bin/sh\nyes error | head -c 9000 >&2\nexit 1\n");
    let lines: Vec<_> = (0..30)
        .map(|n| json!({"type": "Binary", "name": format!("tool-{n}"), "binproviders": "failing"}))
        .collect();
    context.plugin("p", &lines);
    for _ in 0..3 {
        context.run(&["install"]).exits_with(1);
    }
    let columns = "id, machine_id, name, binproviders, min_version, max_version";
    let store = context.store();
    let all: Vec<String> = store
        .prepare("SELECT name FROM pragma_table_info('binary')")
        .unwrap()
        .query_map([], |row| row.get(0))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    let rest = all.iter().filter(|column| !columns.contains(column.as_str()));
    let rest: Vec<&str> = rest.map(String::as_str).collect();
    let rest = rest.join(", ");
    for n in 0..600 {
        let copy = format!(
            "INSERT INTO binary (id, name, machine_id, binproviders, min_version, max_version, {rest}) \
             SELECT '{n:08x}-0000-7000-8000-000000000000', 'copy-{n}', machine_id, binproviders, min_version, \
             max_version, {rest} FROM binary WHERE name = 'tool-0'"
        );
        store.execute(&copy, []).unwrap();
    }
    drop(store);
    let page = page(&context);
    assert!(page.contains("130 more binaries are left out"));
    assert!(page.len() < 2_000_000, "{}", page.len());
}

#[test]
fn a_page_on_standard_output_is_alone_there() {
    let context = TestContext::new();
    for args in [
        &["report", "--html", "/dev/stdout"] as &[&str],
        &["report", "--json", "--html", "/dev/stdout"],
        &["report", "--html", "-"],
    ] {
        let output = context.run(args).succeeds();
        assert!(
            output.stdout.starts_with("<!DOCTYPE html>") && output.stdout.ends_with("</html>\n"),
            "{args:?}"
        );
        assert_eq!(output.stderr, "");
    }
    let (reader, closed) = std::io::pipe().unwrap();
    drop(reader);
    let mut report = context.command(&["report", "--html", "/dev/stdout"]);
    let output = CommandOutput::new(&[], &report.stdout(closed).output().unwrap()).succeeds();
    assert_eq!(output.stderr, "", "a reader may close it early");
    assert!(!context.path("here/-").exists());
}

#[test]
fn the_commands_that_exec_and_start_ran_are_shown_as_they_were_typed() {
    let context = TestContext::new();
    context.run(&["exec", "--", "echo", "a b"]).succeeds();
    context.run(&["start", "--slug", "job", "--", "true"]).succeeds();
    wait_until("the run has ended", || {
        context.run(&["process", "list", "--slug", "job", "--status", "exited"]).records().len() == 1
    });
    let page = page(&context);
    let (start, exec) = page.split_once("rigup exec -- echo ").expect("the command is on the page");
    assert!(start.contains(">rigup start --slug job -- true</code>"), "the newest is the first: {page}");
    assert!(exec.contains("a b"), "{exec}");
}
