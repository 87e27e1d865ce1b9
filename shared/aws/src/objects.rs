//! Objects in an S3 bucket.
//!
//! A put is conditional (`If-None-Match: *`), so the first content under a key stays. Each object carries the XXH3-128
//! of its bytes as metadata (`xxh3`): it tells the same content from another when a key is taken, and checks what a
//! whole read gives. On the way in, S3 checks the CRC-32 that the SDK sends along; on the way out, the SDK checks the
//! one that S3 gives. Parts of objects have no checksum of S3: what is read by parts carries its own.

use std::time::Duration;

use app::ports::{ByteRange, ObjectEntry, ObjectPage, ObjectStore, PortError, PortResult};
use app::refusals::{OBJECT_KEY_BYTES_MAX, OBJECT_PAGE_MAX, check_object_key};
use async_trait::async_trait;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::operation::head_object::{HeadObjectError, HeadObjectOutput};
use aws_sdk_s3::presigning::PresigningConfig;
use aws_sdk_s3::primitives::ByteStream;
use aws_smithy_types::error::display::DisplayErrorContext;
use aws_smithy_types::error::metadata::ProvideErrorMetadata as _;
use bytes::Bytes;
use model::ErrorKind;
use xxhash_rust::xxh3::xxh3_128;

use crate::client::{ATTEMPT_TIME_MAX, CALL_TIME_MAX, Clients};
use crate::failure;
use crate::pause::{TRIES_MAX, pause};

/// Most bytes of one put: what S3 takes without parts.
const OBJECT_BYTES_MAX: usize = 5 << 30;
/// Longest life of a link: what S3 signs for.
const LINK_LIFETIME_MAX: Duration = Duration::from_secs(7 * 24 * 3600);
/// More bytes than an object can have; offsets beyond it need no call to S3, which may not read them.
const OFFSET_MAX: u64 = 1 << 50;
/// Most tries of a read that breaks off.
const READ_TRIES_MAX: u32 = 3;
/// The slowest transfer that is waited for.
const BYTES_PER_SECOND_MIN: u64 = 2 << 20;
/// Name of the metadata that holds the content's hash.
const HASH: &str = "xxh3";

const PUT: &str = "object put";
const GET: &str = "object get";
const LIST: &str = "object list";
const DELETE: &str = "object delete";
const LINK: &str = "object link";

/// Objects in an S3 bucket. Cheap to clone.
#[derive(Clone, Debug)]
pub struct S3Objects {
    clients: Clients,
    s3: Client,
}

/// What came of one try of a put.
enum Put {
    Stored,
    /// Something is there already.
    Taken,
    /// Another put or delete of the same key is under way.
    Again(PortError),
}

impl S3Objects {
    /// The objects of the deployment's bucket. Opens no connection.
    pub fn new(clients: &Clients) -> Self {
        let config = aws_sdk_s3::config::Builder::from(clients.sdk_config());
        // Emulators have no host name for each bucket.
        let config = config.force_path_style(clients.settings().endpoint.is_some());
        Self { clients: clients.clone(), s3: Client::from_conf(config.build()) }
    }

    fn bucket(&self) -> &str {
        &self.clients.settings().bucket
    }

    async fn put(&self, key: &str, bytes: &Bytes, hash: &str) -> PortResult<Put> {
        let call = self
            .s3
            .put_object()
            .bucket(self.bucket())
            .key(key)
            .if_none_match("*")
            .content_type(content_type(key))
            .metadata(HASH, hash)
            .body(ByteStream::from(bytes.clone()));
        let timeouts = aws_sdk_s3::config::Config::builder().timeout_config(timeouts(bytes.len() as u64));
        let error = match call.customize().config_override(timeouts).send().await {
            Ok(_) => return Ok(Put::Stored),
            Err(error) => error,
        };
        match error.as_service_error().and_then(|refused| refused.code()) {
            Some("PreconditionFailed") => Ok(Put::Taken),
            Some("ConditionalRequestConflict" | "OperationAborted") => Ok(Put::Again(failure::of_store(PUT, &error))),
            _ => Err(failure::of_store(PUT, &error)),
        }
    }

    /// Whether what lies under a key is this content; `None` when nothing does any more.
    async fn is_same(&self, key: &str, bytes: &Bytes, hash: &str) -> PortResult<Option<bool>> {
        let Some(found) = self.head(PUT, key).await? else {
            return Ok(None);
        };
        if let Some(stored) = found.metadata().and_then(|metadata| metadata.get(HASH)) {
            return Ok(Some(stored == hash));
        }
        match self.get(key, ByteRange::All).await {
            Ok(stored) => Ok(Some(stored == bytes)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn head(&self, operation: &'static str, key: &str) -> PortResult<Option<HeadObjectOutput>> {
        match self.s3.head_object().bucket(self.bucket()).key(key).send().await {
            Ok(found) => Ok(Some(found)),
            Err(error) if matches!(error.as_service_error(), Some(HeadObjectError::NotFound(_))) => Ok(None),
            Err(error) => Err(failure::of_store(operation, &error)),
        }
    }

    /// One try of a read. `Err(Some)` for a body that broke off or came wrong, which another try may mend.
    async fn fetch(&self, key: &str, range: Option<&str>) -> Result<PortResult<Bytes>, PortError> {
        let call = self.s3.get_object().bucket(self.bucket()).key(key).set_range(range.map(str::to_owned));
        let found = match call.send().await {
            Ok(found) => found,
            Err(error) => {
                let code = error.as_service_error().and_then(|refused| refused.code());
                return Ok(match code {
                    Some("NoSuchKey") => Err(not_found(key)),
                    // The range begins after the end.
                    Some("InvalidRange") => Ok(Bytes::new()),
                    _ => Err(failure::of_store(GET, &error)),
                });
            }
        };
        let expected = found.metadata().and_then(|metadata| metadata.get(HASH)).cloned();
        let length = found.content_length().and_then(|length| u64::try_from(length).ok()).unwrap_or(0);
        let timeout = transfer_time(length);
        let body = match tokio::time::timeout(timeout, found.body.collect()).await {
            Ok(Ok(body)) => body.into_bytes(),
            Ok(Err(error)) => return Err(broken(key, &DisplayErrorContext(error).to_string())),
            Err(_) => return Err(broken(key, &format!("{length} bytes took longer than {timeout:?}"))),
        };
        match expected {
            Some(expected) if range.is_none() && expected != hash_of(&body) => Err(broken(key, "checksum mismatch")),
            _ => Ok(Ok(body)),
        }
    }
}

#[async_trait]
impl ObjectStore for S3Objects {
    async fn put_new(&self, key: &str, bytes: Bytes) -> PortResult<()> {
        check_object_key(PUT, key)?;
        check_size(bytes.len())?;
        let hash = hash_of(&bytes);
        let mut tries = 0;
        loop {
            let error = match self.put(key, &bytes, &hash).await? {
                Put::Stored => return Ok(()),
                Put::Again(error) => error,
                Put::Taken => match self.is_same(key, &bytes, &hash).await? {
                    Some(true) => return Ok(()),
                    Some(false) => {
                        let message = format!("object {key:?} is there with other content");
                        return Err(PortError::new(ErrorKind::Conflict, PUT, message));
                    }
                    None => PortError::new(ErrorKind::Unavailable, PUT, format!("object {key:?} comes and goes")),
                },
            };
            tries += 1;
            if tries == TRIES_MAX {
                return Err(error);
            }
            pause(&self.clients, tries).await;
        }
    }

    async fn get(&self, key: &str, range: ByteRange) -> PortResult<Bytes> {
        if check_object_key(GET, key).is_err() {
            return Err(not_found(key));
        }
        let range = match range_header(range) {
            Range::All => None,
            Range::Part(header) => Some(header),
            Range::Nothing => return self.head(GET, key).await?.map(|_| Bytes::new()).ok_or_else(|| not_found(key)),
        };
        let mut tries = 0;
        loop {
            let broken = match self.fetch(key, range.as_deref()).await {
                Ok(answer) => return answer,
                Err(broken) => broken,
            };
            tries += 1;
            if tries == READ_TRIES_MAX {
                return Err(broken);
            }
            pause(&self.clients, tries).await;
        }
    }

    async fn list(&self, prefix: &str, cursor: Option<&str>) -> PortResult<ObjectPage> {
        if !begins_a_key(prefix) {
            return Ok(ObjectPage::default());
        }
        let call = self.s3.list_objects_v2().bucket(self.bucket()).prefix(prefix);
        let call = call.max_keys(i32::try_from(OBJECT_PAGE_MAX).expect("a thousand"));
        let answer = call.set_start_after(cursor.map(str::to_owned)).send().await;
        let answer = answer.map_err(|error| failure::of_store(LIST, &error))?;
        let is_last = answer.is_truncated() != Some(true);
        let entry = |object: aws_sdk_s3::types::Object| {
            let size_bytes = object.size().and_then(|size| u64::try_from(size).ok()).unwrap_or(0);
            object.key.map(|key| ObjectEntry { key, size_bytes })
        };
        let entries: Vec<ObjectEntry> = answer.contents.into_iter().flatten().filter_map(entry).collect();
        let cursor = entries.last().filter(|_| !is_last).map(|last| last.key.clone());
        Ok(ObjectPage { entries, cursor })
    }

    async fn delete(&self, key: &str) -> PortResult<()> {
        if check_object_key(DELETE, key).is_err() {
            return Ok(());
        }
        let answer = self.s3.delete_object().bucket(self.bucket()).key(key).send().await;
        answer.map(drop).map_err(|error| failure::of_store(DELETE, &error))
    }

    async fn link(&self, key: &str, lifetime: Duration) -> PortResult<Option<String>> {
        check_object_key(LINK, key)?;
        let refuse = |message: String| PortError::new(ErrorKind::Invalid, LINK, message);
        if lifetime.is_zero() || lifetime > LINK_LIFETIME_MAX {
            return Err(refuse(format!("a link lives up to {LINK_LIFETIME_MAX:?}, not {lifetime:?}")));
        }
        let signing = PresigningConfig::builder().start_time(self.clients.settings().clock.now()).expires_in(lifetime);
        let signing = signing.build().map_err(|error| refuse(error.to_string()))?;
        let link = self.s3.get_object().bucket(self.bucket()).key(key).presigned(signing).await;
        Ok(Some(link.map_err(|error| failure::of_store(LINK, &error))?.uri().to_owned()))
    }
}

/// What to ask S3 for.
#[derive(Debug, PartialEq)]
enum Range {
    All,
    Part(String),
    /// No byte, whatever the object: only whether there is one.
    Nothing,
}

fn range_header(range: ByteRange) -> Range {
    match range {
        ByteRange::All => Range::All,
        ByteRange::Slice { len: 0, .. } | ByteRange::Suffix(0) => Range::Nothing,
        ByteRange::Slice { offset, .. } if offset >= OFFSET_MAX => Range::Nothing,
        ByteRange::Slice { offset, len } => {
            Range::Part(format!("bytes={offset}-{}", offset.saturating_add(len - 1).min(OFFSET_MAX)))
        }
        ByteRange::Suffix(len) => Range::Part(format!("bytes=-{}", len.min(OFFSET_MAX))),
    }
}

/// Whether a key can start with a prefix: others are not looked for.
fn begins_a_key(prefix: &str) -> bool {
    let (folders, name) = prefix.rsplit_once('/').map_or((None, prefix), |(folders, name)| (Some(folders), name));
    let name_is_good = name.is_empty() || check_object_key(LIST, &format!("{name}x")).is_ok();
    let folders_are_good = folders.is_none_or(|folders| check_object_key(LIST, folders).is_ok());
    prefix.len() <= OBJECT_KEY_BYTES_MAX && name_is_good && folders_are_good
}

fn check_size(size_bytes: usize) -> PortResult<()> {
    if size_bytes <= OBJECT_BYTES_MAX {
        return Ok(());
    }
    let message = format!("an object of {size_bytes} bytes is over the limit of {OBJECT_BYTES_MAX} bytes");
    Err(PortError::new(ErrorKind::Invalid, PUT, message))
}

/// What a browser takes an object for that it gets by a link.
fn content_type(key: &str) -> &'static str {
    match key.rsplit_once('.').map_or("", |(_, ending)| ending) {
        "csv" => "text/csv; charset=utf-8",
        "html" => "text/html; charset=utf-8",
        "json" => "application/json",
        "png" => "image/png",
        "svg" => "image/svg+xml",
        "txt" | "yml" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

fn timeouts(size_bytes: u64) -> TimeoutConfig {
    let transfer = transfer_time(size_bytes);
    TimeoutConfig::builder()
        .operation_attempt_timeout(transfer)
        .operation_timeout(CALL_TIME_MAX.max(transfer.saturating_mul(3)))
        .build()
}

/// How long a transfer may take.
fn transfer_time(size_bytes: u64) -> Duration {
    ATTEMPT_TIME_MAX + Duration::from_millis(size_bytes.saturating_mul(1000) / BYTES_PER_SECOND_MIN)
}

fn hash_of(bytes: &[u8]) -> String {
    format!("{:032x}", xxh3_128(bytes))
}

fn not_found(key: &str) -> PortError {
    let shown: String = key.chars().take(64).collect();
    PortError::new(ErrorKind::NotFound, GET, format!("there is no object {shown:?}"))
}

/// A body that did not come as it was stored.
fn broken(key: &str, reason: &str) -> PortError {
    let is_wrong = reason.to_lowercase().contains("checksum");
    let kind = if is_wrong { ErrorKind::Corrupt } else { ErrorKind::Unavailable };
    PortError::new(kind, GET, format!("object {key:?}: {reason}"))
}

#[cfg(test)]
mod tests;
