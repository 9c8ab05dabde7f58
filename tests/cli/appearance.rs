//! Snapshots of everything that a person reads: help, errors and tables.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::Read;
use std::path::Path;
use std::process::Stdio;

use insta::assert_snapshot;
use nix::pty::{Winsize, openpty};
use serde_json::json;

use crate::builtin_providers;
use crate::test_context::{TestContext, wait_until};

/// The maximum width of a line of help, in columns.
const MAX_HELP_WIDTH: usize = 100;

/// Replaces text that differs between runs. Ids must come before numbers.
const FILTERS: [(&str, &str); 9] = [
    (r"…[./A-Za-z0-9]*?/(data|here)/", "…TMP/$1/"),
    (r"/tmp/\.tmp[A-Za-z0-9]+", "TMP"),
    (r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}", "ID"),
    (r"(?m)(^| )[0-9a-f]{8}( |\)|$)", "${1}SHORT-ID${2}"),
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", "TIME"),
    (r"(?:now  |\d+ s ago)", "RECENT"),
    // The width of the column depends on its times.
    (r"RECENT +SHORT-ID", "RECENT  SHORT-ID"),
    (r"TIME +PROCESS", "TIME    PROCESS"),
    (r"builtin/[0-9a-f]{16}", "builtin/DIGEST"),
];

/// Runs commands, and returns their command lines, standard error and exit codes.
fn transcript(context: &TestContext, commands: &[&[&str]]) -> String {
    let shown = commands.iter().map(|args| {
        let output = context.run(args);
        format!("$ rigup {}\n{}[exit {}]\n\n", args.join(" "), output.stderr, output.code.unwrap())
    });
    shown.collect()
}

/// Runs a program on a terminal of this width, and returns its output.
pub(crate) fn run_on_terminal(context: &TestContext, columns: u16, program: &Path, args: &[&str]) -> String {
    let size = Winsize { ws_row: 24, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    let pty = openpty(Some(&size), None).unwrap();
    let slave = || Stdio::from(pty.slave.try_clone().unwrap());
    let all = [&["--ctty", program.to_str().unwrap()], args].concat();
    let mut command = context.command_for(Path::new("setsid"), &all);
    command.env("CI", "1").env("NO_COLOR", "1").stdin(slave()).stdout(slave()).stderr(slave());
    let mut child = command.spawn().unwrap();
    drop(command);
    let mut screen = File::from(pty.master);
    drop(pty.slave);
    let reader = std::thread::spawn(move || {
        let mut shown = Vec::new();
        // Reading from a terminal that no process has open any more fails instead of returning 0 bytes.
        let _ = screen.read_to_end(&mut shown);
        String::from_utf8_lossy(&shown).replace("\r\n", "\n")
    });
    wait_until("the program has exited", || child.try_wait().unwrap().is_some());
    reader.join().unwrap()
}

/// Runs rigup on a terminal, and asserts that no line of a table is wider than the terminal.
fn screen_of(context: &TestContext, columns: u16, args: &[&str]) -> String {
    let screen = run_on_terminal(context, columns, Path::new(env!("CARGO_BIN_EXE_rigup")), args);
    // The fields of one record are not a table.
    let is_table = !args.contains(&"show");
    for line in screen.lines().filter(|_| is_table) {
        assert!(line.chars().count() <= usize::from(columns), "wider than {columns} columns: {line}");
    }
    format!("$ rigup {}\n{screen}", args.join(" "))
}

/// Whether a plugin is a built-in provider, except `env`, which has rows in the snapshots.
fn is_left_out(plugin: &str) -> bool {
    plugin != "env" && builtin_providers::providers().iter().any(|provider| provider == plugin)
}

/// Returns errors without the names of built-in providers in lists of plugins, so that a new provider changes none.
fn without_builtin_names(text: &str) -> String {
    let lines = text.lines().map(|line| {
        let Some((start, plugins)) = line.split_once("available plugins: ") else { return line.to_owned() };
        let names: Vec<&str> = plugins.split(", ").filter(|name| !is_left_out(name)).collect();
        format!("{start}available plugins: {}", names.join(", "))
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Returns the table of plugins without the rows of built-in providers and without what depends on the widths of those
/// rows: the widths of the columns, and the folders of paths.
fn without_builtin_rows(table: &str) -> String {
    let rows = table.lines().filter(|row| !row.split_whitespace().next().is_some_and(is_left_out));
    let rows = rows.map(|row| {
        let cells = row.split("  ").map(str::trim).filter(|cell| !cell.is_empty());
        let cells = cells.map(|cell| cell.rsplit('/').next().unwrap_or(cell));
        cells.collect::<Vec<_>>().join("  ") + "\n"
    });
    rows.collect()
}

fn with_filters(check: impl FnOnce()) {
    let mut settings = insta::Settings::clone_current();
    for (pattern, replacement) in FILTERS {
        settings.add_filter(pattern, replacement);
    }
    settings.bind(check);
}

/// Creates a context with two plugins, one of which requires a binary that no provider can install.
fn context_with_two_plugins() -> TestContext {
    let context = TestContext::new();
    context.fixture("good").fixture("failing");
    context.plugin("reader", &[json!({"type": "Binary", "name": "one", "binproviders": "good"})]);
    context.plugin(
        "writer",
        &[json!({"type": "Binary", "name": "two", "binproviders": "failing,env", "min_version": "9"})],
    );
    context
}

/// Returns the names of the subcommands that a help text lists, without `help`.
pub(crate) fn subcommands(help: &str) -> impl Iterator<Item = &str> {
    let list = help.split_once("\nCommands:\n").map_or("", |(_, rest)| rest);
    let lines = list.lines().take_while(|line| !line.is_empty());
    lines.filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help")
}

#[test]
fn every_command_has_help() {
    let context = TestContext::new();
    let mut commands = vec![String::new()];
    let mut all = Vec::new();
    while let Some(command) = commands.pop() {
        let args: Vec<&str> = command.split_whitespace().chain(["--help"]).collect();
        let help = context.run(&args).succeeds().stdout;
        for line in help.lines() {
            assert!(line.chars().count() <= MAX_HELP_WIDTH, "rigup {command} --help: {line}");
        }
        let is_group = subcommands(&help).next().is_some();
        assert!(is_group || help.contains("\nExample"), "rigup {command} --help has an example");
        commands.extend(subcommands(&help).map(|name| format!("{command} {name}")));
        let name = format!("help{}", command.replace(' ', "_"));
        assert_snapshot!(name, help);
        check_page(&command, &help);
        all.push(command);
    }
    let snapshots = fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cli/snapshots")).unwrap();
    let names = snapshots.map(|file| file.unwrap().file_name().into_string().unwrap());
    let helps = names.filter(|name| name.starts_with("cli__appearance__help"));
    assert_eq!(
        helps.count(),
        all.len(),
        "a snapshot for each command, and none for a command that no longer exists"
    );
    assert_eq!(fs::read_dir(PAGES).unwrap().count(), all.len(), "a page for each command, and no other");
    check_contents(all);
}

#[test]
fn no_line_of_the_notes_below_a_help_is_wrapped() {
    for file in fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/src/cli/help")).unwrap() {
        let file = file.unwrap().path();
        for line in fs::read_to_string(&file).unwrap().lines() {
            assert!(line.chars().count() <= MAX_HELP_WIDTH, "{}: {line}", file.display());
        }
    }
}

/// The folder with a page for each command.
const PAGES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/commands");

/// Asserts the text of a file. Like a snapshot, the file is written if `INSTA_UPDATE` is `always`.
pub(crate) fn check_file(file: &Path, text: &str) {
    if std::env::var("INSTA_UPDATE").is_ok_and(|update| update == "always") {
        fs::write(file, text).unwrap();
    }
    let found = fs::read_to_string(file).unwrap_or_default();
    assert_eq!(found, text, "{}; write it with INSTA_UPDATE=always", file.display());
}

/// Returns the file name of the page of a command.
fn page_of(command: &str) -> String {
    let name = command.trim().replace(' ', "-");
    format!("{}.md", if name.is_empty() { "rigup" } else { &name })
}

/// Asserts that the page of a command has its help, and links to the commands above and below.
fn check_page(command: &str, help: &str) {
    let link = |command: &str| format!("[`rigup{command}`]({})", page_of(command));
    let mut page = format!("# rigup{command}\n\n```text\n{}\n```\n", help.trim_end());
    let below: Vec<String> =
        subcommands(help).map(|name| format!("- {}", link(&format!("{command} {name}")))).collect();
    if !below.is_empty() {
        writeln!(page, "\nCommands:\n\n{}", below.join("\n")).unwrap();
    }
    if let Some((above, _)) = command.rsplit_once(' ') {
        writeln!(page, "\nSee also {} and the [reference](../reference.md#commands).", link(above)).unwrap();
    }
    check_file(&Path::new(PAGES).join(page_of(command)), &page);
}

/// Asserts that the table of contents of the book ends with these commands.
fn check_contents(mut commands: Vec<String>) {
    commands.sort();
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("book/SUMMARY.md");
    let contents = fs::read_to_string(&file).unwrap();
    let (mut contents, heading) = (contents, "# Commands\n\n");
    contents.truncate(contents.find(heading).unwrap() + heading.len());
    for command in commands {
        let indent = "  ".repeat(command.matches(' ').count().saturating_sub(1));
        writeln!(contents, "{indent}- [rigup{command}](docs/commands/{})", page_of(&command)).unwrap();
    }
    check_file(&file, &contents);
}

#[test]
fn errors_say_what_failed_why_and_what_to_do_next() {
    let context = context_with_two_plugins();
    let shown = transcript(
        &context,
        &[
            &["install", "-q"],
            &["install", "one"],
            &["install", "-q", "sh", "--min-version", "99", "--binproviders", "env"],
            &["install", "../x"],
            &["install", "x", "--min-version", "new"],
            &["install", "--plugins", "nosuch"],
            &["install", "--locked"],
            &["load", "-q", "nosuch"],
            &["run", "Nothing"],
            &["run", "../x"],
            &["exec", "--", "nosuch"],
            &["plugin", "show", "nosuch"],
            &["config", "NOSUCH"],
            &["binary", "show", "absent"],
            &["binary", "delete", "one"],
            &["process", "show", "ffff"],
            &["process", "logs", "zzz"],
            &["post", "x"],
            &["start", "--slug", "A", "--", "true"],
        ],
    );
    with_filters(|| assert_snapshot!("errors", without_builtin_names(&shown)));
}

#[test]
fn tables_fit_a_terminal_of_80_and_of_120_columns() {
    let context = context_with_two_plugins();
    context.run(&["install"]);
    context.run(&["install", "--force", "one"]);
    for columns in [80, 120] {
        let mut shown = String::new();
        for args in [
            &["install", "--dry-run"][..],
            &["load", "one"],
            &["binary", "list"],
            &["list"],
            &["binary", "show", "two"],
            &["plugin", "show", "env"],
            &["hook", "list", "Snapshot"],
            &["config"],
        ] {
            shown += &screen_of(&context, columns, args);
            shown.push('\n');
        }
        shown += &without_builtin_rows(&screen_of(&context, columns, &["plugin", "list"]));
        // The column widths of these tables depend on times and sizes; src/report/tables has snapshots with fixed ones.
        for args in [&["process", "list"][..], &["process", "tree"], &["machine", "list"], &["hook", "list"]]
        {
            assert!(screen_of(&context, columns, args).lines().count() > 2);
        }
        with_filters(|| assert_snapshot!(format!("tables_at_{columns}_columns"), shown));
    }
}
