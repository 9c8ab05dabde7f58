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
    let here = std::env::current_dir().unwrap();
    let searched = format!("no enabled plugin in {} or ", here.join("plugins").display());
    for (field, pattern, advice) in [
        ("hooks = [\"notfy\"]", "on_Daemon*__NN_notfy.*", "write \"notify\""),
        ("hooks = [\"save\"]", "on_Daemon*__NN_save.*", "add one such as on_DaemonPreStart__50_save.sh"),
        ("stats_hooks = [\"x\"]", "on_DaemonStats__NN_x.*", "add one such as on_DaemonStats__50_x.sh"),
    ] {
        let found = of(field);
        assert!(found.starts_with("rigup.toml:3: ") && found.contains(&searched), "{found}");
        assert!(found.ends_with(&format!(" has a hook {pattern}; {advice}")), "{found}");
    }
    for (field, expected) in [
        (
            "hooks = [\"graph\"]",
            "\"hooks\" names the hook \"graph\", which is for DaemonStats; name it in \"stats_hooks\"",
        ),
        (
            "stats_hooks = [\"notify\"]",
            "\"stats_hooks\" names the hook \"notify\", which is for DaemonPreStart; name it in \"hooks\"",
        ),
    ] {
        assert_eq!(of(field), format!("rigup.toml:3: {expected}"));
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
