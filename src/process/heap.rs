//! The heap of the executable.

/// Prepares the heap of the executable. If that fails, the defaults apply. Only glibc needs it: by default, its heap grows by
/// 128 KiB, and what is free is returned to the system as soon as it is more, so that a command that reads a folder asks for
/// memory and returns it again, each time with new pages.
pub(super) fn prepare_executable() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    for (option, bytes) in [(libc::M_TOP_PAD, 1 << 20), (libc::M_TRIM_THRESHOLD, 2 << 20)] {
        // SAFETY: no other thread runs yet.
        #[expect(unsafe_code, reason = "neither nix nor rustix has it")]
        let _is_set = unsafe { libc::mallopt(option, bytes) };
    }
}
