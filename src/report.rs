//! What people and programs read. Pure: values in, text out.

pub mod human;
pub mod timings;
pub mod tree;
