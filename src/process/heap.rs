//! The heap of the executable.

use libc::c_int;

/// By how much the heap grows, and how much of it may be free before glibc returns memory to the system, in bytes. By default,
/// both are 128 KiB, so that a command that reads a folder grows the heap and shrinks it again, each time with new pages.
const OPTIONS: [(c_int, c_int); 2] = [(libc::M_TOP_PAD, 1 << 20), (libc::M_TRIM_THRESHOLD, 2 << 20)];

/// Prepares the heap of the executable. If that fails, the defaults apply.
pub(crate) fn prepare_executable() {
    for (option, value) in OPTIONS {
        // SAFETY: no other thread runs yet.
        #[expect(unsafe_code, reason = "neither nix nor rustix has it")]
        let _is_set = unsafe { libc::mallopt(option, value) };
    }
}
