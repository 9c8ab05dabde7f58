//! What this computer is, as far as it can be seen from inside: no network traffic, no child process, no
//! environment. Best effort throughout: an unknown fact stays empty and stops nobody.

pub mod derived;
pub mod facts;
pub mod guid;
pub mod interface;
mod stats;
