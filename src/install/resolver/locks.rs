//! Requests on whose names other rigups work.

use std::sync::Arc;

use crate::install::event::InstallEvent;
use crate::install::resolver::ResolveError;
use crate::install::resolver::deadlock::{self, Wait};
use crate::install::resolver::state::Work;
use crate::install::scheduler::ChainIndex;
use crate::process::lock::Lock;

impl Work<'_, '_> {
    /// Goes on with a request if the lock of its name is free; else waits for it.
    pub(super) fn enter(&mut self, index: ChainIndex) {
        let request = Arc::clone(&self.entries[index].request);
        match Lock::try_for_binary(&self.resolver.runner.settings.data_dir, &request.name) {
            Ok(Err(mut busy)) => {
                let holder = busy.holder();
                // It may be another request for the same name, too.
                if !holder.is_this_process() {
                    (self.resolver.on_event)(&request, InstallEvent::Waiting { holder });
                }
                self.locked_out.push((index, busy));
            }
            Ok(Ok(lock)) => self.go_in(index, lock),
            Err(error) => self.finish(index, Err(error.into())),
        }
    }

    fn go_in(&mut self, index: ChainIndex, lock: Lock) {
        self.entries[index].lock = Some(lock);
        if let Err(error) = self.settle(index) {
            self.finish(index, Err(error.into()));
        }
    }

    /// Looks again at the names that other rigups work on.
    pub(crate) fn look_at_locks(&mut self) {
        for (index, busy) in std::mem::take(&mut self.locked_out) {
            if self.is_stopped() {
                self.finish(index, Err(ResolveError::Interrupted));
                continue;
            }
            match busy.try_again() {
                Ok(Ok(lock)) => self.go_in(index, lock),
                Ok(Err(busy)) => self.locked_out.push((index, busy)),
                Err(error) => self.finish(index, Err(error.into())),
            }
        }
        self.write_waits();
        for (index, circle) in self.circles() {
            self.locked_out.retain(|(it, _)| *it != index);
            self.finish(index, Err(ResolveError::Mutual(circle)));
            self.write_waits();
        }
    }

    /// Whether there are such names.
    pub(crate) fn is_locked_out(&self) -> bool {
        !self.locked_out.is_empty()
    }

    /// Lets other rigups know what waits here: requests for what their providers need, and those that hooks above were
    /// started for, for names that others work on.
    fn write_waits(&mut self) {
        let entries = &self.entries;
        self.waiting.retain(|it| !entries[*it].needs.waits_for.is_empty());
        let name = |index: &ChainIndex| entries[*index].request.name.link_name().to_owned();
        let needs = self
            .waiting
            .iter()
            .flat_map(|it| entries[*it].needs.waits_for.iter().map(move |need| (it, need)));
        let mut waits: Vec<Wait> = needs.map(|(waiting, need)| (name(waiting), name(need))).collect();
        for (index, _) in &self.locked_out {
            waits.extend(self.above.iter().map(|above| (above.clone(), name(index))));
        }
        // Where it cannot be written, a circle lasts until a hook's time is up.
        let _ = self.waits.write(waits);
    }

    /// The names that would be waited for in vain, each with the circle that it is in.
    fn circles(&self) -> Vec<(ChainIndex, String)> {
        let mut circles = Vec::new();
        if self.locked_out.is_empty() || self.waits.written().is_empty() {
            return circles;
        }
        let all = self.waits.read_all();
        for &(index, _) in &self.locked_out {
            let name = self.entries[index].request.name.link_name();
            let wait_for_it = self.waits.written().iter().filter(|(_, other)| other == name);
            let wait_for_it: Vec<&str> = wait_for_it.map(|(one, _)| one.as_str()).collect();
            if let Some(way) = deadlock::way(&all, name, &wait_for_it)
                && let Some(first) = way.last()
            {
                circles.push((index, format!("{first} needs {}", way.join(", which needs "))));
            }
        }
        circles
    }
}
