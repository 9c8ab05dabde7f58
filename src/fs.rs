//! Files: each operation is written once, here.

pub mod digest;
pub mod dir;
pub mod lock;
