//! Hours and days as storage counts them.
//!
//! An hour is left-open, as PromQL's ranges and the spans of rollups are: hour `h` holds the samples of
//! `(h:00:00.000, h+1:00:00.000]`. So every span of a rollup lies in one hour.

use std::time::Duration;

use model::{TimeRange, Timestamp};

const HOUR_MILLIS: i64 = 3_600_000;

/// The hour a sample belongs to, counted from the epoch.
pub const fn hour_of(time: Timestamp) -> i64 {
    time.as_millis().saturating_sub(1).div_euclid(HOUR_MILLIS)
}

/// The first and the last millisecond of an hour.
pub fn hour_range(hour: i64) -> TimeRange {
    let start = Timestamp::from_millis(hour.saturating_mul(HOUR_MILLIS));
    TimeRange::new(start + Duration::from_millis(1), start + Duration::from_millis(HOUR_MILLIS.unsigned_abs()))
}

/// The day an hour belongs to, counted from the epoch, in UTC.
pub const fn day_of(hour: i64) -> i64 {
    hour.div_euclid(24)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_hour_holds_its_end_and_not_its_start() {
        for (millis, hour) in [(1, 0), (3_600_000, 0), (3_600_001, 1), (0, -1), (-3_600_000, -2)] {
            let time = Timestamp::from_millis(millis);
            assert_eq!(hour_of(time), hour, "{millis}");
            assert!(hour_range(hour).contains(time));
            assert!(!hour_range(hour + 1).contains(time));
        }
    }
}
