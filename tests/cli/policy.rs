//! `min_release_age`, `postinstall_scripts`, and overrides for a provider.

use serde_json::json;

use crate::builtin_providers;
use crate::test_context::TestContext;

/// A provider that installs every name, and reports the policy that it received as the version.
const REGISTRY: &str = r#"#!/bin/sh
for arg; do case $arg in --name=*) name=${arg#--name=} ;; esac; done
eval "$("$RIGUP" hook policy --provider registry -- "$@")"
echo '{"type":"Warning","message":"the registry is slow today"}'
printf '#!/bin/sh\necho 1.5\n' >"$name" && chmod +x "$name"
version="1.5+age.${min_release_age:-any}.scripts.${run_scripts:-no}.required.${must_keep_age:-no}.${must_keep_scripts:-no}"
echo "{\"type\":\"Binary\",\"name\":\"$name\",\"abspath\":\"$PWD/$name\",\"version\":\"$version\"}"
"#;

/// Creates a context with the provider `registry`, whose config states what it enforces.
fn context(enforces: &serde_json::Value) -> TestContext {
    let context = TestContext::new();
    context.provider("registry", REGISTRY);
    let config = json!({"type": "object", "properties": {}, "enforces": enforces});
    context.write("here/providers/registry/config.json", config.to_string());
    context
}

/// Creates a context whose provider `registry` enforces the whole policy.
fn context_with_policy() -> TestContext {
    context(&json!({"min_release_age": true, "postinstall_scripts": true}))
}

fn require(context: &TestContext, keys: &serde_json::Value) {
    let mut line = json!({"type": "Binary", "name": "x", "binproviders": "registry"});
    line.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
    context.plugin("p", &[line]);
}

/// Installs `x`, and returns the policy that the provider `registry` received.
fn policy(context: &TestContext, args: &[&str]) -> String {
    let record = context.run(&[&["install", "--force"], args].concat()).succeeds().record();
    record["version"].as_str().unwrap().trim_start_matches("1.5+").to_owned()
}

#[test]
fn the_default_policy_is_a_week_of_age_and_no_scripts() {
    let context = context_with_policy();
    require(&context, &json!({}));
    assert_eq!(policy(&context, &[]), "age.7.scripts.no.required.no.no");
    assert_eq!(policy(&context, &["--min-release-age", "2.5"]), "age.2.5.scripts.no.required.yes.no");
    assert_eq!(policy(&context, &["--postinstall-scripts"]), "age.7.scripts.yes.required.no.no");
    assert_eq!(policy(&context, &["--postinstall-scripts=false"]), "age.7.scripts.no.required.no.yes");
}

#[test]
fn the_stricter_of_requirement_and_settings_applies_unless_a_flag_does() {
    let context = context_with_policy();
    require(&context, &json!({"min_release_age": 3, "postinstall_scripts": true}));
    assert_eq!(policy(&context, &[]), "age.3.scripts.yes.required.yes.no");
    context.write("here/rigup.toml", "MIN_RELEASE_AGE = 14\nPOSTINSTALL_SCRIPTS = false");
    assert_eq!(policy(&context, &[]), "age.14.scripts.no.required.yes.yes");
    let flags = ["--min-release-age", "0", "--postinstall-scripts"];
    assert_eq!(policy(&context, &flags), "age.any.scripts.yes.required.no.no");
    require(&context, &json!({"overrides": {"registry": {"min_release_age": 30}}}));
    assert_eq!(policy(&context, &[]), "age.30.scripts.no.required.yes.yes");
}

#[test]
fn rejects_a_requested_policy_that_the_provider_cannot_enforce() {
    for enforces in [json!({}), json!({"min_release_age": false, "postinstall_scripts": true})] {
        let context = context(&enforces);
        require(&context, &json!({"min_release_age": 3}));
        let record = context.run(&["install"]).exits_with(1).record();
        assert_eq!(record["attempts"][0]["outcome"], "rejected");
        assert!(record["last_error"].as_str().unwrap().contains("min_release_age"), "{record}");
        assert_eq!(record["min_release_age"], 3.0);
        assert!(context.hook_processes().is_empty(), "no hook ran");
        context.run(&["install", "--min-release-age", "0"]).succeeds();
    }
}

#[test]
fn warns_once_about_a_default_policy_that_cannot_be_enforced() {
    let context = context(&json!({"min_release_age": false, "postinstall_scripts": false}));
    let line = |name: &str| json!({"type": "Binary", "name": name, "binproviders": "registry"});
    context.plugin("p", &[line("x"), line("y"), line("z")]);
    let output = context.run(&["install"]).succeeds();
    let warnings: Vec<&str> = output.stderr.lines().filter(|line| line.starts_with("warning: ")).collect();
    assert_eq!(
        warnings
            .iter()
            .filter(|warning| warning.contains("registry cannot enforce min_release_age and postinst"))
            .count(),
        1,
        "{warnings:?}"
    );
    let from_hook = "warning: registry: the registry is slow today";
    assert_eq!(
        warnings.iter().filter(|warning| **warning == from_hook).count(),
        1,
        "warnings of the hook: {warnings:?}"
    );
}

#[test]
fn rejects_an_invalid_policy_setting_instead_of_ignoring_it() {
    let mut context = context_with_policy();
    context.set("MIN_RELEASE_AGE", "a week");
    context.run(&["install", "x"]).exits_with(3).stderr_contains("cannot use the variable MIN_RELEASE_AGE: ");
    context.set("MIN_RELEASE_AGE", "");
    context
        .run(&["install", "x", "--min-release-age", "a week"])
        .exits_with(2)
        .stderr_contains("a number of days");
    require(&context, &json!({"postinstall_scripts": "maybe"}));
    context
        .run(&["install"])
        .exits_with(1)
        .stderr_contains("binaries.jsonl:1")
        .stderr_contains("must be true or false");
}

#[test]
fn plugin_show_prints_what_each_provider_enforces() {
    let context = TestContext::new();
    let enforced =
        |provider: &str| context.run(&["plugin", "show", provider]).succeeds().record()["enforces"].clone();
    for provider in builtin_providers::providers() {
        let config = builtin_providers::config(&provider);
        let declared = &config["enforces"];
        assert!(config["curated"] == true || declared["min_release_age"].is_boolean(), "{provider}");
        let expected = json!({
            "min_release_age": declared["min_release_age"],
            "postinstall_scripts": declared["postinstall_scripts"],
        });
        assert_eq!(enforced(&provider), expected, "{provider}");
    }
    context.plugin("p", &[]);
    assert_eq!(enforced("p"), json!(null), "p is not a provider");
}

#[test]
fn overrides_set_the_file_and_the_version_for_a_provider() {
    let context = TestContext::new();
    let silent = context.script("opt/silent", "#!/bin/sh\nexit 1\n");
    let overrides = json!({"env": {"abspath": silent, "version": "2.5", "min_version": "2"}});
    let line = json!({"type": "Binary", "name": "sh", "binproviders": "env", "min_version": "9", "overrides": overrides});
    context.plugin("p", &[line]);
    let record = context.run(&["install"]).succeeds().record();
    assert_eq!((&record["abspath"], &record["version"]), (&json!(silent), &json!("2.5")));
    let before = context.hook_processes().len();
    assert_eq!(context.run(&["install"]).succeeds().record()["version"], "2.5");
    assert_eq!(
        context.hook_processes().len(),
        before,
        "no hook ran, because the version satisfies the provider's min_version"
    );
}

#[test]
fn a_program_with_a_version_in_overrides_keeps_its_wrapper() {
    let context = TestContext::new();
    context.script("opt/libexec/real", "#!/bin/sh\necho runs\n");
    let tool = context.script("opt/bin/tool", "#!/bin/sh\nexec \"$(dirname \"$0\")/../libexec/real\"\n");
    context.provider(
        "p",
        &format!(
            "#!/bin/sh\necho '{{\"type\":\"Binary\",\"name\":\"tool\",\"abspath\":\"{}\"}}'\n",
            tool.display()
        ),
    );
    for provider in ["p", "env"] {
        let overrides = json!({provider: {"abspath": tool, "version": "2.5"}});
        let line =
            json!({"type": "Binary", "name": "tool", "binproviders": provider, "overrides": overrides});
        context.plugin("q", &[line]);
        let record = context.run(&["install"]).succeeds().record();
        assert_eq!((&record["version"], &record["needs_wrapper"]), (&json!("2.5"), &json!(true)));
        let output = context.command_for(&context.bin("tool"), &[]).output().unwrap();
        assert_eq!(output.stdout, b"runs\n");
    }
}

#[test]
fn rejects_a_file_other_than_the_one_in_overrides() {
    let context = context_with_policy();
    require(&context, &json!({"overrides": {"registry": {"abspath": "/opt/x"}}}));
    let record = context.run(&["install"]).exits_with(1).record();
    assert!(
        record["last_error"].as_str().unwrap().contains("overrides.registry.abspath is /opt/x"),
        "{record}"
    );
}
