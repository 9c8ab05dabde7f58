//! The platforms that programs are released for.

use std::env::consts;
use std::fmt::{self, Display, Formatter};
use std::str::FromStr;

use crate::machine::arm;
use crate::machine::libc::{self, Libc};
use crate::toolkit::asset::arch::Arch;
use crate::toolkit::asset::os::Os;
use crate::toolkit::asset::word::{self, Word};

/// What a program must be built for: written `linux-x86_64-gnu`, `linux-aarch64-musl` or `darwin-arm64`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Platform {
    /// Linux, with the architecture and the C library.
    Linux(Arch, Libc),
    /// macOS, with the architecture.
    Darwin(Arch),
}

impl Platform {
    /// Returns the platform of this host, or `None` if it is not one of these.
    pub(crate) fn of_host() -> Option<Self> {
        let arch = if arm::is_v6() { Arch::Armv6 } else { arch(consts::ARCH)? };
        match consts::OS {
            "linux" => Some(Self::Linux(arch, libc::of_host())),
            "macos" => Some(Self::Darwin(arch)),
            _ => None,
        }
    }

    pub(crate) fn os(self) -> Os {
        match self {
            Self::Linux(..) => Os::Linux,
            Self::Darwin(_) => Os::Darwin,
        }
    }

    pub(crate) fn arch(self) -> Arch {
        let (Self::Linux(arch, _) | Self::Darwin(arch)) = self;
        arch
    }
}

impl Display for Platform {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let named = Arch::NAMES.iter().find(|(arch, _)| *arch == self.arch());
        let name = named.map_or("", |(_, name)| name);
        match self {
            Self::Linux(_, Libc::Gnu) => write!(f, "linux-{name}-gnu"),
            Self::Linux(_, Libc::Musl) => write!(f, "linux-{name}-musl"),
            Self::Darwin(Arch::Aarch64) => f.write_str("darwin-arm64"),
            Self::Darwin(_) => write!(f, "darwin-{name}"),
        }
    }
}

/// How platforms are written, for messages.
pub(crate) const FORMS: &str = "linux-x86_64-gnu, linux-aarch64-musl or darwin-arm64";

/// A text that names no platform.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is not a platform; write it like {FORMS}")]
pub struct PlatformError(String);

impl FromStr for Platform {
    type Err = PlatformError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let platform = match text.split('-').collect::<Vec<_>>()[..] {
            ["linux", name, "gnu"] => arch(name).map(|arch| Self::Linux(arch, Libc::Gnu)),
            ["linux", name, "musl"] => arch(name).map(|arch| Self::Linux(arch, Libc::Musl)),
            ["darwin", name] => arch(name).map(Self::Darwin),
            _ => None,
        };
        platform.ok_or_else(|| PlatformError(text.to_owned()))
    }
}

/// Returns the architecture that a name stands for, such as `x86_64`, `amd64` or `arm64`.
fn arch(name: &str) -> Option<Arch> {
    if name == "armv6" {
        return Some(Arch::Armv6);
    }
    match word::meaning(&name.replace('_', ""))[..] {
        [Word::Arch(arch)] => arch,
        _ => None,
    }
}
