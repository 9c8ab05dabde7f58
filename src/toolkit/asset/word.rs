//! The words in the names of release assets, and what they say about the contents.

use crate::machine::libc::Libc;
use crate::toolkit::asset::arch::Arch;
use crate::toolkit::asset::os::Os;

/// What a word says about an asset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Word {
    /// The operating system, or `None` for one that rigup does not run on.
    Os(Option<Os>),
    /// A distribution of Linux, and its C library.
    Distribution(Libc),
    /// The architecture, or `None` for one that rigup does not run on.
    Arch(Option<Arch>),
    /// Every architecture.
    Universal,
    /// Every architecture, after an operating system.
    All,
    /// An architecture of the usual family with this many bits, unless another word names one: `linux64`.
    Bits(Arch),
    /// The C library.
    Libc(Libc),
    /// Linked statically, so that the C library of the host does not matter.
    Static,
    /// A newer level of an architecture, which not every processor has.
    Level(Arch),
    /// A word of target triples and versions that says nothing.
    Filler,
    /// The asset is not a program: source code, documentation, checksums, symbols.
    Side,
}

/// The words, without separators and in lower case.
const WORDS: [(&str, Word); 24] = [
    ("linux", Word::Os(Some(Os::Linux))),
    ("apple darwin mac macos macosx osx", Word::Os(Some(Os::Darwin))),
    (
        "aix android androideabi cygwin dos dragonfly dragonflybsd emscripten freebsd haiku illumos ios mingw mingw32 \
         mingw64 msvc msys msys2 netbsd openbsd plan9 solaris sunos wasi wasip1 wasip2 win windows",
        Word::Os(None),
    ),
    (
        "amazonlinux archlinux centos debian fedora manylinux opensuse rhel ubuntu",
        Word::Distribution(Libc::Gnu),
    ),
    ("alpine", Word::Distribution(Libc::Musl)),
    ("amd64 amd64v1 em64t intel intel64 x64 x8664 x8664v1", Word::Arch(Some(Arch::X86_64))),
    ("amd64v2 amd64v3 amd64v4 x64v2 x64v3 x64v4 x8664v2 x8664v3 x8664v4", Word::Level(Arch::X86_64)),
    ("aarch64 aarch64v8 arm64 arm64v8 armv8 m1 silicon", Word::Arch(Some(Arch::Aarch64))),
    (
        "arm arm32 arm32v5 arm32v6 arm32v7 arm5 arm6 arm7 armel armhf armv5 armv5te armv6 armv6hf armv6l armv7 armv7a \
         armv7hf armv7l eabi eabihf",
        Word::Arch(Some(Arch::Arm)),
    ),
    ("386 i386 i486 i586 i686 ia32 x32 x86 x8632", Word::Arch(Some(Arch::X86))),
    ("riscv64 riscv64gc rv64 rv64gc", Word::Arch(Some(Arch::Riscv64))),
    ("powerpc64le ppc64el ppc64le ppcle64", Word::Arch(Some(Arch::Powerpc64le))),
    ("s390x s39064", Word::Arch(Some(Arch::S390x))),
    ("loong64 loongarch64", Word::Arch(Some(Arch::Loongarch64))),
    (
        "armeb ia64 m68k mips mips32 mips64 mips64el mips64le mips64r6 mips64r6el mipsel mipsle mipsr6 mipsr6el powerpc \
         powerpc64 ppc ppc64 ppc64be riscv32 s390 sparc sparc64 sparcv9 wasm wasm32 wasm64",
        Word::Arch(None),
    ),
    ("multiarch noarch universal universal2", Word::Universal),
    ("all", Word::All),
    ("64 64bit 64bits", Word::Bits(Arch::X86_64)),
    ("32 32bit 32bits", Word::Bits(Arch::X86)),
    ("glibc gnu", Word::Libc(Libc::Gnu)),
    ("musl", Word::Libc(Libc::Musl)),
    ("static", Word::Static),
    ("binary pc unknown", Word::Filler),
    (
        "checksum checksums completion completions dbg dbgsym debug debuginfo debugsymbols doc docs dsym installer man \
         manpage manpages pdb provenance sbom setup sha256 sha256sum sha256sums sha512 sha512sums source sources src \
         symbols vendored",
        Word::Side,
    ),
];

/// Returns what a word says; nothing if it is an ordinary one. An operating system or a C library may be joined to another
/// word or to a number: `linux64`, `macosarm64`, `musllinux`, `gnueabihf`, `ubuntu2204`.
pub(crate) fn meaning(text: &str) -> Vec<Word> {
    if let Some(word) = lookup(text) {
        return vec![word];
    }
    let is_system = |word| matches!(word, Word::Os(_) | Word::Distribution(_) | Word::Libc(_));
    let splits = text.char_indices().skip(1).map(|(at, _)| text.split_at(at));
    let mut joined = splits.filter_map(|(first, rest)| {
        let is_number = rest.bytes().all(|byte| byte.is_ascii_digit());
        let first = lookup(first).filter(|&first| is_system(first))?;
        lookup(rest).map(|rest| vec![first, rest]).or_else(|| is_number.then(|| vec![first]))
    });
    joined.next().unwrap_or_default()
}

/// Returns what a text says, or `None` if it is another word.
pub(crate) fn lookup(text: &str) -> Option<Word> {
    let is_word = |words: &str| words.split(' ').any(|word| word == text);
    WORDS.into_iter().find(|(words, _)| is_word(words)).map(|(_, word)| word)
}
