//! A file that the user names for what a command reports, such as that of `--junit`.

use std::fs::{File, Metadata};
use std::io::{self, ErrorKind, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use crate::cli::cli_error::CliError;
use crate::cli::output_queue::{STDERR, STDOUT};
use crate::fs::{atomic, link};

/// A file that can be written.
#[derive(Debug)]
pub(crate) struct OutputFile {
    path: PathBuf,
    /// What the file is for, in messages.
    contents: &'static str,
    target: Target,
}

#[derive(Debug)]
enum Target {
    /// A regular file, which is created or replaced as a whole.
    Regular,
    /// A device, a FIFO or a file that a process has open, which is written to.
    Open(File),
    /// The file that is standard output, of any kind: replacing it would lose what the command prints.
    Stdout,
    /// The file that is standard error.
    Stderr,
}

impl OutputFile {
    /// Checks that a file can be written, and creates its folder. `-` is standard output. A device, a FIFO or a file that a
    /// process has open is opened, and is never replaced; a FIFO waits for its reader.
    pub(crate) fn open(path: PathBuf, contents: &'static str) -> Result<Self, CliError> {
        let target = Target::open(&path).map_err(|error| write_error(contents, &path, &error))?;
        Ok(Self { path, contents, target })
    }

    /// The path, as the user named it.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether each write replaces the file.
    pub(crate) fn is_replaced(&self) -> bool {
        matches!(self.target, Target::Regular)
    }

    /// Whether it is standard output, which then has only what is written.
    pub(crate) fn is_stdout(&self) -> bool {
        matches!(self.target, Target::Stdout)
    }

    /// Writes the file.
    pub(crate) fn write(&self, content: &[u8]) -> Result<(), CliError> {
        let written = match &self.target {
            Target::Regular => atomic::write_for_user(&self.path, content),
            Target::Open(file) => { file }.write_all(content),
            Target::Stdout => STDOUT.write(content).and_then(|()| STDOUT.drain()),
            Target::Stderr => STDERR.write(content).and_then(|()| STDERR.drain()),
        };
        match written {
            // A closed standard output does not change the exit code, whatever was printed to it.
            Err(error) if self.is_stdout() && error.kind() == ErrorKind::BrokenPipe => Ok(()),
            written => written.map_err(|error| write_error(self.contents, &self.path, &error)),
        }
    }
}

impl Target {
    fn open(path: &Path) -> io::Result<Self> {
        if path == Path::new("-") {
            return Ok(Self::Stdout);
        }
        // This follows a link in /proc to a pipe, too, which no path names.
        let found = match path.metadata() {
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            found => Some(found?),
        };
        if is_open_as(found.as_ref(), io::stdout()) {
            return Ok(Self::Stdout);
        }
        if is_open_as(found.as_ref(), io::stderr()) {
            return Ok(Self::Stderr);
        }
        if found.is_none_or(|found| found.is_file() && !link::is_open_file(path) || found.is_dir()) {
            return atomic::check_for_user(path).map(|()| Self::Regular);
        }
        let flags = OFlags::NOCTTY.bits().cast_signed();
        // A file that a process has open keeps what that one has written.
        File::options().append(true).custom_flags(flags).open(path).map(Self::Open)
    }
}

/// Whether a stream is this file.
fn is_open_as(file: Option<&Metadata>, stream: impl AsFd) -> bool {
    let opened = stream.as_fd().try_clone_to_owned().and_then(|stream| File::from(stream).metadata());
    file.zip(opened.as_ref().ok())
        .is_some_and(|(file, opened)| (file.dev(), file.ino()) == (opened.dev(), opened.ino()))
}

fn write_error(contents: &str, path: &Path, error: &io::Error) -> CliError {
    CliError::setup(format!("cannot write {contents} to {}: {error}", path.display()))
}
