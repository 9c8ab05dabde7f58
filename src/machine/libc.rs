//! The C library of this host. That of rigup's own executable says nothing, because it is static.

use crate::machine::facts;

/// A C library of Linux.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Libc {
    /// The GNU C library.
    Gnu,
    /// musl, as on Alpine.
    Musl,
}

/// Returns the C library that programs of this host use.
pub(crate) fn of_host() -> Libc {
    of(&facts::head("/bin/sh"), || {
        let folders = ["/lib", "/lib64"].map(fs_err::read_dir).into_iter().flatten();
        folders.flatten().flatten().any(|file| is_gnu_loader(&file.file_name().to_string_lossy()))
    })
}

/// Returns the C library of a host by the beginning of its shell, which names its loader. If the shell is static, the C
/// library is glibc if its loader is installed. Otherwise, only static programs run, as on a host with musl.
fn of(shell: &str, has_gnu_loader: impl FnOnce() -> bool) -> Libc {
    let mut loaders = shell.split('\0').filter_map(|text| text.rsplit('/').next());
    if shell.contains("/ld-musl-") {
        Libc::Musl
    } else if loaders.any(is_gnu_loader) || has_gnu_loader() {
        Libc::Gnu
    } else {
        Libc::Musl
    }
}

/// Whether a file name is that of a loader of glibc: `ld-linux-x86-64.so.2`, `ld-linux.so.2`, `ld64.so.2`.
fn is_gnu_loader(name: &str) -> bool {
    name.starts_with("ld-linux") || name.starts_with("ld64.so.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shell_tells_the_c_library_also_if_another_is_installed() {
        assert_eq!(of("\x7fELF\0/lib64/ld-linux-x86-64.so.2\0", || false), Libc::Gnu);
        assert_eq!(of("\x7fELF\0/lib/ld64.so.1\0", || false), Libc::Gnu);
        assert_eq!(of("\x7fELF\0/lib/ld-musl-aarch64.so.1\0", || true), Libc::Musl);
    }

    #[test]
    fn with_a_static_shell_the_c_library_is_the_one_whose_loader_is_installed() {
        assert_eq!(of("\x7fELF\0", || true), Libc::Gnu);
        assert_eq!(of("", || false), Libc::Musl);
    }
}
