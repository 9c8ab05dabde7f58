//! Operating systems.

/// An operating system that rigup runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Os {
    Linux,
    Darwin,
}
