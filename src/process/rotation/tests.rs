use std::io::Write;

use super::*;
use crate::process::log_series::LogSeries;
use crate::process::tail::LogFollower;

const LIMITS: LogLimits = LogLimits { max_size: 16 << 10, max_files: 4 };

/// A log that is written and rotated in a folder.
struct Fixture {
    _folder: tempfile::TempDir,
    path: PathBuf,
    writer: File,
    log: Log,
    rotated: RotatedLog,
    lines: u32,
}

impl Fixture {
    /// Creates a log in a folder of `parent`.
    fn new(parent: &Path) -> Self {
        let folder = tempfile::tempdir_in(parent).unwrap();
        let path = folder.path().join("stdout.log");
        let writer = File::options().create(true).append(true).open(&path).unwrap();
        let log = Log::open(&path).unwrap();
        let rotated = RotatedLog::new(path.clone(), LIMITS);
        Self { _folder: folder, path, writer, log, rotated, lines: 0 }
    }

    /// Writes counted lines.
    fn write(&mut self, count: u32) {
        let lines: Vec<String> =
            (self.lines..self.lines + count).map(|number| format!("line {number:06}\n")).collect();
        self.writer.write_all(lines.concat().as_bytes()).unwrap();
        self.lines += count;
    }

    /// Returns what a reader of the whole log finds.
    fn text(&self) -> String {
        read(&mut LogFollower::open(&self.path, None).unwrap())
    }

    /// Asserts that a text is the newest lines, and at least `count` of them.
    #[track_caller]
    fn assert_newest(&self, text: &str, count: u32) {
        let whole: Vec<&str> = text.split_inclusive('\n').collect();
        let first = self.lines - u32::try_from(whole.len()).unwrap();
        assert!(self.lines - first >= count, "{} lines are kept", self.lines - first);
        for (number, line) in (first..).zip(&whole) {
            let expected = format!("line {number:06}\n");
            // The oldest part begins anywhere in a line.
            assert!(*line == expected || number == first && expected.ends_with(line), "{line} is {number}");
        }
    }
}

fn read(follower: &mut LogFollower) -> String {
    let mut text = Vec::new();
    follower
        .read(|bytes| {
            text.extend_from_slice(bytes);
            Ok(())
        })
        .unwrap();
    String::from_utf8(text).unwrap()
}

/// Returns a folder on disk and one in memory, whose file systems cut off the head of a file in different ways.
fn folders() -> Vec<PathBuf> {
    let folders = [std::env::temp_dir(), PathBuf::from("/dev/shm")];
    folders.into_iter().filter(|folder| folder.is_dir()).collect()
}

#[test]
fn a_rotated_log_is_read_as_one_and_its_oldest_part_is_dropped() {
    for folder in folders() {
        let mut fixture = Fixture::new(&folder);
        let mut follower = LogFollower::open(&fixture.path, None).unwrap();
        let mut seen = String::new();
        for _ in 0..40 {
            fixture.write(300);
            seen += &read(&mut follower);
            fixture.rotated.rotate(&fixture.log).unwrap();
        }
        seen += &read(&mut follower);
        fixture.assert_newest(&seen, fixture.lines);
        assert!(seen.starts_with("line 000000\n"), "the follower has seen everything");
        let text = fixture.text();
        fixture.assert_newest(&text, 3 * 12_288 / 12);
        assert_eq!(LogSeries::open(&fixture.path).unwrap().range().unwrap().1, u64::from(fixture.lines) * 12);
        assert!(fixture.log.kept_bytes() == text.len() as u64 && text.len() <= 4 * (16 << 10));
        let exists = [1, 2, 3, 4].map(|number| part_path(&fixture.path, number).exists());
        assert_eq!(exists, [true, true, true, false]);
        assert_eq!(fixture.log.size() > 1 << 17, folder.ends_with("shm"), "it is sparse only in memory");
        assert!(fixture.log.file().metadata().unwrap().blocks() * 512 <= 16 << 10);
        let tail = read(&mut LogFollower::open(&fixture.path, Some(2000)).unwrap());
        assert_eq!((tail.lines().count(), text.ends_with(&tail)), (2000, true));
    }
}

#[test]
fn an_interrupted_rotation_neither_loses_a_line_nor_doubles_one() {
    for folder in folders() {
        for steps in 0..6 {
            let mut fixture = Fixture::new(&folder);
            fixture.write(2000);
            fixture.rotated.rotate(&fixture.log).unwrap();
            fixture.write(1500);
            let file = File::options().read(true).write(true).open(&fixture.path).unwrap();
            let before = fixture.rotated.state;
            let head = before.start - before.base + (12 << 10);
            // The steps of a rotation, of which the last one may not be stored.
            if steps > 0 {
                let sizes = fixture.rotated.sizes(&fixture.log).unwrap();
                fixture.rotated.copy_head(&file, sizes).unwrap();
            }
            if steps > 1 {
                fs::rename(part_path(&fixture.path, 1), part_path(&fixture.path, 2)).unwrap();
            }
            if steps > 2 {
                fixture.rotated.number_parts().unwrap();
                system::punch_hole(&file, head).unwrap();
            }
            if steps > 3 {
                let state = RotationState { step: RotationStep::Punched, ..fixture.rotated.state };
                state.write(&fixture.path).unwrap();
            }
            if steps > 4 {
                let _ = system::remove_head(&file, head);
            }
            fixture.write(10);
            let text = fixture.text();
            fixture.assert_newest(&text, 3000);
            let mut next = RotatedLog::new(fixture.path.clone(), LIMITS);
            if steps < 5 {
                next.rotate(&fixture.log).unwrap();
                let text = fixture.text();
                fixture.assert_newest(&text, 3000);
            }
        }
    }
}

#[test]
fn a_backlog_that_the_files_have_no_room_for_is_dropped_not_copied() {
    for folder in folders() {
        let mut fixture = Fixture::new(&folder);
        fixture.write(3000);
        fixture.rotated.rotate(&fixture.log).unwrap();
        fixture.write(200_000);
        let file = File::options().read(true).write(true).open(&fixture.path).unwrap();
        let sizes = fixture.rotated.sizes(&fixture.log).unwrap();
        let RotationState { base, start, .. } = fixture.rotated.state;
        let content = fixture.log.size() - (start - base);
        let has_dropped = fixture.rotated.drop_excess(&file, content, sizes).unwrap();
        fixture.rotated.note_in(&fixture.log);
        assert!(has_dropped && fixture.log.kept_bytes() <= sizes.total);
        assert!(!part_path(&fixture.path, 1).exists(), "the parts are older than what was dropped");
        fixture.assert_newest(&fixture.text(), 3 * 12_288 / 12);
        while fixture.rotated.rotate(&fixture.log).unwrap() == 0 {}
        let text = fixture.text();
        fixture.assert_newest(&text, 3 * 12_288 / 12);
        assert!(part_path(&fixture.path, 3).exists() && text.len() as u64 <= sizes.total);
    }
}

#[test]
fn a_part_that_was_not_copied_to_its_end_is_neither_read_nor_left() {
    for folder in folders() {
        let mut fixture = Fixture::new(&folder);
        fixture.rotated.limits = LogLimits { max_size: 3 * PIECE, max_files: 2 };
        fixture.write(1_200_000);
        let sizes = fixture.rotated.sizes(&fixture.log).unwrap();
        let file = File::options().read(true).write(true).open(&fixture.path).unwrap();
        fixture.rotated.copy_head(&file, sizes).unwrap();
        assert_eq!((fixture.rotated.copied, fixture.rotated.state.start), (PIECE, 0));
        fixture.assert_newest(&fixture.text(), 1_200_000);
        fixture.rotated.remove_incomplete_part();
        assert!(!part_path(&fixture.path, 0).exists());
        while fixture.rotated.rotate(&fixture.log).unwrap() == 0 {}
        assert_eq!(fixture.rotated.state.start, sizes.part);
        fixture.assert_newest(&fixture.text(), 1_200_000);
        fixture.rotated.remove_incomplete_part();
        assert!(!part_path(&fixture.path, 0).exists() && part_path(&fixture.path, 1).exists());
    }
}

#[test]
fn a_copy_begins_again_after_the_process_has_truncated_its_log() {
    let mut fixture = Fixture::new(&std::env::temp_dir());
    fixture.rotated.limits = LogLimits { max_size: 3 * PIECE, max_files: 2 };
    fixture.write(1_200_000);
    let sizes = fixture.rotated.sizes(&fixture.log).unwrap();
    let file = File::options().read(true).write(true).open(&fixture.path).unwrap();
    fixture.rotated.copy_head(&file, sizes).unwrap();
    fixture.writer.set_len(0).unwrap();
    let room = fixture.rotated.rotate(&fixture.log).unwrap();
    assert_eq!((room, fixture.rotated.copied), (sizes.log, 0));
}

#[test]
fn a_log_that_its_process_truncates_or_replaces_is_left_to_it() {
    for folder in folders() {
        let mut fixture = Fixture::new(&folder);
        fixture.write(2000);
        fixture.rotated.rotate(&fixture.log).unwrap();
        let mut follower = LogFollower::open(&fixture.path, None).unwrap();
        read(&mut follower);
        fixture.writer.set_len(0).unwrap();
        writeln!(fixture.writer, "new").unwrap();
        assert_eq!(read(&mut follower), "new\n");
        fixture.rotated.rotate(&fixture.log).unwrap();
        fs::rename(&fixture.path, folder.join(fixture.path.with_extension("old"))).unwrap();
        fs::write(&fixture.path, "x".repeat(100_000)).unwrap();
        fixture.write(2000);
        fixture.rotated.rotate(&fixture.log).unwrap();
        assert_eq!(fs::read_to_string(&fixture.path).unwrap(), "x".repeat(100_000));
    }
}

#[test]
fn a_log_is_truncated_where_nothing_else_is_possible() {
    let mut fixture = Fixture::new(&std::env::temp_dir());
    fixture.write(3000);
    let file = File::options().read(true).write(true).open(&fixture.path).unwrap();
    let mut rotated = RotatedLog { truncates: true, ..RotatedLog::new(fixture.path.clone(), LIMITS) };
    rotated.advance(RotationState { start: 36_000, step: RotationStep::Copied, ..rotated.state }).unwrap();
    fs::copy(&fixture.path, part_path(&fixture.path, 0)).unwrap();
    rotated.finish(&file).unwrap();
    assert_eq!(file.metadata().unwrap().len(), 0);
    fixture.write(10);
    let text = fixture.text();
    fixture.assert_newest(&text, 3010);
}

#[test]
fn a_log_that_does_not_grow_is_looked_at_once_a_second() {
    let fixture = Fixture::new(&std::env::temp_dir());
    let log = || Log::open(&fixture.path).unwrap();
    let (logs, paths) = (Logs { stdout: log(), stderr: log() }, [fixture.path.clone(), fixture.path.clone()]);
    let mut rotation = Rotation::new(LogLimits { max_size: 1 << 40, ..LIMITS }, paths);
    let pauses: Vec<Duration> = (0..20).map(|_| rotation.tick(&logs)).collect();
    assert!(pauses.is_sorted() && pauses[0] == 2 * MIN_TICK, "{pauses:?}");
    assert_eq!(pauses[19], Duration::from_secs(1));
}
