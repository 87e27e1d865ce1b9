//! What a tick takes from the log.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use model::{TenantId, Timestamp};

use super::Log;
use crate::catalogue::{Entry, chunk_folder, chunk_key, tenant_key, tenant_value};
use crate::ports::{DamagedEntry, Minute, RowKey, Shard, WalEntry};
use crate::{AppError, Ports, rollup};

/// A minute is closed so long after its end: appends that began in it are in the log by then.
const CLOSES_AFTER: Duration = Duration::from_secs(120);
/// So many minutes lie between the last closed one and the one that has just begun.
const OPEN_MINUTES: i64 = 3;
/// A clock that went back further than this is not waited for: each tick closes a minute, as if it went on.
const CLOCK_BACK_MAX: i64 = 60;
/// Most rows that are stored with one call.
const ROWS_A_CALL: usize = 25;

/// The last minute that is closed by now, going by the clock alone.
pub(crate) fn last_closed(now: Timestamp) -> Minute {
    (now - CLOSES_AFTER).minute() - 1
}

/// The minute that what arrives now is filed under: never one that the tick has closed, even if the clock went back.
pub(crate) fn arrival_minute(now: Timestamp, watermark: Minute) -> Minute {
    now.minute().max(watermark + OPEN_MINUTES)
}

/// The watermark that a tick moves to.
pub(crate) fn next_watermark(now: Timestamp, watermark: Minute) -> Minute {
    if watermark - last_closed(now) > CLOCK_BACK_MAX { watermark + 1 } else { last_closed(now).max(watermark) }
}

/// The samples of one tenant and one hour that arrived in closed minutes, as a block.
#[derive(Clone, Debug)]
pub struct Chunk {
    /// Whose.
    pub tenant: TenantId,
    /// Which hour, see `tsdb::hour`.
    pub hour: i64,
    /// The block.
    pub bytes: Bytes,
}

/// What a tick found in the closed minutes of the log.
#[derive(Clone, Debug)]
pub struct Drained {
    /// The last closed minute: the watermark to commit, once the chunks are stored.
    pub watermark: Minute,
    /// The samples that arrived after the old watermark up to the new one.
    pub chunks: Vec<Chunk>,
    /// How many samples that is, repeats included.
    pub samples: usize,
    /// Entries of these minutes that cannot be decoded.
    pub unreadable: Vec<WalEntry>,
    /// Parts of the log in these minutes that are damaged or lost.
    pub damaged: Vec<DamagedEntry>,
}

/// Cuts the minutes that are closed by now, of what a tick found in the log, into chunks.
///
/// Nothing changes. Later minutes stay in the log: the loader reads them from there.
///
/// # Errors
/// `Bug` when cutting does not end.
pub async fn drain(log: &Log, now: Timestamp) -> Result<Drained, AppError> {
    let watermark = next_watermark(now, log.watermark);
    let closed = |entry: &&WalEntry| entry.minute <= watermark;
    let unreadable = log.unreadable.iter().filter(closed).cloned().collect();
    let damaged = log.damaged.iter().filter(|damaged| damaged.minute <= watermark).cloned().collect();
    let heads = log.heads.clone();
    let cutting = tokio::task::spawn_blocking(move || {
        let samples = heads.values().map(|head| head.count_through(watermark)).sum();
        let chunks = heads.iter().flat_map(|(tenant, head)| {
            let chunk = |(hour, bytes)| Chunk { tenant: tenant.clone(), hour, bytes: Bytes::from(bytes) };
            head.cut_through(watermark).into_iter().map(chunk)
        });
        (chunks.collect(), samples)
    });
    let (chunks, samples) = cutting.await.map_err(|error| AppError::Bug(format!("cutting chunks ended: {error}")))?;
    Ok(Drained { watermark, chunks, samples, unreadable, damaged })
}

impl Drained {
    /// Stores the chunks and names them in the catalogue, to be done before the watermark is committed: the same chunks
    /// again change nothing, and chunks of a tick that never committed only repeat what the log still holds. What cannot
    /// be decoded is set aside as it is, since the log forgets it later.
    ///
    /// # Errors
    /// When a store does not answer: nothing may be committed then.
    pub async fn store(&self, ports: &Ports, shard: Shard, now: Timestamp) -> Result<(), AppError> {
        for entry in &self.unreadable {
            ports.objects.put_new(&unreadable_key(entry), entry.blob.clone()).await?;
        }
        let mut rows: Vec<(RowKey, Bytes, Option<Timestamp>)> = Vec::new();
        // Tenants first: a tenant without data is harmless, data without its tenant would never become blocks.
        for tenant in self.chunks.iter().map(|chunk| &chunk.tenant).collect::<BTreeSet<_>>() {
            if ports.state.get(&tenant_key(tenant), now).await?.is_none() {
                rows.push((tenant_key(tenant), tenant_value(None), None));
            }
        }
        for chunk in &self.chunks {
            let folder = chunk_folder(&chunk.tenant, chunk.hour);
            let entry = Entry::store(ports.objects.as_ref(), &folder, chunk.bytes.clone(), now).await?;
            let key = chunk_key(&chunk.tenant, shard, chunk.hour, entry.hash);
            rows.push((key, Bytes::from(entry.encode()), None));
        }
        for rows in rows.chunks(ROWS_A_CALL) {
            ports.state.put_many(rows.to_vec(), now).await?;
        }
        // After the chunks: a rollup that has not seen them will find this, or fail to overwrite it.
        let late = self.chunks.iter().filter(|chunk| chunk.hour < rollup::first_recent_hour(now));
        let late: BTreeSet<&TenantId> = late.map(|chunk| &chunk.tenant).collect();
        let rows: Vec<_> = late.into_iter().map(|tenant| (tenant_key(tenant), tenant_value(None), None)).collect();
        for rows in rows.chunks(ROWS_A_CALL) {
            ports.state.put_many(rows.to_vec(), now).await?;
        }
        Ok(())
    }
}

/// Where an entry of the log is set aside that could not be read.
fn unreadable_key(entry: &WalEntry) -> String {
    format!("unreadable/tenant={}/{}/{:032x}", entry.tenant, entry.minute, entry.hash)
}
