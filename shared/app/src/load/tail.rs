//! The log since the watermark, decoded once a watermark.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use model::{Batch, TenantId, Timestamp};
use tsdb::Head;

use super::Loader;
use crate::AppError;
use crate::ports::{Minute, Shard, WalEntry};

/// A clock ahead of ours may have stamped entries a minute later.
const MINUTES_AHEAD: i64 = 2;

/// One entry of the log: minute, tenant, hash.
type EntryKey = (Minute, TenantId, u128);

/// Everything after a watermark that was decoded so far. Decoded batches are not kept: each would hold its labels again.
#[derive(Clone, Debug, Default)]
pub(super) struct TailState {
    shard: Shard,
    watermark: Option<Minute>,
    known: BTreeSet<EntryKey>,
    heads: BTreeMap<TenantId, Arc<Head>>,
}

impl TailState {
    /// A tenant's samples.
    pub(super) fn head(&self, tenant: &TenantId) -> Arc<Head> {
        self.heads.get(tenant).map_or_else(|| Arc::new(Head::new()), Arc::clone)
    }

    /// Brings the state to what the log holds after a watermark: `entries` are all of it.
    fn refresh(&mut self, shard: Shard, watermark: Minute, entries: Vec<WalEntry>) {
        if self.shard != shard || self.watermark != Some(watermark) {
            *self = Self { shard, watermark: Some(watermark), ..Self::default() };
        }
        for entry in entries {
            let key = (entry.minute, entry.tenant.clone(), entry.hash);
            if self.known.insert(key) {
                append(&mut self.heads, &entry.tenant, &decode_entry(&entry));
            }
        }
    }
}

fn append(heads: &mut BTreeMap<TenantId, Arc<Head>>, tenant: &TenantId, batch: &Batch) {
    Arc::make_mut(heads.entry(tenant.clone()).or_default()).append(batch);
}

/// Decodes an entry. One that cannot be read is left out: its bytes will not get better, and must not stop the rest.
pub(super) fn decode_entry(entry: &WalEntry) -> Batch {
    tsdb::wal::decode(&entry.blob).unwrap_or_else(|error| {
        let (tenant, minute, hash) = (&entry.tenant, entry.minute, entry.hash);
        tracing::error!(%tenant, minute, hash = format!("{hash:032x}"), %error, "entry of the log cannot be read");
        Batch::new()
    })
}

impl Loader {
    /// Shows the log after a watermark.
    pub(super) async fn with_tail<T>(
        &self,
        shard: Shard,
        watermark: Minute,
        now: Timestamp,
        show: impl FnOnce(&TailState) -> T,
    ) -> Result<T, AppError> {
        let minutes = watermark + 1..super::arrival_minute(now, watermark) + MINUTES_AHEAD;
        let entries = self.ports.wal.read(shard, minutes).await?;
        let mut state = self.tail.lock().expect("nothing panics while it holds the lock");
        if state.watermark.is_some_and(|known| known > watermark) {
            // Somebody read a newer tick row meanwhile: theirs stays.
            let mut own = TailState::default();
            own.refresh(shard, watermark, entries);
            return Ok(show(&own));
        }
        state.refresh(shard, watermark, entries);
        Ok(show(&state))
    }
}
