//! For how long what is written will be kept.

use std::time::Duration;

use model::Timestamp;

use crate::ports::RowKey;
use crate::tick_row::WAL_RETENTION;

const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;
/// A tick's chunk: until the block of its hour replaced it, and its tombstone is due.
const CHUNK: u64 = 3 * HOUR;
/// The block of an hour: raw retention, and two days until the object store's lifecycle comes by.
const HOUR_BLOCK: u64 = 9 * DAY;
const ROLLUP: u64 = 366 * DAY;
/// The rollups of a day that is not over are made again every hour: of 24 such pieces one stays.
const DAY_ROLLUP: u64 = ROLLUP / 24;
/// The lifecycle removes objects of the log at the end of a day.
const LOG_OBJECT: u64 = 4 * DAY;
const SNAPSHOT: u64 = DAY;

/// How long an object will be kept.
pub(super) fn object(key: &str) -> Duration {
    let mut segments = key.split('/');
    let seconds = match segments.next().unwrap_or_default() {
        "wal" => LOG_OBJECT,
        "raw" if segments.nth(1) == Some("chunk") => CHUNK,
        "raw" => HOUR_BLOCK,
        "rollup" if segments.nth(1).is_some_and(is_of_a_day) => DAY_ROLLUP,
        "snapshot" => SNAPSHOT,
        // Rollups, reports, and whatever is kept until somebody removes it.
        _ => ROLLUP,
    };
    Duration::from_secs(seconds)
}

/// How long a row will be kept: until it expires, or as its kind is. Rows that hold a state, this ledger's among them,
/// are replaced again and again, and what the last of them takes is nothing beside the rest.
pub(super) fn row(key: &RowKey, expires: Option<Timestamp>, now: Timestamp) -> Duration {
    let mut segments = key.partition.split('#');
    let kind = segments.next().unwrap_or_default();
    if let Some(expires) = expires.filter(|_| kind != "l") {
        return expires.since(now);
    }
    let seconds = match kind {
        "c" if key.sort.ends_with("#1") => HOUR_BLOCK,
        "c" => CHUNK,
        "u" if segments.nth(1).is_some_and(is_of_a_day) => DAY_ROLLUP,
        "u" => ROLLUP,
        _ => 0,
    };
    Duration::from_secs(seconds)
}

/// How long an item of the log is kept.
pub(super) const fn log_item() -> Duration {
    WAL_RETENTION
}

/// Bytes times hours.
pub(super) fn byte_hours(bytes: usize, kept: Duration) -> u64 {
    (bytes as u64).saturating_mul(kept.as_secs().div_ceil(HOUR))
}

/// Whether pieces of a resolution hold a whole day.
fn is_of_a_day(resolution: &str) -> bool {
    matches!(resolution, "1h" | "1d")
}

#[cfg(test)]
mod tests {
    use model::TenantId;
    use tsdb::rollup::Resolution;

    use super::*;
    use crate::catalogue::{chunk_folder, chunk_key, hour_folder, hour_key, rollup_folder, rollup_key};
    use crate::ports::Shard;

    #[test]
    fn pieces_are_kept_alike_in_rows_and_in_objects() {
        let (tenant, shard, hour) = (TenantId::default_tenant(), Shard::default(), 498_700);
        let now = Timestamp::default();
        let rollup = |resolution| (rollup_folder(&tenant, resolution, hour), rollup_key(&tenant, resolution, hour));
        let cases = [
            ((chunk_folder(&tenant, hour), chunk_key(&tenant, shard, hour, 7)), CHUNK),
            ((hour_folder(&tenant, hour), hour_key(&tenant, shard, hour)), HOUR_BLOCK),
            (rollup(Resolution::Minute), ROLLUP),
            (rollup(Resolution::FiveMinutes), ROLLUP),
            (rollup(Resolution::Hour), DAY_ROLLUP),
            (rollup(Resolution::Day), DAY_ROLLUP),
        ];
        for ((folder, key), seconds) in cases {
            let kept = Duration::from_secs(seconds);
            assert_eq!((object(&format!("{folder}/hash")), row(&key, None, now)), (kept, kept), "{folder}");
        }
    }

    #[test]
    fn what_expires_is_kept_until_then_and_state_is_not_counted() {
        let now = Timestamp::from_secs(100);
        let tick = RowKey::new("t#0", "tick");
        assert_eq!(row(&tick, None, now), Duration::ZERO);
        assert_eq!(row(&tick, Some(Timestamp::from_secs(160)), now), Duration::from_secs(60));
        assert_eq!(row(&RowKey::new("l#2026-11", "22#ingest#1"), Some(Timestamp::from_secs(160)), now), Duration::ZERO);
        assert_eq!(byte_hours(10, Duration::from_secs(3601)), 20);
    }
}
