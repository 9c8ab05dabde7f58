//! The chart of the timings of a command.

use askama::Template;
use jiff::Timestamp;

use crate::report::timings::axis;
use crate::report::timings::lanes::{self, Lane};
use crate::report::timings::provider_total::ProviderTotal;
use crate::report::timings::timed_command::Timings;
use crate::report::units;

/// The hooks of a command: a chart, the critical path, and tables. In the chart, time goes from left to right; there is a lane
/// for each provider, and a bar for each hook.
#[derive(Template)]
#[template(path = "timings/chart.html", config = "src/report/askama.toml")]
pub(crate) struct Chart<'a> {
    pub(crate) timings: &'a Timings,
    lanes: Vec<Lane<'a>>,
    pub(super) total: ProviderTotal,
    /// What the ids of its elements begin with, which no other chart on the page has.
    id: String,
}

impl<'a> Chart<'a> {
    /// Lays out the hooks of a command.
    pub(crate) fn new(timings: &'a Timings, id: String) -> Self {
        Self { timings, lanes: lanes::lanes(timings), total: timings.total(), id }
    }

    /// Whether any bar has this outcome.
    fn has_outcome(&self, word: &str) -> bool {
        self.timings.bars.iter().any(|bar| bar.hook.outcome() == word)
    }

    /// Returns the share of the chart between two times.
    fn share(&self, from: Timestamp, to: Timestamp) -> f64 {
        let span = self.timings.duration().as_secs_f64();
        if span > 0.0 { to.duration_since(from).as_secs_f64() / span } else { 0.0 }
    }

    fn width(&self, from: Timestamp, to: Timestamp) -> String {
        format!("{:.3}%", self.share(from, to) * 100.0)
    }

    fn left(&self, at: Timestamp) -> String {
        self.width(self.timings.command.started, at)
    }

    /// Returns the time since the start of the command.
    fn offset(&self, at: Timestamp) -> String {
        units::duration(at.duration_since(self.timings.command.started))
    }

    /// Returns the distance from the top of the chart to the middle of each bar, in CSS pixels.
    fn middles(&self) -> Vec<usize> {
        let mut middles = vec![0; self.timings.bars.len()];
        let mut top = 0;
        for lane in &self.lanes {
            for placement in &lane.placements {
                middles[placement.index] = top + placement.top() + lanes::BAR / 2;
            }
            top += lane.height();
        }
        middles
    }
}
