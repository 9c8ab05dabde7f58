//! The ticks of a time axis.

use jiff::SignedDuration;

use crate::report::units;

/// The maximum number of ticks after zero, so that their labels do not touch.
const TICKS: i128 = 8;

/// The steps between ticks, in milliseconds.
const STEPS: [i64; 25] = [
    1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 15_000, 30_000, 60_000, 120_000, 300_000,
    600_000, 900_000, 1_800_000, 3_600_000, 7_200_000, 21_600_000, 86_400_000,
];

/// Returns the ticks of an axis of this length, with their labels; the first one is zero.
pub(super) fn ticks(span: SignedDuration) -> Vec<(SignedDuration, String)> {
    let span = span.as_millis().max(0);
    let fits = |step: &&i64| span / i128::from(**step) <= TICKS;
    let longest = STEPS[STEPS.len() - 1];
    let step = STEPS.iter().find(fits).copied().unwrap_or_else(|| {
        let days = span / i128::from(longest) / TICKS + 1;
        longest.saturating_mul(i64::try_from(days).unwrap_or(i64::MAX))
    });
    let count = i64::try_from(span / i128::from(step)).unwrap_or_default();
    (0..=count).map(|n| (SignedDuration::from_millis(n * step), label(n * step, step, span))).collect()
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
        ticks(SignedDuration::from_millis(millis)).into_iter().map(|(_, label)| label).collect()
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
    fn any_span_has_one_to_nine_ticks_within_it() {
        for exponent in 0..50 {
            let span = SignedDuration::from_millis(3_i64.saturating_pow(exponent).min(i64::MAX / 4));
            let ticks = ticks(span);
            assert!((1..=9).contains(&ticks.len()), "{span:?}: {}", ticks.len());
            assert!(ticks.iter().all(|(at, _)| *at <= span));
        }
    }
}
