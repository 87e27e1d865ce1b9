//! How much is stored, for the page.

use std::collections::BTreeMap;
use std::sync::MutexGuard;

use model::{TenantId, TimeRange, Timestamp};
use tsdb::TsdbError;
use tsdb::coding::{Reader, put_varint};
use tsdb::hour::hour_range;
use tsdb::rollup::Resolution;

use super::Loader;
use crate::AppError;
use crate::catalogue::{CatalogueRow, Entry, each_row, raw_range, rollup_range, stored_key, tenants};
use crate::ports::{Minute, PortError, PortResult, Shard, StateStore};
use crate::rollup::first_recent_hour;

/// What pieces of one kind hold together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PieceStats {
    /// How many pieces.
    pub pieces: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Their samples; for rollups, spans.
    pub samples: u64,
    /// The series of the largest one.
    pub series_max: u64,
}

/// What a tenant has stored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StorageStats {
    /// Chunks that no block of an hour replaced yet.
    pub chunks: PieceStats,
    /// Blocks of hours.
    pub hours: PieceStats,
    /// Rollups by resolution, the finest first.
    pub rollups: Vec<(Resolution, PieceStats)>,
    /// Series in the log since the watermark: those that are being received.
    pub active_series: u64,
    /// Samples in the log since the watermark.
    pub log_samples: u64,
    /// Bytes of the log; 0 where it is shared with other tenants, or cannot tell.
    pub log_bytes: u64,
}

impl StorageStats {
    /// All bytes of the log, of chunks, blocks and rollups.
    pub fn bytes(&self) -> u64 {
        self.log_bytes
            + self.chunks.bytes
            + self.hours.bytes
            + self.rollups.iter().map(|(_, stats)| stats.bytes).sum::<u64>()
    }

    /// Raw samples in chunks and blocks.
    pub const fn samples(&self) -> u64 {
        self.chunks.samples + self.hours.samples
    }

    /// Bytes of a raw sample with its share of the index, told from the blocks of hours; from chunks while there are
    /// none. `None` without samples.
    #[expect(clippy::cast_precision_loss, reason = "a ratio for people")]
    pub fn bytes_per_sample(&self) -> Option<f64> {
        let stats = if self.hours.samples > 0 { self.hours } else { self.chunks };
        (stats.samples > 0).then(|| stats.bytes as f64 / stats.samples as f64)
    }
}

impl PieceStats {
    /// Counts a piece.
    pub(crate) fn add(&mut self, entry: &Entry) {
        self.pieces += 1;
        self.bytes += entry.size_bytes;
        self.samples += entry.samples;
        self.series_max = self.series_max.max(entry.series);
    }

    /// Counts a piece no more; the largest one stays the largest.
    pub(crate) const fn remove(&mut self, entry: &Entry) {
        self.pieces = self.pieces.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(entry.size_bytes);
        self.samples = self.samples.saturating_sub(entry.samples);
    }
}

/// What a tenant has in blocks of hours and in rollups, as rollups keep count of it in a row. A run that dies between
/// its work and this row leaves it slightly wrong; hours are counted again once a day.
///
/// ```text
/// | version u8 | 5 times: pieces, bytes, samples, series_max, varint each |    hours, then rollups, the finest first
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) hours: PieceStats,
    pub(crate) rollups: [PieceStats; Resolution::ALL.len()],
}

/// Format version of the row.
const VERSION: u8 = 1;
const WHAT: &str = "row of what is stored";

impl Stored {
    /// Reads the row of a tenant; `None` when no rollup has written it yet.
    pub(crate) async fn read(state: &dyn StateStore, tenant: &TenantId, now: Timestamp) -> PortResult<Option<Self>> {
        let row = state.get(&stored_key(tenant), now).await?;
        let decoded = row.map(|row| Self::decode(&row.value)).transpose();
        decoded.map_err(|error| PortError::new(error.kind(), "stats read", error))
    }

    /// Counts all that the catalogue has.
    pub(crate) async fn count(state: &dyn StateStore, tenant: &TenantId, now: Timestamp) -> PortResult<Self> {
        let mut stored = Self::default();
        let hours = |row: CatalogueRow| {
            if row.is_hour() {
                stored.hours.add(&row.entry);
            }
        };
        each_row(state, raw_range(tenant, Shard::default(), TimeRange::ALL), now, hours).await?;
        for (resolution, stats) in Resolution::ALL.into_iter().zip(&mut stored.rollups) {
            let range = rollup_range(tenant, resolution, TimeRange::ALL);
            each_row(state, range, now, |row| stats.add(&row.entry)).await?;
        }
        Ok(stored)
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        for stats in std::iter::once(&self.hours).chain(&self.rollups) {
            for number in [stats.pieces, stats.bytes, stats.samples, stats.series_max] {
                put_varint(&mut out, number);
            }
        }
        out
    }

    fn decode(value: &[u8]) -> tsdb::Result<Self> {
        let mut reader = Reader::new(value, WHAT);
        let found = reader.byte()?;
        if found != VERSION {
            return Err(TsdbError::Version { what: WHAT, found, known: VERSION });
        }
        let mut stored = Self::default();
        for stats in std::iter::once(&mut stored.hours).chain(&mut stored.rollups) {
            for number in [&mut stats.pieces, &mut stats.bytes, &mut stats.samples, &mut stats.series_max] {
                *number = reader.varint()?;
            }
        }
        reader.end()?;
        Ok(stored)
    }
}

/// Stats that were counted, by tenant, with the watermark and the minute they were counted at: pages ask every few
/// seconds.
#[derive(Debug, Default)]
pub(super) struct StatsCache(BTreeMap<TenantId, ((Minute, Minute), Counted)>);

/// What the catalogue says, and whether nobody else has data.
#[derive(Clone, Copy, Debug)]
struct Counted {
    stored: Stored,
    chunks: PieceStats,
    is_alone: bool,
}

impl Loader {
    /// What a tenant has stored, as of at most a minute ago; what is in the log, as of now. Chunks that wait for the
    /// next rollup are counted as far as they are of the last day.
    ///
    /// # Errors
    /// When the catalogue or the log cannot be read.
    pub async fn storage_stats(&self, tenant: &TenantId, now: Timestamp) -> Result<StorageStats, AppError> {
        let watermark = self.watermark(Shard::default(), now).await?;
        let Counted { stored, chunks, is_alone } = self.counted(tenant, (watermark, now.minute()), now).await?;
        let head = self.head(tenant, now).await?;
        let (active_series, log_samples) = (head.series_count() as u64, head.sample_count() as u64);
        let log_bytes = self.ports.wal.size_bytes().filter(|_| is_alone).unwrap_or(0);
        let rollups = Resolution::ALL.into_iter().zip(stored.rollups).collect();
        Ok(StorageStats { chunks, hours: stored.hours, rollups, active_series, log_samples, log_bytes })
    }

    async fn counted(&self, tenant: &TenantId, at: (Minute, Minute), now: Timestamp) -> Result<Counted, AppError> {
        let known = self.stats().0.get(tenant).filter(|(counted, _)| *counted == at).map(|(_, counted)| *counted);
        if let Some(counted) = known {
            return Ok(counted);
        }
        let state = self.ports.state.as_ref();
        let is_alone = tenants(state, now).await?.iter().all(|other| other.id == *tenant);
        let stored = Stored::read(state, tenant, now).await?;
        let known = stored.is_some();
        let mut counted = Counted { stored: stored.unwrap_or_default(), chunks: PieceStats::default(), is_alone };
        let add = |row: CatalogueRow| match row.is_hour() {
            false => counted.chunks.add(&row.entry),
            // Before the first rollup there are no blocks; should their count be lost, the recent ones count.
            true if !known => counted.stored.hours.add(&row.entry),
            true => {}
        };
        let recent = TimeRange::new(hour_range(first_recent_hour(now)).start, TimeRange::ALL.end);
        each_row(state, raw_range(tenant, Shard::default(), recent), now, add).await?;
        self.stats().0.insert(tenant.clone(), (at, counted));
        Ok(counted)
    }

    fn stats(&self) -> MutexGuard<'_, StatsCache> {
        self.stats.lock().expect("nothing panics while it holds the lock")
    }
}
