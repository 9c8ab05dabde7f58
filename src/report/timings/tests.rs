use std::collections::HashSet;

use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::*;
use crate::model::{Outcome, ProcessId};
use crate::report::job_report::ItemOutcome;

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millisecond(millis).unwrap()
}

/// Returns a hook for some binaries that started, exited and was verified at these milliseconds.
fn bar(id: u128, provider: &str, binaries: &[&str], times: [i64; 3], outcome: Outcome) -> HookTiming {
    let [started, ended, verified] = times.map(at);
    let reason = if outcome == Outcome::Installed { "" } else { "because" };
    let attempt = |name: &&str| AttemptTiming {
        binary: (*name).to_owned(),
        outcome,
        reason: reason.to_owned(),
        at: verified,
    };
    HookTiming {
        process_id: ProcessId::from(id),
        provider: provider.to_owned(),
        hook_name: format!("on_BinaryRequest__50_{provider}.sh"),
        started,
        ended,
        exit: "exit 0".to_owned(),
        exit_outcome: None,
        subject: binaries.first().copied().unwrap_or_default().to_owned(),
        attempts: binaries.iter().map(attempt).collect(),
        cpu_ms: Some(5),
        max_rss: Some(1_000_000),
        stdout_tail: String::new(),
        stderr_tail: String::new(),
    }
}

fn declined(id: u128, provider: &str, binary: &str, times: [i64; 3]) -> HookTiming {
    bar(id, provider, &[binary], times, Outcome::Declined)
}

fn installed(id: u128, provider: &str, binary: &str, times: [i64; 3]) -> HookTiming {
    bar(id, provider, &[binary], times, Outcome::Installed)
}

fn timings(bars: Vec<HookTiming>) -> Timings {
    Timings::new(
        TimedCommand { command_line: "rigup install".to_owned(), started: at(0), ended: at(0) },
        bars,
    )
}

fn millis(time: SignedDuration) -> i64 {
    i64::try_from(time.as_millis()).unwrap()
}

fn path(timings: &Timings) -> Vec<u128> {
    timings.critical_bars().map(|bar| bar.hook.process_id.as_u128()).collect()
}

fn waits(timings: &Timings) -> Vec<i64> {
    timings.bars.iter().map(|bar| millis(bar.wait_time())).collect()
}

#[test]
fn what_failed_is_counted_by_binary_and_by_hook_of_an_event() {
    let failed = |id, binary, outcome| bar(id, "pip", &[binary], [1, 2, 3], outcome);
    let event = |id, outcome| HookTiming {
        attempts: Vec::new(),
        exit_outcome: Some(outcome),
        ..installed(id, "web", "", [1, 2, 2])
    };
    let timings = timings(vec![
        failed(1, "jq", Outcome::Failed),
        failed(2, "jq", Outcome::Declined),
        failed(3, "rg", Outcome::Rejected),
        installed(4, "apt", "rg", [4, 5, 6]),
        event(5, ItemOutcome::Failed),
        event(6, ItemOutcome::Done),
        event(7, ItemOutcome::Skipped),
    ]);
    assert_eq!(timings.failed(), 2);
}

#[test]
fn an_attempt_waits_from_the_verification_of_the_attempt_before() {
    let timings = timings(vec![
        installed(2, "apt", "rg", [130, 900, 950]),
        declined(1, "env", "rg", [10, 90, 100]),
        declined(3, "env", "jq", [40, 60, 60]),
    ]);
    assert_eq!(waits(&timings), [10, 40, 30]);
    assert_eq!(
        timings.duration(),
        SignedDuration::from_millis(950),
        "the run lasts until every record is verified"
    );
    assert_eq!([timings.bars[2].hook.run_time(), timings.bars[2].hook.verify_time()].map(millis), [770, 50]);
}

#[test]
fn a_batch_hook_waits_for_the_request_that_is_ready_last() {
    let timings = timings(vec![
        declined(1, "env", "rg", [0, 10, 10]),
        declined(2, "env", "jq", [0, 30, 40]),
        bar(3, "apt", &["rg", "jq", "wget"], [50, 80, 90], Outcome::Installed),
    ]);
    assert_eq!(waits(&timings), [0, 0, 10]);
    assert_eq!(path(&timings), [2, 3]);
    let total = timings.total();
    assert_eq!((total.hooks, total.attempts, total.installed), (3, 5, 3));
}

#[test]
fn the_critical_path_has_the_attempts_at_the_last_binary() {
    let timings = timings(vec![
        declined(1, "env", "rg", [10, 20, 20]),
        declined(2, "brew", "rg", [30, 40, 40]),
        installed(3, "apt", "rg", [50, 5000, 5100]),
        installed(4, "env", "jq", [10, 4000, 4000]),
    ]);
    assert_eq!(path(&timings), [1, 2, 3]);
    assert_eq!(timings.critical_time(), SignedDuration::from_millis(10 + 10 + 5050));
}

#[test]
fn the_critical_path_has_the_hook_that_held_the_providers_lock() {
    let timings = timings(vec![
        declined(1, "env", "rg", [0, 10, 10]),
        installed(2, "apt", "jq", [5, 3000, 3010]),
        installed(3, "pip", "httpie", [5, 3020, 3030]),
        installed(4, "apt", "rg", [3040, 4000, 4000]),
    ]);
    assert_eq!(path(&timings), [2, 4], "neither an attempt that exited long before nor another provider");
}

#[test]
fn the_critical_path_has_the_hook_that_installed_a_provider() {
    let timings = timings(vec![
        declined(1, "npm", "json", [10, 20, 20]),
        installed(2, "apt", "npm", [30, 8000, 8020]),
        installed(3, "npm", "json", [8030, 9000, 9000]),
    ]);
    assert_eq!(path(&timings), [1, 2, 3]);
}

#[test]
fn the_critical_path_starts_at_a_hook_that_waited_for_no_other() {
    let lone = timings(vec![installed(1, "env", "rg", [500, 600, 600])]);
    assert_eq!(path(&lone), [1]);
    let apart =
        timings(vec![installed(1, "env", "rg", [0, 10, 10]), installed(2, "env", "jq", [500, 600, 600])]);
    assert_eq!(path(&apart), [2], "a hook that exited long before does not delay it");
    assert_eq!(path(&timings(Vec::new())), [0_u128; 0]);
}

#[test]
fn the_critical_path_of_bars_without_length_is_finite() {
    let bars = (1..=20).map(|id| declined(id, "env", "rg", [5, 5, 5])).collect();
    let timings = timings(bars);
    assert_eq!(path(&timings), (1..=20).collect::<Vec<u128>>());
}

#[test]
fn bars_of_a_row_do_not_overlap_and_lanes_have_few_rows() {
    let bars: Vec<HookTiming> = (0..500_i64)
        .map(|n| {
            let start = n * 37 % 9000;
            let provider = if n % 3 == 0 { "env" } else { "pip" };
            let times = [start, start + 5 + n % 90, start + 10 + n % 90];
            installed(u128::try_from(n).unwrap(), provider, &format!("tool-{n}"), times)
        })
        .collect();
    let timings = timings(bars);
    let lanes = lanes::lanes(&timings);
    assert_eq!(lanes.iter().map(|lane| lane.placements.len()).sum::<usize>(), 500);
    for lane in &lanes {
        assert!(lane.rows <= 12, "{}: {} rows", lane.provider, lane.rows);
        let mut until = vec![timings.command.started; lane.rows];
        for placement in &lane.placements {
            let hook = &timings.bars[placement.index].hook;
            assert!(
                until[placement.row] <= hook.started && placement.free_from <= hook.started,
                "{placement:?}"
            );
            assert!(hook.verified_at() <= placement.free_until, "{placement:?}");
            until[placement.row] = hook.verified_at();
        }
    }
}

#[test]
fn totals_are_in_the_order_of_first_hooks_and_shares_add_up_to_one() {
    let timings = timings(vec![
        declined(1, "env", "rg", [0, 100, 100]),
        installed(2, "apt", "rg", [110, 400, 410]),
        installed(3, "env", "jq", [100, 200, 200]),
    ]);
    let totals = timings.totals();
    let shown: Vec<(&str, usize, usize, i64)> = totals
        .iter()
        .map(|total| (total.provider.as_str(), total.attempts, total.installed, millis(total.busy_time())))
        .collect();
    assert_eq!(shown, [("env", 2, 1, 200), ("apt", 1, 1, 300)]);
    let shares: Vec<f64> = totals.iter().map(|total| total.share(&timings.total())).collect();
    assert!((shares[0] - 0.4).abs() < 1e-9 && (shares[1] - 0.6).abs() < 1e-9, "{shares:?}");
}

#[test]
fn the_record_holds_everything_that_the_page_shows() {
    let mut failed = bar(2, "apt", &["rg"], [110, 400, 410], Outcome::Failed);
    failed.stderr_tail = "E: no such package\n".to_owned();
    let timings = timings(vec![declined(1, "env", "rg", [0, 100, 100]), failed]);
    let record = record(&timings);
    assert_eq!(record["type"], "Timings");
    assert_eq!(record["duration_ms"], 410);
    assert_eq!(record["critical_path"]["duration_ms"], 400);
    let last = &record["bars"][1];
    assert_eq!(record["critical_path"]["process_ids"][1], last["process_id"]);
    assert_eq!([&last["wait_ms"], &last["run_ms"], &last["probe_ms"]], [10, 290, 10]);
    assert_eq!(last["is_critical"], true);
    assert_eq!(last["attempts"], json!([{"binary": "rg", "outcome": "failed", "reason": "because"}]));
    assert_eq!(last["stderr_tail"], "E: no such package\n");
    assert_eq!(record["providers"][1]["share"], 0.75);
}

/// Returns the tags of a page, without their attributes, and its text.
fn tags_and_text(page: &str) -> (HashSet<&str>, String) {
    let (_, body) = page.split_once("</style>").unwrap();
    let mut tags = HashSet::new();
    let mut text = String::new();
    for part in body.split('<').skip(1) {
        let (tag, rest) = part.split_once('>').unwrap();
        tags.insert(tag.split(' ').next().unwrap());
        text.push_str(rest);
    }
    (tags, text)
}

#[test]
fn hostile_names_reasons_and_logs_stay_text() {
    let hostile = "\"><script>alert('x')</script><img src=x onerror=alert(1)>\u{1b}]0;\u{7}</style>";
    let mut hook = bar(1, hostile, &[hostile], [0, 100, 120], Outcome::Failed);
    hook.attempts[0].reason = hostile.to_owned();
    hook.hook_name = hostile.to_owned();
    hook.exit = hostile.to_owned();
    hook.stdout_tail = hostile.to_owned();
    hook.stderr_tail = format!("\n\nfirst\r\n{hostile}\n");
    let command =
        TimedCommand { command_line: format!("rigup install {hostile}"), started: at(0), ended: at(130) };
    let hostile_page = page(&Timings::new(command, vec![hook]));
    let harmless_page = page(&timings(vec![bar(1, "apt", &["rg"], [0, 100, 120], Outcome::Failed)]));
    let (tags, text) = tags_and_text(&hostile_page);
    let mut wanted = tags_and_text(&harmless_page).0;
    wanted.extend(["pre", "/pre"]);
    assert_eq!(tags, wanted, "the same tags as in a harmless page with a log");
    assert!(text.contains("&lt;script&gt;alert(&#39;x&#39;)") && !hostile_page.contains('\u{1b}'));
    assert!(text.contains("\n\n\nfirst\n&quot;&gt;"), "empty lines and line breaks are kept");
}

#[test]
fn the_page_loads_nothing_and_may_run_no_script() {
    let page = page(&timings(vec![installed(1, "apt", "rg", [0, 100, 120])]));
    let policy =
        "http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\"";
    assert!(page.contains(policy));
    for loads in ["http:", "https:", "src=", "url(", "@import", "<script", "<link", "onload="] {
        assert!(!page.contains(loads), "{loads}");
    }
}

#[test]
fn the_page_has_a_bar_per_hook_and_marks_the_critical_path() {
    let page = page(&timings(vec![
        declined(1, "env", "rg", [0, 100, 100]),
        installed(2, "apt", "rg", [110, 2400, 2460]),
        declined(3, "env", "jq", [20, 50, 50]),
    ]));
    assert_eq!(page.matches("class=\"lane\"").count(), 2);
    assert_eq!(page.matches("class=\"bar ").count(), 3);
    assert_eq!(page.matches("class=\"bar declined critical\"").count(), 1);
    assert_eq!(page.matches("class=\"bar installed critical\"").count(), 1);
    assert_eq!(page.matches("tabindex=\"0\"").count(), 3, "each bar can be reached by keyboard");
    assert!(page.contains("aria-label=\"rg by apt: installed, 2.3 s\""), "{page}");
    for time in
        ["<dt>waited</dt><dd>10 ms</dd>", "<dt>ran</dt><dd>2.2 s</dd>", "<dt>verified</dt><dd>60 ms</dd>"]
    {
        assert!(page.contains(time), "{time}");
    }
}

#[test]
fn a_batch_hook_is_one_bar_with_all_its_outcomes() {
    let mut many = bar(1, "apt", &["rg", "jq", "wget", "git"], [0, 100, 120], Outcome::Installed);
    many.attempts[1].outcome = Outcome::Declined;
    many.attempts[1].reason = "no such package".to_owned();
    let page = page(&timings(vec![many]));
    assert_eq!(page.matches("class=\"bar ").count(), 1);
    assert!(
        page.contains("class=\"bar mixed critical\"") && page.contains("rg, jq and 2 more by apt: mixed")
    );
    assert!(page.contains("<span class=\"word declined\">declined</span> <b>jq</b> no such package"));
}

#[test]
fn shows_a_page_without_hooks_and_one_with_an_unverified_hook() {
    assert!(page(&timings(Vec::new())).contains("No hook ran."));
    let mut unknown = bar(1, "apt", &[], [0, 100, 100], Outcome::Failed);
    unknown.subject = "rg".to_owned();
    let shown = page(&timings(vec![unknown]));
    assert!(shown.contains("class=\"bar unknown critical\"") && shown.contains("rg by apt: unknown"));
    let batch = page(&timings(vec![bar(1, "apt", &[], [0, 100, 100], Outcome::Failed)]));
    assert!(
        batch.contains("on_BinaryRequest__50_apt.sh by apt: unknown"),
        "the requested binaries are unknown"
    );
}
