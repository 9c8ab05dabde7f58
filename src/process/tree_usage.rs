//! The resources that process trees use, measured for many trees in one pass over the process table.

use std::collections::HashMap;

use crate::process::system::{self, ProcessEntry, ResourceUsage};
use crate::process::tree;

/// The root of a process tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TreeRoot {
    /// Its pid.
    pub pid: u32,
    /// Its start time, as in the process table.
    pub start_ticks: u64,
}

/// Returns the usage of each tree, or `None` for one whose root is gone. What has left a tree is found by its waiter, which
/// is the parent of such orphans.
pub(crate) fn measure(roots: &[TreeRoot]) -> Vec<Option<ResourceUsage>> {
    let mut children: HashMap<u32, Vec<ProcessEntry>> = HashMap::new();
    for entry in tree::entries().unwrap_or_default() {
        children.entry(entry.ppid).or_default().push(entry);
    }
    roots.iter().map(|root| measure_tree(root, &mut children)).collect()
}

/// Returns the usage of a tree, whose members are removed from `children`: each process belongs to one tree.
fn measure_tree(root: &TreeRoot, children: &mut HashMap<u32, Vec<ProcessEntry>>) -> Option<ResourceUsage> {
    let entry = system::entry(root.pid).ok().flatten()?;
    if entry.start_ticks != root.start_ticks || entry.is_zombie {
        return None;
    }
    let mut rest = vec![entry.pid];
    if tree::is_waiter(entry.ppid) {
        let siblings = children.remove(&entry.ppid).unwrap_or_default();
        let is_orphan = |sibling: &ProcessEntry| sibling.pid != root.pid && !tree::is_waiter(sibling.pid);
        rest.extend(siblings.into_iter().filter(is_orphan).map(|orphan| orphan.pid));
    }
    let mut total = ResourceUsage::default();
    while let Some(pid) = rest.pop() {
        total.add(&system::resources(pid).unwrap_or_default());
        rest.extend(children.remove(&pid).unwrap_or_default().into_iter().map(|child| child.pid));
    }
    Some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_uses_memory_and_cpu_and_a_missing_root_nothing() {
        let this = system::own_entry().unwrap().unwrap();
        let root = TreeRoot { pid: this.pid, start_ticks: this.start_ticks };
        let reused = TreeRoot { start_ticks: root.start_ticks + 1, ..root };
        let [Some(usage), None] = measure(&[root, reused])[..] else { panic!("one is alive") };
        assert!(usage.rss > 1 << 20, "{usage:?}");
        let own = system::resources(root.pid).unwrap();
        assert!(
            own.rss > 0 && own.rss <= usage.rss.saturating_mul(2) && system::resources(u32::MAX).is_none()
        );
    }
}
