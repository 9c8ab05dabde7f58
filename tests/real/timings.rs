//! The page of `rigup install --timings` in a real headless browser, Debian's package `chromium`.

use std::fs;
use std::path::Path;

use jiff::{SignedDuration, Timestamp};
use rigup::internal::timings::{self, AttemptTiming, HookTiming, TimedCommand, Timings};
use rigup::internal::{Outcome, ProcessId};
use serde_json::json;

use crate::browser::{load, screenshot_size};
use crate::test_context::TestContext;

/// Asserts that the browser shows this number of lanes and bars and runs no injected code.
fn check_page(context: &TestContext, page: &Path, lanes: usize, bars: usize) {
    let (dom, console) = load(context, page, &[]);
    assert_eq!(console, [""; 0]);
    assert_eq!(dom.matches("<section class=\"lane\"").count(), lanes);
    assert_eq!(dom.matches("<div class=\"bar ").count(), bars);
    assert_eq!(dom.matches("<rect class=\"verify\" x=").count(), bars);
    assert!(dom.contains(" critical\"") && dom.contains("<table class=\"totals\">"));
    for tag in ["<script", "<img", "<iframe", "<b onclick"] {
        assert!(!dom.contains(tag), "{tag}");
    }
    let blank = context.write("blank.html", "<!DOCTYPE html><title>blank</title>");
    let (blank, size) = (screenshot_size(context, &blank), screenshot_size(context, page));
    assert!(size > 4 * blank, "a screenshot of {size} bytes; a blank page has {blank}");
}

const INJECTION: &str = "<img src=x onerror=alert(1)>";

#[test]
#[ignore = "needs chromium: run with --ignored"]
fn a_browser_shows_the_lanes_and_bars_of_a_run_without_errors() {
    let context = TestContext::new();
    context.fixture("good").fixture("failing");
    context.provider("hostile", "#!/bin/sh\necho '</pre></style><script>alert(2)</script>' >&2\nexit 1\n");
    let mut names: Vec<String> = (1..=9).map(|n| format!("tool-{n}")).collect();
    names.push(INJECTION.to_owned());
    let line =
        |name: &String| json!({"type": "Binary", "name": name, "binproviders": "hostile,failing,good"});
    context.plugin("p", &names.iter().map(line).collect::<Vec<_>>());
    context.run(&["install", "--timings"]).succeeds();
    let page = context.path("here/rigup-timings.html");
    check_page(&context, &page, 3, 30);

    // The console reports scripts that the page's policy blocks, so the empty console above means that it has none.
    let page = context.write("broken.html", fs::read_to_string(page).unwrap() + "<script>alert(3)</script>");
    let (_, console) = load(&context, &page, &[]);
    assert!(console.iter().any(|message| message.contains("Content Security Policy")), "{console:?}");
}

#[test]
#[ignore = "needs chromium: run with --ignored"]
fn a_browser_shows_a_page_with_one_bar_and_a_page_with_five_hundred() {
    let context = TestContext::new();
    let began = Timestamp::UNIX_EPOCH;
    let at = |millis| began + SignedDuration::from_millis(millis);
    let bar = |n: u16| {
        let start = i64::from(n) * 37 % 9000;
        let ended = at(start + 5 + i64::from(n) % 700);
        let reason = format!("<b onclick=alert(1)>{INJECTION}");
        let outcome = Outcome::ALL[usize::from(n) % Outcome::ALL.len()];
        HookTiming {
            process_id: ProcessId::from(u128::from(n)),
            provider: format!("provider-{}", n % 5),
            hook_name: "on_BinaryRequest__50_provider.sh".to_owned(),
            started: at(start),
            ended,
            exit: "exit 0".to_owned(),
            exit_outcome: None,
            subject: format!("tool-{n}"),
            attempts: vec![AttemptTiming {
                binary: format!("tool-{n}"),
                outcome,
                reason,
                at: ended + SignedDuration::from_millis(3),
            }],
            cpu_ms: Some(3),
            max_rss: Some(1 << 20),
            stdout_tail: String::new(),
            stderr_tail: "</pre><script>alert(1)</script>\n".repeat(10),
        }
    };
    for (lanes, bars) in [(1, 1), (5, 500)] {
        let run =
            TimedCommand { command_line: format!("rigup install {INJECTION}"), started: began, ended: began };
        let timings = Timings::new(run, (0..bars).map(bar).collect());
        let page = context.write(&format!("{bars}.html"), timings::page(&timings));
        check_page(&context, &page, lanes, usize::from(bars));
    }
}
