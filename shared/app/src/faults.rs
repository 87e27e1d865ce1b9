//! Ports that fail on purpose: a wrapper around any adapter that follows a [`FaultPlan`].
//!
//! What happens to a call depends only on the plan, the operation and how often that operation was called before, so a
//! failing test is repeated by its seed.

use std::collections::BTreeMap;
use std::future::Future;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use model::{ErrorKind, TenantId, Timestamp};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::ports::{
    ByteRange, Delivery, Message, Messenger, Minute, ObjectPage, ObjectStore, PortError, PortResult, Receipt, Row,
    RowKey, RowPage, RowRange, RowWrite, Secret, Shard, StateStore, Topic, Wal, WalRead,
};

/// What goes wrong with one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The call fails and nothing happened.
    ErrorBefore(ErrorKind),
    /// The call takes effect, but the caller is told that it failed.
    ErrorAfter(ErrorKind),
    /// Other tasks run first, so many times.
    Delay(u32),
    /// The call takes effect twice; the caller hears of the first.
    Duplicate,
    /// The answer is lost and the call made again: the caller hears of the second, which may be a conflict with the
    /// first.
    Retried,
}

/// How often, in a thousand calls, each fault comes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FaultRates {
    /// [`Fault::ErrorBefore`] with `Unavailable`.
    pub error_before_per_mille: u16,
    /// [`Fault::ErrorAfter`] with `Unavailable`.
    pub error_after_per_mille: u16,
    /// [`Fault::Delay`] of 1 to 8 turns.
    pub delay_per_mille: u16,
    /// [`Fault::Duplicate`].
    pub duplicate_per_mille: u16,
    /// [`Fault::Retried`].
    pub retried_per_mille: u16,
}

impl FaultRates {
    /// Every fault in so many of a thousand calls.
    pub const fn each(per_mille: u16) -> Self {
        Self {
            error_before_per_mille: per_mille,
            error_after_per_mille: per_mille,
            delay_per_mille: per_mille,
            duplicate_per_mille: per_mille,
            retried_per_mille: per_mille,
        }
    }

    /// The fault of a number that is spread evenly over all 64-bit numbers.
    fn pick(&self, random: u64) -> Option<Fault> {
        let turns = 1 + u32::try_from((random >> 32) % 8).expect("less than 8");
        let faults = [
            (self.error_before_per_mille, Fault::ErrorBefore(ErrorKind::Unavailable)),
            (self.error_after_per_mille, Fault::ErrorAfter(ErrorKind::Unavailable)),
            (self.delay_per_mille, Fault::Delay(turns)),
            (self.duplicate_per_mille, Fault::Duplicate),
            (self.retried_per_mille, Fault::Retried),
        ];
        let mut place = random % 1000;
        for (per_mille, fault) in faults {
            match place.checked_sub(u64::from(per_mille)) {
                Some(rest) => place = rest,
                None => return Some(fault),
            }
        }
        None
    }
}

/// A fault that came to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InjectedFault {
    /// The operation, as errors name it: `wal append`, `state write`.
    pub operation: &'static str,
    /// Which call of the operation, counted from 0.
    pub call: u64,
    /// What happened to it.
    pub fault: Fault,
}

/// Says what goes wrong, and remembers what did. Shared by the wrappers of several ports.
#[derive(Debug)]
pub struct FaultPlan {
    source: Source,
    progress: Mutex<Progress>,
}

#[derive(Debug)]
enum Source {
    Script(Vec<InjectedFault>),
    Seed { seed: u64, rates: FaultRates },
}

#[derive(Debug, Default)]
struct Progress {
    calls: BTreeMap<&'static str, u64>,
    injected: Vec<InjectedFault>,
    stopped: bool,
}

impl FaultPlan {
    /// Nothing goes wrong; calls are counted.
    pub fn none() -> Arc<Self> {
        Self::script([])
    }

    /// These faults come, each to the named call of its operation, and no others.
    pub fn script(faults: impl IntoIterator<Item = (&'static str, u64, Fault)>) -> Arc<Self> {
        let faults = faults.into_iter().map(|(operation, call, fault)| InjectedFault { operation, call, fault });
        Self::new(Source::Script(faults.collect()))
    }

    /// Faults come at these rates; the same seed brings the same faults to the same calls.
    pub fn seeded(seed: u64, rates: FaultRates) -> Arc<Self> {
        Self::new(Source::Seed { seed, rates })
    }

    /// From now on nothing goes wrong, so that a test can see whether all heals.
    pub fn stop(&self) {
        self.progress().stopped = true;
    }

    /// How often an operation was called.
    pub fn calls(&self, operation: &str) -> u64 {
        self.progress().calls.get(operation).copied().unwrap_or(0)
    }

    /// The faults that came so far, the first first.
    pub fn injected(&self) -> Vec<InjectedFault> {
        self.progress().injected.clone()
    }

    fn new(source: Source) -> Arc<Self> {
        Arc::new(Self { source, progress: Mutex::default() })
    }

    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().expect("nothing panics while it holds the lock")
    }

    /// Counts a call and says what goes wrong with it.
    fn next(&self, operation: &'static str) -> Option<Fault> {
        let mut progress = self.progress();
        let count = progress.calls.entry(operation).or_default();
        let call = *count;
        *count += 1;
        if progress.stopped {
            return None;
        }
        let fault = match &self.source {
            Source::Script(faults) => {
                faults.iter().find(|known| (known.operation, known.call) == (operation, call)).map(|known| known.fault)
            }
            Source::Seed { seed, rates } => {
                rates.pick(xxh3_64_with_seed(format!("{operation}#{call}").as_bytes(), *seed))
            }
        }?;
        progress.injected.push(InjectedFault { operation, call, fault });
        Some(fault)
    }

    /// Makes a call, with what goes wrong with it.
    async fn call<T, F>(&self, operation: &'static str, mut call: impl FnMut() -> F + Send) -> PortResult<T>
    where
        T: Send,
        F: Future<Output = PortResult<T>> + Send,
    {
        let failure = |kind, when| Err(PortError::new(kind, operation, format!("injected {when} the call")));
        match self.next(operation) {
            None => call().await,
            Some(Fault::ErrorBefore(kind)) => failure(kind, "before"),
            Some(Fault::ErrorAfter(kind)) => {
                call().await?;
                failure(kind, "after")
            }
            Some(Fault::Delay(turns)) => {
                for _ in 0..turns {
                    tokio::task::yield_now().await;
                }
                call().await
            }
            Some(Fault::Duplicate) => {
                let first = call().await;
                drop(call().await);
                first
            }
            Some(Fault::Retried) => {
                drop(call().await);
                call().await
            }
        }
    }
}

/// A port whose calls go wrong as a plan says: `Faulty<MemoryWal>` is a `Wal`, and so on for all five.
#[derive(Debug)]
pub struct Faulty<P: ?Sized> {
    plan: Arc<FaultPlan>,
    inner: Arc<P>,
}

impl<P: ?Sized> Faulty<P> {
    /// Wraps an adapter.
    pub fn new(inner: Arc<P>, plan: Arc<FaultPlan>) -> Self {
        Self { plan, inner }
    }
}

#[async_trait]
impl<P: Wal + ?Sized> Wal for Faulty<P> {
    async fn append(&self, shard: Shard, minute: Minute, tenant: &TenantId, blob: Bytes) -> PortResult<()> {
        self.plan.call("wal append", || self.inner.append(shard, minute, tenant, blob.clone())).await
    }

    async fn read(&self, shard: Shard, minutes: Range<Minute>) -> PortResult<WalRead> {
        self.plan.call("wal read", || self.inner.read(shard, minutes.clone())).await
    }

    async fn minutes(&self, shard: Shard, range: Range<Minute>) -> PortResult<Vec<Minute>> {
        self.plan.call("wal minutes", || self.inner.minutes(shard, range.clone())).await
    }

    async fn forget_before(&self, shard: Shard, minute: Minute) -> PortResult<()> {
        self.plan.call("wal forget", || self.inner.forget_before(shard, minute)).await
    }

    fn size_bytes(&self) -> Option<u64> {
        self.inner.size_bytes()
    }
}

#[async_trait]
impl<P: ObjectStore + ?Sized> ObjectStore for Faulty<P> {
    async fn put_new(&self, key: &str, bytes: Bytes) -> PortResult<()> {
        self.plan.call("object put", || self.inner.put_new(key, bytes.clone())).await
    }

    async fn get(&self, key: &str, range: ByteRange) -> PortResult<Bytes> {
        self.plan.call("object get", || self.inner.get(key, range)).await
    }

    async fn list(&self, prefix: &str, cursor: Option<&str>) -> PortResult<ObjectPage> {
        self.plan.call("object list", || self.inner.list(prefix, cursor)).await
    }

    async fn delete(&self, key: &str) -> PortResult<()> {
        self.plan.call("object delete", || self.inner.delete(key)).await
    }

    async fn link(&self, key: &str, lifetime: Duration) -> PortResult<Option<String>> {
        self.plan.call("object link", || self.inner.link(key, lifetime)).await
    }
}

#[async_trait]
impl<P: StateStore + ?Sized> StateStore for Faulty<P> {
    async fn get(&self, key: &RowKey, now: Timestamp) -> PortResult<Option<Row>> {
        self.plan.call("state get", || self.inner.get(key, now)).await
    }

    async fn range(&self, range: &RowRange, now: Timestamp) -> PortResult<RowPage> {
        self.plan.call("state range", || self.inner.range(range, now)).await
    }

    async fn write(&self, rows: Vec<RowWrite>, now: Timestamp) -> PortResult<Vec<u64>> {
        self.plan.call("state write", || self.inner.write(rows.clone(), now)).await
    }

    async fn put_many(&self, rows: Vec<(RowKey, Bytes, Option<Timestamp>)>, now: Timestamp) -> PortResult<()> {
        self.plan.call("state put", || self.inner.put_many(rows.clone(), now)).await
    }
}

#[async_trait]
impl<P: Topic + ?Sized> Topic for Faulty<P> {
    async fn publish(&self, messages: Vec<Message>) -> PortResult<()> {
        self.plan.call("topic publish", || self.inner.publish(messages.clone())).await
    }

    async fn wake(&self, at: Timestamp, now: Timestamp) -> PortResult<()> {
        self.plan.call("topic wake", || self.inner.wake(at, now)).await
    }
}

#[async_trait]
impl<P: Messenger + ?Sized> Messenger for Faulty<P> {
    async fn deliver(&self, delivery: &Delivery) -> PortResult<Receipt> {
        self.plan.call("messenger deliver", || self.inner.deliver(delivery)).await
    }

    fn reaches_people(&self) -> bool {
        self.inner.reaches_people()
    }

    async fn reveal(&self, secret: &Secret) -> PortResult<String> {
        self.plan.call("messenger reveal", || self.inner.reveal(secret)).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::{MemoryStateStore, MemoryTopic};
    use crate::ports::Expect;
    use futures::FutureExt as _;

    /// Runs a call that never has to wait for a clock or a socket.
    fn now_or_never<T>(call: impl Future<Output = T>) -> T {
        call.now_or_never().expect("memory answers at once")
    }

    fn publish(fault: Fault) -> (PortResult<()>, usize) {
        let topic = Arc::new(MemoryTopic::default());
        let plan = FaultPlan::script([("topic publish", 0, fault)]);
        let faulty = Faulty::new(topic.clone(), plan);
        let message = Message { id: "1".to_owned(), body: Bytes::from_static(b"body") };
        let result = now_or_never(faulty.publish(vec![message]));
        (result, topic.drain().len())
    }

    #[test]
    fn each_fault_does_what_it_says() {
        let unavailable = ErrorKind::Unavailable;
        let cases = [
            (Fault::ErrorBefore(unavailable), Some(unavailable), 0),
            (Fault::ErrorAfter(ErrorKind::Throttled), Some(ErrorKind::Throttled), 1),
            (Fault::Duplicate, None, 2),
            (Fault::Retried, None, 2),
        ];
        for (fault, error, published) in cases {
            let (result, count) = publish(fault);
            assert_eq!((result.err().map(|error| error.kind()), count), (error, published), "{fault:?}");
        }
    }

    #[test]
    fn a_delay_lets_others_run_first() {
        let topic = Arc::new(MemoryTopic::default());
        let faulty = Faulty::new(Arc::clone(&topic), FaultPlan::script([("topic publish", 0, Fault::Delay(2))]));
        assert!(faulty.publish(Vec::new()).now_or_never().is_none(), "the first call waits");
        assert!(faulty.publish(Vec::new()).now_or_never().is_some(), "the second does not");
    }

    #[test]
    fn a_retried_conditional_write_meets_itself() {
        let write = |fault| {
            let plan = FaultPlan::script([("state write", 0, fault)]);
            let faulty = Faulty::new(Arc::new(MemoryStateStore::default()), plan);
            let row = RowWrite::put(RowKey::new("p", "s"), Expect::Absent, "value");
            now_or_never(faulty.write(vec![row], Timestamp::default())).map_err(|error| error.kind())
        };
        assert_eq!(write(Fault::Duplicate), Ok(vec![1]));
        assert_eq!(write(Fault::Retried), Err(ErrorKind::Conflict));
    }

    #[test]
    fn the_same_seed_brings_the_same_faults() {
        let faults = |seed| {
            let plan = FaultPlan::seeded(seed, FaultRates::each(50));
            for _ in 0..1000 {
                plan.next("wal append");
            }
            plan.injected()
        };
        assert_eq!(faults(1), faults(1));
        assert_ne!(faults(1), faults(2));
        let expected = 200..300;
        assert!(expected.contains(&faults(1).len()), "a quarter of a thousand calls: {}", faults(1).len());
    }

    #[test]
    fn after_the_end_of_the_plan_all_is_well() {
        let plan = FaultPlan::seeded(1, FaultRates::each(200));
        assert!(plan.next("wal append").is_some());
        plan.stop();
        assert!((0..1000).all(|_| plan.next("wal append").is_none()));
        assert_eq!((plan.calls("wal append"), plan.injected().len()), (1001, 1));
    }
}
