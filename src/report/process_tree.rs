//! Processes as a tree: each below the process that started it.

use std::collections::HashMap;

use crate::model::{Process, ProcessId};
use crate::report::tree_lines::{self, TreeLine};
use crate::sorting::sort_by_key;

/// A process in the tree.
#[derive(Debug, Clone)]
pub(crate) struct Node<'a> {
    /// The process.
    pub process: &'a Process,
    /// Its distance from the root.
    pub depth: usize,
    /// The lines of the tree in front of it.
    pub branch: String,
}

/// Returns the processes as a tree: each root followed by its descendants, oldest first. A process whose parent is not
/// among them is a root. Processes in a cycle of parents, which only a damaged store has, are left out.
pub(crate) fn arrange(processes: &[Process]) -> Vec<Node<'_>> {
    let mut children: HashMap<Option<ProcessId>, Vec<(ProcessId, &Process)>> = HashMap::new();
    let known: HashMap<ProcessId, &Process> = processes.iter().map(|process| (process.id, process)).collect();
    for process in processes {
        let parent = process.parent_id.filter(|id| known.contains_key(id));
        children.entry(parent).or_default().push((process.id, process));
    }
    for siblings in children.values_mut() {
        sort_by_key(siblings, |(id, _)| *id);
    }
    let line = |line: TreeLine<_>| Node { process: line.item, depth: line.depth, branch: line.branch };
    tree_lines::draw(children).into_iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::model::id::MachineId;
    use crate::model::process::{ProcessSpec, ProcessType};

    fn process(id: u128, parent: Option<u128>) -> Process {
        let spec = ProcessSpec::new(ProcessType::Hook, Vec::new(), "/");
        let mut process =
            Process::queued(ProcessId::from(id), MachineId::from(0), spec, Timestamp::UNIX_EPOCH);
        process.parent_id = parent.map(ProcessId::from);
        process
    }

    #[test]
    fn children_are_below_their_parent_and_orphans_are_roots() {
        let processes = [
            process(4, Some(2)),
            process(1, None),
            process(2, Some(1)),
            process(3, Some(1)),
            process(9, Some(8)),
        ];
        let drawn: Vec<String> = arrange(&processes)
            .iter()
            .map(|node| format!("{}{}", node.branch, node.process.id.as_u128()))
            .collect();
        assert_eq!(drawn, ["1", "├─ 2", "│  └─ 4", "└─ 3", "9"]);
    }

    #[test]
    fn a_cycle_of_parents_is_left_out() {
        assert!(arrange(&[process(1, Some(2)), process(2, Some(1))]).is_empty());
    }
}
