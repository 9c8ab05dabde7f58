//! Architectures.

/// The architecture of a processor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Arch {
    X86_64,
    Aarch64,
    X86,
    Arm,
    Riscv64,
    Powerpc64le,
    S390x,
    Loongarch64,
}

impl Arch {
    /// The names by which platforms are written.
    pub(crate) const NAMES: [(Self, &str); 8] = [
        (Self::X86_64, "x86_64"),
        (Self::Aarch64, "aarch64"),
        (Self::X86, "x86"),
        (Self::Arm, "arm"),
        (Self::Riscv64, "riscv64"),
        (Self::Powerpc64le, "powerpc64le"),
        (Self::S390x, "s390x"),
        (Self::Loongarch64, "loongarch64"),
    ];
}
