//! The times of a provider's hooks together.

use jiff::SignedDuration;

use crate::model::Outcome;
use crate::report::timings::hook_timing::Bar;

/// The times of the hooks of a provider, or of all providers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ProviderTotal {
    /// The provider; empty for all providers.
    pub provider: String,
    /// How many hooks were started.
    pub hooks: usize,
    /// How many attempts they made, one for each requested binary.
    pub attempts: usize,
    /// How many of the attempts installed the binary.
    pub installed: usize,
    /// How long the hooks waited.
    pub wait: SignedDuration,
    /// How long the hooks ran.
    pub run: SignedDuration,
    /// How long it took to verify their records.
    pub verify: SignedDuration,
    /// CPU time in milliseconds, as far as it was measured.
    pub cpu_ms: u64,
}

impl ProviderTotal {
    /// Returns the total of the bars of a provider.
    pub(super) fn of<'a>(provider: &str, bars: impl IntoIterator<Item = &'a Bar>) -> Self {
        let mut total = Self { provider: provider.to_owned(), ..Self::default() };
        for bar in bars {
            let hook = &bar.hook;
            let installed = hook.attempts.iter().filter(|attempt| attempt.outcome == Outcome::Installed);
            total.hooks += 1;
            total.attempts += hook.attempts.len();
            total.installed += installed.count();
            total.wait += bar.wait_time();
            total.run += hook.run_time();
            total.verify += hook.verify_time();
            total.cpu_ms += hook.cpu_ms.unwrap_or_default();
        }
        total
    }

    /// Returns how long the hooks ran and their records were verified.
    pub fn busy_time(&self) -> SignedDuration {
        self.run + self.verify
    }

    /// Returns the share of the busy time of all providers, from 0 to 1.
    pub fn share(&self, all: &Self) -> f64 {
        let all = all.busy_time();
        if all.is_zero() { 0.0 } else { self.busy_time().as_secs_f64() / all.as_secs_f64() }
    }
}
