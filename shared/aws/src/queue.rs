//! The queue behind the alert topic, as its messages come to a function.
//!
//! A record holds what [`crate::topic`] published: raw (the subscription's `RawMessageDelivery`), with the id and the
//! form of the body in attributes of the record, or wrapped by SNS in a JSON envelope that holds the same. A rule of
//! EventBridge puts changes of CloudWatch's alarms beside them, as they are; [`crate::alert_queue`] puts messages in raw.
//!
//! A batch is answered record by record: what failed comes again alone, and after a few times goes to the queue of dead
//! letters, where a person finds it.

use std::collections::BTreeMap;

use app::ports::Message;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use model::TenantId;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::alert_queue::WAKE_ID;
use crate::topic::{BASE64, ENCODING_ATTRIBUTE, ID_ATTRIBUTE};

/// The records of one event.
#[derive(Debug)]
pub struct Batch {
    /// What they carry; each message once, however often it came.
    pub messages: Vec<Message>,
    /// Under which names the queue knows a message, by the message's id.
    records: BTreeMap<String, Vec<String>>,
    /// Records that hold no message, and why.
    unreadable: Vec<(String, String)>,
}

/// What the queue is told: the records that are to come again.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BatchAnswer {
    batch_item_failures: Vec<Failure>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Failure {
    item_identifier: String,
}

#[derive(Deserialize)]
struct Event {
    #[serde(rename = "Records")]
    records: Vec<Record>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Record {
    message_id: String,
    body: String,
    #[serde(default)]
    message_attributes: BTreeMap<String, RecordAttribute>,
    event_source: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RecordAttribute {
    #[serde(default)]
    string_value: Option<String>,
}

/// What SNS wraps around a message unless it delivers raw.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Envelope {
    message: String,
    #[serde(default)]
    message_attributes: BTreeMap<String, EnvelopeAttribute>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct EnvelopeAttribute {
    value: String,
}

/// Reads the records of an event.
///
/// # Errors
/// When the event is none of a queue: the function is wired to the wrong source.
pub fn decode(event: &RawValue) -> Result<Batch, String> {
    let wrong = |what: String| format!("the event is no batch of an SQS queue: {what}");
    let Event { records } = serde_json::from_str(event.get()).map_err(|error| wrong(error.to_string()))?;
    if let Some(other) = records.iter().find(|record| record.event_source != "aws:sqs") {
        return Err(wrong(format!("a record is from {:?}", other.event_source)));
    }
    let mut batch = Batch { messages: Vec::new(), records: BTreeMap::new(), unreadable: Vec::new() };
    for record in records {
        let name = record.message_id.clone();
        if is_wake(&record) {
            continue;
        }
        match message(record) {
            Ok(message) => {
                let names = batch.records.entry(message.id.clone()).or_default();
                names.push(name);
                if names.len() == 1 {
                    batch.messages.push(message);
                }
            }
            Err(reason) => batch.unreadable.push((name, reason)),
        }
    }
    Ok(batch)
}

/// Whether a record only asks for a look at what is due, which follows every batch.
fn is_wake(record: &Record) -> bool {
    let id = record.message_attributes.get(ID_ATTRIBUTE).and_then(|found| found.string_value.as_deref());
    id == Some(WAKE_ID)
}

fn message(record: Record) -> Result<Message, String> {
    let attributes = |name: &str| record.message_attributes.get(name).and_then(|found| found.string_value.clone());
    if let Some(id) = attributes(ID_ATTRIBUTE) {
        let encoding = attributes(ENCODING_ATTRIBUTE);
        return Ok(Message { id, body: body(record.body, encoding.as_deref())? });
    }
    if let Some(alarm) = app::notify::alarm_message(record.body.as_bytes(), &TenantId::default_tenant()) {
        return alarm.map_err(|error| error.to_string());
    }
    let Ok(envelope) = serde_json::from_str::<Envelope>(&record.body) else {
        return Err(format!("neither the attribute {ID_ATTRIBUTE:?} nor an envelope of SNS"));
    };
    let attribute = |name: &str| envelope.message_attributes.get(name).map(|found| found.value.clone());
    let id = attribute(ID_ATTRIBUTE).ok_or_else(|| format!("no attribute {ID_ATTRIBUTE:?}"))?;
    let encoding = attribute(ENCODING_ATTRIBUTE);
    Ok(Message { id, body: body(envelope.message, encoding.as_deref())? })
}

fn body(text: String, encoding: Option<&str>) -> Result<Bytes, String> {
    match encoding {
        None => Ok(text.into()),
        Some(BASE64) => STANDARD.decode(text).map(Bytes::from).map_err(|error| format!("no base64: {error}")),
        Some(other) => Err(format!("the unknown encoding {other:?}")),
    }
}

impl Batch {
    /// The records that hold no message, by their names, and why.
    pub fn unreadable(&self) -> &[(String, String)] {
        &self.unreadable
    }

    /// The answer when messages with these ids failed: they and the unreadable records come again.
    pub fn answer<'a>(&self, failed: impl IntoIterator<Item = &'a str>) -> BatchAnswer {
        let of_messages = failed.into_iter().filter_map(|id| self.records.get(id)).flatten();
        let unreadable = self.unreadable.iter().map(|(name, _)| name);
        let failure = |name: &String| Failure { item_identifier: name.clone() };
        BatchAnswer { batch_item_failures: of_messages.chain(unreadable).map(failure).collect() }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn raw_record(name: &str, id: &str, body: &str) -> Value {
        json!({
            "messageId": name, "body": body, "eventSource": "aws:sqs",
            "messageAttributes": {"id": {"stringValue": id, "dataType": "String"}}
        })
    }

    fn decoded(records: Vec<Value>) -> Result<Batch, String> {
        decode(&serde_json::value::to_raw_value(&json!({"Records": records})).unwrap())
    }

    #[test]
    fn records_are_read_raw_and_wrapped() {
        let envelope = json!({
            "Type": "Notification", "MessageId": "m", "Message": "wrapped 警告",
            "MessageAttributes": {"id": {"Type": "String", "Value": "two"}}
        });
        let wrapped = json!({"messageId": "r2", "body": envelope.to_string(), "eventSource": "aws:sqs"});
        let mut bytes = raw_record("r3", "three", "AP8=");
        bytes["messageAttributes"]["encoding"] = json!({"stringValue": "base64", "dataType": "String"});
        let batch = decoded(vec![raw_record("r1", "one", "raw"), wrapped, bytes]).unwrap();
        let found: Vec<_> = batch.messages.iter().map(|message| (message.id.as_str(), &message.body[..])).collect();
        let expected: [(&str, &[u8]); 3] = [("one", b"raw"), ("two", "wrapped 警告".as_bytes()), ("three", &[0, 255])];
        assert_eq!(found, expected);
        assert!(batch.unreadable().is_empty());
    }

    #[test]
    fn a_record_that_asks_for_a_look_is_no_message_and_never_comes_again() {
        let batch = decoded(vec![raw_record("r1", WAKE_ID, "wake"), raw_record("r2", "one", "raw")]).unwrap();
        let ids: Vec<&str> = batch.messages.iter().map(|message| message.id.as_str()).collect();
        assert_eq!((ids, batch.unreadable().len()), (vec!["one"], 0));
        let answer = serde_json::to_value(batch.answer([WAKE_ID])).unwrap();
        assert_eq!(answer, json!({"batchItemFailures": []}));
    }

    #[test]
    fn only_what_failed_comes_again() {
        let bare = json!({"messageId": "r4", "body": "hello", "eventSource": "aws:sqs"});
        let twice = raw_record("r2", "one", "raw");
        let batch = decoded(vec![raw_record("r1", "one", "raw"), twice, raw_record("r3", "two", "b"), bare]).unwrap();
        assert_eq!(batch.messages.len(), 2, "a message that came twice is taken in once");
        assert_eq!(batch.unreadable()[0].0, "r4");
        let answered = |failed: &[&str]| serde_json::to_value(batch.answer(failed.iter().copied())).unwrap();
        let item = |name: &str| json!({"itemIdentifier": name});
        assert_eq!(answered(&[]), json!({"batchItemFailures": [item("r4")]}));
        assert_eq!(answered(&["one"]), json!({"batchItemFailures": [item("r1"), item("r2"), item("r4")]}));
    }

    #[test]
    fn other_events_are_refused_as_a_whole() {
        let of_stream = json!({"messageId": "r", "body": "", "eventSource": "aws:kinesis"});
        assert!(decoded(vec![of_stream]).unwrap_err().ends_with("a record is from \"aws:kinesis\""));
        let schedule = serde_json::value::to_raw_value(&json!({"flow": "notify"})).unwrap();
        assert!(decode(&schedule).unwrap_err().contains("Records"));
    }
}
