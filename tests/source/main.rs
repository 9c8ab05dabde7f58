//! Checks the source files and the documentation against the rules of CONTRIBUTING.md.

#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "tests read files directly, and panic on failure"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

mod pages;
mod tree;

use tree::source_files;

/// The layer of each top-level module. A file imports only from its own module and from lower layers. The modules of
/// layer -1 import nothing, so that those of layer 0 can use them.
const LAYERS: [(&str, i8); 30] = [
    ("main", 10),
    ("cli", 9),
    ("engine", 8),
    ("supervisor", 7),
    ("hook_test", 7),
    ("toolkit", 7),
    ("install", 6),
    ("runs", 6),
    ("hook", 5),
    ("process", 4),
    ("plugin", 3),
    ("store", 3),
    ("machine", 3),
    ("report", 3),
    ("lockfile", 3),
    ("protocol", 2),
    ("settings", 2),
    ("model", 1),
    ("fs", 0),
    ("trust", 0),
    ("boolean", -1),
    ("both", -1),
    ("byte_size", -1),
    ("shebang", -1),
    ("shell", -1),
    ("sorting", -1),
    ("exhaustion", -1),
    ("clock", -1),
    ("duration", -1),
    ("jsonl", -1),
];

/// The maximum number of lines of a file.
const MAX_FILE_LINES: usize = 500;

/// The maximum number of lines of the tests in a file of code.
const MAX_INLINE_TEST_LINES: usize = 150;

/// The maximum number of lines of code in `src`, without tests, comments and blank lines. Lower it when you delete
/// code, and raise it only for a feature.
const MAX_CODE_LINES: usize = 54_900;

/// The number of equal consecutive lines that two files must not share.
const COPIED_LINES: usize = 10;

/// Phrases that the documentation, help and messages must not contain, because they are not idiomatic English.
const FORBIDDEN_PHRASES: [&str; 11] = [
    "is not there",
    "got",
    "anew",
    "so many",
    "whoever",
    "nobody",
    "stranger",
    "lie",
    "where there is",
    "that is none",
    "what is over",
];

fn layer(module: &str) -> i8 {
    let top = module.split("::").next().unwrap();
    let layer = LAYERS.iter().find(|(name, _)| *name == top);
    layer.unwrap_or_else(|| panic!("the module {top} has no layer; add it to LAYERS")).1
}

#[test]
fn files_import_only_from_their_own_module_and_from_lower_layers() {
    let files = source_files();
    for (file, import) in files.iter().flat_map(|file| file.imports(&files).map(move |import| (file, import)))
    {
        let is_own = file.top() == import.split("::").next().unwrap();
        assert!(
            is_own || layer(&import) < layer(&file.module),
            "{} (layer {}) imports {import} (layer {})",
            file.module,
            layer(&file.module),
            layer(&import)
        );
    }
}

#[test]
fn the_contributing_page_lists_each_top_level_module() {
    let page = fs::read_to_string(root().join("CONTRIBUTING.md")).unwrap();
    let list = page.split_once("    layer 10").unwrap().1.split("\n\n").next().unwrap();
    for (module, _) in LAYERS {
        let is_listed = ["/", ".rs"].iter().any(|end| tree::has_phrase(list, &format!("{module}{end}")));
        assert!(is_listed, "CONTRIBUTING.md does not list the module {module}");
    }
}

#[test]
fn no_two_files_import_each_other_directly_or_indirectly() {
    let files = source_files();
    let graph: BTreeMap<&str, BTreeSet<String>> =
        files.iter().map(|file| (file.module.as_str(), file.imports(&files).collect())).collect();
    for start in graph.keys() {
        let mut seen = BTreeSet::new();
        let mut paths = vec![vec![*start]];
        while let Some(path) = paths.pop() {
            for import in &graph[path[path.len() - 1]] {
                let mut path = path.clone();
                path.push(import);
                assert!(import != start, "files import each other: {}", path.join(", "));
                if seen.insert(import) {
                    paths.push(path);
                }
            }
        }
    }
}

#[test]
fn no_type_name_is_defined_twice() {
    let mut defined: BTreeMap<String, String> = BTreeMap::new();
    for file in source_files().iter().filter(|file| !file.is_platform()) {
        for name in file.types() {
            if let Some(other) = defined.insert(name.clone(), file.module.clone()) {
                panic!("{name} is defined in {other} and in {}", file.module);
            }
        }
    }
}

#[test]
fn files_are_short() {
    for folder in ["src", "tests", "benches", "fuzz/properties", "fuzz/fuzz_targets"] {
        for path in tree::rust_files(&root().join(folder)) {
            let lines = fs::read_to_string(&path).unwrap().lines().count();
            assert!(lines <= MAX_FILE_LINES, "{} has {lines} lines", path.display());
        }
    }
}

#[test]
fn long_tests_are_in_a_file_of_their_own() {
    for path in tree::rust_files(&root().join("src")) {
        let text = fs::read_to_string(&path).unwrap();
        let tests = text.split_once(tree::INLINE_TESTS).map_or(0, |(_, tests)| tests.lines().count());
        assert!(tests <= MAX_INLINE_TEST_LINES, "{} has {tests} lines of tests", path.display());
    }
}

#[test]
fn src_stays_below_its_line_limit() {
    let lines: usize = source_files().iter().map(|file| file.code_lines().count()).sum();
    assert!(lines <= MAX_CODE_LINES, "{lines} lines of code");
}

#[test]
fn no_two_files_share_ten_lines() {
    let mut windows: BTreeMap<String, String> = BTreeMap::new();
    for file in source_files().iter().filter(|file| !file.is_platform()) {
        let lines: Vec<&str> = file.code_lines().filter(|line| is_substantial(line)).collect();
        for window in lines.windows(COPIED_LINES) {
            let other = windows.entry(window.join("\n")).or_insert_with(|| file.module.clone());
            assert!(*other == file.module, "{} and {other} share:\n{}", file.module, window.join("\n"));
        }
    }
}

/// Whether a line counts as copied code: imports and lone punctuation repeat everywhere.
fn is_substantial(line: &str) -> bool {
    !line.starts_with("use ") && line.chars().filter(char::is_ascii_alphanumeric).count() > 2
}

#[test]
fn no_closure_parameter_is_named_it() {
    for folder in ["src", "tests", "benches", "fuzz/properties", "fuzz/fuzz_targets"] {
        for path in tree::rust_files(&root().join(folder)) {
            let text = fs::read_to_string(&path).unwrap();
            let closure = ["|", "it", "|"].concat();
            let line = text.lines().position(|line| line.contains(&closure));
            assert!(line.is_none(), "{}:{}: `it` is not a name", path.display(), line.unwrap() + 1);
        }
    }
}

#[test]
fn only_the_module_sorting_sorts_with_a_closure() {
    for file in source_files().iter().filter(|file| file.module != "sorting") {
        let sorts = |line: &&str| [".sort_by(", ".sort_by_key("].iter().any(|sort| line.contains(sort));
        let line = file.code_lines().find(sorts);
        assert!(line.is_none(), "{}: call crate::sorting instead: {}", file.module, line.unwrap_or_default());
    }
}

#[test]
fn messages_and_help_contain_no_forbidden_phrase() {
    for file in source_files() {
        for text in file.strings_and_help() {
            let found = FORBIDDEN_PHRASES.iter().find(|phrase| tree::has_phrase(&text, phrase));
            assert!(found.is_none(), "{}: {found:?} in {text:?}", file.module);
        }
    }
}

#[test]
fn test_names_have_at_most_70_characters() {
    let mut long = Vec::new();
    for folder in ["src", "tests"] {
        for path in tree::rust_files(&root().join(folder)) {
            let text = fs::read_to_string(&path).unwrap();
            let mut lines = text.lines().map(str::trim);
            while let Some(line) = lines.next() {
                if !line.starts_with("#[test]") {
                    continue;
                }
                let function = lines.by_ref().find(|line| line.starts_with("fn ")).unwrap_or_default();
                let name = function["fn ".len()..].split('(').next().unwrap_or_default();
                if name.len() > 70 {
                    long.push(format!("{}: {name}", path.display()));
                }
            }
        }
    }
    assert!(long.is_empty(), "test names of more than 70 characters:\n{}", long.join("\n"));
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}
