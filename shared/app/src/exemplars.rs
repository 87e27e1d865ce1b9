//! Exemplars: single observations that stand for many, kept for a day beside the samples.
//!
//! | rows | partition | sort |
//! |---|---|---|
//! | exemplars of one request and hour | `e#tenant#hour` | hash of the row |
//!
//! ```text
//! row  | count varint | series bytes | labels bytes | value f64 LE | time signed | ...    sealed: version, checksum, zstd
//! ```
//!
//! Invariants:
//! - What the answer to a sender counts as written was stored before the answer.
//! - A process keeps [`model::Limits::exemplars_minute_max`] a minute of each tenant: what a sender of many costs is
//!   bounded. What is passed over is counted, and senders of remote write 2.0 are told.
//! - Samples are never refused for exemplars. The same ones again change nothing: rows are named by what they hold, and
//!   answers hold each once.
//! - A row that cannot be read costs itself: the others are answered, and the answer says so.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use model::{
    ErrorKind, Exemplar, Labels, LabelsRef, Matcher, SeriesExemplar, TenantId, TimeRange, Timestamp, matches_all,
};
use tokio::time::timeout;
use tsdb::TsdbError;
use tsdb::coding::{Reader, put_bytes, put_signed, put_varint, seal, unseal};
use tsdb::hour::hour_of;
use xxhash_rust::xxh3::xxh3_128;

use crate::ports::{Minute, PortError, PortResult, RowKey, RowRange};
use crate::readable::{Damaged, Readable};
use crate::{App, AppError};

/// Format version of a row.
const VERSION: u8 = 1;
const WHAT: &str = "exemplar row";
/// A row holds no more than this before compression, save for its last exemplar: well below what a row may have.
const ROW_BYTES: usize = 256 << 10;
/// How long a request waits for its exemplars to be stored.
const STORE_TIMEOUT: Duration = Duration::from_secs(5);
/// Most rows that are stored with one call.
const ROWS_A_CALL: usize = 25;
const HOUR_SECONDS: i64 = 3600;

/// How many exemplars of each tenant were kept in this minute.
#[derive(Debug, Default)]
pub(crate) struct Budget(Mutex<(Minute, BTreeMap<TenantId, usize>)>);

impl Budget {
    /// Takes so many out of the budget of the minute, or what is left of it.
    fn take(&self, tenant: &TenantId, wanted: usize, minute_max: usize, now: Timestamp) -> usize {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.0 != now.minute() {
            *kept = (now.minute(), BTreeMap::new());
        }
        let of_tenant = kept.1.entry(tenant.clone()).or_default();
        let taken = wanted.min(minute_max.saturating_sub(*of_tenant));
        *of_tenant += taken;
        taken
    }
}

/// Stores the exemplars of a request; gives back how many. The others are counted as passed over.
pub(crate) async fn keep(app: &App, tenant: &TenantId, exemplars: &[SeriesExemplar], now: Timestamp) -> usize {
    if exemplars.is_empty() {
        return 0;
    }
    let room = app.exemplars.take(tenant, exemplars.len(), app.limits.exemplars_minute_max, now);
    let late = |_| Err(PortError::new(ErrorKind::Unavailable, "exemplar write", "no answer within 5 s"));
    let stored = timeout(STORE_TIMEOUT, store(app, tenant, &exemplars[..room], now)).await.unwrap_or_else(late);
    if let Err(error) = &stored {
        tracing::warn!(%tenant, %error, exemplars = room, "exemplars could not be stored and are passed over");
    }
    let kept = if stored.is_ok() { room } else { 0 };
    if kept < exemplars.len() {
        app.metrics.exemplars_skipped(exemplars.len() - kept);
    }
    kept
}

async fn store(app: &App, tenant: &TenantId, exemplars: &[SeriesExemplar], now: Timestamp) -> PortResult<()> {
    let mut by_hour: BTreeMap<i64, Vec<&SeriesExemplar>> = BTreeMap::new();
    for one in exemplars {
        by_hour.entry(hour_of(one.exemplar.timestamp)).or_default().push(one);
    }
    let mut rows = Vec::new();
    for (hour, of_hour) in by_hour {
        let expires = Timestamp::from_secs((hour + 1) * HOUR_SECONDS) + app.limits.exemplar_retention;
        for value in encode(&of_hour) {
            let key = RowKey::new(partition(tenant, hour), format!("{:032x}", xxh3_128(&value)));
            rows.push((key, Bytes::from(value), Some(expires)));
        }
    }
    for rows in rows.chunks(ROWS_A_CALL) {
        app.ports.state.put_many(rows.to_vec(), now).await?;
    }
    Ok(())
}

/// Exemplars by series, sorted by series; those of each by time.
pub(crate) type BySeries = Vec<(Labels, Vec<Exemplar>)>;

/// The exemplars of all series that one of the selectors matches, within a range of time. A row that cannot be read is
/// left out, counted and told.
///
/// # Errors
/// When the store does not answer; `Invalid` when there are more than [`model::Limits::query_exemplars_max`].
pub(crate) async fn find(
    app: &App,
    tenant: &TenantId,
    selectors: &[Vec<Matcher>],
    range: TimeRange,
    now: Timestamp,
) -> Result<Readable<BySeries>, AppError> {
    let oldest = range.start.max(now - app.limits.exemplar_retention);
    let newest = range.end.min(now + app.limits.sample_ahead_max);
    let mut found = Found { limit: app.limits.query_exemplars_max, ..Found::default() };
    let mut damaged = Damaged::default();
    if selectors.is_empty() || newest < oldest {
        return Ok(Readable::default());
    }
    for hour in hour_of(oldest)..=hour_of(newest) {
        let mut rows = RowRange::all(partition(tenant, hour));
        loop {
            let page = app.ports.state.range(&rows, now).await?;
            for row in &page.rows {
                let within = |time: Timestamp| time >= oldest && time <= newest;
                let each = |series: LabelsRef<'_>, labels: LabelsRef<'_>, value: f64, time: Timestamp| {
                    if within(time) && selectors.iter().any(|matchers| matches_all(matchers, series)) {
                        found.add(series, labels, value, time);
                    }
                };
                if let Err(error) = read(&row.value, each) {
                    damaged.push(row, &error);
                }
                found.check()?;
            }
            match page.cursor {
                Some(cursor) => rows.cursor = Some(cursor),
                None => break,
            }
        }
    }
    let by_series = found.by_series.into_iter();
    let by_series = by_series.map(|(series, of_series)| (series, of_series.into_values().collect())).collect();
    Ok(damaged.beside(app, tenant, "exemplar", by_series))
}

/// What matched so far.
#[derive(Default)]
struct Found {
    /// Of each series by time, bits of the value, and labels.
    by_series: BTreeMap<Labels, BTreeMap<(Timestamp, u64, Labels), Exemplar>>,
    count: usize,
    limit: usize,
}

impl Found {
    fn add(&mut self, series: LabelsRef<'_>, labels: LabelsRef<'_>, value: f64, timestamp: Timestamp) {
        let labels = labels.to_labels();
        let exemplar = Exemplar { labels: labels.clone(), value, timestamp };
        let of_series = self.by_series.entry(series.to_labels()).or_default();
        self.count += usize::from(of_series.insert((timestamp, value.to_bits(), labels), exemplar).is_none());
    }

    fn check(&self) -> Result<(), AppError> {
        if self.count <= self.limit {
            return Ok(());
        }
        let limit = self.limit;
        Err(AppError::Invalid(format!("more exemplars match than the limit of {limit} (query_exemplars_max)")))
    }
}

fn partition(tenant: &TenantId, hour: i64) -> String {
    format!("e#{tenant}#{hour}")
}

/// The rows of the exemplars of one hour.
fn encode(exemplars: &[&SeriesExemplar]) -> Vec<Vec<u8>> {
    let mut rows = Vec::new();
    let mut rest = exemplars;
    while !rest.is_empty() {
        let (mut content, mut count) = (Vec::new(), 0);
        for SeriesExemplar { series, exemplar } in rest {
            if content.len() >= ROW_BYTES {
                break;
            }
            put_bytes(&mut content, series.as_ref().as_text().as_bytes());
            put_bytes(&mut content, exemplar.labels.as_ref().as_text().as_bytes());
            content.extend_from_slice(&exemplar.value.to_bits().to_le_bytes());
            put_signed(&mut content, exemplar.timestamp.as_millis());
            count += 1;
        }
        let mut row = Vec::new();
        put_varint(&mut row, count as u64);
        row.extend_from_slice(&content);
        rows.push(seal(VERSION, &row));
        rest = &rest[count..];
    }
    rows
}

/// Hands over each exemplar of a row: series, labels, value, time.
fn read(value: &[u8], mut each: impl FnMut(LabelsRef<'_>, LabelsRef<'_>, f64, Timestamp)) -> tsdb::Result<()> {
    let content = unseal(value, VERSION, WHAT)?;
    let mut reader = Reader::new(&content, WHAT);
    let malformed = |_| TsdbError::Malformed { what: WHAT, reason: "labels that are none" };
    for _ in 0..reader.count(11)? {
        let series = LabelsRef::from_text(reader.text()?).map_err(malformed)?;
        let labels = LabelsRef::from_text(reader.text()?).map_err(malformed)?;
        let value = f64::from_bits(u64::from_le_bytes(reader.array()?));
        each(series, labels, value, Timestamp::from_millis(reader.signed()?));
    }
    reader.end()
}

#[cfg(test)]
mod tests;
