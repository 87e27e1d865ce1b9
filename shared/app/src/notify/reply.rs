//! Answers to a channel: what came of a button, said by whoever can reach people.
//!
//! The host that takes the press need not have a way out: it publishes what is to be said, and the reader of the topic
//! says it. Nothing depends on its arrival: it is said at most once, and a failure is logged.

use bytes::Bytes;
use model::ErrorKind;
use serde::{Deserialize, Serialize};

use super::Desk;
use crate::ports::{Address, Content, Delivery, Expect, Message, PortResult, RowKey, RowWrite, Secret};
use crate::{App, AppError};

/// What the ids of such messages start with; those of alerts are hashes.
const ID: &str = "reply/";
/// How long an answer is remembered: longer than Slack takes one, and a queue repeats itself.
const REMEMBERED: std::time::Duration = std::time::Duration::from_secs(3600);

/// The body of the message, as JSON.
#[derive(Serialize, Deserialize)]
struct Reply {
    /// Where to say it: a secret, for it needs no other permission.
    url: String,
    /// The document for it.
    json: String,
}

/// Lets a document be posted to an address that was given for an answer. `id` names the answer: the same one is said once.
///
/// # Errors
/// When the topic does not take it.
pub(crate) async fn reply(app: &App, id: &str, url: &str, json: String) -> PortResult<()> {
    let body = serde_json::to_vec(&Reply { url: url.to_owned(), json }).expect("texts become JSON");
    app.ports.topic.publish(vec![Message { id: format!("{ID}{id}"), body: body.into() }]).await
}

/// Whether a message is one to be said, not one of alerts.
pub(super) fn is_reply(message: &Message) -> bool {
    message.id.starts_with(ID)
}

impl Desk<'_> {
    /// Says it, unless it was said.
    pub(super) async fn say(&self, message: &Message) -> Result<(), AppError> {
        let Reply { url, json } = serde_json::from_slice(&message.body)
            .map_err(|error| AppError::Invalid(format!("message of an answer: {error}")))?;
        if !self.is_unsaid(message).await? {
            return Ok(());
        }
        let delivery = Delivery {
            idempotency_key: message.id.clone(),
            address: Address::Webhook { url: Secret::new(url), headers: Vec::new(), connection: None },
            content: Content::Json(json),
            time: self.now,
        };
        if let Err(error) = self.messenger.deliver(&delivery).await {
            tracing::info!(%error, "a channel was not told what came of a button");
        }
        Ok(())
    }

    async fn is_unsaid(&self, message: &Message) -> Result<bool, AppError> {
        let key = RowKey::new("j#", &*message.id);
        let row = RowWrite::put(key, Expect::Absent, Bytes::from_static(&[1])).expiring(self.now + REMEMBERED);
        match self.state.write(vec![row], self.now).await {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == ErrorKind::Conflict => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::faults::FaultPlan;
    use crate::memory::{MemoryMessenger, MemoryTopic};
    use crate::notify::receive;
    use crate::pages::testing::{NOW, World};

    #[tokio::test]
    async fn an_answer_is_said_once_however_often_its_message_comes() {
        let mut app = World::default().app(&[], &FaultPlan::none());
        let (topic, messenger) = (Arc::new(MemoryTopic::default()), Arc::new(MemoryMessenger::default()));
        (app.ports.topic, app.ports.messenger) = (Arc::clone(&topic) as _, Arc::clone(&messenger) as _);
        reply(&app, "v0=aa", "http://127.0.0.1:1/response", "{\"text\":\"aiko: ack\"}".to_owned()).await.unwrap();
        let message = topic.drain();
        for _ in 0..2 {
            let received = receive(&app, &message, NOW).await;
            assert!(received.failed.is_empty(), "{received:?}");
        }
        let [said] = messenger.drain().try_into().unwrap();
        assert_eq!(said.content, Content::Json("{\"text\":\"aiko: ack\"}".to_owned()));
        let address =
            Address::Webhook { url: Secret::new("http://127.0.0.1:1/response"), headers: Vec::new(), connection: None };
        assert_eq!((said.address, said.idempotency_key.as_str()), (address, "reply/v0=aa"));
        let broken = Message { id: "reply/x".to_owned(), body: Bytes::from_static(b"{}") };
        assert_eq!(receive(&app, &[broken], NOW).await.failed.len(), 1);
    }
}
