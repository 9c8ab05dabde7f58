//! Parses the source files for their imports, types, code lines and strings.

use std::fs;
use std::path::{Path, PathBuf};

/// The start of the tests in a file of code.
pub(crate) const INLINE_TESTS: &str = "\n#[cfg(test)]\nmod tests {";

/// A file of `src`, without its tests.
pub(crate) struct SourceFile {
    /// The path of its module, such as `install::plan`.
    pub(crate) module: String,
    /// The folder that contains it.
    folder: PathBuf,
    /// The text before the inline tests.
    text: String,
}

/// Returns the files of `src` that are not tests.
pub(crate) fn source_files() -> Vec<SourceFile> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let paths = rust_files(&src).into_iter().filter(|path| !path.ends_with("tests.rs"));
    let files = paths.map(|path| {
        let name = path.strip_prefix(&src).unwrap().with_extension("");
        let module = name.to_str().unwrap().replace('/', "::");
        let text = fs::read_to_string(&path).unwrap();
        let code = text.split(INLINE_TESTS).next().unwrap();
        SourceFile { module, folder: path.parent().unwrap().to_owned(), text: code.to_owned() }
    });
    files.filter(|file| file.module != "lib").collect()
}

/// Returns the Rust files below a folder, sorted.
pub(crate) fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

impl SourceFile {
    /// Returns the top-level module.
    pub(crate) fn top(&self) -> &str {
        self.module.split("::").next().unwrap()
    }

    /// Whether another file defines the same names for another operating system.
    pub(crate) fn is_platform(&self) -> bool {
        self.module.starts_with("process::system::")
    }

    /// Returns the modules that the file imports from, by `crate::`, `super::`, `self::` or the name of a child module.
    pub(crate) fn imports<'a>(&'a self, files: &'a [SourceFile]) -> impl Iterator<Item = String> + 'a {
        let text = without_comments(&self.text);
        let children =
            files.iter().filter_map(|file| file.module.strip_prefix(&self.module)?.strip_prefix("::"));
        let starts: Vec<&str> = children.chain(["crate", "super", "self"]).collect();
        let mut paths = Vec::new();
        for statement in text.split(';') {
            let start = statement.find("use ").filter(|at| is_statement(&statement[..*at]));
            paths.extend(inline_paths(&statement[..start.unwrap_or(statement.len())], &starts));
            if let Some(at) = start {
                expand("", statement[at + 4..].trim(), &mut paths);
            }
        }
        let modules = paths.into_iter().filter_map(|path| self.resolve(&path, files));
        modules.filter(|module| *module != self.module).collect::<std::collections::BTreeSet<_>>().into_iter()
    }

    /// Returns the module that contains the item at a path.
    fn resolve(&self, path: &str, files: &[SourceFile]) -> Option<String> {
        let mut base: Vec<&str> = self.module.split("::").collect();
        let mut parts: Vec<&str> = path.split("::").map(str::trim).collect();
        if parts.first() == Some(&"crate") {
            base.clear();
            parts.remove(0);
        } else if parts.first() == Some(&"super") || parts.first() == Some(&"self") {
            while let Some(first) = parts.first().copied().filter(|part| matches!(*part, "super" | "self")) {
                if first == "super" {
                    base.pop();
                }
                parts.remove(0);
            }
        }
        base.extend(parts);
        while !base.is_empty() {
            let module = base.join("::");
            if files.iter().any(|file| file.module == module) {
                return Some(module);
            }
            base.pop();
        }
        None
    }

    /// Returns the names of the types that the file defines.
    pub(crate) fn types(&self) -> Vec<String> {
        let mut names = Vec::new();
        for indented in self.text.lines() {
            let line = indented.trim_start();
            let line = line.strip_prefix("pub").map_or(line, |rest| match rest.strip_prefix('(') {
                Some(rest) => rest.split_once(')').map_or(rest, |(_, rest)| rest),
                None => rest,
            });
            let mut words = line.split_whitespace();
            let kind = words.next().unwrap_or_default();
            // An indented one is the associated type of a trait.
            let is_alias = kind == "type" && !indented.starts_with(' ');
            if matches!(kind, "struct" | "enum" | "trait" | "union") || is_alias {
                let name = words.next().unwrap_or_default();
                let name: String = name.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                names.extend(Some(name).filter(|name| !name.is_empty()));
            }
        }
        names
    }

    /// Returns the trimmed lines that are code.
    pub(crate) fn code_lines(&self) -> impl Iterator<Item = &str> {
        self.text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("//"))
    }

    /// Returns the string literals, and the doc comments and included texts in `cli`, which are the text of the help.
    pub(crate) fn strings_and_help(&self) -> Vec<String> {
        let mut texts = Vec::new();
        for line in self.text.lines().map(str::trim) {
            if line.starts_with("//") {
                if self.top() == "cli" && line.starts_with("///") {
                    texts.push(line.to_owned());
                }
                continue;
            }
            for literal in line.split('"').skip(1).step_by(2) {
                let is_file = line.contains(&format!("include_str!(\"{literal}\")"));
                texts.push(if is_file { words(&self.folder.join(literal)) } else { literal.to_owned() });
            }
        }
        texts
    }
}

/// Returns the words of a file, with a space between them in place of line breaks.
pub(crate) fn words(path: &Path) -> String {
    fs::read_to_string(path).unwrap().split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Whether a text contains a phrase as whole words.
pub(crate) fn has_phrase(text: &str, phrase: &str) -> bool {
    let text = text.to_lowercase();
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(phrase)
        .any(|(at, _)| !text[..at].ends_with(is_word) && !text[at + phrase.len()..].starts_with(is_word))
}

fn without_comments(text: &str) -> String {
    let lines = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    lines.collect::<Vec<_>>().join("\n")
}

/// Whether the text before `use` on its line is empty or a visibility.
fn is_statement(before: &str) -> bool {
    let line = before.rsplit('\n').next().unwrap_or_default().trim();
    line.is_empty() || line.starts_with("pub")
}

/// Adds the paths of a `use` tree.
fn expand(prefix: &str, tree: &str, paths: &mut Vec<String>) {
    let Some((head, rest)) = tree.split_once('{') else {
        paths.push(format!("{prefix}{}", tree.split(" as ").next().unwrap().trim()));
        return;
    };
    let prefix = format!("{prefix}{}", head.trim());
    let body = &rest[..rest.rfind('}').unwrap_or(rest.len())];
    let mut depth = 0;
    let mut start = 0;
    for (at, c) in body.char_indices().chain([(body.len(), ',')]) {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                let part = body[start..at].trim();
                if !part.is_empty() {
                    expand(&prefix, part, paths);
                }
                start = at + 1;
            }
            _ => {}
        }
    }
}

/// Returns the paths in a statement that start with one of these modules, except those in a visibility, which are not
/// imports.
fn inline_paths(statement: &str, starts: &[&str]) -> Vec<String> {
    let is_path = |c: char| c.is_alphanumeric() || matches!(c, '_' | ':');
    let paths = statement.match_indices("::").filter_map(|(at, _)| {
        let start = statement[..at].trim_end_matches(is_path).len();
        let is_import = starts.contains(&&statement[start..at]) && !statement[..start].ends_with("pub(in ");
        let path = &statement[start..];
        is_import.then(|| path[..path.find(|c| !is_path(c)).unwrap_or(path.len())].to_owned())
    });
    paths.collect()
}

#[test]
fn finds_imports_by_paths_that_begin_with_a_child_module() {
    let file = |module: &str, text: &str| SourceFile {
        module: module.to_owned(),
        folder: PathBuf::new(),
        text: text.to_owned(),
    };
    let parent =
        "mod child;\nfn f() -> crate::x::T { child::g(&[child::T::new(), other::T, grandchild::T]) }";
    let files = [
        file("parent", parent),
        file("parent::child", ""),
        file("parent::child::grandchild", ""),
        file("x", ""),
    ];
    assert_eq!(files[0].imports(&files).collect::<Vec<_>>(), ["parent::child", "x"]);
}
