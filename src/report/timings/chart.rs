//! The chart: time from left to right, a lane for each provider, a bar for each hook.

use std::fmt::{self, Write as _};

use jiff::Timestamp;

use crate::report::timings::axis;
use crate::report::timings::hook_timing::{Bar, HookTiming};
use crate::report::timings::html::Escaped;
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
const OUTCOMES: [&str; 6] = ["installed", "declined", "skipped", "rejected", "failed", "timeout"];

/// Writes the chart with its legend.
pub(super) fn write(timings: &Timings, page: &mut String) -> fmt::Result {
    let lanes = lanes::lanes(timings);
    write_legend(timings, page)?;
    writeln!(page, "<h2>Timeline</h2>")?;
    writeln!(page, "<div class=\"chart\" role=\"group\" aria-label=\"Hooks over time\">")?;
    let ticks: Vec<(String, String)> = axis::ticks(timings.duration())
        .into_iter()
        .map(|(at, label)| (percent(timings, timings.command.started + at), label))
        .collect();
    writeln!(page, "<div class=\"axis\" aria-hidden=\"true\">")?;
    for (at, label) in &ticks {
        write!(page, "<span style=\"left:{at}\">{label}</span>")?;
    }
    writeln!(page, "</div>\n<div class=\"lanes\">\n<svg class=\"grid\" aria-hidden=\"true\">")?;
    for (at, _) in &ticks {
        write!(page, "<line x1=\"{at}\" x2=\"{at}\" y2=\"100%\"/>")?;
    }
    writeln!(page, "</svg>")?;
    for lane in &lanes {
        write_lane(timings, lane, page)?;
    }
    write_links(timings, &lanes, page)?;
    writeln!(page, "</div>\n</div>")
}

fn write_legend(timings: &Timings, page: &mut String) -> fmt::Result {
    writeln!(page, "<ul class=\"legend\">")?;
    let seen = |word: &str| timings.bars.iter().any(|bar| bar.hook.outcome() == word);
    for word in OUTCOMES.into_iter().chain(["mixed", "unknown"]).filter(|word| seen(word)) {
        writeln!(
            page,
            "<li><svg class=\"{word}\"><rect class=\"run\" width=\"100%\" height=\"100%\"/></svg>{word}</li>"
        )?;
    }
    writeln!(
        page,
        "<li><svg class=\"line\"><line class=\"wait\" y1=\"50%\" x2=\"100%\" y2=\"50%\"/></svg>waited</li>"
    )?;
    writeln!(
        page,
        "<li><svg class=\"plain\"><rect class=\"run\" width=\"100%\" height=\"100%\"/></svg>ran</li>"
    )?;
    writeln!(
        page,
        "<li><svg class=\"plain\"><rect class=\"verify\" width=\"100%\" height=\"100%\"/></svg>verified</li>"
    )?;
    writeln!(
        page,
        "<li><svg class=\"plain critical\"><rect class=\"run\" width=\"100%\" height=\"100%\"/></svg>critical path</li>"
    )?;
    writeln!(
        page,
        "</ul>\n<p class=\"hint\">Point at a bar, or move to it with the Tab key, to see its times and the end of its log.</p>"
    )
}

fn write_lane(timings: &Timings, lane: &Lane<'_>, page: &mut String) -> fmt::Result {
    let provider = Escaped(lane.provider);
    let height = height(lane);
    writeln!(page, "<section class=\"lane\" aria-label=\"{provider}\" style=\"height:{height}px\">")?;
    writeln!(page, "<h3 title=\"{provider}\">{provider}</h3>")?;
    for placement in &lane.placements {
        write_bar(timings, placement, page)?;
    }
    writeln!(page, "</section>")
}

fn write_bar(timings: &Timings, placement: &Placement, page: &mut String) -> fmt::Result {
    let Placement { index, row, free_from, free_until } = *placement;
    let bar = &timings.bars[index];
    let hook = &bar.hook;
    let top = PADDING + row * ROW;
    let left = percent(timings, hook.started);
    let width = width(timings, hook.started, hook.verified_at());
    let outcome = hook.outcome();
    let critical = if timings.critical_path.contains(&index) { " critical" } else { "" };
    let (label, provider) = (hook.label(), Escaped(&hook.provider));
    write!(
        page,
        "<div class=\"bar {outcome}{critical}\" id=\"bar-{index}\" data-process=\"{}\" tabindex=\"0\" role=\"group\" \
         aria-label=\"{} by {provider}: {outcome}, {}\" style=\"left:{left};width:{width};top:{top}px\">",
        hook.process_id,
        Escaped(&label),
        units::duration(hook.busy_time()),
    )?;
    write_shape(hook, page)?;
    write_tip(timings, bar, page)?;
    writeln!(page, "</div>")?;
    // The first line is the whole wait, shown with its bar; the second one is the part that no other bar of the row hides.
    for (class, since) in [("wait", bar.ready_at), ("wait gap", bar.ready_at.max(free_from))] {
        let (left, width) = (percent(timings, since), self::width(timings, since, hook.started));
        writeln!(
            page,
            "<svg class=\"{class}\" aria-hidden=\"true\" style=\"left:{left};width:{width};top:{top}px\">\
             <line y1=\"80%\" x2=\"100%\" y2=\"80%\"/></svg>"
        )?;
    }
    if part(timings, hook.started, free_until) >= NAME {
        let room = self::width(timings, hook.started, free_until);
        let label = Escaped(&label);
        writeln!(
            page,
            "<span class=\"name\" aria-hidden=\"true\" style=\"left:{left};width:{room};top:{top}px\">{label}</span>"
        )?;
    }
    Ok(())
}

/// Writes the shape of a bar: how long the hook ran, then how long it was verified.
fn write_shape(hook: &HookTiming, page: &mut String) -> fmt::Result {
    let whole = (hook.busy_time()).as_secs_f64();
    let run = if whole > 0.0 { hook.run_time().as_secs_f64() / whole * 100.0 } else { 100.0 };
    let verify = 100.0 - run;
    write!(page, "<svg aria-hidden=\"true\"><rect class=\"run\" width=\"{run:.2}%\" height=\"100%\"/>")?;
    write!(page, "<rect class=\"verify\" x=\"{run:.2}%\" width=\"{verify:.2}%\" height=\"100%\"/></svg>")
}

fn write_tip(timings: &Timings, bar: &Bar, page: &mut String) -> fmt::Result {
    let hook = &bar.hook;
    let side = if part(timings, timings.command.started, hook.started) < 0.5 { "" } else { " before" };
    write!(
        page,
        "<div class=\"tip{side}\"><p class=\"title\"><b>{}</b> by {}",
        Escaped(hook.label()),
        Escaped(&hook.provider)
    )?;
    if hook.attempts.len() != 1 {
        write!(page, " <span class=\"word {0}\">{0}</span>", hook.outcome())?;
    }
    write!(page, "</p><ul>")?;
    for attempt in &hook.attempts {
        let outcome = attempt.outcome.as_str();
        write!(page, "<li><span class=\"word {outcome}\">{outcome}</span> ")?;
        if hook.attempts.len() > 1 {
            write!(page, "<b>{}</b> ", Escaped(&attempt.binary))?;
        }
        write!(page, "{}</li>", Escaped(&attempt.reason))?;
    }
    write!(page, "</ul><dl>")?;
    let offset = |at: Timestamp| units::duration(at.duration_since(timings.command.started));
    for (what, value) in [
        ("waited", units::duration(bar.wait_time())),
        ("ran", units::duration(hook.run_time())),
        ("verified", units::duration(hook.verify_time())),
        ("time", format!("{} to {}", offset(hook.started), offset(hook.verified_at()))),
        ("exit", hook.exit.clone()),
        ("CPU", hook.cpu_ms.map(|millis| format!("{millis} ms")).unwrap_or_default()),
        ("memory", hook.max_rss.map(units::bytes).unwrap_or_default()),
    ] {
        if !value.is_empty() {
            write!(page, "<div><dt>{what}</dt><dd>{}</dd></div>", Escaped(value))?;
        }
    }
    write!(page, "</dl>")?;
    for (stream, log) in [("stderr", &hook.stderr_tail), ("stdout", &hook.stdout_tail)] {
        let lines: Vec<&str> = log.trim_end().lines().collect();
        if !lines.is_empty() {
            // HTML drops a newline right after the tag, so this one keeps an empty first line of the log.
            write!(page, "<p class=\"stream\">{stream}</p><pre>\n{}</pre>", Escaped(lines.join("\n")))?;
        }
    }
    write!(page, "<p><code>rigup process logs {}</code></p></div>", hook.process_id)
}

/// Writes lines from the end of each bar on the critical path to the beginning of the next one.
fn write_links(timings: &Timings, lanes: &[Lane<'_>], page: &mut String) -> fmt::Result {
    let mut middles = vec![0; timings.bars.len()];
    let mut top = 0;
    for lane in lanes {
        for placement in &lane.placements {
            middles[placement.index] = top + PADDING + placement.row * ROW + BAR / 2;
        }
        top += height(lane);
    }
    writeln!(page, "<svg class=\"links\" aria-hidden=\"true\">")?;
    for (pair, bars) in
        timings.critical_path.windows(2).zip(timings.critical_bars().zip(timings.critical_bars().skip(1)))
    {
        let (from, to) = (middles[pair[0]], middles[pair[1]]);
        let x1 = percent(timings, bars.0.hook.verified_at());
        let x2 = percent(timings, bars.1.hook.started);
        write!(page, "<line x1=\"{x1}\" y1=\"{from}\" x2=\"{x2}\" y2=\"{to}\"/>")?;
    }
    writeln!(page, "</svg>")
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
