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

    /// Reads new bytes of the log for this time, and reports their records. Returns their number, which is 0 only at the end. A
    /// log that cannot be read has no records.
    pub(super) fn read(&mut self, log: &Log, time: Duration, mut on_record: impl FnMut(Record)) -> u64 {
        let start = Instant::now();
        let mut reader = log.read_from(self.offset, self.unread);
        let mut buffer = [0; 16 << 10];
        // On a busy machine, the time may pass before the first read, and nothing read means the end.
        while (reader.offset == self.offset || start.elapsed() < time)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::PluginName;
    use crate::plugin::discovery::Start;
    use crate::plugin::hook_name::HookName;

    #[test]
    fn only_the_end_of_a_log_counts_as_nothing_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        fs_err::write(&path, "{\"type\":\"A\"}\n").unwrap();
        let log = Log::open(&path).unwrap();
        let hook = Hook {
            name: HookName::parse("on_E__1_a.sh").unwrap(),
            plugin: PluginName::parse("p").unwrap(),
            path: "a.sh".into(),
            start: Start::Itself,
        };
        let mut output = HookOutput::new(&hook, 64);
        let mut records = 0;
        // No time is left, as on a busy machine.
        let mut read = || output.read(&log, Duration::ZERO, |_| records += 1);
        assert_eq!([read(), read()], [13, 0]);
        assert_eq!(records, 1);
    }
}
