//! Architectures.

/// The architecture of a processor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arch {
    X86_64,
    Aarch64,
    X86,
    /// 32-bit Arm: as the architecture of a platform, that of processors from `ARMv7` on.
    Arm,
    /// That of older processors, as a platform. The name of an asset has [`Self::Arm`].
    Armv6,
    Riscv64,
    Powerpc64le,
    S390x,
    Loongarch64,
}

impl Arch {
    /// The names by which platforms are written.
    pub(crate) const NAMES: [(Self, &str); 9] = [
        (Self::X86_64, "x86_64"),
        (Self::Aarch64, "aarch64"),
        (Self::X86, "x86"),
        (Self::Arm, "arm"),
        (Self::Armv6, "armv6"),
        (Self::Riscv64, "riscv64"),
        (Self::Powerpc64le, "powerpc64le"),
        (Self::S390x, "s390x"),
        (Self::Loongarch64, "loongarch64"),
    ];
}
