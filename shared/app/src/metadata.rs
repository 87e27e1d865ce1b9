//! What metrics mean, as senders say: type, help and unit, beside the samples.
//!
//! | rows | partition | sort |
//! |---|---|---|
//! | one text about one metric | `i#tenant` | hash of the metric's name, `#`, hash of all of it |
//!
//! Invariants:
//! - Rows are named by what they hold: the same text again, or from two processes at once, changes nothing.
//! - A text is written once and then once a week while it is still said: what nobody says any more goes within
//!   [`LIFETIME`]. Senders repeat themselves with every request or every minute, so what could not be stored is there
//!   soon after.
//! - Samples never wait for it, and are never refused for it.
//! - A row that cannot be read costs itself: the others are answered, and the answer says so.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use hashbrown::HashMap;
use model::{ErrorKind, Metadata, MetricType, TenantId, Timestamp};
use tokio::time::timeout;
use tsdb::TsdbError;
use tsdb::coding::{Reader, put_bytes};
use xxhash_rust::xxh3::xxh3_64;

use crate::ports::{PortError, PortResult, RowKey, RowRange, range_all};
use crate::readable::{Damaged, Readable};
use crate::{App, AppError};

/// Format version of a row.
const VERSION: u8 = 1;
const WHAT: &str = "metadata row";
/// How long a text is kept after it was written.
const LIFETIME: Duration = Duration::from_secs(16 * 24 * 3600);
/// A text that is still said is written again when it has only so long to live.
const RENEWED_WITHIN: Duration = Duration::from_secs(8 * 24 * 3600);
/// How long a request waits for texts to be stored.
const STORE_TIMEOUT: Duration = Duration::from_secs(5);
/// Most rows that are stored with one call.
const ROWS_A_CALL: usize = 25;
/// When more tenants than this were heard of, all of them are forgotten and read again.
const TENANTS_MAX: usize = 1000;

/// What this process knows to be stored: of each tenant the hashes of texts, and until when they live.
#[derive(Debug, Default)]
pub(crate) struct Stored {
    by_tenant: Mutex<BTreeMap<TenantId, HashMap<u64, Timestamp>>>,
    /// The minute in which somebody was last told that there is no room.
    told_in: AtomicI64,
}

impl Stored {
    /// Which of these are not stored, or not for long any more; `None` when nothing is known of the tenant.
    fn missing<'a>(&self, tenant: &TenantId, said: &'a [Metadata], now: Timestamp) -> Option<Vec<&'a Metadata>> {
        let known = self.by_tenant.lock().unwrap_or_else(PoisonError::into_inner);
        let of_tenant = known.get(tenant)?;
        let lives = |one: &&Metadata| of_tenant.get(&hash(one)).is_some_and(|expires| *expires > now + RENEWED_WITHIN);
        Some(said.iter().filter(|one| !lives(one)).collect())
    }

    /// Remembers what is stored until when; gives back how many texts of the tenant are known.
    fn remember(&self, tenant: &TenantId, stored: impl IntoIterator<Item = (u64, Timestamp)>, now: Timestamp) -> usize {
        let mut known = self.by_tenant.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= TENANTS_MAX {
            known.clear();
        }
        let of_tenant = known.entry(tenant.clone()).or_default();
        of_tenant.extend(stored);
        of_tenant.retain(|_, expires| *expires > now);
        of_tenant.len()
    }
}

/// Stores what was said about metrics, as far as it is not stored yet. What cannot be stored is told and counted.
pub async fn keep(app: &App, tenant: &TenantId, said: &[Metadata], now: Timestamp) {
    if said.is_empty() {
        return;
    }
    let late = |_| Err(PortError::new(ErrorKind::Unavailable, "metadata write", "no answer within 5 s"));
    let kept = timeout(STORE_TIMEOUT, store(app, tenant, said, now)).await.unwrap_or_else(late);
    match kept {
        Ok(0) => {}
        Ok(over) => {
            // Senders say it again with each request.
            if app.metadata.told_in.swap(now.minute(), Ordering::Relaxed) != now.minute() {
                let limit = app.limits.metadata_max;
                tracing::warn!(%tenant, over, limit, "too many metrics are described (metadata_max)");
            }
            app.metrics.metadata_skipped(over);
        }
        Err(error) => {
            tracing::warn!(%tenant, %error, "what metrics mean could not be stored; senders say it again");
            app.metrics.metadata_skipped(said.len());
        }
    }
}

/// Stores what is missing; gives back how many there was no room for.
async fn store(app: &App, tenant: &TenantId, said: &[Metadata], now: Timestamp) -> PortResult<usize> {
    let missing = match app.metadata.missing(tenant, said, now) {
        Some(missing) => missing,
        None => {
            let rows = range_all(app.ports.state.as_ref(), RowRange::all(partition(tenant)), now).await?;
            let read = rows.iter().filter_map(|row| Some((hash(&decode(&row.value).ok()?), row.expires?)));
            app.metadata.remember(tenant, read, now);
            app.metadata.missing(tenant, said, now).unwrap_or_default()
        }
    };
    if missing.is_empty() {
        return Ok(0);
    }
    let room = app.limits.metadata_max.saturating_sub(app.metadata.remember(tenant, [], now));
    let (stored, over) = missing.split_at(room.min(missing.len()));
    let expires = now + LIFETIME;
    for some in stored.chunks(ROWS_A_CALL) {
        let rows = some.iter().map(|one| (key(tenant, one), Bytes::from(encode(one)), Some(expires))).collect();
        app.ports.state.put_many(rows, now).await?;
        app.metadata.remember(tenant, some.iter().map(|one| (hash(one), expires)), now);
    }
    Ok(over.len())
}

/// What is said about a metric, or about all of them, sorted by metric. A row that cannot be read is left out, counted
/// and told.
///
/// # Errors
/// When the store does not answer.
pub(crate) async fn of(
    app: &App,
    tenant: &TenantId,
    metric: Option<&str>,
    now: Timestamp,
) -> Result<Readable<Vec<Metadata>>, AppError> {
    let range = match metric {
        None => RowRange::all(partition(tenant)),
        // The sign behind the one that ends a hash.
        Some(metric) => {
            let prefix = metric_hash(metric);
            RowRange::between(partition(tenant), format!("{prefix}#"), format!("{prefix}$"))
        }
    };
    let rows = range_all(app.ports.state.as_ref(), range, now).await?;
    let mut damaged = Damaged::default();
    let decoded = rows.iter().filter_map(|row| decode(&row.value).map_err(|error| damaged.push(row, &error)).ok());
    let mut found: Vec<Metadata> = decoded.filter(|one| metric.is_none_or(|metric| metric == one.metric)).collect();
    found.sort_unstable();
    Ok(damaged.beside(app, tenant, "metadata", found))
}

fn partition(tenant: &TenantId) -> String {
    format!("i#{tenant}")
}

fn key(tenant: &TenantId, one: &Metadata) -> RowKey {
    RowKey::new(partition(tenant), format!("{}#{:016x}", metric_hash(&one.metric), hash(one)))
}

fn metric_hash(metric: &str) -> String {
    format!("{:016x}", xxh3_64(metric.as_bytes()))
}

fn hash(one: &Metadata) -> u64 {
    xxh3_64(&encode(one))
}

/// `version u8 | type u8 | metric bytes | help bytes | unit bytes`
fn encode(one: &Metadata) -> Vec<u8> {
    let mut out = vec![VERSION, one.metric_type.number()];
    for text in [&one.metric, &one.help, &one.unit] {
        put_bytes(&mut out, text.as_bytes());
    }
    out
}

fn decode(value: &Bytes) -> tsdb::Result<Metadata> {
    let mut reader = Reader::new(value, WHAT);
    let found = reader.byte()?;
    if found != VERSION {
        return Err(TsdbError::Version { what: WHAT, found, known: VERSION });
    }
    let metric_type = MetricType::from_number(u64::from(reader.byte()?));
    let mut text = || reader.text().map(str::to_owned);
    let one = Metadata { metric_type, metric: text()?, help: text()?, unit: text()? };
    reader.end()?;
    Ok(one)
}

#[cfg(test)]
mod tests;
