//! Checks that the system can start an ELF file.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use object::elf::{
    EM_386, EM_AARCH64, EM_ARM, EM_RISCV, EM_X86_64, ET_DYN, ET_EXEC, FileHeader32, FileHeader64,
    VER_FLG_WEAK,
};
use object::read::elf::{FileHeader, ProgramHeader, SectionHeader, SectionTable};
use object::{Endianness, FileKind, ReadCache, ReadRef, SectionIndex, StringTable};

use crate::process::executable::error::ExecutableError;

/// The start of the names of the versions that glibc defines, such as `GLIBC_2.38`.
const GLIBC: &[u8] = b"GLIBC_";

/// Checks an ELF file by its head, which usually has all facts but the versions of its libraries, and otherwise by the file.
pub(super) fn check<Elf>(file: File, head: &[u8]) -> Result<(), ExecutableError>
where
    Elf: FileHeader<Endian = Endianness>,
{
    let length = file.metadata().map_or(0, |metadata| metadata.len());
    let file = ReadCache::new(file);
    let loader = match check_segments::<Elf, _>(head, length) {
        Err(ExecutableError::Incomplete(..)) => check_segments::<Elf, _>(&file, length),
        checked => checked,
    }?;
    match loader {
        Some(loader) => check_glibc::<Elf>(&file, &loader),
        None => Ok(()),
    }
}

/// Checks the format of a program and its loader. Returns the loader, which a static program has none of.
fn check_segments<'d, Elf, R>(data: R, length: u64) -> Result<Option<PathBuf>, ExecutableError>
where
    Elf: FileHeader<Endian = Endianness>,
    R: ReadRef<'d>,
{
    let is_cut = |_error: object::read::Error| ExecutableError::Incomplete(length, length + 1);
    let header = Elf::parse(data).map_err(is_cut)?;
    let endian = header.endian().map_err(|_| ExecutableError::UnknownFormat)?;
    if ![ET_EXEC, ET_DYN].contains(&header.e_type(endian)) {
        return Err(ExecutableError::UnknownFormat);
    }
    let machine = header.e_machine(endian);
    let runs = match std::env::consts::ARCH {
        "x86_64" => [EM_X86_64, EM_386].contains(&machine),
        "aarch64" => [EM_AARCH64, EM_ARM].contains(&machine),
        _ => true,
    };
    if !runs {
        let name = match machine {
            EM_X86_64 => "x86_64".to_owned(),
            EM_386 => "x86".to_owned(),
            EM_AARCH64 => "aarch64".to_owned(),
            EM_ARM => "arm".to_owned(),
            EM_RISCV => "riscv".to_owned(),
            other => format!("machine type {other:?}"),
        };
        return Err(ExecutableError::Foreign(name));
    }
    let mut program_loader = None;
    for segment in header.program_headers(endian, data).map_err(is_cut)? {
        let end = segment.p_offset(endian).into().saturating_add(segment.p_filesz(endian).into());
        if end > length {
            return Err(ExecutableError::Incomplete(length, end));
        }
        let loader = segment.interpreter(endian, data).map_err(is_cut)?;
        if let Some(loader) = loader.map(|loader| PathBuf::from(OsStr::from_bytes(loader))) {
            if !loader.exists() {
                return Err(ExecutableError::NoLoader(loader));
            }
            program_loader = Some(loader);
        }
    }
    Ok(program_loader)
}

/// A version of glibc. The order of its numbers is that of the versions.
type GlibcVersion = Vec<u32>;

/// Checks that the glibc next to the loader is as new as the program needs. Another C library, such as one that imitates
/// glibc, states no version.
fn check_glibc<Elf>(file: &ReadCache<File>, loader: &Path) -> Result<(), ExecutableError>
where
    Elf: FileHeader<Endian = Endianness>,
{
    let Some(needed) = needed_glibc::<Elf, _>(file) else { return Ok(()) };
    match glibc_of(loader) {
        Some(found) if found < needed => Err(ExecutableError::OldGlibc(text(&needed), text(&found))),
        _ => Ok(()),
    }
}

/// Returns the glibc that belongs to a loader. It is read only once: many programs have the same loader.
fn glibc_of(loader: &Path) -> Option<GlibcVersion> {
    static KNOWN: Mutex<BTreeMap<PathBuf, Option<GlibcVersion>>> = Mutex::new(BTreeMap::new());
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(version) = known.get(loader) {
        return version.clone();
    }
    let library = loader.canonicalize().ok().map(|loader| loader.with_file_name("libc.so.6"));
    let version = library.and_then(|library| {
        let file = ReadCache::new(File::open(library).ok()?);
        match FileKind::parse(&file).ok()? {
            FileKind::Elf32 => defined_glibc::<FileHeader32<Endianness>, _>(&file),
            FileKind::Elf64 => defined_glibc::<FileHeader64<Endianness>, _>(&file),
            _ => None,
        }
    });
    known.insert(loader.to_owned(), version.clone());
    version
}

/// Returns the version of glibc that the programs of this host use, or `None` if they use another C library.
pub(super) fn glibc_of_host() -> Option<GlibcVersion> {
    let shell = ReadCache::new(File::open("/bin/sh").ok()?);
    let loader = match FileKind::parse(&shell).ok()? {
        FileKind::Elf32 => check_segments::<FileHeader32<Endianness>, _>(&shell, u64::MAX),
        FileKind::Elf64 => check_segments::<FileHeader64<Endianness>, _>(&shell, u64::MAX),
        _ => return None,
    };
    glibc_of(&loader.ok()??)
}

/// Returns the newest version of glibc whose symbols a program needs, or `None` if it states none.
fn needed_glibc<'d, Elf, R>(data: R) -> Option<GlibcVersion>
where
    Elf: FileHeader<Endian = Endianness>,
    R: ReadRef<'d>,
{
    let header = Elf::parse(data).ok()?;
    let endian = header.endian().ok()?;
    let sections = header.sections(endian, data).ok()?;
    let (mut libraries, link) = sections.gnu_verneed(endian, data).ok()??;
    let strings = all_strings(&sections, endian, data, link)?;
    let mut newest = None;
    while let Ok(Some((_, mut versions))) = libraries.next() {
        while let Ok(Some(version)) = versions.next() {
            // Without a version of which every use is weak, the loader starts the program all the same.
            if !version.vna_flags.get(endian).contains(VER_FLG_WEAK) {
                newest = newest.max(version.name(endian, strings).ok().and_then(glibc_version));
            }
        }
    }
    newest
}

/// Returns the newest version that a C library defines.
fn defined_glibc<'d, Elf, R>(data: R) -> Option<GlibcVersion>
where
    Elf: FileHeader<Endian = Endianness>,
    R: ReadRef<'d>,
{
    let header = Elf::parse(data).ok()?;
    let endian = header.endian().ok()?;
    let sections = header.sections(endian, data).ok()?;
    let (mut definitions, link) = sections.gnu_verdef(endian, data).ok()??;
    let strings = all_strings(&sections, endian, data, link)?;
    let mut newest = None;
    while let Ok(Some((_, mut names))) = definitions.next() {
        // The other names are those of earlier versions that this one contains.
        if let Ok(Some(name)) = names.next() {
            newest = newest.max(name.name(endian, strings).ok().and_then(glibc_version));
        }
    }
    newest
}

/// Reads a table of strings as a whole, instead of each string by itself.
fn all_strings<'d, Elf, R>(
    sections: &SectionTable<'d, Elf, R>,
    endian: Endianness,
    data: R,
    index: SectionIndex,
) -> Option<StringTable<'d>>
where
    Elf: FileHeader<Endian = Endianness>,
    R: ReadRef<'d>,
{
    let strings = sections.section(index).ok()?.data(endian, data).ok()?;
    Some(StringTable::new(strings, 0, strings.len().try_into().ok()?))
}

/// Parses the name of a version of glibc. Other names, such as `GLIBC_PRIVATE`, state no number.
fn glibc_version(name: &[u8]) -> Option<GlibcVersion> {
    let numbers = str::from_utf8(name.strip_prefix(GLIBC)?).ok()?;
    numbers.split('.').map(|number| number.parse().ok()).collect()
}

fn text(version: &GlibcVersion) -> String {
    version.iter().map(u32::to_string).collect::<Vec<_>>().join(".")
}
