//! The five ports: all that the flows know of the world outside.
//!
//! Each is shaped by the technology behind it (an append-only log or table, an object store, a key-value table with
//! conditional writes, a topic, things that carry messages), not by the flows. Every adapter passes the same contract
//! suite (`tests/contract`). Reads are strongly consistent.

pub mod absent;

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::time::Duration;

pub use alerting::notify::{Connection, Secret, Smtp, Tls};
use async_trait::async_trait;
use bytes::Bytes;
use model::{ErrorKind, TenantId, Timestamp};

/// A failure of a port. What it asks of the caller is in its kind; the message is for the log.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{operation}: {message}")]
pub struct PortError {
    kind: ErrorKind,
    operation: &'static str,
    message: String,
    retry_after: Option<Duration>,
}

impl PortError {
    /// A failure of the named operation, such as `wal append`.
    pub fn new(kind: ErrorKind, operation: &'static str, message: impl fmt::Display) -> Self {
        Self { kind, operation, message: message.to_string(), retry_after: None }
    }

    /// The same failure of a destination that said how long to leave it alone.
    #[must_use]
    pub fn after(self, retry_after: Option<Duration>) -> Self {
        Self { retry_after, ..self }
    }

    /// What the failure asks of the caller.
    pub const fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// How long the destination wants to be left alone, where it says so.
    pub const fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }
}

/// What a port gives back.
pub type PortResult<T> = Result<T, PortError>;

/// A part of all series, evaluated by one tick. There is one until a map and reduce over shards is designed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Shard(pub u16);

/// A minute of arrival, counted from the epoch (see [`Timestamp::minute`]).
pub type Minute = i64;

/// One blob of the write-ahead log, as it was appended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WalEntry {
    /// When it arrived.
    pub minute: Minute,
    /// Whose samples it holds.
    pub tenant: TenantId,
    /// XXH3-128 of the blob: two appends of the same bytes in the same minute are one entry.
    pub hash: u128,
    /// The encoded batch.
    pub blob: Bytes,
}

/// A part of the write-ahead log that is there no more, or not as it was appended, and stays so: reading it again gives
/// nothing else.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DamagedEntry {
    /// When it arrived; the latest minute where it holds entries of several.
    pub minute: Minute,
    /// Where it lies, in the words of the adapter: for a person who looks after it, and the same at every read.
    pub place: String,
    /// What is wrong with it.
    pub reason: String,
}

/// What lies in some minutes of the write-ahead log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WalRead {
    /// The entries, ordered by minute, then tenant, then hash.
    pub entries: Vec<WalEntry>,
    /// What cannot be read, ordered by minute, then place.
    pub damaged: Vec<DamagedEntry>,
}

/// The write-ahead log: accepted requests until the tick has taken them.
#[async_trait]
pub trait Wal: Send + Sync + fmt::Debug {
    /// Appends one blob; when this returns, the blob survives a crash of the process and of the machine.
    ///
    /// The same tenant, minute and bytes again change nothing and succeed.
    ///
    /// # Errors
    /// `Unavailable` when there is no room or no answer: the blob may or may not be there, and may be sent again.
    async fn append(&self, shard: Shard, minute: Minute, tenant: &TenantId, blob: Bytes) -> PortResult<()>;

    /// All entries that arrived in these minutes. One that is damaged or lost hides no other: it is named beside them.
    ///
    /// # Errors
    /// `Unavailable` or `Throttled` when there is no answer: what another try may find is never taken for damaged.
    async fn read(&self, shard: Shard, minutes: Range<Minute>) -> PortResult<WalRead>;

    /// The minutes of a range that have entries, in order. One that has lost them since may be among them.
    ///
    /// # Errors
    /// As [`Wal::read`].
    async fn minutes(&self, shard: Shard, range: Range<Minute>) -> PortResult<Vec<Minute>>;

    /// Removes all entries that arrived before a minute. May be lazy: entries may stay readable for a while.
    ///
    /// # Errors
    /// `Unavailable` when there is no answer.
    async fn forget_before(&self, shard: Shard, minute: Minute) -> PortResult<()>;

    /// About how many bytes the log takes, all shards and tenants together; `None` where that is not cheap to tell.
    fn size_bytes(&self) -> Option<u64>;
}

/// Which bytes of an object to get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ByteRange {
    /// All of them.
    All,
    /// So many bytes from an offset; fewer when the object ends before.
    Slice {
        /// The first byte.
        offset: u64,
        /// How many.
        len: u64,
    },
    /// The last so many bytes; all of them when the object is shorter.
    Suffix(u64),
}

/// One object in a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectEntry {
    /// Its key.
    pub key: String,
    /// Its size.
    pub size_bytes: u64,
}

/// A page of a listing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ObjectPage {
    /// In order of key.
    pub entries: Vec<ObjectEntry>,
    /// Where the next page starts; `None` on the last one.
    pub cursor: Option<String>,
}

/// Immutable objects under text keys.
///
/// A key is 1 to 1,024 bytes of ASCII letters, digits and `-_.=/#`, without empty, `.` or `..` path segments.
#[async_trait]
pub trait ObjectStore: Send + Sync + fmt::Debug {
    /// Stores a new object, durably and all or nothing. Finding the same content there is success.
    ///
    /// # Errors
    /// `Conflict` when there is other content under the key; `Invalid` for a bad key; `Unavailable` for no room.
    async fn put_new(&self, key: &str, bytes: Bytes) -> PortResult<()>;

    /// Reads an object or a part of it.
    ///
    /// # Errors
    /// `NotFound` when there is no object; `Unavailable` when there is no answer.
    async fn get(&self, key: &str, range: ByteRange) -> PortResult<Bytes>;

    /// Lists the objects whose keys start with a prefix, at most 1,000 a page, in order of key.
    ///
    /// # Errors
    /// `Unavailable` when there is no answer.
    async fn list(&self, prefix: &str, cursor: Option<&str>) -> PortResult<ObjectPage>;

    /// Removes an object; one that is not there is success.
    ///
    /// # Errors
    /// `Unavailable` when there is no answer.
    async fn delete(&self, key: &str) -> PortResult<()>;

    /// A link under which anybody can read the object for so long; `None` where the store has no door of its own, and
    /// the bytes go through [`ObjectStore::get`].
    ///
    /// # Errors
    /// `Invalid` for a bad key; `Unavailable` when the link cannot be made.
    async fn link(&self, key: &str, lifetime: Duration) -> PortResult<Option<String>>;
}

/// Where a row lies.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RowKey {
    /// Rows of one partition are read in order; 1 to 2,048 bytes.
    pub partition: String,
    /// The row's place in its partition, ordered by bytes; 1 to 1,024 bytes.
    pub sort: String,
}

impl RowKey {
    /// A key.
    pub fn new(partition: impl Into<String>, sort: impl Into<String>) -> Self {
        Self { partition: partition.into(), sort: sort.into() }
    }
}

/// A row as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Where it lies.
    pub key: RowKey,
    /// Its content; with the key at most [`ROW_BYTES_MAX`].
    pub value: Bytes,
    /// Grows with each write of the key and never restarts, not even after a delete.
    pub version: u64,
    /// When it ceases to exist for readers.
    pub expires: Option<Timestamp>,
}

/// What a write expects to find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// No row.
    Absent,
    /// A row at this version.
    Version(u64),
    /// Anything.
    Any,
}

/// What a write does to a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Stores a value.
    Put {
        /// The content.
        value: Bytes,
        /// When the row ceases to exist.
        expires: Option<Timestamp>,
    },
    /// Removes the row, if there is one.
    Delete,
    /// Changes nothing: only the expectation counts.
    Check,
}

/// One row of a write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowWrite {
    /// Which row.
    pub key: RowKey,
    /// What must be there before.
    pub expect: Expect,
    /// What to do.
    pub change: Change,
}

impl RowWrite {
    /// Stores a value.
    pub fn put(key: RowKey, expect: Expect, value: impl Into<Bytes>) -> Self {
        Self { key, expect, change: Change::Put { value: value.into(), expires: None } }
    }

    /// Removes a row.
    pub fn delete(key: RowKey, expect: Expect) -> Self {
        Self { key, expect, change: Change::Delete }
    }

    /// Lets the stored row expire. No effect on deletes and checks.
    #[must_use]
    pub fn expiring(mut self, at: Timestamp) -> Self {
        if let Change::Put { expires, .. } = &mut self.change {
            *expires = Some(at);
        }
        self
    }
}

/// Most rows of one [`StateStore::write`].
pub const WRITE_ROWS_MAX: usize = 100;
/// Most bytes of all rows of one [`StateStore::write`]: the 4 MB of a DynamoDB transaction, less what each row needs
/// besides key and value.
pub const WRITE_BYTES_MAX: usize = (4 << 20) - WRITE_ROWS_MAX * ROW_OVERHEAD_BYTES;
/// Most bytes of one row, key and value: the 400 KB of a DynamoDB item, less what it needs besides.
pub const ROW_BYTES_MAX: usize = (400 << 10) - ROW_OVERHEAD_BYTES;
/// Room for names of attributes, version and expiry.
const ROW_OVERHEAD_BYTES: usize = 64;
/// Most bytes of a partition key.
pub const PARTITION_BYTES_MAX: usize = 2048;
/// Most bytes of a sort key.
pub const SORT_BYTES_MAX: usize = 1024;

/// Which rows of a partition to read: sort keys from `start` up to, without, `end`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowRange {
    /// The partition.
    pub partition: String,
    /// The first sort key.
    pub start: String,
    /// The first sort key after the range; `None` for no end.
    pub end: Option<String>,
    /// Most rows of the page; a page may hold fewer.
    pub limit: usize,
    /// From the last row to the first.
    pub reverse: bool,
    /// Where to go on, from the page before.
    pub cursor: Option<String>,
}

impl RowRange {
    /// A whole partition, in order.
    pub fn all(partition: impl Into<String>) -> Self {
        Self { partition: partition.into(), start: String::new(), end: None, limit: 1000, reverse: false, cursor: None }
    }

    /// The rows of a partition with sort keys from `start` up to, without, `end`.
    pub fn between(partition: impl Into<String>, start: impl Into<String>, end: impl Into<String>) -> Self {
        Self { start: start.into(), end: Some(end.into()), ..Self::all(partition) }
    }
}

/// A page of rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RowPage {
    /// In the order asked for.
    pub rows: Vec<Row>,
    /// Where the next page starts; `None` on the last one.
    pub cursor: Option<String>,
}

/// Versioned rows with conditional, atomic writes.
#[async_trait]
pub trait StateStore: Send + Sync + fmt::Debug {
    /// Reads one row; an expired one is not there.
    ///
    /// # Errors
    /// `Unavailable` when there is no answer.
    async fn get(&self, key: &RowKey, now: Timestamp) -> PortResult<Option<Row>>;

    /// Reads a page of rows; expired ones are left out.
    ///
    /// # Errors
    /// `Unavailable` when there is no answer.
    async fn range(&self, range: &RowRange, now: Timestamp) -> PortResult<RowPage>;

    /// Changes rows all together or not at all, and gives the new version of each (0 for a delete or a check).
    ///
    /// # Errors
    /// `Conflict` when an expectation does not hold; `Invalid` when the rows are over a limit or a key comes twice.
    async fn write(&self, rows: Vec<RowWrite>, now: Timestamp) -> PortResult<Vec<u64>>;

    /// Stores rows one by one, in any order, whatever is there: cheaper than [`StateStore::write`], not atomic.
    ///
    /// # Errors
    /// When one row could not be stored; others may be.
    async fn put_many(&self, rows: Vec<(RowKey, Bytes, Option<Timestamp>)>, now: Timestamp) -> PortResult<()>;
}

/// Reads all rows of a range, page after page.
///
/// # Errors
/// As [`StateStore::range`].
pub async fn range_all(state: &dyn StateStore, range: RowRange, now: Timestamp) -> PortResult<Vec<Row>> {
    let mut range = range;
    let mut rows = Vec::new();
    loop {
        let page = state.range(&range, now).await?;
        rows.extend(page.rows);
        match page.cursor {
            Some(cursor) => range.cursor = Some(cursor),
            None => return Ok(rows),
        }
    }
}

/// One message for the alert topic; at most [`crate::refusals::MESSAGE_BYTES_MAX`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Content-derived: the same message again has the same id.
    pub id: String,
    /// What the reader decodes.
    pub body: Bytes,
}

/// Carries messages to the notify flow, at least once, in any order.
#[async_trait]
pub trait Topic: Send + Sync + fmt::Debug {
    /// Hands messages over.
    ///
    /// # Errors
    /// `Invalid` when a message is too large; `Unavailable` when some may not have been taken.
    async fn publish(&self, messages: Vec<Message>) -> PortResult<()>;

    /// Lets whoever reads the topic look at what is due, at a moment of whole seconds before `now` +
    /// [`WAKE_AHEAD_MAX`], or at once where it has passed. It carries nothing, and may be lost, come late or come twice:
    /// the reader looks by itself every minute. Does nothing where it looks all the time.
    ///
    /// # Errors
    /// `Unavailable` when it may not have been taken.
    async fn wake(&self, _at: Timestamp, _now: Timestamp) -> PortResult<()> {
        Ok(())
    }
}

/// Looks of the topic's reader are asked for that are less far ahead than this.
pub const WAKE_AHEAD_MAX: Duration = Duration::from_secs(60);

/// Where a delivery goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// An HTTP endpoint that takes a POST of JSON.
    Webhook {
        /// The whole URL; may hold a secret, so it is never logged. The messenger reads one that is kept elsewhere.
        url: Secret,
        /// Further headers: name and value.
        headers: Vec<(String, String)>,
        /// How the server is reached, with its secrets revealed; as any other where there is nothing to say.
        connection: Option<Box<Connection>>,
    },
    /// Mailboxes.
    Email {
        /// Who it is from.
        from: String,
        /// Who it is for.
        to: Vec<String>,
        /// The server; the outbox folder, or the host's own way, when there is none.
        server: Option<Box<MailServer>>,
    },
    /// Telephones, by text message.
    Sms {
        /// Numbers in the form of E.164, such as `+819012345678`.
        numbers: Vec<String>,
    },
    /// An SNS topic, whose subscribers decide what becomes of it.
    Topic {
        /// Its name, `arn:aws:sns:...`.
        arn: String,
        /// Texts beside the message, by which subscribers filter.
        attributes: BTreeMap<String, String>,
    },
    /// The thread under a message of Slack, by the web API. The app needs the scope `files:write`.
    SlackThread {
        /// What the names of the API's methods are appended to: `https://slack.com/api/`.
        api: String,
        /// Headers of every question to the API: the authorization. Whoever takes the file gets none of them.
        headers: Vec<(String, String)>,
        /// The id of the channel, as the receipt of the message named it.
        channel: String,
        /// The time stamp of the message.
        ts: String,
    },
}

/// A mail server, and how to speak with it. Its secrets are revealed already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailServer {
    /// Its name and port, `host:port`.
    pub smarthost: String,
    /// How to speak with it; what is not said there is the host's choice.
    pub smtp: Smtp,
}

impl MailServer {
    /// A server with its secrets revealed; `None` where there is no server.
    ///
    /// # Errors
    /// When a secret cannot be read.
    pub async fn revealed(
        smarthost: Option<&str>,
        smtp: &Smtp,
        messenger: &dyn Messenger,
    ) -> PortResult<Option<Box<Self>>> {
        let Some(smarthost) = smarthost else { return Ok(None) };
        let mut smtp = smtp.clone();
        let tls = &mut smtp.tls;
        for secret in [&mut smtp.password, &mut tls.ca, &mut tls.cert, &mut tls.key].into_iter().flatten() {
            *secret = Secret::Inline(messenger.reveal(secret).await?);
        }
        Ok(Some(Box::new(Self { smarthost: smarthost.to_owned(), smtp })))
    }
}

/// How an HTTP server is reached, with its secrets revealed; `None` where it is reached as any other.
///
/// # Errors
/// When a secret cannot be read.
pub async fn revealed(connection: &Connection, messenger: &dyn Messenger) -> PortResult<Option<Box<Connection>>> {
    if *connection == Connection::default() {
        return Ok(None);
    }
    let mut connection = connection.clone();
    let tls = &mut connection.tls;
    for secret in [&mut connection.proxy, &mut tls.ca, &mut tls.cert, &mut tls.key].into_iter().flatten() {
        *secret = Secret::Inline(messenger.reveal(secret).await?);
    }
    Ok(Some(Box::new(connection)))
}

/// What a delivery carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// A JSON document for a webhook.
    Json(String),
    /// A mail.
    Email {
        /// The subject line.
        subject: String,
        /// The text part.
        text: String,
        /// The HTML part; none when it is empty, and then there is a text.
        html: String,
        /// Further headers, which take the place of those of their name.
        headers: BTreeMap<String, String>,
        /// What mails must share to be shown as one thread; none for a mail that stands alone.
        thread: Option<String>,
    },
    /// A plain text for telephones and topics.
    Text {
        /// What stands above it, where the destination has room for that.
        subject: Option<String>,
        /// The text.
        text: String,
    },
    /// A picture for a thread of Slack.
    Picture {
        /// What it shows: the title beside it, and the text for whoever does not see it.
        title: String,
        /// The drawing; the messenger makes a PNG of it.
        svg: String,
    },
}

/// One message to one destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// The same for every try of the same message, so that the destination can drop repeats.
    pub idempotency_key: String,
    /// Where to.
    pub address: Address,
    /// What.
    pub content: Content,
    /// When the message was decided.
    pub time: Timestamp,
}

/// What came back from the destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// For the log: a status, a file name, a message id.
    pub note: String,
    /// What the destination calls the message, where it can be changed or answered later: `CHANNEL/TS` of Slack.
    pub reference: Option<String>,
}

impl Receipt {
    /// A receipt for a message that nobody can change any more.
    pub const fn noted(note: String) -> Self {
        Self { note, reference: None }
    }
}

/// Carries notifications and reports to people.
#[async_trait]
pub trait Messenger: Send + Sync + fmt::Debug {
    /// Delivers one message. A picture may be there twice when it is delivered twice.
    ///
    /// # Errors
    /// `Invalid` when it can never succeed; `Throttled` or `Unavailable` when it may later. Never names a secret.
    async fn deliver(&self, delivery: &Delivery) -> PortResult<Receipt>;

    /// Whether this host reaches people. One that does not leaves what is to be told to the reader of the topic.
    fn reaches_people(&self) -> bool {
        true
    }

    /// The text of a secret that a delivery needs inside of a header or a body; one that is kept elsewhere is read
    /// anew, so that it may change.
    ///
    /// # Errors
    /// `Invalid` where this host keeps no secrets of that kind; `Unavailable` when it cannot be read now. Never holds
    /// the text.
    async fn reveal(&self, secret: &Secret) -> PortResult<String> {
        match secret {
            Secret::Inline(text) => Ok(text.clone()),
            Secret::File(file) => {
                let message = format!("secret in {file}: this host reads no secrets from elsewhere");
                Err(PortError::new(ErrorKind::Invalid, "messenger reveal", message))
            }
        }
    }
}
