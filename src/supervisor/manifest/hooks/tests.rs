//! Tests of the fields that name hooks.

use crate::model::LifecycleEvent::{PreStart, Ready, Stats};
use crate::supervisor::manifest::tests::{daemon, messages};

/// The hooks of the enabled plugins.
pub(crate) const HOOKS: [&str; 4] = [
    "on_DaemonPreStart__10_notify.sh",
    "on_DaemonReady__10_notify.sh",
    "on_DaemonStats__10_graph.py",
    "on_Snapshot__10_save.sh",
];

#[test]
fn a_name_stands_for_the_hooks_of_all_events_that_have_it() {
    let text = "[daemons.a]\ncommand = \"x\"\nhooks = [\"notify\", \"notify\"]\nstats_hooks = [\"graph\"]\n";
    let hooks = daemon("rigup.toml", text).hooks;
    let names = [(PreStart, "notify"), (Ready, "notify"), (Stats, "graph")];
    assert_eq!(hooks.names, names.map(|(kind, name)| (kind, vec![name.to_owned()])).into());
    assert_eq!(hooks.folder, std::env::current_dir().unwrap());
    assert!(hooks.plugin_path.contains(&hooks.folder.join("plugins")));
}

#[test]
fn a_hook_that_no_plugin_has_is_an_error_with_the_next_step() {
    let of = |field: &str| messages("rigup.toml", &format!("[daemons.a]\ncommand = \"x\"\n{field}\n"));
    for (field, expected) in [
        (
            "hooks = [\"notfy\"]",
            "\"hooks\" names the hook \"notfy\", which no enabled plugin has; write \"notify\"",
        ),
        ("hooks = [\"save\"]", "which no enabled plugin has; add on_DaemonPreStart__50_save.sh to one"),
        ("hooks = [\"graph\"]", "which no enabled plugin has; add on_DaemonPreStart__50_graph.sh to one"),
    ] {
        assert!(of(field).starts_with("rigup.toml:3: ") && of(field).contains(expected), "{}", of(field));
    }
}

#[test]
fn the_hooks_of_process_pilot_are_those_of_plugins_or_ignored() {
    let of = |hooks: &str| {
        format!(
            "processes:\n  - name: a\n    path: sleep\n    lifecycle_hooks: [{hooks}]\n    stat_handlers: [graph]\n"
        )
    };
    let names = daemon("pilot.yaml", &of("notify")).hooks.names;
    assert_eq!(names.into_keys().collect::<Vec<_>>(), [PreStart, Ready, Stats]);
    let warning = messages("pilot.yaml", &of("x"));
    assert!(
        warning.starts_with("pilot.yaml:4: ignored a hook: \"lifecycle_hooks\" names the hook \"x\""),
        "{warning}"
    );
}
