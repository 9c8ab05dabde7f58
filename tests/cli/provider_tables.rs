//! The tables in docs/providers.md, which are generated from the `config.json` of each built-in provider.

use std::path::Path;

use serde_json::Value;

use crate::appearance::check_file;
use crate::builtin_providers;

/// Returns the cells of a row of the table of providers.
fn provider_row(provider: &str) -> Vec<String> {
    let config = builtin_providers::config(provider);
    let documentation = |key: &str| config["documentation"][key].as_str();
    let programs = || -> Vec<String> {
        config["needs"].as_object().into_iter().flatten().map(|(program, _)| format!("`{program}`")).collect()
    };
    let stated = |key: &str| documentation(key).unwrap_or_else(|| panic!("{provider}: documentation.{key}"));
    let pins = match (&config["exact_versions"], &config["version_format"]) {
        (Value::Bool(false), _) => "no",
        (Value::Bool(true), _) | (_, Value::String(_)) => "yes",
        _ => "by digest",
    };
    let keeps = |rule: &str| match &config["enforces"][rule] {
        Value::Bool(true) => "yes",
        _ if config["curated"] == true => "curated",
        _ => "no",
    };
    let lists = if builtin_providers::has_hook(provider, "BinaryVersions") { "yes" } else { "no" };
    vec![
        format!("{provider} ({:02})", builtin_providers::order(provider)),
        documentation("needs").map_or_else(|| programs().join(" and "), str::to_owned),
        stated("installs_into").to_owned(),
        pins.to_owned(),
        keeps("min_release_age").to_owned(),
        keeps("postinstall_scripts").to_owned(),
        lists.to_owned(),
        stated("verified_by").to_owned(),
    ]
}

/// Returns the cells of a row of the table of options.
fn option_row(provider: &str) -> Vec<String> {
    let config = builtin_providers::config(provider);
    let list = |key: &str| {
        let items = config[key].as_array().into_iter().flatten().filter_map(Value::as_str);
        let items: Vec<String> = items.map(|item| format!("`{}`", item.replace('=', "=..."))).collect();
        if items.is_empty() { "none".to_owned() } else { items.join(" ") }
    };
    vec![provider.to_owned(), list("options"), list("override_keys")]
}

fn table(head: &[&str], row: fn(&str) -> Vec<String>) -> String {
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let head: Vec<String> = head.iter().map(|cell| (*cell).to_owned()).collect();
    let rule = vec!["---".to_owned(); head.len()];
    let mut providers = builtin_providers::providers();
    providers.sort_by_key(|provider| builtin_providers::order(provider));
    let rows: String = providers.iter().map(|provider| line(&row(provider))).collect();
    line(&head) + &line(&rule) + &rows
}

/// Returns the page with the text between two lines, of which the first one names it.
fn replace(page: &str, name: &str, text: &str) -> String {
    let start = format!("<!-- {name}: generated from config.json -->\n");
    let (before, rest) = page.split_once(&start).unwrap_or_else(|| panic!("the page has no line {start}"));
    let (_, after) = rest.split_once("<!-- end -->").expect("the page has an end of the table");
    format!("{before}{start}{text}<!-- end -->{after}")
}

#[test]
fn the_tables_of_docs_providers_come_from_the_config_files() {
    let providers = [
        "provider",
        "needs",
        "installs into",
        "pins versions",
        "keeps age",
        "keeps scripts off",
        "lists versions",
        "verified by",
    ];
    let options = ["provider", "options in `install_args`", "other keys in `overrides`"];
    let page = include_str!("../../docs/providers.md");
    let page = replace(page, "providers", &table(&providers, provider_row));
    let page = replace(&page, "options", &table(&options, option_row));
    check_file(&Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/providers.md"), &page);
}
