//! The signals that rigup catches: those that interrupt it, as a descriptor that can be polled, and how it dies of them.

use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use libc::c_int;
use nix::sys::signal::{SigSet, Signal, raise};

use crate::exhaustion;
use crate::process::system;

/// The signals that interrupt a program that links this library.
const INTERRUPTS: [Signal; 3] = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP];

/// The signals that rigup neither passes on nor takes as an interrupt: those that the system sends for a fault of rigup
/// itself, for its children, its files and its own use of the terminal, and those that cannot be caught.
const OWN: [c_int; 11] = [
    libc::SIGKILL,
    libc::SIGSTOP,
    libc::SIGILL,
    libc::SIGBUS,
    libc::SIGFPE,
    libc::SIGSEGV,
    libc::SIGCHLD,
    libc::SIGPIPE,
    libc::SIGXFSZ,
    libc::SIGTTIN,
    libc::SIGTTOU,
];

/// The other signals that kill no program by default.
#[cfg(target_os = "linux")]
const HARMLESS: [c_int; 4] = [libc::SIGCONT, libc::SIGTSTP, libc::SIGURG, libc::SIGWINCH];
#[cfg(not(target_os = "linux"))]
const HARMLESS: [c_int; 6] =
    [libc::SIGCONT, libc::SIGTSTP, libc::SIGURG, libc::SIGWINCH, libc::SIGIO, libc::SIGINFO];

/// The interrupts whose default action writes a core file.
const CORE_SIGNALS: [c_int; 5] = [libc::SIGQUIT, libc::SIGTRAP, libc::SIGABRT, libc::SIGSYS, libc::SIGXCPU];

/// How soon a further signal belongs to the same interrupt: `timeout` signals its child and then the whole group, and a
/// terminal that is closed sends HUP together with the shell in it.
const SAME_INTERRUPT: Duration = Duration::from_millis(500);

/// Whether the launcher ignores XFSZ. Empty in a program that links this library.
static IGNORES_XFSZ: OnceLock<bool> = OnceLock::new();

/// The last signal that interrupted this process, or 0.
static INTERRUPTED_BY: AtomicI32 = AtomicI32::new(0);

/// Returns the numbers of the signals that can be passed on, with the realtime signals.
pub(super) fn passed_on() -> impl Iterator<Item = c_int> {
    let standard = Signal::iterator().map(|signal| signal as c_int);
    #[cfg(target_os = "linux")]
    let standard = standard.chain(libc::SIGRTMIN()..=libc::SIGRTMAX());
    standard.filter(|number| !OWN.contains(number))
}

/// Returns the numbers of the signals that interrupt this process: in the executable, all that would kill it by default,
/// and leave its children behind. A program that links this library may use most of them for itself.
fn interrupts() -> Vec<c_int> {
    if IGNORES_XFSZ.get().is_some() {
        passed_on().filter(|number| !HARMLESS.contains(number)).collect()
    } else {
        INTERRUPTS.map(|signal| signal as c_int).to_vec()
    }
}

/// Returns the last signal that interrupted this process, for code that has no [`Interrupt`], or `None` if there is none.
pub(crate) fn interrupted_by() -> Option<i32> {
    Some(INTERRUPTED_BY.load(Ordering::Relaxed)).filter(|number| *number != 0)
}

/// Prepares the signals of the executable, which inherits some of them from its launcher. No signal stays blocked. TERM
/// is at its default, so that every command can be terminated, and CHLD, because the system does not keep the exit of a
/// child if it is ignored. XFSZ is ignored, so that a write beyond `ulimit -f` fails like any other. All other signals
/// stay ignored if the launcher ignores them.
pub(super) fn prepare_executable() {
    let _ = SigSet::all().thread_unblock();
    // The defaults apply if this fails.
    for number in [libc::SIGTERM, libc::SIGCHLD] {
        let _ = set_disposition(number, libc::SIG_DFL);
    }
    let before = set_disposition(libc::SIGXFSZ, libc::SIG_IGN);
    let _ = IGNORES_XFSZ.set(before.is_ok_and(|before| before.sa_sigaction == libc::SIG_IGN));
}

/// Returns the signals that this process ignores, but that a command in the foreground gets at their defaults: PIPE,
/// which Rust programs ignore, and XFSZ.
pub(super) fn ignored_by_rigup_alone() -> SigSet {
    let mut signals = SigSet::from(Signal::SIGPIPE);
    if IGNORES_XFSZ.get() == Some(&false) {
        signals.add(Signal::SIGXFSZ);
    }
    signals
}

/// Sets the signals that rigup alone ignores to their defaults, before this process becomes another program.
pub(super) fn restore_defaults() {
    for signal in &ignored_by_rigup_alone() {
        let _ = set_disposition(signal as c_int, libc::SIG_DFL);
    }
}

/// The signals that interrupted this rigup: the last one, and their number.
///
/// Each signal adds a byte to a pipe that is never read, so every thread that polls the pipe wakes up.
#[derive(Debug)]
pub struct Interrupt {
    pipe: io::PipeReader,
    /// Keeps the pipe open if no signal handler does.
    _writer: Option<Arc<io::PipeWriter>>,
    signal: Arc<AtomicI32>,
}

impl Interrupt {
    /// Installs handlers for the signals that interrupt rigup, and unblocks them, because a blocked signal is inherited
    /// from the launcher.
    pub(crate) fn install() -> io::Result<Self> {
        let interrupt = Self::of(interrupts())?;
        SigSet::from_iter(INTERRUPTS).thread_unblock()?;
        Ok(interrupt)
    }

    /// Returns an interrupt that never occurs, for a program that exits at once.
    pub fn none() -> io::Result<Self> {
        Self::of(Vec::new())
    }

    /// Returns an interrupt that occurs when the writer is dropped, for a thread that others end.
    pub(crate) fn on_drop() -> io::Result<(Self, io::PipeWriter)> {
        let (pipe, writer) = io::pipe()?;
        Ok((Self { pipe, _writer: None, signal: Arc::default() }, writer))
    }

    fn of(numbers: Vec<c_int>) -> io::Result<Self> {
        let (start, last_millis) = (Instant::now(), AtomicU64::new(u64::MAX));
        let signal = Arc::new(AtomicI32::default());
        let last_signal = Arc::clone(&signal);
        let (pipe, writer) = catch(numbers, move |number, info| {
            let millis = u64::try_from(start.elapsed().as_millis()).unwrap_or_default();
            let last = last_millis.load(Ordering::Relaxed);
            let is_typed =
                system::is_from_kernel(info.si_code) && matches!(number, libc::SIGINT | libc::SIGQUIT);
            let is_soon =
                last != u64::MAX && Duration::from_millis(millis.saturating_sub(last)) < SAME_INTERRUPT;
            let is_new = is_typed || !is_soon;
            if is_new {
                last_millis.store(millis, Ordering::Relaxed);
                last_signal.store(number, Ordering::Relaxed);
                INTERRUPTED_BY.store(number, Ordering::Relaxed);
            }
            is_new.then_some(0)
        })?;
        Ok(Self { pipe, _writer: Some(writer), signal })
    }

    /// Returns the last signal, or `None` if none was received.
    pub(crate) fn signal(&self) -> Option<i32> {
        Some(self.signal.load(Ordering::Relaxed)).filter(|number| *number != 0)
    }

    /// Returns the number of signals that were received.
    pub(crate) fn count(&self) -> u64 {
        rustix::io::ioctl_fionread(&self.pipe).unwrap_or_default()
    }

    /// Returns whether more than one signal was received, on which rigup kills its children at once. Signals in quick
    /// succession count as one, except those that a person types.
    pub(crate) fn is_urgent(&self) -> bool {
        self.count() > 1
    }

    /// Returns a descriptor that becomes readable when a signal is received.
    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.pipe.as_fd()
    }
}

/// A descriptor that becomes readable when a child exits.
#[derive(Debug)]
pub(crate) struct ChildExits {
    pipe: io::PipeReader,
    /// Keeps the pipe open if no signal handler does.
    _writer: Arc<io::PipeWriter>,
}

impl ChildExits {
    /// Installs the handler.
    pub(crate) fn install() -> io::Result<Self> {
        let (pipe, writer) = catch([libc::SIGCHLD], |_number, _info| Some(0))?;
        Ok(Self { pipe, _writer: writer })
    }

    /// Makes the descriptor unreadable until the next child exits.
    pub(crate) fn clear(&self) {
        let _ = io::copy(&mut &self.pipe, &mut io::sink());
    }

    /// Returns the descriptor.
    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.pipe.as_fd()
    }
}

/// Catches signals, except those that the launcher ignores, as `nohup` does, or a shell without job control that starts
/// rigup in the background. Returns both ends of a pipe: for each signal, the handler writes the byte that `byte_of`
/// returns, which may only do what is safe in a signal handler. Neither reading nor writing blocks.
pub(super) fn catch(
    numbers: impl IntoIterator<Item = c_int>,
    byte_of: impl Fn(c_int, &libc::siginfo_t) -> Option<u8> + Send + Sync + 'static,
) -> io::Result<(io::PipeReader, Arc<io::PipeWriter>)> {
    let byte_of = Arc::new(byte_of);
    let catch_all = || -> io::Result<_> {
        let (reader, writer) = io::pipe()?;
        rustix::io::ioctl_fionbio(&reader, true)?;
        rustix::io::ioctl_fionbio(&writer, true)?;
        let writer = Arc::new(writer);
        for number in numbers {
            if disposition(number, None)?.sa_sigaction == libc::SIG_IGN {
                continue;
            }
            let (byte_of, writer) = (Arc::clone(&byte_of), Arc::clone(&writer));
            let on_signal = move |info: &libc::siginfo_t| {
                let _ = byte_of(number, info).map(|byte| (&*writer).write(&[byte]));
            };
            // SAFETY: the functions in this module and in `foreground` read a clock and store atomics.
            #[expect(unsafe_code, reason = "a signal handler may interrupt any other code")]
            unsafe { signal_hook_registry::register_sigaction(number, on_signal) }?;
        }
        Ok((reader, writer))
    };
    catch_all().map_err(|error| {
        io::Error::new(error.kind(), format!("cannot handle signals: {}", exhaustion::explain(&error)))
    })
}

/// Kills this process by a signal that interrupted it, so that its caller sees why it ended: a shell stops the script
/// that contains the command. Returns if that is impossible, because this is the first process of a container, or
/// unwanted, because it would write a core file. The output must be flushed before.
pub(crate) fn die_of(number: c_int) {
    if !CORE_SIGNALS.contains(&number) && set_disposition(number, libc::SIG_DFL).is_ok() {
        // SAFETY: the action of the signal is its default.
        #[expect(unsafe_code, reason = "neither nix nor rustix has realtime signals")]
        let _ = unsafe { libc::raise(number) };
    }
}

/// Stops this process by TSTP, until it is continued, as if it did not catch the signal: the system ignores it if no
/// shell could continue the process.
pub(super) fn stop() {
    if let Ok(caught) = set_disposition(libc::SIGTSTP, libc::SIG_DFL) {
        let _ = raise(Signal::SIGTSTP);
        let _ = disposition(libc::SIGTSTP, Some(&caught));
    }
}

/// Sets a signal to its default or ignores it. Returns the action before.
fn set_disposition(number: c_int, handler: libc::sighandler_t) -> io::Result<libc::sigaction> {
    // SAFETY: sigaction is a plain C struct for which all zeroes is a value.
    #[expect(unsafe_code, reason = "an action has no other constructor")]
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = handler;
    disposition(number, Some(&action))
}

/// Returns the action of a signal, and replaces it by another one, if there is one.
fn disposition(number: c_int, new: Option<&libc::sigaction>) -> io::Result<libc::sigaction> {
    // SAFETY: sigaction is a plain C struct for which all zeroes is a value.
    #[expect(unsafe_code, reason = "nix cannot read an action without changing it")]
    let mut old: libc::sigaction = unsafe { std::mem::zeroed() };
    let new = new.map_or(std::ptr::null(), std::ptr::from_ref);
    // SAFETY: both pointers are null or to live values; a new action is a default, or was in use before.
    #[expect(unsafe_code, reason = "nix cannot read an action without changing it")]
    let done = unsafe { libc::sigaction(number, new, &raw mut old) };
    if done == 0 { Ok(old) } else { Err(io::Error::last_os_error()) }
}
