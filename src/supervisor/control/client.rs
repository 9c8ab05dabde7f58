//! The connection to a client. Neither reading nor writing ever waits for the client.

use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::time::Instant;

use nix::poll::PollFlags;

use crate::jsonl;
use crate::process::poll;
use crate::supervisor::control::message::{Answer, ControlRequest};

/// The longest request, in bytes.
const MAX_REQUEST: usize = 16 << 20;

/// The most that is read from a client before others have their turn, in bytes.
const READ_SIZE: usize = 64 << 10;

/// How much a client may leave unread before it is sent more, in bytes. One answer may have any size.
const MAX_UNREAD: usize = 4 << 20;

/// A connected client.
#[derive(Debug)]
pub(crate) struct Client {
    stream: UnixStream,
    input: Vec<u8>,
    /// What the client has not read yet.
    output: Vec<u8>,
}

impl Client {
    /// Returns a client at the other end of a new connection.
    pub(super) fn new(stream: UnixStream) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        Ok(Self { stream, input: Vec::new(), output: Vec::new() })
    }

    /// Reads what has arrived. Returns the request once it is complete, or an error if the client is gone or its request is
    /// too long.
    pub(crate) fn read(&mut self) -> io::Result<Option<Result<ControlRequest, serde_json::Error>>> {
        let start = self.input.len();
        let read = (&self.stream).take(READ_SIZE as u64).read_to_end(&mut self.input);
        if let Some(end) = memchr::memchr(b'\n', &self.input[start..]) {
            return Ok(Some(serde_json::from_slice(&self.input[..start + end])));
        }
        match read {
            Ok(count) if count < READ_SIZE => Err(ErrorKind::UnexpectedEof.into()),
            Err(error) if error.kind() != ErrorKind::WouldBlock => Err(error),
            _ if self.input.len() > MAX_REQUEST => Err(ErrorKind::FileTooLarge.into()),
            _ => Ok(None),
        }
    }

    /// Whether the client has closed its end.
    pub(crate) fn is_gone(&self) -> bool {
        !matches!((&self.stream).read(&mut [0]), Err(error) if error.kind() == ErrorKind::WouldBlock)
    }

    /// Sends an answer, as far as the client reads it; [`Self::flush`] sends the rest. Returns an error if the client is gone,
    /// or has left too much unread.
    pub(crate) fn send(&mut self, answer: &Answer) -> io::Result<()> {
        if self.output.len() > MAX_UNREAD {
            return Err(ErrorKind::StorageFull.into());
        }
        self.output.extend(jsonl::line(answer));
        self.flush()
    }

    /// Sends what the client reads now. Returns an error if the client is gone.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        while !self.output.is_empty() {
            match self.stream.write(&self.output) {
                Ok(count) => drop(self.output.drain(..count)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Whether the client has left something unread.
    pub(crate) fn has_unread(&self) -> bool {
        !self.output.is_empty()
    }

    /// Returns the descriptor of the connection, with [`PollFlags::POLLOUT`] if the client has left something unread.
    pub(crate) fn fd(&self) -> (BorrowedFd<'_>, PollFlags) {
        let flags = if self.has_unread() { PollFlags::POLLOUT } else { PollFlags::empty() };
        (self.stream.as_fd(), flags)
    }
}

/// Waits until these clients have read everything, or until `deadline`.
pub(crate) fn drain(clients: &mut Vec<Client>, deadline: Instant) {
    loop {
        clients.retain_mut(|client| client.flush().is_ok());
        let unread: Vec<_> = clients.iter().filter(|client| client.has_unread()).map(Client::fd).collect();
        if unread.is_empty() || Instant::now() >= deadline {
            return;
        }
        poll::any_ready(unread, deadline);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_client_that_does_not_read_is_sent_no_more_at_a_limit() {
        let (mut reader, stream) = UnixStream::pair().unwrap();
        let mut client = Client::new(stream).unwrap();
        let answer = Answer::with(vec![json!("x".repeat(MAX_UNREAD))]);
        client.send(&answer).unwrap();
        assert!(client.has_unread());
        client.send(&answer).unwrap();
        assert_eq!(client.send(&answer).unwrap_err().kind(), ErrorKind::StorageFull);
        std::thread::scope(|scope| {
            let text = scope.spawn(move || {
                let mut text = String::new();
                reader.read_to_string(&mut text).map(|_| text)
            });
            drain(&mut vec![client], Instant::now() + std::time::Duration::from_mins(1));
            assert_eq!(text.join().unwrap().unwrap().lines().count(), 2);
        });
    }

    #[test]
    fn a_request_may_arrive_in_pieces_and_its_sender_may_close_its_end() {
        let (mut sender, stream) = UnixStream::pair().unwrap();
        let mut client = Client::new(stream).unwrap();
        assert!(client.read().unwrap().is_none());
        sender.write_all(b"{\"command\":").unwrap();
        assert!(client.read().unwrap().is_none());
        sender.write_all(b"\"await_ready\",\"names\":[]}\nmore").unwrap();
        drop(sender);
        assert!(matches!(client.read().unwrap(), Some(Ok(ControlRequest::AwaitReady { .. }))));
        assert!(client.read().is_err() && client.is_gone());
    }
}
