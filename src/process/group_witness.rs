//! A process in rigup's group that does nothing but receive signals, to tell those that were sent to the whole group,
//! by a terminal or by `kill -- -PGID`, from those that were sent to rigup alone. The system does not tell the receiver.

use std::collections::BTreeSet;
use std::io::{self, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use libc::c_int;
use nix::sys::signal::{SigSet, SigmaskHow, Signal, kill};
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, Pid, fork};

use crate::process::{poll, subreaper, system};
use crate::sorting::collect_sorted;

/// How long an answer may take; only a witness that is stopped takes longer.
const PATIENCE: Duration = Duration::from_secs(1);

/// A running witness. It exits when this value is dropped or rigup is killed.
#[derive(Debug)]
pub(super) struct GroupWitness {
    pid: Pid,
    stream: UnixStream,
}

impl GroupWitness {
    /// Starts a witness. It blocks all signals, so that they stay pending until rigup asks for them.
    pub(super) fn start() -> io::Result<Self> {
        let (stream, theirs) = UnixStream::pair()?;
        let mask = SigSet::all().thread_swap_mask(SigmaskHow::SIG_BLOCK)?;
        let started = subreaper::start_child(|| {
            // SAFETY: the child calls only functions that are safe after a fork: it neither allocates nor takes locks.
            #[expect(unsafe_code, reason = "another executable would take milliseconds to start")]
            let forked = unsafe { fork() };
            match forked? {
                ForkResult::Child => answer(&theirs),
                ForkResult::Parent { child } => u32::try_from(child.as_raw()).map_err(io::Error::other),
            }
        });
        mask.thread_set_mask()?;
        Ok(Self { pid: Pid::from_raw(started?.cast_signed()), stream })
    }

    /// Returns the signals that the witness has received since the last call.
    pub(super) fn received(&mut self) -> BTreeSet<c_int> {
        let mut numbers = [0; 8];
        let asked = self.stream.write_all(&[0]);
        let answers =
            asked.is_ok() && poll::readable([self.stream.as_fd()], Instant::now() + PATIENCE) == [true];
        if !answers || self.stream.read_exact(&mut numbers).is_err() {
            return BTreeSet::new();
        }
        let mask = u64::from_ne_bytes(numbers);
        collect_sorted((1..=64).filter(|number| mask >> (number - 1) & 1 == 1))
    }
}

impl Drop for GroupWitness {
    fn drop(&mut self) {
        // The pid is that of an unreaped child.
        let _ = kill(self.pid, Signal::SIGKILL);
        let _ = subreaper::reap_child(self.pid.as_raw().cast_unsigned(), || waitpid(self.pid, None));
    }
}

/// Runs as the witness: answers each byte with the set of pending signals, and makes them no longer pending. Closes
/// everything else, so that no reader of rigup's output waits for the witness.
fn answer(stream: &UnixStream) -> ! {
    for target in 0..3 {
        // SAFETY: the process uses no descriptor but the stream.
        #[expect(unsafe_code, reason = "an owned descriptor would be closed twice")]
        unsafe {
            libc::dup2(stream.as_raw_fd(), target);
        }
    }
    system::close_inherited();
    let mut request = [0_u8];
    // SAFETY: the buffers are live, the sets are initialized by sigpending, and sigwait returns at once for a signal
    // that is pending.
    #[expect(unsafe_code, reason = "only system calls are safe here")]
    unsafe {
        while libc::read(0, request.as_mut_ptr().cast(), 1) == 1 {
            let mut mask = 0_u64;
            for number in 1..=64 {
                while is_pending(number) {
                    mask |= 1 << (number - 1);
                    let mut set = MaybeUninit::uninit();
                    libc::sigemptyset(set.as_mut_ptr());
                    libc::sigaddset(set.as_mut_ptr(), number);
                    libc::sigwait(set.as_ptr(), &mut 0);
                }
            }
            libc::write(0, mask.to_ne_bytes().as_ptr().cast(), 8);
        }
        libc::_exit(0)
    }
}

/// Returns whether a signal is pending for this process.
fn is_pending(number: c_int) -> bool {
    let mut pending = MaybeUninit::uninit();
    // SAFETY: sigpending initializes the set.
    #[expect(unsafe_code, reason = "nix has no sigpending")]
    unsafe {
        libc::sigpending(pending.as_mut_ptr()) == 0 && libc::sigismember(pending.as_ptr(), number) == 1
    }
}
