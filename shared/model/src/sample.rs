//! Time, and one value at a time.

use std::fmt;
use std::ops::{Add, Sub};
use std::time::Duration;

/// A point in time: milliseconds since 1970-01-01T00:00:00Z, negative before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The earliest time there is.
    pub const MIN: Self = Self(i64::MIN);
    /// The latest time there is.
    pub const MAX: Self = Self(i64::MAX);

    /// The time that many milliseconds after the epoch.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// The time that many seconds after the epoch.
    pub const fn from_secs(secs: i64) -> Self {
        Self(secs.saturating_mul(1000))
    }

    /// Milliseconds since the epoch.
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// Seconds since the epoch with their fraction, as Prometheus prints times.
    #[expect(clippy::cast_precision_loss, reason = "exact for every date before the year 287,000")]
    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 / 1000.0
    }

    /// The minute this time lies in, counted from the epoch.
    pub const fn minute(self) -> i64 {
        self.0.div_euclid(60_000)
    }

    /// The start of the span of `step` (counted from the epoch) that this time lies in.
    ///
    /// # Panics
    /// If `step` is shorter than a millisecond.
    pub fn align_down(self, step: Duration) -> Self {
        let step = millis(step);
        assert!(step > 0, "a step of time is at least a millisecond");
        Self(self.0.div_euclid(step).saturating_mul(step))
    }

    /// The time from `earlier` to here; zero when `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

/// A duration in whole milliseconds, saturating.
pub(crate) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

impl Add<Duration> for Timestamp {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(millis(duration)))
    }
}

impl Sub<Duration> for Timestamp {
    type Output = Self;

    fn sub(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(millis(duration)))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.as_secs_f64())
    }
}

/// A span of time that holds both its ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeRange {
    /// The first millisecond of it.
    pub start: Timestamp,
    /// The last millisecond of it.
    pub end: Timestamp,
}

impl TimeRange {
    /// All of time.
    pub const ALL: Self = Self { start: Timestamp::MIN, end: Timestamp::MAX };

    /// The span from `start` to `end`, both included.
    pub const fn new(start: Timestamp, end: Timestamp) -> Self {
        Self { start, end }
    }

    /// Whether `time` lies in it.
    pub fn contains(&self, time: Timestamp) -> bool {
        self.start <= time && time <= self.end
    }

    /// Whether some moment lies in both.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.start <= other.end && other.start <= self.end
    }

    /// The smallest span that holds both.
    pub fn union(&self, other: &Self) -> Self {
        Self { start: self.start.min(other.start), end: self.end.max(other.end) }
    }
}

/// One timestamp and one value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    /// When it was measured.
    pub timestamp: Timestamp,
    /// What was measured; may be a staleness marker, see [`is_stale`].
    pub value: f64,
}

/// The bits of the one NaN that says "this series ended here" (Prometheus's `StaleNaN`).
pub const STALE_NAN_BITS: u64 = 0x7ff0_0000_0000_0002;

/// The staleness marker.
pub fn stale_nan() -> f64 {
    f64::from_bits(STALE_NAN_BITS)
}

/// Whether a value is the staleness marker; every other NaN is an ordinary value.
pub fn is_stale(value: f64) -> bool {
    value.to_bits() == STALE_NAN_BITS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_before_the_epoch_align_downwards() {
        let minute = Duration::from_secs(60);
        assert_eq!(Timestamp::from_millis(-1).align_down(minute), Timestamp::from_secs(-60));
        assert_eq!(Timestamp::from_millis(60_001).align_down(minute), Timestamp::from_secs(60));
        assert_eq!(Timestamp::from_millis(-1).minute(), -1);
    }

    #[test]
    fn only_the_marker_is_stale() {
        assert!(is_stale(stale_nan()));
        assert!(!is_stale(f64::NAN));
        assert!(stale_nan().is_nan());
    }

    #[test]
    fn arithmetic_saturates() {
        assert_eq!(Timestamp::MAX + Duration::from_secs(1), Timestamp::MAX);
        assert_eq!(Timestamp::MIN - Duration::MAX, Timestamp::MIN);
    }
}
