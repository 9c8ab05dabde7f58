//! The last line of a command: how much of its work is done.

use jiff::SignedDuration;

use crate::report::units;

/// Returns a line such as `4 of 5 installed, 1 failed in 18.2 s`. `rest` has the words for what is not done, each with its
/// count.
pub(crate) fn line(
    done: usize,
    total: usize,
    what: &str,
    rest: &[(usize, &str)],
    elapsed: SignedDuration,
) -> String {
    let rest = rest.iter().filter(|(count, _)| *count > 0).map(|(count, word)| format!(", {count} {word}"));
    format!("{done} of {total} {what}{} in {}", rest.collect::<String>(), units::duration(elapsed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_happened_is_counted() {
        let elapsed = SignedDuration::from_millis(18_200);
        assert_eq!(
            line(4, 5, "installed", &[(1, "failed")], elapsed),
            "4 of 5 installed, 1 failed in 18.2 s"
        );
        assert_eq!(line(5, 5, "installed", &[(0, "failed")], elapsed), "5 of 5 installed in 18.2 s");
        let rest = [(1, "failed"), (2, "skipped")];
        assert_eq!(
            line(0, 3, "hooks succeeded", &rest, elapsed),
            "0 of 3 hooks succeeded, 1 failed, 2 skipped in 18.2 s"
        );
    }
}
