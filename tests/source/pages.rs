//! The links and phrases of the Markdown pages in the root of the repository and in `docs/`, and the table of contents of the
//! book.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use crate::{FORBIDDEN_PHRASES, root, tree};

/// Returns the paths of the pages.
fn pages() -> impl Iterator<Item = PathBuf> {
    let folders = [root(), root().join("docs"), root().join("docs/commands")];
    let files = folders.into_iter().flat_map(|dir| fs::read_dir(dir).unwrap());
    let files = files.map(|file| file.unwrap().path());
    files.filter(|path| path.extension().is_some_and(|extension| extension == "md"))
}

#[test]
fn no_page_contains_a_forbidden_phrase() {
    for page in pages() {
        let text = tree::words(&page);
        let found = FORBIDDEN_PHRASES.iter().find(|phrase| tree::has_phrase(&text, phrase));
        assert!(found.is_none(), "{}: {found:?}", page.display());
    }
}

/// Returns the anchors of a page's headings.
fn anchors(page: &str) -> BTreeSet<String> {
    let headings =
        page.lines().filter(|line| line.starts_with('#')).map(|line| line.trim_start_matches('#').trim());
    let anchor = |heading: &str| -> String {
        let kept = heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
        kept.map(|c| if c == ' ' { '-' } else { c.to_ascii_lowercase() }).collect()
    };
    headings.map(anchor).collect()
}

#[test]
fn each_link_between_pages_points_to_an_existing_file_and_heading() {
    let mut links = 0;
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        for link in text.split("](").skip(1).filter_map(|part| part.split_once(')').map(|(link, _)| link)) {
            if link.contains("://") {
                continue;
            }
            let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = if path.is_empty() { page.clone() } else { page.parent().unwrap().join(path) };
            assert!(target.exists(), "{}: {link}", page.display());
            let has_anchor =
                anchor.is_empty() || anchors(&fs::read_to_string(target).unwrap()).contains(anchor);
            assert!(has_anchor, "{}: {link}", page.display());
            links += 1;
        }
    }
    assert!(links > 30, "{links}");
}

#[test]
fn the_book_contains_each_page_once() {
    let summary = fs::read_to_string(root().join("book/SUMMARY.md")).unwrap();
    let links = summary.split("](").skip(1).filter_map(|part| part.split_once(')').map(|(link, _)| link));
    let mut listed: Vec<PathBuf> = links.map(|link| root().join(link)).collect();
    listed.sort();
    let mut pages: Vec<PathBuf> = pages().collect();
    pages.sort();
    assert_eq!(listed, pages);
}
