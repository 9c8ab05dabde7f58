//! The variant of 32-bit Arm that this host has. That of rigup's own executable says nothing, because it is the oldest one.

use std::env::consts;

use nix::sys::utsname::uname;

/// Whether this is a host with 32-bit Arm that runs no program for `ARMv7`, such as a Raspberry Pi Zero.
pub(crate) fn is_v6() -> bool {
    consts::ARCH == "arm" && uname().is_ok_and(|kernel| is_before_v7(&kernel.machine().to_string_lossy()))
}

/// Whether the kernel calls the machine one with an older processor: `armv6l`, `armv5tejl`. A kernel for 64 bits runs the
/// programs for `ARMv7`, too: `aarch64`, `armv8l`.
fn is_before_v7(machine: &str) -> bool {
    let level = machine.strip_prefix("armv").and_then(|rest| rest.chars().next()?.to_digit(10));
    level.is_some_and(|level| level < 7)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_the_machine_tells_the_variant() {
        for machine in ["armv6l", "armv6hl", "armv5tejl", "armv4l"] {
            assert!(is_before_v7(machine), "{machine}");
        }
        for machine in ["armv7l", "armv7hl", "armv8l", "aarch64", "arm", "armv", "x86_64", ""] {
            assert!(!is_before_v7(machine), "{machine}");
        }
    }
}
