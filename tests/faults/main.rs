//! Every fault of `docs/reliability.md`, injected for real: what the user sees, and that nothing is left behind.

#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "tests start rigup and read files by themselves, and what goes wrong in them is a failure"
)]

mod aftermath;
mod clock;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod crash;
mod disk;
mod environment;
mod identity;
mod kernel;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod killer;
mod limits;
mod links;
mod machine;
mod output;
mod packages;
mod store;
mod terminal;
#[expect(dead_code, reason = "shared with the tests of the command line, which use all of it")]
#[path = "../cli/test_context.rs"]
mod test_context;
mod tree;
mod trust;

/// The truth about a program that is there anyway.
const RECORD: &str = r#"{"type":"Binary","name":"x","abspath":"/bin/sh","version":"1"}"#;

/// Looks at several cases at once, all of which take their time.
fn side_by_side<T: Send>(cases: impl IntoIterator<Item = T>, check: impl Fn(T) + Sync) {
    std::thread::scope(|scope| {
        for case in cases {
            scope.spawn(|| check(case));
        }
    });
}
