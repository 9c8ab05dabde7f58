//! The format of a release asset, by the end of its name.

use crate::toolkit::asset::word;

/// What an asset is, in the order of preference: an archive keeps the exec bit, and may contain what the program needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum FileFormat {
    Archive,
    Compressed,
    Raw,
    AppImage,
    /// A program for Windows, which says that its siblings are for other systems.
    WindowsProgram,
}

/// The ends of names, longest first. Of two archives that differ only in the end, the first is chosen.
const ENDS: [(&str, FileFormat); 24] = [
    (".tar.gz", FileFormat::Archive),
    (".tgz", FileFormat::Archive),
    (".tar.xz", FileFormat::Archive),
    (".txz", FileFormat::Archive),
    (".tar.zst", FileFormat::Archive),
    (".tzst", FileFormat::Archive),
    (".tar.bz2", FileFormat::Archive),
    (".tbz2", FileFormat::Archive),
    (".tbz", FileFormat::Archive),
    (".tar", FileFormat::Archive),
    (".zip", FileFormat::Archive),
    (".7z", FileFormat::Archive),
    (".exe.gz", FileFormat::WindowsProgram),
    (".exe.xz", FileFormat::WindowsProgram),
    (".exe.bz2", FileFormat::WindowsProgram),
    (".gz", FileFormat::Compressed),
    (".xz", FileFormat::Compressed),
    (".zst", FileFormat::Compressed),
    (".bz2", FileFormat::Compressed),
    (".bin", FileFormat::Raw),
    (".phar", FileFormat::Raw),
    (".pyz", FileFormat::Raw),
    (".appimage", FileFormat::AppImage),
    (".exe", FileFormat::WindowsProgram),
];

/// Returns the format of an asset with this name in lower case, the name without its end, and the rank of the end.
/// Returns `None` if the end is that of a package, a text, a signature or another file that is not a program.
pub(crate) fn split<'a>(name: &'a str, program: &str) -> Option<(FileFormat, &'a str, usize)> {
    let mut ends = ENDS.into_iter().enumerate();
    let found = ends.find_map(|(rank, (end, format))| Some((format, name.strip_suffix(end)?, rank)));
    let (format, stem, rank) = found.unwrap_or((FileFormat::Raw, name, ENDS.len()));
    let is_program = match format {
        FileFormat::Raw | FileFormat::Compressed => {
            stem == program || !has_extension(stem) && !is_man_page(stem, program)
        }
        // The packages of Arch Linux are archives: x-1.0-x86_64.pkg.tar.zst
        _ => stem.strip_suffix(".pkg").is_none(),
    };
    is_program.then_some((format, stem, rank))
}

/// Whether a name ends with an extension, rather than with a version or a platform.
fn has_extension(name: &str) -> bool {
    let Some((_, end)) = name.rsplit_once('.') else { return false };
    let is_word = end.starts_with(|c: char| c.is_ascii_alphabetic())
        && end.bytes().all(|byte| byte.is_ascii_alphanumeric());
    is_word && !is_version(end) && word::meaning(end).is_empty()
}

/// Whether a name is that of the program's man page: `rg.1`.
fn is_man_page(name: &str, program: &str) -> bool {
    let section = name.strip_prefix(program).and_then(|rest| rest.strip_prefix('.'));
    section.is_some_and(|section| matches!(section.as_bytes(), [b'1'..=b'9']))
}

/// Whether a word is a part of a version: `1`, `v2`, `rc1`.
pub(crate) fn is_version(word: &str) -> bool {
    let starts = ["v", "rc", "alpha", "beta", "dev", "pre"];
    let number = starts.iter().find_map(|start| word.strip_prefix(start)).unwrap_or(word);
    number.starts_with(|c: char| c.is_ascii_digit())
}
