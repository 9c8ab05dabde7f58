//! The policy of a request as shell variables.

use jiff::{SignedDuration, Timestamp};

use crate::model::policy::{MIN_RELEASE_AGE_KEY, POSTINSTALL_SCRIPTS_KEY};
use crate::toolkit::request::HookRequest;

/// Returns assignments for a shell to `eval`, one per line; no value needs quotes:
///
/// - `min_release_age`: days, or empty for any age; `released_before`: the same as a time, RFC 3339 in UTC;
/// - `run_scripts`: `yes`, or empty if packages may not run their scripts;
/// - `must_keep_age`, `must_keep_scripts`: `yes` if the rule was requested, so that a hook that cannot enforce it must
///   fail; empty if it is a default, which the hook enforces if it can.
pub(crate) fn assignments(request: &HookRequest, now: Timestamp) -> String {
    let yes = |condition: bool| if condition { "yes" } else { "" };
    let age = request.policy.age();
    let (days, before) = if age > 0.0 {
        // Registries store times in whole seconds.
        let before = now - SignedDuration::from_secs_f64(age * 86_400.0);
        (age.to_string(), before.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
    } else {
        (String::new(), String::new())
    };
    let must_keep = |key: &str, is_requested: bool| {
        yes(is_requested && !request.best_effort.iter().any(|name| name == key))
    };
    let must_keep_age =
        must_keep(MIN_RELEASE_AGE_KEY, request.policy.min_release_age.is_some_and(|days| days > 0.0));
    let must_keep_scripts =
        must_keep(POSTINSTALL_SCRIPTS_KEY, request.policy.postinstall_scripts == Some(false));
    let run_scripts = yes(request.policy.may_run_scripts());
    format!(
        "min_release_age={days}\nreleased_before={before}\nrun_scripts={run_scripts}\n\
         must_keep_age={must_keep_age}\nmust_keep_scripts={must_keep_scripts}\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assigned(arguments: &[&str]) -> String {
        let arguments: Vec<String> =
            ["--name=x"].iter().chain(arguments).map(|argument| (*argument).to_owned()).collect();
        let request = HookRequest::parse(&arguments, None).unwrap();
        let text = assignments(&request, "2026-03-08T12:00:00.5Z".parse().unwrap());
        text.lines().filter(|line| !line.ends_with('=')).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn a_stated_rule_must_be_enforced_but_a_default_need_not() {
        let stated = ["--min-release-age=3", "--postinstall-scripts=false"];
        assert_eq!(
            assigned(&stated),
            "min_release_age=3 released_before=2026-03-05T12:00:00Z must_keep_age=yes must_keep_scripts=yes"
        );
        let defaults = [stated[0], stated[1], "--best-effort=min_release_age,postinstall_scripts"];
        assert_eq!(assigned(&defaults), "min_release_age=3 released_before=2026-03-05T12:00:00Z");
        assert_eq!(assigned(&["--min-release-age=0", "--postinstall-scripts=true"]), "run_scripts=yes");
        assert_eq!(assigned(&[]), "min_release_age=7 released_before=2026-03-01T12:00:00Z");
    }
}
