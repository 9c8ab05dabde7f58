//! The graph of the dependencies of daemons.

use std::collections::HashMap;
use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::model::{Condition, DaemonName, DaemonSpec, Dependency};
use crate::report::tree_lines::{self, TreeLine};

/// Returns the daemons as a tree: each one once, below the last one that it requires, or else waits for. `specs` is in the order of the start.
pub(crate) fn arrange(specs: &[DaemonSpec]) -> Vec<TreeLine<&DaemonSpec>> {
    let position = |name: &DaemonName| specs.iter().position(|spec| spec.name == *name);
    let mut children: HashMap<Option<DaemonName>, Vec<(DaemonName, &DaemonSpec)>> = HashMap::new();
    for spec in specs {
        let declared = spec.depends_on.iter().filter(|dependency| position(&dependency.name).is_some());
        let last = declared.max_by_key(|dependency| (dependency.required, position(&dependency.name)));
        let last = last.map(|dependency| &dependency.name);
        children.entry(last.cloned()).or_default().push((spec.name.clone(), spec));
    }
    tree_lines::draw(children)
}

/// Returns what a daemon waits for, as text.
pub(crate) fn conditions(spec: &DaemonSpec) -> String {
    let text = |dependency: &Dependency| {
        let optional = if dependency.required { "" } else { ", optional" };
        format!("{} ({}{optional})", dependency.name, word(dependency.condition))
    };
    let conditions = spec.depends_on.iter().filter(|dependency| dependency.condition != Condition::None);
    conditions.map(text).collect::<Vec<_>>().join(", ")
}

/// Returns what a daemon waits for, as records.
pub(crate) fn dependency_records(spec: &DaemonSpec) -> Vec<Value> {
    let record = |Dependency { name, condition, required, .. }: &Dependency| {
        let condition = match condition {
            Condition::None => "none",
            Condition::Started => "service_started",
            Condition::Ready => "ready",
            Condition::Healthy => "service_healthy",
            Condition::Completed => "process_completed",
            Condition::CompletedSuccessfully => "service_completed_successfully",
        };
        json!({ "name": name, "condition": condition, "required": required })
    };
    spec.depends_on.iter().map(record).collect()
}

/// Returns the graph in the language of Graphviz, with an edge from each daemon to those that wait for it.
pub(crate) fn dot(specs: &[DaemonSpec]) -> String {
    let quoted = |name: &str| format!("\"{}\"", name.replace('\\', "\\\\").replace('"', "\\\""));
    let mut text = "digraph daemons {\n".to_owned();
    for spec in specs {
        let _ = writeln!(text, "  {};", quoted(&spec.name));
        for dependency in &spec.depends_on {
            let style = if dependency.required { "" } else { ", style=dashed" };
            let (from, to) = (quoted(&dependency.name), quoted(&spec.name));
            let _ = writeln!(text, "  {from} -> {to} [label=\"{}\"{style}];", word(dependency.condition));
        }
    }
    text.push_str("}\n");
    text
}

fn word(condition: Condition) -> &'static str {
    match condition {
        Condition::None => "none",
        Condition::Started => "started",
        Condition::Ready => "ready",
        Condition::Healthy => "healthy",
        Condition::Completed => "ended",
        Condition::CompletedSuccessfully => "succeeded",
    }
}
