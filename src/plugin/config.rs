//! `config.json`: settings and their values, the keys of a provider, and which plugins are enabled.

pub(crate) mod core;
pub(crate) mod enabled;
mod keys;
pub(crate) mod provider;
pub(crate) mod schema;
pub(crate) mod value;
