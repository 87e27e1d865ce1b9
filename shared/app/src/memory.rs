//! The five ports in memory: for tests, with the limits and refusals of the real ones.

use std::collections::{BTreeMap, VecDeque};
use std::ops::{Bound, Range};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use model::{ErrorKind, TenantId, Timestamp};
use xxhash_rust::xxh3::xxh3_128;

use crate::ports::{
    ByteRange, Change, Delivery, Message, Messenger, Minute, ObjectEntry, ObjectPage, ObjectStore, PortError,
    PortResult, Receipt, Row, RowKey, RowPage, RowRange, RowWrite, Shard, StateStore, Topic, Wal, WalEntry, WalRead,
};
use crate::refusals::{
    OBJECT_PAGE_MAX, ROW_PAGE_BYTES_MAX, check_blob, check_delivery, check_expectation, check_messages,
    check_object_key, check_range, check_row, check_write, row_bytes,
};

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("nothing panics while it holds the lock")
}

/// A write-ahead log that lives as long as its process.
#[derive(Debug, Default)]
pub struct MemoryWal {
    entries: Mutex<BTreeMap<(Shard, Minute, TenantId, u128), Bytes>>,
}

#[async_trait]
impl Wal for MemoryWal {
    async fn append(&self, shard: Shard, minute: Minute, tenant: &TenantId, blob: Bytes) -> PortResult<()> {
        check_blob("wal append", blob.len())?;
        lock(&self.entries).insert((shard, minute, tenant.clone(), xxh3_128(&blob)), blob);
        Ok(())
    }

    async fn read(&self, shard: Shard, minutes: Range<Minute>) -> PortResult<WalRead> {
        let inside = |key: &(Shard, Minute, TenantId, u128)| key.0 == shard && minutes.contains(&key.1);
        let entries = lock(&self.entries);
        let found = entries.iter().filter(|(key, _)| inside(key));
        let entry = |((_, minute, tenant, hash), blob): (&(_, Minute, TenantId, u128), &Bytes)| WalEntry {
            minute: *minute,
            tenant: tenant.clone(),
            hash: *hash,
            blob: blob.clone(),
        };
        Ok(WalRead { entries: found.map(entry).collect(), damaged: Vec::new() })
    }

    async fn minutes(&self, shard: Shard, range: Range<Minute>) -> PortResult<Vec<Minute>> {
        let entries = lock(&self.entries);
        let of_range = entries.keys().filter(|key| key.0 == shard && range.contains(&key.1));
        let mut minutes: Vec<Minute> = of_range.map(|key| key.1).collect();
        minutes.dedup();
        Ok(minutes)
    }

    async fn forget_before(&self, shard: Shard, minute: Minute) -> PortResult<()> {
        lock(&self.entries).retain(|key, _| key.0 != shard || key.1 >= minute);
        Ok(())
    }

    fn size_bytes(&self) -> Option<u64> {
        Some(lock(&self.entries).values().map(|blob| blob.len() as u64).sum())
    }
}

/// Objects in memory.
#[derive(Debug, Default)]
pub struct MemoryObjectStore {
    objects: Mutex<BTreeMap<String, Bytes>>,
}

#[async_trait]
impl ObjectStore for MemoryObjectStore {
    async fn put_new(&self, key: &str, bytes: Bytes) -> PortResult<()> {
        check_object_key("object put", key)?;
        let mut objects = lock(&self.objects);
        match objects.get(key) {
            Some(found) if *found != bytes => {
                let message = format!("there is other content under {key}");
                Err(PortError::new(ErrorKind::Conflict, "object put", message))
            }
            Some(_) => Ok(()),
            None => {
                objects.insert(key.to_owned(), bytes);
                Ok(())
            }
        }
    }

    async fn get(&self, key: &str, range: ByteRange) -> PortResult<Bytes> {
        let objects = lock(&self.objects);
        let Some(bytes) = objects.get(key) else {
            return Err(PortError::new(ErrorKind::NotFound, "object get", format!("there is no object {key:?}")));
        };
        let size = bytes.len();
        let clamp = |position: u64| usize::try_from(position).map_or(size, |position| position.min(size));
        Ok(match range {
            ByteRange::All => bytes.clone(),
            ByteRange::Slice { offset, len } => bytes.slice(clamp(offset)..clamp(offset.saturating_add(len))),
            ByteRange::Suffix(len) => bytes.slice(size - clamp(len)..),
        })
    }

    async fn list(&self, prefix: &str, cursor: Option<&str>) -> PortResult<ObjectPage> {
        let start = cursor.map_or(Bound::Included(prefix), Bound::Excluded);
        let objects = lock(&self.objects);
        let mut found = objects
            .range::<str, _>((start, Bound::Unbounded))
            .skip_while(|(key, _)| key.as_str() < prefix)
            .take_while(|(key, _)| key.starts_with(prefix))
            .map(|(key, bytes)| ObjectEntry { key: key.clone(), size_bytes: bytes.len() as u64 });
        let entries: Vec<ObjectEntry> = found.by_ref().take(OBJECT_PAGE_MAX).collect();
        let more = found.next().is_some();
        let cursor = entries.last().filter(|_| more).map(|entry| entry.key.clone());
        Ok(ObjectPage { entries, cursor })
    }

    async fn delete(&self, key: &str) -> PortResult<()> {
        lock(&self.objects).remove(key);
        Ok(())
    }

    async fn link(&self, key: &str, _lifetime: Duration) -> PortResult<Option<String>> {
        check_object_key("object link", key)?;
        Ok(None)
    }
}

/// Rows in memory.
#[derive(Debug, Default)]
pub struct MemoryStateStore {
    rows: Mutex<Rows>,
}

/// All rows, and the version given last: one counter for all keys, so that no key's version ever restarts.
#[derive(Debug, Default)]
struct Rows {
    by_key: BTreeMap<RowKey, Stored>,
    last_version: u64,
}

#[derive(Clone, Debug)]
struct Stored {
    value: Bytes,
    version: u64,
    expires: Option<Timestamp>,
}

impl Stored {
    fn live(&self, now: Timestamp) -> bool {
        self.expires.is_none_or(|expires| now < expires)
    }

    fn row(&self, key: &RowKey) -> Row {
        Row { key: key.clone(), value: self.value.clone(), version: self.version, expires: self.expires }
    }
}

impl Rows {
    fn live(&self, key: &RowKey, now: Timestamp) -> Option<&Stored> {
        self.by_key.get(key).filter(|stored| stored.live(now))
    }

    fn put(&mut self, key: RowKey, value: Bytes, expires: Option<Timestamp>) -> u64 {
        self.last_version += 1;
        let version = self.last_version;
        self.by_key.insert(key, Stored { value, version, expires });
        version
    }

    fn apply(&mut self, row: RowWrite) -> u64 {
        match row.change {
            Change::Put { value, expires } => self.put(row.key, value, expires),
            Change::Delete => {
                self.by_key.remove(&row.key);
                0
            }
            Change::Check => 0,
        }
    }

    /// The rows of a range that come after its cursor, in the order asked for; expired ones too.
    fn after_cursor(&self, range: &RowRange) -> Vec<(&RowKey, &Stored)> {
        let inside = |sort: &str| {
            let before_end = range.end.as_deref().is_none_or(|end| sort < end);
            let after_cursor = range.cursor.as_deref().is_none_or(|cursor| match range.reverse {
                true => sort < cursor,
                false => sort > cursor,
            });
            range.start.as_str() <= sort && before_end && after_cursor
        };
        let first = RowKey::new(range.partition.as_str(), range.start.as_str());
        let in_partition = self.by_key.range(first..).take_while(|(key, _)| key.partition == range.partition);
        let mut rows: Vec<_> = in_partition.filter(|(key, _)| inside(&key.sort)).collect();
        if range.reverse {
            rows.reverse();
        }
        rows
    }
}

#[async_trait]
impl StateStore for MemoryStateStore {
    async fn get(&self, key: &RowKey, now: Timestamp) -> PortResult<Option<Row>> {
        Ok(lock(&self.rows).live(key, now).map(|stored| stored.row(key)))
    }

    async fn range(&self, range: &RowRange, now: Timestamp) -> PortResult<RowPage> {
        check_range("state range", range)?;
        let rows = lock(&self.rows);
        let mut page = RowPage::default();
        let mut page_bytes = 0;
        for (key, stored) in rows.after_cursor(range).into_iter().filter(|(_, stored)| stored.live(now)) {
            if page.rows.len() == range.limit || page_bytes >= ROW_PAGE_BYTES_MAX {
                page.cursor = page.rows.last().map(|row: &Row| row.key.sort.clone());
                break;
            }
            page_bytes += row_bytes(key, stored.value.len());
            page.rows.push(stored.row(key));
        }
        Ok(page)
    }

    async fn write(&self, writes: Vec<RowWrite>, now: Timestamp) -> PortResult<Vec<u64>> {
        check_write("state write", &writes)?;
        let mut rows = lock(&self.rows);
        for write in &writes {
            check_expectation("state write", write, rows.live(&write.key, now).map(|stored| stored.version))?;
        }
        Ok(writes.into_iter().map(|write| rows.apply(write)).collect())
    }

    async fn put_many(&self, puts: Vec<(RowKey, Bytes, Option<Timestamp>)>, _now: Timestamp) -> PortResult<()> {
        for (key, value, expires) in puts {
            check_row("state put", &key, value.len())?;
            lock(&self.rows).put(key, value, expires);
        }
        Ok(())
    }
}

/// A topic that keeps what was published, and the looks that were asked for, until somebody takes them.
#[derive(Debug, Default)]
pub struct MemoryTopic {
    messages: Mutex<VecDeque<Message>>,
    wakes: Mutex<Vec<Timestamp>>,
}

impl MemoryTopic {
    /// Takes all messages, the oldest first.
    pub fn drain(&self) -> Vec<Message> {
        lock(&self.messages).drain(..).collect()
    }

    /// Takes the moments for which looks were asked for, the first first.
    pub fn drain_wakes(&self) -> Vec<Timestamp> {
        std::mem::take(&mut *lock(&self.wakes))
    }
}

#[async_trait]
impl Topic for MemoryTopic {
    async fn publish(&self, messages: Vec<Message>) -> PortResult<()> {
        check_messages("topic publish", &messages)?;
        lock(&self.messages).extend(messages);
        Ok(())
    }

    async fn wake(&self, at: Timestamp, _now: Timestamp) -> PortResult<()> {
        lock(&self.wakes).push(at);
        Ok(())
    }
}

/// A messenger that keeps what it was given; the same idempotency key again replaces what was delivered under it.
#[derive(Debug, Default)]
pub struct MemoryMessenger {
    deliveries: Mutex<Vec<Delivery>>,
}

impl MemoryMessenger {
    /// What was delivered so far, the first first.
    pub fn deliveries(&self) -> Vec<Delivery> {
        lock(&self.deliveries).clone()
    }

    /// Takes what was delivered so far.
    pub fn drain(&self) -> Vec<Delivery> {
        std::mem::take(&mut *lock(&self.deliveries))
    }
}

#[async_trait]
impl Messenger for MemoryMessenger {
    async fn deliver(&self, delivery: &Delivery) -> PortResult<Receipt> {
        check_delivery("messenger deliver", delivery)?;
        let mut deliveries = lock(&self.deliveries);
        match deliveries.iter_mut().find(|known| known.idempotency_key == delivery.idempotency_key) {
            Some(known) => *known = delivery.clone(),
            None => deliveries.push(delivery.clone()),
        }
        Ok(Receipt::noted(format!("kept in memory as {}", delivery.idempotency_key)))
    }
}
