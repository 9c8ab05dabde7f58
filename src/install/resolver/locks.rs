//! Handles requests whose names other rigups are resolving.

use crate::install::event::InstallEvent;
use crate::install::resolver::ResolveError;
use crate::install::resolver::deadlock::{self, Wait};
use crate::install::resolver::state::ResolverState;
use crate::install::scheduler::RequestIndex;
use crate::process::lock::Lock;

impl ResolverState<'_, '_> {
    /// Takes the lock of a request's name and checks its status. If the lock is held, the request waits for it, but a
    /// lookup goes on without it and changes no record.
    pub(super) fn lock(&mut self, index: RequestIndex) {
        let name = &self.requests[index].request.name;
        match Lock::try_for_binary(&self.resolver.runner.settings.data_dir, name) {
            Ok(Err(mut busy)) => {
                let holder = busy.holder();
                // Another request of this rigup may hold the lock.
                let is_foreign = !holder.is_this_process();
                if self.resolver.is_lookup && is_foreign {
                    let notice =
                        format!("another rigup ({holder}) is resolving it, so the result is not recorded");
                    self.emit(index, InstallEvent::Warning(notice));
                    return self.start_request(index, None);
                }
                if is_foreign {
                    self.emit(index, InstallEvent::Waiting(holder.to_string()));
                }
                self.blocked.push((index, busy));
            }
            Ok(Ok(lock)) => self.start_request(index, Some(lock)),
            Err(error) => self.finish(index, Err(error.into())),
        }
    }

    fn start_request(&mut self, index: RequestIndex, lock: Option<Lock>) {
        self.requests[index].lock = lock;
        if let Err(error) = self.check_status(index) {
            self.finish(index, Err(error.into()));
        }
    }

    /// Tries the locks that other rigups hold again, and fails the requests that are in a deadlock.
    pub(super) fn retry_locks(&mut self) {
        for (index, busy) in std::mem::take(&mut self.blocked) {
            if self.is_interrupted() {
                self.finish(index, Err(ResolveError::Interrupted));
                continue;
            }
            match busy.try_again() {
                Ok(Ok(lock)) => self.start_request(index, Some(lock)),
                Ok(Err(busy)) => self.blocked.push((index, busy)),
                Err(error) => self.finish(index, Err(error.into())),
            }
        }
        self.publish_waits();
        for (index, circle) in self.deadlocks() {
            self.blocked.retain(|(blocked, _)| *blocked != index);
            self.finish(index, Err(ResolveError::Deadlock(circle)));
            self.publish_waits();
        }
    }

    /// Returns whether a request waits for a lock that another rigup holds.
    pub(super) fn is_blocked(&self) -> bool {
        !self.blocked.is_empty()
    }

    /// Publishes the waits of this rigup to other rigups. Requests wait for the dependencies of their providers. The
    /// requests of the hooks that called this rigup wait for the names that it cannot lock.
    fn publish_waits(&mut self) {
        let requests = &self.requests;
        self.waiting.retain(|index| !requests[*index].dependencies.waits_for.is_empty());
        let link_name = |index: RequestIndex| requests[index].request.name.link_name().to_owned();
        let mut waits: Vec<Wait> = Vec::new();
        for &index in &self.waiting {
            let dependencies = requests[index].dependencies.waits_for.iter();
            waits.extend(dependencies.map(|&dependency| (link_name(index), link_name(dependency))));
        }
        for (index, _) in &self.blocked {
            waits.extend(self.callers.iter().map(|caller| (caller.clone(), link_name(*index))));
        }
        // If this fails, a deadlock lasts until the timeout of a hook.
        let _ = self.waits.write(waits);
    }

    /// Returns the requests that wait for themselves through other rigups, each with its circle of names.
    fn deadlocks(&self) -> Vec<(RequestIndex, String)> {
        let mut deadlocks = Vec::new();
        if self.blocked.is_empty() || self.waits.written.is_empty() {
            return deadlocks;
        }
        let all = self.waits.read_all();
        for &(index, _) in &self.blocked {
            let name = self.requests[index].request.name.link_name();
            let waits_for_name = self.waits.written.iter().filter(|(_, other)| other == name);
            let waiting: Vec<&str> = waits_for_name.map(|(one, _)| one.as_str()).collect();
            if let Some(path) = deadlock::path(&all, name, &waiting)
                && let Some(last) = path.last()
            {
                deadlocks.push((index, format!("{last} needs {}", path.join(", which needs "))));
            }
        }
        deadlocks
    }
}
