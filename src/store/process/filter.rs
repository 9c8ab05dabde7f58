//! Which processes to list.

use rusqlite::ToSql;

use crate::store::row;

/// Which processes to list.
#[derive(Debug, Clone, Default)]
pub struct ProcessFilter {
    /// Only `queued`, `running` or `exited` processes.
    pub status: Option<String>,
    /// Only processes for a binary of this name, on any machine.
    pub binary_name: Option<String>,
    /// Only hooks of this plugin.
    pub plugin: Option<String>,
    /// Only runs of this slug.
    pub slug: Option<String>,
    /// Only processes without a parent.
    pub is_root: bool,
    /// At most this many processes.
    pub limit: Option<u32>,
}

impl ProcessFilter {
    /// Returns `WHERE ... ORDER BY ... LIMIT` and its parameters. Only the conditions that are set are part of it, because
    /// otherwise SQLite could not choose an index; some repeat the condition of a partial index.
    pub(in crate::store) fn sql(&self) -> (String, Vec<Box<dyn ToSql>>) {
        let mut conditions = Vec::new();
        let mut params: Vec<Box<dyn ToSql>> = Vec::new();
        if let Some(status) = &self.status {
            conditions.push(if status == "exited" {
                "status = ?"
            } else {
                "status <> 'exited' AND status = ?"
            });
            params.push(Box::new(status.clone()));
        }
        if let Some(name) = &self.binary_name {
            // The record of a hook for several binaries refers to none of them; its attempts refer to each.
            conditions.push(
                "id IN (WITH named AS (SELECT id FROM binary WHERE name = ?) \
                 SELECT process.id FROM named JOIN process ON process.binary_id = named.id \
                 UNION SELECT process_id FROM named JOIN attempt ON attempt.binary_id = named.id)",
            );
            params.push(Box::new(name.clone()));
        }
        if let Some(plugin) = &self.plugin {
            // A plugin has many processes: without the condition of its index, SQLite uses the more selective one.
            let is_plain = plugin.is_empty() || self.is_selective();
            conditions.push(if is_plain { "plugin = ?" } else { "plugin <> '' AND plugin = ?" });
            params.push(Box::new(plugin.clone()));
        }
        if let Some(slug) = &self.slug {
            conditions.push(if self.is_selective() { "slug = ?" } else { "slug <> '' AND slug = ?" });
            params.push(Box::new(slug.clone()));
        }
        if self.is_root {
            conditions.push("parent_id IS NULL");
        }
        let mut sql = String::new();
        if !conditions.is_empty() {
            sql = format!("WHERE {} ", conditions.join(" AND "));
        }
        sql.push_str("ORDER BY created_at DESC, id DESC LIMIT ?");
        params.push(Box::new(row::limit(self.limit)));
        (sql, params)
    }

    /// Returns whether the filter has a condition that few processes meet, whatever their plugin or slug.
    fn is_selective(&self) -> bool {
        self.binary_name.is_some() || self.status.as_deref().is_some_and(|status| status != "exited")
    }
}
