//! What may be brought in from open registries, and what requirements say to single providers.

use serde_json::json;

use crate::builtin_providers;
use crate::test_context::TestContext;

/// A provider that has everything and answers with what it was asked to keep as the version.
const REGISTRY: &str = r#"#!/bin/sh
for arg; do case $arg in --name=*) name=${arg#--name=} ;; esac; done
eval "$("$RIGUP" hook policy --provider registry -- "$@")"
echo '{"type":"Warning","message":"the registry is slow today"}'
printf '#!/bin/sh\necho 1.5\n' >"$name" && chmod +x "$name"
version="1.5+age.${min_release_age:-any}.scripts.${run_scripts:-no}.asked.${must_keep_age:-no}.${must_keep_scripts:-no}"
echo "{\"type\":\"Binary\",\"name\":\"$name\",\"abspath\":\"$PWD/$name\",\"version\":\"$version\"}"
"#;

fn context(keeps: &serde_json::Value) -> TestContext {
    let context = TestContext::new();
    context.provider("registry", REGISTRY);
    let config = json!({"type": "object", "properties": {}, "enforces": keeps});
    context.write("here/providers/registry/config.json", config.to_string());
    context
}

fn all_kept() -> TestContext {
    context(&json!({"min_release_age": true, "postinstall_scripts": true}))
}

fn require(context: &TestContext, keys: &serde_json::Value) {
    let mut line = json!({"type": "Binary", "name": "x", "binproviders": "registry"});
    line.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
    context.plugin("p", &[line]);
}

fn kept(context: &TestContext, args: &[&str]) -> String {
    let record = context.run(&[&["install", "--force"], args].concat()).succeeds().record();
    record["version"].as_str().unwrap().trim_start_matches("1.5+").to_owned()
}

#[test]
fn a_week_of_age_and_no_scripts_are_the_rule_where_nobody_asks_for_something_else() {
    let context = all_kept();
    require(&context, &json!({}));
    assert_eq!(kept(&context, &[]), "age.7.scripts.no.asked.no.no");
    assert_eq!(kept(&context, &["--min-release-age", "2.5"]), "age.2.5.scripts.no.asked.yes.no");
    assert_eq!(kept(&context, &["--postinstall-scripts"]), "age.7.scripts.yes.asked.no.no");
    assert_eq!(kept(&context, &["--postinstall-scripts=false"]), "age.7.scripts.no.asked.no.yes");
}

#[test]
fn the_stricter_one_of_requirement_and_settings_counts_and_a_flag_weighs_more_than_both() {
    let context = all_kept();
    require(&context, &json!({"min_release_age": 3, "postinstall_scripts": true}));
    assert_eq!(kept(&context, &[]), "age.3.scripts.yes.asked.yes.no");
    context.write("here/rigup.toml", "MIN_RELEASE_AGE = 14\nPOSTINSTALL_SCRIPTS = false");
    assert_eq!(kept(&context, &[]), "age.14.scripts.no.asked.yes.yes");
    let flags = ["--min-release-age", "0", "--postinstall-scripts"];
    assert_eq!(kept(&context, &flags), "age.any.scripts.yes.asked.no.no");
    require(&context, &json!({"overrides": {"registry": {"min_release_age": 30}}}));
    assert_eq!(kept(&context, &[]), "age.30.scripts.no.asked.yes.yes");
}

#[test]
fn what_is_asked_for_and_cannot_be_kept_is_rejected_before_anything_runs() {
    for keeps in [json!({}), json!({"min_release_age": false, "postinstall_scripts": true})] {
        let context = context(&keeps);
        require(&context, &json!({"min_release_age": 3}));
        let record = context.run(&["install"]).exits_with(1).record();
        assert_eq!(record["attempts"][0]["outcome"], "rejected");
        assert!(record["last_error"].as_str().unwrap().contains("min_release_age"), "{record}");
        assert_eq!(record["min_release_age"], 3.0);
        assert!(context.hook_processes().is_empty(), "nobody was asked");
        context.run(&["install", "--min-release-age", "0"]).succeeds();
    }
}

#[test]
fn a_default_that_cannot_be_kept_is_warned_of_once_for_all_requests() {
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
    let own = "warning: registry: the registry is slow today";
    assert_eq!(
        warnings.iter().filter(|warning| **warning == own).count(),
        1,
        "what a hook warns of: {warnings:?}"
    );
}

#[test]
fn a_setting_that_is_no_rule_stops_rigup_instead_of_counting_for_nothing() {
    let mut context = all_kept();
    context.set("MIN_RELEASE_AGE", "a week");
    context
        .run(&["install", "x"])
        .exits_with(3)
        .stderr_contains("MIN_RELEASE_AGE from the variable MIN_RELEASE_AGE is not a valid value");
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
fn plugin_show_tells_what_each_provider_can_keep() {
    let context = TestContext::new();
    let keeps =
        |provider: &str| context.run(&["plugin", "show", provider]).succeeds().record()["enforces"].clone();
    for provider in builtin_providers::providers() {
        let config = builtin_providers::config(&provider);
        let enforces = &config["enforces"];
        assert!(config["curated"] == true || enforces["min_release_age"].is_boolean(), "{provider}");
        let expected = json!({
            "min_release_age": enforces["min_release_age"],
            "postinstall_scripts": enforces["postinstall_scripts"],
        });
        assert_eq!(keeps(&provider), expected, "{provider}");
    }
    context.plugin("p", &[]);
    assert_eq!(keeps("p"), json!(null), "no provider");
}

#[test]
fn a_file_and_a_version_that_a_requirement_states_for_a_provider_count() {
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
        "new enough for this provider, so nobody is asked again"
    );
}

#[test]
fn another_file_than_the_one_that_a_requirement_states_is_rejected() {
    let context = all_kept();
    require(&context, &json!({"overrides": {"registry": {"abspath": "/opt/x"}}}));
    let record = context.run(&["install"]).exits_with(1).record();
    assert!(
        record["last_error"].as_str().unwrap().contains("overrides.registry.abspath is /opt/x"),
        "{record}"
    );
}
