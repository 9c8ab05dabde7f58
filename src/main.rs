//! Arguments in, exit code out.

use std::process::ExitCode;

/// Replaces the allocator of musl, which is slow if several threads allocate.
#[cfg(target_env = "musl")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    rigup::internal::main()
}
