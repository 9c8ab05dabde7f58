//! Runs a hook in every way that the contract covers, and checks each run.

use uuid::Uuid;

use crate::clock;
use crate::hook::run::RECORD_AFTER;
use crate::hook_test::check::Check;
use crate::hook_test::checks;
use crate::hook_test::request::TestRequest;
use crate::hook_test::result::{CheckOutcome, CheckResult, Location};
use crate::hook_test::run::HookRun;
use crate::hook_test::runner::{HookRunner, TestError};
use crate::hook_test::sandbox::{DiskFault, Sandbox};
use crate::model::ExitReason;

/// The checks of one hook.
#[derive(Debug)]
pub(crate) struct Suite<'a> {
    /// Runs the hook.
    pub runner: HookRunner<'a>,
    /// A request that the hook can satisfy.
    pub good: TestRequest,
}

impl Suite<'_> {
    /// Makes these checks, and reports each result as soon as it is known.
    pub(crate) fn run(
        &self,
        checks: &[Check],
        mut report: impl FnMut(Check, CheckResult),
    ) -> Result<(), TestError> {
        let wants = |check: Check| checks.contains(&check);
        let mut report = |check: Check, result: CheckResult| {
            if wants(check) {
                report(check, result);
            }
        };
        report(Check::Name, checks::name(&self.runner.hook.path));
        let sandbox = self.runner.sandbox("good")?;
        let good = self.runner.run(&sandbox, &self.good)?;
        let started = checks::starts(&good, &self.runner.hook.path);
        let is_started = !started.has_failed();
        report(Check::Starts, started.of_run(good.process_id));
        if !is_started || good.exit_reason == ExitReason::Timeout && !self.runner.is_daemon() {
            return self.without_exit(&good, is_started, checks, report);
        }
        let mut runs = vec![good.clone()];
        let is_provider = self.runner.is_provider();
        if is_provider {
            report(Check::Answer, checks::answer(&good, self.good.is_guess).of_run(good.process_id));
            let absent = self.good.named(&absent_name());
            if wants(Check::Absent) || wants(Check::Stdout) {
                let run = self.runner.run(&self.runner.sandbox("absent")?, &absent)?;
                report(Check::Absent, checks::absent(&run).of_run(run.process_id));
                runs.push(run);
            }
            if wants(Check::NotAsked) || wants(Check::Stdout) {
                let run = self.runner.run(&self.runner.sandbox("not-asked")?, &self.good.to_others())?;
                report(Check::NotAsked, checks::not_asked(&run).of_run(run.process_id));
                runs.push(run);
            }
            if wants(Check::Batch) {
                let run =
                    self.runner.run_with(&sandbox, &self.good, &[&absent], self.runner.timeout(), None)?;
                report(Check::Batch, checks::batch(&good, &run).of_run(run.process_id));
            }
        }
        if wants(Check::UnknownArguments) {
            report(Check::UnknownArguments, self.unknown_arguments(&sandbox, &good)?);
        }
        if wants(Check::Hostile) {
            report(Check::Hostile, self.hostile(&good)?);
        }
        if wants(Check::Huge) {
            let run = self.runner.run(&sandbox, &self.good.huge(is_provider))?;
            report(Check::Huge, checks::huge(&good, &run).of_run(run.process_id));
        }
        if is_provider && (wants(Check::Repeat) || wants(Check::Stdout)) {
            let again = self.runner.run(&sandbox, &self.good)?;
            report(Check::Stdout, checks::stdout(runs.iter().chain([&again])));
            report(Check::Repeat, checks::repeat(&good, &again).of_run(again.process_id));
        } else {
            report(Check::Stdout, checks::stdout(&runs));
        }
        if wants(Check::Term) {
            report(Check::Term, self.term(&good)?);
        }
        let line =
            self.suspicious_line(&["setsid", "nohup", "daemon", "detached", "start_new_session", " &"]);
        report(Check::Leftovers, checks::leftovers(&good, line).of_run(good.process_id));
        for (check, fault) in [(Check::ReadOnly, DiskFault::ReadOnly), (Check::Full, DiskFault::Full)] {
            if wants(check) {
                report(check, self.on_disk(&good, fault)?);
            }
        }
        Ok(())
    }

    /// Reports the results of a hook that cannot be started or does not exit by itself: running it again would show nothing
    /// new.
    fn without_exit(
        &self,
        good: &HookRun,
        is_started: bool,
        checks: &[Check],
        mut report: impl FnMut(Check, CheckResult),
    ) -> Result<(), TestError> {
        let first = if self.runner.is_provider() { Check::Answer } else { Check::UnknownArguments };
        for &check in checks.iter().filter(|check| !matches!(check, Check::Name | Check::Starts)) {
            let result = match check {
                _ if !is_started => CheckResult::skipped("it cannot be started"),
                Check::Term => self.term(good)?,
                check if check == first => checks::answer(good, false).of_run(good.process_id),
                _ => CheckResult::skipped("it does not exit on its own"),
            };
            report(check, result);
        }
        Ok(())
    }

    fn unknown_arguments(&self, sandbox: &Sandbox, good: &HookRun) -> Result<CheckResult, TestError> {
        let run = self.runner.run(sandbox, &self.good.with_unknown())?;
        let result = checks::unchanged(good, &run, "with --rigup-unknown=... and --rigup-unknown-flag");
        // A record has no key twice.
        if result.has_failed() || !self.runner.is_provider() || self.runner.hook.name.is_batch {
            return Ok(result.of_run(run.process_id));
        }
        let run = self.runner.run(sandbox, &self.good.with_repeated_name(&absent_name()))?;
        Ok(checks::unchanged(good, &run, "with another --name before its own").of_run(run.process_id))
    }

    fn hostile(&self, good: &HookRun) -> Result<CheckResult, TestError> {
        let provider = self.runner.is_provider().then_some(self.runner.hook.plugin.as_str());
        let sandbox = self.runner.sandbox("hostile")?;
        // Short, because names are, and unique, because the file may appear in the hook's own folder.
        let canary = format!("k{:08x}", clock::new_id().as_u64_pair().1 & 0xffff_ffff);
        for hostile in self.good.hostile(provider, &sandbox.disk.join(&canary)) {
            let mut run = self.runner.run(&sandbox, &hostile.request)?;
            run.canaries = self.runner.canaries(&canary);
            let outside = run.canaries.iter().filter(|canary| !canary.starts_with(self.runner.folder));
            for canary in outside {
                fs_err::remove_file(canary)?;
            }
            let line =
                self.suspicious_line(&["eval", "sh -c", "shell=True", "os.system", "execSync(", "exec("]);
            let result = checks::hostile(good, &run, &hostile.what, hostile.is_absent, line);
            if result.has_failed() {
                return Ok(result.of_run(run.process_id));
            }
        }
        Ok(CheckResult::passed())
    }

    /// Terminates the hook halfway. A run that finishes earlier is repeated with a shorter timeout, down to the shortest that
    /// the engine notices. A success is repeated once, because a busy machine may delay the signal.
    fn term(&self, good: &HookRun) -> Result<CheckResult, TestError> {
        let line = self.suspicious_line(&["trap", "SIGTERM", "SIG_IGN", "setsid", "nohup", "detached", " &"]);
        let mut timeout = (good.duration.min(self.runner.timeout) / 2).max(RECORD_AFTER);
        let (mut attempt, mut successes) = (0, 0);
        loop {
            attempt += 1;
            let sandbox = self.runner.sandbox(&format!("term-{attempt}"))?;
            let run = self.runner.run_with(&sandbox, &self.good, &[], timeout, None)?;
            let result = checks::term(good, &run, line.clone()).of_run(run.process_id);
            let is_success = result.has_failed() && run.exit_code == Some(0);
            successes += u32::from(is_success);
            let is_known = result.outcome != CheckOutcome::Skipped && (!is_success || successes > 1);
            if is_known || timeout == RECORD_AFTER {
                return Ok(result);
            }
            timeout = (timeout / 2).max(RECORD_AFTER);
        }
    }

    fn on_disk(&self, good: &HookRun, fault: DiskFault) -> Result<CheckResult, TestError> {
        let sandbox = self.runner.sandbox(fault.as_str())?;
        let run = self.runner.run_with(&sandbox, &self.good, &[], self.runner.timeout(), Some(fault))?;
        // Without this file, the hook was not started, because the system does not allow such mounts.
        if !sandbox.disk.join("set-up").exists() {
            // The first line has the cause; `mount` prints more after it.
            let log = fs_err::read(run.stderr_location.path)?;
            let log = String::from_utf8_lossy(&log);
            let cause = log.lines().find(|line| !line.trim().is_empty()).unwrap_or(&run.last_stderr);
            return Ok(CheckResult::skipped(format!("this system does not allow such a mount: {cause}")));
        }
        Ok(checks::disk_fault(good, &run).of_run(run.process_id))
    }

    fn suspicious_line(&self, words: &[&str]) -> Location {
        let text = fs_err::read(&self.runner.hook.path).unwrap_or_default();
        checks::suspicious_line(&self.runner.hook.path, &String::from_utf8_lossy(&text), words)
    }
}

/// Returns a name that no provider has.
fn absent_name() -> String {
    format!("rigup-absent-{}", Uuid::simple(clock::new_id()))
}
