//! What the name of a release asset says about its contents.

use crate::machine::libc::Libc;
use crate::toolkit::asset::arch::Arch;
use crate::toolkit::asset::arm::ArmVariant;
use crate::toolkit::asset::file_format::{self, FileFormat};
use crate::toolkit::asset::os::Os;
use crate::toolkit::asset::word::{self, Word};

/// The name of an asset, taken apart.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "what a name says is independent of each other")]
pub(crate) struct ParsedName {
    /// The index of the name.
    pub(crate) place: usize,
    /// Whether the name of the program is in it.
    pub(crate) has_program: bool,
    /// Whether a version is in it.
    pub(crate) has_version: bool,
    /// The words that are neither the program's name nor a version nor a part of the platform.
    pub(crate) other_words: Vec<String>,
    /// The words that say that the asset contains no program.
    pub(crate) side_words: Vec<String>,
    /// The operating systems; `None` stands for one that rigup does not run on.
    pub(crate) systems: Vec<Option<Os>>,
    /// The architectures; `None` stands for one that rigup does not run on.
    pub(crate) archs: Vec<Option<Arch>>,
    /// Whether an architecture is a short word, `x86` or `arm`, which may mean the one with 64 bits.
    pub(crate) has_short_arch: bool,
    /// The variant of 32-bit Arm.
    pub(crate) arm: ArmVariant,
    /// Whether it is for every architecture.
    pub(crate) is_universal: bool,
    /// What it is linked with.
    pub(crate) linkage: Option<Linkage>,
    /// The number of words that limit it to some hosts of the platform: to a distribution, or to newer processors.
    pub(crate) limits: usize,
    /// The format, by the end of the name.
    pub(crate) format: FileFormat,
    /// The place of that end in the order of preference.
    pub(crate) end: usize,
}

/// What a program is linked with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Linkage {
    /// The C library of the host.
    Dynamic(Libc),
    /// A C library of its own.
    Static,
}

impl ParsedName {
    /// Takes a name apart, which has the index `place`. `program` is the name of the program. Returns `None` if the end of
    /// the name says that the asset contains no program.
    pub(crate) fn parse(name: &str, program: &str, place: usize) -> Option<Self> {
        let (name, program) = (name.to_lowercase(), program.to_lowercase());
        let (format, stem, end) = file_format::split(&name, &program)?;
        let mut parsed = Self {
            place,
            has_program: false,
            has_version: false,
            other_words: Vec::new(),
            side_words: Vec::new(),
            systems: Vec::new(),
            archs: Vec::new(),
            has_short_arch: false,
            arm: ArmVariant::default(),
            is_universal: false,
            linkage: None,
            limits: 0,
            format,
            end,
        };
        let mut words = split_words(stem);
        parsed.has_program = remove_program(&mut words, &program);
        parsed.read(&words);
        match format {
            FileFormat::WindowsProgram => parsed.systems.push(None),
            FileFormat::AppImage if parsed.systems.is_empty() => parsed.systems.push(Some(Os::Linux)),
            _ => {}
        }
        Some(parsed)
    }

    /// Whether the name consists of the program's and those of a version and a platform.
    pub(crate) fn is_plain(&self) -> bool {
        self.has_program && self.other_words.is_empty()
    }

    /// Stores what the words of a name say, from which the program's name was removed.
    fn read(&mut self, words: &[NameWord<'_>]) {
        let mut bits = None;
        let mut rest = words;
        while let Some(&NameWord { text, .. }) = rest.first() {
            let (length, meanings) = longest_meaning(rest);
            let mut is_other_word = meanings.is_empty() && !file_format::is_version(text);
            self.has_version |= meanings.is_empty() && !is_other_word;
            for meaning in meanings {
                match meaning {
                    Word::Os(os) => self.systems.push(os),
                    Word::Distribution(libc) => {
                        self.systems.push(Some(Os::Linux));
                        self.linkage = Some(Linkage::Dynamic(libc));
                        // Programs for Alpine run on each system with musl.
                        self.limits += usize::from(libc == Libc::Gnu);
                    }
                    Word::Arch(arch) => {
                        let word = join(&rest[..length]);
                        self.has_short_arch |= word.ends_with("x86") || word.ends_with("arm");
                        if arch == Some(Arch::Arm) {
                            self.arm.read(&word);
                        }
                        self.archs.push(arch);
                    }
                    Word::Level(arch) => {
                        self.archs.push(Some(arch));
                        self.limits += 1;
                    }
                    // darwin_all is for all architectures, and ripgrep_all is a name.
                    Word::All if self.systems.is_empty() => is_other_word = true,
                    Word::All | Word::Universal => self.is_universal = true,
                    Word::Bits(arch) => bits = Some(arch),
                    // An x-linux-gnu-static is static.
                    Word::Libc(libc) => self.linkage = self.linkage.or(Some(Linkage::Dynamic(libc))),
                    Word::Static => self.linkage = Some(Linkage::Static),
                    Word::Filler => {}
                    Word::Side => self.side_words.push(text.to_owned()),
                }
            }
            if is_other_word {
                self.other_words.push(text.to_owned());
            }
            rest = &rest[length..];
        }
        if self.archs.is_empty() && !self.is_universal {
            self.archs.extend(bits.map(Some));
        }
        // An x-x86_64-musl is for Linux, the only system with these C libraries.
        if self.systems.is_empty() && matches!(self.linkage, Some(Linkage::Dynamic(_))) {
            self.systems.push(Some(Os::Linux));
        }
    }
}

/// A word of a name.
#[derive(Debug, Clone, Copy)]
struct NameWord<'a> {
    text: &'a str,
    /// Whether it is a number after the dot of a version, such as the 32 of 1.32.
    is_in_version: bool,
}

/// Splits a name at everything but letters and digits.
fn split_words(name: &str) -> Vec<NameWord<'_>> {
    let mut words: Vec<NameWord<'_>> = Vec::new();
    let mut is_after_dot = false;
    for part in name.split_inclusive(|c: char| !c.is_alphanumeric()) {
        let text = part.trim_end_matches(|c: char| !c.is_alphanumeric());
        if !text.is_empty() {
            let is_number = text.starts_with(|c: char| c.is_ascii_digit());
            let follows_number = words.last().is_some_and(|word| file_format::is_version(word.text));
            words.push(NameWord { text, is_in_version: is_after_dot && is_number && follows_number });
        }
        is_after_dot = part.ends_with('.');
    }
    words
}

/// Removes the name of the program, whose parts may be separated by other characters. Returns whether it is there.
fn remove_program(words: &mut Vec<NameWord<'_>>, program: &str) -> bool {
    let program: String = program.chars().filter(|c| c.is_alphanumeric()).collect();
    for start in 0..words.len() {
        let mut rest = program.as_str();
        for end in start..words.len() {
            let Some(shorter) = rest.strip_prefix(words[end].text) else { break };
            rest = shorter;
            if rest.is_empty() {
                words.drain(start..=end);
                return true;
            }
        }
    }
    false
}

fn join(words: &[NameWord<'_>]) -> String {
    words.iter().map(|word| word.text).collect()
}

/// Returns what the first words say, and how many of them say it together: `x86_64`, `arm-v7`, `64-bit`.
fn longest_meaning(words: &[NameWord<'_>]) -> (usize, Vec<Word>) {
    for length in [3, 2] {
        // In linux-amd64-v3.1, v3 belongs to the version.
        let is_before_version = words.get(length).is_some_and(|next| next.is_in_version);
        let Some(joined) = words.get(..length).filter(|_| !is_before_version) else { continue };
        if let Some(word) = word::lookup(&join(joined)) {
            return (length, vec![word]);
        }
    }
    let NameWord { text, is_in_version } = words[0];
    (1, if is_in_version { Vec::new() } else { word::meaning(text) })
}
