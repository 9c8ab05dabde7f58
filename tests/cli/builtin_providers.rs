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

/// Returns the number in the name of a built-in provider's hook.
pub(crate) fn order(provider: &str) -> u64 {
    let files = fs::read_dir(format!("{}/providers/{provider}", env!("CARGO_MANIFEST_DIR"))).unwrap();
    let mut names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
    let order = names.find_map(|name| {
        let (order, _) = name.strip_prefix("on_BinaryRequest__")?.split_once('_')?;
        Some(order.parse().unwrap())
    });
    order.unwrap()
}
