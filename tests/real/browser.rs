//! A headless browser, Debian's package `chromium`.

use std::fs;
use std::path::Path;

use crate::test_context::{CommandOutput, TestContext, wait_until};

/// Opens a page in the browser, and waits until the browser exits.
fn open(context: &TestContext, page: &Path, options: &[&str]) -> CommandOutput {
    let profile = format!("--user-data-dir={}", context.path("profile").display());
    let url = format!("file://{}", page.display());
    let mut args = vec!["60", "chromium", "--headless", "--no-sandbox", "--disable-gpu", &profile];
    args.extend(["--disable-dev-shm-usage", "--enable-logging=stderr", "--v=0", "--window-size=1400,900"]);
    args.extend(options);
    args.push(&url);
    let output = context.command_for(Path::new("timeout"), &args).output().unwrap();
    wait_until("the browser's processes have exited", || context.live_processes().is_empty());
    CommandOutput::new(&args, &output).succeeds()
}

/// Returns the DOM of a page, and the messages in the browser's console.
pub(crate) fn load(context: &TestContext, page: &Path, options: &[&str]) -> (String, Vec<String>) {
    let output = open(context, page, &[&["--dump-dom"], options].concat());
    let console = output.stderr.lines().filter(|line| line.contains("CONSOLE")).map(str::to_owned).collect();
    (output.stdout, console)
}

/// Returns the size of a screenshot of the page, in bytes. The screenshot of a blank page is small.
pub(crate) fn screenshot_size(context: &TestContext, page: &Path) -> u64 {
    let screenshot = context.path("page.png");
    open(context, page, &[&format!("--screenshot={}", screenshot.display())]);
    let size = screenshot.metadata().unwrap().len();
    fs::remove_file(screenshot).unwrap();
    size
}
