//! What `--ci` and `--junit` write, read by the packages that people use for it.

use std::path::Path;

use serde_json::{Value, json};

use crate::context_with_registries;
use crate::test_context::{CommandOutput, TestContext};

/// Runs a program in `here`, and asserts that it succeeds.
fn run(context: &TestContext, program: &str, args: &[&str]) -> CommandOutput {
    let output = context.command_for(Path::new(program), args).output().unwrap();
    CommandOutput::new(args, &output).succeeds()
}

#[test]
#[ignore = "installs @actions/core from npm"]
fn annotations_are_written_as_the_toolkit_of_github_writes_them() {
    let context = context_with_registries();
    run(&context, "npm", &["install", "--no-audit", "--no-fund", "--ignore-scripts", "@actions/core"]);
    let cases: Vec<[Value; 4]> = vec![
        [json!("plain"), json!("a title"), json!("plugins/p/binaries.jsonl"), json!(3)],
        [json!("100% :: , \r\n%0A"), json!("a: b, c% \r\nd::"), json!("a,b:c%/d e"), json!(1)],
        [json!("::error::x\u{1b}[31m é 日本"), json!(""), json!("x"), json!(12)],
        [json!(" leading"), json!("only a title"), Value::Null, Value::Null],
        [json!("alone"), Value::Null, Value::Null, Value::Null],
    ];
    let program = "import * as core from '@actions/core';\n\
                   for (const [message, title, file, startLine] of JSON.parse(process.argv[2])) {\n\
                   const given = Object.entries({title, file, startLine}).filter(([, value]) => value !== null);\n\
                   if (given.length > 0) core.error(message, Object.fromEntries(given)); else core.error(message);\n\
                   }\n\
                   core.startGroup('a: b, 100%\\n'); core.endGroup();\n";
    let script = context.write("here/annotations.mjs", program);
    let expected = run(&context, "node", &[script.to_str().unwrap(), &json!(cases).to_string()])
        .stdout
        .replace("\r\n", "\n");
    let mut written: String = cases
        .iter()
        .map(|[message, title, file, line]| {
            let title = title.as_str().unwrap_or_default();
            rigup::internal::github::error(message.as_str().unwrap(), title, file.as_str(), line.as_u64())
        })
        .collect();
    written += &rigup::internal::github::command("group", &[], "a: b, 100%\n");
    written += &rigup::internal::github::command("endgroup", &[], "");
    assert_eq!(written, expected);
}

#[test]
#[ignore = "installs junitparser from PyPI"]
fn junitparser_reads_the_results() {
    let context = context_with_registries();
    run(&context, "python3", &["-m", "venv", "venv"]);
    run(&context, "venv/bin/python", &["-m", "pip", "install", "--quiet", "junitparser"]);
    context.script("here/plugins/p/on_Test__1_good.sh", "#!/bin/sh\n:\n");
    context.script(
        "here/plugins/p/on_Test__2_bad.sh",
        "#!/bin/sh\nprintf '\\033[31m<&]]>\\001\\n' >&2\nexit 4\n",
    );
    context.run(&["run", "--junit", "results.xml", "Test"]).exits_with(1);
    let program = "from junitparser import JUnitXml, Failure\n\
                   (suite,) = JUnitXml.fromfile('results.xml')\n\
                   good, bad = suite\n\
                   assert (suite.name, suite.tests, suite.failures, suite.errors) == ('rigup run', 2, 1, 0), suite\n\
                   assert good.is_passed and bad.is_failure, suite\n\
                   assert bad.result[0].message.startswith('exit 4: '), bad.result\n\
                   assert '<&]]>' in bad.system_out and suite.time > 0, bad.system_out\n";
    run(&context, "venv/bin/python", &["-c", program]);
}

/// Returns the path of a file in this repository.
fn repository(path: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path).display().to_string()
}

#[test]
#[ignore = "installs zizmor and check-jsonschema from PyPI"]
fn the_action_and_the_template_pass_the_audits_and_the_schemas() {
    let context = context_with_registries();
    run(&context, "python3", &["-m", "venv", "venv"]);
    run(&context, "venv/bin/python", &["-m", "pip", "install", "--quiet", "zizmor", "check-jsonschema"]);
    let (action, template) = (repository("action.yml"), repository("packaging/gitlab/rigup.yml"));
    run(&context, "venv/bin/zizmor", &["--offline", "--pedantic", &action]);
    let check =
        |schema: &[&str], file: &str| run(&context, "venv/bin/check-jsonschema", &[schema, &[file]].concat());
    check(&["--builtin-schema", "vendor.github-actions"], &action);
    check(&["--builtin-schema", "vendor.gitlab-ci", "--data-transform", "gitlab-ci"], &template);
}
