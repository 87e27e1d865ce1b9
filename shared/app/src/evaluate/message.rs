//! Alerts as messages on the topic.

use alerting::Alert;
use bytes::Bytes;
use model::TenantId;
use xxhash_rust::xxh3::xxh3_128;

use crate::AppError;
use crate::ports::Message;
use crate::refusals::MESSAGE_BYTES_MAX;

/// Packs alerts into as few messages as their size allows, and counts those that no message has room for. The same
/// alerts give the same messages with the same ids.
pub(super) fn pack(tenant: &TenantId, alerts: &[Alert]) -> Result<(Vec<Message>, usize), AppError> {
    let mut messages = Vec::new();
    let mut too_large = 0;
    let mut body = String::new();
    let head = format!("{{\"tenant\":{},\"alerts\":[", serde_json::to_string(tenant.as_str()).map_err(bug)?);
    for alert in alerts {
        let text = escaped(serde_json::to_string(alert).map_err(bug)?);
        if head.len() + text.len() + "]}".len() > MESSAGE_BYTES_MAX {
            too_large += 1;
            continue;
        }
        if !body.is_empty() && body.len() + text.len() + "]},".len() > MESSAGE_BYTES_MAX {
            messages.push(message(std::mem::take(&mut body)));
        }
        body.push_str(if body.is_empty() { &head } else { "," });
        body.push_str(&text);
    }
    if !body.is_empty() {
        messages.push(message(body));
    }
    Ok((messages, too_large))
}

/// Two characters that JSON allows and queues refuse, written as numbers.
fn escaped(json: String) -> String {
    if !json.contains(['\u{FFFE}', '\u{FFFF}']) {
        return json;
    }
    json.replace('\u{FFFE}', "\\ufffe").replace('\u{FFFF}', "\\uffff")
}

fn message(mut body: String) -> Message {
    body.push_str("]}");
    Message { id: format!("{:032x}", xxh3_128(body.as_bytes())), body: Bytes::from(body) }
}

fn bug(error: serde_json::Error) -> AppError {
    AppError::Bug(format!("an alert cannot be written as JSON: {error}"))
}

#[cfg(test)]
mod tests {
    use model::{Labels, Timestamp};

    use super::*;
    use crate::notify::AlertMessage;

    fn alert(name: &str, text_bytes: usize) -> Alert {
        Alert {
            labels: Labels::from_pairs([("alertname", name)]).unwrap(),
            annotations: [("text".to_owned(), "x".repeat(text_bytes))].into_iter().collect(),
            starts_at: Timestamp::from_secs(1),
            ends_at: None,
            valid_until: Some(Timestamp::from_secs(2)),
            sampled_at: None,
            generator_url: String::new(),
            updated_at: Timestamp::from_secs(1),
        }
    }

    #[test]
    fn alerts_are_packed_and_read_back() {
        let tenant = TenantId::new("shop").unwrap();
        assert!(pack(&tenant, &[]).unwrap().0.is_empty());
        let alerts: Vec<Alert> = (0..10).map(|index| alert(&format!("a{index}"), 100_000)).collect();
        let (messages, too_large) = pack(&tenant, &alerts).unwrap();
        assert_eq!((messages.len(), too_large), (5, 0));
        assert!(messages.iter().all(|message| message.body.len() <= MESSAGE_BYTES_MAX));
        let read = |message: &Message| serde_json::from_slice::<AlertMessage>(&message.body).unwrap();
        let again: Vec<Alert> = messages.iter().flat_map(|message| read(message).alerts).collect();
        assert_eq!(again, alerts);
        assert_eq!(read(&messages[0]).tenant, "shop");
        assert_eq!(pack(&tenant, &alerts).unwrap().0, messages);
    }

    #[test]
    fn an_alert_that_cannot_be_told_of_keeps_no_other_back() {
        let tenant = TenantId::new("shop").unwrap();
        let strange = alert("\u{FFFE}\u{FFFF}", 10);
        let alerts = [alert("a", 10), alert("b", MESSAGE_BYTES_MAX), strange.clone()];
        let (messages, too_large) = pack(&tenant, &alerts).unwrap();
        assert_eq!((messages.len(), too_large), (1, 1));
        let body = std::str::from_utf8(&messages[0].body).unwrap();
        assert!(!body.contains(['\u{FFFE}', '\u{FFFF}']), "queues refuse these");
        let read: AlertMessage = serde_json::from_slice(&messages[0].body).unwrap();
        assert_eq!(read.alerts, [alerts[0].clone(), strange]);
    }
}
