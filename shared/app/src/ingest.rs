//! The ingest flow: a push becomes one durable blob, then the sender gets its 2xx.

use bytes::Bytes;
use model::{Batch, TenantId, Timestamp};

use crate::ports::Shard;
use crate::{App, AppError, tick_row};

/// What one request brought.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// How many series.
    pub series: usize,
    /// How many samples.
    pub samples: usize,
}

/// Takes a remote write body: all of it, or nothing and the reason.
///
/// # Errors
/// `Invalid` for a body that can never be taken; `Unavailable` when the log has no room or the tick is too far behind.
pub async fn remote_write(app: &App, tenant: &TenantId, body: &[u8], now: Timestamp) -> Result<Taken, AppError> {
    let decoded = wire::remote_write::decode(body, &app.limits, now)?;
    let skipped = decoded.histograms_skipped + decoded.exemplars_skipped;
    if skipped > 0 {
        app.metrics.skipped(decoded.histograms_skipped, decoded.exemplars_skipped);
    }
    append(app, tenant, &decoded.batch, now).await
}

/// Appends a batch to the log; when this returns, its samples survive a crash and every query sees them.
///
/// # Errors
/// `Unavailable` when the log has no room or the tick is too far behind.
pub async fn append(app: &App, tenant: &TenantId, batch: &Batch, now: Timestamp) -> Result<Taken, AppError> {
    let taken = Taken { series: batch.series_count(), samples: batch.sample_count() };
    if taken.samples == 0 {
        return Ok(taken);
    }
    check_lag(app, now).await?;
    let blob = Bytes::from(tsdb::wal::encode(batch));
    app.metrics.accepted(taken.samples, blob.len());
    app.ports.wal.append(Shard::default(), now.minute(), tenant, blob).await?;
    Ok(taken)
}

/// Refuses samples while the tick is so far behind that the log could forget them before they are cut into chunks.
async fn check_lag(app: &App, now: Timestamp) -> Result<(), AppError> {
    let watermark = match app.watermark_of(now.minute()) {
        Some(watermark) => watermark,
        None => {
            let (row, version) = tick_row::read(app.ports.state.as_ref(), Shard::default(), now).await?;
            let watermark = if version.is_none() { now.minute() } else { row.watermark };
            app.remember_watermark(now.minute(), watermark);
            watermark
        }
    };
    let lag_minutes = u64::try_from(now.minute() - watermark).unwrap_or(0);
    let limit_minutes = app.limits.tick_lag_max.as_secs() / 60;
    if lag_minutes <= limit_minutes {
        return Ok(());
    }
    Err(AppError::Overloaded(format!(
        "samples are taken again when the backlog is processed: it is {lag_minutes} minutes long, over the limit of \
         {limit_minutes} minutes (tick_lag_max)"
    )))
}
