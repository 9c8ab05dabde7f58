//! The chart: time from left to right, a lane for each provider, a bar for each hook.

use std::fmt::{self, Write as _};

use jiff::Timestamp;

use super::lanes::{self, Lane, Place};
use super::text::Text;
use super::{Bar, Timed, Timings, axis};
use crate::report::units;

/// The height of a row, in CSS pixels; a bar fills all but a gap below it. `page.css` has the same numbers.
const ROW: usize = 26;
const BAR: usize = 20;
/// What stands above and below the rows of a lane.
const PADDING: usize = 9;

/// The part of the whole that a name needs, so that more than an ellipsis is seen of it.
const NAME: f64 = 0.04;

/// What the words and colors mean, in the order of the legend.
const OUTCOMES: [&str; 6] = ["installed", "declined", "skipped", "rejected", "failed", "timeout"];

/// Writes it, with its legend.
pub(super) fn write(timings: &Timings, page: &mut String) -> fmt::Result {
    let lanes = lanes::lanes(timings);
    write_legend(timings, page)?;
    writeln!(page, "<h2>Timeline</h2>")?;
    writeln!(page, "<div class=\"chart\" role=\"group\" aria-label=\"Hooks over time\">")?;
    let ticks: Vec<(String, String)> = axis::ticks(timings.span())
        .into_iter()
        .map(|(at, label)| (percent(timings, timings.run.began + at), label))
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
    let seen = |word: &str| timings.bars.iter().any(|it| it.bar.outcome() == word);
    for word in OUTCOMES.into_iter().chain(["mixed", "unjudged"]).filter(|word| seen(word)) {
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
        "<li><svg class=\"plain\"><rect class=\"probe\" width=\"100%\" height=\"100%\"/></svg>was checked</li>"
    )?;
    writeln!(
        page,
        "<li><svg class=\"plain critical\"><rect class=\"run\" width=\"100%\" height=\"100%\"/></svg>critical path</li>"
    )?;
    writeln!(
        page,
        "</ul>\n<p class=\"hint\">Point at a bar, or go there with the Tab key, for its times and the end of its log.</p>"
    )
}

fn write_lane(timings: &Timings, lane: &Lane<'_>, page: &mut String) -> fmt::Result {
    let provider = Text(lane.provider);
    let height = height(lane);
    writeln!(page, "<section class=\"lane\" aria-label=\"{provider}\" style=\"height:{height}px\">")?;
    writeln!(page, "<h3 title=\"{provider}\">{provider}</h3>")?;
    for place in &lane.places {
        write_bar(timings, place, page)?;
    }
    writeln!(page, "</section>")
}

fn write_bar(timings: &Timings, place: &Place, page: &mut String) -> fmt::Result {
    let Place { index, row, free_from, free_until } = *place;
    let timed = &timings.bars[index];
    let bar = &timed.bar;
    let top = PADDING + row * ROW;
    let left = percent(timings, bar.started);
    let width = width(timings, bar.started, bar.judged());
    let outcome = bar.outcome();
    let critical = if timings.path.contains(&index) { " critical" } else { "" };
    let (label, provider) = (bar.label(), Text(&bar.provider));
    write!(
        page,
        "<div class=\"bar {outcome}{critical}\" id=\"bar-{index}\" data-process=\"{}\" tabindex=\"0\" role=\"group\" \
         aria-label=\"{} by {provider}: {outcome}, {}\" style=\"left:{left};width:{width};top:{top}px\">",
        bar.process_id,
        Text(&label),
        units::duration(bar.run() + bar.probe()),
    )?;
    write_shape(bar, page)?;
    write_tip(timings, timed, page)?;
    writeln!(page, "</div>")?;
    // All of the wait is seen with its bar; else only what no other bar of the row hides, so that lines do not add up.
    for (class, since) in [("wait", timed.waited_from), ("wait gap", timed.waited_from.max(free_from))] {
        let (left, width) = (percent(timings, since), self::width(timings, since, bar.started));
        writeln!(
            page,
            "<svg class=\"{class}\" aria-hidden=\"true\" style=\"left:{left};width:{width};top:{top}px\">\
             <line y1=\"80%\" x2=\"100%\" y2=\"80%\"/></svg>"
        )?;
    }
    if part(timings, bar.started, free_until) >= NAME {
        let room = self::width(timings, bar.started, free_until);
        let label = Text(&label);
        writeln!(
            page,
            "<span class=\"name\" aria-hidden=\"true\" style=\"left:{left};width:{room};top:{top}px\">{label}</span>"
        )?;
    }
    Ok(())
}

/// The bar itself: what ran, and then what was checked.
fn write_shape(bar: &Bar, page: &mut String) -> fmt::Result {
    let whole = (bar.run() + bar.probe()).as_secs_f64();
    let run = if whole > 0.0 { bar.run().as_secs_f64() / whole * 100.0 } else { 100.0 };
    let probe = 100.0 - run;
    write!(page, "<svg aria-hidden=\"true\"><rect class=\"run\" width=\"{run:.2}%\" height=\"100%\"/>")?;
    write!(page, "<rect class=\"probe\" x=\"{run:.2}%\" width=\"{probe:.2}%\" height=\"100%\"/></svg>")
}

fn write_tip(timings: &Timings, timed: &Timed, page: &mut String) -> fmt::Result {
    let bar = &timed.bar;
    let side = if part(timings, timings.run.began, bar.started) < 0.5 { "" } else { " before" };
    write!(
        page,
        "<div class=\"tip{side}\"><p class=\"title\"><b>{}</b> by {}",
        Text(bar.label()),
        Text(&bar.provider)
    )?;
    if bar.verdicts.len() != 1 {
        write!(page, " <span class=\"word {0}\">{0}</span>", bar.outcome())?;
    }
    write!(page, "</p><ul>")?;
    for verdict in &bar.verdicts {
        let outcome = verdict.outcome.as_str();
        write!(page, "<li><span class=\"word {outcome}\">{outcome}</span> ")?;
        if bar.verdicts.len() > 1 {
            write!(page, "<b>{}</b> ", Text(&verdict.binary))?;
        }
        write!(page, "{}</li>", Text(&verdict.reason))?;
    }
    write!(page, "</ul><dl>")?;
    let offset = |at: Timestamp| units::duration(at.duration_since(timings.run.began));
    for (what, value) in [
        ("waited", units::duration(timed.wait())),
        ("ran", units::duration(bar.run())),
        ("checked", units::duration(bar.probe())),
        ("from", format!("{} to {}", offset(bar.started), offset(bar.judged()))),
        ("ended", bar.exit.clone()),
        ("CPU", bar.cpu_ms.map(|it| format!("{it} ms")).unwrap_or_default()),
        ("memory", bar.max_rss.map(units::bytes).unwrap_or_default()),
    ] {
        if !value.is_empty() {
            write!(page, "<div><dt>{what}</dt><dd>{}</dd></div>", Text(value))?;
        }
    }
    write!(page, "</dl>")?;
    for (stream, log) in [("stderr", &bar.stderr_tail), ("stdout", &bar.stdout_tail)] {
        let lines: Vec<&str> = log.trim_end().lines().collect();
        if !lines.is_empty() {
            // A newline right after the tag is none of the text, so that a first empty line is not lost.
            write!(page, "<p class=\"stream\">{stream}</p><pre>\n{}</pre>", Text(lines.join("\n")))?;
        }
    }
    write!(page, "<p><code>rigup logs {}</code></p></div>", bar.process_id)
}

/// Lines from the end of each bar on the critical path to the beginning of the next.
fn write_links(timings: &Timings, lanes: &[Lane<'_>], page: &mut String) -> fmt::Result {
    let mut middles = vec![0; timings.bars.len()];
    let mut top = 0;
    for lane in lanes {
        for place in &lane.places {
            middles[place.index] = top + PADDING + place.row * ROW + BAR / 2;
        }
        top += height(lane);
    }
    writeln!(page, "<svg class=\"links\" aria-hidden=\"true\">")?;
    for (pair, bars) in timings.path.windows(2).zip(timings.on_path().zip(timings.on_path().skip(1))) {
        let (from, to) = (middles[pair[0]], middles[pair[1]]);
        let x1 = percent(timings, bars.0.bar.judged());
        let x2 = percent(timings, bars.1.bar.started);
        write!(page, "<line x1=\"{x1}\" y1=\"{from}\" x2=\"{x2}\" y2=\"{to}\"/>")?;
    }
    writeln!(page, "</svg>")
}

fn height(lane: &Lane<'_>) -> usize {
    lane.rows * ROW - (ROW - BAR) + 2 * PADDING
}

/// What part of the whole lies between two times.
fn part(timings: &Timings, from: Timestamp, to: Timestamp) -> f64 {
    let span = timings.span().as_secs_f64();
    if span > 0.0 { to.duration_since(from).as_secs_f64() / span } else { 0.0 }
}

fn width(timings: &Timings, from: Timestamp, to: Timestamp) -> String {
    format!("{:.3}%", part(timings, from, to) * 100.0)
}

fn percent(timings: &Timings, at: Timestamp) -> String {
    width(timings, timings.run.began, at)
}
