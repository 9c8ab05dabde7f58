//! The store: the SQLite database in the data dir. Each table has its own file in this folder.

mod attempt;
mod binary;
mod connection;
mod daemon;
mod error;
mod files;
mod interface;
mod lookup;
mod machine;
mod open;
mod process;
mod prune;
mod row;
mod schema;
mod stored_path;
#[cfg(target_os = "linux")]
pub(crate) mod watch;

pub(crate) use binary::BinaryFilter;
pub use connection::Store;
pub use error::StoreError;
pub use files::FILE_NAME;
pub(crate) use lookup::Lookup;
pub(crate) use open::Fill;
pub use process::ProcessFilter;
pub(crate) use prune::EndedProcess;
pub(crate) use stored_path::StoredPaths;

#[cfg(test)]
mod tests;
