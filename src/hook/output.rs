//! The standard output of a hook of an event.

use std::io::Read;
use std::time::{Duration, Instant};

use crate::model::Warnings;
use crate::plugin::discovery::Hook;
use crate::process::log::Log;
use crate::protocol::{Record, RecordReader};

/// How long an output is read at once, so that a hook that writes faster than rigup reads does not keep rigup from checking
/// the timeout, the size of the log and the interrupt.
pub(super) const READ_TIME: Duration = Duration::from_millis(10);

/// The standard output of a hook, read while it is written.
pub(super) struct HookOutput<'a> {
    pub hook: &'a Hook,
    /// The position in the log.
    pub offset: u64,
    /// The number of bytes that may still be read.
    pub unread: u64,
    pub records: RecordReader,
    pub has_line: bool,
    /// Whether the hook printed the result of its work.
    pub has_result: bool,
    /// Whether the hook did not print its first line in time.
    pub is_late: bool,
    /// The warnings that were reported while the hook ran.
    pub reported: Warnings,
}

impl<'a> HookOutput<'a> {
    /// Returns the output of a hook, of which at most `limit` bytes are read.
    pub(super) fn new(hook: &'a Hook, limit: u64) -> Self {
        let (records, reported) = (RecordReader::default(), Warnings::default());
        Self {
            hook,
            offset: 0,
            unread: limit,
            records,
            has_line: false,
            has_result: false,
            is_late: false,
            reported,
        }
    }

    /// Reads new bytes of the log for at most [`READ_TIME`], and reports their records. Returns their number. A log that
    /// cannot be read has no records.
    pub(super) fn read(&mut self, log: &Log, mut on_record: impl FnMut(Record)) -> u64 {
        let start = Instant::now();
        let mut reader = log.read_from(self.offset, self.unread);
        let mut buffer = [0; 16 << 10];
        while start.elapsed() < READ_TIME
            && let Ok(length @ 1..) = reader.read(&mut buffer)
        {
            let bytes = &buffer[..length];
            self.has_line |= bytes.contains(&b'\n');
            self.records.push(bytes, &mut |record: Record| {
                self.has_result |= record.is_final_result();
                on_record(record);
            });
        }
        let count = reader.offset - self.offset;
        (self.offset, self.unread) = (reader.offset, self.unread - count);
        if count == 0 && self.offset > 0 && log.size() < self.offset {
            // The hook has truncated its log, as `>/dev/stdout` does in a shell.
            self.offset = 0;
        }
        count
    }
}
