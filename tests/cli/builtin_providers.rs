//! The names, the orders and the `config.json` files of the built-in providers.

use std::fs;

/// Returns the names of the built-in providers, which are the names of their folders.
pub(crate) fn providers() -> Vec<String> {
    let folders = fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/providers")).unwrap();
    let mut names: Vec<String> =
        folders.map(|folder| folder.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Returns the `config.json` of a built-in provider.
pub(crate) fn config(provider: &str) -> serde_json::Value {
    let path = format!("{}/providers/{provider}/config.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

/// Returns the names of the files of a built-in provider.
fn files(provider: &str) -> impl Iterator<Item = String> {
    let files = fs::read_dir(format!("{}/providers/{provider}", env!("CARGO_MANIFEST_DIR"))).unwrap();
    files.map(|file| file.unwrap().file_name().into_string().unwrap())
}

/// Returns whether a built-in provider has a hook for an event.
pub(crate) fn has_hook(provider: &str, event: &str) -> bool {
    files(provider).any(|name| name.starts_with(&format!("on_{event}__")))
}

/// Returns the number in the name of a built-in provider's hook.
pub(crate) fn order(provider: &str) -> u64 {
    let order = files(provider).find_map(|name| {
        let (order, _) = name.strip_prefix("on_BinaryRequest__")?.split_once('_')?;
        Some(order.parse().unwrap())
    });
    order.unwrap()
}
