//! The chart: time from left to right, a lane for each provider, a bar for each hook.

use jiff::Timestamp;

use crate::report::timings::axis;
use crate::report::timings::hook_timing::{Bar, HookTiming};
use crate::report::timings::lanes::{self, Lane, Placement};
use crate::report::timings::timed_command::Timings;
use crate::report::units;

/// The height of a row and of a bar in it, in CSS pixels; `page.css` has the same numbers.
const ROW: usize = 26;
const BAR: usize = 20;
/// The space above and below the rows of a lane.
const PADDING: usize = 9;

/// The share of the chart that a name needs to show more than an ellipsis.
const NAME: f64 = 0.04;

/// The outcomes in the order of the legend.
const OUTCOMES: [&str; 8] =
    ["installed", "declined", "skipped", "rejected", "failed", "timeout", "mixed", "unknown"];

/// The chart with its legend.
pub(super) struct Chart<'a> {
    /// The outcomes in the legend.
    pub(super) outcomes: Vec<&'static str>,
    /// The ticks of the axis: where each is, and its label.
    pub(super) ticks: Vec<(String, String)>,
    /// The lanes.
    pub(super) lanes: Vec<ChartLane<'a>>,
    /// The lines that connect the bars on the critical path.
    pub(super) links: Vec<Link>,
}

/// A lane of a provider.
pub(super) struct ChartLane<'a> {
    pub(super) provider: &'a str,
    pub(super) height: usize,
    pub(super) bars: Vec<ChartBar<'a>>,
}

/// A bar in the chart.
pub(super) struct ChartBar<'a> {
    /// The index among all bars.
    pub(super) index: usize,
    /// The hook.
    pub(super) hook: &'a HookTiming,
    /// Whether the bar is on the critical path.
    pub(super) is_critical: bool,
    /// Whether the bar is in the right half of the chart.
    pub(super) is_late: bool,
    /// The place of the bar.
    pub(super) left: String,
    pub(super) width: String,
    pub(super) top: usize,
    /// The shares of the bar for the time that the hook ran and was verified.
    pub(super) run: String,
    pub(super) verify: String,
    /// The lines for the wait, each with its class, left end and width.
    pub(super) waits: [(&'static str, String, String); 2],
    /// The room for the name, or `None` if there is not enough.
    pub(super) name_width: Option<String>,
    /// The facts that are shown when the user points at the bar.
    pub(super) facts: Vec<(&'static str, String)>,
    /// The ends of the logs that are not empty.
    pub(super) logs: Vec<(&'static str, String)>,
}

/// A line from the end of a bar to the beginning of another one.
pub(super) struct Link {
    pub(super) x1: String,
    pub(super) y1: usize,
    pub(super) x2: String,
    pub(super) y2: usize,
}

impl<'a> Chart<'a> {
    /// Places the bars of a command.
    pub(super) fn new(timings: &'a Timings) -> Self {
        let is_seen = |word: &&str| timings.bars.iter().any(|bar| bar.hook.outcome() == *word);
        let ticks = axis::ticks(timings.duration()).into_iter();
        let lanes = lanes::lanes(timings);
        Self {
            outcomes: OUTCOMES.into_iter().filter(is_seen).collect(),
            ticks: ticks.map(|(at, label)| (percent(timings, timings.command.started + at), label)).collect(),
            links: links(timings, &lanes),
            lanes: lanes.iter().map(|lane| chart_lane(timings, lane)).collect(),
        }
    }
}

fn chart_lane<'a>(timings: &'a Timings, lane: &Lane<'a>) -> ChartLane<'a> {
    let bars = lane.placements.iter().map(|placement| chart_bar(timings, placement));
    ChartLane { provider: lane.provider, height: height(lane), bars: bars.collect() }
}

fn chart_bar<'a>(timings: &'a Timings, placement: &Placement) -> ChartBar<'a> {
    let Placement { index, row, free_from, free_until } = *placement;
    let bar = &timings.bars[index];
    let hook = &bar.hook;
    let busy = hook.busy_time().as_secs_f64();
    let run = if busy > 0.0 { hook.run_time().as_secs_f64() / busy * 100.0 } else { 100.0 };
    let wait = |class, since| (class, percent(timings, since), width(timings, since, hook.started));
    let has_room = part(timings, hook.started, free_until) >= NAME;
    ChartBar {
        index,
        hook,
        is_critical: timings.critical_path.contains(&index),
        is_late: part(timings, timings.command.started, hook.started) >= 0.5,
        left: percent(timings, hook.started),
        width: width(timings, hook.started, hook.verified_at()),
        top: PADDING + row * ROW,
        run: format!("{run:.2}%"),
        verify: format!("{:.2}%", 100.0 - run),
        // The first line is the whole wait, shown with its bar; the second one is the part that no other bar of the row
        // hides.
        waits: [wait("wait", bar.ready_at), wait("wait gap", bar.ready_at.max(free_from))],
        name_width: has_room.then(|| width(timings, hook.started, free_until)),
        facts: facts(timings, bar),
        logs: logs(hook),
    }
}

fn facts(timings: &Timings, bar: &Bar) -> Vec<(&'static str, String)> {
    let hook = &bar.hook;
    let offset = |at: Timestamp| units::duration(at.duration_since(timings.command.started));
    let facts = [
        ("waited", units::duration(bar.wait_time())),
        ("ran", units::duration(hook.run_time())),
        ("verified", units::duration(hook.verify_time())),
        ("time", format!("{} to {}", offset(hook.started), offset(hook.verified_at()))),
        ("exit", hook.exit.clone()),
        ("CPU", hook.cpu_ms.map(|millis| format!("{millis} ms")).unwrap_or_default()),
        ("memory", hook.max_rss.map(units::bytes).unwrap_or_default()),
    ];
    facts.into_iter().filter(|(_, value)| !value.is_empty()).collect()
}

fn logs(hook: &HookTiming) -> Vec<(&'static str, String)> {
    [("stderr", &hook.stderr_tail), ("stdout", &hook.stdout_tail)]
        .into_iter()
        .map(|(stream, log)| (stream, log.trim_end().lines().collect::<Vec<_>>().join("\n")))
        .filter(|(_, log)| !log.is_empty())
        .collect()
}

/// Returns the lines from the end of each bar on the critical path to the beginning of the next one.
fn links(timings: &Timings, lanes: &[Lane<'_>]) -> Vec<Link> {
    let mut middles = vec![0; timings.bars.len()];
    let mut top = 0;
    for lane in lanes {
        for placement in &lane.placements {
            middles[placement.index] = top + PADDING + placement.row * ROW + BAR / 2;
        }
        top += height(lane);
    }
    let pairs = timings.critical_path.iter().zip(timings.critical_path.iter().skip(1));
    let link = |(&from, &to): (&usize, &usize)| Link {
        x1: percent(timings, timings.bars[from].hook.verified_at()),
        y1: middles[from],
        x2: percent(timings, timings.bars[to].hook.started),
        y2: middles[to],
    };
    pairs.map(link).collect()
}

fn height(lane: &Lane<'_>) -> usize {
    lane.rows * ROW - (ROW - BAR) + 2 * PADDING
}

/// Returns the share of the chart between two times.
fn part(timings: &Timings, from: Timestamp, to: Timestamp) -> f64 {
    let span = timings.duration().as_secs_f64();
    if span > 0.0 { to.duration_since(from).as_secs_f64() / span } else { 0.0 }
}

fn width(timings: &Timings, from: Timestamp, to: Timestamp) -> String {
    format!("{:.3}%", part(timings, from, to) * 100.0)
}

fn percent(timings: &Timings, at: Timestamp) -> String {
    width(timings, timings.command.started, at)
}
