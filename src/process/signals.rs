//! The signals INT, TERM and HUP that rigup receives, as a descriptor that can be polled.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use nix::sys::signal::{SigSet, Signal};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::{flag, low_level};

use crate::exhaustion;

/// The signals that interrupted this rigup: the last one, and their number.
///
/// Each signal adds a byte to a pipe that is never read, so every thread that polls the pipe wakes up.
#[derive(Debug)]
pub(crate) struct Interrupt {
    pipe: OwnedFd,
    /// Keeps the pipe open if no signal handler does.
    _writer: Option<io::PipeWriter>,
    signal: Arc<AtomicUsize>,
}

impl Interrupt {
    /// Installs handlers for the three signals, and unblocks the signals, because a blocked signal is inherited from
    /// the launcher. INT and HUP stay ignored if the launcher ignores them, as `nohup` does, or a shell without job
    /// control that starts rigup in the background.
    pub(crate) fn install() -> io::Result<Self> {
        Self::handle().map_err(|error| {
            let reason = exhaustion::explain(&error);
            io::Error::new(error.kind(), format!("cannot handle signals: {reason}"))
        })
    }

    fn handle() -> io::Result<Self> {
        let (pipe, writer) = io::pipe()?;
        let signal = Arc::new(AtomicUsize::new(0));
        for number in [SIGINT, SIGTERM, SIGHUP] {
            if number != SIGTERM && is_ignored(number)? {
                continue;
            }
            flag::register_usize(number, Arc::clone(&signal), usize::try_from(number).unwrap_or_default())?;
            low_level::pipe::register(number, writer.try_clone()?)?;
        }
        SigSet::from_iter([Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP]).thread_unblock()?;
        Ok(Self { pipe: pipe.into(), _writer: None, signal })
    }

    /// Returns an interrupt that never occurs, for a program that exits at once.
    pub(crate) fn none() -> io::Result<Self> {
        let (pipe, writer) = io::pipe()?;
        Ok(Self { pipe: pipe.into(), _writer: Some(writer), signal: Arc::default() })
    }

    /// Returns the last signal, or `None` if none was received.
    pub(crate) fn signal(&self) -> Option<i32> {
        i32::try_from(self.signal.load(Ordering::Relaxed)).ok().filter(|number| *number != 0)
    }

    /// Returns the number of signals that were received.
    pub(crate) fn count(&self) -> u64 {
        rustix::io::ioctl_fionread(&self.pipe).unwrap_or_default()
    }

    /// Returns whether more than one signal was received, on which rigup kills its children at once.
    pub(crate) fn is_urgent(&self) -> bool {
        self.count() > 1
    }

    /// Returns a descriptor that becomes readable when a signal is received.
    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.pipe.as_fd()
    }
}

fn is_ignored(number: i32) -> io::Result<bool> {
    // SAFETY: sigaction is a plain C struct for which all zeroes is a value.
    #[expect(unsafe_code, reason = "nix cannot read an action without changing it")]
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    // SAFETY: a null new action changes nothing, and the old one is written to a live value.
    #[expect(unsafe_code, reason = "nix cannot read an action without changing it")]
    let done = unsafe { libc::sigaction(number, std::ptr::null(), &raw mut action) };
    if done == 0 { Ok(action.sa_sigaction == libc::SIG_IGN) } else { Err(io::Error::last_os_error()) }
}
