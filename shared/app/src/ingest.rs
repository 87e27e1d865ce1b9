//! The ingest flow: a push becomes one durable blob, then the sender gets its 2xx.

pub mod firehose;

use std::time::Duration;

use bytes::Bytes;
use model::{Batch, ErrorKind, TenantId, Timestamp};
use tokio::time::timeout;
use wire::remote_write::{Protocol, v2};

use crate::load::arrival_minute;
use crate::ports::{Minute, PortError, PortResult, Shard};
use crate::{App, AppError, exemplars, metadata};

/// How long an append may take: well below the time after which its minute is closed.
const APPEND_TIMEOUT: Duration = Duration::from_secs(20);

/// What one request brought.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// How many series.
    pub series: usize,
    /// How many samples.
    pub samples: usize,
}

/// What a request of remote write brought.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Written {
    /// Samples that are numbers.
    pub numbers: usize,
    /// Samples that are native histograms.
    pub histograms: usize,
    /// Exemplars that were stored.
    pub exemplars: usize,
    /// How many series of a request of 2.0 were refused, and what is wrong with the first of them; the others were
    /// taken.
    pub refused: Option<(usize, wire::WireError)>,
}

/// Takes a remote write body. Of 1.0 all of it, or nothing and the reason; of 2.0 all but the series that are refused.
///
/// # Errors
/// `Invalid` for a body that can never be taken; `Unavailable` when the log has no room or the tick is too far behind.
pub async fn remote_write(
    app: &App,
    tenant: &TenantId,
    (protocol, body): (Protocol, &[u8]),
    now: Timestamp,
) -> Result<Written, AppError> {
    let decoded = match protocol {
        Protocol::V1 => wire::remote_write::decode(body, &app.limits, now)?,
        Protocol::V2 => v2::decode(body, &app.limits, now)?,
    };
    append(app, tenant, &decoded.batch, now).await?;
    app.metrics.exemplars_skipped(decoded.exemplars_skipped);
    app.metrics.metadata_skipped(decoded.metadata_skipped);
    let metadata = metadata::keep(app, tenant, &decoded.metadata, now);
    let ((), exemplars) = tokio::join!(metadata, exemplars::keep(app, tenant, &decoded.exemplars, now));
    let (numbers, histograms) = (decoded.numbers(), decoded.histograms());
    Ok(Written { numbers, histograms, exemplars, refused: decoded.refused })
}

/// Takes a page in the text exposition format, all of it or nothing: its samples, and what it says about its metrics.
/// Each series is given the labels of `extra`.
///
/// # Errors
/// As [`remote_write`].
pub async fn exposition(
    app: &App,
    tenant: &TenantId,
    (page, extra): (&[u8], &[(&str, &str)]),
    now: Timestamp,
) -> Result<Taken, AppError> {
    let page = wire::exposition::parse(page, extra, now, &app.limits)?;
    let taken = append(app, tenant, &page.batch, now).await?;
    app.metrics.metadata_skipped(page.metadata_skipped);
    metadata::keep(app, tenant, &page.metadata, now).await;
    Ok(taken)
}

/// Appends a batch to the log; when this returns, its samples survive a crash and every query sees them.
///
/// # Errors
/// `Unavailable` when the log has no room or takes too long, or the tick is too far behind.
pub async fn append(app: &App, tenant: &TenantId, batch: &Batch, now: Timestamp) -> Result<Taken, AppError> {
    let taken = Taken { series: batch.series_count(), samples: batch.sample_count() };
    if taken.samples == 0 {
        return Ok(taken);
    }
    let watermark = app.watermark_or_read(now).await?;
    check_lag(app, now, watermark)?;
    let minute = arrival_minute(now, watermark);
    let appended = timeout(APPEND_TIMEOUT, append_blob(app, tenant, minute, batch, now)).await;
    let size_bytes = appended.map_err(|_| too_late("no answer within 20 s"))??;
    if app.is_closed(minute) {
        // A tick has read this minute, perhaps before the blob was there: it may never be looked at again.
        return Err(too_late("the minute was closed meanwhile").into());
    }
    app.metrics.accepted(taken.samples, size_bytes);
    Ok(taken)
}

/// Encodes and appends a batch; gives back how many bytes it takes.
async fn append_blob(app: &App, tenant: &TenantId, minute: Minute, batch: &Batch, now: Timestamp) -> PortResult<usize> {
    let blob = match &app.layouts {
        Some(layouts) => layouts.encode(tenant, minute, batch, now).await,
        None => tsdb::wal::encode(batch),
    };
    let size_bytes = blob.len();
    app.ports.wal.append(Shard::default(), minute, tenant, Bytes::from(blob)).await?;
    Ok(size_bytes)
}

/// Whoever hears this sends the same samples again.
fn too_late(reason: &str) -> PortError {
    PortError::new(ErrorKind::Unavailable, "wal append", reason)
}

/// Refuses samples while the tick is so far behind that the log could forget them before they are cut into chunks.
fn check_lag(app: &App, now: Timestamp, watermark: Minute) -> Result<(), AppError> {
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
