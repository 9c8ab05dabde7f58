//! `config.json`: the settings that it declares and their values, what it states about a provider, and which plugins are
//! enabled.

pub(crate) mod core;
pub(crate) mod enabled;
pub(crate) mod provider;
pub(crate) mod schema;
pub(crate) mod value;
