//! A command in the foreground: it shares rigup's session, process group, terminal and standard streams.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::time::{Duration, Instant};

use libc::c_int;
use nix::spawn::PosixSpawnFlags;

use crate::model::ProcessExit;
use crate::process::group_witness::GroupWitness;
use crate::process::spawn::{Child, CommandSpec, SpawnError};
use crate::process::{poll, signals, subreaper, wait};

/// The signals that a terminal sends to its foreground group.
const TYPED: [c_int; 3] = [libc::SIGINT, libc::SIGQUIT, libc::SIGTSTP];

/// How long a signal is held back: it may have been sent to the command as well, which it may kill.
const SETTLE: Duration = Duration::from_millis(20);

/// The interval at which orphans are reaped.
const REAP: Duration = Duration::from_secs(1);

/// Catches every signal that can be passed on to a command in the foreground.
#[derive(Debug)]
pub(crate) struct Foreground {
    /// The number of each signal that was received, as a byte.
    pipe: io::PipeReader,
    received: BTreeSet<c_int>,
    /// The signals that were received and are not passed on yet, in their order.
    waiting: Vec<c_int>,
    /// `None` unless the command runs, and if the witness cannot be started.
    witness: Option<GroupWitness>,
}

impl Foreground {
    /// Installs the handlers. Signals that the launcher ignores stay ignored, also for the command.
    pub(crate) fn install() -> io::Result<Self> {
        let (pipe, _writer) =
            signals::catch(signals::passed_on(), |number, _info| u8::try_from(number).ok())?;
        Ok(Self { pipe, received: BTreeSet::new(), waiting: Vec::new(), witness: None })
    }

    /// Starts the command in rigup's working directory, whatever the `cwd` of the command is.
    pub(crate) fn start(
        &mut self,
        command: &CommandSpec,
        stdin: Option<BorrowedFd<'_>>,
    ) -> Result<Child, SpawnError> {
        let defaults = signals::ignored_by_rigup_alone();
        let child = command.start_with(PosixSpawnFlags::empty(), defaults, |actions| {
            stdin.map_or(Ok(()), |stdin| Ok(actions.add_dup2(stdin.as_raw_fd(), libc::STDIN_FILENO)?))
        })?;
        // A signal to the group that arrives in between is passed on a second time, rather than lost.
        self.witness = GroupWitness::start().ok();
        Ok(child)
    }

    /// Waits for the exit of the command, without a time limit, and passes the signals that rigup receives on to it.
    pub(crate) fn wait(&mut self, child: &Child) -> io::Result<ProcessExit> {
        loop {
            let patience = if self.waiting.is_empty() { REAP } else { Duration::ZERO };
            let (command, signals) = (child.handle.fd(), self.pipe.as_fd());
            let [has_exited, is_readable] = poll::readable([command, signals], Instant::now() + patience);
            let is_signalled = is_readable || !self.waiting.is_empty();
            if has_exited || is_signalled && wait::has_exited_by(child, Instant::now() + SETTLE) {
                let exit = wait::reap(child);
                self.witness = None;
                return exit;
            }
            // If rigup is the first process of a container, it becomes the parent of all orphans in the container.
            subreaper::reap_orphans();
            if is_signalled {
                self.pass_on(child)?;
            }
        }
    }

    /// Returns the signal that killed the command, if it interrupted rigup, too.
    pub(crate) fn interrupted_by(&mut self, exit: &ProcessExit) -> Option<c_int> {
        self.receive();
        exit.signal.filter(|signal| self.received.contains(signal))
    }

    /// Passes the received signals on, except those that the command has received as a member of rigup's group.
    fn pass_on(&mut self, child: &Child) -> io::Result<()> {
        self.receive();
        let mut signals = std::mem::take(&mut self.waiting);
        let received_by_group = self.received_by_group(child);
        // A signal to the group that arrived meanwhile may already be among those of the group.
        self.receive();
        signals.extend(self.waiting.extract_if(.., |number| received_by_group.contains(number)));
        let pid = libc::pid_t::try_from(child.handle.entry.pid).map_err(io::Error::other)?;
        for (index, number) in signals.iter().enumerate() {
            if !received_by_group.contains(number) && !signals[..index].contains(number) {
                // SAFETY: the child has not been reaped, so its pid is its own. An error means that it has exited.
                #[expect(unsafe_code, reason = "neither nix nor rustix has realtime signals")]
                let _ = unsafe { libc::kill(pid, *number) };
            }
        }
        let stop = signals.iter().rposition(|number| *number == libc::SIGTSTP);
        if stop.is_some_and(|stop| !signals[stop..].contains(&libc::SIGCONT)) {
            signals::stop();
        }
        Ok(())
    }

    /// Returns the signals that were sent to the whole group of rigup and the command since the last call.
    fn received_by_group(&mut self, child: &Child) -> BTreeSet<c_int> {
        let shares_group = child.handle.entry.refreshed();
        let shares_group = matches!(shares_group, Ok(Some(now)) if now.pgid == own_group());
        match &mut self.witness {
            _ if !shares_group => BTreeSet::new(),
            Some(witness) => witness.received(),
            None if is_foreground_group() => TYPED.into(),
            None => BTreeSet::new(),
        }
    }

    /// Adds the signals that were received since the last call to those that wait.
    fn receive(&mut self) {
        let mut bytes = Vec::new();
        // Reading ends with an error when the pipe is empty.
        let _ = self.pipe.read_to_end(&mut bytes);
        self.waiting.extend(bytes.into_iter().map(c_int::from));
        self.received.extend(&self.waiting);
    }
}

/// Returns this process's group, or 0 if its leader is outside the container.
fn own_group() -> u32 {
    nix::unistd::getpgrp().as_raw().cast_unsigned()
}

/// Returns whether the terminal sends a Ctrl-C to this process's group.
fn is_foreground_group() -> bool {
    File::open("/dev/tty").is_ok_and(|terminal| {
        rustix::termios::tcgetpgrp(terminal)
            .is_ok_and(|group| group.as_raw_nonzero().get().cast_unsigned() == own_group())
    })
}
