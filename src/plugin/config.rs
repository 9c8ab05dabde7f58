//! `config.json`: the settings that it declares and their values, what it states about a provider, and which plugins are
//! enabled.

pub mod core;
pub mod enabled;
pub mod provider;
pub mod schema;
pub mod value;
