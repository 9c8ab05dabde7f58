//! Whether a host can install a wheel, by the tags in its name.

use std::env::consts;

use crate::machine::arm;
use crate::machine::libc::{self, Libc};
use crate::process::executable;

/// What a wheel must fit.
#[derive(Debug, Clone)]
pub(crate) struct WheelHost {
    /// The major and the minor version of Python; `None` for any.
    python: Option<(u32, u32)>,
    system: System,
    /// The architecture, as wheels name it.
    arch: &'static str,
}

#[derive(Debug, Clone)]
enum System {
    /// Linux with glibc of this version, as its numbers; `None` if it is unknown.
    Gnu(Option<Vec<u32>>),
    Musl,
    Macos,
    /// One whose wheels are not known.
    Other,
}

impl WheelHost {
    /// Returns this host with a version of Python, such as `3.11.2`, or with any.
    pub(crate) fn new(python: Option<&str>) -> Self {
        let mut numbers = python.unwrap_or_default().split('.').map(str::parse);
        let system = match consts::OS {
            "linux" => match libc::of_host() {
                Libc::Gnu => System::Gnu(executable::glibc_of_host()),
                Libc::Musl => System::Musl,
            },
            "macos" => System::Macos,
            _ => System::Other,
        };
        let arch = match (consts::ARCH, consts::OS) {
            ("aarch64", "macos") => "arm64",
            ("x86", _) => "i686",
            ("arm", _) if arm::is_v6() => "armv6l",
            ("arm", _) => "armv7l",
            ("powerpc64", _) => "ppc64le",
            (arch, _) => arch,
        };
        let python = match (numbers.next(), numbers.next()) {
            (Some(Ok(major)), Some(Ok(minor))) => Some((major, minor)),
            _ => None,
        };
        Self { python, system, arch }
    }

    /// Returns whether a file can be installed: a wheel that fits, or anything else, from which one is built.
    pub(crate) fn accepts(&self, filename: &str) -> bool {
        let Some(stem) = filename.strip_suffix(".whl") else { return true };
        let tags: Vec<&str> = stem.rsplitn(4, '-').collect();
        let [platforms, abis, pythons, _] = tags[..] else { return false };
        platforms.split('.').any(|platform| self.has_platform(platform))
            && pythons.split('.').any(|python| abis.split('.').any(|abi| self.has_python(python, abi)))
    }

    /// Returns whether the Python supports a tag such as `py3` or `cp311`, with its ABI.
    fn has_python(&self, tag: &str, abi: &str) -> bool {
        let Some((major, minor)) = self.python else { return true };
        let is_cpython = tag.starts_with("cp");
        let Some((tag_major, tag_minor)) = tag
            .strip_prefix("cp")
            .or_else(|| tag.strip_prefix("py"))
            .and_then(|text| text.split_at_checked(1))
        else {
            return false;
        };
        let tag_minor: Option<u32> = tag_minor.parse().ok();
        tag_major.parse() == Ok(major)
            && match abi {
                "abi3" => tag_minor.is_none_or(|tag_minor| tag_minor <= minor),
                "none" if !is_cpython => tag_minor.is_none_or(|tag_minor| tag_minor <= minor),
                "none" => tag_minor.is_none_or(|tag_minor| tag_minor == minor),
                abi => tag_minor == Some(minor) && abi.trim_end_matches(['m', 'u']) == tag,
            }
    }

    /// Returns whether the system supports a tag such as `any`, `manylinux_2_17_x86_64` or `macosx_11_0_arm64`.
    fn has_platform(&self, tag: &str) -> bool {
        let of_arch = || tag.strip_suffix(self.arch)?.strip_suffix('_');
        if tag == "any" {
            return true;
        }
        match &self.system {
            System::Other => true,
            System::Macos => {
                let is_universal =
                    tag.ends_with("_universal2") || self.arch == "x86_64" && tag.ends_with("_intel");
                tag.starts_with("macosx_") && (is_universal || of_arch().is_some())
            }
            System::Musl => of_arch().is_some_and(|libc| libc == "linux" || libc.starts_with("musllinux_")),
            System::Gnu(found) => match of_arch() {
                Some("linux") => true,
                Some(libc) => {
                    glibc_of(libc).is_some_and(|needed| found.as_ref().is_none_or(|found| *found >= needed))
                }
                None => false,
            },
        }
    }
}

/// Returns the version of glibc that a tag without its architecture needs, such as `manylinux_2_17` or `manylinux2014`.
fn glibc_of(tag: &str) -> Option<Vec<u32>> {
    match tag {
        "manylinux1" => Some(vec![2, 5]),
        "manylinux2010" => Some(vec![2, 12]),
        "manylinux2014" => Some(vec![2, 17]),
        _ => tag.strip_prefix("manylinux_")?.split('_').map(|number| number.parse().ok()).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(system: System) -> WheelHost {
        WheelHost { python: Some((3, 11)), system, arch: "x86_64" }
    }

    fn accepts(host: &WheelHost, tags: &str) -> bool {
        host.accepts(&format!("x-1.0-{tags}.whl"))
    }

    #[test]
    fn a_wheel_must_fit_the_c_library_and_its_version() {
        let (gnu, musl) = (host(System::Gnu(Some(vec![2, 36]))), host(System::Musl));
        for (platform, on_gnu, on_musl) in [
            ("any", true, true),
            ("manylinux_2_17_x86_64.manylinux2014_x86_64", true, false),
            ("manylinux_2_36_x86_64", true, false),
            ("manylinux_2_39_x86_64", false, false),
            ("manylinux_2_5_x86_64.manylinux_2_39_x86_64", true, false),
            ("manylinux1_x86_64", true, false),
            ("manylinux_2_17_aarch64", false, false),
            ("musllinux_1_2_x86_64", false, true),
            ("linux_x86_64", true, true),
            ("win_amd64", false, false),
            ("macosx_10_12_x86_64", false, false),
        ] {
            let tags = format!("py3-none-{platform}");
            assert_eq!((accepts(&gnu, &tags), accepts(&musl, &tags)), (on_gnu, on_musl), "{platform}");
        }
        assert!(accepts(&host(System::Gnu(None)), "py3-none-manylinux_2_39_x86_64"));
        let macos = WheelHost { arch: "arm64", ..host(System::Macos) };
        assert!(accepts(&macos, "py3-none-macosx_11_0_universal2"));
        assert!(!accepts(&macos, "py3-none-macosx_11_0_x86_64"));
    }

    #[test]
    fn a_wheel_must_fit_the_python_and_its_abi() {
        let host = host(System::Gnu(None));
        for (tags, is_accepted) in [
            ("py3-none", true),
            ("py2.py3-none", true),
            ("py2-none", false),
            ("py311-none", true),
            ("py312-none", false),
            ("cp311-cp311", true),
            ("cp311-cp311t", false),
            ("cp310-cp310", false),
            ("cp38-abi3", true),
            ("cp312-abi3", false),
            ("cp311-none", true),
            ("pp310-pypy310_pp73", false),
        ] {
            assert_eq!(accepts(&host, &format!("{tags}-any")), is_accepted, "{tags}");
        }
        assert!(host.accepts("x-1.0-1-py3-none-any.whl"), "the name has a build number");
        assert!(host.accepts("x-1.0.tar.gz") && !host.accepts("x.whl"));
        assert!(accepts(&WheelHost { python: None, ..host }, "cp312-cp312-any"));
    }
}
