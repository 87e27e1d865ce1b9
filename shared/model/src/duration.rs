//! Durations as Prometheus writes them: `5m`, `1h30m`, `1d`, `250ms`.

use std::time::Duration;

/// The units from the largest to the smallest, in milliseconds; each stands at most once, in this order.
const UNITS: [(&str, u64); 7] = [
    ("y", 365 * 24 * 3_600_000),
    ("w", 7 * 24 * 3_600_000),
    ("d", 24 * 3_600_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1000),
    ("ms", 1),
];

/// Why a text is no duration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a duration such as 30s, 5m or 1h30m")]
pub struct DurationError {
    text: String,
}

/// Reads a duration; `0` alone needs no unit.
///
/// # Errors
/// When the text is empty, has an unknown unit, a unit twice or out of order, or is too large.
pub fn parse(text: &str) -> Result<Duration, DurationError> {
    read(text).map(Duration::from_millis).ok_or_else(|| DurationError { text: text.chars().take(64).collect() })
}

fn read(text: &str) -> Option<u64> {
    if text == "0" {
        return Some(0);
    }
    let mut rest = text;
    let mut total: u64 = 0;
    let mut units = UNITS.iter();
    while !rest.is_empty() || rest.len() == text.len() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let count: u64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let letters = rest.bytes().take_while(u8::is_ascii_lowercase).count();
        let (_, millis) = units.find(|(unit, _)| *unit == &rest[..letters])?;
        rest = &rest[letters..];
        total = total.checked_add(count.checked_mul(*millis)?)?;
    }
    i64::try_from(total).is_ok().then_some(total)
}

/// Writes a duration in the form that [`parse`] reads, with the fewest units that are exact.
pub fn format(duration: Duration) -> String {
    let mut rest = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    if rest == 0 {
        return "0s".to_owned();
    }
    let mut text = String::new();
    for (unit, millis) in UNITS {
        let exact_only = matches!(unit, "y" | "w" | "d");
        let take = if exact_only && !rest.is_multiple_of(millis) { 0 } else { rest / millis };
        if take > 0 {
            text.push_str(&format!("{take}{unit}"));
            rest -= take * millis;
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_prometheus_reads() {
        let cases = [
            ("0", Some(0)),
            ("0s", Some(0)),
            ("5m", Some(300_000)),
            ("1h30m", Some(5_400_000)),
            ("250ms", Some(250)),
            ("1d", Some(86_400_000)),
            ("100y", Some(100 * 365 * 86_400_000)),
            ("1m1h", None),
            ("1m1m", None),
            ("5", None),
            ("m", None),
            ("", None),
            ("1.5h", None),
            ("-5m", None),
            ("5 m", None),
            ("99999999999y", None),
        ];
        for (text, millis) in cases {
            assert_eq!(parse(text).ok(), millis.map(Duration::from_millis), "{text:?}");
        }
    }

    #[test]
    fn writes_what_it_reads() {
        for text in ["0s", "5m", "1h30m", "250ms", "1d", "100y", "36h", "90s"] {
            let again = format(parse(text).unwrap());
            assert_eq!(parse(&again).unwrap(), parse(text).unwrap(), "{text} -> {again}");
        }
        assert_eq!(format(Duration::from_secs(5400)), "1h30m");
        assert_eq!(format(Duration::from_secs(36 * 3600)), "36h");
    }
}
