//! What a provider's hook has built, and leaves to the rigup that began it.

use std::fs;

use nix::sys::signal::Signal;

use crate::test_context::{CommandOutput, TestContext, signal, wait_until};

/// Builds the program `here/program`, then runs `here/last.sh`.
const HOOK: &str = r#"#!/bin/sh
set -eu
eval "${RIGUP_BEGIN:-$("$RIGUP" hook begin --provider mine -- "$@")}"
make_part
mkdir "$part/bin"
cp -p "$DATA_DIR/../here/program" "$part/bin/$name"
put_in_place "$part" "bin/$name" "$@"
. "$DATA_DIR/../here/last.sh"
"#;

const CONFIG: &str = r#"{"type": "object", "lock": "prefix"}"#;

/// Returns a context with this provider, whose `config.json` is this.
fn context(config: &str) -> TestContext {
    let mut context = TestContext::new();
    context.provider("mine", HOOK);
    context.write("here/providers/mine/config.json", config);
    context.write("here/last.sh", "");
    context.set("LIB_DIR", context.path("lib"));
    release(&context, "echo 1.0");
    context
}

fn release(context: &TestContext, program: &str) {
    context.script("here/program", &format!("#!/bin/sh\n{program}\n"));
}

fn install(context: &TestContext) -> CommandOutput {
    context.run(&["install", "x", "--binproviders", "mine", "--force"])
}

/// Returns the output of the installed program, which must be the only thing in its provider's folder.
fn installed(context: &TestContext) -> String {
    let entries = fs::read_dir(context.path("lib/mine")).unwrap().map(|entry| entry.unwrap().file_name());
    assert_eq!(entries.collect::<Vec<_>>(), ["x"]);
    context.run(&["exec", "--", "x"]).succeeds().stdout
}

/// Installs a release whose hook prints what `last` prints, instead of the record of `put_in_place`. Asserts the reason of the
/// failure, and that the earlier release stays.
#[track_caller]
fn check_refused(config: &str, last: &str, reason: &str) {
    let context = context(config);
    install(&context).succeeds();
    context.provider("mine", &HOOK.replace("put_in_place \"$part\"", ": \"$part\""));
    context.write("here/last.sh", last);
    install(&context).exits_with(1).stderr_contains(reason);
    assert_eq!(installed(&context), "1.0\n");
}

#[test]
fn rigup_puts_in_place_what_a_hook_has_built_that_it_has_begun() {
    for (config, is_begun) in [(CONFIG, true), (r#"{"type": "object"}"#, false)] {
        let context = context(config);
        let record = install(&context).succeeds().record();
        assert_eq!(record["version"], "1.0");
        assert_eq!(record["abspath"], context.path("lib/mine/x/bin/x").to_str().unwrap());
        assert_eq!(installed(&context), "1.0\n");
        let run_dir = context.hook_processes().pop().unwrap()["run_dir"].as_str().unwrap().to_owned();
        let stdout = fs::read_to_string(format!("{run_dir}/stdout.log")).unwrap();
        assert_eq!(stdout.contains(r#""built":"#), is_begun, "{stdout}");
        release(&context, "echo 2.0");
        assert_eq!(install(&context).succeeds().record()["version"], "2.0");
        assert_eq!(installed(&context), "2.0\n");
    }
}

#[test]
fn the_earlier_prefix_stays_if_what_was_built_is_not_accepted() {
    let context = context(CONFIG);
    install(&context).succeeds();
    release(&context, "exec /no/such/interpreter");
    install(&context).exits_with(1).stderr_contains("lib/mine/x/bin/x: ");
    context.script("here/program", "#!/no/such/interpreter\n");
    let output = install(&context).exits_with(1);
    assert!(!output.stderr.contains(".part"), "{}", output.stderr);
    assert_eq!(installed(&context), "1.0\n");
}

#[test]
fn the_earlier_prefix_stays_if_the_hook_fails_after_it_has_built() {
    let context = context(CONFIG);
    install(&context).succeeds();
    release(&context, "echo 2.0");
    context.write("here/last.sh", "fail 'the end was reached'\n");
    install(&context).exits_with(1).stderr_contains("the end was reached");
    assert_eq!(installed(&context), "1.0\n");
}

#[test]
fn the_lock_of_the_hook_is_held_until_the_prefix_is_in_place() {
    let context = context(CONFIG);
    let locks = context.path("lib/.locks");
    release(&context, &format!("flock -n {}/mine_x-* true && echo 9.9 || echo 1.0", locks.display()));
    assert_eq!(install(&context).succeeds().record()["version"], "1.0");
    assert_eq!(installed(&context), "9.9\n");
}

#[test]
fn an_interrupt_while_the_program_is_probed_leaves_the_earlier_prefix() {
    let context = context(CONFIG);
    install(&context).succeeds();
    release(&context, "exec sleep 60");
    let mut rigup = context.start(&["install", "x", "--binproviders", "mine", "--force"]);
    wait_until("the program is probed", || context.count_live("sleep 60") > 0);
    signal(rigup.id(), Signal::SIGTERM);
    assert!(!rigup.wait().unwrap().success());
    assert_eq!(installed(&context), "1.0\n");
}

#[test]
fn only_a_hook_that_rigup_has_begun_leaves_the_prefix_to_it() {
    let record = r#"'{"type":"Binary","name":"x","abspath":"%s","built":"%s"}\n' "$prefix/bin/x""#;
    for (config, built, reason) in [
        (r#"{"type": "object"}"#, "$part", "which is only for a hook that evaluates RIGUP_BEGIN"),
        (CONFIG, "$HOME", "is not"),
    ] {
        check_refused(config, &format!("printf {record} \"{built}\"\n"), reason);
    }
}

#[test]
fn a_record_that_leaves_the_prefix_to_rigup_is_checked_like_any_other() {
    let built = r#""built":"'"$part"'","abspath":"'"$prefix"'/bin/x""#;
    let link = "rm -r \"$part\" && mkdir \"$HOME/own\" && ln -s \"$HOME/own\" \"$part\"\n";
    for (before, lines, reason) in [
        ("", format!(r#"{{"type":"Binary","name":"y",{built}}}"#), "the record is for `y`, not for `x`"),
        ("", format!(r#"{{"type":"Binary","name":"x","sha256":"0",{built}}}"#), "unknown field `sha256`"),
        (
            "",
            format!(
                "{{\"type\":\"Binary\",\"name\":\"x\",{built}}}\n{{\"type\":\"Binary\",\"name\":\"x\",\"abspath\":\"/bin/sh\"}}"
            ),
            "it printed several Binary records",
        ),
        (link, format!(r#"{{"type":"Binary","name":"x",{built}}}"#), "is not"),
    ] {
        check_refused(CONFIG, &format!("{before}echo '{lines}'\n"), reason);
    }
}
