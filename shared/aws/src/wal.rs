//! The write-ahead log as items of the table, and objects for larger blobs.
//!
//! ```text
//! partition                sort                 value
//! w#<shard>#<minute>       <tenant>#<hash>      1, the blob                an entry up to 8 KB
//! w#<shard>#<minute>       <tenant>#<hash>      2, the key of an object    a larger one
//! w#<shard>                <minute, padded>     1                          a minute that has entries
//!
//! wal/tenant=<tenant>/<minute>/<hash>    the object of a larger blob, stored before its row
//! ```
//! All rows carry the TTL attribute `e`: the log's retention after their minute. The bucket's lifecycle does the same
//! for the objects, so nothing is ever deleted by a call.
//!
//! An append is one unconditional put: the key is the content, so a repeat changes nothing. Beside it, once a process
//! and minute, the minute is entered into the index; both are awaited before the append returns, so whatever was
//! acknowledged is found by wide reads too. Narrow reads, those of every tick and query, ask for each minute and need no
//! index. No clock: minutes are arguments.
//!
//! What is damaged or gone (a row of another form, an object that is not there, other bytes than the hash says) is told
//! beside the entries that are whole, since no retry brings it back. What S3 or DynamoDB may answer at another try, such
//! as throttling, a time-out or missing rights, fails the read.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use app::catalogue::INLINE_BYTES_MAX;
use app::ports::{
    ByteRange, DamagedEntry, Minute, ObjectStore as _, PortError, PortResult, Shard, Wal, WalEntry, WalRead,
};
use app::refusals::check_blob;
use app::tick_row::WAL_RETENTION;
use async_trait::async_trait;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use bytes::Bytes;
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use futures::try_join;
use model::{ErrorKind, TenantId};
use tokio::sync::OnceCell;
use xxhash_rust::xxh3::xxh3_128;

use crate::client::Clients;
use crate::failure;
use crate::objects::S3Objects;

/// Reads of at most so many minutes ask for each; wider ones look into the index first.
const NARROW_MINUTES_MAX: i128 = 10;
/// Most minutes read at once.
const MINUTES_AT_ONCE: usize = 10;
/// Most objects read at once.
const OBJECTS_AT_ONCE: usize = 16;
/// Most minutes whose index row this process remembers to have written.
const REMEMBERED_MINUTES_MAX: usize = 64;
/// Format of a row with the blob in it.
const INLINE: u8 = 1;
/// Format of a row with the key of an object.
const POINTER: u8 = 2;

const APPEND: &str = "wal append";
const READ: &str = "wal read";

/// The write-ahead log in the table and the bucket. Cheap to clone.
#[derive(Clone, Debug)]
pub struct DynamoWal {
    clients: Clients,
    dynamo: Client,
    objects: S3Objects,
    indexed: Arc<Mutex<Indexed>>,
}

/// The minutes whose index rows are written, or being written, by this process.
type Indexed = BTreeMap<(Minute, Shard), Arc<OnceCell<()>>>;

/// A row as it was read.
struct Found {
    minute: Minute,
    tenant: TenantId,
    hash: u128,
    content: Content,
}

enum Content {
    Blob(Bytes),
    Object(String),
}

/// What can be read of a row or an object, or why nothing can.
type Readable<T> = Result<T, DamagedEntry>;

impl DynamoWal {
    /// The log of the deployment. Opens no connection.
    pub fn new(clients: &Clients) -> Self {
        Self::with_objects(clients, S3Objects::new(clients))
    }

    /// The log of the deployment, with larger blobs in given objects.
    pub fn with_objects(clients: &Clients, objects: S3Objects) -> Self {
        let dynamo = Client::new(clients.sdk_config());
        Self { clients: clients.clone(), dynamo, objects, indexed: Arc::default() }
    }

    /// Stores the blob, and the row that names it.
    async fn enter(&self, shard: Shard, minute: Minute, tenant: &TenantId, blob: Bytes) -> PortResult<()> {
        let hash = xxh3_128(&blob);
        let value = if blob.len() <= INLINE_BYTES_MAX {
            [&[INLINE], blob.as_ref()].concat()
        } else {
            let key = object_key(minute, tenant, hash);
            self.objects.put_new(&key, blob).await?;
            [&[POINTER], key.as_bytes()].concat()
        };
        self.put(partition(shard, minute), format!("{tenant}#{hash:032x}"), minute, value).await
    }

    /// Sees to it that the index has the minute, once a process.
    async fn index(&self, shard: Shard, minute: Minute) -> PortResult<()> {
        let row = {
            let mut indexed = self.indexed.lock().unwrap_or_else(PoisonError::into_inner);
            let row = Arc::clone(indexed.entry((minute, shard)).or_default());
            while indexed.len() > REMEMBERED_MINUTES_MAX {
                indexed.pop_first();
            }
            row
        };
        let write = || self.put(index_partition(shard), index_sort(minute), minute, vec![INLINE]);
        row.get_or_try_init(write).await.copied()
    }

    async fn put(&self, partition: String, sort: String, minute: Minute, value: Vec<u8>) -> PortResult<()> {
        let call = self
            .dynamo
            .put_item()
            .table_name(&self.clients.settings().table)
            .item("p", AttributeValue::S(partition))
            .item("s", AttributeValue::S(sort))
            .item("v", AttributeValue::B(Blob::new(value)))
            .item("e", AttributeValue::N(expiry_seconds(minute).to_string()));
        call.send().await.map(drop).map_err(|error| failure::of_store(APPEND, &error))
    }

    /// The minutes to ask for when a range is read.
    async fn minutes_to_read(&self, shard: Shard, range: Range<Minute>) -> PortResult<Vec<Minute>> {
        if i128::from(range.end) - i128::from(range.start) <= NARROW_MINUTES_MAX {
            return Ok(range.collect());
        }
        self.minutes(shard, range).await
    }

    /// The minutes of a range that the index has.
    async fn indexed_minutes(&self, shard: Shard, range: Range<Minute>) -> PortResult<Vec<Minute>> {
        let sorts = (index_sort(range.start), index_sort(range.end - 1));
        let rows = self.query(index_partition(shard), Some(sorts)).await?;
        // A row that names no minute is none of ours: entries are found by the keys, which nothing damages alone.
        Ok(rows.into_iter().filter_map(|(sort, _)| minute_of(&sort)).collect())
    }

    async fn read_minute(&self, shard: Shard, minute: Minute) -> PortResult<Vec<Readable<Found>>> {
        let partition = partition(shard, minute);
        let rows = self.query(partition.clone(), None).await?;
        let found = |(sort, value): (String, Option<Bytes>)| {
            let found = value.and_then(|value| found(minute, &sort, &value));
            let place = || format!("row {partition:?} {sort:?}");
            found.ok_or_else(|| DamagedEntry { minute, place: place(), reason: "it is no row of the log".to_owned() })
        };
        Ok(rows.into_iter().map(found).collect())
    }

    /// Sort keys and values of a partition, with the sort keys from one to another where they are given. A row may have
    /// no value, or one that is none.
    async fn query(
        &self,
        partition: String,
        sorts: Option<(String, String)>,
    ) -> PortResult<Vec<(String, Option<Bytes>)>> {
        let mut rows = Vec::new();
        let mut after = None;
        loop {
            let mut call = self
                .dynamo
                .query()
                .table_name(&self.clients.settings().table)
                .consistent_read(true)
                .key_condition_expression(if sorts.is_some() { "p = :p AND s BETWEEN :a AND :b" } else { "p = :p" })
                .expression_attribute_values(":p", AttributeValue::S(partition.clone()))
                .set_exclusive_start_key(after);
            if let Some((first, last)) = &sorts {
                call = call
                    .expression_attribute_values(":a", AttributeValue::S(first.clone()))
                    .expression_attribute_values(":b", AttributeValue::S(last.clone()));
            }
            let answer = call.send().await.map_err(|error| failure::of_store(READ, &error))?;
            for mut item in answer.items.into_iter().flatten() {
                let Some(AttributeValue::S(sort)) = item.remove("s") else {
                    // The table's schema says so; an answer without it is none.
                    return Err(PortError::new(ErrorKind::Unavailable, READ, "an item comes without its key"));
                };
                let value = match item.remove("v") {
                    Some(AttributeValue::B(value)) => Some(Bytes::from(value.into_inner())),
                    _ => None,
                };
                rows.push((sort, value));
            }
            after = answer.last_evaluated_key;
            if after.is_none() {
                return Ok(rows);
            }
        }
    }

    /// Fetches the blob of a row where it is an object, and checks it.
    async fn entry(&self, found: Readable<Found>) -> PortResult<Readable<WalEntry>> {
        let Found { minute, tenant, hash, content } = match found {
            Ok(found) => found,
            Err(damaged) => return Ok(Err(damaged)),
        };
        let (place, blob) = match content {
            Content::Blob(blob) => (format!("entry {tenant}#{hash:032x}"), Ok(blob)),
            Content::Object(key) => (format!("object {key:?}"), self.objects.get(&key, ByteRange::All).await),
        };
        let reason = match blob {
            Ok(blob) if xxh3_128(&blob) == hash => return Ok(Ok(WalEntry { minute, tenant, hash, blob })),
            Ok(_) => "it holds other bytes than were appended".to_owned(),
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Corrupt) => error.to_string(),
            Err(error) => return Err(error),
        };
        Ok(Err(DamagedEntry { minute, place, reason }))
    }
}

#[async_trait]
impl Wal for DynamoWal {
    async fn append(&self, shard: Shard, minute: Minute, tenant: &TenantId, blob: Bytes) -> PortResult<()> {
        check_blob(APPEND, blob.len())?;
        try_join!(self.enter(shard, minute, tenant, blob), self.index(shard, minute))?;
        Ok(())
    }

    async fn read(&self, shard: Shard, minutes: Range<Minute>) -> PortResult<WalRead> {
        if minutes.is_empty() {
            return Ok(WalRead::default());
        }
        let minutes = self.minutes_to_read(shard, minutes).await?;
        let reads: Vec<_> = minutes.into_iter().map(|minute| self.read_minute(shard, minute)).collect();
        let found: Vec<Vec<Readable<Found>>> = stream::iter(reads).buffered(MINUTES_AT_ONCE).try_collect().await?;
        let entries: Vec<_> = found.into_iter().flatten().map(|found| self.entry(found)).collect();
        let read: Vec<Readable<WalEntry>> = stream::iter(entries).buffered(OBJECTS_AT_ONCE).try_collect().await?;
        let (mut entries, mut damaged) = (Vec::with_capacity(read.len()), Vec::new());
        for entry in read {
            match entry {
                Ok(entry) => entries.push(entry),
                Err(entry) => damaged.push(entry),
            }
        }
        entries.sort_by(|a, b| (a.minute, &a.tenant, a.hash).cmp(&(b.minute, &b.tenant, b.hash)));
        damaged.sort_unstable();
        Ok(WalRead { entries, damaged })
    }

    async fn minutes(&self, shard: Shard, range: Range<Minute>) -> PortResult<Vec<Minute>> {
        if range.is_empty() { Ok(Vec::new()) } else { self.indexed_minutes(shard, range).await }
    }

    /// Nothing: rows and objects go by themselves once their time is over.
    async fn forget_before(&self, _shard: Shard, _minute: Minute) -> PortResult<()> {
        Ok(())
    }

    fn size_bytes(&self) -> Option<u64> {
        None
    }
}

fn partition(shard: Shard, minute: Minute) -> String {
    format!("w#{}#{minute}", shard.0)
}

fn index_partition(shard: Shard) -> String {
    format!("w#{}", shard.0)
}

/// A minute as text that sorts as the number does, also before 1970.
fn index_sort(minute: Minute) -> String {
    format!("{:020}", minute.cast_unsigned() ^ (1 << 63))
}

fn minute_of(index_sort: &str) -> Option<Minute> {
    index_sort.parse::<u64>().ok().map(|number| (number ^ (1 << 63)).cast_signed())
}

fn object_key(minute: Minute, tenant: &TenantId, hash: u128) -> String {
    format!("wal/tenant={tenant}/{minute}/{hash:032x}")
}

/// When the row of a minute may go, in seconds since the epoch.
fn expiry_seconds(minute: Minute) -> i64 {
    let retention = i64::try_from(WAL_RETENTION.as_secs()).expect("three days");
    minute.saturating_add(1).saturating_mul(60).saturating_add(retention)
}

/// Reads a row's sort key and value.
fn found(minute: Minute, sort: &str, value: &Bytes) -> Option<Found> {
    let (tenant, hash) = sort.rsplit_once('#')?;
    let content = match value.split_first()? {
        (&INLINE, _) => Content::Blob(value.slice(1..)),
        (&POINTER, key) => Content::Object(std::str::from_utf8(key).ok()?.to_owned()),
        _ => return None,
    };
    Some(Found { minute, tenant: TenantId::new(tenant).ok()?, hash: u128::from_str_radix(hash, 16).ok()?, content })
}

#[cfg(test)]
mod tests;
