//! Whether a hook keeps the contract: it is run with good, absent, hostile and huge arguments, and judged item by item.
//!
//! [`trial`] runs the hook as any hook is run; [`judge`] only looks at what was observed.

pub mod cramped;
pub mod finding;
pub mod item;
pub mod judge;
pub mod kit;
pub mod observation;
pub mod request;
pub mod trial;
