//! How much is stored, for the page.

use std::collections::BTreeMap;
use std::sync::MutexGuard;

use model::{TenantId, TimeRange, Timestamp};
use tsdb::rollup::Resolution;

use super::Loader;
use crate::AppError;
use crate::catalogue::{CatalogueRow, Entry, each_row, raw_range, rollup_range, tenants};
use crate::ports::{Minute, Shard};

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
    fn add(&mut self, entry: &Entry) {
        self.pieces += 1;
        self.bytes += entry.size_bytes;
        self.samples += entry.samples;
        self.series_max = self.series_max.max(entry.series);
    }
}

/// Stats that were counted, by tenant, with what they were counted at. Pages ask every few seconds; the catalogue has
/// thousands of rows, and changes with a tick and with a rollup.
#[derive(Debug, Default)]
pub(super) struct StatsCache {
    raw: BTreeMap<TenantId, (Counted, RawStats)>,
    rollups: BTreeMap<TenantId, (Counted, Vec<(Resolution, PieceStats)>)>,
}

/// Chunks and blocks of hours, and whether nobody else has data.
#[derive(Clone, Copy, Debug)]
struct RawStats {
    chunks: PieceStats,
    hours: PieceStats,
    is_alone: bool,
}

/// When something was counted: the watermark, and how many of its turns had passed since the epoch.
type Counted = (Minute, i64);

/// Raw rows are counted again after a tick and in each minute, rollups after so many minutes.
const ROLLUP_MINUTES: i64 = 10;

impl Loader {
    /// What a tenant has stored, as the catalogue told it at most some minutes ago; what is in the log, as of now.
    ///
    /// # Errors
    /// When the catalogue or the log cannot be read.
    pub async fn storage_stats(&self, tenant: &TenantId, now: Timestamp) -> Result<StorageStats, AppError> {
        let watermark = self.watermark(Shard::default(), now).await?;
        let RawStats { chunks, hours, is_alone } = self.raw_stats(tenant, (watermark, now.minute()), now).await?;
        let turn = now.minute().div_euclid(ROLLUP_MINUTES);
        let rollups = self.rollup_stats(tenant, (0, turn), now).await?;
        let head = self.head(tenant, now).await?;
        let (active_series, log_samples) = (head.series_count() as u64, head.sample_count() as u64);
        let log_bytes = self.ports.wal.size_bytes().filter(|_| is_alone).unwrap_or(0);
        Ok(StorageStats { chunks, hours, rollups, active_series, log_samples, log_bytes })
    }

    async fn raw_stats(&self, tenant: &TenantId, at: Counted, now: Timestamp) -> Result<RawStats, AppError> {
        let known = self.stats().raw.get(tenant).filter(|(counted, _)| *counted == at).map(|(_, stats)| *stats);
        if let Some(stats) = known {
            return Ok(stats);
        }
        let state = self.ports.state.as_ref();
        let is_alone = tenants(state, now).await?.iter().all(|other| other == tenant);
        let mut stats = RawStats { chunks: PieceStats::default(), hours: PieceStats::default(), is_alone };
        let add = |row: CatalogueRow| {
            let kind = if row.is_hour() { &mut stats.hours } else { &mut stats.chunks };
            kind.add(&row.entry);
        };
        each_row(state, raw_range(tenant, Shard::default(), TimeRange::ALL), now, add).await?;
        self.stats().raw.insert(tenant.clone(), (at, stats));
        Ok(stats)
    }

    async fn rollup_stats(
        &self,
        tenant: &TenantId,
        at: Counted,
        now: Timestamp,
    ) -> Result<Vec<(Resolution, PieceStats)>, AppError> {
        let known = self.stats().rollups.get(tenant).filter(|(counted, _)| *counted == at).map(|(_, it)| it.clone());
        if let Some(stats) = known {
            return Ok(stats);
        }
        let mut rollups = Vec::with_capacity(Resolution::ALL.len());
        for resolution in Resolution::ALL {
            let mut stats = PieceStats::default();
            let range = rollup_range(tenant, resolution, TimeRange::ALL);
            each_row(self.ports.state.as_ref(), range, now, |row| stats.add(&row.entry)).await?;
            rollups.push((resolution, stats));
        }
        self.stats().rollups.insert(tenant.clone(), (at, rollups.clone()));
        Ok(rollups)
    }

    fn stats(&self) -> MutexGuard<'_, StatsCache> {
        self.stats.lock().expect("nothing panics while it holds the lock")
    }
}
