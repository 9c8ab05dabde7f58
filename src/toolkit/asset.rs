//! The choice of a release asset by its name.

use crate::sorting::sort_by;
use crate::toolkit::asset::arch::Arch;
use crate::toolkit::asset::fit::Fit;
use crate::toolkit::asset::os::Os;
use crate::toolkit::asset::parsed_name::ParsedName;
use crate::toolkit::asset::platform::Platform;

mod arch;
mod arm;
mod file_format;
mod fit;
mod os;
mod parsed_name;
pub(crate) mod platform;
mod word;

#[cfg(test)]
mod tests;

/// Returns the assets of a release that may contain a program for a platform, as indexes of `names`, the best one first.
///
/// A name does not say everything that a program needs: if the best one does not run, the next one may.
pub fn rank(names: &[impl AsRef<str>], program: &str, platform: Platform) -> Vec<usize> {
    let parsed = names.iter().enumerate();
    let mut release: Vec<_> =
        parsed.filter_map(|(place, name)| ParsedName::parse(name.as_ref(), program, place)).collect();
    remove_side_files(&mut release);
    read_short_archs(&mut release);
    if fit::is_for_other_archs(&release, platform) {
        return Vec::new();
    }
    let has_program = release.iter().any(|asset| asset.has_program);
    let candidates = release.iter().filter(|asset| asset.has_program || !has_program);
    let mut fitting: Vec<_> = candidates
        .filter_map(|asset| {
            let fit = Fit::of(asset, &release, platform)?;
            let words = asset.other_words.len();
            let name = names[asset.place].as_ref();
            let end = (asset.format, asset.end);
            Some((words, fit.is_translated(), asset.limits, fit, end, name.len(), name, asset.place))
        })
        .collect();
    sort_by(&mut fitting, Ord::cmp);
    fitting.into_iter().map(|(.., place)| place).collect()
}

/// Returns whether the name of an asset of the release `tag` is that of a program, maybe with other words that the tag does not
/// have, or that of its repository with a version and a platform alone.
pub(crate) fn is_named_for(name: &str, program: &str, repository: &str, tag: &str) -> bool {
    let parse = |of: &str| ParsedName::parse(name, of, 0).filter(|parsed| parsed.side_words.is_empty());
    let is_of_tag = |parsed: &ParsedName| parsed.other_words.iter().any(|word| tag.contains(word.as_str()));
    parse(program).is_some_and(|parsed| parsed.has_program && !is_of_tag(&parsed))
        || parse(repository).is_some_and(|parsed| parsed.is_plain())
}

/// Removes the assets with a word that says that they contain no program. A word that all assets share is a part of the
/// project's name.
fn remove_side_files(release: &mut Vec<ParsedName>) {
    let mut shared: Vec<String> = release.first().map_or_else(Vec::new, |asset| asset.side_words.clone());
    for asset in &*release {
        shared.retain(|word| asset.side_words.contains(word));
    }
    release.retain(|asset| asset.side_words.iter().all(|word| shared.contains(word)));
}

/// Reads `x86` as `x86_64` and `arm` as `aarch64` if the release uses them for macOS, which has no other programs, and has no
/// longer words.
fn read_short_archs(release: &mut [ParsedName]) {
    for (short, long) in [(Arch::X86, Arch::X86_64), (Arch::Arm, Arch::Aarch64)] {
        let has = |asset: &ParsedName, arch| asset.archs.contains(&Some(arch));
        let is_for_darwin = |asset: &ParsedName| {
            asset.systems.contains(&Some(Os::Darwin)) && asset.has_short_arch && has(asset, short)
        };
        if release.iter().any(is_for_darwin) && !release.iter().any(|asset| has(asset, long)) {
            let all = release.iter_mut().filter(|asset| asset.has_short_arch);
            for arch in all.flat_map(|asset| &mut asset.archs) {
                if *arch == Some(short) {
                    *arch = Some(long);
                }
            }
        }
    }
}
