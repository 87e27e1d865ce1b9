//! What is too old to keep.

use std::time::Duration;

use model::{TimeRange, Timestamp};

/// Raw samples are kept so much longer than they are answered, so that late data can still be merged with all the rest
/// of its hour.
pub const RAW_MARGIN: Duration = Duration::from_secs(2 * 24 * 3600);

/// How long things are kept and answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Raw samples.
    pub raw: Duration,
    /// Rollups.
    pub rollups: Duration,
}

impl Retention {
    /// The oldest raw sample that is answered.
    pub fn raw_start(&self, now: Timestamp) -> Timestamp {
        now - self.raw
    }

    /// The oldest span that is answered.
    pub fn rollup_start(&self, now: Timestamp) -> Timestamp {
        now - self.rollups
    }

    /// Whether raw samples of a range are deleted; nothing that may still be answered or merged is.
    pub fn raw_is_expired(&self, range: TimeRange, now: Timestamp) -> bool {
        range.end < self.raw_start(now) - RAW_MARGIN
    }

    /// Whether rollups of a range are deleted.
    pub fn rollup_is_expired(&self, range: TimeRange, now: Timestamp) -> bool {
        range.end < self.rollup_start(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn raw_outlives_its_answers_by_the_margin() {
        let day = |days: u64| Duration::from_secs(days * 86_400);
        let retention = Retention { raw: day(7), rollups: day(366) };
        let now = Timestamp::from_secs(1_700_000_000);
        for (age_days, raw, rollup) in [(6, false, false), (8, false, false), (10, true, false), (367, true, true)] {
            let range = TimeRange::new(now - day(age_days) - day(1), now - day(age_days));
            assert_eq!(retention.raw_is_expired(range, now), raw, "{age_days} days");
            assert_eq!(retention.rollup_is_expired(range, now), rollup, "{age_days} days");
        }
        let ages = Retention { raw: Duration::MAX, rollups: Duration::MAX };
        assert!(!ages.raw_is_expired(TimeRange::new(Timestamp::from_secs(0), Timestamp::from_secs(1)), now));
    }
}
