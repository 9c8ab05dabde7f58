//! The requests of one run: where each stands, and what comes next for it.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;

use crate::clock;
use crate::install::attempt::{self, Answer, AskError};
use crate::install::event::InstallEvent;
use crate::install::plan::Request;
use crate::install::resolver::deadlock::Waits;
use crate::install::resolver::{ResolveError, Resolved, Resolver, Settled};
use crate::install::scheduler::{ChainIndex, HookIndex, Schedule, Turn};
use crate::install::status::{InstallStatus, install_status};
use crate::install::verdict::Verdict;
use crate::install::verify;
use crate::model::attempt::{Attempt, Outcome};
use crate::model::binary::{Binary, Installed};
use crate::model::id::BinaryId;
use crate::model::plugin_name::ProviderName;
use crate::process::lock::{Busy, Lock};
use crate::store::StoreError;

/// So many requests are in hand at once: each holds a lock, which is an open file.
const IN_HAND: usize = 200;

/// A request as a hook is started for it.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) request: Arc<Request>,
    pub(super) binary: Binary,
    pub(super) is_unsaved: bool,
}

/// All requests of a run, and those that came up on the way: what providers need themselves.
pub(super) struct Work<'r, 'a> {
    pub(super) resolver: &'r Resolver<'a>,
    pub(super) schedule: Schedule,
    pub(super) entries: Vec<Entry>,
    pub(super) places: HashMap<String, ChainIndex>,
    /// The links that hooks above this rigup are working on.
    pub(super) above: Vec<String>,
    /// The first one that was not begun; what came up on the way is begun at once.
    pub(super) next_one: usize,
    pub(super) in_hand: usize,
    /// Those on whose names another rigup works.
    pub(super) locked_out: Vec<(ChainIndex, Busy)>,
    /// Those that waited for what their providers need, when that was looked at last.
    pub(super) waiting: Vec<ChainIndex>,
    pub(super) waits: Waits,
    /// The providers of which was asked what is worth getting for them.
    pub(super) equipped: HashSet<ProviderName>,
    /// The hooks of which was asked how long they usually take.
    pub(super) weighed: HashSet<HookIndex>,
}

/// One request.
pub(super) struct Entry {
    pub(super) request: Arc<Request>,
    pub(super) has_begun: bool,
    pub(super) lock: Option<Lock>,
    pub(super) binary: Option<Binary>,
    pub(super) is_unsaved: bool,
    /// The file that the binary was before.
    pub(super) previous: Option<PathBuf>,
    pub(super) attempts: Vec<Attempt>,
    /// The providers on its way that are not asked, each with the number of hooks before it.
    pub(super) unasked: Vec<(usize, Attempt)>,
    pub(super) needs: Needs,
    pub(super) waited_for_by: Vec<ChainIndex>,
    pub(super) result: Option<Result<Resolved, ResolveError>>,
}

/// What the provider that a request is at needs itself.
#[derive(Default)]
pub(super) struct Needs {
    /// What it did not have when it was asked.
    pub(super) lacking: Vec<Request>,
    pub(super) waits_for: Vec<ChainIndex>,
    /// Whether something of it is there now.
    pub(super) is_better_off: bool,
    /// Whether it could do without.
    pub(super) is_extra: bool,
    pub(super) has_asked_again: bool,
}

/// What comes next for a request whose hook is over.
enum Next {
    /// It is settled.
    Over,
    /// The next hook.
    Wait,
    /// What its provider lacked.
    Needs,
    /// Nothing: rigup was asked to stop.
    Stop,
}

impl<'r, 'a> Work<'r, 'a> {
    /// Takes requests in.
    pub(super) fn new(resolver: &'r Resolver<'a>, requests: Vec<Request>) -> Result<Self, StoreError> {
        let mut work = Self {
            resolver,
            schedule: Schedule::new(resolver.hooks.iter().map(|hook| hook.name.is_batch)),
            entries: Vec::new(),
            places: HashMap::new(),
            above: attempt::links_above(&resolver.runner)?,
            next_one: 0,
            in_hand: 0,
            locked_out: Vec::new(),
            waiting: Vec::new(),
            waits: Waits::new(&resolver.runner.settings.data_dir, resolver.runner.parent_id),
            equipped: HashSet::new(),
            weighed: HashSet::new(),
        };
        for request in requests {
            work.add(request);
        }
        Ok(work)
    }

    pub(super) fn add(&mut self, request: Request) -> ChainIndex {
        let (chain, unasked) = self.resolver.chain(&request);
        let index = self.schedule.add(chain);
        self.places.entry(request.name.as_str().to_owned()).or_insert(index);
        self.entries.push(Entry {
            request: Arc::new(request),
            has_begun: false,
            lock: None,
            binary: None,
            is_unsaved: false,
            previous: None,
            attempts: Vec::new(),
            unasked,
            needs: Needs::default(),
            waited_for_by: Vec::new(),
            result: None,
        });
        index
    }

    /// What became of the requests that were taken in, so many of them, in their order.
    pub(super) fn results(self, wanted: usize) -> Vec<Settled> {
        let wanted = self.entries.into_iter().take(wanted);
        wanted.map(|it| (it.request, it.result.unwrap_or(Err(ResolveError::Interrupted)))).collect()
    }

    /// Begins as many as can be in hand.
    pub(super) fn begin(&mut self) {
        while self.in_hand < IN_HAND && self.next_one < self.entries.len() && !self.is_stopped() {
            self.begin_one(self.next_one);
            self.next_one += 1;
        }
    }

    pub(super) fn begin_one(&mut self, index: ChainIndex) {
        if std::mem::replace(&mut self.entries[index].has_begun, true) {
            return;
        }
        self.in_hand += 1;
        let request = Arc::clone(&self.entries[index].request);
        if self.above.iter().any(|it| it == request.name.link_name()) {
            self.finish(index, Err(ResolveError::Circular(request.name.clone())));
            return;
        }
        self.enter(index);
    }

    /// Finds out what is there already. Whoever waited for the lock finds the work done.
    pub(super) fn settle(&mut self, index: ChainIndex) -> Result<(), StoreError> {
        let resolver = self.resolver;
        let request = Arc::clone(&self.entries[index].request);
        let (store, machine_id) = (resolver.runner.store, resolver.runner.machine_id);
        let known = store.binary(machine_id, request.name.as_str())?;
        let is_new = known.is_none();
        let mut binary = known.unwrap_or_else(|| {
            Binary::new(BinaryId::generate(), machine_id, request.name.as_str(), clock::now())
        });
        let previous = binary.installed().map(|it| it.abspath.clone());
        if !resolver.force {
            let settled = match install_status(&binary, &request, resolver.runner.settings) {
                InstallStatus::Ready => Some(Ok(())),
                InstallStatus::Unlinked(installed) => {
                    Some(resolver.link(&request, installed, previous.as_deref())?)
                }
                InstallStatus::Missing => None,
            };
            if let Some(Err(reason)) = &settled {
                binary.disappoint(reason.clone(), clock::now());
                resolver.save(&binary)?;
            }
            if settled.is_some() {
                self.finish(index, Ok(Resolved { binary, attempts: Vec::new() }));
                return Ok(());
            }
        }
        binary.request(
            &request.providers.to_string(),
            &request.min_version,
            request.policy,
            &request.overrides.to_json(),
            clock::now(),
        );
        let entry = &mut self.entries[index];
        entry.is_unsaved = is_new || !resolver.is_lookup;
        entry.binary = Some(binary);
        entry.previous = previous;
        self.go_on(index);
        Ok(())
    }

    /// Has a request wait for the hook that it is at, or ends it where there is none.
    pub(super) fn go_on(&mut self, index: ChainIndex) {
        if let Err(error) = self.note_unasked(index).and_then(|()| self.weigh(index)) {
            self.finish(index, Err(error.into()));
        } else if !self.schedule.wait(index) {
            self.give_up(index);
        }
    }

    /// Finds out how long the hook that a request is at took lately.
    fn weigh(&mut self, index: ChainIndex) -> Result<(), StoreError> {
        if let Some(at) = self.schedule.hook_of(index)
            && self.weighed.insert(at)
        {
            let hook = self.resolver.hooks[at];
            let store = self.resolver.runner.store;
            self.schedule.weigh(at, store.average_duration(&hook.plugin, &hook.name.file_name)?);
        }
        Ok(())
    }

    /// Records the providers before the next hook that are not asked.
    fn note_unasked(&mut self, index: ChainIndex) -> Result<(), StoreError> {
        let at = self.schedule.position_of(index);
        let entry = &mut self.entries[index];
        let store = self.resolver.runner.store;
        while entry.unasked.first().is_some_and(|(before, _)| *before <= at) {
            let (_, attempt) = entry.unasked.remove(0);
            if let Some(binary) = &entry.binary {
                if std::mem::take(&mut entry.is_unsaved) {
                    store.save_binary(binary)?;
                }
                store.add_attempt(binary.id, &attempt, clock::now())?;
            }
            (self.resolver.on_event)(&entry.request, InstallEvent::Attempted(attempt.clone()));
            entry.attempts.push(attempt);
        }
        Ok(())
    }

    /// Nobody has it.
    fn give_up(&mut self, index: ChainIndex) {
        let entry = &mut self.entries[index];
        let Some(binary) = &mut entry.binary else { return };
        binary.disappoint(summary(&entry.attempts), clock::now());
        let saved = self.resolver.save(binary);
        match saved {
            Ok(()) => self.conclude(index),
            Err(error) => self.finish(index, Err(error.into())),
        }
    }

    /// The record of a request says what became of it, and is stored.
    fn conclude(&mut self, index: ChainIndex) {
        let entry = &mut self.entries[index];
        let attempts = std::mem::take(&mut entry.attempts);
        if let Some(binary) = entry.binary.take() {
            self.finish(index, Ok(Resolved { binary, attempts }));
        }
    }

    /// Lets go of a request's name, and tells those that wait for it.
    pub(super) fn finish(&mut self, index: ChainIndex, result: Result<Resolved, ResolveError>) {
        let entry = &mut self.entries[index];
        self.in_hand -= 1;
        entry.lock = None;
        (self.resolver.on_event)(&entry.request, InstallEvent::Finished);
        let is_there = result.as_ref().is_ok_and(|it| it.binary.installed().is_some());
        entry.result = Some(result);
        for waiting in std::mem::take(&mut entry.waited_for_by) {
            if !is_there {
                self.warn_of_need(waiting, index);
            }
            let needs = &mut self.entries[waiting].needs;
            needs.is_better_off |= is_there;
            needs.waits_for.retain(|it| *it != index);
            if needs.waits_for.is_empty() {
                self.needs_are_met(waiting);
            }
        }
    }

    /// The next hook to start; none where nothing can be started now.
    pub(super) fn turn(&mut self) -> Option<Turn> {
        if self.is_stopped() {
            for index in self.schedule.stop() {
                self.finish(index, Err(ResolveError::Interrupted));
            }
            return None;
        }
        loop {
            let turn = self.schedule.turn()?;
            if !self.equip(&turn) {
                return Some(turn);
            }
        }
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.resolver.runner.interrupt.signal().is_some()
    }

    /// What a hook is about to be started for.
    pub(super) fn asked(&mut self, turn: &Turn) -> Vec<Asked> {
        let provider = &self.resolver.hooks[turn.hook].plugin;
        let needs = self.resolver.lacking(provider);
        let asked = turn.chains.iter().filter_map(|&index| {
            let entry = &mut self.entries[index];
            let of_others = needs.iter().filter(|it| it.name != entry.request.name);
            entry.needs.lacking = of_others.map(|it| (*it).clone()).collect();
            Some(Asked {
                request: Arc::clone(&entry.request),
                binary: entry.binary.clone()?,
                is_unsaved: std::mem::take(&mut entry.is_unsaved),
            })
        });
        asked.collect()
    }

    /// A hook is over: what came of it is recorded, all of it or nothing, and each request goes its way.
    pub(super) fn take(&mut self, turn: &Turn, answer: Result<Answer, AskError>) {
        self.schedule.free(turn.hook);
        let taken = answer.and_then(|answer| Ok(self.record(turn, answer)?));
        match taken {
            Ok(next) => {
                for (&index, next) in turn.chains.iter().zip(next) {
                    match next {
                        Next::Over => self.conclude(index),
                        Next::Wait => self.go_on(index),
                        Next::Needs => self.meet(index),
                        Next::Stop => self.finish(index, Err(ResolveError::Interrupted)),
                    }
                }
            }
            Err(error) => {
                let error = Arc::new(error);
                for &index in &turn.chains {
                    self.finish(index, Err(ResolveError::Ask(Arc::clone(&error))));
                }
            }
        }
    }

    fn record(&mut self, turn: &Turn, answer: Answer) -> Result<Vec<Next>, StoreError> {
        let Answer { process, verdicts } = answer;
        let mut all_next = Vec::new();
        for (&index, verdict) in turn.chains.iter().zip(verdicts) {
            let (outcome, reason, winner) = match verdict {
                Verdict::Won(installed) => match verify::check_again(&installed) {
                    Ok(()) => (Outcome::Installed, String::new(), Some(installed)),
                    Err(lie) => (Outcome::Rejected, lie.to_string(), None),
                },
                Verdict::Lost(outcome, reason) => (outcome, reason, None),
            };
            let provider = self.resolver.hooks[turn.hook].provider();
            let attempt = Attempt { provider, outcome, reason, process_id: Some(process.id) };
            (self.resolver.on_event)(&self.entries[index].request, InstallEvent::Attempted(attempt.clone()));
            self.entries[index].attempts.push(attempt);
            all_next.push(match winner {
                Some(installed) => self.won(index, installed)?,
                None => self.lost(index, outcome)?,
            });
        }
        let mut attempts = Vec::new();
        let mut changed = Vec::new();
        for (&index, next) in turn.chains.iter().zip(&all_next) {
            let Entry { binary: Some(binary), attempts: tried, .. } = &self.entries[index] else { continue };
            let made_here = tried.iter().filter(|it| it.process_id == Some(process.id));
            attempts.extend(made_here.map(|it| (binary.id, it)));
            if matches!(next, Next::Over) && self.resolver.is_to_be_saved(binary) {
                changed.push(binary);
            }
        }
        self.resolver.runner.store.finish_attempts(&process, &attempts, &changed, clock::now())?;
        Ok(all_next)
    }

    fn won(&mut self, index: ChainIndex, installed: Installed) -> Result<Next, StoreError> {
        let entry = &mut self.entries[index];
        let linked = self.resolver.link(&entry.request, &installed, entry.previous.as_deref())?;
        if let Some(binary) = &mut entry.binary {
            match linked {
                Ok(()) => binary.satisfy(installed, clock::now()),
                Err(reason) => binary.disappoint(reason, clock::now()),
            }
        }
        if let Some(attempt) = entry.attempts.last() {
            self.resolver.remark_on_rules(&entry.request, &attempt.provider);
        }
        Ok(Next::Over)
    }

    fn lost(&mut self, index: ChainIndex, outcome: Outcome) -> Result<Next, StoreError> {
        let is_stopped = self.is_stopped();
        let needs = &self.entries[index].needs;
        if is_stopped {
            return Ok(Next::Stop);
        }
        if outcome == Outcome::Declined && !needs.has_asked_again && !needs.lacking.is_empty() {
            return Ok(Next::Needs);
        }
        Ok(if self.pass(index)? { Next::Wait } else { Next::Over })
    }

    /// Moves a request behind the hook that it is at. Behind the last one it is given up, and false.
    fn pass(&mut self, index: ChainIndex) -> Result<bool, StoreError> {
        self.schedule.pass(index);
        self.entries[index].needs.has_asked_again = false;
        if self.schedule.hook_of(index).is_some() {
            return Ok(true);
        }
        self.note_unasked(index)?;
        let entry = &mut self.entries[index];
        if let Some(binary) = &mut entry.binary {
            binary.disappoint(summary(&entry.attempts), clock::now());
        }
        Ok(false)
    }
}

/// Why nobody won, in one line.
fn summary(attempts: &[Attempt]) -> String {
    if attempts.is_empty() {
        return "there is no provider to ask".to_owned();
    }
    let each: Vec<String> =
        attempts.iter().map(|it| format!("{} {}: {}", it.provider, it.outcome, it.reason)).collect();
    each.join("; ")
}
