//! How much is stored, for the page.

use model::{TenantId, TimeRange, Timestamp};
use tsdb::rollup::Resolution;

use super::Loader;
use crate::AppError;
use crate::catalogue::CatalogueRow;

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
}

impl StorageStats {
    /// All bytes of chunks, blocks and rollups.
    pub fn bytes(&self) -> u64 {
        self.chunks.bytes + self.hours.bytes + self.rollups.iter().map(|(_, stats)| stats.bytes).sum::<u64>()
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
    fn of<'a>(rows: impl Iterator<Item = &'a CatalogueRow>) -> Self {
        rows.fold(Self::default(), |sum, row| Self {
            pieces: sum.pieces + 1,
            bytes: sum.bytes + row.entry.size_bytes,
            samples: sum.samples + row.entry.samples,
            series_max: sum.series_max.max(row.entry.series),
        })
    }
}

impl Loader {
    /// What a tenant has stored, as the catalogue tells it.
    ///
    /// # Errors
    /// When the catalogue or the log cannot be read.
    pub async fn storage_stats(&self, tenant: &TenantId, now: Timestamp) -> Result<StorageStats, AppError> {
        let rows = self.raw_rows(tenant, TimeRange::ALL, now).await?;
        let mut rollups = Vec::with_capacity(Resolution::ALL.len());
        for resolution in Resolution::ALL {
            let rows = self.rollup_rows(tenant, resolution, TimeRange::ALL, now).await?;
            rollups.push((resolution, PieceStats::of(rows.iter())));
        }
        let head = self.head(tenant, now).await?;
        Ok(StorageStats {
            chunks: PieceStats::of(rows.iter().filter(|row| !row.is_hour())),
            hours: PieceStats::of(rows.iter().filter(|row| row.is_hour())),
            rollups,
            active_series: head.series_count() as u64,
            log_samples: head.sample_count() as u64,
        })
    }
}
