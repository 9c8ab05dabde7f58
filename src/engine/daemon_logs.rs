//! The lines that daemons write, over all their executions.

use std::collections::{BTreeMap, HashSet};
use std::io::{self, BufRead};
use std::path::PathBuf;
use std::time::Instant;

use crate::engine::error::EngineError;
use crate::jsonl::MAX_LINE;
use crate::model::{Process, ProcessId, ProcessType};
use crate::process::handle::Handle;
use crate::process::run_dir;
use crate::process::tail::LogFollower;
use crate::process::{poll, recover};
use crate::sorting::sort_by_key;
use crate::store::{ProcessFilter, Store};
use crate::supervisor::execution;

/// The streams of a process.
pub(crate) const STREAMS: [&str; 2] = ["stdout", "stderr"];

/// Takes the name of a daemon and a line of it, without its end. Returns an error to stop.
pub(crate) type TakeLine<'t> = dyn FnMut(&str, &[u8]) -> io::Result<()> + 't;

/// The daemons whose logs are read, and their executions.
#[derive(Debug)]
pub(crate) struct DaemonLogReader<'s> {
    store: &'s Store,
    /// The names that mean the daemons; all if empty.
    names: Vec<String>,
    /// The only stream that is read.
    stream: Option<String>,
    /// The executions that were found, and the last one of each daemon.
    known: HashSet<ProcessId>,
    last: BTreeMap<String, ProcessId>,
    live: Vec<ExecutionLog>,
    /// The supervisor that may start further executions.
    supervisor: Option<Handle>,
    /// The version of the store that was read last.
    version: Option<i64>,
}

/// The logs of an execution.
#[derive(Debug)]
struct ExecutionLog {
    name: String,
    process: Process,
    streams: Vec<LineReader>,
}

/// A log that is read line by line.
#[derive(Debug)]
struct LineReader {
    path: PathBuf,
    /// The last lines that are read of what is there already; `None` for all.
    limit: Option<usize>,
    /// The log, once the waiter of the execution has created it.
    follower: Option<LogFollower>,
    /// The beginning of a line that is not whole yet.
    rest: Vec<u8>,
}

impl<'s> DaemonLogReader<'s> {
    /// Returns the logs of daemons, or of all if no name is given, or only one stream of them.
    pub(crate) fn new(store: &'s Store, names: Vec<String>, stream: Option<String>) -> Self {
        Self {
            store,
            names,
            stream,
            known: HashSet::new(),
            last: BTreeMap::new(),
            live: Vec::new(),
            supervisor: None,
            version: None,
        }
    }

    /// Reads the logs of all kept executions, oldest first, or only the last `lines` lines of each stream of a daemon. The
    /// executions that have not ended are read further by [`Self::read`].
    pub(crate) fn read_kept(
        &mut self,
        lines: Option<usize>,
        take: &mut TakeLine<'_>,
    ) -> Result<(), EngineError> {
        let mut found = self.find_new()?;
        sort_by_key(&mut found, |(_, process)| process.id);
        let limits = lines.map(|lines| self.limits(&found, lines));
        for (name, process) in found {
            let id = process.id;
            let limit = |stream| {
                let limits = limits.as_ref()?;
                Some(limits.get(&(id, stream)).copied().unwrap_or_default())
            };
            let mut log = self.open(name, process, limit);
            let has_ended = log.process.exit().is_some();
            log.read(has_ended, take).map_err(|error| read_error(&error))?;
            if !has_ended {
                self.live.push(log);
            }
        }
        Ok(())
    }

    /// Leaves out what was written until now, also by daemons that are not declared now, and are declared again later.
    pub(crate) fn skip_kept(&mut self) -> Result<(), EngineError> {
        for process_type in [ProcessType::Worker, ProcessType::Orchestrator] {
            let status = Some("exited".to_owned());
            let filter =
                ProcessFilter { status, process_type: Some(process_type), ..ProcessFilter::default() };
            self.known.extend(self.store.processes(&filter)?.iter().map(|process| process.id));
        }
        for (name, process) in self.find_new()? {
            if process.exit().is_none() {
                let mut log = self.open(name, process, |_| Some(0));
                log.read(false, &mut |_, _| Ok(())).map_err(|error| read_error(&error))?;
                self.live.push(log);
            }
        }
        Ok(())
    }

    /// Reads what was written since the last call, also by new executions. Returns whether more may follow: a supervisor or an
    /// execution is alive.
    pub(crate) fn read(&mut self, take: &mut TakeLine<'_>) -> Result<bool, EngineError> {
        let version = self.store.version()?;
        let has_changed = self.version.replace(version) != Some(version);
        let is_supervised = self.is_supervised(has_changed)?;
        // The exits are checked before the logs are read: a process that has exited has written everything.
        let mut ended = HashSet::new();
        if has_changed || !is_supervised {
            for log in &self.live {
                if has_exited(self.store, &log.process)? {
                    ended.insert(log.process.id);
                }
            }
        }
        if has_changed {
            let mut found = self.find_new()?;
            sort_by_key(&mut found, |(_, process)| process.id);
            for (name, process) in found {
                if process.exit().is_some() {
                    ended.insert(process.id);
                }
                let log = self.open(name, process, |_| None);
                self.live.push(log);
            }
        }
        for log in &mut self.live {
            log.read(ended.contains(&log.process.id), take).map_err(|error| read_error(&error))?;
        }
        self.live.retain(|log| !ended.contains(&log.process.id));
        Ok(is_supervised || !self.live.is_empty())
    }

    /// Whether a supervisor is alive.
    fn is_supervised(&mut self, has_changed: bool) -> Result<bool, EngineError> {
        let has_exited = |handle: &mut Handle| poll::readable([handle.fd()], Instant::now()) == [true];
        if self.supervisor.take_if(has_exited).is_some() || self.supervisor.is_none() && has_changed {
            let filter = ProcessFilter {
                is_live: true,
                process_type: Some(ProcessType::Supervisord),
                ..ProcessFilter::default()
            };
            let supervisors = self.store.processes(&filter)?;
            self.supervisor =
                supervisors.iter().find_map(|process| Handle::open_running(process).ok().flatten());
        }
        Ok(self.supervisor.is_some())
    }

    /// Returns the executions that were not found before, with the names of their daemons.
    fn find_new(&mut self) -> Result<Vec<(String, Process)>, EngineError> {
        let mut found = Vec::new();
        for daemon in self.store.daemons()? {
            let is_named = |name: &String| daemon.spec.is_named(name);
            let is_selected = self.names.is_empty() || self.names.iter().any(is_named);
            let is_new = daemon.process_id.is_some_and(|id| self.last.get(&daemon.name) != Some(&id));
            if let (true, true, Some(last)) = (is_selected, is_new, daemon.process_id) {
                let slug = Some(execution::slug(&daemon.name));
                let executions = self.store.processes(&ProcessFilter { slug, ..ProcessFilter::default() })?;
                self.last.insert(daemon.name.clone(), last);
                let new = executions.into_iter().filter(|process| self.known.insert(process.id));
                found.extend(new.map(|process| (daemon.name.clone(), process)));
            }
        }
        Ok(found)
    }

    /// Returns how many lines of each stream of each execution are among the last `lines` of its daemon.
    fn limits(
        &self,
        executions: &[(String, Process)],
        lines: usize,
    ) -> BTreeMap<(ProcessId, &'static str), usize> {
        let mut left: BTreeMap<(&str, &str), usize> = BTreeMap::new();
        let mut limits = BTreeMap::new();
        for (name, process) in executions.iter().rev() {
            for (stream, path) in self.paths(process) {
                let left = left.entry((name, stream)).or_insert(lines);
                limits.insert((process.id, stream), *left);
                let opened = LogFollower::open_counted(&path, Some(*left));
                *left = left.saturating_sub(opened.map_or(0, |(_, count)| count));
            }
        }
        limits
    }

    /// Returns the paths of the logs of an execution; none if they were removed.
    fn paths(&self, process: &Process) -> Vec<(&'static str, PathBuf)> {
        let Some(run_dir) = run_dir::of(self.store.data_dir(), process) else { return Vec::new() };
        let mut paths: Vec<_> = STREAMS.into_iter().zip([run_dir.stdout(), run_dir.stderr()]).collect();
        paths.retain(|(stream, _)| self.stream.as_ref().is_none_or(|wanted| wanted == stream));
        paths
    }

    fn open(
        &self,
        name: String,
        process: Process,
        limit: impl Fn(&'static str) -> Option<usize>,
    ) -> ExecutionLog {
        let reader =
            |(stream, path)| LineReader { path, limit: limit(stream), follower: None, rest: Vec::new() };
        let streams = self.paths(&process).into_iter().map(reader).collect();
        ExecutionLog { name, process, streams }
    }
}

impl ExecutionLog {
    /// Reads what was written since the last call. Of an execution that has ended, the last line may have no end.
    fn read(&mut self, has_ended: bool, take: &mut TakeLine<'_>) -> io::Result<()> {
        for LineReader { path, limit, follower, rest } in &mut self.streams {
            if follower.is_none() {
                // A log that was removed has no lines.
                *follower = LogFollower::open(path, *limit).ok();
            }
            let Some(follower) = follower else { continue };
            follower.read(|mut bytes| {
                while bytes.read_until(b'\n', rest)? > 0 {
                    let line = rest.strip_suffix(b"\n");
                    if line.is_none() && rest.len() < MAX_LINE {
                        break;
                    }
                    take(&self.name, line.unwrap_or(rest))?;
                    rest.clear();
                }
                Ok(())
            })?;
            if has_ended && !rest.is_empty() {
                take(&self.name, &std::mem::take(rest))?;
            }
        }
        Ok(())
    }
}

/// Whether a process has exited: its exit is recorded, or it is gone and no rigup or waiter will record its exit.
pub(crate) fn has_exited(store: &Store, process: &Process) -> Result<bool, EngineError> {
    let Some(current) = store.process(process.id)? else { return Ok(true) };
    Ok(current.exit().is_some() || matches!(recover::is_supervised(store, &current), Ok(false)))
}

fn read_error(error: &io::Error) -> EngineError {
    EngineError::NotFound(format!("cannot read the log: {error}"))
}
