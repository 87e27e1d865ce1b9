//! What Firehose delivers: metric streams of CloudWatch.
//!
//! A request with bad lines is refused, so that Firehose puts it into its backup bucket in the end, where somebody can
//! look at it; its good lines are taken all the same. Firehose sends it several times before it gives up: a row
//! remembers that its good lines were taken, so that they are written once. Requests without bad lines need no row: a
//! repeat of one merges with the first.

use std::time::Duration;

use bytes::Bytes;
use model::{ErrorKind, TenantId, Timestamp};
use wire::cloudwatch::firehose::{Delivery, decode};
use xxhash_rust::xxh3::Xxh3;

use super::append;
use crate::ports::{Expect, RowKey, RowWrite};
use crate::{App, AppError};

/// Firehose tries for at most two hours.
const REMEMBERED_FOR: Duration = Duration::from_secs(3 * 3600);
/// Format version of the row.
const FORMAT_VERSION: u8 = 1;

/// What became of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// The request's id, which the answer repeats.
    pub request_id: String,
    /// What could not be taken of it, with the places; `None` when all of it was.
    pub refused: Option<String>,
}

/// Takes the samples of a request that can be taken; they are durable when this returns.
///
/// # Errors
/// `Invalid` when nothing of it can be read; `Unavailable` when it should be sent again.
pub async fn receive(
    app: &App,
    tenant: &TenantId,
    body: &[u8],
    content_encoding: Option<&str>,
    now: Timestamp,
) -> Result<Received, AppError> {
    let delivery = decode(body, content_encoding, &app.limits, now)?;
    let refused = delivery.problems.message();
    if refused.is_none() {
        append(app, tenant, &delivery.batch, now).await?;
    } else {
        let (request_id, lines) = (&delivery.request_id, delivery.problems.count);
        tracing::warn!(%tenant, request_id, lines, "lines of a metric stream cannot be taken; the answer names them");
        app.metrics.refused(ErrorKind::Invalid);
        append_once(app, tenant, &delivery, now).await?;
    }
    Ok(Received { request_id: delivery.request_id, refused })
}

/// Appends the good lines of a request that will come again.
async fn append_once(app: &App, tenant: &TenantId, delivery: &Delivery, now: Timestamp) -> Result<(), AppError> {
    if delivery.batch.is_empty() {
        return Ok(());
    }
    let key = row_key(tenant, delivery);
    let state = app.ports.state.as_ref();
    if state.get(&key, now).await?.is_some() {
        return Ok(());
    }
    append(app, tenant, &delivery.batch, now).await?;
    let row = RowWrite::put(key, Expect::Any, Bytes::from_static(&[FORMAT_VERSION]));
    state.write(vec![row.expiring(now + REMEMBERED_FOR)], now).await?;
    Ok(())
}

/// By id and content: a sender that gives all its requests the same id loses nothing.
fn row_key(tenant: &TenantId, delivery: &Delivery) -> RowKey {
    let mut hash = Xxh3::new();
    hash.update(delivery.request_id.as_bytes());
    hash.update(&tsdb::wal::encode(&delivery.batch));
    RowKey::new(format!("p#{tenant}"), format!("{:032x}", hash.digest128()))
}

#[cfg(test)]
mod tests;
