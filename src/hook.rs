//! Running hooks: their arguments and environment, the execution of one hook, and all hooks of an event.

pub(crate) mod background;
pub(crate) mod command;
pub(crate) mod event;
pub(crate) mod interpreter;
mod output;
pub(crate) mod reporter;
pub(crate) mod run;
