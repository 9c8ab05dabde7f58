//! Tries a hook in every way that the contract speaks of, and has each judged.

use uuid::Uuid;

use crate::clock;
use crate::hook::run::NOTE_AFTER;
use crate::hook_test::cramped::Cramped;
use crate::hook_test::finding::{Finding, Judgement, LookAt, Outcome};
use crate::hook_test::item::Item;
use crate::hook_test::judge;
use crate::hook_test::observation::Observation;
use crate::hook_test::request::Request;
use crate::hook_test::trial::{Room, Stage, TrialError};
use crate::model::process::ExitReason;

/// A hook to be tested.
#[derive(Debug)]
pub struct Kit<'a> {
    /// Where it is run.
    pub stage: Stage<'a>,
    /// What it is asked.
    pub good: Request,
}

impl Kit<'_> {
    /// Tries these items, and tells what came of each as soon as it is known.
    pub fn check(&self, items: &[Item], mut tell: impl FnMut(Finding)) -> Result<(), TrialError> {
        let mut tell = |item: Item, judgement: Judgement| {
            if items.contains(&item) {
                tell(Finding { item, judgement });
            }
        };
        let wants = |item: Item| items.contains(&item);
        tell(Item::Name, judge::name(&self.stage.hook.path));
        let room = self.stage.room("good")?;
        let good = self.stage.ask(&room, &self.good)?;
        let started = judge::starts(&good, &self.stage.hook.path);
        let is_started = !started.is_broken();
        tell(Item::Starts, started.of_run(good.process_id));
        if !is_started {
            for item in items.iter().copied().filter(|it| !matches!(it, Item::Name | Item::Starts)) {
                tell(item, Judgement::skipped("it cannot be started"));
            }
            return Ok(());
        }
        if good.end == ExitReason::Timeout && !self.stage.is_daemon() {
            return self.endless(&good, items, tell);
        }
        let mut runs = vec![good.clone()];
        if self.stage.is_provider() {
            tell(Item::Answer, judge::answer(&good, self.good.is_guess).of_run(good.process_id));
            if wants(Item::Absent) || wants(Item::Stdout) {
                let run = self.stage.ask(&self.stage.room("absent")?, &self.good.named(&unheard_of()))?;
                tell(Item::Absent, judge::absent(&run).of_run(run.process_id));
                runs.push(run);
            }
            if wants(Item::NotAsked) || wants(Item::Stdout) {
                let run = self.stage.ask(&self.stage.room("not-asked")?, &self.good.to_others())?;
                tell(Item::NotAsked, judge::not_asked(&run).of_run(run.process_id));
                runs.push(run);
            }
            if wants(Item::Batch) {
                let absent = self.good.named(&unheard_of());
                let run = self.stage.ask_together(&room, &self.good, &[&absent])?;
                tell(Item::Batch, judge::batch(&good, &run).of_run(run.process_id));
            }
        }
        if wants(Item::UnknownArguments) {
            tell(Item::UnknownArguments, self.unknown_arguments(&room, &good)?);
        }
        if wants(Item::Hostile) {
            tell(Item::Hostile, self.hostile(&good)?);
        }
        if wants(Item::Huge) {
            let run = self.stage.ask(&room, &self.good.huge(self.stage.is_provider()))?;
            tell(Item::Huge, judge::huge(&good, &run).of_run(run.process_id));
        }
        if self.stage.is_provider() && (wants(Item::Repeat) || wants(Item::Stdout)) {
            let again = self.stage.ask(&room, &self.good)?;
            tell(Item::Stdout, judge::stdout(runs.iter().chain([&again])));
            tell(Item::Repeat, judge::repeat(&good, &again).of_run(again.process_id));
        } else {
            tell(Item::Stdout, judge::stdout(&runs));
        }
        if wants(Item::Term) {
            tell(Item::Term, self.term(&good)?);
        }
        let suspect = self.suspect(&["setsid", "nohup", "daemon", "detached", "start_new_session", " &"]);
        tell(Item::Leftovers, judge::leftovers(&good, suspect).of_run(good.process_id));
        for (item, how) in [(Item::ReadOnly, Cramped::ReadOnly), (Item::Full, Cramped::Full)] {
            if wants(item) {
                tell(item, self.cramped(&good, item.id(), how)?);
            }
        }
        Ok(())
    }

    /// A hook that does not end by itself: to wait for that again and again would tell nothing new.
    fn endless(
        &self,
        good: &Observation,
        items: &[Item],
        mut tell: impl FnMut(Item, Judgement),
    ) -> Result<(), TrialError> {
        let first = if self.stage.is_provider() { Item::Answer } else { Item::UnknownArguments };
        let is_left = |it: &&Item| !matches!(it, Item::Name | Item::Starts);
        for &item in items.iter().filter(is_left) {
            let judged = match item {
                Item::Term => self.term(good)?,
                item if item == first => judge::answer(good, false).of_run(good.process_id),
                _ => Judgement::skipped("it does not end by itself"),
            };
            tell(item, judged);
        }
        Ok(())
    }

    fn unknown_arguments(&self, room: &Room, good: &Observation) -> Result<Judgement, TrialError> {
        let run = self.stage.ask(room, &self.good.with_unknown())?;
        let judged = judge::unchanged(good, &run, "with --rigup-unknown=... and --rigup-unknown-flag");
        // A record has no key twice.
        if judged.is_broken() || !self.stage.is_provider() || self.stage.hook.name.is_batch {
            return Ok(judged.of_run(run.process_id));
        }
        let run = self.stage.ask(room, &self.good.with_repeated_name(&unheard_of()))?;
        Ok(judge::unchanged(good, &run, "with another --name before its own").of_run(run.process_id))
    }

    fn hostile(&self, good: &Observation) -> Result<Judgement, TrialError> {
        let provider = self.stage.is_provider().then_some(self.stage.hook.plugin.as_str());
        let room = self.stage.room("hostile")?;
        // Short, for names are; and of this test alone, for it may appear in the hook's own folder.
        let canary = format!("k{:08x}", clock::new_id().as_u64_pair().1 & 0xffff_ffff);
        for hostile in self.good.hostile(provider, &room.disk.join(&canary)) {
            let mut run = self.stage.ask(&room, &hostile.request)?;
            run.canaries = self.stage.canaries(&canary);
            let outside = run.canaries.iter().filter(|it| !it.starts_with(self.stage.folder));
            for canary in outside {
                fs_err::remove_file(canary)?;
            }
            let suspect = self.suspect(&["eval", "sh -c", "shell=True", "os.system", "execSync(", "exec("]);
            let judged = judge::hostile(good, &run, &hostile.what, hostile.is_absent, suspect);
            if judged.is_broken() {
                return Ok(judged.of_run(run.process_id));
            }
        }
        Ok(Judgement::held())
    }

    /// Ends it half-way. What is over before that is tried again sooner, down to where the engine begins to look; and
    /// what went on to succeed has to do so twice, for a busy machine may have kept the signal from it.
    fn term(&self, good: &Observation) -> Result<Judgement, TrialError> {
        let suspect = self.suspect(&["trap", "SIGTERM", "SIG_IGN", "setsid", "nohup", "detached", " &"]);
        let mut timeout = (good.took.min(self.stage.timeout) / 2).max(NOTE_AFTER);
        let (mut attempt, mut successes) = (0, 0);
        loop {
            attempt += 1;
            let room = self.stage.room(&format!("term-{attempt}"))?;
            let run = self.stage.run(&room, &self.good, &[], timeout, None)?;
            let judged = judge::term(good, &run, suspect.clone()).of_run(run.process_id);
            let is_success = judged.is_broken() && run.exit_code == Some(0);
            successes += u32::from(is_success);
            let is_known = judged.outcome != Outcome::Skipped && (!is_success || successes > 1);
            if is_known || timeout == NOTE_AFTER {
                return Ok(judged);
            }
            timeout = (timeout / 2).max(NOTE_AFTER);
        }
    }

    fn cramped(&self, good: &Observation, room: &str, how: Cramped) -> Result<Judgement, TrialError> {
        let room = self.stage.room(room)?;
        let run = self.stage.run(&room, &self.good, &[], self.stage.timeout(), Some(how))?;
        if !Cramped::was_possible(&room.disk) {
            // What went wrong first is what matters; `mount` says more after that.
            let log = fs_err::read(run.said_at.path)?;
            let log = String::from_utf8_lossy(&log);
            let why = log.lines().find(|it| !it.trim().is_empty()).unwrap_or(&run.said);
            return Ok(Judgement::skipped(format!("this system lets nobody set that up: {why}")));
        }
        Ok(judge::cramped(good, &run).of_run(run.process_id))
    }

    fn suspect(&self, words: &[&str]) -> LookAt {
        let text = fs_err::read(&self.stage.hook.path).unwrap_or_default();
        judge::suspect(&self.stage.hook.path, &String::from_utf8_lossy(&text), words)
    }
}

/// A name that nobody ever provides.
fn unheard_of() -> String {
    format!("rigup-absent-{}", Uuid::simple(clock::new_id()))
}
