//! The page of `rigup report` in a real headless browser: on a phone and on a desktop, light and dark, with the keyboard.

use std::fs;

use serde_json::{Value, json};

use crate::browser::{load, screenshot_size};
use crate::test_context::TestContext;

/// Uses a page in a frame of this width. Returns whether the page is dark, and what is wrong with it.
fn probe(context: &TestContext, page: &str, width: u32, options: &[&str]) -> (bool, Vec<Value>) {
    let page = page.replace('&', "&amp;").replace('"', "&quot;");
    let probe = include_str!("report_probe.html").replace("WIDTH", &width.to_string()).replace("PAGE", &page);
    let file = context.write(&format!("probe-{width}.html"), probe);
    let (dom, console) = load(context, &file, options);
    assert_eq!(console, [""; 0]);
    let (_, rest) = dom.split_once("<pre id=\"problems\">").unwrap();
    let text = rest.split_once("</pre>").unwrap().0.replace("&lt;", "<").replace("&gt;", ">");
    let result: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    (result["isDark"].as_bool().unwrap(), result["problems"].as_array().unwrap().clone())
}

#[test]
#[ignore = "needs chromium: run with --ignored"]
fn a_report_is_usable_on_phone_and_desktop_light_and_dark() {
    let context = TestContext::new();
    context.fixture("good").fixture("failing");
    let hostile = "#!/bin/sh\necho '</pre></style><script>alert(2)</script>' >&2\nexit 1\n";
    context.provider("hostile", hostile);
    let mut names: Vec<String> = (1..=9).map(|n| format!("tool-{n}")).collect();
    names.push("<img src=x onerror=alert(1)>".to_owned());
    names.push("a-name-without-any-blank-that-a-phone-has-to-break-somewhere".to_owned());
    let providers = |index| if index % 3 == 0 { "hostile,failing" } else { "hostile,failing,good" };
    let line = |(index, name): (usize, &String)| json!({"type": "Binary", "name": name, "binproviders": providers(index)});
    context.plugin("p", &names.iter().enumerate().map(line).collect::<Vec<_>>());
    context.script("here/plugins/p/on_Snapshot__1_page.sh", "#!/bin/sh\nexit 4\n");
    context.write(
        "here/rigup.toml",
        "[daemons.web]\ncommand = [\"sh\", \"-c\", \"echo no >&2; exit 1\"]\nrestart = \"no\"\n",
    );
    context.run(&["install", "--timings"]).exits_with(1);
    context.run(&["run", "Snapshot"]).exits_with(1);
    context.run(&["up"]);
    context.run(&["report"]).succeeds();
    let file = context.path("here/rigup-report.html");
    for page in [&file, &context.path("here/rigup-timings.html")] {
        let page = fs::read_to_string(page).unwrap();
        for width in [390, 1400] {
            for (options, is_dark) in [(&[][..], false), (&["--blink-settings=preferredColorScheme=0"], true)]
            {
                assert_eq!(probe(&context, &page, width, options), (is_dark, Vec::new()), "{width}");
            }
        }
    }
    let (_, console) = load(&context, &file, &[]);
    assert_eq!(console, [""; 0]);
    let blank = context.write("blank.html", "<!DOCTYPE html><title>blank</title>");
    assert!(screenshot_size(&context, &file) > 4 * screenshot_size(&context, &blank));
}
