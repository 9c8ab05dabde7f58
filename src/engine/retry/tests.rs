use super::*;
use crate::model::MachineId;

/// Returns a binary that has failed once, at this time.
fn failed(name: &str, at: Timestamp) -> Binary {
    let mut binary = Binary::new(BinaryId::generate(), MachineId::generate(), name, at);
    binary.fail("digest".to_owned(), "no network".to_owned(), at);
    binary
}

#[test]
fn the_earliest_retry_time_is_the_next_one() {
    let now = clock::now();
    let binaries = [failed("a", now), failed("b", now - Duration::from_mins(2))];
    let (sleep, binary) = next_retry(&binaries, now, None).unwrap();
    assert_eq!((sleep, binary.name.as_str()), (Duration::from_mins(3), "b"));
    assert!(due(&binaries, now).is_empty());
    assert!(next_retry(&[], now, None).is_none());
}

#[test]
fn a_binary_that_an_install_leaves_due_waits_before_the_next_one() {
    let now = clock::now();
    let binaries = [failed("a", now - Duration::from_mins(6)), failed("b", now - Duration::from_mins(3))];
    assert_eq!(next_retry(&binaries, now, None).unwrap().0, Duration::ZERO);
    let last = LastInstall { due: due(&binaries, now), ended: Instant::now() };
    let (sleep, binary) = next_retry(&binaries, now, Some(&last)).unwrap();
    assert_eq!((sleep, binary.name.as_str()), (Duration::from_mins(2), "b"), "others are not delayed");
    let (sleep, _) = next_retry(&binaries[..1], now, Some(&last)).unwrap();
    assert!((Duration::from_secs(290)..=LEFT_DUE).contains(&sleep), "{sleep:?}");
}

#[test]
fn a_retry_time_of_a_clock_that_was_ahead_is_due_once() {
    let now = clock::now();
    let binaries = [failed("a", now + Duration::from_hours(24 * 365))];
    assert_eq!(next_retry(&binaries, now, None).unwrap().0, Duration::ZERO);
    let last = LastInstall { due: due(&binaries, now), ended: Instant::now() };
    assert!(next_retry(&binaries, now, Some(&last)).unwrap().0 > Duration::ZERO);
}
