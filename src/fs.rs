//! Files: each operation is written once, here.

pub mod atomic;
pub mod digest;
pub mod dir;
pub mod home;
pub mod link;
pub mod lock;
