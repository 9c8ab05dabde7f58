//! Plugins: their discovery, hooks, requirements and settings.

pub mod builtin;
pub mod config;
pub mod discovery;
pub mod hook_name;
pub mod overrides;
pub mod requirement;
pub mod template;
