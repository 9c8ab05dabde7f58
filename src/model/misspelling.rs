//! Finds the known word that a misspelled one looks like.

/// The number of edits by which a long word may differ from a known one.
const MAX_DISTANCE: usize = 2;

/// The length from which a word with another letter is taken for the same word.
const LONG: usize = 5;

/// Letters that are next to each other on a keyboard.
const ROWS: [&str; 3] = ["qwertyuiop", "asdfghjkl", "zxcvbnm"];

/// Returns the known word that `word` looks like, ignoring case and `-`, or `None` if there is none.
pub(crate) fn closest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let normalized = |text: &str| text.to_lowercase().replace(['-', ' '], "_");
    let word = normalized(word);
    let distance = |known: &str| strsim::osa_distance(&word, &normalized(known));
    // Most words are so much longer or shorter that their distance need not be computed.
    let length = word.chars().count();
    let similar = known.into_iter().filter(|known| known.chars().count().abs_diff(length) <= MAX_DISTANCE);
    let closest = similar.min_by_key(|known| distance(known))?;
    let max_distance = MAX_DISTANCE.min(closest.chars().count() / 3);
    (distance(closest) <= max_distance && !is_another_word(&word, &normalized(closest))).then_some(closest)
}

/// Returns whether a short word has another letter at one place, and not by a slip of the finger to a letter that is next to
/// the right one on the keyboard or in the word: `rpm` is not `npm`, but `npn` is, and `htpp` is `http`.
fn is_another_word(word: &str, known: &str) -> bool {
    let are_neighbors = |(typed, meant): (char, char)| {
        let pairs = [String::from_iter([typed, meant]), String::from_iter([meant, typed])];
        ROWS.iter().chain([&known]).any(|letters| pairs.iter().any(|pair| letters.contains(pair)))
    };
    let is_replaced = strsim::hamming(word, known) == Ok(1) && word.chars().count() < LONG;
    let mut differing = word.chars().zip(known.chars()).filter(|(typed, meant)| typed != meant);
    is_replaced && !differing.all(are_neighbors)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: [&str; 8] = ["npm", "pip", "node", "apt", "go", "cargo", "min_version", "binproviders"];

    #[test]
    fn a_slip_of_the_finger_leads_to_the_known_word() {
        for (word, expected) in [
            ("nmp", "npm"),
            ("npn", "npm"),
            ("pipx", "pip"),
            ("pop", "pip"),
            ("Node", "node"),
            ("noed", "node"),
            ("nodee", "node"),
            ("ndde", "node"),
            ("cagro", "cargo"),
            ("catgo", "cargo"),
            ("min-versoin", "min_version"),
            ("binprovider", "binproviders"),
        ] {
            assert_eq!(closest(word, KNOWN), Some(expected), "{word}");
        }
    }

    #[test]
    fn another_word_leads_to_no_known_one() {
        for word in ["", "nope", "code", "rpm", "zip", "opt", "got", "g", "pnpmx", "margin", "max_version_of"]
        {
            assert_eq!(closest(word, KNOWN), None, "{word}");
        }
    }
}
