//! The timings as one JSON object.

use jiff::SignedDuration;
use serde_json::{Value, json};

use crate::clock;
use crate::report::timings::provider_total::ProviderTotal;
use crate::report::timings::timed_command::Timings;

/// Returns the record of a command's timings.
pub(crate) fn record(timings: &Timings) -> Value {
    let all = timings.total();
    json!({
        "type": "Timings",
        "command": timings.command.command_line,
        "began_at": clock::format(timings.command.started),
        "ended_at": clock::format(timings.command.ended),
        "duration_ms": millis(timings.duration()),
        "failed": timings.failed(),
        "critical_path": {
            "duration_ms": millis(timings.critical_time()),
            "process_ids": timings.critical_bars().map(|bar| bar.hook.process_id).collect::<Vec<_>>(),
        },
        "providers": timings.totals().iter().map(|total| total_record(total, &all)).collect::<Vec<_>>(),
        "bars": (0..timings.bars.len()).map(|index| bar_record(timings, index)).collect::<Vec<_>>(),
    })
}

fn bar_record(timings: &Timings, index: usize) -> Value {
    let bar = &timings.bars[index];
    let hook = &bar.hook;
    json!({
        "process_id": hook.process_id,
        "provider": hook.provider,
        "hook_name": hook.hook_name,
        "waiting_since": clock::format(bar.ready_at),
        "started_at": clock::format(hook.started),
        "ended_at": clock::format(hook.ended),
        "judged_at": clock::format(hook.verified_at()),
        "wait_ms": millis(bar.wait_time()),
        "run_ms": millis(hook.run_time()),
        "probe_ms": millis(hook.verify_time()),
        "is_critical": timings.critical_path.contains(&index),
        "ending": hook.exit,
        "attempts": hook.attempts,
        "cpu_ms": hook.cpu_ms,
        "max_rss": hook.max_rss,
        "stdout_tail": hook.stdout_tail,
        "stderr_tail": hook.stderr_tail,
    })
}

fn total_record(total: &ProviderTotal, all: &ProviderTotal) -> Value {
    json!({
        "provider": total.provider,
        "hooks": total.hooks,
        "attempts": total.attempts,
        "installed": total.installed,
        "wait_ms": millis(total.wait),
        "run_ms": millis(total.run),
        "probe_ms": millis(total.verify),
        "cpu_ms": total.cpu_ms,
        "share": (total.share(all) * 1000.0).round() / 1000.0,
    })
}

fn millis(time: SignedDuration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}
