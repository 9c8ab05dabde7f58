//! Causes each fault of `docs/reliability.md`, and checks what the user sees and that nothing is left behind.

#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "tests start rigup and read files themselves, and an error in them is a failed test"
)]

mod clock;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod collected;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod crash;
mod disk;
mod environment;
mod identity;
mod kernel;
mod killed;
mod launcher;
mod leftovers;
mod limits;
mod links;
mod machine;
mod output;
mod packages;
mod pty;
mod run_dir;
mod runs;
mod shifted_clock;
mod signals;
mod store;
mod terminal;
#[expect(dead_code, reason = "shared with the tests in tests/cli, which use all of it")]
#[path = "../cli/test_context.rs"]
mod test_context;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod tracer;
mod tree;
mod trust;
mod waiters;

/// A valid record of a program that exists on every machine.
const RECORD: &str = r#"{"type":"Binary","name":"x","abspath":"/bin/sh","version":"1"}"#;

/// A provider that builds the program beside its prefix.
const BUILDING: &str = "#!/bin/sh\nset -eu\neval \"$(\"$RIGUP\" hook begin --provider p -- \"$@\")\"\nmake_part\n\
    mkdir -p \"$part/bin\"\nprintf '#!/bin/sh\\necho 1.0\\n' >\"$part/bin/$name\"\nchmod +x \"$part/bin/$name\"\n\
    \"$RIGUP\" hook binary --provider p --built \"$part\" --abspath \"$prefix/bin/$name\" -- \"$@\"\n";

/// Runs a check for each of several slow cases at the same time.
fn in_parallel<T: Send>(cases: impl IntoIterator<Item = T>, check: impl Fn(T) + Sync) {
    std::thread::scope(|scope| {
        for case in cases {
            scope.spawn(|| check(case));
        }
    });
}
