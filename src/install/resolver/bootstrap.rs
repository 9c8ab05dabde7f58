//! What providers need themselves: looked for where they decline without it, or beforehand where that pays.

use crate::install::event::InstallEvent;
use crate::install::plan::Request;
use crate::install::resolver::Resolved;
use crate::install::resolver::state::Work;
use crate::install::scheduler::{ChainIndex, Turn};
use crate::model::binary::BinaryState;

impl Work<'_, '_> {
    /// Looks first for what a provider could do without, where that is worth the time for all that wait for it now.
    pub(super) fn equip(&mut self, turn: &Turn) -> bool {
        let provider = &self.resolver.hooks[turn.hook].provider();
        if !self.equipped.insert(provider.clone()) {
            return false;
        }
        let count = turn.chains.len() + self.schedule.waiting_for(turn.hook);
        let worth: Vec<Request> = self.resolver.worth_getting(provider, count).into_iter().cloned().collect();
        let Some(first) = worth.first() else { return false };
        let remark = format!("{provider}: {} first, which pays for {count} requests", first.name);
        (self.resolver.on_event)(&self.entries[turn.chains[0]].request, InstallEvent::Notice(remark));
        let mut chains = turn.chains.clone();
        chains.extend(self.schedule.take_back(turn.hook));
        self.schedule.free(turn.hook);
        for index in chains {
            let needs = &mut self.entries[index].needs;
            needs.lacking.clone_from(&worth);
            needs.is_extra = true;
            self.meet(index);
        }
        true
    }

    /// Looks for what the provider that a request is at lacked.
    pub(super) fn meet(&mut self, index: ChainIndex) {
        for need in std::mem::take(&mut self.entries[index].needs.lacking) {
            let known = self.places.get(need.name.as_str()).copied();
            let need = known.unwrap_or_else(|| self.add(need));
            if self.is_waiting_for(need, index) {
                continue;
            }
            self.begin_one(need);
            if let Some(result) = &self.entries[need].result {
                let is_there = result.as_ref().is_ok_and(|it| it.binary.installed().is_some());
                self.entries[index].needs.is_better_off |= is_there;
                self.warn_of_need(index, need);
            } else {
                self.entries[need].waited_for_by.push(index);
                self.entries[index].needs.waits_for.push(need);
            }
        }
        if self.entries[index].needs.waits_for.is_empty() {
            self.needs_are_met(index);
        } else {
            self.waiting.push(index);
        }
    }

    /// Whether one request waits for another one, however far around.
    fn is_waiting_for(&self, one: ChainIndex, other: ChainIndex) -> bool {
        one == other || self.entries[one].needs.waits_for.iter().any(|&it| self.is_waiting_for(it, other))
    }

    /// Asks the provider again that a request is at, if it is better off now; else the next one.
    pub(super) fn needs_are_met(&mut self, index: ChainIndex) {
        let needs = &mut self.entries[index].needs;
        let is_better_off = std::mem::take(&mut needs.is_better_off);
        if std::mem::take(&mut needs.is_extra) {
            self.schedule.wait(index);
            return;
        }
        if is_better_off {
            needs.has_asked_again = true;
            self.schedule.wait(index);
            return;
        }
        self.schedule.pass(index);
        self.entries[index].needs.has_asked_again = false;
        self.go_on(index);
    }

    pub(super) fn warn_of_need(&self, waiting: ChainIndex, need: ChainIndex) {
        let entry = &self.entries[waiting];
        let provider = self.schedule.hook_of(waiting).map(|it| &self.resolver.hooks[it].plugin);
        let error = match &self.entries[need].result {
            Some(Ok(Resolved { binary, .. })) => match &binary.state {
                BinaryState::Queued(queued) => queued.last_error.clone(),
                BinaryState::Installed(_) => return,
            },
            Some(Err(error)) => error.to_string(),
            None => return,
        };
        if let Some(provider) = provider {
            let warning = format!("{provider} needs {}, and {error}", self.entries[need].request.name);
            (self.resolver.on_event)(&entry.request, InstallEvent::Warning(warning));
        }
    }
}
