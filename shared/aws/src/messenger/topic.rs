//! Notifications to SNS topics of the user's own, whose subscribers decide what becomes of them.
//!
//! Source of the limits: "Publish" of the AWS documentation: 256 KB with attributes; a subject of ASCII, less than 100
//! characters, without line breaks.

use std::collections::BTreeMap;

use app::ports::{PortError, PortResult, Receipt};
use aws_sdk_sns::Client;
use aws_sdk_sns::config::Region;
use aws_sdk_sns::types::MessageAttributeValue;
use model::ErrorKind;
use xxhash_rust::xxh3::xxh3_128;

use super::{DELIVER, invalid};
use crate::client::Clients;
use crate::failure;

/// Most bytes of a message, its attributes and subject included.
const MESSAGE_BYTES_MAX: usize = 256 << 10;
/// Most characters of a subject.
const SUBJECT_CHARS_MAX: usize = 99;
/// The attribute by which subscribers can drop repeats.
const KEY_ATTRIBUTE: &str = "idempotency_key";

/// Publishes to topics, in their own regions.
#[derive(Clone, Debug)]
pub(super) struct SnsTopics {
    client: Client,
}

/// What a topic is told.
#[derive(Debug)]
pub(super) struct Said<'a> {
    pub(super) subject: Option<&'a str>,
    pub(super) text: &'a str,
    /// Texts beside it, by which subscribers filter.
    pub(super) attributes: &'a BTreeMap<String, String>,
}

impl SnsTopics {
    pub(super) fn new(clients: &Clients) -> Self {
        Self { client: Client::new(clients.sdk_config()) }
    }

    /// Publishes a text. A subject that SNS cannot carry becomes the first line.
    pub(super) async fn publish(&self, arn: &str, said: &Said<'_>, idempotency_key: &str) -> PortResult<Receipt> {
        let text = said.text;
        let region =
            region(arn).ok_or_else(|| invalid("the topic's name is no ARN such as arn:aws:sns:REGION:ID:NAME"))?;
        let (subject, message) = match said.subject {
            Some(subject) if is_subject(subject) => (Some(subject.to_owned()), text.to_owned()),
            Some(subject) => (None, format!("{subject}\n\n{text}")),
            None => (None, text.to_owned()),
        };
        let key = format!("{:032x}", xxh3_128(idempotency_key.as_bytes()));
        // One that is empty cannot be sent, and one of our own name is ours.
        let given = said.attributes.iter().filter(|(name, value)| !value.is_empty() && *name != KEY_ATTRIBUTE);
        let attributes: Vec<(&str, &str)> =
            given.map(|(name, value)| (name.as_str(), value.as_str())).chain([(KEY_ATTRIBUTE, key.as_str())]).collect();
        let attributes_size: usize =
            attributes.iter().map(|(name, value)| name.len() + "String".len() + value.len()).sum();
        let size = message.len() + subject.as_ref().map_or(0, String::len) + attributes_size;
        if size > MESSAGE_BYTES_MAX {
            return Err(invalid(format!("a message of {size} bytes is over the limit of {MESSAGE_BYTES_MAX} bytes")));
        }
        let mut request = self.client.publish().topic_arn(arn).set_subject(subject).message(message);
        if arn.ends_with(".fifo") {
            request = request.message_group_id("mihari").message_deduplication_id(&key);
        }
        for (name, value) in attributes {
            let attribute = MessageAttributeValue::builder().data_type("String").string_value(value).build();
            let attribute = attribute.map_err(|error| PortError::new(ErrorKind::Bug, DELIVER, error))?;
            request = request.message_attributes(name, attribute);
        }
        let there = aws_sdk_sns::config::Config::builder().region(Region::new(region.to_owned()));
        let sent = request.customize().config_override(there).send().await;
        let sent = sent.map_err(|error| failure::of(DELIVER, &error))?;
        Ok(Receipt::noted(format!("SNS {}", sent.message_id().unwrap_or("took it"))))
    }
}

/// The region of a topic: `arn:aws:sns:REGION:ACCOUNT:NAME`.
fn region(arn: &str) -> Option<&str> {
    let mut parts = arn.split(':');
    let (scheme, _partition, service, region) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    (scheme == "arn" && service == "sns" && !region.is_empty() && parts.count() == 2).then_some(region)
}

fn is_subject(subject: &str) -> bool {
    let starts = subject.starts_with(|first: char| first.is_ascii_graphic());
    starts && subject.len() <= SUBJECT_CHARS_MAX && subject.bytes().all(|byte| matches!(byte, b' '..=b'~'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_name_their_region() {
        let cases = [
            ("arn:aws:sns:eu-west-1:123456789012:alerts", Some("eu-west-1")),
            ("arn:aws-cn:sns:cn-north-1:1:a.fifo", Some("cn-north-1")),
            ("arn:aws:sqs:eu-west-1:1:a", None),
            ("arn:aws:sns::1:a", None),
            ("arn:aws:sns:eu-west-1:1", None),
            ("alerts", None),
        ];
        for (arn, expected) in cases {
            assert_eq!(region(arn), expected, "{arn}");
        }
    }

    #[test]
    fn subjects_are_short_lines_of_ascii() {
        let long = "x".repeat(SUBJECT_CHARS_MAX + 1);
        let cases = [
            ("[FIRING:1] cpu_usage", true),
            ("【警告】", false),
            (" x", false),
            ("a\nb", false),
            ("", false),
            (&long, false),
        ];
        for (subject, expected) in cases {
            assert_eq!(is_subject(subject), expected, "{subject:?}");
        }
    }
}
