//! Two computations at the same time.

use std::thread;

/// Runs both functions and returns their results. The second one runs on a thread of its own or, if none can be started, after
/// the first one. Unlike `rayon::join`, this never begins another task of a pool meanwhile, which could wait for a lock that
/// the caller holds.
pub(crate) fn both<A, B: Send>(first: impl FnOnce() -> A, second: impl Fn() -> B + Sync) -> (A, B) {
    thread::scope(|scope| {
        let thread = thread::Builder::new().spawn_scoped(scope, &second);
        let first = first();
        let second = match thread {
            Ok(thread) => thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
            Err(_) => second(),
        };
        (first, second)
    })
}
