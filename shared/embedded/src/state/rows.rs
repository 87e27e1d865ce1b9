//! The tables, and what reads and writes do to them.
//!
//! ```text
//! rows     (partition, sort)            -> version 8 bytes, flags 1 byte (1: expires), [expiry 8 bytes], value
//! expiry   (expiry, partition, sort)    -> nothing: the rows that expire, in order
//! meta     "last_version"               -> the version given last, by any write to any key
//! ```
//! Numbers are little-endian; times are milliseconds since the epoch. One counter gives all versions, so a key's
//! version never restarts, whatever was deleted.

use std::ops::Bound;
use std::time::Duration;

use app::ports::{Change, Expect, PortResult, Row, RowKey, RowPage, RowRange, RowWrite};
use app::refusals::{ROW_PAGE_BYTES_MAX, check_expectation, row_bytes};
use bytes::{Buf as _, Bytes};
use model::Timestamp;
use redb::{ReadTransaction, ReadableTable as _, Table, TableDefinition, WriteTransaction};

use super::database::Ending;

const ROWS: TableDefinition<'_, (&str, &str), &[u8]> = TableDefinition::new("rows");
const EXPIRY: TableDefinition<'_, (i64, &str, &str), ()> = TableDefinition::new("expiry");
const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
const LAST_VERSION: &str = "last_version";

/// How long an expired row is kept, so that callers whose clocks differ a little see the same.
const SWEEP_GRACE: Duration = Duration::from_secs(3600);
/// Most expired rows that one commit removes.
const SWEEP_ROWS_MAX: usize = 256;

/// The rows of one write, and its time.
#[derive(Debug)]
pub(super) struct Writing {
    pub(super) rows: Vec<RowWrite>,
    pub(super) now: Timestamp,
}

/// The versions a write gave, or the conflict it met.
pub(super) type Written = PortResult<Vec<u64>>;

/// Makes the tables if there are none.
pub(super) fn create_tables(transaction: &WriteTransaction) -> Result<(), redb::Error> {
    transaction.open_table(ROWS)?;
    transaction.open_table(EXPIRY)?;
    transaction.open_table(META)?;
    Ok(())
}

/// A put whatever is there.
pub(super) fn put_of((key, value, expires): (RowKey, Bytes, Option<Timestamp>)) -> RowWrite {
    RowWrite { key, expect: Expect::Any, change: Change::Put { value, expires } }
}

/// Reads one row.
pub(super) fn get(transaction: &ReadTransaction, key: &RowKey, now: Timestamp) -> Result<Option<Row>, redb::Error> {
    let table = transaction.open_table(ROWS)?;
    let Some(stored) = table.get((key.partition.as_str(), key.sort.as_str()))? else {
        return Ok(None);
    };
    let row = decode(key.clone(), stored.value())?;
    Ok(Some(row).filter(|row| is_live(row, now)))
}

/// Reads a page of rows.
pub(super) fn range(transaction: &ReadTransaction, range: &RowRange, now: Timestamp) -> Result<RowPage, redb::Error> {
    let (start, end) = sort_bounds(range);
    if let (Bound::Included(start) | Bound::Excluded(start), Some(end)) = (start, end)
        && start >= end
    {
        return Ok(RowPage::default());
    }
    let partition = range.partition.as_str();
    // Without an end: up to the first partition that can follow.
    let next_partition = format!("{partition}\0");
    let start = start.map(|sort| (partition, sort));
    let end = match end {
        Some(end) => Bound::Excluded((partition, end)),
        None => Bound::Excluded((next_partition.as_str(), "")),
    };
    let table = transaction.open_table(ROWS)?;
    let stored = table.range::<(&str, &str)>((start, end))?;
    if range.reverse { page(stored.rev(), range, now) } else { page(stored, range, now) }
}

/// The first sort key that is left of a range after its cursor, and the one before which it ends.
fn sort_bounds(range: &RowRange) -> (Bound<&str>, Option<&str>) {
    let start = range.start.as_str();
    let end = range.end.as_deref();
    match range.cursor.as_deref() {
        Some(cursor) if range.reverse => (Bound::Included(start), Some(end.map_or(cursor, |end| end.min(cursor)))),
        Some(cursor) if cursor >= start => (Bound::Excluded(cursor), end),
        Some(_) | None => (Bound::Included(start), end),
    }
}

/// One stored row as redb gives it.
type Stored<'a> = (redb::AccessGuard<'a, (&'static str, &'static str)>, redb::AccessGuard<'a, &'static [u8]>);

/// Takes rows up to the limits of a page.
fn page<'a>(
    stored: impl Iterator<Item = Result<Stored<'a>, redb::StorageError>>,
    range: &RowRange,
    now: Timestamp,
) -> Result<RowPage, redb::Error> {
    let mut page = RowPage::default();
    let mut page_bytes = 0;
    for stored in stored {
        let (key, value) = stored?;
        let (partition, sort) = key.value();
        let row = decode(RowKey::new(partition, sort), value.value())?;
        if !is_live(&row, now) {
            continue;
        }
        if page.rows.len() == range.limit || page_bytes >= ROW_PAGE_BYTES_MAX {
            page.cursor = page.rows.last().map(|row| row.key.sort.clone());
            break;
        }
        page_bytes += row_bytes(&row.key, row.value.len());
        page.rows.push(row);
    }
    Ok(page)
}

/// Applies writes one after the other, each as a whole or not at all.
pub(super) fn apply(
    transaction: &WriteTransaction,
    writings: &[&Writing],
) -> Result<Ending<Vec<Written>>, redb::Error> {
    let mut tables = Tables {
        rows: transaction.open_table(ROWS)?,
        expiry: transaction.open_table(EXPIRY)?,
        meta: transaction.open_table(META)?,
        changed: false,
    };
    let mut outcomes = Vec::with_capacity(writings.len());
    for writing in writings {
        outcomes.push(tables.apply(writing)?);
    }
    if !tables.changed {
        return Ok(Ending::Abort(outcomes));
    }
    if let Some(now) = writings.iter().map(|writing| writing.now).max() {
        tables.sweep(now - SWEEP_GRACE)?;
    }
    Ok(Ending::Commit(outcomes))
}

/// The tables of a write.
struct Tables<'t> {
    rows: Table<'t, (&'static str, &'static str), &'static [u8]>,
    expiry: Table<'t, (i64, &'static str, &'static str), ()>,
    meta: Table<'t, &'static str, u64>,
    /// Whether anything was put or deleted.
    changed: bool,
}

impl Tables<'_> {
    fn apply(&mut self, writing: &Writing) -> Result<Written, redb::Error> {
        for write in &writing.rows {
            let found = match write.expect {
                Expect::Any => None,
                Expect::Absent | Expect::Version(_) => self.live_version(&write.key, writing.now)?,
            };
            if let Err(conflict) = check_expectation("state write", write, found) {
                return Ok(Err(conflict));
            }
        }
        let mut version = self.meta.get(LAST_VERSION)?.map_or(0, |last| last.value());
        let mut versions = Vec::with_capacity(writing.rows.len());
        for write in &writing.rows {
            versions.push(match &write.change {
                Change::Put { value, expires } => {
                    version += 1;
                    self.put(&write.key, value, version, *expires)?;
                    version
                }
                Change::Delete => {
                    self.delete(&write.key)?;
                    0
                }
                Change::Check => 0,
            });
        }
        if self.changed {
            self.meta.insert(LAST_VERSION, version)?;
        }
        Ok(Ok(versions))
    }

    fn live_version(&self, key: &RowKey, now: Timestamp) -> Result<Option<u64>, redb::Error> {
        let Some(stored) = self.rows.get((key.partition.as_str(), key.sort.as_str()))? else {
            return Ok(None);
        };
        let row = decode(key.clone(), stored.value())?;
        Ok(is_live(&row, now).then_some(row.version))
    }

    fn put(&mut self, key: &RowKey, value: &[u8], version: u64, expires: Option<Timestamp>) -> Result<(), redb::Error> {
        self.changed = true;
        let (partition, sort) = (key.partition.as_str(), key.sort.as_str());
        let before = self.rows.insert((partition, sort), encode(value, version, expires).as_slice())?;
        let expired_at = before.map(|stored| expiry_of(stored.value())).transpose()?.flatten();
        self.forget_expiry(key, expired_at)?;
        if let Some(expires) = expires {
            self.expiry.insert((expires.as_millis(), partition, sort), ())?;
        }
        Ok(())
    }

    fn delete(&mut self, key: &RowKey) -> Result<(), redb::Error> {
        let before = self.rows.remove((key.partition.as_str(), key.sort.as_str()))?;
        let Some(expired_at) = before.map(|stored| expiry_of(stored.value())).transpose()? else {
            return Ok(());
        };
        self.changed = true;
        self.forget_expiry(key, expired_at)
    }

    fn forget_expiry(&mut self, key: &RowKey, expires: Option<Timestamp>) -> Result<(), redb::Error> {
        if let Some(expires) = expires {
            self.expiry.remove((expires.as_millis(), key.partition.as_str(), key.sort.as_str()))?;
        }
        Ok(())
    }

    /// Removes some of the rows that expired before a time.
    fn sweep(&mut self, before: Timestamp) -> Result<(), redb::Error> {
        let mut expired = Vec::new();
        for entry in self.expiry.range(..(before.as_millis(), "", ""))?.take(SWEEP_ROWS_MAX) {
            let (expiry, _) = entry?;
            let (_, partition, sort) = expiry.value();
            expired.push(RowKey::new(partition, sort));
        }
        expired.iter().try_for_each(|key| self.delete(key))
    }
}

const EXPIRES: u8 = 1;
const VERSION_BYTES: usize = 8;

fn encode(value: &[u8], version: u64, expires: Option<Timestamp>) -> Vec<u8> {
    let mut stored = Vec::with_capacity(VERSION_BYTES + 9 + value.len());
    stored.extend(version.to_le_bytes());
    stored.push(if expires.is_some() { EXPIRES } else { 0 });
    stored.extend(expires.into_iter().flat_map(|expires| expires.as_millis().to_le_bytes()));
    stored.extend(value);
    stored
}

fn decode(key: RowKey, stored: &[u8]) -> Result<Row, redb::Error> {
    let (version, expires, value) = split(stored)?;
    Ok(Row { key, value: Bytes::copy_from_slice(value), version, expires })
}

fn expiry_of(stored: &[u8]) -> Result<Option<Timestamp>, redb::Error> {
    split(stored).map(|(_, expires, _)| expires)
}

fn split(mut stored: &[u8]) -> Result<(u64, Option<Timestamp>, &[u8]), redb::Error> {
    let corrupt = || redb::Error::Corrupted("a stored row is too short".to_owned());
    let version = stored.try_get_u64_le().map_err(|_| corrupt())?;
    let flags = stored.try_get_u8().map_err(|_| corrupt())?;
    let expires = match flags {
        0 => None,
        EXPIRES => Some(Timestamp::from_millis(stored.try_get_i64_le().map_err(|_| corrupt())?)),
        _ => return Err(redb::Error::Corrupted(format!("a stored row has unknown flags {flags:#x}"))),
    };
    Ok((version, expires, stored))
}

fn is_live(row: &Row, now: Timestamp) -> bool {
    row.expires.is_none_or(|expires| now < expires)
}

#[cfg(test)]
mod tests;
