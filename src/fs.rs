//! Files: each operation is written once, here.

pub(crate) mod atomic;
pub(crate) mod digest;
pub(crate) mod dir;
pub(crate) mod link;
pub(crate) mod lock;
