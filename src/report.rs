//! Reports for people and programs. Pure: values in, text out.

pub mod process_tree;
pub mod record;
pub mod short_id;
pub mod table;
pub mod tables;
pub mod text;
pub mod timings;
pub mod units;
