//! Files: each operation is written once, here.

pub mod digest;
