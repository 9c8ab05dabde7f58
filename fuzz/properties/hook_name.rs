//! For any file name that is the name of a hook, the name that is built from its parts parses to the same hook.

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

    let formatted = format_file_name(&hook);
    let reparsed = HookName::parse(&formatted);
    assert_eq!(reparsed, Some(HookName { file_name: formatted.clone(), ..hook }), "{formatted}");
}

/// Builds a file name from the parts of a hook's name, with the suffix `Event`. Without it, a `_` at the end of the
/// event would count as part of the separator `__`.
fn format_file_name(hook: &HookName) -> String {
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
    format!("on_{event}Event__{number}{name}{background}{batch}.{extension}")
}
