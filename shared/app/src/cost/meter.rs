//! Ports that count before they pass a call on: a call that fails is billed as one that succeeds.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use model::{TenantId, Timestamp};

use super::units::{ROW_OVERHEAD_BYTES, read_units, requests, row_bytes, write_units};
use super::{Item, Ledger, keep};
use crate::Ports;
use crate::catalogue::INLINE_BYTES_MAX;
use crate::ports::{
    Address, ByteRange, Change, Delivery, Message, Messenger, Minute, ObjectPage, ObjectStore, PortResult, Receipt,
    Row, RowKey, RowPage, RowRange, RowWrite, Secret, Shard, StateStore, Topic, Wal, WalEntry, WalRead,
};

/// Minutes of the log up to which a read asks for each of them; a wider one asks the index which there are.
const MINUTES_WITHOUT_INDEX: i64 = 10;
/// Bytes of a row that names an object of the log: its key is `wal/tenant=.../<minute>/<hash>`.
const POINTER_BYTES: usize = 180;
/// Bytes of a row that says that a minute has entries: `w#0` / 20 digits.
const INDEX_BYTES: usize = 4 + 3 + 20 + 1 + 6;
/// Most messages of one call to the topic, and most of their bytes.
const MESSAGES_A_CALL: usize = 10;
const MESSAGE_BYTES_A_CALL: usize = 256 << 10;

/// The same ports, counting into a ledger.
pub fn metered(ports: Ports, ledger: &Arc<Ledger>) -> Ports {
    let ledger = || Arc::clone(ledger);
    Ports {
        wal: Arc::new(MeteredWal { inner: ports.wal, ledger: ledger(), indexed: Mutex::default() }),
        objects: Arc::new(Metered { inner: ports.objects, ledger: ledger() }),
        state: Arc::new(Metered { inner: ports.state, ledger: ledger() }),
        topic: Arc::new(Metered { inner: ports.topic, ledger: ledger() }),
        messenger: Arc::new(Metered { inner: ports.messenger, ledger: ledger() }),
    }
}

struct Metered<P: ?Sized> {
    inner: Arc<P>,
    ledger: Arc<Ledger>,
}

impl<P: fmt::Debug + ?Sized> fmt::Debug for Metered<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Metered").field(&self.inner).finish()
    }
}

#[derive(Debug)]
struct MeteredWal {
    inner: Arc<dyn Wal>,
    ledger: Arc<Ledger>,
    /// The newest minute of each shard that this process entered into the index.
    indexed: Mutex<BTreeMap<Shard, Minute>>,
}

impl MeteredWal {
    fn count_item(&self, bytes: usize) {
        self.ledger.add(Item::TableWrite, write_units(bytes));
        self.ledger.add(Item::TableByteHours, keep::byte_hours(bytes + ROW_OVERHEAD_BYTES, keep::log_item()));
    }

    /// A process enters each minute into the index once.
    fn count_index(&self, shard: Shard, minute: Minute) {
        let mut indexed = self.indexed.lock().expect("nothing panics while it holds the lock");
        if indexed.insert(shard, minute) != Some(minute) {
            self.count_item(INDEX_BYTES);
        }
    }

    fn count_read(&self, minutes: &Range<Minute>, entries: &[WalEntry]) {
        let mut bytes_by_minute: BTreeMap<Minute, usize> = BTreeMap::new();
        let mut objects = 0;
        for entry in entries {
            objects += u64::from(entry.blob.len() > INLINE_BYTES_MAX);
            *bytes_by_minute.entry(entry.minute).or_default() += item_bytes(entry);
        }
        let width = minutes.end.saturating_sub(minutes.start).max(0);
        let filled = bytes_by_minute.len() as u64;
        let units: u64 = bytes_by_minute.values().map(|bytes| read_units(*bytes)).sum();
        let empty = match width {
            0..=MINUTES_WITHOUT_INDEX => width.unsigned_abs().saturating_sub(filled),
            _ => read_units(bytes_by_minute.len() * INDEX_BYTES),
        };
        self.ledger.add(Item::TableRead, units + empty);
        self.ledger.add(Item::ObjectGet, objects);
    }
}

/// The size of an entry as an item: with its blob, or with a pointer to the object that holds it.
fn item_bytes(entry: &WalEntry) -> usize {
    if entry.blob.len() > INLINE_BYTES_MAX { POINTER_BYTES } else { inline_bytes(&entry.tenant, entry.blob.len()) }
}

/// The size of an item that holds a blob: `w#<shard>#<minute>` / `<tenant>#<hash>`, a byte of format before the blob, an
/// expiry, and no version.
fn inline_bytes(tenant: &TenantId, blob_bytes: usize) -> usize {
    let key_bytes = "w#0#29922030".len() + tenant.as_str().len() + 1 + 32;
    4 + key_bytes + 1 + blob_bytes + 6
}

#[async_trait]
impl Wal for MeteredWal {
    async fn append(&self, shard: Shard, minute: Minute, tenant: &TenantId, blob: Bytes) -> PortResult<()> {
        self.count_index(shard, minute);
        if blob.len() <= INLINE_BYTES_MAX {
            self.count_item(inline_bytes(tenant, blob.len()));
        } else {
            self.count_item(POINTER_BYTES);
            count_object(&self.ledger, "wal", blob.len());
        }
        self.inner.append(shard, minute, tenant, blob).await
    }

    async fn read(&self, shard: Shard, minutes: Range<Minute>) -> PortResult<WalRead> {
        let read = self.inner.read(shard, minutes.clone()).await;
        self.count_read(&minutes, read.as_ref().map_or(&[], |read| &read.entries));
        read
    }

    async fn minutes(&self, shard: Shard, range: Range<Minute>) -> PortResult<Vec<Minute>> {
        let minutes = self.inner.minutes(shard, range).await;
        let rows = minutes.as_ref().map_or(0, Vec::len);
        self.ledger.add(Item::TableRead, read_units(rows * INDEX_BYTES));
        minutes
    }

    /// Items expire and objects have a lifecycle: that costs nothing.
    async fn forget_before(&self, shard: Shard, minute: Minute) -> PortResult<()> {
        self.inner.forget_before(shard, minute).await
    }

    fn size_bytes(&self) -> Option<u64> {
        self.inner.size_bytes()
    }
}

fn count_object(ledger: &Ledger, key: &str, bytes: usize) {
    ledger.add(Item::ObjectPut, 1);
    ledger.add(Item::ObjectByteHours, keep::byte_hours(bytes, keep::object(key)));
}

#[async_trait]
impl ObjectStore for Metered<dyn ObjectStore> {
    async fn put_new(&self, key: &str, bytes: Bytes) -> PortResult<()> {
        count_object(&self.ledger, key, bytes.len());
        self.inner.put_new(key, bytes).await
    }

    async fn get(&self, key: &str, range: ByteRange) -> PortResult<Bytes> {
        self.ledger.add(Item::ObjectGet, 1);
        self.inner.get(key, range).await
    }

    async fn list(&self, prefix: &str, cursor: Option<&str>) -> PortResult<ObjectPage> {
        self.ledger.add(Item::ObjectPut, 1);
        self.inner.list(prefix, cursor).await
    }

    async fn delete(&self, key: &str) -> PortResult<()> {
        self.inner.delete(key).await
    }

    async fn link(&self, key: &str, lifetime: Duration) -> PortResult<Option<String>> {
        self.inner.link(key, lifetime).await
    }
}

impl Metered<dyn StateStore> {
    /// The units of one change.
    fn count_change(&self, key: &RowKey, change: &Change, now: Timestamp) -> u64 {
        let known = self.ledger.seen().bytes(key);
        match change {
            Change::Put { value, expires } => self.count_put(key, value.len(), *expires, now),
            Change::Delete => {
                self.ledger.seen().note(key, 0);
                write_units(known)
            }
            Change::Check => write_units(known),
        }
    }

    fn count_put(&self, key: &RowKey, value_bytes: usize, expires: Option<Timestamp>, now: Timestamp) -> u64 {
        let bytes = row_bytes(key, value_bytes, expires);
        let kept = keep::row(key, expires, now);
        self.ledger.add(Item::TableByteHours, keep::byte_hours(bytes + ROW_OVERHEAD_BYTES, kept));
        let mut seen = self.ledger.seen();
        let larger = bytes.max(seen.bytes(key));
        seen.note(key, bytes);
        write_units(larger)
    }

    /// The size of a row that was read.
    fn note(&self, row: &Row) -> usize {
        let bytes = row_bytes(&row.key, row.value.len(), row.expires);
        self.ledger.seen().note(&row.key, bytes);
        bytes
    }
}

#[async_trait]
impl StateStore for Metered<dyn StateStore> {
    async fn get(&self, key: &RowKey, now: Timestamp) -> PortResult<Option<Row>> {
        let row = self.inner.get(key, now).await;
        let found = row.as_ref().ok().and_then(Option::as_ref);
        let bytes = found.map_or(0, |row| self.note(row));
        self.ledger.add(Item::TableRead, read_units(bytes));
        row
    }

    async fn range(&self, range: &RowRange, now: Timestamp) -> PortResult<RowPage> {
        let page = self.inner.range(range, now).await;
        let bytes = page.as_ref().map_or(0, |page| page.rows.iter().map(|row| self.note(row)).sum());
        self.ledger.add(Item::TableRead, read_units(bytes));
        page
    }

    async fn write(&self, rows: Vec<RowWrite>, now: Timestamp) -> PortResult<Vec<u64>> {
        let units: u64 = rows.iter().map(|row| self.count_change(&row.key, &row.change, now)).sum();
        let factor = if rows.len() > 1 { 2 } else { 1 };
        self.ledger.add(Item::TableWrite, units * factor);
        self.inner.write(rows, now).await
    }

    async fn put_many(&self, rows: Vec<(RowKey, Bytes, Option<Timestamp>)>, now: Timestamp) -> PortResult<()> {
        let units: u64 = rows.iter().map(|(key, value, at)| self.count_put(key, value.len(), *at, now)).sum();
        self.ledger.add(Item::TableWrite, units);
        self.inner.put_many(rows, now).await
    }
}

#[async_trait]
impl Topic for Metered<dyn Topic> {
    /// A call is billed by the bytes of all its messages. Each message is put into the queue, taken and removed.
    async fn publish(&self, messages: Vec<Message>) -> PortResult<()> {
        let (mut call_messages, mut call_bytes) = (0, 0);
        for message in &messages {
            let bytes = message.body.len() + message.id.len();
            if call_messages == MESSAGES_A_CALL || (call_messages > 0 && call_bytes + bytes > MESSAGE_BYTES_A_CALL) {
                self.ledger.add(Item::TopicPublish, requests(call_bytes));
                (call_messages, call_bytes) = (0, 0);
            }
            call_messages += 1;
            call_bytes += bytes;
            self.ledger.add(Item::QueueRequest, 2 * requests(bytes) + 1);
        }
        if call_messages > 0 {
            self.ledger.add(Item::TopicPublish, requests(call_bytes));
        }
        self.inner.publish(messages).await
    }

    /// It is put into the queue, taken and removed.
    async fn wake(&self, at: Timestamp, now: Timestamp) -> PortResult<()> {
        self.ledger.add(Item::QueueRequest, 3);
        self.inner.wake(at, now).await
    }
}

#[async_trait]
impl Messenger for Metered<dyn Messenger> {
    async fn deliver(&self, delivery: &Delivery) -> PortResult<Receipt> {
        match &delivery.address {
            Address::Webhook { .. } | Address::SlackThread { .. } => {}
            Address::Email { to, .. } => self.ledger.add(Item::Mail, to.len() as u64),
            Address::Sms { numbers } => self.ledger.add(Item::Sms, numbers.len() as u64),
            Address::Topic { .. } => self.ledger.add(Item::TopicPublish, 1),
        }
        self.inner.deliver(delivery).await
    }

    fn reaches_people(&self) -> bool {
        self.inner.reaches_people()
    }

    async fn reveal(&self, secret: &Secret) -> PortResult<String> {
        self.inner.reveal(secret).await
    }
}
