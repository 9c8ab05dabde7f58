//! The space that a waiter reserves for the exit of its process.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};

use fs_err::os::unix::fs::OpenOptionsExt;

use crate::model::{Process, Warnings};
use crate::process::run_dir::{self, RunDir};

/// The file in the run dir. It begins with the prefix of temporary files, with which it is removed if its waiter is killed.
const FILE: &str = ".new-exit";

/// The number of bytes that are reserved.
const SIZE: usize = 4096;

/// The space for the exit of a process, so that it can be written even if the disk is full by then.
#[derive(Debug)]
pub(crate) struct ReservedExit {
    run_dir: RunDir,
    file: File,
}

impl ReservedExit {
    /// Reserves the space in a run dir.
    pub(crate) fn new(run_dir: &RunDir) -> io::Result<Self> {
        let reserve = || -> io::Result<Self> {
            let mut options = fs_err::OpenOptions::new();
            let file = options.write(true).create_new(true).mode(0o600).open(run_dir.path().join(FILE))?;
            let reserved = Self { run_dir: run_dir.clone(), file: file.into_parts().0 };
            // A hole would take no space.
            reserved.file.write_all_at(&[b' '; SIZE], 0)?;
            Ok(reserved)
        };
        reserve().map_err(|error| {
            let path = run_dir.path();
            let problem = format!("cannot reserve space for the exit in {}: {error}", path.display());
            io::Error::new(error.kind(), problem)
        })
    }

    /// Writes the exit of the process to the run dir, with its warnings as far as there is space for them.
    pub(crate) fn write(self, process: &Process) -> io::Result<()> {
        let Some(exit) = process.exit() else { return Ok(()) };
        let write = |warnings: &Warnings| {
            let line = run_dir::exit_line(process, exit, warnings);
            self.file.write_all_at(&line, 0).and_then(|()| self.file.set_len(line.len() as u64))
        };
        let path = self.run_dir.path().join(FILE);
        let is_in_place = || -> io::Result<bool> {
            let (own, found) = (self.file.metadata()?, path.symlink_metadata()?);
            Ok((own.dev(), own.ino()) == (found.dev(), found.ino()))
        };
        let written = write(&process.warnings).or_else(|_| write(&Warnings::default()));
        if written.is_ok() && matches!(is_in_place(), Ok(true)) {
            return fs_err::rename(&path, self.run_dir.path().join(run_dir::EXIT));
        }
        // The process may have removed or replaced the file.
        self.run_dir.write_exit(process)
    }
}

impl Drop for ReservedExit {
    fn drop(&mut self) {
        let _ = fs_err::remove_file(self.run_dir.path().join(FILE));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;
    use crate::model::{MachineId, ProcessExit, ProcessId, ProcessSpec, ProcessType};

    fn names(run_dir: &RunDir) -> Vec<std::ffi::OsString> {
        fs_err::read_dir(run_dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect()
    }

    #[test]
    fn an_exit_is_written_to_its_space_or_to_a_new_file() {
        let spec = ProcessSpec::new(ProcessType::Binary, vec!["x".to_owned()], "/");
        let process = Process::queued(ProcessId::generate(), MachineId::generate(), spec, clock::now());
        let process = process.into_exited(ProcessExit::exited(7, clock::now()));
        for is_removed in [false, true] {
            let folder = tempfile::tempdir().unwrap();
            let run_dir = RunDir::at(folder.path());
            let reserved = ReservedExit::new(&run_dir).unwrap();
            let size = folder.path().join(FILE).metadata().unwrap().blocks() * 512;
            assert!(size >= SIZE as u64, "{size}");
            if is_removed {
                fs_err::write(folder.path().join("other"), "{}").unwrap();
                fs_err::rename(folder.path().join("other"), folder.path().join(FILE)).unwrap();
            }
            reserved.write(&process).unwrap();
            assert_eq!(run_dir.read_exit().unwrap().unwrap().exit_code, Some(7));
            assert_eq!(names(&run_dir), [run_dir::EXIT]);
        }
        let folder = tempfile::tempdir().unwrap();
        drop(ReservedExit::new(&RunDir::at(folder.path())).unwrap());
        assert!(names(&RunDir::at(folder.path())).is_empty());
    }
}
