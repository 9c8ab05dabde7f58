//! Tests of the whole command line with real hooks, files and processes.

#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "tests start rigup, read files themselves, and panic on failure"
)]

mod action;
mod appearance;
mod apply;
mod archive_results;
mod asset;
mod background;
mod bash_and_node;
mod bash_prefix;
mod batch;
mod binary_spec;
mod builtin_providers;
mod changed_request;
mod checkout;
mod ci;
mod coming_from;
mod completions;
mod concurrency;
mod config;
mod config_set;
mod containers;
mod docs;
mod doctor;
mod durations;
mod env;
mod environment;
mod error_report;
mod event;
mod event_environment;
mod events;
mod evidence;
mod exit;
mod follow;
mod foreign_providers;
mod fuzz_corpus;
mod gc;
mod github;
mod github_api;
mod github_download;
mod github_lock;
mod github_provenance;
mod github_versions;
mod hints;
mod hook_contract;
mod hook_test;
mod init;
mod injection;
mod install;
mod install_script;
mod interpreter;
mod interrupt;
mod interrupted_report;
mod invalid_input;
mod junit;
#[expect(dead_code, reason = "shared with the tests in tests/faults, which use all of it")]
#[path = "../faults/kernel.rs"]
mod kernel;
mod library;
mod links;
mod list;
mod list_and_show;
mod listed_versions;
mod lock_file;
mod lock_pins;
mod logs;
mod man_pages;
mod markers;
mod modules;
mod outdated;
mod output_file;
mod output_format;
mod package_managers;
mod package_scripts;
mod package_version;
mod pip_and_uv;
mod policy;
mod process_kill;
mod process_list;
mod provider_tables;
mod providers;
#[path = "../faults/pty.rs"]
mod pty;
mod read_only;
mod readme;
mod recovery;
mod release_server;
mod relocate;
mod replay;
mod report;
mod requirement_keys;
mod restored;
mod running;
mod runs;
mod settings_files;
mod shared_folders;
mod show_logs;
mod snapshot_hooks;
mod system_provider;
mod test_context;
mod timings;
mod trust;
mod typed;
mod uninstall;
mod unpack;
mod unreadable_records;
mod unused_files;
mod upgrade;
mod version_pages;
mod warnings;
mod which;
mod why;
