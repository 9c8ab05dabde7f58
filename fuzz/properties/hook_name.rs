//! Any file name is a hook's or is not; what a hook's name says can be spelled out, and says the same then.

use rigup::plugin::hook_name::{Background, HookName, canonical_event};

pub(crate) fn check(input: &[u8]) {
    let file_name = String::from_utf8_lossy(input);
    let Some(hook) = HookName::parse(&file_name) else { return };
    assert_eq!(hook.file_name, file_name);
    assert!(!hook.event.is_empty());
    // `rigup hook list` shows it, and `rigup run` takes what it shows.
    assert_eq!(canonical_event(&hook.event), hook.event);
    assert!(!hook.name.contains('.') && !hook.extension.contains('.'));
    assert!(hook.name.is_empty() || file_name.contains(&hook.name));

    let spelled = spell(&hook);
    let again = HookName::parse(&spelled);
    assert_eq!(again, Some(HookName { file_name: spelled.clone(), ..hook }), "spelled {spelled}");
}

/// The whole grammar, each part where it belongs.
fn spell(hook: &HookName) -> String {
    let HookName { event, order, name, background, is_batch, extension, .. } = hook;
    let number = match order {
        Some(order) if name.is_empty() => order.to_string(),
        Some(order) => format!("{order}_"),
        None => String::new(),
    };
    let background = match background {
        Some(Background::Finite) => ".finite.bg",
        Some(Background::Daemon) => ".daemon.bg",
        None => "",
    };
    let batch = if *is_batch { ".batch" } else { "" };
    // Also behind an event that ends in `_`, the two of them are then the first.
    format!("on_{event}Event__{number}{name}{background}{batch}.{extension}")
}
