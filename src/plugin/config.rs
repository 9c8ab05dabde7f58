//! Settings: what `config.json` declares, the value of each setting, and which plugins are enabled.

pub mod core;
pub mod enabled;
pub mod schema;
pub mod value;
