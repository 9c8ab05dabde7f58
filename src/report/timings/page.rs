//! The timings page: one file of HTML, SVG and CSS.

use askama::Template;

use crate::clock;
use crate::report::timings::chart::Chart;
use crate::report::timings::timed_command::Timings;
use crate::report::units;

#[derive(Template)]
#[template(path = "timings/page.html", config = "src/report/askama.toml")]
struct Page<'a> {
    chart: Chart<'a>,
}

/// Returns the page, which needs no other file, no network and no script.
pub fn page(timings: &Timings) -> String {
    // Writing to a string never fails.
    Page { chart: Chart::new(timings, String::new()) }.render().unwrap_or_default()
}
