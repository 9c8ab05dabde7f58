//! Any file name: if it is the name of a hook, the name that is built from its parts is the name of the same hook.

use rigup::internal::{Background, HookName, canonical_event};

pub(crate) fn check(input: &[u8]) {
    let file_name = String::from_utf8_lossy(input);
    let Some(hook) = HookName::parse(&file_name) else { return };
    assert_eq!(hook.file_name, file_name);
    assert!(!hook.event.is_empty());
    // `rigup run` accepts the event that `rigup hook list` prints.
    assert_eq!(canonical_event(&hook.event), hook.event);
    assert!(!hook.name.contains('.') && !hook.extension.contains('.'));
    assert!(hook.name.is_empty() || file_name.contains(&hook.name));

    let spelled = spell(&hook);
    let again = HookName::parse(&spelled);
    assert_eq!(again, Some(HookName { file_name: spelled.clone(), ..hook }), "spelled {spelled}");
}

/// Builds a file name from the parts of a hook's name.
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
    // After an event that ends in `_`, its last two characters are the first `__`.
    format!("on_{event}Event__{number}{name}{background}{batch}.{extension}")
}
