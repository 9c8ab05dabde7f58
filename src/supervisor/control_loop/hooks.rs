//! The events of daemons that hooks serve.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::hook::command;
use crate::jsonl;
use crate::model::{DaemonHooks, DaemonName, DaemonStatus, LifecycleEvent};
use crate::report::text::printable;
use crate::supervisor::control_loop::event_queue::{HookEventRequest, ServedEvent};
use crate::supervisor::control_loop::{ControlLoop, DaemonEvent, MAX_PAUSE};
use crate::supervisor::policy::PolicyEvent;

impl ControlLoop<'_> {
    /// Queues an event of a daemon for its hooks, with the record as their arguments.
    pub(super) fn queue_hooks(
        &mut self,
        hooks: DaemonHooks,
        kind: LifecycleEvent,
        name: &DaemonName,
        record: &Value,
        input: Option<Vec<u8>>,
    ) {
        let arguments = command::arguments_of_record(record);
        self.hooks.add(name, HookEventRequest { kind, hooks, arguments, input });
    }

    /// Whether a daemon has hooks that get samples.
    pub(super) fn has_stats_hooks(&self, name: &DaemonName) -> bool {
        let daemon = self.daemons.get(name);
        daemon.is_some_and(|daemon| daemon.spec.hooks.names.contains_key(&LifecycleEvent::Stats))
    }

    /// Whether a daemon has hooks that get samples, and the event before was served.
    pub(super) fn can_queue_stats(&self, name: &DaemonName) -> bool {
        self.has_stats_hooks(name) && !self.hooks.contains(name, LifecycleEvent::Stats)
    }

    /// Queues an event with samples of a daemon.
    pub(super) fn queue_stats(&mut self, name: &DaemonName, samples: &[Value]) {
        let Some(daemon) = self.daemons.get(name).and_then(|daemon| self.updated(daemon)) else { return };
        let process = self.execution_of(&daemon);
        let record = daemon.to_event_record(LifecycleEvent::Stats, process.as_ref());
        let input = samples.iter().flat_map(jsonl::line).collect();
        self.queue_hooks(daemon.spec.hooks, LifecycleEvent::Stats, name, &record, Some(input));
    }

    /// Whether the start of a daemon waits for hooks.
    pub(super) fn is_start_pending(&self, name: &DaemonName) -> bool {
        self.hooks.contains(name, LifecycleEvent::PreStart)
    }

    /// Cancels the hooks of a start, and with them the start.
    pub(super) fn cancel_hooks_of_start(&mut self, name: &DaemonName) {
        if self.hooks.cancel(name, LifecycleEvent::PreStart) {
            self.handle(PolicyEvent::CannotStart(name, "it was stopped before its start".to_owned()));
        }
    }

    /// Starts the hooks that are due, and handles the exits of others. Returns whether the policy may have changed.
    pub(super) fn serve_events(&mut self) -> bool {
        let mut served = self.hooks.collect();
        served.extend(self.hooks.start(self.settings, self.launcher.command.id));
        let has_served = !served.is_empty();
        for ServedEvent { daemon, kind: event, problem, messages } in served {
            let name = printable(&daemon);
            for message in messages {
                let message = message.strip_prefix("warning: ").unwrap_or(&message);
                (self.on_event)(DaemonEvent::Warning(format!("{name}: {event}: {message}")));
            }
            let is_stopping =
                self.policy.state(&daemon).is_none_or(|state| state.status != DaemonStatus::Starting);
            match problem.map(|problem| format!("{event}: {problem}")) {
                _ if event == LifecycleEvent::PreStart && is_stopping => {
                    self.handle(PolicyEvent::CannotStart(
                        &daemon,
                        "it was stopped before its start".to_owned(),
                    ));
                }
                Some(problem) if event == LifecycleEvent::PreStart => {
                    self.handle(PolicyEvent::CannotStart(&daemon, problem));
                }
                Some(problem) => (self.on_event)(DaemonEvent::Warning(format!("{name}: {problem}"))),
                None if event == LifecycleEvent::PreStart => self.starts.push_back(daemon),
                None => {}
            }
        }
        has_served
    }

    /// Returns how long the supervisor waits for hooks now that all daemons are down, or `None` if it ends. It terminates
    /// those that take too long, or kills them if that `is_urgent`.
    pub(super) fn await_hooks(&mut self, is_urgent: bool) -> Option<Duration> {
        if self.hooks.is_empty() {
            return None;
        }
        if !self.policy.is_ending() {
            // Each hook has a timeout.
            return Some(MAX_PAUSE);
        }
        let down_since = *self.down_since.get_or_insert_with(Instant::now);
        let patience = self.hook_patience.saturating_sub(down_since.elapsed());
        Some(if patience.is_zero() || is_urgent { self.hooks.terminate(is_urgent) } else { patience })
    }
}
