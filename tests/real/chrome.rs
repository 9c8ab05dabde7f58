//! The plugins `chrome` and `screenshot`, with a real browser.

use std::fs;
use std::net::TcpListener;

use nix::sys::signal::Signal;

use crate::server::Server;
use crate::test_context::{TestContext, died_of, signal, wait_until};

const PLUGINS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/plugins");

fn arguments(url: &str) -> Vec<String> {
    let url = format!("--url={url}");
    let args = [
        "--plugins-dir",
        PLUGINS,
        "run",
        "--plugins",
        "screenshot",
        "--output-dir",
        "out",
        "CrawlSetup,Snapshot",
        &url,
    ];
    args.map(str::to_owned).to_vec()
}

#[test]
#[ignore = "starts a browser: run with --ignored"]
fn a_browser_of_the_first_event_takes_a_screenshot_in_the_second() {
    let context = TestContext::new();
    let server = Server::start(&context);
    let args = arguments(&server.url);
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let records = context.run(&args).succeeds().records();
    let types: Vec<_> = records.iter().map(|record| record["type"].as_str().unwrap()).collect();
    assert_eq!(types, ["Browser", "ArchiveResult", "Process", "Process"], "{records:?}");

    let picture = fs::read(context.path("here/out/screenshot/screenshot.png")).unwrap();
    assert!(picture.starts_with(b"\x89PNG\r\n\x1a\n"));
    assert_eq!(picture[16..20], 1280_u32.to_be_bytes(), "the width in the picture's header");
    assert!(!context.path("here/out/chrome/profile").exists());
    assert_eq!(context.live_processes(), [], "the browser was terminated");
}

#[test]
#[ignore = "starts a browser: run with --ignored"]
fn the_browser_of_a_crawl_serves_the_pages_that_its_records_start() {
    let context = TestContext::new();
    let server = Server::start(&context);
    let page = format!("echo '{{\"type\":\"Snapshot\",\"id\":\"page\",\"url\":\"{}\"}}'", server.url);
    context.script("here/plugins/feed/on_Crawl__1_feed.sh", &format!("#!/bin/sh\n{page}\n"));
    let args = ["--plugins-dir", PLUGINS, "--plugins-dir", "plugins", "run", "--plugins", "screenshot,feed"];
    let events = ["--output-dir", "out", "--follow", "Snapshot", "CrawlSetup,Crawl"];
    context.run(&[&args[..], &events].concat()).succeeds();
    let picture = fs::read(context.path("here/out/Snapshot/page/screenshot/screenshot.png")).unwrap();
    assert!(picture.starts_with(b"\x89PNG\r\n\x1a\n"));
    assert_eq!(context.live_processes(), [], "the browser was terminated");
}

#[test]
#[ignore = "starts a browser: run with --ignored"]
fn a_signal_leaves_no_browser_and_no_profile() {
    for interrupt in [Signal::SIGTERM, Signal::SIGINT] {
        let context = TestContext::new();
        let endless = TcpListener::bind("127.0.0.1:0").unwrap();
        endless.set_nonblocking(true).unwrap();
        let args = arguments(&format!("http://{}/", endless.local_addr().unwrap()));
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let mut rigup = context.start(&args);
        let mut page = None; // the browser requests it, and gets no response
        wait_until("the browser requests the page", || {
            page = endless.accept().ok();
            page.is_some() || rigup.try_wait().unwrap().is_some()
        });
        assert!(page.is_some(), "{:?}", rigup.wait_with_output());
        signal(rigup.id(), interrupt);
        assert!(died_of(rigup.wait().unwrap(), interrupt));
        assert_eq!(context.live_processes(), []);
        assert!(!context.path("here/out/chrome/profile").exists());
    }
}
