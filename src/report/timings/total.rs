//! What a provider took of the time of a run.

use jiff::SignedDuration;
use serde_json::{Value, json};

use super::{Timed, millis};
use crate::model::attempt::Outcome;

/// The sum over some bars.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Total {
    /// The provider.
    pub provider: String,
    /// How many hooks were started.
    pub hooks: usize,
    /// How many binaries they were asked for.
    pub attempts: usize,
    /// How many of these they installed.
    pub installed: usize,
    /// How long they waited.
    pub wait: SignedDuration,
    /// How long they ran.
    pub run: SignedDuration,
    /// How long they were checked.
    pub probe: SignedDuration,
    /// CPU time in milliseconds, as far as it was measured.
    pub cpu_ms: u64,
}

impl Total {
    fn empty(provider: &str) -> Self {
        let zero = SignedDuration::ZERO;
        Self {
            provider: provider.to_owned(),
            hooks: 0,
            attempts: 0,
            installed: 0,
            wait: zero,
            run: zero,
            probe: zero,
            cpu_ms: 0,
        }
    }

    fn add(&mut self, timed: &Timed) {
        let bar = &timed.bar;
        self.hooks += 1;
        self.attempts += bar.verdicts.len();
        self.installed += bar.verdicts.iter().filter(|it| it.outcome == Outcome::Installed).count();
        self.wait += timed.wait();
        self.run += bar.run();
        self.probe += bar.probe();
        self.cpu_ms += bar.cpu_ms.unwrap_or_default();
    }

    /// The time in which something was done.
    pub fn busy(&self) -> SignedDuration {
        self.run + self.probe
    }

    /// Its part of all that was done, from 0 to 1.
    pub fn share(&self, all: &Self) -> f64 {
        if all.busy().is_zero() { 0.0 } else { self.busy().as_secs_f64() / all.busy().as_secs_f64() }
    }

    pub(super) fn to_record(&self, all: &Self) -> Value {
        json!({
            "provider": self.provider,
            "hooks": self.hooks,
            "attempts": self.attempts,
            "installed": self.installed,
            "wait_ms": millis(self.wait),
            "run_ms": millis(self.run),
            "probe_ms": millis(self.probe),
            "cpu_ms": self.cpu_ms,
            "share": (self.share(all) * 1000.0).round() / 1000.0,
        })
    }
}

/// The providers in the order of their first bar.
pub(super) fn by_provider(bars: &[Timed]) -> Vec<Total> {
    let mut totals: Vec<Total> = Vec::new();
    for timed in bars {
        let provider = &timed.bar.provider;
        let at = totals.iter().position(|it| it.provider == *provider).unwrap_or_else(|| {
            totals.push(Total::empty(provider));
            totals.len() - 1
        });
        totals[at].add(timed);
    }
    totals
}

/// All of them.
pub(super) fn all(bars: &[Timed]) -> Total {
    let mut all = Total::empty("");
    for timed in bars {
        all.add(timed);
    }
    all
}
