//! The lanes of the chart: one for each provider, with as many rows as needed to keep its bars from overlapping.

use jiff::{SignedDuration, Timestamp};

use crate::report::timings::hook_timing::Bar;
use crate::report::timings::timed_command::Timings;

/// The minimum widths that a lane may reserve for each bar, as shares of the chart: enough for its name, enough to
/// point at it, none. A lane uses the first one that does not make it too high.
const MIN_WIDTHS: [f64; 3] = [0.07, 0.006, 0.0];

/// The number of rows up to which a lane may grow to reserve minimum widths.
const MAX_ROWS: usize = 6;

/// The height of a row and of a bar in it, in CSS pixels; `page.css` has the same numbers.
const ROW: usize = 26;
pub(super) const BAR: usize = 20;
/// The space above and below the rows of a lane.
const PADDING: usize = 9;

/// The bars of a provider.
#[derive(Debug, PartialEq)]
pub(super) struct Lane<'a> {
    /// The provider.
    pub(super) provider: &'a str,
    /// The number of its rows.
    pub(super) rows: usize,
    /// Its bars, in the order in which they started.
    pub(super) placements: Vec<Placement>,
}

/// The place of a bar in its lane.
#[derive(Debug, PartialEq)]
pub(super) struct Placement {
    /// The index of the bar.
    pub(super) index: usize,
    /// The row.
    pub(super) row: usize,
    /// When the previous bar in the row ended, or when the command started.
    pub(super) free_from: Timestamp,
    /// When the next bar in the row starts, or when the command ends: how far the name of the bar may reach.
    pub(super) free_until: Timestamp,
}

impl Lane<'_> {
    /// Returns the height in CSS pixels.
    pub(super) fn height(&self) -> usize {
        self.rows * ROW - (ROW - BAR) + 2 * PADDING
    }
}

impl Placement {
    /// Returns the distance from the top of the lane in CSS pixels.
    pub(super) fn top(&self) -> usize {
        PADDING + self.row * ROW
    }
}

/// Returns the lanes in the order of their first bars.
pub(super) fn lanes(timings: &Timings) -> Vec<Lane<'_>> {
    let providers = timings.providers().into_iter();
    providers.map(|(provider, bars)| lane(provider, &bars, timings)).collect()
}

fn lane<'a>(provider: &'a str, bars: &[usize], timings: &Timings) -> Lane<'a> {
    let rows_of = |min_width: f64| {
        let min_time = SignedDuration::try_from_secs_f64(timings.duration().as_secs_f64() * min_width);
        rows(bars, &timings.bars, min_time.unwrap_or_default())
    };
    let fewest = rows_of(0.0);
    let height = |rows: &[usize]| rows.iter().max().map_or(0, |row| row + 1);
    let limit = height(&fewest).max(MAX_ROWS);
    let rows = MIN_WIDTHS.into_iter().map(rows_of).find(|rows| height(rows) <= limit).unwrap_or(fewest);
    let mut last_of_row: Vec<Option<usize>> = vec![None; height(&rows)];
    let mut placements: Vec<Placement> = Vec::with_capacity(bars.len());
    for (&index, &row) in bars.iter().zip(&rows) {
        let mut free_from = timings.command.started;
        if let Some(last) = last_of_row[row].replace(placements.len()) {
            placements[last].free_until = timings.bars[index].hook.started;
            free_from = timings.bars[placements[last].index].hook.verified_at();
        }
        placements.push(Placement { index, row, free_from, free_until: timings.command.ended });
    }
    Lane { provider, rows: height(&rows), placements }
}

/// Returns the row of each bar: the first one that is free when the bar starts, if each bar takes at least `min_time`.
fn rows(bars: &[usize], all: &[Bar], min_time: SignedDuration) -> Vec<usize> {
    let mut taken_until: Vec<Timestamp> = Vec::new();
    let mut rows = Vec::with_capacity(bars.len());
    for &index in bars {
        let hook = &all[index].hook;
        let until = hook.verified_at().max(hook.started.saturating_add(min_time).unwrap_or(Timestamp::MAX));
        let free = taken_until.iter().position(|&until| until <= hook.started);
        let row = free.unwrap_or_else(|| {
            taken_until.push(until);
            taken_until.len() - 1
        });
        taken_until[row] = until;
        rows.push(row);
    }
    rows
}
