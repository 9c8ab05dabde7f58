//! The hook contract: what a hook is given, and what its execution leaves behind.

pub(crate) mod command;
pub(crate) mod event;
pub(crate) mod interpreter;
pub(crate) mod run;
