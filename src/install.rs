//! From requirements to linked binaries.

pub(crate) mod adopt;
pub(crate) mod attempt;
pub(crate) mod begin;
pub(crate) mod event;
pub(crate) mod link;
pub(crate) mod listing;
pub(crate) mod module;
pub(crate) mod package;
pub(crate) mod package_script;
pub(crate) mod pins;
pub(crate) mod plan;
pub(crate) mod prefix;
pub(crate) mod probe;
pub(crate) mod provider_deps;
pub(crate) mod register;
pub(crate) mod relocatable;
pub(crate) mod request_digest;
pub(crate) mod resolver;
pub(crate) mod scheduler;
pub(crate) mod status;
pub(crate) mod users;
pub(crate) mod verdict;
pub(crate) mod verify;
