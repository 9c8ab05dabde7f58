//! The exit codes that users may rely on.

/// How a command of rigup ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitStatus {
    /// 0: all of the requested work is done.
    Success,
    /// 1: some of the requested work could not be done.
    Incomplete,
    /// 2: the command line is invalid.
    Usage,
    /// 3: the data dir, a setting or a plugin selected by name is unusable.
    Setup,
    /// 128+N: signal N interrupted rigup.
    Interrupted(i32),
    /// The exit code of a hook or a command that rigup ran.
    Code(u8),
}

impl ExitStatus {
    /// Returns the exit code.
    pub fn code(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Incomplete => 1,
            Self::Usage => 2,
            Self::Setup => 3,
            Self::Interrupted(signal) => u8::try_from(128 + signal).unwrap_or(u8::MAX),
            Self::Code(code) => code,
        }
    }

    /// Returns [`Incomplete`](Self::Incomplete) in place of [`Success`](Self::Success).
    #[must_use]
    pub fn or_incomplete(self) -> Self {
        if self == Self::Success { Self::Incomplete } else { self }
    }
}
