//! What lies in plugin folders: hooks and requirements.

pub mod builtin;
pub mod configuration;
pub mod folder;
pub mod hook_name;
pub mod overrides;
pub mod own;
pub mod requirement;
pub mod schema;
pub mod setting;
pub mod template;
