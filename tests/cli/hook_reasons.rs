//! What the toolkit tells the author of a hook about its mistakes.

use serde_json::json;

use crate::github::{attempt, install_with};
use crate::release_server::{Answer, github_with, packed};
use crate::test_context::TestContext;

/// Installs `x` with a hook that builds `$part/bin/x`, and then runs this. Returns the outcome and the reason.
fn attempt_of_hook(last: &str) -> String {
    let context = TestContext::new();
    let hook = format!(
        r#"#!/bin/sh
set -eu
eval "$("$RIGUP" hook begin --provider mine -- "$@")"
make_part
mkdir "$part/bin"
printf '#!/bin/sh\necho x 1.0\n' >"$part/bin/x"
{last}
"#
    );
    context.provider("mine", &hook);
    let record = context.run(&["install", "x", "--binproviders", "mine"]).exits_with(1).record();
    attempt(&record).replace(context.path("data").to_str().unwrap(), "DATA")
}

/// Returns the path of a file in the prefix of `x`, as in [`attempt_of_hook`].
fn in_prefix(path: &str) -> String {
    format!("DATA/lib/{}/mine/x/{path}", rigup::settings::platform())
}

#[test]
fn a_hook_that_sets_no_exec_bit_is_told_to_set_it() {
    let reported = r#"mv "$part" "$prefix"
printf '{"type":"Binary","name":"x","abspath":"%s","version":"1"}\n' "$prefix/bin/x""#;
    for (last, start) in [(r#"put_in_place "$part" bin/x "$@""#, ""), (reported, "abspath ")] {
        let expected = format!(
            "rejected {start}{} has no exec bit; the provider's hook must set it",
            in_prefix("bin/x")
        );
        assert_eq!(attempt_of_hook(last), expected);
    }
}

#[test]
fn a_hook_that_names_the_wrong_path_is_told_which_one() {
    let expected = format!(
        "failed exit code 1: mine installed x, which has no program of that name: {} does not exist; correct the path in the provider's hook",
        in_prefix("x")
    );
    assert_eq!(attempt_of_hook(r#"chmod +x "$part/bin/x" && put_in_place "$part" x "$@""#), expected);
}

#[test]
fn unpack_release_names_the_override_of_its_provider() {
    let mut context = TestContext::new();
    for name in ["one", "two"] {
        context.script(&format!("pack/tool/{name}"), "#!/bin/sh\n");
    }
    let answer = Answer::file(packed(&context, "tool"));
    let server = github_with(&mut context, |_| [("/tool.tar.gz".to_owned(), vec![answer])].into());
    context.provider(
        "mine",
        r#"#!/bin/sh
set -eu
eval "$("$RIGUP" hook begin --provider mine -- "$@")"
eval "$("$RIGUP" hook release --at-url --provider mine -- "$@")"
unpack_release
put_in_place "$built" "$program" "$@"
"#,
    );
    let overrides = json!({"url": format!("http://{}/tool.tar.gz", server.address)});
    let found = attempt(&install_with(&context, "mine", &overrides));
    let expected = "failed exit code 1: the archive has several programs; set overrides.mine.bin to one of them: tool/one and tool/two";
    assert_eq!(found, expected);
}
