//! Whether a daemon that runs works, which a command or a connection checks again and again.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::readiness::ReadinessCheck;
use crate::model::text_enum::text_enum;

/// A health check. Its rules are those of docker compose.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HealthCheck {
    /// What is checked.
    pub probe: ReadinessCheck,
    /// The pause before each check.
    pub interval: Duration,
    /// How long one check may take.
    pub timeout: Duration,
    /// How many failures in a row make the daemon unhealthy.
    pub retries: u32,
    /// The time after the start in which failures do not count, unless a check has succeeded.
    pub start_period: Duration,
    /// The pause before each check in this time.
    pub start_interval: Duration,
    /// Whether the daemon is restarted when it is unhealthy.
    pub restarts: bool,
}

text_enum! {
    /// The health of a daemon.
    pub enum Health {
        /// It is not checked, or does not run.
        None = "none",
        /// No check has succeeded yet, and too few have failed.
        Starting = "starting",
        /// The last checks have not failed too often.
        Healthy = "healthy",
        /// The last checks have failed.
        Unhealthy = "unhealthy",
    }
}

/// The health of an execution while it is checked.
#[derive(Debug)]
pub(crate) struct HealthHistory {
    /// The health.
    pub health: Health,
    /// How many checks in a row have failed, as far as they count.
    failures: u32,
}

impl HealthHistory {
    /// Returns a history that begins with this health.
    pub(crate) fn new(health: Health) -> Self {
        Self { health, failures: 0 }
    }

    /// Returns the pause before the next check of an execution with this uptime.
    pub(crate) fn pause(&self, check: &HealthCheck, uptime: Duration) -> Duration {
        if self.is_starting(check, uptime) { check.start_interval } else { check.interval }
    }

    /// Adds the result of a check that ended at this uptime. Returns whether the health has changed.
    pub(crate) fn add(&mut self, check: &HealthCheck, is_success: bool, uptime: Duration) -> bool {
        let before = self.health;
        if is_success {
            *self = Self::new(Health::Healthy);
        } else if !self.is_starting(check, uptime) {
            self.failures = self.failures.saturating_add(1);
            if self.failures >= check.retries {
                self.health = Health::Unhealthy;
            }
        }
        self.health != before
    }

    fn is_starting(&self, check: &HealthCheck, uptime: Duration) -> bool {
        self.health == Health::Starting && uptime < check.start_period
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_count_after_the_start_period_or_a_success() {
        let second = Duration::from_secs;
        let check = HealthCheck {
            probe: ReadinessCheck::StdoutLine,
            interval: second(30),
            timeout: second(30),
            retries: 2,
            start_period: second(10),
            start_interval: second(5),
            restarts: false,
        };
        for (results, expected) in [
            (vec![(5, false), (9, false)], Health::Starting),
            (vec![(5, false), (10, false)], Health::Starting),
            (vec![(5, false), (10, false), (40, false)], Health::Unhealthy),
            (vec![(5, true), (6, false)], Health::Healthy),
            (vec![(5, true), (6, false), (7, false)], Health::Unhealthy),
            (vec![(5, true), (6, false), (7, true), (8, false)], Health::Healthy),
            (vec![(40, false), (70, false), (100, true)], Health::Healthy),
        ] {
            let mut history = HealthHistory::new(Health::Starting);
            for (uptime, is_success) in &results {
                let before = history.health;
                let has_changed = history.add(&check, *is_success, second(*uptime));
                assert_eq!(has_changed, history.health != before);
            }
            assert_eq!(history.health, expected, "{results:?}");
        }
        let mut history = HealthHistory::new(Health::Starting);
        assert_eq!(history.pause(&check, second(9)), second(5));
        assert_eq!(history.pause(&check, second(10)), second(30));
        history.add(&check, true, second(1));
        assert_eq!(history.pause(&check, second(1)), second(30));
    }
}
