//! The health checks of an execution, which run in a thread until it ends.

use std::time::{Duration, Instant};

use crate::model::{Health, HealthCheck, HealthHistory};
use crate::process::poll;
use crate::process::signals::Interrupt;
use crate::supervisor::readiness::{self, ProbeContext};

/// Checks an execution that has this health and this uptime until it ends, which is the interrupt `end`. Reports each change
/// of its health, with the reason of a failure.
pub(super) fn watch(
    check: &HealthCheck,
    context: &ProbeContext,
    health: Health,
    uptime: Duration,
    end: &Interrupt,
    mut report: impl FnMut(Result<(), String>),
) {
    let began = Instant::now();
    let uptime = || uptime.saturating_add(began.elapsed());
    let mut history = HealthHistory::new(health);
    loop {
        let pause = history.pause(check, uptime());
        if poll::readable([end.fd()], Instant::now() + pause) == [true] {
            return;
        }
        let result = readiness::check(&check.probe, context, check.timeout, end);
        // A check that was interrupted says nothing.
        if poll::readable([end.fd()], Instant::now()) == [true] {
            return;
        }
        if history.add(check, result.is_ok(), uptime()) {
            report(result);
        }
    }
}
