//! The hook contract: what a hook is given, and what its execution leaves behind.

pub mod command;
pub mod event;
pub mod interpreter;
pub mod run;
