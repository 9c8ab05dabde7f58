//! INT, TERM and HUP to rigup itself, as a descriptor that can be polled.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use nix::sys::signal::{SigSet, Signal};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::{flag, low_level};

use crate::exhaustion;

/// The interrupts of this rigup, and their number.
///
/// Each signal leaves a byte in a pipe that is never read, so every thread that polls it wakes up.
#[derive(Debug)]
pub(crate) struct Interrupt {
    pipe: OwnedFd,
    signal: Arc<AtomicUsize>,
}

impl Interrupt {
    /// Handles the three signals for the rest of this process's life, even if the launcher blocked them, which is inherited.
    /// INT and HUP stay ignored if they are ignored: by `nohup`, or by a shell without job control that starts rigup in the
    /// background.
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
        Ok(Self { pipe: pipe.into(), signal })
    }

    /// Returns the last signal, or `None` if none has come.
    pub(crate) fn signal(&self) -> Option<i32> {
        i32::try_from(self.signal.load(Ordering::Relaxed)).ok().filter(|number| *number != 0)
    }

    /// Returns the number of signals that have come.
    pub(crate) fn count(&self) -> u64 {
        rustix::io::ioctl_fionread(&self.pipe).unwrap_or_default()
    }

    /// Whether more than one signal has come: rigup then kills at once.
    pub(crate) fn is_urgent(&self) -> bool {
        self.count() > 1
    }

    /// A descriptor that is readable once a signal has come.
    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.pipe.as_fd()
    }
}

fn is_ignored(number: i32) -> io::Result<bool> {
    // SAFETY: sigaction is a plain C struct for which all zeroes is a value.
    #[expect(unsafe_code, reason = "nix cannot look at an action without changing it")]
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    // SAFETY: a null new action changes nothing, and the old one is written to a live value.
    #[expect(unsafe_code, reason = "nix cannot look at an action without changing it")]
    let done = unsafe { libc::sigaction(number, std::ptr::null(), &raw mut action) };
    if done == 0 { Ok(action.sa_sigaction == libc::SIG_IGN) } else { Err(io::Error::last_os_error()) }
}
