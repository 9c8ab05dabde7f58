//! Waiting for file descriptors and for time to pass.

use std::io;
use std::os::fd::BorrowedFd;
use std::time::Instant;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// Waits until `deadline`.
pub(crate) fn pause(deadline: Instant) {
    let [] = readable([], deadline);
}

/// Waits until a descriptor is readable or writable, whichever `flags` says, or its other end is closed.
pub(crate) fn wait_for(fd: BorrowedFd<'_>, flags: PollFlags) -> io::Result<()> {
    match poll(&mut [PollFd::new(fd, flags)], PollTimeout::NONE) {
        Ok(_) | Err(Errno::EINTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Returns whether a descriptor is readable or writable, whichever `flags` says, or its other end is closed.
pub(crate) fn is_ready(fd: BorrowedFd<'_>, flags: PollFlags) -> bool {
    matches!(poll(&mut [PollFd::new(fd, flags)], PollTimeout::ZERO), Ok(1))
}

/// Waits until at least one descriptor is readable or `deadline` has passed. Returns whether each is readable.
pub(crate) fn readable<const N: usize>(fds: [BorrowedFd<'_>; N], deadline: Instant) -> [bool; N] {
    let mut polled = fds.map(|fd| PollFd::new(fd, PollFlags::POLLIN));
    wait_until(&mut polled, deadline);
    let ready = PollFlags::POLLIN | PollFlags::POLLHUP;
    polled.map(|fd| fd.revents().is_some_and(|events| events.intersects(ready)))
}

/// Polls descriptors until something happens, or `deadline` has passed.
fn wait_until(polled: &mut [PollFd<'_>], deadline: Instant) {
    loop {
        let remaining = deadline.saturating_duration_since(Instant::now());
        // Rounded up, so that a deadline less than a millisecond away does not cause a busy loop.
        let millis = remaining.as_micros().div_ceil(1000).min(i32::MAX as u128);
        let timeout = PollTimeout::try_from(millis).unwrap_or(PollTimeout::MAX);
        match poll(polled, timeout) {
            Err(Errno::EINTR) => {}
            Ok(0) if Instant::now() < deadline => {}
            Ok(_) | Err(_) => return,
        }
    }
}

/// Waits until at least one of any number of descriptors is readable or writable, whichever its flags say, or its other end
/// is closed, or `deadline` has passed. Returns whether each is.
pub(crate) fn any_ready<'fd>(
    fds: impl IntoIterator<Item = (BorrowedFd<'fd>, PollFlags)>,
    deadline: Instant,
) -> Vec<bool> {
    let mut polled: Vec<PollFd<'_>> = fds.into_iter().map(|(fd, flags)| PollFd::new(fd, flags)).collect();
    wait_until(&mut polled, deadline);
    polled.iter().map(|fd| fd.any().unwrap_or(false)).collect()
}
