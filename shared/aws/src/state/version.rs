//! Versions that grow although nothing is left of a deleted row.

use std::sync::atomic::{AtomicU64, Ordering};

use app::ports::{Expect, RowWrite};

/// The greatest version that this process has given or seen.
#[derive(Debug, Default)]
pub(super) struct Versions(AtomicU64);

impl Versions {
    /// Remembers a version that was read.
    pub(super) fn saw(&self, version: u64) {
        self.0.fetch_max(version, Ordering::Relaxed);
    }

    /// The version of the next write: the clock's microseconds, and more than any version seen or expected.
    pub(super) fn next(&self, clock_micros: u64, rows: &[RowWrite]) -> u64 {
        let expected = rows.iter().map(|row| match row.expect {
            Expect::Version(version) => version,
            Expect::Absent | Expect::Any => 0,
        });
        self.saw(expected.max().unwrap_or(0));
        let step = |seen: u64| clock_micros.max(seen.saturating_add(1));
        let before = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |seen| Some(step(seen)));
        step(before.expect("every step has a value"))
    }
}

#[cfg(test)]
mod tests {
    use app::ports::RowKey;

    use super::*;

    #[test]
    fn versions_follow_the_clock_and_never_go_back() {
        let versions = Versions::default();
        let expecting = |version| [RowWrite::put(RowKey::new("p", "s"), Expect::Version(version), "value")];
        assert_eq!(versions.next(1000, &[]), 1000, "the clock");
        assert_eq!(versions.next(1000, &[]), 1001, "the same microsecond");
        assert_eq!(versions.next(400, &[]), 1002, "a clock that went back");
        versions.saw(5000);
        assert_eq!(versions.next(2000, &[]), 5001, "a host whose clock is ahead");
        assert_eq!(versions.next(2000, &expecting(9000)), 9001, "the version it replaces");
        versions.saw(10);
        assert_eq!(versions.next(20_000, &expecting(9000)), 20_000, "the clock again");
    }
}
