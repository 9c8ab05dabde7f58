//! The page: one file of HTML, SVG and CSS.

use std::fmt::{self, Display, Write as _};

use jiff::SignedDuration;

use super::text::Text;
use super::total::Total;
use super::{Timed, Timings, chart};
use crate::clock;
use crate::report::units;

const STYLE: &str = include_str!("page.css");

/// The page cannot load or run anything, whatever a log in it says.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'";

/// A path of more bars than this is folded up.
const SHORT_PATH: usize = 12;

/// The page.
pub(super) fn page(timings: &Timings) -> String {
    let mut page = String::new();
    // Nothing fails: a string takes all that is written to it.
    let _ = write_page(timings, &mut page);
    page
}

fn write_page(timings: &Timings, page: &mut String) -> fmt::Result {
    let command = Text(&timings.run.command);
    writeln!(page, "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">")?;
    writeln!(page, "<meta http-equiv=\"Content-Security-Policy\" content=\"{POLICY}\">")?;
    writeln!(page, "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">")?;
    writeln!(page, "<meta name=\"color-scheme\" content=\"light dark\">")?;
    writeln!(page, "<title>Timings: {command}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>")?;
    write_header(timings, page)?;
    writeln!(page, "<main>")?;
    if timings.bars.is_empty() {
        writeln!(page, "<p class=\"none\">No hook was run.</p>")?;
    } else {
        chart::write(timings, page)?;
        write_path(timings, page)?;
        write_totals(timings, page)?;
        write_attempts(timings, page)?;
    }
    writeln!(page, "</main>\n<footer>rigup {}</footer>\n</body>\n</html>", env!("CARGO_PKG_VERSION"))
}

fn write_header(timings: &Timings, page: &mut String) -> fmt::Result {
    let began = clock::spell(timings.run.began);
    let readable = timings.run.began.strftime("%Y-%m-%d %H:%M:%S UTC");
    let total = timings.total();
    writeln!(page, "<header>\n<h1>{}</h1>\n<dl class=\"facts\">", Text(&timings.run.command))?;
    fact(page, "took", units::duration(timings.span()))?;
    fact(page, "hooks", total.hooks)?;
    fact(page, "attempts", total.attempts)?;
    fact(page, "installed", total.installed)?;
    fact(page, "critical path", units::duration(timings.path_time()))?;
    fact(page, "began", format_args!("<time datetime=\"{began}\">{readable}</time>"))?;
    writeln!(page, "</dl>\n</header>")
}

fn fact(page: &mut String, what: &str, value: impl Display) -> fmt::Result {
    writeln!(page, "<div><dt>{what}</dt><dd>{value}</dd></div>")
}

fn write_path(timings: &Timings, page: &mut String) -> fmt::Result {
    let (open, close) = match timings.path.len() {
        0..=SHORT_PATH => (String::new(), ""),
        count => (format!("<details>\n<summary>{count} hooks</summary>\n"), "</details>\n"),
    };
    writeln!(page, "<section aria-labelledby=\"path\">\n<h2 id=\"path\">Critical path</h2>")?;
    writeln!(
        page,
        "<p>Each of these waited for the one before, and the last one ended last. Together they took {} of {}.</p>",
        units::duration(timings.path_time()),
        units::duration(timings.span())
    )?;
    writeln!(page, "{open}<ol class=\"path\">")?;
    for (&index, Timed { bar, .. }) in timings.path.iter().zip(timings.on_path()) {
        writeln!(
            page,
            "<li><a href=\"#bar-{index}\"><b>{}</b> by {}</a> <span class=\"word {}\">{}</span> {}</li>",
            Text(bar.label()),
            Text(&bar.provider),
            bar.outcome(),
            bar.outcome(),
            units::duration(bar.run() + bar.probe()),
        )?;
    }
    writeln!(page, "</ol>\n{close}</section>")
}

fn write_totals(timings: &Timings, page: &mut String) -> fmt::Result {
    writeln!(page, "<section aria-labelledby=\"totals\">\n<h2 id=\"totals\">Totals</h2>")?;
    writeln!(
        page,
        "<div class=\"wide\"><table class=\"totals\">\n<thead><tr><th scope=\"col\">Provider</th>"
    )?;
    for column in ["Hooks", "Attempts", "Installed", "Waited", "Ran", "Checked", "CPU"] {
        writeln!(page, "<th scope=\"col\" class=\"number\">{column}</th>")?;
    }
    writeln!(page, "<th scope=\"col\">Share of ran and checked</th></tr></thead>\n<tbody>")?;
    let all = timings.total();
    for total in timings.totals() {
        write_total(page, &total, &total.provider, &all)?;
    }
    writeln!(page, "</tbody>\n<tfoot>")?;
    write_total(page, &all, "all", &all)?;
    writeln!(page, "</tfoot>\n</table></div>\n</section>")
}

fn write_total(page: &mut String, total: &Total, name: &str, all: &Total) -> fmt::Result {
    let share = total.share(all) * 100.0;
    write!(page, "<tr><th scope=\"row\">{}</th>", Text(name))?;
    for count in [total.hooks, total.attempts, total.installed] {
        write!(page, "<td class=\"number\">{count}</td>")?;
    }
    let cpu = SignedDuration::from_millis(i64::try_from(total.cpu_ms).unwrap_or(i64::MAX));
    for time in [total.wait, total.run, total.probe, cpu] {
        write!(page, "<td class=\"number\">{}</td>", units::duration(time))?;
    }
    writeln!(
        page,
        "<td class=\"share\"><svg aria-hidden=\"true\"><rect width=\"{share:.1}%\" height=\"100%\"/></svg> {share:.0} %</td></tr>"
    )
}

/// Everything that the chart shows, for who reads, searches or copies: all but the logs.
fn write_attempts(timings: &Timings, page: &mut String) -> fmt::Result {
    let total = timings.total();
    writeln!(page, "<section>\n<details>\n<summary>All {} attempts</summary>", total.attempts)?;
    writeln!(page, "<div class=\"wide\"><table class=\"attempts\">\n<thead><tr>")?;
    for column in ["Binary", "Provider", "Outcome", "Started", "Waited", "Ran", "Checked", "Reason", "Log"] {
        let is_number = matches!(column, "Started" | "Waited" | "Ran" | "Checked");
        let class = if is_number { " class=\"number\"" } else { "" };
        write!(page, "<th scope=\"col\"{class}>{column}</th>")?;
    }
    writeln!(page, "</tr></thead>\n<tbody>")?;
    for (index, timed) in timings.bars.iter().enumerate() {
        let bar = &timed.bar;
        for verdict in &bar.verdicts {
            let binary = Text(&verdict.binary);
            write!(page, "<tr><th scope=\"row\"><a href=\"#bar-{index}\">{binary}</a></th>")?;
            let outcome = verdict.outcome.as_str();
            write!(
                page,
                "<td>{}</td><td><span class=\"word {outcome}\">{outcome}</span></td>",
                Text(&bar.provider)
            )?;
            let started = bar.started.duration_since(timings.run.began);
            for time in [started, timed.wait(), bar.run(), bar.probe()] {
                write!(page, "<td class=\"number\">{}</td>", units::duration(time))?;
            }
            let (reason, id) = (Text(&verdict.reason), bar.process_id);
            writeln!(page, "<td class=\"reason\">{reason}</td><td><code>rigup logs {id}</code></td></tr>")?;
        }
    }
    writeln!(page, "</tbody>\n</table></div>\n</details>\n</section>")
}
