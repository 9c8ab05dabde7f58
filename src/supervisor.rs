//! The supervision of daemons.

pub(crate) mod control;
pub(crate) mod control_loop;
pub(crate) mod execution;
mod health;
pub(crate) mod manifest;
pub(crate) mod policy;
mod readiness;
pub(crate) mod service_manager;
pub(crate) mod staleness;
mod stop_request;
mod usage_history;
