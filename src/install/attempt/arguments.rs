//! The arguments, and the input line, that a provider's hook receives for a request.

use std::ffi::OsString;

use serde_json::{Map, Number, Value};

use crate::hook::command;
use crate::install::plan::Request;
use crate::lockfile::Pin;
use crate::model::policy::{MIN_RELEASE_AGE_KEY, POSTINSTALL_SCRIPTS_KEY};
use crate::model::{BinaryId, MachineId};

/// Returns the arguments of a hook.
pub fn arguments(
    request: &Request,
    provider: &str,
    binary_id: BinaryId,
    machine_id: MachineId,
) -> Vec<OsString> {
    let mut fields = fields(request, provider, binary_id, machine_id).to_vec();
    let pinned = |value: fn(&Pin) -> &str| request.pin.as_ref().map(value).into();
    fields.push(("exact_sha256", pinned(|pin| &pin.sha256)));
    fields.push(("exact_url", pinned(|pin| &pin.url)));
    fields.push(("exact_url_sha256", pinned(|pin| &pin.url_sha256)));
    fields.push(("not_below", request.not_below.as_str().into()));
    for (_, value) in &mut fields {
        // As text, because an argument with the value false would be left out.
        if let Value::Bool(flag) = value {
            *value = flag.to_string().into();
        }
    }
    command::arguments(&fields)
}

/// Returns the line that a batch hook reads from standard input.
pub fn input_line(request: &Request, provider: &str, binary_id: BinaryId, machine_id: MachineId) -> String {
    let kind = [("type", Value::from("BinaryRequest"))];
    let fields = kind.into_iter().chain(fields(request, provider, binary_id, machine_id));
    let fields = fields.filter(|(_, value)| !value.is_null() && value != "");
    let record: Map<String, Value> = fields.map(|(key, value)| (key.to_owned(), value)).collect();
    Value::Object(record).to_string()
}

/// Returns the fields of a request. `best_effort` lists the rules of the policy that are not stated: the hook enforces
/// them if it can. It must enforce every other rule.
fn fields(
    request: &Request,
    provider: &str,
    binary_id: BinaryId,
    machine_id: MachineId,
) -> [(&'static str, Value); 12] {
    let overrides = Value::Object(request.overrides.to_json());
    let policy = request.policy_of(provider);
    let versions = request.versions_of(provider);
    let mut best_effort = Vec::new();
    if policy.min_release_age.is_none() {
        best_effort.push(MIN_RELEASE_AGE_KEY);
    }
    if policy.postinstall_scripts.is_none() {
        best_effort.push(POSTINSTALL_SCRIPTS_KEY);
    }
    [
        ("name", request.name.as_str().into()),
        ("binproviders", request.binproviders().into()),
        ("min_version", versions.min.into()),
        ("max_version", versions.max.into()),
        ("exact_version", request.exact_version_of(provider).into()),
        // Written as 7, not as 7.0.
        (MIN_RELEASE_AGE_KEY, policy.age().to_string().parse::<Number>().map_or(Value::Null, Value::Number)),
        (POSTINSTALL_SCRIPTS_KEY, policy.may_run_scripts().into()),
        ("best_effort", best_effort.join(",").into()),
        ("overrides", if request.overrides.is_empty() { Value::Null } else { overrides }),
        ("pays_from", request.pays_from.into()),
        ("binary_id", binary_id.to_string().into()),
        ("machine_id", machine_id.to_string().into()),
    ]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::install::plan::{Selection, plan};
    use crate::model::ProviderName;
    use crate::plugin::requirement::{self, Requirement};

    #[test]
    fn rules_that_are_not_stated_are_best_effort() {
        let line = json!({
            "type": "Binary", "name": "x", "binproviders": "*", "min_version": "2", "max_version": "3",
            "overrides": {"pip": {"min_version": "1", "max_version": "1.0", "min_release_age": 0.5, "postinstall_scripts": true}},
        });
        let line = line.to_string();
        let requirement: Requirement = requirement::parse_line(None, line.as_bytes(), None).unwrap();
        let steps = plan(&[requirement], &Selection::default(), &[ProviderName::from_static("pip")]);
        let arguments_of = |provider: &str| {
            let request = steps[0].as_ref().unwrap();
            let all = arguments(request, provider, BinaryId::from(0), MachineId::from(0));
            let all = all.into_iter().map(|argument| argument.into_string().unwrap());
            all.filter(|argument| !argument.contains("id=") && !argument.contains("overrides="))
                .collect::<Vec<_>>()
                .join(" ")
        };
        assert_eq!(
            arguments_of("pip"),
            "--name=x --binproviders=* --min-version=1 --max-version=1.0 --exact-version=1.0 --min-release-age=0.5 --postinstall-scripts=true"
        );
        assert_eq!(
            arguments_of("npm"),
            "--name=x --binproviders=* --min-version=2 --max-version=3 --min-release-age=7 --postinstall-scripts=false \
             --best-effort=min_release_age,postinstall_scripts"
        );
        let line = input_line(steps[0].as_ref().unwrap(), "npm", BinaryId::from(0), MachineId::from(0));
        let start = r#"{"type":"BinaryRequest","name":"x","binproviders":"*","min_version":"2","max_version":"3","min_release_age":7,"#;
        assert!(line.starts_with(start), "{line}");
        assert!(
            line.contains(r#""postinstall_scripts":false,"best_effort":"min_release_age,postinstall"#),
            "{line}"
        );
    }
}
