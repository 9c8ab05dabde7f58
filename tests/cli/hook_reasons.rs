//! What the toolkit tells the author of a hook about its mistakes.

use serde_json::json;

use crate::github::{attempt, install_with};
use crate::release_server::{Answer, github_with, packed};
use crate::test_context::TestContext;

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
