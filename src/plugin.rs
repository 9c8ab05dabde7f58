//! Plugins: their discovery, hooks, requirements and settings.

pub(crate) mod builtin;
pub(crate) mod config;
pub(crate) mod discovery;
pub(crate) mod hook_name;
pub(crate) mod overrides;
pub(crate) mod requirement;
pub(crate) mod template;
