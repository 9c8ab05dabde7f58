//! Operations on files and folders, each implemented only once.

pub(crate) mod atomic;
pub(crate) mod copy;
pub(crate) mod digest;
pub(crate) mod dir;
pub(crate) mod lib_dir;
pub(crate) mod link;
pub(crate) mod lock;
pub(crate) mod regular_file;
pub(crate) mod remove;
pub(crate) mod temporary_folder;
pub(crate) mod tree_digest;
pub(crate) mod write_access;
