//! Finds the known word that a misspelled one looks like.

/// Returns the known word that `word` looks like, ignoring case and `-`, or `None` if there is none.
pub(crate) fn closest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let normalized = |text: &str| text.to_lowercase().replace(['-', ' '], "_");
    let word = normalized(word);
    let distance = |known: &str| strsim::osa_distance(&word, &normalized(known));
    let closest = known.into_iter().min_by_key(|known| distance(known))?;
    (distance(closest) <= if closest.len() < 6 { 1 } else { 2 }).then_some(closest)
}
