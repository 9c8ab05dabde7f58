//! The standard streams, which block even if another process that has them open made them non-blocking, as programs
//! written in Node.js do: rigup waits until they are ready.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};

use nix::poll::PollFlags;
use rustix::io::Errno;

use crate::process::poll;

/// Standard input, standard output or standard error, without a buffer.
#[derive(Debug)]
pub(crate) struct StandardStream<S>(pub(crate) S);

impl<S: AsFd> StandardStream<S> {
    fn retry(
        &self,
        ready: PollFlags,
        mut transfer: impl FnMut(&S) -> Result<usize, Errno>,
    ) -> io::Result<usize> {
        loop {
            match transfer(&self.0) {
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => poll::wait_for(self.0.as_fd(), ready)?,
                done => return Ok(done?),
            }
        }
    }
}

impl<S: AsFd> AsFd for StandardStream<S> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl<S: AsFd> Write for StandardStream<S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.retry(PollFlags::POLLOUT, |stream| rustix::io::write(stream, bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<S: AsFd> Read for StandardStream<S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.retry(PollFlags::POLLIN, |stream| rustix::io::read(stream, &mut *buffer))
    }
}
