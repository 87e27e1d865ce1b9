//! How calls become units: the sizes that AWS documents.

use std::collections::BTreeMap;

use model::Timestamp;
use xxhash_rust::xxh3::xxh3_64;

use crate::ports::RowKey;

/// Bytes of the names of a row's attributes: partition, sort key, value, version.
const NAMES_BYTES: usize = 4;
/// A version is a number of 16 digits: a byte for two of them, and one more.
const VERSION_BYTES: usize = 9;
/// The seconds of an expiry have 10 digits; with the attribute's name.
const EXPIRY_BYTES: usize = 1 + 6;
/// The exact expiry, where it is no whole second: 13 digits, with the attribute's name.
const EXACT_EXPIRY_BYTES: usize = 1 + 8;
/// What a row takes on top of its bytes where it is kept.
pub(super) const ROW_OVERHEAD_BYTES: usize = 100;
/// Rows up to this size cost one unit, whatever is done to them.
const SMALL_ROW_BYTES: usize = 1024;
/// Rows whose size is remembered at most.
const SEEN_ROWS_MAX: usize = 16_384;

/// The size of a row as the table counts it.
pub(super) fn row_bytes(key: &RowKey, value_bytes: usize, expires: Option<Timestamp>) -> usize {
    let expiry_bytes = match expires {
        None => 0,
        Some(at) if at.as_millis() % 1000 == 0 => EXPIRY_BYTES,
        Some(_) => EXPIRY_BYTES + EXACT_EXPIRY_BYTES,
    };
    NAMES_BYTES + key.partition.len() + key.sort.len() + value_bytes + VERSION_BYTES + expiry_bytes
}

/// Write units of a row.
pub(super) fn write_units(row_bytes: usize) -> u64 {
    parts(row_bytes, 1024)
}

/// Read units of a row, or of all rows of a page.
pub(super) fn read_units(bytes: usize) -> u64 {
    parts(bytes, 4096)
}

/// Requests of 64 KB.
pub(super) fn requests(bytes: usize) -> u64 {
    parts(bytes, 64 << 10)
}

/// Started parts, at least one.
fn parts(bytes: usize, part_bytes: usize) -> u64 {
    bytes.div_ceil(part_bytes).max(1) as u64
}

/// The sizes of rows over 1 KB that were read or written: replacing or removing them is billed by their size.
#[derive(Debug, Default)]
pub(super) struct SeenRows {
    bytes_by_key: BTreeMap<u64, usize>,
}

impl SeenRows {
    pub(super) fn bytes(&self, key: &RowKey) -> usize {
        self.bytes_by_key.get(&hash(key)).copied().unwrap_or(0)
    }

    /// Remembers a row's size; 0 when it is gone.
    pub(super) fn note(&mut self, key: &RowKey, row_bytes: usize) {
        let key = hash(key);
        if row_bytes <= SMALL_ROW_BYTES {
            self.bytes_by_key.remove(&key);
            return;
        }
        if self.bytes_by_key.len() >= SEEN_ROWS_MAX {
            self.bytes_by_key.clear();
        }
        self.bytes_by_key.insert(key, row_bytes);
    }
}

fn hash(key: &RowKey) -> u64 {
    xxh3_64(format!("{}\0{}", key.partition, key.sort).as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_start_anew_at_each_border() {
        let cases = [(0, 1, 1, 1), (1024, 1, 1, 1), (1025, 2, 1, 1), (4097, 5, 2, 1), (65_537, 65, 17, 2)];
        for (bytes, writes, reads, sends) in cases {
            assert_eq!((write_units(bytes), read_units(bytes), requests(bytes)), (writes, reads, sends), "{bytes}");
        }
    }

    #[test]
    fn a_row_is_its_names_its_keys_its_value_and_its_numbers() {
        let key = RowKey::new("t#0", "tick");
        assert_eq!(row_bytes(&key, 100, None), 4 + 7 + 100 + 9);
        assert_eq!(row_bytes(&key, 100, Some(Timestamp::from_secs(1))), 120 + 7);
        assert_eq!(row_bytes(&key, 100, Some(Timestamp::from_millis(1))), 120 + 7 + 9);
    }

    #[test]
    fn sizes_of_large_rows_are_remembered_until_they_are_small() {
        let mut seen = SeenRows::default();
        let key = RowKey::new("p", "s");
        seen.note(&key, 1024);
        assert_eq!(seen.bytes(&key), 0);
        seen.note(&key, 9000);
        assert_eq!((seen.bytes(&key), seen.bytes(&RowKey::new("ps", ""))), (9000, 0));
        seen.note(&key, 0);
        assert_eq!(seen.bytes(&key), 0);
    }
}
