//! What lies in plugin folders: hooks and requirements.

pub mod builtin;
pub mod folder;
pub mod hook_name;
pub mod overrides;
pub mod requirement;
