//! Layouts as rows: the label sets that the blobs of the log name instead of repeating them ([`tsdb::wal::Layout`]).
//!
//! | rows | partition | sort |
//! |---|---|---|
//! | a layout | `o#tenant#day` | its hash; the day is that of the minute under which the blob is filed |
//!
//! Invariants:
//! - A layout is stored before a blob that names it is appended; whatever goes wrong with layouts, the blob stands alone.
//! - It lives a day longer than any entry of the log of its day, and blobs name layouts of their own day only.
//! - Rows are named by what they hold: writing one again, or by two processes at once, changes nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;
use futures::future::try_join_all;
use hashbrown::HashSet;
use model::{Batch, ErrorKind, Labels, SeriesId, TenantId, Timestamp};
use tokio::time::timeout;
use tsdb::wal::{self, Dictionary, Layout, Layouts};

use crate::load::Cache;
use crate::ports::{Minute, PortError, PortResult, Row, RowKey, RowRange, StateStore, WalEntry, range_all};
use crate::tick_row::WAL_RETENTION;

/// Requests with fewer series are as cheap with their labels in them.
const REQUEST_SERIES_MIN: usize = 32;
/// So many unknown series in a request are worth layouts at once.
const NEW_SERIES_MIN: usize = 64;
/// So many that came in small numbers, with several requests, are too.
const WAITING_SERIES_MIN: usize = 256;
/// About how much memory a series takes in a dictionary.
const DICTIONARY_SERIES_BYTES: usize = 48;
/// More layouts than this are read with the whole partition.
const SINGLE_READS_MAX: usize = 8;
/// Most rows that are stored with one call.
const ROWS_A_CALL: usize = 25;
/// How long a request waits for layouts: most of the time that an append has is left then.
const LEARN_TIMEOUT: Duration = Duration::from_secs(5);
const DAY_MINUTES: i64 = 24 * 60;
const DAY: Duration = Duration::from_secs(24 * 3600);

/// Encodes requests, and stores the layouts that this makes worth while.
#[derive(Debug)]
pub struct LayoutWriter {
    state: Arc<dyn StateStore>,
    series_max: usize,
    known: Mutex<KnownByDay>,
}

/// By tenant and day.
type KnownByDay = BTreeMap<(TenantId, i64), Arc<RwLock<Known>>>;

/// What a process knows of the layouts of a tenant and day.
#[derive(Debug, Default)]
struct Known {
    dictionary: Dictionary,
    /// When the rows of others were read last.
    read_in: Option<Minute>,
    /// When rows could not be read or stored.
    failed_in: Option<Minute>,
    /// Series that are in no layout and came in small numbers.
    waiting: Vec<Labels>,
    waiting_ids: HashSet<SeriesId>,
}

impl LayoutWriter {
    /// A writer that keeps about so many bytes of what it knows.
    pub fn new(state: Arc<dyn StateStore>, memory_bytes: usize) -> Self {
        Self { state, series_max: memory_bytes / DICTIONARY_SERIES_BYTES, known: Mutex::default() }
    }

    /// The blob of a request that will be filed under a minute, and the layouts it names are stored. When they cannot be
    /// read or stored it names none.
    pub async fn encode(&self, tenant: &TenantId, minute: Minute, batch: &Batch, now: Timestamp) -> Vec<u8> {
        if batch.series_count() < REQUEST_SERIES_MIN {
            return wal::encode(batch);
        }
        let day = minute.div_euclid(DAY_MINUTES);
        let known = self.known(tenant, day);
        let is_worth_it = is_worth_learning(&mut write(&known), batch, self.series_max, now.minute());
        if is_worth_it {
            let learned = timeout(LEARN_TIMEOUT, self.learn(tenant, day, &known, batch, now)).await;
            let late = |_| Err(PortError::new(ErrorKind::Unavailable, "layout write", "no answer within 5 s"));
            if let Err(error) = learned.unwrap_or_else(late) {
                tracing::warn!(%tenant, %error, "requests of this minute are logged with all their labels");
                write(&known).failed_in = Some(now.minute());
            }
        }
        wal::encode_with(batch, &read(&known).dictionary)
    }

    /// What is known of a tenant and day; days before yesterday are forgotten.
    fn known(&self, tenant: &TenantId, day: i64) -> Arc<RwLock<Known>> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if !known.contains_key(&(tenant.clone(), day)) {
            known.retain(|(_, other), _| *other + 1 >= day);
        }
        Arc::clone(known.entry((tenant.clone(), day)).or_default())
    }

    /// Stores layouts of all series that are in none, unless another process has stored them already.
    async fn learn(
        &self,
        tenant: &TenantId,
        day: i64,
        known: &RwLock<Known>,
        batch: &Batch,
        now: Timestamp,
    ) -> PortResult<()> {
        if read(known).read_in != Some(now.minute()) {
            let rows = range_all(self.state.as_ref(), RowRange::all(partition(tenant, day)), now).await?;
            let mut known = write(known);
            known.read_in = Some(now.minute());
            for row in rows {
                known.dictionary.insert(&decode(&row.value)?);
            }
        }
        let layouts = new_layouts(&mut write(known), batch);
        let rows = layouts.iter().map(|layout| {
            let key = RowKey::new(partition(tenant, day), sort(layout.hash()));
            (key, Bytes::from(layout.encode()), Some(expires(day)))
        });
        let rows: Vec<_> = rows.collect();
        for rows in rows.chunks(ROWS_A_CALL) {
            self.state.put_many(rows.to_vec(), now).await?;
        }
        // From here on blobs may name them.
        let mut known = write(known);
        layouts.iter().for_each(|layout| known.dictionary.insert(layout));
        Ok(())
    }
}

/// Whether so much is unknown that layouts should be read and stored; unknown series of small numbers are remembered.
fn is_worth_learning(known: &mut Known, batch: &Batch, series_max: usize, minute: Minute) -> bool {
    if known.dictionary.series_count() >= series_max || known.failed_in == Some(minute) {
        return false;
    }
    let unknown = |labels: &model::LabelsRef<'_>| !known.dictionary.contains(labels.id());
    let unknown: Vec<_> = batch.iter().map(|series| series.labels).filter(unknown).collect();
    if unknown.len() >= NEW_SERIES_MIN {
        return true;
    }
    for labels in unknown {
        if known.waiting_ids.insert(labels.id()) {
            known.waiting.push(labels.to_labels());
        }
    }
    known.waiting.len() >= WAITING_SERIES_MIN
}

/// Layouts of the series of a request, and of those that wait, that are in none.
fn new_layouts(known: &mut Known, batch: &Batch) -> Vec<Layout> {
    let waiting = std::mem::take(&mut known.waiting);
    known.waiting_ids.clear();
    let mut seen = HashSet::new();
    let sets = batch.iter().map(|series| series.labels).chain(waiting.iter().map(Labels::as_ref));
    let new = sets.filter(|labels| !known.dictionary.contains(labels.id()) && seen.insert(labels.id()));
    Layout::cut(new)
}

fn read(known: &RwLock<Known>) -> std::sync::RwLockReadGuard<'_, Known> {
    known.read().unwrap_or_else(PoisonError::into_inner)
}

fn write(known: &RwLock<Known>) -> std::sync::RwLockWriteGuard<'_, Known> {
    known.write().unwrap_or_else(PoisonError::into_inner)
}

/// Fetches layouts for readers of the log, each at most once while there is room for it.
#[derive(Debug)]
pub(crate) struct LayoutReader {
    state: Arc<dyn StateStore>,
    known: Mutex<Cache<u128, Arc<Layout>>>,
}

impl LayoutReader {
    /// A reader that keeps about so many bytes of layouts.
    pub(crate) fn new(state: Arc<dyn StateStore>, memory_bytes: usize) -> Self {
        Self { state, known: Mutex::new(Cache::new(memory_bytes)) }
    }

    /// The layouts that some entries name; one that is not there or cannot be read is left out.
    ///
    /// # Errors
    /// As [`StateStore::range`].
    pub(crate) async fn of(&self, entries: &[WalEntry], now: Timestamp) -> PortResult<Layouts> {
        let mut found = Layouts::new();
        let mut missing: BTreeMap<(TenantId, i64), BTreeSet<u128>> = BTreeMap::new();
        for entry in entries {
            // What cannot be read names nothing; the decoder says why.
            for hash in wal::layouts(&entry.blob).unwrap_or_default() {
                let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(&hash);
                if let Some(layout) = known {
                    found.insert(hash, layout);
                } else if !found.contains_key(&hash) {
                    let place = (entry.tenant.clone(), entry.minute.div_euclid(DAY_MINUTES));
                    missing.entry(place).or_default().insert(hash);
                }
            }
        }
        for ((tenant, day), hashes) in missing {
            for layout in self.fetch(&tenant, day, &hashes, now).await? {
                let (hash, bytes, layout) = (layout.hash(), layout.memory_bytes(), Arc::new(layout));
                found.insert(hash, Arc::clone(&layout));
                self.known.lock().unwrap_or_else(PoisonError::into_inner).insert(hash, layout, bytes);
            }
        }
        Ok(found)
    }

    async fn fetch(
        &self,
        tenant: &TenantId,
        day: i64,
        hashes: &BTreeSet<u128>,
        now: Timestamp,
    ) -> PortResult<Vec<Layout>> {
        let partition = partition(tenant, day);
        let rows = if hashes.len() > SINGLE_READS_MAX {
            range_all(self.state.as_ref(), RowRange::all(partition), now).await?
        } else {
            let keys: Vec<RowKey> = hashes.iter().map(|hash| RowKey::new(&partition, sort(*hash))).collect();
            let gets = keys.iter().map(|key| self.state.get(key, now));
            try_join_all(gets).await?.into_iter().flatten().collect()
        };
        let readable = |row: &Row| decode(&row.value).inspect_err(|error| tracing::error!(%tenant, %error)).ok();
        Ok(rows.iter().filter_map(readable).collect())
    }
}

fn decode(value: &Bytes) -> PortResult<Layout> {
    Layout::decode(value).map_err(|error| PortError::new(error.kind(), "layout read", error))
}

fn partition(tenant: &TenantId, day: i64) -> String {
    format!("o#{tenant}#{day}")
}

fn sort(hash: u128) -> String {
    format!("{hash:032x}")
}

/// When the layouts of a day go: a day after the last entry of the log that may name them.
fn expires(day: i64) -> Timestamp {
    let end_secs = day.saturating_add(1).saturating_mul(DAY_MINUTES * 60);
    Timestamp::from_secs(end_secs) + WAL_RETENTION + DAY
}

#[cfg(test)]
mod tests;
