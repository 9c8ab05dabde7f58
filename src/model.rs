//! The nouns of rigup and what may happen to them. Values only: nothing here touches a disk or a process.

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
