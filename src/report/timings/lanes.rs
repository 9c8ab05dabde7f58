//! A lane for each provider, with as many rows as it takes for no two bars to cover each other.

use jiff::{SignedDuration, Timestamp};

use super::{Timed, Timings};

/// The widths that a bar may claim at least, as parts of the whole: enough for its name, enough to be pointed at, nothing.
/// Only the last keeps a lane of hundreds of short bars from growing as high as they are many.
const CLAIMS: [f64; 3] = [0.07, 0.006, 0.0];

/// A lane does not grow beyond so many rows for the sake of claims.
const ROWS: usize = 6;

/// The bars of a provider.
#[derive(Debug, PartialEq)]
pub(super) struct Lane<'a> {
    /// The provider.
    pub(super) provider: &'a str,
    /// How many rows it has.
    pub(super) rows: usize,
    /// Its bars, in the order in which they were started.
    pub(super) places: Vec<Place>,
}

/// Where a bar stands.
#[derive(Debug, PartialEq)]
pub(super) struct Place {
    /// Which bar.
    pub(super) index: usize,
    /// In which row of its lane.
    pub(super) row: usize,
    /// When the bar before it in the row was over, or the run began.
    pub(super) free_from: Timestamp,
    /// When the next bar in the row starts, or the run ends: as far as its name may reach.
    pub(super) free_until: Timestamp,
}

/// The lanes in the order in which their providers were first asked.
pub(super) fn lanes(timings: &Timings) -> Vec<Lane<'_>> {
    let mut lanes: Vec<(&str, Vec<usize>)> = Vec::new();
    for (index, timed) in timings.bars.iter().enumerate() {
        let provider = timed.bar.provider.as_str();
        match lanes.iter_mut().find(|(known, _)| *known == provider) {
            Some((_, bars)) => bars.push(index),
            None => lanes.push((provider, vec![index])),
        }
    }
    lanes.into_iter().map(|(provider, bars)| lane(provider, &bars, timings)).collect()
}

fn lane<'a>(provider: &'a str, bars: &[usize], timings: &Timings) -> Lane<'a> {
    let rows_of = |claim: f64| {
        let claim = SignedDuration::try_from_secs_f64(timings.span().as_secs_f64() * claim);
        rows(bars, &timings.bars, claim.unwrap_or_default())
    };
    let fewest = rows_of(0.0);
    let height = |rows: &[usize]| rows.iter().max().map_or(0, |row| row + 1);
    let limit = height(&fewest).max(ROWS);
    let rows = CLAIMS.into_iter().map(rows_of).find(|rows| height(rows) <= limit).unwrap_or(fewest);
    let mut free_from = vec![timings.run.began; height(&rows)];
    let mut places: Vec<Place> = Vec::with_capacity(bars.len());
    for (&index, &row) in bars.iter().zip(&rows) {
        places.push(Place { index, row, free_from: free_from[row], free_until: timings.run.ended });
        free_from[row] = timings.bars[index].bar.judged();
    }
    let mut free_until = vec![timings.run.ended; height(&rows)];
    for place in places.iter_mut().rev() {
        place.free_until = free_until[place.row];
        free_until[place.row] = timings.bars[place.index].bar.started;
    }
    Lane { provider, rows: height(&rows), places }
}

/// The row of each bar: the first one that is free when it starts, where each bar takes at least `claim`.
fn rows(bars: &[usize], all: &[Timed], claim: SignedDuration) -> Vec<usize> {
    let mut taken_until: Vec<Timestamp> = Vec::new();
    let mut rows = Vec::with_capacity(bars.len());
    for &index in bars {
        let bar = &all[index].bar;
        let until = bar.judged().max(bar.started.saturating_add(claim).unwrap_or(Timestamp::MAX));
        let free = taken_until.iter().position(|&it| it <= bar.started);
        let row = free.unwrap_or_else(|| {
            taken_until.push(until);
            taken_until.len() - 1
        });
        taken_until[row] = until;
        rows.push(row);
    }
    rows
}
