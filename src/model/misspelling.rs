//! Finds the known word that a misspelled one looks like.

/// The number of edits by which a word may differ from a known one.
const MAX_DISTANCE: usize = 2;

/// Returns the known word that `word` looks like, ignoring case and `-`, or `None` if there is none.
pub(crate) fn closest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let normalized = |text: &str| text.to_lowercase().replace(['-', ' '], "_");
    let word = normalized(word);
    let distance = |known: &str| strsim::osa_distance(&word, &normalized(known));
    // Most words are so much longer or shorter that their distance need not be computed.
    let length = word.chars().count();
    let similar = known.into_iter().filter(|known| known.chars().count().abs_diff(length) <= MAX_DISTANCE);
    let closest = similar.min_by_key(|known| distance(known))?;
    (distance(closest) <= if closest.len() < 6 { 1 } else { MAX_DISTANCE }).then_some(closest)
}
