//! What rigup says if a provider fails because its registry does not have the package, or the version.

use std::fs;

use serde_json::{Value, json};

use crate::test_context::TestContext;

/// Lists what the file `listing` says, and counts how often it was asked.
const LISTER: &str = r#"#!/bin/sh
set -eu
IFS='
'
eval "$("$RIGUP" hook begin --provider shop --versions)"
echo asked >>"$DATA_DIR/asked"
. "$DATA_DIR/listing"
"#;

const NO_PACKAGE: &str = r#"for line in $plan; do failure "$line" --declined "HTTP 404"; done"#;
const UNREACHABLE: &str = r#"for line in $plan; do failure "$line" "HTTP 502"; done"#;
const LISTED: &str = r#"for line in $plan; do
    printf '{"type":"BinaryVersions","name":"%s","versions":[%s]}\n' "$(name "$line")" \
        '{"version":"1.0.0"},{"version":"1.10.0"},{"version":"2.0.0","yanked":true},{"version":"3.0.0-rc.1"}'
done"#;

/// Creates a context with a provider `shop`, which fails with this line on stderr.
fn context(error: &str, listing: &str) -> TestContext {
    let context = TestContext::new();
    context.provider("shop", &format!("#!/bin/sh\necho '{error}' >&2\nexit 1\n"));
    context.script("here/providers/shop/on_BinaryVersions__50_shop.batch.sh", LISTER);
    let config = json!({"type": "object", "properties": {}, "concurrent": true, "version_format": "@{}"});
    context.write("here/providers/shop/config.json", config.to_string());
    context.write("data/listing", listing);
    context
}

/// Returns the outcome and the reason of the first attempt to install a requirement.
fn attempt(context: &TestContext, requirement: &Value) -> String {
    context.plugin("p", std::slice::from_ref(requirement));
    let record = context.run(&["install"]).exits_with(1).record();
    let text = |key: &str| record["attempts"][0][key].as_str().unwrap().to_owned();
    format!("{}: {}", text("outcome"), text("reason"))
}

fn polly(more: &Value) -> Value {
    let mut requirement = json!({"type": "Binary", "name": "polly", "binproviders": "shop"});
    requirement.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    requirement
}

#[test]
fn a_package_that_the_registry_does_not_have_is_declined() {
    let context = context("E404: a page of text", NO_PACKAGE);
    assert_eq!(
        attempt(&context, &polly(&json!({}))),
        "declined: shop has no package named polly; check the name, or set overrides.shop.packages"
    );
    assert_eq!(
        attempt(&context, &polly(&json!({"overrides": {"shop": {"packages": ["poly"]}}}))),
        "declined: shop has no package named poly; check the name, or set overrides.shop.packages"
    );
}

#[test]
fn a_version_that_the_registry_does_not_have_is_declined() {
    let context = context("ETARGET", LISTED);
    for (more, reason) in [
        (
            json!({"min_version": "9.0.0", "max_version": "9.0.0"}),
            "shop has no version 9.0.0 of polly; the newest is 1.10.0",
        ),
        (json!({"max_version": "0.9"}), "shop has no version 0.9 or older of polly; the newest is 1.10.0"),
    ] {
        assert_eq!(attempt(&context, &polly(&more)), format!("declined: {reason}"));
    }
}

#[test]
fn an_error_names_the_requested_version_and_the_newest() {
    let context = context("ETARGET", LISTED);
    let output = context.run(&["install", "shop:polly@7.99"]).exits_with(1);
    let output = output.stderr_contains("error: cannot install polly 7.99: no provider could install it");
    output.stderr_contains(
        "shop declined: shop has no version 7.99 of polly; the newest is 1.10.0 (rigup process logs ",
    );
}

#[test]
fn any_other_failure_keeps_its_reason() {
    for (listing, more) in [
        (LISTED, json!({})),
        (LISTED, json!({"min_version": "1.0.0", "max_version": "1.0.0"})),
        // A package manager may still install a version that was withdrawn.
        (LISTED, json!({"min_version": "2.0.0", "max_version": "2.0.0"})),
        (UNREACHABLE, json!({})),
        ("decline 'the settings name two registries'", json!({})),
        ("exit 3", json!({})),
    ] {
        let context = context("the compiler crashed", listing);
        let attempt = attempt(&context, &polly(&more));
        assert_eq!(attempt, "failed: exit code 1: the compiler crashed", "{listing} {more}");
    }
}

#[test]
fn the_registry_is_not_asked_if_the_hook_could_not_reach_it() {
    for error in ["cannot reach the registry: no route to host", "cannot download http://host/x: timeout"] {
        let context = context(error, NO_PACKAGE);
        let attempt = attempt(&context, &polly(&json!({})));
        assert_eq!(attempt, format!("failed: exit code 1: {error}"));
        assert!(!context.path("data/asked").exists());
    }
}

#[test]
fn the_registry_is_asked_only_after_a_failure() {
    let context = context("never", NO_PACKAGE);
    context.provider("shop", "#!/bin/sh\necho 'only on Sundays' >&2\n");
    let attempt = attempt(&context, &polly(&json!({})));
    assert_eq!(attempt, "declined: only on Sundays");
    assert!(!context.path("data/asked").exists());
}

#[test]
fn the_next_provider_is_tried_and_the_log_is_that_of_the_attempt() {
    let context = context("E404: a page of text", NO_PACKAGE);
    context.provider("spare", "#!/bin/sh\necho 'nothing to spare' >&2\n");
    let line = json!({"type": "Binary", "name": "polly", "binproviders": "shop,spare"});
    context.plugin("p", &[line]);
    let output = context.run(&["install"]).exits_with(1);
    let attempts = &output.record()["attempts"];
    assert_eq!(attempts[1]["reason"], "nothing to spare");
    let process = attempts[0]["process_id"].as_str().unwrap();
    assert!(context.run(&["process", "logs", process]).succeeds().stdout.contains("E404: a page of text"));
    assert_eq!(fs::read_to_string(context.path("data/asked")).unwrap(), "asked\n");
    assert!(context.run(&["logs", "polly"]).succeeds().stdout.contains("nothing to spare"));
}

#[test]
fn an_image_that_cannot_be_pulled_is_named_with_its_override() {
    let mut context = TestContext::new();
    let podman = context.script(
        "tools/podman",
        "#!/bin/sh\necho 'Error: short-name \"jq:latest\" did not resolve' >&2\nexit 125\n",
    );
    context.set("PATH", format!("{}:/usr/bin:/bin", podman.parent().unwrap().display()));
    let output = context.run(&["install", "podman:jq"]).exits_with(1);
    output.stderr_contains(
        "cannot pull the image jq:latest: Error: short-name \"jq:latest\" did not resolve; to use another, set \
         overrides.podman.image, such as docker.io/alpine/git:v2.49.1",
    );
}

#[test]
fn nothing_is_installed_for_a_provider_that_declines_the_request() {
    let own = json!({"type": "Binary", "name": "till", "binproviders": "spare"});
    let declines = "\"$RIGUP\" hook failure --name polly --declined 'no birds'";
    let of_request =
        "eval \"$(\"$RIGUP\" hook begin --provider shop -- \"$@\")\"; decline_request 'no birds'";
    for (hook, installs) in [("exit 1", false), (declines, false), (of_request, false), ("exit 0", true)] {
        let context = context("E404", NO_PACKAGE);
        context.write("here/providers/shop/binaries.jsonl", own.to_string());
        context.provider("shop", &format!("#!/bin/sh\n{hook}\n"));
        context.provider(
            "spare",
            "#!/bin/sh\nexec \"$RIGUP\" hook binary --provider spare --abspath /bin/sh -- \"$@\"\n",
        );
        context.plugin("p", &[polly(&json!({}))]);
        let output = context.run(&["install"]).exits_with(1);
        assert_eq!(output.record()["attempts"][0]["outcome"], "declined", "{hook}");
        assert_eq!(output.stderr.contains("till: installed by spare"), installs, "{hook}: {}", output.stderr);
    }
}
