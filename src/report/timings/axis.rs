//! The ticks of a time axis.

use jiff::SignedDuration;

use crate::report::units;

/// The maximum number of ticks after zero, so that their labels do not touch.
const TICKS: i128 = 8;

/// From this number of ticks after zero on, a narrow chart has no room for all labels: on a phone, a label and its space take
/// almost a quarter of the chart.
const NARROW_TICKS: i64 = 4;

/// The steps between ticks, in milliseconds.
const STEPS: [i64; 25] = [
    1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 15_000, 30_000, 60_000, 120_000, 300_000,
    600_000, 900_000, 1_800_000, 3_600_000, 7_200_000, 21_600_000, 86_400_000,
];

/// A tick of a time axis.
#[derive(Debug)]
pub(super) struct Tick {
    /// The time since the start.
    pub(super) at: SignedDuration,
    /// The label.
    pub(super) label: String,
    /// Whether a narrow chart has no room for the label.
    pub(super) is_minor: bool,
}

/// Returns the ticks of an axis of this length; the first one is zero.
pub(super) fn ticks(span: SignedDuration) -> Vec<Tick> {
    let span = span.as_millis().max(0);
    let fits = |step: &&i64| span / i128::from(**step) <= TICKS;
    let longest = STEPS[STEPS.len() - 1];
    let step = STEPS.iter().find(fits).copied().unwrap_or_else(|| {
        let days = span / i128::from(longest) / TICKS + 1;
        longest.saturating_mul(i64::try_from(days).unwrap_or(i64::MAX))
    });
    let count = i64::try_from(span / i128::from(step)).unwrap_or_default();
    let major = count / NARROW_TICKS + 1;
    let tick = |n| Tick {
        at: SignedDuration::from_millis(n * step),
        label: label(n * step, step, span),
        is_minor: n % major != 0,
    };
    (0..=count).map(tick).collect()
}

fn label(at: i64, step: i64, span: i128) -> String {
    match at {
        0 => "0".to_owned(),
        _ if span < 1000 => format!("{at} ms"),
        _ if at >= 60_000 => {
            units::duration(SignedDuration::from_millis(at)).replace(" 0 s", "").replace(" 0 min", "")
        }
        _ if step < 1000 => format!("{}.{} s", at / 1000, at % 1000 / 100),
        _ => format!("{} s", at / 1000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(millis: i64) -> Vec<String> {
        ticks(SignedDuration::from_millis(millis)).into_iter().map(|tick| tick.label).collect()
    }

    #[test]
    fn ticks_are_few_and_have_round_labels() {
        assert_eq!(labels(0), ["0"]);
        assert_eq!(labels(63), ["0", "10 ms", "20 ms", "30 ms", "40 ms", "50 ms", "60 ms"]);
        assert_eq!(labels(1900), ["0", "0.5 s", "1.0 s", "1.5 s"]);
        assert_eq!(labels(7999), ["0", "1 s", "2 s", "3 s", "4 s", "5 s", "6 s", "7 s"]);
        assert_eq!(labels(100_000), ["0", "15 s", "30 s", "45 s", "1 min", "1 min 15 s", "1 min 30 s"]);
        assert_eq!(
            labels(7_300_000),
            ["0", "15 min", "30 min", "45 min", "1 h", "1 h 15 min", "1 h 30 min", "1 h 45 min", "2 h"]
        );
    }

    #[test]
    fn a_narrow_chart_has_at_most_four_labels_at_equal_distances() {
        let major = |millis| -> Vec<String> {
            let ticks = ticks(SignedDuration::from_millis(millis));
            ticks.into_iter().filter(|tick| !tick.is_minor).map(|tick| tick.label).collect()
        };
        assert_eq!(major(0), ["0"]);
        assert_eq!(major(63), ["0", "20 ms", "40 ms", "60 ms"]);
        assert_eq!(major(1900), ["0", "0.5 s", "1.0 s", "1.5 s"]);
        assert_eq!(major(899), ["0", "300 ms", "600 ms"]);
        assert_eq!(major(7_300_000), ["0", "45 min", "1 h 30 min"]);
        for millis in 1..10_000 {
            assert!((2..=4).contains(&major(millis).len()), "{millis}: {:?}", major(millis));
        }
    }

    #[test]
    fn any_span_has_one_to_nine_ticks_within_it() {
        for exponent in 0..50 {
            let span = SignedDuration::from_millis(3_i64.saturating_pow(exponent).min(i64::MAX / 4));
            let ticks = ticks(span);
            assert!((1..=9).contains(&ticks.len()), "{span:?}: {}", ticks.len());
            assert!(ticks.iter().all(|tick| tick.at <= span));
        }
    }
}
