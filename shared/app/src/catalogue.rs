//! What is stored where: the rows that name every block, and where their bytes lie.
//!
//! | rows | partition | sort |
//! |---|---|---|
//! | raw | `c#tenant#shard` | `hour#0#hash` a tick's chunk, `hour#1` the block of the hour |
//! | rollups | `u#tenant#resolution` | `day#hour` one hour (1m, 5m), `day#all` one day (1h, 1d) |
//! | tenants | `n#` | the tenant: somebody who has data, and the day on which all of it was looked through |
//! | what is stored | `n#tenant` | `stored`: how much that is, counted by rollups |
//! | tombstones | `x#` | `minute#hash`: objects to delete from that minute on |
//!
//! Hours and days are padded, so that one range read answers a range of time. There is one row for the block of an
//! hour and one for each rollup: its version decides who may replace it.

use bytes::Bytes;
use model::{ErrorKind, TenantId, TimeRange, Timestamp};
use tsdb::TsdbError;
use tsdb::block::Index;
use tsdb::coding::{Reader, put_bytes, put_signed, put_varint};
use tsdb::hour::{day_of, hour_of};
use tsdb::rollup::Resolution;
use xxhash_rust::xxh3::xxh3_128;

use crate::ports::{ObjectStore, PortError, PortResult, Row, RowKey, RowRange, Shard, StateStore, range_all};

/// Format version of a catalogue row.
const VERSION: u8 = 1;
/// Blocks smaller than this lie in their row: a larger row costs more than an object.
pub const INLINE_BYTES_MAX: usize = 8 << 10;
/// Added to hours and days, so that those before 1970 sort before the others.
const OFFSET: i64 = 5_000_000_000;
const WHAT: &str = "catalogue row";

/// Where the bytes of a block lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In the row itself.
    Inline(Bytes),
    /// In the object store, under this key.
    Object(String),
}

/// Which hour a rollup was made from, and in which state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RollupSource {
    /// The hour.
    pub hour: i64,
    /// The hash of its block.
    pub block: u128,
    /// The hash of the block of the hour before, from which the first increase is counted.
    pub before: Option<u128>,
}

/// What a row tells about a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// XXH3-128 of the bytes.
    pub hash: u128,
    /// From the oldest to the newest sample.
    pub range: TimeRange,
    /// How many series.
    pub series: u64,
    /// How many samples; for rollups, spans.
    pub samples: u64,
    /// How many bytes.
    pub size_bytes: u64,
    /// When the row was written.
    pub written: Timestamp,
    /// For the block of an hour: the chunks in it. A reader that still sees one of them skips it.
    pub replaced: Vec<u128>,
    /// For rollups: what they were made from.
    pub sources: Vec<RollupSource>,
    /// The bytes.
    pub place: Place,
}

/// A row of the catalogue as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CatalogueRow {
    /// Where the row lies.
    pub key: RowKey,
    /// Its version.
    pub version: u64,
    /// What it tells.
    pub entry: Entry,
}

impl Entry {
    /// Describes a block and puts it where it belongs: into the row when it is small, else into an object under
    /// `folder`, which is stored before this returns. The same bytes again change nothing.
    ///
    /// # Errors
    /// As [`ObjectStore::put_new`]; `Bug` when the bytes are no block.
    pub async fn store(objects: &dyn ObjectStore, folder: &str, bytes: Bytes, now: Timestamp) -> PortResult<Self> {
        let block = Index::overview(&bytes).map_err(|error| PortError::new(ErrorKind::Bug, "block store", error))?;
        let hash = xxh3_128(&bytes);
        let size_bytes = bytes.len() as u64;
        let place = if bytes.len() < INLINE_BYTES_MAX {
            Place::Inline(bytes)
        } else {
            let key = format!("{folder}/{hash:032x}");
            objects.put_new(&key, bytes).await?;
            Place::Object(key)
        };
        Ok(Self {
            hash,
            range: block.range.unwrap_or(TimeRange::new(now, now)),
            series: block.series as u64,
            samples: block.samples,
            size_bytes,
            written: now,
            replaced: Vec::new(),
            sources: Vec::new(),
            place,
        })
    }

    /// The object's key, when the bytes lie in one.
    pub fn object(&self) -> Option<&str> {
        match &self.place {
            Place::Inline(_) => None,
            Place::Object(key) => Some(key),
        }
    }

    /// The row's value.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        out.extend_from_slice(&self.hash.to_le_bytes());
        put_signed(&mut out, self.range.start.as_millis());
        put_signed(&mut out, self.range.end.as_millis());
        for number in [self.series, self.samples, self.size_bytes] {
            put_varint(&mut out, number);
        }
        put_signed(&mut out, self.written.as_millis());
        put_varint(&mut out, self.replaced.len() as u64);
        self.replaced.iter().for_each(|hash| out.extend_from_slice(&hash.to_le_bytes()));
        put_varint(&mut out, self.sources.len() as u64);
        for source in &self.sources {
            put_signed(&mut out, source.hour);
            out.extend_from_slice(&source.block.to_le_bytes());
            out.push(u8::from(source.before.is_some()));
            out.extend_from_slice(&source.before.unwrap_or(0).to_le_bytes());
        }
        let (code, bytes) = match &self.place {
            Place::Inline(bytes) => (0, bytes.as_ref()),
            Place::Object(key) => (1, key.as_bytes()),
        };
        out.push(code);
        put_bytes(&mut out, bytes);
        out
    }

    /// Reads a row's value.
    ///
    /// # Errors
    /// When the bytes are not what [`Entry::encode`] gave.
    pub fn decode(value: &Bytes) -> tsdb::Result<Self> {
        let mut reader = Reader::new(value, WHAT);
        let found = reader.byte()?;
        if found != VERSION {
            return Err(TsdbError::Version { what: WHAT, found, known: VERSION });
        }
        let hash = u128::from_le_bytes(reader.array()?);
        let time = |reader: &mut Reader<'_>| reader.signed().map(Timestamp::from_millis);
        let range = TimeRange::new(time(&mut reader)?, time(&mut reader)?);
        let (series, samples, size_bytes) = (reader.varint()?, reader.varint()?, reader.varint()?);
        let written = time(&mut reader)?;
        let mut replaced = Vec::with_capacity(reader.clone().count(16)?);
        for _ in 0..reader.count(16)? {
            replaced.push(u128::from_le_bytes(reader.array()?));
        }
        let sources = decode_sources(&mut reader)?;
        let place = match reader.byte()? {
            0 => Place::Inline(value.slice_ref(reader.bytes()?)),
            1 => Place::Object(reader.text()?.to_owned()),
            _ => return Err(TsdbError::Malformed { what: WHAT, reason: "unknown kind of place" }),
        };
        reader.end()?;
        Ok(Self { hash, range, series, samples, size_bytes, written, replaced, sources, place })
    }
}

fn decode_sources(reader: &mut Reader<'_>) -> tsdb::Result<Vec<RollupSource>> {
    let count = reader.count(34)?;
    let mut sources = Vec::with_capacity(count);
    for _ in 0..count {
        let hour = reader.signed()?;
        let block = u128::from_le_bytes(reader.array()?);
        let some = reader.byte()? != 0;
        let before = u128::from_le_bytes(reader.array()?);
        sources.push(RollupSource { hour, block, before: some.then_some(before) });
    }
    Ok(sources)
}

/// Where the objects of a tenant's chunks lie.
pub fn chunk_folder(tenant: &TenantId, hour: i64) -> String {
    format!("raw/tenant={tenant}/chunk/{}", padded(hour))
}

/// Where the objects of a tenant's hour blocks lie.
pub fn hour_folder(tenant: &TenantId, hour: i64) -> String {
    format!("raw/tenant={tenant}/hour/{}", padded(hour))
}

/// Where the objects of a tenant's rollups lie.
pub fn rollup_folder(tenant: &TenantId, resolution: Resolution, hour: i64) -> String {
    format!("rollup/tenant={tenant}/{}/{}", resolution.as_str(), padded(day_of(hour)))
}

/// The row of a tick's chunk.
pub fn chunk_key(tenant: &TenantId, shard: Shard, hour: i64, hash: u128) -> RowKey {
    RowKey::new(raw_partition(tenant, shard), format!("{}#0#{hash:032x}", padded(hour)))
}

/// The row of the block of an hour.
pub fn hour_key(tenant: &TenantId, shard: Shard, hour: i64) -> RowKey {
    RowKey::new(raw_partition(tenant, shard), format!("{}#1", padded(hour)))
}

/// The row of the rollups that an hour's spans lie in.
pub fn rollup_key(tenant: &TenantId, resolution: Resolution, hour: i64) -> RowKey {
    let part = match resolution {
        Resolution::Minute | Resolution::FiveMinutes => format!("{:02}", hour.rem_euclid(24)),
        Resolution::Hour | Resolution::Day => "all".to_owned(),
    };
    RowKey::new(format!("u#{tenant}#{}", resolution.as_str()), format!("{}#{part}", padded(day_of(hour))))
}

/// The row that says that a tenant has data.
pub fn tenant_key(tenant: &TenantId) -> RowKey {
    RowKey::new("n#", tenant.as_str())
}

/// The row that says how much a tenant has stored.
pub fn stored_key(tenant: &TenantId) -> RowKey {
    RowKey::new(format!("n#{tenant}"), "stored")
}

/// The row of objects to delete from a minute on.
pub fn tombstone_key(due_minute: i64, hash: u128) -> RowKey {
    RowKey::new("x#", format!("{}#{hash:032x}", padded(due_minute)))
}

/// The sort key at which tombstones that are not due yet begin.
pub fn tombstones_after(minute: i64) -> String {
    padded(minute.saturating_add(1))
}

impl CatalogueRow {
    /// Reads a row.
    ///
    /// # Errors
    /// `Corrupt` when its value is not what [`Entry::encode`] gave.
    pub fn read(row: Row) -> PortResult<Self> {
        let entry = Entry::decode(&row.value).map_err(|error| {
            let place = format!("{} {}", row.key.partition, row.key.sort);
            PortError::new(error.kind(), "catalogue read", format!("{place}: {error}"))
        })?;
        Ok(Self { key: row.key, version: row.version, entry })
    }

    /// Whether the row names the block of an hour and not a tick's chunk.
    pub fn is_hour(&self) -> bool {
        self.key.sort.ends_with("#1")
    }

    /// The hour that a raw row belongs to.
    pub fn hour(&self) -> i64 {
        let digits = self.key.sort.split('#').next().unwrap_or_default();
        digits.parse::<i64>().map_or(0, |padded| padded - OFFSET)
    }
}

/// All raw rows of a tenant whose hours overlap a range of time, in order of hour.
///
/// # Errors
/// As [`StateStore::range`]; `Corrupt` when a row cannot be read.
pub async fn raw_rows(
    state: &dyn StateStore,
    tenant: &TenantId,
    shard: Shard,
    range: TimeRange,
    now: Timestamp,
) -> PortResult<Vec<CatalogueRow>> {
    rows(state, raw_range(tenant, shard, range), now).await
}

/// Where the raw rows of a range of time lie.
pub fn raw_range(tenant: &TenantId, shard: Shard, range: TimeRange) -> RowRange {
    let (start, end) = (padded(hour_of(range.start)), padded(hour_of(range.end).saturating_add(1)));
    RowRange::between(raw_partition(tenant, shard), start, end)
}

/// All rows of a tenant's rollups of one resolution whose days overlap a range of time, in order of day.
///
/// # Errors
/// As [`StateStore::range`]; `Corrupt` when a row cannot be read.
pub async fn rollup_rows(
    state: &dyn StateStore,
    tenant: &TenantId,
    resolution: Resolution,
    range: TimeRange,
    now: Timestamp,
) -> PortResult<Vec<CatalogueRow>> {
    rows(state, rollup_range(tenant, resolution, range), now).await
}

/// Where the rows of the rollups of a range of time lie.
pub fn rollup_range(tenant: &TenantId, resolution: Resolution, range: TimeRange) -> RowRange {
    let day = |time| day_of(hour_of(time));
    let (start, end) = (padded(day(range.start)), padded(day(range.end).saturating_add(1)));
    RowRange::between(format!("u#{tenant}#{}", resolution.as_str()), start, end)
}

async fn rows(state: &dyn StateStore, range: RowRange, now: Timestamp) -> PortResult<Vec<CatalogueRow>> {
    let mut rows = Vec::new();
    each_row(state, range, now, |row| rows.push(row)).await?;
    Ok(rows)
}

/// Shows all rows of a range, page by page.
///
/// # Errors
/// As [`StateStore::range`]; `Corrupt` when a row cannot be read.
pub async fn each_row(
    state: &dyn StateStore,
    mut range: RowRange,
    now: Timestamp,
    mut show: impl FnMut(CatalogueRow) + Send,
) -> PortResult<()> {
    loop {
        let page = state.range(&range, now).await?;
        for row in page.rows {
            show(CatalogueRow::read(row)?);
        }
        match page.cursor {
            Some(cursor) => range.cursor = Some(cursor),
            None => return Ok(()),
        }
    }
}

/// Somebody who has data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tenant {
    /// Who.
    pub id: TenantId,
    /// The version of the row.
    pub version: u64,
    /// The day on which a rollup looked through all that the tenant has; `None` since something came for a time before.
    pub checked_day: Option<i64>,
}

/// The tenants that have data.
///
/// # Errors
/// As [`StateStore::range`].
pub async fn tenants(state: &dyn StateStore, now: Timestamp) -> PortResult<Vec<Tenant>> {
    let rows = range_all(state, RowRange::all("n#"), now).await?;
    let tenant = |row: &Row| {
        let mut reader = Reader::new(row.value.get(1..).unwrap_or_default(), WHAT);
        Some(Tenant { id: TenantId::new(&row.key.sort).ok()?, version: row.version, checked_day: reader.signed().ok() })
    };
    Ok(rows.iter().filter_map(tenant).collect())
}

/// The value of a tenant's row.
pub fn tenant_value(checked_day: Option<i64>) -> Bytes {
    let mut value = vec![VERSION];
    if let Some(day) = checked_day {
        put_signed(&mut value, day);
    }
    value.into()
}

/// Leaves out chunks that the block of their hour already holds.
pub fn without_replaced(rows: Vec<CatalogueRow>) -> Vec<CatalogueRow> {
    let blocks: Vec<(i64, Vec<u128>)> = rows
        .iter()
        .filter(|row| row.is_hour())
        .map(|row| {
            let mut replaced = row.entry.replaced.clone();
            replaced.sort_unstable();
            (row.hour(), replaced)
        })
        .collect();
    let is_replaced = |row: &CatalogueRow| {
        let place = blocks.binary_search_by_key(&row.hour(), |(hour, _)| *hour);
        !row.is_hour() && place.is_ok_and(|place| blocks[place].1.binary_search(&row.entry.hash).is_ok())
    };
    rows.into_iter().filter(|row| !is_replaced(row)).collect()
}

fn raw_partition(tenant: &TenantId, shard: Shard) -> String {
    format!("c#{tenant}#{}", shard.0)
}

/// Ten digits; times that no sample may have are moved to the ends.
fn padded(number: i64) -> String {
    format!("{:010}", number.saturating_add(OFFSET).clamp(0, 9_999_999_999))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(place: Place) -> Entry {
        Entry {
            hash: 7,
            range: TimeRange::new(Timestamp::from_secs(-5), Timestamp::from_secs(5)),
            series: 2,
            samples: 10,
            size_bytes: 300,
            written: Timestamp::from_secs(99),
            replaced: vec![1, u128::MAX],
            sources: vec![
                RollupSource { hour: -3, block: 5, before: None },
                RollupSource { hour: 4, block: 6, before: Some(0) },
            ],
            place,
        }
    }

    #[test]
    fn rows_read_back_and_bad_ones_are_refused() {
        for place in [Place::Inline(Bytes::from_static(b"block")), Place::Object("raw/x".to_owned())] {
            let entry = entry(place);
            let value = Bytes::from(entry.encode());
            assert_eq!(Entry::decode(&value), Ok(entry));
            for len in 0..value.len() {
                assert!(Entry::decode(&value.slice(..len)).is_err(), "{len}");
            }
        }
        let error = Entry::decode(&Bytes::from_static(&[9])).unwrap_err();
        assert_eq!(error.to_string(), "catalogue row has format version 9, this program reads version 1");
    }

    #[test]
    fn hours_sort_as_time_does() {
        let tenant = TenantId::default_tenant();
        let sorts: Vec<String> = [-600_000, -1, 0, 498_000]
            .iter()
            .flat_map(|&hour| [chunk_key(&tenant, Shard(0), hour, 1), hour_key(&tenant, Shard(0), hour)])
            .map(|key| key.sort)
            .collect();
        assert!(sorts.is_sorted(), "{sorts:?}");
    }

    #[test]
    fn a_chunk_in_the_block_of_its_hour_is_left_out() {
        let tenant = TenantId::default_tenant();
        let row = |key: RowKey, hash, replaced| {
            let entry = Entry { hash, replaced, ..entry(Place::Object("x".to_owned())) };
            CatalogueRow { key, version: 1, entry }
        };
        let rows = vec![
            row(chunk_key(&tenant, Shard(0), 5, 1), 1, vec![]),
            row(chunk_key(&tenant, Shard(0), 5, 2), 2, vec![]),
            row(hour_key(&tenant, Shard(0), 5), 9, vec![2]),
            row(chunk_key(&tenant, Shard(0), 6, 2), 2, vec![]),
        ];
        let kept: Vec<u128> = without_replaced(rows).iter().map(|row| row.entry.hash).collect();
        assert_eq!(kept, [1, 9, 2]);
    }
}
