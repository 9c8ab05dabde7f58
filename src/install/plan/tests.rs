//! Tests the plans of arbitrary requirements and of typical cases.

use std::collections::BTreeSet;

use proptest::option;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use serde_json::json;

use super::*;
use crate::model::Version;

const PROVIDERS: [&str; 4] = ["env", "npm", "pip", "apt"];

fn known() -> Vec<ProviderName> {
    PROVIDERS.map(ProviderName::from_static).into()
}

fn requirement(plugin: &str, overrides: &Value) -> Requirement {
    Requirement {
        name: BinaryName::parse("x", None).unwrap(),
        providers: Providers::Any,
        min_version: String::new(),
        max_version: String::new(),
        policy: Policy::default(),
        overrides: Overrides::parse(overrides.as_object().unwrap()).unwrap(),
        plugin: PluginName::parse(plugin).ok(),
        source: format!("{plugin}/binaries.jsonl:1"),
        setting: None,
        pays_from: None,
    }
}

fn plan_one(requirements: &[Requirement]) -> Request {
    plan(requirements, &Selection::default(), &known()).remove(0).unwrap()
}

fn min_version_of<'a>(requirement: &'a Requirement, provider: &str) -> &'a str {
    requirement.overrides.of(provider).min_version.as_deref().unwrap_or(&requirement.min_version)
}

fn policy_of(requirement: &Requirement, provider: &str) -> Policy {
    requirement.overrides.of(provider).policy.or(requirement.policy)
}

fn version() -> impl Strategy<Value = String> {
    select(vec!["", "1", "1.9", "1.10", "2.0~rc1", "2.0", "1:0.1"]).prop_map(str::to_owned)
}

fn policy() -> impl Strategy<Value = Policy> {
    let age = option::of(select(vec![0.0, 0.5, 7.0, 30.0]));
    (age, option::of(any::<bool>()))
        .prop_map(|(min_release_age, postinstall_scripts)| Policy { min_release_age, postinstall_scripts })
}

/// The overrides for one provider: bare packages, or some of the keys.
fn provider_overrides() -> impl Strategy<Value = Value> {
    let packages = subsequence(vec!["a", "b", "c"], 0..=2);
    let keys = (option::of(packages.clone()), version(), policy(), option::of("[a-c]"), option::of("/[a-c]"));
    let keys = keys.prop_map(|(packages, min_version, policy, install_root, abspath)| {
        let mut overrides =
            json!({"min_version": min_version, "install_root": install_root, "abspath": abspath});
        policy.write_to(&mut overrides);
        overrides["packages"] = json!(packages);
        overrides.as_object_mut().unwrap().retain(|_, value| !value.is_null() && value != "");
        overrides
    });
    prop_oneof![packages.prop_map(|packages| json!(packages)), keys]
}

fn any_requirement() -> impl Strategy<Value = Requirement> {
    let providers = prop_oneof![
        Just(Providers::Any),
        subsequence(known(), 1..=4).prop_shuffle().prop_map(Providers::Only),
    ];
    let overrides = proptest::collection::btree_map(select(vec!["npm", "pip"]), provider_overrides(), 0..=2);
    let name_and_plugin = (select(vec!["x", "y"]), select(vec!["p", "q", "r"]));
    let rest = (option::of(select(vec!["X_BINARY", "Y_BINARY"])), option::of(1_u32..9));
    (name_and_plugin, providers, version(), policy(), overrides, rest).prop_map(
        |((name, plugin), providers, min_version, policy, overrides, (setting, pays_from))| Requirement {
            name: BinaryName::parse(name, None).unwrap(),
            providers,
            min_version,
            policy,
            setting: setting.map(str::to_owned),
            pays_from,
            ..requirement(plugin, &json!(overrides))
        },
    )
}

/// Returns whether `policy` is at least as strict as `other`.
fn is_as_strict(policy: Policy, other: Policy) -> bool {
    other.min_release_age.is_none_or(|days| policy.min_release_age >= Some(days))
        && (other.postinstall_scripts != Some(false) || policy.postinstall_scripts == Some(false))
}

fn sorted<T: Ord + serde::Serialize>(values: &[T]) -> Value {
    json!(BTreeSet::from_iter(values))
}

/// Returns the part of a step that does not depend on the order of the requirements.
fn unordered(step: &Step) -> Value {
    let Ok(request) = step else { return Value::Null };
    let of_provider = |provider: &&str| {
        let packages = &request.overrides.of(provider).packages;
        let overrides = request.overrides.to_json();
        let keys = overrides.get(*provider).and_then(Value::as_object);
        let keys: BTreeSet<&String> =
            keys.into_iter().flat_map(serde_json::Map::keys).filter(|key| *key != "packages").collect();
        let mut values = json!({"packages": BTreeSet::from_iter(packages), "keys": keys});
        request.policy_of(provider).write_to(&mut values);
        values
    };
    json!({
        "candidates": sorted(&request.candidates),
        "required_by": sorted(&request.required_by),
        "settings": sorted(&request.settings),
        "pays_from": request.pays_from,
        "of_provider": PROVIDERS.iter().map(of_provider).collect::<Vec<_>>(),
    })
}

fn min_versions(step: &Step) -> Vec<Version> {
    let of_provider = |request: &Request| {
        PROVIDERS.iter().map(|name| Version::parse(request.versions_of(name).min)).collect()
    };
    step.as_ref().map(of_provider).unwrap_or_default()
}

#[test]
fn an_override_for_one_provider_does_not_relax_another_plugins_rule() {
    let loose = json!({"pip": {"min_version": "2", "min_release_age": 0, "postinstall_scripts": true}});
    let strict = Requirement {
        min_version: "5".to_owned(),
        policy: Policy { min_release_age: Some(14.0), postinstall_scripts: Some(false) },
        ..requirement("strict", &json!({}))
    };
    let loose = requirement("loose", &loose);
    for requirements in [[strict.clone(), loose.clone()], [loose.clone(), strict.clone()]] {
        let request = plan_one(&requirements);
        assert_eq!(request.versions_of("pip").min, "5");
        assert_eq!(request.policy_of("pip"), strict.policy);
    }
    let both = plan_one(&[loose.clone(), Requirement { min_version: "5".to_owned(), ..loose.clone() }]);
    assert_eq!(both.versions_of("pip").min, "2", "both plugins state it for this provider");
}

#[test]
fn the_stricter_of_two_rules_for_a_provider_wins() {
    let first = requirement("a", &json!({"pip": {"min_version": "1.9", "min_release_age": 3}}));
    let second = json!({"pip": {"min_version": "1.10", "postinstall_scripts": false, "packages": "x"}});
    let request = plan_one(&[first, requirement("b", &second)]);
    assert_eq!(
        (request.versions_of("pip").min, request.overrides.of("pip").packages.clone()),
        ("1.10", vec!["x".to_owned()])
    );
    let rules = Policy { min_release_age: Some(3.0), postinstall_scripts: Some(false) };
    assert_eq!(request.policy_of("pip"), rules);
}

#[test]
fn overrides_of_both_requirements_are_merged() {
    let first = requirement("a", &json!({"pip": {"packages": ["x"], "install_root": "mine"}}));
    let second = requirement("b", &json!({"pip": {"abspath": "/opt/x", "install_root": "theirs"}}));
    let expected = json!({"packages": ["x"], "install_root": "mine", "abspath": "/opt/x"});
    assert_eq!(plan_one(&[first, second]).overrides.to_json()["pip"], expected);
}

#[test]
fn an_optional_dependency_pays_from_the_lower_count() {
    let from = |pays_from| Requirement { pays_from, ..requirement("a", &json!({})) };
    assert_eq!(plan_one(&[from(Some(3)), from(Some(8))]).pays_from, Some(3));
    assert_eq!(plan_one(&[from(Some(3)), from(None)]).pays_from, None, "it is not optional for the second");
}

#[test]
fn a_requirement_without_a_plugin_is_required_by_no_plugin() {
    let without_plugin = requirement("", &json!({}));
    assert_eq!(
        plan_one(&[without_plugin.clone(), requirement("a", &json!({})), without_plugin]).required_by,
        ["a"]
    );
}

proptest! {
    #[test]
    fn the_order_of_the_plugins_changes_only_preferences(
        requirements in proptest::collection::vec(any_requirement(), 1..6),
        shuffled in any::<proptest::sample::Index>(),
    ) {
        let mut other = requirements.clone();
        other.rotate_left(shuffled.index(requirements.len()));
        other.reverse();
        for name in ["x", "y"].map(name) {
            if !requirements.iter().any(|requirement| requirement.name == name) {
                continue;
            }
            let selection = Selection { names: vec![name.into()], ..Selection::default() };
            let steps = [&requirements, &other].map(|requirements| plan(requirements, &selection, &known()).remove(0));
            prop_assert_eq!(unordered(&steps[0]), unordered(&steps[1]));
            prop_assert_eq!(min_versions(&steps[0]), min_versions(&steps[1]));
        }
    }

    #[test]
    fn repeated_requirements_make_the_same_plan(requirements in proptest::collection::vec(any_requirement(), 1..6)) {
        let once = plan(&requirements, &Selection::default(), &known());
        let twice = plan(&[requirements.clone(), requirements].concat(), &Selection::default(), &known());
        prop_assert_eq!(
            once.iter().map(unordered).collect::<Vec<_>>(),
            twice.iter().map(unordered).collect::<Vec<_>>()
        );
        prop_assert_eq!(
            once.iter().map(min_versions).collect::<Vec<_>>(),
            twice.iter().map(min_versions).collect::<Vec<_>>()
        );
    }

    #[test]
    fn a_request_is_as_strict_as_each_of_its_requirements(
        requirements in proptest::collection::vec(any_requirement(), 1..6),
        min_version in version(),
        settings_policy in policy(),
    ) {
        let selection = Selection { min_version, settings_policy, ..Selection::default() };
        let steps = plan(&requirements, &selection, &known());
        for requirement in &requirements {
            let of_name: Vec<&Step> = steps.iter().filter(|step| *name_of(step) == requirement.name).collect();
            prop_assert_eq!(of_name.len(), 1);
            let Ok(request) = of_name[0] else { continue };
            prop_assert!(requirement.plugin.iter().all(|plugin| request.required_by.contains(plugin)));
            prop_assert!(requirement.setting.iter().all(|name| request.settings.contains(name)));
            prop_assert!(!request.candidates.is_empty());
            for provider in &request.candidates {
                prop_assert!(requirement.providers.allows(provider));
                let minimum = Version::parse(request.versions_of(provider).min);
                prop_assert!(minimum >= Version::parse(min_version_of(requirement, provider)));
                prop_assert!(minimum >= Version::parse(&selection.min_version));
                let policy = request.policy_of(provider);
                prop_assert!(is_as_strict(policy, policy_of(requirement, provider)));
                prop_assert!(is_as_strict(policy, settings_policy));
                let packages = |overrides: &Overrides| overrides.of(provider).packages.clone();
                let required_packages = packages(&requirement.overrides);
                let all = packages(&request.overrides);
                prop_assert!(required_packages.iter().all(|package| all.contains(package)), "{all:?} lacks some of {required_packages:?}");
                for key in ["install_root", "abspath"] {
                    let has_key = |overrides: &Overrides| {
                        overrides.of(provider).get(key).is_some_and(|value| value != "" && !value.is_null())
                    };
                    prop_assert!(has_key(&request.overrides) || !has_key(&requirement.overrides));
                }
            }
        }
    }
}

fn name(text: &str) -> BinaryName {
    BinaryName::parse(text, None).unwrap()
}

fn required(plugin: &str, text: &str, providers: &str, min_version: &str) -> Requirement {
    Requirement {
        name: name(text),
        providers: Providers::parse(providers).unwrap(),
        min_version: min_version.to_owned(),
        ..requirement(plugin, &json!({}))
    }
}

fn common_providers() -> Vec<ProviderName> {
    ["env", "npm", "pip", "brew", "apt"].map(ProviderName::from_static).into()
}

#[derive(Debug)]
struct Host;

impl HostProviders for Host {
    fn curated(&self) -> Vec<ProviderName> {
        ["env", "apt"].map(ProviderName::from_static).into()
    }

    fn system(&self) -> Vec<ProviderName> {
        Vec::new()
    }
}

fn selection(names: &[&str], providers: Option<&str>) -> Selection<'static> {
    Selection {
        names: names.iter().map(|text| BinarySpec::parse(text, None, |_| false).unwrap()).collect(),
        host: Some(&Host),
        providers: providers.map(|list| Providers::parse(list).unwrap()),
        ..Selection::default()
    }
}

#[test]
fn a_name_that_two_plugins_require_is_one_request() {
    let mut second = required("b", "x", "env,pip", "1.10");
    second.overrides = Overrides::parse(json!({"pip": ["y"]}).as_object().unwrap()).unwrap();
    let requirements = [required("a", "x", "pip,apt,env", "1.9"), second];
    let steps = plan(&requirements, &Selection::default(), &common_providers());
    assert_eq!(steps.len(), 1);
    let request = steps[0].as_ref().unwrap();
    assert_eq!(request.candidates, ["pip", "env"]);
    assert_eq!(request.min_version, "1.10");
    assert_eq!(request.required_by, ["a", "b"]);
    assert_eq!(request.overrides.to_json()["pip"], json!(["y"]));
}

#[test]
fn refuses_plugins_without_a_common_provider_and_names_both() {
    let requirements = [required("a", "x", "pip", ""), required("b", "x", "npm", "")];
    let reason =
        plan(&requirements, &Selection::default(), &common_providers())[0].clone().unwrap_err().reason;
    let expected =
        "no provider is in both pip (a/binaries.jsonl:1) and npm (b/binaries.jsonl:1); change one of them";
    assert_eq!(reason, expected);
}

#[test]
fn a_plugin_without_providers_allows_no_open_registry_to_another() {
    let merged = |one: &str, other: &str| {
        let requirements = [required("a", "x", one, ""), required("b", "x", other, "")];
        plan(&requirements, &selection(&[], None), &common_providers())[0].clone()
    };
    for (one, other, expected) in [("", "pip", "env,apt"), ("pip", "", "pip")] {
        let reason = merged(one, other).unwrap_err().reason;
        assert!(
            reason.starts_with(&format!("no provider is in both {expected} (a/binaries.jsonl:1)")),
            "{reason}"
        );
    }
    assert_eq!(merged("", "pip,apt,env").unwrap().candidates, ["env", "apt"]);
    assert_eq!(merged("pip,apt,env", "").unwrap().candidates, ["apt", "env"]);
    assert_eq!(merged("*", "").unwrap().candidates, ["env", "apt"]);
    assert_eq!(merged("", "").unwrap().providers, Providers::Default);
}

#[test]
fn plugins_whose_versions_exclude_each_other_are_refused_by_name() {
    let at_most = |plugin: &str, max: &str| Requirement {
        max_version: max.to_owned(),
        ..required(plugin, "x", "pip", "")
    };
    let request = plan_one(&[at_most("a", "1.10"), at_most("b", "1.9")]);
    assert_eq!(request.versions_of("pip"), VersionRange { min: "", max: "1.9" });
    let steps = plan(
        &[at_most("a", "1.9"), required("b", "x", "pip", "1.10")],
        &Selection::default(),
        &common_providers(),
    );
    assert_eq!(
        steps[0].clone().unwrap_err().reason,
        "no version satisfies both <= 1.9 (a/binaries.jsonl:1) and >= 1.10 (b/binaries.jsonl:1); change one of them"
    );
}

#[test]
fn a_conflict_of_versions_names_the_place_that_excludes_the_last() {
    let selection = Selection {
        names: vec![BinarySpec::parse("x@1.21", None, |_name| false).unwrap()],
        max_version: "1.19".to_owned(),
        ..Selection::default()
    };
    let steps = plan(&[required("a", "x", "pip", "1.20")], &selection, &common_providers());
    assert_eq!(
        steps[0].clone().unwrap_err().reason,
        "no version satisfies both >= 1.20 (a/binaries.jsonl:1) and <= 1.19 (the command line); change one of them"
    );
    let selection = Selection { max_version: "1.20".to_owned(), ..selection };
    let steps = plan(&[required("a", "x", "pip", "1.20")], &selection, &common_providers());
    assert_eq!(
        steps[0].clone().unwrap_err().reason,
        "no version satisfies both == 1.21 (x@1.21) and <= 1.20 (the command line); change one of them"
    );
}

#[test]
fn a_conflict_names_only_the_sources_that_state_versions_or_providers() {
    let reason = |names: &[&str]| {
        let requirements = [required("a", "x", "pip", "")];
        plan(&requirements, &selection(names, None), &common_providers()).remove(0).unwrap_err().reason
    };
    assert_eq!(
        reason(&["x@4", "x@5"]),
        "no version satisfies both == 4 (x@4) and == 5 (x@5); change one of them"
    );
    assert_eq!(
        reason(&["x@4", "npm:x"]),
        "no provider is in both pip (a/binaries.jsonl:1) and npm (npm:x); change one of them"
    );
}

#[test]
fn a_name_with_a_version_requests_exactly_that_version() {
    let mut first = required("a", "x", "pip", "1");
    first.overrides = Overrides::parse(json!({"pip": {"min_version": "2"}}).as_object().unwrap()).unwrap();
    let of_names =
        |names: &[&str]| plan(&[first.clone()], &selection(names, None), &common_providers()).remove(0);
    let request = of_names(&["x@3.0"]).unwrap();
    assert_eq!((request.name.as_str(), request.to_string().as_str()), ("x", "x 3.0"));
    assert_eq!(
        (request.exact_version_of("pip"), request.exact_version_of("npm")),
        (Some("3.0"), Some("3.0"))
    );
    let too_old = of_names(&["x@v0.9"]).unwrap_err().reason;
    let expected =
        "no version satisfies both >= 1 (a/binaries.jsonl:1) and == 0.9 (x@v0.9); change one of them";
    assert_eq!(too_old, expected);
    let twice = of_names(&["y@1.2", "y", "y@1.3"]).unwrap_err().reason;
    assert_eq!(twice, "no version satisfies both == 1.2 (y@1.2) and == 1.3 (y@1.3); change one of them");
    let with_provider = of_names(&["pip:y@1.2", "pip:y", "pip:y@1.3"]).unwrap_err().reason;
    let expected = "no version satisfies both == 1.2 (pip:y@1.2) and == 1.3 (pip:y@1.3); change one of them";
    assert_eq!(with_provider, expected);
    let bare = of_names(&["y@1.2"]).unwrap();
    assert_eq!((bare.name.as_str(), bare.exact_version_of("env")), ("y", Some("1.2")));
    for name in ["y@next", "y@latest", "y@", "y@1@2", "y==1.2", "y>=1", "y@3.x", "y@1.*"] {
        let reason = of_names(&[name]).unwrap_err().reason;
        assert!(
            reason.ends_with("is not a version; use y for any version, or a form such as y@1.2 for that one")
        );
    }
}

#[test]
fn a_request_without_providers_asks_only_curated_ones() {
    let steps = plan(&[required("a", "x", "", "")], &selection(&[], None), &common_providers());
    let request = steps[0].as_ref().unwrap();
    assert_eq!((request.binproviders().as_str(), request.providers.allows("pip")), ("env,apt", true));
}

#[test]
fn any_provider_means_all_providers_in_hook_order() {
    let steps = plan(&[required("a", "x", "*", "")], &Selection::default(), &common_providers());
    assert_eq!(steps[0].as_ref().unwrap().candidates, common_providers());
}

#[test]
fn a_bare_name_tries_an_open_registry_only_on_request() {
    let bare = plan(&[], &selection(&["jq"], None), &common_providers());
    assert_eq!(bare[0].as_ref().unwrap().candidates, ["env", "apt"]);
    let selected = plan(&[], &selection(&["jq"], Some("npm")), &common_providers());
    assert_eq!(selected[0].as_ref().unwrap().candidates, ["npm"]);
}

#[test]
fn the_command_line_selects_and_orders_providers_but_adds_none() {
    let requirements = [required("a", "x", "pip,env", ""), required("a", "y", "apt", "")];
    let steps = plan(&requirements, &selection(&["y", "x", "y"], Some("env,pip")), &common_providers());
    assert_eq!(steps.len(), 2);
    let refusal = steps[0].clone().unwrap_err();
    let expected =
        "no provider is in both apt (a/binaries.jsonl:1) and env,pip (--binproviders); change one of them";
    assert_eq!(refusal.reason, expected);
    assert_eq!(steps[1].as_ref().unwrap().candidates, ["env", "pip"]);
}

#[test]
fn a_path_is_checked_by_env_whatever_the_providers_are() {
    let requirements = [required("a", "/opt/x", "pip", ""), required("b", "/opt/x", "apt,npm", "")];
    let steps = plan(&requirements, &selection(&[], Some("brew")), &common_providers());
    let request = steps[0].as_ref().unwrap();
    assert_eq!(
        (&*request.candidates, request.binproviders().as_str()),
        (&[ProviderName::from_static("env")][..], "env")
    );
}

#[test]
fn a_request_is_shown_with_its_version_requirement() {
    let with_version = |min_version| plan_one(&[required("a", "sh", "env", min_version)]);
    assert_eq!(with_version("").to_string(), "sh");
    assert_eq!(with_version("9").to_string(), "sh (>= 9)");
}
