//! `--ci` and `--junit`, as CI systems and their users see them.

use std::fs;

use serde_json::json;

use crate::test_context::TestContext;

/// The variables of the files that a runner of GitHub reads after a step.
const FILES: [&str; 3] = ["GITHUB_PATH", "GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY"];

/// Creates a context like a step of a GitHub job in `here`, with a provider that installs `good` and fails for `bad`.
pub(crate) fn context() -> TestContext {
    let mut context = TestContext::new();
    context.concurrent_provider(
        "mixed",
        "#!/bin/sh\neval \"$(\"$RIGUP\" hook begin --provider mixed -- \"$@\")\"\n\
         case $name in\n\
         good) \"$RIGUP\" hook binary --provider mixed --abspath /bin/sh -- \"$@\" ;;\n\
         *) echo '::error::not a command' >&2; echo \"no $name, 100%\" >&2; exit 3 ;;\n\
         esac\n",
    );
    let here = context.path("here");
    context.set("GITHUB_ACTIONS", "true").set("GITHUB_WORKSPACE", here);
    for file in FILES {
        let path = context.write(&format!("runner/{file}"), "before\n");
        context.set(file, path);
    }
    context
}

pub(crate) fn require(context: &TestContext, names: &[&str]) {
    let requirement = |name: &&str| json!({"type": "Binary", "name": name, "binproviders": "mixed"});
    context.plugin("p", &names.iter().map(requirement).collect::<Vec<_>>());
}

fn appended(context: &TestContext, file: &str) -> String {
    let text = fs::read_to_string(context.path(&format!("runner/{file}"))).unwrap();
    text.strip_prefix("before\n").expect("the file is appended to").to_owned()
}

/// Returns the values in the file of outputs.
fn outputs(context: &TestContext) -> Vec<(String, String)> {
    let text = appended(context, "GITHUB_OUTPUT");
    let (mut lines, mut values) = (text.lines(), Vec::new());
    while let Some((name, delimiter)) = lines.next().map(|line| line.split_once("<<").unwrap()) {
        let value: Vec<&str> = lines.by_ref().take_while(|line| *line != delimiter).collect();
        values.push((name.to_owned(), value.join("\n")));
    }
    values
}

#[test]
fn a_file_of_the_runner_is_continued_on_a_new_line() {
    let context = context();
    require(&context, &["good"]);
    for file in FILES {
        context.write(&format!("runner/{file}"), "before");
    }
    context.run(&["install"]).succeeds();
    assert_eq!(outputs(&context)[1], ("installed".to_owned(), "1".to_owned()));
    assert_eq!(appended(&context, "GITHUB_PATH").lines().count(), 1);
}

#[test]
fn a_failed_binary_has_a_group_and_an_annotation_at_its_line() {
    let context = context();
    require(&context, &["good", "bad"]);
    let output = context.run(&["install"]).exits_with(1);
    let (_, group) = output.stderr.split_once("::group::bad\n::stop-commands::").unwrap();
    let (token, log) = group.split_once('\n').unwrap();
    let (log, rest) = log.split_once(&format!("::{token}::\n::endgroup::\n")).unwrap();
    assert!(
        log.starts_with("==> bad: mixed (process ") && log.contains("::error::not a command\nno bad, 100%\n")
    );
    assert_eq!(
        rest,
        "::error title=rigup install%3A bad,file=plugins/p/binaries.jsonl,line=2::\
         mixed failed: exit code 3: no bad, 100%25\n"
    );
    assert_eq!(output.records().len(), 2, "standard output has only records");

    let bin_dir = context.bin("").display().to_string().trim_end_matches('/').to_owned();
    assert_eq!(appended(&context, "GITHUB_PATH"), format!("{bin_dir}\n"));
    let expected = [("lib-bin-dir", bin_dir.as_str()), ("installed", "1"), ("missing", "bad")];
    assert_eq!(outputs(&context), expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    let summary = appended(&context, "GITHUB_STEP_SUMMARY");
    assert!(summary.contains("### rigup install: 1 of 2 installed, 1 failed in "), "{summary}");
    assert!(summary.contains("| binary | status | version | provider | reason | time |"), "{summary}");
    assert!(summary.contains("| good | installed | "), "{summary}");
    assert!(
        summary.contains("| bad | failed |  |  | mixed failed&#58; exit code 3&#58; no bad, 100&#37; | "),
        "{summary}"
    );
}

#[test]
fn a_warm_install_reports_the_same_folder_and_values() {
    let context = context();
    require(&context, &["good"]);
    context.run(&["install"]).succeeds();
    for file in FILES {
        context.write(&format!("runner/{file}"), "before\n");
    }
    let output = context.run(&["install"]).succeeds();
    assert_eq!(output.stderr, "good is already installed\n");
    assert!(appended(&context, "GITHUB_PATH").ends_with("/bin\n"));
    assert_eq!(outputs(&context)[2], ("missing".to_owned(), String::new()));
    assert!(appended(&context, "GITHUB_STEP_SUMMARY").contains("### rigup install: 1 of 1 installed in "));
    context.run(&["load", "--ci", "none"]).succeeds();
    assert_eq!(appended(&context, "GITHUB_PATH").lines().count(), 1);
}

#[test]
fn a_file_that_cannot_be_appended_to_is_only_a_warning() {
    let mut context = context();
    require(&context, &["good"]);
    context.unset("GITHUB_OUTPUT");
    context.set("GITHUB_PATH", context.path("runner"));
    context.set("GITHUB_STEP_SUMMARY", context.path("missing"));
    let output = context.run(&["install"]).succeeds();
    let warnings: Vec<&str> = output.stderr.lines().filter(|line| line.starts_with("warning: ")).collect();
    assert_eq!(warnings.len(), 3, "{}", output.stderr);
    let problems = [
        ("GITHUB_PATH", format!("{} is not a file", context.path("runner").display())),
        ("GITHUB_OUTPUT", "the variable is not set".to_owned()),
        ("GITHUB_STEP_SUMMARY", format!("{} does not exist", context.path("missing").display())),
    ];
    let expected = problems.map(|(variable, problem)| {
        format!(
            "warning: cannot append to the file in {variable}: {problem}; set {variable} to a file that rigup can append \
             to, or RIGUP_CI to none"
        )
    });
    assert_eq!(warnings, expected);
    assert!(!context.path("missing").exists());
}

#[test]
fn the_option_overrides_the_variable_and_that_overrides_the_detection() {
    let mut context = context();
    require(&context, &["bad"]);
    let marks = |context: &TestContext, args: &[&str]| {
        let stderr = context.run(&[&["install"], args].concat()).exits_with(1).stderr;
        ["::group::", "section_start:", "##[group]", "--- rigup"].map(|mark| stderr.contains(mark))
    };
    assert_eq!(marks(&context, &[]), [true, false, false, false]);
    context.set("RIGUP_CI", "gitlab");
    assert_eq!(marks(&context, &[]), [false, true, false, false]);
    assert_eq!(marks(&context, &["--ci", "azure"]), [false, false, true, false]);
    assert_eq!(marks(&context, &["--ci=buildkite"]), [false, false, false, true]);
    assert_eq!(marks(&context, &["--ci=none"]), [false; 4]);
    assert_eq!(marks(&context, &["--ci=auto"]), [true, false, false, false]);
    context.unset("GITHUB_WORKSPACE");
    let stderr = context.run(&["install", "--ci=github"]).exits_with(1).stderr;
    assert!(
        stderr.contains(",file=plugins/p/binaries.jsonl,line=1::"),
        "relative to the current folder: {stderr}"
    );
    context.set("RIGUP_CI", "jenkins");
    context
        .run(&["install"])
        .exits_with(2)
        .stderr_contains("cannot use RIGUP_CI=jenkins: set it to one of auto, ");
}

#[test]
fn the_logs_that_the_user_asks_for_contain_no_commands_either() {
    let context = context();
    require(&context, &["bad"]);
    let stderr = context.run(&["install", "--show-logs"]).exits_with(1).stderr;
    let shown: Vec<&str> = stderr.split("::error::not a command").collect();
    assert_eq!(shown.len(), 3, "{stderr}");
    for before in &shown[..2] {
        let (_, stopped) = before.rsplit_once("::stop-commands::").unwrap();
        let (token, log) = stopped.split_once('\n').unwrap();
        assert!(!log.contains(&format!("::{token}::")), "{stderr}");
    }
    let buildkite = context.run(&["install", "--show-logs", "--ci", "buildkite"]).exits_with(1).stderr;
    assert!(buildkite.contains("\n  ::error::not a command\n"), "{buildkite}");
}

/// Returns the lines that a CI system takes for commands or headings.
fn commands<'t>(system: &str, text: &'t str) -> Vec<&'t str> {
    let mut stopped_until = None;
    let mut found = Vec::new();
    for line in text.lines() {
        let is_command = match system {
            "github" => {
                let name = line.trim_start().strip_prefix("::").and_then(|rest| rest.split("::").next());
                if stopped_until.is_some() && stopped_until != name {
                    continue;
                }
                stopped_until = line.strip_prefix("::stop-commands::");
                name.is_some() || line.contains("##[")
            }
            "gitlab" => line.contains(['\x1b', '\r']),
            "azure" => line.contains("##vso[") || line.contains("##["),
            _ => ["---", "+++", "~~~", "^^^"].iter().any(|mark| line.starts_with(mark)),
        };
        if is_command {
            found.push(line);
        }
    }
    found
}

#[test]
fn text_of_others_is_no_command_of_the_ci_system() {
    const HOSTILE: &str =
        "x ##vso[task.setvariable variable=A]b ##[add-matcher]m \\033[0Ksection_start:1:a\\r";
    let context = context();
    context.provider("hostile", &format!("#!/bin/sh\nprintf '{HOSTILE}\\n' >&2\nexit 3\n"));
    context.script(
        "here/plugins/p/on_Test__1_bad.sh",
        &format!(
            "#!/bin/sh\necho '{{\"type\":\"+++ X\",\"a\":\"##[x]\"}}'\nprintf '{HOSTILE}\\n' >&2\nexit 4\n"
        ),
    );
    let names = ["::warning::x", " ::warning::x", "+++ x", "##vso[x]y", "bad"];
    context
        .plugin("p", &names.map(|name| json!({"type": "Binary", "name": name, "binproviders": "hostile"})));
    context.write("here/providers/hostile/config.json", "{}");
    let own: [(&str, &[&str]); 4] = [
        ("github", &["::group::", "::stop-commands::", "::rigup-", "::endgroup::", "::error title=rigup "]),
        ("gitlab", &["\x1b[0Ksection_start:", "\x1b[0Ksection_end:"]),
        (
            "azure",
            &[
                "##[group]rigup ",
                "##[endgroup]",
                "##vso[task.logissue type=error;",
                "##vso[task.prependpath]/",
            ],
        ),
        ("buildkite", &["--- rigup ", "^^^ +++", "+++ rigup "]),
    ];
    for (system, own) in own {
        for args in [
            &["install", "--ci", system] as &[&str],
            &["install", "--ci", system, "--format=table", "--show-logs"],
            &["run", "--ci", system, "Test"],
            &["run", "--ci", system, "--format=table", "--show-logs", "--apply", "Test"],
        ] {
            let output = context.run(args).exits_with(1);
            let found = commands(system, &output.stderr);
            assert!(found.len() >= 2, "{system}: {}", output.stderr);
            for line in found {
                let rest = own.iter().find_map(|command| line.strip_prefix(command));
                let rest = rest.unwrap_or_else(|| panic!("{args:?}: {line:?}"));
                assert!(system == "gitlab" || commands(system, rest).is_empty(), "{args:?}: {line:?}");
            }
            assert_eq!(commands(system, &output.stdout), Vec::<&str>::new(), "{args:?}");
        }
    }
}

#[test]
fn commands_that_report_to_no_system_print_none_of_its_commands_either() {
    let mut context = context();
    context.unset("GITHUB_ACTIONS");
    require(&context, &["bad"]);
    context.provider("mixed", "#!/bin/sh\necho 'x ##vso[task.setvariable variable=A]b' >&2\nexit 3\n");
    let output = context.run(&["install"]).exits_with(1);
    let reason = output.records()[0]["last_error"].clone();
    assert!(output.stderr.contains("##vso["), "no one reads it as a command: {}", output.stderr);
    context.set("TF_BUILD", "True");
    for args in [
        &["why", "bad"] as &[&str],
        &["why", "bad", "--format=table"],
        &["list", "--format=table"],
        &["apply", "##vso[x]"],
        &[
            "exec",
            "--",
            "/bin/sh",
            "-c",
            "\"$RIGUP\" why bad; \"$RIGUP\" install bad --binproviders mixed --ci=auto",
        ],
    ] {
        let output = context.run(args);
        let text = output.stdout + &output.stderr;
        assert!(text.contains("vso[") && commands("azure", &text).is_empty(), "{args:?}: {text}");
    }
    let records = context.run(&["list", "--json"]).records();
    assert_eq!(records[0]["last_error"], reason, "the escapes stand for the same characters");
}

#[test]
fn a_rigup_that_a_hook_runs_reports_to_no_ci_system() {
    let mut context = context();
    context.set("RIGUP_CI", "github");
    context.provider("outer", "#!/bin/sh\n\"$RIGUP\" install bad --binproviders mixed\nexit 1\n");
    let output = context.run(&["install", "tool", "--binproviders", "outer"]).exits_with(1);
    assert_eq!(output.stderr.matches("::group::").count(), 1, "{}", output.stderr);
    assert_eq!(appended(&context, "GITHUB_PATH").lines().count(), 1);
}

#[test]
fn invalid_lines_of_a_plugin_have_annotations_too() {
    let context = context();
    context.write(
        "here/plugins/p/binaries.jsonl",
        "{\"type\":\"Binary\",\"name\":\"good\",\"binproviders\":\"mixed\"}\n{x\n",
    );
    let output = context.run(&["install"]).exits_with(1);
    assert!(
        output.stderr.contains("::error title=rigup install%3A binaries.jsonl,file=plugins/p/binaries.jsonl,line=2::not a JSON object: "),
        "{}",
        output.stderr
    );
}

#[test]
fn a_failed_hook_of_an_event_has_an_annotation_for_its_file() {
    let mut context = context();
    context.script("here/plugins/p/on_Test__1_good.sh", "#!/bin/sh\n:\n");
    context.script("here/plugins/p/on_Test__2_bad.sh", "#!/bin/sh\necho broken >&2\nexit 4\n");
    let output = context.run(&["run", "Test"]).exits_with(1);
    let annotation =
        "::error title=rigup run%3A p/on_Test__2_bad.sh,file=plugins/p/on_Test__2_bad.sh::exit 4: broken\n";
    assert!(output.stderr.ends_with(annotation), "{}", output.stderr);
    assert!(output.stderr.contains("::group::p/on_Test__2_bad.sh\n"));
    let summary = appended(&context, "GITHUB_STEP_SUMMARY");
    assert!(
        summary.contains("| hook | status | reason | time |") && summary.contains("| exit 0 |  | "),
        "{summary}"
    );
    assert_eq!([appended(&context, "GITHUB_PATH"), appended(&context, "GITHUB_OUTPUT")], ["", ""]);
    context.unset("GITHUB_PATH");
    let output = context.run(&["run", "Test"]).exits_with(1);
    assert!(!output.stderr.contains("GITHUB_PATH"), "it has nothing for that file: {}", output.stderr);
}

#[test]
fn the_log_of_one_process_for_several_binaries_is_reported_once() {
    let context = context();
    let requirement = |name| json!({"type": "Binary", "name": name, "binproviders": "env"});
    context.plugin("p", &["no1", "no2", "no3", "no4"].map(requirement));
    let output = context.run(&["install", "--junit", "junit.xml"]).exits_with(1);
    assert_eq!(output.stderr.matches("::group::").count(), 1, "{}", output.stderr);
    assert_eq!(output.stderr.matches("\"name\":\"no3\"").count(), 1, "{}", output.stderr);
    assert!(output.stderr.contains("==> no1, no2, no3 and no4: env (process "), "{}", output.stderr);
    assert_eq!(output.stderr.matches("::error title=").count(), 4, "{}", output.stderr);
    let junit = fs::read_to_string(context.path("here/junit.xml")).unwrap();
    assert_eq!((junit.matches("<failure ").count(), junit.matches("<system-out>").count()), (4, 1));
}

#[test]
fn lock_reports_a_binary_that_failed_as_install_does() {
    let context = context();
    require(&context, &["good", "bad"]);
    let report_of = |command: &str| {
        let stderr = context.run(&[command]).exits_with(1).stderr;
        assert!(stderr.contains("::group::bad\n::stop-commands::"), "{stderr}");
        assert!(stderr.contains("::error::not a command\nno bad, 100%\n"), "{stderr}");
        let annotation = stderr.lines().rfind(|line| line.starts_with("::error title=")).unwrap();
        annotation.replace(command, "COMMAND")
    };
    let expected = "::error title=rigup COMMAND%3A bad,file=plugins/p/binaries.jsonl,line=2::\
                    mixed failed: exit code 3: no bad, 100%25";
    assert_eq!([report_of("install"), report_of("lock")], [expected, expected]);
    assert!(appended(&context, "GITHUB_STEP_SUMMARY").contains("| bad | missing |  |  | mixed failed&#58; "));
}

#[test]
fn a_lock_file_that_is_not_up_to_date_has_an_annotation() {
    let context = context();
    require(&context, &["good"]);
    context.run(&["lock"]).succeeds();
    context.run(&["lock", "--check"]).succeeds();
    require(&context, &["good", "bad"]);
    let output = context.run(&["lock", "--check"]).exits_with(1);
    assert!(
        output
            .stderr
            .contains("::error title=rigup lock --check%3A bad,file=plugins/p/binaries.jsonl,line=2::bad: "),
        "{}",
        output.stderr
    );
}

#[test]
fn an_error_that_ends_the_command_has_an_annotation_at_its_file() {
    let mut context = context();
    require(&context, &["good"]);
    let annotation = |context: &TestContext, args: &[&str], code: i32| {
        let stderr = context.run(args).exits_with(code).stderr;
        let annotations: Vec<&str> = stderr.lines().filter(|line| line.starts_with("::error ")).collect();
        assert_eq!(annotations.len(), 1, "{stderr}");
        annotations[0].to_owned()
    };
    assert_eq!(
        annotation(&context, &["install", "--locked"], 3),
        "::error title=rigup install%3A setup error::cannot use the lock file rigup.lock: it does not exist; \
         run `rigup lock` to create it"
    );
    assert!(
        appended(&context, "GITHUB_STEP_SUMMARY")
            .contains("### rigup install: setup error\n\n\n- cannot use")
    );
    context.write("here/rigup.lock", "{\"type\":\"Lockfile\",\"version\":1}\n\nx\n");
    let at = ",file=rigup.lock,line=3::rigup.lock:3: cannot use the lock file: ";
    for (args, title) in [
        (["install", "--locked"], "::error title=rigup install%3A setup error"),
        (["lock", "--check"], "::error title=rigup lock%3A setup error"),
    ] {
        let found = annotation(&context, &args, 3);
        assert!(found.starts_with(&format!("{title}{at}")), "{found}");
    }
    let found = annotation(&context, &["load", "--plugins", "nope"], 3);
    assert!(
        found.starts_with("::error title=rigup load%3A setup error::there is no plugin named nope "),
        "{found}"
    );
    let found = annotation(&context, &["install", "--min-version", "="], 2);
    assert!(found.starts_with("::error title=rigup install%3A usage error::--min-version "), "{found}");
    context.write("here/rigup.toml", "A = 1\nB =\n");
    let found = annotation(&context, &["run", "Test"], 3);
    assert!(found.contains("rigup run%3A setup error,file=rigup.toml,line=2::cannot use "), "{found}");
    context.write("here/rigup.toml", "");
    context.set("MIN_RELEASE_AGE", "x").set("GITHUB_ACTIONS", "false").set("TF_BUILD", "true");
    let stderr = context.run(&["install"]).exits_with(3).stderr;
    let issue = "##vso[task.logissue type=error;]rigup install: setup error: cannot use the variable MIN_";
    assert!(stderr.contains(issue), "{stderr}");
    context.set("RIGUP_PROCESS_ID", "01a22c2c-873f-724c-a73e-1bb93d4a987f");
    assert!(!context.run(&["install"]).exits_with(3).stderr.contains("##vso"));
}

#[test]
fn an_annotation_of_lock_check_is_the_error_that_the_command_prints() {
    let context = context();
    require(&context, &["good"]);
    context.run(&["install"]).succeeds();
    let check = |problem: &str| {
        let output = context.run(&["lock", "--check"]).exits_with(1);
        let title = "::error title=rigup lock --check%3A good,file=plugins/p/binaries.jsonl,line=1";
        output
            .stderr_contains(&format!("error: {problem}\n"))
            .stderr_contains(&format!("{title}::{problem}\n"));
    };
    let missing = "rigup.lock does not exist; run `rigup lock` to create it";
    check(missing);
    let no_pin =
        format!("good: rigup.lock has no pin for {}; run `rigup lock good`", rigup::settings::platform());
    context.write("here/rigup.lock", "{\"type\":\"Lockfile\",\"version\":1}\n");
    check(&no_pin);
    context.run(&["binary", "delete", "--yes", "good"]).succeeds();
    check(&no_pin);
    fs::remove_file(context.path("here/rigup.lock")).unwrap();
    check(missing);
}

#[test]
fn the_path_of_an_annotation_is_that_of_the_file_in_the_checkout() {
    let context = context();
    require(&context, &["bad"]);
    context.write("here/bad.lock", "x\n");
    fs::create_dir(context.path("here/sub")).unwrap();
    std::os::unix::fs::symlink("plugins", context.path("here/linked")).unwrap();
    for (args, expected) in [
        (&["install", "--plugins-dir", "./plugins/."] as &[&str], ",file=plugins/p/binaries.jsonl,line=1::"),
        (&["install", "--plugins-dir", "sub/../linked"], ",file=plugins/p/binaries.jsonl,line=1::"),
        (&["install", "--locked", "--lockfile", "sub/../bad.lock"], ",file=bad.lock,line=1::"),
    ] {
        context.run(args).stderr_contains(expected);
    }
}
