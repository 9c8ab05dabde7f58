//! The samples of the resources that daemons use. They are taken only while something needs them, in a thread, because they
//! read the whole process table.

use std::time::Duration;

use serde_json::Value;

use crate::model::{DaemonName, Process, ProcessId};
use crate::process::system::ResourceUsage;
use crate::process::tree_usage::{self, TreeRoot};
use crate::supervisor::control::Answer;
use crate::supervisor::control_loop::ControlLoop;
use crate::supervisor::control_loop::connected_client::ClientState;
use crate::supervisor::control_loop::threads::ThreadReport;
use crate::supervisor::usage_history::UsageHistory;

/// The interval of samples while a client reads them.
const INTERVAL: Duration = Duration::from_secs(1);

/// The interval of samples that only hooks need, and of the events with these.
const HOOKS_INTERVAL: Duration = Duration::from_secs(10);

/// The interval of the first two measurements, between which the first share of the CPU is counted: a clock tick is 2 % of it.
const FIRST_INTERVAL: Duration = Duration::from_millis(500);

impl ControlLoop<'_> {
    /// Begins a sample if one is needed and due. Returns the time until the next one, or `None` if none is needed or one is
    /// being taken.
    pub(super) fn sample(&mut self) -> Option<Duration> {
        if !self.needs_samples() {
            self.samples.next = None;
            return None;
        }
        if self.samples.is_measuring {
            return None;
        }
        let now = self.now();
        let next = match self.samples.next {
            Some(next) if next > now => {
                // A client may have connected since then.
                let next = next.min(now + self.sample_interval());
                self.samples.next = Some(next);
                return Some(next.saturating_sub(now));
            }
            Some(_) => now + self.sample_interval(),
            None => now + FIRST_INTERVAL,
        };
        self.follow_executions();
        let executions: Vec<(DaemonName, ProcessId, TreeRoot)> = self
            .samples
            .histories
            .iter()
            .map(|(name, history)| (name.clone(), history.process_id, history.root))
            .collect();
        (self.samples.next, self.samples.is_measuring) = (Some(next), true);
        self.spawn(move || {
            let roots: Vec<TreeRoot> = executions.iter().map(|(_, _, root)| *root).collect();
            let usages = tree_usage::measure(&roots);
            let measured = executions.into_iter().zip(usages).map(|((name, id, _), usage)| (name, id, usage));
            Some(ThreadReport::Usage(
                measured.filter_map(|(name, id, usage)| Some((name, id, usage?))).collect(),
            ))
        });
        None
    }

    /// Whether a client or a hook needs samples.
    fn needs_samples(&self) -> bool {
        self.has_client_of_samples() || self.executions.keys().any(|name| self.has_stats_hooks(name))
    }

    fn sample_interval(&self) -> Duration {
        if self.has_client_of_samples() { INTERVAL } else { HOOKS_INTERVAL }
    }

    fn has_client_of_samples(&self) -> bool {
        self.clients.iter().any(|connected| matches!(connected.state, ClientState::FollowingStats(_)))
    }

    /// Keeps the histories of the current executions, and begins those of new ones.
    fn follow_executions(&mut self) {
        let executions = &self.executions;
        self.samples.histories.retain(|name, history| {
            executions.get(name).is_some_and(|execution| execution.process_id == history.process_id)
        });
        for (name, execution) in executions {
            let id = execution.process_id;
            if self.samples.histories.contains_key(name) {
                continue;
            }
            let process = self.store.process(id).ok().flatten();
            if let Some(running) = process.as_ref().and_then(Process::running) {
                let root = TreeRoot { pid: running.identity.pid, start_ticks: running.identity.start_ticks };
                self.samples.histories.insert(name.clone(), UsageHistory::new(id, root));
            }
        }
    }

    /// Adds the measurements of a thread to the histories, and sends the samples to the clients that read them.
    pub(super) fn add_samples(&mut self, measured: Vec<(DaemonName, ProcessId, ResourceUsage)>) {
        let now = self.now();
        self.samples.is_measuring = false;
        let mut sampled = Vec::new();
        for (name, id, usage) in measured {
            if let Some(history) = self.samples.histories.get_mut(&name)
                && history.process_id == id
                && history.add(now, usage)
            {
                sampled.push(name);
            }
        }
        // The first measurement of all shows nothing yet.
        if sampled.is_empty() && !self.samples.histories.is_empty() {
            return;
        }
        let records: Vec<(DaemonName, Value)> = sampled
            .into_iter()
            .filter_map(|name| self.samples(&name, 1).pop().map(|record| (name, record)))
            .collect();
        self.clients.retain_mut(|connected| {
            let ClientState::FollowingStats(names) = &connected.state else { return true };
            let is_requested = |name: &DaemonName| names.is_empty() || names.contains(name);
            let requested = records.iter().filter(|(name, _)| is_requested(name));
            let answer = Answer::with(requested.map(|(_, record)| record.clone()).collect());
            connected.client.send(&answer).is_ok()
        });
        self.pass_samples_to_hooks();
    }

    /// Queues an event with the new samples of each daemon that has hooks for them, if that is due. The samples that a slow
    /// hook has no time for are in its next event.
    fn pass_samples_to_hooks(&mut self) {
        let now = self.now();
        if now < self.samples.hooks_due {
            return;
        }
        let names: Vec<DaemonName> = self.samples.histories.keys().cloned().collect();
        for name in names.iter().filter(|name| self.can_queue_stats(name)).collect::<Vec<_>>() {
            let Some(history) = self.samples.histories.get_mut(name) else { continue };
            let samples = history.take_unsent(name);
            if !samples.is_empty() {
                self.queue_stats(name, &samples);
                // The thread that takes a sample may be a little slower than the one before.
                self.samples.hooks_due = now + HOOKS_INTERVAL.saturating_sub(INTERVAL / 2);
            }
        }
    }

    /// Returns the records of the last samples of a daemon, oldest first: at most `count`, one a second while something needs
    /// them.
    pub(super) fn samples(&self, name: &DaemonName, count: usize) -> Vec<Value> {
        let history = self.samples.histories.get(name);
        history.map(|history| history.records(name, count)).unwrap_or_default()
    }
}
