//! The log since the watermark: read and decoded as seldom as its promises allow.
//!
//! - An entry is decoded once, however often it is read.
//! - A minute in which nothing can arrive any more is not read again ([`SETTLES_AFTER`]).
//! - When the watermark moves on, the samples that are in chunks now are forgotten, and the others stay.
//!
//! A tick reads the minutes it closes anyway, all of them and after they were closed, and gives the same read to the
//! rules ([`Loader::log`]).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, MutexGuard};
use std::time::Duration;

use model::{TenantId, Timestamp};
use tsdb::Head;
use tsdb::wal::Layouts;

use super::Loader;
use crate::AppError;
use crate::ports::{DamagedEntry, Minute, Shard, WalEntry, WalRead};

/// A clock ahead of ours may have stamped entries a minute later.
const MINUTES_AHEAD: i64 = 2;
/// So long after its end nothing is written into a minute any more: what a run of a minute collects is filed under that
/// minute up to a minute after its start, an append may take 20 s, the rest is for clocks that differ. Should one differ
/// by more, its samples are seen once the tick has taken them.
const SETTLES_AFTER: Duration = Duration::from_secs(90);
/// A clock that goes back by more than this makes settled minutes uncertain.
const CLOCK_BACK_MAX: Duration = Duration::from_secs(30);

/// Everything after a watermark that was decoded so far. Decoded batches are not kept: each would hold its labels again.
#[derive(Clone, Debug)]
pub(super) struct TailState {
    shard: Shard,
    watermark: Minute,
    /// The minutes up to this one need not be read again.
    settled: Minute,
    /// The latest time of a read.
    read_at: Timestamp,
    /// The entries that were decoded, by minute.
    known: BTreeMap<Minute, BTreeSet<(TenantId, u128)>>,
    /// The places that were told to be unreadable, by minute.
    reported: BTreeMap<Minute, BTreeSet<String>>,
    heads: BTreeMap<TenantId, Arc<Head>>,
}

/// What a tick found in the log after a watermark.
#[derive(Clone, Debug)]
pub struct Log {
    /// The watermark.
    pub(super) watermark: Minute,
    /// The samples of each tenant that has any.
    pub(super) heads: BTreeMap<TenantId, Arc<Head>>,
    /// Entries that cannot be decoded.
    pub(super) unreadable: Vec<WalEntry>,
    /// Parts of the log that are damaged or lost.
    pub(super) damaged: Vec<DamagedEntry>,
}

/// What a read of the log brought.
#[derive(Debug)]
struct Arrived {
    /// Entries that are new to the reader.
    entries: Vec<WalEntry>,
    /// The layouts they name.
    layouts: Layouts,
    /// What cannot be read.
    damaged: Vec<DamagedEntry>,
}

impl Log {
    /// A tenant's samples.
    pub(super) fn head(&self, tenant: &TenantId) -> Arc<Head> {
        self.heads.get(tenant).map_or_else(|| Arc::new(Head::new()), Arc::clone)
    }
}

impl TailState {
    fn new(shard: Shard, watermark: Minute) -> Self {
        Self {
            shard,
            watermark,
            settled: watermark,
            read_at: Timestamp::MIN,
            known: BTreeMap::new(),
            reported: BTreeMap::new(),
            heads: BTreeMap::new(),
        }
    }

    /// Forgets what is in chunks according to a newer watermark.
    fn advance(&mut self, watermark: Minute) {
        if watermark <= self.watermark {
            return;
        }
        self.watermark = watermark;
        self.settled = self.settled.max(watermark);
        self.known = self.known.split_off(&(watermark + 1));
        self.reported = self.reported.split_off(&(watermark + 1));
        self.heads.retain(|_, head| {
            Arc::make_mut(head).forget_through(watermark);
            head.series_count() > 0
        });
    }

    /// Leaves out entries that were decoded before.
    fn unknown(&self, mut entries: Vec<WalEntry>) -> Vec<WalEntry> {
        let is_known = |entry: &WalEntry| {
            let known = self.known.get(&entry.minute);
            known.is_some_and(|known| known.contains(&(entry.tenant.clone(), entry.hash)))
        };
        entries.retain(|entry| entry.minute > self.watermark && !is_known(entry));
        entries
    }

    /// Takes what is new in the minutes from `first` on, as they were read at a time. Gives back what cannot be decoded.
    fn take(&mut self, first: Minute, arrived: Arrived, now: Timestamp) -> Vec<WalEntry> {
        let mut unreadable = Vec::new();
        for damaged in arrived.damaged {
            self.report(damaged);
        }
        let mut touched = BTreeSet::new();
        for entry in self.unknown(arrived.entries) {
            match tsdb::wal::decode_with(&entry.blob, &arrived.layouts) {
                Ok(batch) => {
                    self.known.entry(entry.minute).or_default().insert((entry.tenant.clone(), entry.hash));
                    let head = self.heads.entry(entry.tenant.clone()).or_default();
                    Arc::make_mut(head).append_arrived(&batch, entry.minute);
                    touched.insert(entry.tenant);
                }
                Err(error) => {
                    self.report(undecoded(&entry, &error));
                    unreadable.push(entry);
                }
            }
        }
        for (_, head) in self.heads.iter_mut().filter(|(tenant, _)| touched.contains(*tenant)) {
            Arc::make_mut(head).sort();
        }
        if first <= self.settled + 1 {
            self.settled = self.settled.max((now - SETTLES_AFTER).minute() - 1);
        }
        self.read_at = self.read_at.max(now);
        unreadable
    }

    /// Tells of what cannot be read, once: it is left out, since it must not stop the rest.
    fn report(&mut self, damaged: DamagedEntry) {
        let reported = self.reported.entry(damaged.minute).or_default();
        if !reported.contains(&damaged.place) {
            tell(&damaged);
            reported.insert(damaged.place);
        }
    }

    /// The first minute that a reader has to look at.
    fn first_unsettled(&mut self, now: Timestamp) -> Minute {
        if now + CLOCK_BACK_MAX < self.read_at {
            self.settled = self.watermark;
            self.read_at = now;
        }
        self.settled + 1
    }
}

/// An entry that cannot be decoded, as a part of the log that cannot be read.
pub(super) fn undecoded(entry: &WalEntry, error: &tsdb::TsdbError) -> DamagedEntry {
    let place = format!("{}/{:032x}", entry.tenant, entry.hash);
    DamagedEntry { minute: entry.minute, place, reason: error.to_string() }
}

/// Names in the log of the process what cannot be read in the log of samples.
pub(super) fn tell(DamagedEntry { minute, place, reason }: &DamagedEntry) {
    tracing::error!(minute, place, reason, "a part of the log cannot be read");
}

impl Loader {
    /// A tenant's samples in the log after a watermark, or after a newer one that another reader has seen already: the
    /// catalogue is read later, and has what is missing then.
    pub(super) async fn tail(
        &self,
        shard: Shard,
        tenant: &TenantId,
        watermark: Minute,
        now: Timestamp,
    ) -> Result<Arc<Head>, AppError> {
        let look = |state: &mut TailState| (state.first_unsettled(now), state.watermark);
        let (first, newest) = self.with_state(shard, watermark, look);
        let new = self.read_minutes(shard, first, newest, now).await?;
        Ok(self.with_state(shard, watermark, |state| {
            state.take(first, new, now);
            state.heads.get(tenant).map_or_else(|| Arc::new(Head::new()), Arc::clone)
        }))
    }

    /// The log after a watermark, all of it read now.
    ///
    /// # Errors
    /// As [`crate::ports::Wal::read`].
    pub async fn log(&self, shard: Shard, watermark: Minute, now: Timestamp) -> Result<Log, AppError> {
        let new = self.read_minutes(shard, watermark + 1, watermark, now).await?;
        Ok(self.with_state(shard, watermark, |state| {
            // A tick that another one overtook takes the same minutes again; its commit will fail.
            let mut overtaken = TailState::new(shard, watermark);
            let state = if state.watermark > watermark { &mut overtaken } else { state };
            let damaged = new.damaged.clone();
            let unreadable = state.take(watermark + 1, new, now);
            Log { watermark, heads: state.heads.clone(), unreadable, damaged }
        }))
    }

    /// Reads the minutes from `first` on: entries that are new, or were taken by an overtaken tick, the layouts they
    /// name, and what is damaged.
    async fn read_minutes(
        &self,
        shard: Shard,
        first: Minute,
        watermark: Minute,
        now: Timestamp,
    ) -> Result<Arrived, AppError> {
        let end = super::arrival_minute(now, watermark) + MINUTES_AHEAD;
        let WalRead { entries, damaged } = self.ports.wal.read(shard, first..end).await?;
        // A newer watermark that another reader has seen hides nothing from a tick that it overtook.
        let entries = match self.state().as_ref() {
            Some(state) if state.shard == shard && state.watermark <= watermark => state.unknown(entries),
            _ => entries,
        };
        let layouts = self.layouts.of(&entries, now).await?;
        Ok(Arrived { entries, layouts, damaged })
    }

    /// Shows what is known of a shard's log, after this watermark or a newer one.
    fn with_state<T>(&self, shard: Shard, watermark: Minute, show: impl FnOnce(&mut TailState) -> T) -> T {
        let mut slot = self.state();
        let state = slot.get_or_insert_with(|| TailState::new(shard, watermark));
        if state.shard != shard {
            *state = TailState::new(shard, watermark);
        }
        state.advance(watermark);
        show(state)
    }

    fn state(&self) -> MutexGuard<'_, Option<TailState>> {
        self.tail.lock().expect("nothing panics while it holds the lock")
    }
}
