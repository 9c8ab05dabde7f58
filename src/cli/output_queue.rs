//! Output that a slow reader does not hold up: what standard output or standard error does not take at once waits in a
//! queue, which a thread writes, so that rigup goes on supervising its children.

use std::collections::VecDeque;
use std::io::{self, Stderr, Stdout, Write};
use std::os::fd::AsFd;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use nix::poll::PollFlags;
use rustix::fs::FileType;
use rustix::io::Errno;

use crate::cli::standard_stream::StandardStream;
use crate::process::{poll, signals};

/// The number of bytes that a pipe or a terminal takes without blocking if it is writable at all: `PIPE_BUF` on Linux.
const PIECE: usize = 4096;

/// The size of the queue, in bytes. If it is full, rigup waits for the reader.
const MAX_QUEUE: usize = 16 << 20;

/// How long rigup waits for a reader that takes nothing, once a signal has interrupted rigup.
const PATIENCE: Duration = Duration::from_secs(1);

/// How often a wait for the reader checks whether a signal has interrupted rigup.
const TICK: Duration = Duration::from_millis(50);

/// The queue of standard output.
pub(crate) static STDOUT: OutputQueue<Stdout> = OutputQueue::new(io::stdout);
/// The queue of standard error.
pub(crate) static STDERR: OutputQueue<Stderr> = OutputQueue::new(io::stderr);

/// A stream and the bytes that it has not taken yet.
pub(crate) struct OutputQueue<S> {
    stream: fn() -> S,
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    pending: VecDeque<u8>,
    /// Whether the thread runs that writes what is pending.
    has_thread: bool,
    /// The error of the first write that failed. Nothing is written after it.
    error: Option<Errno>,
}

impl<S: AsFd + Send + 'static> OutputQueue<S> {
    const fn new(stream: fn() -> S) -> Self {
        let state = State { pending: VecDeque::new(), has_thread: false, error: None };
        Self { stream, state: Mutex::new(state), changed: Condvar::new() }
    }

    /// Writes a text, and waits until the stream has taken it.
    pub(crate) fn write_and_drain(&'static self, text: &str) -> io::Result<()> {
        self.write(text.as_bytes()).and_then(|()| self.drain())
    }

    /// Writes bytes, or adds them to the queue if the stream would block. Waits only if the queue is full.
    pub(crate) fn write(&'static self, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.lock();
        if !state.has_thread {
            let written = write_at_once((self.stream)(), bytes)?;
            if written == bytes.len() {
                return Ok(());
            }
            let rest = &bytes[written..];
            if thread::Builder::new().spawn(|| self.write_pending()).is_err() {
                return StandardStream((self.stream)()).write_all(rest);
            }
            state.has_thread = true;
            state.pending.extend(rest);
        } else if state.error.is_none() {
            state.pending.extend(bytes);
        }
        self.changed.notify_all();
        self.wait_for(state, |state| state.pending.len() <= MAX_QUEUE)
    }

    /// Waits until the stream has taken everything. After an interrupt, gives up on a reader that takes nothing.
    pub(crate) fn drain(&self) -> io::Result<()> {
        self.wait_for(self.lock(), |state| state.pending.is_empty())
    }

    fn wait_for(&self, mut state: MutexGuard<'_, State>, is_done: impl Fn(&State) -> bool) -> io::Result<()> {
        let (mut left, mut progress_at) = (usize::MAX, Instant::now());
        while !is_done(&state) && state.error.is_none() {
            if state.pending.len() < left || signals::interrupted_by().is_none() {
                (left, progress_at) = (state.pending.len(), Instant::now());
            } else if progress_at.elapsed() >= PATIENCE {
                state.error = Some(Errno::PIPE);
                state.pending.clear();
                break;
            }
            let waited = self.changed.wait_timeout(state, TICK);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        state.error.map_or(Ok(()), |error| Err(error.into()))
    }

    /// Writes what is pending, whenever there is something.
    fn write_pending(&self) {
        let mut stream = StandardStream((self.stream)());
        let mut state = self.lock();
        loop {
            let next: Vec<u8> = state.pending.iter().take(PIECE).copied().collect();
            if next.is_empty() {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            drop(state);
            let written = stream.write(piece(&next));
            state = self.lock();
            match written {
                Ok(count) => {
                    let count = count.min(state.pending.len());
                    state.pending.drain(..count);
                }
                Err(error) => {
                    let error = Errno::from_io_error(&error).unwrap_or(Errno::IO);
                    state.error = Some(without_terminal(error, &stream));
                    state.pending.clear();
                }
            }
            self.changed.notify_all();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes as many bytes as the stream takes without blocking, and returns their number.
fn write_at_once(stream: impl AsFd, bytes: &[u8]) -> io::Result<usize> {
    let is_file = file_type(&stream).is_some_and(FileType::is_file);
    let mut written = 0;
    while written < bytes.len() && poll::is_ready(stream.as_fd(), PollFlags::POLLOUT) {
        let rest = &bytes[written..];
        match rustix::io::write(&stream, if is_file { rest } else { piece(rest) }) {
            Ok(count) => written += count,
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => break,
            Err(error) => return Err(without_terminal(error, &stream).into()),
        }
    }
    Ok(written)
}

/// Returns the bytes that are written at once to a pipe or a terminal: as many whole lines as fit, because other rigups may
/// write to the same pipe, or else a part of a longer line.
fn piece(bytes: &[u8]) -> &[u8] {
    let Some(most) = bytes.get(..PIECE) else { return bytes };
    memchr::memrchr(b'\n', most).map_or(most, |end| &most[..=end])
}

/// Returns the error of a closed pipe in the place of that of a terminal that is gone, because neither has a reader.
fn without_terminal(error: Errno, stream: impl AsFd) -> Errno {
    let is_device = || file_type(stream).is_some_and(FileType::is_char_device);
    if error == Errno::IO && is_device() { Errno::PIPE } else { error }
}

fn file_type(stream: impl AsFd) -> Option<FileType> {
    rustix::fs::fstat(stream).ok().map(|stat| FileType::from_raw_mode(stat.st_mode))
}
