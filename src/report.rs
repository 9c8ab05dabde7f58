//! Reports for people and programs. Pure: values in, text out.

pub(crate) mod ci;
pub(crate) mod closing;
pub(crate) mod daemon_graph;
pub(crate) mod html;
pub(crate) mod item_log;
pub(crate) mod job_report;
pub(crate) mod junit;
pub(crate) mod log_text;
pub(crate) mod overview;
pub(crate) mod process_tree;
pub(crate) mod record;
pub(crate) mod short_id;
pub(crate) mod systemd_unit;
pub(crate) mod table;
pub(crate) mod tables;
pub(crate) mod text;
pub(crate) mod timings;
pub(crate) mod tree_lines;
pub(crate) mod units;
