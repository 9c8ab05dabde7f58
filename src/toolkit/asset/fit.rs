//! How well an asset fits a platform, by its name and those of the other assets.

use std::cmp::Reverse;

use crate::machine::libc::Libc;
use crate::toolkit::asset::arch::Arch;
use crate::toolkit::asset::arm::{ArmVariant, Float};
use crate::toolkit::asset::file_format::FileFormat;
use crate::toolkit::asset::os::Os;
use crate::toolkit::asset::parsed_name::{Linkage, ParsedName};
use crate::toolkit::asset::platform::Platform;

/// How well an asset fits a platform. The least is the best.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Fit {
    /// Whether the name leaves the operating system open.
    is_os_open: bool,
    arch: ArchFit,
    arm: Reverse<ArmVariant>,
    libc: LibcFit,
}

/// How well an asset fits the architecture, the best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum ArchFit {
    /// The name has this architecture.
    Exact,
    /// The name has a word that means this one on macOS, which has no 32-bit programs: `arm`, `x86`.
    Short,
    /// The name says that it is for all architectures.
    Universal,
    /// The name leaves the architecture open.
    Open,
    /// The system translates the program, as Rosetta does.
    Translated,
}

/// How well an asset fits the C library, the best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum LibcFit {
    /// The name has this C library.
    Exact,
    /// The name leaves the C library open.
    Open,
    /// The program brings its libraries.
    Bundled,
}

impl Fit {
    /// Returns how well an asset fits a platform, or `None` if it does not. What the name leaves open follows from the
    /// other assets of the release.
    pub(crate) fn of(asset: &ParsedName, release: &[ParsedName], platform: Platform) -> Option<Self> {
        let others = Others::of(asset, release);
        Some(Self {
            is_os_open: others.is_os_open(asset, platform)?,
            arch: others.arch_fit(asset, platform)?,
            arm: Reverse(asset.arm),
            libc: libc_fit(asset, platform)?,
        })
    }

    /// Whether the system translates the program.
    pub(crate) fn is_translated(&self) -> bool {
        self.arch == ArchFit::Translated
    }
}

/// The assets whose names say something about what the name of one asset leaves open.
struct Others<'a>(Vec<&'a ParsedName>);

impl<'a> Others<'a> {
    /// Returns the assets of the same program. If an asset has no name of its own, or may be the source code, all matter.
    fn of(asset: &ParsedName, release: &'a [ParsedName]) -> Self {
        let is_program = asset.is_plain() && !may_be_source(asset);
        Self(release.iter().filter(|other| !is_program || other.is_plain()).collect())
    }

    fn any(&self, is_such: impl Fn(&ParsedName) -> bool) -> bool {
        self.0.iter().any(|other| is_such(other))
    }

    /// Returns whether the name leaves the operating system open, or `None` if the asset is for another one.
    fn is_os_open(&self, asset: &ParsedName, platform: Platform) -> Option<bool> {
        let os = platform.os();
        if !asset.systems.is_empty() {
            return asset.systems.iter().all(|&system| system == Some(os)).then_some(false);
        }
        let has_arch = !asset.archs.is_empty();
        let is_named = |os: Os| {
            self.any(|other| {
                other.systems.contains(&Some(os))
                    && (!has_arch || other.archs.iter().any(|arch| asset.archs.contains(arch)))
            })
        };
        let fits = if self.any(|other| !other.systems.is_empty()) {
            // The name leaves out the system that no other name has.
            let is_only_one = match os {
                Os::Linux => !is_named(Os::Linux),
                Os::Darwin => !has_arch && asset.is_plain() && !is_named(Os::Darwin) && is_named(Os::Linux),
            };
            is_only_one && (has_arch || !may_be_source(asset))
        } else {
            // Names with an architecture, but without a system, are those of Linux.
            let is_for_linux = |other: &ParsedName| !other.archs.is_empty() || other.linkage.is_some();
            os == Os::Linux || !self.any(is_for_linux)
        };
        fits.then_some(true)
    }

    /// Returns how well an asset fits the architecture, or `None` if it does not.
    fn arch_fit(&self, asset: &ParsedName, platform: Platform) -> Option<ArchFit> {
        let is_armv6 = platform.arch() == Arch::Armv6;
        let arch = if is_armv6 { Arch::Arm } else { platform.arch() };
        let has = |arch| asset.archs.contains(&Some(arch));
        let is_darwin = platform.os() == Os::Darwin;
        let has_short = asset.has_short_arch
            && match arch {
                Arch::X86_64 => has(Arch::X86),
                Arch::Aarch64 => has(Arch::Arm),
                _ => false,
            };
        if has(arch) {
            return (!is_armv6 || !asset.arm.needs_v7()).then_some(ArchFit::Exact);
        }
        if is_darwin && has_short {
            return Some(ArchFit::Short);
        }
        // Rosetta translates no 32-bit program.
        let is_translated = has(Arch::X86_64) || asset.has_short_arch && has(Arch::X86);
        if is_darwin && arch == Arch::Aarch64 && is_translated {
            return Some(ArchFit::Translated);
        }
        if !asset.archs.is_empty() {
            return None;
        }
        if asset.is_universal {
            return Some(ArchFit::Universal);
        }
        // Names with a system, but without an architecture, are those of the most common one, and on macOS of both.
        let is_native = |other: &ParsedName| !other.systems.is_empty() || !other.archs.is_empty();
        let fits = arch == Arch::X86_64 || is_darwin || !self.any(is_native);
        fits.then_some(ArchFit::Open)
    }
}

/// Whether the program itself is released for the operating system, but not for the architecture. Assets with more words
/// in their names contain other programs: sccache-dist beside sccache.
pub(crate) fn is_for_other_archs(release: &[ParsedName], platform: Platform) -> bool {
    let plain = release.iter().filter(|asset| asset.is_plain());
    let mut archs = plain.filter_map(|asset| {
        let others = Others::of(asset, release);
        others.is_os_open(asset, platform).map(|_| others.arch_fit(asset, platform))
    });
    archs.next().is_some_and(|first| first.is_none() && archs.all(|arch| arch.is_none()))
}

/// Whether an asset looks like an archive of the source code: `jq-1.7.1.tar.gz`.
fn may_be_source(asset: &ParsedName) -> bool {
    asset.format == FileFormat::Archive && asset.has_version
}

/// Returns how well an asset fits the C library, or `None` if it does not.
fn libc_fit(asset: &ParsedName, platform: Platform) -> Option<LibcFit> {
    let Platform::Linux(_, libc) = platform else { return Some(LibcFit::Open) };
    // An AppImage has no glibc of its own.
    let linkage = match asset.format {
        FileFormat::AppImage if libc == Libc::Musl => return None,
        FileFormat::AppImage => Some(Linkage::Static),
        _ => asset.linkage,
    };
    match (linkage, libc) {
        (Some(Linkage::Dynamic(Libc::Gnu)), Libc::Musl) => None,
        (Some(Linkage::Dynamic(Libc::Gnu)), Libc::Gnu) if asset.arm.float == Float::Soft => None,
        (Some(Linkage::Dynamic(Libc::Musl) | Linkage::Static), Libc::Gnu) => Some(LibcFit::Bundled),
        (Some(_), _) => Some(LibcFit::Exact),
        (None, _) => Some(LibcFit::Open),
    }
}
