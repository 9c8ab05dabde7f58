//! The variants of 32-bit Arm.

/// What the name of an asset for 32-bit Arm says about the processor. The greatest that runs is the best for a host whose
/// C library passes floating-point numbers in registers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ArmVariant {
    pub(crate) float: Float,
    level: ArmLevel,
}

/// How a program passes floating-point numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Float {
    /// In other registers. The program cannot use libraries that pass them in those for floating point.
    Soft,
    #[default]
    Open,
    Hard,
}

/// The oldest processor that a program runs on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
enum ArmLevel {
    V5,
    #[default]
    Open,
    V6,
    V7,
}

impl ArmVariant {
    /// Whether the name says that the program needs a newer processor than one with `ARMv6`.
    pub(crate) fn needs_v7(self) -> bool {
        self.level == ArmLevel::V7
    }

    /// Stores what a word says, such as `armv7`, `arm32v6`, `armhf` or `gnueabi`.
    pub(crate) fn read(&mut self, word: &str) {
        if word.contains("hf") {
            self.float = Float::Hard;
        } else if word.ends_with("eabi") || word == "armel" {
            self.float = Float::Soft;
        }
        let number =
            word.strip_prefix("arm").map(|rest| rest.trim_start_matches("32").trim_start_matches('v'));
        self.level = match number.and_then(|number| number.bytes().next()) {
            Some(b'5') => ArmLevel::V5,
            Some(b'6') => ArmLevel::V6,
            Some(b'7') => ArmLevel::V7,
            _ => self.level,
        };
    }
}
