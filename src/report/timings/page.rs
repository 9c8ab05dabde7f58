//! The timings page: one file of HTML, SVG and CSS.

use askama::Template;

use crate::clock;
use crate::report::timings::chart::Chart;
use crate::report::timings::hook_timing::Bar;
use crate::report::timings::provider_total::ProviderTotal;
use crate::report::timings::timed_command::Timings;
use crate::report::units;

/// A critical path of more bars than this is collapsed.
const SHORT_PATH: usize = 12;

#[derive(Template)]
#[template(path = "page.html", config = "src/report/timings/askama.toml")]
struct Page<'a> {
    timings: &'a Timings,
    chart: Chart<'a>,
    critical_bars: Vec<(usize, &'a Bar)>,
    is_path_long: bool,
    providers: Vec<ProviderTotal>,
    total: ProviderTotal,
}

/// Returns the page. It needs no other file, no network and no script.
pub fn page(timings: &Timings) -> String {
    let page = Page {
        timings,
        chart: Chart::new(timings),
        critical_bars: timings.critical_path.iter().copied().zip(timings.critical_bars()).collect(),
        is_path_long: timings.critical_path.len() > SHORT_PATH,
        providers: timings.totals(),
        total: timings.total(),
    };
    // Writing to a string never fails.
    page.render().unwrap_or_default()
}
