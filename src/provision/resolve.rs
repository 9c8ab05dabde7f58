//! Requests through their providers, each to its first honest winner.
//!
//! One thread keeps the schedule and the records; hooks are started and judged on others.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use rayon::ThreadPool;

use crate::hook::run::Runner;
use crate::plugin::folder::Hook;
use crate::provision::ask::{self, Answer, AskError, Heard, Question};
use crate::provision::linker::Linker;
use crate::provision::lock::LockError;
use crate::provision::plan::Request;
use crate::provision::probe;
use crate::provision::schedule::HookIndex;
use crate::provision::work::{Asked, Work};
use crate::record::attempt::{Attempt, Outcome};
use crate::record::binary::{Binary, Installed};
use crate::record::name::BinaryName;
use crate::record::safety::Keeps;
use crate::store::StoreError;

/// How often is looked whether another rigup is done with a name.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// Longer than any hook may take.
const A_LONG_TIME: Duration = Duration::from_hours(24);

/// What resolves requests.
pub struct Resolver<'a> {
    /// Runs the hooks.
    pub runner: Runner<'a>,
    /// The hooks of all providers, in hook order.
    pub hooks: &'a [&'a Hook],
    /// What providers need themselves, such as npm; looked for where a provider declines without it.
    pub needs: &'a HashMap<String, Vec<Request>>,
    /// What each provider says that it is able to keep.
    pub keeps: &'a HashMap<String, Keeps>,
    /// Resolve anew what is there, and replace a file that stands where the link goes.
    pub force: bool,
    /// What is not got leaves the records as they were: the wish was to look, not to have.
    pub only_looks: bool,
    /// How long one hook may take.
    pub timeout: Duration,
    /// Is told what happens, as it happens.
    pub watch: &'a (dyn Fn(&Request, Progress<'_>) + Sync),
}

/// What happens to a request.
#[derive(Debug)]
pub enum Progress<'a> {
    /// Another rigup, with this pid, works on the same name.
    Waiting(&'a str),
    /// A provider's hook was started.
    Trying(&'a str),
    /// The hook runs; its last line on standard error.
    Running(&'a str),
    /// A hook is over.
    Tried(&'a Attempt),
    /// Something that a person should know and that changes nothing.
    Warning(&'a str),
    /// The same about a provider, whatever it was asked for: once is enough.
    Remark(&'a str),
    /// Nothing more happens to it.
    Over,
}

/// What became of a request.
#[derive(Debug)]
pub struct Resolved {
    /// The binary's record.
    pub binary: Binary,
    /// What this rigup tried.
    pub attempts: Vec<Attempt>,
}

/// A request, with what became of it.
pub type Settled = (Arc<Request>, Result<Resolved, ResolveError>);

/// Why a request could not be worked on at all.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    /// rigup was asked to stop.
    #[error("interrupted")]
    Interrupted,
    /// The hook of this very request is what called rigup.
    #[error("it is {0} that the hook which calls rigup is asked for itself: to wait for it would never end")]
    Circular(BinaryName),
    /// A lock cannot be taken.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// A hook cannot be asked. Several requests may have met with one such error.
    #[error("{0}")]
    Ask(Arc<AskError>),
    /// Something cannot be recorded.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// How things stand with a binary, without a hook, a process or a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing<'a> {
    /// It is there, and so is its link.
    Ready,
    /// It is there, and its link is not.
    Unlinked(&'a Installed),
    /// It is not there, or not what was verified, or too old.
    Missing,
}

/// Looks how things stand with a binary that was asked for before.
pub fn standing<'a>(binary: &'a Binary, request: &Request, lib_bin_dir: &Path) -> Standing<'a> {
    let Some(installed) = binary.installed() else {
        return Standing::Missing;
    };
    let fingerprint = probe::fingerprint(&installed.abspath);
    let min_version = request.min_version_of(&installed.binprovider);
    if !installed.is_current(fingerprint.as_deref(), min_version) {
        return Standing::Missing;
    }
    let is_linked = || {
        fs_err::read_link(lib_bin_dir.join(request.name.link_name())).is_ok_and(|it| it == installed.abspath)
    };
    if installed.is_in_app_bundle() || is_linked() { Standing::Ready } else { Standing::Unlinked(installed) }
}

impl Resolver<'_> {
    /// Takes requests through their providers, with as many hooks at once as the pool has threads. Only one rigup at a
    /// time works on a name; whoever waited finds the work done. The results are in the order of the requests.
    pub fn resolve(&self, requests: Vec<Request>, pool: &ThreadPool) -> Result<Vec<Settled>, StoreError> {
        let wanted = requests.len();
        let mut work = Work::new(self, requests)?;
        let (answers, answered) = mpsc::channel();
        pool.in_place_scope(|scope| {
            let mut running = 0;
            loop {
                work.begin();
                while running < pool.current_num_threads()
                    && let Some(turn) = work.turn()
                {
                    let asked = work.asked(&turn);
                    let answers = answers.clone();
                    running += 1;
                    scope.spawn(move |_| {
                        let answer = self.ask(turn.hook, &asked);
                        // The receiver lives until nothing runs any more.
                        let _ = answers.send((turn, answer));
                    });
                }
                if running == 0 && !work.is_locked_out() {
                    break;
                }
                // The name that another rigup works on is looked at again and again.
                let patience = if work.is_locked_out() { LOOK_AGAIN } else { A_LONG_TIME };
                if let Ok((turn, answer)) = answered.recv_timeout(patience) {
                    running -= 1;
                    work.take(&turn, answer);
                }
                work.look_at_locks();
            }
        });
        Ok(work.results(wanted))
    }

    /// Starts a hook for all that it is asked, and judges it.
    fn ask(&self, hook: HookIndex, asked: &[Asked]) -> Result<Answer, AskError> {
        let hook = self.hooks[hook];
        let tell_all = |progress: fn(&str) -> Progress<'_>, text: &str| {
            for it in asked {
                (self.watch)(&it.request, progress(text));
            }
        };
        // What a hook for many says besides is nobody's in particular.
        let tell_one = |progress: fn(&str) -> Progress<'_>, text: &str| {
            let text = format!("{}: {text}", hook.plugin);
            if let Some(it) = asked.first() {
                (self.watch)(&it.request, progress(&text));
            }
        };
        tell_all(|provider| Progress::Trying(provider), &hook.plugin);
        let question = |it: &'_ Asked| Question {
            request: Arc::clone(&it.request),
            binary: it.binary.clone(),
            is_unsaved: it.is_unsaved,
            link: self.linker().path(&it.request.name),
        };
        let questions: Vec<Question> = asked.iter().map(question).collect();
        ask::ask(&self.runner, hook, &questions, self.timeout, |heard| match heard {
            Heard::Line(line) => tell_all(|line| Progress::Running(line), line),
            Heard::Trouble(text) => tell_one(|text| Progress::Warning(text), text),
            Heard::Warning(text) => tell_one(|text| Progress::Remark(text), text),
        })
    }

    /// The hooks that a request goes through, and the providers on the way that are not asked, each with the number of
    /// hooks before it.
    pub(super) fn chain(&self, request: &Request) -> (Vec<HookIndex>, Vec<(usize, Attempt)>) {
        let mut chain = Vec::new();
        let mut unasked = Vec::new();
        for provider in &request.candidates {
            let before = chain.len();
            let mut leave_out = |outcome, reason: String| {
                let attempt = Attempt { provider: provider.clone(), outcome, reason, process_id: None };
                unasked.push((before, attempt));
            };
            if !self.hooks.iter().any(|hook| hook.plugin == *provider) {
                let reason =
                    "there is no such provider; `rigup hook list BinaryRequest` shows those there are";
                leave_out(Outcome::Skipped, reason.to_owned());
            } else if let Some(refused) = self.keeps_of(provider).refuses(request.safety_of(provider)) {
                leave_out(Outcome::Rejected, refused.to_string());
            } else {
                chain.extend((0..self.hooks.len()).filter(|&it| self.hooks[it].plugin == *provider));
            }
        }
        (chain, unasked)
    }

    fn keeps_of(&self, provider: &str) -> Keeps {
        self.keeps.get(provider).copied().unwrap_or_default()
    }

    /// Says which rules a provider could not keep that nobody asked for.
    pub(super) fn remark_on_rules(&self, request: &Request, provider: &str) {
        let lacking = self.keeps_of(provider).lacks(request.safety_of(provider));
        if !lacking.is_empty() {
            let remark = format!("{provider} cannot keep {}: see docs/hooks.md", lacking.join(" and "));
            (self.watch)(request, Progress::Remark(&remark));
        }
    }

    /// What a provider needs itself and is not there. What cannot be looked up is looked for.
    pub(super) fn lacking(&self, provider: &str) -> Vec<&Request> {
        let is_there = |need: &&Request| {
            let known = self.runner.store.binary(self.runner.machine_id, need.name.as_str()).ok().flatten();
            let bin_dir = &self.runner.settings.lib_bin_dir;
            known.is_some_and(|it| standing(&it, need, bin_dir) == Standing::Ready)
        };
        self.needs.get(provider).into_iter().flatten().filter(|need| !is_there(need)).collect()
    }

    /// Links a binary; the inner error says why not.
    pub(super) fn link(
        &self,
        request: &Request,
        installed: &Installed,
        previous: Option<&Path>,
    ) -> Result<Result<(), String>, StoreError> {
        let warn = |warning: &str| (self.watch)(request, Progress::Warning(warning));
        self.linker().link(&request.name, installed, previous, warn)
    }

    fn linker(&self) -> Linker<'_> {
        Linker {
            settings: self.runner.settings,
            store: self.runner.store,
            machine_id: self.runner.machine_id,
            force: self.force,
        }
    }

    /// Stores what became of a binary, unless nothing did and the wish was only to look.
    pub(super) fn save(&self, binary: &Binary) -> Result<(), StoreError> {
        if self.is_to_be_saved(binary) { self.runner.store.save_binary(binary) } else { Ok(()) }
    }

    /// Whether what became of a binary is to be stored.
    pub(super) fn is_to_be_saved(&self, binary: &Binary) -> bool {
        !self.only_looks || binary.installed().is_some()
    }
}
