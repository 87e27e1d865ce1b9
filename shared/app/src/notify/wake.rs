//! Timers of less than a minute ahead: whoever writes one lets the reader of the topic come when it is due.
//!
//! A host without a process of its own looks at timers once a minute. What is due before that would wait, so the flows
//! write their rows through [`Noting`] and ask the topic for a look at the moments of the timers that they wrote. That
//! is a shortcut and nothing else: a look that is lost is made up for by the minute's, one too many finds nothing due.
//! Looks do not breed: only a timer that was written asks for one.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::future::join_all;
use model::Timestamp;

use super::rows::{self, Timer};
use crate::ports::{
    Change, PortResult, Row, RowKey, RowPage, RowRange, RowWrite, Shard, StateStore, Topic, WAKE_AHEAD_MAX,
};

/// Most looks that one run asks for; what is due at further moments waits for the minute's.
const LOOKS_MAX: usize = 10;

/// A state store that notes the timers which are written.
#[derive(Debug)]
pub(super) struct Noting<'a> {
    inner: &'a dyn StateStore,
    /// When they are due.
    due: Mutex<BTreeSet<Timestamp>>,
}

impl<'a> Noting<'a> {
    pub(super) const fn over(inner: &'a dyn StateStore) -> Self {
        Self { inner, due: Mutex::new(BTreeSet::new()) }
    }

    /// Asks for a look at each second of the next minute, from a moment on, in which a timer is due.
    pub(super) async fn wake(&self, topic: &dyn Topic, from: Timestamp, now: Timestamp) {
        let mut seconds: BTreeSet<Timestamp> = BTreeSet::new();
        for due in self.due.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            if *due >= from && *due < now + WAKE_AHEAD_MAX {
                seconds.insert((*due + Duration::from_millis(999)).align_down(Duration::from_secs(1)));
            }
        }
        let looks = seconds.into_iter().take(LOOKS_MAX).map(|at| topic.wake(at, now));
        for error in join_all(looks).await.into_iter().filter_map(Result::err) {
            tracing::info!(%error, "a timer waits for the look of the next minute");
        }
    }
}

/// When the timers are due that a write stores.
fn due(writes: &[RowWrite]) -> Vec<Timestamp> {
    let partition = rows::timer_partition(Shard::default());
    let is_timer = |write: &&RowWrite| write.key.partition == partition && matches!(write.change, Change::Put { .. });
    writes.iter().filter(is_timer).filter_map(|write| Timer::read(&write.key.sort)).map(|timer| timer.due_at).collect()
}

#[async_trait]
impl StateStore for Noting<'_> {
    async fn get(&self, key: &RowKey, now: Timestamp) -> PortResult<Option<Row>> {
        self.inner.get(key, now).await
    }

    async fn range(&self, range: &RowRange, now: Timestamp) -> PortResult<RowPage> {
        self.inner.range(range, now).await
    }

    async fn write(&self, writes: Vec<RowWrite>, now: Timestamp) -> PortResult<Vec<u64>> {
        let due = due(&writes);
        let versions = self.inner.write(writes, now).await?;
        self.due.lock().unwrap_or_else(PoisonError::into_inner).extend(due);
        Ok(versions)
    }

    async fn put_many(&self, puts: Vec<(RowKey, Bytes, Option<Timestamp>)>, now: Timestamp) -> PortResult<()> {
        self.inner.put_many(puts, now).await
    }
}
