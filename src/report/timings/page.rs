//! The timings page: one file of HTML, SVG and CSS.

use std::fmt::{self, Display, Write as _};

use jiff::SignedDuration;

use crate::clock;
use crate::report::timings::chart;
use crate::report::timings::html::Escaped;
use crate::report::timings::provider_total::ProviderTotal;
use crate::report::timings::timed_command::Timings;
use crate::report::units;

const STYLE: &str = include_str!("page.css");

/// The page cannot load or run anything, whatever the logs in it contain.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'";

/// A critical path of more bars than this is collapsed.
const SHORT_PATH: usize = 12;

/// Returns the page. It needs no other file, no network and no script.
pub fn page(timings: &Timings) -> String {
    let mut page = String::new();
    // Writing to a string never fails.
    let _ = write_page(timings, &mut page);
    page
}

fn write_page(timings: &Timings, page: &mut String) -> fmt::Result {
    let command = Escaped(&timings.command.command_line);
    writeln!(page, "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">")?;
    writeln!(page, "<meta http-equiv=\"Content-Security-Policy\" content=\"{POLICY}\">")?;
    writeln!(page, "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">")?;
    writeln!(page, "<meta name=\"color-scheme\" content=\"light dark\">")?;
    writeln!(page, "<title>Timings: {command}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>")?;
    write_header(timings, page)?;
    writeln!(page, "<main>")?;
    if timings.bars.is_empty() {
        writeln!(page, "<p class=\"none\">No hook ran.</p>")?;
    } else {
        chart::write(timings, page)?;
        write_path(timings, page)?;
        write_totals(timings, page)?;
        write_attempts(timings, page)?;
    }
    writeln!(page, "</main>\n<footer>rigup {}</footer>\n</body>\n</html>", env!("CARGO_PKG_VERSION"))
}

fn write_header(timings: &Timings, page: &mut String) -> fmt::Result {
    let started = clock::spell(timings.command.started);
    let readable = timings.command.started.strftime("%Y-%m-%d %H:%M:%S UTC");
    let total = timings.total();
    writeln!(page, "<header>\n<h1>{}</h1>\n<dl class=\"facts\">", Escaped(&timings.command.command_line))?;
    fact(page, "duration", units::duration(timings.duration()))?;
    fact(page, "hooks", total.hooks)?;
    fact(page, "attempts", total.attempts)?;
    fact(page, "installed", total.installed)?;
    fact(page, "critical path", units::duration(timings.critical_time()))?;
    fact(page, "started", format_args!("<time datetime=\"{started}\">{readable}</time>"))?;
    writeln!(page, "</dl>\n</header>")
}

fn fact(page: &mut String, what: &str, value: impl Display) -> fmt::Result {
    writeln!(page, "<div><dt>{what}</dt><dd>{value}</dd></div>")
}

fn write_path(timings: &Timings, page: &mut String) -> fmt::Result {
    let (open, close) = match timings.critical_path.len() {
        0..=SHORT_PATH => (String::new(), ""),
        count => (format!("<details>\n<summary>{count} hooks</summary>\n"), "</details>\n"),
    };
    writeln!(page, "<section aria-labelledby=\"path\">\n<h2 id=\"path\">Critical path</h2>")?;
    writeln!(
        page,
        "<p>Each of these hooks waited for the one before it, and the last one finished last. Together they took {} of {}.</p>",
        units::duration(timings.critical_time()),
        units::duration(timings.duration())
    )?;
    writeln!(page, "{open}<ol class=\"path\">")?;
    for (&index, bar) in timings.critical_path.iter().zip(timings.critical_bars()) {
        let hook = &bar.hook;
        writeln!(
            page,
            "<li><a href=\"#bar-{index}\"><b>{}</b> by {}</a> <span class=\"word {}\">{}</span> {}</li>",
            Escaped(hook.label()),
            Escaped(&hook.provider),
            hook.outcome(),
            hook.outcome(),
            units::duration(hook.busy_time()),
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
    for column in ["Hooks", "Attempts", "Installed", "Waited", "Ran", "Verified", "CPU"] {
        writeln!(page, "<th scope=\"col\" class=\"number\">{column}</th>")?;
    }
    writeln!(page, "<th scope=\"col\">Share of the time</th></tr></thead>\n<tbody>")?;
    let all = timings.total();
    for total in timings.totals() {
        write_total(page, &total, &total.provider, &all)?;
    }
    writeln!(page, "</tbody>\n<tfoot>")?;
    write_total(page, &all, "all", &all)?;
    writeln!(page, "</tfoot>\n</table></div>\n</section>")
}

fn write_total(page: &mut String, total: &ProviderTotal, name: &str, all: &ProviderTotal) -> fmt::Result {
    let share = total.share(all) * 100.0;
    write!(page, "<tr><th scope=\"row\">{}</th>", Escaped(name))?;
    for count in [total.hooks, total.attempts, total.installed] {
        write!(page, "<td class=\"number\">{count}</td>")?;
    }
    let cpu = SignedDuration::from_millis(i64::try_from(total.cpu_ms).unwrap_or(i64::MAX));
    for time in [total.wait, total.run, total.verify, cpu] {
        write!(page, "<td class=\"number\">{}</td>", units::duration(time))?;
    }
    writeln!(
        page,
        "<td class=\"share\"><svg aria-hidden=\"true\"><rect width=\"{share:.1}%\" height=\"100%\"/></svg> {share:.0} %</td></tr>"
    )
}

/// Writes what the chart shows, but the logs, as a table that can be searched and copied.
fn write_attempts(timings: &Timings, page: &mut String) -> fmt::Result {
    let total = timings.total();
    writeln!(page, "<section>\n<details>\n<summary>All {} attempts</summary>", total.attempts)?;
    writeln!(page, "<div class=\"wide\"><table class=\"attempts\">\n<thead><tr>")?;
    for column in ["Binary", "Provider", "Outcome", "Started", "Waited", "Ran", "Verified", "Reason", "Log"] {
        let is_number = matches!(column, "Started" | "Waited" | "Ran" | "Verified");
        let class = if is_number { " class=\"number\"" } else { "" };
        write!(page, "<th scope=\"col\"{class}>{column}</th>")?;
    }
    writeln!(page, "</tr></thead>\n<tbody>")?;
    for (index, bar) in timings.bars.iter().enumerate() {
        let hook = &bar.hook;
        for attempt in &hook.attempts {
            let binary = Escaped(&attempt.binary);
            write!(page, "<tr><th scope=\"row\"><a href=\"#bar-{index}\">{binary}</a></th>")?;
            let outcome = attempt.outcome.as_str();
            write!(
                page,
                "<td>{}</td><td><span class=\"word {outcome}\">{outcome}</span></td>",
                Escaped(&hook.provider)
            )?;
            let started = hook.started.duration_since(timings.command.started);
            for time in [started, bar.wait_time(), hook.run_time(), hook.verify_time()] {
                write!(page, "<td class=\"number\">{}</td>", units::duration(time))?;
            }
            let (reason, id) = (Escaped(&attempt.reason), hook.process_id);
            writeln!(
                page,
                "<td class=\"reason\">{reason}</td><td><code>rigup process logs {id}</code></td></tr>"
            )?;
        }
    }
    writeln!(page, "</tbody>\n</table></div>\n</details>\n</section>")
}
