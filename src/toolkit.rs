//! The `rigup hook` commands for hook scripts: the parts of the contract that are hard to implement in shell.

pub(crate) mod asset;
pub(crate) mod batch;
pub(crate) mod begin;
pub(crate) mod binary;
pub(crate) mod built;
pub(crate) mod checksum;
pub(crate) mod download;
pub(crate) mod http;
pub(crate) mod lock;
pub(crate) mod minisign;
pub(crate) mod package_spec;
pub(crate) mod pip_settings;
pub(crate) mod policy;
pub(crate) mod programs;
pub(crate) mod release;
pub(crate) mod relocate;
pub(crate) mod repository;
pub(crate) mod request;
pub(crate) mod single;
pub(crate) mod started_hook;
pub(crate) mod toml_keys;
pub(crate) mod unpack;
pub(crate) mod unpacked_asset;
pub(crate) mod unpacked_program;
pub(crate) mod versions;
