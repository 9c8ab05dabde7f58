//! What is stored about the restarts of a daemon, so that the next supervisor continues as if it had observed them.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// What the delay before the next restart and the restart limit depend on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestartHistory {
    /// How often the delay was doubled.
    pub doublings: u32,
    /// The times of the last restarts, oldest first: as many as the limit allows.
    pub times: Vec<Timestamp>,
}

impl RestartHistory {
    /// Adds the restarts between two counts, which happened `now`. A lower count means that the daemon was started by hand.
    /// The last `limit` times are kept.
    pub fn count(&mut self, before: u32, after: u32, limit: u32, now: Timestamp) {
        if after < before {
            self.times.clear();
        }
        let added = after.saturating_sub(before).min(limit);
        self.times.extend((0..added).map(|_| now));
        let excess = self.times.len().saturating_sub(limit as usize);
        self.times.drain(..excess);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_restarts_that_can_reach_the_limit_are_kept() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let mut history = RestartHistory::default();
        for (before, after, expected) in
            [(0, 1, vec![1]), (1, 2, vec![1, 2]), (2, 3, vec![2, 3]), (3, 0, vec![])]
        {
            history.count(before, after, 2, at(i64::from(after)));
            assert_eq!(history.times, expected.into_iter().map(at).collect::<Vec<_>>());
        }
        history.count(0, 1, 0, at(1));
        assert!(history.times.is_empty(), "without a limit, none is needed");
    }
}
