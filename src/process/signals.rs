//! INT, TERM and HUP to rigup itself, as something that can be polled.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use nix::sys::signal::{SigSet, Signal};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::{flag, low_level::pipe};

use crate::exhaustion;

/// Whether somebody asked rigup to stop, and how often.
///
/// Each signal leaves a byte in a pipe that nobody empties, so every thread that polls it wakes up.
#[derive(Debug)]
pub struct Interrupt {
    asked: OwnedFd,
    signal: Arc<AtomicUsize>,
}

impl Interrupt {
    /// Takes the three signals over for the rest of this process's life, also where the launcher has them blocked, which
    /// is inherited. INT and HUP stay ignored where they are: by `nohup`, or by a shell without job control that starts
    /// rigup in the background.
    pub fn install() -> io::Result<Self> {
        let unable = |error: io::Error| {
            let reason = exhaustion::explained(&error);
            io::Error::new(error.kind(), format!("signals cannot be handled: {reason}"))
        };
        Self::take_over().map_err(unable)
    }

    fn take_over() -> io::Result<Self> {
        let (asked, ask) = io::pipe()?;
        let signal = Arc::new(AtomicUsize::new(0));
        for number in [SIGINT, SIGTERM, SIGHUP] {
            if number != SIGTERM && is_ignored(number)? {
                continue;
            }
            flag::register_usize(number, Arc::clone(&signal), usize::try_from(number).unwrap_or_default())?;
            pipe::register(number, ask.try_clone()?)?;
        }
        SigSet::from_iter([Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP]).thread_unblock()?;
        Ok(Self { asked: asked.into(), signal })
    }

    /// The signal that asked, if one did.
    pub fn signal(&self) -> Option<i32> {
        match self.signal.load(Ordering::Relaxed) {
            0 => None,
            number => i32::try_from(number).ok(),
        }
    }

    /// How often somebody asked.
    pub fn count(&self) -> u64 {
        rustix::io::ioctl_fionread(&self.asked).unwrap_or_default()
    }

    /// Whether somebody asked twice: no more patience.
    pub fn is_urgent(&self) -> bool {
        self.count() > 1
    }

    /// Readable once somebody asked.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.asked.as_fd()
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
