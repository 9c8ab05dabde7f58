//! Reports for people and programs. Pure: values in, text out.

pub(crate) mod log_text;
pub(crate) mod process_tree;
pub(crate) mod record;
pub(crate) mod short_id;
pub(crate) mod table;
pub(crate) mod tables;
pub(crate) mod text;
pub(crate) mod timings;
pub(crate) mod units;
