//! The stored nouns with their states and transitions. Values only: nothing here does I/O.

pub mod attempt;
pub mod binary;
pub mod id;
pub mod import;
pub mod interface;
pub mod machine;
pub mod name;
pub mod plugin_name;
pub mod policy;
pub mod process;
pub mod retention;
pub mod text_enum;
pub mod version;
