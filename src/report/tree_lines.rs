//! The lines of a tree in text.

use std::collections::HashMap;
use std::hash::Hash;

/// An item of a tree.
#[derive(Debug)]
pub(crate) struct TreeLine<T> {
    /// The item.
    pub item: T,
    /// Its distance from the root.
    pub depth: usize,
    /// The lines of the tree in front of it.
    pub branch: String,
}

/// Returns the items as a tree: each root followed by its descendants. `children` contains the items below each key, in order,
/// each with its own key; those below `None` are the roots.
pub(crate) fn draw<K: Hash + Eq + Clone, T>(
    mut children: HashMap<Option<K>, Vec<(K, T)>>,
) -> Vec<TreeLine<T>> {
    let mut lines = Vec::new();
    add_descendants(None, 0, "", &mut children, &mut lines);
    lines
}

fn add_descendants<K: Hash + Eq + Clone, T>(
    parent: Option<&K>,
    depth: usize,
    indent: &str,
    children: &mut HashMap<Option<K>, Vec<(K, T)>>,
    lines: &mut Vec<TreeLine<T>>,
) {
    let siblings = children.remove(&parent.cloned()).unwrap_or_default();
    let count = siblings.len();
    for (index, (key, item)) in siblings.into_iter().enumerate() {
        let (tee, below) = match depth {
            0 => ("", ""),
            _ if index + 1 == count => ("└─ ", "   "),
            _ => ("├─ ", "│  "),
        };
        lines.push(TreeLine { item, depth, branch: format!("{indent}{tee}") });
        add_descendants(Some(&key), depth + 1, &format!("{indent}{below}"), children, lines);
    }
}
