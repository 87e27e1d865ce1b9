//! What goes: by retention, and what was replaced.

use bytes::Bytes;
use model::{ErrorKind, TimeRange, Timestamp};
use tsdb::TsdbError;
use tsdb::coding::{Reader, put_bytes, put_varint};
use tsdb::hour::hour_range;
use tsdb::rollup::Resolution;
use xxhash_rust::xxh3::xxh3_128;

use super::{Flow, TOMBSTONE_WAITS};
use crate::Ports;
use crate::catalogue::{CatalogueRow, rollup_rows, tombstone_key, tombstones_after};
use crate::load::Stored;
use crate::ports::{Expect, PortError, PortResult, RowKey, RowRange, RowWrite, range_all};

/// Format version of a tombstone.
const VERSION: u8 = 1;
const WHAT: &str = "tombstone";
/// Most rows that retention removes with one write.
const EXPIRED_A_WRITE: usize = 50;

/// An object to delete, and the row that named it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Grave {
    object: String,
    row: RowKey,
}

/// The row that lets the objects of replaced rows be deleted later; none when no row had one.
pub(super) fn tombstone(gone: &[&CatalogueRow], now: Timestamp) -> Option<RowWrite> {
    let grave = |row: &&CatalogueRow| Some(Grave { object: row.entry.object()?.to_owned(), row: row.key.clone() });
    let graves: Vec<Grave> = gone.iter().filter_map(grave).collect();
    let value = encode(&graves);
    let key = tombstone_key((now + TOMBSTONE_WAITS).minute(), xxh3_128(&value));
    (!graves.is_empty()).then(|| RowWrite::put(key, Expect::Any, value))
}

/// Deletes the objects whose time has come; one that a row names again stays, and gets a new tombstone when that row
/// goes.
pub(super) async fn delete_due(ports: &Ports, now: Timestamp) -> PortResult<usize> {
    let range = RowRange { end: Some(tombstones_after(now.minute())), ..RowRange::all("x#") };
    let mut deleted = 0;
    for row in range_all(ports.state.as_ref(), range, now).await? {
        let graves = decode(&row.value).map_err(|error| PortError::new(error.kind(), "tombstone read", error))?;
        for grave in graves {
            let named = ports.state.get(&grave.row, now).await?.map(CatalogueRow::read).transpose()?;
            if named.is_none_or(|row| row.entry.object() != Some(&grave.object)) {
                ports.objects.delete(&grave.object).await?;
                deleted += 1;
            }
        }
        match ports.state.write(vec![RowWrite::delete(row.key, Expect::Version(row.version))], now).await {
            Err(error) if error.kind() != ErrorKind::Conflict => return Err(error),
            _ => {}
        }
    }
    Ok(deleted)
}

impl Flow<'_> {
    /// Removes the rows that are older than retention; their objects get tombstones. Gives back how many there were.
    pub(super) async fn expire(&self, blocks: Vec<CatalogueRow>, stored: &mut Stored) -> PortResult<usize> {
        let raw_is_old = |row: &CatalogueRow| self.retention.raw_is_expired(hour_range(row.hour()), self.now);
        let mut old: Vec<(CatalogueRow, Option<usize>)> =
            blocks.into_iter().filter(raw_is_old).map(|row| (row, None)).collect();
        let end = self.retention.rollup_start(self.now);
        for (place, resolution) in Resolution::ALL.into_iter().enumerate() {
            let range = TimeRange::new(Timestamp::MIN, end);
            let rows = rollup_rows(self.ports.state.as_ref(), self.tenant, resolution, range, self.now).await?;
            let expired = rows.into_iter().filter(|row| self.retention.rollup_is_expired(row.entry.range, self.now));
            old.extend(expired.map(|row| (row, Some(place))));
        }
        let mut expired = 0;
        for rows in old.chunks(EXPIRED_A_WRITE) {
            let gone: Vec<&CatalogueRow> = rows.iter().map(|(row, _)| row).collect();
            let delete = |row: &&CatalogueRow| RowWrite::delete(row.key.clone(), Expect::Version(row.version));
            let mut writes: Vec<RowWrite> = gone.iter().map(delete).collect();
            writes.extend(tombstone(&gone, self.now));
            match self.ports.state.write(writes, self.now).await {
                Ok(_) => {
                    expired += rows.len();
                    for (row, place) in rows {
                        place.map_or(&mut stored.hours, |place| &mut stored.rollups[place]).remove(&row.entry);
                    }
                }
                // Somebody changed one of them: the next run looks again.
                Err(error) if error.kind() == ErrorKind::Conflict => {}
                Err(error) => return Err(error),
            }
        }
        Ok(expired)
    }
}

fn encode(graves: &[Grave]) -> Vec<u8> {
    let mut out = vec![VERSION];
    put_varint(&mut out, graves.len() as u64);
    for grave in graves {
        for text in [&grave.object, &grave.row.partition, &grave.row.sort] {
            put_bytes(&mut out, text.as_bytes());
        }
    }
    out
}

fn decode(value: &Bytes) -> tsdb::Result<Vec<Grave>> {
    let mut reader = Reader::new(value, WHAT);
    let found = reader.byte()?;
    if found != VERSION {
        return Err(TsdbError::Version { what: WHAT, found, known: VERSION });
    }
    let mut graves = Vec::new();
    for _ in 0..reader.count(3)? {
        let object = reader.text()?.to_owned();
        graves.push(Grave { object, row: RowKey::new(reader.text()?, reader.text()?) });
    }
    reader.end()?;
    Ok(graves)
}
