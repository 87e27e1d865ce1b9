//! The alert topic: SNS, with a queue behind it that `notify` reads (see [`crate::queue`]).
//!
//! Up to ten messages and 256 KB go into one call, since a call is what costs. A message's id travels as an attribute;
//! a body that SNS cannot carry as text travels as base64, and an attribute says so.
//!
//! Source of the limits: "PublishBatch" and "Amazon SNS message attributes" of the AWS documentation. Attributes count.

use std::time::Duration;

use app::ports::{Message, PortError, PortResult, Topic};
use app::refusals::check_messages;
use async_trait::async_trait;
use aws_sdk_sns::Client;
use aws_sdk_sns::types::{BatchResultErrorEntry, MessageAttributeValue, PublishBatchRequestEntry};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use model::ErrorKind;

use crate::client::Clients;
use crate::failure;

/// The attribute that holds a message's id.
pub(crate) const ID_ATTRIBUTE: &str = "id";
/// The attribute that says how a body is encoded that is no text.
pub(crate) const ENCODING_ATTRIBUTE: &str = "encoding";
/// The one such way.
pub(crate) const BASE64: &str = "base64";

/// Most messages of one call.
const BATCH_MESSAGES_MAX: usize = 10;
/// Most bytes of one call and of one message, attributes included.
const BATCH_BYTES_MAX: usize = 256 << 10;
/// Most times that messages are sent which the topic did not take.
const TRIES_MAX: u32 = 4;
/// The wait before the second time; doubled with each further one.
const BACKOFF_START: Duration = Duration::from_millis(50);

const PUBLISH: &str = "topic publish";

/// Publishes to one SNS topic.
#[derive(Clone, Debug)]
pub struct SnsTopic {
    client: Client,
    arn: String,
}

impl SnsTopic {
    /// A publisher; opens no connection.
    pub fn new(clients: &Clients, arn: impl Into<String>) -> Self {
        Self { client: Client::new(clients.sdk_config()), arn: arn.into() }
    }

    /// Sends one batch, and again what of it was not taken.
    async fn publish_batch(&self, mut entries: Vec<PublishBatchRequestEntry>) -> PortResult<()> {
        let mut wait = BACKOFF_START;
        for tries in 1.. {
            let request = self.client.publish_batch().topic_arn(&self.arn);
            let sent = request.set_publish_batch_request_entries(Some(entries.clone())).send().await;
            let failed = sent.map_err(|error| failure::of(PUBLISH, &error))?.failed.unwrap_or_default();
            let Some(first) = failed.first() else { return Ok(()) };
            if let Some(refused) = failed.iter().find(|entry| entry.sender_fault) {
                return Err(refusal(ErrorKind::Invalid, refused, failed.len()));
            }
            if tries == TRIES_MAX {
                return Err(refusal(ErrorKind::Unavailable, first, failed.len()));
            }
            entries.retain(|entry| failed.iter().any(|failed| failed.id == entry.id));
            tokio::time::sleep(wait).await;
            wait *= 2;
        }
        Ok(())
    }
}

#[async_trait]
impl Topic for SnsTopic {
    async fn publish(&self, messages: Vec<Message>) -> PortResult<()> {
        check_messages(PUBLISH, &messages)?;
        // What one message meets must not keep the others back: all are sent that can be, then the first error is told.
        let mut result = Ok(());
        let mut batch = Vec::new();
        let mut batch_bytes = 0;
        for (place, message) in messages.into_iter().enumerate() {
            let (entry, entry_bytes) = match entry(message, place) {
                Ok(entry) => entry,
                Err(error) => {
                    result = result.and(Err(error));
                    continue;
                }
            };
            if batch.len() == BATCH_MESSAGES_MAX || batch_bytes + entry_bytes > BATCH_BYTES_MAX {
                result = result.and(self.publish_batch(std::mem::take(&mut batch)).await);
                batch_bytes = 0;
            }
            batch_bytes += entry_bytes;
            batch.push(entry);
        }
        if batch.is_empty() { result } else { result.and(self.publish_batch(batch).await) }
    }
}

/// What a message is on the wire, and how much of a call it takes.
fn entry(message: Message, place: usize) -> PortResult<(PublishBatchRequestEntry, usize)> {
    let (body, encoding) = as_text(&message.body);
    let mut entry_bytes = body.len();
    let mut attribute = |name: &str, value: &str| {
        entry_bytes += name.len() + "String".len() + value.len();
        let built = MessageAttributeValue::builder().data_type("String").string_value(value).build();
        built.map_err(|error| PortError::new(ErrorKind::Bug, PUBLISH, error))
    };
    // The name only has to be unique within the batch.
    let mut entry = PublishBatchRequestEntry::builder().id(place.to_string());
    entry = entry.message_attributes(ID_ATTRIBUTE, attribute(ID_ATTRIBUTE, &message.id)?);
    if let Some(encoding) = encoding {
        entry = entry.message_attributes(ENCODING_ATTRIBUTE, attribute(ENCODING_ATTRIBUTE, encoding)?);
    }
    if entry_bytes > BATCH_BYTES_MAX {
        let message = format!("a message of {entry_bytes} bytes is over the limit of {BATCH_BYTES_MAX} bytes");
        return Err(PortError::new(ErrorKind::Invalid, PUBLISH, message));
    }
    let entry = entry.message(body).build().map_err(|error| PortError::new(ErrorKind::Bug, PUBLISH, error))?;
    Ok((entry, entry_bytes))
}

/// A body as a queue carries it, and how it is encoded if it is no text.
pub(crate) fn as_text(body: &[u8]) -> (String, Option<&'static str>) {
    match std::str::from_utf8(body) {
        Ok(text) if text.chars().all(is_carried) && !text.is_empty() => (text.to_owned(), None),
        Ok(_) | Err(_) => (STANDARD.encode(body), Some(BASE64)),
    }
}

/// The characters that a queue takes in a message: those of XML 1.0 ("SendMessage" of the AWS documentation).
const fn is_carried(character: char) -> bool {
    matches!(character, '\t' | '\n' | '\r' | ' '..='\u{D7FF}' | '\u{E000}'..='\u{FFFD}' | '\u{10000}'..)
}

fn refusal(kind: ErrorKind, entry: &BatchResultErrorEntry, count: usize) -> PortError {
    PortError::new(kind, PUBLISH, format!("the topic did not take {count} messages: {}", entry.code))
}
